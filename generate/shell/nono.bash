# $1: what is typed of a profile: a name of nono's or of the user's, or a path
_nono_profiles() {
  local file name
  compgen -W '@PROFILES@' -- "$1"
  for file in "${XDG_CONFIG_HOME:-${HOME-}/.config}"/nono/profiles/*.json{,c}; do
    name=${file##*/}
    name=${name%.json*}
    [[ $name == "$1"* && $name =~ ^[A-Za-z0-9._-]+$ ]] && printf '%s\n' "$name"
  done
  compgen -f -- "$1"
}

# What stands behind `nono run … --`, or `nono wrap … --`, is a command, with completions of its own.
_nono() {
  local i
  if [[ ${COMP_WORDS[1]-} == @(run|wrap) ]]; then
    for (( i = 2; i < COMP_CWORD; i++ )); do
      if [[ ${COMP_WORDS[i]} == -- ]]; then
        _nono_delegate $(( i + 1 ))
        return
      fi
    done
  fi
  _nono_without_equals _shtab_nono
}

complete -o bashdefault -F _nono nono
