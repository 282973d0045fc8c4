"""OpenTelemetry logs as OTLP JSON files: one ``LogsData`` a line, with one log record, for each entry.

An entry of a launch has the launch for its trace: a session id is 16 bytes, as a trace id is. ``eventName``
is ``nono.`` and the kind, ``body`` the entry as it is recorded. Where OpenTelemetry's semantic conventions
name a fact its attribute is used, for others ``nono.`` and its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attest import canonical, entry
from attest.errors import MalformedError
from attest.instant_reading import unix_microseconds
from verify.exports import strict_json
from verify.exports.facts import NAMES, facts
from verify.exports.format import Claim, LineFormat
from verify.exports.plain import document_json

if TYPE_CHECKING:
    from attest.canonical import Json
    from verify.exports.records import Record

BEGINNING, END = b'{"resourceLogs":[', b"]}\n"
"""What stands around the logs of a line."""

_SCOPE = {"name": "nono", "version": "1"}  # that of this mapping
_SEMANTIC = {
    "command": "process.command_line",
    "executable": "process.executable.path",
    "directory": "process.working_directory",
    "pid": "process.pid",
    "exit": "process.exit.code",
    "user": "user.id",
    "host": "host.name",
}
_ATTRIBUTES = {name: _SEMANTIC.get(name, f"nono.{name}") for name in NAMES}
_NUMBERS = {"pid", "exit", "signal", "duration_us"}
_FAILED = {"signal", "not_started", "error"}
"""Of an entry's members those that only what failed has."""
_INFO, _WARN, _ERROR = (9, "INFO"), (13, "WARN"), (17, "ERROR")
_MAX_MICROSECONDS = ((1 << 64) - 1) // 1_000
"""A time is an unsigned number of 64 bits, of nanoseconds since 1970: it ends in the year 2554."""
_PLACE = "nono.index"
_PROVEN = ("nono.inclusion", "nono.checkpoint")


class Otlp(LineFormat):
    """The format."""

    def add(self, record: Record) -> bytes:
        """Return the line of a record."""
        document, standing = record.document, self.standing
        severity, name = _INFO, "nono.opaque"
        log: dict[str, Any] = {"body": {"stringValue": self.entry_json(record.body).decode("ascii")}}
        attributes = [
            _number(_PLACE, record.index),
            _text("nono.leaf_sha256", record.leaf.hex()),
            _text("nono.verdict", standing.verdict),
            *([] if standing.origin is None else [_text("nono.origin", standing.origin)]),
            *([] if standing.size is None else [_number("nono.size", standing.size)]),
            *([] if standing.root is None else [_text("nono.root", standing.root)]),
        ]
        if document is not None:
            name, data = f"nono.{document['kind']}", document["data"]
            if document["kind"] == entry.LOST:
                severity = _ERROR
            elif data.get("verdict") == "denied" or data.get("exit") or _FAILED & data.keys():
                severity = _WARN
            microseconds = unix_microseconds(document["time"])
            if 0 <= microseconds <= _MAX_MICROSECONDS:
                log["timeUnixNano"] = log["observedTimeUnixNano"] = f"{microseconds}000"
            if document["session"] is not None:
                log["traceId"] = document["session"]
                attributes.append(_number("nono.seq", document["seq"]))
            attributes += [
                _number(_ATTRIBUTES[fact], int(text)) if fact in _NUMBERS else _text(_ATTRIBUTES[fact], text)
                for fact, text in facts(document).items()
            ]
        if record.inclusion is not None:
            path: list[Any] = [{"stringValue": node.hex()} for node in record.inclusion]
            attributes.append({"key": _PROVEN[0], "value": {"arrayValue": {"values": path}}})
            attributes.append(_text(_PROVEN[1], standing.checkpoint or ""))
        log["eventName"], log["attributes"] = name, attributes
        log["severityNumber"], log["severityText"] = severity
        logs = {
            "resource": {"attributes": [_text("service.name", "nono")]},
            "scopeLogs": [{"scope": _SCOPE, "logRecords": [log]}],
        }
        return BEGINNING + document_json(logs) + END

    @classmethod
    def is_first_line(cls, line: bytes) -> bool:
        """Return whether the line is one of logs of nono."""
        return "resourceLogs" in strict_json.read_line(line)

    def read(self, line: bytes) -> Any:
        """Return the logs on a line."""
        return strict_json.read_line(line)

    def claim(self, said: Any) -> Claim:
        """Return what a line says of itself."""
        try:
            (logs,) = said["resourceLogs"]
            (scope,) = logs["scopeLogs"]
            (log,) = scope["logRecords"]
            values = {each["key"]: each["value"] for each in log["attributes"]}
            body = canonical.encode(strict_json.read_line(log["body"]["stringValue"].encode()))
            own: dict[str, Json] = {
                "index": int(values[_PLACE]["intValue"]),
                "entry": canonical.decode(body),
            }
            document: dict[str, Json] = {"verdict": values["nono.verdict"]["stringValue"]}
            if _PROVEN[1] in values:
                listed = values[_PROVEN[0]]["arrayValue"]["values"]
                own["inclusion"] = [node["stringValue"] for node in listed]
                document["checkpoint"] = values[_PROVEN[1]]["stringValue"]
        except (LookupError, TypeError, ValueError, AttributeError):
            raise MalformedError("no log record of an export") from None
        return strict_json.claim_of(document, own)


def _text(key: str, text: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": text}}


def _number(key: str, number: int) -> dict[str, Any]:
    # A 64-bit integer is a string in the JSON of Protocol Buffers.
    return {"key": key, "value": {"intValue": str(number)}}
