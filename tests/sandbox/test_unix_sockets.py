"""UNIX sockets: those that are granted, and no way to any other; the monitor connects, binds and listens."""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import functools
import mmap
import os
import signal
import socket
import stat
import struct
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

import pytest

from runtime.capability.capabilities import Network, Ports, Reach
from tests.sandbox.test_network import NR_SOCKET, NR_SOCKETPAIR
from tests.sandbox.test_ports import NR_BIND, NR_CONNECT, NR_IO_URING_SETUP, NR_LISTEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sandbox.conftest import Box, Sockets

EACCES = errno.EACCES
ONE: Sockets = (("granted/one", Reach.SOCKET, False),)
IN: Sockets = (("granted", Reach.DIRECTORY, False),)
BENEATH: Sockets = (("granted", Reach.SUBTREE, False),)
MAKE_ONE: Sockets = (("granted/new", Reach.SOCKET, True),)
MAKE_IN: Sockets = (("granted", Reach.DIRECTORY, True),)
MAKE_BENEATH: Sockets = (("granted", Reach.SUBTREE, True),)
NETWORKS = [Network.BLOCKED, Network.ALL]

# Python reads what it needs for names of hosts at the first of them, and inside it could not.
"localhost".encode("idna")

Attempts: TypeAlias = "dict[str, Callable[[], object]]"


class Servers:
    """Sockets outside of the sandbox that accept whoever comes, and say which of them they are."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self.listening: list[socket.socket] = []

    def add(self, name: str, backlog: int = 16) -> bytes:
        path = self._box.path(name)
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        os.chmod(path, 0o666)
        os.chown(path, self._box.uid, -1)
        server.listen(backlog)
        self.listening.append(server)
        threading.Thread(target=self._serve, args=(server, name), daemon=True).start()
        return path

    @staticmethod
    def _serve(server: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                with client, contextlib.suppress(OSError):
                    client.sendall(name.encode())


@pytest.fixture
def servers(box: Box) -> Iterator[Servers]:
    """Three: one that is granted, one beside it, and one elsewhere."""
    made = Servers(box)
    os.mkdir(box.path("granted/deep"))
    os.chown(box.path("granted/deep"), box.uid, -1)
    for name in ("granted/one", "granted/two", "granted/deep/three", "outside/four"):
        made.add(name)
    yield made
    for server in made.listening:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


def reach(path: bytes | str) -> str:
    """Connect, and return which server it is."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        return client.recv(64).decode()


def serve(path: bytes | str) -> str:
    """Make a socket, listen on it, be reached by oneself, and return the name that it has."""
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        accepted, _ = server.accept()
        with accepted:
            accepted.sendall(b"x")
            assert client.recv(1) == b"x"
        name: str = server.getsockname()
        assert client.getpeername() == name
    return name


def reaching(box: Box, *names: str) -> Attempts:
    def way(name: str) -> Callable[[], object]:
        return lambda: reach(box.path(name))

    return {name: way(name) for name in names}


def serving(box: Box, *names: str) -> Attempts:
    def way(name: str) -> Callable[[], object]:
        return lambda: serve(box.path(name))

    return {name: way(name) for name in names}


def attempted(attempts: Attempts) -> dict[str, object]:
    said: dict[str, object] = {}
    for name, attempt in attempts.items():
        try:
            said[name] = attempt()
        except OSError as error:
            said[name] = errno.errorcode[error.errno or 0]
    return said


# --- connecting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("sockets", "open_to"),
    [(ONE, ("granted/one",)), (IN, ("granted/one", "granted/two")),
     (BENEATH, ("granted/one", "granted/two", "granted/deep/three"))],
)  # fmt: skip
def test_what_is_granted_and_nothing_beside_it(
    box: Box, servers: Servers, network: Network, sockets: Sockets, open_to: tuple[str, ...]
) -> None:
    names = ("granted/one", "granted/two", "granted/deep/three", "outside/four")

    def probe() -> object:
        return attempted(reaching(box, *names))

    assert box.outside(probe).value == {name: name for name in names}
    assert box.inside(probe, network, sockets=sockets).value == {
        name: name if name in open_to else "EACCES" for name in names
    }
    assert box.inside(probe, network).value == dict.fromkeys(names, "EACCES")


def test_every_way_to_say_a_path(box: Box, servers: Servers) -> None:
    """It is where a path leads that counts, from where the thread is that asks."""
    os.symlink(box.path("granted/one"), box.path("outside/to-one"))
    os.symlink(box.path("granted/two"), box.path("granted/to-two"))
    os.symlink("../granted", box.path("outside/to-granted"))
    os.link(box.path("outside/four"), box.path("granted/deep/linked"))
    inside_proc = b"/proc/self/root" + box.path("granted/one")

    def probe() -> object:
        os.chdir(box.path("granted/deep"))
        return attempted(
            {
                "relative": lambda: reach("../one"),
                "relative to another": lambda: reach("../../outside/four"),
                "dotted": lambda: reach(box.path("granted/deep/../one")),
                "link to it": lambda: reach(box.path("outside/to-one")),
                "link to its directory": lambda: reach(box.path("outside/to-granted/one")),
                "link to another": lambda: reach(box.path("granted/to-two")),
                "hard link of another": lambda: reach("linked"),
                "missing": lambda: reach(box.path("granted/none")),
                "a file": lambda: reach(box.path("granted/file")),
                "through the root of procfs": lambda: reach(inside_proc),
                "through the directory of procfs": lambda: reach("/proc/self/cwd/../one"),
            }
        )

    expected: dict[str, object] = {
        "relative": "granted/one",
        "relative to another": "EACCES",
        "dotted": "granted/one",
        "link to it": "granted/one",
        "link to its directory": "granted/one",
        "link to another": "EACCES",
        "hard link of another": "EACCES",
        "missing": "ENOENT",
        "a file": "ECONNREFUSED",
        "through the root of procfs": "EACCES",
        "through the directory of procfs": "EACCES",
    }
    assert box.inside(probe, sockets=ONE).value == expected
    outside = box.outside(probe).value
    assert isinstance(outside, dict)
    assert [name for name, said in outside.items() if not str(said).startswith(("granted", "outside"))] == [
        "missing",
        "a file",
    ]


def test_kinds_of_sockets(box: Box, servers: Servers, raw_call: Callable[..., int]) -> None:
    """Datagrams go to any address, whoever connected; sequenced packets do not."""
    packets = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    packets.bind(box.path("granted/packets"))
    os.chmod(box.path("granted/packets"), 0o666)
    packets.listen()

    def sequenced() -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(box.path("granted/packets"))
        return "done"

    def elsewhere(kind: int) -> int:
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.connect(box.path("granted/packets" if kind == socket.SOCK_SEQPACKET else "granted/one"))
            return client.sendto(b"x", box.path("outside/four"))

    parameters = ctypes.create_string_buffer(120)
    probe = lambda: attempted(  # noqa: E731  # two uses of one table
        {
            "packets": sequenced,
            "datagram": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close(),
            "raw": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_RAW).close(),
            "wide": lambda: raw_call(NR_SOCKET, 1 << 32 | socket.AF_UNIX, socket.SOCK_DGRAM, 0),
            "datagram pair": lambda: raw_call(NR_SOCKETPAIR, 1, socket.SOCK_DGRAM, 0, b"\0" * 8),
            "pair": lambda: len(socket.socketpair()),
            "stream elsewhere": lambda: elsewhere(socket.SOCK_STREAM),
            "ring": lambda: raw_call(NR_IO_URING_SETUP, 1, ctypes.addressof(parameters)),
        }
    )  # fmt: skip
    for network in NETWORKS:
        said = box.inside(probe, network, sockets=IN).value
        assert said == {
            "packets": "done", "datagram": "EACCES", "raw": "EACCES", "wide": "EACCES",
            "datagram pair": "EACCES", "pair": 2, "stream elsewhere": "EISCONN", "ring": "ENOSYS",
        }, network  # fmt: skip
    packets.close()


def address(path: bytes) -> bytes:
    return socket.AF_UNIX.to_bytes(2, "little") + path


def test_addresses_that_are_none(box: Box, servers: Servers, raw_call: Callable[..., int]) -> None:
    path = box.path("granted/one")
    hidden = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)

    def connecting(given: bytes | int, length: int | None = None, number: int = NR_CONNECT) -> object:
        with socket.socket(socket.AF_UNIX) as client:
            size = length if length is not None else len(given) if isinstance(given, bytes) else 16
            return raw_call(number, client.fileno(), given, size)

    def probe() -> object:
        nameless = socket.socket(socket.AF_UNIX)
        edge = ctypes.addressof(ctypes.c_char.from_buffer(hidden))
        ctypes.memmove(edge + mmap.PAGESIZE - 16, address(path)[:16], 16)
        os.chdir(box.path("granted"))
        long = b"./" * 53 + b"on"  # 108 bytes with what is missing of them
        return attempted(
            {
                "as it is": lambda: connecting(address(path)),
                "with a NUL": lambda: connecting(address(path + b"\0")),
                "with more behind": lambda: connecting(address(path + b"\0outside")),
                "108 bytes": lambda: connecting(address(b"./" * 52 + b"/one")),
                "109 bytes": lambda: connecting(address(b"./" * 53 + b"one")),
                "cut short": lambda: connecting(address(path), len(path)),
                "no path": lambda: connecting(address(b"")),
                "nothing": lambda: connecting(b"", 0),
                "too long": lambda: connecting(address(path), 4096),
                "negative": lambda: connecting(address(path), -1),
                "abstract": lambda: connecting(address(b"\0name")),
                "abstract and empty": lambda: connecting(address(b"\0")),
                "family of another": lambda: connecting(b"\2\0" + path),
                "nowhere": lambda: connecting(8, 20),
                "at an edge": lambda: connecting(edge + mmap.PAGESIZE - 4, 4096 - 4),
                "chosen by the kernel": lambda: connecting(address(b""), number=NR_BIND),
                "bound abstract": lambda: connecting(address(b"\0name"), number=NR_BIND),
                "listening without a name": lambda: raw_call(NR_LISTEN, nameless.fileno(), 1),
                "long": lambda: connecting(address(long)),
            }
        )  # fmt: skip

    assert box.inside(probe, sockets=(*IN, ("readable", Reach.DIRECTORY, True))).value == {
        "as it is": 0, "with a NUL": 0, "with more behind": 0, "108 bytes": 0, "109 bytes": "EINVAL",
        "cut short": "ENOENT", "no path": "EINVAL", "nothing": "EINVAL", "too long": "EINVAL",
        "negative": "EINVAL", "abstract": "EACCES", "abstract and empty": "EACCES",
        "family of another": "EINVAL", "nowhere": "EFAULT", "at an edge": "EINVAL",
        "chosen by the kernel": "EACCES", "bound abstract": "EACCES", "listening without a name": "EINVAL",
        "long": "ENOENT",
    }  # fmt: skip


def a_while(met: Callable[[], bool]) -> Iterator[None]:
    """Go on for a second and a half; and longer where a busy machine has not come to what must be met."""
    begun = time.monotonic()
    while (since := time.monotonic() - begun) < 1.5 or (since < 60 and not met()):
        yield


def test_a_path_that_changes_meanwhile(box: Box, servers: Servers) -> None:
    """A link that is turned, a directory that is exchanged, an address that is rewritten by other threads."""
    servers.add("granted/onf")  # one byte from the granted one: no address is ever read half rewritten
    turned, kept = box.path("granted/turned"), box.path("granted/kept")
    os.symlink("one", turned)
    os.rename(box.path("granted/deep"), kept)
    os.mkdir(box.path("granted/deep"))
    os.symlink("../../outside/four", box.path("granted/deep/three"))
    box._give(box.home)

    def probe() -> object:
        given = ctypes.create_string_buffer(address(box.path("granted/one")) + b"\0", 110)
        good, bad = given.raw, address(box.path("granted/onf")).ljust(110, b"\0")
        over = threading.Event()

        def turn() -> None:
            temporary = box.path("granted/temporary")
            while not over.is_set():
                # The address is the other one for as long as the link takes to be turned back.
                for target, now in ((b"../outside/four", bad), (b"one", good)):
                    os.symlink(target, temporary)
                    os.rename(temporary, turned)
                    ctypes.memmove(given, now, 110)

        other = threading.Thread(target=turn)
        other.start()
        met: dict[str, int] = {}
        for _ in a_while(lambda: wanted <= set(met)):
            for way in (functools.partial(connect_raw, given), functools.partial(reach, turned)):
                try:
                    said = way()
                except OSError as error:
                    said = errno.errorcode[error.errno or 0]
                met[said] = met.get(said, 0) + 1
        over.set()
        other.join()
        return met

    def connect_raw(given: ctypes.Array[ctypes.c_char]) -> str:
        with socket.socket(socket.AF_UNIX) as client:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.connect(client.fileno(), given, 110):
                raise OSError(ctypes.get_errno(), "connect")
            return client.recv(64).decode()

    wanted = {"granted/one", "EACCES"}
    inside = box.inside(probe, sockets=ONE).value
    assert isinstance(inside, dict)
    assert set(inside) == wanted, inside
    wanted = {"outside/four", "granted/onf"}
    outside = box.outside(probe).value
    assert isinstance(outside, dict)
    assert wanted <= set(outside)


def test_a_descriptor_that_changes_meanwhile(box: Box, servers: Servers) -> None:
    """With an open network a connect of UDP is let through; it is never another socket that gets it."""

    def probe() -> object:
        wanted = address(box.path("outside/four") + b"\0")
        number = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        over = threading.Event()
        unix = socket.socket(socket.AF_UNIX)
        internet = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        def swap() -> None:
            while not over.is_set():
                os.dup2(unix.fileno(), number.fileno())
                os.dup2(internet.fileno(), number.fileno())

        other = threading.Thread(target=swap)
        other.start()
        libc = ctypes.CDLL(None, use_errno=True)
        met: set[str] = set()
        for _ in a_while(lambda: len(met) > 1):
            done = libc.connect(number.fileno(), wanted, len(wanted))
            met.add("done" if done == 0 else errno.errorcode[ctypes.get_errno()])
        over.set()
        other.join()
        with contextlib.suppress(OSError):
            unix.getpeername()
            met.add("connected")
        return sorted(met)

    met = box.inside(probe, Network.ALL, sockets=ONE).value
    assert met == ["EACCES", "EAFNOSUPPORT"]


def test_a_directory_that_is_exchanged_has_moved_no_grant(box: Box, servers: Servers) -> None:
    """The grant is on the directory that was judged, wherever that is now."""

    def probe() -> object:
        os.rename(box.path("granted/deep"), box.path("granted/away"))
        os.mkdir(box.path("granted/deep"))
        os.symlink(box.path("outside/four"), box.path("granted/deep/three"))
        said = attempted(
            {
                "in its place": lambda: reach(box.path("granted/deep/three")),
                "moved along": lambda: reach(box.path("granted/away/three")),
                "renamed": lambda: os.rename(box.path("granted/two"), box.path("granted/away/three")),
                "linked": lambda: os.link(box.path("granted/two"), box.path("granted/away/more")),
                "made": lambda: os.mknod(box.path("granted/made"), stat.S_IFSOCK | 0o600),
            }
        )
        os.rmdir(box.path("granted/deep")) if not os.listdir(box.path("granted/deep")) else None
        return said

    assert box.inside(probe, sockets=(("granted/deep", Reach.DIRECTORY, False),)).value == {
        "in its place": "EACCES", "moved along": "granted/deep/three",
        "renamed": "EACCES", "linked": "EACCES", "made": "EACCES",
    }  # fmt: skip


def test_a_full_backlog_holds_up_nobody_else(box: Box, servers: Servers) -> None:
    full = socket.socket(socket.AF_UNIX)
    full.bind(box.path("granted/full"))
    os.chmod(box.path("granted/full"), 0o666)
    full.listen(0)
    first = socket.socket(socket.AF_UNIX)
    first.connect(box.path("granted/full"))

    def probe() -> object:
        waiting = os.fork()
        if waiting == 0:
            reach(box.path("granted/full"))
            os._exit(0)
        limited = socket.socket(socket.AF_UNIX)
        limited.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300_000))
        impatient = socket.socket(socket.AF_UNIX)
        impatient.setblocking(False)
        began = time.monotonic()
        said = attempted(
            {
                "another": lambda: reach(box.path("granted/one")),
                "impatient": lambda: impatient.connect(box.path("granted/full")),
                "limited": lambda: limited.connect(box.path("granted/full")),
            }
        )
        said["flags"] = fcntl.fcntl(limited.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK
        said["in time"] = time.monotonic() - began < 5
        os.kill(waiting, signal.SIGKILL)
        said["ended by"] = os.waitstatus_to_exitcode(os.waitpid(waiting, 0)[1])
        said["afterwards"] = reach(box.path("granted/one"))
        return said

    expected = {
        "another": "granted/one", "impatient": "EAGAIN", "limited": "EAGAIN", "flags": 0, "in time": True,
        "ended by": -signal.SIGKILL, "afterwards": "granted/one",
    }  # fmt: skip
    assert box.outside(probe).value == expected
    assert box.inside(probe, sockets=IN).value == expected
    first.close()
    full.close()


def test_more_that_wait_than_there_are_helpers(box: Box, servers: Servers) -> None:
    """They wait for their turn, and each is served when the server is."""
    slow = socket.socket(socket.AF_UNIX)
    slow.bind(box.path("granted/slow"))
    os.chmod(box.path("granted/slow"), 0o666)
    slow.listen(0)

    def accept() -> None:
        time.sleep(0.5)
        with contextlib.suppress(OSError):
            while True:
                client, _ = slow.accept()
                with client:
                    client.sendall(b"x")

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()

    def probe() -> object:
        got: list[str] = []
        threads = [
            threading.Thread(target=lambda: got.append(reach(box.path("granted/slow")))) for _ in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return "".join(got)

    assert box.inside(probe, sockets=IN).value == "x" * 40
    slow.shutdown(socket.SHUT_RDWR)
    slow.close()


def test_a_flood_of_refusals(box: Box, servers: Servers) -> None:
    def probe() -> object:
        refused = 0
        for number in range(10_000):
            with socket.socket(socket.AF_UNIX) as client:
                try:
                    client.connect(b"\0%d" % number)
                except PermissionError:
                    refused += 1
        return refused, reach(box.path("granted/one"))

    assert box.inside(probe, sockets=ONE).value == [10_000, "granted/one"]


# --- binding and listening -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sockets", "open_to"),
    [(MAKE_ONE, ("granted/new",)), (MAKE_IN, ("granted/new", "granted/other")),
     (MAKE_BENEATH, ("granted/new", "granted/other", "granted/deep/new"))],
)  # fmt: skip
def test_making_sockets(box: Box, servers: Servers, sockets: Sockets, open_to: tuple[str, ...]) -> None:
    names = ("granted/new", "granted/other", "granted/deep/new", "writable/new")

    def probe() -> object:
        said = attempted(serving(box, *names))
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(box.path(name))
        return said

    assert box.outside(probe).value == {name: os.fsdecode(box.path(name)) for name in names}
    for network in NETWORKS:
        assert box.inside(probe, network, sockets=sockets).value == {
            name: os.fsdecode(box.path(name)) if name in open_to else "EACCES" for name in names
        }
    assert set(dict_of(box.inside(probe, sockets=IN).value).values()) == {"EACCES"}


def dict_of(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def test_what_is_made_is_as_the_process_wants_it(box: Box, servers: Servers) -> None:
    """The name that was given, the permissions that the umask leaves, the owner that asks."""
    os.symlink(box.path("outside/through"), box.path("granted/link"))

    def probe() -> object:
        os.umask(0o027)
        os.chdir(box.path("granted/deep"))
        said = attempted(
            {
                "relative": lambda: serve("../new"),
                "again": lambda: serve("../new"),
                "through a link": lambda: serve(box.path("granted/link")),
                "a directory": lambda: serve("../deep"),
                "no name": lambda: serve("../"),
                "dots": lambda: serve("../deep/.."),
                "no directory": lambda: serve("../none/new"),
                "procfs": lambda: serve(b"/proc/self/cwd/../more"),
                "107 bytes": lambda: len(serve(b"../deep/" * 12 + b"../" + b"n" * 8)),
            }
        )
        status = os.stat("../new")
        said["mode"], said["owner"] = oct(status.st_mode), status.st_uid == os.geteuid()
        for name in ("../new", "../" + "n" * 8):
            with contextlib.suppress(OSError):
                os.unlink(name)
        return said

    expected = {
        "relative": "../new", "again": "EADDRINUSE", "through a link": "EADDRINUSE",
        "a directory": "EADDRINUSE", "no name": "EINVAL", "dots": "EINVAL", "no directory": "ENOENT",
        "procfs": "EACCES", "107 bytes": 107, "mode": "0o140750", "owner": True,
    }  # fmt: skip
    assert box.inside(probe, sockets=MAKE_IN).value == expected
    assert not os.path.lexists(box.path("outside/through"))
    outside = dict_of(box.outside(probe).value)
    same = ("relative", "again", "through a link", "107 bytes", "mode", "owner")
    assert [outside[name] for name in same] == [expected[name] for name in same]


def test_a_parent_that_changes_while_it_binds(box: Box, servers: Servers) -> None:
    """Wherever the name leads in the end: no socket is made outside of what is granted."""
    os.symlink("granted", box.path("writable/turned"))

    def probe() -> object:
        turned, temporary = box.path("granted/turned"), box.path("granted/temporary")
        os.symlink(".", turned)
        over = threading.Event()

        def turn() -> None:
            pause = 0.0
            while not over.is_set():
                for target in (b"../writable", b"deep", b"."):
                    os.symlink(target, temporary)
                    os.rename(temporary, turned)
                    time.sleep(pause)
                # Ever slower: at first nothing is what it was a moment ago, in the end most of it is.
                pause += 0.0002

        other = threading.Thread(target=turn)
        other.start()
        met: set[str] = set()
        for made, _ in enumerate(a_while(lambda: "done" in met)):
            try:
                with socket.socket(socket.AF_UNIX) as server:
                    server.bind(turned + b"/s%d" % made)
                    server.listen()
                    met.add("done")
            except OSError as error:
                met.add(errno.errorcode[error.errno or 0])
        over.set()
        other.join()
        return sorted(met)

    met = box.inside(probe, sockets=MAKE_IN).value
    assert isinstance(met, list)
    assert "done" in met
    assert set(met) <= {"done", "EACCES", "ENOENT"}
    assert [name for name in os.listdir(box.path("writable")) if name.startswith(b"s")] == []


def test_abstract_names_do_not_listen(box: Box, servers: Servers) -> None:
    """A failed connect gives a socket that wants credentials a name, which is no reason to be heard."""

    def probe() -> object:
        with socket.socket(socket.AF_UNIX) as named:
            named.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            said = attempted(
                {
                    "connect": lambda: named.connect(box.path("granted/gone")),
                    "listen": named.listen,
                    "bind": lambda: named.bind(b"\0chosen"),
                }
            )
            said["name"] = isinstance(named.getsockname(), bytes)
        return said

    gone = socket.socket(socket.AF_UNIX)
    gone.bind(box.path("granted/gone"))
    os.chmod(box.path("granted/gone"), 0o666)
    gone.close()
    assert box.inside(probe, sockets=MAKE_IN).value == {
        "connect": "ECONNREFUSED", "listen": "EACCES", "bind": "EACCES", "name": True,
    }  # fmt: skip
    assert dict_of(box.outside(probe).value)["listen"] is None


# --- the rest of the network beside it -----------------------------------------------------------


def test_an_open_network_stays_open(box: Box, servers: Servers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def listens() -> int:
            with (
                socket.create_server(("127.0.0.1", 0)) as one,
                socket.create_connection(one.getsockname()) as client,
            ):
                accepted, _ = one.accept()
                accepted.sendall(b"x")
                accepted.close()
                return len(client.recv(1))

        def datagrams() -> int:
            with (
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
                socket.socket(type=socket.SOCK_DGRAM) as two,
            ):
                one.bind(("127.0.0.1", 0))
                two.connect(one.getsockname())
                two.send(b"x")
                return len(one.recv(1))

        def impatient() -> int:
            with socket.socket() as client:
                client.setblocking(False)
                done = client.connect_ex(("127.0.0.1", port))
                return done if done != errno.EINPROGRESS else 0

        def probe() -> object:
            return attempted(
                {
                    "blocking": lambda: socket.create_connection(("127.0.0.1", port)).close(),
                    "with a time limit": lambda: socket.create_connection(("127.0.0.1", port), 5).close(),
                    "impatient": impatient,
                    "nobody": lambda: socket.create_connection(("127.0.0.1", 1)).close(),
                    "listens": listens,
                    "datagrams": datagrams,
                    "names": lambda: socket.getaddrinfo("localhost", 80)[0][4][1],
                }
            )

        expected = {
            "blocking": None, "with a time limit": None, "impatient": 0, "nobody": "ECONNREFUSED",
            "listens": 1, "datagrams": 1, "names": 80,
        }  # fmt: skip
        assert box.outside(probe).value == expected
        assert box.inside(probe, Network.ALL, sockets=ONE).value == expected


def test_ports_of_the_system_stay_the_systems(root_box: Box, raw_call: Callable[..., int]) -> None:
    """The monitor of root has a privilege that the command has not."""

    def probe() -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 981))

    assert root_box.outside(probe).worked
    assert root_box.inside(probe, Network.ALL, sockets=(("granted", Reach.DIRECTORY, False),)).errno == EACCES


def test_named_ports_and_sockets_together(box: Box, servers: Servers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        granted, other = one.getsockname()[1], two.getsockname()[1]

        def probe() -> object:
            return attempted(
                {
                    "granted": lambda: socket.create_connection(("127.0.0.1", granted)).close(),
                    "other": lambda: socket.create_connection(("127.0.0.1", other)).close(),
                    "unspecified": lambda: unspecified(granted),
                    "datagram": lambda: socket.socket(type=socket.SOCK_DGRAM).close(),
                    "packets": lambda: socket.socket(type=socket.SOCK_SEQPACKET).close(),
                    "listen": lambda: socket.create_server(("127.0.0.1", 0)).close(),
                    "unix": lambda: reach(box.path("granted/one")),
                    "unix of another": lambda: reach(box.path("granted/two")),
                }
            )

        def unspecified(port: int) -> str:
            with socket.create_connection(("127.0.0.1", port)) as client:
                libc = ctypes.CDLL(None, use_errno=True)
                assert libc.connect(client.fileno(), bytes(16), 16) == 0
                client.connect(("127.0.0.1", port))
            return "done"

        assert box.inside(probe, ports=Ports(connect=(granted,)), sockets=ONE).value == {
            "granted": None, "other": "EACCES", "unspecified": "done", "datagram": "EACCES",
            "packets": "EACCES", "listen": "EACCES", "unix": "granted/one", "unix of another": "EACCES",
        }  # fmt: skip


def test_a_blocked_network_stays_blocked(box: Box, servers: Servers) -> None:
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_VSOCK, 0, 1 << 32 | 2)

    def probe() -> object:
        return [attempted({"it": functools.partial(opened, family)})["it"] for family in families]

    def opened(family: int) -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        number = libc.syscall(ctypes.c_long(NR_SOCKET), ctypes.c_long(family), ctypes.c_long(1), 0)
        if number < 0:
            raise OSError(ctypes.get_errno(), "socket")
        os.close(number)
        return 0

    assert set(list_of(box.inside(probe, sockets=ONE).value)) == {"EACCES"}


def list_of(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


# --- who asks ------------------------------------------------------------------------------------


def test_threads_and_children_ask_as_well(box: Box, servers: Servers) -> None:
    def probe() -> object:
        got: list[str] = []
        one = threading.Thread(target=lambda: got.append(reach(box.path("granted/one"))))
        one.start()
        one.join()
        child = os.fork()
        if child == 0:
            os._exit(0 if reach(box.path("granted/one")) == "granted/one" else 1)
        return got, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert box.inside(probe, sockets=ONE).value == [["granted/one"], 0]


def test_whoever_has_become_another_user_asks_in_vain(root_box: Box) -> None:
    """Files are opened as the one that was launched, who may open more."""
    made = Servers(root_box)
    made.add("granted/one")
    os.chmod(root_box.path("granted/one"), 0o600)

    def probe() -> object:
        root = reach(root_box.path("granted/one"))
        os.setresuid(1, 1, 1)
        return root, attempted({"as another": lambda: reach(root_box.path("granted/one"))})

    assert root_box.inside(probe, sockets=ONE).value == ["granted/one", {"as another": "EACCES"}]
    assert root_box.outside(probe).value == ["granted/one", {"as another": "EACCES"}]
    os.chmod(root_box.path("granted/one"), 0o666)
    assert root_box.outside(probe).value == ["granted/one", {"as another": "granted/one"}]
    assert root_box.inside(probe, sockets=ONE).value == ["granted/one", {"as another": "EACCES"}]
    for server in made.listening:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def test_a_descriptor_from_a_granted_server_is_the_servers_gift(box: Box, servers: Servers) -> None:
    """What a service hands over is what it does with its own authority: a grant is a door to it."""
    giver = socket.socket(socket.AF_UNIX)
    giver.bind(box.path("granted/giver"))
    os.chmod(box.path("granted/giver"), 0o666)
    giver.listen()

    def give() -> None:
        client, _ = giver.accept()
        with client, socket.socket(socket.AF_UNIX) as gift:
            gift.connect(box.path("outside/four"))
            client.sendmsg(
                [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [gift.fileno()]))]
            )

    giving = threading.Thread(target=give)
    giving.start()

    def probe() -> object:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(box.path("granted/giver"))
            _, [(_, _, data)], _, _ = client.recvmsg(1, 64)
        with socket.socket(fileno=array.array("i", data)[0]) as gift:
            return gift.recv(64).decode()

    assert box.inside(probe, sockets=IN).value == "outside/four"
    giving.join()
    giver.close()


def test_a_gift_that_is_no_unix_socket_leads_nowhere(box: Box, servers: Servers) -> None:
    """What a service made outside has no Landlock domain of the command's, and neither has the monitor."""
    giver = socket.socket(socket.AF_UNIX)
    giver.bind(box.path("granted/giver"))
    os.chmod(box.path("granted/giver"), 0o666)
    giver.listen()
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        granted, other = one.getsockname()[1], two.getsockname()[1]

        def give() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = giver.accept()
                    kinds = [(socket.AF_INET, socket.SOCK_STREAM, 0)] * 4
                    kinds += [(socket.AF_INET, socket.SOCK_DGRAM, 0)] * 2
                    kinds += [(socket.AF_NETLINK, socket.SOCK_RAW, 0)]
                    kinds += [(socket.AF_INET, socket.SOCK_STREAM, 262)]  # IPPROTO_MPTCP
                    gifts = [socket.socket(*kind) for kind in kinds]
                    numbers = array.array("i", [gift.fileno() for gift in gifts])
                    with client:
                        client.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)])
                    for gift in gifts:
                        gift.close()

        giving = threading.Thread(target=give)
        giving.start()

        def probe() -> object:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(box.path("granted/giver"))
                _, [(_, _, data)], _, _ = client.recvmsg(1, 64)
            first, second, third, fourth, packets, more, routes, multipath = (
                socket.socket(fileno=number) for number in array.array("i", data)
            )
            return attempted(
                {
                    "granted port": lambda: first.connect(("127.0.0.1", granted)),
                    "other port": lambda: second.connect(("127.0.0.1", other)),
                    "bind": lambda: third.bind(("127.0.0.1", 0)),
                    "listen": fourth.listen,
                    "datagrams": lambda: packets.connect(("127.0.0.1", granted)),
                    "datagrams here": lambda: more.bind(("127.0.0.1", 0)),
                    "routes": lambda: routes.connect((0, 0)),
                    "multipath": lambda: multipath.connect(("127.0.0.1", granted)),
                }
            )

        nothing: dict[str, object] = dict.fromkeys(dict_of(box.outside(probe).value), "EACCES")
        assert set(dict_of(box.outside(probe).value).values()) == {None}
        assert box.inside(probe, sockets=IN).value == nothing
        one_port = Ports(connect=(granted,))
        assert box.inside(probe, ports=one_port, sockets=IN).value == {**nothing, "granted port": None}
    giver.shutdown(socket.SHUT_RDWR)
    giving.join()
    giver.close()


def test_a_connect_with_an_open_network_has_no_privilege_of_the_monitors(root_box: Box) -> None:
    """To speak to groups of the routing socket takes CAP_NET_ADMIN, which a command of root has not."""
    groups = 1

    def probe() -> object:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as routes:
            return attempted(
                {
                    "kernel": lambda: routes.connect((0, 0)),
                    "group": lambda: routes.connect((0, groups)),
                    "process": lambda: routes.connect((1, 0)),
                }
            )

    assert root_box.outside(probe).value == {"kernel": None, "group": None, "process": None}
    closed = {"kernel": None, "group": "EPERM", "process": "EPERM"}
    assert root_box.inside(probe, Network.ALL).value == closed
    assert root_box.inside(probe, Network.ALL, sockets=IN).value == closed


def children_of(parent: int) -> set[int]:
    found = set()
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{int(name)}/stat", "rb") as file:
            # After the name, which can hold anything: state and parent.
            if int(file.read().rpartition(b")")[2].split()[1]) == parent:
                found.add(int(name))
    return found


def test_nobody_inside_reaches_the_monitor_and_its_helpers(box: Box, servers: Servers) -> None:
    """They are of the same user, and one of them waits for a server that does not accept."""
    slow = socket.socket(socket.AF_UNIX)
    slow.bind(box.path("granted/slow"))
    os.chmod(box.path("granted/slow"), 0o666)
    slow.listen(0)
    libc = ctypes.CDLL(None, use_errno=True)

    def traced(pid: int) -> None:
        if libc.ptrace(16, pid, 0, 0) < 0:  # PTRACE_ATTACH
            raise OSError(ctypes.get_errno(), "ptrace")

    def probe() -> object:
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(box.path("granted/slow"))  # the backlog of 0 takes one

            def wait() -> None:
                with socket.socket(socket.AF_UNIX) as second, contextlib.suppress(OSError):
                    second.connect(box.path("granted/slow"))

            threading.Thread(target=wait, daemon=True).start()
            monitor, helpers = os.getppid(), set[int]()
            deadline = time.monotonic() + 10
            while not helpers and time.monotonic() < deadline:
                helpers = children_of(monitor) - {os.getpid()}
            assert helpers
            said = {}
            for who, pid in (("monitor", monitor), ("helper", helpers.pop())):
                said[who] = attempted(
                    {
                        "signal": functools.partial(os.kill, pid, 0),
                        "trace": functools.partial(traced, pid),
                        "environment": functools.partial(os.open, f"/proc/{pid}/environ", os.O_RDONLY),
                        "memory": functools.partial(os.open, f"/proc/{pid}/mem", os.O_RDONLY),
                        "descriptor": functools.partial(os.open, f"/proc/{pid}/fd/0", os.O_RDONLY),
                        "root": functools.partial(os.open, f"/proc/{pid}/root/", os.O_PATH),
                    }
                )
            return said

    outcome = box.inside(probe, sockets=IN)
    assert outcome.worked, outcome
    said = dict_of(outcome.value)
    for who in ("monitor", "helper"):
        ways = dict_of(said[who])
        assert ways.pop("signal") == ways.pop("trace") == "EPERM", said
        assert set(ways.values()) <= {"EACCES", "EPERM"}, said
    slow.close()


def test_no_socket_is_put_where_one_is_granted(box: Box, servers: Servers) -> None:
    """The command may write to both directories, and moves whatever it likes but a socket."""
    libc = ctypes.CDLL(None, use_errno=True)

    def exchange(one: bytes, two: bytes) -> None:
        if libc.renameat2(-100, one, -100, two, 2) < 0:  # RENAME_EXCHANGE
            raise OSError(ctypes.get_errno(), "renameat2")

    def prepare() -> None:
        for name in ("writable/five", "writable/six", "granted/seven"):
            with contextlib.suppress(OSError):
                os.unlink(box.path(name))
            servers.add(name)
        box.write("granted/plain", b"")

    def probe() -> object:
        five, six, plain = box.path("writable/five"), box.path("writable/six"), box.path("granted/plain")
        said = attempted(
            {
                "link": lambda: os.link(five, box.path("granted/five")),
                "exchange": lambda: exchange(six, plain),
                "rename": lambda: os.rename(five, box.path("granted/one")),
                "in place": lambda: os.rename(box.path("granted/seven"), box.path("granted/one")),
                "make": lambda: os.mknod(box.path("granted/made"), stat.S_IFSOCK | 0o666),
            }
        )
        os.unlink(box.path("granted/one"))
        os.symlink(box.path("outside/four"), box.path("granted/one"))
        said["then"] = attempted({"it": lambda: reach(box.path("granted/one"))})["it"]
        os.unlink(box.path("granted/one"))
        return said

    prepare()
    for sockets in (ONE, IN, MAKE_IN):
        said = dict_of(box.inside(probe, sockets=sockets).value)
        assert said.pop("then") == "EACCES"
        assert set(said.values()) <= {"EXDEV", "EACCES"}, said
        servers.add("granted/one")
    outside = dict_of(box.outside(probe).value)
    assert outside.pop("then") == "outside/four"
    assert set(outside.values()) == {None}
