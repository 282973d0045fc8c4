"""Reading a capability state file (``capability_file``), as an answer inside a sandbox needs it.

``NONO_CAP_FILE`` is a variable, which anybody in there can set, so the file is hostile: it is opened without
following a link or waiting for anybody, its size is bounded, and what it says is parsed into the capability
set and must be what that writes again, byte for byte.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from attest import canonical
from attest.errors import MalformedError
from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import (
    SYSV,
    Access,
    CapabilitySet,
    FileGrant,
    Network,
    Reach,
    SocketGrant,
    ports,
)
from runtime.capability.capability_file import VERSION, Around, Judged, Layer, state_bytes
from runtime.capability.session import is_session_id
from runtime.errors import StateFileError
from runtime.kernel.bounded_reading import read_bounded
from runtime.kernel.path_names import shown

MAX_BYTES = 4 << 20
"""More than any launch can be granted: thousands of grants on the longest paths."""

MAX_LAYERS = 16
"""Landlock stacks no more (``landlock_restrict_self(2)``, E2BIG)."""

_MEMBERS = frozenset({"bypass", "closed", "denied_by", "elevates", "layers", "obeyed", "unread", "version"})
_MEMBERS_OF_A_LAYER = frozenset({"capabilities", "identities", "session"})


class LaunchState(NamedTuple):
    """What a launch may do, said inside of it.

    Attributes:
        own: the launch itself.
        around: those around it.
        judged: what decided about its grants.
    """

    own: Layer
    around: Around
    judged: Judged


def launches_around(path: bytes | None, session: str) -> Around:
    """Return the launches around one that is about to begin.

    Args:
        path: what ``NONO_CAP_FILE`` says, None where it says nothing.
        session: the session of the launch right around it.
    """
    try:
        state = read_state(path or b"")
    except StateFileError:
        return Around((), session)
    if state.own.session != session:
        return Around((), session)
    return Around((state.own, *state.around.layers)[: MAX_LAYERS - 1], state.around.unread)


def read_state(path: bytes) -> LaunchState:
    """Read the state file of this launch.

    Raises:
        StateFileError: it cannot be read, somebody else could write it, or it is no such file.
    """
    data = _read(path)
    try:
        return _parsed(data)
    except (MalformedError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateFileError(f"{shown(path)} is no capability state file: {_why(error)}") from None


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, MalformedError) else "something in it has another form"


def _read(path: bytes) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "a path with a NUL byte"
        raise StateFileError(f"cannot read the capability state file {shown(path)}: {why}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StateFileError(f"{shown(path)} is no regular file")
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise StateFileError(f"{shown(path)} could have been written by another user")
        data = read_bounded(descriptor, MAX_BYTES)
    except OSError as error:
        raise StateFileError(f"cannot read {shown(path)}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if data is None:
        raise StateFileError(f"{shown(path)} is larger than {MAX_BYTES} bytes")
    return data


def _parsed(data: bytes) -> LaunchState:
    document: dict[str, Any] = canonical.decode_object(data)
    if document.keys() != _MEMBERS:
        raise MalformedError("other members than it has")
    if document["version"] != VERSION:
        raise MalformedError(f"of another version than {VERSION}")
    if not 0 < len(document["layers"]) <= MAX_LAYERS:
        raise MalformedError("no launch, or too many")
    own, *layers = map(_layer, document["layers"])
    unread = document["unread"]
    state = LaunchState(
        own=own,
        around=Around(tuple(layers), None if unread is None else _session(unread)),
        judged=Judged(
            bypass=_paths(document["bypass"]),
            closed=_paths(document["closed"]),
            obeyed=_paths(document["obeyed"]),
            denied_by=tuple(map(_text, document["denied_by"])),
            elevates=_flag(document["elevates"]),
        ),
    )
    if state_bytes((state.own, *state.around.layers), state.judged, state.around.unread) != data:
        raise MalformedError("not in its one form")
    return state


def _layer(document: dict[str, Any]) -> Layer:
    if document.keys() != _MEMBERS_OF_A_LAYER:
        raise MalformedError("a launch with other members than it has")
    files, identities = document["capabilities"]["files"], document["identities"]
    if len(files) != len(identities):
        raise MalformedError("not one file for each grant")
    network = document["capabilities"]["network"]
    return Layer(
        session=_session(document["session"]),
        capabilities=CapabilitySet(
            tuple(map(_grant, files)),
            Network(network["mode"]),
            ports(
                map(_port, network.get("connect", ())),
                map(_port, network.get("listen", ())),
                map(_port, network.get("listen_loopback", ())),
            ),
            tuple(map(_socket_grant, document["capabilities"].get("unix_sockets", ()))),
            sysv_ipc=document["capabilities"].get("ipc") == SYSV,
        ),
        identities=tuple(map(_identity, identities)),
    )


def _session(text: Any) -> str:  # whatever JSON has
    if not is_session_id(_text(text)):
        raise MalformedError("a session id that is none")
    return str(text)


def _grant(document: dict[str, Any]) -> FileGrant:
    return FileGrant(
        path=_path(document["path"]),
        asked=canonical.text_bytes(document["asked"]),
        access=Access(document["access"]),
        directory={"directory": True, "file": False}[document["type"]],
        source=_text(document["source"]),
    )


def _socket_grant(document: dict[str, Any]) -> SocketGrant:
    return SocketGrant(
        path=_path(document["path"]),
        asked=canonical.text_bytes(document["asked"]),
        reach=Reach(document["type"]),
        bind={"bind": True, "connect": False}[document["access"]],
        source=_text(document["source"]),
    )


def _identity(text: str) -> tuple[int, int]:
    device, _, inode = text.partition(":")
    return int(device), int(inode)


def _port(number: object) -> int:
    if type(number) is not int:
        raise TypeError
    return number


def _paths(texts: list[Any]) -> tuple[bytes, ...]:
    return tuple(map(_path, texts))


def _path(text: Any) -> bytes:  # whatever JSON has
    path = canonical.text_bytes(text)
    if not path.startswith(b"/") or b"\0" in path:
        raise MalformedError("a path that is not absolute")
    return path


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError
    return text
