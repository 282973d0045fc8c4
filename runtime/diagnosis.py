"""Why a command may have failed: what was refused to it, and which flag would allow that.

Three sources, in the order of what they are worth:

1. *decided*: what nono itself refused while the command ran;
2. *exec*: the kernel's own answer to the exec of the command;
3. *inferred*: what programs complained of on standard error (:mod:`runtime.complaints`).

What is inferred is a question, not an answer: whoever wrote it may lie. Each is asked of the very capability
set that was enforced, of the file's own permissions, and of the guard that judges grants. A flag is suggested
only where the sandbox would have refused, the file's own permissions would not, and the grant can be given;
it is the narrowest one. Nothing here ever gets into the record: evidence is not inferred.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from runtime import exec_obstacles
from runtime.capabilities import Access, Network, is_beneath
from runtime.complaints import CallComplaint, FileComplaint, NetworkComplaint, Refusing, Use
from runtime.errors import GrantError, UsageError
from runtime.executable import inside_write_grant
from runtime.grant_request import GrantRequest
from runtime.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runtime.capabilities import CapabilitySet
    from runtime.complaints import Complaint
    from runtime.protected import Guard

DECIDED = "decided"
EXEC = "exec"
INFERRED = "inferred"

NOT_GRANTED = exec_obstacles.NOT_GRANTED
OWN_PERMISSIONS = exec_obstacles.OWN_PERMISSIONS
PROTECTED = "protected"
NEVER_GRANTABLE = "never-grantable"
READ_ONLY = "read-only-file-system"
NETWORK_CLOSED = "network-closed"
PORT_CLOSED = "port-closed"
CLOSED_CALL = "closed-call"
REFUSED = "refused"

_DNS_PORT = 53

_MAY_WRITE = frozenset({Use.WRITE, Use.OPEN, Use.SHELL})

_CALLS = {
    "mount": "mounting is closed to every command, and no flag opens it",
    "namespace": "namespaces and chroot are closed to every command, and no flag opens them",
    "privilege": "no program gains privileges inside, sudo and its like included, and no flag lets it",
    "raw socket": "raw sockets are closed to every command, and no flag opens them",
}

# Where a write changes what everybody runs. It can be granted; a footer does not talk anybody into it.
_SYSTEM = (b"/bin", b"/boot", b"/etc", b"/lib", b"/lib32", b"/lib64", b"/opt", b"/sbin", b"/usr")


class Refusal(NamedTuple):
    """One refusal that nono itself decided, as the record states it.

    Attributes:
        what: ``file``, ``network``, ``unix-socket``, …
        subject: what was refused.
        reason: why.
    """

    what: str
    subject: bytes
    reason: str


class Finding(NamedTuple):
    """One thing that was refused.

    Attributes:
        certainty: ``decided``, ``exec`` or ``inferred``.
        what: ``file``, ``network`` or ``call``; of what nono decided, its own word.
        subject: the path, the port, or the kind of call.
        access: of a file, what was refused: ``read``, ``write`` or ``readwrite``.
        cause: one of the closed list in ``diagnostics.schema.json``.
        reason: in words, behind the subject.
        flags: the words of the command line that would allow it; empty where none would.
        replaces: flags that have to go for that.
    """

    certainty: str
    what: str
    subject: bytes
    access: Access | None
    cause: str
    reason: str
    flags: tuple[bytes, ...] = ()
    replaces: tuple[bytes, ...] = ()


class Enforced(NamedTuple):
    """What a command was launched inside of, as far as a diagnosis asks.

    Attributes:
        capabilities: the effective capability set.
        directory: where it started.
        workdir: the working directory, in which it started if a grant covers it.
        guard: makes who judges grants, with the paths whose protection is lifted beside those of the launch.
        block_net: whether ``--block-net`` was given.
        refusals: what nono itself refused while the command ran.
    """

    capabilities: CapabilitySet
    directory: bytes
    workdir: bytes
    guard: Callable[[Sequence[bytes]], Guard]
    block_net: bool
    refusals: tuple[Refusal, ...] = ()


def findings(enforced: Enforced, complaints: Iterable[Complaint]) -> list[Finding]:
    """Return what was refused, the surest first, each thing once.

    Args:
        enforced: what the command was launched inside of.
        complaints: what was read from its standard error.
    """
    decided = [
        Finding(DECIDED, refusal.what, refusal.subject, None, REFUSED, refusal.reason)
        for refusal in enforced.refusals
    ]
    judge = _Judge(enforced)
    for complaint in complaints:
        judge.take(complaint)
    known = {finding.subject for finding in decided}
    return [*decided, *(finding for finding in judge.findings() if finding.subject not in known)]


def of_exec(path: bytes, capabilities: CapabilitySet) -> Finding | None:
    """Return why the kernel could not execute the command, None where that is not seen.

    Args:
        path: absolute, of the command.
        capabilities: what was enforced.
    """
    obstacle = exec_obstacles.find(path, capabilities)
    if obstacle is None:
        return None
    return Finding(
        EXEC, "file", obstacle.path, Access.READ, obstacle.cause, obstacle.reason, _flags_of(obstacle)
    )


def _flags_of(obstacle: exec_obstacles.Obstacle) -> tuple[bytes, ...]:
    if obstacle.cause != NOT_GRANTED:
        return ()
    return _words(GrantRequest(Access.READ, obstacle.path, directory=False))


def _words(request: GrantRequest) -> tuple[bytes, ...]:
    return request.flag().encode("ascii"), request.path


class _Judge:
    """Asks complaints of what was enforced."""

    def __init__(self, enforced: Enforced) -> None:
        self._enforced = enforced
        self._capabilities = enforced.capabilities
        self._plain_guard: Guard | None = None
        # Of one file, what is to be granted is granted by one flag.
        self._wanted: dict[tuple[bytes, bool], tuple[GrantRequest, bytes, str]] = {}
        self._found: dict[tuple[bytes, bool] | Finding, Finding] = {}

    def take(self, complaint: Complaint) -> None:
        """Judge one complaint."""
        if isinstance(complaint, FileComplaint):
            try:
                self._take_file(complaint)
            except PermissionError as error:
                if isinstance(error.filename, bytes):
                    reason = "lies in a directory that is closed to this user by its own permissions"
                    self._add(Finding(INFERRED, "file", error.filename, None, OWN_PERMISSIONS, reason))
            except (OSError, ValueError):  # gone meanwhile, or a name that no file can have
                return
        elif isinstance(complaint, NetworkComplaint):
            self._add(self._of_network(complaint))
        else:
            self._add(_of_call(complaint))

    def findings(self) -> list[Finding]:
        """Return what was found, in the order of the complaints."""
        return list(self._found.values())

    def _add(self, finding: Finding | None) -> None:
        if finding is not None:
            self._found.setdefault(finding, finding)

    # --- files ------------------------------------------------------------------------------------

    def _take_file(self, complaint: FileComplaint) -> None:
        path = complaint.path
        if not path.startswith(b"/"):
            directory = self._enforced.directory
            if complaint.use in (Use.WRITE, Use.ENTRY) and directory != self._enforced.workdir:
                # It was to be in the working directory, where the command would be with this very grant.
                self._want(Access.WRITE, self._enforced.workdir, "")
                return
            if not complaint.named and not os.path.lexists(os.path.join(directory, path)):
                return  # any word at all
            path = os.path.join(directory, path)
        if _is_of_a_process(path):
            return  # it would be another one here
        if complaint.refusing is Refusing.READ_ONLY:
            self._take_read_only(path)
        elif complaint.use is Use.ENTRY or (
            complaint.use in _MAY_WRITE and not os.path.lexists(os.path.realpath(path))
        ):
            self._want(Access.WRITE, os.path.dirname(_trimmed(path)) or b"/", "")
        else:
            self._take_existing(complaint.use, path)

    def _take_read_only(self, path: bytes) -> None:
        at = os.path.realpath(path)
        if not os.path.lexists(at):
            at = os.path.dirname(at)
        if os.statvfs(at).f_flag & os.ST_RDONLY:
            reason = "is on a file system that is mounted read-only"
            self._add(Finding(INFERRED, "file", path, Access.WRITE, READ_ONLY, reason))

    def _take_existing(self, use: Use, path: bytes) -> None:
        status = os.stat(path)
        canonical = os.path.realpath(path)
        if use is Use.WRITE:
            self._want(Access.WRITE, path, "")
            return
        if use is Use.LOOK:
            return  # whoever may look at it here may do so inside
        readable = self._capabilities.covers(canonical, Access.READ)
        if not readable or not os.access(path, os.R_OK, effective_ids=True):
            # Of a data file it can also be the writing that was refused, which the message does not say.
            data = (
                use in (Use.OPEN, Use.SHELL) and stat.S_ISREG(status.st_mode) and not status.st_mode & 0o111
            )
            note = " (--allow-file if it writes there as well)" if data else ""
            self._want(Access.READ, path, note)
            return
        if use is Use.READ:
            return
        executes = use in (Use.EXECUTE, Use.SHELL) and stat.S_ISREG(status.st_mode)
        obstacle = exec_obstacles.find(path, self._capabilities) if executes else None
        writable = self._capabilities.covers(canonical, Access.WRITE)
        if obstacle is not None and (use is Use.EXECUTE or writable or obstacle.path != path):
            self._add_obstacle(path, obstacle)
        elif use in _MAY_WRITE and not writable:
            self._want(Access.WRITE, path, "" if obstacle is None else f", and {obstacle.reason}")

    def _add_obstacle(self, path: bytes, obstacle: exec_obstacles.Obstacle) -> None:
        if obstacle.cause == exec_obstacles.MISSING_LOADER:
            return  # of that the kernel says that it is not there
        if obstacle.cause == NOT_GRANTED and obstacle.path != path:
            self._want(Access.READ, obstacle.path, f" ({shown(path)} is loaded by it)")
            return
        self._add(Finding(INFERRED, "file", obstacle.path, Access.READ, obstacle.cause, obstacle.reason))

    def _want(self, access: Access, path: bytes, note: str) -> None:
        """Add what the sandbox would have refused of this access, and what would allow it.

        Args:
            access: reading or writing.
            path: absolute, of something that is there.
            note: words behind the reason.
        """
        if b".." in path.split(b"/"):
            path = os.path.realpath(path)
        path = _trimmed(path)
        canonical = os.path.realpath(path)
        directory = stat.S_ISDIR(os.stat(canonical).st_mode)
        refused = _own_permissions(canonical, access, directory=directory)
        if refused is not None:
            self._add(Finding(INFERRED, "file", path, access, *refused))
            return
        if self._capabilities.covers(canonical, access):
            if access is Access.READ or self._capabilities.covers(canonical, Access.READ):
                return  # neither the sandbox nor the file's permissions refuse it: no cause is known
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
        self._found[key] = self._judged(request, canonical, note)

    def _judged(self, request: GrantRequest, canonical: bytes, note: str) -> Finding:
        mode = os.stat(canonical).st_mode
        what = {Access.READ: "reading", Access.WRITE: "writing"}.get(request.access, "reading and writing")

        def finding(cause: str, reason: str, flags: tuple[bytes, ...] = ()) -> Finding:
            return Finding(INFERRED, "file", request.path, request.access, cause, reason, flags)

        if stat.S_ISSOCK(mode):
            return finding(NEVER_GRANTABLE, "is a socket, and no grant of files opens one")
        if stat.S_ISBLK(mode):
            return finding(NEVER_GRANTABLE, "is a disk, and a disk holds every file")
        try:
            self._guard().judge(request, canonical, path=request.path)
        except GrantError as error:
            if error.code == "grant.protected" and self._is_lifted_by_its_name(request, canonical):
                flags = (b"--bypass-protection", request.path, *_words(request))
                return finding(PROTECTED, f"is protected, and not granted for {what}{note}", flags)
            return finding(NEVER_GRANTABLE, f"is not granted for {what}: {error}")
        if request.access is not Access.READ and any(is_beneath(canonical, each) for each in _SYSTEM):
            return finding(
                NOT_GRANTED, f"is not granted for {what}, and what belongs to the system seldom should be"
            )
        return finding(NOT_GRANTED, f"is not granted for {what}{note}", _words(request))

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

    # --- the network ------------------------------------------------------------------------------

    def _of_network(self, complaint: NetworkComplaint) -> Finding | None:
        network, ports = self._capabilities.network, self._capabilities.ports
        if network is Network.ALL:
            return None
        use, port = complaint.use, complaint.port
        wanted: list[tuple[bytes, int]] = []
        if use == "names" and not complaint.over_udp and _DNS_PORT not in ports.connect:
            wanted.append((b"--allow-connect-port", _DNS_PORT))
        if use in ("connect", "names") and port is not None and port not in ports.connect:
            wanted.append((b"--allow-connect-port", port))
        if use == "listen" and port is not None and port not in (*ports.listen, *ports.listen_loopback):
            wanted.append((b"--listen-port", port))
        flags = tuple(word for flag, number in wanted for word in (flag, b"%d" % number))
        subject = _subject(complaint)
        if network is Network.BLOCKED:
            return self._of_closed_network(subject, flags)
        if complaint.over_udp:
            reason = "are asked for over UDP, which no port opens"
            return Finding(INFERRED, "network", subject, None, NETWORK_CLOSED, reason)
        if not flags:
            return None  # it is open, or not known which
        return Finding(INFERRED, "network", subject, None, PORT_CLOSED, _closed(complaint), flags)

    def _of_closed_network(self, subject: bytes, flags: tuple[bytes, ...]) -> Finding:
        if not self._enforced.block_net:
            reason = "closed by the profile, and no flag opens it"
            return Finding(INFERRED, "network", b"network", None, NETWORK_CLOSED, reason)
        reason = "closed by --block-net"
        return Finding(INFERRED, "network", subject, None, NETWORK_CLOSED, reason, flags, (b"--block-net",))


def _subject(complaint: NetworkComplaint) -> bytes:
    if complaint.use == "names":
        return b"names of hosts"
    if complaint.port is None:
        return b"network"
    return b"TCP port %d" % complaint.port


def _closed(complaint: NetworkComplaint) -> str:
    if complaint.use == "names":
        return "cannot be asked for: port 53 is not granted"
    return f"is not granted for {'listening' if complaint.use == 'listen' else 'connecting'}"


def _of_call(complaint: CallComplaint) -> Finding:
    call = complaint.call
    return Finding(INFERRED, "call", call.encode("ascii"), None, CLOSED_CALL, _CALLS[call])


def _own_permissions(path: bytes, access: Access, *, directory: bool) -> tuple[str, str] | None:
    """Return cause and reason when the file's own permissions refuse the access to this user."""
    how = {Access.READ: os.R_OK, Access.WRITE: os.W_OK}.get(access, os.R_OK | os.W_OK)
    if os.access(path, how | (os.X_OK if directory else 0), effective_ids=True):
        return None
    if access is not Access.READ and os.statvfs(path).f_flag & os.ST_RDONLY:
        return READ_ONLY, "is on a file system that is mounted read-only"
    status = os.stat(path)
    mode, owner = f"{stat.S_IMODE(status.st_mode):04o}", f"{status.st_uid}:{status.st_gid}"
    return OWN_PERMISSIONS, f"is closed by its own permissions (mode {mode}, owner {owner})"


def _is_of_a_process(path: bytes) -> bool:
    return path == b"/proc" or path.startswith((b"/proc/", b"/dev/fd", b"/dev/std"))


def _trimmed(path: bytes) -> bytes:
    return path.rstrip(b"/") or b"/"
