"""``nono run``: run a command inside the sandbox and record it."""

from __future__ import annotations

import argparse
import os
import stat
from typing import TYPE_CHECKING

from attest import canonical
from attest.errors import NonoError
from runtime.capability import environment
from runtime.capability.capabilities import (
    MAX_PORT,
    USER,
    Access,
)
from runtime.capability.grant_request import SOCKET_FLAGS, GrantRequest, SocketRequest
from runtime.cli import complain, say
from runtime.errors import LaunchError, OutputError, UsageError
from runtime.kernel import syscalls
from runtime.kernel.path_names import shown
from runtime.launcher.launch import Launch
from runtime.policy.request import LaunchRequest
from runtime.processes.own_process import OwnProcess
from runtime.secrets import signing_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from attest.canonical import Json
    from runtime.cli.diagnosis_text import DiagnosticsFile
    from runtime.cli.status_line import StatusLine
    from runtime.launcher.launch import LaunchPlan, LaunchResult
    from runtime.processes.standard_error import FileView

USAGE_STATUS = FAILURE_STATUS = LaunchError.exit_status

EPILOG = """\
A profile and the hooks that it names must lie outside of what the command may write to: it could change
what is granted, or what runs unconfined, the next time.

Without grants a command can read the system (/usr, /lib, parts of /etc, /proc) and write to a private
temporary directory that is gone afterwards: no home, no working directory.

Relative paths of grants, --bypass-protection and --output are in --workdir; those of --ledger, --profile,
--audit-sign-key, --config and --workdir itself where nono was called.

exit codes:
  the command's own; 128+N when signal N ended it; 125 nono failed or refused; 126 found but cannot be
  executed or hashed; 127 not found (--status-fd tells a command's own 125 apart)

What neither a flag nor a profile says can be configured, and a host can forbid what flags say: nono config
show names the files and what they say.

A secret is named by where it lies, never given: it is on no command line, in no message and in no record, and
what is taken from a variable of nono's own is gone from there, for hooks as well.

Some commands are blocked by name: rm, dd, shred, wipefs, mkfs, fdisk, parted, shutdown, reboot, halt,
poweroff, sudo, su, doas, pkexec. This is advice at start-up, which any shell gets around; the sandbox is
what holds.

With --trace-exec every program that is executed is recorded, once for each that executed it. With
--exec-allow what executes any other is killed before it runs: a PATH means that very file as it is now, a
directory what lies in it, in which the command must not be able to write. It limits programs, not code: who
may run a shell or an interpreter may have it do anything else. ptrace is refused: no debugger works inside.

Ports are of TCP: with one, UDP, multipath TCP and all else of the network is closed. A port to connect to is
open on every host: the kernel does not tell them apart. Names of hosts need port 53 (glibc is told to ask
over TCP).

A UNIX socket is a door into whoever listens: what that service does, it does outside of the sandbox. The
socket of Docker, of systemd or of a session's D-Bus is as much as no sandbox at all. Nothing is open without
a grant, abstract names and datagrams never. Some variables (SSH_AUTH_SOCK, DBUS_SESSION_BUS_ADDRESS,
DOCKER_HOST, WAYLAND_DISPLAY, XDG_RUNTIME_DIR) reach the command when what they name is granted.

System V memory, semaphores and queues have numbers in the place of paths, so there is no granting some of
them. With --allow-sysv-ipc (for PostgreSQL's server, fakeroot) the command can read, change and remove what
any program of this user shares so, or as root any program at all, and what it makes itself outlives it.

After a command that failed a footer says what was refused, as far as that is known, and the flag that would
allow it. It comes from what the command wrote to standard error, where that can be seen (in a file, or with
--diagnostics in a pipe), asked of what was enforced. Nothing of it is recorded.

The signals INT, TERM, HUP, QUIT, USR1 and USR2 go on to the command. Any other that ends nono ends the
command too, and the record then shows the launch as unfinished.

examples:
  nono run --allow . -- make test
  nono run --read ~/project --block-net -- python3 check.py
  nono run --allow-connect-port 443 --allow-connect-port 53 -- ./fetch      HTTPS and names, nothing else
  nono run --allow-unix-socket "$SSH_AUTH_SOCK" -- git fetch
  nono run -p claude-code -- claude
  nono run --read . -- make 2> make.log       what was refused to it stands at the end of the log
  nono run -p codex --env-credential openai_api_key -- codex
  nono run --env-credential-map file:///run/keys/npm NPM_TOKEN --allow . -- npm publish
  nono run --allow . --exec-allow /usr/bin --exec-allow /usr/lib -- make    programs of the system alone
  nono run -p ~/.nono/build.json --output dist/tool.whl --label run=42 -- make release
  nono run --ledger /var/lib/ci/ci.db --audit-sign-key env://KEY -- ./job
"""

_GRANTS = (
    ("-a", "--allow", Access.READWRITE, True, "read and write a directory and everything in it"),
    ("-r", "--read", Access.READ, True, "read a directory and everything in it, execute included"),
    ("-w", "--write", Access.WRITE, True, "write to a directory and everything in it"),
    (None, "--allow-file", Access.READWRITE, False, "read and write one file"),
    (None, "--read-file", Access.READ, False, "read one file"),
    (None, "--write-file", Access.WRITE, False, "write to one file"),
)


_PORT_DIGITS = 5
_PORT_FLAGS = (
    (
        "--allow-connect-port",
        "connect to a TCP port, on any host; with any port all else of the network is closed",
    ),
    ("--listen-port", "listen on a TCP port, on any address of this host"),
    ("--open-port", "listen on a TCP port for this host alone, and connect to it, on any host"),
)


_SOCKET_FLAGS = (
    ("--allow-unix-socket", "SOCKET", "connect to the UNIX socket of this path"),
    ("--allow-unix-socket-dir", "DIR", "connect to the UNIX sockets in a directory"),
    ("--allow-unix-socket-subtree", "DIR", "connect to the UNIX sockets beneath a directory, however deep"),
    ("--allow-unix-socket-bind", "SOCKET", "make and listen on the UNIX socket of this path, too"),
    ("--allow-unix-socket-dir-bind", "DIR", "make and listen on UNIX sockets in a directory, too"),
    ("--allow-unix-socket-subtree-bind", "DIR", "make and listen on UNIX sockets beneath a directory, too"),
)


_COMMAND_FLAGS = (
    ("--allow-command", "launch a command of this name although it is blocked, as rm and sudo are"),
    ("--block-command", "refuse a command of this name; advice at start-up, which any shell gets around"),
)


_LIMITS = (
    ("--memory", "SIZE", "memory for all that it starts together, without swap: 512M, 2G, or bytes"),
    ("--max-processes", "N", "processes and threads, together"),
    ("--cpu-time", "DURATION", "CPU time, together: 90, 90s, 10m, 2h"),
    ("--max-file-size", "SIZE", "no file can be written beyond it"),
    ("--nofile", "N", "open files of each process"),
    ("--timeout", "DURATION", "how long it may last, before all of it is sent TERM: 90, 500ms, 10m, 2h"),
    ("--timeout-grace", "DURATION", "how long it then has to end, before all of it is killed (default: 5s)"),
    (
        "--startup-timeout",
        "DURATION",
        "how long an interactive command may show nothing at its start, before it is ended likewise",
    ),
)


_PATHS_OF_GRANTS = (
    *(flag for flag, _, _ in _SOCKET_FLAGS),
    *(flag for _, flag, _, _, _ in _GRANTS),
    "--bypass-protection",
    "--config",
    "--profile",
    "--workdir",
)
_PATHS = ("--audit-sign-key", "--diagnostics-json", "--ledger", "--output")


def add_grant_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the flags that say what a launch may do, and return the group of the grants."""
    grants = parser.add_argument_group("grants (each can be given more than once)")
    for short, flag, _, directory, text in _GRANTS:
        names = [short, flag] if short else [flag]
        grants.add_argument(
            *names, action="append", default=[], metavar="DIR" if directory else "FILE", help=text
        )
    either = argparse.BooleanOptionalAction
    grants.add_argument("--allow-cwd", action=either, help="read the working directory")
    grants.add_argument("--block-net", action=either, help="close the network (it is open by default)")
    for flag, text in _PORT_FLAGS:
        grants.add_argument(flag, action="append", default=[], metavar="PORT", help=text)
    for flag, place, text in _SOCKET_FLAGS:
        grants.add_argument(flag, action="append", default=[], metavar=place, help=text)
    grants.add_argument(
        "--allow-sysv-ipc",
        action="store_true",
        help="share System V memory, semaphores and queues with everything of this user, outside as well",
    )
    grants.add_argument(
        "--bypass-protection",
        action="append",
        default=[],
        metavar="PATH",
        help="lift the protection of one protected path, such as ~/.ssh; grants nothing by itself",
    )
    parser.add_argument(
        "-p",
        "--profile",
        metavar="NAME|FILE",
        help="take grants, network, environment and hooks from a profile (nono profile list)",
    )
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="take all that is granted from a capability manifest, and nothing beside it",
    )
    parser.add_argument("--workdir", metavar="DIR", help="the working directory (default: the current one)")
    return grants


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits (a launch that cannot be held to one is refused)")
    for flag, value, text in _LIMITS:
        group.add_argument(flag, metavar=value, help=text)


def _add_execs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("programs that it starts")
    group.add_argument(
        "--trace-exec", action="store_true", help="see every program that is executed, and record its digest"
    )
    group.add_argument(
        "--exec-allow",
        action="append",
        default=[],
        metavar="DIGEST|PATH",
        help="besides, kill what executes another program than the command, one of this SHA-256, this one as"
        " it is now, or one in this directory; it limits programs, not what a shell or an interpreter reads",
    )


def add_launch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is asked of a launch, all but the command."""
    add_grant_arguments(parser).add_argument(
        "--allow-writable-script",
        action="store_true",
        help="accept a command that is a script which it could itself rewrite",
    )
    secrets = parser.add_argument_group("secrets and commands (each can be given more than once)")
    secrets.add_argument(
        "--env-credential",
        action="append",
        default=[],
        metavar="NAME[,NAME...]",
        help="put the keyring's password for user NAME of service nono into the variable NAME, in upper case",
    )
    secrets.add_argument(
        "--env-credential-map",
        action="append",
        nargs=2,
        default=[],
        metavar=("REF", "NAME"),
        help="put a secret into the variable NAME; REF is keyring://SERVICE/USER, file:///PATH or env://NAME",
    )
    for flag, text in _COMMAND_FLAGS:
        secrets.add_argument(flag, action="append", default=[], metavar="NAME", help=text)
    _add_limits(parser)
    parser.add_argument(
        "--protect-metadata",
        action="store_true",
        help="let mode, owner, times and attributes of files change only where the grants allow writing",
    )
    _add_execs(parser)
    parser.add_argument(
        "--capability-elevation",
        action="store_true",
        help="ask on the terminal about each file that no grant covers; the command has another one, or none",
    )
    record = parser.add_argument_group("record")
    record.add_argument("--ledger", metavar="FILE", help="the ledger (default: the key's own)")
    record.add_argument(
        "--audit-sign-key",
        metavar="REF",
        help="the ledger's key: a PEM file, env://NAME or keyring://SERVICE/USER (default: the host key)",
    )
    record.add_argument(
        "--key-passphrase-env",
        metavar="NAME",
        help="the variable that holds its passphrase (default: ask on the terminal)",
    )
    record.add_argument(
        "--label", action="append", default=[], metavar="K=V", help="a word that the record carries"
    )
    record.add_argument(
        "--output",
        action="append",
        default=[],
        metavar="PATH",
        help="a file whose digest is recorded at the end; if it has none then (it is missing, …) nono-verify"
        " exits 3 for this ledger from then on",
    )
    record.add_argument("--no-audit", action="store_true", help="record nothing")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``nono run``."""
    add_launch_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be launched, and stop there")
    parser.add_argument(
        "--json",
        action="store_true",
        help="with --dry-run: as one JSON object, with a manifest for --config",
    )
    _add_diagnostics(parser)
    parser.add_argument("-s", "--silent", action="store_true", help="write nothing to standard error")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what will run and inside what")
    parser.add_argument(
        "--no-pty",
        action="store_true",
        help="share the terminal with the command; without this it gets one of its own where all three of its"
        " streams are a terminal",
    )
    parser.add_argument(
        "--status-fd", type=int, metavar="N", help="write how it went to descriptor N, as one line of JSON"
    )
    parser.add_argument("command", nargs="...", metavar="-- COMMAND [ARGUMENT...]", help="what to run")


def _add_diagnostics(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("when the command fails")
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--diagnostics",
        action="store_true",
        help="look for refusals in what it writes to standard error, also where that is a pipe: it then gets"
        " another one, which nono reads and hands on (a file is read back without this)",
    )
    either.add_argument(
        "--no-diagnostics", action="store_true", help="do not say what was refused, and what would allow it"
    )
    group.add_argument(
        "--diagnostics-json",
        metavar="FILE",
        help="write what was refused to FILE, as JSON, however it ended",
    )


def run(arguments: argparse.Namespace, *, repeatable: bool = True) -> int:
    """Launch what the command line asks for and return the exit code.

    Args:
        arguments: what the command line says.
        repeatable: whether a command that failed could be run again to see what was refused.
    """
    line: StatusLine | None = None
    if arguments.status_fd is not None:
        from runtime.cli.status_line import StatusLine  # noqa: PLC0415  # a person does not ask for it

        line = StatusLine(arguments.status_fd)
    if arguments.json and not arguments.dry_run:
        raise UsageError(
            "--json is for a dry run", hint="add --dry-run; how a launch went is written by --status-fd N"
        )
    diagnostics: DiagnosticsFile | None = None
    if arguments.diagnostics_json is not None and not arguments.dry_run:
        from runtime.cli.diagnosis_text import DiagnosticsFile  # noqa: PLC0415  # few launches ask for it

        diagnostics = DiagnosticsFile(os.fsencode(arguments.diagnostics_json))
    view = _view_of_standard_error(arguments)
    launch, status, signalled = _launch(arguments, line)
    quiet = arguments.no_diagnostics or launch is None or bool(launch.silent) or not status
    # Of a signal the user knows, who may well have sent it.
    asks = repeatable and not signalled and os.isatty(2)
    sees = launch is not None and (view is not None or launch.relay is not None or launch.was_refused)
    if launch is None or not launch.has_run or not (sees or asks):
        quiet = True  # what kept it from running has been said; or nothing was seen that could be said
    if diagnostics is not None or not quiet:
        try:
            from runtime.cli import diagnosis_text  # noqa: PLC0415  # no launch that succeeds pays for it

            diagnosis_text.report(launch, status, view, diagnostics, quiet=quiet, asks=asks)
        except ImportError:  # how the command ended stands, whatever became of the installation meanwhile
            complain("why the command failed cannot be said: nono was installed anew or removed while it ran")
    return status


def _launch(arguments: argparse.Namespace, line: StatusLine | None) -> tuple[Launch | None, int, bool]:
    """Launch, say how that went, and return the launch, the exit code and whether that is a signal's."""
    launch: Launch | None = None
    try:
        request = request_of(arguments)
        silent = True if arguments.silent else False if arguments.verbose else None
        launch = Launch(
            request,
            notify=notify,
            explain=explainer(is_verbose=arguments.verbose),
            ask=ask,
            silent=silent,
            process=OwnProcess(redeliver_signals=False),
            relay_standard_error=arguments.diagnostics,
            own_terminal=not arguments.no_pty,
        )
        if arguments.dry_run:
            foreseen = launch.foresee()
            if line is not None:
                line.write({"dry_run": True, "exit_status": 0, "session": None})
            from runtime.cli import dry_run  # noqa: PLC0415  # no launch pays for it

            dry_run.write(request.command, foreseen, json=arguments.json)
            return None, 0, False
        # Should the monitor be lost, what the command left becomes a child of this process, which kills it.
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        result = launch.run()
    except NonoError as error:
        status: int = getattr(error, "exit_status", FAILURE_STATUS)
        if isinstance(error, OutputError):  # the plan of a dry run; whoever reads no further need not be told
            if str(error):
                complain(str(error))
            return None, status, False
        # A path that is not UTF-8 can stand in a message, and JSON has no form for it in a text.
        message = str(error).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        session = launch.session if launch is not None and not arguments.dry_run else None
        what = "failed" if launch is not None and launch.has_run else "not_started"
        said: dict[str, Json] = {"code": error.code, "message": message}
        if line is not None:
            line.write({"dry_run": arguments.dry_run, "exit_status": status, what: said, "session": session})
        if not (arguments.silent if launch is None else launch.silent):
            complain(str(error), error.hint)
            if launch is not None and (recorded := launch.recorded()) is not None:
                say_where(f"recorded as launch {launch.session}", *recorded, launch.key)
        return launch, status, False
    if line is not None:
        line.write_result(result)
    if not launch.silent:
        _say_what_was_recorded(result, launch.key)
    return launch, result.exit_status, result.signal is not None


def _view_of_standard_error(arguments: argparse.Namespace) -> FileView | None:
    """Remember where standard error ends now, if it is a file that can be read back."""
    wanted = arguments.diagnostics_json is not None or not (arguments.no_diagnostics or arguments.silent)
    try:
        if not wanted or not stat.S_ISREG(os.fstat(2).st_mode):
            return None
        from runtime.processes.standard_error import FileView  # noqa: PLC0415  # of most launches it is no file

        return FileView()
    except OSError:  # it is closed
        return None


def notify(text: str) -> None:
    """Say one line of nono's to standard error."""
    say(f"nono: {text}")


def ask(name: str) -> bytes:
    """Ask a person for the passphrase of the key of this name."""
    from runtime.cli import passphrases  # noqa: PLC0415  # few keys are encrypted

    return passphrases.ask(name)


def explainer(*, is_verbose: bool) -> Callable[[LaunchPlan], None]:
    """Return what says what will run, and inside what."""
    if not is_verbose:
        return keep_silent
    from runtime.cli import plan_text  # noqa: PLC0415  # before the fork, where it is asked for

    return plan_text.explain


def keep_silent(_: object) -> None:
    """Say nothing: without ``--verbose``."""


def request_of(arguments: argparse.Namespace) -> LaunchRequest:
    """Return what a command line asks for.

    Raises:
        UsageError: it cannot be meant.
    """
    command = arguments.command
    if command[:1] == ["--"]:
        command = command[1:]
    for flag in _PATHS:
        if "" in _values(arguments, flag):
            raise UsageError(f"{flag} is given an empty path", hint="is a variable not set?")
    signing_key.refuse_inline(arguments.audit_sign_key)
    labels: dict[str, str] = {}
    for label in arguments.label:
        key, equals, value = label.partition("=")
        if not equals or not key:
            raise UsageError(f"not a label: {label!r}", code="usage.label", hint="write --label KEY=VALUE")
        if labels.setdefault(key, value) != value:
            raise UsageError(f"the label {key} is given twice, with two values", code="usage.label")
    asked = grant_request(arguments, command=tuple(os.fsencode(argument) for argument in command))
    return asked._replace(
        allow_writable_script=arguments.allow_writable_script,
        allow_commands=tuple(os.fsencode(name) for name in arguments.allow_command),
        block_commands=tuple(os.fsencode(name) for name in arguments.block_command),
        credentials=_credentials(arguments),
        limits=_limits(arguments),
        protect_metadata=arguments.protect_metadata,
        trace_exec=arguments.trace_exec,
        exec_allow=tuple(os.fsencode(rule) for rule in arguments.exec_allow),
        capability_elevation=arguments.capability_elevation,
        ledger=_bytes(arguments.ledger),
        key=arguments.audit_sign_key,
        key_passphrase_env=arguments.key_passphrase_env,
        labels=labels,
        outputs=tuple(os.fsencode(path) for path in arguments.output),
        audit=not arguments.no_audit,
    )


def grant_request(arguments: argparse.Namespace, *, command: tuple[bytes, ...]) -> LaunchRequest:
    """Return a request with what the flags of :func:`add_grant_arguments` say.

    Raises:
        UsageError: one of them cannot be meant.
    """
    for flag in _PATHS_OF_GRANTS:
        if "" in _values(arguments, flag):
            raise UsageError(f"{flag} is given an empty path", hint="is a variable not set?")
    return LaunchRequest(
        variables=environment.given(),
        command=command,
        grants=tuple(
            GrantRequest(access, os.fsencode(path), directory=directory, source=USER)
            for _, flag, access, directory, _ in _GRANTS
            for path in _values(arguments, flag)
        ),
        allow_cwd=arguments.allow_cwd,
        workdir=_bytes(arguments.workdir),
        block_net=arguments.block_net,
        connect_ports=_ports(arguments, "--allow-connect-port"),
        listen_ports=_ports(arguments, "--listen-port"),
        open_ports=_ports(arguments, "--open-port"),
        unix_sockets=tuple(
            SocketRequest(os.fsencode(path), reach, bind)
            for flag, (reach, bind) in SOCKET_FLAGS.items()
            for path in _values(arguments, flag)
        ),
        sysv_ipc=arguments.allow_sysv_ipc,
        bypass_protection=tuple(os.fsencode(path) for path in arguments.bypass_protection),
        profile=_bytes(arguments.profile),
        config=_bytes(arguments.config),
    )


def _limits(arguments: argparse.Namespace) -> dict[str, int]:
    names = (flag.removeprefix("--").replace("-", "_") for flag, _, _ in _LIMITS)
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    if not given:
        return {}
    from runtime.policy import limits  # noqa: PLC0415  # most launches have none

    return limits.asked(given, limits.flag_of, typed=True)


def _credentials(arguments: argparse.Namespace) -> dict[str, str]:
    if not arguments.env_credential and not arguments.env_credential_map:
        return {}
    from runtime.policy import credentials  # noqa: PLC0415  # most launches have none

    names = [name for given in arguments.env_credential for name in given.split(",")]
    asked = [credentials.of_keyring(name) for name in names]
    asked += [(variable, reference) for reference, variable in arguments.env_credential_map]
    found: dict[str, str] = {}
    for variable, reference in asked:
        if found.setdefault(variable, reference) != reference:
            raise UsageError(
                f"two credentials are to be put into one variable: {credentials.safe(variable)}",
                code="credential.name",
            )
    return found


def _ports(arguments: argparse.Namespace, flag: str) -> tuple[int, ...]:
    found = []
    for text in _values(arguments, flag):
        if not text.isascii() or not text.isdigit() or len(text) > _PORT_DIGITS:
            raise UsageError(
                f"{flag} {text} is not a port",
                code="usage.port",
                hint=f"a port is a number from 1 to {MAX_PORT}",
            )
        found.append(int(text))
    return tuple(found)


def _values(arguments: argparse.Namespace, flag: str) -> list[str]:
    value = getattr(arguments, flag.removeprefix("--").replace("-", "_"), None)
    return value if isinstance(value, list) else [] if value is None else [value]


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _say_what_was_recorded(result: LaunchResult, key: str | None) -> None:
    if result.ledger is None:
        say("nono: nothing was recorded (--no-audit)")
        return
    for output in result.outputs:
        if isinstance(output, dict) and "unhashed" in output:
            path = shown(canonical.text_bytes(output["path"]))
            reason = output["unhashed"]
            say(f"nono: the output {path} has no digest: {reason} (nono-verify exits 3 for it)")
    say_where(f"recorded launch {result.session}", result.ledger, result.entries, key)


def say_where(what: str, ledger: bytes, entries: tuple[int, ...], key: str | None) -> None:
    """Say where entries stand, and how they are checked.

    Args:
        what: what was recorded, by its session.
        ledger: path of the ledger.
        entries: where they stand in there.
        key: reference of the signing key, None for the host key.
    """
    pin = ""
    if key is not None:
        public = signing_key.public_half(os.fsencode(key.removeprefix("file://")))
        pin = f" -k {shown(public)}" if os.path.exists(public) else " -k PUBLIC_KEY_FILE"
    say(f"nono: {what} (entries {entries[0]}-{entries[-1]}); check it: nono-verify {shown(ledger)}{pin}")
