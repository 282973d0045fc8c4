"""Nono killed, or refused, at each system call that changes something of the ledger (design 4)."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.forking_command import ForkingCommand
from tests.system.conftest import IS_ROOT, NONO, missing
from verify import trust, verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Site

# What changes a file or a name. Killed before each of them, a launch has been killed in every state that
# somebody who comes later can find.
CHANGING = (
    "openat", "pwrite64", "write", "ftruncate", "fdatasync", "fsync", "fallocate", "link", "unlink", "mkdir",
)  # fmt: skip
_CALL = re.compile(r"^(\w+)\(")
# The installed command, as its script starts it.
LOADED = "from runtime.cli import main\nimport runtime.cli.run"
_OF_A_LEDGER = re.compile(r"/nono/(ledgers|heads|turns)\b")


@dataclass(frozen=True)
class Point:
    """The nth call of one kind in a launch, counted from 1."""

    call: str
    number: int
    line: str


class Faults:
    """Launches under strace, each with a state directory of its own, all with one key."""

    def __init__(self, site: Site, template: Path | None, starts: ForkingCommand) -> None:
        self._site = site
        self._starts = starts
        self._template = template

    def points(self) -> list[Point]:
        """Return every call of a whole launch that changes something of the ledger."""
        self._prepare("count")
        trace = self._site.base / "trace"
        done = self._launch("count", ["strace", "-y", "-s", "0", "-o", str(trace)])
        assert done.returncode == 0, done.stderr
        counts: Counter[str] = Counter()
        found = []
        for line in trace.read_text(errors="replace").splitlines():
            match = _CALL.match(line)
            if match:
                counts[match[1]] += 1
                if match[1] in CHANGING and _OF_A_LEDGER.search(line):
                    found.append(Point(match[1], counts[match[1]], line))
        return found

    def inject(self, name: str, point: Point, what: str) -> subprocess.CompletedProcess[str]:
        """Launch with a fault at one point."""
        self._prepare(name)
        return self._launch(
            name,
            [
                "strace", "-o", "/dev/null", "-e", f"trace={point.call}",
                "-e", f"inject={point.call}:{what}:when={point.number}",
            ],
        )  # fmt: skip

    def verify(self, name: str) -> int:
        """Return what nono-verify says of the ledger of a launch, 2 when there is none."""
        ledgers = list((self._state(name) / "nono" / "ledgers").glob("[!.]*.db"))
        if not ledgers:
            return 2
        (ledger,) = ledgers
        # The verifier as a library, whose code is that of the command: hundreds of times its start is long.
        return verify(ledger, pins=trust.load(self._site.environment)).exit

    def again(self, name: str) -> subprocess.CompletedProcess[str]:
        """Launch once more, without a fault."""
        return self._launch(name, [])

    def _state(self, name: str) -> Path:
        return self._site.base / f"state-{name}"

    def _prepare(self, name: str) -> None:
        shutil.rmtree(self._state(name), ignore_errors=True)
        if self._template is not None:
            shutil.copytree(self._template, self._state(name))

    def _launch(self, name: str, tracer: list[str]) -> subprocess.CompletedProcess[str]:
        return self._starts.run(
            *("run", "--", "/bin/true"),
            env={**self._site.environment, "XDG_STATE_HOME": str(self._state(name))},
            cwd=self._site.project,
            strace=tracer,
        )


@pytest.fixture(params=["a new ledger", "a ledger that has launches"])
def faults(bare_site: Site, request: pytest.FixtureRequest) -> Iterator[Faults]:
    bare_site.environment["TMPDIR"] = str(bare_site.temporary)
    assert bare_site.run("--", "/bin/true").status == 0  # makes the key and the filter
    template = None
    if request.param != "a new ledger":
        template = bare_site.base / "template"
        shutil.copytree(bare_site.state.parent, template)
    with ForkingCommand(LOADED, bare_site.environment) as starts:
        yield Faults(bare_site, template, starts)


def test_killed_at_any_call_the_ledger_holds_and_the_next_launch_works(faults: Faults) -> None:
    points = faults.points()
    assert len(points) > 60

    def judge(number: int) -> str | None:
        name, point = f"kill-{number}", points[number]
        done = faults.inject(name, point, "signal=KILL")
        verdict = faults.verify(name)
        again = faults.again(name)
        after = faults.verify(name)
        if done.returncode not in (0, -9, 137):
            return f"{point}: exit {done.returncode}: {done.stderr!r}"
        if verdict not in (0, 2, 3) or again.returncode != 0 or after not in (0, 3):
            return f"{point}: {verdict}, then exit {again.returncode}, {after}: {again.stderr!r}"
        return "" if done.returncode else "not killed"

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(judge, range(len(points))))
    problems = [problem for problem in found if problem not in ("", "not killed")]
    assert problems == []
    # A launch is not the same to the last call each time (a lock that was free, a page that was there).
    assert found.count("not killed") <= len(points) // 10


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_refused_at_any_call_the_ledger_holds_and_nothing_is_acknowledged(faults: Faults, error: str) -> None:
    points = [
        point
        for point in faults.points()
        if point.call in ("pwrite64", "write", "fdatasync", "fsync", "fallocate", "link", "ftruncate")
    ]
    assert len(points) > 30
    points = points[error == "EIO" :: 2]  # each error at every other call

    def judge(number: int) -> str | None:
        name, point = f"{error}-{number}", points[number]
        done = faults.inject(name, point, f"error={error}")
        verdict = faults.verify(name)
        again = faults.again(name)
        after = faults.verify(name)
        complaint = "Traceback" in done.stderr or (done.returncode and "nono: " not in done.stderr)
        acknowledged = "recorded launch" in done.stderr
        if (
            complaint
            or done.returncode not in (0, 125)
            or acknowledged != (done.returncode == 0)
            or (verdict != 0 if acknowledged else verdict not in (0, 2, 3))
            or again.returncode != 0
            or after not in (0, 3)
        ):
            return f"{point}: exit {done.returncode}, {verdict}, {again.returncode}, {after}: {done.stderr!r}"
        return ""

    with ThreadPoolExecutor(2) as pool:
        assert [problem for problem in pool.map(judge, range(len(points))) if problem] == []


# --- a full disk ---------------------------------------------------------------------------------


@pytest.fixture
def small_disk(site: Site) -> Iterator[Path]:
    """A file system of 8 MiB."""
    if not IS_ROOT:
        pytest.skip("only root can mount a file system")
    disk = site.base / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", disk], check=False, capture_output=True
    )
    if done.returncode:
        missing(f"cannot mount a file system: {done.stderr.decode()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_command_that_fills_the_disk_cannot_suppress_its_outcome(site: Site, small_disk: Path) -> None:
    ledger, work = small_disk / "ledger" / "l.db", small_disk / "work"
    work.mkdir()
    fill = "for size in 65536 4096 1; do dd if=/dev/zero of=fill-$size bs=$size 2>/dev/null; done; exit 5"
    ended = site.run("--ledger", ledger, "--workdir", work, "--allow", work, "--", "/bin/sh", "-c", fill)
    assert ended.status == 5, ended.stderr
    assert (work / "fill-65536").stat().st_size > 4 << 20
    (record,) = site.records(ledger)
    assert record.kinds == ["launch.intent", "launch.start", "launch.outcome", "launch.attestation"]
    assert record.outcome["exit"] == 5
    assert site.verify(ledger).status == 0


def fill(disk: Path) -> None:
    """Write until there is no room for one byte more."""
    with open(disk / "fill", "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass


def test_what_cannot_be_read_on_a_full_disk_says_so_and_what_reads_it(site: Site, small_disk: Path) -> None:
    """SQLite calls it an I/O error: a reader needs room for shared memory beside the ledger."""
    ledger = small_disk / "l.db"
    assert site.run("--ledger", ledger, "--", "/bin/true").status == 0
    fill(small_disk)
    for command in (("audit", "tail"), ("audit", "list"), ("ledger", "info"), ("audit", "snapshot", "s.db")):
        ended = site.nono(*command, "--ledger", ledger)
        assert (ended.status, ended.stdout) == (1, b"")
        assert ended.lines == [
            f"nono: cannot read {ledger}: no space left for l.db-shm, which a reader needs beside it",
            f"nono: hint: free some space on that file system; nono-verify {ledger} reads it as it is",
        ]
    assert site.verify(ledger).status == 0
    assert site.run("--", "/bin/true").status == 0
    ended = site.nono("audit", "list", env={"XDG_CACHE_HOME": str(small_disk)})
    assert (ended.status, ended.stdout) == (1, b"")
    assert "index" in ended.lines[0]
    assert ended.lines[1].startswith(
        "nono: hint: free some space on that file system, or have it elsewhere: "
    )
    (small_disk / "fill").unlink()
    for command in (("audit", "tail"), ("audit", "list")):
        assert site.nono(*command, "--ledger", ledger, env={"XDG_CACHE_HOME": str(small_disk)}).status == 0


def test_a_command_that_is_refused_again_and_again_on_a_full_disk_cannot_suppress_its_outcome(
    site: Site, small_disk: Path
) -> None:
    """Each commit of what was decided would take from the room that is kept for the outcome.

    That there are many in a short time is the test's doing: there is one in a second.
    """
    ledger, work = small_disk / "ledger" / "l.db", small_disk / "work"
    work.mkdir()
    programs = site.project / "programs"
    programs.mkdir()
    for number in range(252):
        shutil.copy("/bin/true", programs / str(number))
    fill = (
        "for size in 65536 4096 1; do dd if=/dev/zero of=fill-$size bs=$size 2>/dev/null; done;"
        f" for n in {programs}/*; do $n; sleep 0.02; done; exit 5"
    )
    often = (
        "import sys\n"
        "from runtime.processes import supervision\n"
        "from runtime.cli import main\n"
        "supervision._PAUSE_SECONDS = 0.01\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    flags = ("--ledger", ledger, "--workdir", work, "--allow", work, "--read", programs, "--trace-exec")
    launch = ("run", *flags, "--", "/bin/sh", "-c", fill)
    ended = site.start(*launch, program=(NONO.parent / "python", "-I", "-c", often)).wait()
    assert ended.status == 5, ended.stderr
    (record,) = site.records(ledger)
    assert record.kinds[-2:] == ["launch.outcome", "launch.attestation"]
    assert record.outcome["exit"] == 5
    # What could not be written while it ran was written, or counted, at the end.
    counts = record.outcome["counts"]
    assert counts["decisions"] + counts["decisions_dropped"] == 254  # and dd, and sleep
    assert site.verify(ledger).status == 0


WAITING = 40
# Makes the closing entries of one launch large, as far as a command line may.
LONG = (
    *(word for n in range(40) for word in ("--output", f"missing-{n:050}")),
    *(word for n in range(12) for word in ("--label", f"label-{n}={'x' * 500}")),
)


@pytest.fixture
def image(site: Site) -> Iterator[Path]:
    """An ext4 of 160 MiB in a file."""
    if not IS_ROOT:
        pytest.skip("only root can mount a file system")
    mkfs = shutil.which("mkfs.ext4", path=f"{os.defpath}:/usr/sbin:/sbin")
    if mkfs is None:
        missing("mkfs.ext4 is not installed")
    disk, file = site.base / "disk", site.base / "image"
    disk.mkdir()
    with open(file, "wb") as made:
        made.truncate(160 << 20)
    subprocess.run([mkfs, "-q", "-m", "0", file], check=True)
    done = subprocess.run(["mount", "-o", "loop", file, disk], check=False, capture_output=True)
    if done.returncode:
        missing(f"cannot mount a file system: {done.stderr.decode()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_command_that_fills_the_disk_cannot_suppress_the_outcomes_of_others(
    site: Site, image: Path
) -> None:
    """All that run write behind the same end of the log: room for one is soon used up by the others."""
    ledger, work, fifo = image / "ledger" / "l.db", image / "work", site.project / "fifo"
    work.mkdir()
    os.mkfifo(fifo)
    keeper = os.open(fifo, os.O_RDWR)
    assert site.run("--ledger", ledger, "--", "/bin/true").status == 0
    script = f"echo up; read line < {fifo}; exit 3"
    waiting = [
        site.start("run", "--ledger", ledger, *LONG, "--read", site.project, "--", "/bin/sh", "-c", script)
        for _ in range(WAITING)
    ]
    for each in waiting:
        assert each.process.stdout is not None
        assert each.process.stdout.readline() == b"up\n"
    fill = "for size in 65536 4096 1; do dd if=/dev/zero of=fill-$size bs=$size 2>/dev/null; done; exit 4"
    ended = site.run("--ledger", ledger, "--workdir", work, "--allow", work, "--", "/bin/sh", "-c", fill)
    assert ended.status == 4, ended.stderr
    assert shutil.disk_usage(image).free < 4096
    os.write(keeper, b"\n" * WAITING)
    os.close(keeper)
    assert [(each.status, each.stderr) for each in (one.wait() for one in waiting) if each.status != 3] == []
    exits = [record.outcome["exit"] for record in site.records(ledger)]
    assert sorted(exits) == [0, *[3] * WAITING, 4]
    assert site.verify(ledger).status == 3  # for the outputs


def test_a_full_disk_refuses_the_next_launch_before_anything_runs(site: Site, small_disk: Path) -> None:
    ledger = small_disk / "ledger" / "l.db"
    assert site.run("--ledger", ledger, "--", "/bin/true").status == 0
    with contextlib.suppress(OSError), open(small_disk / "fill", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    marker = site.project / "ran"
    ended = site.run("--ledger", ledger, "--allow", site.project, "--", "/bin/touch", marker)
    assert ended.status == 125
    assert "ran" not in os.listdir(site.project)
    assert site.verify(ledger).status == 0
    (small_disk / "fill").unlink()
    assert site.run("--ledger", ledger, "--", "/bin/true").status == 0
    assert site.verify(ledger).status == 0
