"""Standard streams that are sockets: whether the command could reach more through one than it may.

The filter sees sockets that are made, not those that are inherited. What is connected for good (one end of a
pair, a journal, whoever inetd accepted) is nothing but a stream. A datagram socket sends to any address, and
a UNIX one that is not connected connects to any path, so no launch begins with those. TCP is left to Landlock
and the filter, whatever its state. Imported only when there is one.
"""

from __future__ import annotations

import _socket  # of the socket module no more is needed, and the rest of it costs milliseconds
import os

from runtime.capability.capabilities import Network
from runtime.errors import LaunchError

_INTERNET = (_socket.AF_INET, _socket.AF_INET6)
_NAMES = ("standard input", "standard output", "standard error")


def require_confined(number: int, network: Network) -> None:
    """Refuse a standard stream through which the command could reach anybody.

    Args:
        number: 0, 1 or 2; a socket.
        network: what the command may do.

    Raises:
        LaunchError: it is such a socket (``launch.stream``).
    """
    before = _socket.getdefaulttimeout()
    _socket.setdefaulttimeout(None)  # with one, Python would change the very stream
    try:
        socket = _socket.socket(fileno=os.dup(number))
    finally:
        _socket.setdefaulttimeout(before)
    try:
        confined = _is_confined(socket, network)
    finally:
        socket.close()
    if not confined:
        raise LaunchError(
            f"{_NAMES[number]} is a socket through which the command could reach more than it may",
            code="launch.stream",
            hint="put a pipe in between (| cat), or redirect it to a file",
        )


def _is_confined(socket: _socket.socket, network: Network) -> bool:
    if socket.family in _INTERNET:
        return network is Network.ALL or (
            (socket.type, socket.proto) == (_socket.SOCK_STREAM, _socket.IPPROTO_TCP)
        )
    if socket.family != _socket.AF_UNIX or socket.type not in (_socket.SOCK_STREAM, _socket.SOCK_SEQPACKET):
        return False
    try:
        socket.getpeername()
    except OSError:
        return False  # never connected; one that was keeps its peer's name, and connects to nobody else
    return True
