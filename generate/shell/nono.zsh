# A profile: a name of nono's or of the user's, or a path.
_nono_profiles() {
  local -a names
  names=(@PROFILES@ ${XDG_CONFIG_HOME:-$HOME/.config}/nono/profiles/*.(json|jsonc)(N:t:r))
  _alternative 'profiles:profile:compadd -a names' 'files:file:_files'
}

# What stands behind `nono run … --`, or `nono wrap … --`, is a command, with completions of its own.
_nono_delegate() {
  if [[ $words[1] == -- ]]; then
    shift words
    (( CURRENT-- ))
  fi
  _normal
}
