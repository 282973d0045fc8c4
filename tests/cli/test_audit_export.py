"""``nono audit export``: the verifier's export of the ledger of launches here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import cli
from tests.store.recorded_launches import KEY, append_attested, open_ledger, session_id
from verify import cli as verifier

if TYPE_CHECKING:
    Capture = pytest.CaptureFixture[bytes]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of two launches, the only one there is, whose key is pinned."""
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    state = tmp_path / "state" / "nono"
    path = state / "ledgers" / f"{KEY.public.fingerprint()}.db"
    with open_ledger(path, state) as opened:
        append_attested(opened, session_id(1))
        append_attested(opened, session_id(2))
    pin = tmp_path / "key.pub"
    pin.write_bytes(KEY.public.pem())
    monkeypatch.setenv("NONO_VERIFY_KEY", str(pin))
    return path


def test_it_is_what_the_verifier_exports(ledger: Path, tmp_path: Path, capfdbinary: Capture) -> None:
    for arguments in (
        ["--to", "json-lines"],
        ["--to", "csv", "--with-proofs", "--kind", "launch.start"],
        ["--to", "cef", "--session", session_id(2)],
    ):
        assert cli.main(["audit", "export", *arguments]) == 0
        ours = capfdbinary.readouterr()
        assert verifier.main(["export", str(ledger), *arguments]) == 0
        assert capfdbinary.readouterr() == ours
        assert ours.out
        assert not ours.err
    out = tmp_path / "x.jsonl"
    assert cli.main(["audit", "export", "--ledger", str(ledger), "--to", "json-lines", "-o", str(out)]) == 0
    assert b"exported: 9 records as json-lines" in capfdbinary.readouterr().out
    assert {json.loads(line)["verdict"] for line in out.read_text().splitlines()} == {"verified"}


def ended(arguments: list[str]) -> int:
    try:
        return cli.main(["audit", "export", *arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_its_exit_codes_are_the_verifiers(
    ledger: Path, tmp_path: Path, capfdbinary: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").touch()
    for arguments, status, words in (
        (["--to", "csv", "--out", str(ledger), "--overwrite"], 2, b"is what is to be checked"),
        (["--to", "csv", "--out", str(tmp_path / "key.pub"), "--overwrite"], 2, b"what it is checked with"),
        (["--to", "csv", "--out", str(tmp_path / "there")], 2, b"exists already"),
        (["--to", "csv", "--since", "2h", "--until", "3h"], 2, b"no time lies between"),
        (["--to", "csv", "--ledger", str(tmp_path / "none.db")], 2, b"does not exist"),
        (["--to", "csv", "--origin", f"other/{'0' * 32}"], 3, b"intact, not met"),
        (["--to", "word"], 2, b"invalid choice"),
        (["--to", "csv", "--ledger", ""], 2, b"empty path"),
        ([], 2, b"--to"),
    ):
        assert ended(arguments) == status
        captured = capfdbinary.readouterr()
        assert captured.out == b""
        assert words in captured.err
    with open(ledger, "r+b") as file:
        data = file.read()
        file.seek(0)
        file.write(data.replace(b"launch.start", b"launch.stort"))
    assert cli.main(["audit", "export", "--to", "csv"]) == 1
    assert capfdbinary.readouterr().out == b""


def test_no_other_command_loads_the_verifier() -> None:
    program = (
        "import sys; from runtime.cli import command_parser; parser = command_parser('audit');"
        "parser.parse(['list']); assert 'verify' not in sys.modules;"
        "parser.parse(['export', '--to', 'csv']); assert 'verify' in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
