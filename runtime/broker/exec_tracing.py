"""Every exec of a launch, seen at its exec stop: ``--trace-exec`` and ``--exec-allow``.

The monitor traces all that the command starts (PTRACE_SEIZE of the command before it is released; the
kernel attaches every process and thread that it makes, ptrace(2)). At each exec the process stops when the
new image is in place and has not run one instruction. What ``/proc/PID/exe`` is then is hashed, judged
(:mod:`runtime.capability.exec_rules`), told to nono for the record, and let run or killed.

Nothing escapes: ptrace(2) and CLONE_UNTRACED are refused by the filter, clone3(2) does not exist, and
PTRACE_O_EXITKILL ends all of them with the tracer. Whatever else stops a tracee goes on as if nobody
traced it: a signal is delivered, a stop by job control lasts until SIGCONT (PTRACE_LISTEN).

A digest is kept for the next exec of the same file only where that is sound: on a file system that sets
change times itself, and not for a file that changed within the clock's grain of the look at it, as git
calls it racy. To change a file that was hashed at an exec stop a writer must come afterwards (ETXTBSY
until then), and a write, by a mapping as well, sets a later change time.

Told is each image once for each image that executed it, and no more than a launch's record takes; of the
rest there is a count. Imported before the fork.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from signal import SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU
from typing import TYPE_CHECKING

from attest import canonical
from runtime.broker.decisions import EXEC
from runtime.capability.exec_rules import SeenImage, UnhashedError, digest
from runtime.kernel import loaders, syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from attest.canonical import Json
    from runtime.capability.exec_rules import ExecRules

MAX_TOLD = 256
"""Execs of one launch that become entries, each of another image or by another one."""
MAX_TOLD_BYTES = 131_072
"""What they may come to: there is room for the closing entries, and for these."""

_MADE = frozenset({syscalls.PTRACE_EVENT_FORK, syscalls.PTRACE_EVENT_VFORK, syscalls.PTRACE_EVENT_CLONE})
_STOPPING = frozenset({SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU})
_MOST_KEPT = 4_096
_RACY_NS = 2_000_000_000
# linux/magic.h: file systems of this kernel's own, which set change times themselves, for a mapping as well.
# Not those of memory, nor an overlay, whose upper layer may be one: what is written there through a page
# that was read before leaves the times as they are.
_SETS_CHANGE_TIMES = frozenset(
    {
        *(0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x73717368, 0xE0F5E1E2),
        *(0x9660, 0xCA451A4E, 0x2011BAB0),
    }
)
_UNKNOWN_PATH = b"?"

_Image = tuple[bytes, str | None]
"""The path of an image, and its digest."""


class ExecTracer:
    """The tracer of one launch; its calls are all of the thread that traces.

    Args:
        rules: what is asked of each exec.
        send: takes the data of each ``decision``.
        is_wanted: asked during long work whether the launch is still to go on.

    Attributes:
        execs: how many there were.
        refused: how many of them were refused, and killed.
        told: how many became entries.
        untold: how many no entry is about.
        OPTIONS: what to set beside PTRACE_O_TRACEEXEC, so that all that a tracee makes is traced as well.
    """

    OPTIONS = syscalls.PTRACE_O_TRACEFORK | syscalls.PTRACE_O_TRACEVFORK | syscalls.PTRACE_O_TRACECLONE

    def __init__(
        self, rules: ExecRules, send: Callable[[dict[str, Json]], None], is_wanted: Callable[[], bool]
    ) -> None:
        self.execs = self.refused = self.told = self.untold = 0
        self._rules = rules
        self._send = send
        self._is_wanted = is_wanted
        self._is_ending = self._has_hashed = False
        self._images: dict[int, _Image] = {}
        self._threads: dict[int, int] = {}
        self._stopped: dict[int, int] = {}
        # What has executed something before its maker's own stop was seen to.
        self._early: set[int] = set()
        self._known: set[tuple[_Image, _Image | None, bool]] = set()
        self._room = MAX_TOLD_BYTES
        self._kept: dict[tuple[int, int, int, int], tuple[str, bool]] = {}
        self._own_times: dict[int, bool] = {}

    def begin(self, pid: int) -> None:
        """Take the command, stopped at its exec and found to be what was to run, and let it go on."""
        image = self._look(pid)
        if image is not None:
            self._rules.take_command(image.sha256)
            self._images[pid] = image.path, image.sha256
        with contextlib.suppress(ProcessLookupError):  # killed meanwhile
            syscalls.ptrace_cont(pid)

    def end(self) -> None:
        """All of it is being killed: nothing that stops now will ever run."""
        self._is_ending = True

    def document(self) -> dict[str, int]:
        """Return the counts for the outcome."""
        return {"execs": self.execs, "execs_refused": self.refused, "execs_untold": self.untold}

    def stopped(self, pid: int, status: int) -> bool:
        """Deal with a stop of a tracee.

        Args:
            pid: the process or thread that has stopped.
            status: its wait status.

        Returns:
            False when that took a while, and others should be looked after before more of this.
        """
        event, number = status >> 16, os.WSTOPSIG(status)
        # Whatever was killed meanwhile is no tracee that has stopped (ESRCH), and its end is still to come.
        with contextlib.suppress(ProcessLookupError):
            if event == syscalls.PTRACE_EVENT_EXEC:
                return self._executed(pid)
            if event in _MADE:
                self._made(pid, syscalls.ptrace_event_message(pid), event)
            if event == syscalls.PTRACE_EVENT_STOP and number in _STOPPING:
                self._stopped[pid] = number
                syscalls.ptrace_listen(pid)
            else:
                self._stopped.pop(pid, None)
                syscalls.ptrace_cont(pid, 0 if event else number)
        return True

    def take_stop(self, pid: int) -> int:
        """Return the signal that has stopped a process, once; 0 where none has, or it went on since."""
        return self._stopped.pop(pid, 0)

    def ended(self, pid: int) -> bool:
        """Forget what has ended; return whether it was a thread, beside the first of its process."""
        self._images.pop(pid, None)
        self._stopped.pop(pid, None)
        self._early.discard(pid)
        return self._threads.pop(pid, None) is not None

    def _made(self, maker: int, made: int, event: int) -> None:
        process = self._threads.get(maker, maker)
        if event == syscalls.PTRACE_EVENT_CLONE and os.path.exists(b"/proc/%d/task/%d" % (process, made)):
            self._threads[made] = process
        elif made in self._early:
            self._early.discard(made)
        elif (image := self._images.get(process)) is not None and os.path.exists(b"/proc/%d" % made):
            self._images[made] = image

    def _executed(self, pid: int) -> bool:
        # An exec by another thread than the first takes that one's number, and is its own no more.
        self._threads.pop(syscalls.ptrace_event_message(pid), None)
        self._threads.pop(pid, None)
        if self._is_ending:
            os.kill(pid, SIGKILL)
            return True
        self.execs += 1
        self._has_hashed = False
        image = self._look(pid)
        if image is None:  # it is being killed, and runs nothing any more
            os.kill(pid, SIGKILL)
            return True
        granted, reason = self._rules.judge(image)
        if granted:
            syscalls.ptrace_cont(pid)
        else:
            self.refused += 1
            os.kill(pid, SIGKILL)  # which ends a stop, and lets nothing run on the way
        self._tell(pid, image, reason, granted=granted)
        if pid not in self._images:
            self._early.add(pid)
        self._images[pid] = image.path, image.sha256
        return not self._has_hashed

    # --- what runs ---------------------------------------------------------------------------------

    def _look(self, pid: int) -> SeenImage | None:
        """Return the image of a process at its exec stop; None when it is being killed."""
        link = b"/proc/%d/exe" % pid
        try:
            path = os.readlink(link)
        except FileNotFoundError:
            return _unseen(pid)
        except OSError as error:  # a path that is too long; an image that may not be read
            return self._unread(link, _UNKNOWN_PATH, os.strerror(error.errno or 0))
        try:
            descriptor = os.open(link, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except FileNotFoundError:
            return _unseen(pid)
        except OSError as error:
            return self._unread(link, path, os.strerror(error.errno or 0))
        try:
            return self._read(descriptor, path)
        finally:
            os.close(descriptor)

    def _unread(self, link: bytes, path: bytes, why: str) -> SeenImage:
        try:
            status = os.stat(link)
        except OSError:
            return SeenImage(path, is_linked=False, sha256=None, size=0, problem=why, is_loader=False)
        return SeenImage(path, _leads_to(path, status), None, status.st_size, why, is_loader=False)

    def _read(self, descriptor: int, path: bytes) -> SeenImage:
        status = os.fstat(descriptor)
        sha256, problem, is_loader = None, None, False
        try:
            sha256, is_loader = self._hash(descriptor, status)
        except (OSError, UnhashedError) as error:
            problem = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        return SeenImage(path, _leads_to(path, status), sha256, status.st_size, problem, is_loader)

    def _hash(self, descriptor: int, status: os.stat_result) -> tuple[str, bool]:
        key = status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        began, self._has_hashed = time.time_ns(), True
        found = digest(descriptor, self._is_wanted), loaders.is_loader(descriptor)
        if began - status.st_ctime_ns > _RACY_NS and self._sets_change_times(descriptor, status.st_dev):
            if len(self._kept) == _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found

    def _sets_change_times(self, descriptor: int, device: int) -> bool:
        known = self._own_times.get(device)
        if known is None:
            known = syscalls.file_system_magic(descriptor) in _SETS_CHANGE_TIMES
            self._own_times[device] = known
        return known

    # --- what is told --------------------------------------------------------------------------------

    def _tell(self, pid: int, image: SeenImage, reason: str, *, granted: bool) -> None:
        parent = self._images.get(pid) or self._images.get(_parent_of(pid))
        key = (image.path, image.sha256), parent, granted
        if key in self._known:
            return
        data = _data(pid, image, parent, reason, granted=granted)
        size = len(json.dumps(data))
        if len(self._known) == MAX_TOLD or size > self._room:
            self.untold += 1
            return
        self._known.add(key)
        self._room -= size
        self.told += 1
        self._send(data)


def _unseen(pid: int) -> SeenImage | None:
    """Return None for a process that is being killed, and something for one that procfs hides (hidepid)."""
    if os.path.exists(b"/proc/%d" % pid):
        return None
    return SeenImage(_UNKNOWN_PATH, is_linked=False, sha256=None, size=0, problem="hidepid", is_loader=False)


def _parent_of(pid: int) -> int:
    """Return the parent of a process that executed before its maker's own stop came; 0 when it is gone."""
    try:
        with open(b"/proc/%d/stat" % pid, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _leads_to(path: bytes, status: os.stat_result) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except (OSError, ValueError):
        return False
    return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)


def _data(
    pid: int, image: SeenImage, parent: _Image | None, reason: str, *, granted: bool
) -> dict[str, Json]:
    about: dict[str, Json] = {"pid": pid}
    if image.sha256 is not None:
        about["sha256"] = image.sha256
    if parent is not None:
        path, sha256 = parent
        about["parent"] = {"path": canonical.text(path)} | ({} if sha256 is None else {"sha256": sha256})
    return {
        "by": "policy",
        "exec": about,
        "reason": reason,
        "subject": canonical.text(image.path),
        "verdict": "granted" if granted else "denied",
        "what": EXEC,
    }
