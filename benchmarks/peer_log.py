"""A log of many events as nono-py records them, with its own recorder: the smallest event of a decision."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workspace import Workspace


def build(workspace: Workspace, size: int) -> str:
    """Write a session of ``size`` events and return its directory."""
    from nono_py import audit  # noqa: PLC0415  # the caller has looked whether it is there

    directory = workspace.directory("peer-log")
    recorder = audit.AlphaRecorder()
    with open(os.path.join(directory, audit.AUDIT_EVENTS_FILENAME), "w", encoding="utf-8") as file:
        for _ in range(size):
            recorder.write(
                file,
                audit.capability_decision(
                    timestamp="2026-01-02T03:04:05.678901Z",
                    path="/home/user/.ssh/id_ed25519",
                    access="Read",
                    child_pid=4243,
                    session_id="0192000000007000800000000000abcd",
                    decision=audit.approval_denied("outside the grants"),
                    backend="kernel",
                    duration_ms=0,
                ),
            )
    return directory


def average_bytes(directory: str, size: int) -> float:
    """Return how many bytes an event has."""
    return sum(os.stat(os.path.join(directory, name)).st_size for name in os.listdir(directory)) / size
