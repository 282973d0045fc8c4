"""``nono-verify completion``: what makes a shell complete its command lines."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from verify import render
from verify.cli.failures import not_checked
from verify.cli.parsing import Parser
from verify.cli.streams import complain, write

if TYPE_CHECKING:
    from verify.errors import UsageError

SHELLS = ("bash", "zsh", "fish")

_EPILOG = """\
An installation puts the same into share/bash-completion/completions, share/zsh/site-functions and
share/fish/vendor_completions.d; where the shell looks there, nothing is left to do. A ledger file that is
called completion is ./completion.

exit codes:
  0  done
  2  usage: there is nothing for that shell

examples:
  source <(nono-verify completion bash)                                  in ~/.bashrc
  eval "$(nono-verify completion zsh)"                                   in ~/.zshrc, after compinit
  nono-verify completion fish > ~/.config/fish/completions/nono-verify.fish
"""


def parser() -> Parser:
    """Return the parser of the arguments."""
    found = Parser(
        "nono-verify completion",
        description="Print what makes a shell complete nono-verify's command lines.",
        epilog=_EPILOG,
    )
    found.add_argument("shell", metavar="SHELL", choices=SHELLS, help=f"one of {', '.join(SHELLS)}")
    return found


def run(arguments: list[str]) -> int:
    """Print the completion that is asked for; return the exit code."""
    shell = parser().parse_args(arguments).shell
    path = os.path.join(os.path.dirname(__file__), "completions", f"nono-verify.{shell}")
    with open(path, encoding="utf-8") as file:
        write(file.read())
    return 0


def refuse(arguments: list[str], error: UsageError) -> None:  # noqa: ARG001  # the command has one format
    """Say that the arguments cannot be understood."""
    complain(render.as_text(not_checked(error)))
