"""Signals in the middle of what is written: nothing half-made is left, least of all under its name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import verify
from attest import entry
from tests.verify.conftest import DECISION, INTENT, Book

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.verify.conftest import Bench

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals as Linux has them")

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(verify.__file__)))
MAIN = "import signal, sys; {signals}from verify.cli import main; sys.exit(main(sys.argv[1:]))"
# Whoever runs the tests may ignore some of them, as nohup does, and a shell for what is in the background.
AS_BY_DEFAULT = (
    "signal.signal(signal.SIGINT, signal.default_int_handler);"
    "[signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)];"
)
PATIENCE = 120


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ledger whose export takes some seconds."""
    book = Book()
    session = book.new_session()
    book.add(entry.INTENT, session, INTENT)
    while len(book.bodies) < 40_000:
        book.add(entry.DECISION, session, DECISION)
    return book.write(str(tmp_path_factory.mktemp("long") / "ledger.db"))


def started(
    bench: Bench, path: str, form: str, out: str, *arguments: str, through: Sequence[str] = ()
) -> subprocess.Popen[str]:
    main = MAIN.format(signals="" if through else AS_BY_DEFAULT)
    return subprocess.Popen(
        [*through, sys.executable, "-c", main, "export", path, "-k", bench.path("key.pub"), "--to", form,
         "--out", out, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def wait_for_half(process: subprocess.Popen[str], directory: Path) -> None:
    """Wait until something is being written."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for half in directory.glob("*.new"):
            if half.is_dir() or half.stat().st_size:
                return
        assert process.poll() is None, "it was too quick"
        time.sleep(0.001)
    raise AssertionError("nothing was written")


@pytest.mark.parametrize("form", ["csv", "ocsf", "parquet"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_leaves_nothing(
    bench: Bench, long: str, tmp_path: Path, form: str, number: signal.Signals
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with started(bench, long, form, str(place / "x")) as process:
        wait_for_half(process, place)
        process.send_signal(number)
        output, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, error) == (2, "", "not checked: interrupted\n")
    assert list(place.iterdir()) == []


def test_several_signals_leave_nothing_either(bench: Bench, long: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with started(bench, long, "parquet", str(place / "x")) as process:
        wait_for_half(process, place)
        for _ in range(20):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                process.send_signal(number)
        process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert list(place.iterdir()) == []


def test_what_was_there_is_still_there(bench: Bench, long: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "x").write_text("mine")
    with started(bench, long, "json-lines", str(place / "x"), "--overwrite") as process:
        wait_for_half(process, place)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert [(each.name, each.read_text()) for each in place.iterdir()] == [("x", "mine")]


def test_a_signal_that_is_ignored_stays_ignored(bench: Bench, long: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with started(bench, long, "csv", str(place / "x"), through=["nohup"]) as process:
        wait_for_half(process, place)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 3  # the launch has no end
    assert [each.name for each in place.iterdir()] == ["x"]


def test_a_killed_one_leaves_nothing_of_the_name_that_was_asked_for(
    bench: Bench, long: str, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with started(bench, long, "csv", str(place / "x")) as process:
        wait_for_half(process, place)
        process.kill()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    (left,) = place.iterdir()
    assert (left.name.startswith("x."), left.suffix) == (True, ".new")


NAMED = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_DFL)
from verify import whole_files
{name} = os.{name}
def named(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)  # in the very moment in which it gets its name
    return {name}(*arguments)
os.{name} = named
{act}
print("still there", flush=True)
"""


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("link", "with whole_files.new(sys.argv[1]) as file: file.write(b'whole')"),
        ("replace", "with whole_files.new(sys.argv[1], overwrite=True) as file: file.write(b'whole')"),
        ("replace", "whole_files.replace(sys.argv[1], b'whole')"),
        (
            "rename",
            "with whole_files.new_directory(sys.argv[1]) as path: open(path + '/x', 'w').write('whole')",
        ),
    ],
)
def test_what_gets_its_name_gets_it_before_the_signal_ends_it(tmp_path: Path, name: str, act: str) -> None:
    path = tmp_path / "x"
    done = subprocess.run(
        [sys.executable, "-c", NAMED.format(name=name, act=act), str(path)],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")
    assert [each.name for each in tmp_path.iterdir()] == ["x"]
    assert (path / "x" if path.is_dir() else path).read_text() == "whole"


LOST = """
import signal, sys, time, weakref
from verify import whole_files
class Thing: pass
thing = Thing()
kept = weakref.ref(thing, lambda _gone: signal.raise_signal(signal.SIGTERM))
signal.signal(signal.SIGTERM, signal.SIG_DFL)
try:
    with whole_files.new(sys.argv[1]) as file:
        file.write(b"half")
        del thing  # whatever a callback raises goes nowhere
        print("still there", flush=True)
        {act}
except KeyboardInterrupt:
    print("told", flush=True)
"""


@pytest.mark.parametrize("act", ["time.sleep(600)", "pass"])
def test_a_signal_that_comes_where_nothing_can_be_raised_is_not_lost(tmp_path: Path, act: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOST.format(act=act), str(tmp_path / "x")],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "still there\ntold\n", "")
    assert list(tmp_path.iterdir()) == []


def test_what_else_goes_nowhere_is_still_reported(tmp_path: Path) -> None:
    other = LOST.replace("signal.raise_signal(signal.SIGTERM)", "1 / 0").format(act="pass")
    done = subprocess.run(
        [sys.executable, "-c", other, str(tmp_path / "x")],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "still there\n")
    assert "ZeroDivisionError" in done.stderr
    assert (tmp_path / "x").read_text() == "half"


def test_handlers_are_as_they_were_behind_it(tmp_path: Path) -> None:
    from verify import whole_files

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    hook = sys.unraisablehook
    whole_files.replace(str(tmp_path / "x"), b"1")
    with pytest.raises(RuntimeError), whole_files.new(str(tmp_path / "y")):
        raise RuntimeError
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert (after, sys.unraisablehook) == (before, hook)
    assert [each.name for each in tmp_path.iterdir()] == ["x"]
