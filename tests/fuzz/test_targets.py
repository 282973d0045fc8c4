"""The fuzz targets hold for what Hypothesis makes of their seeds, and would say so if they did not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest import entry, note, tlog_proof
from attest.errors import MalformedError
from fuzz import run, targets
from fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from attest.note import Note

SEEDS = {name: list(target.seeds()) for name, target in TARGETS.items()}


Change = tuple[str, float, bytes]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("flip", "insert", "delete", "splice", "repeat")),
        st.floats(0, 1),
        st.binary(min_size=1, max_size=8),
    ),
    max_size=4,
)
NUMBERS = st.integers(0, 2**16)


def changed(name: str, number: int, changes: list[Change]) -> bytes:
    """Return a seed with a few changes; the first of all seeds is nothing."""
    seeds = [b"", *SEEDS[name]]
    data = bytearray(seeds[number % len(seeds)])
    for how, where, with_what in changes:
        at = int(where * len(data))
        if how == "flip" and at < len(data):
            data[at] ^= 1 << with_what[0] % 8
        elif how == "insert":
            data[at:at] = with_what
        elif how == "delete":
            del data[at : at + with_what[0] % 64 + 1]
        elif how == "repeat":
            data[at:at] = data[at : at + with_what[0] % 64 + 1]
        elif how == "splice":
            other = SEEDS[name][with_what[0] % len(SEEDS[name])]
            data[at:] = other[int(where * len(other)) :]
    return bytes(data[: TARGETS[name].max_bytes])


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_hold_and_some_are_accepted(name: str) -> None:
    assert SEEDS[name]
    accepted = [TARGETS[name](seed) for seed in SEEDS[name]]
    assert any(accepted), "else nothing but the first line of a parser is fuzzed"
    assert not all(accepted)
    assert all(len(seed) <= TARGETS[name].max_bytes for seed in SEEDS[name])


@settings(max_examples=400)
@given(number=NUMBERS, changes=CHANGES)
def test_note(number: int, changes: list[Change]) -> None:
    TARGETS["note"](changed("note", number, changes))


@settings(max_examples=400)
@given(number=NUMBERS, changes=CHANGES)
def test_entry(number: int, changes: list[Change]) -> None:
    TARGETS["entry"](changed("entry", number, changes))


@settings(max_examples=400)
@given(number=NUMBERS, changes=CHANGES)
def test_proof(number: int, changes: list[Change]) -> None:
    TARGETS["proof"](changed("proof", number, changes))


@settings(max_examples=400)
@given(number=NUMBERS, changes=CHANGES)
def test_export(number: int, changes: list[Change]) -> None:
    TARGETS["export"](changed("export", number, changes))


@settings(max_examples=200)
@given(number=NUMBERS, changes=CHANGES)
def test_evidence(number: int, changes: list[Change]) -> None:
    TARGETS["evidence"](changed("evidence", number, changes))


@settings(max_examples=400)
@given(number=NUMBERS, changes=CHANGES)
def test_policy(number: int, changes: list[Change]) -> None:
    TARGETS["policy"](changed("policy", number, changes))


@settings(max_examples=400)
@given(number=NUMBERS, changes=CHANGES)
def test_witnesses(number: int, changes: list[Change]) -> None:
    TARGETS["witnesses"](changed("witnesses", number, changes))


@settings(max_examples=60)
@given(number=NUMBERS, changes=CHANGES)
def test_ledger(number: int, changes: list[Change]) -> None:
    TARGETS["ledger"](changed("ledger", number, changes))


@settings(max_examples=60)
@given(number=NUMBERS, changes=CHANGES)
def test_rows(number: int, changes: list[Change]) -> None:
    TARGETS["rows"](changed("rows", number, changes))


def test_every_target_is_run_here_and_by_hand() -> None:
    assert set(TARGETS) == set(run.NAMES)
    assert {name.removeprefix("test_") for name in globals() if name.startswith("test_")} >= set(TARGETS)


# --- that they could fail -----------------------------------------------------------------------------------


def test_a_parser_that_is_lenient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    true: Callable[[bytes], Note] = note.parse
    monkeypatch.setattr(note, "parse", lambda data: true(data.replace(b"\r", b"")))
    with pytest.raises(AssertionError):
        TARGETS["note"](SEEDS["note"][0].replace(b"\n", b"\r\n"))
    read = tlog_proof.parse
    monkeypatch.setattr(tlog_proof, "parse", lambda data: read(data.rstrip() + b"\n"))
    with pytest.raises(AssertionError):
        TARGETS["proof"](SEEDS["proof"][0].replace(targets.SEPARATOR, b"\n" + targets.SEPARATOR))


def test_an_error_that_is_not_documented_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(data: bytes) -> Any:
        raise ValueError(data)

    monkeypatch.setattr(entry, "parse", parse)
    with pytest.raises(ValueError, match="7"):
        TARGETS["entry"](b"7")


def test_two_ways_that_differ_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(body: bytes) -> Any:
        raise MalformedError("no")

    monkeypatch.setattr(entry, "parse", refuse)
    with pytest.raises(AssertionError):
        TARGETS["entry"](SEEDS["entry"][0])


@pytest.mark.parametrize("name", ["ledger", "rows"])
def test_a_verifier_that_accepts_all_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "run", lambda words: (0, '{"exit": 0, "findings": []}'))
    with pytest.raises(AssertionError, match="verified, and"):
        TARGETS[name](b"nothing" if name == "ledger" else SEEDS[name][0])


def test_a_verifier_that_fails_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    said = '{"exit": 2, "findings": [{"code": "input.unexpected"}]}'
    monkeypatch.setattr(targets, "run", lambda words: (2, said))
    with pytest.raises(AssertionError):
        TARGETS["ledger"](b"nothing")


def test_what_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((0.0, 100.0))
    monkeypatch.setattr("time.process_time", lambda: next(times))
    with pytest.raises(AssertionError, match="too slow"):
        targets.Target(lambda data: True, list, 1)(b"")


def test_without_atheris_it_says_what_to_do() -> None:
    code = "import sys; sys.modules['atheris'] = None; from fuzz.run import main; sys.exit(main(['note']))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "make fuzz PYTHON=" in done.stderr
    assert "Traceback" not in done.stderr
