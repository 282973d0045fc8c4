"""``nono-verify report``: a ledger as a page for people, which checks itself."""

from __future__ import annotations

import argparse
import os
import re
import time
from typing import TYPE_CHECKING

from attest import checkpoint
from attest.instant import format_instant
from attest.written_time import TIMES
from verify import render, whole_files
from verify.cli import ledger
from verify.cli.failures import not_checked
from verify.cli.parsing import Parser, beginning, end, require_span
from verify.cli.streams import NOT_CHECKED, complain, write
from verify.errors import NotCheckedError, UsageError
from verify.reader import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from verify.reader import LedgerFile
    from verify.report.page import Notes
    from verify.verdict import Verdict

_LIMIT = 10_000
_MAX_NOTE_BYTES = 4_096  # two signatures

_EPILOG = f"""\
Verifies a ledger as "nono-verify LEDGER" does, and writes what it found into one HTML file: the verdict and
what it rests on, the launches with all that is recorded about them, and the entries themselves. The page
needs no network and loads nothing. Opened in a browser it checks itself: it computes the hashes, the tree's
root, the head's signature and those of the launches from the entries that it carries, and says so when they
do not agree with the verdict. A ledger that does not hold gets a page as well, which says that.

What proves something is the ledger: who gets a page from somebody else compares its key, or asks for the
ledger and checks that.

a part of a ledger:
  The newest {_LIMIT:,}, unless --since, --until, --session or --limit say otherwise. A page with a part of a
  ledger says so, and has the proof that this part is in the tree under the signed head. So does one with a
  launch of very many entries, of which it has the first and the last ones. All of the ledger is verified in
  any case.

{TIMES}

FILE must not exist, unless --overwrite is given; it is written whole or not at all, for its owner alone.

exit codes:
  0  everything holds, under a pinned key; the page is written
  1  tampering or corruption; the page is written, and says so
  2  could not check, or the page cannot be written
  3  intact, but not what was required; the page is written, and says so

A ledger file that is called report is ./report.

examples:
  nono-verify report ledger.db -k ci.pub --html report.html
  nono-verify report ledger.db -k ci.pub --html june.html --since 2027-06-01T00:00:00Z
  nono-verify report ledger.db -k ci.pub --html last.html --limit 100
"""


def parser() -> Parser:
    """Return the parser of the arguments."""
    found = Parser(
        "nono-verify report",
        description="Write a verified ledger as a page that checks itself.",
        epilog=_EPILOG,
    )
    found.add_argument("ledger", metavar="LEDGER", help="the ledger file")
    found.add_argument(
        "--html", metavar="FILE", required=True, help="where the page is written; must not exist"
    )
    found.add_argument("--overwrite", action="store_true", help="put it in the place of what FILE is now")
    which = found.add_argument_group("which launches")
    which.add_argument("--since", metavar="TIME", type=beginning, help="those from this time on")
    which.add_argument(
        "--until", metavar="TIME", type=end, help="those before this time; of a date: to the end of that day"
    )
    which.add_argument(
        "--limit", metavar="N", type=_limit, default=_LIMIT, help=f"at most the N newest; default: {_LIMIT}"
    )
    ledger.add_demands(found)
    found.add_argument(
        "--checkpoint",
        metavar="FILE",
        action="append",
        default=[],
        help="a signed checkpoint that the ledger must continue; can be given more than once",
    )
    # What belongs to a verification by itself.
    found.set_defaults(save_checkpoint=None, attest=None, attest_out=None)
    return found


def run(arguments: list[str]) -> int:
    """Verify a ledger and write its page; return the exit code."""
    options = parser().parse_args(arguments)
    require_span(options.since, options.until)
    ledger.require_apart("--html", options.html, ledger.files_read(options, options.ledger), ())

    def report(verdict: Verdict, source: LedgerFile) -> None:
        page = _page(options, verdict, source)
        if source.changed():
            raise _changed(options)
        _write(options, page)

    verdict = ledger.judged(options, options.ledger, report)
    write(render.as_text(verdict))
    if verdict.exit != NOT_CHECKED:
        write(f"  page: {render.printable(options.html)}\n")
    return verdict.exit


def refuse(arguments: list[str], error: UsageError) -> None:
    """Say that the arguments cannot be understood."""
    del arguments  # there is one format
    complain(render.as_text(not_checked(error)))


def _page(options: argparse.Namespace, verdict: Verdict, source: LedgerFile) -> bytes:
    from verify.report.carried import carry  # noqa: PLC0415  # once there is something to carry
    from verify.report.choice import Bounds  # noqa: PLC0415  # likewise
    from verify.report.page import write_page  # noqa: PLC0415  # likewise

    size = checkpoint.MAX_SIZE if verdict.size is None else verdict.size  # else: all that is there

    def entries() -> Iterator[tuple[int, bytes]]:
        try:
            for index, body in source.entries(size):
                yield index, body if isinstance(body, bytes) else b""
        except DamagedError:
            if verdict.exit != 1:
                raise _changed(options) from None

    def blob(digest: bytes) -> tuple[bytes, bytes] | None:
        try:
            found = source.blob(digest)
        except DamagedError:
            return None  # which was reported
        if found is None or not isinstance(found[0], bytes) or not isinstance(found[1], bytes):
            return None
        return found[0], found[1]

    bounds = Bounds(
        limit=options.limit,
        since=_instant(options.since),
        until=_instant(options.until),
        session=options.session,
    )
    carried = carry(entries, blob, size, bounds)
    if verdict.exit != 1 and carried.root.hex() != verdict.root:
        raise _changed(options)
    return write_page(
        verdict,
        carried,
        bounds,
        _notes(verdict, source, carried.handovers),
        ledger=os.path.basename(options.ledger),
        made=format_instant(time.time_ns()),
    )


def _changed(options: argparse.Namespace) -> NotCheckedError:
    return NotCheckedError(f"{options.ledger} changed while it was read", code="input.changing")


def _notes(verdict: Verdict, source: LedgerFile, count: int) -> Notes:
    from verify.report.page import Notes  # noqa: PLC0415  # as the page itself

    try:
        rows = source.heads()
        handovers = tuple(_note(source.checkpoint(epoch.first)) for epoch in verdict.epochs[1 : count + 1])
    except DamagedError:
        return Notes(b"")
    return Notes(_note(rows[0][1] if len(rows) == 1 else b""), handovers)


def _note(data: object) -> bytes:
    """Return a note of a length that one of ours can have; what is longer was reported."""
    return data if isinstance(data, bytes) and len(data) <= _MAX_NOTE_BYTES else b""


def _write(options: argparse.Namespace, page: bytes) -> None:
    try:
        with whole_files.new(options.html, overwrite=options.overwrite) as file:
            file.write(page)
    except FileExistsError:
        raise NotCheckedError(
            f"{options.html} exists already", code="report.exists", hint="name another file, or --overwrite"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file can have such a name"
        raise NotCheckedError(f"cannot write {options.html}: {reason}", code="report.unwritable") from None


def _instant(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _limit(text: str) -> int:
    from verify.report.choice import MAX_LAUNCHES  # noqa: PLC0415  # for this flag alone

    if not re.fullmatch("[1-9][0-9]{0,5}", text) or int(text) > MAX_LAUNCHES:
        raise argparse.ArgumentTypeError(f"not a number of launches, from 1 to {MAX_LAUNCHES}: {text!r}")
    return int(text)
