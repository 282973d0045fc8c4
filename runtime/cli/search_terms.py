"""What ``nono audit list`` is asked for, from words to the index's criteria.

Times are UTC. A wrong value is refused by the name of its flag, with a hint that shows a right one.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from attest import canonical
from attest.errors import MalformedError, NonoError
from attest.printable_text import printable
from attest.written_time import parse_time
from runtime.cli.terminal import shorten
from runtime.kernel.path_names import from_here

if TYPE_CHECKING:
    import argparse

    from store.index import Criteria

MIN_DIGITS = 4
"""Digits of a session id or a hash that are enough to search by."""

_SESSION_DIGITS = 32
_SHA256_DIGITS = 64
_HEX = frozenset("0123456789abcdef")
_MAX_EXIT = 255
_MAX_TERM = 4_096
_SHOWN = 100

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which launches are meant."""
    group = parser.add_argument_group("which launches (all that is named must hold)")
    group.add_argument("--since", metavar="TIME", help="not before this")
    group.add_argument("--until", metavar="TIME", help="before this; of a date: to the end of that day")
    group.add_argument("--today", action="store_true", help="since midnight, UTC")
    group.add_argument(
        "--command", metavar="TEXT", help="whose command, as it is shown, contains TEXT (in this very case)"
    )
    group.add_argument(
        "--path",
        metavar="PATH",
        help="with a grant (of the user or a profile) or an output that is PATH or lies beneath it",
    )
    group.add_argument(
        "--exe", metavar="FILE", help="that ran this executable: a path, or without a slash its name alone"
    )
    group.add_argument(
        "--exe-sha256", metavar="HEX", help="that ran an executable whose SHA-256 is, or begins with, HEX"
    )
    group.add_argument("--session", metavar="ID", help="whose session id is, or begins with, ID")
    group.add_argument(
        "--label", metavar="NAME[=VALUE]", action="append", default=[], help="with this label; repeatable"
    )
    group.add_argument("--exit", metavar="CODE", help="that ended with this exit code")
    group.add_argument(
        "--denied",
        action="store_true",
        help="that were refused and not started, or have recorded refusals (the kernel's where it says them)",
    )
    group.add_argument(
        "--lost", action="store_true", help="whose supervisor is gone before they ended (lost, unfinished)"
    )


def criteria(arguments: argparse.Namespace) -> Criteria:
    """Return what the flags ask for.

    Raises:
        NonoError: a value cannot be meant (``usage.invalid``).
    """
    from store.index import Criteria  # noqa: PLC0415  # SQLAlchemy, for whoever needs it

    since, until = _span(arguments)
    return Criteria(
        since=since,
        until=until,
        session=_digits("--session", arguments.session, _SESSION_DIGITS),
        command=_term("--command", arguments.command),
        path=_path(arguments.path),
        executable=_executable(arguments.exe),
        executable_sha256=_digits("--exe-sha256", arguments.exe_sha256, _SHA256_DIGITS),
        labels=tuple(_label(label) for label in arguments.label),
        exit=_exit(arguments.exit),
        denied=arguments.denied,
        lost=arguments.lost,
    )


def moment(flag: str, text: str, now: datetime, *, end: bool = False) -> int:
    """Return the time that ``text`` means, in microseconds of Unix time.

    Args:
        flag: whose value it is.
        text: an instant, a date or an age.
        now: what an age is counted from.
        end: whether a date means the end of its day.

    Raises:
        NonoError: it is none of them.
    """
    try:
        found = parse_time(text, now, end=end)
    except MalformedError as error:
        raise _wrong(flag, text, str(error)) from None
    return (found - _EPOCH) // timedelta(microseconds=1)


def _span(arguments: argparse.Namespace) -> tuple[int | None, int | None]:
    now = datetime.fromtimestamp(time.time(), UTC)
    if arguments.today:
        if arguments.since is not None or arguments.until is not None:
            raise NonoError(
                "--today is a span of its own", code="usage.invalid", hint="leave out --since and --until"
            )
        return moment("--today", now.date().isoformat(), now), None
    since = None if arguments.since is None else moment("--since", arguments.since, now)
    until = None if arguments.until is None else moment("--until", arguments.until, now, end=True)
    if since is not None and until is not None and since >= until:
        raise NonoError(
            "no time lies between --since and --until",
            code="usage.invalid",
            hint="--since is the earlier one",
        )
    return since, until


def _term(flag: str, text: str | None) -> str | None:
    if text is None:
        return None
    if not text or len(text) > _MAX_TERM:
        raise _wrong(flag, text, f"1 to {_MAX_TERM:,} characters")
    return _searchable(os.fsencode(text))


def _path(text: str | None) -> str | None:
    return None if _term("--path", text) is None else _searchable(from_here(os.fsencode(text or "")))


def _executable(text: str | None) -> str | None:
    found = _term("--exe", text)
    if found is None or "/" not in found:
        return found
    return _searchable(from_here(os.fsencode(text or "")))


def _searchable(name: bytes) -> str:
    """Return bytes in the form in which the index has them."""
    from store.index import wording  # noqa: PLC0415  # imports the index

    return wording.text(canonical.text(name))


def _digits(flag: str, text: str | None, longest: int) -> str | None:
    if text is None:
        return None
    digits = text.lower()
    if not MIN_DIGITS <= len(digits) <= longest or not _HEX.issuperset(digits):
        raise _wrong(flag, text, f"{MIN_DIGITS} to {longest} hex digits")
    return digits


def _label(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if not name or len(text) > _MAX_TERM:
        raise _wrong("--label", text, "--label NAME or --label NAME=VALUE")
    return _searchable(os.fsencode(name)), _searchable(os.fsencode(value)) if equals else None


def _exit(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 3 or int(text) > _MAX_EXIT:
        raise _wrong("--exit", text, f"an exit code, 0 to {_MAX_EXIT}")
    return int(text)


def _wrong(flag: str, text: str, hint: str) -> NonoError:
    return NonoError(
        f"{flag} cannot be {printable(shorten(text, _SHOWN)) or 'empty'}", code="usage.invalid", hint=hint
    )
