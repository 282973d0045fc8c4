"""How ``nono why`` writes an answer: as lines for people, or as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attest import canonical
from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import (
    PROFILE,
    SYSTEM,
    USER,
    FileGrant,
    Network,
    network_document,
    network_words,
    socket_words,
)
from runtime.capability.default_groups import DEFAULT_GROUPS
from runtime.cli.audit_document import write_document
from runtime.cli.profile_facts import DEFAULT, ChainNames
from runtime.explanation.why import Operation, Status
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.capability.capabilities import CapabilitySet, SocketGrant
    from runtime.explanation.suggestion import Suggestion
    from runtime.explanation.why import Answer
    from runtime.explanation.why_subject import AskedLaunch, LaunchAround
    from runtime.policy.profile import Profile

VERSION = 1

_COMMAND_LINE = "command line"
_NONO = "nono"
_DEFAULTS = frozenset(group.name for group in DEFAULT_GROUPS)
_DOES = {
    Operation.READ: "read",
    Operation.WRITE: "write to",
    Operation.READWRITE: "read and write",
    Operation.EXECUTE: "execute",
}


class Question(NamedTuple):
    """What is asked: about a path, a UNIX socket, a port of a host or to listen on, or what System V has.

    Attributes:
        path: the path as it was typed, or None.
        operation: what is to be done with it.
        socket: the path of a UNIX socket as it was typed, or None.
        bind: whether that is to be made and listened on.
        host: the host to connect to, or None.
        port: the port, None for what has none.
        sysv_ipc: whether it is about System V memory, semaphores and queues.
    """

    path: bytes | None = None
    operation: Operation = Operation.READ
    socket: bytes | None = None
    bind: bool = False
    host: str | None = None
    port: int | None = None
    sysv_ipc: bool = False

    @property
    def is_relative(self) -> bool:
        """Whether it is about a path in the current directory."""
        path = self.socket if self.path is None else self.path
        return path is not None and not path.startswith((b"/", b"~"))

    def wording(self) -> str:
        """Return what is asked as a few words."""
        if self.path is not None:
            return f"{_DOES[self.operation]} {shown(self.path)}"
        if self.socket is not None:
            return f"{'make the socket' if self.bind else 'connect to'} {shown(self.socket)}"
        if self.sysv_ipc:
            return "use System V memory, semaphores and queues"
        if self.host is not None:
            return f"connect to {self.host}, port {self.port}"
        return f"listen on port {self.port}"

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        if self.path is not None:
            return {"kind": "path", "operation": str(self.operation), "path": canonical.text(self.path)}
        if self.socket is not None:
            operation = "bind" if self.bind else "connect"
            return {"kind": "unix_socket", "operation": operation, "path": canonical.text(self.socket)}
        if self.sysv_ipc:
            return {"kind": "sysv_ipc"}
        if self.host is not None:
            return {"host": self.host, "kind": "connect", "port": self.port}
        return {"kind": "listen", "port": self.port}


class Found(NamedTuple):
    """A question with its answer.

    Attributes:
        question: what was asked.
        answer: what was found.
        suggestion: what would change it, None where nothing would or nothing needs to.
        launch: the launch that the flags would make, where that was asked.
        around: the launch in which it was asked, where that was.
    """

    question: Question
    answer: Answer
    suggestion: Suggestion | None = None
    launch: AskedLaunch | None = None
    around: LaunchAround | None = None

    @property
    def capabilities(self) -> CapabilitySet | None:
        """The capability set that was asked, if it came to that."""
        subject = self.launch or self.around
        return None if subject is None else subject.capabilities

    @property
    def profile(self) -> Profile | None:
        """The profile of the launch, where it is known."""
        return None if self.launch is None else self.launch.profile


def lines(found: Found) -> Iterator[str]:
    """Yield the answer, the rule that it follows from, and what to do about it."""
    answer = found.answer
    status = "cannot say" if answer.status is Status.UNKNOWN else str(answer.status)
    yield f"{status}: {found.question.wording()}: {answer.message}"
    for grant in answer.grants:
        asked = "" if grant.asked == grant.path else f", as {shown(grant.asked)}"
        by = "".join(f", {who}" for who in _said_by(found, grant) if who not in (_COMMAND_LINE, _NONO))
        yield f"grant    {_grant_words(grant)} ({grant.source}{asked}{by})"
    if found.question.port is not None and found.capabilities is not None:
        by = ", ".join(_network_said_by(found))
        network = network_words(network_document(found.capabilities.network, found.capabilities.ports))
        yield f"network  {network}{f' ({by})' if by else ''}"
    if found.suggestion is not None:
        yield f"flag     {found.suggestion.wording()}"
    for note in answer.notes:
        yield f"note     {note}"


def write_json(found: Found) -> None:
    """Write the answer as one JSON object of the published schema.

    Raises:
        OutputError: it cannot be written.
    """
    answer, suggestion = found.answer, found.suggestion
    network: dict[str, Any] | None = None
    if found.question.port is not None and (capabilities := found.capabilities) is not None:
        network = network_document(capabilities.network, capabilities.ports)
        network["said_by"] = [*_network_said_by(found)]
    write_document(
        {
            "matching_capabilities": [
                {**grant.document(), "said_by": [*_said_by(found, grant)]} for grant in answer.grants
            ],
            "message": _text(answer.message),
            "network": network,
            "notes": [*map(_text, answer.notes)],
            "question": found.question.document(),
            "reason": str(answer.reason),
            "session": None if found.around is None else found.around.state.own.session,
            "status": str(answer.status),
            "suggestion": None
            if suggestion is None
            else {
                "add": [*map(canonical.text, suggestion.add)],
                "remove": [*map(canonical.text, suggestion.remove)],
            },
            "version": VERSION,
        }
    )


def _grant_words(grant: FileGrant | SocketGrant) -> str:
    if isinstance(grant, FileGrant):
        return f"{grant.access} {shown(grant.path)}{'/' if grant.directory and grant.path != b'/' else ''}"
    return " ".join((*socket_words(grant.document()), shown(grant.path)))


def _said_by(found: Found, grant: FileGrant | SocketGrant) -> tuple[str, ...]:
    """Return who asks for a grant: the command line, files of a profile, the defaults, or nono itself."""
    if grant.source == SYSTEM:
        return (_NONO,)
    if grant.source == USER:
        return (_COMMAND_LINE,)
    files = None if found.profile is None else ChainNames(found.profile.chain)
    if grant.source == PROFILE:
        if files is None:
            return ()
        if isinstance(grant, FileGrant):
            return files.that(lambda file: any(request.path == grant.asked for request in file.filesystem))
        return files.that(lambda file: any(request.path == grant.asked for request in file.unix_sockets))
    name = grant.source.partition(":")[2]
    including = () if files is None else files.that(lambda file: name in file.include)
    return (DEFAULT, *including) if name in _DEFAULTS else including


def _network_said_by(found: Found) -> tuple[str, ...]:
    """Return who closes the network, or names ports; nobody where the launch around was asked."""
    launch, capabilities = found.launch, found.capabilities
    if launch is None or capabilities is None:
        return ()
    if capabilities.network is Network.ALL:
        return (DEFAULT,)
    files = None if launch.profile is None else ChainNames(launch.profile.chain)
    if capabilities.network is Network.BLOCKED:
        by = () if files is None else files.that(lambda file: file.block_network)
        return ("--block-net", *by) if launch.request.block_net else by
    by = () if files is None else files.that(lambda file: any(file.ports))
    return (_COMMAND_LINE, *by) if any(launch.request.asked_ports()) else by


def _text(text: str) -> str:
    # A path that is not UTF-8 can stand in it, and JSON has no form for that in a text.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
