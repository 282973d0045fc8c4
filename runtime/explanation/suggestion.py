"""The narrowest flag that would change an answer: tried upon the same launch before it is offered.

What is suggested has been judged as a launch judges it, and the same question has been asked again: it is
allowed then. Where no flag does that, none is offered, and it is said what stands in the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import USER, Reach
from runtime.capability.grant_request import GrantRequest, SocketRequest
from runtime.errors import GrantError, LaunchError
from runtime.explanation.file_refusals import OF_THE_SYSTEM
from runtime.explanation.why import Answer, Reason, Status, judge_path
from runtime.explanation.why_subject import Changes
from runtime.kernel.path_names import is_beneath, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.explanation.path_lookup import Place
    from runtime.explanation.why import Operation
    from runtime.explanation.why_subject import Subject


class Suggestion(NamedTuple):
    """Flags that make it allowed.

    Attributes:
        add: words to add to the command line of the launch.
        remove: flags to leave out.
    """

    add: tuple[bytes, ...]
    remove: tuple[bytes, ...] = ()

    def wording(self) -> str:
        """Return it as one line."""
        words = " ".join(map(shown, self.add))
        return words if not self.remove else f"{words}, in the place of {' '.join(map(shown, self.remove))}"


def for_path(
    subject: Subject, place: Place, operation: Operation, answer: Answer
) -> tuple[Answer, Suggestion | None]:
    """Return the answer, with what protects the place where something does, and what would change it.

    Args:
        subject: what was asked.
        place: where the path leads.
        operation: what is to be done there.
        answer: that it is denied for want of a grant.
    """
    answer = _with_protection(subject, place, operation, answer)
    if answer.reason is Reason.NEVER_GRANTABLE:
        return answer, None
    directory = place.is_directory or bool(place.missing)
    access = operation.access
    for grant in subject.capabilities.files:
        if (grant.path, grant.directory) == (place.found, directory):
            access |= grant.access  # a user's grant takes the place of a weaker one on the same path
    request = GrantRequest(access, place.found, directory=directory, source=USER)
    bypasses: list[tuple[bytes, ...]] = [()]
    why_not = ""
    for bypass in bypasses:
        try:
            changed = subject.with_changes(Changes(grants=(request,), bypass=bypass))
        except LaunchError as error:
            why_not = why_not or str(error)
            if isinstance(error, GrantError) and error.protected is not None and not bypass:
                bypasses += [(place.found,), (error.protected,)]
            continue
        then = judge_path(changed.rules, place, operation)
        if then.allowed:
            if operation.writes and any(is_beneath(place.found, each) for each in OF_THE_SYSTEM):
                answer = answer.noting("what belongs to the system seldom should be granted for writing")
            lifts = [word for path in bypass for word in (b"--bypass-protection", path)]
            return answer, Suggestion((*lifts, *request.words()))
        why_not = f"with {request.wording()}: {then.message}"
    return answer.noting(why_not), None


def for_port(
    subject: Subject, flag: bytes, port: int, answer: Answer, ask: Callable[[Subject], Answer]
) -> tuple[Answer, Suggestion | None]:
    """Return the answer, and what would change it.

    Args:
        subject: what was asked.
        flag: ``--allow-connect-port`` or ``--listen-port``.
        port: the port.
        answer: that it is denied.
        ask: asks the same of another subject.
    """
    blocked = answer.reason is Reason.NETWORK_BLOCKED
    if blocked and not subject.can_unblock:
        return answer.noting("no flag opens it: a profile, or the launch that is asked, closes it"), None
    given = (port,)
    changes = Changes(connect=given) if flag == b"--allow-connect-port" else Changes(listen=given)
    try:
        changed = subject.with_changes(changes._replace(unblock=blocked))
    except LaunchError as error:
        return answer.noting(str(error)), None
    then = ask(changed)
    if not then.allowed:
        return answer.noting(f"with {shown(flag)} {port}: {then.message}"), None
    return answer, Suggestion((flag, b"%d" % port), (b"--block-net",) if blocked else ())


def for_socket(
    subject: Subject, path: bytes, answer: Answer, ask: Callable[[Subject], Answer], *, bind: bool
) -> tuple[Answer, Suggestion | None]:
    """Return the answer, and what would change it.

    Args:
        subject: what was asked.
        path: where the socket is, or is to be made.
        answer: that it is denied for want of a grant.
        ask: asks the same of another subject.
        bind: whether it is to be made.
    """
    request = SocketRequest(path, Reach.SOCKET, bind)
    try:
        changed = subject.with_changes(Changes(sockets=(request,)))
    except LaunchError as error:
        if not isinstance(error, GrantError) or error.protected is None:
            return _unsocketed(answer, error), None
        bypass = (error.protected,)
        try:
            changed = subject.with_changes(Changes(sockets=(request,), bypass=bypass))
        except LaunchError:
            return _unsocketed(answer, error), None
        then = ask(changed)
        if then.allowed:
            what = f"it is protected (group {error.group})" if error.group else "it is protected"
            answer = answer._replace(reason=Reason.PROTECTED_PATH, message=what).noting(str(error))
            return answer, Suggestion((b"--bypass-protection", *bypass, *request.words()))
    else:
        then = ask(changed)
        if then.allowed:
            return answer, Suggestion(request.words())
    if then.reason is Reason.SOCKET_NOT_GRANTED:  # a launch leaves such a grant out, with a warning
        return answer.noting("its directory is not there, and until it is there nothing can be granted"), None
    return answer.noting(f"with {request.wording()}: {then.message}"), None


def for_sysv_ipc(
    subject: Subject, answer: Answer, ask: Callable[[Subject], Answer]
) -> tuple[Answer, Suggestion | None]:
    """Return the answer, and what would change it.

    Args:
        subject: what was asked.
        answer: that it is denied.
        ask: asks the same of another subject.
    """
    try:
        then = ask(subject.with_changes(Changes(sysv_ipc=True)))
    except LaunchError as error:
        return answer.noting(str(error)), None
    return answer, Suggestion((b"--allow-sysv-ipc",)) if then.allowed else None


def _unsocketed(answer: Answer, error: LaunchError) -> Answer:
    if error.code == "grant.untouchable":
        answer = answer._replace(reason=Reason.NEVER_GRANTABLE, message="no grant opens it")
    return answer.noting(str(error))


def _with_protection(subject: Subject, place: Place, operation: Operation, answer: Answer) -> Answer:
    """Return the answer with what no grant opens, or none without a bypass, as its reason."""
    # As of one file, whatever it is: what a directory contains protects that, not the directory.
    request = GrantRequest(operation.access, place.path, directory=False, source=USER)
    canonical = None if place.missing else place.path
    try:
        subject.guard.judge(request, canonical, path=place.path)
    except GrantError as error:
        notes = (*answer.notes, str(error))
        if error.code == "grant.untouchable":
            message = f"no grant opens it for {'writing' if operation.writes else 'reading'}"
            return Answer(Status.DENIED, Reason.NEVER_GRANTABLE, message, answer.grants, notes)
        what = f"it is protected (group {error.group})" if error.group else "it is protected"
        return Answer(Status.DENIED, Reason.PROTECTED_PATH, what, answer.grants, notes)
    return answer
