"""Launches in a real ledger, for tests of what reads it: entries of their schemas, without a launch."""

from __future__ import annotations

import copy
import hashlib
import os
import time
from typing import TYPE_CHECKING, Any

from attest import entry as entries
from attest import envelope, schema
from attest.canonical import encode
from attest.entry import Entry
from attest.instant import format_instant
from attest.keys import SigningKey
from attest.statement import LaunchEvidence
from store import Draft, Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from store import Appended

KEY = SigningKey(b"\x01" * 32)
SHA = "ab" * 32
INSTANT = "2026-01-02T03:04:05.678901Z"

FEATURES = (
    "filesystem", "truncate", "ioctl", "network", "scope", "filter", "capabilities",
    "exec-stop", "lease", "metadata",
)  # fmt: skip
GRANT = {"access": "readwrite", "asked": ".", "source": "user", "type": "directory"}
NO_NAMES: dict[str, Any] = {"environment": [], "flags": [], "headers": [], "query_keys": []}

INTENT: dict[str, Any] = {
    "bypass_protection": [],
    "command": ["echo", "hello world"],
    "grants": [GRANT],
    "hooks": {},
    "host": {"boot_id": "0" * 36, "kernel": "6.18.0", "landlock_abi": 7, "name": "builder"},
    "labels": {},
    "network": {"mode": "blocked"},
    "outputs": [],
    "profile": [],
    "redaction": {"added": NO_NAMES, "removed": NO_NAMES},
    "strategy": "supervised",
    "supervisor": {"pid": 4242, "pid_namespace": "4026531836", "start_time": 99, "version": "0.1.0"},
    "user": {"gid": 1000, "groups": [1000, 27], "uid": 1000},
}
START: dict[str, Any] = {
    "capabilities": {"files": [{**GRANT, "path": "/work"}], "network": {"mode": "blocked"}},
    "capabilities_sha256": SHA,
    "directory": "/work",
    "enforcement": {
        "achieved": {**dict.fromkeys(FEATURES, True), "metadata": False},
        "filter_sha256": SHA,
        "landlock_abi": 7,
        "required": {**dict.fromkeys(FEATURES, True), "metadata": False},
        "waived": [],
    },
    "environment": ["HOME", "PATH"],
    "executable": {"held": "lease", "path": "/usr/bin/echo", "sha256": "cd" * 32, "size": 35208},
    "interpreters": [],
    "limits": {},
    "pid": 4243,
}
OUTCOME: dict[str, Any] = {
    "counts": {"decisions": 0, "decisions_dropped": 0, "survivors": 0, "survivors_left": 0},
    "duration_us": 1_500,
    "ended": INSTANT,
    "executed_image": "same",
    "exit": 0,
    "outputs": [],
    "resources": {"max_rss_bytes": 1 << 20, "system_us": 300, "user_us": 700},
    "started": INSTANT,
}
NOT_STARTED: dict[str, Any] = {
    "counts": OUTCOME["counts"],
    "ended": INSTANT,
    "not_started": {"code": "executable.missing", "message": "no such command"},
    "outputs": [],
}
DENIED = {
    "by": "kernel",
    "reason": "outside the grants",
    "subject": "/etc/shadow",
    "verdict": "denied",
    "what": "file",
}
ATTESTATION = envelope.sign(encode({"a": "statement"}), KEY)


def changed(data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a deep copy with some members replaced."""
    return {**copy.deepcopy(data), **changes}


def session_id(number: int) -> str:
    """Return the UUIDv7 of a session; the number is its time in milliseconds."""
    return f"{number:012x}7abc8{number:015x}"


def open_ledger(path: Path, state: Path, key: SigningKey = KEY) -> Ledger:
    """Open the ledger at ``path``, founded if it is missing."""
    name = os.fsencode(path)
    if path.exists():
        return Ledger.open(name, key, state=os.fsencode(state))
    return Ledger.create(name, key, name="builder", tool_version="0.1.0", state=os.fsencode(state))


def drafts(
    session: str,
    *,
    intent: dict[str, Any] | None = None,
    start: dict[str, Any] | None = START,
    decisions: int = 0,
    outcome: dict[str, Any] | None = OUTCOME,
    closing: str | None = entries.ATTESTATION,
    checked: bool = True,
) -> list[Draft]:
    """Return the entries of one launch, each of its schema unless told otherwise."""
    parts: list[tuple[str, dict[str, Any] | None]] = [
        (entries.INTENT, INTENT if intent is None else intent),
        (entries.START, start),
        *[(entries.DECISION, DENIED)] * decisions,
        (entries.OUTCOME, outcome),
    ]
    if closing == entries.ATTESTATION:
        parts.append((closing, ATTESTATION))
    elif closing == entries.LOST:
        parts.append((closing, {"found": "process-gone"}))
    made = [
        Draft(kind, session, seq, data)
        for seq, (kind, data) in enumerate((kind, data) for kind, data in parts if data is not None)
    ]
    if checked:
        now = format_instant(time.time_ns())
        for draft in made:
            assert not callable(draft.data)
            schema.check_entry(Entry(draft.kind, draft.session, draft.seq, now, draft.data).document())
    return made


def append_attested(ledger: Ledger, session: str, key: SigningKey = KEY, **parts: Any) -> list[Appended]:
    """Append a launch as a supervisor does, with the statement that its entries give; see :func:`drafts`."""
    start = changed(START, capabilities_sha256=hashlib.sha256(encode(START["capabilities"])).hexdigest())
    outcome = changed(OUTCOME, counts={**OUTCOME["counts"], "decisions": parts.get("decisions", 0)})
    parts = {"start": start, "outcome": outcome, "closing": None, **parts}
    written, evidence = ledger.append(drafts(session, **parts)), LaunchEvidence()
    for appended in written:
        evidence.add(appended.index, appended.entry, appended.leaf)
    signed = envelope.sign(encode(evidence.statement(ledger.origin)), key)
    return written + ledger.append([Draft(entries.ATTESTATION, session, len(written), signed)])


def this_process() -> dict[str, Any]:
    """Return the members of an intent that say that this very process supervises."""
    with open("/proc/self/stat", "rb") as file:
        start_time = int(file.read().rpartition(b")")[2].split()[19])
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    return {
        "host": changed(INTENT["host"], boot_id=boot_id),
        "supervisor": changed(
            INTENT["supervisor"],
            pid=os.getpid(),
            pid_namespace=str(os.stat("/proc/self/ns/pid").st_ino),
            start_time=start_time,
        ),
    }
