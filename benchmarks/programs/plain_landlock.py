"""Run a command under Landlock and nothing else: the directories to read, ``--``, the command."""

import os
import sys

from runtime.capability.capabilities import USER, Access, FileGrant, Network
from runtime.capability.default_groups import DEFAULT_GRANTS
from runtime.capability.grants import OpenGrant
from runtime.kernel import syscalls
from runtime.sandbox import landlock_rules

end = sys.argv.index("--")
asked = [(os.fsencode(path), Access.READ) for path in sys.argv[1:end]]
asked += [(grant.path, grant.access) for grant in DEFAULT_GRANTS if os.path.exists(grant.path)]
opened = [
    OpenGrant(
        FileGrant(path, path, access, directory=os.path.isdir(path), source=USER),
        os.open(path, os.O_PATH | os.O_CLOEXEC),
    )
    for path, access in asked
]
ruleset = landlock_rules.build(opened, Network.BLOCKED, abi=syscalls.landlock_abi())
syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
syscalls.landlock_restrict_self(ruleset)
command = sys.argv[end + 1 :]
os.execv(command[0], command)  # no shell is wanted
