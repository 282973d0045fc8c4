"""TCP through named ports: those, and no other way to any other; what listens was bound by the monitor."""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import mmap
import os
import signal
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest

from runtime.capability.capabilities import Ports
from tests.sandbox.test_network import (
    INTERNET,
    IPPROTO_MPTCP,
    MSG_FASTOPEN,
    NR_SOCKET,
    NR_SOCKETPAIR,
    connect,
    listener,
)
from tests.unused_port import unused_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Box

EACCES = errno.EACCES
NR_CONNECT, NR_SENDTO, NR_BIND, NR_LISTEN, NR_UNSHARE, NR_IO_URING_SETUP = 42, 44, 49, 50, 272, 425
TCP_FASTOPEN_CONNECT, TCP_ULP, TCP_REPAIR, IP_LOCAL_PORT_RANGE, IP_BIND_ADDRESS_NO_PORT = 30, 31, 19, 51, 24
NR_SECCOMP, SO_REUSEPORT, SO_BINDTODEVICE, IP_FREEBIND, IP_TRANSPARENT = 317, 15, 25, 15, 19
ALLOWED = (6, 0, 0, 0x7FFF0000)
KEPT: list[object] = []
WIDENING: dict[str, tuple[int, int, int | bytes]] = {
    "reuse port": (socket.SOL_SOCKET, SO_REUSEPORT, 1),
    "free bind": (socket.IPPROTO_IP, IP_FREEBIND, 1),
    "transparent": (socket.IPPROTO_IP, IP_TRANSPARENT, 1),
    "device": (socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo"),
}
ANY: dict[int, str] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
LOOPBACK: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def to(*ports: int) -> Ports:
    return Ports(connect=ports)


@pytest.fixture
def free() -> int:
    return unused_port()


def listen(family: int, host: str, port: int) -> int:
    """Bind and listen, and return the port."""
    with socket.socket(family) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen()
        bound: int = server.getsockname()[1]
        return bound


# --- connecting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", INTERNET)
def test_a_granted_port_and_another(box: Box, family: int) -> None:
    with listener(family) as granted, listener(family) as other:
        box.assert_open(lambda: connect(family, granted), ports=to(granted))
        box.assert_open(lambda: connect(family, granted), ports=to(other, granted))
        box.assert_closed(lambda: connect(family, other), EACCES, ports=to(granted))


def test_a_granted_port_by_its_mapped_address(box: Box) -> None:
    def probe(port: int) -> None:
        with socket.socket(socket.AF_INET6) as client:
            client.connect(("::ffff:127.0.0.1", port))

    with listener() as granted, listener() as other:
        box.assert_open(lambda: probe(granted), ports=to(granted))
        box.assert_closed(lambda: probe(other), EACCES, ports=to(granted))


def test_a_port_to_listen_on_is_none_to_connect_to(box: Box) -> None:
    with listener() as port:
        box.assert_closed(lambda: connect(socket.AF_INET, port), EACCES, ports=Ports(listen=(port,)))
        box.assert_closed(lambda: connect(socket.AF_INET, port), EACCES, ports=Ports(listen_loopback=(port,)))


def test_multipath_tcp(box: Box, must_have: Callable[[str], None]) -> None:
    with listener() as port:
        if not box.outside(lambda: connect(socket.AF_INET, port, IPPROTO_MPTCP)).worked:
            must_have("this kernel has no MPTCP")
        probe = lambda: connect(socket.AF_INET, port, IPPROTO_MPTCP)  # noqa: E731  # two uses of one line
        box.assert_closed(probe, errno.EPROTONOSUPPORT, ports=to(1))
        box.assert_closed(probe, errno.EPROTONOSUPPORT, ports=to(port))


@pytest.mark.parametrize("call", ["sendto", "sendmsg", "sendmmsg", "wide"])
def test_connecting_by_sending(box: Box, call: str, raw_call: Callable[..., int]) -> None:
    """MSG_FASTOPEN connects without connect(2), so Landlock does not see it."""

    def probe(port: int) -> None:
        with socket.socket() as client:
            address = ("127.0.0.1", port)
            packed = ctypes.create_string_buffer(
                socket.AF_INET.to_bytes(2, "little")
                + port.to_bytes(2, "big")
                + bytes((127, 0, 0, 1))
                + bytes(8)
            )
            where = ctypes.addressof(packed)
            if call == "sendto":
                client.sendto(b"x", MSG_FASTOPEN, address)
            elif call == "sendmsg":
                client.sendmsg([b"x"], [], MSG_FASTOPEN, address)
            elif call == "wide":
                raw_call(NR_SENDTO, client.fileno(), b"x", 1, 1 << 32 | MSG_FASTOPEN, where, 16)
            else:
                data = ctypes.create_string_buffer(b"x")
                piece = array.array("Q", [ctypes.addressof(data), 1])
                head = array.array("Q", [where, 16, piece.buffer_info()[0], 1, 0, 0, 0, 0])
                raw_call(307, client.fileno(), head.buffer_info()[0], 1, MSG_FASTOPEN)

    with listener() as port:
        box.assert_closed(lambda: probe(port), errno.EOPNOTSUPP, ports=to(1))
        box.assert_closed(lambda: probe(port), errno.EOPNOTSUPP, ports=to(port))


def test_a_deferred_fast_open_is_judged_when_it_is_asked_for(box: Box) -> None:
    def probe(port: int) -> None:
        with socket.socket() as client:
            client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
            client.connect(("127.0.0.1", port))
            client.send(b"x")

    with listener() as granted, listener() as other:
        box.assert_open(lambda: probe(granted), ports=to(granted))
        box.assert_closed(lambda: probe(other), EACCES, ports=to(granted))


def test_a_deferred_fast_open_is_sent_where_it_was_asked_for(box: Box) -> None:
    """What sends first names another address: no flag tells that from any other sending."""

    def probe(port: int, elsewhere: int) -> str:
        with socket.socket() as client:
            client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
            client.connect(("127.0.0.1", port))
            with contextlib.suppress(OSError):
                client.sendto(b"x", 0, ("127.0.0.1", elsewhere))
            with contextlib.suppress(OSError):
                client.sendmsg([b"x"], [], 0, ("127.0.0.1", elsewhere))
            return str(client.getpeername()[1]) if client.getsockname()[1] else ""

    with socket.create_server(("127.0.0.1", 0)) as granted, socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.05)
        ports = granted.getsockname()[1], other.getsockname()[1]
        inside = box.inside(lambda: probe(*ports), ports=to(ports[0]))
        assert inside.value in ("", str(ports[0])), inside
        with pytest.raises(TimeoutError):
            other.accept()


def test_connecting_again_elsewhere(box: Box) -> None:
    """A socket that was let go (AF_UNSPEC) is judged like a new one."""

    def probe(first: int, second: int) -> None:
        with socket.socket() as client:
            client.connect(("127.0.0.1", first))
            unspecified = bytes(16)
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.connect(client.fileno(), unspecified, 16) != 0:
                raise OSError(ctypes.get_errno(), "let go")
            client.connect(("127.0.0.1", second))

    with listener() as granted, listener() as other:
        box.assert_open(lambda: probe(granted, granted), ports=to(granted))
        box.assert_closed(lambda: probe(granted, other), EACCES, ports=to(granted))


@pytest.mark.parametrize("ports", [to(1), Ports(listen=(1,))], ids=["connect", "listen"])
def test_what_is_no_tcp(box: Box, raw_call: Callable[..., int], ports: Ports) -> None:
    """UDP, raw, packet, netlink, UNIX, VSOCK and the others, whatever the upper half of a register."""

    def probe() -> list[tuple[int, int, int]]:
        opened = []
        for family in (*range(64), 1 << 31, 1 << 32 | 2, 1 << 32 | 10, 1 << 32 | 1):
            for kind in (*range(8), 1 << 32 | 2, 0x802, 0x80002):
                for protocol in (0, 1, 6, 17, 58, 132, 136, 255, 262, 1 << 32 | 262):
                    try:
                        os.close(raw_call(NR_SOCKET, family, kind, protocol))
                        opened.append((family, kind, protocol))
                    except OSError as error:
                        if error.errno not in (EACCES, errno.EPROTONOSUPPORT):
                            raise
        return opened

    inside = box.inside(probe, ports=ports)
    assert sorted(map(tuple, inside.value)) == [(f, 1, p) for f in (2, 10) for p in (0, 6)]  # type: ignore[call-overload]  # a list, as JSON has it
    for family, kind, protocol in ((2, 2, 0), (16, 3, 0), (1, 1, 0), (1, 2, 0)):
        box.assert_closed(
            lambda f=family, k=kind, p=protocol: os.close(raw_call(NR_SOCKET, f, k, p)),  # type: ignore[misc]  # a loop's own values
            EACCES,
            ports=ports,
        )


def test_raw_sockets(root_box: Box) -> None:
    for family in INTERNET:
        root_box.assert_closed(
            lambda f=family: socket.socket(f, socket.SOCK_RAW, 1).close(),  # type: ignore[misc]  # a loop's own value
            EACCES,
            errno.EPROTONOSUPPORT,
            ports=to(443),
        )


def test_datagram_pairs(box: Box, raw_call: Callable[..., int]) -> None:
    pair = bytes(8)
    probe = lambda: raw_call(NR_SOCKETPAIR, socket.AF_UNIX, socket.SOCK_DGRAM, 0, pair)  # noqa: E731  # three uses
    box.assert_closed(probe, EACCES, ports=to(443))
    box.assert_closed(probe, EACCES, ports=Ports(listen=(443,)))


def test_io_uring_connects_nobody(box: Box, raw_call: Callable[..., int]) -> None:
    """Its requests pass no filter at all."""
    parameters = bytes(120)
    inside = box.inside(lambda: raw_call(NR_IO_URING_SETUP, 1, parameters), ports=to(443))
    assert inside.errno == errno.ENOSYS


def test_sockets_that_were_inherited(box: Box) -> None:
    with (
        listener() as granted,
        listener() as other,
        socket.socket() as one,
        socket.socket() as two,
        socket.socket() as three,
        socket.socket() as four,
    ):
        assert box.inside(lambda: one.connect(("127.0.0.1", granted)), ports=to(granted)).worked
        assert box.inside(lambda: two.connect(("127.0.0.1", other)), ports=to(granted)).errno == EACCES
        assert box.inside(three.listen, ports=Ports(listen=(granted,))).errno == EACCES
        fast = lambda: four.sendto(b"x", MSG_FASTOPEN, ("127.0.0.1", other))  # noqa: E731  # two uses
        assert box.inside(fast).errno == errno.EOPNOTSUPP
        assert box.inside(fast, ports=to(granted)).errno == errno.EOPNOTSUPP


# --- listening -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", INTERNET)
def test_listening_anywhere(box: Box, free: int, family: int) -> None:
    ports = Ports(listen=(free,))
    for host in (ANY[family], LOOPBACK[family]):
        box.assert_open(lambda h=host: listen(family, h, free), ports=ports)  # type: ignore[misc]  # a loop's own value
        box.assert_closed(lambda h=host: listen(family, h, 0), EACCES, ports=ports)  # type: ignore[misc]  # the same
    with listener() as other:
        taken = box.inside(lambda: listen(family, LOOPBACK[family], other), ports=ports)
        assert taken.errno == EACCES


@pytest.mark.parametrize("family", INTERNET)
def test_listening_for_this_host(box: Box, free: int, family: int) -> None:
    ports = Ports(listen_loopback=(free,))
    box.assert_open(lambda: listen(family, LOOPBACK[family], free), ports=ports)
    box.assert_closed(lambda: listen(family, ANY[family], free), EACCES, ports=ports)


@pytest.mark.parametrize(
    ("host", "granted"),
    [("::ffff:127.0.0.1", True), ("::ffff:127.8.8.8", True), ("::ffff:0.0.0.0", False), ("::", False)],
)
def test_mapped_addresses_are_what_they_mean(box: Box, free: int, host: str, granted: bool) -> None:
    probe = lambda: listen(socket.AF_INET6, host, free)  # noqa: E731  # two uses
    if granted:
        box.assert_open(probe, ports=Ports(listen_loopback=(free,)))
    else:
        box.assert_closed(probe, EACCES, ports=Ports(listen_loopback=(free,)))


def test_whoever_connects_is_served(box: Box, free: int) -> None:
    def probe() -> str:
        with socket.socket() as server:
            server.bind(("127.0.0.1", free))
            server.listen(-1)
            client = socket.socket()
            client.connect(("127.0.0.1", free))
            accepted, _ = server.accept()
            accepted.sendall(b"hello")
            return client.recv(5).decode()

    box.assert_open(probe, ports=Ports(connect=(free,), listen_loopback=(free,)))


@pytest.mark.parametrize("option", ["reuse port", "free bind", "transparent", "device"])
def test_options_that_widen_what_can_be_bound(box: Box, free: int, option: str) -> None:
    """Neither somebody else's port, nor an address that is not this host's own, for what is for it alone."""

    level, number, value = WIDENING[option]

    def attempt(server: socket.socket, host: str, port: int) -> int:
        try:
            server.setsockopt(level, number, value)
            server.bind((host, port))
            server.listen()
        except OSError as error:
            return error.errno or -1
        return 0

    def probe(taken: int) -> list[int]:
        wanted = [("127.0.0.1", taken), ("0.0.0.0", free), ("192.0.2.1", free), ("127.0.0.1", 0)]
        answers = []
        for host, port in wanted:
            with socket.socket() as server:
                answers.append(attempt(server, host, port))
        return answers

    with socket.socket() as service:
        service.setsockopt(socket.SOL_SOCKET, SO_REUSEPORT, 1)
        service.bind(("127.0.0.1", 0))
        service.listen()
        taken = service.getsockname()[1]
        inside = box.inside(lambda: probe(taken), ports=Ports(listen_loopback=(free,)))
        assert isinstance(inside.value, list)
        assert set(inside.value) <= {EACCES, errno.EPERM}, inside
        if option == "reuse port":
            assert box.outside(lambda: probe(taken)).value[0] in (0, errno.EADDRINUSE)  # type: ignore[index]


def test_letting_go_of_a_port_and_listening_again(box: Box, free: int) -> None:
    """Dissolved (AF_UNSPEC) or shut down, a socket that listened has its port still, or none."""

    def probe() -> list[int]:
        libc = ctypes.CDLL(None, use_errno=True)
        found = []
        for dissolve in (True, False):
            with socket.socket() as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("127.0.0.1", free))
                server.listen()
                if dissolve:
                    libc.connect(server.fileno(), bytes(16), 16)
                else:
                    server.shutdown(socket.SHUT_RDWR)
                with contextlib.suppress(OSError):
                    server.listen()
                found.append(server.getsockname()[1])
                with contextlib.suppress(OSError):
                    server.bind(("0.0.0.0", 0))
                found.append(server.getsockname()[1])
        return found

    inside = box.inside(probe, ports=Ports(listen_loopback=(free,)))
    assert isinstance(inside.value, list)
    assert set(inside.value) <= {0, free}, inside


def bpf(*instructions: tuple[int, int, int, int]) -> bytes:
    """Return struct sock_fprog over these instructions, which stay as long as the process."""
    program = b"".join(struct.pack("=HBBI", *each) for each in instructions)
    kept = ctypes.create_string_buffer(program)
    KEPT.append(kept)
    return struct.pack("=HxxxxxxQ", len(instructions), ctypes.addressof(kept))


@pytest.mark.parametrize("listening", [False, True])
def test_a_filter_of_the_commands_own_opens_nothing(
    box: Box, free: int, raw_call: Callable[..., int], listening: bool
) -> None:
    """Of two filters that notify, the newer one decides, and may have no listener that lets a call go on."""

    def probe() -> list[int]:
        notify_all_of_bind = bpf((0x20, 0, 0, 0), (0x15, 0, 1, NR_BIND), (6, 0, 0, 0x7FC00000), ALLOWED)
        allow_all = bpf(ALLOWED)
        ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        answers = []
        for flags, program in ((8, notify_all_of_bind), (0, allow_all), (0, notify_all_of_bind)):
            try:
                os.close(raw_call(NR_SECCOMP, 1, flags, program))
                answers.append(0)
            except OSError as error:
                answers.append(error.errno or -1)
        for host, port in (("127.0.0.1", free + 1), ("127.0.0.1", free)):
            with socket.socket() as server:
                try:
                    server.bind((host, port))
                    server.listen()
                    answers.append(0)
                except OSError as error:
                    answers.append(error.errno or -1)
        return answers

    ports = Ports(listen_loopback=(free,)) if listening else to(free)
    inside = box.inside(probe, ports=ports)
    assert isinstance(inside.value, list)
    assert 0 not in inside.value[-2:], inside
    if listening:
        assert inside.value[0] == errno.EBUSY


def test_a_thread_that_outlives_the_first_one_asks(box: Box, free: int) -> None:
    """The first thread of its process is a zombie by then, and has no table of descriptors."""

    def probe() -> int:
        child = os.fork()
        if child == 0:

            def ask() -> None:
                time.sleep(0.05)
                os._exit(7 if listen(socket.AF_INET, "127.0.0.1", free) == free else 8)

            threading.Thread(target=ask).start()
            ctypes.CDLL(None).syscall(60, 0)  # exit(2), of this thread alone
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert box.inside(probe, ports=Ports(listen_loopback=(free,))).value == 7


@pytest.mark.parametrize("ports", [to(443), Ports(listen=(443,)), Ports(listen_loopback=(443,))])
@pytest.mark.parametrize("family", INTERNET)
def test_listening_without_a_port(box: Box, family: int, ports: Ports) -> None:
    """The kernel would choose one, and Landlock would not see it."""

    def probe() -> None:
        with socket.socket(family) as server:
            server.listen()

    box.assert_closed(probe, EACCES, ports=ports)


def test_listening_on_a_port_that_connecting_took(box: Box) -> None:
    """What the kernel gave for a connection can be a port that is granted; the address is not one."""

    def probe(port: int) -> None:
        with socket.socket() as client:
            client.connect(("127.0.0.1", port))
            client.listen()

    with listener() as port:
        every = tuple(range(32_768, 61_000, 111))
        inside = box.inside(lambda: probe(port), ports=Ports(connect=(port,), listen=every))
    assert inside.errno == errno.EINVAL


def test_the_ends_of_a_pair_take_no_name(box: Box, free: int) -> None:
    def probe(name: bytes | str) -> None:
        one, _ = socket.socketpair()
        one.bind(name)

    ports = Ports(listen=(free,))
    box.assert_closed(lambda: probe(f"\0nono-test-ports-{os.getpid()}"), EACCES, ports=ports)
    path = box.path("granted/name")
    box.assert_closed(lambda: probe(path), EACCES, ports=ports)


def address(family: int, port: int, host: bytes, length: int = 128) -> bytes:
    head = family.to_bytes(2, "little") + port.to_bytes(2, "big")
    return ((head + host) if family == socket.AF_INET else (head + bytes(4) + host)).ljust(length, b"\0")


def test_addresses_that_are_none(box: Box, free: int, raw_call: Callable[..., int]) -> None:
    """Each is answered as the kernel would, or refused; nobody is left waiting."""
    v4 = address(socket.AF_INET, free, bytes((127, 0, 0, 1)))
    v6 = address(socket.AF_INET6, free, bytes(15) + b"\x01")
    cases = [
        (socket.AF_INET, v4, 15), (socket.AF_INET, v4, 0), (socket.AF_INET, v4, 1), (socket.AF_INET, v4, -1),
        (socket.AF_INET, v4, 129), (socket.AF_INET, v4, 1 << 31), (socket.AF_INET, v6, 28),
        (socket.AF_INET, bytes(128), 16), (socket.AF_INET6, v4, 16), (socket.AF_INET6, v6, 23),
        (socket.AF_INET, None, 16), (socket.AF_INET, 1, 16), (socket.AF_INET, (1 << 64) - 1, 16),
        (socket.AF_INET, 1 << 63, 16), (socket.AF_INET6, v6[:8] + b"\xfe\x80" + v6[10:], 28),
    ]  # fmt: skip

    def probe() -> list[int]:
        answers = []
        for family, where, length in cases:
            with socket.socket(family) as server:
                try:
                    raw_call(NR_BIND, server.fileno(), where, length)
                    answers.append(0)
                except OSError as error:
                    answers.append(error.errno or -1)
        return answers

    inside = box.inside(probe, ports=Ports(listen_loopback=(free,)))
    refused = {EACCES, errno.EINVAL, errno.EFAULT, errno.EAFNOSUPPORT}
    assert isinstance(inside.value, list)
    assert len(inside.value) == len(cases)
    assert set(inside.value) <= refused, inside.value


def test_descriptors_that_are_none(box: Box, raw_call: Callable[..., int]) -> None:
    def probe() -> list[int]:
        answers = []
        for descriptor in (-1, 1 << 31, 999, 0, os.open("/proc/self/mem", os.O_RDONLY), os.pipe()[0]):
            for number in (NR_BIND, NR_LISTEN):
                try:
                    raw_call(number, descriptor, bytes(16), 16)
                    answers.append(0)
                except OSError as error:
                    answers.append(error.errno or -1)
        return answers

    inside = box.inside(probe, ports=Ports(listen=(443,)))
    assert isinstance(inside.value, list)
    assert set(inside.value) == {errno.EBADF, errno.ENOTSOCK}


def test_an_address_that_changes_meanwhile(box: Box, free: int) -> None:
    """It is read once: what was judged is what is bound, however fast another thread writes."""

    def probe() -> list[int]:
        good = address(socket.AF_INET, free, bytes((127, 0, 0, 1)))
        bad = address(socket.AF_INET, free + 1, bytes((0, 0, 0, 0)))
        memory = ctypes.create_string_buffer(good)
        done = False

        def change() -> None:
            while not done:
                ctypes.memmove(memory, bad, 16)
                ctypes.memmove(memory, good, 16)

        thread = threading.Thread(target=change)
        thread.start()
        libc = ctypes.CDLL(None, use_errno=True)
        bound = set()
        try:
            for _ in range(150):
                with socket.socket() as server:
                    if libc.bind(server.fileno(), memory, 16) == 0:
                        host, port = server.getsockname()
                        bound.add(port if host == "127.0.0.1" else -1)
        finally:
            done = True
            thread.join()
        return sorted(bound)

    inside = box.inside(probe, ports=Ports(listen_loopback=(free,)))
    assert inside.value in ([], [free])


def test_a_descriptor_that_changes_meanwhile(box: Box, free: int) -> None:
    """A socket without a port, put in the place of the one that was judged, never listens."""

    def probe() -> int:
        place = os.open("/dev/null", os.O_RDONLY)
        good = socket.socket()
        good.bind(("127.0.0.1", free))
        bad = [socket.socket() for _ in range(4)]
        done = False

        def change() -> None:
            while not done:
                os.dup2(good.fileno(), place)
                for each in bad:
                    os.dup2(each.fileno(), place)

        thread = threading.Thread(target=change)
        thread.start()
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            for _ in range(300):
                libc.listen(place, 1)
        finally:
            done = True
            thread.join()
        return sum(each.getsockname()[1] for each in bad)

    assert box.inside(probe, ports=Ports(listen_loopback=(free,))).value == 0


def test_a_thread_with_a_table_of_its_own(box: Box, free: int, raw_call: Callable[..., int]) -> None:
    """Its descriptors are its own: what is bound is its socket, not the one that has the number elsewhere."""

    def probe() -> list[int]:
        ports = []
        mine = socket.socket()

        def other() -> None:
            raw_call(NR_UNSHARE, 0x400)  # CLONE_FILES
            theirs = socket.socket()
            os.dup2(theirs.fileno(), mine.fileno())
            raw_call(NR_BIND, mine.fileno(), address(socket.AF_INET, free, bytes((127, 0, 0, 1)), 16), 16)
            ports.append(theirs.getsockname()[1])

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return [*ports, mine.getsockname()[1]]

    assert box.inside(probe, ports=Ports(listen_loopback=(free,))).value == [free, 0]


def test_before_threads_had_descriptors_of_their_own(
    box: Box, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Linux 6.9 a thread is known by its process."""
    real = os.pidfd_open

    def older(pid: int, flags: int = 0) -> int:
        if flags:
            raise OSError(errno.EINVAL, "flags")
        return real(pid)

    monkeypatch.setattr(os, "pidfd_open", older)

    def probe() -> int:
        thread = threading.Thread(target=listen, args=(socket.AF_INET, "127.0.0.1", free))
        thread.start()
        thread.join()
        return listen(socket.AF_INET, "127.0.0.1", free)

    box.assert_open(probe, ports=Ports(listen_loopback=(free,)))


def test_memory_that_nobody_else_may_read(box: Box, free: int, raw_call: Callable[..., int]) -> None:
    """An address in memfd_secret(2) is one that cannot be judged."""

    def probe() -> int:
        secret = raw_call(447, 0)
        os.ftruncate(secret, 4096)
        with mmap.mmap(secret, 4096) as memory:
            memory[:16] = address(socket.AF_INET, free, bytes((127, 0, 0, 1)), 16)
            where = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            with socket.socket() as server:
                try:
                    return raw_call(NR_BIND, server.fileno(), where, 16)
                except OSError as error:
                    return error.errno or -1

    inside = box.inside(probe, ports=Ports(listen_loopback=(free,)))
    assert inside.value in (None, errno.EFAULT), inside


def test_children_and_threads_ask_as_well(box: Box, free: int) -> None:
    def probe() -> int:
        child = os.fork()
        if child == 0:
            threads = [threading.Thread(target=lambda: listen(socket.AF_INET, "127.0.0.1", free))]
            threads[0].start()
            threads[0].join()
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    box.assert_open(probe, ports=Ports(listen_loopback=(free,)))


def test_whoever_is_killed_while_it_asks_holds_up_nobody(box: Box, free: int) -> None:
    def probe() -> int:
        for _ in range(30):
            child = os.fork()
            if child == 0:
                while True:
                    with socket.socket() as server, contextlib.suppress(OSError):
                        server.bind(("127.0.0.1", free))
            time.sleep(0.002)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return listen(socket.AF_INET, "127.0.0.1", free)

    assert box.inside(probe, ports=Ports(listen_loopback=(free,))).value == free


@pytest.mark.parametrize("option", [IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE])
def test_options_that_put_off_the_port(box: Box, free: int, option: int) -> None:
    """Neither a bind that takes no port yet, nor a range of one's own, makes another port to listen on."""

    def probe() -> None:
        with socket.socket() as server:
            value = 1 if option == IP_BIND_ADDRESS_NO_PORT else (free + 2) << 16 | (free + 1)
            server.setsockopt(socket.IPPROTO_IP, option, struct.pack("=I", value))
            server.bind(("127.0.0.1", 0))
            server.listen()

    box.assert_closed(probe, EACCES, ports=Ports(listen=(free,)))


def test_letting_go_of_the_address_after_it_was_judged(box: Box, free: int) -> None:
    """A socket that connected from this host and was refused has that address, and not for good."""

    def probe() -> str:
        server = socket.socket()
        server.bind(("127.0.0.1", free))
        libc = ctypes.CDLL(None, use_errno=True)
        with contextlib.suppress(OSError):
            server.connect(("127.0.0.1", 1))
        libc.connect(server.fileno(), bytes(16), 16)
        server.listen()
        return str(server.getsockname()[0])

    assert box.inside(probe, ports=Ports(connect=(1,), listen_loopback=(free,))).value == "127.0.0.1"


def test_other_ways_to_be_more_than_tcp(box: Box) -> None:
    def upper_layer(name: bytes) -> None:
        with socket.socket() as one:
            one.setsockopt(socket.IPPROTO_TCP, TCP_ULP, name)

    def repair() -> None:
        with socket.socket() as one:
            one.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)

    for probe in (lambda: upper_layer(b"mptcp"), lambda: upper_layer(b"smc"), repair):
        assert box.inside(probe, ports=to(443)).errno is not None
