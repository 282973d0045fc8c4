"""Relative paths where the current directory was removed: said in one sentence, whatever the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]

WITH_A_RELATIVE_PATH = (
    ("keygen", "--out", "x.pem"),
    ("ledger", "info", "--ledger", "x.db"),
    ("ledger", "path", "--ledger", "x.db"),
    ("ledger", "prove", "0", "--ledger", "x.db"),
    ("ledger", "init", "--ledger", "x.db"),
    ("ledger", "roll", "--ledger", "x.db", "--to", "/y.db"),
    ("ledger", "roll", "--ledger", "/x.db", "--to", "y.db"),
    ("audit", "list", "--ledger", "x.db"),
    ("audit", "show", "last", "--ledger", "x.db"),
    ("audit", "tail", "--ledger", "x.db"),
    ("audit", "snapshot", "--ledger", "x.db", "y.db"),
    ("audit", "list", "--ledger", "/x.db", "--path", "x"),
    ("audit", "list", "--ledger", "/x.db", "--exe", "./x"),
    ("key", "show", "x"),
    ("key", "rotate", "--ledger", "x.db"),
    ("key", "rotate", "--audit-sign-key", "x", "--out", "/x"),
    ("key", "rotate", "--out", "x"),
    ("run", "--workdir", "/tmp", "--ledger", "x.db", "--", "true"),
    ("run", "--workdir", "/tmp", "-p", "x.json", "--", "true"),
    ("run", "--workdir", "/tmp", "--audit-sign-key", "x.pem", "--", "true"),
    ("run", "--workdir", "/tmp", "--audit-sign-key", "file://x.pem", "--", "true"),
    ("run", "--dry-run", "--workdir", "/tmp", "--ledger", "x.db", "--", "true"),
    ("run", "--dry-run", "--workdir", "/tmp", "--audit-sign-key", "x.pem", "--", "true"),
)


CODE = f"""\
import sys; sys.path[:0] = {[str(ROOT)]!r}; sys.path += ["", "relative"]
from runtime.cli import main; sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def nono(tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Run ``nono`` in a directory that is removed first."""

    def run(*arguments: str) -> tuple[int, str, str]:
        gone = tmp_path / "gone"
        gone.mkdir()
        done = subprocess.run(
            [
                "/bin/sh",
                "-c",
                'rmdir "$PWD" && exec "$@"',
                "sh",
                sys.executable,
                "-I",
                "-c",
                CODE,
                *arguments,
            ],
            cwd=gone,
            env={
                "HOME": str(tmp_path),
                "PATH": "/usr/bin:/bin",
                **{f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("CACHE", "CONFIG", "STATE")},
            },
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    return run


Nono = Any  # the fixture above


@pytest.mark.parametrize("line", WITH_A_RELATIVE_PATH, ids=" ".join)
def test_it_is_said(nono: Nono, line: tuple[str, ...]) -> None:
    status, out, err = nono(*line)
    assert (status, out) == (125 if line[0] == "run" else 1, "")
    said = [text for text in err.splitlines() if not text.startswith("nono: made the host key")]
    assert len(said) == 2, err
    assert said[0].startswith("nono: ")
    assert said[0].endswith("the current directory is gone")
    assert said[1] == "nono: hint: change to another directory, or write the full path"


@pytest.mark.parametrize(
    "line", [("run", "--", "true"), ("run", "--workdir", "x", "--", "true")], ids=" ".join
)
def test_a_launch_has_no_directory_to_work_in(nono: Nono, line: tuple[str, ...]) -> None:
    status, _, err = nono(*line)
    assert status == 125
    assert err.startswith("nono: the working directory cannot be used: ")
    assert len(err.splitlines()) == 1


def test_what_needs_no_current_directory_works(nono: Nono, tmp_path: Path) -> None:
    for line in (
        ("keygen", "--out", str(tmp_path / "a.pem")),
        ("key", "show", str(tmp_path / "a.pem")),
        ("run", "--workdir", str(tmp_path), "--silent", "--", "/bin/true"),
        ("audit", "list"),
    ):
        status, _, err = nono(*line)
        assert (status, err) == (0, ""), line


def test_an_index_is_no_exception(nono: Nono) -> None:
    status, _, err = nono("audit", "list", "--ledger", "/x.db", "--index", "sqlite:///x.db")
    assert status == 1
    assert "Traceback" not in err
    assert err.startswith("nono: ")
