"""The command ``nono-verify``: arguments in, one verdict and one exit code out.

Each subcommand is a module with ``parser()``, ``run(arguments)``, which returns the exit code, and
``refuse(arguments, error)``, which says that they cannot be understood; it is imported only when it is the
one that was typed.
"""

from __future__ import annotations

import hashlib  # noqa: F401  # before what hashes: it is quicker (attest.hashing)
import importlib
import sys
from typing import TYPE_CHECKING

from verify import render
from verify.cli.failures import not_checked, unexpected
from verify.cli.streams import NOT_CHECKED, complain
from verify.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

SUBCOMMANDS = (
    "completion",
    "each",
    "evidence",
    "export",
    "export-check",
    "help",
    "policy",
    "proof",
    "report",
    "trust",
)
"""What is no ledger; a ledger file of such a name is ./proof."""


def module_of(command: str) -> str:
    """Return the name of a command's module."""
    return f"verify.cli.{command.replace('-', '_')}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``nono-verify`` and return its exit code.

    Args:
        argv: the arguments without the program's name; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        complain("not checked: interrupted\n")
        return NOT_CHECKED
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else NOT_CHECKED
    except BaseException as error:  # noqa: BLE001  # a traceback would end with 1, which says "tampered with"
        complain(render.as_text(not_checked(unexpected(error))))
        return NOT_CHECKED


def _run(arguments: list[str]) -> int:
    is_subcommand = arguments[:1] and arguments[0] in SUBCOMMANDS
    command = importlib.import_module(module_of(arguments[0] if is_subcommand else "ledger"))
    if is_subcommand:
        arguments = arguments[1:]
    try:
        return int(command.run(arguments))
    except UsageError as error:
        command.refuse(arguments, error)
        return NOT_CHECKED
