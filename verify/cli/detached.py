"""What the commands share that check a part of a ledger without it: formats, and what ends with 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify import detached_verdict
from verify.cli.failures import unexpected
from verify.cli.parsing import asked_format
from verify.cli.streams import complain, write
from verify.errors import NotCheckedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from attest.errors import NonoError
    from verify.detached_verdict import DetachedVerdict

_FORMATS = ("text", "json")


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add ``--format``."""
    parser.add_argument("--format", choices=_FORMATS, default="text", help="how the verdict is written")


def conclude(
    check: Callable[[], DetachedVerdict], name: str, not_checked: Callable[[NonoError], DetachedVerdict]
) -> int:
    """Check, write the verdict, and return the exit code.

    Args:
        check: returns the verdict, or raises why there is none.
        name: the format.
        not_checked: makes the verdict that says why.
    """
    try:
        verdict = check()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # a panic in Rust is no Exception, and must not end with 1
        verdict = not_checked(error if isinstance(error, NotCheckedError) else unexpected(error))
    write(_as_format(name, verdict))
    return verdict.exit


def refuse_usage(arguments: list[str], verdict: DetachedVerdict) -> None:
    """Say that the arguments cannot be understood, in the format that they ask for."""
    if asked_format(arguments, _FORMATS) == "json":
        write(_as_format("json", verdict))
    else:
        complain(_as_format("text", verdict))


def _as_format(name: str, verdict: DetachedVerdict) -> str:
    return detached_verdict.as_json(verdict) if name == "json" else detached_verdict.as_text(verdict)
