"""A ledger that its reader may not write: what is wrong, why, and what to do, whatever the command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attest.keys import SigningKey
from store import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CODE = f"""\
import sys; sys.path.insert(0, {str(ROOT)!r})
from runtime.cli import main
sys.exit(main(sys.argv[1:]))
"""
# Modes bind root as well then. Another user would not do: a checkout may be out of its reach.
BOUND_BY_MODES = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory that others reach: pytest's own are private."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="foreign-ledger-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
        (Path(name) / "foreign").chmod(0o755)


@pytest.fixture
def ledger(base: Path) -> Path:
    """A ledger in a directory that may not be written; root could, and is run without that privilege."""
    path = base / "foreign" / "l.db"
    path.parent.mkdir()
    state = os.fsencode(base / "state")
    Ledger.create(os.fsencode(path), SigningKey.generate(), name="x", tool_version="0", state=state).close()
    assert os.listdir(path.parent) == ["l.db"]
    path.chmod(0o444)
    path.parent.chmod(0o555)
    (base / "own").mkdir()
    (base / "own").chmod(0o777)
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("ledger", "info"),
        ("audit", "list"),
        ("audit", "show", "last"),
        ("audit", "tail"),
        ("audit", "snapshot", "snapshot.db"),
        ("ledger", "prove", "0"),
        ("ledger", "prove", "last"),
    ],
    ids=" ".join,
)
def test_it_is_said_what_to_do(ledger: Path, arguments: tuple[str, ...]) -> None:
    own = ledger.parent.parent / "own"
    names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
    bound = BOUND_BY_MODES if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*bound, sys.executable, "-I", "-c", CODE, *arguments, "--ledger", str(ledger)],
        env={**dict.fromkeys(names, str(own)), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        cwd=own,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.splitlines() == [
        f"nono: cannot read {ledger}: who reads a ledger needs l.db-wal and -shm beside it, and you may not"
        " write them",
        "nono: hint: take a snapshot as its owner (nono audit snapshot FILE), or copy it to a directory of"
        f" yours; nono-verify {ledger} reads it as it is",
    ]
    assert not (own / "snapshot.db").exists()
