"""Ways to the machine through files of the kernel's own."""

from __future__ import annotations

from tests.escapes.way import Way

_HELPERS = "helpers of the kernel that run outside"
_O_WRONLY = "1"

# What the kernel runs, as root and outside of every sandbox, when something happens that anybody can cause.
_RUN_BY_THE_KERNEL = (
    ("/proc/sys/kernel/core_pattern", "core-pattern", "what handles core files"),
    ("/proc/sys/kernel/modprobe", "modprobe", "what loads modules"),
    ("/sys/kernel/uevent_helper", "uevent-helper", "what hears of devices"),
    ("/proc/sys/fs/binfmt_misc/register", "binfmt-misc", "what interprets programs"),
    ("/proc/sysrq-trigger", "sysrq", "what the SysRq key does"),
    ("/proc/sys/kernel/hostname", "sysctl", "a setting of the kernel"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "sysfs", "a setting of the kernel in /sys"),
    ("/dev/kmsg", "kernel-log", "the log of the kernel"),
    ("/proc/sys/vm/drop_caches", "caches", "what is kept in memory"),
    ("/proc/sys/kernel/randomize_va_space", "randomisation", "where programs lie in memory"),
    ("/sys/fs/cgroup/cgroup.procs", "cgroup", "which control group a process is in"),
    ("/sys/kernel/tracing/trace_marker", "tracing", "what is traced"),
    ("/sys/kernel/tracing/kprobe_events", "probes", "where the kernel is probed"),
    ("/sys/power/state", "power", "whether the machine sleeps"),
)
_KERNEL_FILES = tuple(
    Way(
        _HELPERS,
        f"write-{name}",
        f"change {what}, by `{path}`",
        ("open", path, _O_WRONLY, "0"),
        ("EACCES", "ENOENT"),
        ordinary=("EACCES", "EPERM"),
        lacking=("ENOENT", "EROFS", "EPERM"),
    )
    for path, name, what in _RUN_BY_THE_KERNEL
)
_KERNEL_MEMORY = tuple(
    Way(
        "memory",
        f"read-{name}",
        f"read {what}, by `{path}`",
        ("open", path, "0", "0"),
        ("EACCES", "EPERM", "ENOENT"),
        ordinary=("EACCES", "EPERM"),
        lacking=("ENOENT", "EPERM", "ENXIO"),
    )
    for path, name, what in (
        ("/proc/kcore", "kernel-memory", "the memory of the kernel"),
        ("/dev/mem", "physical-memory", "the memory of the machine"),
        ("/dev/port", "ports-of-the-machine", "the ports of the machine"),
        ("/proc/kmsg", "kernel-messages", "the messages of the kernel"),
    )
)

# Nodes that lead past the file system, to the machine or to other programs. Not every machine has each.
_NODES = (
    *("/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop0", "/dev/loop-control", "/dev/mapper/control"),
    *("/dev/fuse", "/dev/net/tun", "/dev/kvm", "/dev/vhost-net", "/dev/vhost-vsock", "/dev/userfaultfd"),
    *("/dev/ptmx", "/dev/pts/ptmx", "/dev/tty0", "/dev/console", "/dev/uinput", "/dev/input/event0"),
    *("/dev/hidraw0", "/dev/tpm0", "/dev/dri/card0", "/dev/snd/controlC0", "/dev/cpu/0/msr", "/dev/rtc0"),
    *("/dev/autofs", "/dev/btrfs-control", "/dev/mem", "/dev/nvram"),
)
_DEVICES = tuple(
    Way(
        "devices",
        f"device{node.removeprefix('/dev').replace('/', '-')}",
        f"open `{node}`",
        ("open", node, "0", "0"),
        ("EACCES", "ENOENT"),
        ordinary=("EACCES", "EPERM"),
        lacking=("ENOENT", "ENXIO", "ENODEV", "EIO", "EBUSY", "EPERM", "ENOMEDIUM", "EINVAL"),
    )
    for node in _NODES
)

WAYS = (*_KERNEL_FILES, *_KERNEL_MEMORY, *_DEVICES)
"""The rows."""
