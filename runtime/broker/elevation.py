"""The launcher's side of ``--capability-elevation``: it judges what is asked, asks a person, and records.

The monitor sends a question for each file that no grant covers (:mod:`runtime.broker.open_mediation`). Nobody
is asked about what is never granted: what is protected (keys, ledger, nono's own), what could not be
recorded, and what comes too often. Then the approver is asked, one question at a time.

**A grant is durable before it is given**: its ``decision`` is an entry of the ledger, in a commit of its own,
and only then the monitor is told. Refusals are recorded with the others, now and then. Of either there is a
bounded number; beyond it nothing is asked, granted or recorded any more, and what is refused is counted.

Imported before the fork, and only by a launch that asks for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from attest import canonical
from runtime.broker.approver import POLICY, Answer, Question
from runtime.broker.decisions import FILE, MAX_SUBJECT_BYTES
from runtime.capability.capabilities import USER, Access
from runtime.capability.grant_request import GrantRequest
from runtime.errors import EnforcementError, GrantError
from runtime.kernel import mounts  # noqa: F401  # for who judges, which imports nothing any more

if TYPE_CHECKING:
    import select
    from collections.abc import Callable, Mapping

    from attest.canonical import Json
    from runtime.broker.approver import Approver
    from runtime.capability.protected import Guard

MAX_RECORDED = 64
"""Decisions of one launch that become entries."""
MAX_GRANTED = 24
"""Of these, grants: each is a commit of its own, and has its place in the room for the closing entries."""
MAX_QUESTIONS = 10
"""How many questions a person is asked within ``WINDOW_SECONDS``."""
WINDOW_SECONDS = 60.0
_MAX_REASON = 1_024


def require_possible() -> None:
    """Refuse elevation on a kernel on which opening files cannot be mediated.

    Raises:
        EnforcementError: this is the Windows Subsystem for Linux.
    """
    from runtime.kernel import surroundings  # noqa: PLC0415  # only a launch with elevation asks

    if surroundings.wsl() is not None:
        raise EnforcementError(
            "files cannot be asked for under WSL, where opening them cannot be mediated",
            code="enforcement.wsl",
            hint="leave out --capability-elevation, or run nono on a Linux of its own",
        )


class Elevation:
    """What a command asks for, and what becomes of it.

    Args:
        approver: who is asked.
        guard: who says what is never granted.
        record: makes the data of a ``decision`` durable, and returns whether it is.

    Attributes:
        report: takes the data of each refusal.
        monitor_end: descriptor from which the monitor reads the answers.
        count: how many decisions there were, recorded or not.
    """

    def __init__(self, approver: Approver, guard: Guard, record: Callable[[dict[str, Json]], bool]) -> None:
        self._approver = approver
        self._guard = guard
        self._record = record
        self.monitor_end, self._answers = os.pipe2(os.O_CLOEXEC)
        self.count = 0
        self.report: Callable[[dict[str, Json]], None] = lambda _: None
        self._recorded = self._granted = 0
        self._asked: deque[tuple[int, Question]] = deque()
        self._open: tuple[int, Question] | None = None
        self._times: deque[float] = deque(maxlen=MAX_QUESTIONS)

    def close_monitor_end(self) -> None:
        """Leave the reading end to the monitor, which was forked."""
        if self.monitor_end >= 0:
            os.close(self.monitor_end)
            self.monitor_end = -1

    def close(self) -> None:
        """Ask no more."""
        self._approver.close()
        self.close_monitor_end()
        os.close(self._answers)

    def hear(self, asked: Mapping[str, Any]) -> None:
        """Take a question of the monitor's."""
        question = Question(canonical.text_bytes(asked["path"]), Access(asked["access"]), bool(asked["made"]))
        refusal = self._never(question)
        if refusal is None:
            self._asked.append((asked["id"], question))
        else:
            self._decide(asked["id"], question, Answer(granted=False, by=POLICY, reason=refusal))

    def register(self, poll: select.poll) -> None:
        """Register what answers come by."""
        self._approver.register(poll)

    def serve(self, ready: Mapping[int, int], _: select.poll) -> None:
        """Take what was answered, and ask what is next."""
        if self._open is not None:
            answer = self._approver.answer(ready)
            if answer is None:
                return
            (number, question), self._open = self._open, None
            self._decide(number, question, answer)
        while self._open is None and self._asked:
            number, question = self._asked.popleft()
            now = time.monotonic()
            if not self._has_room():
                reason = "more was asked for than one launch may"
                self._decide(number, question, Answer(granted=False, by=POLICY, reason=reason))
            elif len(self._times) == MAX_QUESTIONS and now < self._times[0] + WINDOW_SECONDS:
                reason = f"more than {MAX_QUESTIONS} questions within {WINDOW_SECONDS:.0f} seconds"
                self._decide(number, question, Answer(granted=False, by=POLICY, reason=reason))
            else:
                self._times.append(now)
                self._open = number, question
                self._approver.ask(question)

    def pause_ms(self) -> int | None:
        """Return for how many milliseconds there is nothing to do unless something comes; None for ever."""
        if self._open is None:
            return 0 if self._asked else None
        return self._approver.pause_ms()

    def _has_room(self) -> bool:
        return self._recorded < MAX_RECORDED and self._granted < MAX_GRANTED

    def _never(self, question: Question) -> str | None:
        """Return why nobody is asked about this, None where somebody is."""
        if not self._has_room():
            return "more was asked for than one launch may"
        if len(_subject(question)) > MAX_SUBJECT_BYTES:
            return "its path is too long to be recorded"
        asked = GrantRequest(question.access, question.path, directory=False, source=USER)
        try:
            self._guard.judge(asked, question.path, path=question.path)
        except GrantError as error:
            return f"it is not for any command: {error}"
        except OSError as error:
            return f"it cannot be judged: {error.strerror}"
        return None

    def _decide(self, number: int, question: Question, answer: Answer) -> None:
        """Record what was decided, and tell the monitor."""
        self.count += 1
        recordable = self._recorded < MAX_RECORDED and len(_subject(question)) <= MAX_SUBJECT_BYTES
        granted = answer.granted and recordable
        data: dict[str, Json] = {
            "by": answer.by,
            "reason": answer.reason.encode("utf-8", "replace").decode()[:_MAX_REASON],
            "subject": canonical.text(_subject(question)),
            "verdict": "granted" if granted else "denied",
            "what": FILE,
        }
        if granted:
            granted = self._record(data)
            self._granted += granted
            self._recorded += granted
        elif recordable:
            self._recorded += 1
            self.report(data)
        answered = {"closed": not self._has_room(), "granted": granted, "id": number}
        with contextlib.suppress(BrokenPipeError):  # it has ended
            os.write(self._answers, json.dumps(answered).encode() + b"\n")


def _subject(question: Question) -> bytes:
    return question.verb.encode() + b" " + question.path
