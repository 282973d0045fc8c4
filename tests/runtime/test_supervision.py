"""The launcher's side of one run: signals that are kept, and endings that are told apart."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from runtime.supervision import FORWARDED, Ending, Signals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def handlers() -> Iterator[list[int]]:
    """Record what this process's own handlers get, and put everything back."""
    got: list[int] = []
    previous = {number: signal.signal(number, lambda n, _: got.append(n)) for number in FORWARDED}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield got
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in previous.items():
        signal.signal(number, handler)


def test_signals_are_kept_and_read_in_order(handlers: list[int]) -> None:
    signals = Signals()
    assert not signals.interrupted()
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGHUP)
    assert handlers == []
    assert signals.interrupted()
    assert sorted(info.signal for info in signals.seen) == [signal.SIGHUP, signal.SIGTERM]
    assert {info.pid for info in signals.seen} == {os.getpid()}
    assert signals.read() == []
    signals.restore(redeliver=False)
    assert handlers == []


def test_afterwards_the_hosts_own_handlers_get_each_of_them_once(handlers: list[int]) -> None:
    signals = Signals()
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)
        signals.read()
    os.kill(os.getpid(), signal.SIGINT)
    assert handlers == []
    signals.restore(redeliver=True)
    assert sorted(handlers) == [signal.SIGINT, signal.SIGTERM]


def test_what_comes_at_the_very_end_is_not_lost(handlers: list[int]) -> None:
    signals = Signals()
    os.kill(os.getpid(), signal.SIGQUIT)
    signals.restore(redeliver=True)
    assert handlers == [signal.SIGQUIT]


def test_the_mask_is_put_back(handlers: list[int]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    signals = Signals()
    assert signals.mask == {int(number) for number in before}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= FORWARDED
    signals.restore(redeliver=True)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_its_descriptor_is_closed_and_was_not_inherited() -> None:
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
