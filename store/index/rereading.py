"""What the index points at, read from the ledger again: only that is stated as fact.

The index says where a launch begins. Everything else comes from the entries themselves, which also say
whether they are of their schema; whether the ledger holds is what ``nono-verify`` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attest import blob, schema, tree
from attest import entry as entries
from attest.errors import MalformedError
from store.errors import SearchIndexError
from store.index import launches
from store.index.bodies import LedgerBodies
from store.index.glances import parsed
from store.index.records import LaunchRecord, launch_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attest.canonical import Json
    from attest.entry import Entry

MAX_ENTRIES = 20_000
"""Entries of one launch that are read; a launch's own decisions are capped far below."""


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry as the ledger holds it.

    Attributes:
        index: where it stands.
        leaf: its leaf hash, 32 bytes.
        entry: what it says.
        fault: why it is not of its kind's schema, or None.
    """

    index: int
    leaf: bytes
    entry: Entry
    fault: str | None


@dataclass(frozen=True, slots=True)
class RecordedLaunch:
    """A launch, from the ledger.

    Attributes:
        launch: what its entries come to.
        entries: its entries in their order, at most :data:`MAX_ENTRIES`.
        blobs: values that lie beside the entries, by hex digest; None for one that is withheld.
    """

    launch: LaunchRecord
    entries: tuple[RecordedEntry, ...]
    blobs: dict[str, Json]

    def value(self, field: Json) -> Json:
        """Return a field's value, from its blob if it lies beside its entry; None when withheld."""
        digest = _digest(field)
        return field if digest is None else self.blobs.get(digest)


def reread(path: bytes, indexed: LaunchRecord) -> RecordedLaunch:
    """Read a launch that the index found.

    Args:
        path: the ledger.
        indexed: what the index says.

    Raises:
        LedgerError: the ledger cannot be read.
        SearchIndexError: the launch does not begin where the index says (``index.stale``).
    """
    found: list[RecordedEntry] = []
    blobs: dict[str, Json] = {}
    with LedgerBodies(path) as reader:
        for index, entry, body in _entries_of(reader, indexed):
            found.append(RecordedEntry(index, tree.hash_leaf(body), entry, fault_of(entry, body)))
            for name in entries.BLOB_FIELDS.get(entry.kind, ()):
                field = entry.data.get(name)
                digest = _digest(field)
                if digest is not None:
                    blobs[digest] = reader.resolved(field)
        if not found or found[0].index != indexed.first:
            raise SearchIndexError(
                "the index does not agree with the ledger",
                code="index.stale",
                hint="remove the index, it is made again; check the ledger with nono-verify",
            )
        launch = launches.Launch.begun(0, found[0].index, indexed.session, found[0].entry.time)
        for recorded in found:
            launch.add(recorded.index, recorded.entry.kind, recorded.entry.data, reader.resolved)
    row = dict(zip(launches.COLUMNS, launches.row_of(launch), strict=True))
    image = launch.image or (None, None)
    record = launch_record(row, command=launch.command, image=image, labels=launch.labels)
    return RecordedLaunch(record, tuple(found), blobs)


def _entries_of(reader: LedgerBodies, indexed: LaunchRecord) -> Iterator[tuple[int, Entry, bytes]]:
    """Yield the session's entries from the first on, up to the one that closes it."""
    marker = indexed.session.encode()
    count = 0
    for index, body in reader.bodies(indexed.first, reader.head().size):
        if body is None or marker not in body:
            continue
        entry = parsed(body)
        if entry is None or entry.session != indexed.session:
            continue
        yield index, entry, body
        count += 1
        if entry.kind in {entries.ATTESTATION, entries.LOST} or count == MAX_ENTRIES:
            return


def _digest(field: Json) -> str | None:
    """Return the digest in a reference to a blob, or None if ``field`` is none."""
    if not blob.is_reference(field):
        return None
    assert isinstance(field, dict)
    reference = field["blob"]
    return str(reference.get("sha256")) if isinstance(reference, dict) else ""


def fault_of(entry: Entry, body: bytes) -> str | None:
    """Return why an entry is not what its kind's schema says, or None if it is.

    Args:
        entry: what could be read.
        body: the bytes that it was read from.
    """
    try:
        if entry.encode() != body:
            return "not in its canonical form"
        schema.check_entry(entry.document())
    except MalformedError as error:
        return str(error)
    return None
