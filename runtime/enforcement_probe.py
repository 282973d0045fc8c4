"""What this kernel and this installation can enforce, found out by doing it (``nono doctor``).

A forked child restricts itself as a launch would, then tries what each feature is there to refuse. That
a call *returned* success proves little: an emulated kernel may accept a ruleset and enforce nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from runtime import enforcement, landlock_rules, privileges, seccomp_filter, syscalls
from runtime.capabilities import SYSTEM, Access, FileGrant, Network
from runtime.errors import EnforcementError
from runtime.grants import OpenGrant

if TYPE_CHECKING:
    from collections.abc import Callable

_NULL = b"/dev/null"
_TCGETS = 0x5401  # asm-generic/ioctls.h
_SECCOMP_HINT = "use a kernel built with CONFIG_SECCOMP_FILTER=y, and install libseccomp"
_HINTS = {
    "network": _SECCOMP_HINT,
    "filter": _SECCOMP_HINT,
    "capabilities": "something around this process gives it capabilities that it cannot give up",
    "exec-stop": "something traces this process already (a debugger, strace): run nono without it",
    "lease": "executables will be recorded as stat-only: this kernel gives no leases",
    "metadata": "modes, owners and times of files outside the grants are not protected; the record says so",
}


class Finding(NamedTuple):
    """What was found about one feature.

    Attributes:
        feature: one of ``enforcement.FEATURES``.
        enforced: it was tried just now, and it held.
        required: launches are refused without it (``network``: those that restrict the network).
        hint: what to do about it, or what it means, when it is missing; else None.
    """

    feature: str
    enforced: bool
    required: bool
    hint: str | None


def probe(directory: bytes) -> tuple[Finding, ...]:
    """Try every feature and return what was found, in the order of ``enforcement.FEATURES``.

    Args:
        directory: absolute path of an existing private directory; the compiled filter is kept there, and
            a small file is made and removed.

    Raises:
        OSError: the directory cannot be written to, or there are no processes or descriptors to be had.
    """
    hints = dict(_HINTS)
    hints |= {name: f"use Linux {release} or newer" for name, (_, release) in enforcement.SINCE.items()}
    ruleset, program = None, None
    try:
        ruleset = _null_ruleset(enforcement.landlock_abi())
    except EnforcementError as error:
        hints |= dict.fromkeys(("filesystem", *enforcement.SINCE), _explained(error))
    try:
        program, _ = seccomp_filter.load_or_build(directory, Network.BLOCKED)
    except EnforcementError as error:
        hints |= dict.fromkeys(("filter", "network"), _explained(error))
    try:
        held = _try_restricted(directory, ruleset, program)
    finally:
        if ruleset is not None:
            os.close(ruleset)
    if _exec_stops():
        held.add("exec-stop")
    if _lease_is_given():
        held.add("lease")
    required = enforcement.required_features(Network.BLOCKED)
    return tuple(
        Finding(name, name in held, name in required, None if name in held else hints.get(name))
        for name in enforcement.FEATURES
    )


def _explained(error: EnforcementError) -> str:
    return f"{error}: {error.hint}" if error.hint else str(error)


def _null_ruleset(abi: int) -> int:
    """Return a ruleset under which /dev/null can be read, and nothing else."""
    descriptor = os.open(_NULL, os.O_PATH | os.O_CLOEXEC)
    try:
        grant = FileGrant(_NULL, _NULL, Access.READ, directory=False, source=SYSTEM)
        return landlock_rules.build([OpenGrant(grant, descriptor)], Network.BLOCKED, abi=abi)
    finally:
        os.close(descriptor)


def _try_restricted(directory: bytes, ruleset: int | None, program: bytes | None) -> set[str]:
    """Return the features that held in a child that restricted itself as far as it could."""
    name = directory + b"/probe-" + os.urandom(8).hex().encode()
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    reader, writer = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            _report(writer, name, ruleset, program)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            reported = pipe.read().decode("ascii").split()
        os.waitpid(child, 0)
        return set(reported)
    finally:
        os.unlink(name)


def _report(writer: int, name: bytes, ruleset: int | None, program: bytes | None) -> None:
    """Restrict this forked child, write the names of what held, and end."""
    try:
        with suppress(OSError):
            privileges.renounce()
        with suppress(OSError):
            if ruleset is not None:
                landlock_rules.restrict(ruleset)
        with suppress(OSError):
            if program is not None:
                syscalls.load_seccomp_filter(program)
        attempts: dict[str, Callable[[], bool]] = {
            "filesystem": lambda: _refused(lambda: os.open(b"/", os.O_RDONLY)),
            "truncate": lambda: _refused(lambda: os.truncate(name, 0)),
            "ioctl": lambda: _refused(_ioctl_null),
            "network": lambda: syscalls.socket_errno(syscalls.AF_INET, syscalls.SOCK_STREAM) == errno.EACCES,
            "scope": lambda: _refused(lambda: os.kill(os.getppid(), 0)),
            "filter": lambda: syscalls.setns_errno() == errno.EPERM,
            "capabilities": lambda: privileges.read().cut,
        }
        held = [feature for feature, attempt in attempts.items() if attempt()]
        os.write(writer, " ".join(held).encode("ascii"))
    finally:
        os._exit(0)  # whatever is not written was not enforced


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _ioctl_null() -> None:
    fcntl.ioctl(os.open(_NULL, os.O_RDONLY), _TCGETS, bytes(64))


def _exec_stops() -> bool:
    """Return whether a child that asked to be traced stops at its exec."""
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            syscalls.ptrace_traceme()
            os.execv(b"/proc/self/exe", [b"nono"])  # it is killed before its first instruction
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return os.WSTOPSIG(status) == signal.SIGTRAP


def _lease_is_given() -> bool:
    """Return whether the kernel gives a read lease on a file that nobody writes to."""
    writable = os.memfd_create("lease", os.MFD_CLOEXEC)
    try:
        descriptor = os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writable)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        return fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK
    except OSError:
        return False
    finally:
        os.close(descriptor)
