# What stands behind `nono run … --`, or `nono wrap … --`, is a command, with completions of its own.
_nono_delegate() {
  if [[ $words[1] == -- ]]; then
    shift words
    (( CURRENT-- ))
  fi
  _normal
}
