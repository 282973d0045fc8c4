"""From entries to rows: what each kind of entry says about its launch.

Entries come as parsed and unchecked: a value of another type than the schema's is as if it were not
there, so that a hostile or a newer ledger can be listed as far as it is understood.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from attest import entry as entries
from attest.canonical import MAX_INTEGER
from store.index import wording
from store.index.glances import searched
from store.index.tables import (
    LAUNCH,
    MAX_COMMAND,
    MAX_LABEL_NAME,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    MAX_PATH,
    MAX_PATHS,
    MAX_WORD,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attest.canonical import Json

OPEN = "open"
COMPLETE = "complete"
LOST = "lost"

COLUMNS: tuple[str, ...] = tuple(LAUNCH.c.keys())

_HEX = frozenset("0123456789abcdef")
_SESSION_DIGITS = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def is_session(value: str) -> bool:
    """Return whether ``value`` has the form of a session id."""
    return len(value) == _SESSION_DIGITS and _HEX.issuperset(value)


@dataclass(slots=True)
class Launch:
    """A launch while its entries are read: the columns of its row, and what stands in other tables.

    Attributes:
        command: all of it, quoted for a shell; None when no intent was read.
        image: path and SHA-256 of what ran, once a start was read.
        granted: the paths that the user and the profile asked for, once an entry has said them.
        written: the paths of its outputs.
        labels: by name.
    """

    ledger_id: int
    first: int
    at: int
    last: int
    session: str
    time: str
    state: str = OPEN
    unfinished: bool = True
    refused: bool = False
    entries: int = 0
    decisions: int = 0
    denied: int = 0
    intent: int | None = None
    start: int | None = None
    outcome: int | None = None
    attestation: int | None = None
    lost: int | None = None
    strategy: str | None = None
    program: str | None = None
    executable: int | None = None
    paths: int | None = None
    exit: int | None = None
    signal: int | None = None
    not_started: str | None = None
    duration_us: int | None = None
    boot_id: str | None = None
    pid_namespace: str | None = None
    pid: int | None = None
    start_time: int | None = None

    command: str | None = None
    image: tuple[str | None, str | None] | None = None
    granted: tuple[str, ...] | None = None
    written: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begun(cls, ledger_id: int, index: int, session: str, time: str) -> Launch:
        """Return the launch whose first entry stands at ``index``; :meth:`add` takes that entry in."""
        return cls(ledger_id, index, microseconds(time), index, session, stored(time, MAX_WORD))

    @classmethod
    def of_row(cls, row: Mapping[Any, Any]) -> Launch:
        """Return the launch whose row is in the index already."""
        return cls(**{name: row[name] for name in COLUMNS})

    def add(self, index: int, kind: str, data: dict[str, Json], resolved: Callable[[Json], Json]) -> None:
        """Take the launch's next entry in.

        Args:
            index: where the entry stands.
            kind: its kind.
            data: its data.
            resolved: what gives the value of a field that may lie beside the entry as a blob.
        """
        self.last = index
        self.entries += 1
        if kind == entries.DECISION:
            self.decisions += 1
            if data.get("verdict") == "denied":
                self.denied += 1
                self.refused = True
        elif kind == entries.INTENT:
            self._add_intent(index, data, resolved)
        elif kind == entries.START:
            self._add_start(index, data, resolved)
        elif kind == entries.OUTCOME:
            self._add_outcome(index, data)
        elif kind == entries.ATTESTATION:
            self.attestation = index
            self._close(COMPLETE)
        elif kind == entries.LOST:
            self.lost = index
            self._close(LOST)

    def _close(self, state: str) -> None:
        self.state = state
        self.unfinished = state != COMPLETE

    def _add_intent(self, index: int, data: dict[str, Json], resolved: Callable[[Json], Json]) -> None:
        self.intent = index
        self.strategy = _word(data.get("strategy"))
        command = resolved(data.get("command"))
        self.command = stored(wording.command(command, MAX_COMMAND), MAX_COMMAND)
        if isinstance(command, list) and command:
            self.program = _path(command[0])
        host, supervisor = _object(data.get("host")), _object(data.get("supervisor"))
        self.boot_id = _word(host.get("boot_id"))
        self.pid_namespace = _word(supervisor.get("pid_namespace"))
        self.pid = _integer(supervisor.get("pid"))
        self.start_time = _integer(supervisor.get("start_time"))
        # What a launch that is refused had asked for; a start says which objects those are.
        asked = _granted(resolved(data.get("grants")), "asked")
        self.granted = tuple(path for path in asked if path.startswith("/"))
        found = _object(data.get("labels"))
        self.labels = {
            stored(name, MAX_LABEL_NAME): stored(value, MAX_LABEL_VALUE)
            for name, value in list(found.items())[:MAX_LABELS]
            if isinstance(value, str)
        }

    def _add_start(self, index: int, data: dict[str, Json], resolved: Callable[[Json], Json]) -> None:
        self.start = index
        image = _object(data.get("executable"))
        self.image = (_path(image["path"]) if "path" in image else None, _word(image.get("sha256")))
        capabilities = resolved(data.get("capabilities"))
        if isinstance(capabilities, dict):
            self.granted = _granted(capabilities.get("files"), "path")
        if self.strategy == "direct":
            self._close(COMPLETE)

    def _add_outcome(self, index: int, data: dict[str, Json]) -> None:
        self.outcome = index
        self.exit = _integer(data.get("exit"))
        self.signal = _integer(data.get("signal"))
        self.not_started = _word(_object(data.get("not_started")).get("code"))
        self.refused = self.refused or self.not_started is not None
        self.duration_us = _integer(data.get("duration_us"))
        # Decisions beyond the cap are counted only here.
        dropped = _integer(_object(data.get("counts")).get("decisions_dropped"))
        self.decisions += dropped or 0
        outputs = data.get("outputs")
        if isinstance(outputs, list) and outputs:
            named = (_object(output).get("path") for output in outputs[:MAX_PATHS])
            self.written = tuple(_path(path) for path in named if path is not None)


row_of: Callable[[Launch], tuple[Any, ...]] = attrgetter(*COLUMNS)
"""Return a launch's row: a value for each of :data:`COLUMNS`."""


def microseconds(time: str) -> int:
    """Return an entry's time in microseconds of Unix time, or 0 if it is none, or before that.

    What is no instant of ours but can be read as one is taken as that: the verifier judges its form.
    """
    try:
        since = datetime.fromisoformat(time) - _EPOCH
    except (ValueError, TypeError):  # a time without a zone
        return 0
    return max(0, since // _MICROSECOND)


def stored(value: str, limit: int) -> str:
    """Return ``value`` as a column can hold it: at most ``limit`` characters, and no NUL."""
    return value if len(value) <= limit and "\0" not in value else value[:limit].replace("\0", "␀")


def _granted(grants: Json, name: str) -> tuple[str, ...]:
    return tuple(_path(grant[name]) for grant in searched(grants)[:MAX_PATHS] if name in grant)


def _path(value: Json) -> str:
    return stored(wording.text(value), MAX_PATH)


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _integer(value: Json) -> int | None:
    return value if type(value) is int and -MAX_INTEGER <= value <= MAX_INTEGER else None


def _word(value: Json) -> str | None:
    return stored(value, MAX_WORD) if isinstance(value, str) else None
