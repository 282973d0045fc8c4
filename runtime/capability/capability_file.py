"""The capability state file: what this launch may do, for ``nono why --self`` inside of it.

It lies in the state directory, which no grant ever opens, so it has a file rule of its own, for reading: the
sole exception there, and of one launch alone. It is made empty, because a rule needs a file to stand on and
is itself a grant, and written once the set is complete, before the command runs. Its name is the session's:
74 random bits, and whoever finds a launch abandoned knows it without having been told. Nothing of it is
durable, and nothing depends on it: a launch goes on without one. The form is in
:mod:`runtime.capability.capability_reading`, which reads it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from attest import canonical
from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import SYSTEM, Access, CapabilitySet, FileGrant
from runtime.capability.grants import OpenGrant
from store.private_directories import make_private

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.capability.grants import Grants

VARIABLE = b"NONO_CAP_FILE"
"""The variable that names it to the command."""

VERSION = 2

_DIRECTORY = b"capabilities"


class Judged(NamedTuple):
    """What decided about the grants; with it a question inside can tell what a flag would have changed.

    Attributes:
        bypass: the protected paths whose protection was lifted, absolute.
        closed: what was never grantable beside nono's own directories: ledger, key.
        obeyed: the profile's files and the hooks, never grantable for writing.
        denied_by: the names of the groups that deny.
        elevates: whether a person is asked about files that no grant covers.
    """

    bypass: tuple[bytes, ...]
    closed: tuple[bytes, ...]
    obeyed: tuple[bytes, ...]
    denied_by: tuple[str, ...]
    elevates: bool = False


class Layer(NamedTuple):
    """One launch as its command is held by it.

    Attributes:
        session: its session id.
        capabilities: its effective capability set.
        identities: device and inode of the file that each of its grants stands on, in their order.
    """

    session: str
    capabilities: CapabilitySet
    identities: tuple[tuple[int, int], ...]


class Around(NamedTuple):
    """The launches around one: each of them narrows what it grants.

    Attributes:
        layers: from the inside, as far as they are known.
        unread: the session of the first one that is not, None where all are.
    """

    layers: tuple[Layer, ...] = ()
    unread: str | None = None


class CapabilityFile:
    """The file of one launch; the process that made it removes it.

    Args:
        state: the state directory.
        session: the launch's.

    Attributes:
        path: its canonical path.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, state: bytes, session: str) -> None:
        directory = os.path.join(state, _DIRECTORY)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        make_private(directory)
        self.path = place(os.path.realpath(directory), session)
        self._descriptor = os.open(self.path, flags, 0o600)

    def grant(self) -> OpenGrant:
        """Return its own grant; whoever gets it closes the descriptor.

        Raises:
            OSError: there are no descriptors left.
        """
        grant = FileGrant(self.path, self.path, Access.READ, directory=False, source=SYSTEM)
        return OpenGrant(grant, os.dup(self._descriptor))

    def write(
        self,
        session: str,
        capabilities: CapabilitySet,
        grants: Grants,
        judged: Judged,
        around: Around,
    ) -> None:
        """Write what the launch may do; once, before the command runs.

        Args:
            session: the launch's.
            capabilities: the effective set.
            grants: its files, open.
            judged: what decided about them.
            around: the launches around this one.

        Raises:
            OSError: it could not be written, or not all of it.
        """
        identities = tuple(
            (status.st_dev, status.st_ino)
            for status in (os.fstat(opened.descriptor) for opened in grants.opened)
        )
        data = state_bytes((Layer(session, capabilities, identities), *around.layers), judged, around.unread)
        if os.write(self._descriptor, data) != len(data):
            raise OSError("not all of it could be written")

    def remove(self) -> None:
        """Remove it, whatever has become of it; again does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def state_bytes(layers: Sequence[Layer], judged: Judged, unread: str | None) -> bytes:
    """Return the file's content, canonical JSON (RFC 8785).

    Args:
        layers: this launch and those around it, from the inside.
        judged: what decided about the grants of this one.
        unread: as :class:`Around` has it.
    """
    return canonical.encode(
        {
            "bypass": _texts(judged.bypass),
            "closed": _texts(judged.closed),
            "denied_by": list(judged.denied_by),
            "elevates": judged.elevates,
            "layers": [
                {
                    "capabilities": layer.capabilities.document(),
                    # As texts: an inode's number can have 64 bits, of which the canonical form takes 53.
                    "identities": [f"{device}:{inode}" for device, inode in layer.identities],
                    "session": layer.session,
                }
                for layer in layers
            ],
            "obeyed": _texts(judged.obeyed),
            "unread": unread,
            "version": VERSION,
        }
    )


def place(directory: bytes, session: str) -> bytes:
    """Return the path of a session's file in the directory of these files."""
    return os.path.join(directory, os.fsencode(session) + b".json")


def remove_abandoned(state: bytes, session: str) -> None:
    """Remove what a launch left that is gone."""
    with contextlib.suppress(OSError):
        os.unlink(place(os.path.join(state, _DIRECTORY), session))


def _texts(paths: Sequence[bytes]) -> list[canonical.Json]:
    return [canonical.text(path) for path in paths]
