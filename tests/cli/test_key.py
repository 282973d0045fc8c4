"""``nono key``, ``nono keygen --encrypt``, and who is asked for a passphrase: on a real terminal."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from attest import canonical
from attest.keys import PublicKey, SigningKey
from attest.note import Verifier
from runtime import cli
from runtime.secrets import key_files, signing_key
from store import Ledger
from store.overview import default_ledgers_of, overview
from verify import pins, trust, verify

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CODE = f"""\
import sys; sys.path.insert(0, {str(ROOT)!r})
from runtime.cli import main; sys.exit(main(sys.argv[1:]))
"""
SECRET = "s\N{LATIN SMALL LETTER E WITH ACUTE}cret phrase"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, with nothing in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    return tmp_path


@pytest.fixture
def nono(home: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        status = cli.main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    return run


def state(home: Path) -> bytes:
    return os.fsencode(home / "state" / "nono")


def made(home: Path, name: str, passphrase: bytes | None = None) -> SigningKey:
    return key_files.generate(os.fsencode(home / f"{name}.pem"), passphrase)


def found(home: Path, key: SigningKey, name: str = "ci.db") -> Path:
    path = home / name
    Ledger.create(os.fsencode(path), key, name="build", tool_version="0", state=state(home)).close()
    return path


Nono = Any  # the fixture above

# --- show -------------------------------------------------------------------------------------------


def test_the_host_key_and_its_ledger(home: Path, nono: Nono) -> None:
    assert nono("ledger", "init", "--name", "build/main")[0] == 0
    key = signing_key.host_public_key(os.fsencode(home / "config" / "nono"))
    assert key is not None
    status, out, err = nono("key", "show")
    assert (status, err) == (0, "")
    assert f"fingerprint   {key.fingerprint()}\n" in out
    assert out.endswith(key.pem().decode())
    (ledger,) = default_ledgers_of(key, state=state(home))
    vkey = Verifier(ledger.head.origin, key).vkey()
    assert vkey in out
    document = json.loads(nono("key", "show", "--json")[1])
    assert document == {
        "encrypted": False,
        "fingerprint": key.fingerprint(),
        "ledgers": [
            {"origin": ledger.head.origin, "path": os.fsdecode(ledger.path), "size": 1, "vkey": vkey}
        ],
        "public_key": key.pem().decode(),
        "read_from": None,
        "vkeys": [],
        "where": str(home / "config" / "nono" / "keys" / "default.pem"),
    }


@pytest.mark.parametrize("name", ["a b'c", "a\udcff"])
def test_a_path_is_itself_in_json(home: Path, nono: Nono, name: str) -> None:
    """Neither quoted for a shell nor a part of a sentence; what is not UTF-8 has its form."""
    made(home, name, b"secret")
    document = json.loads(nono("key", "show", home / f"{name}.pem", "--json")[1])
    assert canonical.text_bytes(document["where"]) == os.fsencode(home / f"{name}.pem")
    assert canonical.text_bytes(document["read_from"]) == os.fsencode(home / f"{name}.pub")
    assert document["encrypted"] is True
    (home / f"{name}.pub").rename(home / "x.pub")
    document = json.loads(nono("key", "show", home / "x.pub", "--json")[1])
    assert (document["where"], document["encrypted"], document["read_from"]) == (f"{home}/x.pub", None, None)


def test_never_the_private_part(home: Path, nono: Nono) -> None:
    key = made(home, "a")
    secret = b"".join(key.pem().splitlines()[1:-1]).decode()
    for flags in ((), ("--json",)):
        for reference in ("a.pem", "a.pub"):
            out = nono("key", "show", home / reference, *flags)[1]
            assert key.public.fingerprint() in out
            assert secret not in out
            assert secret[-43:-1] not in out


def test_a_verifier_key_for_any_origin(home: Path, nono: Nono) -> None:
    key, origin = made(home, "a"), "build/" + "0" * 32
    for source in (home / "a.pem", home / "a.pub"):
        status, out, _ = nono("key", "show", source, "--origin", origin)
        assert status == 0
        (vkey,) = [line.split()[-1] for line in out.splitlines() if line.startswith("verifier key")]
        assert Verifier.from_vkey(vkey) == Verifier(origin, key.public)
    status, _, err = nono("key", "show", home / "a.pub", "--origin", "not an origin")
    assert (status, "--origin: not an origin" in err, "nono: hint: " in err) == (2, True, True)


def test_what_holds_a_verifier_key_is_shown_as_its_key(home: Path, nono: Nono) -> None:
    key = made(home, "a")
    (home / "a.vkey").write_text(Verifier("build/" + "0" * 32, key.public).vkey() + "\n")
    assert key.public.fingerprint() in nono("key", "show", home / "a.vkey")[1]


def test_an_encrypted_key_with_its_public_half_needs_no_passphrase(home: Path, nono: Nono) -> None:
    key = made(home, "a", b"secret")
    status, out, err = nono("key", "show", home / "a.pem")
    assert (status, err) == (0, "")
    assert key.public.fingerprint() in out
    assert "(encrypted)" in out


def test_an_encrypted_key_alone_takes_its_passphrase_from_a_variable(
    home: Path, nono: Nono, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = made(home, "a", b"secret")
    (home / "a.pub").unlink()
    monkeypatch.setenv("PASS", "secret")
    status, out, err = nono("key", "show", home / "a.pem", "--key-passphrase-env", "PASS")
    assert (status, err) == (0, "")
    assert key.public.fingerprint() in out


@pytest.mark.parametrize("content", ["", "x", "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_not_shown(home: Path, nono: Nono, content: str) -> None:
    (home / "x").write_text(content)
    (home / "x").chmod(0o600)
    status, out, err = nono("key", "show", home / "x")
    assert (status, out) == (1, "")
    assert "Traceback" not in err
    assert nono("key", "show", home / "missing")[0] == 1
    assert nono("key", "show", home)[0] == 1


# --- rotate, with keys of one's own -------------------------------------------------------------------


def test_a_ledger_goes_over_to_a_key_that_is_made(home: Path, nono: Nono) -> None:
    old = made(home, "old")
    ledger = found(home, old)
    status, out, err = nono(
        "key", "rotate", "--ledger", ledger, "--audit-sign-key", home / "old.pem", "--out", home / "new.pem",
        "--reason", "yearly",
    )  # fmt: skip
    assert status == 0, err
    new = PublicKey.from_pem((home / "new.pub").read_bytes())
    assert overview(os.fsencode(ledger), state=state(home)).key == new
    assert "handed over in entry 1" in out
    assert f"shred -u {home / 'old.pem'}" in err
    assert [pin.key for pin in trust.load(os.environ)] == [new]
    for key in (old.public, new):
        assert verify(ledger, pins=[pins.Pin(key)]).exit == 0


def test_a_ledger_goes_over_to_a_key_in_a_variable(
    home: Path, nono: Nono, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = made(home, "old"), SigningKey.generate()
    ledger = found(home, old)
    monkeypatch.setenv("OLD", old.pem().decode())
    monkeypatch.setenv("NEW", new.pem().decode())
    status, _, err = nono(
        "key", "rotate", "--ledger", ledger, "--audit-sign-key", "env://OLD", "--new", "env://NEW"
    )
    assert (status, err) == (0, "")
    assert overview(os.fsencode(ledger), state=state(home)).key == new.public
    assert not {"OLD", "NEW"} & set(os.environ)


def test_encrypted_keys_follow_one_another(home: Path, nono: Nono, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = found(home, made(home, "k0", b"pass 0"))
    for number in range(2):
        monkeypatch.setenv("OLD", f"pass {number}")
        monkeypatch.setenv("NEW", f"pass {number + 1}")
        status, _, err = nono(
            "key", "rotate", "--ledger", ledger, "--audit-sign-key", home / f"k{number}.pem",
            "--key-passphrase-env", "OLD", "--out", home / f"k{number + 1}.pem", "--encrypt",
            "--new-key-passphrase-env", "NEW", "--destroy-old",
        )  # fmt: skip
        assert (status, err) == (0, "")
        assert not (home / f"k{number}.pem").exists()
        assert (home / f"k{number + 1}.pem").read_bytes().startswith(b"-----BEGIN ENCRYPTED")
    assert verify(ledger, pins=[pins.read_file(str(home / "k0.pub"))]).exit == 0
    assert verify(ledger, pins=[pins.read_file(str(home / "k2.pub"))]).exit == 0


def test_what_is_refused_changes_nothing(home: Path, nono: Nono) -> None:
    old, other = made(home, "old"), made(home, "other")
    ledger = found(home, old)
    rotate: tuple[str | Path, ...] = ("key", "rotate", "--ledger", ledger)
    mine: tuple[str | Path, ...] = ("--audit-sign-key", home / "old.pem")
    for flags, said in (
        ((*mine,), "no new key"),
        (("--audit-sign-key", home / "other.pem", "--out", home / "new.pem"), "belongs to another key"),
        ((*mine, "--new", home / "old.pem"), "the key that it has"),
        ((*mine, "--new", home / "missing.pem"), "cannot open"),
        ((*mine, "--out", home / "other.pem"), "exists already"),
        ((*mine, "--new", home / "other.pem", "--encrypt"), "--encrypt is for a key that is made"),
        ((*mine, "--new", home / "other.pem", "--reason", "x" * 1025), "a reason is one line"),
        ((*mine, "--new", home / "other.pem", "--reason", "a\nb"), "a reason is one line"),
    ):
        status, out, err = nono(*rotate, *flags)
        of_usage = said.startswith(("no new key", "--encrypt", "a reason"))
        assert (status, out) == (2 if of_usage else 1, ""), said
        assert said in err
    seen = overview(os.fsencode(ledger), state=state(home))
    assert (seen.key, seen.head.size) == (old.public, 1)
    assert (home / "old.pem").read_bytes() == old.pem()
    assert (home / "other.pem").read_bytes() == other.pem()
    assert not (home / "new.pem").exists()


def test_the_old_key_is_not_destroyed_while_it_has_another_ledger(home: Path, nono: Nono) -> None:
    old = made(home, "old")
    assert nono("ledger", "init", "--audit-sign-key", home / "old.pem")[0] == 0
    ledger = found(home, old)
    status, _, err = nono(
        "key", "rotate", "--ledger", ledger, "--audit-sign-key", home / "old.pem", "--out", home / "new.pem",
        "--destroy-old",
    )  # fmt: skip
    assert status == 1
    assert "the old key still has" in err
    assert (home / "old.pem").read_bytes() == old.pem()
    assert not (home / "new.pem").exists()


# --- on a terminal ----------------------------------------------------------------------------------


@pytest.fixture
def terminal(home: Path) -> Callable[..., pexpect.spawn[str]]:
    def spawn(*arguments: str | Path, **environment: str) -> pexpect.spawn[str]:
        names = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CACHE", "CONFIG", "STATE")}
        return pexpect.spawn(
            sys.executable,
            ["-I", "-c", CODE, *map(str, arguments)],
            env={"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **names, **environment},
            cwd="/",
            encoding="utf-8",
            timeout=30,
            use_poll=True,
        )

    return spawn


Terminal = Any  # the fixture above


def ended(process: pexpect.spawn[str]) -> tuple[int | None, str]:
    """Return the exit code and what was said since the last match."""
    process.expect(pexpect.EOF)
    process.wait()  # else closing would end it, where it takes its time to be gone
    process.close()
    assert "Traceback" not in process.before
    return process.exitstatus, process.before


def test_a_passphrase_is_chosen_and_asked_for_on_the_terminal(home: Path, terminal: Terminal) -> None:
    making = terminal("keygen", "--out", home / "ci.pem", "--encrypt")
    making.expect_exact("passphrase of the new key: ")
    making.sendline(SECRET)
    making.expect_exact("the same again: ")
    making.sendline(SECRET)
    status, said = ended(making)
    assert status == 0
    assert SECRET not in said
    # Also when the standard streams are no terminal: what is asked and typed goes past them.
    launching = terminal(
        "run", "--ledger", home / "ci.db", "--audit-sign-key", home / "ci.pem", "--", "echo", "launched"
    )
    launching.expect_exact(f"passphrase of {home / 'ci.pem'}: ")
    launching.sendline("wrong")
    launching.expect_exact(f"passphrase of {home / 'ci.pem'} (that did not open it; try 2 of 3): ")
    launching.sendline(SECRET)
    status, said = ended(launching)
    assert status == 0
    assert "launched" in said
    assert SECRET not in said
    assert verify(home / "ci.db", pins=[pins.read_file(str(home / "ci.pub"))]).exit == 0


def test_two_passphrases_that_differ_make_no_key(home: Path, terminal: Terminal) -> None:
    making = terminal("keygen", "--out", home / "ci.pem", "--encrypt")
    making.expect_exact("passphrase of the new key: ")
    making.sendline("one")
    making.expect_exact("the same again: ")
    making.sendline("other")
    status, said = ended(making)
    assert status == 1
    assert "the two passphrases are not the same" in said
    assert not list(home.glob("ci*"))
    making = terminal("keygen", "--out", home / "ci.pem", "--encrypt")
    making.expect_exact("passphrase of the new key: ")
    making.sendline("")
    assert ended(making)[0] == 1
    assert not list(home.glob("ci*"))


def test_three_wrong_passphrases_launch_nothing(home: Path, terminal: Terminal) -> None:
    made(home, "ci", b"secret")
    launching = terminal(
        "run", "--ledger", home / "ci.db", "--audit-sign-key", home / "ci.pem", "--", "echo", "launched"
    )
    for typed in ("", "wrong", "wrong again"):
        launching.expect_exact("passphrase of ")
        launching.sendline(typed)
    status, said = ended(launching)
    assert status == 125
    assert "the passphrase does not open it" in said
    assert "launched" not in said
    assert not (home / "ci.db").exists()


def test_whoever_is_asked_can_interrupt(home: Path, terminal: Terminal) -> None:
    made(home, "ci", b"secret")
    launching = terminal(
        "run", "--ledger", home / "ci.db", "--audit-sign-key", home / "ci.pem", "--", "echo", "launched"
    )
    launching.expect_exact("passphrase of ")
    launching.sendintr()
    status, said = ended(launching)
    assert (status, launching.signalstatus) in ((130, None), (None, 2))
    assert "launched" not in said
    assert not (home / "ci.db").exists()


def test_the_passphrase_of_a_variable_reaches_nobody(home: Path, terminal: Terminal) -> None:
    made(home, "ci", SECRET.encode())
    launching = terminal(
        "run", "--ledger", home / "ci.db", "--audit-sign-key", home / "ci.pem",
        "--key-passphrase-env", "PASS", "--", "/bin/sh", "-c",
        "env; tr '\\0' '\\n' < /proc/$PPID/environ; echo launched",
        PASS=SECRET,
    )  # fmt: skip
    status, said = ended(launching)
    assert status == 0
    assert "launched" in said
    assert SECRET not in said
    assert "variables that the command does not get: PASS" in said
    data = (home / "ci.db").read_bytes()
    assert SECRET.encode() not in data


def test_a_rotation_asks_for_the_old_passphrase_and_for_the_new_one(home: Path, terminal: Terminal) -> None:
    ledger = found(home, made(home, "old", b"first"))
    rotating = terminal(
        "key", "rotate", "--ledger", ledger, "--audit-sign-key", home / "old.pem", "--out", home / "new.pem",
        "--encrypt",
    )  # fmt: skip
    rotating.expect_exact(f"passphrase of {home / 'old.pem'}: ")
    rotating.sendline("first")
    for question in ("passphrase of the new key: ", "the same again: "):
        rotating.expect_exact(question)
        rotating.sendline("second")
    assert ended(rotating)[0] == 0
    opened = signing_key.read_file(os.fsencode(home / "new.pem"), lambda _: [b"second"])
    assert overview(os.fsencode(ledger), state=state(home)).key == opened.key.public
