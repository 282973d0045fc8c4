"""Control groups (cgroups(7)) for one launch: where they can be made, made, and removed again.

**Version 2** has one tree. A group of it can be made right below nono's own, and has an account of CPU time
and ``cgroup.kill`` without further ado. Limits of memory and processes come from *controllers*, which the
group above has to hand down, and it may do so only while no process is in it itself. So they are to be had
where

1. the group of nono hands them down already, or is the root of the tree, where root may switch that on; or
2. nono is alone in a group that it may write to (``systemd-run --scope -p Delegate=yes``): it then moves
   into one below, where it stays; or
3. nono is in such a group already: one of ours, or one below what systemd has delegated
   (``DelegateSubgroup=``).

Nothing outside of what was delegated is used, although root could: the launch would be free of the limits of
the group that nono runs in.

**Version 1** has a tree for each controller, with none of these rules: the group is made below nono's own.

A group's name is 128 random bits, and whoever makes one holds a lock on it (flock(2)), as do the processes
that it forks: a group of this name without a lock and without processes was left by a launch that was killed,
and the next launch there removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import signal
import time
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.kernel.mounts import Mounts
from runtime.kernel.path_names import is_beneath, join

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.kernel.mounts import Mount

_NAME = re.compile(rb"nono-[0-9a-f]{32}(\.supervisor)?")
_SUPERVISOR = b".supervisor"
_DELEGATED = ("user.delegate", "trusted.delegate")  # xattr(7) that systemd sets
_READ_BYTES = 65_536
_ATTEMPTS = 8
_KILL_SECONDS = 2.0
_KILL_PAUSE = 0.002


class UnavailableError(Exception):
    """No group can be made for this.

    Attributes:
        number: the errno of what was refused, 0 for what is missing.
    """

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


class Own(NamedTuple):
    """The groups that this process is in, as paths in mounted trees.

    Attributes:
        unified: that of version 2, None where it cannot be seen.
        by_controller: those of version 1.
    """

    unified: bytes | None
    by_controller: dict[bytes, bytes]


def own() -> Own:
    """Return the groups that this process is in."""
    with open("/proc/self/cgroup", "rb") as file:
        text = file.read()
    return located(text, Mounts.read())


def located(text: bytes, mounts: Mounts) -> Own:
    """Return where groups can be seen.

    Args:
        text: what ``/proc/PID/cgroup`` says.
        mounts: the mounts of this process.
    """
    trees = [mount for mount in mounts.beneath(b"/") if mount.kind in (b"cgroup", b"cgroup2")]
    unified: bytes | None = None
    by_controller: dict[bytes, bytes] = {}
    for line in text.split(b"\n"):
        number, _, rest = line.partition(b":")
        controllers, _, path = rest.partition(b":")
        if number == b"0" and not controllers:
            unified = _seen(path, (tree for tree in trees if tree.kind == b"cgroup2"))
            continue
        for controller in filter(None, controllers.split(b",")):
            holding = (t for t in trees if t.kind == b"cgroup" and controller in t.options.split(b","))
            if (found := _seen(path, holding)) is not None:
                by_controller[controller] = found
    return Own(unified, by_controller)


def _seen(path: bytes, trees: Iterable[Mount]) -> bytes | None:
    """Return at which path a group is seen; None for one outside of what is mounted, or beneath a mount."""
    for tree in trees:
        # One of another cgroup namespace begins with /.. (cgroup_namespaces(7)).
        if not is_beneath(path, tree.root) or path.startswith(b"/.."):
            continue
        found = join(tree.at, path[len(tree.root) :].lstrip(b"/")) if path != tree.root else tree.at
        with contextlib.suppress(OSError):
            device = os.stat(found).st_dev
            if b"%d:%d" % (os.major(device), os.minor(device)) == tree.device:
                return found
    return None


class Cgroup:
    """One group; whoever made it removes it.

    Attributes:
        path: where it is.
        descriptor: it, open and locked.
    """

    def __init__(self, path: bytes, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def read(self, name: str) -> bytes:
        """Return what one of its files says.

        Raises:
            OSError: it is not there, or the group is gone.
        """
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.descriptor)
        try:
            return os.read(descriptor, _READ_BYTES)
        finally:
            os.close(descriptor)

    def write(self, name: str, text: bytes) -> None:
        """Write to one of its files.

        Raises:
            OSError: it is not there, or the kernel refuses what is written.
        """
        descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.descriptor)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)

    def has(self, name: str) -> bool:
        """Return whether it has such a file."""
        try:
            os.stat(name, dir_fd=self.descriptor)
        except OSError:
            return False
        return True

    def number(self, name: str, key: str) -> int:
        """Return a number of a file with a name and a number in each line; 0 where it is not there."""
        try:
            for line in self.read(name).decode("ascii").splitlines():
                found, _, value = line.partition(" ")
                if found == key:
                    return int(value)
        except (OSError, ValueError):
            pass
        return 0

    def enter(self, pid: int) -> None:
        """Move a process into it.

        Raises:
            OSError: the kernel refuses.
        """
        self.write("cgroup.procs", b"%d" % pid)

    def members(self) -> frozenset[int]:
        """Return the processes in it; none where it is gone."""
        try:
            return frozenset(int(pid) for pid in self.read("cgroup.procs").split())
        except OSError:
            return frozenset()

    def kill(self) -> bool:
        """Kill whatever is in it, within a bounded while; return whether nothing is left."""
        deadline = time.monotonic() + _KILL_SECONDS
        while members := self.members():
            if time.monotonic() > deadline:
                return False
            try:
                self.write("cgroup.kill", b"1")
            except OSError:  # version 1, or before Linux 5.14
                self._kill_each(members)
            time.sleep(_KILL_PAUSE)
        return True

    def _kill_each(self, members: frozenset[int]) -> None:
        for pid in members:
            with contextlib.suppress(OSError):
                descriptor = os.pidfd_open(pid)
                try:
                    # Only now is the number its own, so only now can be said that it is in here.
                    if pid in self.members():
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                finally:
                    os.close(descriptor)

    def remove(self) -> bool:
        """Remove it, if nothing is in it; return whether it is gone. Again does nothing."""
        if self.descriptor < 0:
            return True
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        self.close()
        return True

    def close(self) -> None:
        """Let it be: whoever finds it empty removes it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def make(parent: bytes, suffix: bytes = b"") -> Cgroup:
    """Make a group below ``parent``, and remove what dead launches left there.

    Raises:
        UnavailableError: the kernel refuses.
    """
    _clear(parent)
    for _ in range(_ATTEMPTS):
        path = os.path.join(parent, b"nono-" + os.urandom(16).hex().encode() + suffix)
        try:
            os.mkdir(path, 0o700)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # cleared away before it was locked, or the parent itself is gone
            if os.path.isdir(parent):
                continue
            raise UnavailableError("the group of nono is gone", errno.ENOENT) from None
        except OSError as error:
            raise UnavailableError(os.strerror(error.errno or 0).lower(), error.errno or 0) from None
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return Cgroup(path, descriptor)
        os.close(descriptor)
    raise UnavailableError("what is made there is removed at once", errno.ENOENT)


def _clear(parent: bytes) -> None:
    """Remove what launches left that were killed: groups of ours that nobody has locked and nothing is in."""
    try:
        names = [name for name in os.listdir(parent) if _NAME.fullmatch(name)]
    except OSError:
        return
    for name in names:
        path = os.path.join(parent, name)
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.rmdir(path)
            finally:
                os.close(descriptor)


def handing_down(group: bytes, controllers: frozenset[bytes]) -> bytes:
    """Return the group of version 2 below which one has these controllers, having arranged for it.

    Args:
        group: the group that this process is in.
        controllers: names of controllers; none for a group that only counts.

    Raises:
        UnavailableError: there is none; the message says why.
    """
    if controllers <= _words(group, b"cgroup.subtree_control"):
        return group
    parent = os.path.dirname(group)
    if controllers <= _words(parent, b"cgroup.controllers") and _is_delegated(group, parent):
        _hand_down(parent, controllers)
        return parent
    if missing := controllers - _words(group, b"cgroup.controllers"):
        names = b" and ".join(sorted(missing)).decode("ascii", "replace")
        raise UnavailableError(f"the group has no controller for {names}")
    # The root of the tree alone has no events, and may have processes and hand controllers down.
    if os.path.exists(os.path.join(group, b"cgroup.events")):
        _stand_below(group)
    _hand_down(group, controllers)
    return group


def _is_delegated(group: bytes, parent: bytes) -> bool:
    """Return whether the group above was given to us, to make groups in as we like."""
    name = os.path.basename(group)
    if _NAME.fullmatch(name) and name.endswith(_SUPERVISOR):
        return True
    for attribute in _DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(parent, attribute) == b"1":
                return True
    return False


def _stand_below(group: bytes) -> None:
    """Move this process from a group that it is alone in into one below, so that the group has no process.

    Raises:
        UnavailableError: it is not alone, or the kernel refuses.
    """
    others = _words(group, b"cgroup.procs") - {b"%d" % os.getpid()}
    if others:
        raise UnavailableError("other processes are in the group of nono, too", errno.EBUSY)
    below = make(group, _SUPERVISOR)
    try:
        below.enter(os.getpid())
    except OSError as error:
        below.remove()
        raise UnavailableError(os.strerror(error.errno or 0).lower(), error.errno or 0) from None
    below.close()


def _hand_down(group: bytes, controllers: frozenset[bytes]) -> None:
    text = b" ".join(b"+" + name for name in sorted(controllers))
    try:
        descriptor = os.open(os.path.join(group, b"cgroup.subtree_control"), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UnavailableError(os.strerror(error.errno or 0).lower(), error.errno or 0) from None


def _words(group: bytes, name: bytes) -> frozenset[bytes]:
    try:
        with open(os.path.join(group, name), "rb") as file:
            return frozenset(file.read().split())
    except OSError:
        return frozenset()
