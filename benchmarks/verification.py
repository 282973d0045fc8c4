"""Verification of a large record: our whole replay, and nono-py's hash chain."""

from __future__ import annotations

import contextlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

import large_ledger
import peer_log
from measuring import Missing, Result, Subject, in_turn
from workers import Worker

if TYPE_CHECKING:
    from measuring import Bar
    from workspace import Workspace

NAME = "verification"
OURS = "verify (everything)"
NONO_PY = "nono-py verify_log (hash chain)"

BARS: tuple[Bar, ...] = ()

_SIZE = 100_000
_QUICK_SIZE = 10_000


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Verify the same number of entries with each."""
    size = _QUICK_SIZE if quick else _SIZE
    missing = []
    ledger, key = large_ledger.build(workspace, size)
    notes = [f"an entry of ours has {large_ledger.average_bytes(ledger):.0f} bytes"]
    with contextlib.ExitStack() as stack:
        ours = Worker("nono_verifications.py", ledger, key, str(size), environment=workspace.environment)
        subjects = [Subject(OURS, stack.enter_context(ours).sample, size)]
        if find_spec("nono_py") is None:
            missing.append(Missing(NONO_PY, "not installed: pip install 'nono-attest[bench]'"))
        else:
            log = peer_log.build(workspace, size)
            notes.append(f"an event of nono-py has {peer_log.average_bytes(log, size):.0f} bytes")
            peer = Worker("nono_py_verifications.py", log, str(size), environment=workspace.environment)
            subjects.append(Subject(NONO_PY, stack.enter_context(peer).sample, size))
        measured = in_turn(subjects, rounds=3 if quick else 9)
    return Result(NAME, f"verification of {size:,} entries", measured, missing, BARS, notes)
