"""A writer that is killed, or whose disk fails, at any system call that touches its ledger.

A writer founds a ledger, appends three entries and closes it, once under ``strace`` to number the calls that
touch its directory, then once more for each of them, with the fault injected at exactly that call. Whatever
happened: what was acknowledged is there, the verifier finds no tampering, and the next writer goes on.
No call is left out. (Kills at a call mean: before it takes effect.)
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest

from attest import tree
from attest.keys import SigningKey
from store import Ledger, LedgerError
from tests.forking_command import ForkingCommand
from tests.store.place import SOURCES, Place, drafts
from verify import NotCheckedError, pins, verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENTRIES = 3
WRITER = f"""\
sys.path.insert(0, {SOURCES!r})
from tests.store import writer
def main(said):
    path, key, state, *how = said
    return writer.main(os.fsencode(path), key, os.fsencode(state), *how)
"""
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
WRITING = {
    "fallocate", "fchown", "fdatasync", "fsync", "ftruncate", "link", "linkat", "mkdir", "mkdirat", "openat",
    "pwrite64", "rename", "renameat2", "unlink", "unlinkat", "write",
}  # fmt: skip
"""What needs space or reaches the disk, under the names of several architectures."""


class Call(NamedTuple):
    """The n-th system call of that name that touches the writer's directory."""

    name: str
    number: int


class Trace(NamedTuple):
    """What a writer does when nothing fails: its calls in order, and the paths below its directory."""

    writers: ForkingCommand
    calls: list[Call]
    paths: list[str]


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture(scope="module")
def writers() -> Iterator[ForkingCommand]:
    with ForkingCommand(WRITER, ENVIRONMENT) as command:
        yield command


def _strace(writers: ForkingCommand, place: Place, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a writer that founds a ledger at ``place``, under names that are the same every time."""
    _, _, *arguments = place.command("repeat", str(ENTRIES))
    return writers.run(
        *arguments, env=ENVIRONMENT, strace=["strace", "-f", "-y", "-o", _log(place), *options]
    )


def _log(place: Place) -> str:
    return f"{place.directory}.log"


def _read_log(place: Place) -> str:
    with open(_log(place), encoding="utf-8", errors="replace") as file:
        return file.read()


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory, key: SigningKey, writers: ForkingCommand) -> Trace:
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is not installed: faults cannot be injected")
        pytest.skip("strace is not installed")
    traces = []
    for _ in range(2):
        place = Place(tmp_path_factory.mktemp("traced") / "ledger", key)
        place.directory.mkdir()
        done = _strace(writers, place)
        if os.environ.get("CI") != "true" and "ptrace" in done.stderr.lower():
            pytest.skip(f"tracing is not permitted here: {done.stderr}")
        assert done.stdout.splitlines()[-1:] == ["done"], done.stderr
        traces.append(_read_trace(writers, place))
    assert traces[0] == traces[1], "a writer that does not repeat itself: calls cannot be numbered"
    assert {call.name for call in traces[0].calls} >= {
        "openat", "pwrite64", "fdatasync", "fsync", "link", "unlink", "fcntl", "flock", "mmap",
    }  # fmt: skip
    return traces[0]


def _read_trace(writers: ForkingCommand, place: Place) -> Trace:
    directory = str(place.directory)
    key_file = f"{directory}/key.pem"
    numbers: Counter[str] = Counter()
    calls, paths = [], set()
    for line in _read_log(place).splitlines():
        name, parenthesis, _ = line.partition(" ")[2].lstrip().partition("(")
        if (
            parenthesis
            and name.isidentifier()
            and name != "execve"
            # A path that is written somewhere is content; a file that is written to stands in <>.
            and (f"<{directory}" in line if name.endswith(("write", "write64")) else directory in line)
            and key_file not in line
        ):
            numbers[name] += 1
            calls.append(Call(name, numbers[name]))
            paths.update(re.findall(re.escape(directory) + r'([^">\\]*)[">]', line))
    return Trace(writers, calls, sorted(paths))


def _acknowledged(output: str) -> dict[int, str]:
    found = {}
    for line in output.splitlines():
        index, colon, leaf = line.partition(":")
        if colon and index.isdigit():
            found[int(index)] = leaf
    return found


def _judge(place: Place, output: str) -> None:
    """What must hold whatever happened."""
    acknowledged = _acknowledged(output)
    public = place.directory / "public.pem"
    public.write_bytes(place.key.public.pem())
    pin = pins.read_file(str(public))
    for further in range(2):
        try:
            verdict = verify(os.fsdecode(place.path), pins=[pin])
        except NotCheckedError:
            assert not os.path.lexists(place.path)
        else:
            assert verdict.exit in (0, 3), verdict.findings
        if further:
            break
        with place.open() if os.path.lexists(place.path) else place.found() as ledger:
            (appended,) = ledger.append(drafts())
            acknowledged[appended.index] = appended.leaf.hex()
    leaves = [tree.hash_leaf(body).hex() for body in place.check()]
    assert {index: leaves[index] for index in acknowledged} == acknowledged
    assert appended.index == len(leaves) - 1


def _try_each(
    points: list[Call], fault: str, trace: Trace, key: SigningKey, directory: Path
) -> Iterator[tuple[Call, Place, subprocess.CompletedProcess[str]]]:
    def run(numbered: tuple[int, Call]) -> tuple[Call, Place, subprocess.CompletedProcess[str]]:
        number, call = numbered
        place = Place(directory / f"{number}" / "ledger", key)
        place.directory.mkdir(parents=True)
        # Only calls that touch these paths are counted: how the interpreter starts is of no account.
        touched = [f"--trace-path={place.directory}{path}" for path in trace.paths]
        injected = ("-e", f"trace={call.name}", "-e", f"inject={call.name}:{fault}:when={call.number}")
        return call, place, _strace(trace.writers, place, *touched, *injected)

    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(run, enumerate(points))


def _summary(record_property: object, tried: int, fault: str) -> None:
    assert callable(record_property)
    record_property("faults", f"{tried} system calls, {fault}")
    print(f"\nfaults: {tried} system calls, {fault}")


def _unsynced(lines: list[str], path: str) -> bool:
    """Return whether the last thing that happened to the file's content was a write."""
    touched = [line for line in lines if f"<{path}>" in line and "= -1" not in line]
    happened = [line for line in touched if re.search(r" (pwrite64|write|fdatasync|fsync)\(", line)]
    return bool(happened) and "sync(" not in happened[-1]


def test_nothing_is_acknowledged_before_it_is_on_disk(trace: Trace, key: SigningKey, tmp_path: Path) -> None:
    """What a kill cannot show, since the page cache outlives it: the order of writing, syncing, speaking."""
    place = Place(tmp_path / "ledger", key)
    place.directory.mkdir()
    assert _strace(trace.writers, place).returncode == 0
    lines = _read_log(place).splitlines()
    log = os.fsdecode(place.path) + "-wal"
    said = [number for number, line in enumerate(lines) if re.search(r' write\(1<[^"]*"\d+:', line)]
    assert len(said) == ENTRIES
    before = 0
    for number in said:
        assert any(f"<{log}>" in line and "pwrite64(" in line for line in lines[before:number])
        assert not _unsynced(lines[:number], log)
        before = number
    (linked,) = (number for number, line in enumerate(lines) if re.search(r" link(at)?\(", line))
    temporary = re.findall(r'"([^"]*/\.nono-[^"]*)"', lines[linked])[0]
    assert any(f"<{temporary}>" in line and " fsync(" in line for line in lines[:linked])
    assert not _unsynced(lines[:linked], temporary)
    assert any(f"<{place.directory}>" in line and " fsync(" in line for line in lines[linked : said[0]])


def test_a_writer_killed_at_any_call_loses_and_breaks_nothing(
    trace: Trace, key: SigningKey, tmp_path: Path, record_property: object
) -> None:
    lengths = set()
    for call, place, done in _try_each(trace.calls, "signal=KILL", trace, key, tmp_path):
        assert done.returncode == -9, (call, done)
        assert "done" not in done.stdout.splitlines(), call
        lengths.add(len(_acknowledged(done.stdout)))
        try:
            _judge(place, done.stdout)
        except (AssertionError, LedgerError) as error:
            raise AssertionError(f"killed at {call}: {error}") from error
        shutil.rmtree(place.directory.parent)
    assert lengths == set(range(ENTRIES + 1))
    _summary(record_property, len(trace.calls), "killed")


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_writer_whose_disk_fails_at_any_writing_call_says_so_and_breaks_nothing(
    trace: Trace, key: SigningKey, tmp_path: Path, error: str, record_property: object
) -> None:
    points = [call for call in trace.calls if call.name in WRITING]
    refused = 0
    for call, place, done in _try_each(points, f"error={error}", trace, key, tmp_path):
        assert "(INJECTED)" in _read_log(place), call
        assert "Traceback" not in done.stderr, (call, done.stderr)
        assert done.returncode in (0, 1), (call, done)
        refused += "refused:" in done.stdout
        try:
            _judge(place, done.stdout)
        except (AssertionError, LedgerError) as problem:
            raise AssertionError(f"{error} at {call}: {problem}\n{done.stdout}") from problem
        shutil.rmtree(place.directory.parent)
    assert refused > len(points) // 3
    _summary(record_property, len(points), error)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 4 MiB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mounted)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def _fill(disk: Path) -> None:
    with open(disk / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))
    assert shutil.disk_usage(disk).free < 8192


def _append(ledger: Ledger, count: int) -> None:
    for _ in range(count):
        ledger.append(drafts())


def test_a_full_disk_stops_no_launch_from_closing(small_disk: Path) -> None:
    place = Place(small_disk)
    with place.found(1) as ledger:
        ledger.append(drafts())
        if not ledger.reserve_closing_space(1):
            pytest.skip("this file system cannot allocate beforehand")
        _fill(small_disk)
        _append(ledger, 20)  # outcome, hook result and attestation are three
        with pytest.raises(LedgerError) as caught:
            _append(ledger, 1000)
        assert caught.value.code == "ledger.full"
        os.unlink(small_disk / "filler")
        ledger.append(drafts())
    assert len(place.check()) > 23


def test_a_full_disk_without_reservation_refuses_the_launch(small_disk: Path) -> None:
    place = Place(small_disk)
    with place.found(1) as ledger:
        _fill(small_disk)
        with pytest.raises(LedgerError) as caught:
            ledger.reserve_closing_space(1)
        assert caught.value.code == "ledger.full"
        with pytest.raises(LedgerError) as caught:
            _append(ledger, 20)
        assert caught.value.code == "ledger.full"
    with pytest.raises(LedgerError) as caught:
        Place(small_disk, name="another.db").found()
    assert caught.value.code in ("ledger.full", "ledger.create")
    os.unlink(small_disk / "filler")
    with place.open() as ledger:
        ledger.append(drafts())
    place.check()
    assert not [name for name in os.listdir(small_disk) if name.startswith(".nono")]
