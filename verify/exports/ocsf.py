"""OCSF 1.8.0 (Open Cybersecurity Schema Framework) as JSON lines: one event an entry, one a finding.

Which entry becomes which event is said in :mod:`verify.exports.ocsf_events`. What the verifier found becomes
Detection Findings, behind the events. ``metadata`` has where the entry stands (``log_name`` the origin,
``sequence`` the index, ``uid`` the leaf hash); ``unmapped`` has the entry itself, the rest of where it stands
(``nono``), and ``attestation_list`` in the shape that OCSF 1.9 gives the profile ``record_integrity``:
there the fingerprint and the signatures are of the entry and of the ledger's checkpoint, not of the event,
which is why they are not where the profile would have them.

An event says things of the intent and the start of its launch; with proofs those are in it too, or, where
they are long, on a line before it (:mod:`verify.exports.long_entries`).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from attest import canonical
from attest import entry as entries
from attest.errors import MalformedError
from attest.fast_json import orjson
from verify.exports import ocsf_events, strict_json
from verify.exports.format import Claim, LineFormat, Proven
from verify.exports.plain import document_json
from verify.exports.records import Standing, View
from verify.findings import CODES, Finding, Severity

if TYPE_CHECKING:
    from attest.canonical import Json
    from verify.exports.records import Record

_PRODUCT = {"name": "nono", "vendor_name": "nono"}
_DETECTION_FINDING = 2004
_SEVERITIES = {
    Severity.TAMPERED: ocsf_events.CRITICAL,
    Severity.UNMET: ocsf_events.MEDIUM,
    Severity.UNCHECKED: ocsf_events.MEDIUM,
    Severity.NOTE: ocsf_events.INFORMATIONAL,
}
_LEAF = {"algorithm": "RFC 6962 leaf hash (SHA-256)", "algorithm_id": 99}
_CHECKPOINT = {
    "algorithm": "Ed25519",
    "algorithm_id": 99,
    "serialization": "C2SP signed note",
    "serialization_id": 99,
}
_ENVELOPE = {"algorithm": "Ed25519", "algorithm_id": 99, "serialization": "DSSE", "serialization_id": 5}


class Ocsf(LineFormat):
    """The format."""

    FOLLOWS_SESSIONS = True

    def __init__(self, view: View) -> None:
        super().__init__(view)
        standing = self.standing
        self._common = {name: getattr(standing, name) for name in ("size", "root", "verdict")}
        self._signatures: list[dict[str, Any]] = []
        if standing.checkpoint is not None:
            self._common["checkpoint"] = standing.checkpoint
            self._signatures = [
                {**_CHECKPOINT, "value": base64.b64encode(signature).decode("ascii")}
                for signature in standing.signatures
            ]
        self._newest = 0

    def add(self, record: Record) -> bytes:
        """Return the line of a record."""
        return _line(self.event(record))

    def event(self, record: Record) -> dict[str, Any]:
        """Return the event of a record."""
        document = record.document
        leaf = record.leaf.hex()
        found = ocsf_events.opaque() if document is None else ocsf_events.event(record)
        found["metadata"] = metadata = {
            **found.get("metadata", {}),
            "version": ocsf_events.VERSION,
            "product": _PRODUCT,
            "sequence": record.index,
            "uid": leaf,
        }
        if self.standing.origin is not None:
            metadata["log_name"] = self.standing.origin
        if document is not None:
            metadata["event_code"] = document["kind"]
            metadata["original_time"] = document["time"]
            self._newest = max(self._newest, ocsf_events.milliseconds(document["time"]))
            found["time"] = ocsf_events.milliseconds(document["time"])
            if document["session"] is not None:
                metadata["correlation_uid"] = document["session"]
        else:
            found["time"] = 0
        found["unmapped"] = {
            "attestation_list": [self._attestation(leaf, document)],
            "entry": orjson.Fragment(self.entry_json(record.body)),
            "nono": {**self._common, **self._proofs(record)},
        }
        return found

    def end(self) -> bytes:
        """Return the findings."""
        return b"".join(map(_line, self.finding_events()))

    def finding_events(self) -> list[dict[str, Any]]:
        """Return the events of what the verification found."""
        found = () if self.view.verdict is None else self.view.verdict.findings
        return [self.finding(each, self._newest) for each in found]

    def _attestation(self, leaf: str, document: dict[str, Any] | None) -> dict[str, Any]:
        found: dict[str, Any] = {"uid": leaf, "fingerprint": {**_LEAF, "value": leaf}}
        if self.standing.origin is not None:
            found["chain_uid"] = self.standing.origin
        signatures = list(self._signatures)
        if self.standing.holds() and document is not None and document["kind"] == entries.ATTESTATION:
            (signature,) = document["data"]["signatures"]
            found["authority_uid"] = signature["keyid"]
            signatures.append({**_ENVELOPE, "value": signature["sig"]})
        if signatures:
            found["signatures"] = signatures
        return found

    def _proofs(self, record: Record) -> dict[str, Any]:
        if record.inclusion is None:
            return {}
        others = [other for other in (record.intent, record.start) if other is not None]
        found = {
            "inclusion": [node.hex() for node in record.inclusion],
            "launch": list(map(self._spoken_of, others)),
        }
        self.on_lines_before.carried(record, _proven(record))
        return found

    def _spoken_of(self, other: Record) -> dict[str, Any]:
        if self.on_lines_before.find(other.leaf) is not None:
            self.on_lines_before.named(other.leaf)
            return {"index": other.index, "leaf_sha256": other.leaf.hex()}
        self.on_lines_before.carried(other, _proven(other))
        return {
            "index": other.index,
            "inclusion": [node.hex() for node in other.inclusion or ()],
            "entry": orjson.Fragment(self.entry_json(other.body)),
        }

    # --- findings ----------------------------------------------------------------------------------

    def finding(self, finding: Finding, time: int) -> dict[str, Any]:
        """Return the event of a finding, at a time in milliseconds since 1970."""
        found: dict[str, Any] = {
            "class_uid": _DETECTION_FINDING,
            "category_uid": 2,
            "activity_id": 1,
            "type_uid": _DETECTION_FINDING * 100 + 1,
            "severity_id": _SEVERITIES[finding.severity],
            "status_id": 1,
            "time": time,
            "message": finding.document()["message"],
            "finding_info": {
                "uid": ":".join(map(str, (self.standing.root, finding.code, finding.index, finding.session))),
                "title": CODES[finding.code][1],
                "types": [finding.code],
                "product": _PRODUCT,
            },
            "metadata": {"version": ocsf_events.VERSION, "product": _PRODUCT, "event_code": finding.code},
            "unmapped": {
                "nono": {**self._common, "origin": self.standing.origin},
                "finding": finding.document(),
            },
        }
        if finding.session is not None:
            found["metadata"]["correlation_uid"] = finding.session
        return found

    def says_a_finding(self, said: Any) -> bool:
        """Return whether an event is one of a finding, and says nothing else."""
        unmapped = _object(said, "unmapped")
        common, told, time = _object(unmapped, "nono"), _object(unmapped, "finding"), said.get("time")
        code, message, index, session = (told.get(name) for name in ("code", "message", "index", "session"))
        if not (
            isinstance(code, str)
            and code in CODES
            and isinstance(message, str)
            and (index is None or type(index) is int)
            and (session is None or isinstance(session, str))
            and type(time) is int
        ):
            return False
        origin, size, root, verdict = (common.get(name) for name in ("origin", "size", "root", "verdict"))
        note_text = common.get("checkpoint")
        if not (isinstance(verdict, str) and (note_text is None or isinstance(note_text, str))):
            return False
        standing = Standing(
            origin if isinstance(origin, str) else None,
            size if type(size) is int else None,
            root if isinstance(root, str) else None,
            verdict,
            note_text,
        )
        again = Ocsf(View(standing)).finding(Finding(code, message, index, session), time)
        return canonical.encode(again) == canonical.encode(said)

    # --- reading -----------------------------------------------------------------------------------

    @classmethod
    def is_first_line(cls, line: bytes) -> bool:
        """Return whether the line is an event of this mapping."""
        return "class_uid" in strict_json.read_line(line)

    def read(self, line: bytes) -> Any:
        """Return the event on a line."""
        return strict_json.read_line(line)

    def claim(self, said: Any) -> Claim:
        """Return what an event says of itself."""
        unmapped = _object(said, "unmapped")
        common = _object(unmapped, "nono")
        if said.get("class_uid") == _DETECTION_FINDING:
            return Claim(None, None, str(common.get("verdict")))
        own: dict[str, Json] = {
            "index": _object(said, "metadata").get("sequence"),
            "entry": unmapped.get("entry"),
            "inclusion": common.get("inclusion"),
        }
        launch = common.get("launch", [])
        if not isinstance(launch, list) or len(launch) > 2:
            raise MalformedError("no entries of its launch")
        return strict_json.claim_of(common, own, launch)


def _proven(record: Record) -> Proven:
    return Proven(record.index, record.body, tuple(record.inclusion or ()))


def _line(event: dict[str, Any]) -> bytes:
    return document_json(event) + b"\n"


def _object(document: Any, name: str) -> dict[str, Json]:
    found = document.get(name)
    if not isinstance(found, dict):
        raise MalformedError(f"no {name}")
    canonical.encode(found)
    return found
