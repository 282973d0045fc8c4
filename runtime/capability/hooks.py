"""Session hooks: a script of the user's before a launch and one after it, outside the sandbox (design 3).

A hook is part of what decides a launch, so it is recorded by digest, and what runs is a sealed copy of
the bytes that were hashed: :func:`load` judges the file and copies it into a memfd, :func:`run` runs
that copy. Editing, replacing or removing the script in between changes nothing.

The file must be absolute and canonical, regular, executable, and owned by root or by the invoking
user. Neither it nor any directory above it may be writable by others, with one exception: a sticky
directory (``/tmp``), where only the owner of an entry can replace it, and the owner of every entry on
the way is checked.

A hook runs in nono's own working directory (NONO_WORKDIR names the child's), in a process group of
its own, with an empty standard input; its standard output goes to standard error, because standard
output belongs to the command. No pipe is involved, so what it leaves behind cannot stall the launch.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import stat
import time
from collections.abc import Mapping  # noqa: TC003  # part of a named tuple
from types import MappingProxyType
from typing import TYPE_CHECKING

from attest import canonical, hashing
from attest.named_tuples import NamedTuple
from runtime.capability import environment as variables
from runtime.capability.hook_request import AFTER, BEFORE, MAX_TIMEOUT_SECONDS, Hook
from runtime.errors import HookError
from runtime.kernel.bounded_reading import read_bounded
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from attest.canonical import Json

MAX_SCRIPT_BYTES = 16 << 20
MAX_EXPORT_BYTES = 64 << 10
MAX_EXPORTS = 128

# After the time-out: how long TERM may take, and how long KILL may before the hook is given up on.
_TERM_SECONDS = 2.0
_KILL_SECONDS = 5.0

_MFD_EXEC = 0x0010  # linux/memfd.h, since 6.3; os has no name for it yet
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class LoadedHook(NamedTuple):
    """A hook whose bytes are fixed.

    Attributes:
        hook: what was asked.
        descriptor: a sealed memfd, close-on-exec, that holds the script.
        sha256: lower-case hex SHA-256 of its bytes.
        size: number of those bytes.
    """

    hook: Hook
    descriptor: int
    sha256: str
    size: int

    def document(self) -> dict[str, Json]:
        """Return the hook as ``launch.intent`` writes it."""
        return {
            "path": canonical.text(self.hook.script),
            "required": self.hook.required,
            "sha256": self.sha256,
            "timeout_seconds": self.hook.timeout_seconds,
        }

    def close(self) -> None:
        """Give up the copy."""
        os.close(self.descriptor)


class HookResult(NamedTuple):
    """How a hook ended. Exactly one of ``exit``, ``signal`` and ``error`` is not None.

    Attributes:
        kind: ``before`` or ``after``.
        exit: its exit code.
        signal: the number of the signal that ended it.
        error: why it did not run, could not be ended, or why its exports were refused.
        timed_out: whether it was ended because its time was over.
        exported: the variables of a before-hook that ended with exit code 0.
        dropped: exports that were not taken, each with the reason; never a value.
        duration_us: microseconds of CLOCK_BOOTTIME.
    """

    kind: str
    exit: int | None
    signal: int | None
    error: str | None
    timed_out: bool
    duration_us: int
    exported: Mapping[bytes, bytes] = MappingProxyType({})
    dropped: tuple[tuple[bytes, str], ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it did anything but end with exit code 0 in time."""
        return self.timed_out or self.exit != 0

    def document(self) -> dict[str, Json]:
        """Return the result as ``hook.result`` writes it."""
        ending: dict[str, Json] = {"exit": self.exit, "signal": self.signal, "error": self.error}
        return {
            "dropped": [canonical.text(name) for name, _ in self.dropped],
            "duration_us": self.duration_us,
            "exported": [canonical.text(name) for name in sorted(self.exported)],
            "hook": self.kind,
            "timed_out": self.timed_out,
            **{key: value for key, value in ending.items() if value is not None},
        }


def load(hook: Hook) -> LoadedHook:
    """Judge the script and take the copy that will run.

    Raises:
        HookError: the file must not run as a hook, or cannot be read.
    """
    if hook.kind not in {BEFORE, AFTER}:
        raise HookError(f"a hook runs before or after, not {hook.kind!r}")
    if not 1 <= hook.timeout_seconds <= MAX_TIMEOUT_SECONDS:
        raise HookError(f"the time-out of a hook is 1 to {MAX_TIMEOUT_SECONDS} seconds")
    name = shown(hook.script)
    handle = _walk(hook.script, name)
    try:
        content = _read(handle, name)
    finally:
        os.close(handle)
    return LoadedHook(hook, _sealed_copy(content, name), hashing.hexdigest(content), len(content))


def run(
    loaded: LoadedHook,
    *,
    environment: Mapping[bytes, bytes],
    key_names: Collection[bytes],
    session: str,
    workdir: bytes,
    directory: bytes,
    exit_code: int | None = None,
) -> HookResult:
    """Run the copy and wait for it, not longer than its time-out and a bounded while more.

    Args:
        loaded: what :func:`load` returned.
        environment: nono's own environment.
        key_names: variables that hold a signing key or its passphrase; the hook does not get them.
        session: the session id.
        workdir: absolute start directory of the command.
        directory: absolute path of an existing directory that only this user can enter and that no
            launch is ever granted; the file of the exports is made there and removed again.
        exit_code: of an after-hook: the exit code of ``nono run``.

    Returns:
        How it ended. Failing is no exception: the caller warns, or refuses if it was required.
    """
    started = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    own = {
        b"NONO_SESSION_ID": session.encode("ascii"),
        b"NONO_WORKDIR": workdir,
        b"NONO_HOOK_TYPE": loaded.hook.kind.encode("ascii"),
        b"NONO_HOOK_PATH": loaded.hook.script,
    }
    export_file = os.path.join(directory, b"exports-" + os.urandom(8).hex().encode("ascii"))
    try:
        if loaded.hook.kind == BEFORE:
            own[b"NONO_ENV_FILE"] = export_file
            os.close(os.open(export_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        elif exit_code is not None:
            own[b"NONO_EXIT_CODE"] = str(exit_code).encode("ascii")
        ending = _execute(loaded, {**_for_hook(environment, key_names), **own})
        exported: dict[bytes, bytes] = {}
        dropped: tuple[tuple[bytes, str], ...] = ()
        if loaded.hook.kind == BEFORE and ending.exit == 0 and not ending.timed_out:
            exported, dropped = _parse_exports(_read_exports(export_file), key_names)
    except (OSError, HookError) as error:
        reason = str(error) if isinstance(error, HookError) else os.strerror(error.errno or 0)
        return HookResult(loaded.hook.kind, None, None, reason, timed_out=False, duration_us=_since(started))
    finally:
        if loaded.hook.kind == BEFORE:
            _remove(export_file)
    return HookResult(
        loaded.hook.kind,
        ending.exit,
        ending.signal,
        ending.error,
        timed_out=ending.timed_out,
        duration_us=_since(started),
        exported=exported,
        dropped=dropped,
    )


# --- judging and copying ---------------------------------------------------------------------------


def _walk(script: bytes, name: str) -> int:
    """Return an O_PATH descriptor of the script, reached through directories that were each judged."""
    components = script.split(b"/")[1:]
    if (
        not script.startswith(b"/")
        or b"\0" in script
        or any(part in {b"", b".", b".."} for part in components)
    ):
        raise HookError(
            f"the path of a hook must be absolute and canonical: {name}",
            hint="write the path that `realpath` prints",
        )
    handle = os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, part in enumerate(components):
            _judge_directory(handle, shown(b"/" + b"/".join(components[:depth])), name)
            # Symlinks are not followed: O_PATH opens the link itself, which is then refused.
            following = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle = following
        _judge_script(handle, name)
    except OSError as error:
        os.close(handle)
        raise HookError(f"the hook cannot be used: {name}: {os.strerror(error.errno or 0)}") from None
    except HookError:
        os.close(handle)
        raise
    return handle


def _judge_directory(handle: int, at: str, name: str) -> None:
    status = os.fstat(handle)
    _refuse_symlink(status, name)
    _require_trusted_owner(status, at)
    if status.st_mode & _WRITABLE_BY_OTHERS and not status.st_mode & stat.S_ISVTX:
        raise HookError(f"others can write to {at}, where the hook {name} lies", hint=f"chmod go-w {at}")


def _judge_script(handle: int, name: str) -> None:
    status = os.fstat(handle)
    _refuse_symlink(status, name)
    if not stat.S_ISREG(status.st_mode):
        raise HookError(f"a hook must be a regular file: {name}")
    _require_trusted_owner(status, name)
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise HookError(f"others can write to the hook {name}", hint=f"chmod go-w {name}")
    if not os.access(b"/proc/self/fd/%d" % handle, os.X_OK, effective_ids=True):
        raise HookError(f"the hook may not be executed: {name}", hint=f"chmod u+x {name}")


def _refuse_symlink(status: os.stat_result, name: str) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise HookError(
            f"the path of a hook must not lead through a symbolic link: {name}",
            hint="write the path that `realpath` prints",
        )


def _require_trusted_owner(status: os.stat_result, name: str) -> None:
    if status.st_uid not in {0, os.getuid()}:
        raise HookError(f"{name} belongs to uid {status.st_uid}, neither root nor you")


def _read(handle: int, name: str) -> bytes:
    try:
        descriptor = os.open(b"/proc/self/fd/%d" % handle, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            content = read_bounded(descriptor, MAX_SCRIPT_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise HookError(f"the hook cannot be read: {name}: {os.strerror(error.errno or 0)}") from None
    if content is None:
        raise HookError(f"the hook is larger than {MAX_SCRIPT_BYTES >> 20} MiB: {name}")
    return content


def _sealed_copy(content: bytes, name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        try:
            descriptor = os.memfd_create("nono-hook", flags | _MFD_EXEC)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: a kernel before 6.3, where all of them execute
                raise
            descriptor = os.memfd_create("nono-hook", flags)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise HookError(
            f"no sealed copy can be made of the hook {name}: {os.strerror(error.errno or 0)}",
            hint="the sysctl vm.memfd_noexec must not be 2" if error.errno == errno.EACCES else None,
        ) from None
    return descriptor


# --- running -----------------------------------------------------------------------------------------


class _Ending(NamedTuple):
    exit: int | None = None
    signal: int | None = None
    error: str | None = None
    timed_out: bool = False


def _for_hook(environment: Mapping[bytes, bytes], key_names: Collection[bytes]) -> dict[bytes, bytes]:
    return {
        name: value
        for name, value in environment.items()
        if name not in key_names and not variables.is_reserved(name)
    }


def _execute(loaded: LoadedHook, environment: dict[bytes, bytes]) -> _Ending:
    path = b"/proc/self/fd/%d" % loaded.descriptor
    pid = os.posix_spawn(
        path,
        [loaded.hook.script],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),
            # Onto itself: that clears close-on-exec in the hook alone. The interpreter opens the
            # script once more, through /proc/self/fd.
            (os.POSIX_SPAWN_DUP2, loaded.descriptor, loaded.descriptor),
        ],
        setpgroup=0,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGIO, signal.SIGINT, signal.SIGQUIT),
    )
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:  # a host that ignores SIGCHLD, and a hook that was quick
        return _Ending(error="its exit status is lost")
    try:
        ended = _wait(watch, loaded.hook.timeout_seconds)
        timed_out = not ended
        if timed_out:
            _signal_group(pid, signal.SIGTERM)
            _wait(watch, _TERM_SECONDS)
            # Also when the leader obeyed: what it started may not have. It is not reaped yet, so the
            # number of the group cannot belong to anybody else.
            _signal_group(pid, signal.SIGKILL)
            ended = _wait(watch, _KILL_SECONDS)
        if not ended:
            return _Ending(error="it could not be ended", timed_out=True)
        status = os.waitid(os.P_PIDFD, watch, os.WEXITED)
    except ChildProcessError:  # the host ignores SIGCHLD, or has reaped it
        return _Ending(error="its exit status is lost", timed_out=timed_out)
    except BaseException:  # an interrupt: whoever gives up on the launch gives up on its hook
        _signal_group(pid, signal.SIGKILL)
        if _wait(watch, _KILL_SECONDS):
            os.waitid(os.P_PIDFD, watch, os.WEXITED)
        raise
    finally:
        os.close(watch)
    if status is None:
        return _Ending(error="its exit status is lost", timed_out=timed_out)
    if status.si_code == os.CLD_EXITED:
        return _Ending(exit=status.si_status, timed_out=timed_out)
    return _Ending(signal=status.si_status, timed_out=timed_out)


def _wait(pidfd: int, seconds: float) -> bool:
    """Return whether the process ended within ``seconds``; it is not reaped."""
    deadline = time.monotonic() + seconds
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    # poll(2) takes milliseconds in an int and may return early.
    while (left := deadline - time.monotonic()) > 0:
        if poll.poll(min(left, 3600.0) * 1000 + 1):
            return True
    return bool(poll.poll(0))


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # gone, or all of it set-uid: nothing else to do
        return


def _since(started_ns: int) -> int:
    return max(0, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - started_ns) // 1000


# --- exports -----------------------------------------------------------------------------------------


def _read_exports(path: bytes) -> bytes:
    """Return what the hook left under the name that it was given; it may have replaced the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise HookError(f"its exports cannot be read: {os.strerror(error.errno or 0)}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise HookError("its exports are no regular file")
        content = read_bounded(descriptor, MAX_EXPORT_BYTES)
    finally:
        os.close(descriptor)
    if content is None:
        raise HookError(f"its exports are larger than {MAX_EXPORT_BYTES >> 10} KiB")
    return content


def _parse_exports(
    content: bytes, key_names: Collection[bytes]
) -> tuple[dict[bytes, bytes], tuple[tuple[bytes, str], ...]]:
    exported: dict[bytes, bytes] = {}
    dropped: dict[bytes, str] = {}
    for number, line in _lines(content):
        name, equals, value = line.partition(b"=")
        if not equals or not variables.is_name(name):
            # Not the text of the line: it may be the rest of somebody's key.
            dropped[b"line %d" % number] = "not KEY=VALUE"
        elif b"\0" in value:
            dropped[name] = "its value holds a NUL"
        elif variables.is_dangerous(name):
            dropped[name] = "it would make other programs run something"
        elif variables.is_reserved(name):
            dropped[name] = "only nono sets it"
        elif name in key_names:
            dropped[name] = "it holds a signing key"
        else:
            exported[name] = value
        if len(exported) + len(dropped) > MAX_EXPORTS:
            raise HookError(f"it exports more than {MAX_EXPORTS} variables")
    return exported, tuple(dropped.items())


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        stripped = line.removesuffix(b"\r")
        if stripped.strip() and not stripped.startswith(b"#"):
            yield number, stripped


def _remove(path: bytes) -> None:
    try:
        os.unlink(path)
    except OSError:  # the hook removed it, or put a directory there, which then stays
        return
