"""The ways out that are tried, one table. ``docs/escapes.md`` is written from it."""

from __future__ import annotations

import platform

from tests.escapes import (
    ways_execution,
    ways_files,
    ways_kernel,
    ways_machine,
    ways_network,
    ways_open,
    ways_processes,
)
from tests.escapes.scenarios import SCENARIOS

WAYS = tuple(
    way
    for part in (ways_processes, ways_execution, ways_kernel, ways_network, ways_files, ways_machine)
    for way in part.WAYS
)
"""What one process can try alone; each is shown to work outside and to fail inside."""

HERE = tuple(way for way in WAYS if way.machine in ("", platform.machine()))
"""Those that this machine can try."""

OPEN = ways_open.OPEN
"""What is open, and said to be; each is shown to work inside."""

TOPICS = (
    "ptrace",
    "/proc of others",
    "memory",
    "descriptors",
    "memfd and loader exec",
    "io_uring",
    "x32 and i386",
    "abstract and pathname sockets",
    "signals",
    "priorities and limits of the supervisor",
    "setsid survivors",
    "inherited descriptors",
    "terminal injection",
    "namespaces",
    "mounts",
    "keys",
    "bpf",
    "perf",
    "kexec",
    "handles",
    "pidfd_getfd",
    "process_vm_writev",
    "files outside of the grants",
    "modes, owners, times and attributes",
    "hard links",
    "renames across grants",
    "FIFO and symlink swaps",
    "the executable between hash and exec",
    "what nono imports",
    "the disk filled",
    "the decisions flooded",
    "the ledger and its modes",
    "the network when it is closed",
    "MPTCP",
    "MSG_FASTOPEN",
    "listen without bind",
    "vsock",
    "netlink",
    "raw",
    "calls that nobody needs",
    "helpers of the kernel that run outside",
    "devices",
    "set-uid programs",
)
"""Their order on the page. Every one has a row."""

OF_AN_AGENT = tuple(
    next(way for way in HERE if way.topic == topic)
    for topic in TOPICS
    if any(way.topic == topic for way in HERE)
)
"""Those that are tried once more in the profile of an agent."""

__all__ = ["HERE", "OF_AN_AGENT", "OPEN", "SCENARIOS", "TOPICS", "WAYS"]
