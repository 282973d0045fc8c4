"""No new privileges, and as root only the few that file work needs.

A root child with its usual capabilities could read the supervisor's memory and environment, load
modules, mount, or send raw packets; Landlock's own ptrace rule gives way to CAP_PERFMON. So every set is
cut to ``KEPT``. Under no_new_privs an exec can never raise the permitted set again, not even for uid 0
(capabilities(7)), hence the cut also holds where the bounding set could not be lowered for want of
CAP_SETPCAP.
"""

from __future__ import annotations

from attest.named_tuples import NamedTuple
from runtime.kernel import syscalls

# linux/capability.h: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID.
KEPT = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7
_SETPCAP = 1 << 8
_AUDIT_READ = 1 << 37


class Privileges(NamedTuple):
    """What the calling thread has, as read from the kernel.

    Attributes:
        no_new_privs: set-uid bits and file capabilities mean nothing to it any more.
        held: the union of its effective, permitted and inheritable capabilities (ambient ones are
            always in both of the latter), a bit mask.
    """

    no_new_privs: bool
    held: int

    @property
    def cut(self) -> bool:
        """Whether nothing beyond ``KEPT`` is held, or can come back by an exec."""
        return self.no_new_privs and not self.held & ~KEPT


def may_read_audit() -> bool:
    """Return whether the calling thread may hear the kernel's audit stream (CAP_AUDIT_READ)."""
    return bool(syscalls.capget()[0] & _AUDIT_READ)


def read() -> Privileges:
    """Return what the calling thread has.

    Raises:
        OSError: the kernel refused.
    """
    effective, permitted, inheritable = syscalls.capget()
    unprivileged = syscalls.prctl(syscalls.PR_GET_NO_NEW_PRIVS) == 1
    return Privileges(unprivileged, effective | permitted | inheritable)


def renounce() -> Privileges:
    """Set no_new_privs, cut every capability set to ``KEPT``, and return what is left, read back.

    The bounding set is lowered where CAP_SETPCAP allows it.

    Raises:
        OSError: the kernel refused.
    """
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    effective, permitted, inheritable = syscalls.capget()
    if effective & _SETPCAP:
        syscalls.lower_bounding_set(KEPT)
    syscalls.capset(effective & KEPT, permitted & KEPT, inheritable & KEPT)
    return read()
