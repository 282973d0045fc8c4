"""The gauntlet: every mutation of a ledger that must not come out as verified, a row each.

What is done against the writer stands in ``tests/store/test_writer_attacked.py``; mutations by chance are in
:mod:`tests.gauntlet.chance`.
"""

from __future__ import annotations

from tests.gauntlet import (
    edited,
    exported,
    files,
    proofs,
    recorded,
    required,
    shown,
    spelled,
    trusted,
    witnessed,
)

MUTATIONS = tuple(
    mutation
    for part in (edited, recorded, spelled, trusted, witnessed, required, files, proofs, shown, exported)
    for mutation in part.MUTATIONS
)
"""All rows."""

NOT_BY_A_FILE = {
    "controls.form": "it is about another file; tests/verify/test_export_oscal.py",
    "controls.unreadable": "it is about another file; tests/verify/test_export_oscal.py",
    "export.exists": "it is about what is written; tests/verify/test_export_command.py",
    "export.missing": "a library is not installed; tests/verify/test_export_parquet.py",
    "export.undelivered": "it is about where it is sent; tests/cli/test_audit_send.py",
    "export.unwritable": "it is about what is written; tests/verify/test_export_command.py",
    "input.busy": "another process keeps a lock, whatever the file",
    "input.changing": "somebody writes while it is read; tests/verify/test_living_files.py",
    "input.memory": "the process has too little memory, whatever the file; tests/verify/test_memory.py",
    "input.unexpected": "a fault of the verifier itself; tests/verify/test_command.py",
    "input.worker": "a process of the verifier was killed; tests/verify/test_all_cores.py",
    "report.exists": "the page lies elsewhere; tests/verify/report/test_report_command.py",
    "report.unwritable": "the page lies elsewhere; tests/verify/report/test_report_command.py",
    "timestamp.missing": "a library is not installed; tests/verify/test_timestamps.py",
    "timestamp.none": "it takes an authority to stamp; tests/verify/test_timestamps.py",
    "timestamp.signature": "it takes an authority to stamp; tests/verify/test_timestamps.py",
    "timestamp.time": "it takes an authority to stamp; tests/verify/test_timestamps.py",
}
"""The codes that no row reaches, and why no file can cause them."""
