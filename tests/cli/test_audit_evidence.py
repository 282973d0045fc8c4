"""``nono audit evidence``: what it writes is evidence for ``nono-verify``, or there is one clear error."""

from __future__ import annotations

import os
import pty
import sqlite3
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from attest import entry as entries
from attest import evidence
from attest.evidence import Head, ProvenEntry
from attest.keys import SigningKey
from runtime import cli
from store.index import SearchIndex
from store.rolling import roll
from tests.store.recorded_launches import (
    INTENT,
    KEY,
    append_attested,
    changed,
    drafts,
    open_ledger,
    session_id,
    this_process,
)
from verify import Pin, verify_evidence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verify import EvidenceVerdict

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(cli.__file__ or ""))).removesuffix("/runtime")
SUCCESSOR = SigningKey(b"\x02" * 32)


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
        append_attested(opened, session_id(1))
        append_attested(opened, session_id(2))
    return path


Capture = pytest.CaptureFixture[bytes]


def run(capfdbinary: Capture, *arguments: str) -> tuple[int, bytes, str]:
    status = cli.main(["audit", "evidence", *arguments])
    captured = capfdbinary.readouterr()
    return status, captured.out, captured.err.decode()


def checked(data: bytes, *keys: SigningKey) -> EvidenceVerdict:
    import io

    return verify_evidence(io.BytesIO(data), pins=[Pin(key.public) for key in keys or (KEY,)])


def written(capfdbinary: Capture, tmp_path: Path, *arguments: str) -> bytes:
    """Write evidence to a file and to standard output, which must be the same, and return it."""
    target = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
    status, out, err = run(capfdbinary, *arguments, "--out", str(target))
    assert (status, err) == (0, "")
    assert f"nono-verify evidence {target}".encode() in out
    assert run(capfdbinary, *arguments) == (0, target.read_bytes(), "")
    return target.read_bytes()


def test_each_launch_by_each_of_its_names(ledger: Path, tmp_path: Path, capfdbinary: Capture) -> None:
    for which, session in (
        (session_id(1), session_id(1)),
        (session_id(2), session_id(2)),
        (session_id(1).upper(), session_id(1)),
        (session_id(2)[:16], session_id(2)),
        ("last", session_id(2)),
    ):
        verdict = checked(written(capfdbinary, tmp_path, which))
        assert (verdict.exit, verdict.findings) == (0, ())
        assert verdict.launch is not None
        assert (verdict.launch.session, verdict.launch.entries) == (session, 4)
        assert verdict.size == 9


def test_the_lines_are_the_entries_of_the_launch(ledger: Path, tmp_path: Path, capfdbinary: Capture) -> None:
    import io

    lines = list(evidence.read(io.BytesIO(written(capfdbinary, tmp_path, session_id(2)))))
    assert isinstance(lines[0], Head)
    kept = [line for line in lines if isinstance(line, ProvenEntry)]
    assert [line.index for line in kept] == [0, 5, 6, 7, 8]
    with sqlite3.connect(ledger) as connection:
        for line in kept:
            (body,) = connection.execute("SELECT body FROM entry WHERE idx = ?", (line.index,)).fetchone()
            assert line.body == body.encode()
    connection.close()


def test_the_ledger_that_is_named(state: Path, tmp_path: Path, capfdbinary: Capture) -> None:
    path = tmp_path / "other.db"
    with open_ledger(path, state) as opened:
        append_attested(opened, session_id(3))
    assert checked(written(capfdbinary, tmp_path, "--ledger", str(path), "last")).exit == 0


def test_blobs_and_what_was_taken_away(
    ledger: Path, state: Path, tmp_path: Path, capfdbinary: Capture
) -> None:
    command = ["echo", "x" * 70_000, "é\U0001f512" * 9_000]
    with open_ledger(ledger, state) as opened:
        append_attested(opened, session_id(3), intent=changed(INTENT, command=command))
    data = written(capfdbinary, tmp_path, "last")
    assert data.count(b'\n{"blob":{') == 1
    assert checked(data).exit == 0
    edit(ledger, "DELETE FROM blob")
    status, out, err = run(capfdbinary, "last")
    assert status == 0
    assert "1 value that lay beside its entries was taken away" in err
    assert b'\n{"withheld":"' in out
    assert [finding.code for finding in checked(out).findings] == ["blob.withheld"]


def test_before_and_after_a_rotation(ledger: Path, state: Path, tmp_path: Path, capfdbinary: Capture) -> None:
    before = written(capfdbinary, tmp_path, session_id(1))
    with open_ledger(ledger, state) as opened:
        opened.hand_over(SUCCESSOR, "yearly")
    directly = written(capfdbinary, tmp_path, session_id(1))
    with open_ledger(ledger, state, SUCCESSOR) as opened:
        append_attested(opened, session_id(3), SUCCESSOR)
    old, new = (written(capfdbinary, tmp_path, session_id(number)) for number in (1, 3))
    for data in (before, directly, old, new):
        assert checked(data, KEY).exit == 0
    for data in (directly, old, new):
        assert checked(data, SUCCESSOR).exit == 0
    assert checked(before, SUCCESSOR).exit == 3
    assert b'"checkpoint":' not in before
    assert b'"checkpoint":' in old


def test_a_checkpoint_that_is_kept_for_an_anchor_is_no_handover(
    ledger: Path, state: Path, capfdbinary: Capture
) -> None:
    from attest import checkpoint, note

    connection = sqlite3.connect(ledger)
    ((head,),) = connection.execute("SELECT note FROM head").fetchall()
    connection.close()
    with open_ledger(ledger, state) as opened:
        opened.hand_over(SUCCESSOR, "yearly")
    assert checkpoint.parse_text(note.parse(head.encode()).text).size == 9
    edit(ledger, ("INSERT INTO checkpoint VALUES (9, ?)", (head,)))
    status, out, _ = run(capfdbinary, "last")
    assert status == 0
    assert out.count(b'{"checkpoint":') == 1
    assert checked(out).exit == 0


def test_after_a_roll(ledger: Path, state: Path, tmp_path: Path, capfdbinary: Capture) -> None:
    successor = tmp_path / "next.db"
    with roll(
        os.fsencode(ledger),
        KEY,
        successor=os.fsencode(successor),
        name=None,
        tool_version="0.1.0",
        state=os.fsencode(state),
    ) as opened:
        append_attested(opened, session_id(3))
    sealed = checked(written(capfdbinary, tmp_path, "--ledger", str(ledger), session_id(1)))
    assert sealed.exit == 0
    after = checked(written(capfdbinary, tmp_path, "--ledger", str(successor), "last"))
    assert after.exit == 0
    assert f"it continues {sealed.origin}, which was not looked at" in [
        caveat.message for caveat in after.not_excluded
    ]


def test_a_large_ledger_and_many_decisions(
    ledger: Path, state: Path, tmp_path: Path, capfdbinary: Capture
) -> None:
    with open_ledger(ledger, state) as opened:
        append_attested(opened, session_id(3), decisions=600)
        for number in range(10, 60):
            opened.append(drafts(session_id(number), decisions=10))
    verdict = checked(written(capfdbinary, tmp_path, session_id(3)))
    assert (verdict.exit, verdict.size) == (0, 9 + 604 + 50 * 14)
    assert verdict.launch is not None
    assert verdict.launch.entries == 604


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({}, "launch.unfinished"),
        (this_process(), "launch.running"),
        ({"closing": entries.LOST}, "launch.lost"),
    ],
)
def test_a_launch_that_has_no_statement(
    ledger: Path, state: Path, capfdbinary: Capture, parts: dict[str, Any], code: str
) -> None:
    closing = parts.get("closing")
    intent = changed(INTENT, **{name: part for name, part in parts.items() if name != "closing"})
    with open_ledger(ledger, state) as opened:
        opened.append(drafts(session_id(3), intent=intent, start=None, outcome=None, closing=closing))
        append_attested(opened, session_id(4))
    status, out, err = run(capfdbinary, session_id(3))
    assert status == 0
    assert ("has no end yet" in err) is (closing is None)
    verdict = checked(out)
    assert (verdict.exit, [finding.code for finding in verdict.findings]) == (3, [code])


# --- where it is written ----------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o277])
def test_the_file_is_for_its_owner(ledger: Path, tmp_path: Path, capfdbinary: Capture, mask: int) -> None:
    before = os.umask(mask)
    try:
        assert run(capfdbinary, "last", "-o", str(tmp_path / "e"))[0] == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "e").stat().st_mode) == 0o600 & ~mask


def test_nothing_is_overwritten(ledger: Path, tmp_path: Path, capfdbinary: Capture) -> None:
    target = tmp_path / "e"
    target.write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (target, tmp_path / "link", tmp_path):
        status, out, err = run(capfdbinary, "last", "-o", str(path))
        assert (status, out) == (1, b"")
        assert "exists already" in err
        assert "name another file" in err
    assert target.read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()


def test_what_appears_meanwhile_is_not_overwritten(
    ledger: Path, tmp_path: Path, capfdbinary: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, true = tmp_path / "e", os.link

    def link(*arguments: Any) -> None:
        target.write_text("theirs")
        true(*arguments)

    monkeypatch.setattr(os, "link", link)
    status, _, err = run(capfdbinary, "last", "-o", str(target))
    assert status == 1
    assert "exists already" in err
    assert target.read_text() == "theirs"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".nono-")]


@pytest.mark.parametrize("name", ["missing/e", "e\0", "x" * 300])
def test_a_file_that_cannot_be_written(ledger: Path, tmp_path: Path, capfdbinary: Capture, name: str) -> None:
    before = sorted(os.listdir(tmp_path))
    status, out, err = run(capfdbinary, "last", "-o", os.path.join(tmp_path, name))
    assert (status, out) == (1, b"")
    assert err.startswith("nono: cannot write the evidence to ")
    assert sorted({*os.listdir(tmp_path)} - {"cache"}) == sorted({*before} - {"cache"})


def test_a_file_without_a_name(ledger: Path, capfdbinary: Capture) -> None:
    status, out, err = run(capfdbinary, "last", "-o", "")
    assert (status, out) == (2, b"")
    assert "--out is given an empty path" in err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device there")
def test_a_full_disk(ledger: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from runtime import cli; sys.exit(cli.main(sys.argv[1:]))",
             "audit", "evidence", "last"],
            check=False, stdout=full, stderr=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(b"nono: cannot write to standard output: ")


def test_a_limit_on_file_sizes_leaves_nothing_behind(ledger: Path, state: Path, tmp_path: Path) -> None:
    with open_ledger(ledger, state) as opened:
        append_attested(opened, session_id(3), intent=changed(INTENT, command=["x" * 200_000]))
    program = (
        "import resource, signal, sys; from runtime import cli;"
        "cli.main(['audit', 'list']);"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    for arguments in (["-o", str(tmp_path / "e")], []):
        done = subprocess.run(
            [sys.executable, "-c", program, "audit", "evidence", "last", *arguments],
            check=False, capture_output=True, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        assert b"File too large" in done.stderr
        assert sorted(os.listdir(tmp_path)) == ["cache", "state"]


def test_it_is_not_written_to_a_terminal(ledger: Path) -> None:
    """What a launch was called with is in it, and may hold what a terminal obeys."""
    parent, child = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from runtime import cli; sys.exit(cli.main(sys.argv[1:]))",
         "audit", "evidence", "last"],
        check=False, stdout=child, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    os.close(child)
    os.set_blocking(parent, False)
    with pytest.raises(OSError, match=r"Input/output error|temporarily unavailable"):
        os.read(parent, 1)
    os.close(parent)
    assert done.returncode == 2
    assert done.stderr == (
        b"nono: evidence is for a file, not for a terminal\nnono: hint: -o FILE, or > FILE\n"
    )


# --- ledgers that are not what was signed -----------------------------------------------------------


def edit(path: Path, *statements: str | tuple[str, tuple[Any, ...]]) -> None:
    """Edit a ledger as somebody would who may write the file: past its triggers."""
    connection = sqlite3.connect(path, isolation_level=None)
    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(*((statement,) if isinstance(statement, str) else statement))
    for _, sql in triggers:
        connection.execute(sql)
    connection.close()


def resigned(path: Path, key: SigningKey) -> tuple[str, tuple[str]]:
    from attest import checkpoint, note

    connection = sqlite3.connect(path)
    ((text,),) = connection.execute("SELECT note FROM head").fetchall()
    connection.close()
    head = checkpoint.parse_text(note.parse(text.encode()).text)
    return "UPDATE head SET note = ?", (head.sign([key]),)


HEAD = "UPDATE head SET note = replace(note, char(10) || '{}' || char(10), char(10) || '{}' || char(10))"


@pytest.mark.parametrize(
    "attack",
    [
        lambda path: "UPDATE entry SET body = replace(body, 'hello', 'howdy') WHERE idx = 5",
        lambda path: "DELETE FROM entry WHERE idx = 6",
        lambda path: "UPDATE entry SET body = replace(body, 'builder', 'bilder') WHERE idx = 0",
        lambda path: HEAD.format(10, 11),
        lambda path: resigned(path, SUCCESSOR),
        lambda path: (
            "UPDATE checkpoint SET note = replace(note, char(10) || '10' || char(10), char(10) || '9'"
            " || char(10))"
        ),
        lambda path: "DELETE FROM checkpoint",
        lambda path: "DELETE FROM head",
    ],
)
def test_a_ledger_that_was_edited(
    ledger: Path,
    state: Path,
    tmp_path: Path,
    capfdbinary: Capture,
    attack: Callable[[Path], str | tuple[str, tuple[Any, ...]]],
) -> None:
    with open_ledger(ledger, state) as opened:
        opened.hand_over(SUCCESSOR, "yearly")
    assert run(capfdbinary, session_id(2))[0] == 0
    before = sorted(os.listdir(tmp_path))
    with_key = attack(ledger)
    edit(ledger, with_key)
    for arguments in ((), ("-o", str(tmp_path / "e"))):
        status, out, err = run(capfdbinary, session_id(2), *arguments)
        assert (status, out) == (1, b"")
        assert "is not what was signed" in err or "has no head" in err or "cannot read" in err
        assert "nono-verify" in err
        assert "Traceback" not in err
    assert sorted(os.listdir(tmp_path)) == before


def test_an_entry_that_is_gone_from_behind_a_tile(ledger: Path, state: Path, capfdbinary: Capture) -> None:
    """No proof of the others needs it, since their tile has its hash; the numbers of the session tell."""
    with open_ledger(ledger, state) as opened:
        opened.append(drafts(session_id(3), decisions=300))
    edit(ledger, "DELETE FROM entry WHERE idx = 6")
    status, out, err = run(capfdbinary, session_id(2))
    assert (status, out) == (1, b"")
    assert "entry 7 is not number 1 of its session" in err


def test_a_blob_that_is_another(ledger: Path, state: Path, capfdbinary: Capture) -> None:
    with open_ledger(ledger, state) as opened:
        append_attested(opened, session_id(3), intent=changed(INTENT, command=["x" * 70_000]))
    edit(ledger, "UPDATE blob SET data = CAST(replace(CAST(data AS TEXT), 'x', 'y') AS BLOB)")
    status, out, err = run(capfdbinary, "last")
    assert (status, out) == (1, b"")
    assert "what lies beside entry 9 is not what it names" in err


def test_a_launch_of_more_than_one_file_may_hold(
    ledger: Path, tmp_path: Path, capfdbinary: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(written(capfdbinary, tmp_path, "last"))
    monkeypatch.setattr(evidence, "MAX_BYTES", size)
    assert run(capfdbinary, "last")[0] == 0
    monkeypatch.setattr(evidence, "MAX_BYTES", size - 1)
    status, out, err = run(capfdbinary, "last", "-o", str(tmp_path / "e"))
    assert (status, out) == (1, b"")
    assert f"more of the launch than the {size - 1} bytes" in err
    assert "nono audit snapshot" in err
    assert not (tmp_path / "e").exists()


def test_the_index_is_not_believed(
    ledger: Path, capfdbinary: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it points to another entry there is no evidence that begins there."""
    from dataclasses import replace

    true = SearchIndex.launches
    for first in (0, 2, 4, 5, 99):
        monkeypatch.setattr(
            SearchIndex,
            "launches",
            lambda *asked, at=first, **more: [replace(each, first=at) for each in true(*asked, **more)],
        )
        status, out, err = run(capfdbinary, session_id(1))
        assert (status, out) == (1, b"")
        assert "does not begin where the index has it" in err


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("0000ffff", "no launch whose session id begins with 0000ffff"),
        ("0000", "several launches whose session id begins with 0000"),
        ("00", "not a session id: 00"),
        ("first\x1b[2J", "not a session id: first\\x1b[2J"),
        ("", "not a session id"),
    ],
)
def test_a_launch_that_is_none(ledger: Path, capfdbinary: Capture, which: str, said: str) -> None:
    status, out, err = run(capfdbinary, which)
    assert (status, out) == (2 if "not a session id" in said else 1, b"")
    assert said in err
    assert "\x1b" not in err


def test_no_ledger(state: Path, capfdbinary: Capture) -> None:
    status, out, err = run(capfdbinary, "last")
    assert (status, out) == (1, b"")
    assert "no ledger in" in err


def test_the_help_has_examples(capfdbinary: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["audit", "evidence", "--help"])
    assert caught.value.code == 0
    text = capfdbinary.readouterr().out.decode()
    assert "nono audit evidence last -o launch.jsonl" in text
    assert "nono-verify evidence launch.jsonl -k ci.pub" in text
