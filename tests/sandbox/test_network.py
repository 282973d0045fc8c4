"""Sockets: none but pairs of one's own when the network is blocked; the Internet alone when it is open."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
from typing import TYPE_CHECKING

import pytest

from runtime.capability.capabilities import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sandbox.conftest import Box

EPERM, EACCES, EAFNOSUPPORT = errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT
IPPROTO_MPTCP = 262
MSG_FASTOPEN = 0x20000000
NR_SOCKET, NR_SOCKETPAIR = 41, 53
INTERNET = [socket.AF_INET, socket.AF_INET6]
BOTH = [Network.BLOCKED, Network.ALL]


@contextlib.contextmanager
def listener(family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> Iterator[int]:
    """Listen on loopback, answer whatever connects, and yield the port."""
    with socket.socket(family, kind) as server:
        server.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            server.listen(8)
        yield server.getsockname()[1]


def connect(family: int, port: int, protocol: int = 0) -> None:
    with socket.socket(family, socket.SOCK_STREAM, protocol) as client:
        client.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))


@pytest.mark.parametrize("family", INTERNET)
def test_tcp(box: Box, family: int) -> None:
    with listener(family) as port:
        box.assert_closed(lambda: connect(family, port), EACCES)
        box.assert_open(lambda: connect(family, port), Network.ALL)


def test_multipath_tcp(box: Box, must_have: Callable[[str], None]) -> None:
    """It passes Landlock's own TCP rules."""
    with listener() as port:
        if not box.outside(lambda: connect(socket.AF_INET, port, IPPROTO_MPTCP)).worked:
            must_have("this kernel has no MPTCP")
        box.assert_closed(lambda: connect(socket.AF_INET, port, IPPROTO_MPTCP), EACCES)


def test_connecting_by_sending(box: Box) -> None:
    """MSG_FASTOPEN connects without connect(2), so it passes Landlock's TCP rules."""

    def probe(port: int) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            return client.sendto(b"hello", MSG_FASTOPEN, ("127.0.0.1", port))

    with listener() as port:
        box.assert_closed(lambda: probe(port), EACCES)


@pytest.mark.parametrize("family", INTERNET)
def test_udp(box: Box, family: int) -> None:
    """Landlock knows nothing of UDP."""

    def probe(port: int) -> int:
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            return client.sendto(b"x", ("::1" if family == socket.AF_INET6 else "127.0.0.1", port))

    with listener(family, socket.SOCK_DGRAM) as port:
        box.assert_closed(lambda: probe(port), EACCES)
        box.assert_open(lambda: probe(port), Network.ALL)


@pytest.mark.parametrize("family", INTERNET)
def test_listening(box: Box, family: int) -> None:
    def probe() -> None:
        with socket.socket(family, socket.SOCK_STREAM) as server:
            server.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
            server.listen()

    box.assert_closed(probe, EACCES)
    box.assert_open(probe, Network.ALL)


def test_connecting_a_socket_that_was_inherited(box: Box) -> None:
    """The filter only sees new sockets; for these there is Landlock (ABI 4)."""
    with listener() as port, socket.socket() as first, socket.socket() as second:
        assert box.outside(lambda: first.connect(("127.0.0.1", port))).worked
        assert box.inside(lambda: second.connect(("127.0.0.1", port))).errno == EACCES
        assert box.inside(lambda: second.bind(("127.0.0.1", 0))).errno == EACCES


@pytest.mark.parametrize("network", BOTH)
@pytest.mark.parametrize("family", INTERNET)
def test_raw_sockets(root_box: Box, network: Network, family: int) -> None:
    def probe() -> None:
        socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()

    root_box.assert_closed(probe, EPERM, EACCES, network=network)


@pytest.mark.parametrize("network", BOTH)
def test_packet_sockets(root_box: Box, network: Network) -> None:
    def probe() -> None:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()

    root_box.assert_closed(probe, EAFNOSUPPORT, EACCES, network=network)


def test_every_other_family(box: Box, raw_call: Callable[..., int]) -> None:
    """Whatever this kernel offers, the filter answers first: no module is loaded for it either."""
    for network in BOTH:
        left = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK) if network is Network.ALL else ()

        def probe(left: tuple[int, ...] = left) -> list[tuple[int, int]]:
            answers = []
            for family in (*range(64), 1 << 31, 1 << 32 | 40, 1 << 32 | 1):
                for kind in (1, 2, 3, 5):
                    try:
                        os.close(raw_call(NR_SOCKET, family, kind, 0))
                        answers.append((family, 0))
                    except OSError as error:
                        if error.errno not in (EACCES, EAFNOSUPPORT):
                            answers.append((family, error.errno or 0))
            return [answer for answer in answers if answer[0] not in left]

        assert box.inside(probe, network).value == []
    outside = box.outside(lambda: raw_call(NR_SOCKET, socket.AF_UNIX, 1, 0))
    assert outside.worked


@pytest.mark.parametrize("family", [socket.AF_VSOCK, socket.AF_ALG])
@pytest.mark.parametrize("network", BOTH)
def test_families_that_reach_past_the_network(box: Box, network: Network, family: int) -> None:
    kind = socket.SOCK_SEQPACKET if family == socket.AF_ALG else socket.SOCK_STREAM

    def probe() -> None:
        socket.socket(family, kind).close()

    if box.outside(probe).worked:
        box.assert_closed(probe, EAFNOSUPPORT, EACCES, network=network)
    else:  # this kernel was built without it
        assert box.inside(probe, network).errno in (EAFNOSUPPORT, EACCES)


def test_netlink(box: Box) -> None:
    def opened(protocol: int) -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as route:
            route.bind((0, 0))

    route, audit, uevent = 0, 9, 15
    box.assert_closed(lambda: opened(route), EACCES)
    # getaddrinfo(3) asks it which addresses there are.
    box.assert_open(lambda: opened(route), Network.ALL)
    for protocol in (audit, uevent):
        attempt = functools.partial(opened, protocol)
        if box.outside(attempt).worked:
            box.assert_closed(attempt, EAFNOSUPPORT, network=Network.ALL)


@pytest.mark.parametrize("network", BOTH)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_unix_sockets_with_a_path(box: Box, network: Network, kind: int) -> None:
    """They reach the user's systemd, D-Bus, Docker and ssh-agent, even through a read grant."""
    path = box.path("granted/socket")
    with socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(path)
        os.chmod(path, 0o777)
        if kind != socket.SOCK_DGRAM:
            server.listen(8)

        def probe() -> None:
            with socket.socket(socket.AF_UNIX, kind) as client:
                client.connect(path)

        box.assert_closed(probe, EACCES, network=network)


@pytest.mark.parametrize("network", BOTH)
def test_abstract_unix_sockets(box: Box, network: Network) -> None:
    name = f"\0nono-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen(8)

        def probe() -> None:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(name)

        box.assert_closed(probe, EACCES, network=network)


def test_an_inherited_socket_meets_landlocks_scope(box: Box) -> None:
    """Without the filter's help: a socket from outside cannot connect to an abstract name."""
    name = f"\0nono-test-inherited-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as ours:
        server.bind(name)
        server.listen(8)
        assert box.inside(lambda: ours.connect(name)).errno == EPERM
        assert box.outside(lambda: ours.connect(name)).worked


@pytest.mark.parametrize("network", BOTH)
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_DGRAM | 0o4000])
def test_datagram_pairs(box: Box, network: Network, kind: int, raw_call: Callable[..., int]) -> None:
    """One end of such a pair can still send to any path."""
    pair = bytes(8)
    box.assert_closed(lambda: raw_call(NR_SOCKETPAIR, socket.AF_UNIX, kind, 0, pair), EACCES, network=network)
    wide = 3 << 32 | kind
    box.assert_closed(lambda: raw_call(NR_SOCKETPAIR, socket.AF_UNIX, wide, 0, pair), EACCES, network=network)


@pytest.mark.parametrize("network", BOTH)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_stream_pairs_stay(box: Box, network: Network, kind: int) -> None:
    def probe() -> str:
        one, other = socket.socketpair(socket.AF_UNIX, kind)
        one.sendall(b"hello")
        return other.recv(5).decode()

    box.assert_open(probe, network)


def test_a_pair_reaches_nobody_else(box: Box) -> None:
    """The ends of the pairs that stay are connected for good."""
    path = box.path("granted/elsewhere")
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as server:
            server.bind(path)
            server.listen(1)
            os.chmod(path, 0o777)

            def probe(kind: int = kind) -> None:
                one, _ = socket.socketpair(socket.AF_UNIX, kind)
                one.connect(path)

            assert box.inside(probe).errno == errno.EISCONN
        os.unlink(path)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_an_end_of_a_pair_takes_no_name(box: Box, kind: int) -> None:
    """Abstract names belong to nobody: whoever takes one first keeps a service outside from its own."""

    def probe(name: bytes | str) -> None:
        one, _ = socket.socketpair(socket.AF_UNIX, kind)
        one.bind(name)

    box.assert_closed(lambda: probe(f"\0nono-test-pair-{os.getpid()}"), EACCES)
    box.assert_closed(lambda: probe(box.path(f"granted/{os.getpid()}-{os.urandom(4).hex()}")), EACCES)


def test_no_end_of_a_pair_listens(box: Box) -> None:
    def probe() -> None:
        one, _ = socket.socketpair(socket.AF_UNIX)
        one.listen()

    box.assert_closed(probe, EACCES, outside_errno=errno.EINVAL)
