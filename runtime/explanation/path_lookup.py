"""Where a path leads, for somebody who asks about it: what is there, under which directories, and its mode.

The kernel resolves it, links and ``..`` included, without opening anything. Rules of Landlock stand on files,
not on names: what counts is the file that is arrived at and the directories that it lies in, each known by
device and inode. Of what is missing, the nearest directory that is there counts.
"""

from __future__ import annotations

import os
import re
import stat

from attest.named_tuples import NamedTuple
from runtime.errors import UnresolvedPathError
from runtime.kernel.path_names import every_name, join, shown, upwards

# The kernel's own bound (MAXSYMLINKS).
_MAX_LINKS = 40

# What means something else to each process that looks at it.
_OF_A_PROCESS = re.compile(
    rb"/proc/(?:[0-9]+/.|(?:thread-)?self/(?:cwd|exe|fd|fdinfo|map_files|ns|root|task)\b)"
)


class Identity(NamedTuple):
    """A file or directory, whatever it is called.

    Attributes:
        device: the number of its file system.
        inode: its number there.
    """

    device: int
    inode: int


class Place(NamedTuple):
    """Where a path leads.

    Attributes:
        path: the canonical path; of what is missing, where it would be.
        found: the canonical path of what is there: the same, or the nearest directory above.
        line: ``found`` and each directory above it, from below.
        mode: st_mode of ``found``.
        owner: its uid.
        readable: whether its mode (or access list, or capabilities) lets this process read it; see access(2).
        writable: likewise write to it; of a directory: make and remove what is in it.
        executable: likewise execute it; of a directory: pass through it.
        mount: statvfs flags of the file system that it is on.
        missing: the names beneath ``found`` that are not there.
        of_a_process: whether it is reached by way of a process, and so is another for each that asks.
    """

    path: bytes
    found: bytes
    line: tuple[Identity, ...]
    mode: int
    owner: int
    readable: bool
    writable: bool
    executable: bool
    mount: int = 0
    missing: tuple[bytes, ...] = ()
    of_a_process: bool = False

    @property
    def is_directory(self) -> bool:
        """Whether there is a directory; what is missing is taken for a file."""
        return not self.missing and stat.S_ISDIR(self.mode)


def look_up(path: bytes) -> Place:
    """Return where the absolute ``path`` leads.

    Raises:
        UnresolvedPathError: nowhere: a loop of links, a file in the place of a directory, a directory on the
            way whose mode closes it (``why.way``), or something without a path.
    """
    own = re.compile(rb"\A/proc/%d/" % os.getpid())  # where /proc/self leads
    names = (own.sub(b"/proc/self/", name) for name in every_name(path))
    of_a_process = any(map(_OF_A_PROCESS.match, names))
    descriptor, missing = _open(path)
    try:
        found = os.readlink(b"/proc/self/fd/%d" % descriptor)
        status = os.fstat(descriptor)
        there = os.stat(found)
        if not found.startswith(b"/") or not os.path.samestat(status, there):
            raise UnresolvedPathError(f"{shown(path)} has no path of its own")
        if missing and not stat.S_ISDIR(status.st_mode):
            raise UnresolvedPathError(f"{shown(path)} cannot be there: {shown(found)} is no directory")
        line = tuple(Identity(seen.st_dev, seen.st_ino) for seen in map(os.stat, upwards(found)))
        flags = os.statvfs(descriptor).f_flag
    except OSError as error:
        raise UnresolvedPathError(f"cannot tell where {shown(path)} leads: {error.strerror}") from None
    finally:
        os.close(descriptor)
    whole = found
    for name in missing:
        whole = join(whole, name)
    return Place(
        path=whole,
        found=found,
        line=line,
        mode=status.st_mode,
        owner=status.st_uid,
        readable=os.access(found, os.R_OK, effective_ids=True),
        writable=os.access(found, os.W_OK, effective_ids=True),
        executable=os.access(found, os.X_OK, effective_ids=True),
        mount=flags,
        missing=tuple(missing),
        of_a_process=of_a_process,
    )


def _open(path: bytes) -> tuple[int, list[bytes]]:
    """Open what is there, ``O_PATH``, and return with it the names beneath it that are not."""
    missing: list[bytes] = []
    for _ in range(_MAX_LINKS):
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            above, _, name = path.rstrip(b"/").rpartition(b"/")
            path = _through_link(path, above or b"/", name, missing)
        except OSError as error:
            code = "why.way" if isinstance(error, PermissionError) else None
            raise UnresolvedPathError(f"{shown(path)}: {(error.strerror or '').lower()}", code=code) from None
        else:
            return descriptor, missing
    raise UnresolvedPathError(f"{shown(path)} leads through too much that is missing")


def _through_link(path: bytes, above: bytes, name: bytes, missing: list[bytes]) -> bytes:
    """Return where to look next for what is missing: where a link at ``path`` points, or above."""
    if name in (b"", b".", b".."):
        raise UnresolvedPathError(f"{shown(path)} passes through what is not there")
    try:
        target = os.readlink(join(above, name))
    except OSError:
        missing.insert(0, name)
        return above
    return target if target.startswith(b"/") else join(above, target)
