"""What the monitor refused: told to nono once for each subject, and no more than a launch's record takes.

The command decides how often it asks, so what it asks for is kept and sent up to a fixed number of different
subjects, and of bytes; of all the rest there is a count. Together they fit into a pipe that nobody reads, so
that telling holds the monitor up no longer than nono takes to write an entry. Imported before the fork.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from attest import canonical

if TYPE_CHECKING:
    from collections.abc import Callable

    from attest.canonical import Json

EXEC = "exec"
FILE = "file"
NETWORK = "network"
UNIX_SOCKET = "unix-socket"

MAX_RECORDED = 64
"""Refusals of one launch that become entries, each of another subject."""
MAX_SUBJECT_BYTES = 512
"""Of a longer one it is only counted that it was refused."""
_MAX_REASON = 1_024
MAX_TOLD_BYTES = 30_720
"""What all that is told may come to, as JSON in ASCII. A pipe has 16 pages (pipe(7)), and a message that is
longer than half of one can take all of it; what else the monitor says needs two."""


class RefusedError(OSError):
    """A call that was asked for and is not granted.

    Args:
        number: the errno that the command sees.
        what: ``exec``, ``file``, ``network`` or ``unix-socket``.
        subject: what it wanted: a path, or a verb and an address: ``connect /run/docker.sock``.
        reason: why not, and what would grant it, in one line of text.
    """

    def __init__(self, number: int, what: str, subject: bytes, reason: str) -> None:
        super().__init__(number, os.strerror(number))
        self.what = what
        self.subject = subject
        self.reason = reason


class Decisions:
    """What the monitor of one launch decided against the command.

    Args:
        send: takes the data of each ``decision``, once.
        by: who decides, as the entries have it.

    Attributes:
        count: how many there were, whether or not they were sent.
    """

    def __init__(self, send: Callable[[dict[str, Json]], None], *, by: str = "policy") -> None:
        self.count = 0
        self._by = by
        self._send = send
        self._known: set[tuple[str, bytes]] = set()
        self._room = MAX_TOLD_BYTES

    def add(self, refusal: RefusedError) -> None:
        """Count a refusal, and send it if it is a new one and there is room; once there was none, no more."""
        self.count += 1
        key = refusal.what, refusal.subject
        if key in self._known or len(self._known) == MAX_RECORDED or len(key[1]) > MAX_SUBJECT_BYTES:
            return
        self._known.add(key)
        data: dict[str, Json] = {
            "by": self._by,
            "reason": refusal.reason.encode("utf-8", "replace").decode()[:_MAX_REASON],
            "subject": canonical.text(refusal.subject),
            "verdict": "denied",
            "what": refusal.what,
        }
        self._room -= len(json.dumps(data))
        if self._room >= 0:
            self._send(data)
