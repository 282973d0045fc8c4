"""Appending one entry, durable when the call returns, and a bare SQLite commit of a row of that size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from large_ledger import ENTRY_BYTES
from measuring import Result, Subject, in_turn
from workers import Worker

if TYPE_CHECKING:
    from measuring import Bar
    from workspace import Workspace

NAME = "appending"
OURS = "Ledger.append (verified, hashed, signed)"
SQLITE = "SQLite, WAL, synchronous=FULL"

BARS: tuple[Bar, ...] = ()


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Commit one entry after another with each."""
    directory = workspace.directory("appending")
    plain = os.path.join(directory, "plain.db")
    environment = workspace.environment
    with (
        Worker("nono_appends.py", directory, str(ENTRY_BYTES), environment=environment) as ours,
        Worker("sqlite_commits.py", plain, str(ENTRY_BYTES), environment=environment) as sqlite,
    ):
        subjects = [Subject(OURS, ours.sample), Subject(SQLITE, sqlite.sample)]
        measured = in_turn(subjects, rounds=10 if quick else 60, block=50, warm_up=50)
    return Result(NAME, f"one entry of {ENTRY_BYTES} bytes, durable", measured, [], BARS)
