"""What an export is made of: an entry where it stands, and what every record of an export says alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from attest import entry
from attest.fast_json import orjson
from verify.forms import Forms

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.verdict import Verdict

    Read = Callable[[bytes], dict[str, Any] | None]
    """Returns the document of an entry of a known kind and of its schema, or None for anything else."""


class Standing(NamedTuple):
    """What all records of one export have in common.

    Attributes:
        origin: the ledger's; None where it cannot be told.
        size: how many entries were replayed; None where there is no head.
        root: hex of the root over them; None where entries are missing.
        verdict: what the verification said, one of :data:`verify.verdict.WORDS`.
        checkpoint: the signed checkpoint, a note; None without proofs.
        signatures: those under it that were verified, 64 bytes each, in the order of its lines.
    """

    origin: str | None
    size: int | None
    root: str | None
    verdict: str
    checkpoint: str | None = None
    signatures: tuple[bytes, ...] = ()

    def holds(self) -> bool:
        """Return whether the verification found every signature of the ledger to hold, whoever's they are."""
        return self.verdict in {"verified", "not-met"}


class Record:
    """An entry, where it stands.

    Attributes:
        index: where it stands in the ledger.
        body: its exact bytes.
        leaf: its leaf hash, 32 bytes.
        document: the entry, when it is of a known kind and of its schema; else None, and it is opaque.
        inclusion: the proof that it is under the checkpoint, 32 bytes each; None without proofs.
        intent: the intent of its session, or None; only where a format asks for it.
        start: the start of its session, likewise.
    """

    __slots__ = ("_document", "_read", "body", "inclusion", "index", "intent", "leaf", "start")

    def __init__(self, index: int, body: bytes, leaf: bytes, read: Read) -> None:
        self.index = index
        self.body = body
        self.leaf = leaf
        self.inclusion: list[bytes] | None = None
        self.intent: Record | None = None
        self.start: Record | None = None
        self._read: Read | None = read
        self._document: dict[str, Any] | None = None

    @property
    def document(self) -> dict[str, Any] | None:
        """The entry, read when it is first asked for."""
        if self._read is not None:
            self._document = self._read(self.body)
            self._read = None
        return self._document

    def has(self, name: str) -> bool:
        """Return whether the entry's data has this member."""
        return self.document is not None and name in self.document["data"]


class Options(NamedTuple):
    """What some formats are told beside.

    Attributes:
        controls: the file of the controls that an assessment speaks of, or None for the verifier's own.
        region: the region of a data lake.
        account: its account.
        directory: where a format writes that has more than one file.
    """

    controls: str | None = None
    region: str = "local"
    account: str = "external"
    directory: str | None = None


class View(NamedTuple):
    """What a format is told of an export before it gets the records.

    Attributes:
        standing: what all records have in common.
        verdict: what the verification said; None where lines are checked.
        options: what was asked beside.
        chosen: what the entries were chosen by, names and texts; nothing where they are all there.
    """

    standing: Standing
    verdict: Verdict | None = None
    options: Options = Options()
    chosen: tuple[tuple[str, str], ...] = ()


def read_replayed(body: bytes) -> dict[str, Any] | None:
    """Return the document of an entry that was replayed, and of which nothing was found."""
    document = orjson.loads(body)
    if document.get("v") == entry.VERSION and document.get("kind") in entry.KINDS:
        return document  # type: ignore[no-any-return]  # an entry is an object
    return None


def reader_of_anything() -> Read:
    """Return what reads entries of which nothing is known: each is held against its schema."""
    forms = Forms()

    def read(body: bytes) -> dict[str, Any] | None:
        return forms.read(body) if len(body) <= entry.MAX_BYTES else None

    return read
