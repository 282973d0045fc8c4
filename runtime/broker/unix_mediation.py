"""UNIX sockets that the monitor connects and binds for the command, where some are granted.

Neither Landlock nor a filter sees which socket a path leads to. The monitor resolves the path as the thread
that asks would, from the directory that it is in, to an open descriptor; looks for *that* object in the
directories that were opened when the grants were judged; and connects to what it found there. No path is
resolved twice, so nothing can be exchanged in between, and no link into procfs is followed, where a process
finds its own files. A process never changes its root: the filter refuses that.

A socket is bound by a process forked for it, which takes on the directory and the umask of the thread that
asks and can make sockets beneath the judged directory alone (Landlock): so it binds to the very name that was
given, which getsockname(2) and others will say, without trusting that it still leads there. The command
cannot make, link or rename sockets itself, which would put one that is not granted where one is.

Names without a path (abstract ones, and those that the kernel chooses) are refused. Imported before the fork.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import attest.printable_text  # noqa: F401  # what shown() needs for some names: nothing is imported later
from attest.named_tuples import NamedTuple
from runtime.broker import decisions
from runtime.broker.asking_thread import refuse
from runtime.capability.capabilities import Reach
from runtime.kernel import syscalls
from runtime.kernel.path_names import is_beneath, shown
from runtime.sandbox import landlock_rules

if TYPE_CHECKING:
    from runtime.broker.asking_thread import Identity
    from runtime.broker.monitor_helpers import Helpers
    from runtime.capability.unix_sockets import OpenSocketGrant

_FAMILY = int(_socket.AF_UNIX).to_bytes(2, sys.byteorder)
_LARGEST_ADDRESS = 2 + 108  # struct sockaddr_un
_LARGEST_BACKLOG = 0x7FFFFFFF
_BIND_SECONDS = 2.0
"""How long a bind may take: a file system can fail to answer."""
_NO_NAMES = (b"", b".", b"..")
_INSIDE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS


class SocketJudge:
    """Finds what the grants of a launch allow.

    Args:
        grants: with the directories that were judged.
        helpers: of the monitor.
    """

    def __init__(self, grants: tuple[OpenSocketGrant, ...], helpers: Helpers) -> None:
        self._grants = grants
        self._helpers = helpers

    def target(self, address: bytes, directory: int) -> tuple[bytes, int]:
        """Return the granted socket to which ``address`` leads.

        Args:
            address: as the thread gave it.
            directory: descriptor of the directory that the thread is in.

        Returns:
            The address that leads to that very socket, and the open descriptor that it names.

        Raises:
            OSError: it is not granted, or does not exist, or is no socket.
        """
        path = _path(address, "connect")
        found = _open(path, directory, os.O_PATH, "connect")
        try:
            status = os.fstat(found)
            if not stat.S_ISSOCK(status.st_mode):
                raise refuse(errno.ECONNREFUSED)  # as the kernel says
            there = _where(found)
            for each in self._grants:
                inner = _inner(each, there)
                same = None if inner is None else _same(each.directory, inner, status, os.O_PATH)
                if same is not None:
                    return _FAMILY + b"/proc/self/fd/%d\0" % same, same
        finally:
            os.close(found)
        raise _refusal("connect", there, "that socket is not granted; --allow-unix-socket {} would")

    def bind(self, socket: _socket.socket, address: bytes, directory: int, identity: Identity) -> None:
        """Bind ``socket`` to ``address``, which makes it in the file system.

        Args:
            socket: taken from the thread that asks.
            address: as the thread gave it.
            directory: descriptor of the directory that the thread is in.
            identity: of the thread; of it only the umask is taken on.

        Raises:
            OSError: it is not granted, or the kernel refused.
        """
        if len(address) == len(_FAMILY) and address == _FAMILY:
            raise _refusal("bind", b"@", "a name that the kernel chooses cannot be granted")
        path = _path(address, "bind")
        within, slash, name = path.rpartition(b"/")
        if name in _NO_NAMES:
            raise refuse(errno.EINVAL)
        parent = _open(within or (slash or b"."), directory, os.O_PATH | os.O_DIRECTORY, "bind")
        try:
            status = os.fstat(parent)
            there = _where(parent)
            if not any(_allows(each, there, status, name) for each in self._grants):
                wanted = there.rstrip(b"/") + b"/" + name
                raise _refusal(
                    "bind", wanted, "making a socket there is not granted; --allow-unix-socket-bind {} would"
                )
            error = self._bind_apart(_Bind(socket.fileno(), address, directory, parent, name, identity.umask))
        finally:
            os.close(parent)
        if error:
            raise refuse(error)

    def _bind_apart(self, wanted: _Bind) -> int:
        """Bind in a process that can make sockets there alone; return the errno, or 0."""
        said, say = os.pipe()

        def bind() -> None:
            try:
                error = _bind_confined(wanted)
            except OSError as failure:
                error = failure.errno or errno.EACCES
            os.write(say, bytes((error,)))

        try:
            pid = self._helpers.start(bind, {wanted.descriptor, wanted.directory, wanted.parent, say})
            os.close(say)
            if pid is None:
                return errno.EAGAIN
            poll = select.poll()
            poll.register(said, select.POLLIN)
            if not poll.poll(_BIND_SECONDS * 1_000):
                self._helpers.kill(pid)
            answer = os.read(said, 1)
            return answer[0] if answer else errno.EIO
        finally:
            os.close(said)

    @staticmethod
    def listen(socket: _socket.socket, backlog: int) -> None:
        """Listen on ``socket``, which has the name that a bind gave it.

        Raises:
            OSError: it has none, or one without a path.
        """
        # A path is only given by a bind, and none was without a grant; a name once given stays.
        name = socket.getsockname()
        if not name:
            raise refuse(errno.EINVAL)
        if not isinstance(name, str):
            raise _refusal("bind", b"@" + name[1:], "names without a path cannot be granted")
        socket.listen(backlog if backlog >= 0 else _LARGEST_BACKLOG)


def _path(address: bytes, verb: str) -> bytes:
    """Return the path in an address, as the kernel takes it (unix(7))."""
    if not len(_FAMILY) < len(address) <= _LARGEST_ADDRESS or not address.startswith(_FAMILY):
        raise refuse(errno.EINVAL)
    if address[2] == 0:
        raise _refusal(verb, b"@" + address[3:], "names without a path cannot be granted")
    return address[2:].partition(b"\0")[0]


def _open(path: bytes, directory: int, flags: int, verb: str) -> int:
    try:
        return syscalls.openat2(directory, path, flags, syscalls.RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise _refusal(verb, path, "its path leads through a link of procfs, or in a circle") from None


def _where(descriptor: int) -> bytes:
    return os.readlink(b"/proc/self/fd/%d" % descriptor)


def _inner(each: OpenSocketGrant, path: bytes) -> bytes | None:
    """Return the way from a grant's directory to ``path`` where that can be one that it reaches."""
    name = path.rpartition(b"/")[2]
    if each.grant.reach is Reach.SOCKET:
        return name if name == each.name else None
    if each.grant.reach is Reach.DIRECTORY:
        return name
    above = _where(each.directory)
    return path[len(above.rstrip(b"/")) + 1 :] if path != above and is_beneath(path, above) else None


def _same(directory: int, inner: bytes, status: os.stat_result, flags: int) -> int | None:
    """Return a descriptor of what lies at ``inner`` in a directory, if it is what ``status`` is of."""
    try:
        found = syscalls.openat2(directory, inner, flags | os.O_NOFOLLOW, _INSIDE)
    except OSError:
        return None
    if os.path.samestat(os.fstat(found), status):
        return found
    os.close(found)
    return None


def _allows(each: OpenSocketGrant, parent: bytes, status: os.stat_result, name: bytes) -> bool:
    """Return whether a grant lets a socket of this name be made in the directory ``parent``."""
    if not each.grant.bind:
        return False
    if os.path.samestat(os.fstat(each.directory), status):
        return each.grant.reach is not Reach.SOCKET or name == each.name
    if each.grant.reach is not Reach.SUBTREE:
        return False
    inner = _inner(each, parent)
    found = None if inner is None else _same(each.directory, inner, status, os.O_PATH | os.O_DIRECTORY)
    if found is None:
        return False
    os.close(found)
    return True


class _Bind(NamedTuple):
    """One bind: of which socket to which address, from where, and what was judged: a name in a directory."""

    descriptor: int
    address: bytes
    directory: int
    parent: int
    name: bytes
    umask: int


def _bind_confined(wanted: _Bind) -> int:
    with suppress(FileNotFoundError):
        os.stat(wanted.name, dir_fd=wanted.parent, follow_symlinks=False)
        return errno.EADDRINUSE
    landlock_rules.confine_sockets(wanted.parent)
    os.fchdir(wanted.directory)
    os.umask(wanted.umask)
    error = syscalls.bind(wanted.descriptor, wanted.address)
    if error:
        return error
    # Beneath the judged directory is not yet in it. One bind at a time, and nobody in the sandbox can make a
    # socket in another way: what is there now is what was bound.
    try:
        made = os.stat(wanted.name, dir_fd=wanted.parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        made = 0
    if not stat.S_ISSOCK(made):
        # Whoever connects to it is refused.
        _socket.socket(fileno=wanted.descriptor).shutdown(_socket.SHUT_RDWR)
        return errno.EACCES
    return 0


def _refusal(verb: str, subject: bytes, reason: str) -> decisions.RefusedError:
    return decisions.RefusedError(
        errno.EACCES,
        decisions.UNIX_SOCKET,
        verb.encode() + b" " + subject,
        reason.format(shown(subject)),
    )
