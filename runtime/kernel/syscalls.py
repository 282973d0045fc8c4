"""The room with ctypes: the system calls that Python 3.11 has no name for (more of files: ``file_calls``).

Every function is looked up when this module is imported, so that nothing is loaded or resolved after
a fork or inside a sandbox. Each wrapper takes and returns plain integers and bytes, and raises
``OSError`` with the kernel's errno. Man page sections are named where they say more than the kernel's header.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_libc = ctypes.CDLL(None, use_errno=True)

# Of prctl(2), from linux/prctl.h.
PR_SET_PDEATHSIG = 1
PR_GET_SECCOMP = 21
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39

# Of seccomp(2), from linux/seccomp.h.
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_MODE_FILTER = 2
_SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
# A call that is being decided on is interrupted by nothing but the end of its process: it may be half done.
_SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 1 << 5
# A BPF program is at most BPF_MAXINSNS instructions of eight bytes (linux/bpf_common.h).
BPF_INSTRUCTION_SIZE = 8
BPF_MAX_SIZE = 4096 * BPF_INSTRUCTION_SIZE

# Of ptrace(2), from linux/ptrace.h.
_PTRACE_TRACEME = 0
_PTRACE_CONT = 7
_PTRACE_DETACH = 17
_PTRACE_GETEVENTMSG = 0x4201
_PTRACE_SEIZE = 0x4206
_PTRACE_SETOPTIONS = 0x4200
_PTRACE_LISTEN = 0x4208
PTRACE_O_TRACEFORK = 0x02
PTRACE_O_TRACEVFORK = 0x04
PTRACE_O_TRACECLONE = 0x08
PTRACE_O_TRACEEXEC = 0x10
PTRACE_O_EXITKILL = 0x100000
PTRACE_EVENT_FORK = 1
PTRACE_EVENT_VFORK = 2
PTRACE_EVENT_CLONE = 3
PTRACE_EVENT_EXEC = 4
PTRACE_EVENT_STOP = 128

# Of close_range(2).
CLOSE_RANGE_CLOEXEC = 4
_LAST_DESCRIPTOR = 0xFFFFFFFF
# Architectures share these numbers (asm-generic/unistd.h); older C libraries have no wrapper for them.
_NR_CLOSE_RANGE = 436
_NR_OPENAT2 = 437
_NR_PIDFD_GETFD = 438
_NR_LANDLOCK_CREATE_RULESET = 444
_NR_LANDLOCK_ADD_RULE = 445
_NR_LANDLOCK_RESTRICT_SELF = 446
_NR_SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277}.get(os.uname().machine, -1)

# Of openat2(2), from linux/openat2.h.
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

# Of landlock_create_ruleset(2), landlock_add_rule(2) and landlock_restrict_self(2), from linux/landlock.h.
_LANDLOCK_CREATE_RULESET_VERSION = 1 << 0
_LANDLOCK_RULE_PATH_BENEATH = 1
_LANDLOCK_RULE_NET_PORT = 2

# Of getrlimit(2): struct rlimit is two 64-bit numbers, soft and hard.
RLIM_INFINITY = (1 << 64) - 1

# Of wait4(2): struct rusage is two timevals and fourteen numbers, all of them long.
_RUSAGE_WORDS = 18

# Of signalfd(2).
_SFD_CLOEXEC = os.O_CLOEXEC
_SFD_NONBLOCK = os.O_NONBLOCK
_SIGSET_WORDS = 1024 // (8 * ctypes.sizeof(ctypes.c_ulong))
_SIGNALFD_SIGINFO_SIZE = 128
# Set in si_code by the kernel itself, for instance for the signals that a terminal sends (sigaction(2)).
SI_KERNEL = 0x80

# Of socket(2); the socket module costs a launch several milliseconds.
AF_INET = 2
SOCK_STREAM = 1
SOCK_DGRAM = 2
_AF_NETLINK = 16
_SOCK_RAW = 3
_NETLINK_AUDIT = 9
_SOL_SOCKET = 1
_SO_ATTACH_FILTER = 26
_SO_RCVTIMEO = 20
_A_MOMENT = (0).to_bytes(8, sys.byteorder) + (50_000).to_bytes(8, sys.byteorder)  # struct timeval
# struct nlmsghdr alone: length, AUDIT_GET, NLM_F_REQUEST, sequence, port
_AUDIT_GET = b"".join(
    number.to_bytes(size, sys.byteorder) for number, size in ((16, 4), (1000, 2), (1, 2), (1, 4), (0, 4))
)
# struct sockaddr_in of 127.0.0.1 and port 0, where nothing can ever listen.
_NOWHERE = AF_INET.to_bytes(2, sys.byteorder) + bytes((0, 0, 127, 0, 0, 1)) + bytes(8)

# Of capget(2): version 3 is the one that holds more than 32 capabilities.
_CAPABILITY_VERSION_3 = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneathAttributes(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


class _NetPortAttributes(ctypes.Structure):
    # The port is in the host's byte order.
    _fields_ = (("allowed_access", ctypes.c_uint64), ("port", ctypes.c_uint64))


_ResourceLimit = ctypes.c_uint64 * 2
_CapabilityPair = _CapabilityData * 2
_SIG_SETMASK = 2
_SignalSet = ctypes.c_ulong * _SIGSET_WORDS

_prctl = _libc["prctl"]
_prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_prctl.restype = ctypes.c_int

_capget = _libc["capget"]
_capget.argtypes = (ctypes.POINTER(_CapabilityHeader), ctypes.POINTER(_CapabilityData))
_capget.restype = ctypes.c_int

_capset = _libc["capset"]
_capset.argtypes = (ctypes.POINTER(_CapabilityHeader), ctypes.POINTER(_CapabilityData))
_capset.restype = ctypes.c_int

_prlimit = _libc["prlimit"]
_prlimit.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_prlimit.restype = ctypes.c_int

_ptrace = _libc["ptrace"]
_ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_ptrace.restype = ctypes.c_long

_wait4 = _libc["wait4"]
_wait4.argtypes = (ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_int, ctypes.c_void_p)
_wait4.restype = ctypes.c_int

_SIG_ERR = ctypes.c_void_p(-1).value
_signal = _libc["signal"]
_signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
_signal.restype = ctypes.c_void_p
_set_signal_mask = _libc["pthread_sigmask"]
_set_signal_mask.argtypes = (ctypes.c_int, ctypes.POINTER(_SignalSet), ctypes.c_void_p)
_set_signal_mask.restype = ctypes.c_int
_signalfd = _libc["signalfd"]
_signalfd.argtypes = (ctypes.c_int, ctypes.POINTER(_SignalSet), ctypes.c_int)
_signalfd.restype = ctypes.c_int

_fstatfs = _libc["fstatfs"]
_fstatfs.argtypes = (ctypes.c_int, ctypes.c_void_p)
_fstatfs.restype = ctypes.c_int
# struct statfs of a 64-bit machine begins with the kind, as a long, and has fifteen of those in all.
_statfs = (ctypes.c_long * 32)()

# Made once: a command that makes orphans decides how often they are needed. Launches have one thread.
_status = ctypes.c_int()
_STATUS_HERE = ctypes.byref(_status)
_usage = (ctypes.c_long * _RUSAGE_WORDS)()

# Each ["syscall"] is a function object of its own, so each can have its own argument types.
_seccomp = _libc["syscall"]
_seccomp.argtypes = (ctypes.c_long, ctypes.c_uint, ctypes.c_uint, ctypes.POINTER(_FilterProgram))
_seccomp.restype = ctypes.c_long

_close_range = _libc["syscall"]
_close_range.argtypes = (ctypes.c_long, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)
_close_range.restype = ctypes.c_long

_pidfd_getfd = _libc["syscall"]
_pidfd_getfd.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_uint)
_pidfd_getfd.restype = ctypes.c_long

_openat2 = _libc["syscall"]
_openat2.argtypes = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(_OpenHow),
    ctypes.c_size_t,
)
_openat2.restype = ctypes.c_long

_landlock_create_ruleset = _libc["syscall"]
_landlock_create_ruleset.argtypes = (ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32)
_landlock_create_ruleset.restype = ctypes.c_long

_landlock_add_rule = _libc["syscall"]
_landlock_add_rule.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
_landlock_add_rule.restype = ctypes.c_long

_landlock_restrict_self = _libc["syscall"]
_landlock_restrict_self.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_uint32)
_landlock_restrict_self.restype = ctypes.c_long

_setns = _libc["setns"]
_setns.argtypes = (ctypes.c_int, ctypes.c_int)
_setns.restype = ctypes.c_int

_socket = _libc["socket"]
_socket.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int)
_socket.restype = ctypes.c_int

_connect = _libc["connect"]
_connect.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_connect.restype = ctypes.c_int

_bind = _libc["bind"]
_bind.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_bind.restype = ctypes.c_int

_setsockopt = _libc["setsockopt"]
_setsockopt.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)
_setsockopt.restype = ctypes.c_int

_listen = _libc["listen"]
_listen.argtypes = (ctypes.c_int, ctypes.c_int)
_listen.restype = ctypes.c_int


def _checked(result: int, name: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, argument: int = 0, argument3: int = 0) -> int:
    """Set or ask an attribute of the calling process (prctl(2)).

    Up to two arguments follow the option; the rest are 0.

    Raises:
        OSError: the kernel refused.
    """
    return _checked(int(_prctl(option, argument, argument3, 0, 0)), "prctl")


def lower_bounding_set(kept: int) -> None:
    """Drop all but these capabilities from the bounding set of the calling thread (PR_CAPBSET_DROP).

    Args:
        kept: which may stay, as a bit mask; none comes back by it.

    Raises:
        OSError: EPERM without CAP_SETPCAP.
    """
    for capability in range(64):
        if kept >> capability & 1 or _prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
            continue
        if ctypes.get_errno() == errno.EINVAL:  # how the kernel says that it knows no more
            return
        _checked(-1, "prctl")


def capget() -> tuple[int, int, int]:
    """Return the effective, permitted and inheritable capabilities of the calling thread, as bit masks.

    Raises:
        OSError: the kernel refused.
    """
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    low_high = _CapabilityPair()
    _checked(int(_capget(ctypes.byref(header), low_high)), "capget")
    low, high = low_high
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the capability sets of the calling thread, each a bit mask.

    Raises:
        OSError: EPERM when they hold more than the thread may have.
    """
    low_high = _CapabilityPair()
    for index, shift in enumerate((0, 32)):
        low_high[index] = _CapabilityData(
            effective >> shift & 0xFFFFFFFF,
            permitted >> shift & 0xFFFFFFFF,
            inheritable >> shift & 0xFFFFFFFF,
        )
    _checked(int(_capset(ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION_3, 0)), low_high)), "capset")


def seccomp_filtered() -> bool:
    """Return whether a seccomp filter is in force for this process (PR_GET_SECCOMP)."""
    try:
        return prctl(PR_GET_SECCOMP) == _SECCOMP_MODE_FILTER
    except OSError:  # a filter that refuses even that
        return True


def load_seccomp_filter(program: bytes, *, listener: bool = False) -> int:
    """Add a seccomp filter to the calling thread (seccomp(2), SECCOMP_SET_MODE_FILTER).

    Args:
        program: a classic BPF program, whole instructions of eight bytes.
        listener: whether to make the descriptor from which notified calls are read.

    Returns:
        That descriptor, close-on-exec, or 0 without one.

    Raises:
        OSError: EINVAL for a program that the kernel does not accept, EACCES without no_new_privs and
            CAP_SYS_ADMIN, EBUSY for a listener where a filter further out has one, ENOSYS on an architecture
            without a known number for seccomp(2).
    """
    if len(program) % BPF_INSTRUCTION_SIZE or len(program) > BPF_MAX_SIZE:
        raise OSError(errno.EINVAL, "seccomp: not a whole number of instructions, or too many")
    filter_program = _FilterProgram(len(program) // BPF_INSTRUCTION_SIZE, program)
    flags = _SECCOMP_FILTER_FLAG_NEW_LISTENER | _SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV if listener else 0
    result = _seccomp(_NR_SECCOMP, _SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(filter_program))
    return _checked(int(result), "seccomp")


def landlock_abi() -> int:
    """Return the Landlock ABI of the running kernel (landlock_create_ruleset(2)).

    Raises:
        OSError: ENOSYS without Landlock in the kernel, EOPNOTSUPP when it was not enabled at boot,
            EPERM where a container's filter refuses it.
    """
    version = _landlock_create_ruleset(_NR_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    return _checked(int(version), "landlock_create_ruleset")


def landlock_create_ruleset(files: int, network: int, scopes: int) -> int:
    """Return a close-on-exec descriptor of an empty ruleset (landlock_create_ruleset(2)).

    Args:
        files: the file rights that it takes away, as bits.
        network: the network rights, from ABI 4; 0 before.
        scopes: the scopes, from ABI 6; 0 before.

    Raises:
        OSError: EINVAL for a bit that the kernel does not know, ENOMSG when there is none at all.
    """
    attributes = _RulesetAttributes(files, network, scopes)
    size = ctypes.sizeof(attributes)  # an older kernel takes one that is too long, when the rest is zero
    made = _landlock_create_ruleset(_NR_LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    return _checked(int(made), "landlock_create_ruleset")


def landlock_allow_beneath(ruleset: int, descriptor: int, rights: int) -> None:
    """Give back file rights at and beneath an opened file or directory (landlock_add_rule(2)).

    Raises:
        OSError: EINVAL for a right that the ruleset does not take away or that a file cannot have, EBADFD.
    """
    rule = _PathBeneathAttributes(rights, descriptor)
    number, kind = _NR_LANDLOCK_ADD_RULE, _LANDLOCK_RULE_PATH_BENEATH
    _checked(int(_landlock_add_rule(number, ruleset, kind, ctypes.byref(rule), 0)), "landlock_add_rule")


def landlock_allow_port(ruleset: int, port: int, rights: int) -> None:
    """Give back network rights for a TCP port (landlock_add_rule(2)).

    Raises:
        OSError: EINVAL for a right that the ruleset does not take away, or for no port.
    """
    rule = _NetPortAttributes(rights, port)
    number, kind = _NR_LANDLOCK_ADD_RULE, _LANDLOCK_RULE_NET_PORT
    _checked(int(_landlock_add_rule(number, ruleset, kind, ctypes.byref(rule), 0)), "landlock_add_rule")


def landlock_restrict_self(ruleset: int, flags: int = 0) -> None:
    """Put the calling thread, and all that it starts, under a ruleset for good (landlock_restrict_self(2)).

    Raises:
        OSError: EPERM without no_new_privs and CAP_SYS_ADMIN, E2BIG beneath 16 other layers.
    """
    done = _landlock_restrict_self(_NR_LANDLOCK_RESTRICT_SELF, ruleset, flags)
    _checked(int(done), "landlock_restrict_self")


def pidfd_getfd(pidfd: int, descriptor: int) -> int:
    """Return a descriptor, close-on-exec, of what ``descriptor`` is in another process (pidfd_getfd(2)).

    Raises:
        OSError: EBADF when there is none, EPERM when that process may not be traced, ESRCH when it is gone.
    """
    return _checked(int(_pidfd_getfd(_NR_PIDFD_GETFD, pidfd, descriptor, 0)), "pidfd_getfd")


def close_range(first: int, last: int = _LAST_DESCRIPTOR, flags: int = 0) -> None:
    """Close the descriptors ``first`` to ``last``, or mark them with CLOSE_RANGE_CLOEXEC (close_range(2)).

    Raises:
        OSError: EINVAL for a range that is none, ENOSYS before Linux 5.9.
    """
    _checked(int(_close_range(_NR_CLOSE_RANGE, first, last, flags)), "close_range")


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor above 2 that is not to be kept.

    Raises:
        OSError: ENOSYS before Linux 5.9.
    """
    first = 3
    for descriptor in sorted(keep - {0, 1, 2}):
        if descriptor > first:
            close_range(first, descriptor - 1)
        first = descriptor + 1
    close_range(first)


def openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
    """Open a path from ``directory``, close-on-exec, under ``RESOLVE_`` restrictions (openat2(2)).

    Raises:
        OSError: ELOOP for a link that must not be followed, EXDEV for a way out, and what open(2) says.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    result = _openat2(_NR_OPENAT2, directory, path, ctypes.byref(how), ctypes.sizeof(how))
    return _checked(int(result), "openat2")


def connect(descriptor: int, address: bytes) -> int:
    """Connect a socket to an address as the kernel has it, once, and return the errno, or 0.

    Not an error: a connection can be under way, or have been interrupted, and the caller goes on.
    """
    return 0 if int(_connect(descriptor, address, len(address))) == 0 else ctypes.get_errno()


def bind(descriptor: int, address: bytes) -> int:
    """Bind a socket to an address as the kernel has it, and return the errno, or 0."""
    return 0 if int(_bind(descriptor, address, len(address))) == 0 else ctypes.get_errno()


def listen(descriptor: int, backlog: int) -> int:
    """Listen on a socket, and return the errno, or 0."""
    return 0 if int(_listen(descriptor, backlog)) == 0 else ctypes.get_errno()


def getrlimit(resource: int) -> tuple[int, int]:
    """Return the soft and the hard limit of a resource, each RLIM_INFINITY when there is none (getrlimit(2)).

    The ``resource`` module would cost each launch a third of a millisecond.

    Raises:
        OSError: EINVAL for what is no resource.
    """
    limit = _ResourceLimit()
    _checked(int(_prlimit(0, resource, None, ctypes.byref(limit))), "prlimit")
    return limit[0], limit[1]


def setrlimit(resource: int, soft: int, hard: int) -> None:
    """Set the limits of a resource for this process (setrlimit(2)).

    Raises:
        OSError: EPERM for a hard limit above the one now, without CAP_SYS_RESOURCE.
    """
    _checked(int(_prlimit(0, resource, ctypes.byref(_ResourceLimit(soft, hard)), None)), "prlimit")


def ptrace_traceme() -> None:
    """Ask to be traced by the parent (PTRACE_TRACEME).

    Raises:
        OSError: EPERM when something traces this process already.
    """
    _checked(int(_ptrace(_PTRACE_TRACEME, 0, None, None)), "ptrace(TRACEME)")


def ptrace_seize(pid: int, options: int = 0) -> None:
    """Trace ``pid`` without stopping it (PTRACE_SEIZE), with ``PTRACE_O_`` options.

    Raises:
        OSError: EPERM when it cannot be traced or is traced already, ESRCH when it is gone.
    """
    _checked(int(_ptrace(_PTRACE_SEIZE, pid, None, options)), "ptrace(SEIZE)")


def ptrace_set_options(pid: int, options: int) -> None:
    """Set the ``PTRACE_O_`` options of a stopped tracee (PTRACE_SETOPTIONS).

    Raises:
        OSError: ESRCH when it is not a stopped tracee of this thread.
    """
    _checked(int(_ptrace(_PTRACE_SETOPTIONS, pid, None, options)), "ptrace(SETOPTIONS)")


def ptrace_cont(pid: int, signal: int = 0) -> None:
    """Let a stopped tracee run on, with ``signal`` delivered if it is not 0 (PTRACE_CONT).

    Raises:
        OSError: ESRCH when it is not a stopped tracee of this thread.
    """
    _checked(int(_ptrace(_PTRACE_CONT, pid, None, signal)), "ptrace(CONT)")


def ptrace_detach(pid: int, signal: int = 0) -> None:
    """Let a stopped tracee run on untraced, with ``signal`` delivered if it is not 0 (PTRACE_DETACH).

    Raises:
        OSError: ESRCH when it is not a stopped tracee of this thread.
    """
    _checked(int(_ptrace(_PTRACE_DETACH, pid, None, signal)), "ptrace(DETACH)")


def ptrace_listen(pid: int) -> None:
    """Leave a tracee in its stop by job control until something comes of it (PTRACE_LISTEN).

    Raises:
        OSError: ESRCH when it is not such a tracee of this thread.
    """
    _checked(int(_ptrace(_PTRACE_LISTEN, pid, None, None)), "ptrace(LISTEN)")


def ptrace_event_message(pid: int) -> int:
    """Return what the ptrace event is about: the new pid, or the former thread id (PTRACE_GETEVENTMSG).

    Raises:
        OSError: ESRCH when it is not a stopped tracee of this thread.
    """
    message = ctypes.c_ulong()
    _checked(int(_ptrace(_PTRACE_GETEVENTMSG, pid, None, ctypes.addressof(message))), "ptrace(GETEVENTMSG)")
    return message.value


class Usage:
    """What a process and the children that it waited for have used.

    Attributes:
        user_us: user time in microseconds.
        system_us: system time in microseconds.
        max_rss_bytes: largest resident set of one of them.
    """

    __slots__ = ("max_rss_bytes", "system_us", "user_us")

    def __init__(self, user_us: int, system_us: int, max_rss_bytes: int) -> None:
        self.user_us = user_us
        self.system_us = system_us
        self.max_rss_bytes = max_rss_bytes


def wait4(pid: int, options: int) -> tuple[int, int, Usage]:
    """Wait for a child as ``os.wait4``, which would import a module for its answer after the fork.

    Returns:
        Its pid (0 with WNOHANG when none has changed), its wait status, and what it used.

    Raises:
        OSError: ECHILD (``ChildProcessError``) when there is none.
    """
    while True:
        found = int(_wait4(pid, _STATUS_HERE, options, _usage))
        if found >= 0 or ctypes.get_errno() != errno.EINTR:
            break
    _checked(found, "wait4")
    # getrusage(2): two times of seconds and microseconds, then the largest resident set in KiB.
    seconds, micros, system_seconds, system_micros, kibibytes = _usage[:5]
    used = Usage(seconds * 1_000_000 + micros, system_seconds * 1_000_000 + system_micros, kibibytes * 1_024)
    return found, _status.value, used


class SignalInfo:
    """Where a signal that was read from a signalfd came from.

    Attributes:
        signal: its number.
        code: ``si_code``: SI_KERNEL from a terminal, 0 from kill(2), CLD_… for SIGCHLD.
        pid: the sender, or the child that SIGCHLD is about; 0 from outside the pid namespace.
    """

    # Not a dataclass: making one costs each launch half a millisecond.
    __slots__ = ("code", "pid", "signal")

    def __init__(self, signal: int, code: int, pid: int) -> None:
        self.signal = signal
        self.code = code
        self.pid = pid


def signalfd(signals: frozenset[int]) -> int:
    """Return a new descriptor, close-on-exec and non-blocking, from which ``signals`` can be read.

    The caller blocks the same signals (``signal.pthread_sigmask``), or their default still happens.

    Raises:
        OSError: the kernel refused.
        ValueError: a number that is no signal.
    """
    mask = _signal_set(signals)
    return _checked(int(_signalfd(-1, ctypes.byref(mask), _SFD_CLOEXEC | _SFD_NONBLOCK)), "signalfd")


def take_default_action(number: int) -> None:
    """Have a signal do in this process what it does by default (signal(3)).

    For one that is about to execute something: ``signal.signal`` says what was there before as well, which
    takes members of enumerations, and Python's own table stays as it is here.

    Raises:
        OSError: EINVAL for what is no signal, or has no other action.
    """
    if _signal(number, None) == _SIG_ERR:
        _checked(-1, "signal")


def set_signal_mask(signals: Iterable[int]) -> None:
    """Block these signals in the calling thread, and no others (pthread_sigmask(3)).

    ``signal.pthread_sigmask`` returns those that were blocked before, each as a member of an enumeration: a
    tenth of a millisecond where all were.

    Raises:
        ValueError: a number that is no signal.
    """
    _set_signal_mask(_SIG_SETMASK, ctypes.byref(_signal_set(signals)), None)


def block_all_signals() -> None:
    """Block whatever can be blocked in the calling thread (pthread_sigmask(3))."""
    mask = _SignalSet()
    ctypes.memset(mask, 0xFF, ctypes.sizeof(mask))
    _set_signal_mask(_SIG_SETMASK, ctypes.byref(mask), None)


def _signal_set(signals: Iterable[int]) -> ctypes.Array[ctypes.c_ulong]:
    mask = _SignalSet()
    width = 8 * ctypes.sizeof(ctypes.c_ulong)
    for number in signals:
        if not 1 <= number <= 64:
            raise ValueError(f"no such signal: {number}")
        mask[(number - 1) // width] |= 1 << (number - 1) % width
    return mask


def file_system_magic(descriptor: int) -> int:
    """Return the number of the kind of file system that a file lies on (fstatfs(2), linux/magic.h).

    Raises:
        OSError: the kernel refused.
    """
    _checked(int(_fstatfs(descriptor, _statfs)), "fstatfs")
    return _statfs[0] & 0xFFFFFFFF


def read_signals(descriptor: int) -> list[SignalInfo]:
    """Return the signals that wait in a signalfd, in order; none when nothing waits.

    Raises:
        OSError: the descriptor cannot be read.
    """
    try:
        data = os.read(descriptor, 16 * _SIGNALFD_SIGINFO_SIZE)
    except BlockingIOError:
        return []
    return [
        parse_signal_info(data[start : start + _SIGNALFD_SIGINFO_SIZE])
        for start in range(0, len(data), _SIGNALFD_SIGINFO_SIZE)
    ]


def parse_signal_info(data: bytes) -> SignalInfo:
    """Return what one ``signalfd_siginfo`` (128 bytes, native order) says.

    Raises:
        ValueError: not 128 bytes.
    """
    if len(data) != _SIGNALFD_SIGINFO_SIZE:
        raise ValueError(f"a signalfd_siginfo has {_SIGNALFD_SIGINFO_SIZE} bytes, not {len(data)}")
    words = memoryview(data).cast("I")
    code = words[2] - (1 << 32) if words[2] & 1 << 31 else words[2]
    return SignalInfo(words[0], code, words[3])


def seal(descriptor: int) -> None:
    """Seal a memfd for good: its content and size can never change again (fcntl(2), F_ADD_SEALS).

    Raises:
        OSError: EBUSY while a writable mapping exists, EPERM when sealing was not allowed at its creation.
    """
    fcntl.fcntl(
        descriptor,
        fcntl.F_ADD_SEALS,
        fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL,
    )


def setns_errno() -> int:
    """Return the errno of a setns(2) that can never succeed: EBADF, or what a filter put in its place."""
    _setns(-1, 0)
    return ctypes.get_errno()


def socket_errno(family: int, kind: int) -> int:
    """Return the errno of socket(2), 0 when it gave one; it is closed again at once."""
    descriptor = int(_socket(family, kind | os.O_CLOEXEC, 0))
    if descriptor < 0:
        return ctypes.get_errno()
    os.close(descriptor)
    return 0


def netlink_audit(groups: int, program: bytes) -> int:
    """Return a non-blocking, close-on-exec socket of the audit family (netlink(7)).

    Args:
        groups: the multicast groups that it hears, a bit mask.
        program: a classic BPF program that says which messages reach it; empty for all.

    Raises:
        OSError: EPERM without CAP_AUDIT_READ; EPROTONOSUPPORT where the kernel has no such thing.
    """
    kind = _SOCK_RAW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = _checked(int(_socket(_AF_NETLINK, kind, _NETLINK_AUDIT)), "socket")
    try:
        if program:
            attached = _FilterProgram(len(program) // BPF_INSTRUCTION_SIZE, program)
            option = ctypes.byref(attached), ctypes.sizeof(attached)
            _checked(int(_setsockopt(descriptor, _SOL_SOCKET, _SO_ATTACH_FILTER, *option)), "setsockopt")
        # struct sockaddr_nl: family, padding, port, groups
        address = _AF_NETLINK.to_bytes(2, sys.byteorder) + bytes(6) + groups.to_bytes(4, sys.byteorder)
        _checked(int(_bind(descriptor, address, len(address))), "bind")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class AuditQuestion:
    """Whether the kernel writes audit records, asked when this is made (audit.h, AUDIT_GET).

    It says so to who has CAP_AUDIT_CONTROL, in the first pid namespace; and it is a thread that it makes for
    the answer that says so, which on a busy machine takes milliseconds. To ask takes 31 µs.
    """

    def __init__(self) -> None:
        self._descriptor = -1
        try:
            self._descriptor = netlink_audit(0, b"")
            os.write(self._descriptor, _AUDIT_GET)
        except OSError:
            self.close()

    def is_on(self) -> bool:
        """Wait for the answer, and return it; False where there is none."""
        if self._descriptor < 0:
            return False
        try:
            os.set_blocking(self._descriptor, True)
            _setsockopt(self._descriptor, _SOL_SOCKET, _SO_RCVTIMEO, _A_MOMENT, len(_A_MOMENT))
            # struct nlmsghdr: length, type, flags, sequence, port; struct audit_status: mask, enabled
            answer = os.read(self._descriptor, 4_096)
        except OSError:
            return False
        finally:
            self.close()
        kind, enabled = answer[4:6], answer[20:24]
        return kind == _AUDIT_GET[4:6] and any(enabled)

    def close(self) -> None:
        """Let go of it; again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def connect_errno() -> int:
    """Return the errno of connecting a TCP socket to port 0 of this host, where nothing can ever listen."""
    descriptor = int(_socket(AF_INET, SOCK_STREAM | os.O_CLOEXEC | os.O_NONBLOCK, 0))
    if descriptor < 0:
        return ctypes.get_errno()
    try:
        return 0 if _connect(descriptor, _NOWHERE, len(_NOWHERE)) == 0 else ctypes.get_errno()
    finally:
        os.close(descriptor)


def wipe_initial_environment(name: bytes) -> None:
    """Overwrite the value of a variable where this process's environment was put when it started.

    ``unsetenv`` only forgets it: ``/proc/PID/environ`` goes on showing the initial strings. The kernel
    says where they are (proc_pid_stat(5), fields 50 and 51), and they are this process's own memory.

    Args:
        name: the variable; nothing happens when it was not there.
    """
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    strings = ctypes.string_at(start, end - start)
    position = 0
    for string in strings.split(b"\0"):
        if string.startswith(name + b"="):
            value = len(name) + 1
            ctypes.memset(start + position + value, ord("x"), len(string) - value)
        position += len(string) + 1
