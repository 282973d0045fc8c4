"""Calls that the monitor makes for the command where it has to judge them: bind(2), listen(2), connect(2).

A TCP socket without a port listens on any when it is told to, and a UNIX socket connects to any path: neither
Landlock nor a filter can see that. So the filter notifies these calls (seccomp_unotify(2)), and whoever holds
its listener takes the very socket out of the process that asks, judges it, and makes the call on *that*. What
is judged is what is bound or connected, whatever the process does meanwhile with its descriptors or its
memory: the address is read once, and what is done is what was read. No such call is ever let go on in the
process, not even where the network is open: in the next moment its descriptor can be another socket.

The monitor does it in a thread of its own (:meth:`Handover.begin`), for it can be made to wait without end:
by an address on a page of a file system that does not answer, or by a socket that lingers (SO_LINGER) and
that the command closes while it is held here, so that the last close is this one. Nobody waits then but who
asks.

Notified are bind and listen where there are ports to listen on, and all three where there are UNIX sockets.
A process that may not be traced (PR_SET_DUMPABLE, a program that cannot be read) is refused. Imported before
the fork, and only by a launch that needs it; UNIX sockets have ``unix_mediation`` and ``waiting_connects``.
"""

from __future__ import annotations

import _socket  # of the socket module no more is needed, and the rest of it costs milliseconds
import _thread
import errno
import fcntl
import os
import select
import signal
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.broker.asking_thread import (
    Identity,
    identity,
    open_directory,
    read_address,
    refuse,
    take_descriptor,
)
from runtime.broker.decisions import NETWORK, UNIX_SOCKET, Decisions, RefusedError
from runtime.broker.monitor_helpers import Helpers
from runtime.broker.tcp_mediation import TcpJudge
from runtime.capability.capabilities import NO_PORTS, Network, Ports
from runtime.kernel import syscalls
from runtime.sandbox import enforcement

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from attest.canonical import Json
    from runtime.broker.metadata_mediation import MetadataJudge
    from runtime.broker.open_mediation import OpenJudge
    from runtime.broker.unix_mediation import SocketJudge
    from runtime.capability.capabilities import FileGrant
    from runtime.capability.grants import OpenGrant
    from runtime.capability.unix_sockets import OpenSocketGrant
    from runtime.sandbox.enforcement import Prepared

# Of linux/seccomp.h: struct seccomp_notif (id, pid, flags, and seccomp_data: number, architecture,
# instruction pointer, six arguments), struct seccomp_notif_resp (id, value, error, flags); their requests.
_REQUEST = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_RECEIVE = 0xC0502100
_SEND = 0xC0182101
_ID_VALID = 0x40082102
_SET_FLAGS = 0x40082104
_SYNC_WAKE_UP = 1
_CONTINUE = 1

_NUMBERS = {"x86_64": (42, 49, 50), "aarch64": (203, 200, 201)}.get(os.uname().machine, (-1, -1, -1))
_CONNECT, _BIND, _LISTEN = _NUMBERS
_VERBS = {_CONNECT: b"connect", _BIND: b"bind", _LISTEN: b"listen"}

_INTERNET = (_socket.AF_INET, _socket.AF_INET6)
# linux/capability.h: NET_BIND_SERVICE, NET_ADMIN, NET_RAW.
_NETWORK_PRIVILEGES = 1 << 10 | 1 << 12 | 1 << 13

# The command decides how often it asks; between two batches the monitor looks at what else there is.
_BATCH = 16


class Mediated(NamedTuple):
    """What the monitor judges by.

    Attributes:
        network: the network mode.
        ports: which, where that is ``ports``.
        sockets: the grants on UNIX sockets, each with the directory that was judged.
        metadata: whether the monitor changes modes, owners, times and attributes of files.
        written: then the grants for writing, each with the file that was judged.
        granted: all grants on files, where somebody is asked about what none of them covers.
        answers: the descriptor from which it is read what was answered, -1 where nobody is asked.
    """

    network: Network = Network.PORTS
    ports: Ports = NO_PORTS
    sockets: tuple[OpenSocketGrant, ...] = ()
    metadata: bool = False
    written: tuple[OpenGrant, ...] = ()
    granted: tuple[FileGrant, ...] = ()
    answers: int = -1


class _Call(NamedTuple):
    """One call that was asked for: its notification's number, which it is, and what it is about."""

    number: int
    kind: int
    socket: _socket.socket
    address: bytes
    backlog: int


class Mediation(NamedTuple):
    """What the monitor's first thread knows of the one that mediates.

    Attributes:
        decisions: what was refused.
        helpers: the processes that work for it.
        failures: why it ended before its time, which ended the command; empty as long as it has not.
    """

    decisions: Decisions
    helpers: Helpers
    failures: list[str]


class Handover:
    """How a filter's listener gets from the child that loaded the filter to the monitor.

    Made before the fork; :meth:`offer` is the child's, :meth:`take` the monitor's, each once.

    Args:
        mediated: what is judged by.
        outer: the session of the launch around this one: its filter lets nobody take a descriptor.
    """

    def __init__(self, mediated: Mediated, outer: str | None = None) -> None:
        self.mediated = mediated
        self._outer = outer
        self._number, self._number_end = os.pipe()
        self._answer, self._answer_end = os.pipe()

    @classmethod
    def of(cls, prepared: Prepared) -> Handover:
        """Return the one for a child that is prepared so."""
        mediated = Mediated(
            prepared.network,
            prepared.ports,
            prepared.sockets,
            prepared.metadata,
            prepared.written,
            prepared.granted,
            prepared.answers,
        )
        return cls(mediated, prepared.outer)

    def offer(self, listener: int) -> None:
        """Offer the listener, and return when it was taken.

        Raises:
            EnforcementError: nobody could take it.
        """
        os.close(self._number)
        os.close(self._answer_end)
        os.write(self._number_end, b"%d" % listener)
        if os.read(self._answer, 1) != b"\x01":
            raise enforcement.nested(self._outer)
        os.close(listener)

    def begin(
        self,
        child: int,
        report: Callable[[dict[str, Json]], None],
        ask: Callable[[dict[str, Json]], None] = lambda _: None,
    ) -> Mediation:
        """Mediate for ``child`` from now on, in a thread of its own.

        Args:
            child: who offers.
            report: takes the data of a ``decision`` for what is refused.
            ask: takes a question about a file that no grant covers.

        Raises:
            RuntimeError: there can be no such thread.
        """
        mediation = Mediation(Decisions(report), Helpers(), [])
        pidfd = os.pidfd_open(child)  # while it cannot have been reaped
        _thread.start_new_thread(_mediate, (self, child, pidfd, mediation, ask))
        return mediation

    def take(self, child: int) -> int | None:
        """Return the listener of ``child``; None when that ended before, or may not be traced."""
        os.close(self._number_end)
        os.close(self._answer)
        try:
            number = os.read(self._number, 16)
            if not number:
                return None
            pidfd = os.pidfd_open(child)
            try:
                listener = syscalls.pidfd_getfd(pidfd, int(number))
            finally:
                os.close(pidfd)
            with suppress(BrokenPipeError):  # it was killed meanwhile
                os.write(self._answer_end, b"\x01")
        except OSError:
            return None
        else:
            return listener
        finally:
            os.close(self._number)
            os.close(self._answer_end)


def _mediate(
    handover: Handover,
    child: int,
    pidfd: int,
    mediation: Mediation,
    ask: Callable[[dict[str, Json]], None],
) -> None:
    """Answer for ``child`` until nobody is left who could ask, in a thread that nothing else depends on.

    Whatever fails here ends the command: as long as the listener is open, nobody who asks goes on unjudged.

    Args:
        handover: by which the listener comes.
        child: who asks, with all that it starts.
        pidfd: of it.
        mediation: told what is refused, and why this failed.
        ask: takes questions to the launcher.
    """
    listener = handover.take(child)
    if listener is None:
        return
    try:
        mediator = Mediator(listener, handover.mediated, mediation.decisions, mediation.helpers, ask)
        while mediator.serve():
            mediator.wait()
    except BaseException as error:  # noqa: BLE001  # whatever it is, the command must not outlive it
        mediation.failures.append(type(error).__name__)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return
    os.close(listener)  # whoever asks from now on, or waits, is answered ENOSYS


class Mediator:
    """Answers the notified calls of one command; made in the thread that answers.

    Args:
        listener: the filter's, close-on-exec.
        mediated: what is judged by.
        decisions: told what is refused.
        helpers: of the monitor.
        ask: takes questions to the launcher.

    Attributes:
        listener: readable when somebody asks.
    """

    def __init__(
        self,
        listener: int,
        mediated: Mediated,
        decisions: Decisions,
        helpers: Helpers,
        ask: Callable[[dict[str, Json]], None],
    ) -> None:
        self.listener = listener
        self._decisions = decisions
        self._network = mediated.network
        self._tcp = TcpJudge(mediated.ports)
        self._unix = self._connects = None
        if self._network is Network.ALL:  # else only TCP is mediated, by ports that were granted
            _lay_down_network_privileges()
        if mediated.sockets:
            from runtime.broker import unix_mediation, waiting_connects  # noqa: PLC0415  # the launcher has imported them

            self._unix = unix_mediation.SocketJudge(mediated.sockets, helpers)
            self._connects = waiting_connects.Connects(listener, self._answer, helpers)
            self._identity = identity()
        self._metadata: MetadataJudge | None = None
        self._metadata_calls: Container[int] = ()
        if mediated.metadata:
            from runtime.broker import metadata_mediation  # noqa: PLC0415  # the launcher has imported it

            self._metadata_calls = metadata_mediation.CALLS
            self._metadata = metadata_mediation.MetadataJudge(mediated.written, self._require_waiting)
        self._ready = select.poll()
        self._ready.register(listener, select.POLLIN)
        self._changed = select.poll()
        self._changed.register(listener, select.POLLIN)
        if self._connects is not None:
            self._changed.register(helpers.changed, select.POLLIN)
        self._opens: OpenJudge | None = None
        self._open_calls: Container[int] = ()
        if mediated.answers >= 0:
            from runtime.broker import open_mediation  # noqa: PLC0415  # the launcher has imported it

            reply = open_mediation.Reply(listener, self._let_go_on, self._answer, self._require_waiting)
            self._open_calls = open_mediation.CALLS
            self._opens = open_mediation.OpenJudge(mediated.granted, mediated.answers, ask, decisions, reply)
            self._changed.register(mediated.answers, select.POLLIN)
        # A host program's own default would make the command's sockets non-blocking.
        _socket.setdefaulttimeout(None)
        with suppress(OSError):  # before Linux 6.6 an answer just takes longer
            fcntl.ioctl(listener, _SET_FLAGS, _SYNC_WAKE_UP)

    def serve(self) -> bool:
        """Answer what waits; return False when nobody is left who could ask."""
        for _ in range(_BATCH):
            ready = self._ready.poll(0)
            if not ready:
                return True
            if not ready[0][1] & select.POLLIN:
                return False
            self._serve_one()
        return True

    def wait(self) -> None:
        """Return when somebody asks, nobody is left, or there is something else to look after."""
        ready = self._changed.poll(None if self._connects is None else self._connects.patience_ms)
        if self._opens is not None and self._opens.answers in dict(ready):
            self._opens.hear()
        if self._connects is not None:
            self._connects.look_after()

    def _answer(self, request: int, error: int) -> None:
        with suppress(OSError):  # who asked was killed meanwhile
            fcntl.ioctl(self.listener, _SEND, _RESPONSE.pack(request, 0, -error, 0))

    def _let_go_on(self, request: int) -> None:
        """Let a call go on in the process, which decides nothing: it is held to what it was held to."""
        with suppress(OSError):  # who asked was killed meanwhile
            fcntl.ioctl(self.listener, _SEND, _RESPONSE.pack(request, 0, 0, _CONTINUE))

    def _serve_one(self) -> None:
        request = bytearray(_REQUEST.size)  # the kernel refuses one that is not zero
        try:
            fcntl.ioctl(self.listener, _RECEIVE, request)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):  # who asked was killed meanwhile
                return
            raise
        number, thread, _, call, _, _, *arguments = _REQUEST.unpack(request)
        try:
            if self._decide(number, thread, call, arguments):
                self._answer(number, 0)
        except RefusedError as refusal:
            self._decisions.add(refusal)
            self._answer(number, refusal.errno or errno.EACCES)
        except OSError as error:
            self._answer(number, error.errno or errno.EACCES)

    def _decide(self, number: int, thread: int, kind: int, arguments: list[int]) -> bool:
        """Make the call for the thread that asks, or raise with the errno that it is to see.

        Returns:
            False where it is answered later, or was already.
        """
        if self._opens is not None and kind in self._open_calls:
            self._opens.serve(number, thread, kind, arguments)
            return False
        if self._metadata is not None and kind in self._metadata_calls:
            self._metadata.serve(number, thread, kind, arguments)
            return True
        if kind not in _NUMBERS:
            raise refuse(errno.ENOSYS)
        descriptor = take_descriptor(thread, _integer(arguments[0]))
        try:
            socket = _socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            raise
        directory: int | None = None
        asking: Identity | None = None
        try:
            address = b"" if kind == _LISTEN else read_address(thread, arguments[1], _integer(arguments[2]))
            if socket.family == _socket.AF_UNIX and self._unix is not None and kind != _LISTEN:
                asking = identity(thread)
                directory = open_directory(thread)
            self._require_waiting(number)
            call = _Call(number, kind, socket, address, _integer(arguments[1]))
            if socket.family != _socket.AF_UNIX:
                return self._of_internet(call)
            if self._unix is None:  # the end of a pair
                raise refuse(errno.EACCES)
            if directory is None or asking is None:
                self._unix.listen(socket, call.backlog)
                return True
            return self._of_unix(call, self._unix, directory, asking)
        finally:
            if directory is not None:
                os.close(directory)
            socket.close()

    def _require_waiting(self, number: int) -> None:
        """Raise OSError unless who asked still waits, so that it is sure whose sockets and memory that was.

        The number of a thread that was killed is given away again, to anybody.
        """
        fcntl.ioctl(self.listener, _ID_VALID, struct.pack("=Q", number))

    def _of_internet(self, call: _Call) -> bool:
        socket = call.socket
        if self._network is Network.ALL:
            if call.kind == _CONNECT:
                return self._connect(call, call.address)
            _do_openly(call)
            return True
        if (
            self._network is not Network.PORTS
            or socket.family not in _INTERNET
            or (socket.type, socket.proto) != (_socket.SOCK_STREAM, _socket.IPPROTO_TCP)
        ):
            reason = "the network is closed to all but TCP through the ports that are granted"
            raise RefusedError(errno.EACCES, NETWORK, _VERBS[call.kind] + b" another kind of socket", reason)
        if call.kind == _CONNECT:
            self._tcp.connecting(socket, call.address)
            return self._connect(call, call.address)
        if call.kind == _BIND:
            self._tcp.bind(socket, call.address)
        else:
            self._tcp.listen(socket, call.backlog)
        return True

    def _of_unix(self, call: _Call, judge: SocketJudge, directory: int, asking: Identity) -> bool:
        if not asking.is_as_able_as(self._identity):
            reason = "the process has changed its user, and files are opened as the one that was launched"
            raise RefusedError(errno.EACCES, UNIX_SOCKET, _VERBS[call.kind] + b" as another user", reason)
        if call.kind == _BIND:
            judge.bind(call.socket, call.address, directory, asking)
            return True
        return self._connect(call, *judge.target(call.address, directory))

    def _connect(self, call: _Call, address: bytes, target: int | None = None) -> bool:
        assert self._connects is not None  # else no connect is notified
        self._connects.connect(call.number, call.socket, address, target)
        return False


def _do_openly(call: _Call) -> None:
    """Bind or listen where the network is open."""
    if call.kind == _LISTEN:
        error = syscalls.listen(call.socket.fileno(), call.backlog)
    else:
        error = syscalls.bind(call.socket.fileno(), call.address)
    if error:
        raise refuse(error)


def _lay_down_network_privileges() -> None:
    """Take from this thread, and so from the helpers that it forks, what no command has.

    Binding is not all that they decide about: a connect of a routing socket to a group takes one as well.
    """
    effective, permitted, inheritable = syscalls.capget()
    if permitted & _NETWORK_PRIVILEGES:
        kept = ~_NETWORK_PRIVILEGES
        syscalls.capset(effective & kept, permitted & kept, inheritable & kept)


def _integer(register: int) -> int:
    """Return the ``int`` that the kernel takes a register for."""
    value = register & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
