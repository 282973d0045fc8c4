"""``nono audit``: what was launched, from a ledger.

Launches are found through the index and shown from the ledger. Whether the ledger holds is not judged
here: that is what ``nono-verify`` is for, a program of its own that trusts nothing of this one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from attest.errors import NonoError
from runtime.cli import audit_evidence, audit_export, audit_list, audit_send, audit_stats, audit_tail
from runtime.cli.audit_document import (
    SCHEMAS,
    launch_document,
    ledger_document,
    warn,
    write_document,
)
from runtime.cli.chosen_launch import chosen_launch
from runtime.cli.chosen_ledger import add_index_argument, add_ledger_argument, chosen_index, chosen_ledger
from runtime.cli.painting import add_pager_argument, draws, is_terminal, write_pages
from runtime.cli.published_schemas import add_schema_command
from runtime.cli.subcommand import add_command
from runtime.cli.terminal import Progress, number, write_lines
from runtime.kernel.path_names import from_here, shown
from store.reading import LedgerReader

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from runtime.cli import Parser

EPILOG = """\
examples:
  nono audit list                      the newest launches
  nono audit list --denied --since 3d  those that were refused in the last three days
  nono audit tail -f                   entries as they come
  nono audit show last                 all that is recorded about the newest one
  nono audit show 0192f3a4             … about the one whose session id begins so
  nono audit stats --since 1w          what a week's launches came to
  nono audit evidence last -o x.jsonl  one launch, for somebody who does not get the ledger
  nono audit export --to csv           what is recorded, verified, for a spreadsheet
  nono audit snapshot evidence.db      all of the ledger in one file, while launches go on

What these commands show is what the ledger says. Whether it holds: nono-verify LEDGER
"""

_SHOW_EPILOG = """\
SESSION is a session id, the beginning of one (4 digits or more), or "last".

On a terminal grants are a tree, and a long text comes page by page (PAGER, or less).

--json writes one object, whose form nono audit schema show prints: each entry exactly as it is recorded,
"fault" says why one is not of its schema, and a blob is null when it is withheld.

examples:
  nono audit show last
  nono audit show 0192f3a4 --ledger ci.db --json
"""

_SCHEMA_EPILOG = """\
JSON Schemas (draft 2020-12), for programs that read what nono audit list, show, stats and tail write with
--json.

example:
  nono audit schema list
"""

_SNAPSHOT_EPILOG = """\
The snapshot is a whole ledger, which nono-verify checks like any other. It may be made while launches
write; it must not exist before.

example:
  nono audit snapshot evidence.db && nono-verify evidence.db -k ci.pub
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``nono audit`` and their flags."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    listing = _command(
        commands, "list", "list launches, newest first", audit_list.EPILOG, audit_list.run, search=True
    )
    audit_list.add_arguments(listing)

    showing = _command(
        commands, "show", "show all that is recorded about a launch", _SHOW_EPILOG, _show, search=True
    )
    showing.add_argument("session", metavar="SESSION", help="a session id, the beginning of one, or last")
    showing.add_argument("--json", action="store_true", help="write one JSON object")
    add_pager_argument(showing)

    counting = _command(
        commands,
        "stats",
        "count launches, and draw when they were",
        audit_stats.EPILOG,
        audit_stats.run,
        search=True,
    )
    audit_stats.add_arguments(counting)

    add_schema_command(commands, {name: f"audit-{name}" for name in (*SCHEMAS, "tail")}, _SCHEMA_EPILOG)

    proving = _command(
        commands,
        "evidence",
        "write one launch into a file that can be checked without the ledger",
        audit_evidence.EPILOG,
        audit_evidence.run,
        search=True,
    )
    audit_evidence.add_arguments(proving)

    tailing = _command(
        commands, "tail", "print the newest entries, and new ones", audit_tail.EPILOG, audit_tail.run
    )
    audit_tail.add_arguments(tailing)

    exporting = _command(
        commands,
        "export",
        "write what is recorded in a form that other tools read, once it is verified",
        "",
        audit_export.run,
    )
    exporting.later = audit_export.complete

    sending = _command(
        commands,
        "send",
        "send what is recorded to an OpenTelemetry collector, once it is verified",
        "",
        audit_send.run,
    )
    sending.later = audit_send.complete

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
    *,
    search: bool = False,
) -> Parser:
    parser = add_command(commands, name, summary, epilog, act)
    add_ledger_argument(parser)
    if search:
        add_index_argument(parser)
    return parser


# --- show -----------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace) -> int:
    from runtime.cli import launch_text  # noqa: PLC0415  # imports the index
    from store.index import reread  # noqa: PLC0415  # SQLAlchemy, for whoever needs it

    path = chosen_ledger(arguments.ledger)
    with chosen_index(arguments.index) as index, Progress("indexing") as progress:
        ledger = index.catch_up(path, progress)
        recorded = reread(ledger.path, chosen_launch(index, ledger, arguments.session))
    if arguments.json:
        write_document(
            {
                "schema": SCHEMAS["show"],
                "ledger": ledger_document(ledger),
                "launch": launch_document(ledger, recorded.launch),
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
        # A tree, and how long ago, for people; what goes into a pipe stays one fact a line.
        people = is_terminal()
        lines = launch_text.show(recorded, ledger.path, tree=people and draws(), relative=people)
        write_pages(lines, {}, pager=not arguments.no_pager)
    warn(ledger)
    return 0


# --- snapshot -------------------------------------------------------------------------------------


def _snapshot(arguments: argparse.Namespace) -> int:
    path = chosen_ledger(arguments.ledger)
    if not arguments.file:
        raise NonoError("a snapshot needs a file to be written to", code="usage.invalid")
    target = from_here(os.fsencode(arguments.file))
    with LedgerReader(path) as reader:
        reader.snapshot(target)
    with LedgerReader(target) as copy:
        size = copy.head().size
    write_lines(
        [
            f"{number(size, 'entry', 'entries')} of {shown(path)}",
            f"check it with: nono-verify {shown(target)}",
        ],
    )
    return 0
