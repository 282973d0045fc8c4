"""The capability set: what one launch may do, as one immutable value with one canonical form.

A *grant* names a file or a directory (canonical, absolute), an access, and the source that asked for
it. What is enforced, recorded, written into the capability state file and asked by ``nono why`` is
this same object (design 3, "Capability set").
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from attest import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    """The network mode of a launch."""

    BLOCKED = "blocked"
    ALL = "all"


# Sources, in the order in which they win: a user's grant beats a profile's, a profile's a group's.
USER = "user"
PROFILE = "profile"
SYSTEM = "system"


def group_source(name: str) -> str:
    """Return the source of a grant that the group ``name`` makes."""
    return f"group:{name}"


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

    def document(self) -> dict[str, Json]:
        """Return the grant as the record writes it."""
        return {
            "access": str(self.access),
            "asked": canonical.text(self.asked),
            "path": canonical.text(self.path),
            "source": self.source,
            "type": "directory" if self.directory else "file",
        }


class CapabilitySet(NamedTuple):
    """Everything that a launch may do.

    Attributes:
        files: the grants, merged and in the order of their paths.
        network: blocked or all.
    """

    files: tuple[FileGrant, ...]
    network: Network

    def document(self) -> dict[str, Json]:
        """Return the set in its one recorded form (``capabilities`` of ``launch.start``)."""
        return {
            "files": [grant.document() for grant in self.files],
            "network": {"mode": str(self.network)},
        }

    def sha256(self) -> str:
        """Return the lower-case hex SHA-256 of the canonical form."""
        return hashlib.sha256(canonical.encode(self.document())).hexdigest()

    def covers(self, path: bytes, access: Access) -> bool:
        """Return whether a grant allows ``access`` to the canonical ``path``."""
        return any(
            grant.access.covers(access)
            and (grant.path == path or (grant.directory and is_beneath(path, grant.path)))
            for grant in self.files
        )


def is_beneath(path: bytes, directory: bytes) -> bool:
    """Return whether ``path`` is ``directory`` or lies inside it; components are compared, not prefixes."""
    return path == directory or path.startswith(directory if directory == b"/" else directory + b"/")


def merge(grants: Iterable[FileGrant]) -> tuple[FileGrant, ...]:
    """Merge duplicates and sort by path.

    Grants on the same path become one: within a tier of sources the widest access wins, and a
    stronger tier (user over profile over groups and system) replaces a weaker one.
    """
    merged: dict[tuple[bytes, bool], FileGrant] = {}
    for grant in grants:
        key = (grant.path, grant.directory)
        seen = merged.get(key)
        if seen is None or _tier(grant) < _tier(seen):
            merged[key] = grant
        elif _tier(grant) == _tier(seen):
            merged[key] = FileGrant(
                seen.path, seen.asked, seen.access | grant.access, seen.directory, seen.source
            )
    return tuple(merged[key] for key in sorted(merged))


def _tier(grant: FileGrant) -> int:
    return {USER: 0, PROFILE: 1}.get(grant.source, 2)
