# The first word is a command, or a ledger.
functions[_nono_verify_commands]=$functions[_shtab_nono_verify_commands]
_shtab_nono_verify_commands() {
  local found=1
  _nono_verify_commands && found=0
  _files && found=0
  return found
}

# Flags stand behind a ledger as well as before it.
functions[_nono_verify_command]=$functions[_shtab_nono_verify]
_shtab_nono_verify() {
  if (( CURRENT == 2 || $+parameters[_shtab_nono_verify_${words[2]}_options] )); then
    _nono_verify_command
  else
    _arguments -C -s ${_shtab_nono_verify_options:#(: :|\*::: :)*} '1:ledger:_files'
  fi
}
