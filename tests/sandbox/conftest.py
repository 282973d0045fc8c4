"""The bench for leaks: a probe is shown to work outside the sandbox and to fail inside it.

A probe is a plain function. It runs in a forked child, as root or as an ordinary user, bare or after
``restrict_self``, and what it returned, the errno that it met, or the signal that ended it comes back.
Forked functions rather than programs: an ordinary user need not be able to reach this interpreter.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import pytest

from attest import canonical

# What mediates is loaded before the fork, as a launch does: who mediates may not read this checkout.
from runtime.broker import metadata_mediation, open_mediation, unix_mediation, waiting_connects  # noqa: F401
from runtime.broker.mediation import Handover
from runtime.capability import unix_sockets
from runtime.capability.capabilities import (
    NO_PORTS,
    SYSTEM,
    USER,
    Access,
    CapabilitySet,
    FileGrant,
    Network,
    Ports,
    Reach,
    merge,
)
from runtime.capability.grant_request import SocketRequest
from runtime.capability.grants import OpenGrant
from runtime.capability.protected import Guard, Untouchable
from runtime.kernel import syscalls
from runtime.processes.offspring import Offspring, fence
from runtime.sandbox import enforcement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534
_PR_SET_DUMPABLE = 4
Sockets: TypeAlias = "tuple[tuple[str, Reach, bool], ...]"
"""Grants on UNIX sockets in a box: a name in it, how far the grant reaches, whether sockets may be made."""
Person: TypeAlias = "Callable[[bytes, str, bool], bool | None]"
"""Who answers: of a path, the access, and whether it would be made."""
_TIMEOUT_SECONDS = 30
_REFUSALS = {1: "EPERM", 13: "EACCES", 18: "EXDEV", 38: "ENOSYS", 97: "EAFNOSUPPORT"}

libc = ctypes.CDLL(None, use_errno=True)


def missing(reason: str) -> NoReturn:
    """Skip for a named reason; on the build server, where nothing may be missing, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"must work here: {reason}")
    pytest.skip(reason)


@dataclass(frozen=True)
class Outcome:
    """How a probe ended: with a value, an errno, or a signal."""

    value: object = None
    errno: int | None = None
    signal: int | None = None

    @property
    def worked(self) -> bool:
        return self.errno is None and self.signal is None


class Box:
    """One identity, a workspace of its own, and the two ways to run a probe in it."""

    def __init__(self, identity: str, home: bytes, cache: bytes) -> None:
        self.identity = identity
        self.home = home
        self.cache = cache
        self.uid = NOBODY if identity == "user" and os.geteuid() == 0 else os.geteuid()
        for name in ("granted", "readable", "writable", "outside"):
            os.mkdir(self.path(name))
            self.write(f"{name}/file", name.encode())
        self._give(home)

    def path(self, name: str) -> bytes:
        return os.path.join(self.home, os.fsencode(name))

    def write(self, name: str, content: bytes, mode: int = 0o644) -> bytes:
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        self._give(path)
        return path

    def _give(self, path: bytes) -> None:
        for folder, _, names in os.walk(path):
            for name in (folder, *(os.path.join(folder, name) for name in names)):
                os.chown(name, self.uid, -1, follow_symlinks=False)
        os.chown(path, self.uid, -1, follow_symlinks=False)

    def default_grants(self) -> list[FileGrant]:
        system = [b"/usr", b"/bin", b"/sbin", b"/lib", b"/lib64", b"/etc", b"/proc"]
        system = sorted({os.path.realpath(path) for path in system if os.path.isdir(path)})
        devices = [b"/dev/null", b"/dev/zero", b"/dev/urandom"]
        return [
            *(FileGrant(path, path, Access.READ, directory=True, source=SYSTEM) for path in system),
            *(FileGrant(path, path, Access.READWRITE, directory=False, source=SYSTEM) for path in devices),
            self.grant("granted", Access.READWRITE),
            self.grant("readable", Access.READ),
            self.grant("writable", Access.WRITE),
        ]

    def grant(self, name: str, access: Access) -> FileGrant:
        path = self.path(name)
        return FileGrant(path, path, access, directory=os.path.isdir(path), source=USER)

    @contextlib.contextmanager
    def prepared(
        self,
        network: Network = Network.BLOCKED,
        more: tuple[FileGrant, ...] = (),
        ports: Ports = NO_PORTS,
        sockets: Sockets = (),
        *,
        metadata: bool = False,
        opens: bool = False,
    ) -> Iterator[enforcement.Prepared]:
        grants = merge([*self.default_grants(), *more])
        opened = [OpenGrant(grant, os.open(grant.path, os.O_PATH | os.O_CLOEXEC)) for grant in grants]
        granted = self._socket_grants(sockets)
        prepared = enforcement.prepare(
            CapabilitySet(grants, Network.PORTS if ports != NO_PORTS else network, ports),
            opened,
            cache_directory=self.cache,
            sockets=granted,
            metadata=metadata,
            opens=opens,
        )
        try:
            yield prepared
        finally:
            prepared.close()
            unix_sockets.close(granted)
            for grant in opened:
                os.close(grant.descriptor)

    def _socket_grants(self, sockets: Sockets) -> tuple[unix_sockets.OpenSocketGrant, ...]:
        return unix_sockets.resolve(
            [SocketRequest(self.path(name), reach, bind) for name, reach, bind in sockets],
            workdir=self.home,
            guard=Guard(Untouchable(), home_directories=()),
            warn=lambda _: None,
        )

    def outside(self, probe: Callable[[], object]) -> Outcome:
        """Run the probe as this identity, without a sandbox."""
        return _in_child(self._become, probe)

    def inside(
        self,
        probe: Callable[[], object],
        network: Network = Network.BLOCKED,
        more: tuple[FileGrant, ...] = (),
        ports: Ports = NO_PORTS,
        sockets: Sockets = (),
        *,
        metadata: bool = False,
        person: Person | None = None,
    ) -> Outcome:
        """Run the probe as this identity, in the sandbox that a launch would make.

        ``person``: who says what of a path, the access and whether it would be made may be opened beside the
        grants; None is no answer.
        """
        with self.prepared(
            network, more, ports, sockets, metadata=metadata, opens=person is not None
        ) as prepared:
            reader, writer = os.pipe()
            try:
                if person is not None:
                    prepared = prepared._replace(answers=reader)  # noqa: PLW2901  # what is closed is the same
                handover = Handover.of(prepared) if prepared.mediates else None

                def enter() -> None:
                    self._become()
                    enforcement.restrict_self(prepared, handover.offer if handover is not None else None)

                def ask(question: dict[str, Any]) -> None:
                    _answer(writer, question, person)

                mediating = None if handover is None else (self._become, handover, ask)
                return _in_child(enter, probe, mediating)
            finally:
                os.close(reader)
                os.close(writer)

    def restricted(
        self, probe: Callable[[Callable[[], None]], object], more: tuple[FileGrant, ...] = ()
    ) -> object:
        """Run the probe as this identity; what it is given restricts it, when it has seen what it wants."""
        with self.prepared(more=more) as prepared:
            outcome = _in_child(self._become, lambda: probe(lambda: _restrict(prepared)))
        assert outcome.worked, outcome
        return outcome.value

    def assert_closed(
        self,
        probe: Callable[[], object],
        *refusals: int,
        network: Network = Network.BLOCKED,
        ports: Ports = NO_PORTS,
        sockets: Sockets = (),
        outside_errno: int | None = None,
        metadata: bool = False,
    ) -> None:
        """Assert that the probe works outside, and inside is refused with one of ``refusals``.

        ``outside_errno``: the kernel's own answer outside, where nothing harmless would succeed; it shows
        that the call gets past every check of permission there.
        """
        outside = self.outside(probe)
        if outside_errno is None:
            assert outside.worked, f"the probe must work outside: {outside}"
        else:
            assert outside.errno == outside_errno, f"the kernel itself must answer outside: {outside}"
            assert outside_errno not in refusals
        inside = self.inside(probe, network, ports=ports, sockets=sockets, metadata=metadata)
        assert inside.errno in refusals, f"leak: {inside}, wanted {[_REFUSALS.get(n, n) for n in refusals]}"

    def assert_open(
        self,
        probe: Callable[[], object],
        network: Network = Network.BLOCKED,
        ports: Ports = NO_PORTS,
        sockets: Sockets = (),
    ) -> None:
        """Assert that the probe works inside as it does outside: what is refused is no more than needed."""
        outside, inside = self.outside(probe), self.inside(probe, network, ports=ports, sockets=sockets)
        assert outside.worked, outside
        assert inside == outside

    def _become(self) -> None:
        if self.uid != os.geteuid():
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(self.uid, self.uid, self.uid)
            # A change of identity makes a process undumpable; a program started by that user is not.
            syscalls.prctl(_PR_SET_DUMPABLE, 1)

    @contextlib.contextmanager
    def victim(self, *command: str) -> Iterator[int]:
        """Start a process of this identity in a group of its own, outside any sandbox, and yield its pid."""
        other = self.uid != os.geteuid()
        process = subprocess.Popen(
            command or ("/bin/sleep", "600"),
            env={"SECRET": "of-the-supervisor", "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            process_group=0,
            user=self.uid if other else None,
            group=NOBODY if other else None,
            extra_groups=[] if other else None,
        )
        try:
            yield process.pid
        finally:
            process.kill()
            process.wait()


def _in_child(
    enter: Callable[[], None],
    probe: Callable[[], object],
    mediating: tuple[Callable[[], None], Handover, Callable[[dict[str, Any]], None]] | None = None,
) -> Outcome:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if mediating is not None:
            become, handover, ask = mediating
            become()
            _monitor(handover, ask, lambda: _child(reader, writer, enter, probe))
        _child(reader, writer, enter, probe)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Outcome(signal=os.WTERMSIG(status))
    if not text:
        raise AssertionError(f"the probe said nothing and ended with {os.waitstatus_to_exitcode(status)}")
    said = json.loads(text)
    if "broken" in said:
        raise AssertionError(f"the probe itself is broken: {said['broken']}")
    return Outcome(**said)


def _answer(writer: int, question: dict[str, Any], person: Person | None) -> None:
    """Answer as a launcher would, at once."""
    assert person is not None
    granted = person(canonical.text_bytes(question["path"]), str(question["access"]), bool(question["made"]))
    if granted is not None:
        answer = {"closed": False, "granted": granted, "id": question["id"]}
        os.write(writer, json.dumps(answer).encode() + b"\n")


def _monitor(
    handover: Handover, ask: Callable[[dict[str, Any]], None], child: Callable[[], NoReturn]
) -> NoReturn:
    """Do what a monitor does, until the command has ended; then end like it."""
    status = 1
    try:
        outer = os.getppid()
        fence(syscalls.landlock_abi())
        pid = os.fork()
        if pid == 0:
            child()
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
        helpers = handover.begin(pid, lambda _: None, ask).helpers
        offspring = Offspring(pid, fenced=False, is_own=helpers.is_one)
        poll = select.poll()
        poll.register(syscalls.signalfd(frozenset({int(signal.SIGCHLD)})), select.POLLIN)
        while offspring.ended is None and os.getppid() == outer:
            poll.poll(50)
            offspring.reap()
        helpers.close()
        if offspring.ended is not None:
            status = offspring.ended[0]
    finally:
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number != signal.SIGKILL:
                signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
            os.kill(os.getpid(), number)
        os._exit(os.waitstatus_to_exitcode(status))


def _restrict(prepared: enforcement.Prepared) -> None:
    enforcement.restrict_self(prepared, None)


def _child(reader: int, writer: int, enter: Callable[[], None], probe: Callable[[], object]) -> NoReturn:
    said: dict[str, object]
    try:
        os.close(reader)
        os.setpgid(0, 0)
        signal.alarm(_TIMEOUT_SECONDS)
        os.chdir("/")
        enter()
        try:
            said = {"value": probe()}
        except OSError as error:
            said = {"errno": error.errno}
        os.write(writer, json.dumps(said, default=os.fsdecode).encode())
    except BaseException as error:  # noqa: BLE001  # a forked child must end here, whatever happens
        os.write(writer, json.dumps({"broken": repr(error)}).encode())
    finally:
        os._exit(0)


def call(number: int, *arguments: int | bytes | None) -> int:
    """Do a raw system call, with each argument as the whole register; errors are OSError."""
    words = [
        ctypes.c_long(value) if isinstance(value, int) else ctypes.c_char_p(value) for value in arguments
    ]
    libc.syscall.restype = ctypes.c_long
    ctypes.set_errno(0)
    result = int(libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


@pytest.fixture(scope="session")
def filter_cache() -> Iterator[bytes]:
    directory = tempfile.mkdtemp(prefix="nono-filter-").encode()
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(params=["root", "user"])
def identity(request: pytest.FixtureRequest) -> str:
    wanted: str = request.param
    if wanted == "root" and os.geteuid() != 0:
        missing("these tests run as an ordinary user, so nothing can be tried as root")
    return wanted


@pytest.fixture
def box(identity: str, filter_cache: bytes) -> Iterator[Box]:
    home = os.path.realpath(tempfile.mkdtemp(prefix="nono-sandbox-").encode())
    os.chmod(home, 0o755)
    try:
        yield Box(identity, home, filter_cache)
    finally:
        shutil.rmtree(home)


@pytest.fixture
def root_box(filter_cache: bytes) -> Iterator[Box]:
    """A box for what only root can do outside."""
    if os.geteuid() != 0:
        missing("these tests run as an ordinary user, so nothing can be tried as root")
    home = os.path.realpath(tempfile.mkdtemp(prefix="nono-sandbox-").encode())
    os.chmod(home, 0o755)
    try:
        yield Box("root", home, filter_cache)
    finally:
        shutil.rmtree(home)


@pytest.fixture
def raw_call() -> Callable[..., int]:
    return call


@pytest.fixture
def must_have() -> Callable[[str], NoReturn]:
    """Skip, or fail on the build server."""
    return missing
