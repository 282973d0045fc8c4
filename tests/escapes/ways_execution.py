"""Other ways to run a program: it stays in the sandbox, whatever it is loaded from."""

from __future__ import annotations

from tests.escapes.way import IN_VAIN, Way

_EXEC = "memfd and loader exec"
_SECRET = ("secret", "{secret}")
_REFUSED = ("EACCES",)

WAYS = (
    Way(
        _EXEC,
        "exec-memfd",
        "read the secret with a program that is in no file",
        ("memfd", *_SECRET),
        _REFUSED,
    ),
    Way(
        _EXEC,
        "exec-memfd-twice",
        "the same, started by another of that kind",
        ("memfd", "memfd", *_SECRET),
        _REFUSED,
    ),
    Way(
        _EXEC,
        "exec-copy",
        "read the secret with a copy of a program, in a grant",
        ("copy", "{granted}", *_SECRET),
        _REFUSED,
    ),
    Way(
        _EXEC,
        "exec-loader",
        "read the secret with a program that the loader loads",
        ("loader", "{loader}", *_SECRET),
        _REFUSED,
    ),
    Way(
        _EXEC,
        "exec-memory",
        "read the secret with machine code that was written by the process itself",
        ("mapped", "{secret}"),
        _REFUSED,
    ),
    Way(
        _EXEC,
        "exec-memfd-signal",
        "end a process outside with a program that is in no file",
        ("memfd", "end", "kill", "{victim}", "{patience}"),
    ),
    Way(
        _EXEC,
        "exec-loader-socket",
        "make a packet socket with a program that the loader loads",
        ("loader", "{loader}", "socket", "1", "2", "0"),
        _REFUSED,
    ),
    Way(
        _EXEC,
        "exec-outside",
        "run a program that lies outside of the grants",
        ("run", "{outside}/program"),
        _REFUSED,
    ),
    Way(
        _EXEC,
        "exec-write-grant",
        "run a program that is granted for writing alone",
        ("run", "{writable}/program"),
        _REFUSED,
    ),
    Way(
        _EXEC,
        "exec-path-descriptor",
        "run a program outside by a descriptor of `O_PATH`",
        ("path-descriptor", "{outside}/program", "execute"),
        _REFUSED,
    ),
    Way(
        _EXEC,
        "exec-loader-outside",
        "have the loader load a program that lies outside",
        ("run-loader", "{loader}", "{outside}/program"),
        ("in vain",),
    ),
    Way(
        "set-uid programs",
        "exec-set-uid",
        "become somebody else by a set-uid program of theirs",
        ("set-uid", "{set-uid}", "{somebody}"),
        (IN_VAIN,),
        ordinary=(IN_VAIN,),
    ),
)
"""The rows."""
