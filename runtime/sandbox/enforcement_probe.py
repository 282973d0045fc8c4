"""What this kernel and this installation can enforce, found out by doing it (``nono doctor``).

A forked child restricts itself as a launch would, then tries what each feature is there to refuse. That
a call *returned* success proves little: an emulated kernel may accept a ruleset and enforce nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import SYSTEM, Access, FileGrant, Network
from runtime.capability.grants import OpenGrant
from runtime.errors import EnforcementError
from runtime.kernel import syscalls
from runtime.sandbox import enforcement, landlock_rules, privileges

if TYPE_CHECKING:
    from collections.abc import Callable

_NULL = b"/dev/null"
_TCGETS = 0x5401  # asm-generic/ioctls.h
_SECCOMP_HINT = "use a kernel built with CONFIG_SECCOMP_FILTER=y, and install libseccomp"
_OF_LANDLOCK = ("filesystem", *enforcement.SINCE)
# What cannot be enforced when a step of the child fails, and what it calls for that; in the child's order.
_STEPS = {
    "privileges": (("capabilities",), ("prctl", "capset")),
    "landlock": (_OF_LANDLOCK, enforcement.LANDLOCK_CALLS),
    "seccomp": (("filter", "network"), ("seccomp",)),
}
_NO_DESCRIPTOR = 0x7FFFFFFF
_RLIMIT_NOFILE = 7
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
    ruleset, program = None, None
    try:
        abi = enforcement.landlock_abi()
        hints |= {
            name: f"use Linux {release} or newer"
            for name, (since, release) in enforcement.SINCE.items()
            if abi < since
        }
        ruleset = _null_ruleset(abi)
    except EnforcementError as error:
        found = enforcement.explained(error, enforcement.LANDLOCK_CALLS)
        hints |= dict.fromkeys(_OF_LANDLOCK, _explained(found))
    try:
        program, _ = enforcement.load_filter(directory, Network.BLOCKED)
    except EnforcementError as error:
        hints |= dict.fromkeys(("filter", "network"), _explained(error))
    try:
        held, refused = _try_restricted(directory, ruleset, program)
    finally:
        if ruleset is not None:
            os.close(ruleset)
    for step, number in refused.items():
        features, calls = _STEPS[step]
        hint = enforcement.filter_hint(number, calls) or f"{calls[-1]}: {os.strerror(number)}"
        hints |= dict.fromkeys(features, hint)
    if (failed := exec_stop_errno()) is None:
        held.add("exec-stop")
    elif (why := enforcement.tracing_hint(failed)) is not None:
        hints["exec-stop"] = why
    if _lease_is_given():
        held.add("lease")
    required = enforcement.required_features(Network.BLOCKED)
    return tuple(
        Finding(name, name in held, name in required, None if name in held else hints.get(name))
        for name in enforcement.FEATURES
    )


def refused_calls() -> tuple[str, ...]:
    """Return the system calls that a launch needs beside its features, and that are refused here."""
    attempts: dict[str, Callable[[], object]] = {
        "close_range": lambda: syscalls.close_range(_NO_DESCRIPTOR, _NO_DESCRIPTOR),
        "pidfd_open": lambda: os.close(os.pidfd_open(os.getpid())),
        "prlimit64": lambda: syscalls.getrlimit(_RLIMIT_NOFILE),
        "signalfd4": lambda: os.close(syscalls.signalfd(frozenset())),
    }
    refused = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            refused.append(name)
    return tuple(refused)


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


def _try_restricted(
    directory: bytes, ruleset: int | None, program: bytes | None
) -> tuple[set[str], dict[str, int]]:
    """Return the features that held in a child that restricted itself as far as it could.

    Returns:
        The features, and of each step of ``_STEPS`` that failed its errno.
    """
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
    finally:
        os.unlink(name)
    refused = dict(each.split("=") for each in reported if "=" in each)
    return {each for each in reported if "=" not in each}, {step: int(refused[step]) for step in refused}


def _report(writer: int, name: bytes, ruleset: int | None, program: bytes | None) -> None:
    """Restrict this forked child, write the names of what held and the errno of what failed, and end."""
    try:
        steps: dict[str, Callable[[], object]] = {"privileges": privileges.renounce}
        if ruleset is not None:
            steps["landlock"] = lambda: syscalls.landlock_restrict_self(ruleset)
        if program is not None:
            steps["seccomp"] = lambda: syscalls.load_seccomp_filter(program)
        for step, take in steps.items():
            try:
                take()
            except OSError as error:
                os.write(writer, f"{step}={error.errno or 0} ".encode("ascii"))
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


def exec_stop_errno() -> int | None:
    """Return None when a child that asked to be traced stops at its exec, else the errno of asking (or 0)."""
    child = os.fork()
    if child == 0:
        failed = 0
        try:
            syscalls.ptrace_traceme()
            os.execv(b"/proc/self/exe", [b"nono"])  # it is killed before its first instruction
        except OSError as error:
            failed = error.errno or 0
        finally:
            os._exit(failed)
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        return os.WEXITSTATUS(status)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None if os.WSTOPSIG(status) == signal.SIGTRAP else 0


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
