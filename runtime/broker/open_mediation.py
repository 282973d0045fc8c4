"""Opening files that no grant covers, where a person may be asked (``--capability-elevation``).

The filter notifies every call that opens a file, before Landlock sees it. What the grants cover, what cannot
be judged, and what nobody may be asked about goes on in the process as if there were no filter: Landlock
holds there, so whatever the process puts in the place of what was judged is refused by the kernel itself.
That the call goes on decides nothing; only a descriptor that is *given* is more than the grants.

One is given when a person has said so, of the very file that was looked up when it was asked: resolved once,
as the thread would (``acting_as``), through no link of procfs, and kept open while the person thinks. It is
opened anew through that, with the flags of the call and the ids and capabilities of the thread, and put into
the process in one step with the answer (SECCOMP_IOCTL_NOTIF_ADDFD). A file that is to be made is made in the
directory that was looked up, and only if there is none of the name by then. Directories, which can be
listed, and regular files can be asked for; nothing on procfs, and no device, socket or pipe.

An answer holds for that file, at that path, until the launch ends. Who decides is the launcher
(:mod:`runtime.broker.elevation`), which the questions go to and the answers come from. Imported before the
fork.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import struct
from typing import TYPE_CHECKING, Any

from attest import canonical
from attest.named_tuples import NamedTuple
from runtime.broker.acting_as import Actor
from runtime.broker.asking_thread import identity, open_base, read_memory, read_string
from runtime.broker.granted_files import where
from runtime.capability.capabilities import Access
from runtime.kernel import file_calls, syscalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtime.broker.asking_thread import Identity
    from runtime.broker.decisions import Decisions
    from runtime.capability.capabilities import FileGrant

# linux/seccomp.h: struct seccomp_notif_addfd (id, flags, srcfd, newfd, newfd_flags), its request, and to
# answer with the descriptor in the same step.
_ADD = struct.Struct("=QIIII")
_ADD_DESCRIPTOR = 0x40182103
_AND_ANSWER = 1 << 1

MAX_WAITING = 64
"""Calls that wait for an answer; each is a thread of the command and a descriptor of the monitor."""
MAX_REMEMBERED = 1_024
"""Answers that are remembered; beyond nobody is asked any more."""

_AT_FDCWD = -100
_TMPFILE = os.O_TMPFILE & ~os.O_DIRECTORY
_ASYNC = 0o20000  # fcntl.h: signals for whoever opens, who is another one here
_NOT_ASKED = os.O_PATH | _TMPFILE | _ASYNC
# What of the flags is passed on: the rest is about the lookup, or about the descriptor in the process.
_PASSED = (
    os.O_ACCMODE
    | os.O_APPEND
    | os.O_TRUNC
    | os.O_DIRECTORY
    | os.O_NOATIME
    | os.O_DIRECT
    | os.O_SYNC
    | os.O_DSYNC
)
_HOW = struct.Struct("=QQQ")  # linux/openat2.h
_IN_ROOT = 0x10
_NO_XDEV = 0x01
_RESOLVE = (
    _NO_XDEV
    | syscalls.RESOLVE_NO_MAGICLINKS
    | syscalls.RESOLVE_NO_SYMLINKS
    | syscalls.RESOLVE_BENEATH
    | _IN_ROOT
)
_FROM_DIRECTORY = syscalls.RESOLVE_BENEATH | _IN_ROOT
_KINDS = (stat.S_IFREG, stat.S_IFDIR)
_NO_NAMES = (b"", b".", b"..")
_REMOVED = b" (deleted)"  # what the kernel puts behind the path of a file that has none any more

# asm/unistd_64.h, asm-generic/unistd.h
_NAMES = {
    "x86_64": {2: "open", 85: "creat", 257: "openat", 437: "openat2"},
    "aarch64": {56: "openat", 437: "openat2"},
}
CALLS = _NAMES.get(os.uname().machine, {})
"""What is notified for this, by its number here."""


class _Wanted(NamedTuple):
    """What one call asks for: ``resolve`` are flags of openat2(2), ``access`` what the grants must cover."""

    directory: int
    path: bytes
    flags: int
    mode: int
    resolve: int
    access: Access


class _Found(NamedTuple):
    """Where a path leads: an ``O_PATH`` descriptor, or of the directory and a name that is not there yet."""

    descriptor: int
    name: bytes
    path: bytes
    status: os.stat_result


class _Waiting(NamedTuple):
    """A call that waits for an answer, by its notification's number."""

    number: int
    wanted: _Wanted
    found: _Found
    asking: Identity


_Key = tuple[bytes, int, int, bool]


class Reply(NamedTuple):
    """How a call is answered.

    Attributes:
        listener: the filter's.
        go_on: lets it go on in the process.
        refuse: answers with an errno.
        require_waiting: raises OSError when who asked waits no more.
    """

    listener: int
    go_on: Callable[[int], None]
    refuse: Callable[[int, int], None]
    require_waiting: Callable[[int], None]


class OpenJudge:
    """Lets calls go on, asks, and gives what was granted; made and used by the thread that mediates.

    Args:
        grants: all grants on files.
        answers: descriptor from which the launcher's answers are read.
        ask: takes a question to the launcher.
        decisions: told how often somebody was refused again.
        reply: how calls are answered.
    """

    def __init__(
        self,
        grants: Iterable[FileGrant],
        answers: int,
        ask: Callable[[dict[str, Any]], None],
        decisions: Decisions,
        reply: Reply,
    ) -> None:
        self._covered = {access: _Covered(grants, access) for access in (Access.READ, Access.WRITE)}
        self.answers = answers
        self._ask = ask
        self._decisions = decisions
        self._reply = reply
        self._actor = Actor()
        self._known: dict[_Key, Access] = {}
        self._refused: set[tuple[_Key, Access]] = set()
        self._questions: dict[int, tuple[_Key, Access, list[_Waiting]]] = {}
        self._number = 0
        self._waiting = 0
        self._closed = False
        self._buffer = b""

    def serve(self, number: int, thread: int, call: int, arguments: list[int]) -> None:
        """Answer a call, now or later.

        Args:
            number: the notification's.
            thread: who asks.
            call: a key of ``CALLS``.
            arguments: its registers.
        """
        try:
            wanted = _wanted(CALLS[call], thread, arguments)
            if wanted is None or self._is_covered(wanted, thread) or self._hold(number, thread, wanted):
                self._reply.go_on(number)
        except OSError:  # it cannot be read or resolved: what the kernel says of it, it says itself
            self._reply.go_on(number)

    def _is_covered(self, wanted: _Wanted, thread: int) -> bool:
        """Return whether nobody needs to be asked, as seen by whoever looks here."""
        base = _base(wanted, thread)
        try:
            found = _look(wanted, base)
        finally:
            _close(base)
        if found is None:
            return True
        os.close(found.descriptor)
        return self._covers(found.path, wanted.access)

    def _covers(self, path: bytes, access: Access) -> bool:
        return all(covered.has(path) for wanted, covered in self._covered.items() if access.covers(wanted))

    def _hold(self, number: int, thread: int, wanted: _Wanted) -> bool:
        """Ask about a call, or answer it by what was said before; return True if it is to go on as it is."""
        asking = identity(thread)
        base = _base(wanted, thread)
        try:
            with self._actor.acting_as(asking):
                found = _look(wanted, base)
        finally:
            _close(base)
        if found is None:
            return True
        kept = False
        try:
            if self._covers(found.path, wanted.access):
                return True
            # Only now it is sure whose memory and directory that was.
            self._reply.require_waiting(number)
            kept = self._decide(_Waiting(number, wanted, found, asking))
        finally:
            if not kept:
                os.close(found.descriptor)
        return False

    def _decide(self, waiting: _Waiting) -> bool:
        """Answer by what is known, or ask; return whether it waits."""
        key, access = _key(waiting.found), waiting.wanted.access
        if key in self._known and self._known[key].covers(access):
            self._give(waiting)
            return False
        if self._is_refused(key, access):
            self._decisions.count += 1
            self._reply.refuse(waiting.number, errno.EACCES)
            return False
        self._waiting += 1
        for asked, about, held in self._questions.values():
            if (asked, about) == (key, access):
                held.append(waiting)
                return True
        self._number += 1
        self._questions[self._number] = key, access, [waiting]
        self._ask(
            {
                "access": str(access),
                "id": self._number,
                "made": bool(waiting.found.name),
                "path": canonical.text(waiting.found.path),
            }
        )
        return True

    def _is_refused(self, key: _Key, access: Access) -> bool:
        if any((key, each) in self._refused for each in Access if access.covers(each)):
            return True
        full = len(self._known) + len(self._refused) >= MAX_REMEMBERED
        return self._closed or full or self._waiting >= MAX_WAITING

    def hear(self) -> None:
        """Take the answers that have come.

        Raises:
            EOFError: the launcher is gone.
        """
        piece = os.read(self.answers, 4_096)
        if not piece:
            raise EOFError
        *lines, self._buffer = (self._buffer + piece).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            self._closed = self._closed or answer["closed"]
            key, access, held = self._questions.pop(answer["id"])
            if answer["granted"]:
                self._known[key] = self._known.get(key, access) | access
            else:
                self._refused.add((key, access))
            self._waiting -= len(held)
            for waiting in held:
                try:
                    if answer["granted"]:
                        self._give(waiting)
                    else:
                        self._reply.refuse(waiting.number, errno.EACCES)
                finally:
                    os.close(waiting.found.descriptor)

    def _give(self, waiting: _Waiting) -> None:
        """Open what was granted, and put it into the process that asked."""
        try:
            opened = self._open(waiting)
        except OSError as error:
            self._reply.refuse(waiting.number, error.errno or errno.EACCES)
            return
        try:
            inherited = 0 if not waiting.wanted.flags & os.O_CLOEXEC else os.O_CLOEXEC
            fcntl.ioctl(
                self._reply.listener,
                _ADD_DESCRIPTOR,
                _ADD.pack(waiting.number, _AND_ANSWER, opened, 0, inherited),
            )
        except OSError as error:  # it has no room for it, or was killed meanwhile
            self._reply.refuse(waiting.number, error.errno or errno.EACCES)
        finally:
            os.close(opened)

    def _open(self, waiting: _Waiting) -> int:
        wanted, found, asking = waiting.wanted, waiting.found, waiting.asking
        # Never to wait: neither for a lease that somebody holds on it, nor for anything else.
        flags = wanted.flags & _PASSED | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        with self._actor.acting_as(asking):
            if not found.name:
                opened = os.open(b"/proc/self/fd/%d" % found.descriptor, flags)
            else:
                before = os.umask(asking.umask)
                try:
                    made = flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                    opened = os.open(found.name, made, wanted.mode & 0o7777, dir_fd=found.descriptor)
                finally:
                    os.umask(before)
                status = os.fstat(opened)
                self._known[found.path, status.st_dev, status.st_ino, False] = wanted.access
        if not wanted.flags & os.O_NONBLOCK:
            fcntl.fcntl(opened, fcntl.F_SETFL, fcntl.fcntl(opened, fcntl.F_GETFL) & ~os.O_NONBLOCK)
        return opened


class _Covered:
    """Where the grants give one kind of access, as the kernel says paths: asked of every call that opens."""

    def __init__(self, grants: Iterable[FileGrant], access: Access) -> None:
        giving = [grant for grant in grants if grant.access.covers(access)]
        self._files = frozenset(grant.path for grant in giving)
        self._directories = frozenset(grant.path for grant in giving if grant.directory)

    def has(self, path: bytes) -> bool:
        if path in self._files:
            return True
        while path not in (b"/", b""):
            path = path.rpartition(b"/")[0] or b"/"
            if path in self._directories:
                return True
        return False


def _wanted(call: str, thread: int, arguments: list[int]) -> _Wanted | None:
    """Return what a call asks for, None where nobody is to be asked about it."""
    directory, resolve = _AT_FDCWD, 0
    if call == "openat2":
        if arguments[3] != _HOW.size:
            return None
        flags, mode, resolve = _HOW.unpack(read_memory(thread, arguments[2], _HOW.size))
        directory, address = _integer(arguments[0]), arguments[1]
    elif call == "openat":
        directory, address, flags, mode = _integer(arguments[0]), *arguments[1:4]
    elif call == "creat":
        address, flags, mode = arguments[0], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, arguments[1]
    else:
        address, flags, mode = arguments[:3]
    flags &= 0xFFFFFFFF
    access = {os.O_RDONLY: Access.READ, os.O_WRONLY: Access.WRITE, os.O_RDWR: Access.READWRITE}.get(
        flags & os.O_ACCMODE
    )
    if access is None or flags & _NOT_ASKED or resolve & ~_RESOLVE:
        return None
    if flags & os.O_TRUNC:
        access |= Access.WRITE
    return _Wanted(directory, read_string(thread, address), flags, mode, resolve, access)


def _base(wanted: _Wanted, thread: int) -> int:
    """Return from where the path is resolved: a descriptor, or AT_FDCWD for an absolute one."""
    if wanted.path.startswith(b"/") and not wanted.resolve & _FROM_DIRECTORY:
        return _AT_FDCWD
    return open_base(thread, wanted.directory, b"")


def _close(base: int) -> None:
    if base != _AT_FDCWD:
        os.close(base)


def _look(wanted: _Wanted, base: int) -> _Found | None:
    """Return where the path leads, None where nobody is to be asked about what is there.

    Raises:
        OSError: it leads nowhere.
    """
    resolve = wanted.resolve | syscalls.RESOLVE_NO_MAGICLINKS
    exclusive = wanted.flags & os.O_CREAT and wanted.flags & os.O_EXCL
    nofollow = os.O_NOFOLLOW if exclusive or wanted.flags & os.O_NOFOLLOW else 0
    try:
        found = syscalls.openat2(base, wanted.path, os.O_PATH | nofollow, resolve)
    except FileNotFoundError:
        return _look_for_place(wanted, base, resolve) if wanted.flags & os.O_CREAT else None
    status = os.fstat(found)
    kind = stat.S_IFMT(status.st_mode)
    if (
        exclusive
        or kind not in _KINDS
        or (kind == stat.S_IFDIR and wanted.access is not Access.READ)
        or not (path := where(found)).startswith(b"/")
        or not _is_its_name(path, status)
        or file_calls.filesystem_type(found) == file_calls.PROC_SUPER_MAGIC
    ):
        os.close(found)
        return None
    return _Found(found, b"", path, status)


def _is_its_name(path: bytes, status: os.stat_result) -> bool:
    """Return whether a path names the file, and not one that has been removed: nobody could judge that."""
    if not path.endswith(_REMOVED):
        return True
    try:
        return os.path.samestat(os.lstat(path), status)
    except OSError:
        return False


def _look_for_place(wanted: _Wanted, base: int, resolve: int) -> _Found | None:
    """Return the directory in which a file would be made, None where something is in its place."""
    above, slash, name = wanted.path.rpartition(b"/")
    if name in _NO_NAMES or wanted.flags & os.O_DIRECTORY:
        return None
    directory = syscalls.openat2(base, above or slash or b".", os.O_PATH | os.O_DIRECTORY, resolve)
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        if file_calls.filesystem_type(directory) != file_calls.PROC_SUPER_MAGIC:
            path = where(directory).rstrip(b"/") + b"/" + name
            return _Found(directory, name, path, os.fstat(directory))
    except OSError:
        os.close(directory)
        raise
    os.close(directory)
    return None


def _key(found: _Found) -> _Key:
    return found.path, found.status.st_dev, found.status.st_ino, bool(found.name)


def _integer(register: int) -> int:
    """Return the ``int`` that the kernel takes a register for."""
    value = register & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
