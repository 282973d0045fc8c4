"""Which long entries stood on the lines before, so that none has to stand on each line that speaks of it.

An event speaks of the intent and the start of its launch, and with proofs it carries them. A short one
stands on each line, which then can be checked by itself. A long one (arguments can fill an entry) would make
hundreds of small events as large as itself: it stands on the first line that speaks of it, and the next ones
name it by its leaf hash. Who writes and who reads remember the same ones, those that were spoken of last.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from attest import entry
from verify.exports.plain import ascii_json

if TYPE_CHECKING:
    from verify.exports.format import Proven
    from verify.exports.records import Record

LONG = 12_288
"""More bytes than that are long, as JSON in printable ASCII. Starts of usual launches have some 8,000."""
MAX_REMEMBERED = 512
"""How many are remembered: 32 MiB at most."""


class LongEntries:
    """The long entries of the lines before."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Proven] = OrderedDict()

    def find(self, leaf: bytes) -> Proven | None:
        """Return the entry that has this leaf hash, if a line before carried it."""
        return self._known.get(leaf)

    def named(self, leaf: bytes) -> None:
        """Take in that a line names an entry that is remembered."""
        self._known.move_to_end(leaf)

    def carried(self, record: Record, proven: Proven) -> None:
        """Take in an entry that a line carries, if it is a long one of which others may speak."""
        document = record.document
        if document is None or document["kind"] not in {entry.INTENT, entry.START}:
            return
        if len(ascii_json(record.body)) > LONG:
            self._known[record.leaf] = proven
            self._known.move_to_end(record.leaf)
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
