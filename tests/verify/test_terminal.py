"""What is for terminals alone: how far it is, and colour."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from verify.cli.terminal import Progress, in_colour, is_terminal

if TYPE_CHECKING:
    from tests.verify.conftest import Bench, Book

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_it_says_how_far_it_is_after_a_second_and_leaves_nothing_behind() -> None:
    stream, clock = Terminal(), Clock()
    with Progress(stream, clock) as progress:
        clock.now += 0.9
        progress(10_000, 1_000_000)
        assert stream.getvalue() == ""
        clock.now += 1.1
        progress(20_000, 1_000_000)
        progress(20_100, 1_000_000)  # too soon
        clock.now += 2
        progress(990, 1_000)
    assert stream.getvalue().split("\r")[1:] == [
        "20,000 of 1,000,000 entries, 10,000 a second",
        "990 of 1,000 entries, 248 a second" + " " * 10,
        " " * 34,
        "",
    ]


def test_what_is_no_terminal_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Terminal()
    closed.close()
    dumb = Terminal()
    for stream in (io.StringIO(), None, closed):
        clock = Clock()
        with Progress(stream, clock) as progress:
            clock.now += 5
            progress(1, 2)
        assert stream is None or stream.closed or stream.getvalue() == ""
    monkeypatch.setenv("TERM", "dumb")
    clock = Clock()
    with Progress(dumb, clock) as progress:
        clock.now += 5
        progress(1, 2)
    assert dumb.getvalue() == ""


def test_a_terminal_that_goes_away_is_no_fault() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    clock = Clock()
    with Progress(Gone(), clock) as progress:
        for _ in range(3):
            clock.now += 5
            progress(1, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="no colour there")
def test_colour_is_for_terminals_where_nobody_objects() -> None:
    text = "FAILED: entry 1: x\n  launches: 1\n"
    assert in_colour(text, 1, Terminal(), {}) == "\x1b[1;31mFAILED:\x1b[0m entry 1: x\n  launches: 1\n"
    for number, status in ((32, 0), (33, 2), (33, 3)):
        assert in_colour(text, status, Terminal(), {"NO_COLOR": ""}).startswith(f"\x1b[1;{number}m")
    for stream, environment in (
        (io.StringIO(), {}), (None, {}), (Terminal(), {"NO_COLOR": "1"}), (Terminal(), {"TERM": "dumb"}),
    ):  # fmt: skip
        assert in_colour(text, 1, stream, environment) == text
    assert not is_terminal(io.StringIO(), {})


EAGER = """
import sys
from verify.cli import main, terminal
terminal.AFTER_SECONDS = 0
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("terminal", ["stdout", "stderr"])
def test_a_pipe_gets_the_same_as_ever(bench: Bench, book: Book, terminal: str) -> None:
    """Either stream can be a terminal without the other one being one."""
    path = bench.write(book)
    command = [sys.executable, "-c", EAGER, path, "-k", bench.path("key.pub")]
    plain = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    assert plain.stdout.startswith(b"verified: ")
    assert b"\x1b" not in plain.stdout
    assert plain.stderr == b""
    ours, theirs = os.openpty()
    try:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, terminal: theirs}
        done = subprocess.run(command, check=True, cwd=ROOT, **streams)  # type: ignore[call-overload]
        os.set_blocking(ours, False)
        shown = os.read(ours, 65_536).replace(b"\r\n", b"\n")
    finally:
        os.close(ours)
        os.close(theirs)
    if terminal == "stdout":
        assert shown == plain.stdout.replace(b"verified:", b"\x1b[1;32mverified:\x1b[0m", 1)
        assert done.stderr == b""
    else:
        assert done.stdout == plain.stdout
        assert shown.startswith(b"\r")
        assert b" entries, " in shown
        assert shown.endswith(b" \r")


def test_how_many_cores_must_be_a_number(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    for wrong in ("0", "-1", "x", "1.5", "10000", ""):
        said = bench.verify(path, f"--cores={wrong}")
        assert (said.status, said.codes) == (2, ["input.usage"])
    assert bench.verify(path, "--cores", "2").status == 0
