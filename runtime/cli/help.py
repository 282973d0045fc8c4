"""``nono help``: what ``--help`` says, under the name that many try first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.cli import COMMANDS, command_parser, program_parser
from runtime.cli.terminal import write_lines

if TYPE_CHECKING:
    import argparse

EPILOG = """\
Without COMMAND it is the help of nono itself.

examples:
  nono help
  nono help run
  nono help audit list
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of ``nono help``."""
    parser.add_argument("command", metavar="COMMAND", nargs="*", help="a command, and one beneath it")


def run(arguments: argparse.Namespace) -> int:
    """Print the help of the command that is named and return the exit code."""
    words = arguments.command
    parser = program_parser()
    if words and words[0] in COMMANDS:
        parser, words = command_parser(words[0]), words[1:]
    for word in words:
        parser = parser.subcommand(word)
    write_lines(parser.format_help().splitlines())
    return 0
