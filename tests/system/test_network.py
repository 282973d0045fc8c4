"""The network of a launch: open, closed, or some ports; in each of them all kinds of sockets, names and curl.

Each attempt is made outside first, where it works. ``tests/sandbox`` tries what a hostile program would.
"""

from __future__ import annotations

import contextlib
import errno
import http.server
import json
import os
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import IS_ROOT, NONO, PYTHON, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Ended, Site

# Makes every attempt and says what became of it.
ATTEMPTS = """\
import errno, json, socket, sys
tcp, other, udp, path, abstract = json.loads(sys.argv[1])
def connect(host, port):
    socket.create_connection((host, port), 5).close()
def ask(family, host):
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(b"ping", (host, udp))
        assert asking.recv(4) == b"pong"
def listen(family, host):
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
def unix(name):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(name)
def pair():
    one, two = socket.socketpair()
    one.send(b"x")
    assert two.recv(1) == b"x"
attempts = {
    "tcp": lambda: connect("127.0.0.1", tcp), "tcp6": lambda: connect("::1", tcp),
    "other": lambda: connect("127.0.0.1", other),
    "udp": lambda: ask(socket.AF_INET, "127.0.0.1"), "udp6": lambda: ask(socket.AF_INET6, "::1"),
    "listen": lambda: listen(socket.AF_INET, "127.0.0.1"), "listen6": lambda: listen(socket.AF_INET6, "::1"),
    "unix": lambda: unix(path), "abstract": lambda: unix("\\0" + abstract),
    "pair": pair,
}
said = {}
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError as error:
        said[name] = errno.errorcode.get(error.errno, repr(error))
    else:
        said[name] = "done"
print(json.dumps(said))
"""


class Servers:
    """What listens outside: TCP and UDP on both families, a path, an abstract name."""

    def __init__(self, stack: contextlib.ExitStack, directory: Path) -> None:
        both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        self.tcp = stack.enter_context(both).getsockname()[1]
        other = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        self.other = other.getsockname()[1]
        asked = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        asked.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        asked.bind(("::", 0))
        self.udp = asked.getsockname()[1]
        self.path = directory / "s"
        self.abstract = f"of-a-test-{os.getpid()}-{self.tcp}"
        for name in (str(self.path), f"\0{self.abstract}"):
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(name)
            listening.listen(64)
        answering = threading.Thread(target=self._answer, args=(asked,))
        answering.start()
        stack.callback(answering.join)
        stack.callback(self._end, asked.getsockname()[1])

    @staticmethod
    def _answer(asked: socket.socket) -> None:
        while (question := asked.recvfrom(16))[0] != b"end":
            asked.sendto(b"pong", question[1])

    @staticmethod
    def _end(port: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.sendto(b"end", ("127.0.0.1", port))

    def command(self) -> tuple[str, ...]:
        """Return the program that attempts to reach them."""
        wanted = [self.tcp, self.other, self.udp, str(self.path), self.abstract]
        return (PYTHON, "-I", "-c", ATTEMPTS, json.dumps(wanted))


@pytest.fixture
def servers(site: Site) -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        try:
            made = Servers(stack, site.project)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
            missing("there is no IPv6 here")
        yield made


def test_every_kind_of_socket(site: Site, servers: Servers) -> None:
    outside = json.loads(subprocess.run(servers.command(), check=True, capture_output=True).stdout)
    assert set(outside.values()) == {"done"}
    closed = dict.fromkeys(outside, "EACCES") | {"pair": "done"}
    opened = dict.fromkeys(outside, "done") | {"unix": "EACCES", "abstract": "EACCES"}
    port = str(servers.tcp)
    for flags, expected in (
        ((), opened),
        (("--block-net",), closed),
        (("-p", "ci-strict"), closed),
        (("--allow-connect-port", port), closed | {"tcp": "done", "tcp6": "done"}),
        (("--open-port", port), closed | {"tcp": "done", "tcp6": "done"}),
        (("--listen-port", "8"), closed),
    ):
        # Where the socket lies can be read and written to: that is no way to it.
        ended = site.run(*flags, *site.python_grants(), "--allow", ".", "--", *servers.command())
        assert ended.status == 0, ended.stderr
        assert json.loads(ended.stdout) == expected, flags


# --- names --------------------------------------------------------------------------------------------

HOST, ADDRESS, SERVER = "host.of-a-test.example", "192.0.2.7", "127.0.0.93"


def answer(question: bytes) -> bytes:
    """Return the answer to a DNS question (RFC 1035): one address for A, none for anything else."""
    end = question.index(b"\0", 12) + 5
    is_address = question[end - 4 : end - 2] == b"\0\1"
    header = question[:2] + struct.pack(">5H", 0x8180, 1, int(is_address), 0, 0)
    record = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(ADDRESS)
    return header + question[12:end] + (record if is_address else b"")


class OverUdp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        question, asked = self.request
        asked.sendto(answer(question), self.client_address)


class OverTcp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while len(length := self.request.recv(2, socket.MSG_WAITALL)) == 2:
            said = answer(self.request.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL))
            self.request.sendall(len(said).to_bytes(2, "big") + said)


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(not IS_ROOT, reason="only root answers on port 53")
def test_names_of_hosts(site: Site) -> None:
    """By a name server of the test's own: over UDP, and over TCP where port 53 is granted."""
    for name, content in (("resolv.conf", f"nameserver {SERVER}\noptions timeout:1 attempts:1\n"),
                          ("nsswitch.conf", "hosts: files dns\npasswd: files\n")):  # fmt: skip
        (site.base / name).write_text(content)
    mounts = " && ".join(f"mount --bind {site.base}/{n} /etc/{n}" for n in ("resolv.conf", "nsswitch.conf"))
    place = ("unshare", "--mount", "/bin/sh", "-c", f'{mounts} && exec "$@"', "sh")
    ask = ("/usr/bin/getent", "ahostsv4", HOST)
    with (
        serving(socketserver.ThreadingUDPServer((SERVER, 53), OverUdp)),
        serving(socketserver.ThreadingTCPServer((SERVER, 53), OverTcp)),
    ):
        outside = subprocess.run([*place, *ask], capture_output=True, check=True)
        assert outside.stdout.startswith(ADDRESS.encode())
        for flags, found in (
            ((), True),
            (("--block-net",), False),
            (("--allow-connect-port", "443"), False),
            (("--allow-connect-port", "53"), True),
        ):
            ended = site.run(*flags, "--", *ask, program=(*place, NONO))
            assert (ended.status == 0, ended.stdout.startswith(ADDRESS.encode())) == (found, found), flags
            local = site.run(*flags, "--", "/usr/bin/getent", "ahostsv4", "localhost", program=(*place, NONO))
            assert local.stdout.startswith(b"127."), flags


# --- curl ---------------------------------------------------------------------------------------------


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"page\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_curl_fetches_through_the_ports_that_are_granted(site: Site) -> None:
    """And stays confined where it is connected: no file of the home, none outside of the grant."""
    curl = shutil.which("curl", path="/usr/bin:/bin")
    if curl is None:
        missing("there is no curl in /usr/bin")
    (site.home / ".ssh").mkdir()
    (site.home / ".ssh" / "id").write_text("secret\n")
    key = (site.home / ".ssh" / "id").as_uri()
    (site.base / "beside").mkdir()
    one, two = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) for _ in range(2))
    with serving(one), serving(two):
        url, other = (f"http://127.0.0.1:{server.server_address[1]}/" for server in (one, two))

        def fetch(*arguments: str | Path, flags: tuple[str, ...]) -> Ended:
            return site.run("--allow", ".", *flags, "--", curl, "-sS", "--max-time", "10", *arguments)

        port = ("--allow-connect-port", str(one.server_address[1]))
        assert fetch(url, "-o", "page", flags=port).status == 0
        assert (site.project / "page").read_text() == "page\n"
        refused, failed = 7, 23  # curl's own words: no connection, cannot write
        assert fetch(other, flags=port).status == refused
        assert fetch(url, flags=("--block-net",)).status == refused
        assert [fetch(each, flags=()).stdout for each in (url, other)] == [b"page\n", b"page\n"]
        assert fetch(url, "-o", site.base / "beside" / "page", flags=port).status == failed
        stolen = fetch(key, flags=port)
        assert (stolen.status, stolen.stdout) == (37, b"")
        for arguments in ((other,), (url, "-o", str(site.base / "beside" / "page")), (key,)):
            subprocess.run([curl, "-sS", *arguments], check=True, capture_output=True)
