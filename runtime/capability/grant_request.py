"""One grant as it was asked for: what a flag or a profile's key says, before anything is opened."""

from __future__ import annotations

from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import PROFILE, USER, Access, Reach
from runtime.kernel.path_names import shown

_FLAGS = {
    (Access.READWRITE, True): ("--allow", "filesystem.allow"),
    (Access.READ, True): ("--read", "filesystem.read"),
    (Access.WRITE, True): ("--write", "filesystem.write"),
    (Access.READWRITE, False): ("--allow-file", "filesystem.allow_file"),
    (Access.READ, False): ("--read-file", "filesystem.read_file"),
    (Access.WRITE, False): ("--write-file", "filesystem.write_file"),
}

# What --allow-unix-socket and filesystem.unix_socket go on with.
_SOCKET_WORDS = {
    (Reach.SOCKET, False): "",
    (Reach.DIRECTORY, False): "dir",
    (Reach.SUBTREE, False): "subtree",
    (Reach.SOCKET, True): "bind",
    (Reach.DIRECTORY, True): "dir-bind",
    (Reach.SUBTREE, True): "subtree-bind",
}
SOCKET_FLAGS = {"-".join(filter(None, ("--allow-unix-socket", w))): key for key, w in _SOCKET_WORDS.items()}
"""The flags of ``nono run`` for UNIX sockets: how far each reaches, and whether one may be made there."""
SOCKET_KEYS = {flag.removeprefix("--allow-").replace("-", "_"): key for flag, key in SOCKET_FLAGS.items()}
"""The keys of a profile's filesystem for the same."""


class GrantRequest(NamedTuple):
    """One grant as it was asked for.

    Attributes:
        access: read, write or both.
        path: as it was written: ``~`` (in a profile also ``$WORKDIR``) still in it, or relative to
            the working directory.
        directory: True for a directory and everything beneath it, False for a single file.
        source: ``user``, ``profile``, ``group:NAME`` or ``system``. Of the last two what is missing is
            left out without a word, and file or directory is what is found.
    """

    access: Access
    path: bytes
    directory: bool
    source: str = USER

    def with_access(self, access: Access) -> GrantRequest:
        """Return the same request with another access."""
        return self._replace(access=access)

    def with_path(self, path: bytes) -> GrantRequest:
        """Return the same request for another path."""
        return self._replace(path=path)

    def words(self) -> tuple[bytes, bytes]:
        """Return the words of a command line that make the request, for no shell."""
        return _FLAGS[self.access, self.directory][0].encode("ascii"), self.path

    def wording(self) -> str:
        """Return the request as the flag or the profile's key that makes it."""
        flag, key = _FLAGS[self.access, self.directory]
        if self.source in (USER, PROFILE):
            return f"{flag if self.source == USER else key} {shown(self.path)}"
        return f"{shown(self.path)} ({self.source})"


class SocketRequest(NamedTuple):
    """One grant on UNIX sockets as it was asked for.

    Attributes:
        path: as in :class:`GrantRequest`.
        reach: one socket, the sockets in a directory, or those beneath it as well.
        bind: whether a socket may be made there and listened on, too.
        source: ``user`` or ``profile``.
    """

    path: bytes
    reach: Reach
    bind: bool = False
    source: str = USER

    @property
    def access(self) -> Access:
        """What it comes to for whoever judges places: making a socket writes to a directory."""
        return Access.READWRITE if self.bind else Access.READ

    @property
    def directory(self) -> bool:
        """Whether it is about what lies in a directory."""
        return self.reach is not Reach.SOCKET

    def with_access(self, access: Access) -> SocketRequest:
        """Return the same request with another access."""
        return self._replace(bind=access is not Access.READ)

    def with_path(self, path: bytes) -> SocketRequest:
        """Return the same request for another path."""
        return self._replace(path=path)

    def words(self) -> tuple[bytes, bytes]:
        """Return the words of a command line that make the request, for no shell."""
        return self._flag().encode("ascii"), self.path

    def wording(self) -> str:
        """Return the request as the flag or the profile's key that makes it."""
        flag = self._flag()
        if self.source != USER:
            flag = "filesystem." + flag.removeprefix("--allow-").replace("-", "_")
        return f"{flag} {shown(self.path)}"

    def _flag(self) -> str:
        return next(flag for flag, key in SOCKET_FLAGS.items() if key == (self.reach, self.bind))


def working_directory_request(workdir: bytes) -> GrantRequest:
    """Return what ``--allow-cwd`` asks for: reading the working directory, no more."""
    return GrantRequest(Access.READ, workdir, directory=True)
