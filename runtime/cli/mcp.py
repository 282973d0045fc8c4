"""``nono mcp``: one sandboxed, recorded tool for agents that speak the Model Context Protocol."""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import SUPPRESS
from typing import TYPE_CHECKING

from attest import extras
from runtime.cli import run as launching
from runtime.cli import say
from runtime.errors import LaunchError, UsageError

if TYPE_CHECKING:
    import argparse
    from typing import NoReturn

    from runtime.policy.request import LaunchRequest

EPILOG = """\
Started by a client of the Model Context Protocol, which speaks over standard input and output. The tool is
exec: a command, what it reads, a time-out; its exit code or signal and its output come back. Grants, limits,
network, profile and record are said here, and are the same for every call: no call can widen them. Calls run
at the same time, as many as --calls-at-once says, and further ones wait in the order in which they came. Each
is a launch with a record of its own, and one that is cancelled ends its command, or is never launched. When
the client hangs up, or on INT, TERM or HUP, what still runs is ended, and its record closed. A profile, a
manifest or a configuration that no call could use is refused before the first; each call has no terminal, so
there is no --startup-timeout.

The protocol needs the package mcp: pip install 'mcp>=2' where nono is installed.

examples:
  nono mcp --allow . --block-net --timeout 10m          in an agent's configuration, as the server's command
  nono mcp -p python-dev --allow . --memory 2G --label agent=reviewer
"""


_MOST_AT_ONCE = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``nono mcp``."""
    launching.add_launch_arguments(parser)
    # Known, to be refused in words. argparse shows its actions nowhere else.
    (useless,) = [each for each in parser._actions if each.dest == "startup_timeout"]  # noqa: SLF001  # see above
    useless.help = SUPPRESS
    parser.add_argument(
        "--output-limit",
        metavar="SIZE",
        default="1M",
        help="how much is returned of each of standard output and standard error (default: %(default)s)",
    )
    parser.add_argument(
        "--calls-at-once",
        type=int,
        metavar="N",
        default=8,
        help=f"how many calls run at once, at most {_MOST_AT_ONCE}; further ones wait (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until the client is gone, and return the exit code."""
    from runtime.policy import limits  # noqa: PLC0415  # the parser does without

    if arguments.startup_timeout is not None:
        raise UsageError(
            "--startup-timeout is about what is shown on a terminal, and a call has none",
            hint="give each call a time as a whole: --timeout DURATION",
        )
    if not 1 <= arguments.calls_at_once <= _MOST_AT_ONCE:
        raise UsageError(
            f"--calls-at-once: {arguments.calls_at_once} is out of its bounds",
            hint=f"a call at once at least, and {_MOST_AT_ONCE} at most: each holds a dozen descriptors",
        )
    if sys.stdin is None or sys.stdout is None:
        raise LaunchError(
            "the client is spoken to over standard input and output, and one of them is closed",
            code="mcp.streams",
            hint="let a client of the protocol start it: nono mcp --help",
        )
    arguments.command = []
    request = launching.request_of(arguments)
    called = {"max_file_size": arguments.output_limit}
    (output_limit,) = limits.asked(called, lambda _: "--output-limit", typed=True).values()
    try:
        from runtime.launcher.mcp_server import ExecServer  # noqa: PLC0415  # an extra, and it takes a second to load
    except ModuleNotFoundError as error:
        raise LaunchError(
            f"the Model Context Protocol needs a package that is not installed: {error.name}",
            code="mcp.missing",
            hint=extras.hint("mcp"),
        ) from None
    _require_usable(request)
    if sys.stdin.isatty():
        say("nono: waiting for a client of the Model Context Protocol on standard input; Ctrl-C ends it")
    ExecServer(request, output_limit, arguments.calls_at_once, launching.notify).serve(_leave)
    return 0


def _require_usable(request: LaunchRequest) -> None:
    """Refuse now what would be refused at each call, where the agent alone hears of it."""
    from runtime.policy.resolution import Places, Resolution  # noqa: PLC0415  # the server has it

    with contextlib.ExitStack() as cleanup:
        any_call = request._replace(command=(b"true",))
        Resolution(any_call, Places.of_user(), notify=lambda _: None, cleanup=cleanup)


def _leave(status: int) -> NoReturn:
    from runtime.processes import shared_ledgers  # noqa: PLC0415  # the server has it

    shared_ledgers.close_idle()
    os._exit(status)
