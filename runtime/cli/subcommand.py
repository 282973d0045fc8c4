"""One command beneath another, as ``nono audit show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from runtime.cli import Parser


def add_command(
    commands: Any,  # argparse does not name the type of what add_subparsers returns
    name: str,
    summary: str,
    epilog: str,
    act: Callable[[argparse.Namespace], int],
) -> Parser:
    """Add one command and return its parser.

    Args:
        commands: what ``add_subparsers`` returned.
        name: what is typed.
        summary: what it does, in lower case and without a full stop.
        epilog: what its help says at the end.
        act: does it, and returns the exit code.
    """
    # str.capitalize would take the capitals from the names that stand within it.
    description = f"{summary[:1].upper()}{summary[1:]}."
    parser: Parser = commands.add_parser(name, help=summary, description=description, epilog=epilog)
    parser.set_defaults(act=act)
    return parser
