"""Ways to other processes: tracing, signals, limits, priorities, /proc, memory, descriptors, survivors."""

from __future__ import annotations

from tests.escapes.way import IN_VAIN, Way

_PTRACE = "ptrace"
_SIGNALS = "signals"
_LIMITS = "priorities and limits of the supervisor"
_PROC = "/proc of others"
_MEMORY = "memory"
_DESCRIPTORS = "descriptors"
_SURVIVORS = "setsid survivors"

_SENT = {
    "kill": "`kill(2)`",
    "group": "`kill(2)` to its process group",
    "tkill": "`tkill(2)`",
    "tgkill": "`tgkill(2)`",
    "sigqueue": "`rt_sigqueueinfo(2)`",
    "tgsigqueue": "`rt_tgsigqueueinfo(2)`",
    "pidfd": "`pidfd_send_signal(2)`",
    "proc-pidfd": "`pidfd_send_signal(2)` to a directory of /proc",
}
_OWNED = {
    "process": "`F_SETOWN` and `O_ASYNC` on a socket",
    "group": "`F_SETOWN` of its process group",
    "thread": "`F_SETOWN_EX` of its thread",
    "extended-group": "`F_SETOWN_EX` of its process group",
    "ioctl": "`FIOSETOWN`",
    "dnotify": "`F_NOTIFY` on a directory",
    "lease": "a lease that is broken",
}
_SIGNALLING = (
    *(
        Way(
            _SIGNALS,
            f"end-by-{how}",
            f"end a process outside by {said}",
            ("end", how, "{victim}", "{patience}"),
        )
        for how, said in _SENT.items()
    ),
    Way(
        _SIGNALS,
        "end-by-pidfd-group",
        "end a process group outside by `PIDFD_SIGNAL_PROCESS_GROUP`",
        ("end", "pidfd-group", "{victim}", "{patience}"),
        lacking=("EINVAL",),
    ),
    *(
        Way(
            _SIGNALS,
            f"own-{how}",
            f"have the kernel end a process outside by {said}",
            ("owner", how, "{victim}", "{granted}", "{patience}"),
            ends=(IN_VAIN,),
        )
        for how, said in _OWNED.items()
    ),
)

_SUPERVISORS = {"monitor": "the monitor", "nono": "nono"}
_HARMLESS = {
    "signal": (_SIGNALS, "send a signal to {}", ("EPERM",)),
    "continue": (_SIGNALS, "wake {} when it is stopped", ("EPERM",)),
    "limit": (_LIMITS, "set the limits of {}", ("EPERM",)),
    "priority": (_LIMITS, "set the priority of {}", ("EPERM",)),
    "scheduler": (_LIMITS, "set how {} is scheduled", ("EPERM",)),
    "affinity": (_LIMITS, "set where {} runs", ("EPERM",)),
    "environ": (_PROC, "read the environment of {}", ("EACCES",)),
    "mem": (_PROC, "read the memory of {}", ("EACCES",)),
    "exe": (_PROC, "open the program of {}, to write to it later", ("EACCES",)),
    "cwd": (_PROC, "open the directory of {}", ("EACCES",)),
    "root": (_PROC, "open the root of {}", ("EACCES",)),
    "descriptor": (_DESCRIPTORS, "take a descriptor of {}", ("EPERM",)),
}
# Where Yama lets only parents trace, an ordinary user does not get at these outside either.
_TRACED = frozenset(("mem", "descriptor"))
_SUPERVISOR = tuple(
    Way(
        topic,
        f"{who}-{how}",
        said.format(name),
        ("supervisor", who, how),
        ends=ends,
        ordinary=ends if how in _TRACED else (),
    )
    for who, name in _SUPERVISORS.items()
    for how, (topic, said, ends) in _HARMLESS.items()
)

_SLOWED = {
    "nice": "its priority",
    "nice-group": "the priority of its group",
    "io": "its I/O priority",
    "io-group": "the I/O priority of its group",
    "scheduler": "its scheduler",
    "parameter": "its scheduling parameters",
    "attributes": "its scheduling attributes",
    "affinity": "the processors it may use",
}
_SLOWING = tuple(
    Way(_LIMITS, f"slow-down-{how}", f"set {said}, of a process outside", ("slow-down", how, "{victim}"))
    for how, said in _SLOWED.items()
)
_WIDE = str(7 << 32)
_LIMITED = (
    Way(
        _LIMITS,
        "limit-file-size",
        "lower how large a file a process outside may write",
        ("limit", "1", "{victim}"),
    ),
    Way(_LIMITS, "limit-cpu-time", "lower the CPU time of a process outside", ("limit", "0", "{victim}")),
    Way(_LIMITS, "limit-open-files", "lower the open files of a process outside", ("limit", "7", "{victim}")),
    Way(_LIMITS, "limit-read", "read the limits of a process outside", ("read-limit", "{victim}")),
    Way(
        _LIMITS,
        "limit-with-a-dirty-register",
        "the same, with bits above those of a pid",
        ("call", "{call:prlimit64}", "{wide:victim}", "7", "0", "&16"),
    ),
    Way(
        _LIMITS,
        "affinity-with-a-dirty-register",
        "set the processors of a process outside, with bits above those of a pid",
        ("call", "{call:sched_setaffinity}", "{wide:victim}", "8", "{mask}"),
        outside="works",
    ),
)

_TRACING = (
    Way(_PTRACE, "trace-attach", "attach to a process outside", ("trace", "attach", "{victim}")),
    Way(
        _PTRACE, "trace-seize", "seize a process outside without stopping it", ("trace", "seize", "{victim}")
    ),
    Way(
        _PTRACE,
        "trace-to-rewrite-a-call",
        "trace a child, and make a refused call of one that was allowed",
        ("rewritten",),
        ends=("EACCES",),
        machine="x86_64",
    ),
)

_READ_IN_PROC = (
    *("environ", "maps", "smaps", "numa_maps", "auxv", "syscall", "pagemap", "timers", "io", "personality"),
    *("stack", "task/{victim}/environ"),
)
_PROC_ROOT = {"stack"}
_WRITTEN_IN_PROC = ("oom_score_adj", "clear_refs", "coredump_filter", "comm", "timerslack_ns", "attr/current")
_PROC_WAYS = (
    *(
        Way(
            _PROC,
            f"proc-{name.replace('{victim}', 'tid').replace('/', '-')}",
            f"read `/proc/PID/{name.replace('{victim}', 'TID')}` of a process outside",
            ("proc", "read", f"/proc/{{victim}}/{name}"),
            ends=("EPERM", "EACCES", "ENOENT"),
            ordinary=("EACCES", "EPERM") if name in _PROC_ROOT else (),
            lacking=("ENOENT",),
        )
        for name in _READ_IN_PROC
    ),
    *(
        Way(
            _PROC,
            f"proc-{name.replace('/', '-')}",
            f"read the link `/proc/PID/{name}` of a process outside",
            ("proc", "link", f"/proc/{{victim}}/{name}"),
            ends=("EPERM", "EACCES"),
        )
        for name in ("exe", "cwd", "root", "fd/0", "ns/mnt")
    ),
    *(
        Way(
            _PROC,
            f"proc-list-{name}",
            f"list `/proc/PID/{name}` of a process outside",
            ("proc", "list", f"/proc/{{victim}}/{name}/."),
            ends=("EPERM", "EACCES"),
        )
        for name in ("map_files", "cwd", "root")
    ),
    Way(
        _PROC,
        "proc-through-root",
        "read the secret through `/proc/PID/root` of a process outside",
        ("proc", "secret", "/proc/{victim}/root{secret}"),
        ends=("EPERM", "EACCES"),
    ),
    Way(
        _PROC,
        "proc-through-a-descriptor",
        "read the secret through `/proc/PID/fd` of a process outside",
        ("proc", "secret", "/proc/{victim}/fd/{descriptor}"),
        ends=("EPERM", "EACCES"),
    ),
    *(
        Way(
            _PROC,
            f"proc-write-{name.replace('/', '-')}",
            f"open `/proc/PID/{name}` of a process outside for writing",
            ("proc", "write", f"/proc/{{victim}}/{name}"),
            ends=("EPERM", "EACCES", "ENOENT"),
            lacking=("ENOENT",),
        )
        for name in _WRITTEN_IN_PROC
    ),
)

_OF_A_PIDFD = (
    Way(
        _DESCRIPTORS,
        "pidfd-namespace",
        "take a descriptor of the mount namespace of a process outside, by its pidfd",
        ("namespace-of", "{victim}", "0xff03"),
        ends=("EACCES", "EPERM"),
        lacking=("ENOTTY",),
    ),
    Way(
        _MEMORY,
        "share-core",
        "have a process outside run beside oneself on a core, to listen to it",
        ("share-core", "{victim}"),
        ends=("EPERM", "EINVAL", "ENODEV"),
        lacking=("EINVAL", "ENODEV"),
    ),
)

_OF_ITS = ("{victim}", "{address}")
_MEMORY_WAYS = (
    Way(
        _MEMORY,
        "memory-read",
        "read the memory of a process outside by `process_vm_readv(2)`",
        ("read-memory", *_OF_ITS),
    ),
    Way(
        "process_vm_writev",
        "memory-write",
        "write the memory of a process outside by `process_vm_writev(2)`",
        ("write-memory", *_OF_ITS),
    ),
    Way(
        _MEMORY,
        "memory-read-by-proc",
        "read the memory of a process outside by `/proc/PID/mem`",
        ("proc-memory", *_OF_ITS, "r"),
        ends=("EPERM", "EACCES"),
    ),
    Way(
        _MEMORY,
        "memory-write-by-proc",
        "write the memory of a process outside by `/proc/PID/mem`",
        ("proc-memory", *_OF_ITS, "w"),
        ends=("EPERM", "EACCES"),
    ),
    Way(
        _MEMORY,
        "memory-advise",
        "page out the memory of a process outside by `process_madvise(2)`",
        ("advise", *_OF_ITS),
        ordinary=("EPERM",),
    ),
    Way(
        _MEMORY,
        "memory-reap",
        "take the memory of a process outside away by `process_mrelease(2)`",
        ("reap", "{victim}"),
        outside="EINVAL",
        lacking=("ENOSYS",),
    ),
    Way(
        _MEMORY,
        "memory-move-pages",
        "ask where the pages of a process outside lie, by `move_pages(2)`",
        ("move-pages", "{victim}"),
        lacking=("ENOSYS",),
    ),
    Way(
        _MEMORY,
        "memory-migrate-pages",
        "move the pages of a process outside by `migrate_pages(2)`",
        ("migrate-pages", "{victim}"),
        lacking=("ENOSYS",),
    ),
    Way(
        _MEMORY,
        "memory-compare",
        "compare kernel objects with a process outside by `kcmp(2)`",
        ("compare", "{victim}"),
        lacking=("ENOSYS",),
    ),
    Way(
        _MEMORY,
        "memory-robust-list",
        "find the locks of a process outside by `get_robust_list(2)`",
        ("robust-list", "{victim}"),
    ),
    Way(
        "pidfd_getfd",
        "descriptor-take",
        "take an open descriptor out of a process outside by `pidfd_getfd(2)`",
        ("take-descriptor", "{victim}", "{descriptor}"),
    ),
)

_SHARED = (
    Way(
        _MEMORY,
        "shared-memory",
        "attach the System V shared memory of a process outside",
        ("shared-memory", "{shared}"),
        ends=("ENOSYS",),
    ),
    Way(
        _MEMORY,
        "message-queue",
        "take a message that is meant for a process outside, from its System V queue",
        ("message-queue", "{queue}"),
        ends=("ENOSYS",),
    ),
    Way(
        _MEMORY,
        "semaphore",
        "change a System V semaphore of a process outside",
        ("semaphore", "{semaphore}"),
        ends=("ENOSYS",),
    ),
    Way(_MEMORY, "list-ipc", "list what everybody shares by System V", ("list-ipc",), ends=("ENOSYS",)),
    Way(
        _MEMORY,
        "posix-queue",
        "make and remove a POSIX message queue, which has a name beside the file system",
        ("posix-queue",),
        ends=("ENOSYS",),
        lacking=("ENOSYS",),
    ),
)

_LEFT = {
    "session": "a child in a session of its own",
    "group": "a child in a process group of its own",
    "daemon": "a grandchild in a session of its own, as daemons have",
    "subreaper": "a grandchild whose own subreaper ends with the command",
    "sibling": "a sibling, by `CLONE_PARENT`",
    "silent": "a child that ends without a signal",
    "untraced": "a child that no tracer follows",
    "deaf": "a child that ignores every signal that can be",
    "hidden": "a child that is not dumpable",
    "thread": "a child whose first thread has ended, which looks like a zombie",
    "vfork": "a child that waits for its own in `vfork(2)`",
    "stopped": "a child that is stopped",
}
_LEAVING = tuple(
    Way(_SURVIVORS, f"survive-{how}", f"outlive the launch: {said}", ("survive", how), ends=(IN_VAIN,))
    for how, said in _LEFT.items()
)

WAYS = (
    *_SIGNALLING,
    *_SUPERVISOR,
    *_SLOWING,
    *_LIMITED,
    *_TRACING,
    *_PROC_WAYS,
    *_MEMORY_WAYS,
    *_SHARED,
    *_OF_A_PIDFD,
    *_LEAVING,
)
"""The rows."""
