"""The host key's rotation, killed at every system call that changes a file, and beside launches.

Whatever happened: every ledger verifies, the next launch is recorded in the one ledger that there is, with
one of the keys, and the rotation can be finished by the same command.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from runtime.secrets import signing_key
from store.overview import overview
from tests.forking_command import ForkingCommand
from verify import trust, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attest.keys import PublicKey

ROOT = Path(__file__).parents[2]
CODE = f"""\
import sys; sys.path.insert(0, {str(ROOT)!r})
from runtime.cli import main; sys.exit(main(sys.argv[1:]))
"""
# For those that start it hundreds of times.
LOADED = f"""\
sys.path.insert(0, {str(ROOT)!r})
from runtime.cli import main
import runtime.cli.key, runtime.cli.ledger, runtime.cli.run
import runtime.secrets.host_key_rotation, runtime.secrets.unfinished_roll
"""
CHANGING = {
    "fallocate", "fdatasync", "fsync", "ftruncate", "link", "linkat", "mkdir", "mkdirat", "openat",
    "pwrite64", "rename", "renameat", "renameat2", "unlink", "unlinkat", "write",
}  # fmt: skip
CALL = re.compile(r"^(\w+)\(")


class Host(NamedTuple):
    """A user's directories, and what starts its commands when a process of Python's own is not it."""

    base: Path
    starts: ForkingCommand | None = None

    @property
    def environment(self) -> dict[str, str]:
        names = ("CACHE", "CONFIG", "STATE")
        return {
            "HOME": str(self.base),
            "PATH": "/usr/bin:/bin",
            "TMPDIR": str(self.base),
            "PYTHONDONTWRITEBYTECODE": "1",
            **{f"XDG_{name}_HOME": str(self.base / name.lower()) for name in names},
        }

    @property
    def keys(self) -> Path:
        return self.base / "config" / "nono" / "keys"

    @property
    def state(self) -> bytes:
        return os.fsencode(self.base / "state" / "nono")

    def nono(
        self, *arguments: str, before: tuple[str, ...] = (), env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        if self.starts is not None:
            return self.starts.run(*arguments, env={**self.environment, **(env or {})}, strace=before)
        return subprocess.run(
            [*before, sys.executable, "-I", "-c", CODE, *arguments],
            env={**self.environment, **(env or {})},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def launch(self) -> None:
        done = self.nono("run", "--silent", "--block-net", "--", "true")
        assert done.returncode == 0, done.stderr

    def rotate(self, *flags: str) -> str:
        done = self.nono("key", "rotate", *flags)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ledger(self) -> bytes:
        """Return the only ledger."""
        (path,) = (self.base / "state" / "nono" / "ledgers").glob("[!.]*.db")
        return os.fsencode(path)

    def in_force(self) -> PublicKey:
        return overview(self.ledger(), state=self.state).key

    def size(self) -> int:
        return overview(self.ledger(), state=self.state).head.size

    def host_key(self) -> PublicKey:
        return signing_key.read_file(os.fsencode(self.keys / "default.pem")).key.public

    def check(self) -> None:
        """See that the ledger verifies for this user, under the key that founded it."""
        said = verify(self.ledger(), pins=trust.load(self.environment))
        assert (said.exit, [finding.code for finding in said.findings]) == (0, [])
        assert "genesis" in [pin.met for pin in said.pins]

    def check_finished(self) -> None:
        self.check()
        assert self.in_force() == self.host_key()
        names = {path.name for path in self.keys.iterdir() if not path.name.endswith(".new")}
        kept = {name for name in names if re.fullmatch(r"default-[0-9a-f]{8}\.(pem|pub)", name)}
        assert names - kept == {"default.pem", "default.pub"}
        assert (self.keys / "default.pub").read_bytes() == self.host_key().pem()
        assert {f"{self.host_key().fingerprint()}.pub"} <= {
            path.name for path in (self.keys.parent / "trust").iterdir()
        }


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Return a host on which one launch was recorded."""
    host = Host(tmp_path / "host")
    host.base.mkdir()
    host.launch()
    return host


def test_a_rotated_host_key_goes_on_in_the_same_ledger(host: Host) -> None:
    old = host.host_key()
    said = host.rotate("--reason", "yearly")
    new = host.host_key()
    assert old != new
    assert old.fingerprint() in said
    assert new.fingerprint() in said
    assert (
        signing_key.read_file(os.fsencode(host.keys / f"default-{old.fingerprint()[:8]}.pem")).key.public
        == old
    )
    host.launch()
    host.check_finished()
    # Five and five entries, and the handover between.
    assert host.size() == 1 + 4 + 1 + 4


def test_the_old_key_is_destroyed_and_everything_still_verifies(host: Host) -> None:
    for _ in range(2):
        old = host.host_key()
        said = host.rotate("--destroy-old")
        assert "(destroyed)" in said
        assert not (host.keys / f"default-{old.fingerprint()[:8]}.pem").exists()
        host.launch()
        host.check_finished()


def test_without_a_host_key_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    host = Host(tmp_path)
    done = host.nono("key", "rotate")
    assert done.returncode == 1
    assert "there is no host key at" in done.stderr
    assert not (host.keys / "default.pem").exists()


def test_a_key_that_has_no_ledger_is_rotated_all_the_same(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert host.nono("keygen").returncode == 0
    old = host.host_key()
    assert "none: the old key had none" in host.rotate()
    assert host.host_key() != old
    host.launch()
    host.check_finished()


def test_further_ledgers_of_the_host_key_come_along(host: Host) -> None:
    further = str(host.base / "further.db")
    done = host.nono("run", "--silent", "--ledger", further, "--", "true")
    assert done.returncode == 0, done.stderr
    host.rotate("--ledger", further)
    assert overview(os.fsencode(further), state=host.state).key == host.host_key()
    host.check_finished()


def test_a_ledger_of_another_key_stops_it_before_anything_is_changed(host: Host) -> None:
    other = str(host.base / "other")
    assert host.nono("keygen", "--out", f"{other}.pem").returncode == 0
    done = host.nono("ledger", "init", "--ledger", f"{other}.db", "--audit-sign-key", f"{other}.pem")
    assert done.returncode == 0, done.stderr
    before = host.host_key(), sorted(host.keys.iterdir()), host.size()
    done = host.nono("key", "rotate", "--ledger", f"{other}.db")
    assert done.returncode == 1
    assert "belongs to another key" in done.stderr
    assert (host.host_key(), sorted(host.keys.iterdir()), host.size()) == before


def test_an_encrypted_host_key_is_followed_by_one_with_the_same_passphrase(tmp_path: Path) -> None:
    host, env = Host(tmp_path), {"PASS": "secret"}
    assert host.nono("keygen", "--encrypt", "--key-passphrase-env", "PASS", env=env).returncode == 0
    done = host.nono("key", "rotate", "--key-passphrase-env", "PASS", env=env)
    assert done.returncode == 0, done.stderr
    new = host.keys / "default.pem"
    assert new.read_bytes().startswith(b"-----BEGIN ENCRYPTED")
    done = host.nono("run", "--silent", "--key-passphrase-env", "PASS", "--", "env", env=env)
    assert done.returncode == 0, done.stderr
    assert "PASS" not in done.stdout
    done = host.nono(
        "key", "rotate", "--key-passphrase-env", "PASS", "--new-key-passphrase-env", "NEXT",
        env={**env, "NEXT": "another"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = host.nono("run", "--key-passphrase-env", "PASS", "--", "true", env=env)
    assert done.returncode == 125
    assert "the passphrase does not open it" in done.stderr
    done = host.nono("run", "--silent", "--key-passphrase-env", "PASS", "--", "true", env={"PASS": "another"})
    assert done.returncode == 0, done.stderr
    host.check()


# --- beside launches --------------------------------------------------------------------------------


@contextlib.contextmanager
def running(host: Host) -> Iterator[subprocess.Popen[str]]:
    """A launch that runs until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", CODE, "run", "--", "/bin/sh", "-c", "echo started; read line; exit 7"],
        env=host.environment,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_nothing_is_rotated_while_a_launch_runs_and_its_record_is_finished(host: Host) -> None:
    with running(host) as process:
        before = host.host_key(), {path.name for path in host.keys.iterdir()}
        for arguments in (("key", "rotate"), ("ledger", "roll")):
            done = host.nono(*arguments)
            assert done.returncode == 1
            assert "1 launch is still running" in done.stderr
            assert "try again when nothing runs" in done.stderr
        assert (host.host_key(), {path.name for path in host.keys.iterdir()}) == before
        _, said = process.communicate("\n")
        assert process.returncode == 7
        assert "recorded launch" in said
    host.rotate()
    host.launch()
    host.check_finished()


def test_a_launch_that_was_killed_does_not_stand_in_the_way(host: Host) -> None:
    with running(host) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    host.rotate()
    host.launch()
    said = verify(host.ledger(), pins=trust.load(host.environment))
    assert [finding.code for finding in said.findings] == ["launch.lost"]
    assert said.launches.lost == 1


def test_a_launch_that_had_read_the_old_key_takes_the_new_one(host: Host, tmp_path: Path) -> None:
    """Stopped between the key and the ledger, for as long as the rotation takes."""
    reached = tmp_path / "reached"
    os.mkfifo(reached)
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from store import locations
from store.ledger import Ledger
from runtime.cli import main
opened = {{}}
def wait(original):
    def stopped(*arguments, **named):
        if not opened:
            opened[0] = 1
            with open(sys.argv[1], "w") as fifo: fifo.write("reached")
            with open(sys.argv[1]) as fifo: fifo.read()
        return original(*arguments, **named)
    return stopped
if sys.argv[2] == "before the ledger":
    locations.open_default_ledger = wait(locations.open_default_ledger)
else:
    Ledger.append = wait(Ledger.append)
sys.exit(main(["run", "--", "true"]))
"""
    for moment in ("before the ledger", "before the intent"):
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", code, reached, moment],
            env=host.environment,
            cwd="/",
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            with open(reached) as fifo:
                assert fifo.read() == "reached"
            flags = [] if moment == "before the ledger" else ["--unsafe-while-running"]
            host.rotate(*flags)
            with open(reached, "w") as fifo:
                fifo.write("go on")
            assert process.stderr is not None
            said = process.stderr.read()
            assert process.wait() == 0, said
        assert "recorded launch" in said
        host.check_finished()


def test_a_launch_whose_ledger_is_rolled_before_its_intent_takes_the_next_one(
    host: Host, tmp_path: Path
) -> None:
    first = host.ledger()
    assert host.nono("ledger", "roll").returncode == 0
    host.launch()
    ledgers = sorted((host.base / "state" / "nono" / "ledgers").glob("[!.]*.db"))
    assert len(ledgers) == 2
    sizes = {path: overview(os.fsencode(path), state=host.state).head.size for path in ledgers}
    assert sorted(sizes.values()) == [5, 5]
    assert overview(first, state=host.state).sealed


# --- killed -----------------------------------------------------------------------------------------


class Point(NamedTuple):
    """The n-th call of that name, from 1."""

    call: str
    number: int
    line: str


def _points(host: Host, *command: str) -> list[Point]:
    trace = host.base.parent / "trace"
    done = host.nono(*command, before=("strace", "-y", "-s", "0", "-o", str(trace)))
    if os.environ.get("CI") != "true" and "ptrace" in done.stderr.lower():
        pytest.skip(f"tracing is not permitted here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    counts: Counter[str] = Counter()
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        match = CALL.match(line)
        if match:
            counts[match[1]] += 1
            changes = match[1] != "openat" or "O_CREAT" in line
            if match[1] in CHANGING and changes and re.search(r"/(config|state)/nono/", line):
                found.append(Point(match[1], counts[match[1]], line))
    return found


def _kill_at(host: Host, point: Point, *command: str) -> bool:
    """Run a command and kill it at one point; return whether it was killed."""
    done = host.nono(
        *command,
        before=(
            "strace", "-o", "/dev/null", "-e", f"trace={point.call}",
            "-e", f"inject={point.call}:signal=KILL:when={point.number}",
        ),
    )  # fmt: skip
    return done.returncode != 0


def _killed_at(host: Host, base: Path, number: int, point: Point) -> bool:
    """Kill a rotation at one point, judge what is left, and go on; return whether it was killed."""
    other = Host(base / f"killed-{number}", host.starts)
    shutil.copytree(host.base, other.base)
    killed = _kill_at(other, point, "key", "rotate")
    other.check()
    if number % 2:  # a launch comes next, or the rotation again
        other.launch()
        other.check()
        assert other.size() in (9, 10)
    said = other.nono("key", "rotate")
    assert said.returncode == 0, (point, said.stderr)
    other.launch()
    other.check_finished()
    shutil.rmtree(other.base)
    return killed


def _require_strace() -> None:
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is not installed: faults cannot be injected")
        pytest.skip("strace is not installed")


@pytest.fixture
def template(host: Host, tmp_path: Path) -> Iterator[Host]:
    """Return a copy of the host that is there to be copied, whose commands are forked."""
    with ForkingCommand(LOADED, host.environment) as starts:
        template = Host(tmp_path / "template", starts)
        shutil.copytree(host.base, template.base)
        yield template


def test_a_rotation_that_is_killed_anywhere_loses_nothing(host: Host, template: Host, tmp_path: Path) -> None:
    _require_strace()
    points = _points(host._replace(starts=template.starts), "key", "rotate")
    assert {point.call for point in points} >= {"link", "rename", "unlink", "fsync", "pwrite64", "write"}
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        killed = list(pool.map(lambda item: _killed_at(template, tmp_path, *item), enumerate(points)))
    print(f"{len(points)} points, {sum(killed)} kills, {time.monotonic() - began:.0f} s")
    assert sum(killed) >= len(points) - 1


def _roll_killed_at(host: Host, base: Path, number: int, point: Point) -> bool:
    """Kill a roll at one point, go on in one of three ways, and judge the chain; return if it was killed."""
    other = Host(base / f"killed-{number}", host.starts)
    shutil.copytree(host.base, other.base)
    killed = _kill_at(other, point, "ledger", "roll")
    if number % 3 == 0:
        other.launch()
    elif number % 3 == 1 and "finish that first" in (done := other.nono("key", "rotate")).stderr:
        assert done.stderr.endswith("nono: hint: finish that first: nono ledger roll\n")
    rolled = other.nono("ledger", "roll")
    assert rolled.returncode == 0, (point, rolled.stderr)
    other.launch()
    seen = [
        overview(os.fsencode(path), state=other.state)
        for path in (other.base / "state" / "nono" / "ledgers").glob("[!.]*.db")
    ]
    heads = {each.head.origin: each.head for each in seen}
    assert 2 <= len(seen) <= 3, point
    assert [each.sealed for each in seen].count(False) == 1, point
    links = [each.previous for each in seen if each.previous is not None]
    assert sorted(links) == sorted(each.head for each in seen if each.sealed), point
    assert all(heads[link.origin] == link for link in links)
    for each in seen:
        assert verify(each.path, pins=trust.load(other.environment)).exit == 0
    shutil.rmtree(other.base)
    return killed


def test_a_roll_that_is_killed_anywhere_leaves_one_chain(host: Host, template: Host, tmp_path: Path) -> None:
    _require_strace()
    points = _points(host._replace(starts=template.starts), "ledger", "roll")
    assert {point.call for point in points} >= {"link", "unlink", "fsync", "pwrite64"}
    with ThreadPoolExecutor(2) as pool:
        killed = list(pool.map(lambda item: _roll_killed_at(template, tmp_path, *item), enumerate(points)))
    print(f"{len(points)} points, {sum(killed)} kills")
    assert sum(killed) >= len(points) - 1
