"""Variables that name UNIX sockets of the user's own services: which of them lead to a granted one.

A value is no secret, but a variable that leads nowhere makes programs fail in odd ways, and says where what
is closed would be. Where a path goes through links, it is where the links lead that counts. Imported only by
a launch with such a grant.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from runtime.kernel.path_names import is_beneath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runtime.capability.capabilities import SocketGrant

_RUNTIME_DIRECTORY = b"XDG_RUNTIME_DIR"
_DOCKER = b"unix://"
_BUS = b"unix:"
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


def reaching(variables: Mapping[bytes, bytes], grants: Sequence[SocketGrant]) -> frozenset[bytes]:
    """Return the names of the variables that lead to a socket which is granted.

    Args:
        variables: what would be inherited, or was exported.
        grants: what is granted.
    """
    found = {
        name
        for name, paths in (
            (b"SSH_AUTH_SOCK", [variables.get(b"SSH_AUTH_SOCK", b"")]),
            (b"DBUS_SESSION_BUS_ADDRESS", list(_bus(variables.get(b"DBUS_SESSION_BUS_ADDRESS", b"")))),
            (b"DOCKER_HOST", _docker(variables.get(b"DOCKER_HOST", b""))),
            (b"WAYLAND_DISPLAY", _display(variables)),
        )
        if any(_is_granted(path, grants) for path in paths)
    }
    # It names a directory: what is granted in it, or around it, is found by it.
    directory = variables.get(_RUNTIME_DIRECTORY, b"")
    if directory.startswith(b"/"):
        real = os.path.realpath(directory)
        if any(is_beneath(grant.path, real) or grant.covers(real + b"/bus") for grant in grants):
            found.add(_RUNTIME_DIRECTORY)
    return frozenset(found)


def _is_granted(path: bytes, grants: Sequence[SocketGrant]) -> bool:
    if not path.startswith(b"/") or b"\0" in path:
        return False
    real = os.path.realpath(path)
    return any(grant.covers(real) for grant in grants)


def _bus(value: bytes) -> Iterator[bytes]:
    """Yield the paths in a list of D-Bus addresses (D-Bus Specification, "Server Addresses")."""
    for address in value.split(b";"):
        if address.startswith(_BUS):
            for pair in address[len(_BUS) :].split(b","):
                key, _, said = pair.partition(b"=")
                if key == b"path":
                    yield _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), said)


def _docker(value: bytes) -> list[bytes]:
    return [value[len(_DOCKER) :]] if value.startswith(_DOCKER) else []


def _display(variables: Mapping[bytes, bytes]) -> list[bytes]:
    """Return the path of the Wayland compositor's socket: as it is, or in the runtime directory."""
    display = variables.get(b"WAYLAND_DISPLAY", b"")
    if not display:
        return []
    return [os.path.join(variables.get(_RUNTIME_DIRECTORY, b""), display)]
