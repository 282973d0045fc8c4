"""The supervisor and everything else outside cannot be signalled, read, traced or slowed down."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import resource
import signal
import struct
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Box

EPERM, EACCES = errno.EPERM, errno.EACCES
PTRACE_SEIZE, PTRACE_DETACH, PTRACE_ATTACH = 0x4206, 17, 16
NR = {
    "pidfd_getfd": 438,
    "pidfd_open": 434,
    "process_madvise": 440,
    "process_mrelease": 448,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "ptrace": 101,
    "prlimit64": 302,
    "ioprio_set": 251,
    "sched_setattr": 314,
    "sched_setscheduler": 144,
    "sched_setparam": 142,
    "sched_setaffinity": 203,
    "rt_sigqueueinfo": 129,
    "move_pages": 279,
    "migrate_pages": 256,
    "kcmp": 312,
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


def test_queueing_a_signal_to_an_outside_process(box: Box, raw_call: Callable[..., int]) -> None:
    # SI_QUEUE (-1): user space may claim it
    info = struct.pack("iii", signal.SIGCONT, 0, -1).ljust(128, b"\0")
    with box.victim() as victim:
        box.assert_closed(lambda: raw_call(NR["rt_sigqueueinfo"], victim, int(signal.SIGCONT), info), EPERM)


def test_signalling_an_outside_process_group(box: Box) -> None:
    with box.victim() as victim:
        assert os.getpgid(victim) == victim
        box.assert_closed(lambda: os.killpg(victim, signal.SIGCONT), EPERM)


def test_sigio_sent_by_the_kernel_on_our_behalf(box: Box) -> None:
    """F_SETOWN names who gets SIGIO (default: death); Landlock drops the signal silently."""

    def probe(victim: int) -> None:
        reader, writer = os.pipe()
        fcntl.fcntl(reader, fcntl.F_SETOWN, victim)
        fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        os.write(writer, b"x")

    for where, dies in ((box.inside, False), (box.outside, True)):
        with box.victim() as victim:
            where(functools.partial(probe, victim))
            time.sleep(0.1)
            with open(f"/proc/{victim}/stat", encoding="utf-8") as status:
                assert (status.read().rsplit(")", 1)[1].split()[0] == "Z") is dies


@pytest.mark.parametrize("request_", [PTRACE_SEIZE, PTRACE_ATTACH])
def test_tracing_an_outside_process(box: Box, raw_call: Callable[..., int], request_: int) -> None:
    with box.victim() as victim:
        box.assert_closed(lambda: raw_call(NR["ptrace"], request_, victim, 0, 0), EPERM)


@pytest.mark.parametrize("name", ["environ", "mem", "maps", "auxv", "syscall", "fd/0", "cwd/", "root/etc"])
def test_an_outside_process_in_proc(box: Box, name: str) -> None:
    def probe(victim: int) -> object:
        path = f"/proc/{victim}/{name}"
        if name == "fd/0":
            return os.readlink(path)
        if name.endswith("/") or name == "root/etc":
            return os.listdir(path)
        descriptor = os.open(path, os.O_RDONLY)
        if name == "mem":
            with open(f"/proc/{victim}/maps", encoding="utf-8") as maps:
                start = int(maps.readline().split("-")[0], 16)
            return len(os.pread(descriptor, 16, start))
        return len(os.read(descriptor, 16))

    with box.victim() as victim:
        box.assert_closed(lambda: probe(victim), EPERM, EACCES)


def test_the_secrets_in_an_outside_environment(box: Box) -> None:
    def probe(victim: int) -> None:
        with open(f"/proc/{victim}/environ", "rb") as file:
            assert b"of-the-supervisor" in file.read()

    with box.victim() as victim:
        box.assert_closed(lambda: probe(victim), EACCES)


def test_the_supervisors_own_environment_and_memory(box: Box) -> None:
    parent = os.getpid()
    for name in ("environ", "mem", "maps"):
        attempt = functools.partial(os.open, f"/proc/{parent}/{name}", os.O_RDONLY)
        assert box.inside(attempt).errno == EACCES


@pytest.mark.parametrize("name", ["process_vm_readv", "process_vm_writev"])
def test_the_memory_of_an_outside_process(box: Box, raw_call: Callable[..., int], name: str) -> None:
    def probe(victim: int, address: int) -> int:
        mine = ctypes.create_string_buffer(16)
        local = struct.pack("QQ", ctypes.addressof(mine), 16)
        remote = struct.pack("QQ", address, 16)
        return raw_call(NR[name], victim, local, 1, remote, 1, 0)

    with box.victim() as victim:
        with open(f"/proc/{victim}/maps", encoding="utf-8") as maps:
            stack = next(line for line in maps if line.endswith("[stack]\n"))
        end = int(stack.split()[0].split("-")[1], 16)
        box.assert_closed(lambda: probe(victim, end - 64), EPERM)


def test_the_descriptors_of_an_outside_process(box: Box, raw_call: Callable[..., int]) -> None:
    with box.victim() as victim:
        box.assert_closed(lambda: raw_call(NR["pidfd_getfd"], os.pidfd_open(victim), 0, 0), EPERM)


def test_advice_about_outside_memory(root_box: Box, raw_call: Callable[..., int]) -> None:
    with root_box.victim() as victim:
        vector = struct.pack("QQ", 0, 0)
        madvise = NR["process_madvise"]
        root_box.assert_closed(lambda: raw_call(madvise, os.pidfd_open(victim), vector, 0, 20, 0), EPERM)


def test_reaping_outside_memory(box: Box, raw_call: Callable[..., int]) -> None:
    release = NR["process_mrelease"]
    with box.victim() as victim:
        # The kernel's own answer is EINVAL, because it is not dying.
        box.assert_closed(
            lambda: raw_call(release, os.pidfd_open(victim), 0), EPERM, outside_errno=errno.EINVAL
        )


def test_the_pages_of_an_outside_process(box: Box, raw_call: Callable[..., int]) -> None:
    with box.victim() as victim:
        page = struct.pack("Q", 0)
        status = ctypes.create_string_buffer(4)

        def move() -> int:
            return raw_call(NR["move_pages"], victim, 1, page, 0, ctypes.addressof(status), 0)

        box.assert_closed(move, EPERM)
        nodes = struct.pack("Q", 1)
        box.assert_closed(lambda: raw_call(NR["migrate_pages"], victim, 64, nodes, nodes), EPERM)


def test_comparing_kernel_objects_with_an_outside_process(box: Box, raw_call: Callable[..., int]) -> None:
    with box.victim() as victim:
        box.assert_closed(lambda: raw_call(NR["kcmp"], os.getpid(), victim, 1, 0, 0), EPERM)


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
