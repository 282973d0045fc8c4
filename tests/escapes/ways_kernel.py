"""Ways through the kernel: other instruction sets, rings, namespaces, mounts, keys, calls nobody needs."""

from __future__ import annotations

from typing import TypeAlias

from tests.escapes.way import Way

_CALLS = "calls that nobody needs"
_NOWHERE = "1"  # no address: EFAULT
_FOREIGN = "x32 and i386"
_NAMESPACES = "namespaces"
_MOUNTS = "mounts"
_TERMINAL = "terminal injection"

_Answered: TypeAlias = "tuple[str, str, tuple[str, ...], str]"

# To these the kernel has an answer of its own for anybody: (topic, call, arguments, errno).
_ANSWERED: tuple[_Answered, ...] = (
    (_NAMESPACES, "setns", ("-1", "0"), "EBADF"),
    (_MOUNTS, "mount", (_NOWHERE, _NOWHERE, _NOWHERE, "0", "0"), "EFAULT"),
    (_MOUNTS, "umount2", (_NOWHERE, "0x40000000"), "EINVAL"),
    (_MOUNTS, "open_tree", ("-1", _NOWHERE, "0x40000000"), "EINVAL"),
    (_MOUNTS, "fsconfig", ("-1", "0", "0", "0", "0"), "EINVAL"),
    (_MOUNTS, "mount_setattr", ("-1", _NOWHERE, "0x40000000", "0", "0"), "EINVAL"),
    ("keys", "add_key", (_NOWHERE, "0", "0", "0", "0"), "EFAULT"),
    ("keys", "request_key", (_NOWHERE, "0", "0", "0"), "EFAULT"),
    ("keys", "keyctl", ("9999", "0", "0", "0", "0"), "EOPNOTSUPP"),
    ("bpf", "bpf", ("0", _NOWHERE, "4"), "EFAULT"),
    ("perf", "perf_event_open", (_NOWHERE, "0", "-1", "-1", "0"), "EFAULT"),
    ("handles", "name_to_handle_at", ("-1", _NOWHERE, _NOWHERE, _NOWHERE, "0x40000000"), "EINVAL"),
    (_CALLS, "sysfs", ("99", "0", "0"), "EINVAL"),
)
# To these only root gets an answer.
_ANSWERED_TO_ROOT: tuple[_Answered, ...] = (
    (_CALLS, "syslog", ("99", "0", "0"), "EINVAL"),
    (_MOUNTS, "move_mount", ("-1", _NOWHERE, "-1", _NOWHERE, "0x40000000"), "EINVAL"),
    (_MOUNTS, "pivot_root", (_NOWHERE, _NOWHERE), "EFAULT"),
    (_MOUNTS, "chroot", (_NOWHERE,), "EFAULT"),
    (_MOUNTS, "fsopen", (_NOWHERE, "0"), "EFAULT"),
    (_MOUNTS, "fspick", ("-1", _NOWHERE, "0x40000000"), "EINVAL"),
    (_MOUNTS, "fsmount", ("-1", "0x40000000", "0"), "EINVAL"),
    ("kexec", "kexec_load", ("0", "99", "0", "0x40000000"), "EINVAL"),
    ("kexec", "init_module", (_NOWHERE, "16", _NOWHERE), "ENOEXEC"),
    ("kexec", "finit_module", ("-1", _NOWHERE, "0x40000000"), "EINVAL"),
    ("handles", "open_by_handle_at", ("-1", _NOWHERE, "0"), "EFAULT"),
    (_CALLS, "swapon", (_NOWHERE, "0x40000000"), "EINVAL"),
    (_CALLS, "swapoff", (_NOWHERE,), "EFAULT"),
    (_CALLS, "reboot", ("1", "2", "3", "0"), "EINVAL"),
    (_CALLS, "sethostname", (_NOWHERE, "-1"), "EINVAL"),
    (_CALLS, "setdomainname", (_NOWHERE, "-1"), "EINVAL"),
    (_CALLS, "settimeofday", (_NOWHERE, "0"), "EFAULT"),
    (_CALLS, "clock_settime", ("0", _NOWHERE), "EFAULT"),
    (_CALLS, "clock_adjtime", ("0", _NOWHERE), "EFAULT"),
    (_CALLS, "adjtimex", (_NOWHERE,), "EFAULT"),
    (_CALLS, "acct", (_NOWHERE,), "EFAULT"),
    (_CALLS, "iopl", ("99",), "EINVAL"),
    (_CALLS, "ioperm", ("-1", "-1", "1"), "EINVAL"),
)
# Not every kernel was built with these, and not every machine ever had them.
_MAY_BE_ABSENT = ("ENOSYS",)


def _call(topic: str, call: str, arguments: tuple[str, ...], answer: str, ordinary: tuple[str, ...]) -> Way:
    return Way(
        topic,
        f"call-{call}",
        f"call `{call}(2)`",
        ("call", f"{{call:{call}}}", *arguments),
        outside=answer,
        ordinary=ordinary,
        lacking=_MAY_BE_ABSENT,
    )


_KINDS = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
_TIME = 0x00000080
_USER = 0x10000000
# Where the system gives them to root alone, or has none left.
_NO_USER_NAMESPACES = ("EPERM", "EACCES", "ENOSPC")
_NAMESPACE_WAYS = (
    *(
        Way(
            _NAMESPACES,
            f"unshare-{name}",
            f"unshare the {name} namespace",
            ("call", "{call:unshare}", hex(flag)),
            ordinary=("EPERM",),
            lacking=("EINVAL",),
        )
        for name, flag in (*_KINDS.items(), ("time", _TIME))
    ),
    *(
        Way(
            _NAMESPACES,
            f"clone-{name}",
            f"clone into a new {name} namespace",
            ("clone-flags", hex(flag)),
            ordinary=("EPERM",),
            lacking=("EINVAL",),
        )
        for name, flag in _KINDS.items()
    ),
    Way(
        _NAMESPACES,
        "unshare-user",
        "unshare the user namespace, which takes no root",
        ("call", "{call:unshare}", hex(_USER)),
        lacking=_NO_USER_NAMESPACES,
    ),
    Way(
        _NAMESPACES,
        "clone-user",
        "clone into a new user namespace",
        ("clone-flags", hex(_USER)),
        lacking=_NO_USER_NAMESPACES,
    ),
    Way(
        _NAMESPACES,
        "clone-user-with-a-dirty-register",
        "the same, with bits above those of the flags",
        ("clone-flags", hex(1 << 32 | _USER)),
        lacking=_NO_USER_NAMESPACES,
    ),
    Way(
        _NAMESPACES,
        "clone3-user",
        "clone into a new user namespace by `clone3(2)`",
        ("clone3", hex(_USER)),
        ends=("ENOSYS",),
        lacking=_NO_USER_NAMESPACES,
    ),
    Way(
        _NAMESPACES,
        "user-namespace-capability",
        "have every capability, in a user namespace of one's own",
        ("user-namespace-capability",),
        lacking=_NO_USER_NAMESPACES,
    ),
    Way(
        _NAMESPACES,
        "enter-mount",
        "enter the mount namespace of a process outside by its pidfd",
        ("enter", "{victim}", hex(_KINDS["mount"])),
        ordinary=("EPERM",),
    ),
    Way(
        _MOUNTS,
        "mount-in-a-namespace",
        "mount over a grant, in a mount namespace of one's own",
        ("mount-namespace", "{granted}"),
        ordinary=("EPERM",),
    ),
    Way(
        _MOUNTS,
        "mount-in-a-user-namespace",
        "the same, as root of a user namespace",
        ("user-namespace", "{granted}"),
        lacking=_NO_USER_NAMESPACES,
    ),
)

_FOREIGN_WAYS = (
    Way(
        _FOREIGN,
        "i386-getpid",
        "a call of i386, by `int 0x80` from 64-bit code",
        ("i386", "20", "0"),
        ends=("SIGSYS",),
        lacking=("SIGSEGV", "ENOSYS"),
        machine="x86_64",
    ),
    Way(
        _FOREIGN,
        "i386-mount",
        "`mount(2)` by its i386 number, which is another call to 64-bit code",
        ("i386-open", "{granted}"),
        ends=("SIGSYS",),
        outside="ENODEV",
        ordinary=("EPERM",),
        lacking=("SIGSEGV", "ENOSYS"),
        machine="x86_64",
    ),
    Way(
        _FOREIGN,
        "i386-code",
        "32-bit code in a 64-bit process, by a far call",
        ("far-code",),
        ends=("SIGSYS",),
        lacking=("SIGSEGV", "ENOSYS"),
        machine="x86_64",
    ),
    *(
        Way(
            _FOREIGN,
            f"x32-{name}",
            f"`{name}(2)` by its number of x32",
            ("call", hex(0x40000000 | number), *arguments),
            ends=("SIGSYS",),
            lacking=("ENOSYS",),
            machine="x86_64",
        )
        for name, number, arguments in (("getpid", 39, ()), ("socket", 41, ("1", "1", "0")))
    ),
)

_RING_WAYS = (
    Way(
        "io_uring",
        "ring-open",
        "have a ring open a file",
        ("ring", "{secret}"),
        ends=("ENOSYS",),
        lacking=("EPERM",),
    ),
    Way(
        "io_uring",
        "ring-enter",
        "enter a ring that somebody else made",
        ("call", "{call:io_uring_enter}", "-1", "0", "0", "0", "0", "0"),
        ends=("ENOSYS",),
        outside="EBADF",
        lacking=("EPERM",),
    ),
    Way(
        "io_uring",
        "ring-register",
        "register with a ring that somebody else made",
        ("call", "{call:io_uring_register}", "-1", "0", "0", "0"),
        ends=("ENOSYS",),
        outside="EINVAL",
        lacking=("EPERM",),
    ),
)

_OWN_FILTER = (
    Way(
        _CALLS,
        "filter-that-allows",
        "a filter of one's own that allows what nono's refuses",
        ("own-filter", "allow"),
        ends=("EACCES",),
    ),
    Way(
        _CALLS,
        "filter-that-asks",
        "a filter of one's own with a listener that lets the call go on",
        ("own-filter", "asked"),
        ends=("EACCES",),
    ),
)

_THINGS = (
    Way("keys", "key-add", "keep a key that outlives the launch", ("key",), lacking=("ENOSYS",)),
    Way("bpf", "bpf-map", "make a BPF map", ("bpf-map",), ordinary=("EPERM",), lacking=("ENOSYS",)),
    Way(
        "perf", "perf-self", "count events", ("perf", "0"), ordinary=("EACCES",), lacking=("ENOSYS", "EACCES")
    ),
    Way(
        "perf",
        "perf-other",
        "count events of a process outside",
        ("perf", "{victim}"),
        ordinary=("EACCES",),
        lacking=("ENOSYS", "EACCES"),
    ),
    Way(
        "handles",
        "handle-open",
        "open a file by its handle, which needs no path",
        ("handle", "{secret}", "{granted}"),
        ordinary=("EPERM",),
        lacking=("EOPNOTSUPP",),
    ),
    Way(
        "kexec",
        "kexec-file",
        "load another kernel by `kexec_file_load(2)`",
        ("call", "{call:kexec_file_load}", "-1", "-1", "0", "0", "0x40000000"),
        outside="EINVAL",
        ordinary=("EPERM",),
        lacking=("ENOSYS", "EPERM"),
    ),
    Way(
        _CALLS,
        "userfaultfd",
        "handle the page faults of whoever touches a page",
        ("call", "{call:userfaultfd}", "1"),
        lacking=("ENOSYS",),
    ),
    Way(
        _CALLS,
        "fanotify",
        "watch a whole file system",
        ("call", "{call:fanotify_init}", "0x200", "0"),
        lacking=("ENOSYS",),
    ),
)

_KEYS = tuple(
    Way(
        _TERMINAL,
        f"console-{name}",
        f"change {what} of the console, for whoever types there next",
        ("ioctl-of-standard-input", request),
        outside="ENOTTY",
        stdin="terminal",
    )
    for name, what, request in (
        ("key", "what a key means", "0x4b47"),
        ("string", "the string of a function key", "0x4b49"),
        ("accents", "the accents", "0x4b4b"),
        ("accents-2", "the accents, by the newer call,", "0x4bfb"),
        ("code", "the code of a key", "0x4b4d"),
    )
)
_TERMINAL_WAYS = tuple(
    Way(
        _TERMINAL,
        f"terminal-{how}{suffix}",
        f"{said}{more}",
        ("terminal", how, wide),
        outside=answer,
        lacking=("EIO",),
        stdin="terminal",
    )
    for how, said, answer in (
        ("type", "type into the terminal by `TIOCSTI`", "works"),
        ("paste", "paste into the console by `TIOCLINUX`", "ENOTTY"),
        ("discipline", "change the line discipline of the terminal by `TIOCSETD`", "works"),
    )
    for suffix, more, wide in (
        ("", "", "0"),
        ("-with-one-bit-above", ", with a bit above those of the request", hex(1 << 32)),
        ("-with-bits-above", ", with all bits above those of the request", hex(0xFFFFFFFF << 32)),
    )
)

WAYS = (
    *(_call(*row, ()) for row in _ANSWERED),
    *(_call(*row, ("EPERM",)) for row in _ANSWERED_TO_ROOT),
    *_NAMESPACE_WAYS,
    *_FOREIGN_WAYS,
    *_RING_WAYS,
    *_OWN_FILTER,
    *_THINGS,
    *_TERMINAL_WAYS,
    *_KEYS,
)
"""The rows."""
