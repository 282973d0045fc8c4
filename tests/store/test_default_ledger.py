"""Which ledger is taken when nobody names one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from attest.keys import SigningKey
from store import Ledger, LedgerError, locations
from store.locations import (
    cache_directory,
    config_directory,
    default_ledgers,
    home_directory,
    ledgers_directory,
    open_default_ledger,
    state_directory,
)
from tests.store.place import drafts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path / "state")


def _open(key: SigningKey, state: bytes) -> Ledger:
    return open_default_ledger(key, state=state, name="host", tool_version="0.1.0")


def test_directories_follow_the_xdg_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/h")
    assert state_directory() == b"/h/.local/state/nono"
    assert config_directory() == b"/h/.config/nono"
    assert cache_directory() == b"/h/.cache/nono"
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")  # to be ignored
    assert state_directory() == b"/s/nono"
    assert config_directory() == b"/h/.config/nono"


def test_a_home_that_is_missing_or_relative_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    expected = os.fsencode(pwd.getpwuid(os.getuid()).pw_dir)
    for value in (None, "", "relative"):
        if value is None:
            monkeypatch.delenv("HOME", raising=False)
        else:
            monkeypatch.setenv("HOME", value)
        assert home_directory() == expected


def test_the_ledger_is_named_after_its_key_and_taken_again(state: bytes) -> None:
    key, other = SigningKey.generate(), SigningKey.generate()
    for size in (2, 3):
        with _open(key, state) as ledger:
            assert ledger.path == os.path.join(state, b"ledgers", key.public.fingerprint().encode() + b".db")
            assert ledger.append(drafts())[0].index == size - 1
    with _open(other, state) as ledger:
        assert ledger.append(drafts())[0].index == 1
    assert len(os.listdir(ledgers_directory(state))) == 2


def test_what_another_launch_founds_just_then_serves_both(
    state: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between this launch's look and its own founding; nobody may begin a second ledger for that."""
    key = SigningKey.generate()
    look, faster = locations.all_ledgers, list[bytes]()

    def look_and_be_overtaken(at: bytes) -> list[bytes]:
        seen = look(at)
        monkeypatch.undo()
        with _open(key, state) as ledger:
            faster.append(ledger.path)
        return seen

    monkeypatch.setattr(locations, "all_ledgers", look_and_be_overtaken)
    with _open(key, state) as ledger:
        assert [ledger.path] == faster
    assert len(os.listdir(ledgers_directory(state))) == 1


def test_a_ledger_that_was_handed_over_goes_with_its_new_key(state: bytes) -> None:
    old, new = SigningKey.generate(), SigningKey.generate()
    with _open(old, state) as ledger:
        ledger.append(drafts(4))
        ledger.hand_over(new, "test")
        path = ledger.path
    with _open(new, state) as ledger:
        assert ledger.path == path
        assert ledger.append(drafts())[0].index == 6
    # The old key has none in force any more; a new one of its own is founded beside it.
    with _open(old, state) as ledger:
        assert ledger.path == path.removesuffix(b".db") + b"-2.db"
    with _open(new, state) as ledger:
        assert ledger.path == path
    assert list(default_ledgers(state, old.public.fingerprint()))[:2] == [
        path,
        path.removesuffix(b".db") + b"-2.db",
    ]


def test_nothing_new_is_founded_beside_a_ledger_that_cannot_be_judged(state: bytes) -> None:
    key, other = SigningKey.generate(), SigningKey.generate()
    with _open(key, state) as ledger:
        path = ledger.path
    os.truncate(path, 100)
    for each in (key, other):
        with pytest.raises(LedgerError):
            _open(each, state)
    assert os.listdir(ledgers_directory(state)) == [os.path.basename(path)]


def test_what_a_killed_founder_left_is_no_ledger(state: bytes) -> None:
    os.makedirs(ledgers_directory(state))
    left = os.path.join(ledgers_directory(state), b".nono-0123")
    with open(left, "wb"):
        pass
    with _open(SigningKey.generate(), state) as ledger:
        ledger.append(drafts())


def test_a_state_directory_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError):
        _open(SigningKey.generate(), os.fsencode(tmp_path / "file"))
