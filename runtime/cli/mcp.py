"""``nono mcp``: one sandboxed, recorded tool for agents that speak the Model Context Protocol."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.cli import run as launching
from runtime.cli import say
from runtime.errors import LaunchError

if TYPE_CHECKING:
    import argparse
    from typing import NoReturn

EPILOG = """\
Started by a client of the Model Context Protocol, which speaks over standard input and output. The tool is
exec: a command, what it reads, a time-out; its exit code or signal and its output come back. Grants, limits,
network, profile and record are said here, and are the same for every call: no call can widen them. Calls run
at the same time, each is a launch with a record of its own, and one that is cancelled ends its command. When
the client hangs up, or on INT, TERM or HUP, what still runs is ended, and its record closed.

The protocol needs the package mcp: pip install 'nono-attest[mcp]'.

examples:
  nono mcp --allow . --block-net --timeout 10m          in an agent's configuration, as the server's command
  nono mcp -p python-dev --allow . --memory 2G --label agent=reviewer
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``nono mcp``."""
    launching.add_launch_arguments(parser)
    parser.add_argument(
        "--output-limit",
        metavar="SIZE",
        default="1M",
        help="how much is returned of each of standard output and standard error (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until the client is gone, and return the exit code."""
    from runtime import limits  # noqa: PLC0415  # the parser does without

    arguments.command = []
    request = launching.request_of(arguments)
    called = {"max_file_size": arguments.output_limit}
    (output_limit,) = limits.asked(called, lambda _: "--output-limit", typed=True).values()
    try:
        from runtime.mcp_server import ExecServer  # noqa: PLC0415  # an extra, and it takes a second to load
    except ModuleNotFoundError as error:
        raise LaunchError(
            f"the Model Context Protocol needs a package that is not installed: {error.name}",
            code="mcp.missing",
            hint="pip install 'nono-attest[mcp]', into the environment that nono is installed in",
        ) from None
    ExecServer(request, output_limit, say).serve(_leave)
    return 0


def _leave() -> NoReturn:
    from runtime import shared_ledgers  # noqa: PLC0415  # the server has it

    shared_ledgers.close_idle()
    os._exit(0)
