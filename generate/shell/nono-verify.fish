# The first word is a command, or a ledger.
complete -c nono-verify -n '_shtab_nono_verify_using; and test $_shtab_nono_verify_npos -eq 0' -ka '(__fish_complete_path (commandline -ct))' -d 'the ledger file'
