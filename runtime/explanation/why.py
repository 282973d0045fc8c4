"""What a launch may do with a path, a port or a UNIX socket, and why: the judgement of what is enforced.

The kernel adds up: a file is open for what the grants on it and on all directories above it allow together,
each grant standing on the very file or directory that was opened for it. A right that none of them gives is
refused. Then the file's own mode decides, as without a sandbox. This is the same sum, of the same rights
(:mod:`runtime.sandbox.landlock_rules`), and a property test holds the two against each other.
"""

from __future__ import annotations

import os
import stat
from enum import StrEnum
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import DNS_PORT, Access, CapabilitySet, FileGrant, Network, SocketGrant
from runtime.kernel.path_names import is_beneath, join, shown
from runtime.sandbox.landlock_rules import granted_rights, needed_rights

if TYPE_CHECKING:
    from runtime.explanation.path_lookup import Identity, Place


class Operation(StrEnum):
    """What is to be done with a path.

    Of a directory, reading is to list it and writing to make and remove what is in it.
    """

    READ = "read"
    WRITE = "write"
    READWRITE = "readwrite"
    EXECUTE = "execute"

    @property
    def reads(self) -> bool:
        """Whether it reads."""
        return self in (Operation.READ, Operation.READWRITE)

    @property
    def writes(self) -> bool:
        """Whether it writes."""
        return self in (Operation.WRITE, Operation.READWRITE)

    @property
    def access(self) -> Access:
        """The access of a grant that allows it."""
        return Access.READ if self is Operation.EXECUTE else Access(self)


class Status(StrEnum):
    """The answer itself."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why; the closed list that programs may rely on."""

    GRANTED_PATH = "granted_path"
    PASSING_THROUGH = "passing_through"
    PATH_NOT_GRANTED = "path_not_granted"
    INSUFFICIENT_ACCESS = "insufficient_access"
    PROTECTED_PATH = "protected_path"
    NEVER_GRANTABLE = "never_grantable"
    FILE_PERMISSIONS = "file_permissions"
    MOUNT = "mount"
    SOCKET = "socket"
    SOCKET_GRANTED = "socket_granted"
    SOCKET_NOT_GRANTED = "socket_not_granted"
    NO_SOCKET = "no_socket"
    NAME_TAKEN = "name_taken"
    NETWORK_OPEN = "network_open"
    NETWORK_BLOCKED = "network_blocked"
    PORT_GRANTED = "port_granted"
    PORT_NOT_GRANTED = "port_not_granted"
    PRIVILEGED_PORT = "privileged_port"
    IPC_GRANTED = "ipc_granted"
    IPC_NOT_GRANTED = "ipc_not_granted"
    PATH_UNRESOLVABLE = "path_unresolvable"
    PROCESS_DEPENDENT = "process_dependent"
    LAUNCH_REFUSED = "launch_refused"
    NOT_SANDBOXED = "not_sandboxed"
    STATE_UNUSABLE = "state_unusable"


class Rule(NamedTuple):
    """A grant, and the very file or directory that its rule stands on."""

    grant: FileGrant
    identity: Identity


class Answer(NamedTuple):
    """What was found.

    Attributes:
        status: allowed, denied, or unknown.
        reason: why, for programs.
        message: why, for people: half a sentence.
        grants: the grants that bear upon it, the nearest first; of a path or a UNIX socket alone.
        notes: what else there is to know.
    """

    status: Status
    reason: Reason
    message: str
    grants: tuple[FileGrant | SocketGrant, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether it is allowed."""
        return self.status is Status.ALLOWED

    def noting(self, *notes: str) -> Answer:
        """Return the same with more to know."""
        return self._replace(notes=(*self.notes, *notes))


def judge_path(rules: tuple[Rule, ...], place: Place, operation: Operation) -> Answer:
    """Return whether under ``rules`` the operation is allowed there.

    Args:
        rules: those of the launch.
        place: where the path leads.
        operation: what is to be done.
    """
    if place.of_a_process and not is_beneath(place.found, b"/proc"):
        what = "it leads through a process, and where it leads for the command only the command can tell"
        return Answer(Status.UNKNOWN, Reason.PROCESS_DEPENDENT, what)
    needed = needed_rights(
        reads=operation.reads,
        writes=operation.writes,
        executes=operation is Operation.EXECUTE,
        directory=place.is_directory,
        missing=bool(place.missing),
    )
    met = [rule for identity in place.line for rule in rules if rule.identity == identity]
    held = 0
    for rule in met:
        held |= _rights(rule.grant)
    answer = _by_grants(needed, held, met)
    if answer.allowed:
        answer = _beyond_grants(place, operation) or answer
        answer = answer._replace(grants=tuple(rule.grant for rule in met if _rights(rule.grant) & needed))
    if place.missing and answer.status is not Status.UNKNOWN:
        answer = answer.noting(_about_missing(place, operation))
    return answer


def _rights(grant: FileGrant) -> int:
    return granted_rights(grant.path, grant.access, directory=grant.directory)


def _by_grants(needed: int, held: int, met: list[Rule]) -> Answer:
    if not needed:
        return Answer(
            Status.ALLOWED, Reason.PASSING_THROUGH, "to pass through a directory no grant is needed"
        )
    if not needed & ~held:
        return Answer(Status.ALLOWED, Reason.GRANTED_PATH, "it is granted")
    if met:
        grants = tuple(rule.grant for rule in met)
        given = grants[0].access
        for grant in grants:
            given |= grant.access
        return Answer(
            Status.DENIED, Reason.INSUFFICIENT_ACCESS, f"it is granted for {_for(given)} alone", grants
        )
    return Answer(Status.DENIED, Reason.PATH_NOT_GRANTED, "no grant covers it")


def _for(access: Access) -> str:
    return {Access.READ: "reading", Access.WRITE: "writing", Access.READWRITE: "reading and writing"}[access]


def _beyond_grants(place: Place, operation: Operation) -> Answer | None:
    """Return what else decides, where that is not for allowing it; None otherwise."""
    if place.of_a_process:
        what = "it is granted, but of processes outside of the sandbox the kernel shows little"
        return Answer(Status.UNKNOWN, Reason.PROCESS_DEPENDENT, what)
    if not place.missing and stat.S_ISSOCK(place.mode):
        return Answer(
            Status.DENIED, Reason.SOCKET, "it is a socket, which is connected to and never opened as a file"
        )
    writes = operation.writes
    if writes and place.mount & os.ST_RDONLY and (place.is_directory or not _is_device(place)):
        return Answer(Status.DENIED, Reason.MOUNT, "it is granted, but on a file system that is read-only")
    if operation is Operation.EXECUTE and place.mount & os.ST_NOEXEC and not place.is_directory:
        return Answer(Status.DENIED, Reason.MOUNT, "it is granted, but on a file system mounted noexec")
    if not place.missing and place.mount & os.ST_NODEV and _is_device(place):
        return Answer(
            Status.DENIED, Reason.MOUNT, "it is granted, but a device on a file system mounted nodev"
        )
    if place.missing:
        refused = writes and not (place.writable and place.executable)
    else:
        refused = (
            (operation.reads and not place.readable)
            or (writes and not (place.writable and (place.executable or not place.is_directory)))
            or (operation is Operation.EXECUTE and not place.executable)
        )
    return _closed_by_mode(place) if refused else None


def _is_device(place: Place) -> bool:
    return stat.S_ISCHR(place.mode) or stat.S_ISBLK(place.mode)


def _about_missing(place: Place, operation: Operation) -> str:
    if not operation.writes:
        return f"nothing is there yet; the answer is for a file that somebody makes in {shown(place.found)}"
    if len(place.missing) > 1:
        return f"nothing is there yet: its directories have to be made first, in {shown(place.found)}"
    return f"nothing is there yet: it would be made in {shown(place.found)}"


_ONLY_TCP = "with port rules TCP alone is open: no UDP, and nothing else"
_ANY_HOST = "a port is open on every host: the kernel does not tell hosts apart"
_NO_NAMES = (
    "names of hosts are looked up in files alone, since port 53 is not granted (--allow-connect-port 53)"
)


def judge_connect(capabilities: CapabilitySet, port: int, *, by_name: bool) -> Answer:
    """Return whether TCP to a port, on whatever host, is allowed.

    Args:
        capabilities: those of the launch.
        port: the port.
        by_name: whether the host is given by a name, which has to be looked up.
    """
    if capabilities.network is Network.ALL:
        return Answer(Status.ALLOWED, Reason.NETWORK_OPEN, "the network is open")
    if capabilities.network is Network.BLOCKED:
        return Answer(Status.DENIED, Reason.NETWORK_BLOCKED, "the network is blocked")
    if port not in capabilities.ports.connect:
        message = f"port {port} is not among those that may be connected to"
        return Answer(Status.DENIED, Reason.PORT_NOT_GRANTED, message).noting(_ONLY_TCP)
    answer = Answer(Status.ALLOWED, Reason.PORT_GRANTED, f"port {port} may be connected to, on any host")
    names = (_NO_NAMES,) if by_name and DNS_PORT not in capabilities.ports.connect else ()
    return answer.noting(_ANY_HOST, _ONLY_TCP, *names)


def judge_listen(capabilities: CapabilitySet, port: int, *, first_unprivileged: int, is_root: bool) -> Answer:
    """Return whether listening on a TCP port is allowed.

    Args:
        capabilities: those of the launch.
        port: the port.
        first_unprivileged: the first port that needs no capability (``net.ipv4.ip_unprivileged_port_start``).
        is_root: whether root launches.
    """
    if capabilities.network is Network.BLOCKED:
        return Answer(Status.DENIED, Reason.NETWORK_BLOCKED, "the network is blocked")
    privileged = port < first_unprivileged
    if capabilities.network is Network.ALL:
        if privileged:
            message = f"a port below {first_unprivileged} needs a capability, which no command has"
            return Answer(Status.DENIED, Reason.PRIVILEGED_PORT, message)
        return Answer(Status.ALLOWED, Reason.NETWORK_OPEN, "the network is open")
    wide = port in capabilities.ports.listen
    if not wide and port not in capabilities.ports.listen_loopback:
        message = f"port {port} is not among those that may be listened on"
        return Answer(Status.DENIED, Reason.PORT_NOT_GRANTED, message).noting(_ONLY_TCP)
    if privileged and not is_root:
        message = f"a port below {first_unprivileged} is for root, and this user is another"
        return Answer(Status.DENIED, Reason.PRIVILEGED_PORT, message)
    where = "on any address" if wide else "for this host alone (127.0.0.0/8 and ::1)"
    return Answer(Status.ALLOWED, Reason.PORT_GRANTED, f"port {port} may be listened on, {where}").noting(
        _ONLY_TCP
    )


_BY_ITS_NAME = "it is granted by its name, so the answer is for whoever makes a socket there"
_NO_SOCKET_GRANT = "no grant on UNIX sockets covers it"


def judge_socket(capabilities: CapabilitySet, place: Place) -> Answer:
    """Return whether a UNIX socket may be connected to.

    The monitor does it for the command, as the user that launched it: grants of files have no part in it.

    Args:
        capabilities: those of the launch.
        place: where the path leads.
    """
    if place.of_a_process:
        what = "it leads through a process, and sockets are not looked for there"
        return Answer(Status.DENIED, Reason.PROCESS_DEPENDENT, what)
    grants = tuple(grant for grant in capabilities.unix_sockets if grant.covers(place.path))
    if not grants:
        return Answer(Status.DENIED, Reason.SOCKET_NOT_GRANTED, _NO_SOCKET_GRANT)
    if not place.missing and not stat.S_ISSOCK(place.mode):
        return Answer(Status.DENIED, Reason.NO_SOCKET, "what is there is no socket", grants)
    if not place.missing and not place.writable:
        return _closed_by_mode(place)._replace(grants=grants)
    answer = Answer(Status.ALLOWED, Reason.SOCKET_GRANTED, "it may be connected to", grants)
    return answer.noting(_BY_ITS_NAME) if place.missing else answer


def judge_bind(capabilities: CapabilitySet, parent: Place, name: bytes, *, taken: bool) -> Answer:
    """Return whether a UNIX socket may be made and listened on; by whom, see :func:`judge_socket`.

    Args:
        capabilities: those of the launch.
        parent: where the path of its directory leads.
        name: its name in there.
        taken: whether something has that name already.
    """
    if parent.of_a_process:
        what = "it leads through a process, and sockets are not made there"
        return Answer(Status.DENIED, Reason.PROCESS_DEPENDENT, what)
    path = join(parent.path, name)
    met = tuple(grant for grant in capabilities.unix_sockets if grant.covers(path))
    grants = tuple(grant for grant in met if grant.bind)
    if not grants:
        if met:
            message = "it may be connected to alone"
            return Answer(Status.DENIED, Reason.INSUFFICIENT_ACCESS, message, met)
        return Answer(Status.DENIED, Reason.SOCKET_NOT_GRANTED, _NO_SOCKET_GRANT)
    if parent.missing or not parent.is_directory:
        what = f"its directory is not there: {shown(parent.path)}"
        return Answer(Status.UNKNOWN, Reason.PATH_UNRESOLVABLE, what, grants)
    if taken:
        message = "something has that name already, and a socket is only made where nothing is"
        return Answer(Status.DENIED, Reason.NAME_TAKEN, message, grants)
    if parent.mount & os.ST_RDONLY:
        message = "it is granted, but on a file system that is read-only"
        return Answer(Status.DENIED, Reason.MOUNT, message, grants)
    if not (parent.writable and parent.executable):
        return _closed_by_mode(parent)._replace(grants=grants)
    return Answer(Status.ALLOWED, Reason.SOCKET_GRANTED, "it may be made and listened on", grants)


def judge_sysv_ipc(capabilities: CapabilitySet) -> Answer:
    """Return whether System V memory, semaphores and queues can be used.

    Args:
        capabilities: those of the launch.
    """
    if capabilities.sysv_ipc:
        what = "they are those that everything of this user shares"
        return Answer(Status.ALLOWED, Reason.IPC_GRANTED, what)
    return Answer(Status.DENIED, Reason.IPC_NOT_GRANTED, "they are not there (ENOSYS)")


def _closed_by_mode(place: Place) -> Answer:
    whose = f"mode {stat.S_IMODE(place.mode):04o} of {shown(place.found)}, which uid {place.owner} owns,"
    return Answer(
        Status.DENIED, Reason.FILE_PERMISSIONS, f"it is granted, but the {whose} denies it to this user"
    )
