"""What a format of exports is, and what a line of one says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from verify.exports.long_entries import LongEntries
from verify.exports.plain import ascii_json, entry_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.exports.records import Record, Standing, View


class Format:
    """A format: turned from records into bytes, one after another, in the order of the ledger.

    Args:
        view: what is known before the first record.
    """

    HAS_PROOFS: ClassVar[bool] = False
    """Whether records can carry their proofs."""
    CAN_BE_MARKED: ClassVar[bool] = True
    """Whether each record says what the verdict was, so that one can be exported of which not all is met."""
    ASKS_ALL_KINDS: ClassVar[bool] = False
    """Whether it needs entries of every kind."""
    WRITES_DIRECTORY: ClassVar[bool] = False
    """Whether it writes a directory of files by itself."""
    COUNTS_ENTRIES: ClassVar[bool] = False
    """Whether what it made is counted by entries, since there is no record that is returned for each."""
    FOLLOWS_SESSIONS: ClassVar[bool] = False
    """Whether records are to have the intent and the start of their session."""

    def __init__(self, view: View) -> None:
        self.standing: Standing = view.standing
        self.view = view
        self.entry_json: Callable[[bytes], bytes] = entry_json
        """Returns an entry as JSON in printable ASCII, from its bytes."""
        if self.standing.holds():
            self.entry_json = ascii_json  # it was replayed, so it is canonical JSON

    def begin(self) -> bytes:
        """Return what stands before the first record."""
        return b""

    def add(self, record: Record) -> bytes:
        """Return what is written about a record."""
        raise NotImplementedError

    def end(self) -> bytes:
        """Return what stands behind the last record."""
        return b""

    def abandon(self) -> None:
        """Let go of everything: what was made does not count."""


class Proven(NamedTuple):
    """An entry that a line carries, with its proof.

    Attributes:
        at: where it is said to stand.
        body: its bytes.
        inclusion: the proof, 32 bytes each; None where there is none.
    """

    at: int
    body: bytes
    inclusion: tuple[bytes, ...] | None


class Referred(NamedTuple):
    """An entry that a line speaks of and does not carry: a line before it does.

    Attributes:
        at: where it is said to stand.
        leaf: its leaf hash, 32 bytes.
    """

    at: int
    leaf: bytes


class Claim(NamedTuple):
    """What a line says of itself, of which nothing is checked yet.

    Attributes:
        own: the entry that it stands for; None of a finding.
        launch: entries of its launch that it speaks of besides.
        checkpoint: the signed checkpoint, a note; None where there is none.
        verdict: what the export says that the verification said.
    """

    own: Proven | None
    checkpoint: str | None
    verdict: str
    launch: tuple[Proven | Referred, ...] = ()


class LineFormat(Format):
    """A format of one line a record, which can be read again."""

    HAS_PROOFS = True

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.on_lines_before = LongEntries()
        """What a record need not carry once more."""

    @classmethod
    def is_first_line(cls, line: bytes) -> bool:
        """Return whether a file of this format can begin with this line.

        Raises:
            MalformedError: it cannot.
        """
        raise NotImplementedError

    def begin_reading(self, line: bytes) -> bool:
        """Take in the first line of a file; return whether it is no record."""
        del line
        return False

    def read(self, line: bytes) -> Any:
        """Return what a line says, in a form that compares equal exactly when two lines say the same.

        Raises:
            MalformedError: it is no line of this format.
        """
        raise NotImplementedError

    def says_a_finding(self, said: Any) -> bool:
        """Return whether a line without an entry is about what the verification found, and nothing else."""
        del said
        return False

    def claim(self, said: Any) -> Claim:
        """Return what a line that was read says of itself.

        Raises:
            MalformedError: something that belongs there is not.
        """
        raise NotImplementedError
