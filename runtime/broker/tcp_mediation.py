"""Sockets of TCP that the monitor binds, listens on and connects, where the network is some ports.

What is judged is an address that was read once, and the socket gets the very bytes that were judged.
Landlock tells the command's own sockets which ports they may connect to; where the monitor connects, it is
this module that does, by the same ports. Imported before the fork.
"""

from __future__ import annotations

import _socket  # of the socket module no more is needed, and the rest of it costs milliseconds
import errno
import sys
from typing import TYPE_CHECKING

from runtime.broker import decisions
from runtime.broker.asking_thread import refuse

if TYPE_CHECKING:
    from runtime.capability.capabilities import Ports

# The least that the kernel takes: sockaddr_in, sockaddr_in6 without scope.
_IPV4_ADDRESS, _IPV6_ADDRESS = 16, 24
_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291, section 2.5.5.2
_TCP_INFO = 11
_TCP_CLOSE, _TCP_LISTEN = 7, 10  # linux/tcp_states.h; the state is the first member of tcp_info
_LARGEST_BACKLOG = 0x7FFFFFFF


class TcpJudge:
    """Says which addresses the ports of a launch allow.

    Args:
        ports: what may be connected to and listened on.
    """

    def __init__(self, ports: Ports) -> None:
        self._connect = frozenset(ports.connect)
        self._anywhere = frozenset(ports.listen)
        self._loopback = frozenset(ports.listen_loopback)

    def connecting(self, socket: _socket.socket, address: bytes) -> None:
        """Refuse to connect ``socket`` to ``address``, unless its port is granted.

        Raises:
            OSError: it is not granted, or no address.
        """
        if address[:2] == bytes(2):  # AF_UNSPEC lets go of a connection
            return
        host, port = _parsed(socket, address)
        if port == 0:
            # Nobody can be granted it, or listen there. A launch inside of this one tries it to learn whether
            # Landlock holds its connects. Where they are made here it does not, so this is not EACCES.
            raise refuse(errno.ECONNREFUSED)
        if port not in self._connect:
            raise decisions.RefusedError(
                errno.EACCES,
                decisions.NETWORK,
                _subject("connect", host, port),
                f"that port is not granted; --allow-connect-port {port} would",
            )

    def bind(self, socket: _socket.socket, address: bytes) -> None:
        """Bind ``socket``.

        Raises:
            OSError: it is not granted, or the kernel refused.
        """
        host, port = _parsed(socket, address)
        self._judge(host, port)
        if socket.family == _socket.AF_INET:
            socket.bind((_socket.inet_ntop(_socket.AF_INET, host), port))
        else:
            scope = int.from_bytes(address[24:28], sys.byteorder)
            socket.bind((_socket.inet_ntop(_socket.AF_INET6, host), port, 0, scope))

    def listen(self, socket: _socket.socket, backlog: int) -> None:
        """Listen on ``socket``.

        Raises:
            OSError: it is not granted, or the kernel refused.
        """
        # In any other state a port may be one of those that the kernel gave it to connect from.
        if socket.getsockopt(_socket.IPPROTO_TCP, _TCP_INFO, 1)[0] not in (_TCP_CLOSE, _TCP_LISTEN):
            raise refuse(errno.EINVAL)
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
        loopback = _is_loopback(host)
        if port in self._anywhere or (port in self._loopback and loopback):
            return
        flag = "--open-port" if loopback else "--listen-port"
        reason = (
            f"that port is not granted; {flag} {port} would"
            if port
            else "a port that the kernel chooses cannot be granted"
        )
        raise decisions.RefusedError(errno.EACCES, decisions.NETWORK, _subject("listen", host, port), reason)


def _parsed(socket: _socket.socket, address: bytes) -> tuple[bytes, int]:
    if len(address) < 2 or int.from_bytes(address[:2], sys.byteorder) != socket.family:
        raise refuse(errno.EAFNOSUPPORT)
    host, least = (
        (address[4:8], _IPV4_ADDRESS)
        if socket.family == _socket.AF_INET
        else (
            address[8:24],
            _IPV6_ADDRESS,
        )
    )
    if len(address) < least:
        raise refuse(errno.EINVAL)
    return host, int.from_bytes(address[2:4], "big")


def _subject(verb: str, host: bytes, port: int) -> bytes:
    text = _socket.inet_ntop(_socket.AF_INET if len(host) == 4 else _socket.AF_INET6, host)
    return f"{verb} {text}:{port}".encode() if len(host) == 4 else f"{verb} [{text}]:{port}".encode()


def _name(socket: _socket.socket) -> tuple[bytes, int]:
    host, port, *_ = socket.getsockname()
    return _socket.inet_pton(socket.family, host.partition("%")[0]), port


def _is_loopback(host: bytes) -> bool:
    if len(host) == len(_MAPPED) + 4 and host.startswith(_MAPPED):
        host = host[len(_MAPPED) :]
    return host[0] == 127 if len(host) == 4 else host == bytes(15) + b"\x01"
