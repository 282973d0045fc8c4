"""A command that is stopped by job control: the monitor sees it, its launcher says when it goes on.

No more than one stop is told that was not answered: a command that stops and continues without end must not
fill the pipe to a launcher that is stopped itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.broker.exec_tracing import ExecTracer

GO_ON = b"c"
"""What the launcher answers when the command is to go on."""

WATCH = b"w"
"""What it answers when the command is left as it is."""


class Stops:
    """The stops of one command, which is a child of this process and leads a process group.

    Args:
        pid: its pid.
        tell: told the signal that stopped it.
        tracer: the tracer of all that it starts, which alone sees its stops then; None without one.
    """

    def __init__(self, pid: int, tell: Callable[[int], None], tracer: ExecTracer | None = None) -> None:
        self._pid = pid
        self._tell = tell
        self._is_answered = True
        self._tracer = tracer

    def look(self) -> None:
        """Tell that it was stopped, once."""
        if self._is_answered and self._tracer is not None:
            number = self._tracer.take_stop(self._pid)
            if number:
                self._is_answered = False
                self._tell(number)
        elif self._is_answered:
            with contextlib.suppress(ChildProcessError):  # it has ended
                found = os.waitid(os.P_PID, self._pid, os.WSTOPPED | os.WNOHANG)
                if found is not None:
                    self._is_answered = False
                    self._tell(found.si_status)

    def heed(self, answer: bytes) -> None:
        """Do what the launcher has answered; the command has not been waited for yet."""
        self._is_answered = True
        if GO_ON in answer:
            # It may have left its first group; its number stays its own as long as it is there.
            for send in (os.killpg, os.kill):
                with contextlib.suppress(OSError):
                    send(self._pid, signal.SIGCONT)
