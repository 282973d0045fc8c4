"""A direct launch: this process restricts itself, its record is written, and it becomes the command.

Nobody stays, so all that needs somebody is refused (:data:`SUPERVISED_ALONE`), and the record ends with the
start (design 2, the grammar of a session). In order:

1. request, configuration, profile; what needs a supervisor is refused
2. grants, environment, the command opened, leased and hashed, the sandbox prepared
3. fork of the *writer*: it alone takes the key and opens the ledger
4. this process restricts itself, and tells the writer what it achieved
5. the writer commits **intent and start, one transaction**, and ends; it is waited for
6. the leases are looked at once more; exec

So neither key nor ledger are ever in the process that becomes the command, nor in one that is there beside
it. A refusal before 5 is recorded as such, with its statement. What fails after 5, the exec itself included,
shows nowhere: the record of a direct launch says what was released to run, and never how that went.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from attest.errors import NonoError
from runtime.capability import executable
from runtime.capability.grant_request import SOCKET_KEYS
from runtime.errors import ExecFailedError, ExecutableError, LaunchError
from runtime.kernel import own_limits, own_threads, syscalls
from runtime.kernel.path_names import join, shown
from runtime.launcher import record
from runtime.launcher.launch import Launch
from runtime.launcher.recording import Recording
from runtime.policy import limits
from runtime.policy.configuration import FILE_NAME, SYSTEM_DIRECTORY
from runtime.policy.request import LaunchRequest
from runtime.processes.own_process import OwnProcess
from runtime.processes.supervision import FORWARDED
from runtime.sandbox import enforcement
from store.private_directories import make_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from attest.canonical import Json
    from runtime.capability.environment import Environment
    from runtime.capability.grant_request import SocketRequest
    from runtime.capability.grants import Grants
    from runtime.launcher.launch import LaunchPlan
    from runtime.launcher.record import LaunchRecord
    from runtime.policy.profile_file import ProfileFile
    from runtime.policy.resolution import Resolution
    from store.ledger import Draft

_MEDIATED = "the calls are judged, and made, by its monitor"
_GROUPED = "all that it starts is counted in a control group, which its monitor watches"
_TRACED = "its monitor traces it"
_TIMED = "its monitor keeps the time"
_AFTERWARDS = "how it ended is what this is about"
_FOOTER = "nono says it when the command has ended"

SUPERVISED_ALONE: Mapping[str, str] = MappingProxyType(
    {
        "--audit-sign-key": "a direct launch is signed with the host key",
        "--output": "outputs are hashed when the command has ended",
        "session_hooks": "their results are recorded before the start and after the outcome",
        "--memory": _GROUPED,
        "--max-processes": _GROUPED,
        "--cpu-time": _GROUPED,
        "--timeout": _TIMED,
        "--timeout-grace": _TIMED,
        "--startup-timeout": _TIMED,
        "--listen-port": _MEDIATED,
        "--open-port": _MEDIATED,
        "--allow-unix-socket": _MEDIATED,
        "--allow-unix-socket-dir": _MEDIATED,
        "--allow-unix-socket-subtree": _MEDIATED,
        "--allow-unix-socket-bind": _MEDIATED,
        "--allow-unix-socket-dir-bind": _MEDIATED,
        "--allow-unix-socket-subtree-bind": _MEDIATED,
        "--protect-metadata": _MEDIATED,
        "--trace-exec": _TRACED,
        "--exec-allow": _TRACED,
        "--capability-elevation": "a person is asked, and what is granted is given, while the command runs",
        "--status-fd": _AFTERWARDS,
        "--diagnostics": _FOOTER,
        "--no-diagnostics": _FOOTER,
        "--diagnostics-json": _FOOTER,
        "--no-pty": "a direct launch has the caller's terminal as it is",
        "--dry-run": "what it shows is a supervised launch",
        "--json": "it is for a dry run",
    }
)
"""What only a supervised launch can have, by its flag or its key in a profile, and why."""

DIRECT_FIELDS = frozenset(
    {
        *("command", "variables", "grants", "allow_cwd", "workdir", "block_net", "connect_ports"),
        *(
            "sysv_ipc",
            "bypass_protection",
            "allow_writable_script",
            "allow_commands",
            "block_commands",
            "credentials",
        ),
        *("limits", "profile", "config", "ledger", "key", "key_passphrase_env", "labels", "audit"),
    }
)
"""The members of a request that mean the same in a direct launch; with any other it is refused."""

_FLAGS = {
    "listen_ports": "--listen-port",
    "open_ports": "--open-port",
    "outputs": "--output",
    "unix_sockets": "--allow-unix-socket",
}
# asm-generic/resource.h
_BOUNDS = {limits.FILE_SIZE: 1, limits.OPEN_FILES: 7}
_NOT_HERE = frozenset({"exec-stop"})
_STANDARD_ERROR = 2


def refused(name: str, said: str | None = None) -> LaunchError:
    """Return the error that only a supervised launch has what is asked.

    Args:
        name: what it is, of :data:`SUPERVISED_ALONE` or not.
        said: which key of which file asks for it; None where ``name`` itself was given.
    """
    why = SUPERVISED_ALONE.get(name, "it is not made for direct launches")
    return LaunchError(
        f"{said or name} is for supervised launches alone: {why}", code="launch.direct", hint="use nono run"
    )


class DirectLaunch(Launch):
    """One direct launch; :meth:`become` does it.

    Args:
        request: what is asked.
        notify: told, in one line each, what the user should know.
        explain: told what will run, and inside what, just before.
        ask: asks a person for the passphrase of the host key.
        silent: whether ``notify`` and ``explain`` are never told anything; None for what is configured.
    """

    def __init__(
        self,
        request: LaunchRequest,
        *,
        notify: Callable[[str], None],
        explain: Callable[[LaunchPlan], None] = lambda _: None,
        ask: Callable[[str], bytes] | None = None,
        silent: bool | None = False,
    ) -> None:
        super().__init__(request, notify=self._hold_back, explain=explain, ask=ask, silent=silent)
        self._asked = request
        # Until it is known that no stream is the ledger or its key, nothing is said.
        self._held_back: list[str] | None = []
        self._tell = notify
        self._ask = ask
        self._has_writer = False
        self._written: tuple[bytes, tuple[int, ...]] | None = None

    def recorded(self) -> tuple[bytes, tuple[int, ...]] | None:
        """Return the ledger and where the entries stand that were written, or None."""
        return self._written

    def become(self, announce: Callable[[DirectLaunch], None] = lambda _: None) -> NoReturn:
        """Become the command; returns never.

        Args:
            announce: called when the record is written, just before.

        Raises:
            LaunchError: it was refused or failed; nothing was launched.
            LedgerError: the record could not be written.
        """
        _require_direct_fields(self._asked)
        if self._asked.key is not None:
            raise refused("--audit-sign-key")
        with self._speaking(), self._naming_failures(), self._cleanup:
            if not own_threads.becomes_alone():
                raise LaunchError(
                    "this process has other threads, which would end with it",
                    code="launch.threads",
                    hint="fork first, or run the nono command",
                )
            self._take_request()
            require_direct(self._resolution, self._asked)
            self._resolution.take_credentials(closed=self._recording.closed_files(self._request))
            intent = record.intent_data(self._resolution, strategy=record.DIRECT)
            try:
                with self._naming_failures():
                    self._become(intent, announce)
            except BaseException as error:
                self._record_refusal(intent, error)
                raise
        raise AssertionError("it has become the command")

    def _hold_back(self, text: str) -> None:
        if self._held_back is None:
            self._tell(text)
        else:
            self._held_back.append(text)

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Say in the end what has not been said."""
        try:
            yield
        finally:
            self._speak()

    def _speak(self) -> None:
        texts, self._held_back = self._held_back or [], None
        for text in texts:
            self._tell(text)

    # --- 2 to 6 --------------------------------------------------------------------------------------

    def _become(self, intent: dict[str, Json], announce: Callable[[DirectLaunch], None]) -> None:
        resolution = self._resolution
        resolution.require_unblocked()
        grants, held, variables, directory = self._resolve_directly()
        capabilities = resolution.capabilities(grants)
        resolution.require_unwritable_script(held, capabilities)
        with contextlib.suppress(OSError):  # without it the filter is built anew for each launch
            make_private(self._places.cache)
        prepared = enforcement.prepare(
            capabilities,
            grants.opened,
            cache_directory=self._places.cache,
            outer=self._request.outer_session(),
        )
        # Nobody stands at its exec. What is leased cannot change before it: a writer would have to wait.
        prepared = prepared._replace(required=prepared.required - _NOT_HERE)
        self._cleanup.callback(prepared.close)
        self._say_what_is_different(held, variables)
        images = held.hash_all()
        start = record.start_data(
            capabilities=capabilities,
            images=images,
            variables=variables,
            directory=directory,
            prepared=prepared,
            limits=resolution.limits,
        )
        start["pid"] = os.getpid()
        os.chdir(directory)
        writer = self._begin_writing(intent, start) if self._request.audit else None
        self._speak()
        self._explain(self._plan(capabilities, images, variables, directory))
        achieved = {
            "exec-stop": False,
            "lease": all(image.leased for image in held.images),
        }
        before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        try:
            achieved |= enforcement.restrict_self(prepared)
        except BaseException as error:
            if writer is not None:
                self._written = writer.refuse(error)
            raise
        if writer is not None:
            self._written = writer.commit(achieved)
        announce(self)
        self._execute(held, variables, before)

    def _resolve_directly(self) -> tuple[Grants, executable.Held, Environment, bytes]:
        """Return grants, command, variables and directory; nothing that somebody would have to remove."""
        resolution = self._resolution
        grants = resolution.grants(resolution.guard(self._recording.closed_files(self._request)))
        directory = resolution.start_directory(grants)
        variables = resolution.variables(grants, session=self.session, exported={}, private=None)
        held = resolution.hold(variables, directory)
        resolution.require_unblocked(held.images[0].path)
        return resolution.with_executable(grants, held), held, variables, directory

    def _execute(
        self, held: executable.Held, variables: Environment, mask: set[int | signal.Signals]
    ) -> NoReturn:
        syscalls.close_range(3, flags=syscalls.CLOSE_RANGE_CLOEXEC)
        changed = executable.check_held(held)
        if changed is not None:
            raise ExecutableError(f"{changed}; the record says that it started, and nothing did")
        # What Python changed for itself. What came meanwhile ends this process as it would any other.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        own_limits.lower([(_BOUNDS[member], most) for member, most in self._resolution.limits.items()])
        try:
            os.execve(held.descriptor, list(held.argv), variables.variables)
        except OSError as error:
            why = os.strerror(error.errno or 0)
        except ValueError:
            why = "an argument or a variable that no program can be given"
        raise ExecFailedError(
            f"the command cannot be executed: {why}", hint="the record says that it started, and nothing did"
        )

    # --- the record --------------------------------------------------------------------------------

    def _begin_writing(self, intent: dict[str, Json], start: dict[str, Json]) -> _Writer:
        """Fork the writer; return when it has the key and the ledger, and waits."""
        to_writer, from_writer = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(to_writer[1])
                os.close(from_writer[0])
                self._write(_Lines(to_writer[0], from_writer[1]), intent, start)
            finally:
                os._exit(0)  # nothing of the other one is ended here, least of all its leases
        self._has_writer = True
        os.close(to_writer[0])
        os.close(from_writer[1])
        writer = _Writer(pid, _Lines(from_writer[0], to_writer[1]))
        writer.meet()
        return writer

    def _write(self, lines: _Lines, intent: dict[str, Json], start: dict[str, Json]) -> None:
        """Be the writer: take the key, open the ledger, wait for what was achieved, commit, close."""
        stream = os.fstat(_STANDARD_ERROR)

        def begin(written: LaunchRecord, lost: Sequence[Draft]) -> None:
            said = lines.ask({"ready": True})
            if "achieved" in said:
                enforced = start["enforcement"]
                assert isinstance(enforced, dict)
                enforced["achieved"] = said["achieved"]
                written.direct(intent, start, lost=lost)
            else:  # it says why not, or was ended meanwhile
                message = said.get("error", "the process that was to become the command ended")
                written.refusal(intent, said.get("code", "launch.interrupted"), message, lost=lost)

        self._held_back = None  # the other one says that
        try:
            own_limits.lift()
            written = self._record_with(begin)
        except (NonoError, OSError, KeyboardInterrupt) as error:
            # A stream that is the ledger or its key: what is said about it must not be written there either.
            is_muted = not os.path.samestat(os.fstat(_STANDARD_ERROR), stream)
            lines.tell({**_document(error), "mute": is_muted})
        else:
            lines.tell({"ledger": list(written[0]), "entries": list(written[1])})

    def _record_with(
        self, begin: Callable[[LaunchRecord, Sequence[Draft]], None]
    ) -> tuple[bytes, tuple[int, ...]]:
        """Take the key, open the ledger, have all of the record written; say where, with all closed again."""
        with contextlib.ExitStack() as closing:
            recording = Recording(
                self.session,
                self._places,
                notify=self._say,
                ask=self._ask,
                remove=self._remove_private_directory,
                cleanup=closing,
                process=OwnProcess(),
                begin=begin,
            )
            recording.take_key(self._request)
            signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
            recording.open(self._resolution)
            assert recording.ledger is not None
            return recording.ledger.path, tuple(recording.record.indices)

    def _record_refusal(self, intent: dict[str, Json], error: BaseException) -> None:
        """Record that nothing will run, where no writer has done so."""
        if self._has_writer or not self._request.audit or not isinstance(error, LaunchError):
            return
        code, message = error.code, str(error)

        def begin(written: LaunchRecord, lost: Sequence[Draft]) -> None:
            written.refusal(intent, code, message, lost=lost)

        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            self._written = self._record_with(begin)
        except (NonoError, OSError) as unrecorded:
            self._notify(f"the refusal could not be recorded: {unrecorded}")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Lines:
    """One end of two pipes, over which messages of one line of JSON go."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message; whoever has gone does not want it."""
        line = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):
            while line:
                line = line[os.write(self._writer, line) :]

    def hear(self) -> dict[str, Any]:
        """Return the next message, an empty one when the other is gone."""
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(self._reader, 65_536)
            if not piece:
                return {}
            line += piece
        message: dict[str, Any] = json.loads(line)
        return message

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and return the answer."""
        self.tell(message)
        return self.hear()


class _Writer:
    """The writer, as the process sees it that becomes the command."""

    def __init__(self, pid: int, lines: _Lines) -> None:
        self._pid = pid
        self._lines = lines

    def meet(self) -> None:
        """Wait until it has the ledger.

        Raises:
            LaunchError: it could not have it, and has ended.
        """
        said = self._lines.hear()
        if "ready" not in said:
            os.waitpid(self._pid, 0)
            raise _raised(said)

    def commit(self, achieved: Mapping[str, bool]) -> tuple[bytes, tuple[int, ...]]:
        """Have it commit, and return when it has and is gone.

        Raises:
            LaunchError: it could not.
        """
        return self._end({"achieved": dict(achieved)})

    def refuse(self, error: BaseException) -> tuple[bytes, tuple[int, ...]]:
        """Have it record why nothing will run, and return when it has and is gone.

        Raises:
            LaunchError: it could not.
        """
        return self._end(_document(error))

    def _end(self, message: dict[str, Any]) -> tuple[bytes, tuple[int, ...]]:
        said = self._lines.ask(message)
        os.waitpid(self._pid, 0)
        if "ledger" not in said:
            raise _raised(said)
        return bytes(said["ledger"]), tuple(said["entries"])


def _document(error: BaseException) -> dict[str, Any]:
    if isinstance(error, NonoError):
        status = getattr(error, "exit_status", LaunchError.exit_status)
        return {"code": error.code, "error": str(error), "hint": error.hint, "status": status}
    interrupted = isinstance(error, KeyboardInterrupt)
    why = "interrupted before the command began" if interrupted else f"the launch cannot be recorded: {error}"
    return {"code": "launch.interrupted" if interrupted else "launch.failed", "error": why}


def _raised(said: Mapping[str, Any]) -> LaunchError:
    """Return the error that the writer had."""
    if said.get("mute"):
        os.dup2(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC), _STANDARD_ERROR)
    error = LaunchError(
        said.get("error", "the process that writes the record was lost"),
        code=said.get("code", "launch.writer"),
        hint=said.get("hint"),
    )
    error.exit_status = said.get("status", error.exit_status)
    return error


def require_direct(resolution: Resolution, asked: LaunchRequest) -> None:
    """Refuse what a direct launch cannot have, whoever asked for it: the user, a file of theirs, the host's.

    Args:
        resolution: what the request comes to.
        asked: it, as it was before configuration completed it; refused for what it says itself.

    Raises:
        LaunchError: it names the first, and the key and the file that ask for it.
    """
    by = _Asking(resolution, asked)
    _require_direct_fields(resolution.request, by.host)
    if resolution.outputs:
        raise refused("--output")
    if resolution.hooks:
        kind = next(iter(resolution.hooks))
        raise refused("session_hooks", by.profile(f"session_hooks.{kind}", lambda file: kind in file.hooks))
    for member in resolution.limits:
        if member not in _BOUNDS:
            raise refused(limits.flag_of(limits.name_of(member)), by.limit(member))
    if resolution.ports.listen:
        raise refused("--listen-port", by.ports("listen"))
    if resolution.ports.listens:
        raise refused("--open-port", by.ports("listen_loopback"))
    if resolution.exec_allow:
        raise refused("--exec-allow", by.profile("execs.allow", lambda file: bool(file.exec_allow)))
    if resolution.traces_execs:
        raise refused("--trace-exec", by.profile("execs.trace", lambda file: file.trace_exec))
    if resolution.protects_metadata:
        said = by.profile("security.protect_metadata", lambda file: file.protect_metadata)
        raise refused("--protect-metadata", said)
    if resolution.elevates:
        said = by.profile("security.capability_elevation", lambda file: file.capability_elevation)
        raise refused("--capability-elevation", said)
    for socket in resolution.asked_sockets():
        raise refused("--allow-unix-socket", by.socket(socket))


class _Asking:
    """Who asks for what the command line did not: which key, of which file."""

    def __init__(self, resolution: Resolution, asked: LaunchRequest) -> None:
        self._resolution = resolution
        self._asked = asked

    def host(self, name: str) -> str | None:
        """Return who set a member of a request that the user cannot configure."""
        if getattr(self._asked, name) == getattr(self._resolution.request, name):
            return None
        where = shown(join(SYSTEM_DIRECTORY, FILE_NAME))
        return f"policy.{name} of the host's configuration, {where},"

    def profile(self, key: str, says: Callable[[ProfileFile], bool]) -> str:
        """Return which file of the profile says so, the last of those that do."""
        assert self._resolution.profile is not None
        (*_, file) = filter(says, self._resolution.profile.chain)
        return f"{key} of the profile {shown(file.path)}"

    def limit(self, member: str) -> str | None:
        """Return who holds the launch to a limit."""
        resolution, name = self._resolution, limits.name_of(member)
        if member in self._asked.limits:
            return None
        if member in resolution.request.limits:
            return f"launch.limits.{name} of {shown(resolution.configuration.path or b'')}"
        if resolution.manifest is not None:
            return f"limits.{member} of the manifest {shown(resolution.manifest.path)}"
        return self.profile(f"limits.{name}", lambda file: member in file.limits)

    def ports(self, kind: str) -> str:
        """Return who asks for ports to listen on."""
        if self._resolution.manifest is not None:
            return f"network.{kind} of the manifest {shown(self._resolution.manifest.path)}"
        key = {"listen": "listen_port", "listen_loopback": "open_port"}[kind]
        return self.profile(f"network.{key}", lambda file: bool(getattr(file.ports, kind)))

    def socket(self, socket: SocketRequest) -> str:
        """Return who asks for a UNIX socket."""
        if self._resolution.manifest is not None:
            return f"unix_sockets of the manifest {shown(self._resolution.manifest.path)}"
        key = next(key for key, reach in SOCKET_KEYS.items() if reach == (socket.reach, socket.bind))
        return self.profile(f"filesystem.{key}", lambda file: socket in file.unix_sockets)


def _require_direct_fields(
    request: LaunchRequest, said_by: Callable[[str], str | None] = lambda _: None
) -> None:
    for name in request._fields:
        usual = LaunchRequest._field_defaults.get(name)
        if name not in DIRECT_FIELDS and getattr(request, name) != usual:
            raise refused(_FLAGS.get(name, f"--{name.replace('_', '-')}"), said_by(name))
