"""``nono audit list``: launches, newest first, of one ledger or of all."""

from __future__ import annotations

import heapq
import shutil
import sys
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from attest.errors import NonoError
from attest.written_time import TIMES
from runtime.cli import complain
from runtime.cli.ago import ago
from runtime.cli.audit_document import SCHEMAS, launch_document, ledger_document, warn, write_document
from runtime.cli.audit_stats import succeeded
from runtime.cli.chosen_ledger import all_ledgers, chosen_index, chosen_ledger
from runtime.cli.painting import BAD, HEADING, OPEN, add_pager_argument, is_terminal, write_pages
from runtime.cli.search_terms import add_search_arguments, criteria
from runtime.cli.terminal import Progress, columns
from runtime.kernel.path_names import shown
from store.errors import LedgerError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from store.index import Criteria, IndexedState, LaunchRecord, SearchIndex

EPILOG = f"""\
{TIMES}

states: complete, running, unfinished (it never closed, and is not known to run), lost (found dead later)

On a terminal failures are red and what has no end yet is yellow (not with NO_COLOR), times are how long ago
(--utc: as they are recorded), and a long list comes page by page (PAGER, or less).

--json writes one object, whose form nono audit schema list prints: "ledger" (with --all "ledgers") and
"launches", newest first.

"decisions" and "denied" count the decisions that are recorded. Of what the kernel refuses a command that runs
a sample is, where its audit log is on and nono may read it; elsewhere --denied finds what nono refused.

What is searched is an index, not evidence: nono audit show reads a launch from its ledger. Of a command the
first 4,096 characters are searched, and grants that every launch gets by default are not. With an index that
hosts share (--index postgresql+psycopg://…, or NONO_INDEX; keep its password in ~/.pgpass), --all lists
the other hosts' launches too, as far as those hosts have caught up.

examples:
  nono audit list --recent 5
  nono audit list --since 2h --exit 1
  nono audit list --all --denied --since 2026-01-01 --until 2026-01-31
  nono audit list --path ~/project --label run=7 --command 'git push'
  nono audit list --ledger ci.db --json | jq '.launches[] | select(.exit != 0)'
"""

_SESSION_SHOWN = 16
"""Digits of a session id in a list: its millisecond, and twelve random bits."""
_ORIGIN_SHOWN = 8
"""Digits of the id in a ledger's origin."""
_MOST_LISTED = 2**53 - 1  # entries that a ledger can have
_NARROWEST_COMMAND = 20

_Found = tuple["IndexedState", "LaunchRecord"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``nono audit list``."""
    parser.add_argument(
        "--all",
        action="store_true",
        help="of every ledger in nono's state directory, and of other hosts that share the index",
    )
    parser.add_argument(
        "--recent",
        "--limit",
        dest="limit",
        type=int,
        default=50,
        metavar="N",
        help="at most the N newest (default: 50; 0: all)",
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object")
    parser.add_argument(
        "--utc", action="store_true", help="instants on a terminal too, where it is how long ago otherwise"
    )
    add_pager_argument(parser)
    add_search_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """List launches and return the exit code: 1 if a ledger of several could not be read.

    Raises:
        NonoError: a value cannot be meant, or a ledger or the index cannot be used.
    """
    if not 0 <= arguments.limit <= _MOST_LISTED:
        raise NonoError("--recent is a number of launches", code="usage.invalid", hint="--recent 0 lists all")
    if arguments.all and arguments.ledger is not None:
        raise NonoError(
            "--all and --ledger name different ledgers", code="usage.invalid", hint="leave out one"
        )
    wanted = criteria(arguments)
    limit = arguments.limit or None
    status = 0
    with chosen_index(arguments.index) as index, Progress("indexing") as progress:
        if arguments.all:
            ledgers, status = _every_ledger(index, progress)
        else:
            ledgers = [index.catch_up(chosen_ledger(arguments.ledger), progress)]
        # One more than is listed tells whether there are more.
        found = list(islice(_newest(index, ledgers, wanted, limit), None if limit is None else limit + 1))
    _write(arguments, ledgers, found[:limit], wanted)
    if not arguments.json and limit is not None and len(found) > limit:
        complain("older launches are not listed", f"--recent {limit * 10} lists more, --recent 0 all")
    for ledger in ledgers:
        warn(ledger)
    return status


def _every_ledger(index: SearchIndex, progress: Progress) -> tuple[list[IndexedState], int]:
    """Return what is known of all ledgers, and the exit code: one that is damaged hides no other."""
    ledgers: list[IndexedState] = []
    status = 0
    for path in all_ledgers():
        try:
            ledgers.append(index.catch_up(path, progress))
        except LedgerError as error:
            complain(str(error), error.hint)
            status = 1
    ledgers += index.elsewhere()
    if not ledgers and status == 0:
        raise LedgerError("no ledger yet", code="ledger.none", hint="launch something with nono run")
    return ledgers, status


def _newest(
    index: SearchIndex, ledgers: Iterable[IndexedState], wanted: Criteria, limit: int | None
) -> Iterator[_Found]:
    one_more = None if limit is None else limit + 1
    each = [
        [(ledger, launch) for launch in index.launches(ledger, wanted, limit=one_more)] for ledger in ledgers
    ]
    return heapq.merge(*each, key=lambda found: found[1].time, reverse=True)


def _write(
    arguments: argparse.Namespace, ledgers: list[IndexedState], found: list[_Found], wanted: Criteria
) -> None:
    if arguments.json:
        described = [ledger_document(ledger) for ledger in ledgers]
        launches = [launch_document(ledger, launch) for ledger, launch in found]
        head = {"ledgers": described} if arguments.all else {"ledger": described[0]}
        write_document({"schema": SCHEMAS["list"], **head, "launches": launches})
    elif found:
        kinds = {0: HEADING}
        for at, (_, launch) in enumerate(found, 1):
            if launch.state in {"running", "unfinished"}:
                kinds[at] = OPEN
            elif not succeeded(launch):
                kinds[at] = BAD
        lines = _table(found, several=arguments.all, relative=is_terminal() and not arguments.utc)
        write_pages(lines, kinds, pager=not arguments.no_pager)
    else:
        what = "no launches" if wanted == type(wanted)() else "no such launches"
        complain(f"{what} in {shown(ledgers[0].path) if len(ledgers) == 1 else f'{len(ledgers)} ledgers'}")


def _table(found: list[_Found], *, several: bool, relative: bool) -> list[str]:
    from runtime.cli import launch_text  # noqa: PLC0415  # imports the index

    headings = ("SESSION", "WHEN" if relative else "TIME (UTC)", "STATE", "RESULT", "DURATION", "COMMAND")
    now = datetime.now(UTC)
    rows: list[tuple[str, ...]] = [("LEDGER", *headings) if several else headings]
    for ledger, launch in found:
        row = (
            launch.session[:_SESSION_SHOWN],
            ago(launch.time, now) if relative else launch.time[:19].replace("T", " "),
            launch.state,
            launch_text.result(launch) or "-",
            "-" if launch.duration_us is None else launch_text.duration(launch.duration_us),
            launch.command or "-",
        )
        rows.append((_short_origin(ledger.origin), *row) if several else row)
    return _fitting(columns(rows))


def _short_origin(origin: str) -> str:
    name, _, identifier = origin.rpartition("/")
    return f"{name}/{identifier[:_ORIGIN_SHOWN]}"


def _fitting(lines: list[str]) -> list[str]:
    """Cut lines to the width of the terminal; into a pipe or a file goes all of them."""
    if sys.stdout is None or not sys.stdout.isatty():
        return lines
    start = lines[0].index("COMMAND")
    width = max(shutil.get_terminal_size().columns, start + _NARROWEST_COMMAND)
    return [line if len(line) <= width else line[: width - 1] + "\N{HORIZONTAL ELLIPSIS}" for line in lines]
