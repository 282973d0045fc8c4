"""The parsers of both programs, each as one tree; the programs build only the one that was typed."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING

from runtime import cli as nono_cli
from verify import cli as verify_cli

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("nono", "nono-verify")

Tree = dict[str, argparse.ArgumentParser]
"""Every parser of a program by the words that lead to it, the program's name first: ``nono audit list``."""


def tree(program: str) -> Tree:
    """Return every parser of one of :data:`PROGRAMS`, the program's own first, parents first."""
    if program == "nono":
        found: Tree = {program: nono_cli.program_parser()}
        tops: Tree = {name: nono_cli.command_parser(name) for name in nono_cli.COMMANDS}
    else:
        found = {program: _verifier("ledger")}
        tops = {name: _verifier(name) for name in verify_cli.SUBCOMMANDS}
    for name, parser in tops.items():
        found |= _beneath(f"{program} {name}", parser)
    return found


def subcommands(parser: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Return the parsers right beneath one, each with its summary, by name."""
    for action in parser._actions:  # noqa: SLF001  # argparse shows its actions nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # nor names this class
            summaries = {each.dest: each.help or "" for each in action._choices_actions}  # noqa: SLF001  # likewise
            return {name: (each, summaries[name]) for name, each in action.choices.items()}
    return {}


def parse(words: list[str]) -> argparse.Namespace:
    """Return what a command line of either program says, by the very parser that the program uses for it.

    Raises:
        SystemExit: ``nono`` refuses it, or it asks for help or the version.
        UsageError: ``nono-verify`` refuses it.
    """
    program, *arguments = words
    first = arguments[0] if arguments else ""
    if program == "nono":
        if first in nono_cli.COMMANDS:
            return nono_cli.command_parser(first).parse(arguments[1:])
        return nono_cli.program_parser().parse(arguments)
    if first in verify_cli.SUBCOMMANDS:
        return _verifier(first).parse_args(arguments[1:])
    return _verifier("ledger").parse_args(arguments)


def _beneath(path: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    if isinstance(parser, nono_cli.Parser):
        parser.complete()
    yield path, parser
    for name, (each, _) in subcommands(parser).items():
        yield from _beneath(f"{path} {name}", each)


def _verifier(name: str) -> argparse.ArgumentParser:
    module = importlib.import_module(verify_cli.module_of(name))
    parser: argparse.ArgumentParser = module.parser()
    return parser
