"""Mode, owner, times and attributes of files, which the monitor changes for the command where it may write.

Landlock knows nothing of them: without this a command can change the mode of every file of its user, and the
times, whatever it was granted. So the filter notifies the calls that change them, and the monitor opens what
the path leads to, from the directory that the thread gave and as that thread would; judges *that* descriptor;
and makes the change on it, with the ids and capabilities of the thread (``acting_as``). The path is read and
resolved once, so neither a rewritten string nor a link that is turned leads to another file. No link of
procfs is followed, which would lead to the monitor's own files, but one: that to a descriptor of the thread's
own, which C libraries use, is taken for the descriptor.

What may be changed is what may be written: files and directories in a grant for writing, and what a
descriptor is open for writing of. Never devices, which a grant lets be used and not given away, and nothing
on procfs. Imported before the fork, and only by a launch that asks for it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from typing import TYPE_CHECKING, Any

import attest.printable_text  # noqa: F401  # what shown() needs for some names: nothing is imported later
from attest.named_tuples import NamedTuple
from runtime.broker import decisions
from runtime.broker.acting_as import Actor
from runtime.broker.asking_thread import (
    identity,
    open_base,
    read_memory,
    read_string,
    refuse,
    take_descriptor,
)
from runtime.broker.granted_files import found_again, where
from runtime.kernel import file_calls, syscalls
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.broker.asking_thread import Identity
    from runtime.capability.grants import OpenGrant

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_NO_ONE = 0xFFFFFFFF  # chown(2): leave it as it is
_MODE_BITS = 0o7777
_LONGEST_NAME = 255 + 1  # of an attribute, linux/limits.h
_LARGEST_VALUE = 65_536
_MICROSECONDS = 1_000_000

# linux/fs.h, linux/msdos_fs.h: the requests of ioctl(2) that change what a file is, and how much each reads.
FS_IOC_SETFLAGS = 0x40086602
FS_IOC_FSSETXATTR = 0x401C5820
FAT_IOCTL_SET_ATTRIBUTES = 0x40047211
_REQUESTS = {FS_IOC_SETFLAGS: 4, FS_IOC_FSSETXATTR: 28, FAT_IOCTL_SET_ATTRIBUTES: 4}


class _Call(NamedTuple):
    """Where one call has its arguments.

    Attributes:
        verb: its name, for the record.
        change: what it changes.
        rest: positions of the arguments that say how.
        path: position of the path, None where it is about a descriptor, the first argument.
        directory: position of the directory's descriptor, None where it has none.
        flags: position of ``AT_`` flags, None where it has none.
        follow: whether a link at the end is followed, where no flag says so.
        pathless: whether no path means the directory's descriptor itself.
    """

    verb: str
    change: str
    rest: tuple[int, ...]
    path: int | None = None
    directory: int | None = None
    flags: int | None = None
    follow: bool = True
    pathless: bool = False


_NAMED = {
    "chmod": _Call("chmod", "mode", (1,), path=0),
    "fchmod": _Call("chmod", "mode", (1,)),
    "fchmodat": _Call("chmod", "mode", (2,), path=1, directory=0),
    "fchmodat2": _Call("chmod", "mode", (2,), path=1, directory=0, flags=3),
    "chown": _Call("chown", "owner", (1, 2), path=0),
    "lchown": _Call("chown", "owner", (1, 2), path=0, follow=False),
    "fchown": _Call("chown", "owner", (1, 2)),
    "fchownat": _Call("chown", "owner", (2, 3), path=1, directory=0, flags=4),
    "utime": _Call("utime", "seconds", (1,), path=0),
    "utimes": _Call("utime", "microseconds", (1,), path=0),
    "futimesat": _Call("utime", "microseconds", (2,), path=1, directory=0, pathless=True),
    "utimensat": _Call("utime", "nanoseconds", (2,), path=1, directory=0, flags=3, pathless=True),
    "setxattr": _Call("setxattr", "attribute", (1, 2, 3, 4), path=0),
    "lsetxattr": _Call("setxattr", "attribute", (1, 2, 3, 4), path=0, follow=False),
    "fsetxattr": _Call("setxattr", "attribute", (1, 2, 3, 4)),
    "removexattr": _Call("removexattr", "no attribute", (1,), path=0),
    "lremovexattr": _Call("removexattr", "no attribute", (1,), path=0, follow=False),
    "fremovexattr": _Call("removexattr", "no attribute", (1,)),
    "ioctl": _Call("chattr", "request", (1, 2)),
}
# asm/unistd_64.h, and asm-generic/unistd.h, where the calls with a path alone have gone.
_NUMBERS = {
    "x86_64": {
        "ioctl": 16,
        "chmod": 90,
        "fchmod": 91,
        "chown": 92,
        "fchown": 93,
        "lchown": 94,
        "utime": 132,
        "setxattr": 188,
        "lsetxattr": 189,
        "fsetxattr": 190,
        "removexattr": 197,
        "lremovexattr": 198,
        "fremovexattr": 199,
        "utimes": 235,
        "fchownat": 260,
        "futimesat": 261,
        "fchmodat": 268,
        "utimensat": 280,
        "fchmodat2": 452,
    },
    "aarch64": {
        "setxattr": 5,
        "lsetxattr": 6,
        "fsetxattr": 7,
        "removexattr": 14,
        "lremovexattr": 15,
        "fremovexattr": 16,
        "ioctl": 29,
        "fchmod": 52,
        "fchmodat": 53,
        "fchownat": 54,
        "fchown": 55,
        "utimensat": 88,
        "fchmodat2": 452,
    },
}
CALLS = {number: _NAMED[name] for name, number in _NUMBERS.get(os.uname().machine, {}).items()}
"""What is notified for this, by its number here."""


class MetadataJudge:
    """Changes what may be changed; made and used by the thread that mediates.

    Args:
        grants: the grants for writing, with the files that were judged.
        require_waiting: raises OSError when who asked, by the number of a notification, waits no more.
    """

    def __init__(self, grants: tuple[OpenGrant, ...], require_waiting: Callable[[int], None]) -> None:
        self._grants = grants
        self._require_waiting = require_waiting
        self._actor = Actor()

    def serve(self, number: int, thread: int, call: int, arguments: list[int]) -> None:
        """Make a call for the thread that asks.

        Args:
            number: the notification's.
            thread: who asks.
            call: a key of ``CALLS``.
            arguments: its registers.

        Raises:
            OSError: what the thread is to see.
        """
        asked = CALLS[call]
        path, flags = _place(asked, thread, arguments)
        change = _change(asked, thread, [arguments[position] for position in asked.rest])
        asking = identity(thread)
        own, base = _base(asked, thread, arguments, path, follows=not flags & _AT_SYMLINK_NOFOLLOW)
        try:
            # Only now it is sure whose memory and descriptors that was.
            self._require_waiting(number)
            if own:
                self._change(asked, asking, change, base, path=asked.path is not None)
                return
            assert path is not None
            nofollow = os.O_NOFOLLOW if flags & _AT_SYMLINK_NOFOLLOW else 0
            with self._actor.acting_as(asking):
                found = _open(path, base, os.O_PATH | nofollow, asked.verb)
            try:
                self._change(asked, asking, change, found, path=True)
            finally:
                os.close(found)
        finally:
            os.close(base)

    def _change(
        self, asked: _Call, asking: Identity, change: Callable[[int], None], descriptor: int, *, path: bool
    ) -> None:
        """Make the change on what is open, if it is granted.

        Args:
            asked: the call.
            asking: as whom.
            change: makes it on a descriptor.
            descriptor: of the file.
            path: whether a path led there, or else a descriptor that has to be a full one.
        """
        opened = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        if opened & os.O_PATH and not path:
            raise refuse(errno.EBADF)
        subject = asked.verb.encode() + b" " + where(descriptor)
        mode = os.fstat(descriptor).st_mode
        if file_calls.filesystem_type(descriptor) == file_calls.PROC_SUPER_MAGIC:
            raise _refusal(subject, "what procfs shows is changed for nobody")
        if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
            raise _refusal(subject, "a device is used, and never changed itself")
        # The third access mode (open(2), "File access mode") is for ioctl(2) alone, and asks for no grant.
        if not opened & os.O_PATH and opened & os.O_ACCMODE in (os.O_WRONLY, os.O_RDWR):
            with self._actor.acting_as(asking):
                change(descriptor)
            return
        judged = found_again(self._grants, descriptor)
        if judged is None:
            flag = "--write" if stat.S_ISDIR(mode) else "--write-file"
            place = shown(where(descriptor))
            raise _refusal(subject, f"it is in no grant for writing; {flag} {place} would be one")
        try:
            with self._actor.acting_as(asking):
                # A request is made on the descriptor itself, which is of the same file.
                change(descriptor if asked.change == "request" else judged)
        finally:
            os.close(judged)


def _place(asked: _Call, thread: int, arguments: list[int]) -> tuple[bytes | None, int]:
    """Return the path, None where it is about a descriptor, and the ``AT_`` flags."""
    flags = 0 if asked.follow else _AT_SYMLINK_NOFOLLOW
    if asked.flags is not None:
        flags = arguments[asked.flags] & 0xFFFFFFFF
        if flags & ~(_AT_SYMLINK_NOFOLLOW | _AT_EMPTY_PATH):
            raise refuse(errno.EINVAL)
    if asked.path is None:
        return None, flags
    address = arguments[asked.path]
    if address == 0 and asked.pathless:
        return None, flags
    path = read_string(thread, address)
    if not path and flags & _AT_EMPTY_PATH:
        return None, flags
    if not path:
        raise refuse(errno.ENOENT)
    return path, flags


def _base(
    asked: _Call, thread: int, arguments: list[int], path: bytes | None, *, follows: bool
) -> tuple[bool, int]:
    """Return a descriptor, and whether it is what is to be changed, or else where the path begins."""
    directory = _AT_FDCWD
    if asked.path is None:
        directory = _integer(arguments[0])
    elif asked.directory is not None:
        directory = _integer(arguments[asked.directory])
    if path is None:
        if directory == _AT_FDCWD and asked.path is not None:
            return True, open_base(thread, directory, b"")
        return True, take_descriptor(thread, directory)
    number = own_descriptor(path) if follows else None
    if number is not None:
        return True, take_descriptor(thread, number)
    return False, open_base(thread, directory, path)


def own_descriptor(path: bytes) -> int | None:
    """Return which descriptor of the thread's own a path means, None where it means another file.

    Its number in procfs is a link to what it is of; C libraries change by that what was opened with O_PATH,
    and programs say ``/dev/fd/N``.
    """
    parts = path.split(b"/")
    if parts[:-1] not in (
        [b"", b"proc", b"self", b"fd"],
        [b"", b"proc", b"thread-self", b"fd"],
        [b"", b"dev", b"fd"],
    ):
        return None
    # As the kernel: no sign, no leading zero, and no more digits than a number of a descriptor has.
    number = parts[-1]
    if not number.isdigit() or len(number) > 7 or (number[:1] == b"0" and number != b"0"):
        return None
    return int(number)


def _open(path: bytes, directory: int, flags: int, verb: str) -> int:
    try:
        return syscalls.openat2(directory, path, flags, syscalls.RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        subject = verb.encode() + b" " + path
        raise _refusal(subject, "its path leads through a link of procfs, or in a circle") from None


def _change(asked: _Call, thread: int, rest: list[int]) -> Callable[[int], None]:
    """Read how it is to be changed; return what makes the change on a descriptor.

    Raises:
        OSError: what is asked for makes no sense, or lies where the thread has no memory.
    """
    match asked.change:
        case "mode":
            return lambda file: _set_mode(file, rest[0] & _MODE_BITS)
        case "owner":
            user, group = (-1 if number & _NO_ONE == _NO_ONE else number & _NO_ONE for number in rest)
            return lambda file: os.chown(_name(file), user, group)
        case "attribute":
            return _attribute(thread, rest)
        case "no attribute":
            name = _attribute_name(thread, rest[0])
            return lambda file: os.removexattr(_name(file), name)
        case "request":
            request = rest[0] & 0xFFFFFFFF
            if request not in _REQUESTS:
                raise refuse(errno.ENOTTY)
            value = read_memory(thread, rest[1], _REQUESTS[request])
            return lambda file: _request(file, request, value)
        case unit:
            times = _times(thread, rest[0], unit)
            return lambda file: file_calls.set_times(_name(file), times)


def _name(descriptor: int) -> bytes:
    """Return the path that leads to an open file, whatever that is and however it was opened."""
    return b"/proc/self/fd/%d" % descriptor


def _set_mode(descriptor: int, mode: int) -> None:
    if stat.S_ISLNK(os.fstat(descriptor).st_mode):  # which some file systems of older kernels would have done
        raise refuse(errno.EOPNOTSUPP)
    os.chmod(_name(descriptor), mode)


def _attribute_name(thread: int, address: int) -> bytes:
    name = read_string(thread, address, _LONGEST_NAME, errno.ERANGE)
    if not name:
        raise refuse(errno.ERANGE)
    return name


def _attribute(thread: int, rest: list[int]) -> Callable[[int], None]:
    name_at, value_at, size, flags = rest
    name = _attribute_name(thread, name_at)
    if size > _LARGEST_VALUE:
        raise refuse(errno.E2BIG)
    value = read_memory(thread, value_at, size) if size else b""
    flags = _integer(flags)
    return lambda file: os.setxattr(_name(file), name, value, flags)


def _times(thread: int, address: int, unit: str) -> bytes | None:
    """Return two ``struct timespec``, None for now."""
    if address == 0:
        return None
    if unit == "seconds":
        accessed, modified = struct.unpack("=qq", read_memory(thread, address, 16))
        return struct.pack("=qqqq", accessed, 0, modified, 0)
    times = read_memory(thread, address, 32)
    if unit == "nanoseconds":
        return times
    given: list[Any] = list(struct.unpack("=qqqq", times))
    if not all(0 <= micros < _MICROSECONDS for micros in given[1::2]):
        raise refuse(errno.EINVAL)
    return struct.pack("=qqqq", given[0], given[1] * 1_000, given[2], given[3] * 1_000)


def _request(descriptor: int, request: int, value: bytes) -> None:
    fcntl.ioctl(descriptor, request, value)


def _integer(register: int) -> int:
    """Return the ``int`` that the kernel takes a register for."""
    value = register & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _refusal(subject: bytes, reason: str) -> decisions.RefusedError:
    return decisions.RefusedError(errno.EPERM, decisions.FILE, subject, reason)
