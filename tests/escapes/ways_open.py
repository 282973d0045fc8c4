"""What is open to a command, and said to be."""

from __future__ import annotations

from tests.escapes.way import Open

OPEN = (
    Open(
        "see-that-it-is-there",
        "see that a file outside is there, and its size and times",
        ("metadata", "stat", "{secret}"),
        "`stat` is no access to Landlock",
    ),
    Open(
        "open-for-requests",
        "open a file outside for neither reading nor writing (the third access mode of `open(2)`)",
        ("open", "{secret}", "3", "0"),
        "Landlock asks for no grant there; nothing of the content can be had or changed through it",
    ),
    Open(
        "change-a-mode",
        "change the mode of a file outside that belongs to the same user",
        ("metadata", "mode", "{secret}"),
        "`chmod` is no write to Landlock; the record says `metadata: false`",
    ),
    Open(
        "change-times",
        "change the times of a file outside that belongs to the same user",
        ("metadata", "times", "{secret}"),
        "as modes",
    ),
    Open(
        "hear-of-names",
        "hear the names of what is made in a directory outside",
        ("watch", "{outside}"),
        "inotify takes no right of Landlock, and tools that watch files need it",
    ),
    Open(
        "hold-a-lock",
        "lock a file that is granted for reading, against others that lock it (`flock`)",
        ("lock", "advisory", "{readable}/file"),
        "such locks bind who asks for them; nono's own lie where no command reads",
    ),
    Open(
        "take-a-lease-for-reading",
        "hold up whoever opens a file of the same user for writing, by a lease",
        ("lock", "lease", "{readable}/file"),
        "nono itself holds programs still with one, inside as well",
    ),
    Open(
        "read-a-command-line",
        "read the command line of a process outside",
        ("proc", "read", "/proc/{victim}/cmdline"),
        "`ps` and its like; arguments are no place for secrets",
    ),
    Open(
        "count-descriptors",
        "see which numbers the descriptors of a process outside have",
        ("proc", "list", "/proc/{victim}/fd"),
        "not what they are: the kernel lets the same user list them",
    ),
    Open(
        "shared-memory-asked-for",
        "attach the System V shared memory of a process outside, with `--allow-sysv-ipc`",
        ("shared-memory", "{shared}"),
        "such memory has a number and no path, so there is no granting some of it",
        flags=("--allow-sysv-ipc",),
    ),
    Open(
        "message-queue-asked-for",
        "take a message out of a System V queue outside, with `--allow-sysv-ipc`",
        ("message-queue", "{queue}"),
        "as shared memory",
        flags=("--allow-sysv-ipc",),
    ),
    Open(
        "semaphore-asked-for",
        "change a System V semaphore outside, with `--allow-sysv-ipc`",
        ("semaphore", "{semaphore}"),
        "as shared memory",
        flags=("--allow-sysv-ipc",),
    ),
    Open(
        "run-its-own-code",
        "run a program that is in no file",
        ("memfd", "open", "{granted}/file", "0", "0"),
        "what is run stays in the sandbox; `--exec-allow` limits images",
    ),
    Open(
        "run-a-copy",
        "run a program that it wrote, in a grant for reading and writing",
        ("copy", "{granted}", "open", "{granted}/file", "0", "0"),
        "it stays in the sandbox",
    ),
)
"""The rows."""
