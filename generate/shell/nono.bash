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
