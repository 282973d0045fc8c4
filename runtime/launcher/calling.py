"""The launch as a function of Python: :func:`launch`, :func:`alaunch`, and :func:`start` for both.

What they take are the flags of ``nono run``; what is recorded is the same.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from runtime.capability.capabilities import USER, Access
from runtime.capability.grant_request import SOCKET_KEYS, GrantRequest, SocketRequest
from runtime.errors import UsageError
from runtime.launcher.captured_output import DEFAULT_LIMIT
from runtime.launcher.running_launch import RunningLaunch, Streams
from runtime.policy.request import LaunchRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any

    from runtime.launcher.launch import LaunchResult

_Parameters = ParamSpec("_Parameters")


def _prepare(
    command: Sequence[str | bytes | os.PathLike[str]],
    *,
    allow: Sequence[str | bytes | os.PathLike[str]] = (),
    read: Sequence[str | bytes | os.PathLike[str]] = (),
    write: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_file: Sequence[str | bytes | os.PathLike[str]] = (),
    read_file: Sequence[str | bytes | os.PathLike[str]] = (),
    write_file: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_cwd: bool | None = None,
    workdir: str | bytes | os.PathLike[str] | None = None,
    block_net: bool | None = None,
    protect_metadata: bool = False,
    capability_elevation: bool = False,
    connect_ports: Sequence[int] = (),
    listen_ports: Sequence[int] = (),
    open_ports: Sequence[int] = (),
    allow_unix_socket: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_unix_socket_dir: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_unix_socket_subtree: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_unix_socket_bind: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_unix_socket_dir_bind: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_unix_socket_subtree_bind: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_sysv_ipc: bool = False,
    bypass_protection: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_writable_script: bool = False,
    allow_commands: Sequence[str | bytes] = (),
    block_commands: Sequence[str | bytes] = (),
    credentials: Mapping[str, str] | None = None,
    memory: int | str | None = None,
    max_processes: int | None = None,
    cpu_time: int | str | None = None,
    max_file_size: int | str | None = None,
    nofile: int | None = None,
    timeout: int | str | None = None,
    timeout_grace: int | str | None = None,
    trace_exec: bool = False,
    exec_allow: Sequence[str | bytes | os.PathLike[str]] = (),
    profile: str | bytes | os.PathLike[str] | None = None,
    ledger: str | bytes | os.PathLike[str] | None = None,
    audit_sign_key: str | None = None,
    key_passphrase_env: str | None = None,
    labels: Mapping[str, str] | None = None,
    outputs: Sequence[str | bytes | os.PathLike[str]] = (),
    audit: bool = True,
    config: str | bytes | os.PathLike[str] | None = None,
    input: bytes | None = None,  # noqa: A002  # as subprocess.run has it
    capture: bool = False,
    output_limit: int = DEFAULT_LIMIT,
    on_stdout: Callable[[bytes], object] | None = None,
    on_stderr: Callable[[bytes], object] | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> RunningLaunch:
    """Run ``command`` inside the sandbox, record it, and return how it ended; ``nono run`` as a function.

    It can be called from any thread, also by many at once, from an event loop, and after a fork. The process
    is not forked, and nothing of it is changed: its signals, limits and children are its own. The parameters
    are the flags of ``nono run``; streams, environment, directory, umask and limits are the caller's. The
    command is in a session of its own, without a terminal that it could be controlled from.

    When the wait for it is interrupted (``KeyboardInterrupt``, or what a signal handler raises) or cancelled
    (asyncio), the command is told to end by SIGTERM and killed 5 seconds later; its record is closed before
    that goes on. So it is when what it is told to raises.

    Args:
        command: the argument vector.
        allow: directories to read and write.
        read: directories to read.
        write: directories to write.
        allow_file: files to read and write.
        read_file: files to read.
        write_file: files to write.
        allow_cwd: grant the working directory for reading; None for what the user has configured.
        workdir: the working directory; the current one by default.
        block_net: close the network; None for what the user has configured.
        protect_metadata: mode, owner, times and attributes of files change only where it may write.
        capability_elevation: ask on the terminal about files that no grant covers.
        connect_ports: TCP ports to connect to, on any host; with any port of the three, all else of the
            network is closed.
        listen_ports: TCP ports to listen on, on any address of this host.
        open_ports: TCP ports to listen on for this host alone, and to connect to, on any host.
        allow_unix_socket: UNIX sockets to connect to.
        allow_unix_socket_dir: directories; the UNIX sockets in them can be connected to.
        allow_unix_socket_subtree: likewise, and those beneath them however deep.
        allow_unix_socket_bind: UNIX sockets to make and listen on, too.
        allow_unix_socket_dir_bind: directories; likewise in them.
        allow_unix_socket_subtree_bind: directories; likewise beneath them.
        allow_sysv_ipc: System V shared memory, semaphores and queues, which it shares with all of this user.
        bypass_protection: protected paths whose protection is lifted; grants nothing by itself.
        allow_writable_script: accept a script that the command can rewrite.
        allow_commands: names of commands that are launched although they are blocked, as ``rm`` is.
        block_commands: names of commands that are refused; advice, which any shell gets around.
        credentials: secrets by the variable that each is put into, named by where they lie:
            ``keyring://SERVICE/USER``, ``file:///PATH`` or ``env://NAME``. The last is taken out of this
            process's environment, and kept in its memory for later launches.
        memory: bytes of memory for all that it starts together, or as on the command line: ``"512M"``.
        max_processes: processes and threads, together.
        cpu_time: seconds of CPU time, together, or as on the command line: ``"10m"``.
        max_file_size: bytes beyond which no file can be written.
        nofile: open files of each process.
        timeout: seconds that it may last before all of it is sent SIGTERM, or as on the command line:
            ``"500ms"``, ``"10m"``.
        timeout_grace: seconds that it then has to end before all of it is killed, likewise; 5 by default.
        trace_exec: see every program that is executed, and record its digest.
        exec_allow: besides, kill what executes another program than the command, one of these SHA-256
            digests, one of these as they are now, or one in these directories.
        profile: the name of a profile, or the path of a profile file.
        ledger: the ledger; by default the key's own in the state directory.
        audit_sign_key: reference of the ledger's key; by default the host key.
        key_passphrase_env: name of the variable that holds its passphrase, when it is encrypted.
        labels: words that the record carries, at most 64.
        outputs: files whose digests the outcome states, at most 64.
        audit: False writes no record.
        config: a capability manifest, which says all that is granted.
        input: what the command reads on standard input; None for the caller's own.
        capture: keep what it writes, in the result, instead of writing it where the caller does.
        output_limit: how many bytes are kept of each stream; the rest is counted.
        on_stdout: is called with what it writes to standard output, piece by piece (bytes), in a thread of
            its own; with :func:`alaunch` in the event loop, where it can be a coroutine function. The command
            waits while it takes its time. With it the caller's standard output gets nothing.
        on_stderr: likewise for standard error.
        notify: told, in one line each, what a user should know.

    Returns:
        The outcome, the session id and the indices of the record's entries.

    Raises:
        LaunchError: nothing was launched; ``exit_status`` is what ``nono run`` would exit with.
        LedgerError: the record could not be begun or finished.
    """
    if type(output_limit) is not int or output_limit < 0:
        raise UsageError("output_limit is a number of bytes", code="usage.streams")
    if input is not None and not isinstance(input, bytes | bytearray | memoryview):
        raise UsageError(f"input is bytes, not {type(input).__name__}", code="usage.streams")
    asked = (
        (Access.READWRITE, True, "allow", allow),
        (Access.READ, True, "read", read),
        (Access.WRITE, True, "write", write),
        (Access.READWRITE, False, "allow_file", allow_file),
        (Access.READ, False, "read_file", read_file),
        (Access.WRITE, False, "write_file", write_file),
    )
    sockets = {
        "allow_unix_socket": allow_unix_socket,
        "allow_unix_socket_dir": allow_unix_socket_dir,
        "allow_unix_socket_subtree": allow_unix_socket_subtree,
        "allow_unix_socket_bind": allow_unix_socket_bind,
        "allow_unix_socket_dir_bind": allow_unix_socket_dir_bind,
        "allow_unix_socket_subtree_bind": allow_unix_socket_subtree_bind,
    }
    request = LaunchRequest(
        variables=dict(os.environb),
        command=_encoded("the command", command),
        grants=tuple(
            GrantRequest(access, path, directory=directory, source=USER)
            for access, directory, name, paths in asked
            for path in _encoded(name, paths)
        ),
        allow_cwd=allow_cwd,
        workdir=_encoded_one(workdir),
        block_net=block_net,
        protect_metadata=protect_metadata,
        capability_elevation=capability_elevation,
        connect_ports=tuple(connect_ports),
        listen_ports=tuple(listen_ports),
        open_ports=tuple(open_ports),
        unix_sockets=tuple(
            SocketRequest(path, reach, bind)
            for key, (reach, bind) in SOCKET_KEYS.items()
            for path in _encoded(f"allow_{key}", sockets[f"allow_{key}"])
        ),
        sysv_ipc=allow_sysv_ipc,
        bypass_protection=_encoded("bypass_protection", bypass_protection),
        allow_writable_script=allow_writable_script,
        allow_commands=_encoded("allow_commands", allow_commands),
        block_commands=_encoded("block_commands", block_commands),
        credentials=credentials or {},
        limits=_limits(
            memory=memory,
            max_processes=max_processes,
            cpu_time=cpu_time,
            max_file_size=max_file_size,
            nofile=nofile,
            timeout=timeout,
            timeout_grace=timeout_grace,
        ),
        trace_exec=trace_exec,
        exec_allow=_encoded("exec_allow", exec_allow),
        profile=_encoded_one(profile),
        ledger=_encoded_one(ledger),
        key=audit_sign_key,
        key_passphrase_env=key_passphrase_env,
        labels=labels or {},
        outputs=_encoded("outputs", outputs),
        audit=audit,
        config=_encoded_one(config),
    )
    streams = Streams(
        input=None if input is None else bytes(input),
        capture=capture,
        limit=output_limit,
        on_stdout=on_stdout,
        on_stderr=on_stderr,
    )
    return RunningLaunch(request, streams, notify)


def _blocking(prepare: Callable[_Parameters, RunningLaunch]) -> Callable[_Parameters, LaunchResult]:
    @functools.wraps(prepare)
    def launch(*arguments: _Parameters.args, **options: _Parameters.kwargs) -> LaunchResult:
        return prepare(*arguments, **options).run()

    return _named(launch, "launch")


def _starting(prepare: Callable[_Parameters, RunningLaunch]) -> Callable[_Parameters, RunningLaunch]:
    def start(*arguments: _Parameters.args, **options: _Parameters.kwargs) -> RunningLaunch:
        """Begin what :func:`launch` does, with the same parameters, and return it while it runs."""
        running = prepare(*arguments, **options)
        running.start()
        return running

    start.__wrapped__ = prepare  # type: ignore[attr-defined]  # for inspect.signature
    return _named(start, "start")


def _awaitable(
    prepare: Callable[_Parameters, RunningLaunch],
) -> Callable[_Parameters, Coroutine[Any, Any, LaunchResult]]:
    async def alaunch(*arguments: _Parameters.args, **options: _Parameters.kwargs) -> LaunchResult:
        """Do what :func:`launch` does, with the same parameters, without blocking the event loop."""
        return await prepare(*arguments, **options).arun()

    alaunch.__wrapped__ = prepare  # type: ignore[attr-defined]  # for inspect.signature
    return _named(alaunch, "alaunch")


_Function = TypeVar("_Function", bound="Callable[..., Any]")


def _named(function: _Function, name: str) -> _Function:
    function.__name__ = function.__qualname__ = name
    return function


launch = _blocking(_prepare)
start = _starting(_prepare)
alaunch = _awaitable(_prepare)


def _encoded(name: str, values: Sequence[str | bytes | os.PathLike[str]]) -> tuple[bytes, ...]:
    """Return arguments or paths as bytes; a single one, which would be taken apart, is refused."""
    if isinstance(values, str | bytes | os.PathLike):
        raise UsageError(f"{name} is a list, not one {type(values).__name__}", hint=f"write [{values!r}]")
    try:
        return tuple(os.fsencode(value) for value in values)
    except (TypeError, UnicodeEncodeError) as error:
        raise UsageError(f"{name} holds what is neither text nor bytes nor a path: {error}") from None


def _limits(**given: object) -> Mapping[str, int]:
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return {}
    from runtime.policy import limits  # noqa: PLC0415  # most launches have none

    return limits.asked(given)


def _encoded_one(value: str | bytes | os.PathLike[str] | None) -> bytes | None:
    return None if value is None else _encoded("a path", [value])[0]
