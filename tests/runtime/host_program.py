"""Programs of Python that launch, each in an interpreter of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attest import canonical, schema
from store.ledger_file import connect_for_reading

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
SAYING = f"""\
import json, os, signal, sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
def say(value): print(json.dumps(value, default=repr), flush=True)
"""


class Host:
    """Runs code of host programs.

    Args:
        place: a directory of its own, with what XDG has and a ``work`` to start in.
        prologue: what comes first in every program, after :data:`SAYING`.
    """

    def __init__(self, place: Path, prologue: str) -> None:
        self.place = place
        self.work = place / "work"
        self.work.mkdir()
        self._prologue = SAYING + prologue
        self.environment = {
            "HOME": str(place / "home"),
            "PATH": "/usr/bin:/bin",
            "TMPDIR": str(place),
            **{f"XDG_{name}_HOME": str(place / name) for name in ("CACHE", "CONFIG", "STATE")},
        }

    def begin(self, code: str, **options: Any) -> subprocess.Popen[bytes]:  # what Popen takes
        """Start a program."""
        return subprocess.Popen(
            [sys.executable, "-I", "-c", self._prologue + code],
            env={**self.environment, **options.pop("env", {})},
            cwd=self.work,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def run(self, code: str, **options: Any) -> Any:  # whatever JSON has
        """Run a program and return the JSON that it says last."""
        begun = self.begin(code, **options)
        out, err = begun.communicate(timeout=120)
        assert begun.returncode == 0, err.decode()
        assert b"Traceback" not in err
        return json.loads(out.splitlines()[-1])

    def entries(self, ledger: str | Path = "../l.db") -> list[dict[str, Any]]:
        """Return every entry of a ledger, each held to the schema of its kind.

        Args:
            ledger: its path, from ``work``.
        """
        connection = connect_for_reading(os.fsencode(self.work / ledger))
        bodies = [row[0] for row in connection.execute("SELECT body FROM entry ORDER BY idx")]
        connection.close()
        documents = [canonical.decode_object(body) for body in bodies]
        for document in documents:
            schema.check_entry(document)
        return [dict(document) for document in documents]

    def sessions(self) -> Mapping[str, list[str]]:
        """Return the kinds of the entries of each launch."""
        found: dict[str, list[str]] = {}
        for entry in self.entries():
            if entry["session"] is not None:
                found.setdefault(entry["session"], []).append(entry["kind"].removeprefix("launch."))
        return found
