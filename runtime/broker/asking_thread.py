"""A thread of the command that asks for a call: its descriptors, its memory, its directory, its identity.

Everything is read once, and believed only after the kernel has said that the thread still waits for the
answer: the number of one that was killed is given away again, to anybody. Imported before the fork.
"""

from __future__ import annotations

import errno
import os

from attest.named_tuples import NamedTuple
from runtime.kernel import syscalls

_PIDFD_THREAD = os.O_EXCL  # linux/pidfd.h, from Linux 6.9
_MAX_ADDRESS = 128  # struct sockaddr_storage
_MAX_PATH = 4_096  # linux/limits.h, with the NUL byte that ends it
_PAGE = 4_096  # or a multiple: what is read up to its end is read in one piece
_AT_FDCWD = -100
_STATUS_BYTES = 16_384
_DAC_OVERRIDE = 1 << 1  # linux/capability.h


class Identity(NamedTuple):
    """As whom a thread opens and makes files.

    Attributes:
        user: its file-system user id.
        group: its file-system group id.
        groups: its supplementary groups, in order.
        capabilities: those that are effective, a bit mask.
        umask: permissions that a file which it makes does not get.
    """

    user: int
    group: int
    groups: tuple[int, ...]
    capabilities: int
    umask: int

    @property
    def overrides(self) -> bool:
        """Whether it may pass over permissions (CAP_DAC_OVERRIDE)."""
        return bool(self.capabilities & _DAC_OVERRIDE)

    def is_as_able_as(self, other: Identity) -> bool:
        """Return whether what ``other`` does for it is what it could do itself."""
        return (self.user, self.group) == (other.user, other.group) and self.overrides >= other.overrides


def refuse(number: int) -> OSError:
    """Return the error that the command sees as this errno."""
    return OSError(number, os.strerror(number))


def take_descriptor(thread: int, descriptor: int) -> int:
    """Return a descriptor of what ``descriptor`` is to a thread.

    Raises:
        OSError: EBADF, EACCES where it may not be traced, ESRCH where it is gone.
    """
    if descriptor < 0:
        raise refuse(errno.EBADF)
    try:
        pidfd = os.pidfd_open(thread, _PIDFD_THREAD)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        pidfd = os.pidfd_open(_process_of(thread))  # before Linux 6.9
    try:
        return syscalls.pidfd_getfd(pidfd, descriptor)
    except PermissionError:
        raise refuse(errno.EACCES) from None
    finally:
        os.close(pidfd)


def _process_of(thread: int) -> int:
    with open(b"/proc/%d/status" % thread, "rb") as file:
        for line in file:
            if line.startswith(b"Tgid:"):
                return int(line.split()[1])
    raise refuse(errno.ESRCH)


def read_address(thread: int, where: int, length: int) -> bytes:
    """Return the socket address that a thread gave, as long as it says.

    Raises:
        OSError: EINVAL for a length that none has, EFAULT for a place that it has not.
    """
    if not 0 <= length <= _MAX_ADDRESS:
        raise refuse(errno.EINVAL)
    return read_memory(thread, where, length)


def read_memory(thread: int, where: int, length: int) -> bytes:
    """Return what lies in a thread's memory.

    Raises:
        OSError: EFAULT for a place that it has not, EACCES where it may not be traced.
    """
    try:
        memory = os.open(b"/proc/%d/mem" % thread, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.pread(memory, length, where)
        finally:
            os.close(memory)
    except PermissionError:
        raise refuse(errno.EACCES) from None
    except (OSError, OverflowError):  # a place that it has not, or that nobody has
        raise refuse(errno.EFAULT) from None
    if len(found) != length:
        raise refuse(errno.EFAULT)
    return found


def read_string(thread: int, where: int, limit: int = _MAX_PATH, too_long: int = errno.ENAMETOOLONG) -> bytes:
    """Return what a thread's memory holds up to the next NUL byte: a path, the name of an attribute.

    Args:
        thread: whose memory it is.
        where: the address.
        limit: how long it may be, with the NUL byte.
        too_long: the errno for one that is longer.

    Raises:
        OSError: that, EFAULT for a place that it has not, EACCES where it may not be traced.
    """
    text = b""
    while len(text) < limit:
        # To the end of the page: what follows may be nobody's.
        length = min(_PAGE - (where + len(text)) % _PAGE, limit - len(text))
        piece, end, _ = read_memory(thread, where + len(text), length).partition(b"\0")
        text += piece
        if end:
            return text
    raise refuse(too_long)


def open_base(thread: int, directory: int, path: bytes) -> int:
    """Return a descriptor from which ``path`` is resolved, as a thread gave it to one of the ``…at`` calls.

    Args:
        thread: which.
        directory: the number that it gave, AT_FDCWD for the directory that it is in.
        path: relative, absolute, or empty for what ``directory`` is itself.

    Raises:
        OSError: EBADF, EACCES where it may not be traced, ESRCH where it is gone.
    """
    if directory == _AT_FDCWD or path.startswith(b"/"):
        return open_directory(thread)
    return take_descriptor(thread, directory)


def open_directory(thread: int) -> int:
    """Return an ``O_PATH`` descriptor of the directory that a thread is in."""
    return os.open(b"/proc/%d/cwd" % thread, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def identity(thread: int | None = None) -> Identity:
    """Return as whom a thread, or this one, opens and makes files (proc_pid_status(5)).

    Raises:
        OSError: it is gone.
    """
    name = b"/proc/thread-self/status" if thread is None else b"/proc/%d/status" % thread
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    status = b""
    try:
        while piece := os.read(descriptor, _STATUS_BYTES):  # it may be in many groups
            status += piece
    finally:
        os.close(descriptor)
    # Its own name comes first, and the kernel escapes a line's end in it.
    fields = dict(line.partition(b":")[::2] for line in status.split(b"\n"))
    try:
        return Identity(
            user=int(fields[b"Uid"].split()[3]),
            group=int(fields[b"Gid"].split()[3]),
            groups=tuple(sorted(map(int, fields[b"Groups"].split()))),
            capabilities=int(fields[b"CapEff"], 16),
            umask=int(fields[b"Umask"], 8),
        )
    except KeyError:  # a zombie has no umask
        raise refuse(errno.ESRCH) from None
