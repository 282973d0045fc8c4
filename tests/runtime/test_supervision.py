"""The launcher's side of one run: signals that are kept, and endings that are told apart."""

from __future__ import annotations

import functools
import os
import signal
import traceback
import warnings
from typing import TYPE_CHECKING

import pytest

from runtime.processes.supervision import FORWARDED, Ending, Signals

if TYPE_CHECKING:
    from collections.abc import Callable


def alone(test: Callable[[list[int]], None]) -> Callable[[], None]:
    """Run a test in a process with one thread, whose own handlers write down what they get.

    Beside other threads, as the test's own runner can have them, a signal reaches one that does not block it.
    """

    @functools.wraps(test)
    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, since Python 3.12
            pid = os.fork()
        if pid == 0:
            status = 1
            try:
                got: list[int] = []
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                for number in FORWARDED:
                    signal.signal(number, lambda caught, _: got.append(caught))
                test(got)
                status = 0
            except BaseException:  # noqa: BLE001  # the test has failed, whatever it raised
                traceback.print_exc()
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    del run.__wrapped__  # or pytest takes its parameter for a fixture
    return run


@alone
def test_signals_are_kept_and_read_in_order(handled: list[int]) -> None:
    signals = Signals()
    assert not signals.interrupted()
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGHUP)
    assert handled == []
    assert signals.interrupted()
    assert sorted(info.signal for info in signals.seen) == [signal.SIGHUP, signal.SIGTERM]
    assert {info.pid for info in signals.seen} == {os.getpid()}
    assert signals.read() == []
    signals.restore(redeliver=False)
    assert handled == []


@alone
def test_afterwards_the_hosts_own_handlers_get_each_of_them_once(handled: list[int]) -> None:
    signals = Signals()
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)
        signals.read()
    os.kill(os.getpid(), signal.SIGINT)
    assert handled == []
    signals.restore(redeliver=True)
    assert sorted(handled) == [signal.SIGINT, signal.SIGTERM]


@alone
def test_what_comes_at_the_very_end_is_not_lost(handled: list[int]) -> None:
    signals = Signals()
    os.kill(os.getpid(), signal.SIGQUIT)
    signals.restore(redeliver=True)
    assert handled == [signal.SIGQUIT]


@alone
def test_the_mask_is_put_back(handled: list[int]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    signals = Signals()
    assert signals.mask == {int(number) for number in before}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= FORWARDED
    signals.restore(redeliver=True)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


@alone
def test_its_descriptor_is_closed_and_was_not_inherited(handled: list[int]) -> None:
    before = set(os.listdir("/proc/self/fd"))
    signals = Signals()
    assert not os.get_inheritable(signals.descriptor)
    signals.restore(redeliver=False)
    assert set(os.listdir("/proc/self/fd")) == before


def ended(status: int) -> Ending:
    return Ending(
        status=status,
        image="same",
        image_reason=None,
        user_us=0,
        system_us=0,
        max_rss_bytes=0,
        survivors=0,
        left=0,
    )


@pytest.mark.parametrize("code", [0, 1, 125, 255])
def test_an_exit(code: int) -> None:
    ending = ended(code << 8)
    assert (ending.exit, ending.signal, ending.core_dumped) == (code, None, False)


@pytest.mark.parametrize("number", [1, 9, 15, 64])
@pytest.mark.parametrize("dumped", [False, True])
def test_a_signal(number: int, dumped: bool) -> None:
    ending = ended(number | 0x80 * dumped)
    assert (ending.exit, ending.signal, ending.core_dumped) == (None, number, dumped)
