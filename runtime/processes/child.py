"""The forked child, between fork and exec: it restricts itself, reports, waits, and becomes the command.

Nothing is imported here after the fork, and nothing is allocated that could wait for a lock: the process
has one thread, and everything that it needs was made before. Whatever goes wrong is written to a pipe
and ends in ``os._exit``; no Python frame above this one ever runs again.
"""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

from attest.errors import NonoError
from attest.named_tuples import NamedTuple
from runtime.kernel import out_of_memory, own_limits, syscalls
from runtime.sandbox import enforcement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.broker.mediation import Handover
    from runtime.processes.pseudo_terminal import PseudoTerminal
    from runtime.sandbox.enforcement import Prepared

REPORT_BYTES = 65_536
"""The most that a report may hold."""

_NOT_STARTED = 125
_STANDARD_ERROR = 2


class Plan(NamedTuple):
    """What the child is to become.

    Attributes:
        prepared: its sandbox.
        image: descriptor of the file to execute.
        argv: its argument vector.
        environment: its variables.
        directory: descriptor of its start directory.
        signal_mask: the mask to restore.
        own_session: whether it gets a session of its own, without a terminal.
        limits: the caller's limits that nono has lifted for itself.
        oom_score: its place among those that are ended when memory runs out.
        bounds: the resource limits that the launch asks for.
        standard_error: descriptor that becomes its standard error, -1 for nono's own.
        terminal: its own terminal, None where its streams are nono's.
    """

    prepared: Prepared
    image: int
    argv: Sequence[bytes]
    environment: Mapping[bytes, bytes]
    directory: int
    signal_mask: frozenset[int]
    own_session: bool
    limits: Sequence[own_limits.Limit]
    oom_score: int
    bounds: Sequence[tuple[int, int]] = ()
    standard_error: int = -1
    terminal: PseudoTerminal | None = None


def run(plan: Plan, report: int, release: int, failure: int, handover: Handover | None = None) -> None:
    """Be the child; never returns.

    Args:
        plan: what to become.
        report: pipe to which the achieved features, or an error, are written, then closed.
        release: pipe from which one byte is awaited; its end means that nothing must run.
        failure: close-on-exec pipe to which the errno of a failed exec is written.
        handover: to the monitor, where it mediates calls of the command.
    """
    try:
        try:
            _restrict(plan, report, handover)
        finally:
            os.close(report)
        if os.read(release, 1) != b"\x01":
            os._exit(_NOT_STARTED)
        _execute(plan, failure)
    finally:
        os._exit(_NOT_STARTED)


def _restrict(plan: Plan, report: int, handover: Handover | None) -> None:
    try:
        if plan.terminal is not None:
            plan.terminal.become_streams()
        elif plan.own_session:
            # Not a group of its own alone: in the caller's session it could join the caller's group, and have
            # the kernel hang up on that (an orphaned process group with a stopped member, setpgid(2)).
            os.setsid()
        os.fchdir(plan.directory)
        if plan.standard_error >= 0:
            os.dup2(plan.standard_error, _STANDARD_ERROR)
        # What Python changed for itself; ignored signals that were inherited stay ignored.
        syscalls.take_default_action(signal.SIGPIPE)
        syscalls.take_default_action(signal.SIGXFSZ)
        out_of_memory.write(plan.oom_score)  # without it where /proc is read-only
        syscalls.close_range(3, flags=syscalls.CLOSE_RANGE_CLOEXEC)
        offer = None if handover is None else handover.offer
        achieved = enforcement.restrict_self(plan.prepared, offer)
    except NonoError as error:
        os.write(report, _document({"error": str(error), "code": error.code, "hint": error.hint}))
        os._exit(_NOT_STARTED)
    except OSError as error:
        os.write(report, _document({"error": f"the child cannot be set up: {error}"}))
        os._exit(_NOT_STARTED)
    os.write(report, _document({"achieved": achieved}))


def _document(report: dict[str, object]) -> bytes:
    return json.dumps(report).encode()


def _execute(plan: Plan, failure: int) -> None:
    syscalls.set_signal_mask(plan.signal_mask)
    try:
        own_limits.put_back(plan.limits)  # as late as possible: this process, too, has to end up there
        own_limits.lower(plan.bounds)
        os.execve(plan.image, list(plan.argv), plan.environment)
    except OSError as error:
        os.write(failure, b"%d" % (error.errno or 0))
    except ValueError:  # an argument or a variable that no program can be given
        os.write(failure, b"0")
