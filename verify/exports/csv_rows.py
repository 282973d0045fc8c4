"""CSV (RFC 4180): one row an entry, every cell quoted, one line a row.

A spreadsheet takes a cell that begins with ``= + - @``, a tab or a carriage return for a formula, and one
that splits at semicolons, tabs or bars finds such a beginning in the middle of another's cell. So an
apostrophe goes before the first (with which a spreadsheet says that what follows is text), and the
separator before the second becomes an escape. What is not printable becomes an escape as well, so no cell
holds the end of a line. The exact entry stands in the last column, as JSON in printable ASCII.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from attest import canonical
from attest.errors import MalformedError
from verify.exports import facts, strict_json
from verify.exports.format import Claim, LineFormat, Proven
from verify.render import printable

if TYPE_CHECKING:
    from verify.exports.records import Record

COLUMNS = ("index", "time", "kind", "session", "seq", *facts.NAMES, "verdict", "origin", "size", "root",
           "leaf_sha256", "entry")  # fmt: skip
"""The columns, in order."""
PROOF_COLUMNS = ("inclusion", "checkpoint")
"""The columns that follow with proofs: hashes in hex, blanks between, and base64 of the signed checkpoint."""

# The full-width forms are taken for the others where a spreadsheet is set to East Asian text.
_FORMULA = re.compile("[\t\r\n]|[\\s\"']*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
_HIDDEN_FORMULA = re.compile("[;\t|](?=[\\s\"']*[=+\\-@\uff1d\uff0b\uff0d\uff20])")
_PLAIN = re.compile('[A-Za-z0-9/{][A-Za-z0-9/{} .,:"\\[\\]_-]*')
_JSON = facts.OF_SEVERAL | {"entry"}
# The csv module takes no cell that is longer than some limit of the whole process.
_CELL = re.compile('(?:"((?:[^"]|"")*+)"|([^",\r\n]*+))(,|$)')
_IN_JSON = {";": "\\u003b", "\t": "\\u0009", "|": "\\u007c"}


class CsvRows(LineFormat):
    """The format."""

    def begin(self) -> bytes:
        """Return the row of the columns' names."""
        return _row(self._columns())

    def add(self, record: Record) -> bytes:
        """Return the row of a record."""
        standing, document = self.standing, record.document
        cells = {
            "index": str(record.index),
            "verdict": standing.verdict,
            "origin": standing.origin or "",
            "size": "" if standing.size is None else str(standing.size),
            "root": standing.root or "",
            "leaf_sha256": record.leaf.hex(),
            "entry": self.entry_json(record.body).decode("ascii"),
        }
        if document is not None:
            cells |= {name: str(document[name]) for name in ("time", "kind", "seq")}
            cells["session"] = document["session"] or ""
            cells |= facts.facts(document)
        if record.inclusion is not None:
            cells["inclusion"] = " ".join(node.hex() for node in record.inclusion)
            cells["checkpoint"] = base64.b64encode((standing.checkpoint or "").encode()).decode("ascii")
        return _row([_harmless(name, cells[name]) if cells.get(name) else "" for name in self._columns()])

    def _columns(self) -> tuple[str, ...]:
        return COLUMNS if self.standing.checkpoint is None else COLUMNS + PROOF_COLUMNS

    @classmethod
    def is_first_line(cls, line: bytes) -> bool:
        """Return whether this line has the columns' names, or is a row with proofs."""
        cells = _cells(line)
        return cells[:3] == list(COLUMNS[:3]) or len(cells) == len(COLUMNS + PROOF_COLUMNS)

    def begin_reading(self, line: bytes) -> bool:
        """Take the columns' names from the first line, where it has them."""
        self._read_columns: tuple[str, ...] = COLUMNS + PROOF_COLUMNS  # also where this line is none
        cells = _cells(line)
        if cells[:1] == ["index"]:
            self._read_columns = tuple(cells)
        return cells[:1] == ["index"]

    def read(self, line: bytes) -> Any:
        """Return the cells of a row by their columns."""
        cells, names = _cells(line), set(self._read_columns)
        if not len(cells) == len(self._read_columns) == len(names) or names - set(COLUMNS + PROOF_COLUMNS):
            raise MalformedError("not the cells of an exported row")
        found = dict(zip(self._read_columns, cells, strict=True))
        return {name: found.get(name, "") for name in COLUMNS + PROOF_COLUMNS}

    def claim(self, said: Any) -> Claim:
        """Return what a row says of itself."""
        body = canonical.encode(strict_json.read_line(said["entry"].encode()))
        index = said["index"]
        if not re.fullmatch("[0-9]{1,16}", index):
            raise MalformedError("no index")
        if not said["checkpoint"]:
            return Claim(Proven(int(index), body, None), None, said["verdict"])
        path = strict_json.hashes(said["inclusion"].split())
        try:
            note = canonical.decode_base64(said["checkpoint"]).decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedError("no checkpoint") from None
        return Claim(Proven(int(index), body, path), note, said["verdict"])


def _harmless(name: str, text: str) -> str:
    """Return a cell that no spreadsheet takes for more than text; of JSON, the same document."""
    if name in _JSON:
        return _HIDDEN_FORMULA.sub(lambda found: _IN_JSON[found[0]], text)
    if _PLAIN.fullmatch(text):
        return text  # as most are
    mark = "'" if _FORMULA.match(text) else ""
    text = _HIDDEN_FORMULA.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    return mark + printable(text)


def _row(cells: tuple[str, ...] | list[str]) -> bytes:
    return (",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\r\n").encode("utf-8")


def _cells(line: bytes) -> list[str]:
    """Return the cells of one line."""
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise MalformedError("no row of CSV") from None
    cells, at = list[str](), 0
    while True:
        found = _CELL.match(text, at)
        if found is None:
            raise MalformedError("no row of CSV")
        quoted, plain, separator = found.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        at = found.end()
        if not separator:
            return cells
