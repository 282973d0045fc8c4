# $1: what is typed of a file's name
_nono_files() {
  compgen -f -- "$1"
}

# $1: what is typed of a directory's name
_nono_dirs() {
  compgen -d -- "$1"
}

# $1: what is typed of a variable's name
_nono_variables() {
  compgen -e -- "$1"
}

# $1: what is typed of a command's name
_nono_commands() {
  compgen -c -- "$1"
}

# Hand over to the completion of a command that is part of the line.
# $1: which word is the command
_nono_delegate() {
  local word=${COMP_WORDS[COMP_CWORD]}
  if declare -F _comp_command_offset >/dev/null; then
    _comp_command_offset "$1"
  elif declare -F _command_offset >/dev/null; then
    _command_offset "$1"
  elif (( COMP_CWORD == $1 )); then
    mapfile -t COMPREPLY < <(compgen -c -- "$word")
  else
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}

# Complete as another function does that knows no `--flag=value`, which bash hands over as three words.
# $1: that function
_nono_without_equals() {
  local -a words=()
  local i cursor=0
  for (( i = 0; i < ${#COMP_WORDS[@]}; i++ )); do
    if [[ $i -gt 0 && ${COMP_WORDS[i]} == = && ${COMP_WORDS[i-1]} == --* ]]; then
      (( i == COMP_CWORD )) && { cursor=${#words[@]}; words+=(""); }
    else
      (( i == COMP_CWORD )) && cursor=${#words[@]}
      words+=("${COMP_WORDS[i]}")
    fi
  done
  local -a COMP_WORDS=("${words[@]}")
  local COMP_CWORD=$cursor
  "$1"
}
