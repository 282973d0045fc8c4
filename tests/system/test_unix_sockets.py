"""``--allow-unix-socket`` and its kin, from the command line to the verdict."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # published without type information
import pytest

from tests.system.conftest import NONO, PYTHON, missing, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Site

TRY = """\
import errno, json, os, socket, sys
said = {}
def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        return client.recv(9).decode()
def bind(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        return "made"
def tcp(port):
    socket.create_connection(("127.0.0.1", port)).close()
    return "connected"
def listen(port):
    with socket.create_server(("127.0.0.1", port)):
        return "listens"
for what, *arguments in json.loads(sys.argv[1]):
    try:
        said[f"{what} {arguments[0]}"] = globals()[what](*arguments)
    except OSError as error:
        said[f"{what} {arguments[0]}"] = errno.errorcode[error.errno]
said["variables"] = sorted(set(os.environ) & set(sys.argv[2].split()))
print(json.dumps(said))
"""
VARIABLES = {
    "SSH_AUTH_SOCK": "{}/agent",
    "DBUS_SESSION_BUS_ADDRESS": "unix:abstract=x;unix:guid=1,path={}/%62us",
    "DOCKER_HOST": "unix://{}/docker.sock",
    "WAYLAND_DISPLAY": "wayland-0",
    "XDG_RUNTIME_DIR": "{}",
}


class Service:
    """A service of the user's, outside of the sandbox: it says its name to whoever connects."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        path.chmod(0o666)
        self.server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.server.accept()
                with client, contextlib.suppress(OSError):
                    client.sendall(self.path.name.encode()[:9])


@pytest.fixture
def run() -> Iterator[Path]:
    """A runtime directory, of a name that is short enough for an address."""
    with tempfile.TemporaryDirectory(prefix="nono-run-", dir="/tmp") as made:
        yield Path(os.path.realpath(made))


@pytest.fixture
def services(run: Path) -> Iterator[list[Service]]:
    made = [Service(run / "agent"), Service(run / "bus")]
    yield made
    for service in made:
        with contextlib.suppress(OSError):
            service.server.shutdown(socket.SHUT_RDWR)
        service.server.close()


def attempts(site: Site, run: Path, wanted: list[tuple[object, ...]], *flags: object) -> dict[str, Any]:
    for name, value in VARIABLES.items():
        site.environment[name] = value.format(run)
    ended = site.run(
        *map(str, flags), *site.python_grants(), "--", PYTHON, "-I", "-c", TRY, json.dumps(wanted),
        " ".join(VARIABLES),
    )  # fmt: skip
    assert ended.status == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


@pytest.mark.parametrize(
    ("flags", "reached"),
    [
        (["--allow-unix-socket", "agent"], ({"agent", "link"}, set())),
        (["--allow-unix-socket-dir", "."], ({"agent", "bus", "link"}, set())),
        (["--allow-unix-socket-dir-bind", "."], ({"agent", "bus", "link"}, {"new"})),
        (["--allow-unix-socket-subtree-bind", "."], ({"agent", "bus", "link", "sub/x"}, {"new", "sub/new"})),
        (
            ["--allow-unix-socket-bind", "sub/new", "--allow-unix-socket", "link"],
            ({"agent", "link"}, {"sub/new"}),
        ),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_what_why_says_is_what_happens(
    site: Site, run: Path, services: list[Service], flags: list[str], reached: tuple[set[str], set[str]]
) -> None:
    connects, binds = reached
    (run / "sub").mkdir()
    services.append(Service(run / "sub/x"))
    (run / "link").symlink_to("agent")
    (run / "dangling").symlink_to("nothing")
    (run / "file").write_bytes(b"")
    given = [flag if flag.startswith("-") else str((run / flag).absolute()) for flag in flags]
    connected = ["agent", "bus", "link", "sub/x", "file"]
    bound = ["new", "sub/new", "agent", "dangling"]
    for question, names, expected in (
        ("--unix-socket", connected, connects),
        ("--unix-socket-bind", bound, binds),
    ):
        said = {name: site.nono("why", question, run / name, *given).status for name in names}
        assert said == {name: 0 if name in expected else 1 for name in names}
    wanted: list[tuple[object, ...]] = [("connect", str(run / name)) for name in connected]
    wanted += [("bind", str(run / name)) for name in bound]
    done = attempts(site, run, wanted, "--block-net", *given)
    worked = {what for what, how in done.items() if how in ("agent", "bus", "x", "made")}
    assert worked == {f"connect {run / name}" for name in connects} | {f"bind {run / name}" for name in binds}


def test_a_socket_that_is_granted(site: Site, run: Path, services: list[Service]) -> None:
    agent, bus, new = (str(run / name) for name in ("agent", "bus", "new"))
    wanted: list[tuple[object, ...]] = [("connect", agent), ("connect", bus), ("connect", bus), ("bind", new)]
    flags = ("--block-net", "--allow-unix-socket", agent)
    assert attempts(site, run, wanted, *flags) == {
        f"connect {agent}": "agent", f"connect {bus}": "EACCES", f"bind {new}": "EACCES",
        "variables": ["SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"],
    }  # fmt: skip
    record = site.record()
    asked = {"access": "connect", "asked": agent, "source": "user", "type": "socket"}
    assert record.intent["unix_sockets"] == [asked]
    assert record.start["capabilities"]["unix_sockets"] == [{**asked, "path": os.path.realpath(agent)}]
    decisions = [entry["data"] for entry in record.entries if entry["kind"] == "decision"]
    real = os.path.realpath(run)
    assert decisions == [
        {
            "by": "policy", "subject": f"{verb} {real}/{name}", "verdict": "denied", "what": "unix-socket",
            "reason": f"{why} is not granted; {flag} {real}/{name} would",
        }
        for verb, name, why, flag in (
            ("connect", "bus", "that socket", "--allow-unix-socket"),
            ("bind", "new", "making a socket there", "--allow-unix-socket-bind"),
        )
    ]  # fmt: skip
    assert record.outcome["counts"]["decisions"] == 2
    assert record.outcome["counts"]["decisions_dropped"] == 1
    site.tidy = False  # whoever reads leaves an index
    shown = site.nono("audit", "show", "last").stdout.decode()
    assert f"connect to the socket {real}/agent (user)" in shown
    assert f"denied unix-socket connect {real}/bus by policy" in shown


def test_without_a_grant_there_is_none(site: Site, run: Path, services: list[Service]) -> None:
    agent = str(run / "agent")
    assert attempts(site, run, [("connect", agent), ("bind", str(run / "new"))]) == {
        f"connect {agent}": "EACCES", f"bind {run / 'new'}": "EACCES", "variables": [],
    }  # fmt: skip
    record = site.record()
    assert "unix_sockets" not in record.intent
    assert "unix_sockets" not in record.start["capabilities"]


def test_directories_ports_and_an_open_network(site: Site, run: Path, services: list[Service]) -> None:
    agent, bus, new = (str(run / name) for name in ("agent", "bus", "new"))
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        granted, other = one.getsockname()[1], two.getsockname()[1]
        wanted: list[tuple[object, ...]] = [("connect", agent), ("connect", bus), ("bind", new)]
        wanted += [("tcp", granted), ("tcp", other)]
        made = {f"connect {agent}": "agent", f"connect {bus}": "bus", f"bind {new}": "made"}
        opened = {f"tcp {granted}": "connected", f"tcp {other}": "connected"}
        everything = {"variables": sorted(VARIABLES)}
        flags: tuple[object, ...] = ("--allow-unix-socket-dir-bind", run)
        assert attempts(site, run, wanted, *flags) == made | opened | everything
        os.unlink(new)
        flags = ("--allow-unix-socket-subtree-bind", run, "--allow-connect-port", granted)
        assert attempts(site, run, wanted, *flags) == {
            **made, f"tcp {granted}": "connected", f"tcp {other}": "EACCES", **everything,
        }  # fmt: skip
        os.unlink(new)
        decision = next(entry["data"] for entry in site.record().entries if entry["kind"] == "decision")
        assert (decision["what"], decision["subject"]) == ("network", f"connect 127.0.0.1:{other}")
        assert decision["reason"] == f"that port is not granted; --allow-connect-port {other} would"


def test_what_was_refused_becomes_a_profile_that_grants_it(
    site: Site, run: Path, services: list[Service]
) -> None:
    agent, bus, new = (str(run / name) for name in ("agent", "bus", "new"))
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    wanted: list[tuple[object, ...]] = [("connect", bus), ("bind", new), ("listen", port)]
    attempts(site, run, wanted, "--allow-unix-socket", agent, "--open-port", "1")
    site.tidy = False  # likewise, and a profile
    made = site.nono("profile", "init", "fixed", "--from-session", "last")
    assert made.status == 0, made.stderr
    assert attempts(site, run, wanted, "-p", "fixed") == {
        f"connect {bus}": "bus", f"bind {new}": "made", f"listen {port}": "listens",
        "variables": ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"],
    }  # fmt: skip
    shown = site.nono("profile", "show", "fixed").stdout.decode()
    assert f"bind and connect to the socket {os.path.realpath(new)}" in shown
    planned = site.run("--dry-run", "-p", "fixed", "--", "/bin/true")
    assert f"connect to the socket {os.path.realpath(bus)}  (profile)" in planned.stdout.decode()


def test_grants_that_must_not_be_given(site: Site, run: Path, services: list[Service]) -> None:
    state = site.environment["XDG_STATE_HOME"]
    home = site.environment["HOME"]
    os.makedirs(os.path.join(home, ".ssh"), exist_ok=True)
    keep = Service(run / "plain")
    for path, flag, why in (
        (f"{state}/nono/x.sock", "--allow-unix-socket", "no command may reach"),
        (state, "--allow-unix-socket-subtree", "no command may reach"),
        (f"{home}/.ssh/agent", "--allow-unix-socket", "is protected"),
        (home, "--allow-unix-socket-subtree", "is protected"),
        ("/", "--allow-unix-socket-subtree", "as a whole opens everything"),
        (run, "--allow-unix-socket", "it is a directory"),
        (keep.path, "--allow-unix-socket-dir", "it is not a directory"),
        ("/etc/passwd", "--allow-unix-socket", "it is not a socket"),
        ("/proc/1", "--allow-unix-socket-dir-bind", "reaches other processes"),
    ):
        ended = site.run(flag, str(path), "--", "/bin/true")
        assert (ended.status, why in ended.stderr) == (125, True), (path, ended.stderr)
    keep.server.close()
    ended = site.run("--allow-unix-socket", "", "--", "/bin/true")
    assert ended.status == 125
    ended = site.run("--allow-unix-socket", str(run / "later"), "--", "/bin/true")
    assert ended.status == 0
    assert "does not exist yet" in ended.stderr
    ended = site.run("--allow-unix-socket", str(run / "none" / "later"), "--", "/bin/true")
    assert ended.status == 0
    assert "nor its directory, so it is not granted" in ended.stderr


def test_a_flood_of_refusals_leaves_a_short_record(site: Site, run: Path, services: list[Service]) -> None:
    flood = (
        "import socket\n"
        "for number in range(10000):\n"
        "    with socket.socket(socket.AF_UNIX) as client:\n"
        "        try: client.connect(b'\\0%d' % number)\n"
        "        except PermissionError: pass\n"
    )
    ended = site.run(
        "--allow-unix-socket", str(run / "agent"), *site.python_grants(), "--", PYTHON, "-I", "-c", flood
    )
    assert ended.status == 0, ended.stderr
    counts = site.record().outcome["counts"]
    assert (counts["decisions"], counts["decisions_dropped"]) == (64, 10_000 - 64)


def test_refusals_are_recorded_while_the_command_runs(site: Site, run: Path, services: list[Service]) -> None:
    refused = (
        "import socket, sys, time\n"
        "try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
        "except PermissionError: time.sleep(600)\n"
    )
    running = site.start(
        "run", "--allow-unix-socket", str(run / "agent"), *site.python_grants(), "--",
        PYTHON, "-I", "-c", refused, str(run / "bus"),
    )  # fmt: skip

    def is_recorded() -> bool:
        found = site.records() if site.ledgers() else []
        return bool(found) and "decision" in found[-1].kinds

    wait_for(is_recorded, "the decision in the ledger")
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait().status == 128 + signal.SIGTERM


def test_a_connect_that_waits_does_not_keep_a_launch_from_ending(site: Site, run: Path) -> None:
    """Neither the helper that waits for it nor what is left counts for anything in the end."""
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first:
        full.bind(str(run / "full"))
        (run / "full").chmod(0o666)
        full.listen(0)
        first.connect(str(run / "full"))
        waits = (
            "import os, socket, sys, threading, time\n"
            "def wait(): socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
            "threading.Thread(target=wait, daemon=True).start()\n"
            "time.sleep(0.5)\n"
            "os._exit(7)\n"
        )
        began = time.monotonic()
        ended = site.run(
            "--allow-unix-socket-dir", str(run), *site.python_grants(), "--",
            PYTHON, "-I", "-c", waits, str(run / "full"),
        )  # fmt: skip
        assert ended.status == 7, ended.stderr
        assert time.monotonic() - began < 20
        counts = site.record().outcome["counts"]
        assert (counts["survivors"], counts["survivors_left"]) == (0, 0)


def test_curl_through_a_unix_socket(site: Site, run: Path) -> None:
    curl = shutil.which("curl", path="/usr/bin:/bin")
    if curl is None:
        missing("curl is not installed")
    answer = (
        "import http.server, socketserver, sys\n"
        "class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer): daemon_threads = True\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers(); self.wfile.write(b'through')\n"
        "    def address_string(self): return 'unix'\n"
        "server = Server(sys.argv[1], Handler)\n"
        "assert server.server_address == sys.argv[1]\n"
        "server.serve_forever()\n"
    )
    at = str(run / "http")
    fetch = [curl, "-sS", "--max-time", "20", "--unix-socket", at, "http://host/"]
    # The server inside of one sandbox, the client outside and inside of another.
    running = site.start(
        "run", "--block-net", "--allow-unix-socket-bind", at, *site.python_grants(), "--",
        PYTHON, "-I", "-c", answer, at,
    )  # fmt: skip
    wait_for(lambda: os.path.exists(at), "the socket")
    wait_for(
        lambda: subprocess.run(fetch, capture_output=True, check=False).stdout == b"through", "the answer"
    )
    ended = site.run("--block-net", "--allow-unix-socket", at, "--", *fetch)
    assert (ended.status, ended.stdout) == (0, b"through"), ended.stderr
    ended = site.run("--block-net", "--allow-unix-socket", str(run / "other"), "--", *fetch)
    assert (ended.status, ended.stdout) == (7, b""), ended.stderr
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait().status == 128 + signal.SIGTERM


def test_within_another_launch(site: Site, run: Path, services: list[Service]) -> None:
    venv = os.path.dirname(os.path.dirname(NONO))
    inner = f"exec {NONO} run --no-audit --allow-unix-socket $TMPDIR/x -- /bin/true"
    within = ("--read", venv, "--allow-file", "/dev/null", *site.python_grants())
    for flags in ((), ("--allow-unix-socket", str(run / "agent"))):
        ended = site.shell(
            f"export HOME=$TMPDIR; unset XDG_STATE_HOME XDG_CONFIG_HOME XDG_CACHE_HOME; {inner}",
            *within,
            *flags,
        )
        assert ended.status == 125, ended.stderr
        session = site.records()[-1].session
        assert f"cannot run inside of another: launch {session} around it" in ended.stderr, ended.stderr


def test_named_ports_within_another_launch(site: Site, run: Path, services: list[Service]) -> None:
    """The monitor of a launch with UNIX sockets connects outside of what a launch inside is held to."""
    venv = os.path.dirname(os.path.dirname(NONO))
    connects = (
        "import socket, sys\nsocket.create_connection(('127.0.0.1', int(sys.argv[1])))\nprint('reached')"
    )
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        granted, other = (str(server.getsockname()[1]) for server in (one, two))
        python = site.python_grants()
        inner = (
            "export HOME=$TMPDIR; unset XDG_STATE_HOME XDG_CONFIG_HOME XDG_CACHE_HOME;"
            f" exec {NONO} run --no-audit --allow-connect-port {granted} {shlex.join(map(str, python))}"
            f" -- {PYTHON} -c {shlex.quote(connects)} "
        )
        within = ("--read", venv, "--allow-file", "/dev/null", *python)
        sockets = ("--allow-unix-socket", str(run / "agent"))
        both = ("--allow-connect-port", granted, "--allow-connect-port", other)
        assert site.shell(inner + granted, *within, *both).stdout == b"reached\n"
        ended = site.shell(inner + other, *within, *both)
        assert ended.status == 1, ended.stderr
        assert b"reached" not in ended.stdout
        for flags in ((), both):
            for port in (granted, other):
                ended = site.shell(inner + port, *within, *sockets, *flags)
                assert b"reached" not in ended.stdout
                assert ended.status == 125, ended.stderr
                assert "inside of one that grants UNIX sockets" in ended.stderr


def test_from_python(site: Site, run: Path, services: list[Service]) -> None:
    at = str(run / "agent")
    inside = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({at!r}); print(s.recv(9))"
    host = (
        "import sys\n"
        "from runtime import launch\n"
        f"command = [sys.executable, '-I', '-c', {inside!r}]\n"
        f"grants = dict(allow_unix_socket=[{at!r}], read=[sys.base_prefix, sys.prefix])\n"
        "print(launch(command, **grants).exit_status)"
    )
    ended = site.start("-I", "-c", host, program=(os.path.join(os.path.dirname(NONO), "python"),)).wait()
    assert ended.stdout == b"b'agent'\n0\n", ended.stderr


def test_what_nono_refused_is_said_when_the_command_failed(
    site: Site, run: Path, services: list[Service]
) -> None:
    """And what it was refused is known inside: the state file has the grants."""
    bus = str(run / "bus")
    fails = f"import socket; socket.socket(socket.AF_UNIX).connect({bus!r})"
    file = site.project / "diagnostics.json"
    ended = site.run(
        "--allow-unix-socket", str(run / "agent"), "--diagnostics-json", str(file), *site.python_grants(),
        "--", PYTHON, "-I", "-c", fails,
    )  # fmt: skip
    assert ended.status == 1
    assert f"nono: connect {bus}: that socket is not granted; --allow-unix-socket {bus} would" in ended.stderr
    document = json.loads(file.read_text())
    schema = Path(__file__).parents[2] / "runtime/schemas/diagnostics.schema.json"
    jsonschema.validate(document, json.loads(schema.read_text()))
    assert any(each["certainty"] == "decided" for each in document["findings"]), document
    venv = os.path.dirname(os.path.dirname(NONO))
    ended = site.shell(
        f"{NONO} why --self --path /etc/hosts --op read",
        *("--read", venv, "--allow-unix-socket", bus, *site.python_grants()),
    )
    assert ended.status == 0, ended.stderr


def test_a_dry_run_makes_a_manifest_that_grants_the_same(
    site: Site, run: Path, services: list[Service]
) -> None:
    agent, bus = str(run / "agent"), str(run / "bus")
    flags = ("--block-net", "--allow-unix-socket", agent, "--allow-unix-socket-dir-bind", str(run))
    planned = site.run("--dry-run", "--json", *flags, *site.python_grants(), "--", "/bin/true")
    assert planned.status == 0, planned.stderr
    manifest = json.loads(planned.stdout)["manifest"]
    assert [each["type"] for each in manifest["unix_sockets"]] == ["directory", "socket"]
    file = site.base / "manifest.json"
    file.write_text(json.dumps(manifest))
    wanted = json.dumps([["connect", agent], ["connect", bus], ["bind", str(run / "new")]])
    ended = site.run("--config", str(file), "--", PYTHON, "-I", "-c", TRY, wanted, "")
    assert ended.status == 0, ended.stderr
    assert list(json.loads(ended.stdout).values()) == ["agent", "bus", "made", []]
    ended = site.run("--config", str(file), "--allow-unix-socket", bus, "--", "/bin/true")
    assert (ended.status, "a UNIX socket would add to it" in ended.stderr) == (125, True), ended.stderr
    (run / "link").symlink_to("agent")
    manifest["unix_sockets"] = [{**manifest["unix_sockets"][1], "path": str(run / "link")}]
    file.write_text(json.dumps(manifest))
    ended = site.run("--config", str(file), "--", "/bin/true")
    assert (ended.status, f"which leads to {agent}" in ended.stderr) == (125, True), ended.stderr
