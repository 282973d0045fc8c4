"""``nono ledger prove``: what it writes is a proof for ``nono-verify``, or there is one clear error."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from attest import entry as entries
from attest import tlog_proof
from attest.keys import SigningKey
from attest.note import Verifier
from runtime import cli
from store.index import SearchIndex
from tests.store.recorded_launches import KEY, changed, drafts, open_ledger, session_id, this_process
from verify import Pin, verify_proof

if TYPE_CHECKING:
    from pathlib import Path

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(cli.__file__ or ""))).removesuffix("/runtime")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nono's state directory."""
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    return tmp_path / "state" / "nono"


@pytest.fixture
def ledger(state: Path) -> Path:
    """A ledger of two launches, the only one there is: entries 1 to 4 and 5 to 8."""
    path = state / "ledgers" / f"{KEY.public.fingerprint()}.db"
    with open_ledger(path, state) as opened:
        opened.append(drafts(session_id(1)))
        opened.append(drafts(session_id(2)))
    return path


def run(capfdbinary: pytest.CaptureFixture[bytes], *arguments: str) -> tuple[int, bytes, str]:
    status = cli.main(["ledger", "prove", *arguments])
    captured = capfdbinary.readouterr()
    return status, captured.out, captured.err.decode()


def proved(
    capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, *arguments: str
) -> tuple[int, entries.Entry]:
    """Prove an entry, have the verifier check it, and return index and entry."""
    target = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
    status, out, err = run(capfdbinary, *arguments, "--entry", str(target))
    assert (status, err) == (0, "")
    body = target.read_bytes()
    verdict = verify_proof(out, body, pins=[Pin(KEY.public)])
    assert (verdict.exit, verdict.findings) == (0, ())
    assert verdict.index is not None
    return verdict.index, entries.parse(body)


def test_an_entry_by_its_index(
    ledger: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for index in range(9):
        assert proved(capfdbinary, tmp_path, str(index))[0] == index


def test_a_launch_by_its_session(
    ledger: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for which, session in (
        (session_id(1), session_id(1)),
        (session_id(2), session_id(2)),
        (session_id(1).upper(), session_id(1)),
        (session_id(2)[:16], session_id(2)),
        ("last", session_id(2)),
    ):
        index, entry = proved(capfdbinary, tmp_path, which)
        assert (entry.kind, entry.session) == (entries.ATTESTATION, session)
        assert index == {session_id(1): 4, session_id(2): 8}[session]


def test_only_the_proof_is_printed(ledger: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    status, out, err = run(capfdbinary, "3")
    assert (status, err) == (0, "")
    assert tlog_proof.parse(out).encode() == out


def test_the_ledger_that_is_named(
    state: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "other.db"
    with open_ledger(path, state) as opened:
        opened.append(drafts(session_id(3)))
    assert proved(capfdbinary, tmp_path, "--ledger", str(path), "last")[0] == 4


def test_after_a_handover_the_new_key_signs(
    ledger: Path, state: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    successor = SigningKey(b"\x02" * 32)
    with open_ledger(ledger, state) as opened:
        opened.hand_over(successor, "rotation")
        opened.append(drafts(session_id(3)))
    status, out, _ = run(capfdbinary, session_id(1), "--entry", str(tmp_path / "e"))
    assert status == 0
    body = (tmp_path / "e").read_bytes()
    assert verify_proof(out, body, pins=[Pin(successor.public)]).exit == 0
    assert verify_proof(out, body, pins=[Pin(KEY.public)]).exit == 3


@pytest.mark.parametrize("mode", [0o000, 0o077])
def test_the_entry_is_for_its_owner(
    ledger: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], mode: int
) -> None:
    before = os.umask(mode)
    try:
        assert run(capfdbinary, "1", "--entry", str(tmp_path / "e"))[0] == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "e").stat().st_mode) == 0o600


def test_nothing_is_overwritten(
    ledger: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    target = tmp_path / "e"
    target.write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (target, tmp_path / "link"):
        status, out, err = run(capfdbinary, "1", "--entry", str(path))
        assert (status, out) == (1, b"")
        assert "exists already" in err
    assert target.read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["missing/e", "e\0", "x" * 300])
def test_an_entry_that_cannot_be_written(
    ledger: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], name: str
) -> None:
    status, out, err = run(capfdbinary, "1", "--entry", os.path.join(tmp_path, name))
    assert (status, out) == (1, b"")
    assert err.startswith("nono: cannot write the entry to ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device there")
def test_a_full_disk(ledger: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from runtime import cli; sys.exit(cli.main(sys.argv[1:]))",
             "ledger", "prove", "1"],
            check=False, stdout=full, stderr=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(b"nono: cannot write to standard output: ")


@pytest.mark.parametrize("index", ["9", "99999", "9007199254740992", "9" * 40])
def test_an_entry_that_is_not_there(
    ledger: Path, capfdbinary: pytest.CaptureFixture[bytes], index: str
) -> None:
    status, out, err = run(capfdbinary, index)
    assert (status, out) == (1, b"")
    assert err.startswith("nono: no entry ")
    assert "it has 9" in err


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("0000ffff", "no launch whose session id begins with 0000ffff"),
        ("0000", "several launches whose session id begins with 0000"),
        ("00", "not a session id: 00"),
        ("1.0", "not a session id: 1.0"),
        ("\u0661\u0662\u0663\u0664", "not a session id"),
        ("first\x1b[2J", "not a session id: first\\x1b[2J"),
        ("", "not a session id"),
    ],
)
def test_a_launch_that_is_none(
    ledger: Path, capfdbinary: pytest.CaptureFixture[bytes], which: str, said: str
) -> None:
    status, out, err = run(capfdbinary, which)
    assert (status, out) == (2 if "not a session id" in said else 1, b"")
    assert said in err
    assert "\x1b" not in err


def test_a_launch_that_never_closed(
    ledger: Path, state: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from tests.store.recorded_launches import INTENT

    with open_ledger(ledger, state) as opened:
        for number, more in ((3, {}), (4, this_process())):
            intent = changed(INTENT, **more)
            opened.append(drafts(session_id(number), intent=intent, start=None, outcome=None, closing=None))
    for number, word in ((3, "unfinished"), (4, "running")):
        status, out, err = run(capfdbinary, session_id(number))
        assert (status, out) == (1, b"")
        assert f"launch {session_id(number)} is {word}: it has no attestation" in err
        assert f"nono audit show {session_id(number)}" in err


def test_the_index_is_not_believed(
    ledger: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it points to another entry there is no proof of that other entry."""
    from dataclasses import replace

    true = SearchIndex.launches
    for attestation in (3, 8):
        monkeypatch.setattr(
            SearchIndex,
            "launches",
            lambda *asked, at=attestation, **more: [
                replace(each, attestation=at) for each in true(*asked, **more)
            ],
        )
        status, out, err = run(capfdbinary, session_id(1))
        assert (status, out) == (1, b"")
        assert "is not where the index has it" in err


def test_a_ledger_that_was_edited(
    ledger: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    import sqlite3

    connection = sqlite3.connect(ledger, isolation_level=None)
    ((trigger,),) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'entry_update'")
    connection.execute("DROP TRIGGER entry_update")
    connection.execute("UPDATE entry SET body = replace(body, 'hello', 'howdy') WHERE idx = 5")
    connection.execute(trigger)
    connection.close()
    before = sorted(os.listdir(tmp_path))
    for which in ("5", "6"):
        status, out, err = run(capfdbinary, which, "--entry", str(tmp_path / "e"))
        assert (status, out) == (1, b"")
        assert "is not what was signed" in err
        assert "nono-verify" in err
    assert sorted(os.listdir(tmp_path)) == before


def test_no_ledger(state: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    status, out, err = run(capfdbinary, "1")
    assert (status, out) == (1, b"")
    assert "no ledger in" in err


def test_the_help_has_examples(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["ledger", "prove", "--help"])
    assert caught.value.code == 0
    text = capfdbinary.readouterr().out.decode()
    assert "nono ledger prove last --entry launch.json > launch.tlog-proof" in text
    assert "nono-verify proof launch.tlog-proof launch.json -k ci.pub" in text


def test_the_origin_and_the_size_are_those_of_the_head(
    ledger: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    _, out, _ = run(capfdbinary, "0")
    read = tlog_proof.parse(out)
    head, signers = tlog_proof.open_checkpoint(
        read, [Verifier(read.unsigned_checkpoint().origin, KEY.public)]
    )
    assert head.size == 9
    assert head.origin.startswith("builder/")
    assert [signer.key for signer in signers] == [KEY.public]
