"""Appending one entry, durable when the call returns, and a bare SQLite commit of a row of that size."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

from large_ledger import ENTRY_BYTES, decision, of_decisions
from measuring import Bar, BenchmarkError, Limit, Result, Subject, in_turn
from workers import PROGRAMS, Worker

if TYPE_CHECKING:
    from workspace import Workspace

NAME = "appending"
OURS = "Ledger.append (verified, hashed, signed)"
LARGE = "the same, to a ledger of 1,000,000 entries"
QUICK_LARGE = "the same, to a ledger of 50,000 entries"
SQLITE = "SQLite, WAL, synchronous=FULL"
FLOOR = "SQLite, the entry and a head in two tables, one Ed25519 signature"

_SMALL_SIZE = 1_000
_SIZE = 1_000_000
_QUICK_SIZE = 50_000
_BYTES_BESIDE = 100.0
_GROWTH = 1.2
# ADR 11: on a disk that syncs faster, a signature and a second page alone are worth a bare commit.
_SLOW_DISK = 200e-6


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Commit one entry after another with each."""
    directory = workspace.directory("appending")
    environment = workspace.environment
    size, large_name = (_QUICK_SIZE, QUICK_LARGE) if quick else (_SIZE, LARGE)
    subject = str(decision("", 0).data["subject"])
    small, large = (of_decisions(directory, each, subject=subject) for each in (_SMALL_SIZE, size))
    beside = _bytes_beside(large)
    peaks = [_peak(workspace, path) for path in (small, large)]
    plain, both = (os.path.join(directory, name) for name in ("plain.db", "both.db"))
    with (
        Worker("nono_appends.py", small, str(ENTRY_BYTES), environment=environment) as ours,
        Worker("nono_appends.py", large, str(ENTRY_BYTES), environment=environment) as ours_large,
        Worker("sqlite_commits.py", plain, str(ENTRY_BYTES), environment=environment) as sqlite,
        Worker("sqlite_commits.py", both, str(ENTRY_BYTES), "signed", environment=environment) as floor,
    ):
        subjects = [
            Subject(OURS, ours.sample),
            Subject(large_name, ours_large.sample),
            Subject(SQLITE, sqlite.sample),
            Subject(FLOOR, floor.sample),
        ]
        measured = in_turn(subjects, rounds=10 if quick else 60, block=50, warm_up=50)
    bare = next(each.median for each in measured if each.name == SQLITE)
    bars = (
        Bar(OURS, SQLITE if bare >= _SLOW_DISK else FLOOR, 1.70),
        Bar(large_name, OURS, _GROWTH),
        Bar(OURS, large_name, _GROWTH),
    )
    limits = (
        Limit(f"the file beyond the entries' bytes, an entry of {size:,}", beside, _BYTES_BESIDE, "bytes"),
        Limit(f"peak memory with {size:,} entries", peaks[1], peaks[0] * 1.05, "MiB"),
    )
    notes = [
        f"the bar is of a bare commit where that takes {_SLOW_DISK * 1e6:.0f} us or more, else of the floor:"
        f" here it takes {bare * 1e6:.0f} us"
    ]
    return Result(
        NAME, f"one entry of {ENTRY_BYTES} bytes, durable", measured, [], bars, notes, limits=limits
    )


def _bytes_beside(path: str) -> float:
    """Return how many bytes an entry takes in the file beyond its own; nobody has the ledger open."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        entries, own = connection.execute("SELECT count(*), sum(length(body)) FROM entry").fetchone()
    finally:
        connection.close()
    return float((os.stat(path).st_size - own) / entries)


def _peak(workspace: Workspace, path: str) -> float:
    """Return the peak memory, in MiB, of a writer that appends to the ledger."""
    argv = [sys.executable, os.path.join(PROGRAMS, "nono_appends.py"), path, str(ENTRY_BYTES), "peak"]
    done = subprocess.run(argv, env=workspace.environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"nono_appends.py: exit code {done.returncode}: {done.stderr}")
    return int(done.stdout) / 1024
