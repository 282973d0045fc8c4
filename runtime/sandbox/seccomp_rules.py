"""The rules of the leak filter: what Landlock does not cover, and its compilation by pyseccomp.

Imported only when there is no cached program (``seccomp_filter``): pyseccomp takes some 30 ms, most of
them spent on finding libseccomp. Design 3, "What the child must not have", lists the leaks.

Choices that the tables do not explain:

- An argument that is an ``int`` to the kernel arrives in a 64-bit register whose upper half the kernel
  ignores. A rule that refuses a *value* therefore compares under the mask 0xffffffff; a rule that
  refuses everything *but* a value compares the whole register, which can only refuse more.
- ``setpriority`` and ``ioprio_set`` are left only for the caller itself (id 0): a process group may
  contain nono, and "all of this user" always does. A filter cannot know a process's own number, so that
  is refused as well, and tools must say 0.
- ``bind`` and ``listen`` of a command with ports to listen on are *notified*, and where UNIX sockets are
  granted ``connect`` as well: a filter sees neither a socket's address nor its kind, so ``mediation``
  decides, and does it.
- Where metadata is protected, the calls that change a file's mode, owner, times or attributes are notified:
  ``metadata_mediation`` makes them. Those of them that are so new that nothing depends on them are absent.
- Where a person may be asked, the calls that open a file are notified: ``open_mediation`` lets them go on, or
  opens what was granted.
- System calls newer than this module are ENOSYS, as on an older kernel: a deny list that lets unknown
  calls pass would open by itself at the next kernel update.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pyseccomp  # type: ignore[import-untyped]  # published without type information

from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import Network
from runtime.errors import EnforcementError
from runtime.kernel.syscalls import BPF_MAX_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

# The machines whose argument order and numbers the tables were written for.
MACHINES = ("x86_64", "aarch64")

# listns(2) of Linux 6.19. Since number 424 all architectures count together.
NEWEST_KNOWN_CALL = 470
_X32_BIT = 0x40000000  # asm/unistd.h, __X32_SYSCALL_BIT
# Calls that the oldest supported libseccomp has no name for.
_NUMBERS = {
    "fchmodat2": 452,
    "setxattrat": 463,
    "removexattrat": 466,
    "open_tree_attr": 467,
    "file_setattr": 469,
}

# The bits of a register that the kernel takes for an ``int``.
_INT = 0xFFFFFFFF

_CLONE_NAMESPACES = (
    0x00020000,  # CLONE_NEWNS
    0x02000000,  # CLONE_NEWCGROUP
    0x04000000,  # CLONE_NEWUTS
    0x08000000,  # CLONE_NEWIPC
    0x10000000,  # CLONE_NEWUSER
    0x20000000,  # CLONE_NEWPID
    0x40000000,  # CLONE_NEWNET
)
_CLONE_UNTRACED = 0x00800000
_CLONE_NEWTIME = 0x00000080  # to clone(2) these bits are the exit signal

# asm-generic/ioctls.h: typing into a terminal, the console's own pasting, changing a line discipline.
_TIOCSTI = 0x5412
_TIOCLINUX = 0x541C
_TIOCSETD = 0x5423
# linux/kd.h: what the keys of a console mean, and the strings of its function keys (KDSKBENT, KDSKBSENT,
# KDSKBDIACR, KDSKBDIACRUC, KDSETKEYCODE). Whoever has it as a terminal may change them, for the next as well.
_KEYS_OF_A_CONSOLE = (0x4B47, 0x4B49, 0x4B4B, 0x4BFB, 0x4B4D)
_OF_TERMINALS = (_TIOCSTI, _TIOCLINUX, _TIOCSETD, *_KEYS_OF_A_CONSOLE)

# linux/fcntl.h and asm-generic/fcntl.h
_F_SETLEASE = 1024
_F_WRLCK = 1

# linux/fs.h: flags and attributes of a file.
_FS_IOC_SETFLAGS = 0x40086602
_FS_IOC_FSSETXATTR = 0x401C5820
# linux/msdos_fs.h: the attributes of a file on vfat, exfat and NTFS; read-only is one of them.
_FAT_IOCTL_SET_ATTRIBUTES = 0x40047211
# linux/fsverity.h, linux/fscrypt.h, linux/fs.h: what seals a file for good, encrypts a directory, or changes
# a generation (two sizes). All take a descriptor for reading, and no mediation knows them.
_CHANGES_OF_FILES = (0x40806685, 0x800C6613, 0x40087602, 0x40086604)

# linux/btrfs.h: making, removing and locking subvolumes takes a descriptor for reading, unseen by Landlock.
# Cloning and deduplicating, which have the same letter, need one for writing.
_BTRFS_SUBVOLUMES = (
    *(0x50009401, 0x50009417),  # BTRFS_IOC_SNAP_CREATE, _V2
    *(0x5000940E, 0x50009418),  # BTRFS_IOC_SUBVOL_CREATE, _V2
    *(0x5000940F, 0x5000943F),  # BTRFS_IOC_SNAP_DESTROY, _V2
    0x4008941A,  # BTRFS_IOC_SUBVOL_SETFLAGS
)

_PRIO_PROCESS = 0
_IOPRIO_WHO_PROCESS = 1

_AF_UNIX = 1
_AF_INET = 2
_AF_INET6 = 10
_AF_NETLINK = 16
_NETLINK_ROUTE = 0
_SOCK_RAW = 3
_SOCK_TYPE_MASK = 0xF
_IPPROTO_TCP = 6
_TCP_ULP = 31
_MSG_FASTOPEN = 0x20000000

# Refused whatever the arguments: EPERM, as the kernel says to those who may not.
_NEVER = (
    # namespaces, and the mounts that would change what a path means
    *("setns", "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
    # the keyrings, which outlive a process and are shared by all of a user's
    *("add_key", "request_key", "keyctl"),
    # the kernel's own machinery
    *("bpf", "perf_event_open", "kexec_load", "kexec_file_load", "init_module", "finit_module"),
    *("delete_module", "create_module", "userfaultfd", "syslog", "fanotify_init", "lookup_dcookie"),
    # files without a path
    *("open_by_handle_at", "name_to_handle_at"),
    # other processes' memory and descriptors
    *("process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd"),
    # the machine
    *("quotactl", "quotactl_fd", "swapon", "swapoff", "reboot", "sethostname", "setdomainname"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "iopl", "ioperm", "acct", "vhangup"),
    *("uselib", "nfsservctl", "_sysctl", "sysfs", "ustat"),
)
# Refused as if the kernel had never had them: programs and C libraries fall back to what can be filtered.
# POSIX message queues have names beside the file system, which Landlock does not see made or removed.
_ABSENT = (*("io_uring_setup", "io_uring_enter", "io_uring_register", "clone3", "mq_open", "mq_unlink"),)
# Likewise, unless they are asked for: to what System V shares a number is enough, so all of this user outside
# can be attached, taken and removed.
_SYSV = (
    *("shmget", "shmat", "shmctl", "shmdt", "msgget", "msgsnd", "msgrcv", "msgctl"),
    *("semget", "semop", "semtimedop", "semctl"),
)


# What changes a file's mode, owner, times or attributes, by its path or by a descriptor.
_METADATA = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat"),
    *("utime", "utimes", "futimesat", "utimensat"),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
)
_OPENING = ("open", "creat", "openat", "openat2")
_METADATA_ABSENT = ("setxattrat", "removexattrat", "file_setattr")


class Comparison(NamedTuple):
    """One condition on one argument of a system call.

    Attributes:
        argument: its position, from 0.
        operator: ``is`` (under ``mask``), ``is not`` or ``above`` (both the whole register).
        value: what it is compared with.
        mask: the bits that count, for ``is``.
    """

    argument: int
    operator: str
    value: int
    mask: int = _INT


NOTIFY = 0
"""The ``error`` of a rule that refuses nothing itself: whoever holds the filter's listener decides."""


class Rule(NamedTuple):
    """One system call that is refused with ``error``, or notified, when all comparisons hold."""

    call: str
    error: int
    comparisons: tuple[Comparison, ...] = ()


def rules(
    network: Network,
    *,
    listens: bool = False,
    unix_sockets: bool = False,
    metadata: bool = False,
    traces_execs: bool = False,
    opens: bool = False,
    sysv_ipc: bool = False,
) -> Iterator[Rule]:
    """Yield everything that the filter refuses or notifies; the rest is allowed.

    Args:
        network: the network mode.
        listens: whether there are ports to listen on, where that is ``ports``.
        unix_sockets: whether some UNIX sockets are granted.
        metadata: whether modes, owners, times and attributes of files are changed by whoever mediates.
        traces_execs: whether all of it is traced by the monitor, for which nothing else may trace.
        opens: whether whoever mediates sees each file that is opened.
        sysv_ipc: whether System V memory, semaphores and queues are there.
    """
    for call in _NEVER:
        yield Rule(call, errno.EPERM)
    if traces_execs:
        yield Rule("ptrace", errno.EPERM)
        # A process that is made so is not attached to its maker's tracer.
        yield Rule("clone", errno.EPERM, (Comparison(0, "is", _CLONE_UNTRACED, _CLONE_UNTRACED),))
    for call in _ABSENT if sysv_ipc else (*_ABSENT, *_SYSV):
        yield Rule(call, errno.ENOSYS)
    yield from _namespace_rules()
    yield from _other_process_rules()
    for request in (*_OF_TERMINALS, *_BTRFS_SUBVOLUMES, *_CHANGES_OF_FILES):
        yield Rule("ioctl", errno.EPERM, (Comparison(1, "is", request),))
    # A lease for writing takes no more than a descriptor for reading, and holds up whoever opens the file,
    # to read it as well, for up to 45 s. One for reading stays: nono itself holds programs still with it.
    lease = (Comparison(1, "is", _F_SETLEASE), Comparison(2, "is", _F_WRLCK))
    yield Rule("fcntl", errno.EACCES, lease)
    yield from _socket_rules(network, listens=listens, unix_sockets=unix_sockets)
    if metadata:
        yield from _metadata_rules()
    for call in _OPENING if opens else ():
        yield Rule(call, NOTIFY)


def _metadata_rules() -> Iterator[Rule]:
    for call in _METADATA:
        yield Rule(call, NOTIFY)
    for call in _METADATA_ABSENT:
        yield Rule(call, errno.ENOSYS)
    for request in (_FS_IOC_SETFLAGS, _FS_IOC_FSSETXATTR, _FAT_IOCTL_SET_ATTRIBUTES):
        yield Rule("ioctl", NOTIFY, (Comparison(1, "is", request),))


def _namespace_rules() -> Iterator[Rule]:
    for flag in _CLONE_NAMESPACES:
        yield Rule("clone", errno.EPERM, (Comparison(0, "is", flag, flag),))
    for flag in (*_CLONE_NAMESPACES, _CLONE_NEWTIME):
        yield Rule("unshare", errno.EPERM, (Comparison(0, "is", flag, flag),))


def _other_process_rules() -> Iterator[Rule]:
    for call in ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"):
        yield Rule(call, errno.EPERM, (Comparison(0, "is not", 0),))
    for call in ("migrate_pages", "move_pages"):
        yield Rule(call, errno.EPERM, (Comparison(0, "is not", 0),))
    for call, myself in (("setpriority", _PRIO_PROCESS), ("ioprio_set", _IOPRIO_WHO_PROCESS)):
        yield Rule(call, errno.EPERM, (Comparison(0, "is not", myself),))
        yield Rule(call, errno.EPERM, (Comparison(1, "is not", 0),))


# SOCK_STREAM is 1 (0b0001), SOCK_SEQPACKET 5 (0b0101): a type that is none of the two has one of these.
_NO_STREAM = (
    Comparison(1, "is", 0b0000, 0b0001),
    Comparison(1, "is", 0b0010, 0b0010),
    Comparison(1, "is", 0b1000, 0b1000),
)


def _socket_rules(network: Network, *, listens: bool, unix_sockets: bool) -> Iterator[Rule]:
    # A pair of stream sockets reaches nothing but itself. A datagram socket can be sent to any address,
    # and UNIX sockets make one of SOCK_RAW: of the types only these two stay.
    yield Rule("socketpair", errno.EACCES, (Comparison(0, "is not", _AF_UNIX),))
    for other in _NO_STREAM:
        yield Rule("socketpair", errno.EACCES, (other,))
    if unix_sockets:
        # Whatever the network: which kind of socket it is about is not seen here.
        for call in ("connect", "bind", "listen"):
            yield Rule(call, NOTIFY)
    if network is not Network.ALL:
        yield from _closed_network_rules(network, listens=listens, unix_sockets=unix_sockets)
        return
    if not unix_sockets:
        yield Rule("socket", errno.EACCES, (Comparison(0, "is", _AF_UNIX),))
    for other in _NO_STREAM if unix_sockets else ():
        yield Rule("socket", errno.EACCES, (Comparison(0, "is", _AF_UNIX), other))
    allowed = (_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK)
    for family in range(max(allowed)):
        if family not in allowed:
            yield Rule("socket", errno.EAFNOSUPPORT, (Comparison(0, "is", family),))
    yield Rule("socket", errno.EAFNOSUPPORT, (Comparison(0, "above", max(allowed)),))
    for family in (_AF_INET, _AF_INET6):
        raw = Comparison(1, "is", _SOCK_RAW, _SOCK_TYPE_MASK)
        yield Rule("socket", errno.EPERM, (Comparison(0, "is", family), raw))
    # getaddrinfo(3) asks the routing socket which addresses this host has.
    foreign = Comparison(2, "is not", _NETLINK_ROUTE)
    yield Rule("socket", errno.EAFNOSUPPORT, (Comparison(0, "is", _AF_NETLINK), foreign))


def _closed_network_rules(network: Network, *, listens: bool, unix_sockets: bool) -> Iterator[Rule]:
    # What is left to bind are the ends of a pair, and to those a name could be given, an abstract one as
    # well; and sockets of TCP, which listen on any port when they are told to without having one.
    if not unix_sockets:
        mediated = NOTIFY if listens else errno.EACCES
        yield Rule("bind", mediated)
        yield Rule("listen", mediated)
    # To connect by sending passes Landlock. Also where there are no sockets to be had: a standard stream may
    # be one. EOPNOTSUPP is what a system says that has it switched off.
    for call, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        yield Rule(call, errno.EOPNOTSUPP, (Comparison(flags, "is", _MSG_FASTOPEN, _MSG_FASTOPEN),))
    if network is Network.BLOCKED and not unix_sockets:
        yield Rule("socket", errno.EACCES)
        return
    # Landlock knows nothing of UDP and the others.
    for other in _NO_STREAM:
        yield Rule("socket", errno.EACCES, (other,))
    families = (_AF_INET, _AF_INET6) if network is Network.PORTS else ()
    known = (_AF_UNIX, *families) if unix_sockets else families
    for family in range(max(known)):
        if family not in known:
            yield Rule("socket", errno.EACCES, (Comparison(0, "is", family),))
    yield Rule("socket", errno.EACCES, (Comparison(0, "above", max(known)),))
    for family in families:
        packets = Comparison(1, "is", 0b0100, 0b0100)
        yield Rule("socket", errno.EACCES, (Comparison(0, "is", family), packets))
    if network is Network.BLOCKED:
        return
    # What another protocol is put onto (SMC) connects without Landlock. ENOENT: there is none of that name.
    above = (Comparison(1, "is", _IPPROTO_TCP), Comparison(2, "is", _TCP_ULP))
    yield Rule("setsockopt", errno.ENOENT, above)
    # Nor of multipath TCP: of the protocols only 0, which means TCP, and TCP itself stay.
    for protocol in range(1, _IPPROTO_TCP):
        yield Rule("socket", errno.EPROTONOSUPPORT, (Comparison(2, "is", protocol),))
    yield Rule("socket", errno.EPROTONOSUPPORT, (Comparison(2, "above", _IPPROTO_TCP),))


def build(
    network: Network,
    *,
    listens: bool = False,
    unix_sockets: bool = False,
    metadata: bool = False,
    traces_execs: bool = False,
    opens: bool = False,
    sysv_ipc: bool = False,
) -> bytes:
    """Return the BPF program of the rules; see :func:`rules`.

    Raises:
        EnforcementError: a machine that the tables were not written for, or a libseccomp that is too old.
        OSError: libseccomp failed.
    """
    machine = os.uname().machine
    if machine not in MACHINES:
        raise EnforcementError(f"the system call filter is not written for {machine}")
    built = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    # Only the native architecture is in the filter; i386 and x32 calls end the process.
    built.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    # A binary tree over the numbers rather than a list: every call that is allowed pays for the search.
    built.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, 2)
    asked = rules(
        network,
        listens=listens,
        unix_sockets=unix_sockets,
        metadata=metadata,
        traces_execs=traces_execs,
        opens=opens,
        sysv_ipc=sysv_ipc,
    )
    for rule in asked:
        call = number(rule.call)
        if call is not None:
            arguments = [_argument(comparison) for comparison in rule.comparisons]
            action = pyseccomp.NOTIFY if rule.error == NOTIFY else pyseccomp.ERRNO(rule.error)
            built.add_rule_exactly(action, call, *arguments)
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "w+b", buffering=0) as exported:
        built.export_bpf(exported)
        program = os.pread(descriptor, BPF_MAX_SIZE + 1, 0)
    return _unknown_calls_absent() + program


def number(name: str) -> int | None:
    """Return the number of a system call on this machine, or None if the machine never had it.

    Raises:
        EnforcementError: neither libseccomp nor this module knows the name.
    """
    found = int(pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name))
    if found >= 0:
        return found
    if found != -1:  # libseccomp's own number for a call of other architectures
        return None
    if name not in _NUMBERS:  # pyseccomp hands on the -1 unchecked
        raise EnforcementError(
            f"this libseccomp does not know the system call {name}", hint="install libseccomp 2.5.4 or newer"
        )
    return _NUMBERS[name]


def _argument(comparison: Comparison) -> pyseccomp.Arg:
    if comparison.operator == "is":
        return pyseccomp.Arg(comparison.argument, pyseccomp.MASKED_EQ, comparison.mask, comparison.value)
    operator = {"is not": pyseccomp.NE, "above": pyseccomp.GT}[comparison.operator]
    return pyseccomp.Arg(comparison.argument, operator, comparison.value)


def _unknown_calls_absent() -> bytes:
    """Return the instructions before libseccomp's, which has no rule for ranges of calls.

    Numbers with the x32 bit go on to libseccomp's own check, which ends the process. The architecture is
    checked after these; a foreign call that ends here has had no effect either.
    """
    load_word, jump_if_ge, jump_if_gt, give_back = 0x20, 0x35, 0x25, 0x06
    refuse_absent = 0x00050000 | errno.ENOSYS  # SECCOMP_RET_ERRNO
    return b"".join(
        (
            _instruction(load_word, 0, 0, 0),  # the number is the first member of seccomp_data
            _instruction(jump_if_ge, 2, 0, _X32_BIT),
            _instruction(jump_if_gt, 0, 1, NEWEST_KNOWN_CALL),
            _instruction(give_back, 0, 0, refuse_absent),
        )
    )


def _instruction(code: int, jump_true: int, jump_false: int, constant: int) -> bytes:
    """Return one ``struct sock_filter`` (linux/filter.h); every machine in ``MACHINES`` is little-endian."""
    return code.to_bytes(2, "little") + bytes((jump_true, jump_false)) + constant.to_bytes(4, "little")


def library() -> str:
    """Return the path of the file that libseccomp was loaded from, empty when /proc does not say."""
    with suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            if "/libseccomp.so" in line:
                return line.rstrip("\n").split(maxsplit=5)[5]
    return ""
