# A profile: a name of nono's or of the user's, or a path.
function _nono_profiles
  set -l own ~/.config
  set -q XDG_CONFIG_HOME
  and set own $XDG_CONFIG_HOME
  printf '%s\n' @PROFILES@
  for file in $own/nono/profiles/*.json $own/nono/profiles/*.jsonc
    string replace -r '.*/(.*)\.jsonc?$' '$1' -- $file
  end
  __fish_complete_path (commandline -ct)
end

# What stands behind `nono run … --`, or `nono wrap … --`, is a command, with completions of its own.
function _nono_delegate
  set -l words (commandline -opc)
  set -l dashes (contains -i -- -- $words)
  or return
  set -l command (string escape -- $words[(math $dashes + 1)..-1])
  complete -C (string join -- ' ' $command (commandline -ct))
end
