"""The limits of nono itself (getrlimit(2)): those that its caller has set are meant for the command.

They are inherited by whoever keeps the record as well, and a command can use up what is left to them. It
makes orphans until the monitor, which has to reap each, is over RLIMIT_CPU; it waits until others have
written so much that the end of its own record lies beyond RLIMIT_FSIZE. So nono lifts what it may lift, for
itself and the monitor: the soft limit to the hard one, and as root the hard one as well. The child has the
caller's limits again before it becomes the command, and so has a hook.

Where the hard limit of an ordinary user is too low, the ledger refuses the launch (RLIMIT_FSIZE), or the
monitor is lost (RLIMIT_CPU), and the outcome says how that ended.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from runtime.kernel import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# asm-generic/resource.h
_CPU, _FSIZE, _DATA, _NPROC, _NOFILE, _AS = 0, 1, 2, 6, 7, 9


# Not a NamedTuple: making one costs each launch a tenth of a millisecond.
Limit = tuple[int, int, int]
"""One limit of the caller: what is limited (a number of asm-generic/resource.h), the soft limit, which is in
force, and the hard one, up to which an ordinary user may raise that."""


def lift() -> tuple[Limit, ...]:
    """Lift the limits of this process as far as it may; return those that were changed, as they were."""
    changed = []
    none = syscalls.RLIM_INFINITY
    for resource in (_CPU, _FSIZE, _DATA, _NPROC, _NOFILE, _AS):
        soft, hard = syscalls.getrlimit(resource)
        if soft == none:
            continue
        if _set(resource, none, none) or (soft != hard and _set(resource, hard, hard)):
            changed.append((resource, soft, hard))
    return tuple(changed)


def put_back(limits: Sequence[Limit]) -> None:
    """Set limits to what they were.

    Raises:
        OSError: the kernel refused.
    """
    for limit in limits:
        syscalls.setrlimit(*limit)


def lower(bounds: Sequence[tuple[int, int]]) -> None:
    """Set limits of this process, soft and hard, to these bounds, or leave them where they are lower.

    Args:
        bounds: of each the resource, and the most that it may be.

    Raises:
        OSError: the kernel refused.
    """
    for resource, most in bounds:
        soft, hard = syscalls.getrlimit(resource)
        syscalls.setrlimit(resource, min(soft, most), min(hard, most))


@contextlib.contextmanager
def as_before(limits: Sequence[Limit]) -> Iterator[None]:
    """Have the limits put back meanwhile: for what is started that is neither nono nor the command."""
    put_back(limits)
    try:
        yield
    finally:
        lift()


def _set(resource: int, soft: int, hard: int) -> bool:
    try:
        syscalls.setrlimit(resource, soft, hard)
    except OSError:  # the hard limit needs CAP_SYS_RESOURCE, and that of open files has an end for everybody
        return False
    return True
