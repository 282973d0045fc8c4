"""``nono wrap``: become a command inside the sandbox, and leave nothing of nono behind."""

from __future__ import annotations

import argparse

from runtime.cli import complain, say
from runtime.cli import run as supervised
from runtime.errors import LaunchError, UsageError
from runtime.launcher.direct import DirectLaunch, refused

USAGE_STATUS = FAILURE_STATUS = LaunchError.exit_status

EPILOG = """\
nono restricts itself, records what was asked and what starts, and becomes the command: the same process, in
the same place of the process tree, with its standard streams, its terminal and its signals. Nothing of nono
is left beside it. That is what a service manager or a container wants of its main process.

So nobody is there who sees how it ended, and the record ends with its start. There is no check of the image
at its exec (its lease holds it still until then), nothing that it leaves is killed, there is no private
temporary directory (TMPDIR is the caller's; grant it if it is needed), and no file for nono why --self. What
needs somebody who stays is refused with the way to nono run: hooks, outputs, ports to listen on, UNIX
sockets, and limits of memory, processes and CPU time. It is recorded with the host key alone.

Grants, profiles, secrets and configuration are those of nono run, and so is what is refused: nono run --help.

exit codes:
  the command's own, and the signals that end it; before there is one 125 nono failed or refused, 126 found
  but cannot be executed or hashed, 127 not found

examples:
  nono wrap --read /srv/www --allow-connect-port 5432 -- /usr/local/bin/report
  nono wrap -p ci-strict --allow . --nofile 256 -- make test
  nono wrap --allow /var/lib/tool -- /usr/bin/tool --serve   behind exec, at the end of a service's script
"""

OFFERED = frozenset(
    {
        *("--allow", "--read", "--write", "--allow-file", "--read-file", "--write-file", "--allow-cwd"),
        *("--block-net", "--allow-connect-port", "--allow-sysv-ipc", "--bypass-protection"),
        *("--profile", "--config", "--workdir"),
        *("--allow-writable-script", "--env-credential", "--env-credential-map"),
        *("--allow-command", "--block-command", "--max-file-size", "--nofile"),
        *("--ledger", "--key-passphrase-env", "--label", "--no-audit", "--silent", "--verbose", "--help"),
    }
)
"""The flags of ``nono run`` that a direct launch has; the others are known, to be refused in words."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``nono wrap``: those of ``nono run``, of which not all are shown."""
    supervised.add_arguments(parser)
    for action in flags(parser):
        if not OFFERED.intersection(action.option_strings):
            action.help = argparse.SUPPRESS
    # argparse of Python 3.12 and older cannot write the usage of a group of which nothing is shown. It names
    # them nowhere else.
    parser._mutually_exclusive_groups[:] = [  # noqa: SLF001  # see above
        group
        for group in parser._mutually_exclusive_groups  # noqa: SLF001  # see above
        if any(action.help != argparse.SUPPRESS for action in group._group_actions)  # noqa: SLF001  # see above
    ]


def flags(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the flags of a parser."""
    # argparse shows its actions nowhere else.
    return [action for action in parser._actions if action.option_strings]  # noqa: SLF001


def run(arguments: argparse.Namespace) -> int:
    """Become what the command line asks for; returns only with the exit code of a refusal."""
    _require_offered(arguments)
    launch: DirectLaunch | None = None
    try:
        if arguments.command in ([], ["--"]):
            raise UsageError(
                "no command", code="usage.command", hint="nono wrap [FLAGS] -- COMMAND [ARGUMENT...]"
            )
        launch = DirectLaunch(
            supervised.request_of(arguments),
            notify=supervised.notify,
            explain=supervised.explainer(is_verbose=arguments.verbose),
            ask=supervised.ask,
            silent=True if arguments.silent else False if arguments.verbose else None,
        )
        launch.become(announce=_announce)
    except LaunchError as error:
        if not (arguments.silent if launch is None else launch.silent):
            complain(str(error), error.hint)
            if launch is not None and (recorded := launch.recorded()) is not None:
                supervised.say_where(f"recorded as launch {launch.session}", *recorded, launch.key)
        return error.exit_status


def _announce(launch: DirectLaunch) -> None:
    if not launch.silent:
        recorded = launch.recorded()
        if recorded is None:
            say("nono: nothing was recorded (--no-audit)")
        else:
            supervised.say_where(f"recorded launch {launch.session}", *recorded, launch.key)


def _require_offered(arguments: argparse.Namespace) -> None:
    for action in flags(_supervised_parser()):
        if OFFERED.isdisjoint(action.option_strings) and getattr(arguments, action.dest) != action.default:
            raise refused(action.option_strings[-1])


def _supervised_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    supervised.add_arguments(parser)
    return parser
