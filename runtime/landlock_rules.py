"""Landlock: from the grants of a launch to one ruleset descriptor, and to the restriction itself.

The ruleset is built in the supervisor, from the very descriptors that were judged, and inherited by the
child, which needs a single system call to live under it. It *handles* (so refuses) every file right that
the running kernel knows, and gives back only what a grant says (design 3, "What the child must not have").

The three system calls come from the ``landlock`` package. Its way of reporting errors has to be worked
around: it looks at errno rather than at the result, so errno is cleared before each call; its error's
``repr`` raises and its diagnosis may fail to parse the kernel's release, so both become a plain OSError.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING

from landlock import plumbing

from runtime.capabilities import Access, Network, is_beneath
from runtime.errors import EnforcementError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtime.grants import OpenGrant

_Right = plumbing.FSAccess

# The rights that came with each ABI (linux/landlock.h). What is handled and never granted is refused
# everywhere: MAKE_CHAR, MAKE_BLOCK, and connecting to a UNIX socket by its path.
_RESOLVE_UNIX = 1 << 16
_RIGHTS_SINCE = (
    (1, (1 << 13) - 1),
    (2, int(_Right.REFER)),
    (3, int(_Right.TRUNCATE)),
    (5, int(_Right.IOCTL_DEV)),
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

_READ_FILE = int(_Right.READ_FILE | _Right.EXECUTE)
_READ_DIRECTORY = _READ_FILE | int(_Right.READ_DIR)
_WRITE_FILE = int(_Right.WRITE_FILE | _Right.TRUNCATE)
_WRITE_DIRECTORY = _WRITE_FILE | int(
    _Right.REMOVE_DIR
    | _Right.REMOVE_FILE
    | _Right.MAKE_DIR
    | _Right.MAKE_REG
    | _Right.MAKE_SOCK
    | _Right.MAKE_FIFO
    | _Right.MAKE_SYM
    | _Right.REFER
)
_IOCTL = int(_Right.IOCTL_DEV)

_RULE_PATH_BENEATH = 1
_RULE_NET_PORT = 2


class _RulesetAttr(plumbing.RulesetAttr):  # type: ignore[misc]  # the package has no type information
    """The package knows ABI 1 to 5 without the network; these are the rest of landlock_ruleset_attr."""

    _fields_ = (("handled_access_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _NetPortAttr(ctypes.Structure):
    """struct landlock_net_port_attr; the port is in the host's byte order."""

    _fields_ = (("allowed_access", ctypes.c_uint64), ("port", ctypes.c_uint64))


# Looked up now, so that nothing is resolved for the first time after the fork.
_create_ruleset = plumbing.get_create_ruleset()
_add_rule = plumbing.get_add_rule()
_restrict_self = plumbing.get_restrict_self()


def _call(name: str, function: Callable[..., int], *arguments: object) -> int:
    ctypes.set_errno(0)
    try:
        return int(function(*arguments))
    except (OSError, ValueError):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}") from None


def abi() -> int:
    """Return the Landlock ABI of the running kernel, asked anew each time.

    Raises:
        OSError: ENOSYS without Landlock in the kernel, EOPNOTSUPP when it was not enabled at boot,
            EPERM where a container's filter refuses it.
    """
    return _call("landlock_create_ruleset", _create_ruleset, None, 0, plumbing.CREATE_RULESET_VERSION)


def handled_rights(abi: int) -> int:
    """Return every file right that ``abi`` knows, as far as this program knows them."""
    rights = 0
    for since, added in _RIGHTS_SINCE:
        if abi >= since:
            rights |= added
    return rights


def granted_rights(path: bytes, access: Access, *, directory: bool) -> int:
    """Return the rights that a grant gives, of all that there are (the ABI may know fewer).

    ioctl on devices comes with write access to a device's own file, and to directories beneath /dev;
    elsewhere no device can be made (MAKE_CHAR and MAKE_BLOCK are never given).
    """
    rights = 0
    if access.covers(Access.READ):
        rights |= _READ_DIRECTORY if directory else _READ_FILE
    if access.covers(Access.WRITE):
        rights |= _WRITE_DIRECTORY if directory else _WRITE_FILE
        if not directory or is_beneath(path, b"/dev"):
            rights |= _IOCTL
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
    attributes = _RulesetAttr(
        handled,
        _NETWORK_BIND_CONNECT_TCP if network is not Network.ALL and abi >= ABI_NETWORK else 0,
        _SCOPE_ABSTRACT_UNIX_SIGNAL if abi >= _ABI_SCOPES else 0,
    )
    try:
        size = ctypes.sizeof(attributes)
        ruleset = _call("landlock_create_ruleset", _create_ruleset, ctypes.byref(attributes), size, 0)
    except OSError as error:
        raise EnforcementError(f"cannot make a Landlock ruleset: {error.strerror}") from error
    try:
        for opened in grants:
            grant = opened.grant
            rights = granted_rights(grant.path, grant.access, directory=grant.directory)
            if sockets:
                rights &= ~int(_Right.MAKE_SOCK)
            _allow(ruleset, opened.descriptor, rights & handled, grant.path)
        for descriptor in executables:
            _allow(ruleset, descriptor, _READ_FILE & handled, b"the executable")
        for port in connect:
            _allow_connecting(ruleset, port)
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset


def _allow(ruleset: int, descriptor: int, rights: int, path: bytes) -> None:
    rule = plumbing.PathBeneathAttr(rights, descriptor)
    try:
        _call("landlock_add_rule", _add_rule, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    except OSError as error:
        shown = path.decode("utf-8", "backslashreplace")
        raise EnforcementError(f"cannot allow {shown}: {error.strerror}") from error


def _allow_connecting(ruleset: int, port: int) -> None:
    rule = _NetPortAttr(_CONNECT_TCP, port)
    # The package knows rules on paths alone, and takes no pointer to another.
    pointer = ctypes.cast(ctypes.pointer(rule), ctypes.POINTER(plumbing.PathBeneathAttr))
    try:
        _call("landlock_add_rule", _add_rule, ruleset, _RULE_NET_PORT, pointer, 0)
    except OSError as error:
        raise EnforcementError(f"cannot allow the port {port}: {error.strerror}") from error


def restrict(ruleset: int) -> None:
    """Put the calling thread, and all that it starts, under ``ruleset`` for good.

    Raises:
        OSError: EPERM without no_new_privs and CAP_SYS_ADMIN, E2BIG beneath 16 other layers.
    """
    _call("landlock_restrict_self", _restrict_self, ruleset, 0)


def confine_sockets(directory: int) -> None:
    """Put the calling thread into a domain in which it can make UNIX sockets beneath ``directory`` alone.

    Nothing else is restricted by it.

    Raises:
        OSError: EPERM without no_new_privs and CAP_SYS_ADMIN, E2BIG beneath 16 layers.
    """
    making = int(_Right.MAKE_SOCK)
    attributes = _RulesetAttr(making, 0, 0)
    size = ctypes.sizeof(attributes)
    ruleset = _call("landlock_create_ruleset", _create_ruleset, ctypes.byref(attributes), size, 0)
    try:
        rule = plumbing.PathBeneathAttr(making, directory)
        _call("landlock_add_rule", _add_rule, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
        _call("landlock_restrict_self", _restrict_self, ruleset, 0)
    finally:
        os.close(ruleset)


def confine_signals(abi: int) -> None:
    """Put the calling thread, and all that it starts, into a domain that it can send no signal out of.

    Nothing else is restricted by it.

    Raises:
        OSError: ENOMSG before ABI 6, EPERM without no_new_privs and CAP_SYS_ADMIN, E2BIG beneath 16 layers.
    """
    if abi < _ABI_SCOPES:
        raise OSError(errno.ENOMSG, os.strerror(errno.ENOMSG))
    attributes = _RulesetAttr(0, 0, _SCOPE_SIGNAL)
    size = ctypes.sizeof(attributes)
    ruleset = _call("landlock_create_ruleset", _create_ruleset, ctypes.byref(attributes), size, 0)
    try:
        flags = _LOG_SAME_EXEC_OFF if abi >= _ABI_LOG_FLAGS else 0
        _call("landlock_restrict_self", _restrict_self, ruleset, flags)
    finally:
        os.close(ruleset)
