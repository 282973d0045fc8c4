"""A process's link to its zygote (``zygote``): started when it is first needed, and found again.

There is one for a process, for as long as the process is what it was when it started that: whoever takes on
another user, gives up capabilities, or moves into another name space or root has the next launch start a new
one, which is held by the same. So has a child of ``fork``: the zygote, and its control socket, are the
parent's. What cannot be seen is a Landlock domain that a process has entered without setting
``no_new_privs``; it takes root to do that.

What runs there is this very package: the interpreter is this process's, isolated (``-I -S``: neither
environment, nor current directory, nor site directories), and finds our packages by the directories that this
process has loaded them from, and nothing else there. Interpreter and directories are never grantable to a
command for writing.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import pickle
import select
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import attest
import store
from attest import __version__
from attest.named_tuples import NamedTuple
from runtime.errors import LaunchError
from runtime.processes.zygote import CALL, MAX_DESCRIPTORS, MONITOR, READY
from runtime.sandbox import enforcement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# Packages by their directories alone: what lies beside them is not found, and what they do when they are
# imported is for whoever uses them.
_PROGRAM = """\
import sys, types
version, places, control, host = sys.argv[1:]
for package, place in zip(("attest", "runtime", "store"), places.split("|")):
    module = types.ModuleType(package)
    module.__path__ = [bytes.fromhex(place).decode("utf-8", "surrogateescape")]
    sys.modules[package] = module
sys.modules["attest"].__version__ = version
from runtime.processes import zygote
zygote.start(zygote.main, [control, host])
"""

# By its name: an import of it would be one of all that it offers, which stands above this module.
_RUNTIME = sys.modules[__name__.partition(".")[0]]

_NO_PYTHON = "sys.executable must be the Python that runs this program, and be able to start"
_LOST = "the process that starts commands was ended"
_START_SECONDS = 30.0
_NAME_SPACES = ("cgroup", "mnt", "net", "pid_for_children", "user", "uts", "ipc")
_SAME = (
    b"Uid",
    b"Gid",
    b"Groups",
    b"CapEff",
    b"CapPrm",
    b"CapBnd",
    b"CapAmb",
    b"NoNewPrivs",
    b"Seccomp_filters",
)
_INITIAL = ("LD_LIBRARY_PATH",)
_CONTROL = 3


class Standing(NamedTuple):
    """What a process is, as far as what it starts inherits that, and how it starts it.

    Attributes:
        identity: what has to be the same for a zygote to stand in for it.
        umask: its file mode creation mask.
        ignored: the signals that it ignores.
    """

    identity: tuple[object, ...]
    umask: int
    ignored: tuple[int, ...]

    @classmethod
    def of_this_thread(cls) -> Standing:
        """Look at this thread: credentials are a thread's own."""
        with open("/proc/thread-self/status", "rb") as file:
            fields = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
        ignored = int(fields[b"SigIgn"], 16)
        root = os.stat("/")
        spaces = [os.stat(f"/proc/thread-self/ns/{name}").st_ino for name in _NAME_SPACES]
        identity = (*(fields.get(name) for name in _SAME), *spaces, root.st_dev, root.st_ino)
        return cls(
            identity,
            int(fields[b"Umask"], 8),
            tuple(number for number in range(1, signal.NSIG) if ignored >> (number - 1) & 1),
        )


class Forked:
    """A process that the zygote was asked to fork, which waits for what it is to call.

    Args:
        link: to the zygote.
        kind: :data:`CALL`, or :data:`MONITOR` for one that will call ``monitor.run``.

    Raises:
        OSError: the zygote cannot be asked.
    """

    def __init__(self, link: _Link, kind: bytes) -> None:
        self.link = link
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                # What is sent may lie there before anybody reads.
                self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                link.send(kind, theirs.fileno())
        except BaseException:
            self._ours.close()
            raise

    def call(self, placed: Sequence[tuple[int, int]], memory: int) -> Answer:
        """Let it call something, and return when it has all that it needs.

        Args:
            placed: descriptors that it gets, each behind the number that it has there.
            memory: of the memfd that says what to call.

        Raises:
            EOFError: it is gone, or the zygote is.
            OSError: likewise, or TimeoutError: neither does anything.
            LaunchError: it could not be forked, has no room for so many descriptors, or has lost the zygote
                while it was called.
        """
        try:
            self._ours.settimeout(_START_SECONDS)
            _send_packets(self._ours, placed, memory)
            return self._answer()
        except BaseException:
            self.close()
            raise

    def _answer(self) -> Answer:
        """Wait for what both say, the zygote and what it has forked; neither waits for the other."""
        pid, pidfd, is_taken = 0, -1, False
        try:
            while not (pid and is_taken):
                data, descriptors, _, _ = socket.recv_fds(self._ours, 1_024, 1, socket.MSG_CMSG_CLOEXEC)
                said = _said(data, is_taken=is_taken)
                if "pid" in said:
                    pid, pidfd = said["pid"], _the_one(descriptors)
                else:
                    is_taken = True
        except BaseException:
            if pidfd >= 0:
                os.close(pidfd)
            raise
        return Answer(self._ours, pid, pidfd)

    def close(self) -> None:
        """Let it end, if it has called nothing; again does nothing."""
        # Closed alone it would stay open where the host has forked meanwhile, and what waits would wait on.
        with contextlib.suppress(OSError):  # closed already
            self._ours.shutdown(socket.SHUT_RDWR)
        self._ours.close()


def _said(data: bytes, *, is_taken: bool) -> dict[str, Any]:
    """Return what the zygote, or what it has forked, says.

    Args:
        data: that.
        is_taken: whether what was forked has its call, so that nothing may be called in its place.

    Raises:
        EOFError: they are gone.
        LaunchError: likewise, where that was taken; or something could not be done.
    """
    if not data:
        if is_taken:
            raise LaunchError(_LOST, code="launch.zygote")
        raise EOFError
    said: dict[str, Any] = json.loads(data.decode())
    if "errno" in said:
        raise _no_process(said["errno"])
    return said


def _the_one(descriptors: Sequence[int]) -> int:
    if len(descriptors) != 1:
        raise _no_process(None)
    return descriptors[0]


def _no_process(number: int | None) -> LaunchError:
    why = "no descriptors are left" if number is None else os.strerror(number)
    return LaunchError(
        f"cannot make a process: {why}",
        code="launch.resources",
        hint=enforcement.processes_hint(number),
    )


class Answer:
    """A process that the zygote has forked for this one, and which has been called.

    Attributes:
        pid: its pid.
        pidfd: for it.
    """

    def __init__(self, answers: socket.socket, pid: int, pidfd: int) -> None:
        self._answers = answers
        self.pid = pid
        self.pidfd = pidfd

    def kill(self) -> None:
        """Kill it, if it has not ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; return whether it has."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1_000))

    def account(self, seconds: float) -> dict[str, Any] | None:
        """Return what the zygote says about what the process has left; None when it left nothing.

        Raises:
            TimeoutError: it does not say.
        """
        self._answers.settimeout(max(0.001, seconds))
        data = self._answers.recv(65_536)
        account: dict[str, Any] | None = json.loads(data) if data else None
        return account

    def close(self) -> None:
        """Let go of it; again does nothing."""
        self._answers.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def _places() -> str:
    """Return from where this process has loaded our packages."""
    return "|".join(os.fsencode(package.__path__[0]).hex() for package in (attest, _RUNTIME, store))


class _Link:
    """One zygote."""

    def __init__(self, standing: Standing) -> None:
        self.identity = standing.identity
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        status = os.fstat(self._control.fileno())
        self._socket = status.st_dev, status.st_ino
        try:
            with theirs:
                pid = self._spawn(theirs.fileno())
            # Only now, with no end of it here: what ends without a word is not waited for.
            self._await_ready(pid)
        except BaseException:
            self._control.close()
            raise

    def _spawn(self, theirs: int) -> int:
        if not sys.executable:
            raise LaunchError(
                "the process that starts commands cannot be started: sys.executable names no Python",
                code="launch.zygote",
                hint="a program that Python is embedded in sets it to a Python of the same version",
            )
        control = _CONTROL if theirs != _CONTROL else _CONTROL + 1
        command = [
            sys.executable,
            "-I",
            "-S",
            "-c",
            _PROGRAM,
            __version__,
            _places(),
            str(control),
            str(os.getpid()),
        ]
        environment = {name: os.environ[name] for name in _INITIAL if name in os.environ}
        try:
            return os.posix_spawn(
                sys.executable,
                command,
                environment,
                file_actions=[
                    # First: it can be one of the three, where the caller has closed those.
                    (os.POSIX_SPAWN_DUP2, theirs, control),
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, 0, 2),
                ],
                setsigmask=(),
                setsigdef=[number for number in signal.valid_signals() if number not in _UNCHANGEABLE],
            )
        except OSError as error:
            raise LaunchError(
                f"cannot start the process that starts commands: {error.strerror}: {sys.executable}",
                code="launch.zygote",
                hint=enforcement.processes_hint(error.errno) or _NO_PYTHON,
            ) from None

    def _await_ready(self, pid: int) -> None:
        with contextlib.suppress(ChildProcessError):  # a host that ignores SIGCHLD, or reaps whatever ends
            os.waitpid(pid, 0)  # it has forked the zygote, which is nobody's child here
        self._control.settimeout(_START_SECONDS)
        try:
            ready = self._control.recv(16)
        except OSError:
            ready = b""
        if ready != READY:
            raise LaunchError(
                f"the process that starts commands does not start: {sys.executable}",
                code="launch.zygote",
                hint=_NO_PYTHON,
            )
        self._control.settimeout(None)

    @property
    def is_intact(self) -> bool:
        """Whether the control socket is what it was: a program can close whatever is open."""
        try:
            status = os.fstat(self._control.fileno())
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._socket

    def send(self, kind: bytes, answers: int) -> None:
        """Ask for a process of this kind that reads its call from this socket.

        Raises:
            OSError: the zygote is gone.
        """
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [answers]))]
        self._control.sendmsg([kind], rights)

    def close(self) -> None:
        """Let the zygote end, once nothing that it has forked is left."""
        if self.is_intact:
            self._control.close()
        else:
            self._control.detach()


_UNCHANGEABLE = frozenset({signal.SIGKILL, signal.SIGSTOP})

_lock = threading.Lock()
_link: _Link | None = None


def _after_fork() -> None:
    """In a child of fork: what is the parent's is left to it."""
    global _link, _lock  # noqa: PLW0603  # the state of this module
    _lock = threading.Lock()
    if _link is not None:
        _link.close()
        _link = None


os.register_at_fork(after_in_child=_after_fork)


def _current(standing: Standing, not_this: _Link | None = None) -> _Link:
    global _link  # noqa: PLW0603  # the state of this module
    with _lock:
        if _link is not None and (
            _link is not_this or _link.identity != standing.identity or not _link.is_intact
        ):
            _link.close()
            _link = None
        if _link is None:
            _link = _Link(standing)
        return _link


def fork_monitor(standing: Standing) -> Forked | None:
    """Have the zygote fork a monitor that is called later; return None where that is to be tried again then.

    Args:
        standing: of this process.
    """
    with contextlib.suppress(LaunchError, OSError):
        return Forked(_current(standing), MONITOR)
    return None


def call(
    function: Callable[..., object],
    arguments: Sequence[object],
    more: dict[str, object],
    *,
    descriptors: Iterable[int],
    streams: Sequence[int] = (),
    standing: Standing | None = None,
    forked: Forked | None = None,
) -> Answer:
    """Have a process that the zygote forks call ``function``.

    Args:
        function: of a module of ours; it never returns, or with its return the process ends.
        arguments: its arguments; descriptors among them have the same numbers there.
        more: its arguments by name.
        descriptors: those that it needs.
        streams: descriptors that become the standard streams there; /dev/null where there are none.
        standing: of the process that calls, where it has been looked at.
        forked: the process, where it was forked before.

    Raises:
        LaunchError: no such process can be made.
    """
    standing = Standing.of_this_thread() if standing is None else standing
    document = {
        "function": function,
        "arguments": tuple(arguments),
        "more": more,
        "umask": standing.umask,
        "ignored": standing.ignored,
    }
    placed = [(number, number) for number in sorted(set(descriptors))] + list(enumerate(streams))
    memory = _sealed(pickle.dumps(document, protocol=pickle.HIGHEST_PROTOCOL))
    link = None
    try:
        for _ in range(2):  # one that was killed meanwhile is replaced, once
            try:
                if forked is None:
                    link = _current(standing, link)
                    forked = Forked(link, CALL)
                return forked.call(placed, memory)
            except TimeoutError:
                raise LaunchError(
                    "the process that starts commands does not answer",
                    code="launch.zygote",
                    hint="is it stopped? a program that is started again has another one",
                ) from None
            except (ConnectionError, EOFError):
                if forked is not None:
                    link, forked = forked.link, None
    except OSError as error:
        raise LaunchError(f"cannot prepare a process: {error.strerror}", code="launch.resources") from None
    finally:
        os.close(memory)
    raise LaunchError(f"{_LOST}, twice", code="launch.zygote")


def _send_packets(ours: socket.socket, placed: Sequence[tuple[int, int]], memory: int) -> None:
    for first in range(0, len(placed), MAX_DESCRIPTORS):
        part = placed[first : first + MAX_DESCRIPTORS]
        numbers = array.array("i", [wanted for wanted, _ in part]).tobytes()
        socket.send_fds(ours, [numbers], [descriptor for _, descriptor in part])
    socket.send_fds(ours, [CALL], [memory])


def _sealed(data: bytes) -> int:
    """Return a memfd that holds ``data``, which nobody can change any more."""
    memory = os.memfd_create("nono-call", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(memory, view) :]
        os.lseek(memory, 0, os.SEEK_SET)
        fcntl.fcntl(
            memory,
            fcntl.F_ADD_SEALS,
            fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE,
        )
    except BaseException:
        os.close(memory)
        raise
    return memory
