"""Signals that ask a process to end, while it makes what must be whole or not there.

By default SIGTERM and SIGHUP end a process where it stands, and a half-made file stays behind. Here the first
of them raises KeyboardInterrupt, as SIGINT does, so that what was begun is undone on the way out; while it is
undone, or while it gets its name, the next ones wait. SIGKILL cannot be met: what it leaves has a
name of its own (``FILE.….new``), and never the one that was asked for.

A handler runs between any two steps of Python, those of a destructor and of a weak reference's callback
included, and what is raised there goes no further: Python reports it and goes on. Then it is raised again.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)
_AGAIN = 0.01  # seconds after which an interrupt is raised once more that went nowhere


class EndingSignals:
    """The signals, met while this context lasts, in the main thread alone: the others get none.

    One that is ignored, as under nohup, or that somebody else meets, is left as it is.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}  # as the signal module has handlers
        self._unraisable: Callable[[sys.UnraisableHookArgs], object] | None = None
        self._thread = threading.get_ident()
        self._raised: signal.Signals | None = None
        self._lost = False
        self._waiting: int | None = None
        self._held = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in _NAMES:
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) in _DEFAULTS:
                    self._before[number] = signal.signal(number, self._met)
            self._unraisable, sys.unraisablehook = sys.unraisablehook, self._went_nowhere
        return self

    def hold(self) -> None:
        """Let those that come from now on wait for the end of the context.

        Raises:
            KeyboardInterrupt: one has come before, and nobody was told.
        """
        self._held = True
        if self._lost:
            self._lost = False
            raise KeyboardInterrupt

    def _met(self, number: int, _frame: FrameType | None) -> None:
        if self._held:
            self._waiting = number
            return
        self._held = True  # what is undone now is undone to its end
        self._raised, self._lost = signal.Signals(number), False
        raise KeyboardInterrupt

    def _went_nowhere(self, what: sys.UnraisableHookArgs) -> None:
        if self._raised is None or not issubclass(what.exc_type, KeyboardInterrupt):
            if self._unraisable is not None:
                self._unraisable(what)
            return
        self._held, self._lost = False, True
        # From another thread, and later: at once would be in here.
        again = threading.Timer(_AGAIN, self._raise_again, (self._raised,))
        again.daemon = True
        again.start()

    def _raise_again(self, number: signal.Signals) -> None:
        if not self._lost:
            return
        if sys.platform == "win32":
            _thread.interrupt_main(number)
        else:  # a real one also ends what the main thread waits in
            signal.pthread_kill(self._thread, number)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._unraisable is not None:
            sys.unraisablehook = self._unraisable
        if self._lost:
            self._lost, self._waiting = False, self._raised
        if self._waiting is not None and error is None:
            signal.raise_signal(self._waiting)
