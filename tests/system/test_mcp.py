"""``nono mcp``, with the protocol's own client as its peer."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
from typing import TYPE_CHECKING, Any, Self

import anyio
import pytest
from mcp import Client, StdioServerParameters

from attest import extras
from runtime.launcher.mcp_bounds import MOST_INPUT, MOST_LINE, MOST_WAITING
from tests.system.conftest import NONO, TIMEOUT_SECONDS, wait_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.system.conftest import Ended, Site


class Peer:
    """A client that says what no client should, line by line."""

    def __init__(self, site: Site, *flags: str) -> None:
        self._running = site.start("mcp", *flags, stdin=subprocess.PIPE)
        assert self._running.process.stdin is not None
        assert self._running.process.stdout is not None
        self._stdin, self._stdout = self._running.process.stdin, self._running.process.stdout
        self._heard = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._running.process.returncode is None:
            self._running.kill()
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def greet(self) -> None:
        """Do what comes first."""
        who = {"name": "t", "version": "1"}
        asked = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": who}
        self.ask(0, "initialize", asked)
        assert self.answer()["id"] == 0
        self.tell("notifications/initialized")

    def write(self, data: bytes) -> None:
        self._stdin.write(data)
        self._stdin.flush()

    def tell(self, method: str, params: dict[str, Any] | None = None, **more: object) -> None:
        message = {
            "jsonrpc": "2.0",
            "method": method,
            **({} if params is None else {"params": params}),
            **more,
        }
        self.write(json.dumps(message).encode() + b"\n")

    def ask(self, number: object, method: str, params: dict[str, Any] | None = None) -> None:
        self.tell(method, params, id=number)

    def call(self, number: object, script: str, **arguments: object) -> None:
        """Call the tool with a shell script."""
        given = {"command": ["/bin/sh", "-c", script], **arguments}
        self.ask(number, "tools/call", {"name": "exec", "arguments": given})

    def answer(self) -> dict[str, Any]:
        """Return the next answer."""
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        while b"\n" not in self._heard:
            assert poll.poll(TIMEOUT_SECONDS * 1_000), "no answer"
            piece = os.read(self._stdout.fileno(), 65_536)
            assert piece, "it has ended"
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def hang_up(self) -> Ended:
        """Say no more, and see how it ends."""
        self._stdin.close()
        return self.wait()

    def wait(self) -> Ended:
        """See how it ends by itself."""
        self._running.process.stdin = None
        return self._running.wait()


def ask(site: Site, work: Callable[[Client], Awaitable[Any]], *flags: str | Path) -> Any:  # whatever that has
    """Start the server as an agent does, and work with it."""
    parameters = StdioServerParameters(
        command=str(NONO), args=["mcp", *map(str, flags)], env=site.environment, cwd=site.project
    )

    async def run() -> Any:  # see above
        async with Client(parameters) as client:
            return await work(client)

    return anyio.run(run)


async def execute(client: Client, *command: str, **arguments: object) -> dict[str, Any]:
    result = await client.call_tool("exec", {"command": list(command), **arguments})
    assert not result.is_error, result
    document: dict[str, Any] = result.structured_content
    assert json.loads(result.content[0].text) == document  # type: ignore[union-attr]  # it is a text
    return document


def test_one_tool_runs_a_command_and_records_it(site: Site) -> None:
    async def work(client: Client) -> tuple[list[str], dict[str, Any]]:
        tools = await client.list_tools()
        script = "cat; echo out; echo err >&2; exit 3"
        return [tool.name for tool in tools.tools], await execute(client, "sh", "-c", script, input="in ")

    names, said = ask(site, work, "--block-net", "--label", "agent=a")
    assert names == ["exec"]
    assert (said["exit"], said["signal"], said["ended_by"]) == (3, None, None)
    assert (said["stdout"], said["stderr"]) == ("in out\n", "err\n")
    record = site.record()
    assert record.session == said["session"]
    assert record.intent["labels"] == {"agent": "a"}
    assert record.intent["network"]["mode"] == "blocked"
    assert record.outcome["exit"] == 3


def test_calls_run_at_the_same_time(site: Site) -> None:
    async def work(client: Client) -> list[int]:
        # Each waits for what the other writes.
        scripts = [
            f": > {mine}; until [ -e {other} ]; do sleep 0.01; done"
            for mine, other in (("a", "b"), ("b", "a"))
        ]
        exits = []

        async def one(script: str) -> None:
            exits.append((await execute(client, "/bin/sh", "-c", script))["exit"])

        async with anyio.create_task_group() as group:
            for script in scripts:
                group.start_soon(one, script)
        return exits

    assert ask(site, work, "--allow", ".", "--timeout", "30") == [0, 0]


def test_so_many_calls_run_at_once_and_all_are_answered(site: Site) -> None:
    script = ": > at-once/$$; ls at-once | wc -l; sleep 0.1; rm at-once/$$"
    (site.project / "at-once").mkdir()

    async def work(client: Client) -> list[int]:
        counted = []

        async def one() -> None:
            counted.append(int((await execute(client, "/bin/sh", "-c", script))["stdout"]))

        async with anyio.create_task_group() as group:
            for _ in range(64):
                group.start_soon(one)
        return counted

    counted = ask(site, work, "--allow", ".", "--block-net")
    assert len(counted) == 64
    assert 1 < max(counted) <= 8
    assert [record.kinds[-1] for record in site.records()] == ["launch.attestation"] * 64


def test_calls_wait_in_the_order_in_which_they_came(site: Site) -> None:
    with Peer(site, "--allow", ".", "--calls-at-once", "1") as peer:
        peer.greet()
        peer.call(1, "until [ -e go ]; do sleep 0.01; done")
        for number in range(2, 12):
            peer.call(number, f"echo {number} >> order")
        (site.project / "go").touch()
        assert [peer.answer()["id"] for _ in range(11)] == list(range(1, 12))
        assert peer.hang_up().status == 0
    assert (site.project / "order").read_text().split() == [str(number) for number in range(2, 12)]


def test_a_call_that_waits_and_is_cancelled_is_never_launched(site: Site) -> None:
    with Peer(site, "--allow", ".", "--calls-at-once", "1") as peer:
        peer.greet()
        peer.call(1, "until [ -e go ]; do sleep 0.01; done")
        peer.call(2, ": > launched")
        peer.call(3, "exit 3")
        peer.tell("notifications/cancelled", {"requestId": 2})
        peer.ask(4, "ping")
        assert peer.answer()["id"] == 4
        (site.project / "go").touch()
        assert [peer.answer()["id"] for _ in range(2)] == [1, 3]
        assert peer.hang_up().status == 0
    assert not (site.project / "launched").exists()
    assert [record.outcome["exit"] for record in site.records()] == [0, 3]


def test_more_than_can_wait_is_refused_at_once(site: Site) -> None:
    with Peer(site, "--allow", ".", "--calls-at-once", "1") as peer:
        peer.greet()
        peer.call(0, ": > ready; exec sleep 600")
        wait_for((site.project / "ready").exists, "the first runs")
        for number in range(1, MOST_WAITING + 3):
            peer.call(number, ": > launched")
        for number in (MOST_WAITING + 1, MOST_WAITING + 2):
            said = peer.answer()
            assert said["id"] == number
            assert said["result"]["isError"] is True
            assert "1 calls run, and 256 wait already" in said["result"]["content"][0]["text"]
            assert "[usage.busy]" in said["result"]["content"][0]["text"]
        assert peer.hang_up().status == 0
    assert not (site.project / "launched").exists()
    (record,) = site.records()
    assert record.outcome["ended_by"] == "cancelled"


def test_what_waits_is_bounded_in_bytes_as_well(site: Site) -> None:
    with Peer(site, "--allow", ".", "--calls-at-once", "1") as peer:
        peer.greet()
        peer.call(0, ": > ready; exec sleep 600")
        wait_for((site.project / "ready").exists, "the first runs")
        for number in range(1, 6):
            peer.call(number, ": > launched", input="x" * MOST_INPUT)
        said = peer.answer()
        assert said["id"] == 5
        assert "1 calls run, and 4 wait already" in said["result"]["content"][0]["text"]
        assert peer.hang_up().status == 0
    assert not (site.project / "launched").exists()


@pytest.mark.parametrize("number", ["0", "-1", "257", "many"])
def test_a_number_of_calls_that_is_none_is_refused(site: Site, number: str) -> None:
    ended = site.nono("mcp", "--calls-at-once", number)
    assert ended.status == 2
    assert "--calls-at-once" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_line_without_end_ends_the_server_and_closes_every_record(site: Site) -> None:
    with Peer(site, "--allow", ".") as peer:
        peer.greet()
        peer.call(1, ": > ready; exec sleep 600")
        wait_for((site.project / "ready").exists, "the call runs")
        piece = b"x" * (1 << 20)
        with contextlib.suppress(BrokenPipeError):  # it has had enough
            for _ in range(MOST_LINE // len(piece) + 1):
                peer.write(piece)
        ended = peer.wait()
    assert ended.status == 1
    assert ended.lines[-1] == f"nono: the client has sent a line of more than {MOST_LINE:,} characters"
    assert all(line.startswith("nono: ") for line in ended.lines)
    assert site.record().outcome["ended_by"] == "cancelled"
    assert site.record().kinds[-1] == "launch.attestation"


def test_garbage_is_passed_over_and_calls_are_answered_all_the_same(site: Site) -> None:
    garbage = (
        *(b"\n", b"{\n", b"[]\n", b"null\n", b"\xff\xfe\0\n", b'{"jsonrpc":"1.0"}\n', b"[" * 100_000 + b"\n"),
        b'{"jsonrpc":"2.0","id":{},"method":"tools/call"}\n',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[1]}}\n',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":7}\n',
        b'{"jsonrpc":"2.0","id":99,"result":{}}\n',
        b'{"jsonrpc":"2.0","id":99,"error":{"code":"no","message":0}}\n',
    )
    with Peer(site) as peer:
        peer.greet()
        for data in garbage:
            peer.write(data)
        for params in (None, {}, {"name": 1}, {"name": "exec"}, {"name": "exec", "arguments": []}):
            peer.ask("odd", "tools/call", params)
            said = peer.answer()
            assert said["id"] == "odd"
            assert "error" in said or said["result"]["isError"] is True
        peer.ask("none", "no/such/method")
        assert "error" in peer.answer()
        peer.call(1, "exit 7")
        said = peer.answer()
        assert (said["id"], said["result"]["structuredContent"]["exit"]) == (1, 7)
        ended = peer.hang_up()
    assert ended.status == 0
    assert "Traceback" not in ended.stderr
    assert [record.outcome["exit"] for record in site.records()] == [7]


def test_two_calls_of_one_number_are_two_launches(site: Site) -> None:
    with Peer(site, "--allow", ".") as peer:
        peer.greet()
        peer.call(1, "until [ -e go ]; do sleep 0.01; done; exit 3")
        peer.call(1, ": > go; exit 4")
        exits = sorted(peer.answer()["result"]["structuredContent"]["exit"] for _ in range(2))
        assert peer.hang_up().status == 0
    assert exits == [3, 4]
    assert sorted(record.outcome["exit"] for record in site.records()) == exits


def test_a_client_that_hangs_up_ends_what_runs_and_what_waits(site: Site) -> None:
    with Peer(site, "--allow", ".", "--calls-at-once", "2") as peer:
        peer.greet()
        for number in range(6):
            peer.call(number, f": > ready{number}; exec sleep 600")
        wait_for(lambda: all((site.project / f"ready{n}").exists() for n in range(2)), "two run")
        assert peer.hang_up().status == 0
    assert [record.outcome["ended_by"] for record in site.records()] == ["cancelled"] * 2


def test_no_call_gets_more_than_the_server_was_given(site: Site) -> None:
    secret = site.base / "secret"
    secret.write_text("hidden")

    async def work(client: Client) -> list[Any]:  # texts and flags
        inside = await execute(client, "/bin/cat", str(secret))
        refused, asked = [], list[dict[str, Any]]()
        asked += (
            {"command": ["/bin/cat", str(secret)], "read": ["/"]},
            {"command": "/bin/true"},
            {"command": []},
            {"command": ["/bin/true", 1]},
            {"command": ["/bin/true"], "timeout_seconds": 0},
            {"command": ["/no/such/program"]},
            {"command": ["a\0b"]},
            {},
        )
        for arguments in asked:
            result = await client.call_tool("exec", arguments)
            refused.append(bool(result.is_error))
        other = await client.call_tool("shell", {"command": ["/bin/true"]})
        return [inside["exit"], inside["stdout"], all(refused), bool(other.is_error)]

    assert ask(site, work, "--block-net") == [1, "", True, True]
    site.verdict = None


def test_a_time_out_of_a_call_ends_it_and_the_servers_is_not_raised(site: Site) -> None:
    async def work(client: Client) -> list[Any]:  # words
        first = await execute(client, "/bin/sleep", "60", timeout_seconds=1)
        second = await execute(client, "/bin/sleep", "60", timeout_seconds=50)
        return [first["ended_by"], second["ended_by"]]

    assert ask(site, work, "--timeout", "2") == ["time-out", "time-out"]


def test_output_is_bounded(site: Site) -> None:
    async def work(client: Client) -> dict[str, Any]:
        return await execute(client, "/bin/sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x")

    said = ask(site, work, "--output-limit", "1000")
    assert (len(said["stdout"]), said["stdout_dropped"]) == (1_000, 299_000)


def test_a_cancelled_call_ends_its_command_and_closes_its_record(site: Site) -> None:
    async def work(client: Client) -> None:
        async with anyio.create_task_group() as group:

            async def call() -> None:
                await execute(client, "/bin/sh", "-c", "echo $$ > pid; mv pid there; exec sleep 600")

            group.start_soon(call)
            while not (site.project / "there").exists():
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        pid = (site.project / "there").read_text().strip()
        with anyio.fail_after(30):
            while os.path.exists(f"/proc/{pid}"):
                await anyio.sleep(0.01)
        await execute(client, "/bin/true")  # it serves on

    ask(site, work, "--allow", ".")
    outcomes = [entry["data"] for entry in site.entries() if entry["kind"] == "launch.outcome"]
    assert sorted(outcome.get("ended_by", "") for outcome in outcomes) == ["", "cancelled"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_server_that_is_told_to_end_closes_every_record(site: Site, number: signal.Signals) -> None:
    running = site.start("mcp", "--allow", ".", stdin=subprocess.PIPE)
    assert running.process.stdin is not None
    initialize = {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
    }  # fmt: skip
    arguments = {"command": ["/bin/sh", "-c", ": > ready; exec sleep 600"]}
    for message in (
        {"id": 1, "method": "initialize", "params": initialize},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "exec", "arguments": arguments}},
    ):
        running.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    running.process.stdin.flush()
    wait_for((site.project / "ready").exists, "the command runs")
    os.kill(running.pid, number)
    assert running.process.wait(60) == 0
    running.process.stdin.close()
    for stream in (running.process.stdout, running.process.stderr):
        assert stream is not None
        stream.close()
    record = site.record()
    assert record.outcome["ended_by"] == "cancelled"
    assert record.kinds[-1] == "launch.attestation"


def test_without_its_package_it_says_how_to_get_it(site: Site) -> None:
    code = (
        "import sys; sys.modules['mcp'] = sys.modules['mcp_types'] = None\n"
        "from runtime.cli import main\n"
        "sys.exit(main(['mcp']))"
    )
    ended = site.start(program=(NONO.parent / "python", "-I", "-c", code)).wait()
    assert ended.status == 1
    assert ended.lines[0].startswith(
        "nono: the Model Context Protocol needs a package that is not installed: mcp"
    )
    assert ended.lines[1] == f"nono: hint: {extras.hint('mcp')}"


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_closed_stream_is_said_in_words(site: Site, closed: str) -> None:
    ended = site.start(program=("/bin/sh", "-c", f'exec "$0" mcp </dev/null {closed}', NONO)).wait()
    assert ended.status == 1
    assert ended.lines == [
        "nono: the client is spoken to over standard input and output, and one of them is closed",
        "nono: hint: let a client of the protocol start it: nono mcp --help",
    ]


@pytest.mark.parametrize(
    ("sink", "status", "words"),
    [
        (">/dev/full", 1, "nono: the client cannot be answered: No space left on device\n"),
        ("| /bin/true", 0, ""),
    ],
)
def test_a_client_that_does_not_take_its_answer_ends_the_server(
    site: Site, sink: str, status: int, words: str
) -> None:
    ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
    # Asked again and again: whoever is behind the pipe is gone at the latest when it is waited for.
    script = f"""{{ while echo '{ping}'; do :; done; }} 2>&- | {{ "$0" mcp; echo $? >status; }} {sink}"""
    ended = site.start(program=("/bin/sh", "-c", script, NONO)).wait()
    assert (site.project / "status").read_text() == f"{status}\n"
    assert ended.stderr == words


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        (("-p", "no-such"), 1, "no-such"),
        (("--config", "no-such.json"), 1, "no-such.json"),
        (("--startup-timeout", "3s"), 2, "a call has none"),
    ],
)
def test_what_no_call_could_use_is_refused_before_the_first(
    site: Site, flags: tuple[str, ...], status: int, words: str
) -> None:
    ended = site.start(program=("/bin/sh", "-c", 'exec "$0" mcp "$@" </dev/null', NONO, *flags)).wait()
    assert ended.status == status
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.lines) <= 2


def test_what_is_refused_is_not_offered(site: Site) -> None:
    said = site.start(program=(NONO, "mcp", "--help")).wait().stdout.decode()
    assert "--timeout DURATION" in said
    assert "--startup-timeout DURATION" not in said
