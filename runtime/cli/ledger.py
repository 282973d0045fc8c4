"""``nono ledger``: where the ledger is, and what it says of itself."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from attest import canonical, ledger_format
from attest import entry as entries
from attest.errors import NonoError
from attest.keys import PublicKey
from runtime.cli import ledger_keeping, ledger_proving
from runtime.cli.audit_document import write_document
from runtime.cli.chosen_ledger import add_ledger_argument, chosen_index, chosen_ledger
from runtime.cli.published_schemas import add_schema_command
from runtime.cli.terminal import columns, number, write_bytes, write_lines
from runtime.kernel.path_names import shown
from store import locations, rolling
from store.errors import LedgerError
from store.head_memory import HeadMemory, RememberedHead

if TYPE_CHECKING:
    import argparse

    from attest.canonical import Json
    from attest.entry import Entry
    from store.index import IndexedState

EPILOG = """\
examples:
  nono ledger path                     for scripts: nono-verify "$(nono ledger path)"
  nono ledger info                     its size, key and age
  nono ledger info --ledger ci.db --json
  nono ledger prove last               that a launch is in it, for those who do not get it
  nono ledger list                     all in the state directory
  nono ledger roll                     seal this one, begin the next

What these commands show is what the ledger says. Whether it holds: nono-verify LEDGER
"""

_INFO_EPILOG = """\
memory: what this host remembers of the heads that it signed
  same       the last head that was signed here is the ledger's
  lags       the ledger is longer than what is remembered (that is safe)
  ahead      more entries were signed here than the ledger has: an older copy was put back
  different  as many entries were signed here, but others
  none       nothing is remembered: the ledger comes from elsewhere, or the memory was removed

--json writes one object, whose form nono ledger schema info prints.

examples:
  nono ledger info
  nono ledger info --ledger ci.db --json | jq -r .origin
"""

_SCHEMA_EPILOG = """\
JSON Schemas (draft 2020-12), for programs that read what nono ledger info and list write with --json.

example:
  nono ledger schema info
"""
_SCHEMAS = {name: f"ledger-{name}" for name in ("info", "list")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``nono ledger`` and their flags."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    path = commands.add_parser(
        "path",
        help="print the ledger's path",
        description="Print the ledger's path, as it is, and a newline.",
        epilog='example:\n  nono-verify "$(nono ledger path)"\n',
    )
    add_ledger_argument(path)
    path.set_defaults(act=_path)
    info = commands.add_parser(
        "info",
        help="print what the ledger says of itself",
        description="Print what the ledger says of itself.",
        epilog=_INFO_EPILOG,
    )
    add_ledger_argument(info)
    info.add_argument("--json", action="store_true", help="write one JSON object")
    info.set_defaults(act=_info)
    ledger_proving.add_prove(commands)
    ledger_keeping.add_init(commands)
    ledger_keeping.add_list(commands)
    ledger_keeping.add_roll(commands)
    add_schema_command(commands, _SCHEMAS, _SCHEMA_EPILOG)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked and return the exit code.

    Raises:
        NonoError: there is no such ledger, or it or the index cannot be used.
    """
    status: int = arguments.act(arguments)
    return status


def _path(arguments: argparse.Namespace) -> int:
    path = chosen_ledger(arguments.ledger)
    if not os.path.isfile(path):
        raise LedgerError(f"no ledger at {shown(path)}", code="ledger.missing")
    # For scripts: the very bytes, not a form of them for people.
    write_bytes(path)
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from store.index.bodies import LedgerBodies  # noqa: PLC0415  # likewise

    path = chosen_ledger(arguments.ledger)
    with chosen_index() as index:
        ledger = index.catch_up(path)
        launches = index.count(ledger)
    with LedgerBodies(ledger.path) as reader:
        first, last = reader.entry_at(0), reader.entry_at(ledger.size - 1)
        key = _key(reader.entry_at(ledger.key_entry))
    memory, remembered = _memory(ledger)
    document: dict[str, Any] = {
        "path": canonical.text(ledger.path),
        "origin": ledger.origin,
        "format": ledger_format.FORMAT_VERSION,
        "size": ledger.size,
        "root": ledger.root.hex(),
        "key": key,
        "launches": launches,
        "first": first.time,
        "last": last.time,
        "bytes": _bytes_on_disk(ledger.path),
        "memory": {"state": memory, "size": None if remembered is None else remembered.size},
        "consistent": ledger.consistent,
        "skipped": ledger.skipped,
        "previous": first.data.get("previous"),
        "sealed": remembered is not None and remembered.sealed,
        "next": _next(ledger),
    }
    if arguments.json:
        write_document(document)
    else:
        write_lines(_lines(document, ledger.path))
    return 0


def _lines(document: dict[str, Any], path: bytes) -> list[str]:
    remembered = document["memory"]["size"]
    launches = number(document["launches"], "launch", "launches")
    rows = [
        ("path", shown(path)),
        ("origin", document["origin"]),
        ("format", f"version {document['format']}"),
        ("size", f"{number(document['size'], 'entry', 'entries')}, {launches}, {document['bytes']:,} bytes"),
        ("root", document["root"]),
        ("key", document["key"] or "cannot be read"),
        ("first entry", document["first"]),
        ("last entry", document["last"]),
        (
            "memory",
            document["memory"]["state"]
            + ("" if remembered is None else f" ({number(remembered, 'entry', 'entries')})"),
        ),
    ]
    if isinstance(document["previous"], dict):
        previous = document["previous"]
        size = number(previous.get("size", 0), "entry", "entries")
        rows.append(("continues", f"{previous.get('origin')} at {size}"))
    if document["sealed"]:
        rows.append(("sealed", "nothing more is appended to it here"))
    if document["next"] is not None:
        rows.append(("continued by", shown(canonical.text_bytes(document["next"]))))
    if not document["consistent"]:
        rows.append(("NOTE", "its entries do not lead to its own head: it was changed or damaged"))
    if document["skipped"]:
        rows.append(("NOTE", f"{number(document['skipped'], 'entry', 'entries')} cannot be read"))
    rows.append(("check with", f"nono-verify {shown(path)}"))
    return columns(rows)


def _next(ledger: IndexedState) -> Json:
    """Return the ledger that continues this one, as far as this host knows."""
    with contextlib.suppress(LedgerError):  # what cannot be read says nothing, and the rest is worth showing
        path = rolling.successor_of(
            ledger.origin, state=locations.state_directory(), beside=[os.path.dirname(ledger.path)]
        )
        return None if path is None else canonical.text(path)
    return None


def _bytes_on_disk(path: bytes) -> int:
    """Return the size of the file and of its write-ahead log, which holds the newest entries."""
    size = os.stat(path).st_size
    with contextlib.suppress(FileNotFoundError):
        size += os.stat(path + b"-wal").st_size
    return size


def _key(entry: Entry) -> str | None:
    """Return the fingerprint of the key that a genesis or a handover names, or None."""
    if entry.kind not in {entries.GENESIS, entries.KEY}:
        return None
    try:
        return PublicKey.from_spki(canonical.decode_base64(entry.data.get("public_key"))).fingerprint()
    except NonoError:
        return None


def _memory(ledger: IndexedState) -> tuple[str, RememberedHead | None]:
    """Return how the remembered head compares with the ledger's, and that head."""
    memory = HeadMemory(os.path.join(locations.state_directory(), b"heads"), ledger.origin)
    if not os.path.lexists(memory.path):  # reading would make it
        return "none", None
    try:
        remembered = memory.read()
    except LedgerError:
        return "unreadable", None
    finally:
        memory.close()
    if remembered is None:
        return "none", None
    if remembered.size != ledger.size:
        return ("ahead" if remembered.size > ledger.size else "lags"), remembered
    return ("same" if remembered.root == ledger.root else "different"), remembered
