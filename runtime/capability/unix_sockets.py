"""Grants on UNIX sockets: from what was asked to open directories that sockets are looked for in.

As for files (``runtime.capability.grants``) what is judged is what is granted: each grant is a *directory*
that was opened before the command ran, and, of a single socket, its name in it. Whoever exchanges that
directory for another afterwards has moved the grant nowhere. The socket itself need not exist yet: servers
come and go. Imported only by a launch that asks for one.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import MAX_SOCKET_GRANTS, Reach, SocketGrant, merge_sockets
from runtime.capability.grants import canonical_path, without_variable
from runtime.errors import EnforcementError, GrantError, UsageError
from runtime.kernel.path_names import absolute, homes, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtime.capability.grant_request import SocketRequest
    from runtime.capability.protected import Guard

_NO_NAMES = (b"", b".", b"..")


class OpenSocketGrant(NamedTuple):
    """A grant and the very directory that was judged.

    Attributes:
        grant: what is granted.
        directory: ``O_PATH`` descriptor, close-on-exec: of the directory, or of the one the socket is in.
        name: of the single socket that it reaches, in that directory; empty where it reaches others.
    """

    grant: SocketGrant
    directory: int
    name: bytes


def require_mediation() -> None:
    """Refuse a grant on a kernel on which connecting cannot be mediated.

    Raises:
        EnforcementError: this is the Windows Subsystem for Linux.
    """
    from runtime.kernel import surroundings  # noqa: PLC0415  # only a launch with such a grant asks

    if surroundings.wsl() is not None:
        raise EnforcementError(
            "UNIX sockets cannot be granted under WSL, where connecting to them cannot be mediated",
            hint="leave out --allow-unix-socket and its kin, or run nono on a Linux of its own",
        )


def resolve(
    requests: Iterable[SocketRequest], *, workdir: bytes, guard: Guard, warn: Callable[[str], None]
) -> tuple[OpenSocketGrant, ...]:
    """Open, judge and merge what was asked; the caller closes it.

    Args:
        requests: what was asked.
        workdir: absolute; relative paths are in it.
        guard: what must not be granted.
        warn: told, in one line each, what was asked and does not exist.

    Raises:
        GrantError: a grant that must not, or cannot, be given; everything is closed.
        UsageError: a path that cannot be meant, or too many grants.
    """
    opened: list[OpenSocketGrant] = []
    try:
        home = next(iter(homes()), None)
        for request in requests:
            path = absolute(without_variable(request, workdir), workdir=workdir, home=home)
            found = _open(request, path, guard, warn)
            if found is not None:
                opened.append(found)
        merged = _merged(opened)
    except BaseException:
        close(opened)
        raise
    first = {each.grant: each for each in reversed(opened)}
    kept = tuple(first[grant] for grant in merged)
    surviving = {each.directory for each in kept}
    close(each for each in opened if each.directory not in surviving)
    return kept


def _merged(opened: list[OpenSocketGrant]) -> tuple[SocketGrant, ...]:
    merged = merge_sockets(each.grant for each in opened)
    if len(merged) > MAX_SOCKET_GRANTS:
        raise UsageError(f"more than {MAX_SOCKET_GRANTS} grants on UNIX sockets", code="usage.unix_socket")
    return merged


def close(opened: Iterable[OpenSocketGrant]) -> None:
    """Close the descriptors of the grants."""
    for each in opened:
        os.close(each.directory)


def _open(
    request: SocketRequest, path: bytes, guard: Guard, warn: Callable[[str], None]
) -> OpenSocketGrant | None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise _error(request, os.strerror(error.errno or 0).lower(), "grant.unusable") from None
        return _open_missing(request, path, guard, warn)
    try:
        canonical = _path_of(request, descriptor)
        guard.judge(request, canonical, path=path)
        mode = os.fstat(descriptor).st_mode
        _check_kind(request, mode)
        if request.directory:
            return OpenSocketGrant(_grant(request, canonical), os.dup(descriptor), b"")
        parent, name = os.path.split(canonical)
        directory = _open_parent(parent, name, os.fstat(descriptor))
        if directory is None:
            raise _error(request, "it was moved meanwhile", "grant.unusable")
    finally:
        os.close(descriptor)
    return OpenSocketGrant(_grant(request, canonical), directory, name)


def _open_missing(
    request: SocketRequest, path: bytes, guard: Guard, warn: Callable[[str], None]
) -> OpenSocketGrant | None:
    """Grant a socket that is not there yet, in a directory that is; None where that is not there either."""
    parent, name = os.path.split(path)
    if os.path.islink(path):
        raise _error(request, "it is a link to nothing", "grant.missing")
    directory = None
    if not request.directory and name not in _NO_NAMES:
        try:
            directory = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise _error(request, os.strerror(error.errno or 0).lower(), "grant.unusable") from None
    if directory is None:
        guard.judge(request, None, path=path)
        warn(
            f"{request.wording()} does not exist, nor its directory, so it is not granted"
            if not request.directory
            else f"{request.wording()} does not exist, so it is not granted"
        )
        return None
    try:
        canonical = join(_path_of(request, directory), name)
        guard.judge(request, canonical, path=path)
    except BaseException:
        os.close(directory)
        raise
    if not request.bind:
        warn(f"{request.wording()} does not exist yet; it is granted for whoever makes it")
    return OpenSocketGrant(_grant(request, canonical), directory, name)


def _path_of(request: SocketRequest, descriptor: int) -> bytes:
    canonical = canonical_path(descriptor)
    if canonical is None:
        raise _error(request, "it has no path of its own", "grant.unusable")
    return canonical


def _open_parent(path: bytes, name: bytes, status: os.stat_result) -> int | None:
    """Return the directory at ``path`` if in it is what ``status`` is of."""
    try:
        directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.path.samestat(os.stat(name, dir_fd=directory, follow_symlinks=False), status):
            return directory
    except OSError:
        pass
    os.close(directory)
    return None


def _check_kind(request: SocketRequest, mode: int) -> None:
    if stat.S_ISDIR(mode) and not request.directory:
        other = request._replace(reach=Reach.DIRECTORY)
        hint = f"use {other.wording()} for the sockets in it"
        raise _error(request, "it is a directory", "grant.kind", hint)
    if not stat.S_ISDIR(mode) and request.directory:
        one = request._replace(reach=Reach.SOCKET)
        fitting = f"use {one.wording()}" if stat.S_ISSOCK(mode) else None
        raise _error(request, "it is not a directory", "grant.kind", fitting)
    if not request.directory and not stat.S_ISSOCK(mode):
        raise _error(request, "it is not a socket", "grant.kind")


def _grant(request: SocketRequest, canonical: bytes) -> SocketGrant:
    return SocketGrant(canonical, request.path, request.reach, request.bind, request.source)


def _error(request: SocketRequest, why: str, code: str, hint: str | None = None) -> GrantError:
    return GrantError(f"cannot grant {request.wording()}: {why}", code=code, hint=hint)
