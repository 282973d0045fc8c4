"""What was refused of files: each complaint is asked of what was enforced, and of the file itself.

Whoever complained may lie. So nothing is read for it but the head of a file that was to be executed,
nothing is looked at that could have something mounted, and a flag is named only where it would help.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from runtime.capability import exec_obstacles
from runtime.capability.capabilities import Access, Reach
from runtime.capability.executable import inside_write_grant
from runtime.capability.grant_request import GrantRequest, SocketRequest
from runtime.capability.refusals import (
    INFERRED,
    NEVER_GRANTABLE,
    NOT_GRANTED,
    OWN_PERMISSIONS,
    PROTECTED,
    READ_ONLY,
    Finding,
)
from runtime.errors import GrantError, UsageError
from runtime.explanation.complaints import Refusing, Use
from runtime.kernel.mounts import Mounts
from runtime.kernel.path_names import is_beneath, join, shown

if TYPE_CHECKING:
    from runtime.capability.protected import Guard
    from runtime.capability.refusals import Enforced
    from runtime.explanation.complaints import FileComplaint

_MAY_WRITE = frozenset({Use.WRITE, Use.OPEN, Use.SHELL})
_MOST_LINKS = 40

# Where a write changes what everybody runs. It can be granted; a footer does not talk anybody into it.
OF_THE_SYSTEM = (b"/bin", b"/boot", b"/etc", b"/lib", b"/lib32", b"/lib64", b"/opt", b"/sbin", b"/usr")


Judged = tuple["Finding | tuple[bytes, bool]", "Finding"]
"""What a finding is about, of which there is one, the last; and the finding."""


class FileJudge:
    """Judges complaints about files.

    Args:
        enforced: what the command was launched inside of.
    """

    def __init__(self, enforced: Enforced) -> None:
        self._enforced = enforced
        self._capabilities = enforced.capabilities
        self._plain_guard: Guard | None = None
        self._automounts: frozenset[bytes] | None = None
        # Of one file, what is to be granted is granted by one flag.
        self._wanted: dict[tuple[bytes, bool], tuple[GrantRequest, bytes, str]] = {}

    def judge(self, complaint: FileComplaint) -> Judged | None:
        """Return what was refused, None where neither the sandbox nor the file's permissions are known to."""
        try:
            return self._judge(complaint)
        except PermissionError as error:
            if not isinstance(error.filename, bytes):
                return None
            reason = "lies in a directory that is closed to this user by its own permissions"
            return _plain(Finding(INFERRED, "file", error.filename, None, OWN_PERMISSIONS, reason))
        except (OSError, ValueError):  # gone meanwhile, or a name that no file can have
            return None

    def _judge(self, complaint: FileComplaint) -> Judged | None:
        path = complaint.path
        if not path.startswith(b"/"):
            directory = self._enforced.directory
            if complaint.use in (Use.WRITE, Use.ENTRY) and directory != self._enforced.workdir:
                # It was to be in the working directory, where the command would be with this very grant.
                return self._want(Access.WRITE, self._enforced.workdir, "")
            if not complaint.named and not os.path.lexists(os.path.join(directory, path)):
                return None  # any word at all
            path = os.path.join(directory, path)
        if _is_of_a_process(path) or self._leads_to_an_automount(path):
            return None  # it would be another one here, or somebody would be asked for it
        if complaint.refusing is Refusing.READ_ONLY:
            return _read_only(path)
        if complaint.use is Use.ENTRY or (
            complaint.use in _MAY_WRITE and not os.path.lexists(os.path.realpath(path))
        ):
            return self._want(Access.WRITE, os.path.dirname(_trimmed(path)) or b"/", "")
        return self._judge_existing(complaint.use, path)

    def _leads_to_an_automount(self, path: bytes) -> bool:
        """Return whether to look at ``path`` could have something mounted.

        A command without a network could otherwise have nono ask hosts of its choice (``/net/HOST``).
        """
        if self._automounts is None:
            every = Mounts.read().beneath(b"/")
            self._automounts = frozenset(mount.at for mount in every if mount.kind == b"autofs")
        return bool(self._automounts) and _passes(path, self._automounts)

    def _judge_existing(self, use: Use, path: bytes) -> Judged | None:
        status = os.stat(path)
        canonical = os.path.realpath(path)
        if use is Use.WRITE:
            return self._want(Access.WRITE, path, "")
        if use is Use.LOOK:
            return None  # whoever may look at it here may do so inside
        readable = self._capabilities.covers(canonical, Access.READ)
        if not readable or not os.access(path, os.R_OK, effective_ids=True):
            # Of a data file it can also be the writing that was refused, which the message does not say.
            data = (
                use in (Use.OPEN, Use.SHELL) and stat.S_ISREG(status.st_mode) and not status.st_mode & 0o111
            )
            note = " (--allow-file if it writes there as well)" if data else ""
            return self._want(Access.READ, path, note)
        if use is Use.READ:
            return None
        executes = use in (Use.EXECUTE, Use.SHELL) and stat.S_ISREG(status.st_mode)
        obstacle = exec_obstacles.find(path, self._capabilities) if executes else None
        writable = self._capabilities.covers(canonical, Access.WRITE)
        if obstacle is not None and (use is Use.EXECUTE or writable or obstacle.path != path):
            return self._of_obstacle(path, obstacle)
        if use in _MAY_WRITE and not writable:
            return self._want(Access.WRITE, path, "" if obstacle is None else f", and {obstacle.reason}")
        return None

    def _of_obstacle(self, path: bytes, obstacle: exec_obstacles.Obstacle) -> Judged | None:
        if obstacle.cause == exec_obstacles.MISSING_LOADER:
            return None  # of that the kernel says that it is not there
        if obstacle.cause == NOT_GRANTED and obstacle.path != path:
            return self._want(Access.READ, obstacle.path, f" ({shown(path)} is loaded by it)")
        return _plain(Finding(INFERRED, "file", obstacle.path, Access.READ, obstacle.cause, obstacle.reason))

    def _want(self, access: Access, path: bytes, note: str) -> Judged | None:
        """Return what the sandbox would have refused of this access, and what would allow it.

        Args:
            access: reading or writing.
            path: absolute, of something that is there.
            note: words behind the reason.
        """
        if b".." in path.split(b"/"):
            path = os.path.realpath(path)
        path = _trimmed(path)
        canonical = os.path.realpath(path)
        mode = os.stat(canonical).st_mode
        if stat.S_ISSOCK(mode):
            return self._of_socket(path, canonical)
        directory = stat.S_ISDIR(mode)
        refused = _own_permissions(canonical, access, directory=directory)
        if refused is not None:
            return _plain(Finding(INFERRED, "file", path, access, *refused))
        if self._capabilities.covers(canonical, access):
            if access is Access.READ or self._capabilities.covers(canonical, Access.READ):
                return None  # neither the sandbox nor the file's permissions refuse it: no cause is known
            # It was opened for both, or made first: what the grant is on is wanted for reading as well.
            grant = inside_write_grant(self._capabilities, canonical)
            assert grant is not None
            access, path, note = Access.READ, grant.path, " (what is written there is read as well)"
            canonical, directory = grant.path, grant.directory
        key = (canonical, directory)
        if key in self._wanted:
            request, path, note = self._wanted[key]
            request = request.with_access(request.access | access)
        else:
            request = GrantRequest(access, path, directory=directory)
        self._wanted[key] = request, path, note
        return key, self._judged(request, canonical, note)

    def _judged(self, request: GrantRequest, canonical: bytes, note: str) -> Finding:
        mode = os.stat(canonical).st_mode
        what = {Access.READ: "reading", Access.WRITE: "writing"}.get(request.access, "reading and writing")

        def finding(cause: str, reason: str, flags: tuple[bytes, ...] = ()) -> Finding:
            return Finding(INFERRED, "file", request.path, request.access, cause, reason, flags)

        if stat.S_ISBLK(mode):
            return finding(NEVER_GRANTABLE, "is a disk, and a disk holds every file")
        try:
            self._guard().judge(request, canonical, path=request.path)
        except GrantError as error:
            if error.code == "grant.protected" and self._is_lifted_by_its_name(request, canonical):
                flags = (b"--bypass-protection", request.path, *request.words())
                return finding(PROTECTED, f"is protected, and not granted for {what}{note}", flags)
            return finding(NEVER_GRANTABLE, f"is not granted for {what}: {error}")
        if request.access is not Access.READ and any(is_beneath(canonical, each) for each in OF_THE_SYSTEM):
            return finding(
                NOT_GRANTED, f"is not granted for {what}, and what belongs to the system seldom should be"
            )
        return finding(NOT_GRANTED, f"is not granted for {what}{note}", request.words())

    def _of_socket(self, path: bytes, canonical: bytes) -> Judged | None:
        """Return what is to be said of a UNIX socket, which no grant of files opens."""
        if not os.access(canonical, os.W_OK, effective_ids=True):
            return _plain(Finding(INFERRED, "file", path, None, *_closed_by_its_mode(canonical)))
        if any(grant.covers(canonical) for grant in self._capabilities.unix_sockets):
            return None
        request = SocketRequest(path, Reach.SOCKET)
        try:
            self._guard().judge(request, canonical, path=path)
        except GrantError as error:
            reason = f"is a UNIX socket: {error}"
            return _plain(Finding(INFERRED, "file", path, None, NEVER_GRANTABLE, reason))
        reason, flags = "is a UNIX socket that is not granted", (b"--allow-unix-socket", path)
        return _plain(Finding(INFERRED, "file", path, None, NOT_GRANTED, reason, flags))

    def _guard(self) -> Guard:
        if self._plain_guard is None:
            self._plain_guard = self._enforced.guard(())
        return self._plain_guard

    def _is_lifted_by_its_name(self, request: GrantRequest, canonical: bytes) -> bool:
        try:
            self._enforced.guard((request.path,)).judge(request, canonical, path=request.path)
        except (GrantError, UsageError):
            return False
        return True


def _plain(finding: Finding) -> Judged:
    return finding, finding


def _read_only(path: bytes) -> Judged | None:
    at = os.path.realpath(path)
    if not os.path.lexists(at):
        at = os.path.dirname(at)
    if not os.statvfs(at).f_flag & os.ST_RDONLY:
        return None
    reason = "is on a file system that is mounted read-only"
    return _plain(Finding(INFERRED, "file", path, Access.WRITE, READ_ONLY, reason))


def _own_permissions(path: bytes, access: Access, *, directory: bool) -> tuple[str, str] | None:
    """Return cause and reason when the file's own permissions refuse the access to this user."""
    how = {Access.READ: os.R_OK, Access.WRITE: os.W_OK}.get(access, os.R_OK | os.W_OK)
    if os.access(path, how | (os.X_OK if directory else 0), effective_ids=True):
        return None
    if access is not Access.READ and os.statvfs(path).f_flag & os.ST_RDONLY:
        return READ_ONLY, "is on a file system that is mounted read-only"
    return _closed_by_its_mode(path)


def _closed_by_its_mode(path: bytes) -> tuple[str, str]:
    status = os.stat(path)
    mode, owner = f"{stat.S_IMODE(status.st_mode):04o}", f"{status.st_uid}:{status.st_gid}"
    return OWN_PERMISSIONS, f"is closed by its own permissions (mode {mode}, owner {owner})"


def _passes(path: bytes, places: frozenset[bytes]) -> bool:
    """Return whether the way to ``path`` goes beneath one of ``places``; nothing there is looked at."""
    remaining = path.split(b"/")[::-1]
    reached = b"/"
    links = 0
    while remaining:
        part = remaining.pop()
        if part in (b"", b"."):
            continue
        reached = os.path.dirname(reached) if part == b".." else join(reached, part)
        if any(is_beneath(reached, place) for place in places):
            return True
        try:
            target = os.readlink(reached)
        except OSError:  # no link, or nothing there
            continue
        links += 1
        if links > _MOST_LINKS:
            return True
        reached = b"/" if target.startswith(b"/") else os.path.dirname(reached)
        remaining += target.split(b"/")[::-1]
    return False


def _is_of_a_process(path: bytes) -> bool:
    return path == b"/proc" or path.startswith((b"/proc/", b"/dev/fd", b"/dev/std"))


def _trimmed(path: bytes) -> bytes:
    return path.rstrip(b"/") or b"/"
