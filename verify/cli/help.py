"""``nono-verify help``: what ``--help`` says, under the name that many try first."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from verify import render
from verify.cli import SUBCOMMANDS, module_of
from verify.cli.failures import not_checked
from verify.cli.parsing import Parser
from verify.cli.streams import complain, write

if TYPE_CHECKING:
    from verify.errors import UsageError

_EPILOG = """\
Without COMMAND it is the help of nono-verify itself. A ledger file that is called help is ./help.

exit codes:
  0  done
  2  there is no such command

examples:
  nono-verify help
  nono-verify help policy
"""


def parser() -> Parser:
    """Return the parser of the arguments."""
    found = Parser("nono-verify help", description="Print the help of a command.", epilog=_EPILOG)
    found.add_argument(
        "command", metavar="COMMAND", nargs="?", choices=SUBCOMMANDS, help=f"one of {', '.join(SUBCOMMANDS)}"
    )
    return found


def run(arguments: list[str]) -> int:
    """Print the help that is asked for; return the exit code."""
    asked = parser().parse_args(arguments).command
    write(importlib.import_module(module_of(asked or "ledger")).parser().format_help())
    return 0


def refuse(arguments: list[str], error: UsageError) -> None:  # noqa: ARG001  # the command has one format
    """Say that the arguments cannot be understood."""
    complain(render.as_text(not_checked(error)))
