r"""JSON lines: one object a line, the entry as it is recorded and where it stands.

::

    {"export":"urn:nono-attest:export:v1","index":N,"leaf_sha256":HEX,"origin":O,"size":N,"root":HEX,
     "verdict":"verified","entry":{…}}

With proofs also ``"inclusion":[HEX,…]`` and ``"checkpoint":NOTE``. The schema is published
(``verify/schemas/export-record.json``). A line is printable ASCII; the canonical form of ``entry``
(RFC 8785) is the bytes that ``leaf_sha256`` is of, so a line can be written anew by any tool that keeps what
it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attest.errors import MalformedError
from verify.exports import strict_json
from verify.exports.format import Claim, LineFormat
from verify.exports.plain import document_json

if TYPE_CHECKING:
    from verify.exports.records import Record, View

FORMAT = "urn:nono-attest:export:v1"

_BEGINNING = f'{{"export":"{FORMAT}","index":'


class JsonLines(LineFormat):
    """The format."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        standing = self.standing
        common = {name: getattr(standing, name) for name in ("origin", "size", "root", "verdict")}
        if standing.checkpoint is not None:
            common["checkpoint"] = standing.checkpoint
        self._common = '",' + document_json(common)[1:-1].decode("ascii") + ',"entry":'

    def add(self, record: Record) -> bytes:
        """Return the line of a record."""
        standing = f'{_BEGINNING}{record.index},"leaf_sha256":"{record.leaf.hex()}{self._common}'
        line = standing.encode() + self.entry_json(record.body)
        if record.inclusion is None:
            return line + b"}\n"
        path = '","'.join(node.hex() for node in record.inclusion)
        return line + (f',"inclusion":["{path}"]}}\n' if path else ',"inclusion":[]}\n').encode()

    @classmethod
    def is_first_line(cls, line: bytes) -> bool:
        """Return whether this line names the format."""
        # As it was written, whatever became of the rest: what is wrong with that is a finding.
        return line.startswith(_BEGINNING.encode()) or strict_json.read_line(line).get("export") == FORMAT

    def read(self, line: bytes) -> Any:
        """Return the object on a line."""
        document = strict_json.read_line(line)
        if document.get("export") != FORMAT:
            raise MalformedError("no record of an export")
        return document

    def claim(self, said: Any) -> Claim:
        """Return what a line says of itself."""
        return strict_json.claim_of(said, said)
