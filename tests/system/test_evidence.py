"""One launch shown to somebody who has neither the ledger nor the host, with both commands as installed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from tests.system.conftest import VERIFY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Site


def shown(site: Site, session: str = "last") -> Path:
    """Write the evidence of a launch and return where it is."""
    site.tidy = False  # whoever only reads a ledger leaves SQLite's side files
    path = site.base / f"{len(os.listdir(site.base))}.jsonl"
    ended = site.nono("audit", "evidence", session, "-o", path)
    assert ended.status == 0, ended.stderr
    assert f"check it with: nono-verify evidence {path}\n".encode() in ended.stdout
    return path


def judged(site: Site, path: Path, key: Path) -> tuple[int, Any]:
    """Check evidence as somebody who has a public key, and no home with ledgers or keys in it."""
    done = subprocess.run(
        [VERIFY, "evidence", path, "-k", key, "--format", "json"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        cwd="/",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == b""
    return done.returncode, json.loads(done.stdout)


def test_a_launch_is_shown_without_its_ledger(site: Site) -> None:
    assert site.run("--", "/bin/true").status == 0
    ended = site.shell("printf made > out", "--allow", site.project, "--output", "out", "--label", "run=7")
    assert ended.status == 0
    record = site.record()
    path = shown(site)
    assert site.run("--", "/bin/true").status == 0
    status, verdict = judged(site, path, site.config / "keys/default.pub")
    assert (status, verdict["findings"]) == (0, [])
    assert verdict["statement"] == record.statement
    assert verdict["statement"]["subject"][1]["digest"] == {"sha256": hashlib.sha256(b"made").hexdigest()}
    assert verdict["statement"]["predicate"]["summary"]["labels"] == {"run": "7"}
    assert verdict["launch"]["entries"] == len(record.kinds)


def test_a_refused_launch_is_shown(site: Site) -> None:
    assert site.run("--", "/no/such/command").status == 127
    status, verdict = judged(site, shown(site), site.config / "keys/default.pub")
    assert status == 0
    assert "not_started" in verdict["statement"]["predicate"]["summary"]["outcome"]


def test_after_the_host_key_was_rotated_either_key_will_do(site: Site) -> None:
    assert site.run("--", "/bin/true").status == 0
    first = site.config / "keys/default.pub"
    old = site.file("old.pub", first.read_bytes())
    assert site.nono("key", "rotate", "--reason", "yearly").status == 0
    before = shown(site)
    assert site.run("--", "/bin/true").status == 0
    for path in (before, shown(site)):
        for key, how in ((old, "genesis"), (first, "head")):
            status, verdict = judged(site, path, key)
            assert (status, [pin["met"] for pin in verdict["pins"]]) == (0, [how])
        assert len(verdict["epochs"]) == 2


def test_a_changed_file_fails(site: Site) -> None:
    assert site.run("--label", "run=7", "--", "/bin/true").status == 0
    path, key = shown(site), site.config / "keys/default.pub"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'\\"run\\":\\"7\\"', b'\\"run\\":\\"8\\"', 1))
    assert path.read_bytes() != data
    status, verdict = judged(site, path, key)
    assert status == 1
    assert "proof.root" in [finding["code"] for finding in verdict["findings"]]
