"""``nono audit``: what was launched, from a ledger.

Launches are found through the index and shown from the ledger. Whether the ledger holds is not judged
here: that is what ``nono-verify`` is for, a program of its own that trusts nothing of this one.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from attest import canonical
from attest.errors import NonoError
from runtime.cli import complain
from runtime.cli.chosen_launch import chosen_launch
from runtime.cli.chosen_ledger import add_ledger_argument, chosen_ledger
from runtime.cli.terminal import columns, write_lines
from runtime.path_names import shown
from store.reading import LedgerReader

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from store.index import IndexedState, LaunchRecord

EPILOG = """\
examples:
  nono audit list                      the newest launches
  nono audit show last                 all that is recorded about the newest one
  nono audit show 0192f3a4             … about the one whose session id begins so
  nono audit snapshot evidence.db      one file to hand over, while launches go on

What these commands show is what the ledger says. Whether it holds: nono-verify LEDGER
"""

_LIST_EPILOG = """\
states: complete, running, unfinished (it never closed, and is not known to run), lost (found dead later)

--json writes {"ledger": {"path", "origin", "size", "root", "consistent", "skipped"}, "launches": […]},
newest first; a launch has "session", "state", "time", "command" (quoted for a shell), "program",
"executable", "executable_sha256", one of "exit", "signal", "not_started", "duration_us", "labels",
"entries", "decisions", "denied", and the index of its "intent", "start", "outcome", "attestation" and
"lost" entries, or null. A path that is not UTF-8 is {"base64": …}.

examples:
  nono audit list --limit 5
  nono audit list --ledger ci.db --json | jq '.launches[] | select(.exit != 0)'
"""

_SHOW_EPILOG = """\
SESSION is a session id, the beginning of one (4 digits or more), or "last".

--json writes {"ledger": …, "launch": … (both as list has them), "entries": [{"index", "leaf_sha256",
"fault", "entry"}], "blobs": {SHA-256: value}}: each entry exactly as it is recorded, "fault" says why one
is not of its schema, and a blob is null when it is withheld.

examples:
  nono audit show last
  nono audit show 0192f3a4 --ledger ci.db --json
"""

_SNAPSHOT_EPILOG = """\
The snapshot is a whole ledger, which nono-verify checks like any other. It may be made while launches
write; it must not exist before.

example:
  nono audit snapshot evidence.db && nono-verify evidence.db -k ci.pub
"""

_SESSION_SHOWN = 16
"""Digits of a session id in a list: its millisecond, and twelve random bits."""
_MOST_LISTED = 2**53 - 1  # entries that a ledger can have
_NARROWEST_COMMAND = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``nono audit`` and their flags."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    listing = _command(commands, "list", "list launches, newest first", _LIST_EPILOG, _list)
    listing.add_argument(
        "--limit", type=int, default=50, metavar="N", help="at most this many (default: 50; 0: all)"
    )
    listing.add_argument("--json", action="store_true", help="write one JSON object")

    showing = _command(commands, "show", "show all that is recorded about a launch", _SHOW_EPILOG, _show)
    showing.add_argument("session", metavar="SESSION", help="a session id, the beginning of one, or last")
    showing.add_argument("--json", action="store_true", help="write one JSON object")

    snapshot = _command(commands, "snapshot", "copy the ledger into one file", _SNAPSHOT_EPILOG, _snapshot)
    snapshot.add_argument("file", metavar="FILE", help="where to write it; must not exist")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked and return the exit code.

    Raises:
        NonoError: the ledger or the index cannot be used, or there is no such launch.
    """
    status: int = arguments.act(arguments)
    return status


def _command(
    commands: Any,  # argparse does not name the type of what add_subparsers returns
    name: str,
    summary: str,
    epilog: str,
    act: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=f"{summary.capitalize()}.", epilog=epilog
    )
    add_ledger_argument(parser)
    parser.set_defaults(act=act)
    return parser


# --- list -----------------------------------------------------------------------------------------


def _list(arguments: argparse.Namespace) -> int:
    from store.index import SearchIndex  # noqa: PLC0415  # SQLAlchemy, for whoever needs it

    if not 0 <= arguments.limit <= _MOST_LISTED:
        raise NonoError("--limit is a number of launches", code="usage.invalid", hint="--limit 0 lists all")
    path = chosen_ledger(arguments.ledger)
    with SearchIndex() as index:
        ledger = index.catch_up(path)
        launches = index.launches(ledger, limit=arguments.limit or None)
        total = index.count(ledger)
    if arguments.json:
        _write_json({"ledger": _ledger_document(ledger), "launches": [asdict(item) for item in launches]})
    elif launches:
        write_lines(_table(launches))
        if total > len(launches):
            complain(f"older launches that are not listed: {total - len(launches)}", f"--limit {total}")
    else:
        complain(f"no launches in {shown(ledger.path)}")
    _warn(ledger)
    return 0


def _table(launches: list[LaunchRecord]) -> list[str]:
    from runtime.cli import launch_text  # noqa: PLC0415  # imports the index

    rows = [
        (
            launch.session[:_SESSION_SHOWN],
            launch.time[:19].replace("T", " "),
            launch.state,
            launch_text.result(launch) or "-",
            "-" if launch.duration_us is None else launch_text.duration(launch.duration_us),
            launch.command or "-",
        )
        for launch in launches
    ]
    return _fitting(columns([("SESSION", "TIME (UTC)", "STATE", "RESULT", "DURATION", "COMMAND"), *rows]))


def _fitting(lines: list[str]) -> list[str]:
    """Cut lines to the width of the terminal; into a pipe or a file goes all of them."""
    if sys.stdout is None or not sys.stdout.isatty():
        return lines
    start = lines[0].index("COMMAND")
    width = max(shutil.get_terminal_size().columns, start + _NARROWEST_COMMAND)
    return [line if len(line) <= width else line[: width - 1] + "\N{HORIZONTAL ELLIPSIS}" for line in lines]


# --- show -----------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace) -> int:
    from runtime.cli import launch_text  # noqa: PLC0415  # imports the index
    from store.index import SearchIndex, reread  # noqa: PLC0415  # SQLAlchemy, for whoever needs it

    path = chosen_ledger(arguments.ledger)
    with SearchIndex() as index:
        ledger = index.catch_up(path)
        recorded = reread(ledger.path, chosen_launch(index, ledger, arguments.session))
    if arguments.json:
        _write_json(
            {
                "ledger": _ledger_document(ledger),
                "launch": asdict(recorded.launch),
                "entries": [
                    {
                        "index": item.index,
                        "leaf_sha256": item.leaf.hex(),
                        "fault": item.fault,
                        "entry": item.entry.document(),
                    }
                    for item in recorded.entries
                ],
                "blobs": recorded.blobs,
            }
        )
    else:
        write_lines(launch_text.show(recorded, ledger.path))
    _warn(ledger)
    return 0


# --- snapshot -------------------------------------------------------------------------------------


def _snapshot(arguments: argparse.Namespace) -> int:
    path = chosen_ledger(arguments.ledger)
    if not arguments.file:
        raise NonoError("a snapshot needs a file to be written to", code="usage.invalid")
    target = os.path.abspath(os.fsencode(arguments.file))
    with LedgerReader(path) as reader:
        reader.snapshot(target)
    with LedgerReader(target) as copy:
        size = copy.head().size
    write_lines(
        [f"{size} entries of {shown(path)}", f"check it with: nono-verify {shown(target)}"],
    )
    return 0


# --- both -----------------------------------------------------------------------------------------


def _ledger_document(ledger: IndexedState) -> dict[str, Any]:
    return {
        "path": canonical.text(ledger.path),
        "origin": ledger.origin,
        "size": ledger.size,
        "root": ledger.root.hex(),
        "consistent": ledger.consistent,
        "skipped": ledger.skipped,
    }


def _write_json(document: dict[str, Any]) -> None:
    # ASCII, so that nothing in it is a control character, whatever a ledger says.
    write_lines([json.dumps(document, ensure_ascii=True, sort_keys=True)])


def _warn(ledger: IndexedState) -> None:
    check = f"nono-verify {shown(ledger.path)}"
    if not ledger.consistent:
        complain("the ledger's entries do not lead to its own head: it was changed or damaged", check)
    if ledger.skipped:
        complain(f"{ledger.skipped} entries cannot be read and are not listed", check)
