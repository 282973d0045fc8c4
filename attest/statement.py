"""Statements: what is said about one launch (in-toto Statement v1, predicate ``urn:nono-attest:launch:v1``).

Everything in a statement follows from the session's own entries, so the writer and the verifier build
it with the same code: the writer signs what :meth:`LaunchEvidence.statement` returns, and the verifier
compares the signed bytes with what the entries give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import canonical
from attest import entry as entries
from attest.errors import MalformedError
from attest.tree import Edge

if TYPE_CHECKING:
    from attest.canonical import Json
    from attest.entry import Entry

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:nono-attest:launch:v1"

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")


class LaunchEvidence:
    """The entries of one session, seen one after another, as far as its statement needs them.

    Attributes:
        edge: the RFC 6962 tree over the session's own leaf hashes, seq 0 … n-1.
        first: the ledger index of its intent.
        last: the ledger index of the entry that was added last.
    """

    __slots__ = ("_executable", "_leaves", "_outputs", "_session", "_summary", "edge", "first", "last")

    def __init__(self) -> None:
        self.edge = Edge()
        self.first = self.last = -1
        self._session: str | None = None
        self._executable: dict[str, Json] | None = None
        self._outputs: Json = None
        self._leaves: dict[str, Json] = {"intent": None, "outcome": None, "start": None}
        self._summary: dict[str, Json] = {"executable": None, "capabilities_sha256": None}

    def add(self, index: int, entry: Entry, leaf: bytes) -> None:
        """Take in the session's next entry, which stands at ``index`` of the ledger.

        Of its data only what the statement says is kept.
        """
        self.edge.append(leaf)
        self.last = index
        self.state(index, entry, leaf)

    def copy(self) -> LaunchEvidence:
        """Return another one, of the same entries."""
        other = LaunchEvidence()
        other.edge, other.first, other.last = self.edge.copy(), self.first, self.last
        other._session, other._executable, other._outputs = self._session, self._executable, self._outputs
        other._leaves, other._summary = dict(self._leaves), dict(self._summary)
        return other

    def state(self, index: int, entry: Entry, leaf: bytes) -> None:
        """Take in what the statement says of an entry, for a caller that has the session's tree itself."""
        if self.first < 0:
            self.first = index
        data = entry.data
        if entry.kind == entries.INTENT:
            self._session, self._leaves["intent"] = entry.session, leaf.hex()
            self._summary["hooks"] = {
                name: _named(_object(hook)) for name, hook in _object(data["hooks"]).items()
            }
            self._summary["labels"] = data["labels"]
        elif entry.kind == entries.START:
            self._leaves["start"] = leaf.hex()
            interpreters = data["interpreters"]
            assert isinstance(interpreters, list)
            self._executable = _named(_object(data["executable"]))
            self._summary["executable"] = {
                **self._executable,
                "interpreters": [_named(_object(image)) for image in interpreters],
            }
            self._summary["capabilities_sha256"] = data["capabilities_sha256"]
        elif entry.kind == entries.OUTCOME:
            self._outputs, self._leaves["outcome"] = data["outputs"], leaf.hex()
            self._summary["started"] = data.get("started")
            self._summary["ended"] = data["ended"]
            self._summary["outcome"] = {
                name: data[name] for name in ("exit", "signal", "not_started") if name in data
            }

    def statement(self, origin: str) -> dict[str, Json]:
        """Return the statement about the launch, for the ledger ``origin``.

        Raises:
            MalformedError: intent or outcome are missing, so there is nothing to state.
        """
        return self.statement_over(origin, self.last, self.edge.size, self.edge.root())

    def statement_over(self, origin: str, last: int, size: int, root: bytes) -> dict[str, Json]:
        """Return the statement over the caller's own tree of the session.

        Args:
            origin: the ledger's.
            last: the ledger index of the entry that was added last.
            size: how many leaves the tree has.
            root: its root.

        Raises:
            MalformedError: as :meth:`statement`.
        """
        if self._session is None or self._outputs is None:
            raise MalformedError("a launch without intent or outcome has no statement")
        return {
            "_type": STATEMENT_TYPE,
            "subject": [self._first_subject(), *_output_subjects(self._outputs)],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "session": self._session,
                "origin": origin,
                "first": self.first,
                "last": last,
                "n": size,
                "root": root.hex(),
                "leaves": dict(self._leaves),
                "summary": dict(self._summary),
            },
        }

    def _first_subject(self) -> Json:
        if self._executable is None:
            return {"name": f"launch:{self._session}", "digest": {"sha256": self._leaves["intent"]}}
        return _subject(self._executable)


def _output_subjects(outputs: Json) -> list[Json]:
    assert isinstance(outputs, list)
    return [_subject(_object(output)) for output in outputs if "sha256" in _object(output)]


def _subject(image: dict[str, Json]) -> dict[str, Json]:
    """Return the resource descriptor of a hashed file; a path that is no text becomes a file URI."""
    digest: Json = {"sha256": image["sha256"]}
    path = image["path"]
    if isinstance(path, str):
        return {"name": path, "digest": digest}
    return {"uri": "file://" + _percent_encoded(canonical.text_bytes(path)), "digest": digest}


def _percent_encoded(path: bytes) -> str:
    """Write a path as RFC 3986 has it; urllib.parse would do, at 3 ms of every launch."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in path)


def _named(image: dict[str, Json]) -> dict[str, Json]:
    return {"path": image["path"], "sha256": image["sha256"]}


def _object(value: Json) -> dict[str, Json]:
    assert isinstance(value, dict)
    return value
