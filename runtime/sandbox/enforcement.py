"""What must be enforced, and the one way in which it is: prepared before the fork, applied in the child.

``prepare`` does everything that can fail slowly or needs an import; ``restrict_self`` then makes a handful
of system calls in the forked child, in the only order that works: no_new_privs and the cut of the
capabilities (Landlock and seccomp need the former), Landlock, and the filter last. Nothing here is best
effort: a required feature that is not there is an ``EnforcementError``, before or after the fork, and the
caller turns that into exit status 125 (design 3, "Order", steps 7 and 8).
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import Access, Network
from runtime.errors import EnforcementError
from runtime.kernel import syscalls
from runtime.sandbox import landlock_rules, privileges, seccomp_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runtime.capability.capabilities import CapabilitySet, FileGrant, Ports
    from runtime.capability.grants import OpenGrant
    from runtime.capability.unix_sockets import OpenSocketGrant

FEATURES = (
    "filesystem",
    "truncate",
    "ioctl",
    "network",
    "scope",
    "filter",
    "capabilities",
    "exec-stop",
    "lease",
    "metadata",
)
# What ``restrict_self`` reports; the launch fills in the others.
RESTRICTED_HERE = (*FEATURES[: FEATURES.index("exec-stop")], "metadata")
_OPTIONAL = frozenset(("ioctl", "lease", "metadata"))
# Without these there is no sandbox that could be called degraded.
_NEVER_WAIVED = frozenset(("filesystem", "filter"))

# The first Landlock ABI with a feature, and the Linux release that brought it.
SINCE = {"truncate": (3, "6.2"), "ioctl": (5, "6.10"), "scope": (6, "6.12")}
_PORTS_SINCE = (landlock_rules.ABI_NETWORK, "6.7")

LANDLOCK_CALLS = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")
_PTRACE_SCOPE = "/proc/sys/kernel/yama/ptrace_scope"
# Documentation/admin-guide/LSM/Yama.rst: 0 all of the same user, 1 children, 2 CAP_SYS_PTRACE, 3 nobody.
_SCOPE_CHILDREN = 1
OTHER_CALLS = ("close_range", "pidfd_open", "prlimit64", "ptrace", "seccomp", "signalfd4")
"""What a launch needs beside, and filters are known to refuse."""
_REFUSALS = frozenset((errno.EPERM, errno.EACCES, errno.ENOSYS))

_WHY_NO_LANDLOCK = {
    errno.ENOSYS: (
        "this kernel has no Landlock",
        "use a kernel built with CONFIG_SECURITY_LANDLOCK=y, Linux 6.12 or newer",
    ),
    errno.EOPNOTSUPP: (
        "Landlock was not enabled when this system was started",
        "add landlock to the lsm= list of the kernel's command line and restart",
    ),
    errno.EPERM: (
        "Landlock's system calls are refused to this process",
        "a container's seccomp profile does this; let it allow landlock_create_ruleset, "
        "landlock_add_rule and landlock_restrict_self, or run nono outside the container",
    ),
}


class Prepared(NamedTuple):
    """Everything that a child needs to restrict itself; made by ``prepare``.

    Attributes:
        ruleset: descriptor of the Landlock ruleset, close-on-exec; ``close`` releases it.
        program: the seccomp filter's BPF program.
        filter_sha256: its digest, for the record.
        abi: the Landlock ABI that the ruleset was made for.
        network: the network mode.
        ports: which, where that is ``ports``.
        required: the features without which the command must not run.
        outer: the session of the launch around this one, where its child says so.
        on_wsl: whether Windows made this kernel; asked only where that explains a refusal.
        sockets: the grants on UNIX sockets, with the directories that were judged.
        metadata: whether the monitor changes modes, owners, times and attributes of files, by the grants.
        written: then the grants for writing, with the files that were judged.
        logged: whether the kernel tells its audit stream what it refuses.
        opens: whether a person may be asked about files that no grant covers.
        granted: then all grants on files.
        answers: the descriptor from which the monitor reads what was answered, -1 where nobody answers.
    """

    ruleset: int
    program: bytes
    filter_sha256: str
    abi: int
    network: Network
    ports: Ports
    required: frozenset[str]
    outer: str | None = None
    on_wsl: bool = False
    sockets: tuple[OpenSocketGrant, ...] = ()
    metadata: bool = False
    written: tuple[OpenGrant, ...] = ()
    logged: bool = False
    opens: bool = False
    granted: tuple[FileGrant, ...] = ()
    answers: int = -1

    @property
    def mediates(self) -> bool:
        """Whether the monitor makes calls for the command."""
        return self.ports.listens or bool(self.sockets) or self.metadata or self.opens

    @property
    def mediated_descriptors(self) -> frozenset[int]:
        """The descriptors that the monitor judges by."""
        answers = (self.answers,) if self.answers >= 0 else ()
        return frozenset(
            (
                *(each.directory for each in self.sockets),
                *(each.descriptor for each in self.written),
                *answers,
            )
        )

    def close(self) -> None:
        """Close the ruleset's descriptor; the children that use it have their own."""
        os.close(self.ruleset)


def required_features(network: Network, *, waived: Iterable[str] = ()) -> frozenset[str]:
    """Return the features that a launch under ``network`` requires.

    Args:
        network: an open network needs no enforcement.
        waived: features that a recorded override gives up.

    Raises:
        EnforcementError: an override names what is no feature, or what is never given up.
    """
    given_up = frozenset(waived)
    if not given_up <= frozenset(FEATURES):
        unknown = ", ".join(sorted(given_up.difference(FEATURES)))
        raise EnforcementError(f"no such feature to waive: {unknown}", code="enforcement.unknown")
    if refused := given_up & _NEVER_WAIVED:
        names = ", ".join(sorted(refused))
        raise EnforcementError(
            f"nono does not run anything without: {names}", code="enforcement.never_waived"
        )
    required = frozenset(FEATURES) - _OPTIONAL - given_up
    return required if network is not Network.ALL else required - {"network"}


def judge_kernel(network: Network, *, waived: Iterable[str] = ()) -> tuple[frozenset[str], int]:
    """Return the features that a launch under ``network`` requires, and the Landlock ABI that has them.

    Args:
        network: the network mode.
        waived: required features that a recorded override gives up.

    Raises:
        EnforcementError: the running kernel lacks one; the hint says which would do.
    """
    required = required_features(network, waived=waived)
    abi = landlock_abi()
    if lacking := [name for name, (since, _) in SINCE.items() if name in required and abi < since]:
        # All at once, and the release that has them all: whoever follows the hint meets no second refusal.
        since, release = max(SINCE[name] for name in lacking)
        raise EnforcementError(
            f"this kernel cannot enforce {' and '.join(lacking)}: it has Landlock ABI {abi}, not {since}",
            hint=f"use Linux {release} or newer",
        )
    # Nothing but Landlock can tell one port from another, so there is nothing to fall back on.
    if network is Network.PORTS and abi < _PORTS_SINCE[0]:
        raise EnforcementError(
            f"this kernel cannot tell TCP ports apart: it has Landlock ABI {abi}, not {_PORTS_SINCE[0]}",
            hint=f"use Linux {_PORTS_SINCE[1]} or newer, or close the network with --block-net",
        )
    return required, abi


def prepare(
    capabilities: CapabilitySet,
    open_grants: Iterable[OpenGrant],
    *,
    cache_directory: bytes,
    keep: bool = True,
    executable_rules: Sequence[int] = (),
    sockets: tuple[OpenSocketGrant, ...] = (),
    metadata: bool = False,
    opens: bool = False,
    waived: Iterable[str] = (),
    outer: str | None = None,
    traces_execs: bool = False,
) -> Prepared:
    """Make everything ready for ``restrict_self``, in the parent.

    Args:
        capabilities: what the launch may do; its network decides about the filter.
        open_grants: its file grants, each with the descriptor that was judged.
        cache_directory: where the compiled filter is kept; never grantable to a command.
        keep: whether a filter that has to be compiled is kept there.
        executable_rules: descriptors of files to be executed (the command, its interpreters).
        sockets: the grants on UNIX sockets, with the directories that were judged.
        metadata: whether the monitor is to change modes, owners, times and attributes of files.
        opens: whether the monitor is to ask about files that no grant covers.
        waived: required features that a recorded override gives up.
        outer: the session of the launch around this one, to be named where the two are in each other's way.
        traces_execs: whether every exec is traced, from which nothing must escape.

    Raises:
        EnforcementError: something required cannot be enforced here; the hint says what would help.
    """
    required, abi = judge_kernel(capabilities.network, waived=waived)
    network, ports = capabilities.network, capabilities.ports
    if metadata:
        required |= {"metadata"}
    on_wsl = False
    if ports.listens or metadata or opens:
        from runtime.kernel import surroundings  # noqa: PLC0415  # few launches need a listener

        on_wsl = surroundings.wsl() is not None
    program, digest = load_filter(
        cache_directory,
        network,
        listens=ports.listens,
        unix_sockets=bool(sockets),
        metadata=metadata,
        traces_execs=traces_execs,
        opens=opens,
        sysv_ipc=capabilities.sysv_ipc,
        keep=keep,
    )
    opened = tuple(open_grants)
    written = tuple(each for each in opened if metadata and each.grant.access.covers(Access.WRITE))
    try:
        ruleset = landlock_rules.build(
            opened,
            network,
            abi=abi,
            connect=ports.connect,
            executables=executable_rules,
            sockets=bool(sockets),
        )
    except EnforcementError as error:
        raise explained(error, LANDLOCK_CALLS) from error.__cause__
    prepared = Prepared(
        ruleset, program, digest, abi, network, ports, required, outer, on_wsl, sockets, metadata, written
    )
    return prepared._replace(opens=True, granted=capabilities.files) if opens else prepared


def require_achieved(required: Iterable[str], achieved: Mapping[str, bool]) -> None:
    """Refuse a launch that has less than it requires.

    Raises:
        EnforcementError: it names what is missing.
    """
    missing = sorted(feature for feature in required if not achieved[feature])
    if missing:
        raise EnforcementError(f"not enforced although required: {', '.join(missing)}")


def landlock_abi() -> int:
    """Return the running kernel's Landlock ABI.

    Raises:
        EnforcementError: there is none to be had; the hint says why.
    """
    try:
        return syscalls.landlock_abi()
    except OSError as error:
        number = error.errno if error.errno is not None else errno.ENOSYS
        why, hint = _WHY_NO_LANDLOCK.get(number, (f"Landlock cannot be used: {error.strerror}", None))
        outside = filter_hint(number, LANDLOCK_CALLS)
        if outside is not None and number == errno.ENOSYS:
            # Filters say so of what they do not know: docker's has, of every call that is newer than it is.
            why, outside = "this kernel has no Landlock, or a seccomp filter hides it", f"{outside}; {hint}"
        raise EnforcementError(why, hint=outside or hint) from error


def load_filter(
    cache_directory: bytes,
    network: Network,
    *,
    listens: bool = False,
    unix_sockets: bool = False,
    metadata: bool = False,
    traces_execs: bool = False,
    opens: bool = False,
    sysv_ipc: bool = False,
    keep: bool = True,
) -> tuple[bytes, str]:
    """Return the filter's BPF program and its SHA-256, as ``seccomp_filter.load_or_build`` does.

    Raises:
        EnforcementError: it cannot be built; the hint names a filter around this process, if there is one.
    """
    try:
        return seccomp_filter.load_or_build(
            cache_directory,
            network,
            listens=listens,
            unix_sockets=unix_sockets,
            metadata=metadata,
            traces_execs=traces_execs,
            opens=opens,
            sysv_ipc=sysv_ipc,
            keep=keep,
        )
    except EnforcementError as error:
        if error.hint is not None:
            raise
        # libseccomp asks the kernel what it can do, and gives up with EINVAL where it may not ask.
        hint = filter_hint(errno.EPERM, ("seccomp",))
        raise EnforcementError(str(error), code=error.code, hint=hint) from error.__cause__


def filter_hint(number: int | None, calls: Sequence[str]) -> str | None:
    """Return what to do about a seccomp filter that refuses system calls, or None where it cannot be one.

    Args:
        number: the errno with which a call failed.
        calls: what the filter has to allow.
    """
    if number not in _REFUSALS or not syscalls.seccomp_filtered():
        return None
    return (
        "a seccomp filter is in force around this process, as containers have one: let its profile allow "
        f"{', '.join(calls)} (docker, podman: --security-opt seccomp=FILE; Kubernetes: seccompProfile), "
        "or run nono outside of it"
    )


def processes_hint(number: int | None) -> str | None:
    """Return what to do where fork(2) failed with ``number``, or None where it is no limit."""
    return "raise the limit of processes (ulimit -u)" if number == errno.EAGAIN else None


def tracing_hint(number: int | None) -> str | None:
    """Return what to do where a process cannot be traced that nothing traces, or None.

    Args:
        number: the errno with which ptrace(2) failed.
    """
    with suppress(OSError, ValueError), open(_PTRACE_SCOPE, "rb") as file:
        if (scope := int(file.read(16))) > _SCOPE_CHILDREN:
            return (
                f"kernel.yama.ptrace_scope is {scope}, so that an ordinary process may not even trace its "
                "children: set it to 1 (sysctl -w kernel.yama.ptrace_scope=1; 3 stays until a restart)"
            )
    return filter_hint(number, ("ptrace",))


def explained(error: EnforcementError, calls: Sequence[str]) -> EnforcementError:
    """Return the error, with a hint about the filter that may have made it, where it has none."""
    cause = error.__cause__
    if error.hint is not None or not isinstance(cause, OSError):
        return error
    return EnforcementError(str(error), code=error.code, hint=filter_hint(cause.errno, calls))


def restrict_self(prepared: Prepared, offer: Callable[[int], None] | None = None) -> dict[str, bool]:
    """Restrict the calling process for good; to be called in the forked child, while it has one thread.

    Args:
        prepared: what :func:`prepare` returned.
        offer: gives the filter's listener to whoever mediates; needed where somebody does.

    Returns:
        What was achieved, for each of ``RESTRICTED_HERE``.

    Raises:
        EnforcementError: a step failed, or less than required was achieved; the process must not go on.
    """
    mediated = prepared.mediates
    if mediated and offer is None:
        raise EnforcementError("nobody mediates what the command asks for")
    calls: tuple[str, ...] = ()
    try:
        step, calls = "give up privileges", ("capget", "capset", "prctl")
        left = privileges.renounce()
        step, calls = "restrict itself with Landlock", LANDLOCK_CALLS
        landlock_rules.restrict_self(prepared.ruleset, prepared.abi, logged=prepared.logged)
        # No port 0 is ever granted. Asked before there is a filter, which can have connecting notified.
        unconnected = prepared.network is not Network.PORTS or syscalls.connect_errno() == errno.EACCES
        if not unconnected and prepared.outer is not None:
            raise _connected_outside(prepared.outer)
        step, calls = "load the system call filter", ("seccomp",)
        listener = syscalls.load_seccomp_filter(prepared.program, listener=mediated)
    except OSError as error:
        if error.errno == errno.EBUSY:
            if prepared.on_wsl and prepared.outer is None:
                raise _without_listener() from error
            raise nested(prepared.outer) from error
        hint = filter_hint(error.errno, calls)
        if error.errno == errno.E2BIG:
            hint = "sandboxes can be nested 16 deep, of which a launch takes two; start this one further out"
        raise EnforcementError(f"the child cannot {step}: {error.strerror}", hint=hint) from error
    if mediated and offer is not None:
        offer(listener)
    # Asked of the kernel, not concluded from the above: a filter that lets these pass is not ours.
    filtered = syscalls.setns_errno() == errno.EPERM
    achieved = {
        "filesystem": True,
        "truncate": prepared.abi >= SINCE["truncate"][0],
        "ioctl": prepared.abi >= SINCE["ioctl"][0],
        "network": unconnected and _is_restricted(prepared.network),
        "scope": prepared.abi >= SINCE["scope"][0],
        "filter": filtered,
        "capabilities": left.cut,
        "metadata": prepared.metadata and _is_metadata_mediated(),
    }
    require_achieved(prepared.required.intersection(RESTRICTED_HERE), achieved)
    return achieved


def nested(outer: str | None) -> EnforcementError:
    """Return the error that nothing can be mediated inside of another sandbox.

    Args:
        outer: the session of the launch around this one, None when that is not known.
    """
    around = "the sandbox around it" if outer is None else f"launch {outer} around it"
    return EnforcementError(
        "a launch with ports to listen on, UNIX sockets, protected metadata or elevation cannot run inside of"
        " another:"
        f" {around} does not let it mediate",
        code="enforcement.nested",
        hint="start it further out, or leave out --listen-port, --open-port, --allow-unix-socket,"
        " --protect-metadata and --capability-elevation",
    )


def _connected_outside(outer: str) -> EnforcementError:
    """Return the error that Landlock does not see the connects, which the monitor of ``outer`` makes."""
    return EnforcementError(
        "a launch with named ports cannot run inside of one that grants UNIX sockets:"
        f" launch {outer} around it connects for its command, so the ports would not be held",
        code="enforcement.nested",
        hint="start it further out, leave out --allow-unix-socket there, or use --block-net here",
    )


def _without_listener() -> EnforcementError:
    return EnforcementError(
        "ports to listen on and protected metadata need a listener of the system call filter,"
        " which this kernel of WSL refuses",
        code="enforcement.wsl",
        hint="leave out --listen-port, --open-port and --protect-metadata,"
        " or run nono on a kernel that Windows did not make",
    )


def _is_metadata_mediated() -> bool:
    """Return whether the calling process changes no file's times itself, as tried.

    Of the empty path nothing is to be changed, which the kernel says before it looks, and whoever mediates
    after: or nobody does, in a dry run, and there is no such call.
    """
    from runtime.kernel import file_calls  # noqa: PLC0415  # imported before the fork, where it is needed

    return file_calls.set_times_errno(b"", file_calls.UNCHANGED) in (errno.ENOENT, errno.ENOSYS)


def _is_restricted(network: Network) -> bool:
    """Return whether the calling process is held to ``network``, as tried."""
    if network is Network.BLOCKED:
        return syscalls.socket_errno(syscalls.AF_INET, syscalls.SOCK_STREAM) == errno.EACCES
    if network is Network.PORTS:
        return syscalls.socket_errno(syscalls.AF_INET, syscalls.SOCK_DGRAM) == errno.EACCES
    return False
