"""``nono ledger init``, ``list`` and ``roll``."""

from __future__ import annotations

import json
import os
import shlex
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from attest.keys import SigningKey
from runtime import cli
from runtime.cli import ledger_keeping
from runtime.secrets import key_files, signing_key, unfinished_roll
from store import Ledger, LedgerError, rolling
from store.founding import Unlinked
from store.overview import overview
from verify import pins, trust, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    return tmp_path


@pytest.fixture
def nono(home: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        status = cli.main(["ledger", *map(str, arguments)])
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    return run


Nono = Any  # the fixture above


def ledgers(home: Path) -> list[Path]:
    return sorted((home / "state" / "nono" / "ledgers").glob("[!.]*.db"))


def kept(home: Path) -> list[Path]:
    """Return all ledgers and keys."""
    return sorted(path for path in home.rglob("*") if path.suffix in {".db", ".pem", ".pub"})


def state(home: Path) -> bytes:
    return os.fsencode(home / "state" / "nono")


def listed(nono: Nono) -> list[dict[str, Any]]:
    status, out, err = nono("list", "--json")
    assert (status, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


# --- init -------------------------------------------------------------------------------------------


def test_a_ledger_is_founded_for_the_host_key(home: Path, nono: Nono) -> None:
    status, out, err = nono("init", "--name", "build/main")
    assert status == 0
    assert "made the host key" in err
    (path,) = ledgers(home)
    seen = overview(os.fsencode(path), state=state(home))
    assert seen.head.origin.startswith("build/main/")
    assert str(path) in out
    assert seen.head.origin in out
    assert seen.key == signing_key.host_public_key(os.fsencode(home / "config" / "nono"))
    assert verify(path, pins=trust.load(os.environ)).exit == 0
    assert nono("path")[1] == f"{path}\n"
    status, out, err = nono("init")
    assert (status, out) == (1, "")
    assert "this key has a ledger" in err
    assert "nono ledger roll" in err
    assert ledgers(home) == [path]


def test_a_ledger_is_founded_elsewhere_for_another_key(home: Path, nono: Nono) -> None:
    key = key_files.generate(os.fsencode(home / "ci.pem"))
    where = ("--ledger", home / "deep" / "ci.db", "--audit-sign-key", home / "ci.pem")
    assert nono("init", *where)[0] == 0
    assert overview(os.fsencode(home / "deep" / "ci.db"), state=state(home)).key == key.public
    status, _, err = nono("init", *where)
    assert (status, "exists already" in err) == (1, True)
    assert not (home / "config").exists()


@pytest.mark.parametrize("name", ["", "Upper", "a b", "x" * 101, "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_a_name_that_is_none_founds_nothing(home: Path, nono: Nono, name: str) -> None:
    for command in (("init", "--ledger", home / "x.db"), ("roll",)):
        status, out, err = nono(*command, "--name", name)
        assert (status, out) == (2, "")
        assert "a ledger's name is" in err
        assert "nono: hint: for instance: --name build\n" in err
    assert not (home / "x.db").exists()


# --- list -------------------------------------------------------------------------------------------


def test_there_is_none(nono: Nono) -> None:
    status, out, err = nono("list")
    assert (status, out) == (0, "")
    assert err.startswith("nono: no ledger in ")
    assert listed(nono) == []


def test_all_are_listed_with_their_keys_and_seals(home: Path, nono: Nono) -> None:
    assert nono("init")[0] == 0
    assert nono("roll")[0] == 0
    other = SigningKey.generate()
    path = home / "state" / "nono" / "ledgers" / f"{other.public.fingerprint()}.db"
    Ledger.create(os.fsencode(path), other, name="other", tool_version="0", state=state(home)).close()
    broken = path.with_name("x\x1b.db")
    broken.write_text("hello")
    mine = [each for each in ledgers(home) if each not in (path, broken)]
    by_path = {each["path"]: each for each in listed(nono)}
    assert set(by_path) == {str(each) for each in ledgers(home)}
    sealed, following = (by_path[str(each)] for each in mine)
    if following["sealed"]:
        sealed, following = following, sealed
    assert (sealed["sealed"], sealed["previous"], sealed["host_key"]) == (True, None, True)
    assert (following["sealed"], following["host_key"]) == (False, True)
    assert following["previous"]["origin"] == sealed["origin"]
    assert following["previous"]["size"] == sealed["size"]
    assert (by_path[str(path)]["key"], by_path[str(path)]["host_key"]) == (other.public.fingerprint(), False)
    assert "is not a nono ledger" in by_path[str(broken)]["error"]
    status, out, err = nono("list")
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 4
    assert "\x1b" not in out
    assert "host key, sealed" in out
    assert f"host key, continues {sealed['origin']}" in out


# --- roll -------------------------------------------------------------------------------------------


def test_a_chain_of_rolled_ledgers_verifies_and_says_what_follows_what(home: Path, nono: Nono) -> None:
    assert nono("init")[0] == 0
    chain = [nono("path")[1].strip()]
    for _ in range(2):
        status, out, err = nono("roll")
        assert (status, err) == (0, "")
        chain.append(nono("path")[1].strip())
        assert f"sealed  {chain[-2]}\n" in out
        assert chain[-1] in out
    assert len(set(chain)) == 3
    infos = [json.loads(nono("info", "--json", "--ledger", path)[1]) for path in chain]
    assert [info["sealed"] for info in infos] == [True, True, False]
    assert [info["next"] for info in infos] == [chain[1], chain[2], None]
    assert infos[0]["previous"] is None
    for earlier, later in pairwise(infos):
        assert later["previous"] == {name: earlier[name] for name in ("origin", "root", "size")}
    text = nono("info", "--ledger", chain[1])[1]
    assert f"continues     {infos[0]['origin']} at 1 entry" in text
    assert f"continued by  {chain[2]}" in text
    assert "sealed        nothing more is appended to it here" in text
    for path in chain:
        assert verify(path, pins=trust.load(os.environ)).exit == 0


def test_a_successor_elsewhere_is_shown(home: Path, nono: Nono) -> None:
    first, second = str(home / "one" / "a.ledger"), str(home / "two" / "b.ledger")
    assert nono("init", "--ledger", first)[0] == 0
    assert nono("roll", "--ledger", first, "--to", second)[0] == 0
    assert json.loads(nono("info", "--json", "--ledger", first)[1])["next"] == second


def test_a_ledger_that_is_named_needs_a_name_for_the_next_one(home: Path, nono: Nono) -> None:
    key_files.generate(os.fsencode(home / "ci.pem"))
    key = ("--audit-sign-key", home / "ci.pem")
    assert nono("init", "--ledger", home / "a.db", *key)[0] == 0
    for flags in (("--ledger", home / "a.db"), ("--to", home / "b.db")):
        status, out, err = nono("roll", *flags, *key)
        assert (status, out) == (2, "")
        assert "go together" in err
    assert nono("roll", "--ledger", home / "a.db", "--to", home / "b.db", *key)[0] == 0
    previous = overview(os.fsencode(home / "b.db"), state=state(home)).previous
    assert previous == overview(os.fsencode(home / "a.db"), state=state(home)).head
    for name in ("a.db", "b.db"):
        assert verify(home / name, pins=[pins.read_file(str(home / "ci.pub"))]).exit == 0
    status, _, err = nono("roll", "--ledger", home / "a.db", "--to", home / "c.db", *key)
    assert (status, "was rolled already" in err) == (1, True)
    status, _, err = nono("roll", *key)
    assert (status, "no ledger in the state directory" in err) == (1, True)


# --- a roll that fails, or is interrupted -----------------------------------------------------------


def hinted(err: str) -> list[str]:
    """Return the arguments of the command that the hint names, which finishes the roll."""
    words = shlex.split(err.rpartition("nono ledger ")[2])
    assert words[0] == "roll"
    return words


@pytest.fixture
def ci(home: Path, nono: Nono) -> tuple[str | Path, ...]:
    """A ledger of a key of its own, and the flags that name both."""
    key_files.generate(os.fsencode(home / "ci key.pem"))
    key = ("--audit-sign-key", home / "ci key.pem")
    assert nono("init", "--ledger", home / "a.db", *key)[0] == 0
    return ("--ledger", home / "a.db", *key)


def test_a_place_where_nothing_can_be_founded_leaves_the_ledger_as_it_was(
    home: Path, nono: Nono, ci: tuple[str | Path, ...]
) -> None:
    (home / "file").write_text("")
    status, out, err = nono("roll", *ci, "--to", home / "file" / "b.db")
    assert (status, out) == (1, "")
    assert err == f"nono: cannot make a ledger at {home}/file/b.db: Not a directory\n"
    assert not overview(os.fsencode(home / "a.db"), state=state(home)).sealed


def test_a_roll_that_fails_behind_the_seal_says_so_and_names_the_command_that_finishes_it(
    home: Path, nono: Nono, ci: tuple[str | Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Unlinked) -> None:
        raise LedgerError("no space left", code="ledger.full", hint="free some")

    with monkeypatch.context() as patched:
        patched.setattr(Unlinked, "link", full)
        status, out, err = nono("roll", *ci, "--to", home / "b c.db", "--name", "build")
    assert (status, out) == (1, "")
    assert (
        f"nono: no space left; {home}/a.db is sealed at 1 entry, and nothing continues it yet\n"
        "nono: hint: free some; then finish it with: nono ledger roll "
    ) in err
    # The place was taken meanwhile: another has to be named.
    (home / "b c.db").write_text("")
    status, _, other = nono(*hinted(err))
    assert status == 1
    assert "exists already; " in other
    assert hinted(other)[4] == "FILE"
    (home / "b c.db").unlink()
    status, out, err = nono(*hinted(err))
    assert (status, err) == (0, "")
    seen = overview(os.fsencode(home / "b c.db"), state=state(home))
    assert seen.previous == overview(os.fsencode(home / "a.db"), state=state(home)).head
    assert seen.head.origin.startswith("build/")


def test_another_key_does_not_finish_it(home: Path, nono: Nono, ci: tuple[str | Path, ...]) -> None:
    seal(home / "a.db", home / "ci key.pem", home)
    status, _, err = nono("roll", "--ledger", home / "a.db", "--to", home / "b.db")
    assert status == 1
    assert "belongs to another key" in err
    assert "finish it" not in err
    assert nono("roll", *ci, "--to", home / "b.db")[0] == 0


def seal(path: Path, key: Path, home: Path) -> None:
    """Do what a roll had done when it was killed."""
    signing = signing_key.read_file(os.fsencode(key)).key
    with Ledger.open(os.fsencode(path), signing, state=state(home)) as ledger:
        ledger.seal()


@pytest.fixture
def interrupted(home: Path, nono: Nono) -> Path:
    """The host key's ledger, sealed; nothing continues it."""
    assert nono("init")[0] == 0
    (path,) = ledgers(home)
    seal(path, home / "config" / "nono" / "keys" / "default.pem", home)
    return path


def test_the_same_command_finishes_a_roll_that_was_killed(home: Path, nono: Nono, interrupted: Path) -> None:
    status, out, err = nono("roll")
    assert (status, err) == (0, "")
    assert f"sealed  {interrupted}\n" in out
    (following,) = set(ledgers(home)) - {interrupted}
    sealed = overview(os.fsencode(interrupted), state=state(home))
    assert overview(os.fsencode(following), state=state(home)).previous == sealed.head
    assert nono("roll")[0] == 0
    assert [each["sealed"] for each in listed(nono)].count(False) == 1
    assert len({each["previous"]["origin"] for each in listed(nono) if each["previous"]}) == 2


@pytest.mark.parametrize(
    "arguments", [["ledger", "init"], ["key", "rotate"], ["key", "rotate", "--out", "next.pem"]]
)
def test_what_would_lose_the_link_is_refused_until_it_is_finished(
    home: Path,
    nono: Nono,
    interrupted: Path,
    *,
    arguments: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(home)
    before = kept(home)
    assert cli.main(arguments) == 1
    err = capfd.readouterr().err
    assert f"nono: {interrupted} is sealed and nothing continues it yet" in err
    assert "nono: hint: finish that first: nono ledger roll\n" in err
    assert kept(home) == before
    assert nono(*hinted(err))[0] == 0
    assert cli.main(arguments) == (0 if arguments[0] == "key" else 1)
    capfd.readouterr()
    (previous,) = (each["previous"] for each in listed(nono) if each["previous"])
    assert previous["origin"] == overview(os.fsencode(interrupted), state=state(home)).head.origin


def test_beside_a_ledger_in_use_the_command_names_the_sealed_one(home: Path, nono: Nono) -> None:
    """One that was handed over to the key is opened first, and would be what is rolled."""
    assert nono("init")[0] == 0
    (first,) = ledgers(home)
    pem = home / "config" / "nono" / "keys" / "default.pem"
    key, other = signing_key.read_file(os.fsencode(pem)).key, SigningKey.generate()
    second = first.with_name("0.db")
    with Ledger.create(os.fsencode(second), other, name="x", tool_version="0", state=state(home)) as ledger:
        ledger.hand_over(key, "test")
    seal(first, pem, home)
    with pytest.raises(LedgerError) as caught:
        unfinished_roll.refuse(key.public, state=state(home))
    assert nono(*hinted(str(caught.value.hint)))[0] == 0
    unfinished_roll.refuse(key.public, state=state(home))
    assert not overview(os.fsencode(second), state=state(home)).sealed


@pytest.mark.parametrize(
    ("owner", "name", "said"),
    [
        (Ledger, "seal", "{a} is not sealed, and goes on\n"),
        (
            Unlinked,
            "link",
            "{a} is sealed at 1 entry, and nothing continues it yet\nnono: hint: finish it ",
        ),
        (
            rolling,
            "_link",
            "{a} is sealed at 1 entry, and nothing continues it yet\nnono: hint: finish it ",
        ),
        (ledger_keeping, "_founded", "{a} is sealed, and {b} continues it\n"),
    ],
)
def test_an_interrupt_says_what_state_things_are_in(
    home: Path,
    nono: Nono,
    ci: tuple[str | Path, ...],
    *,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    said: str,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, interrupt)
        status, out, err = nono("roll", *ci, "--to", home / "b.db")
    assert (status, out) == (130, "")
    assert "nono: interrupted: " + said.format(a=home / "a.db", b=home / "b.db") in err
    if "finish" in said:
        assert nono(*hinted(err))[0] == 0


# --- ledgers that cannot be read --------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["ledger", "roll"], ["ledger", "init"], ["key", "rotate"]])
def test_a_ledger_that_cannot_be_read_is_not_taken_for_none(
    home: Path, nono: Nono, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert nono("init")[0] == 0
    (path,) = ledgers(home)
    path.write_text("damaged")
    before = sorted(home.rglob("*"))
    assert cli.main(arguments) == 1
    assert f"nono: {path} is not a nono ledger\n" in capfd.readouterr().err
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("arguments", [["ledger", "roll"], ["key", "rotate"]])
def test_a_directory_that_cannot_be_written_is_what_is_said(
    home: Path, nono: Nono, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert nono("init")[0] == 0
    directory = ledgers(home)[0].parent
    directory.chmod(0o555)
    if os.access(directory, os.W_OK):
        pytest.skip("root writes everywhere")
    try:
        assert cli.main(arguments) == 1
    finally:
        directory.chmod(0o700)
    err = capfd.readouterr().err
    assert f"nono: cannot read {directory}/" in err
    assert "you may not write them\nnono: hint: make" in err
    assert f"nono: hint: make {directory} yours to write\n" in err
