"""``nono mcp``, with the protocol's own client as its peer."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp import Client, StdioServerParameters

from tests.system.conftest import NONO, wait_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.system.conftest import Site


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
    import subprocess

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
    assert "pip install 'nono-attest[mcp]'" in ended.stderr


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
