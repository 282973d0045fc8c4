# What stands behind `nono run … --`, or `nono wrap … --`, is a command, with completions of its own.
function _nono_delegate
  set -l words (commandline -opc)
  set -l dashes (contains -i -- -- $words)
  or return
  set -l command (string escape -- $words[(math $dashes + 1)..-1])
  complete -C (string join -- ' ' $command (commandline -ct))
end
