"""Exports of a large ledger on one core, the replay included, beside the replay by itself."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import large_ledger
from measuring import Ceiling, Limit, Result, Subject, in_turn
from process_tree import peak_memory
from workers import Worker
from workspace import installed_command

if TYPE_CHECKING:
    from measuring import Bar
    from workspace import Workspace

NAME = "exporting"
JSON_LINES = "to JSON lines"
OCSF = "to OCSF"
ALONE = "verified, and nothing written"

BARS: tuple[Bar, ...] = ()

_OTHERS = {
    "to JSON lines, with proofs": ("json-lines", "proofs"),
    "to OCSF, with proofs": ("ocsf", "proofs"),
    "to CSV": ("csv", ""),
    "to CEF": ("cef", ""),
    "to OTLP": ("otlp", ""),
}
_PER_LAUNCH = 50
_SIZE, _QUICK_SIZE = 100_000, 10_000
_SMALL, _LARGE = 100_000, 1_000_000
_JSON_LINES_A_SECOND, _OCSF_A_SECOND = 50_000, 15_000
_FLAT = 1.15


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Export in each format, in turn; then the memory of a small ledger and of a large one."""
    size = _QUICK_SIZE if quick else _SIZE
    ledger = large_ledger.build(workspace, "exported", size, per_launch=_PER_LAUNCH)
    forms = {JSON_LINES: ("json-lines", ""), OCSF: ("ocsf", ""), **_OTHERS, ALONE: ("", "")}
    with contextlib.ExitStack() as stack:

        def served(name: str, form: str, proofs: str) -> Subject:
            worker = Worker("nono_exports.py", *ledger, form, proofs, environment=workspace.environment)
            return Subject(name, stack.enter_context(worker).sample, size)

        subjects = [served(name, *form) for name, form in forms.items()]
        measured = in_turn(subjects, rounds=3 if quick else 5)
    limits = [] if quick else _memory(workspace)
    notes = [f"an entry has {large_ledger.average_bytes(ledger[0]):.0f} bytes, {_PER_LAUNCH} are a launch"]
    ceilings = (Ceiling(JSON_LINES, size / _JSON_LINES_A_SECOND), Ceiling(OCSF, size / _OCSF_A_SECOND))
    title = f"export of {size:,} entries on one core, verified first"
    return Result(NAME, title, measured, [], BARS, notes, ceilings, tuple(limits))


def _memory(workspace: Workspace) -> list[Limit]:
    small, large = (
        large_ledger.build(workspace, f"exported-{size}", size, per_launch=_PER_LAUNCH)
        for size in (_SMALL, _LARGE)
    )
    limits = []
    for form in ("json-lines", "ocsf"):
        peaks = [
            peak_memory(
                [installed_command("nono-verify"), "export", path, "-k", key, "--to", form, "--cores", "1"],
                workspace.environment,
            )
            for path, key in (small, large)
        ]
        what = f"memory of {form}, {_LARGE:,} entries ({peaks[1] >> 20} MiB) to {_SMALL:,}"
        limits.append(Limit(what, peaks[1] / peaks[0], _FLAT, "x"))
    return limits
