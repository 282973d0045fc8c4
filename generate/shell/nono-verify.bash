# The first word is a command, or a ledger. Where neither a flag nor a command fits, a file does.
_nono_verify() {
  _nono_without_equals _shtab_nono_verify
  if [[ $COMP_CWORD == 1 && ${COMP_WORDS[1]} != -* ]]; then
    compopt -o filenames
    local file
    while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "${COMP_WORDS[1]}")
  fi
}

complete -o bashdefault -o default -F _nono_verify nono-verify
