"""``nono audit tail``: the ledger's newest entries, and those that come.

It reads the ledger itself, without the index, and looks for a new head now and then: no writer waits for
it, and nothing of what it shows is older than the ledger.
"""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TYPE_CHECKING

from attest import tree
from attest.errors import NonoError
from attest.printable_text import printable
from runtime.cli.audit_document import write_document
from runtime.cli.chosen_ledger import chosen_ledger
from runtime.cli.terminal import write_lines
from runtime.kernel.path_names import shown
from store.errors import LedgerError

if TYPE_CHECKING:
    import argparse

    from attest.entry import Entry
    from store.index.bodies import LedgerBodies

EPILOG = """\
A line has the entry's time, the beginning of its session id, its kind and what it says.

-f ends when it is interrupted, when nobody reads on, and with an error when the ledger is replaced by
another or becomes shorter.

--json writes one object a line: {"index", "leaf_sha256", "fault", "entry"}; "entry" is exactly what is
recorded, or null if it cannot be read, and "fault" says why it is not of its schema. nono audit schema tail
prints the form.

examples:
  nono audit tail -n 20
  nono audit tail -f
  nono audit tail -f --json | jq 'select(.entry.data.not_started) | .entry.session'
"""

_POLL_SECONDS = 0.25
_ENTRIES = 10
_MOST_ENTRIES = 1_000_000
_AT_ONCE = 500
_SESSION_SHOWN = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``nono audit tail``."""
    parser.add_argument("-f", "--follow", action="store_true", help="go on with entries as they come")
    parser.add_argument(
        "-n",
        "--entries",
        type=int,
        default=_ENTRIES,
        metavar="N",
        help=f"begin with the N newest (default: {_ENTRIES})",
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Print entries and return the exit code.

    Raises:
        NonoError: a value cannot be meant, or the ledger cannot be read (on).
    """
    from store.index.bodies import LedgerBodies  # noqa: PLC0415  # SQLAlchemy, for whoever needs it

    if not 0 <= arguments.entries <= _MOST_ENTRIES:
        raise NonoError(
            "--entries is a number of entries", code="usage.invalid", hint=f"0 to {_MOST_ENTRIES:,}"
        )
    path = chosen_ledger(arguments.ledger)
    with LedgerBodies(path) as reader:
        file = _identity(path)
        size = reader.head().size
        position = max(0, size - arguments.entries)
        while True:
            position = _print(reader, position, size, as_json=arguments.json)
            if not arguments.follow or not _wait():
                return 0
            size = reader.head().size
            if size < position or _identity(path) != file:
                raise LedgerError(
                    f"{shown(path)} is not the ledger that it was: replaced, removed or cut",
                    code="ledger.replaced",
                    hint=f"nono-verify {shown(path)}",
                )


def _identity(path: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _print(reader: LedgerBodies, start: int, end: int, *, as_json: bool) -> int:
    """Print the entries up to ``end`` and return where the next ones begin."""
    for position in range(start, end, _AT_ONCE):
        upper = min(position + _AT_ONCE, end)
        for index, body in list(reader.bodies(position, upper)):
            entry, fault = _read(body)
            if as_json:
                leaf = None if body is None else tree.hash_leaf(body).hex()
                document = None if entry is None else entry.document()
                write_document({"index": index, "leaf_sha256": leaf, "fault": fault, "entry": document})
            else:
                write_lines([_line(reader, index, entry, fault)])
    return end


def _read(body: bytes | None) -> tuple[Entry | None, str | None]:
    from store.index.glances import parsed  # noqa: PLC0415  # likewise
    from store.index.rereading import fault_of  # noqa: PLC0415  # likewise

    entry = parsed(body)
    if entry is None or body is None:
        return None, "cannot be read"
    return entry, fault_of(entry, body)


def _line(reader: LedgerBodies, index: int, entry: Entry | None, fault: str | None) -> str:
    from runtime.cli import launch_text  # noqa: PLC0415  # imports the index

    if entry is None or fault is not None:
        return f"entry {index}: {fault}"
    session = "-" if entry.session is None else entry.session[:_SESSION_SHOWN]
    said = launch_text.event(entry, reader.resolved)
    return printable(
        f"{entry.time[:23].replace('T', ' ')}  {session:<{_SESSION_SHOWN}}  {entry.kind:<18}  {said}"
    )


def _wait() -> bool:
    """Wait until it is time to look again; return whether anybody still reads what is written."""
    if sys.stdout is None:
        time.sleep(_POLL_SECONDS)
        return True
    poll = select.poll()
    poll.register(1, 0)  # POLLERR and POLLHUP are always told
    return not any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(_POLL_SECONDS * 1e3))
