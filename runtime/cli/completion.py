"""``nono completion``: what makes a shell complete nono's command lines."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.cli.terminal import write_bytes

if TYPE_CHECKING:
    import argparse

SHELLS = ("bash", "zsh", "fish")

EPILOG = """\
An installation puts the same into share/bash-completion/completions, share/zsh/site-functions and
share/fish/vendor_completions.d; where the shell looks there, nothing is left to do. nono-verify has its own:
nono-verify completion SHELL.

examples:
  source <(nono completion bash)                                 in ~/.bashrc
  eval "$(nono completion zsh)"                                  in ~/.zshrc, after compinit
  nono completion fish > ~/.config/fish/completions/nono.fish
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of ``nono completion``."""
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=f"one of {', '.join(SHELLS)}")


def run(arguments: argparse.Namespace) -> int:
    """Print the completion for a shell and return the exit code."""
    path = os.path.join(os.path.dirname(__file__), "completions", f"nono.{arguments.shell}")
    with open(path, "rb") as file:
        write_bytes(file.read().removesuffix(b"\n"))
    return 0
