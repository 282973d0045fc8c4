"""The capability set: what one launch may do, as one immutable value with one canonical form.

A *grant* names a file or a directory (canonical, absolute), an access, and the source that asked for
it. What is enforced, recorded, written into the capability state file and asked by ``nono why`` is
this same object (design 3, "Capability set").
"""

from __future__ import annotations

import functools
from enum import StrEnum
from typing import TYPE_CHECKING

from attest import canonical, hashing
from attest.named_tuples import NamedTuple
from runtime.kernel.path_names import is_beneath

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from attest.canonical import Json


class Access(StrEnum):
    """What a grant allows. Reading includes executing; writing includes creating and removing."""

    READ = "read"
    WRITE = "write"
    READWRITE = "readwrite"

    def __or__(self, other: Access) -> Access:
        """Return the narrowest access that covers both."""
        return self if self is other else Access.READWRITE

    def covers(self, other: Access) -> bool:
        """Return whether this access allows everything that ``other`` allows."""
        return self is other or self is Access.READWRITE


class Network(StrEnum):
    """The network mode of a launch: nothing, TCP through named ports, or all."""

    BLOCKED = "blocked"
    PORTS = "ports"
    ALL = "all"


SYSV = "sysv"
"""How the record says what is shared by System V (sysvipc(7)), where it says so."""

DNS_PORT = 53
MAX_PORT = 65_535
MAX_PORTS = 256
"""Of each kind; the kernel has no bound, the record has one."""
MAX_SOCKET_GRANTS = 256
"""Grants on UNIX sockets: each is looked through for a socket that is asked for."""


class Ports(NamedTuple):
    """What TCP may do where the network mode is ``ports``; see :func:`ports`.

    Attributes:
        connect: ports that it may connect to, on any address: Landlock tells no addresses apart.
        listen: ports that it may listen on, on any address of this host.
        listen_loopback: ports that it may listen on for this host alone (127.0.0.0/8, ::1).
    """

    connect: tuple[int, ...] = ()
    listen: tuple[int, ...] = ()
    listen_loopback: tuple[int, ...] = ()

    @property
    def listens(self) -> bool:
        """Whether any port may be listened on."""
        return bool(self.listen or self.listen_loopback)


NO_PORTS = Ports()


def ports(connect: Iterable[int] = (), listen: Iterable[int] = (), loopback: Iterable[int] = ()) -> Ports:
    """Return the one form of what was asked: each port once, ascending, in the widest of its places."""
    wide = frozenset(listen)
    return Ports(
        tuple(sorted(frozenset(connect))), tuple(sorted(wide)), tuple(sorted(frozenset(loopback) - wide))
    )


# Sources, in the order in which they win: a user's grant beats a profile's, a profile's a group's.
USER = "user"
PROFILE = "profile"
SYSTEM = "system"


def group_source(name: str) -> str:
    """Return the source of a grant that the group ``name`` makes."""
    return f"group:{name}"


# Those of the default grants are the same for each launch of a program, which asks for each three times.
_MOST_DOCUMENTS = 512


class FileGrant(NamedTuple):
    """One grant on one file or directory.

    Attributes:
        path: canonical absolute path (bytes, no ``.``, ``..``, symlinks or trailing slash).
        asked: the path as it was written where it was asked for.
        access: read, write or both.
        directory: True for a directory and everything beneath it, False for a single file.
        source: ``user``, ``profile``, ``group:NAME`` or ``system``.
    """

    path: bytes
    asked: bytes
    access: Access
    directory: bool
    source: str

    @functools.lru_cache(_MOST_DOCUMENTS)  # noqa: B019  # of values, not of objects that somebody lets go
    def document(self) -> dict[str, Json]:
        """Return the grant as the record writes it; the same one to whoever asks, and nobody changes it."""
        return {
            "access": str(self.access),
            "asked": canonical.text(self.asked),
            "path": canonical.text(self.path),
            "source": self.source,
            "type": "directory" if self.directory else "file",
        }


class Reach(StrEnum):
    """How many UNIX sockets a grant reaches: one, those in a directory, or all beneath it as well."""

    SOCKET = "socket"
    DIRECTORY = "directory"
    SUBTREE = "subtree"


class SocketGrant(NamedTuple):
    """One grant on UNIX sockets that have a path.

    Attributes:
        path: canonical absolute path of the socket, which need not exist, or of the directory.
        asked: the path as it was written where it was asked for.
        reach: that socket, the sockets in that directory, or those beneath it as well.
        bind: whether a socket may be made there and listened on; connecting there is always allowed.
        source: ``user`` or ``profile``.
    """

    path: bytes
    asked: bytes
    reach: Reach
    bind: bool
    source: str

    def covers(self, path: bytes) -> bool:
        """Return whether the socket at the canonical ``path`` is reached."""
        if self.reach is Reach.SOCKET:
            return path == self.path
        if self.reach is Reach.DIRECTORY:
            return path != b"/" and (path[: path.rindex(b"/")] or b"/") == self.path
        return path != self.path and is_beneath(path, self.path)

    def document(self) -> dict[str, Json]:
        """Return the grant as the record writes it."""
        return {"path": canonical.text(self.path)} | socket_document(
            self.asked, self.reach, self.source, bind=self.bind
        )


def socket_document(asked: bytes, reach: Reach, source: str, *, bind: bool) -> dict[str, Json]:
    """Return a grant on UNIX sockets as the record writes it where it says what was asked."""
    return {
        "access": "bind" if bind else "connect",
        "asked": canonical.text(asked),
        "source": source,
        "type": str(reach),
    }


class CapabilitySet(NamedTuple):
    """Everything that a launch may do.

    Attributes:
        files: the grants, merged and in the order of their paths.
        network: blocked, ports or all.
        ports: which, where the network is ``ports``; else none.
        unix_sockets: the grants on UNIX sockets, merged and in the order of their paths.
        sysv_ipc: whether it shares System V memory, semaphores and queues with all of this user outside.
    """

    files: tuple[FileGrant, ...]
    network: Network
    ports: Ports = NO_PORTS
    unix_sockets: tuple[SocketGrant, ...] = ()
    sysv_ipc: bool = False

    def document(self) -> dict[str, Json]:
        """Return the set in its one recorded form (``capabilities`` of ``launch.start``).

        Without a grant on UNIX sockets it has no member for them, and without System V none for that.
        """
        said: dict[str, Json] = {
            "files": [grant.document() for grant in self.files],
            "network": network_document(self.network, self.ports),
        }
        if self.sysv_ipc:
            said["ipc"] = SYSV
        if self.unix_sockets:
            said["unix_sockets"] = [grant.document() for grant in self.unix_sockets]
        return said

    def sha256(self) -> str:
        """Return the lower-case hex SHA-256 of the canonical form."""
        return hashing.hexdigest(canonical.encode(self.document()))

    def covers(self, path: bytes, access: Access) -> bool:
        """Return whether a grant allows ``access`` to the canonical ``path``."""
        # What does not even begin like the path goes first: asked of some fifty grants, a few times a launch.
        return any(
            grant.access.covers(access)
            and (grant.path == path or (grant.directory and is_beneath(path, grant.path)))
            for grant in self.files
            if path.startswith(grant.path)
        )


def network_document(network: Network, ports: Ports) -> dict[str, Json]:
    """Return the network as the record writes it, both as asked and as granted."""
    if network is not Network.PORTS:
        return {"mode": str(network)}
    return {
        "connect": list(ports.connect),
        "listen": list(ports.listen),
        "listen_loopback": list(ports.listen_loopback),
        "mode": str(network),
    }


def network_words(document: Mapping[str, Any]) -> str:
    """Return what the record writes of a network, as words."""
    lists = (
        ("connect to", document.get("connect")),
        ("listen on", document.get("listen")),
        ("listen for this host on", document.get("listen_loopback")),
    )
    said = [f"{what} {', '.join(map(str, found))}" for what, found in lists if found]
    return f"{document['mode']} ({'; '.join(said)})" if said else str(document["mode"])


SYSV_WORDS = "System V memory, semaphores and queues, with all of this user outside"
"""What :data:`SYSV` means, for people."""


def socket_words(document: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the record writes of a grant on UNIX sockets, as words: what may be done, and where."""
    done = "connect to" if document["access"] == "connect" else "bind and connect to"
    where = {
        Reach.SOCKET: "the socket",
        Reach.DIRECTORY: "the sockets in",
        Reach.SUBTREE: "the sockets beneath",
    }
    return done, where[document["type"]]


def merge(grants: Iterable[FileGrant]) -> tuple[FileGrant, ...]:
    """Merge duplicates and sort by path.

    Grants on the same path become one: within a tier of sources the widest access wins, and a
    stronger tier (user over profile over groups and system) replaces a weaker one.
    """
    merged: dict[tuple[bytes, bool], FileGrant] = {}
    for grant in grants:
        path, _, _, directory, _ = grant
        key = (path, directory)
        seen = merged.get(key)
        if seen is None or _tier(grant) < _tier(seen):
            merged[key] = grant
        elif _tier(grant) == _tier(seen):
            merged[key] = FileGrant(
                seen.path, seen.asked, seen.access | grant.access, seen.directory, seen.source
            )
    return tuple(merged[key] for key in sorted(merged))


def merge_sockets(grants: Iterable[SocketGrant]) -> tuple[SocketGrant, ...]:
    """Merge duplicates as :func:`merge` does and sort by path; what is left was asked for just so."""
    merged: dict[tuple[bytes, str], SocketGrant] = {}
    for grant in grants:
        key = (grant.path, str(grant.reach))
        seen = merged.get(key)
        if (
            seen is None
            or _tier(grant) < _tier(seen)
            or (_tier(grant) == _tier(seen) and grant.bind and not seen.bind)
        ):
            merged[key] = grant
    return tuple(merged[key] for key in sorted(merged))


_TIERS = {USER: 0, PROFILE: 1}
_WEAKEST = 2


def _tier(grant: FileGrant | SocketGrant) -> int:
    return _TIERS.get(grant.source, _WEAKEST)
