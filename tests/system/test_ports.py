"""``--allow-connect-port``, ``--listen-port`` and ``--open-port``, from the command line to the verdict."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.conftest import IS_ROOT, NONO, PYTHON, is_alive, missing, wait_for
from tests.unused_port import unused_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Running, Site

TRY = """\
import errno, json, socket, sys
said = {}
def attempt(name, function):
    try:
        function()
        said[name] = "done"
    except OSError as error:
        said[name] = errno.errorcode[error.errno]
def connect(port):
    socket.create_connection(("127.0.0.1", port), 5).close()
def listen(host, port):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if port is not None:
            server.bind((host, port))
        server.listen()
for what in json.loads(sys.argv[1]):
    attempt(" ".join(map(str, what)), lambda: globals()[what[0]](*what[1:]))
print(json.dumps(said))
"""


@pytest.fixture
def server() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one.getsockname()[1]


@pytest.fixture
def other() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one.getsockname()[1]


@pytest.fixture
def free() -> int:
    return unused_port()


def attempts(site: Site, *wanted: tuple[Any, ...], flags: tuple[object, ...] = ()) -> dict[str, str]:
    ended = site.run(
        *map(str, flags), *site.python_grants(), "--", PYTHON, "-I", "-c", TRY, json.dumps(wanted)
    )
    assert ended.status == 0, ended.stderr
    said: dict[str, str] = json.loads(ended.stdout)
    return said


def test_a_port_to_connect_to(site: Site, server: int, other: int) -> None:
    said = attempts(
        site,
        ("connect", server),
        ("connect", other),
        ("listen", "127.0.0.1", server),
        ("listen", "127.0.0.1", None),
        flags=("--allow-connect-port", server),
    )
    assert list(said.values()) == ["done", "EACCES", "EACCES", "EACCES"]
    network = {"connect": [server], "listen": [], "listen_loopback": [], "mode": "ports"}
    record = site.record()
    assert record.intent["network"] == record.start["capabilities"]["network"] == network
    enforcement = record.start["enforcement"]
    assert enforcement["required"]["network"] is enforcement["achieved"]["network"] is True


def test_ports_to_listen_on(site: Site, free: int, server: int) -> None:
    local = unused_port()
    said = attempts(
        site,
        ("listen", "0.0.0.0", free),
        ("listen", "::", free),
        ("listen", "127.0.0.1", local),
        ("listen", "::1", local),
        ("listen", "0.0.0.0", local),
        ("listen", "::", local),
        ("listen", "127.0.0.1", 0),
        ("listen", "127.0.0.1", None),
        ("listen", "127.0.0.1", server),
        ("connect", server),
        flags=("--listen-port", free, "--open-port", local),
    )
    assert list(said.values()) == ["done"] * 4 + ["EACCES"] * 6, said
    assert site.record().start["capabilities"]["network"] == {
        "connect": [local], "listen": [free], "listen_loopback": [local], "mode": "ports",
    }  # fmt: skip


def test_whoever_is_outside_reaches_what_listens(site: Site, free: int) -> None:
    serve = (
        "import socket\ns = socket.create_server(('127.0.0.1', %d))\nc, _ = s.accept()\nc.sendall(b'inside')"
    )
    running = site.start(
        "run", "--open-port", str(free), *site.python_grants(), "--", PYTHON, "-I", "-c", serve % free
    )

    def ask() -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", free), 5) as client:
                return client.recv(6)
        except ConnectionRefusedError:
            return b""

    assert wait_for(ask, "an answer from inside") == b"inside"
    assert running.wait().status == 0


def test_an_ordinary_server(site: Site, free: int) -> None:
    command = (PYTHON, "-I", "-m", "http.server", "--bind", "127.0.0.1", str(free))
    running = site.start(
        "run", "--allow-cwd", "--open-port", str(free), *site.python_grants(), "--", *command
    )
    site.file("page", "from inside\n")

    def fetch() -> bool:
        done = subprocess.run(
            ["curl", "-s", f"http://127.0.0.1:{free}/page"], capture_output=True, check=False
        )
        return done.stdout == b"from inside\n"

    wait_for(fetch, "the page")
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait().status == 128 + signal.SIGTERM


def test_a_profile_names_ports_and_flags_add_to_them(site: Site, server: int, other: int) -> None:
    profile = site.profile(network={"allow_connect_port": [server]})
    said = attempts(site, ("connect", server), ("connect", other), flags=("-p", profile))
    assert list(said.values()) == ["done", "EACCES"]
    said = attempts(
        site,
        ("connect", server),
        ("connect", other),
        flags=("-p", profile, "--allow-connect-port", other),
    )
    assert list(said.values()) == ["done", "done"]
    said = attempts(site, ("connect", server), flags=("-p", profile, "--block-net"))
    assert list(said.values()) == ["EACCES"]
    assert site.records()[-1].intent["network"] == {"mode": "blocked"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--block-net", "--open-port", "80"], "--block-net closes the whole network, and ports"),
        (["--open-port", "0"], "nono: not a port: 0"),
        (["--open-port", "65536"], "nono: not a port: 65536"),
        (["--listen-port", "http"], "nono: --listen-port http is not a port"),
        (["--listen-port", ""], "nono: --listen-port  is not a port"),
        (["--listen-port", "-1"], None),
        (["--allow-connect-port", "١٢"], "nono: --allow-connect-port ١٢ is not a port"),
        (["--allow-connect-port", "9" * 5000], "is not a port"),
        ([f"--listen-port={port}" for port in range(1, 258)], "nono: more than 256 ports"),
    ],
)  # fmt: skip
def test_what_is_refused_before_anything_is_recorded(
    site: Site, flags: list[str], message: str | None
) -> None:
    ended = site.run(*flags, "--", "/bin/true")
    assert ended.status == 125
    if message is not None:
        assert message in ended.stderr
    assert site.ledgers() == []


def test_a_profile_that_blocks_the_network_and_a_port(site: Site) -> None:
    profile = site.profile(network={"block": True})
    ended = site.run("-p", profile, "--open-port", "80", "--", "/bin/true")
    assert ended.status == 125
    assert "the profile closes the whole network, and ports were asked for" in ended.stderr


def test_names_are_asked_for_over_tcp_where_that_is_granted(site: Site) -> None:
    said = site.shell(
        "echo ${RES_OPTIONS-none}", "--allow-connect-port", "53", env={"RES_OPTIONS": "ndots:2"}
    )
    assert said.stdout == b"ndots:2 use-vc\n"
    assert "looked up in files alone" not in said.stderr
    said = site.shell("echo ${RES_OPTIONS-none}", "--allow-connect-port", "443")
    assert said.stdout == b"none\n"
    assert "looked up in files alone (--allow-connect-port 53 lets them be asked for)" in said.stderr


@pytest.mark.skipif(IS_ROOT, reason="root may trace a process that does not want to be")
def test_a_process_that_may_not_be_traced_listens_nowhere(site: Site, free: int) -> None:
    script = (
        "import ctypes, socket\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\ns = socket.socket()\n"
        f"try: s.bind(('127.0.0.1', {free}))\nexcept OSError as error: print(error.errno)"
    )
    assert site.python(script, "--open-port", str(free)).stdout == b"13\n"


def test_a_port_of_the_system(site: Site) -> None:
    """A grant by root is worth what root may do; the command itself has no such capability."""
    taken = False
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 923))
        except OSError:
            taken = True
    said = attempts(site, ("listen", "127.0.0.1", 923), flags=("--open-port", 923))
    assert list(said.values()) == ["EACCES" if taken else "done"]


# --- the monitor that mediates ---------------------------------------------------------------------

BUSY = """\
import os, socket, sys, time
for _ in range(8):
    if os.fork() == 0:
        while True:
            with socket.socket() as one:
                try: one.bind(("127.0.0.1", 1))
                except OSError: pass
time.sleep(1)
print("done")
"""


def test_asking_without_end_does_not_keep_a_launch_from_ending(site: Site, free: int) -> None:
    began = time.monotonic()
    ended = site.python(BUSY, "--open-port", str(free))
    assert (ended.status, ended.stdout) == (0, b"done\n")
    assert time.monotonic() - began < 15
    assert site.record().outcome["counts"]["survivors"] == 8


LINGER = """\
import ctypes, os, socket, struct, threading, time
port = {port}
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
server.bind(("127.0.0.1", port))
server.listen(100)
answered = time.monotonic()
kept = []
# Whoever changes the rights of much memory keeps others from reading any of it for a while: the address.
size = ctypes.c_size_t(256 << 20)
region = ctypes.c_void_p(libc.mmap(None, size, 3, 0x22, -1, 0))
libc.madvise(region, size, 15)  # no huge pages
libc.madvise(region, size, 23)  # all of them now
def slow_down():
    while True:
        libc.mprotect(region, size, 1)
        libc.mprotect(region, size, 3)
def ask_on():
    global answered
    with socket.socket() as one:
        while True:
            try: one.bind(("127.0.0.1", 1))
            except OSError: answered = time.monotonic()
            time.sleep(0.01)
def close_late(descriptor, microseconds):
    libc.usleep(microseconds)
    libc.close(descriptor)
def linger():
    address = struct.pack("=H", socket.AF_INET) + port.to_bytes(2, "big") + bytes(12)
    for number in range(10_000):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.connect(("127.0.0.1", port))
        kept.append(server.accept())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1 << 20))
        client.setblocking(False)
        try:
            while True: client.send(bytes(65536))
        except BlockingIOError: pass
        descriptor = client.detach()
        closing = (descriptor, number % 20 * 100)
        threading.Thread(target=close_late, args=closing, daemon=True).start()
        libc.bind(descriptor, address, 16)
for each in (slow_down, ask_on, linger):
    threading.Thread(target=each, daemon=True).start()
while time.monotonic() - answered < 0.5:
    time.sleep(0.01)
print(os.getpid(), flush=True)
"""


def waiting_for_good(site: Site, free: int, then: str) -> tuple[Running, int]:
    """Start a command that has its mediator wait in a close(2), of a socket that nobody reads from."""
    script = LINGER.format(port=free) + then
    running = site.start(
        "run", "--open-port", str(free), *site.python_grants(), "--", PYTHON, "-I", "-c", script
    )
    assert running.process.stdout is not None
    return running, int(running.process.stdout.readline())


def test_a_monitor_that_is_made_to_wait_still_ends_the_command_after_nono(site: Site, free: int) -> None:
    site.tidy, site.verdict = False, None
    running, command = waiting_for_good(site, free, "time.sleep(600)")
    running.kill()
    wait_for(lambda: not is_alive(command), "the command's end")
    wait_for(lambda: site.processes() == [], "the end of what it left")


def test_a_monitor_that_is_made_to_wait_still_says_how_the_command_ended(site: Site, free: int) -> None:
    """The peer outlives the command here, so that the close does as well."""
    then = "if os.fork(): os._exit(7)\nos.setsid()\ntime.sleep(600)"
    running, _ = waiting_for_good(site, free, then)
    began = time.monotonic()
    assert running.wait().status == 7
    assert time.monotonic() - began < 15
    assert site.record().outcome["counts"]["survivors"] == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nono_ends_while_the_command_asks(site: Site, free: int, number: int) -> None:
    site.tidy, site.verdict = False, None
    script = BUSY.replace("time.sleep(1)", "print(os.getpid(), flush=True); time.sleep(600)")
    running = site.start(
        "run", "--open-port", str(free), *site.python_grants(), "--", PYTHON, "-I", "-c", script
    )
    assert running.process.stdout is not None
    command = int(running.process.stdout.readline())
    running.process.send_signal(number)
    running.wait()
    wait_for(lambda: not is_alive(command), "the command's end")
    wait_for(lambda: site.processes() == [], "the end of what it left")


def test_the_monitor_is_lost_while_the_command_listens(site: Site, free: int) -> None:
    site.tidy = False
    script = (
        f"import socket, time\ns = socket.create_server(('127.0.0.1', {free}))\nprint(1, flush=True)\n"
        "time.sleep(600)"
    )
    running = site.start(
        "run", "--open-port", str(free), *site.python_grants(), "--", PYTHON, "-I", "-c", script
    )
    assert running.process.stdout is not None
    assert running.process.stdout.readline() == b"1\n"
    os.kill(running.monitor(), signal.SIGKILL)
    assert running.wait().status == 128 + signal.SIGKILL
    assert site.record().outcome["signal"] == signal.SIGKILL


def test_one_launch_that_listens_within_another(site: Site, free: int) -> None:
    """The kernel lets one filter have a listener, and the outer one lets nobody take a descriptor."""
    venv = os.path.dirname(os.path.dirname(NONO))
    inner = f"exec {NONO} run --no-audit --open-port {free} -- /bin/true"
    within = ("--read", venv, "--allow-file", "/dev/null", *site.python_grants())
    for flags in ((), ("--listen-port", str(free))):
        ended = site.shell(
            f"export HOME=$TMPDIR; unset XDG_STATE_HOME XDG_CONFIG_HOME XDG_CACHE_HOME; {inner}",
            *within,
            *flags,
        )
        session = site.records()[-1].session
        assert ended.status == 125, ended.stderr
        assert f"cannot run inside of another: launch {session} around it" in ended.stderr, ended.stderr


def test_ports_within_ports_are_those_of_both(site: Site, server: int, other: int, free: int) -> None:
    venv = os.path.dirname(os.path.dirname(NONO))
    inner = ["run", "--no-audit", "-s", *site.python_grants()]
    for port in (server, other, free):
        inner += ["--allow-connect-port", str(port)]
    wanted = json.dumps([["connect", server], ["connect", other], ["listen", "127.0.0.1", None]])
    command = [str(NONO), *inner, "--", PYTHON, "-I", "-c", TRY, wanted]
    ended = site.shell(
        'export HOME="$TMPDIR"; unset XDG_STATE_HOME XDG_CONFIG_HOME XDG_CACHE_HOME; exec '
        + shlex.join(command),
        *("--read", venv, *site.python_grants(), "--allow-connect-port", str(server)),
    )
    assert ended.status == 0, ended.stderr
    assert list(json.loads(ended.stdout).values()) == ["done", "EACCES", "EACCES"]


# --- standard streams that are sockets -------------------------------------------------------------

INHERIT = """\
import os, socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
try:
    s.sendto(b"through", ("127.0.0.1", int(sys.argv[2])))
    print("sent", file=sys.stderr)
except OSError as error:
    print("refused", error.errno, file=sys.stderr)
"""


def test_a_datagram_socket_as_standard_input(site: Site) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inherited,
    ):
        victim.bind(("127.0.0.1", 0))
        port = str(victim.getsockname()[1])
        command = (PYTHON, "-I", "-c", INHERIT, "0", port)
        outside = subprocess.run(command, stdin=inherited.fileno(), capture_output=True, check=True)
        assert outside.stderr == b"sent\n"
        assert victim.recv(16) == b"through"
        for flags in (("--block-net",), ("--allow-connect-port", "443")):
            ended = site.run(*flags, *site.python_grants(), "--", *command, stdin=inherited)
            assert ended.status == 125
            assert "standard input is a socket through which the command could reach more" in ended.stderr
        # An open network has it anyway.
        ended = site.run(*site.python_grants(), "--", *command, stdin=inherited)
        assert (ended.status, victim.recv(16)) == (0, b"through")


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_unix_socket_that_can_connect_anywhere(site: Site, kind: int) -> None:
    """The filter refuses to make one, whatever the network may do."""
    with socket.socket(socket.AF_UNIX, kind) as inherited:
        for flags in ((), ("--block-net",)):
            ended = site.run(*flags, "--", "/bin/true", stdin=inherited)
            assert ended.status == 125
            assert "is a socket through which the command could reach more" in ended.stderr
            assert "hint: put a pipe in between" in ended.stderr


def test_multipath_tcp_as_standard_input(site: Site) -> None:
    """What was accepted can be let go, and connect elsewhere: Landlock does not see that protocol."""
    try:
        inherited = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    except OSError:
        missing("this kernel has no MPTCP")
    with inherited:
        assert site.run("--block-net", "--", "/bin/true", stdin=inherited).status == 125
        assert site.run("--", "/bin/true", stdin=inherited).status == 0


def test_streams_that_are_connected_stay_as_they_are(site: Site) -> None:
    one, other = socket.socketpair()
    with one, other:
        other.sendall(b"hello\n")
        other.shutdown(socket.SHUT_WR)
        ended = site.run("--block-net", "--", "/bin/cat", stdin=one)
        assert (ended.status, ended.stdout) == (0, b"hello\n")
        assert one.getblocking()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
        with client, accepted:
            client.sendall(b"hello\n")
            client.shutdown(socket.SHUT_WR)
            ended = site.run("--block-net", "--", "/bin/cat", stdin=accepted)
            assert (ended.status, ended.stdout) == (0, b"hello\n")


def test_from_python(site: Site, free: int) -> None:
    """A time-out that the host program set for its own sockets changes none of the command's."""
    host = (
        "import json, socket, sys\n"
        "from runtime import launch\n"
        "socket.setdefaulttimeout(3)\n"
        f"inside = '''import socket, os\ns = socket.socket(); s.bind((\"127.0.0.1\", {free})); s.listen()\n"
        "print(os.get_blocking(s.fileno()))'''\n"
        "command = [sys.executable, '-I', '-c', inside]\n"
        f"result = launch(command, open_ports=[{free}], read=[sys.base_prefix, sys.prefix])\n"
        "print(result.exit_status, socket.getdefaulttimeout())"
    )
    ended = site.start("-I", "-c", host, program=(os.path.join(os.path.dirname(NONO), "python"),)).wait()
    assert ended.stdout == b"True\n0 3.0\n", ended.stderr


EVERY_MISTAKE = """\
import ctypes, os, socket, sys
libc = ctypes.CDLL(None)
unix, _ = socket.socketpair()
file, (pipe, _) = os.open("/dev/null", os.O_RDONLY), os.pipe()
for _ in range(100):
    with socket.socket() as one, socket.socket(socket.AF_INET6) as other:
        for descriptor in (one.fileno(), other.fileno(), unix.fileno(), file, pipe, 9999, -1):
            for given in ((bytes(16), 16), (None, 16), (1, 16), (b"x", 1), (bytes(128), 4096), (b"\\x02", 2)):
                libc.bind(descriptor, *given)
            libc.listen(descriptor, -1)
print(1, flush=True)
sys.stdin.read()
"""


def test_no_mistake_leaves_a_descriptor_in_the_monitor(site: Site, free: int) -> None:
    running = site.start(
        "run", "--open-port", str(free), *site.python_grants(), "--", PYTHON, "-I", "-c", EVERY_MISTAKE,
        stdin=subprocess.PIPE,
    )  # fmt: skip
    assert running.process.stdout is not None
    assert running.process.stdout.readline() == b"1\n"
    names = [
        os.readlink(f"/proc/{running.monitor()}/fd/{fd}")
        for fd in os.listdir(f"/proc/{running.monitor()}/fd")
    ]
    assert not [name for name in names if name.startswith("socket:")], names
    assert len(names) < 20, names
    assert running.wait().status == 0
