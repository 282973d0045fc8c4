"""A server of the Model Context Protocol with one tool: ``exec``, a command inside the sandbox, recorded.

What may be granted is said by whoever starts the server, and is the same for every call; a client says which
command, what it reads, and how long it may last at most. Each call is a launch of its own, with a record of
its own; so many run at the same time, and further ones wait (:mod:`runtime.launcher.mcp_bounds`). A call that
is cancelled, or whose client is gone, ends its command, or is never launched.

The protocol is the package ``mcp``'s (an extra), which is imported here and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from attest import __version__
from attest.errors import NonoError
from runtime.launcher.mcp_bounds import MOST_INPUT, Turns, take_standard_input
from runtime.launcher.running_launch import RunningLaunch, Streams
from runtime.policy import limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from mcp.server.context import ServerRequestContext

    from runtime.launcher.launch import LaunchResult
    from runtime.policy.request import LaunchRequest

TOOL = "exec"

_MOST_ARGUMENTS = 4_096

_INPUT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["command"],
    "properties": {
        "command": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": _MOST_ARGUMENTS,
            "description": 'The argument vector; no shell is between: ["sh", "-c", "…"] for one.',
        },
        "input": {"type": "string", "description": "What the command reads on standard input."},
        "timeout_seconds": {
            "type": "integer",
            "minimum": 1,
            "description": "After so long it is told to end, then killed; a lower limit of the server holds.",
        },
    },
}

_OUTPUT = {
    "type": "object",
    "required": [
        "exit",
        "signal",
        "ended_by",
        "stdout",
        "stderr",
        "stdout_dropped",
        "stderr_dropped",
        "session",
    ],
    "properties": {
        "exit": {"type": ["integer", "null"], "description": "Exit code; null when a signal ended it."},
        "signal": {"type": ["integer", "null"], "description": "The signal that ended it."},
        "ended_by": {
            "type": ["string", "null"],
            "description": "What ended it other than itself: time-out, memory, cpu-time, cancelled.",
        },
        "stdout": {"type": "string"},
        "stderr": {"type": "string"},
        "stdout_dropped": {"type": "integer", "description": "Bytes beyond what is kept."},
        "stderr_dropped": {"type": "integer"},
        "session": {"type": "string", "description": "Of the launch, in the ledger."},
    },
}


class ExecServer:
    """The server.

    Args:
        request: what is asked of every launch, all but the command.
        output_limit: how many bytes are returned of each stream.
        at_once: how many calls run at once.
        notify: told, in one line each, what whoever runs the server should know.
    """

    def __init__(
        self, request: LaunchRequest, output_limit: int, at_once: int, notify: Callable[[str], None]
    ) -> None:
        self._request = request
        self._output_limit = output_limit
        self._turns = Turns(at_once)
        self._notify = notify
        self._running: set[RunningLaunch] = set()
        self._is_ending = False
        self._server: Server[Any] = Server(
            "nono", version=__version__, on_list_tools=self._list, on_call_tool=self._call
        )

    def serve(self, leave: Callable[[int], NoReturn]) -> None:
        """Serve over standard input and output until the client is gone, or this is told to end.

        Args:
            leave: ends the process, with an exit code: what reads standard input waits in a thread, perhaps
                for ever.
        """
        asyncio.run(self._serve(leave))

    async def _serve(self, leave: Callable[[int], NoReturn]) -> None:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, told.set)
        serving = asyncio.create_task(self._serve_streams())
        ending = asyncio.create_task(told.wait())
        await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
        self._is_ending = True
        for running in self._running:
            running.cancel()
        while self._running:
            await next(iter(self._running)).ended()
            await asyncio.sleep(0)
        leave(self._status(serving.exception()) if serving.done() else 0)

    def _status(self, error: BaseException | None) -> int:
        """Return the exit code for how the client was served to the end."""
        if error is None:
            return 0
        # The package's writer and reader are a group of tasks.
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, NonoError):
            self._notify(str(error))
            return 1
        if not isinstance(error, OSError):
            raise error
        if isinstance(error, BrokenPipeError):  # it hung up before its answer
            return 0
        self._notify(f"the client cannot be answered: {error.strerror}")
        return 1

    async def _serve_streams(self) -> None:
        async with stdio_server(anyio.wrap_file(take_standard_input())) as (reader, writer):
            await self._server.run(reader, writer, self._server.create_initialization_options())

    async def _list(
        self, _: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        description = (
            "Run a command inside a sandbox. What it may read, write and connect to is fixed; each run is"
            " recorded. Standard output and standard error are returned."
        )
        tool = types.Tool(name=TOOL, description=description, input_schema=_INPUT, output_schema=_OUTPUT)
        return types.ListToolsResult(tools=[tool])

    async def _call(
        self, _: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        try:
            if params.name != TOOL:
                raise _refusal(f"there is no tool {params.name[:64]!r}, only {TOOL}")
            request, given = self._asked(params.arguments or {})
            async with self._turns.turn(len(given)):
                result = await self._launch(request, given)
        except NonoError as error:
            hint = "" if error.hint is None else f" (hint: {error.hint})"
            text = types.TextContent(type="text", text=f"not run: {error}{hint} [{error.code}]")
            return types.CallToolResult(content=[text], is_error=True)
        document = _document(result)
        text = types.TextContent(type="text", text=json.dumps(document, ensure_ascii=False))
        return types.CallToolResult(content=[text], structured_content=document)

    def _asked(self, arguments: dict[str, Any]) -> tuple[LaunchRequest, bytes]:
        """Return the request of a call, and what its command reads."""
        if unknown := arguments.keys() - _INPUT["properties"].keys():  # type: ignore[attr-defined]  # a table
            raise _refusal(f"no such argument: {min(unknown)[:64]!r}")
        command, given = arguments.get("command"), arguments.get("input", "")
        if not isinstance(command, list) or not 1 <= len(command) <= _MOST_ARGUMENTS:
            raise _refusal("command is a list of strings, with the program first")
        if not all(isinstance(word, str) for word in command) or not isinstance(given, str):
            raise _refusal("command is a list of strings, and input a string")
        if len(given) > MOST_INPUT:
            raise _refusal(f"input has more than {MOST_INPUT:,} characters")
        try:
            encoded, read = tuple(os.fsencode(word) for word in command), given.encode()
        except UnicodeEncodeError:
            raise _refusal("a text holds half of a surrogate pair") from None
        held = self._request.limits
        if (seconds := arguments.get("timeout_seconds")) is not None:
            held = limits.lowest([held, limits.asked({"timeout": seconds}, lambda _: "timeout_seconds")])
        return self._request._replace(command=encoded, limits=held), read

    async def _launch(self, request: LaunchRequest, given: bytes) -> LaunchResult:
        streams = Streams(given, capture=True, limit=self._output_limit, on_stdout=None, on_stderr=None)
        if self._is_ending:
            raise _refusal("the server is about to end")
        running = RunningLaunch(request, streams, self._notify)
        running.start()
        self._running.add(running)
        try:
            await running.ended()
        except asyncio.CancelledError:
            running.cancel()
            # A cancelled scope cancels again and again until nothing waits in it any more.
            with anyio.CancelScope(shield=True):
                await running.ended()
            raise
        finally:
            self._running.discard(running)
        return running.result()


def _refusal(text: str) -> NonoError:
    return NonoError(text, code="usage.tool")


def _document(result: LaunchResult) -> dict[str, Any]:
    return {
        "exit": result.exit,
        "signal": result.signal,
        "ended_by": result.ended_by,
        "stdout": (result.stdout or b"").decode("utf-8", "replace"),
        "stderr": (result.stderr or b"").decode("utf-8", "replace"),
        "stdout_dropped": result.stdout_dropped,
        "stderr_dropped": result.stderr_dropped,
        "session": result.session,
    }
