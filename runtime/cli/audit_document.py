"""What the commands of ``nono audit`` write for programs, and what all of them warn of."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from attest import canonical, runner_commands
from runtime.cli import complain
from runtime.cli.terminal import number, write_lines
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from store.index import IndexedState, LaunchRecord


SCHEMAS = {name: f"urn:nono-attest:schema:v1:audit-{name}" for name in ("list", "show", "stats")}
"""What each command's object says that its form is; ``nono audit schema`` prints it."""


def ledger_document(ledger: IndexedState) -> dict[str, Any]:
    """Return a ledger as it was when it was caught up, for JSON."""
    return {
        "host": ledger.host,
        "path": canonical.text(ledger.path),
        "origin": ledger.origin,
        "size": ledger.size,
        "root": ledger.root.hex(),
        "consistent": ledger.consistent,
        "skipped": ledger.skipped,
    }


def launch_document(ledger: IndexedState, launch: LaunchRecord) -> dict[str, Any]:
    """Return a launch of ``ledger`` as the index has it, for JSON."""
    return {"origin": ledger.origin, **asdict(launch)}


def write_document(document: dict[str, Any]) -> None:
    """Write one JSON object on a line.

    Raises:
        OutputError: it cannot be written.
    """
    # ASCII, so that nothing in it is a control character, whatever a ledger says.
    text = json.dumps(document, ensure_ascii=True, sort_keys=True)
    write_lines([runner_commands.value_without(text, "\\u0023")])


def warn(ledger: IndexedState) -> None:
    """Say on standard error what is wrong with a ledger, as far as the index has noticed."""
    check = f"nono-verify {shown(ledger.path)}"
    if not ledger.consistent:
        complain("the ledger's entries do not lead to its own head: it was changed or damaged", check)
    if ledger.skipped:
        complain(f"{number(ledger.skipped, 'entry', 'entries')} cannot be read and not listed", check)
