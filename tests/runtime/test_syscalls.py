"""The ctypes room: each wrapper against the kernel itself."""

from __future__ import annotations

import errno
import json
import os
import signal
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.kernel import syscalls


def test_an_error_carries_its_errno_and_the_calls_name() -> None:
    with pytest.raises(OSError, match="prctl: Invalid argument") as caught:
        syscalls.prctl(9999)
    assert caught.value.errno == errno.EINVAL


def test_a_signalfd_tells_signals_and_senders_apart() -> None:
    """In a process of its own: a test runner's other threads do not block the signals."""
    tester = os.fork()
    if tester == 0:
        code = 1
        try:
            read_signals_from_a_child()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(tester, 0)[1]) == 0


def read_signals_from_a_child() -> None:
    wanted = frozenset((signal.SIGUSR1, signal.SIGCHLD, signal.SIGRTMAX))
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    descriptor = syscalls.signalfd(wanted)
    assert syscalls.read_signals(descriptor) == []
    assert not os.get_inheritable(descriptor)
    child = os.fork()
    if child == 0:
        os.kill(os.getppid(), signal.SIGUSR1)
        os._exit(7)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    os.kill(os.getpid(), signal.SIGRTMAX)
    found = {info.signal: (info.code, info.pid) for info in syscalls.read_signals(descriptor)}
    assert found == {
        signal.SIGUSR1: (0, child),  # SI_USER
        signal.SIGCHLD: (os.CLD_EXITED, child),
        signal.SIGRTMAX: (0, os.getpid()),
    }


def test_the_signal_mask_is_what_it_was_set_to() -> None:
    """In a process of its own, as above."""
    reader, writer = os.pipe()
    tester = os.fork()
    if tester == 0:
        try:
            syscalls.block_all_signals()
            everything = signal.pthread_sigmask(signal.SIG_BLOCK, ())
            syscalls.set_signal_mask({signal.SIGUSR1, signal.SIGRTMAX})
            os.write(writer, json.dumps([sorted(everything), sorted(signal.pthread_sigmask(0, ()))]).encode())
        finally:
            os._exit(0)
    os.waitpid(tester, 0)
    os.close(writer)
    with open(reader, encoding="ascii") as file:
        everything, two = json.load(file)
    assert everything == sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
    assert two == [signal.SIGUSR1, signal.SIGRTMAX]


def test_a_signal_that_was_ignored_does_what_it_does_by_default() -> None:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        syscalls.take_default_action(signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGUSR1


def test_what_has_no_other_action_cannot_be_given_its_default() -> None:
    with pytest.raises(OSError, match="signal: Invalid argument"):
        syscalls.take_default_action(signal.SIGKILL)


def test_a_mask_of_what_is_no_signal_is_refused() -> None:
    with pytest.raises(ValueError, match="no such signal: 65"):
        syscalls.set_signal_mask({65})


@given(st.integers(0, (1 << 32) - 1), st.integers(-(1 << 31), (1 << 31) - 1), st.integers(0, (1 << 32) - 1))
def test_signal_information_is_read_as_the_kernel_lays_it_out(number: int, code: int, pid: int) -> None:
    info = syscalls.parse_signal_info(struct.pack("@IiiI", number, 0, code, pid).ljust(128, b"\xff"))
    assert (info.signal, info.code, info.pid) == (number, code, pid)


@pytest.mark.parametrize("size", [0, 127, 129])
def test_signal_information_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="128 bytes"):
        syscalls.parse_signal_info(bytes(size))


@pytest.mark.parametrize("number", [0, 65, -1])
def test_no_such_signal(number: int) -> None:
    with pytest.raises(ValueError, match="no such signal"):
        syscalls.signalfd(frozenset((number,)))


def test_a_sealed_copy_never_changes_again() -> None:
    descriptor = os.memfd_create("sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, b"content")
    syscalls.seal(descriptor)
    for change in (lambda: os.write(descriptor, b"x"), lambda: os.truncate(descriptor, 1)):
        with pytest.raises(PermissionError):
            change()
    with pytest.raises(PermissionError):
        syscalls.seal(os.memfd_create("unsealable", os.MFD_CLOEXEC))


def test_closing_and_marking_ranges() -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            kept = os.dup2(0, 200)
            syscalls.close_range(3, 199)
            syscalls.close_range(200, flags=syscalls.CLOSE_RANGE_CLOEXEC)
            code = 0 if os.fstat(kept) and not os.get_inheritable(200) else 2
            os.fstat(150)
        except OSError as error:
            code = code or (0 if error.errno == errno.EBADF else 3)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(OSError, match="close_range") as caught:
        syscalls.close_range(5, 4)
    assert caught.value.errno == errno.EINVAL


def stopped_at_exec() -> int:
    child = os.fork()
    if child == 0:
        syscalls.ptrace_traceme()
        os.execv("/bin/true", ["true"])
    _, status = os.waitpid(child, 0)
    assert os.WIFSTOPPED(status)
    assert os.WSTOPSIG(status) == signal.SIGTRAP
    return child


def test_a_child_that_asks_to_be_traced_stops_at_its_exec() -> None:
    child = stopped_at_exec()
    assert os.readlink(f"/proc/{child}/exe").endswith("/true")
    syscalls.ptrace_detach(child)
    assert os.waitpid(child, 0)[1] == 0


def test_a_signal_can_be_delivered_on_the_way_out() -> None:
    child = stopped_at_exec()
    syscalls.ptrace_detach(child, signal.SIGTERM)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM


def test_the_event_of_an_exec_names_the_thread_that_did_it() -> None:
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ready, 1)
        os.execv("/bin/true", ["true"])
    syscalls.ptrace_seize(child, syscalls.PTRACE_O_TRACEEXEC | syscalls.PTRACE_O_EXITKILL)
    os.write(go, b"x")
    _, status = os.waitpid(child, 0)
    assert status >> 8 == signal.SIGTRAP | syscalls.PTRACE_EVENT_EXEC << 8
    assert syscalls.ptrace_event_message(child) == child
    syscalls.ptrace_cont(child)
    assert os.waitpid(child, 0)[1] == 0


def test_who_is_traced_already_cannot_be_traced_again() -> None:
    child = stopped_at_exec()
    try:
        with pytest.raises(PermissionError):
            syscalls.ptrace_seize(child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_capabilities_agree_with_proc() -> None:
    effective, permitted, inheritable = syscalls.capget()
    with open("/proc/self/status", encoding="utf-8") as status:
        fields = dict(line.rstrip("\n").split(":\t") for line in status if ":\t" in line)
    assert (effective, permitted, inheritable) == tuple(
        int(fields[n], 16) for n in ("CapEff", "CapPrm", "CapInh")
    )


def test_the_questions_to_the_filter_have_the_kernels_own_answers_outside() -> None:
    assert syscalls.setns_errno() == errno.EBADF
    before = os.listdir("/proc/self/fd")
    assert syscalls.socket_errno(syscalls.AF_INET, syscalls.SOCK_STREAM) == 0
    assert syscalls.socket_errno(9999, 1) == errno.EAFNOSUPPORT
    assert os.listdir("/proc/self/fd") == before
