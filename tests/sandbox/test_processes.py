"""What is outside cannot be signalled or slowed down by what wants more than one call.

What one call does is in the table of :mod:`tests.escapes.ways_processes`.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Box

EPERM, EACCES = errno.EPERM, errno.EACCES
PTRACE_SEIZE, PTRACE_DETACH, PTRACE_ATTACH = 0x4206, 17, 16
NR = {
    "ptrace": 101,
    "prlimit64": 302,
    "ioprio_set": 251,
    "sched_setattr": 314,
    "sched_setscheduler": 144,
    "sched_setparam": 142,
    "sched_setaffinity": 203,
}
IOPRIO_IDLE = 3 << 13


def test_signalling_an_outside_process(box: Box) -> None:
    with box.victim() as victim:
        box.assert_closed(lambda: os.kill(victim, signal.SIGCONT), EPERM)
        box.assert_closed(lambda: os.kill(victim, 0), EPERM)
        box.assert_closed(lambda: signal.pidfd_send_signal(os.pidfd_open(victim), signal.SIGCONT), EPERM)


def test_signalling_the_supervisor(root_box: Box) -> None:
    """The parent of the restricted process, of the same user, as in a launch."""
    root_box.assert_closed(lambda: os.kill(os.getppid(), 0), EPERM)


def test_the_limits_of_an_outside_process(box: Box, raw_call: Callable[..., int]) -> None:
    limit = struct.pack("QQ", 0, 4096)
    with box.victim() as victim:
        box.assert_closed(lambda: resource.prlimit(victim, resource.RLIMIT_NOFILE), EPERM)
        box.assert_closed(
            lambda: raw_call(NR["prlimit64"], victim, resource.RLIMIT_FSIZE, limit, None), EPERM
        )
        # The upper half of the register is not part of a pid.
        box.assert_closed(
            lambda: raw_call(NR["prlimit64"], 7 << 32 | victim, resource.RLIMIT_FSIZE, limit, None), EPERM
        )


def test_the_priority_of_an_outside_process(box: Box) -> None:
    with box.victim() as victim:
        box.assert_closed(lambda: os.setpriority(os.PRIO_PROCESS, victim, 19), EPERM)
        group = os.getpgid(victim)
        box.assert_closed(lambda: os.setpriority(os.PRIO_PGRP, group, 19), EPERM, EACCES)


def test_the_priority_of_everything_of_the_user(box: Box) -> None:
    if box.uid == os.geteuid():  # outside, the probe would slow down the tests and all that runs beside them
        assert box.inside(lambda: os.setpriority(os.PRIO_USER, 0, 19)).errno == EPERM
        return
    with box.victim() as victim:
        box.assert_closed(lambda: os.setpriority(os.PRIO_USER, 0, 19), EPERM)
        box.assert_closed(lambda: os.setpriority(os.PRIO_USER, box.uid, 19), EPERM)
        assert os.getpriority(os.PRIO_PROCESS, victim) == 19  # so the probe did work outside


def test_the_io_priority_of_an_outside_process(box: Box, raw_call: Callable[..., int]) -> None:
    with box.victim() as victim:
        box.assert_closed(lambda: raw_call(NR["ioprio_set"], 1, victim, IOPRIO_IDLE), EPERM)
        group = os.getpgid(victim)
        box.assert_closed(lambda: raw_call(NR["ioprio_set"], 2, group, IOPRIO_IDLE), EPERM)


def test_the_scheduling_of_an_outside_process(box: Box, raw_call: Callable[..., int]) -> None:
    batch = 3  # SCHED_BATCH, which everybody may choose
    zero = struct.pack("i", 0)
    attributes = struct.pack("IIQiIQQQ", 48, batch, 0, 0, 0, 0, 0, 0)
    mask = struct.pack("Q", 1)
    with box.victim() as victim:
        box.assert_closed(lambda: raw_call(NR["sched_setscheduler"], victim, batch, zero), EPERM)
        box.assert_closed(lambda: raw_call(NR["sched_setparam"], victim, zero), EPERM)
        box.assert_closed(lambda: raw_call(NR["sched_setattr"], victim, attributes, 0), EPERM)
        box.assert_closed(lambda: raw_call(NR["sched_setaffinity"], victim, 8, mask), EPERM)
        wide = 5 << 32 | victim
        box.assert_closed(lambda: raw_call(NR["sched_setaffinity"], wide, 8, mask), EPERM)


def test_ones_own_limits_priority_and_scheduling_stay(box: Box, raw_call: Callable[..., int]) -> None:
    def probe() -> list[int]:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.prlimit(0, resource.RLIMIT_NOFILE, (64, 64))
        os.sched_setaffinity(0, os.sched_getaffinity(0))
        raw_call(NR["ioprio_set"], 1, 0, IOPRIO_IDLE)
        os.setpriority(os.PRIO_PROCESS, 0, 5)
        return [os.nice(1), *resource.getrlimit(resource.RLIMIT_NOFILE)]

    box.assert_open(probe)


def test_a_debugger_inside_still_works(box: Box, raw_call: Callable[..., int]) -> None:
    """Tracing, signalling and reading one's own children stays (strace, gdb, LeakSanitizer)."""

    def probe() -> str:
        ready, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(tell, b"x")
            while True:
                signal.pause()
        os.read(ready, 1)
        raw_call(NR["ptrace"], PTRACE_ATTACH, child, 0, 0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSTOPPED(status)
        with open(f"/proc/{child}/maps", encoding="utf-8") as maps:
            assert maps.readline()
        raw_call(NR["ptrace"], PTRACE_DETACH, child, 0, 0)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        return signal.Signals(os.WTERMSIG(status)).name

    box.assert_open(probe)
