"""Verification of large records: our whole replay, nono-py's hash chain, and Ed25519 by itself."""

from __future__ import annotations

import contextlib
import subprocess
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import large_ledger
import peer_log
from measuring import BenchmarkError, Ceiling, Limit, Missing, Result, Subject, in_turn
from process_tree import peak_memory
from workers import Worker
from workspace import installed_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from measuring import Bar, Measured
    from workspace import Workspace

NAME = "verification"
OURS = "verify (everything)"
NONO_PY = "nono-py verify_log (hash chain)"
OF_FOUR = "verify, four entries a launch"
ED25519 = "as many Ed25519 verifications, all cores"
START = "nono-verify, 1,000 entries, whole process"

BARS: tuple[Bar, ...] = ()

_PER_LAUNCH = 50
_SIZE, _QUICK_SIZE = 1_000_000, 10_000
_SMALLER_SIZE = 100_000
_PEER_SIZE, _QUICK_PEER_SIZE = 100_000, 10_000
_LAUNCHES_OF_FOUR, _QUICK_LAUNCHES_OF_FOUR = 10_000, 1_000
_START_SIZE = 1_000
_START_SECONDS = 0.25
_OF_THE_PEERS_TIME = 0.4
_MEBIBYTES = 120.0


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Verify each, in turn; what differs in size is compared by the time that an entry takes."""
    size, peer_size = (_QUICK_SIZE, _QUICK_PEER_SIZE) if quick else (_SIZE, _PEER_SIZE)
    launches = _QUICK_LAUNCHES_OF_FOUR if quick else _LAUNCHES_OF_FOUR
    of_four = 1 + 4 + 4 * launches
    missing = []
    large = large_ledger.build(workspace, "large", size, per_launch=_PER_LAUNCH)
    four = large_ledger.build(workspace, "four", of_four, per_launch=4)
    small = large_ledger.build(workspace, "small", _START_SIZE, per_launch=_PER_LAUNCH)
    environment = workspace.environment
    with contextlib.ExitStack() as stack:

        def served(name: str, units: int, program: str, *arguments: str) -> Subject:
            worker = stack.enter_context(Worker(program, *arguments, environment=environment))
            return Subject(name, worker.sample, units)

        subjects = [served(OURS, size, "nono_verifications.py", *large, str(size))]
        if find_spec("nono_py") is None:
            missing.append(Missing(NONO_PY, "not installed: pip install '.[bench]'"))
        else:
            log = peer_log.build(workspace, peer_size)
            subjects.append(served(NONO_PY, peer_size, "nono_py_verifications.py", log, str(peer_size)))
        subjects += [
            served(OF_FOUR, of_four, "nono_verifications.py", *four, str(of_four)),
            served(ED25519, launches, "ed25519_verifications.py", str(launches)),
            Subject(START, _started(small, workspace), _START_SIZE),
        ]
        measured = in_turn(subjects, rounds=3 if quick else 5)
    by_name = {each.name: each for each in measured}
    limits = _memory(workspace, [size] if quick else [_SMALLER_SIZE, size], large)
    if NONO_PY in by_name and not quick:
        ratio = _seconds_each(by_name[OURS]) / _seconds_each(by_name[NONO_PY])
        limits.insert(0, Limit("an entry of ours takes, of nono-py's time", ratio, _OF_THE_PEERS_TIME, "x"))
    allowed = by_name[ED25519].median / by_name[OF_FOUR].median
    notes = [
        f"an entry has {large_ledger.average_bytes(large[0]):.0f} bytes, {_PER_LAUNCH} are a launch;"
        f" of the launches of four entries it has {large_ledger.average_bytes(four[0]):.0f}",
        f"four entries a launch are verified at {allowed:.2f}x of the rate that their signatures allow",
        "memory is the most that the process and its workers had together: the proportional set size, which"
        " counts once what they share",
    ]
    ceilings = (Ceiling(START, _START_SECONDS),)
    title = f"verification of {size:,} entries"
    return Result(NAME, title, measured, missing, BARS, notes, ceilings, tuple(limits))


def _seconds_each(measured: Measured) -> float:
    return measured.median / measured.units


def _started(ledger: tuple[str, str], workspace: Workspace) -> Callable[[int], list[float]]:
    command = _command(ledger)

    def sample(times: int) -> list[float]:
        seconds = []
        for _ in range(times):
            begun = time.perf_counter()
            done = subprocess.run(command, env=workspace.environment, capture_output=True, check=False)
            seconds.append(time.perf_counter() - begun)
            if done.returncode != 0:
                raise BenchmarkError(f"nono-verify: {done.stdout!r} {done.stderr!r}")
        return seconds

    return sample


def _memory(workspace: Workspace, sizes: list[int], large: tuple[str, str]) -> list[Limit]:
    limits = []
    for size in sizes:
        ledger = large
        if size != sizes[-1]:
            ledger = large_ledger.build(workspace, f"of-{size}", size, per_launch=_PER_LAUNCH)
        peak = peak_memory(_command(ledger), workspace.environment)
        limits.append(Limit(f"memory for {size:,} entries", peak / (1 << 20), _MEBIBYTES, "MiB"))
    return limits


def _command(ledger: tuple[str, str]) -> list[str]:
    path, key = ledger
    return [installed_command("nono-verify"), path, "-k", key]
