"""The installed command, from outside: what it prints, how it exits, what it leaves, what it recorded.

Every test has a :class:`Site` of its own: a home, the XDG directories, a temporary directory and a project.
When the test is over nothing may be left of a launch, neither a process nor a file, and the ledger is given
to the verifier, which must say what the test expects of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from attest import canonical, schema
from verify import NotCheckedError, trust, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from attest.canonical import Json

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NONO = BIN / "nono"
VERIFY = BIN / "nono-verify"
PYTHON = os.path.realpath(sys.executable)
TIMEOUT_SECONDS = 60.0

IS_ROOT = os.geteuid() == 0

Argument = str | bytes | os.PathLike[str]


def missing(reason: str) -> NoReturn:
    """Skip for a named reason; on the build server, where nothing may be missing, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"must work here: {reason}")
    pytest.skip(reason)


def wait_for(condition: Callable[[], object], what: str, seconds: float = 20.0) -> Any:  # any truth
    """Wait until ``condition`` gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Return whether there is such a process, zombies not counted."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def text_bytes(value: Json) -> bytes:
    """Return the bytes that a text of the record stands for."""
    return canonical.text_bytes(value)


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def lines(self) -> list[str]:
        """What it said, line by line."""
        return self.stderr.splitlines()


@dataclass
class Running:
    """A ``nono`` that runs."""

    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, seconds: float = TIMEOUT_SECONDS) -> Ended:
        """Wait until it ends."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"it does not end, or something keeps its standard error: {self.process.args!r}")
        return Ended(self.process.returncode, out or b"", (err or b"").decode("utf-8", "surrogateescape"))

    def kill(self) -> None:
        """Kill it without warning, and see that it is gone."""
        self.process.kill()
        self.process.wait(TIMEOUT_SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def children(self) -> list[int]:
        """Return the pids of its children: the monitor, while a command runs."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]

    def monitor(self) -> int:
        (pid,) = self.children()
        return pid


@dataclass
class Record:
    """The entries of one launch, by kind."""

    session: str
    entries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        return [entry["kind"] for entry in self.entries]

    def data(self, kind: str) -> dict[str, Any]:
        """Return what the only entry of ``kind`` says."""
        (found,) = [entry["data"] for entry in self.entries if entry["kind"] == kind]
        return dict(found)

    @property
    def intent(self) -> dict[str, Any]:
        return self.data("launch.intent")

    @property
    def start(self) -> dict[str, Any]:
        return self.data("launch.start")

    @property
    def outcome(self) -> dict[str, Any]:
        return self.data("launch.outcome")

    @property
    def statement(self) -> dict[str, Any]:
        """The statement in the attestation."""
        payload = canonical.decode_base64(self.data("launch.attestation")["payload"])
        return dict(canonical.decode_object(payload))

    def files(self) -> dict[bytes, dict[str, Any]]:
        """Return the grants of the effective capability set by their paths."""
        return {text_bytes(grant["path"]): grant for grant in self.start["capabilities"]["files"]}


class Site:
    """One user's corner of the machine.

    Attributes:
        environment: what ``nono`` is started with.
        project: the directory that it is started in.
        verdict: what ``nono-verify`` must exit with in the end, None for whatever it says.
        tidy: whether nothing at all may be left; False for tests that kill without warning.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.home = base / "home"
        self.config = base / "config" / "nono"
        self.state = base / "state" / "nono"
        self.cache = base / "cache" / "nono"
        self.temporary = base / "tmp"
        self.project = base / "project"
        self.mark = uuid.uuid4().hex
        self.verdict: int | None = 0
        self.tidy = True
        self.environment = {
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "SITE_MARK": self.mark,
            "TMPDIR": str(self.temporary),
            "XDG_CACHE_HOME": str(self.cache.parent),
            "XDG_CONFIG_HOME": str(self.config.parent),
            "XDG_STATE_HOME": str(self.state.parent),
        }
        for directory in (self.home, self.temporary, self.project):
            directory.mkdir()

    # --- starting --------------------------------------------------------------------------------

    def start(
        self,
        *arguments: Argument,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: Any = subprocess.DEVNULL,  # whatever Popen takes
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        pass_fds: Sequence[int] = (),
        program: Sequence[Argument] = (NONO,),
        preexec: Callable[[], None] | None = None,
    ) -> Running:
        """Start ``nono`` with these arguments."""
        return Running(
            subprocess.Popen(
                [*program, *arguments],
                env={**self.environment, **(env or {})},
                cwd=cwd or self.project,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=pass_fds,
                preexec_fn=preexec,  # noqa: PLW1509  # the tests have one thread
            )
        )

    def nono(self, *arguments: Argument, stdin: bytes | int | None = None, **options: Any) -> Ended:
        """Run ``nono`` with these arguments and return how it ended."""
        if isinstance(stdin, bytes):
            with open(self.base / "stdin", "wb") as file:
                file.write(stdin)
            reader = subprocess.Popen(["cat", self.base / "stdin"], stdout=subprocess.PIPE)
            with reader:
                return self.start(*arguments, stdin=reader.stdout, **options).wait()
        return self.start(*arguments, stdin=subprocess.DEVNULL if stdin is None else stdin, **options).wait()

    def run(self, *arguments: Argument, **options: Any) -> Ended:  # those of start()
        """Run ``nono run`` and return how it ended."""
        return self.nono("run", *arguments, **options)

    def shell(self, script: str, *flags: Argument, **options: Any) -> Ended:
        """Run a shell script in the sandbox."""
        return self.run(*flags, "--", "/bin/sh", "-c", script, **options)

    def python(self, script: str, *flags: Argument, **options: Any) -> Ended:
        """Run a Python script in the sandbox."""
        return self.run(*self.python_grants(), *flags, "--", PYTHON, "-I", "-c", script, **options)

    @staticmethod
    def python_grants() -> tuple[str, ...]:
        """Return the flags that the test's own Python needs to run inside."""
        return ("--read", sys.base_prefix)

    def status(self, *arguments: Argument, **options: Any) -> tuple[Ended, dict[str, Any]]:
        """Run ``nono run`` with ``--status-fd`` and return what it wrote there, too."""
        reader, writer = os.pipe()
        try:
            ended = self.run("--status-fd", str(writer), *arguments, pass_fds=(writer,), **options)
        finally:
            os.close(writer)
        with open(reader, "rb") as file:
            document: dict[str, Any] = json.loads(file.read())
        return ended, document

    # --- files -----------------------------------------------------------------------------------

    def file(self, name: str, content: str | bytes = b"", mode: int = 0o644) -> Path:
        """Write a file in the project."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def script(self, name: str, content: str, mode: int = 0o755) -> Path:
        """Write an executable shell script in the project."""
        return self.file(name, f"#!/bin/sh\n{content}\n", mode)

    def hook(self, name: str, content: str) -> Path:
        """Write a hook beside the project, where no grant lets the command write."""
        path = self.base / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{content}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    def profile(self, **parts: Any) -> Path:  # JSON
        """Write a profile beside the project."""
        path = self.base / "profile.json"
        path.write_text(json.dumps(parts), encoding="utf-8")
        return path

    def key(self, name: str = "key") -> Path:
        """Make a key with ``nono keygen`` beside the project, trusted."""
        path = self.base / f"{name}.pem"
        ended = self.nono("keygen", "--trust", "--out", path)
        assert ended.status == 0, ended.stderr
        return path

    # --- the record ------------------------------------------------------------------------------

    def ledgers(self) -> list[Path]:
        """Return the ledgers in the state directory."""
        return sorted((self.state / "ledgers").glob("[!.]*.db"))

    def ledger(self) -> Path:
        """Return the only ledger in the state directory."""
        (path,) = self.ledgers()
        return path

    def entries(self, ledger: Path | None = None) -> list[dict[str, Any]]:
        """Return every entry of a ledger, each held to the schema of its kind.

        It is read from a copy, with its write-ahead log: a reader leaves files beside what it reads.
        """
        path = ledger or self.ledger()
        copy = self.base / "copy.db"
        for suffix in ("", "-wal", "-shm"):
            (self.base / f"copy.db{suffix}").unlink(missing_ok=True)
        shutil.copyfile(path, copy)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{path}-wal", f"{copy}-wal")
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            rows = connection.execute("SELECT body FROM entry ORDER BY idx").fetchall()
        entries = []
        for (body,) in rows:
            document = canonical.decode_object(body.encode())
            schema.check_entry(document)
            entries.append(dict(document))
        return entries

    def blob(self, reference: dict[str, Any], ledger: Path | None = None) -> Json:
        """Return what lies beside an entry."""
        with contextlib.closing(sqlite3.connect(ledger or self.ledger())) as connection:
            (data,) = connection.execute(
                "SELECT data FROM blob WHERE sha256 = ?", (bytes.fromhex(reference["blob"]["sha256"]),)
            ).fetchone()
        return canonical.decode(data)

    def records(self, ledger: Path | None = None) -> list[Record]:
        """Return the launches of a ledger in the order of their intents."""
        found: dict[str, Record] = {}
        for entry in self.entries(ledger):
            if entry["session"] is not None:
                record = found.setdefault(entry["session"], Record(entry["session"]))
                assert entry["seq"] == len(record.entries)
                record.entries.append(entry)
        return list(found.values())

    def record(self, ledger: Path | None = None) -> Record:
        """Return the last launch."""
        return self.records(ledger)[-1]

    def verify(self, ledger: Path | None = None, *arguments: Argument) -> Ended:
        """Run ``nono-verify`` as the user who launches."""
        done = subprocess.run(
            [VERIFY, ledger or self.ledger(), *arguments],
            env=self.environment,
            cwd=self.project,
            capture_output=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        return Ended(done.returncode, done.stdout, done.stderr.decode())

    def judge(self, ledger: Path) -> int:
        """Return what ``nono-verify`` says of a ledger, for the user who launches.

        By the verifier as a library, whose code is that of the command: its start, after each of hundreds of
        tests, would be the longest part of it. :meth:`verify` is for the tests that look at the command.
        """
        try:
            return verify(os.fsencode(ledger), pins=trust.load(self.environment)).exit
        except NotCheckedError:
            return 2

    # --- what is left ----------------------------------------------------------------------------

    def processes(self) -> list[int]:
        """Return the processes that descend from this site, by their environment."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                    if self.mark.encode() in file.read() and is_alive(int(name)):
                        found.append(int(name))
        return found

    def left(self) -> list[str]:
        """Return what a launch should not have left: temporary files, side files of the ledger."""
        expected = {
            "heads": {".head"},
            "keys": {".pem", ".pub"},
            "ledgers": {".db"},
            "trust": {".pub"},
            "turns": {".turn"},
        }
        found = [str(path) for path in self.temporary.iterdir()]
        for top in (self.state, self.config):
            for path in top.rglob("*"):
                if path.is_dir():
                    continue
                if path.name.startswith(".") or path.suffix not in expected.get(path.parent.name, set()):
                    found.append(str(path))
        kept = {*self.cache.glob("nono-filter-*.bpf"), *self.cache.glob("index.db*")}
        kept.add(self.cache / "running-images")
        return [*found, *(str(path) for path in self.cache.rglob("*") if path not in kept)]

    def check(self) -> None:
        """See that nothing is left and that the ledgers hold."""
        wait_for(lambda: not self.processes(), f"processes are left: {self.processes()}", 5)
        if self.tidy:
            assert self.left() == []
        if self.verdict is not None:
            for ledger in self.ledgers():
                assert self.judge(ledger) == self.verdict, self.verify(ledger)

    def remove(self) -> None:
        """End what is left and remove everything, whatever it is."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["chmod", "-R", "u+rwX", self.base], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", self.base], check=True)  # shutil's cannot go deep


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Fail when what is installed is not what lies here: these tests would judge something else."""
    if not NONO.exists() or not VERIFY.exists():
        pytest.fail(f"there is no {NONO} with its nono-verify: run make test", pytrace=False)
    code = "import attest, os; print(os.path.dirname(os.path.dirname(attest.__file__)))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    site = Path(done.stdout.strip())
    stale = []
    for package in ("attest", "runtime", "store", "verify", "migrations"):
        there = site / "store" / package if package == "migrations" else site / package
        for path in (ROOT / package).rglob("*"):
            other = there / path.relative_to(ROOT / package)
            if not path.is_file() or "__pycache__" in path.parts:
                continue
            if not other.is_file() or other.read_bytes() != path.read_bytes():
                stale.append(str(path.relative_to(ROOT)))
    for script in (NONO, VERIFY):
        here = (ROOT / "scripts" / script.name).read_bytes().partition(b"\n")[2]
        if script.read_bytes().partition(b"\n")[2] != here:
            stale.append(f"scripts/{script.name}")
    if stale:
        pytest.fail(f"what is installed is older than {', '.join(stale[:5])}: run make test", pytrace=False)


@pytest.fixture
def bare_site(tmp_path: Path) -> Iterator[Site]:
    """A site that is not looked at afterwards, only cleared away."""
    base = tmp_path / "site"
    base.mkdir()
    site = Site(base)
    yield site
    site.remove()


@pytest.fixture
def site(bare_site: Site, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site that must be clean, and whose ledgers must hold, when the test is over."""
    failed = request.session.testsfailed
    yield bare_site
    if request.session.testsfailed == failed:  # else what is left only hides what went wrong
        bare_site.check()
