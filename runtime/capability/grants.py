"""Grants: from what was asked to open descriptors that the kernel's rules are made of.

The order of design 3, step 6, for each request: open it ``O_PATH``, ask the kernel where that led
(``readlink /proc/self/fd/N``), judge that and every name on the way, and hand on *the same
descriptor*. What was judged is what is granted, whatever is renamed in between.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from attest.errors import files_hint
from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import (
    MAX_PORTS,
    NO_PORTS,
    PROFILE,
    SYSTEM,
    USER,
    Access,
    FileGrant,
    Network,
    Ports,
    Reach,
    merge,
    ports,
)
from runtime.capability.grant_request import GrantRequest, SocketRequest
from runtime.errors import GrantError, UsageError
from runtime.kernel.path_names import absolute, homes, is_beneath, moved, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from runtime.capability.protected import Guard
    from runtime.capability.unix_sockets import OpenSocketGrant

_STREAMS = ("standard input", "standard output", "standard error")


class OpenGrant(NamedTuple):
    """A grant and the very object that was judged.

    Attributes:
        grant: what is granted.
        descriptor: its ``O_PATH`` descriptor, close-on-exec.
    """

    grant: FileGrant
    descriptor: int


class Grants:
    """The open grants of one launch, merged and in the order of their paths; closes them at the end.

    Attributes:
        opened: the grants with their descriptors.
        missing: the requests whose paths do not exist: asked, but not granted.
        sockets: the grants on UNIX sockets, likewise merged and closed.
    """

    def __init__(self, opened: Iterable[OpenGrant], missing: Iterable[GrantRequest] = ()) -> None:
        self.opened = tuple(opened)
        self.missing = tuple(missing)
        self.sockets: tuple[OpenSocketGrant, ...] = ()

    @property
    def files(self) -> tuple[FileGrant, ...]:
        """The grants alone, as the capability set takes them."""
        return tuple([opened.grant for opened in self.opened])

    def close_files(self, *, but: Sequence[OpenGrant] = ()) -> None:
        """Close the descriptors of files, once a ruleset has them; again does nothing.

        Args:
            but: those that are needed still; :meth:`close` closes them.
        """
        opened, self.opened = self.opened, tuple(but)
        _close([each for each in opened if each not in but])

    def close(self) -> None:
        """Close every descriptor; again does nothing."""
        self.close_files()
        sockets, self.sockets = self.sockets, ()
        for granted in sockets:
            os.close(granted.directory)

    def __enter__(self) -> Grants:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def network_asked(
    *, block_net: bool, profile_blocks: bool, user: Ports, profile: Ports
) -> tuple[Network, Ports]:
    """Return the network mode and the ports that are asked for.

    Whoever blocks it, nothing opens it again; ports close all but what user and profile name together.

    Raises:
        UsageError: the user names ports of a network that is blocked, or both together name too many.
    """
    if block_net or profile_blocks:
        if user != NO_PORTS:
            who = "--block-net" if block_net else "the profile"
            raise UsageError(
                f"{who} closes the whole network, and ports were asked for",
                code="usage.network",
                hint="with a port all but the ports is closed, so nothing else needs to be",
            )
        return Network.BLOCKED, NO_PORTS
    both = ports(
        (*user.connect, *profile.connect),
        (*user.listen, *profile.listen),
        (*user.listen_loopback, *profile.listen_loopback),
    )
    if max(map(len, both)) > MAX_PORTS:
        raise UsageError(f"more than {MAX_PORTS} ports", code="usage.port")
    return (Network.ALL if both == NO_PORTS else Network.PORTS), both


def resolve(
    requests: Iterable[GrantRequest],
    *,
    workdir: bytes,
    guard: Guard,
    warn: Callable[[str], None],
    extra: Iterable[OpenGrant] = (),
) -> Grants:
    """Open, judge and merge what was asked.

    Args:
        requests: what was asked, defaults included.
        workdir: absolute; relative paths are in it.
        guard: what must not be granted.
        warn: told, in one line each, what was asked and does not exist, or does not come to what it seems.
        extra: grants that are open already (:func:`standard_stream_grants`,
            :func:`private_directory_grant`); from here on the result owns them, on an error they are closed.

    Raises:
        GrantError: a grant that must not, or cannot, be given; everything is closed.
        UsageError: a path that cannot be meant.
    """
    opened = list(extra)
    missing: list[GrantRequest] = []
    readable: list[tuple[GrantRequest, OpenGrant]] = []
    try:
        home = next(iter(homes()), None)
        for request in requests:
            if request.source not in (USER, PROFILE):
                found = _open_of_group(request, home, guard)
            else:
                path = absolute(without_variable(request, workdir), workdir=workdir, home=home)
                found = _open(request, path, guard)
                if found is None:
                    missing.append(request)
                    # Relative to the working directory, which need not be where nono was called.
                    where = "" if path == request.path else f" ({shown(path)})"
                    warn(f"{request.wording()} does not exist{where}, so it is not granted")
            if found is not None:
                opened.append(found)
                if request.source == USER and request.access is Access.READ and request.path != workdir:
                    readable.append((request, found))
        for request, found in readable:
            _mention_wider(request, found.grant, opened, warn)
        kept = _merge(opened)
    except BaseException:
        _close(opened)
        raise
    surviving = {grant.descriptor for grant in kept}
    _close(grant for grant in opened if grant.descriptor not in surviving)
    return Grants(kept, missing)


def _mention_wider(
    request: GrantRequest, grant: FileGrant, opened: Iterable[OpenGrant], warn: Callable[[str], None]
) -> None:
    """Say when what was asked for reading can be written to by another grant: Landlock takes nothing away."""
    for other, _ in opened:
        within = other.directory and other.path != grant.path and is_beneath(grant.path, other.path)
        if within and other.access.covers(Access.WRITE):
            warn(
                f"{request.wording()} does not keep the command from writing there: it lies in the write"
                f" grant on {shown(other.path)}, and a grant takes nothing away"
            )
            return


def standard_stream_grants(guard: Guard, streams: Sequence[int] = (0, 1, 2)) -> list[OpenGrant]:
    """Return grants on what stands behind the standard streams, so that ``/dev/stdout`` can be reopened.

    A regular file is granted as far as its descriptor is open; a terminal for both. What has no path
    any more, or is denied, gets no rule: the inherited descriptor works without one.

    Args:
        guard: what judges them.
        streams: their descriptors here; of a terminal of the command's own only that one.

    Raises:
        GrantError: one of them is something that no command may reach, open as it is.
    """
    opened: list[OpenGrant] = []
    try:
        for number in streams:
            found = _open_stream(number, guard)
            if found is not None:
                opened.append(found)
    except BaseException:
        _close(opened)
        raise
    return opened


def private_directory_grant(path: bytes) -> OpenGrant:
    """Return the grant on the launch's own temporary directory, which the caller has just made.

    It is not judged: it may lie anywhere, but it must be a directory of this user with mode 0700.

    Raises:
        GrantError: it is not.
    """
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    canonical = canonical_path(descriptor)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) != 0o700 or canonical is None:
        os.close(descriptor)
        raise GrantError(f"the temporary directory {shown(path)} is not private", code="grant.unusable")
    grant = FileGrant(canonical, path, Access.READWRITE, directory=True, source=SYSTEM)
    return OpenGrant(grant, descriptor)


def _open(request: GrantRequest, path: bytes, guard: Guard) -> OpenGrant | None:
    """Open and judge what a user or a profile asked for; None if there is nothing at that path."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        guard.judge(request, None, path=path)
        _explain(request, error)
        return None
    try:
        canonical = _path_of(request, descriptor)
        guard.judge(request, canonical, path=path)
        mode = os.fstat(descriptor).st_mode
        _check_kind(request, mode)
        if stat.S_ISDIR(mode) and is_beneath(canonical, b"/dev"):
            _refuse_disks(request, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    grant = FileGrant(canonical, request.path, request.access, request.directory, request.source)
    return OpenGrant(grant, descriptor)


def without_variable(request: GrantRequest | SocketRequest, workdir: bytes) -> bytes:
    """Expand ``$WORKDIR`` where a profile says it; on a command line the shell has done so."""
    return workdir_expanded(request.path, workdir) if request.source == PROFILE else request.path


def workdir_expanded(path: bytes, workdir: bytes) -> bytes:
    """Return a profile's path with ``$WORKDIR`` as what it stands for."""
    if path == b"$WORKDIR" or path.startswith(b"$WORKDIR/"):
        return workdir + path[len(b"$WORKDIR") :]
    return path


def _open_of_group(request: GrantRequest, home: bytes | None, guard: Guard) -> OpenGrant | None:
    """Open what a group grants; None if it is not there."""
    access, path, _, source = request
    if path.startswith(b"~/"):
        return None if home is None else _open_in_home(request, moved(path[2:], home), guard)
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        canonical = os.readlink(b"/proc/self/fd/%d" % descriptor)
        directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        guard.judge_default(request, canonical)
    except BaseException:
        os.close(descriptor)
        raise
    return OpenGrant(FileGrant(canonical, path, access, directory, source), descriptor)


def _open_in_home(request: GrantRequest, path: bytes, guard: Guard) -> OpenGrant | None:
    """Open what a group grants in a home: what lies there, and where it leads, is the user's doing."""
    try:
        directory = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return None
    try:
        return _open(request._replace(directory=directory), path, guard)
    except GrantError as error:
        name = request.source.partition(":")[2]
        leave_out = f'leave the group out in a profile: "groups": {{"exclude": ["{name}"]}}'
        hint = leave_out if error.hint is None else f"{error.hint}; or {leave_out}"
        raise GrantError(str(error), code=error.code, hint=hint) from None


def _path_of(request: GrantRequest, descriptor: int) -> bytes:
    canonical = canonical_path(descriptor)
    if canonical is None:
        raise GrantError(
            f"cannot grant {request.wording()}: it has no path of its own",
            code="grant.unusable",
            hint="it was moved or removed meanwhile, or is a pipe, or lies in another mount namespace",
        )
    return canonical


def _explain(request: GrantRequest, error: OSError) -> None:
    """Raise what a failed open means, unless it means that nothing is there and that is no fault."""
    if error.errno != errno.ENOENT:
        raise GrantError(
            f"cannot grant {request.wording()}: {os.strerror(error.errno or 0).lower()}",
            code="grant.unusable",
            hint=files_hint(error.errno),
        ) from None
    # A rule needs a file to stand on. A profile is written for many machines, a flag for this one.
    if request.source == USER and not request.directory and request.access is not Access.READ:
        directory = GrantRequest(request.access, os.path.dirname(request.path) or b".", directory=True)
        raise GrantError(
            f"cannot grant {request.wording()}: there is no such file",
            code="grant.missing",
            hint=f"create it first, or grant its directory: {directory.wording()}",
        ) from None


def _check_kind(request: GrantRequest, mode: int) -> None:
    if stat.S_ISBLK(mode):
        raise GrantError(
            f"cannot grant {request.wording()}: it is a disk, and a disk holds every file",
            code="grant.untouchable",
        )
    if stat.S_ISSOCK(mode):
        raise GrantError(
            f"cannot grant {request.wording()}: it is a socket, and no file rule opens one",
            code="grant.kind",
            hint=f"use {SocketRequest(request.path, Reach.SOCKET, source=request.source).wording()}",
        )
    if stat.S_ISDIR(mode) != request.directory:
        other = request._replace(directory=not request.directory)
        kind = "a directory" if stat.S_ISDIR(mode) else "not a directory"
        raise GrantError(
            f"cannot grant {request.wording()}: it is {kind}",
            code="grant.kind",
            hint=f"use {other.wording()}",
        )


def _refuse_disks(request: GrantRequest, descriptor: int) -> None:
    try:
        with os.scandir(b"/proc/self/fd/%d" % descriptor) as listing:
            disks = [
                entry.name for entry in listing if stat.S_ISBLK(entry.stat(follow_symlinks=False).st_mode)
            ]
    except OSError as error:
        raise GrantError(
            f"cannot grant {request.wording()}: {os.strerror(error.errno or 0).lower()}",
            code="grant.unusable",
        ) from None
    if disks:
        raise GrantError(
            f"cannot grant {request.wording()}: it contains the disk {shown(disks[0])}",
            code="grant.untouchable",
            hint="grant the single files that it needs",
        )


def canonical_path(descriptor: int) -> bytes | None:
    """Return the path at which the kernel has the object now, None if it has none there."""
    try:
        path = os.readlink(b"/proc/self/fd/%d" % descriptor)
        there = os.lstat(path)
    except OSError:
        return None
    # Also tells a removed file, "x (deleted)", from one that really is called so.
    return path if path.startswith(b"/") and os.path.samestat(there, os.fstat(descriptor)) else None


def _stream_name(number: int) -> str:
    return _STREAMS[number] if number < len(_STREAMS) else "its terminal"


def _open_stream(number: int, guard: Guard) -> OpenGrant | None:
    try:
        mode = os.fstat(number).st_mode
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
        if flags & os.O_PATH or not (stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and os.isatty(number))):
            return None
        descriptor = os.open(b"/proc/self/fd/%d" % number, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # closed, or of a kind that cannot be opened again
        return None
    access = Access.READWRITE
    if stat.S_ISREG(mode):
        access = {os.O_RDONLY: Access.READ, os.O_WRONLY: Access.WRITE}.get(flags & os.O_ACCMODE, access)
    try:
        canonical = canonical_path(descriptor)
        if canonical is not None:
            request = GrantRequest(access, canonical, directory=False, source=SYSTEM)
            guard.judge(request, canonical, path=canonical)
    except GrantError as error:
        os.close(descriptor)
        if error.code == "grant.protected":
            return None
        raise GrantError(
            f"{_stream_name(number)} is {shown(canonical or b'')}, which no command may reach so",
            code=error.code,
            hint="redirect it elsewhere",
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    if canonical is None:
        os.close(descriptor)
        return None
    return OpenGrant(FileGrant(canonical, canonical, access, directory=False, source=SYSTEM), descriptor)


def _merge(opened: list[OpenGrant]) -> list[OpenGrant]:
    """Merge as the capability set does, each grant with the descriptor that it was opened with."""
    unchanged = {id(candidate.grant): candidate for candidate in opened}
    merged = merge([candidate.grant for candidate in opened])
    # /bin, /sbin and /lib lie in /usr today: what another default covers already would only be noise.
    wide = {grant.path: grant.access for grant in merged if grant.directory and _is_default(grant)}
    return [
        unchanged.get(id(grant)) or _with_descriptor(grant, opened)
        for grant in merged
        if not (_is_default(grant) and _is_covered(grant, wide))
    ]


def _with_descriptor(grant: FileGrant, opened: list[OpenGrant]) -> OpenGrant:
    """Return a grant that was made of several with the descriptor of the first of them."""
    key = _key(grant)
    return OpenGrant(grant, next(each.descriptor for each in opened if _key(each.grant) == key))


def _key(grant: FileGrant) -> tuple[bytes, bool, str, bytes]:
    return grant.path, grant.directory, grant.source, grant.asked


def _is_covered(grant: FileGrant, wide: dict[bytes, Access]) -> bool:
    path, access = grant.path, grant.access
    while path != b"/":
        path = path[: path.rindex(b"/")] or b"/"
        if path in wide and wide[path].covers(access):
            return True
    return False


def _is_default(grant: FileGrant) -> bool:
    return grant.source not in (USER, PROFILE, SYSTEM)


def _close(opened: Iterable[OpenGrant]) -> None:
    for grant in opened:
        os.close(grant.descriptor)
