"""A ledger of many entries, as launches with many decisions leave it, made with the writer's own code.

The first launch is real. The others repeat its intent, start and outcome under sessions of their own, with
decisions in between and an attestation that is signed over them, so that nothing of what the verifier checks
is skipped. As in reality, each start has a temporary directory and a file of capabilities of its own among
its grants, and the refusals of a launch are of different files.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
from typing import TYPE_CHECKING

from measuring import BenchmarkError
from workspace import installed_command

from attest import canonical, entry, envelope, hashing
from attest.keys import SigningKey
from attest.statement import LaunchEvidence
from runtime.capability.session import new_session_id
from runtime.secrets.signing_key import read_file
from store import Draft, Ledger

if TYPE_CHECKING:
    from workspace import Workspace

    from attest.canonical import Json

ENTRY_BYTES = 640
_COMMIT = 5_000
_DIRECTORY = re.compile(rb"/nono-[0-9a-f]{20}")
_FILE = re.compile(rb"/capabilities/[0-9a-f]{32}")
_FIRST = {entry.INTENT, entry.START, entry.OUTCOME, entry.ATTESTATION}


def build(workspace: Workspace, name: str, size: int, *, per_launch: int) -> tuple[str, str]:
    """Make a ledger of ``size`` entries; return its path and that of its public key.

    Args:
        workspace: where it is made.
        name: of its directory.
        size: how many entries it has.
        per_launch: how many of them a launch has; a few more in the last one where it does not come out even.
    """
    path, private, data = begin(workspace, name)
    key = read_file(os.fsencode(private)).key
    state = os.path.join(workspace.environment["XDG_STATE_HOME"], "nono")
    with Ledger.open(os.fsencode(path), key, state=os.fsencode(state)) as ledger:
        at = len(data) + 1  # the first entry founds the ledger
        while at < size:
            left = size - at
            count = per_launch if left >= per_launch + len(_FIRST) else left
            _append_launch(ledger, key, data, count)
            at += count
    return path, private.removesuffix(".pem") + ".pub"


def begin(workspace: Workspace, name: str) -> tuple[str, str, dict[str, dict[str, Json]]]:
    """Make a ledger with one real launch in it.

    Returns:
        its path, that of its private key, and the data of the launch's entries, by kind.
    """
    directory = workspace.directory(name)
    path, private = (os.path.join(directory, file) for file in ("ledger.db", "key.pem"))
    nono = installed_command("nono")
    _check([nono, "keygen", "--out", private], workspace)
    _check([nono, "run", "--ledger", path, "--audit-sign-key", private, "--", "/bin/true"], workspace)
    return path, private, _first_launch(path)


def decision(session: str, seq: int) -> Draft:
    """Return a refusal whose entry is :data:`ENTRY_BYTES` long, give or take the digits of ``seq``."""
    data: dict[str, Json] = {
        "by": "kernel",
        "reason": "outside the grants",
        "subject": f"/home/user/{session}/{seq:06}".ljust(412, "x"),
        "verdict": "denied",
        "what": "file",
    }
    return Draft(entry.DECISION, session, seq, data)


def of_decisions(directory: str, size: int, *, subject: str = "/etc/shadow") -> str:
    """Make a ledger of so many refusals of one session; return its path.

    Its key lies beside it, unencrypted, under the same name with ``.pem``; its state directory is
    ``directory``.
    """
    path = os.path.join(directory, f"{size}.db")
    session = new_session_id()
    drafts = [
        draft._replace(data={**draft.data, "subject": subject})
        for draft in (decision(session, number) for number in range(_COMMIT))
    ]
    key = SigningKey.generate()
    with open(path + ".pem", "xb") as file:
        file.write(key.pem())
    name, state = os.fsencode(path), os.fsencode(directory)
    with Ledger.create(name, key, name="bench", tool_version="0", state=state) as ledger:
        for at in range(1, size, _COMMIT):
            ledger.append(drafts[: size - at])
    return path


def average_bytes(path: str) -> float:
    """Return how many bytes an entry has."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        (average,) = connection.execute("SELECT avg(length(body)) FROM entry").fetchone()
        return float(average)
    finally:
        connection.close()


def _append_launch(ledger: Ledger, key: SigningKey, data: dict[str, dict[str, Json]], count: int) -> None:
    session, decisions, evidence = new_session_id(), count - 4, LaunchEvidence()
    counts = data[entry.OUTCOME]["counts"]
    assert isinstance(counts, dict)
    outcome = {**data[entry.OUTCOME], "counts": {**counts, "decisions": decisions}}
    drafts = [
        Draft(entry.INTENT, session, 0, data[entry.INTENT]),
        Draft(entry.START, session, 1, _own_start(data[entry.START], session)),
        *(decision(session, seq) for seq in range(2, decisions + 2)),
        Draft(entry.OUTCOME, session, decisions + 2, outcome),
    ]
    for appended in ledger.append(drafts):
        evidence.add(appended.index, appended.entry, appended.leaf)
    payload = canonical.encode(evidence.statement(ledger.origin))
    ledger.append([Draft(entry.ATTESTATION, session, decisions + 3, envelope.sign(payload, key))])


def _own_start(start: dict[str, Json], session: str) -> dict[str, Json]:
    """Return a start that has grants of its own, as that of every launch."""
    shared = canonical.encode(start["capabilities"])
    own = _DIRECTORY.sub(
        b"/nono-" + session[-20:].encode(), _FILE.sub(b"/capabilities/" + session.encode(), shared)
    )
    if own == shared:
        raise BenchmarkError("the first launch of the large ledger has no grants of its own")
    return {**start, "capabilities": canonical.decode(own), "capabilities_sha256": hashing.hexdigest(own)}


def _first_launch(path: str) -> dict[str, dict[str, Json]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        bodies = [bytes(body) for (body,) in connection.execute("SELECT CAST(body AS BLOB) FROM entry")]
    finally:
        connection.close()
    data = {written.kind: written.data for written in map(entry.parse, bodies) if written.kind in _FIRST}
    if set(data) != _FIRST:
        raise BenchmarkError("the first launch of the large ledger is not whole")
    return data


def _check(argv: list[str], workspace: Workspace) -> None:
    done = subprocess.run(argv, env=workspace.environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stderr}")
