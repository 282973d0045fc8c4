"""The JSON Schemas of what nono reads and writes, as they are shipped and as commands print them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.cli.subcommand import add_command
from runtime.cli.terminal import write_bytes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import Any

_DIRECTORY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "schemas")


def write_schema(name: str) -> int:
    """Print the schema of this name to standard output and return the exit code.

    Raises:
        OutputError: it cannot be written.
    """
    with open(os.path.join(_DIRECTORY, f"{name}.schema.json"), "rb") as file:
        write_bytes(file.read().rstrip(b"\n"))
    return 0


def add_schema_command(
    commands: Any,  # argparse does not name the type of what add_subparsers returns
    schemas: Mapping[str, str],
    epilog: str,
    *,
    default: str | None = None,
) -> None:
    """Add a command ``schema`` that prints one of several.

    Args:
        commands: what ``add_subparsers`` returned.
        schemas: the names of the published schemas, by what is typed.
        epilog: what the help says at the end.
        default: what is printed when nothing is typed; None where something has to be.
    """

    def act(arguments: argparse.Namespace) -> int:
        return write_schema(schemas[arguments.name])

    parser = add_command(commands, "schema", "print a JSON Schema", epilog, act)
    text = f"one of {', '.join(schemas)}"
    if default is None:
        parser.add_argument("name", metavar="NAME", choices=tuple(schemas), help=text)
    else:
        text += f" (default: {default})"
        parser.add_argument(
            "name", metavar="NAME", choices=tuple(schemas), nargs="?", default=default, help=text
        )
