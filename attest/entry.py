"""Entries: the leaves of the log (design 2, "Entry").

An entry is ``{"v":1,"kind":K,"session":S|null,"seq":N,"time":T,"data":{…}}`` in canonical form, at
most 65,535 bytes. What ``data`` holds is each kind's closed schema (``attest/schemas/``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import canonical
from attest.errors import MalformedError
from attest.named_tuples import NamedTuple

if TYPE_CHECKING:
    from attest.canonical import Json

VERSION = 1
MAX_BYTES = 65_535

GENESIS = "ledger.genesis"
KEY = "ledger.key"
INTENT = "launch.intent"
HOOK_RESULT = "hook.result"
START = "launch.start"
DECISION = "decision"
OUTCOME = "launch.outcome"
ATTESTATION = "launch.attestation"
LOST = "launch.lost"
ANCHOR = "anchor"

KINDS = frozenset({GENESIS, KEY, INTENT, HOOK_RESULT, START, DECISION, OUTCOME, ATTESTATION, LOST, ANCHOR})

BLOB_FIELDS: dict[str, tuple[str, ...]] = {
    INTENT: ("command", "grants"),
    START: ("capabilities", "environment"),
    ANCHOR: ("evidence",),
}
"""The fields of each kind's data that may lie beside the entry as a blob."""

_MEMBERS = {"v", "kind", "session", "seq", "time", "data"}


class Entry(NamedTuple):
    """One entry.

    Attributes:
        kind: one of :data:`KINDS` (a parsed entry may hold a kind that is not known yet).
        session: the session id (a UUIDv7 in 32 lower-case hex digits), or None.
        seq: the position within the session, from 0; 0 when there is no session.
        time: RFC 3339 UTC with microseconds.
        data: what the kind's schema says.
    """

    kind: str
    session: str | None
    seq: int
    time: str
    data: dict[str, Json]

    def document(self) -> dict[str, Json]:
        """Return the entry as the object that is written."""
        return {
            "v": VERSION,
            "kind": self.kind,
            "session": self.session,
            "seq": self.seq,
            "time": self.time,
            "data": self.data,
        }

    def encode(self) -> bytes:
        """Return the canonical bytes.

        Raises:
            MalformedError: outside the JSON model, or longer than :data:`MAX_BYTES`.
        """
        body = canonical.encode(self.document())
        if len(body) > MAX_BYTES:
            raise MalformedError(
                f"an entry of {len(body)} bytes; the limit is {MAX_BYTES}", code="entry.too_large"
            )
        return body


def parse(body: bytes) -> Entry:
    """Return the entry whose canonical bytes are ``body``; its data is not checked against a schema.

    Raises:
        MalformedError: too long, not canonical, or not of an entry's shape.
    """
    if len(body) > MAX_BYTES:
        raise MalformedError(
            f"an entry of {len(body)} bytes; the limit is {MAX_BYTES}", code="entry.too_large"
        )
    document = canonical.decode_object(body)
    if document.keys() != _MEMBERS:
        raise MalformedError("not the members of an entry")
    kind, session, seq, time, data = (document[name] for name in ("kind", "session", "seq", "time", "data"))
    if (
        document["v"] != VERSION
        or type(document["v"]) is not int
        or type(kind) is not str
        or not (session is None or type(session) is str)
        or type(seq) is not int
        or type(time) is not str
        or type(data) is not dict
    ):
        raise MalformedError("the members of an entry, with wrong types")
    return Entry(kind, session, seq, time, data)
