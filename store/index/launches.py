"""From entries to rows: what each kind of entry says about its launch.

Entries come as parsed and unchecked: a value of another type than the schema's is as if it were not
there, so that a hostile or a newer ledger can be listed as far as it is understood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import entry as entries
from store.index import wording
from store.index.tables import (
    MAX_COMMAND,
    MAX_LABEL_NAME,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    MAX_PATH,
    MAX_WORD,
    IndexedLaunch,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from attest.canonical import Json
    from attest.entry import Entry

OPEN = "open"
COMPLETE = "complete"
LOST = "lost"

_HEX = frozenset("0123456789abcdef")
_SESSION_DIGITS = 32


def is_session(value: str) -> bool:
    """Return whether ``value`` has the form of a session id."""
    return len(value) == _SESSION_DIGITS and _HEX.issuperset(value)


def new_launch(ledger_id: int, index: int, entry: Entry) -> IndexedLaunch:
    """Return the row of a launch whose first entry this is; :func:`add` takes that entry in."""
    return IndexedLaunch(
        ledger_id=ledger_id,
        first=index,
        last=index,
        session=entry.session,
        state=OPEN,
        time=_stored(entry.time, MAX_WORD),
        entries=0,
        decisions=0,
        denied=0,
    )


def add(launch: IndexedLaunch, index: int, entry: Entry, resolved: Callable[[Json], Json]) -> None:
    """Take the launch's next entry into its row.

    Args:
        launch: the row.
        index: where the entry stands.
        entry: the entry.
        resolved: what gives the value of a field that may lie beside the entry as a blob.
    """
    launch.last = index
    launch.entries += 1
    if entry.kind == entries.INTENT:
        _add_intent(launch, index, entry.data, resolved)
    elif entry.kind == entries.START:
        _add_start(launch, index, entry.data)
    elif entry.kind == entries.DECISION:
        launch.decisions += 1
        launch.denied += entry.data.get("verdict") == "denied"
    elif entry.kind == entries.OUTCOME:
        _add_outcome(launch, index, entry.data)
    elif entry.kind == entries.ATTESTATION:
        launch.attestation = index
        launch.state = COMPLETE
    elif entry.kind == entries.LOST:
        launch.lost = index
        launch.state = LOST


def labels(entry: Entry) -> dict[str, str]:
    """Return the labels of an intent."""
    found = _object(entry.data.get("labels"))
    return {
        _stored(name, MAX_LABEL_NAME): _stored(value, MAX_LABEL_VALUE)
        for name, value in list(found.items())[:MAX_LABELS]
        if isinstance(value, str)
    }


def _add_intent(
    launch: IndexedLaunch, index: int, data: dict[str, Json], resolved: Callable[[Json], Json]
) -> None:
    launch.intent = index
    launch.strategy = _word(data.get("strategy"))
    command = resolved(data.get("command"))
    launch.command = wording.command(command, MAX_COMMAND)
    if isinstance(command, list) and command:
        launch.program = _stored(wording.text(command[0]), MAX_PATH)
    host, supervisor = _object(data.get("host")), _object(data.get("supervisor"))
    launch.boot_id = _word(host.get("boot_id"))
    launch.pid_namespace = _word(supervisor.get("pid_namespace"))
    launch.pid = _integer(supervisor.get("pid"))
    launch.start_time = _integer(supervisor.get("start_time"))


def _add_start(launch: IndexedLaunch, index: int, data: dict[str, Json]) -> None:
    launch.start = index
    executable = _object(data.get("executable"))
    if "path" in executable:
        launch.executable = _stored(wording.text(executable["path"]), MAX_PATH)
    launch.executable_sha256 = _word(executable.get("sha256"))
    if launch.strategy == "direct":
        launch.state = COMPLETE


def _add_outcome(launch: IndexedLaunch, index: int, data: dict[str, Json]) -> None:
    launch.outcome = index
    launch.exit = _integer(data.get("exit"))
    launch.signal = _integer(data.get("signal"))
    launch.not_started = _word(_object(data.get("not_started")).get("code"))
    launch.duration_us = _integer(data.get("duration_us"))
    # Decisions beyond the cap are counted only here.
    dropped = _integer(_object(data.get("counts")).get("decisions_dropped"))
    launch.decisions += dropped or 0


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _integer(value: Json) -> int | None:
    return value if type(value) is int else None


def _word(value: Json) -> str | None:
    return _stored(value, MAX_WORD) if isinstance(value, str) else None


def _stored(value: str, limit: int) -> str:
    return value[:limit].replace("\0", "␀")
