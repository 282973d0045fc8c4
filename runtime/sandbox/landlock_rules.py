"""Landlock: from the grants of a launch to one ruleset descriptor, and to the restriction itself.

The ruleset is built in the supervisor, from the very descriptors that were judged, and inherited by the
child, which needs a single system call to live under it. It *handles* (so refuses) every file right that
the running kernel knows, and gives back only what a grant says (design 3, "What the child must not have").
"""

from __future__ import annotations

import errno
import functools
import os
from typing import TYPE_CHECKING

from runtime.capability.capabilities import Access, Network
from runtime.errors import EnforcementError
from runtime.kernel import syscalls
from runtime.kernel.path_names import is_beneath

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.capability.grants import OpenGrant

# Of linux/landlock.h: LANDLOCK_ACCESS_FS_*.
_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_REMOVE_DIR = 1 << 4
_REMOVE_FILE = 1 << 5
_MAKE_DIR = 1 << 7
_MAKE_REG = 1 << 8
_MAKE_SOCK = 1 << 9
_MAKE_FIFO = 1 << 10
_MAKE_SYM = 1 << 12
_REFER = 1 << 13
_TRUNCATE = 1 << 14
_IOCTL_DEV = 1 << 15
_RESOLVE_UNIX = 1 << 16

# The rights that came with each ABI (linux/landlock.h). What is handled and never granted is refused
# everywhere: MAKE_CHAR, MAKE_BLOCK, and connecting to a UNIX socket by its path.
_RIGHTS_SINCE = (
    (1, (1 << 13) - 1),
    (2, _REFER),
    (3, _TRUNCATE),
    (5, _IOCTL_DEV),
    (9, _RESOLVE_UNIX),
)
ABI_NETWORK = 4
"""The first ABI that knows TCP ports."""
_ABI_SCOPES = 6
_CONNECT_TCP = 1 << 1
_NETWORK_BIND_CONNECT_TCP = 1 << 0 | _CONNECT_TCP
_SCOPE_SIGNAL = 1 << 1
_SCOPE_ABSTRACT_UNIX_SIGNAL = 1 << 0 | _SCOPE_SIGNAL
# Refusals are the purpose of that domain, hundreds at once, and no news for an audit log (ABI 7).
_ABI_LOG_FLAGS = 7
_LOG_SAME_EXEC_OFF = 1 << 0
_LOG_NEW_EXEC_ON = 1 << 1

# Of the default grants: they are the same for each launch of a program.
_MOST_RIGHTS = 256

_FILE_READ = _READ_FILE | _EXECUTE
_DIRECTORY_READ = _FILE_READ | _READ_DIR
_FILE_WRITE = _WRITE_FILE | _TRUNCATE
_DIRECTORY_WRITE = (
    _FILE_WRITE
    | _REMOVE_DIR
    | _REMOVE_FILE
    | _MAKE_DIR
    | _MAKE_REG
    | _MAKE_SOCK
    | _MAKE_FIFO
    | _MAKE_SYM
    | _REFER
)


def handled_rights(abi: int) -> int:
    """Return every file right that ``abi`` knows, as far as this program knows them."""
    rights = 0
    for since, added in _RIGHTS_SINCE:
        if abi >= since:
            rights |= added
    return rights


@functools.lru_cache(_MOST_RIGHTS)
def granted_rights(path: bytes, access: Access, *, directory: bool) -> int:
    """Return the rights that a grant gives, of all that there are (the ABI may know fewer).

    ioctl on devices comes with write access to a device's own file, and to directories beneath /dev;
    elsewhere no device can be made (MAKE_CHAR and MAKE_BLOCK are never given).
    """
    rights = 0
    if access.covers(Access.READ):
        rights |= _DIRECTORY_READ if directory else _FILE_READ
    if access.covers(Access.WRITE):
        rights |= _DIRECTORY_WRITE if directory else _FILE_WRITE
        if not directory or is_beneath(path, b"/dev"):
            rights |= _IOCTL_DEV
    return rights


def needed_rights(*, reads: bool, writes: bool, executes: bool, directory: bool, missing: bool) -> int:
    """Return the rights that the kernel asks for, of what is there, or of the directory where it would be.

    Truncating is part of writing, as it is of every grant for writing.

    Args:
        reads: open for reading; of a directory: list it.
        writes: open for writing; of a directory: make and remove what is in it.
        executes: execute it; to pass through a directory needs no right.
        directory: whether it is one.
        missing: whether it would be made.
    """
    rights = 0
    if reads:
        rights |= _READ_DIR if directory else _READ_FILE
    if writes:
        rights |= _DIRECTORY_WRITE & ~_FILE_WRITE if directory else _FILE_WRITE
        if missing:
            rights |= _MAKE_REG
    if executes and not directory:
        rights |= _EXECUTE
    return rights


def build(
    grants: Iterable[OpenGrant],
    network: Network,
    *,
    abi: int,
    connect: Iterable[int] = (),
    executables: Iterable[int] = (),
    sockets: bool = False,
) -> int:
    """Return a close-on-exec descriptor of a ruleset that allows the grants and nothing else.

    Unless the network is open, TCP bind and connect are taken away, from ABI 4. Binding is never given back:
    the kernel would let a socket without a port listen on any, so ``mediation`` does both for the command.

    Args:
        grants: each with the descriptor that was judged; it is used as it is and stays open.
        network: the network mode.
        abi: what the running kernel knows, from ``abi()``.
        connect: the TCP ports that may be connected to, where the network is ``ports``.
        executables: descriptors of files that may be read and executed besides, because execveat(2)
            checks the path of an opened descriptor again.
        sockets: whether UNIX sockets are granted. Then none can be made, linked or renamed by the command
            itself: one that is not granted could be put where one is.

    Raises:
        EnforcementError: the kernel refused the ruleset or a rule; the message names the path.
    """
    handled = handled_rights(abi)
    closed = _NETWORK_BIND_CONNECT_TCP if network is not Network.ALL and abi >= ABI_NETWORK else 0
    scopes = _SCOPE_ABSTRACT_UNIX_SIGNAL if abi >= _ABI_SCOPES else 0
    try:
        ruleset = syscalls.landlock_create_ruleset(handled, closed, scopes)
    except OSError as error:
        raise EnforcementError(f"cannot make a Landlock ruleset: {error.strerror}") from error
    try:
        for opened in grants:
            grant = opened.grant
            rights = granted_rights(grant.path, grant.access, directory=grant.directory)
            if sockets:
                rights &= ~_MAKE_SOCK
            _allow(ruleset, opened.descriptor, rights & handled, grant.path)
        for descriptor in executables:
            _allow(ruleset, descriptor, _FILE_READ & handled, b"the executable")
        for port in connect:
            _allow_connecting(ruleset, port)
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset


def _allow(ruleset: int, descriptor: int, rights: int, path: bytes) -> None:
    try:
        syscalls.landlock_allow_beneath(ruleset, descriptor, rights)
    except OSError as error:
        shown = path.decode("utf-8", "backslashreplace")
        raise EnforcementError(f"cannot allow {shown}: {error.strerror}") from error


def _allow_connecting(ruleset: int, port: int) -> None:
    try:
        syscalls.landlock_allow_port(ruleset, port, _CONNECT_TCP)
    except OSError as error:
        raise EnforcementError(f"cannot allow the port {port}: {error.strerror}") from error


def restrict_self(ruleset: int, abi: int, *, logged: bool) -> None:
    """Put the calling thread, and all that it starts, under a ruleset for good.

    Args:
        ruleset: its descriptor.
        abi: what the running kernel knows.
        logged: whether the kernel writes what it refuses into its audit stream, where that is on and the
            kernel can (ABI 7): of programs that are executed later as well, which otherwise it does not.

    Raises:
        OSError: EPERM without no_new_privs and CAP_SYS_ADMIN, E2BIG beneath 16 layers.
    """
    syscalls.landlock_restrict_self(ruleset, _LOG_NEW_EXEC_ON if logged and abi >= _ABI_LOG_FLAGS else 0)


def confine_sockets(directory: int) -> None:
    """Put the calling thread into a domain in which it can make UNIX sockets beneath ``directory`` alone.

    Nothing else is restricted by it.

    Raises:
        OSError: EPERM without no_new_privs and CAP_SYS_ADMIN, E2BIG beneath 16 layers.
    """
    ruleset = syscalls.landlock_create_ruleset(_MAKE_SOCK, 0, 0)
    try:
        syscalls.landlock_allow_beneath(ruleset, directory, _MAKE_SOCK)
        syscalls.landlock_restrict_self(ruleset)
    finally:
        os.close(ruleset)


def confine_signals(abi: int) -> None:
    """Put the calling thread, and all that it starts, into a domain that it can send no signal out of.

    Nothing else is restricted by it. Linking and renaming between directories (REFER) is the one right that a
    domain takes away without handling it, as soon as another domain handles files: so it is handled here, and
    given back for everything.

    Raises:
        OSError: ENOMSG before ABI 6, EPERM without no_new_privs and CAP_SYS_ADMIN, E2BIG beneath 16 layers.
    """
    if abi < _ABI_SCOPES:
        raise OSError(errno.ENOMSG, os.strerror(errno.ENOMSG))
    ruleset = syscalls.landlock_create_ruleset(_REFER, 0, _SCOPE_SIGNAL)
    try:
        root = os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syscalls.landlock_allow_beneath(ruleset, root, _REFER)
        finally:
            os.close(root)
        syscalls.landlock_restrict_self(ruleset, _LOG_SAME_EXEC_OFF if abi >= _ABI_LOG_FLAGS else 0)
    finally:
        os.close(ruleset)
