r"""CEF (ArcSight Common Event Format, version 0): one line an entry.

``CEF:0|nono|nono-ledger|1|KIND|WORDS|SEVERITY|key=value …``. In the header ``\`` and ``|`` are escaped, in
values ``\`` and ``=``, and the ends of lines are ``\n`` and ``\r``; what else is not printable is written as
``\xNN`` with its backslash escaped, so nothing that a terminal or a reader of lines obeys is left. Where
CEF has a key for a fact it is used; the others begin with ``nono``, as keys of a vendor's own do.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from attest import canonical, entry, runner_commands
from attest.errors import MalformedError
from attest.instant_reading import unix_microseconds
from attest.printable_text import is_printable
from verify.exports import facts, strict_json
from verify.exports.format import Claim, LineFormat, Proven
from verify.render import printable

if TYPE_CHECKING:
    from verify.exports.records import Record

VERSION = "1"
"""That of this mapping, in the place of the device's version."""

_WORDS = {
    entry.GENESIS: ("a ledger was founded", 1),
    entry.KEY: ("another key is in force", 3),
    entry.INTENT: ("a launch was asked for", 1),
    entry.HOOK_RESULT: ("a session hook ended", 1),
    entry.START: ("a command started", 3),
    entry.DECISION: ("access was decided", 5),
    entry.OUTCOME: ("a command ended", 3),
    entry.ATTESTATION: ("a launch was attested", 1),
    entry.LOST: ("a launch was lost", 7),
    entry.ANCHOR: ("a checkpoint was anchored", 1),
}
_OPAQUE = ("an entry that this version does not know", 5)

_KEYS = {
    "user": "suid",
    "host": "dvchost",
    "executable": "filePath",
    "executable_sha256": "fileHash",
    "pid": "dvcpid",
    "decision": "act",
    "reason": "reason",
    **{
        name: "nono" + "".join(part.capitalize() for part in name.split("_"))
        for name in facts.NAMES
        if name not in {"user", "host", "executable", "executable_sha256", "pid", "decision", "reason"}
    },
}
_LABELLED = {
    "cs1": "session",
    "cs2": "origin",
    "cs3": "root",
    "cs4": "verdict",
    "cn1": "index",
    "cn2": "size",
}

_ESCAPES = {"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"}
_KEY = re.compile("[A-Za-z0-9]{1,64}")
_ESCAPES_THAT_ARE = re.compile(r"(?:[^\\]|\\[\\=nr|])*+")
_TWO_READINGS = re.compile(r"(?<!\\)(?:\\\\)+=")
_ESCAPED = re.compile(r"[\\=\n\r]")
_UNESCAPED = {"\\\\": "\\", "\\=": "=", "\\n": "\n", "\\r": "\r", "\\|": "|"}
_HEADER_PARTS = re.compile(r"(?<!\\)\|")


class Cef(LineFormat):
    """The format."""

    def add(self, record: Record) -> bytes:
        """Return the line of a record."""
        standing, document = self.standing, record.document
        kind, (words, severity) = "opaque", _OPAQUE
        said = {
            "externalId": record.leaf.hex(),
            "cs2": standing.origin or "",
            "cs3": standing.root or "",
            "cs4": standing.verdict,
            "cn1": str(record.index),
            "cn2": "" if standing.size is None else str(standing.size),
        }
        if document is not None:
            kind, data = document["kind"], document["data"]
            words, severity = _WORDS[kind]
            if kind == entry.DECISION and data["verdict"] == "granted":
                severity = 3
            said["rt"] = str(unix_microseconds(document["time"]) // 1_000)
            said["cs1"] = document["session"] or ""
            said["nonoSeq"] = str(document["seq"])
            said |= {_KEYS[name]: value for name, value in facts.facts(document).items()}
        said["nonoEntry"] = self.entry_json(record.body).decode("ascii")
        if record.inclusion is not None:
            said["nonoInclusion"] = ",".join(node.hex() for node in record.inclusion)
            said["nonoCheckpoint"] = base64.b64encode((standing.checkpoint or "").encode()).decode("ascii")
        said |= {f"{key}Label": name for key, name in _LABELLED.items() if said.get(key)}
        extension = " ".join(f"{key}={_value(text)}" for key, text in said.items() if text)
        return f"CEF:0|nono|nono-ledger|{VERSION}|{kind}|{words}|{severity}|{extension}\n".encode()

    @classmethod
    def is_first_line(cls, line: bytes) -> bool:
        """Return whether the line is one of CEF."""
        return line.lstrip().startswith(b"CEF:0|nono|")

    def read(self, line: bytes) -> Any:
        """Return the header of a line and the values of its keys."""
        try:
            text = line.decode("utf-8").strip(strict_json.WHITE_SPACE)
        except UnicodeDecodeError:
            raise MalformedError("not UTF-8") from None
        header = _HEADER_PARTS.split(text, 7)
        if len(header) != 8:
            raise MalformedError("no line of CEF")
        if not _ESCAPES_THAT_ARE.fullmatch(header[7]):
            raise MalformedError("a backslash that escapes nothing")
        if _TWO_READINGS.search(header[7]):
            raise MalformedError("an equals sign behind an escaped backslash")
        parts = re.split(r"(?<!\\)=", header.pop())
        keys, values = [parts[0]], list[str]()
        for part in parts[1:-1]:
            value, _, key = part.rpartition(" ")
            values.append(value)
            keys.append(key)
        values.append(parts[-1])
        found = {
            key: re.sub(r"\\.", lambda each: _UNESCAPED[each[0]], value)
            for key, value in zip(keys, values, strict=True)
        }
        if len(found) != len(keys) or len(parts) < 2 or not all(map(_KEY.fullmatch, keys)):
            raise MalformedError("a key twice, or one that is none")
        return {"header": header, "extension": found}

    def claim(self, said: Any) -> Claim:
        """Return what a line says of itself."""
        found = said["extension"]
        index = found.get("cn1", "")
        if not re.fullmatch("[0-9]{1,16}", index):
            raise MalformedError("no index")
        body = canonical.encode(strict_json.read_line(found.get("nonoEntry", "").encode()))
        if "nonoCheckpoint" not in found:
            return Claim(Proven(int(index), body, None), None, found.get("cs4", ""))
        listed = found.get("nonoInclusion", "")
        path = strict_json.hashes(listed.split(",") if listed else [])
        try:
            note = canonical.decode_base64(found["nonoCheckpoint"]).decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedError("no checkpoint") from None
        return Claim(Proven(int(index), body, path), note, found.get("cs4", ""))


def _value(text: str) -> str:
    """Return a value of an extension, escaped; blanks at its ends, which parsers drop, are escapes too."""
    if not is_printable(text):
        text = "".join(each if each in "\n\r" else printable(each) for each in text)
    text = runner_commands.value_without(text, "\\x23")
    for end in (0, -1):
        if text[end] == " ":
            text = text[:-1] + "\\x20" if end else "\\x20" + text[1:]
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], text)
