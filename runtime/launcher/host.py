"""Who launches, and where: the facts about user, host and supervisor that the intent records."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from attest import __version__, canonical
from store.open_sessions import Supervisor

if TYPE_CHECKING:
    from attest.canonical import Json

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


def user() -> dict[str, Json]:
    """Return the effective uid and gid, and the supplementary groups."""
    groups: list[Json] = [*sorted(os.getgroups())]
    return {"gid": os.getegid(), "groups": groups, "uid": os.geteuid()}


def host(landlock_abi: int) -> dict[str, Json]:
    """Return host name, boot, kernel release and Landlock ABI (0: none)."""
    names = os.uname()
    return {
        "boot_id": supervisor().boot_id,
        "kernel": names.release,
        "landlock_abi": landlock_abi,
        "name": canonical.text(os.fsencode(names.nodename)),
    }


def supervisor() -> Supervisor:
    """Return what tells this process from every other one; it is asked of the kernel once."""
    return _supervisor(os.getpid())


@functools.lru_cache(maxsize=1)
def _supervisor(_pid: int) -> Supervisor:
    return Supervisor(
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        pid_namespace=str(os.stat("/proc/self/ns/pid").st_ino),
        pid=os.getpid(),
        start_time=_start_time(),
    )


def supervisor_document() -> dict[str, Json]:
    """Return this process as the intent records it: version, pid, pid namespace, start time."""
    this = supervisor()
    return {
        "pid": this.pid,
        "pid_namespace": this.pid_namespace,
        "start_time": this.start_time,
        "version": __version__,
    }


os.register_at_fork(after_in_child=_supervisor.cache_clear)


def ledger_name() -> str:
    """Return the host name as the name part of an origin."""
    name = "".join(c if c in _NAME_CHARACTERS else "-" for c in os.uname().nodename.lower())
    return name[:100] or "host"


def _start_time() -> int:
    # proc_pid_stat(5): the second field is in parentheses and may hold anything, so count behind it.
    return int(_read("/proc/self/stat").rpartition(")")[2].split()[19])


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()
