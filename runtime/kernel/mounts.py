"""What is mounted, and where else the same can be seen (proc_pid_mountinfo(5)).

A rule on a directory holds for everything below it, other file systems that are mounted there included.
So a directory opens more than lies in it: a bind mount shows a part of some file system a second time.
Which part says mountinfo, by the number of the file system and the path inside of it, and it says so for
every mount alike. What ``stat`` says is no match for that: on btrfs and on overlays its device is another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.kernel.path_names import is_beneath, join, normalise

if TYPE_CHECKING:
    from collections.abc import Iterator

_NFS = (b"nfs", b"nfs4")
_LAYERS = (b"lowerdir", b"lowerdir+", b"datadir+", b"upperdir")
_AT = 4


class Mount:
    """One mount.

    Attributes:
        number: its own, among the mounts.
        device: the file system, ``major:minor``.
        root: the path inside of it that is seen at ``at``.
        at: where, absolute.
        kind: the type of the file system.
        options: those of the file system, as mountinfo has them.

    Args:
        line: the first five fields of its line, and the rest of it; ``at`` without its escapes.
    """

    # Written out: to make a named tuple takes a launch longer than to read the mounts.
    __slots__ = ("at", "device", "kind", "number", "options", "root")

    def __init__(self, line: list[bytes]) -> None:
        self.number, _, self.device, root, self.at, others = line
        # A hyphen ends the optional fields; blanks inside of a field are escaped.
        self.kind, source, self.options = (*others.partition(b" - ")[2].split(b" "), b"", b"")[:3]
        if self.kind in _NFS and b":/" in source:
            # Whatever is mounted of one NFS file system has the root "/"; the source names the directory.
            root = b"/" + source.partition(b":/")[2]
        self.root = _plain(root)

    def inner(self, path: bytes) -> bytes:
        """Return what ``path``, which lies on this mount, is called inside the file system."""
        return _moved(path, self.at, self.root)

    def layers(self) -> Iterator[tuple[bytes, bool]]:
        """Yield the directories with an absolute path that an overlay shows, and whether one is written."""
        if self.kind != b"overlay":
            return
        for option in self.options.split(b","):
            name, _, value = option.partition(b"=")
            if name in _LAYERS:
                # A colon that is part of a name is escaped; no name holds a NUL.
                listed = _plain(value).replace(b"\\:", b"\0").split(b":")
                for layer in (part.replace(b"\0", b":") for part in listed):
                    if layer.startswith(b"/"):
                        yield normalise(layer), name == b"upperdir"


class Mounts:
    """The mounts of this process at one moment, those that were made later last.

    Args:
        text: what mountinfo says.
    """

    def __init__(self, text: bytes) -> None:
        # There can be hundreds, of which few matter: those are taken apart when they are asked for.
        # A carriage return is no end of a line: it stands in a name as it is.
        self._lines = [line.split(b" ", _AT + 1) for line in text.split(b"\n") if line]
        if b"\\" in text:
            for line in self._lines:
                line[_AT] = _plain(line[_AT])
        self._top = {line[_AT]: line for line in self._lines}

    @classmethod
    def read(cls) -> Mounts:
        """Return those of this process.

        Raises:
            OSError: the kernel does not say.
        """
        with open("/proc/self/mountinfo", "rb", buffering=0) as file:
            return cls(file.read())

    def holding(self, path: bytes) -> Mount | None:
        """Return the mount that the canonical ``path`` lies on; None where the root is no mount (chroot)."""
        at = path
        while at not in self._top:
            if at == b"/":
                return None
            at = at[: at.rindex(b"/")] or b"/"
        return Mount(self._top[at])

    def beneath(self, directory: bytes) -> list[Mount]:
        """Return the mounts inside the canonical ``directory``; that on itself is none of them."""
        above = directory if directory == b"/" else directory + b"/"
        return [Mount(line) for line in self._lines if line[_AT].startswith(above) and line[_AT] != directory]

    def showing(self, device: bytes, inner: bytes) -> Iterator[tuple[Mount, bytes]]:
        """Yield each mount that shows ``inner`` of a file system, or a part of it, and at which path."""
        for line in self._lines:
            if line[2] == device:
                mount = Mount(line)
                if is_beneath(inner, mount.root):
                    yield mount, _moved(inner, mount.root, mount.at)
                elif is_beneath(mount.root, inner):
                    yield mount, mount.at


def _moved(path: bytes, old: bytes, new: bytes) -> bytes:
    """Return what ``path``, which lies in ``old``, is called when that is called ``new``."""
    rest = path[len(old) :].lstrip(b"/")
    return join(new, rest) if rest else new


def _plain(field: bytes) -> bytes:
    """Return a field without its escapes, a backslash and three octal digits."""
    first, *others = field.split(b"\\")
    return first + b"".join(bytes((int(part[:3], 8),)) + part[3:] for part in others)
