"""``nono ledger init``, ``list`` and ``roll``."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from attest.keys import SigningKey
from runtime import cli, key_files, signing_key
from store import Ledger
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
    status, out, err = nono("init", "--ledger", home / "x.db", "--name", name)
    assert (status, out) == (1, "")
    assert "a ledger's name is" in err
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
