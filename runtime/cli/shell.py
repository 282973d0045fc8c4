"""``nono shell``: a shell inside the sandbox, recorded: ``nono run`` of the user's own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.cli import run as supervised
from runtime.cli import say
from runtime.errors import LaunchError, UsageError
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

USAGE_STATUS = FAILURE_STATUS = LaunchError.exit_status

EPILOG = """\
The shell is the one that --shell names; else $SHELL, where that is the user's in the user database or one of
/etc/shells; else that of the user database, if it is one of /etc/shells; else /bin/sh.

It is a launch as any other: flags, profiles, configuration, record and exit codes are those of nono run, and
so is what it may do without a grant: read the system, and write to a private temporary directory. What it
runs is inside with it, and is ended with it.

What a user's shell reads when it starts is protected, as is its history, so that it has neither. A bash or a
fish that gets no arguments is told not to look for it (--rcfile /dev/null, --no-config), unless protection is
lifted: --bypass-protection ~/.bashrc --read-file ~/.bashrc.

On a terminal it has one of its own, with job control in it (--no-pty shares it). Without a terminal the shell
reads its commands from standard input.

exit codes:
  the shell's own; 128+N when signal N ended it; 125 nono failed or refused; 126 found but cannot be
  executed or hashed; 127 not found (--status-fd tells a shell's own 125 apart)

examples:
  nono shell --allow .                          in this directory, which it may change
  nono shell -p python-dev --allow . --timeout 8h
  nono shell --block-net --shell zsh
  nono shell --read . -- -c 'make -n'           what is behind -- are arguments of the shell
"""

_LAST = "/bin/sh"
_SHELLS = "/etc/shells"
_MOST_BYTES = 65_536

_WITHOUT_START_FILES = {"bash": ["--rcfile", "/dev/null"], "fish": ["--no-config"]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``nono shell``: those of ``nono run``, and which shell."""
    supervised.add_arguments(parser)
    (command,) = [action for action in parser._actions if action.dest == "command"]  # noqa: SLF001  # nowhere else
    command.metavar, command.help = "[-- ARGUMENT...]", "arguments of the shell"
    parser.add_argument("--shell", metavar="NAME|FILE", help="the shell (default: your own)")


def run(arguments: argparse.Namespace) -> int:
    """Launch the shell and return the exit code."""
    given = arguments.command
    if given and given[0] != "--":
        raise UsageError(
            f"a shell is launched, not a command: {given[0]!r}",
            hint="nono run -- COMMAND, or nono shell -- ARGUMENT... for arguments of the shell",
        )
    if arguments.shell == "":
        raise UsageError("--shell is given an empty name", hint="is a variable not set?")
    shell = arguments.shell or own_shell(supervised.keep_silent if arguments.silent else say)
    behind = given[1:]
    if not behind and not arguments.bypass_protection:
        behind = _WITHOUT_START_FILES.get(os.path.basename(shell), [])
    arguments.command = ["--", shell, *behind]
    # What somebody did in a shell, and what the last command of it came to, is not to be done again.
    return supervised.run(arguments, repeatable=bool(given[1:]))


def own_shell(tell: Callable[[str], object]) -> str:
    """Return the user's shell: what the environment names, where somebody else calls it one as well.

    Args:
        tell: told when that is not taken.
    """
    known = _known_shells()
    database = _of_user_database()
    named = os.environ.get("SHELL", "")
    if named and (named in known or (database is not None and named == database)):
        return named
    taken = database if database in known else _LAST
    if named:
        tell(
            f"nono: SHELL is {shown(os.fsencode(named))}, which is neither yours nor one of {_SHELLS}, so"
            f" {taken} is launched (--shell names another)"
        )
    return taken


def _known_shells() -> frozenset[str]:
    try:
        with open(_SHELLS, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read(_MOST_BYTES).splitlines()
    except OSError:  # a container may have none
        return frozenset({_LAST})
    return frozenset(line for line in map(str.strip, lines) if line.startswith("/"))


def _of_user_database() -> str | None:
    import pwd  # noqa: PLC0415  # no other command asks it

    try:
        return pwd.getpwuid(os.getuid()).pw_shell or None
    except KeyError:
        return None
