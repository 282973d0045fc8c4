"""Calls that the monitor makes for the command: bind(2) and listen(2), where it has ports to listen on.

A TCP socket without a port listens on any when it is told to, which neither Landlock nor a filter can see.
So the filter notifies both calls (seccomp_unotify(2)), and whoever holds its listener takes the very socket
out of the process that asks, judges it, and makes the call on *that*. What is judged is what is bound,
whatever the process does meanwhile with its descriptors or its memory: the address is read once, and what is
bound to is what was read. No call is ever let go on in the process.

The monitor does it in a thread of its own (:func:`mediate`), for it can be made to wait without end: by an
address on a page of a file system that does not answer, or by a socket that lingers (SO_LINGER) and that the
command closes while it is held here, so that the last close is this one. Nobody waits then but who asks.

A process that may not be traced (PR_SET_DUMPABLE, a program that cannot be read) is refused; so is all that
is no TCP. Imported before the fork, and only by a launch that listens.
"""

from __future__ import annotations

import _socket  # of the socket module no more is needed, and the rest of it costs milliseconds
import errno
import fcntl
import os
import select
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from runtime import enforcement, syscalls

if TYPE_CHECKING:
    from runtime.capabilities import Ports

# Of linux/seccomp.h: struct seccomp_notif (id, pid, flags, and seccomp_data: number, architecture,
# instruction pointer, six arguments), struct seccomp_notif_resp (id, value, error, flags); their requests.
_REQUEST = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_RECEIVE = 0xC0502100
_SEND = 0xC0182101
_ID_VALID = 0x40082102
_SET_FLAGS = 0x40082104
_SYNC_WAKE_UP = 1

_NUMBERS = {"x86_64": (49, 50), "aarch64": (200, 201)}.get(os.uname().machine, (-1, -1))
_BIND, _LISTEN = _NUMBERS

_PIDFD_THREAD = os.O_EXCL  # linux/pidfd.h, from Linux 6.9
_MAX_ADDRESS = 128  # struct sockaddr_storage
_IPV4_ADDRESS, _IPV6_ADDRESS = (
    16,
    24,
)  # the least that the kernel takes: sockaddr_in, sockaddr_in6 without scope
_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291, section 2.5.5.2
_TCP_INFO = 11
_TCP_CLOSE, _TCP_LISTEN = 7, 10  # linux/tcp_states.h; the state is the first member of tcp_info
_LARGEST_BACKLOG = 0x7FFFFFFF

# The command decides how often it asks; between two batches the monitor looks at what else there is.
_BATCH = 16


class Handover:
    """How a filter's listener gets from the child that loaded the filter to the monitor.

    Made before the fork; :meth:`offer` is the child's, :meth:`take` the monitor's, each once.

    Args:
        ports: what may be listened on.
        outer: the session of the launch around this one: its filter lets nobody take a descriptor.
    """

    def __init__(self, ports: Ports, outer: str | None = None) -> None:
        self._ports = ports
        self._outer = outer
        self._number, self._number_end = os.pipe()
        self._answer, self._answer_end = os.pipe()

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

    def take(self, child: int) -> Mediator | None:
        """Return who mediates for ``child``; None when that ended before, or may not be traced."""
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
            return Mediator(listener, self._ports)
        except OSError:
            return None
        finally:
            os.close(self._number)
            os.close(self._answer_end)


def mediate(handover: Handover, child: int) -> None:
    """Answer for ``child`` until nobody is left who could ask, in a thread that nothing else depends on."""
    mediator = handover.take(child)
    if mediator is None:
        return
    with suppress(OSError):  # a listener that cannot be read any more
        while mediator.serve():
            mediator.wait()
    os.close(mediator.listener)  # whoever asks from now on, or waits, is answered ENOSYS


class Mediator:
    """Answers the notified calls of one command.

    Args:
        listener: the filter's, close-on-exec.
        ports: what may be listened on.

    Attributes:
        listener: readable when somebody asks.
    """

    def __init__(self, listener: int, ports: Ports) -> None:
        self.listener = listener
        self._anywhere = frozenset(ports.listen)
        self._loopback = frozenset(ports.listen_loopback)
        self._ready = select.poll()
        self._ready.register(listener, select.POLLIN)
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
        """Return when somebody asks, or nobody is left."""
        self._ready.poll()

    def _serve_one(self) -> None:
        request = bytearray(_REQUEST.size)  # the kernel refuses one that is not zero
        try:
            fcntl.ioctl(self.listener, _RECEIVE, request)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):  # who asked was killed meanwhile
                return
            raise
        number_of_request, thread, _, call, _, _, *arguments = _REQUEST.unpack(request)
        try:
            self._decide(number_of_request, thread, call, arguments)
            answer = 0
        except OSError as error:
            answer = error.errno or errno.EACCES
        with suppress(OSError):  # who asked was killed meanwhile
            fcntl.ioctl(self.listener, _SEND, _RESPONSE.pack(number_of_request, 0, -answer, 0))

    def _decide(self, request: int, thread: int, call: int, arguments: list[int]) -> None:
        """Make the call for the thread that asks, or raise with the errno that it is to see."""
        descriptor = _taken(thread, _integer(arguments[0]))
        try:
            socket = _socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            raise
        try:
            address = _read_address(thread, arguments[1], _integer(arguments[2])) if call == _BIND else b""
            # Only now it is sure whose socket and whose memory that was: the number of a thread that was
            # killed is given away again, to anybody.
            fcntl.ioctl(self.listener, _ID_VALID, struct.pack("=Q", request))
            if socket.family not in (_socket.AF_INET, _socket.AF_INET6) or (
                (socket.type, socket.proto) != (_socket.SOCK_STREAM, _socket.IPPROTO_TCP)
            ):
                raise _refusal(errno.EACCES)
            if call == _BIND:
                self._bind(socket, address)
            elif call == _LISTEN:
                self._listen(socket, _integer(arguments[1]))
            else:
                raise _refusal(errno.ENOSYS)
        finally:
            socket.close()

    def _bind(self, socket: _socket.socket, address: bytes) -> None:
        if len(address) < 2 or int.from_bytes(address[:2], sys.byteorder) != socket.family:
            raise _refusal(errno.EAFNOSUPPORT)
        port = int.from_bytes(address[2:4], "big")
        if socket.family == _socket.AF_INET:
            if len(address) < _IPV4_ADDRESS:
                raise _refusal(errno.EINVAL)
            host = address[4:8]
            self._judge(host, port)
            socket.bind((_socket.inet_ntop(_socket.AF_INET, host), port))
        else:
            if len(address) < _IPV6_ADDRESS:
                raise _refusal(errno.EINVAL)
            host, scope = address[8:24], int.from_bytes(address[24:28], sys.byteorder)
            self._judge(host, port)
            socket.bind((_socket.inet_ntop(_socket.AF_INET6, host), port, 0, scope))

    def _listen(self, socket: _socket.socket, backlog: int) -> None:
        # In any other state a port may be one of those that the kernel gave it to connect from.
        if socket.getsockopt(_socket.IPPROTO_TCP, _TCP_INFO, 1)[0] not in (_TCP_CLOSE, _TCP_LISTEN):
            raise _refusal(errno.EINVAL)
        self._judge(*_name(socket))
        socket.listen(backlog if backlog >= 0 else _LARGEST_BACKLOG)
        try:
            # A port and an address that bind(2) gave stay; others could have been given up since the look at
            # them, and a socket that listens changes neither.
            self._judge(*_name(socket))
        except OSError:
            socket.shutdown(_socket.SHUT_RDWR)
            raise

    def _judge(self, host: bytes, port: int) -> None:
        if port in self._anywhere or (port in self._loopback and _is_loopback(host)):
            return
        raise _refusal(errno.EACCES)


def _refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _integer(register: int) -> int:
    """Return the ``int`` that the kernel takes a register for."""
    value = register & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _taken(thread: int, descriptor: int) -> int:
    """Return a descriptor of what ``descriptor`` is to a thread."""
    if descriptor < 0:
        raise _refusal(errno.EBADF)
    try:
        pidfd = os.pidfd_open(thread, _PIDFD_THREAD)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        pidfd = os.pidfd_open(_process_of(thread))  # before Linux 6.9
    try:
        return syscalls.pidfd_getfd(pidfd, descriptor)
    except PermissionError:
        raise _refusal(errno.EACCES) from None
    finally:
        os.close(pidfd)


def _process_of(thread: int) -> int:
    with open(b"/proc/%d/status" % thread, "rb") as file:
        for line in file:
            if line.startswith(b"Tgid:"):
                return int(line.split()[1])
    raise _refusal(errno.ESRCH)


def _read_address(thread: int, where: int, length: int) -> bytes:
    """Return the address that a thread gave, as long as it says."""
    if not 0 <= length <= _MAX_ADDRESS:
        raise _refusal(errno.EINVAL)
    try:
        memory = os.open(b"/proc/%d/mem" % thread, os.O_RDONLY | os.O_CLOEXEC)
        try:
            address = os.pread(memory, length, where)
        finally:
            os.close(memory)
    except PermissionError:
        raise _refusal(errno.EACCES) from None
    except (OSError, OverflowError):  # a place that it has not, or that nobody has
        raise _refusal(errno.EFAULT) from None
    if len(address) != length:
        raise _refusal(errno.EFAULT)
    return address


def _name(socket: _socket.socket) -> tuple[bytes, int]:
    host, port, *_ = socket.getsockname()
    return _socket.inet_pton(socket.family, host.partition("%")[0]), port


def _is_loopback(host: bytes) -> bool:
    if len(host) == len(_MAPPED) + 4 and host.startswith(_MAPPED):
        host = host[len(_MAPPED) :]
    return host[0] == 127 if len(host) == 4 else host == bytes(15) + b"\x01"
