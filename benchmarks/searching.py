"""The index over a large ledger: one search after another, the whole command, and catching up with it all."""

from __future__ import annotations

import contextlib
import copy
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import large_ledger
from measuring import BenchmarkError, Ceiling, Result, Subject, in_turn
from workers import Worker
from workspace import installed_command

from attest import entry
from runtime.capability.session import new_session_id
from runtime.secrets.signing_key import read_file
from store import Draft, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from measuring import Bar
    from workspace import Workspace

NAME = "searching"
SEARCH = "one search, index open"
COMMAND = "nono audit list, whole process"
CATCH_UP = "catching up with all entries"

BARS: tuple[Bar, ...] = ()

_SIZE = 1_000_000
_QUICK_SIZE = 50_000
_DECISIONS = 4
_COMMIT_LAUNCHES = 250
_ENTRIES_A_SECOND = 50_000
_SEARCH_SECONDS = 0.1


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Search, list and catch up."""
    size = _QUICK_SIZE if quick else _SIZE
    path = _build(workspace, size)
    environment = workspace.environment
    nono = installed_command("nono")
    listing = [nono, "audit", "list", "--ledger", path, "--exit", "3", "--recent", "20"]
    _seconds(listing, environment)  # which catches the index up
    directory = workspace.directory("index")
    with contextlib.ExitStack() as stack:
        search = stack.enter_context(Worker("nono_searches.py", path, environment=environment))
        subjects = [
            Subject(SEARCH, search.sample),
            Subject(COMMAND, lambda times: [_seconds(listing, environment) for _ in range(times)]),
        ]
        measured = in_turn(subjects, rounds=5 if quick else 20, block=25)
        catch_up = stack.enter_context(
            Worker("nono_catching_up.py", path, directory, environment=environment)
        )
        measured += in_turn([Subject(CATCH_UP, catch_up.sample, size)], rounds=1 if quick else 3, warm_up=0)
    average = large_ledger.average_bytes(path)
    notes = [
        f"a launch has {_DECISIONS + 4} entries, and an entry {average:.0f} bytes on average",
        "a search is each of those in benchmarks/programs/nono_searches.py in turn, 50 launches at most",
        f"95 % of the searches took at most {measured[0].quantile(0.95) * 1e3:.1f} ms",
    ]
    ceilings = (
        Ceiling(SEARCH, _SEARCH_SECONDS, of=0.95),
        Ceiling(CATCH_UP, size / _ENTRIES_A_SECOND),
    )
    return Result(NAME, f"{size:,} entries", measured, [], BARS, notes, ceilings)


def _build(workspace: Workspace, size: int) -> str:
    """Make a ledger of launches that differ in all that they are searched by; return its path.

    They repeat the entries of a real launch. Nothing signs them anew, since the index does not look.
    """
    path, private, data = large_ledger.begin(workspace, "searched")
    key = read_file(os.fsencode(private)).key
    state = os.path.join(workspace.environment["XDG_STATE_HOME"], "nono")
    begun, at = 0, len(data) + 1  # the first entry founds the ledger
    with Ledger.open(os.fsencode(path), key, state=os.fsencode(state)) as ledger:
        while at < size:
            numbers = range(begun, begun + _COMMIT_LAUNCHES)
            drafts = [draft for number in numbers for draft in _launch(data, number)][: size - at]
            ledger.append(drafts)
            begun += _COMMIT_LAUNCHES
            at += len(drafts)
    return path


def _launch(data: dict[str, Any], number: int) -> Iterator[Draft]:
    session = new_session_id()
    intent = {
        **data[entry.INTENT],
        "command": [
            "bash",
            "-c",
            f"cd ~/project-{number % 997} && make target-{number} && git commit -m '{number}'",
        ],
        "labels": {"run": str(number % 9_973), "team": f"team-{number % 7}"},
    }
    start = {**data[entry.START], "capabilities": copy.copy(data[entry.START]["capabilities"])}
    project = {"access": "readwrite", "asked": ".", "path": f"/home/user/project-{number % 997}"}
    start["capabilities"]["files"] = [
        *start["capabilities"]["files"],
        {**project, "source": "user", "type": "directory"},
    ]
    start["executable"] = {
        **start["executable"],
        "path": f"/usr/bin/tool-{number % 293}",
        "sha256": f"{number % 293:064x}",
    }
    outcome = {**data[entry.OUTCOME], "exit": 0 if number % 10 else number // 10 % 256}
    yield Draft(entry.INTENT, session, 0, intent)
    yield Draft(entry.START, session, 1, start)
    for seq in range(2, _DECISIONS + 2):
        draft = large_ledger.decision(session, seq)
        verdict = "denied" if number % 499 == 0 else "granted"
        yield Draft(draft.kind, session, seq, {**draft.data, "verdict": verdict})
    if number % 1_009 == 0:
        yield Draft(entry.LOST, session, _DECISIONS + 2, {"found": "process-gone"})
    else:
        yield Draft(entry.OUTCOME, session, _DECISIONS + 2, outcome)
        yield Draft(entry.ATTESTATION, session, _DECISIONS + 3, data[entry.ATTESTATION])


def _seconds(argv: list[str], environment: Mapping[str, str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(argv, env=environment, capture_output=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(argv)}: {done.stderr.decode(errors='replace')}")
    return seconds
