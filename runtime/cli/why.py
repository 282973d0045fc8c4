"""``nono why``: whether a launch may do something, why, and what would change that."""

from __future__ import annotations

import functools
import os
import stat
from typing import TYPE_CHECKING

from attest.errors import NonoError
from attest.printable_text import is_printable
from runtime.capability.capabilities import MAX_PORT
from runtime.capability.capability_file import VARIABLE, Around
from runtime.capability.capability_reading import launches_around, read_state
from runtime.cli import why_text
from runtime.cli.published_schemas import write_schema
from runtime.cli.run import add_grant_arguments, grant_request
from runtime.cli.terminal import write_lines
from runtime.errors import OutputError, StateFileError, UnresolvedPathError, UsageError
from runtime.explanation import suggestion
from runtime.explanation.path_lookup import look_up
from runtime.explanation.why import (
    Answer,
    Operation,
    Reason,
    Status,
    judge_bind,
    judge_connect,
    judge_listen,
    judge_path,
    judge_socket,
    judge_sysv_ipc,
)
from runtime.explanation.why_subject import AskedLaunch, LaunchAround, rules_of
from runtime.kernel import syscalls
from runtime.kernel.path_names import absolute, homes, join, shown
from runtime.policy.request import LaunchRequest
from runtime.policy.resolution import Places

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from runtime.capability.capabilities import CapabilitySet
    from runtime.cli.why_text import Question
    from runtime.explanation.path_lookup import Place
    from runtime.explanation.suggestion import Suggestion
    from runtime.explanation.why import Rule
    from runtime.explanation.why_subject import Subject

    Judge = Callable[[CapabilitySet, tuple[Rule, ...]], Answer]

USAGE_STATUS = FAILURE_STATUS = 2

EPILOG = """\
It asks what a launch with the same flags would do: the grants are opened and judged as nono run does it, and
the answer is the sum of the rights that the kernel would be given. With --self, inside of a launch, it asks
what that launch may do. Nothing is launched or recorded, and no name of a host is looked up.

A flag that is suggested has been tried: with it the same question is answered with "allowed". Where none is,
none would help, and a note says why. What a launch has of its own, the private temporary directory and its
standard streams, --self alone knows.

--json writes one object, whose form nono why --schema prints.

exit codes:
  0  allowed
  1  denied
  2  it cannot be said: the flags would be refused, the path leads nowhere, --self outside of a launch; usage

examples:
  nono why --path ~/project --op write --allow ~/project
  nono why --path ~/.ssh/config
  nono why --path src --read . -p python-dev --json
  nono why --host example.org --port 443 --allow-connect-port 443
  nono why --listen 8080 --open-port 8080
  nono why --sysv-ipc --allow-sysv-ipc
  nono why --unix-socket-bind ./server.sock --allow-unix-socket-dir-bind .
  nono run --allow . -- nono why --self --path setup.py --op write      needs a nono that the command can read
"""

_STATUS = {Status.ALLOWED: 0, Status.DENIED: 1, Status.UNKNOWN: 2}
_FIRST_UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_USUAL_FIRST_UNPRIVILEGED = 1024
_MAX_HOST = 255
_LARGEST_PATH = 107  # unix(7): 108 bytes with the NUL

# Of which command a launch is makes no difference to what it may do.
_ANY_COMMAND = (b"true",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``nono why``."""
    question = parser.add_argument_group("question")
    one = question.add_mutually_exclusive_group(required=True)
    one.add_argument("--path", metavar="PATH", help="may it use this file or directory?")
    one.add_argument("--unix-socket", metavar="PATH", help="may it connect to this UNIX socket?")
    one.add_argument(
        "--unix-socket-bind", metavar="PATH", help="may it make a UNIX socket there, and listen on it?"
    )
    one.add_argument("--host", metavar="HOST", help="may it connect to this host, on --port?")
    one.add_argument("--listen", metavar="PORT", help="may it listen on this TCP port?")
    one.add_argument(
        "--sysv-ipc", action="store_true", help="may it use System V memory, semaphores and queues?"
    )
    one.add_argument("--schema", action="store_true", help="print the form of what --json writes")
    question.add_argument(
        "--op",
        choices=[str(operation) for operation in Operation],
        help="with --path: what is to be done (default: read); of a directory, read lists it, write makes and"
        " removes what is in it",
    )
    question.add_argument("--port", metavar="PORT", help="with --host: the TCP port")
    parser.add_argument(
        "--self", action="store_true", dest="inside", help="ask the launch in which this is called"
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object")
    add_grant_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Answer the question and return the exit code.

    Raises:
        UsageError: the question cannot be meant.
    """
    if arguments.schema:
        return write_schema("why")
    question = _question(arguments)
    request = grant_request(arguments, command=_ANY_COMMAND)
    found: why_text.Found
    try:
        found = _inside(question) if arguments.inside else _outside(request, question)
    except OutputError:
        raise
    except NonoError as error:
        hints = (error.hint,) if error.hint else ()
        what = f"such a launch would be refused: {error}"
        found = _unanswered(question, Reason.LAUNCH_REFUSED, what, *hints)
    except OSError as error:
        found = _unanswered(question, Reason.LAUNCH_REFUSED, f"it cannot be judged: {error.strerror}")
    if arguments.json:
        why_text.write_json(found)
    else:
        write_lines(why_text.lines(found))
    return _STATUS[found.answer.status]


def _question(arguments: argparse.Namespace) -> Question:
    if arguments.inside:
        _refuse_flags_of_a_launch(arguments)
    if arguments.path is not None:
        if arguments.port is not None:
            raise UsageError("--port is of --host, and --path was given", code="usage.why")
        operation = Operation(arguments.op or Operation.READ)
        return why_text.Question(path=_path("--path", arguments.path), operation=operation)
    if arguments.op is not None:
        raise UsageError("--op is of --path", code="usage.why")
    for flag, typed, bind in (
        ("--unix-socket", arguments.unix_socket, False),
        ("--unix-socket-bind", arguments.unix_socket_bind, True),
    ):
        if typed is not None:
            if arguments.port is not None:
                raise UsageError(f"--port is of --host, and {flag} was given", code="usage.why")
            return why_text.Question(socket=_path(flag, typed), bind=bind)
    return _question_without_path(arguments)


def _question_without_path(arguments: argparse.Namespace) -> Question:
    if arguments.sysv_ipc:
        if arguments.port is not None:
            raise UsageError("--port is of --host, and --sysv-ipc was given", code="usage.why")
        return why_text.Question(sysv_ipc=True)
    if arguments.listen is not None:
        if arguments.port is not None:
            raise UsageError("--port is of --host; --listen has its own", code="usage.why")
        return why_text.Question(port=_port("--listen", arguments.listen))
    if arguments.port is None:
        raise UsageError("--host needs a --port", code="usage.why", hint="for instance: --port 443")
    host = arguments.host
    if not host or len(host) > _MAX_HOST or not is_printable(host) or " " in host:
        raise UsageError(f"not a host: {shown(os.fsencode(host[:_MAX_HOST]))}", code="usage.why")
    return why_text.Question(host=host, port=_port("--port", arguments.port))


def _refuse_flags_of_a_launch(arguments: argparse.Namespace) -> None:
    without = LaunchRequest(variables=dict(os.environb), command=_ANY_COMMAND)
    if grant_request(arguments, command=_ANY_COMMAND) != without:
        raise UsageError(
            "--self asks the launch around, and the other flags ask about another one",
            code="usage.why",
            hint="leave out one of the two",
        )


def _path(flag: str, text: str) -> bytes:
    if not text:
        raise UsageError(f"{flag} is given an empty path", hint="is a variable not set?")
    path = os.fsencode(text)
    absolute(path, workdir=b"/", home=b"/")  # refuses what cannot be meant as a path
    return path


def _port(flag: str, text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PORT))
    if not is_number or not 1 <= int(text) <= MAX_PORT:
        raise UsageError(
            f"{flag} {shown(os.fsencode(text))} is not a port",
            code="usage.port",
            hint=f"a port is a number from 1 to {MAX_PORT}",
        )
    return int(text)


# --- who is asked -----------------------------------------------------------------------------------------


def _outside(request: LaunchRequest, question: Question) -> why_text.Found:
    notes: list[str] = []
    launch = AskedLaunch(request, Places.of_user(), notes.append)
    outer = request.outer_session()
    around = Around()
    if outer is not None and _is_confined():
        around = launches_around(request.variables.get(VARIABLE), outer)
    answer, suggested = _answer(launch, question, launch.workdir, around)
    return why_text.Found(question, answer.noting(*notes), suggested, launch=launch)


def _inside(question: Question) -> why_text.Found:
    path = os.environb.get(VARIABLE)
    if not _is_confined():
        return _unanswered(question, Reason.NOT_SANDBOXED, "no launch is around this process")
    if not path:
        what = f"the launch around this process does not say what it may do ({VARIABLE.decode()})"
        return _unanswered(question, Reason.NOT_SANDBOXED, what)
    try:
        state = read_state(path)
    except StateFileError as error:
        return _unanswered(question, Reason.STATE_UNUSABLE, str(error))
    workdir = os.getcwdb() if question.is_relative else b"/"
    launch = LaunchAround(state, Places.of_user(), workdir)
    answer, suggested = _answer(launch, question, workdir, state.around)
    return why_text.Found(question, answer, suggested, around=launch)


def _unanswered(question: Question, reason: Reason, what: str, *notes: str) -> why_text.Found:
    return why_text.Found(question, Answer(Status.UNKNOWN, reason, what, notes=notes))


def _is_confined() -> bool:
    try:
        return syscalls.prctl(syscalls.PR_GET_NO_NEW_PRIVS) == 1 and syscalls.seccomp_filtered()
    except OSError:  # whatever refuses that confines
        return True


# --- what is asked ----------------------------------------------------------------------------------------


def _answer(
    subject: Subject, question: Question, workdir: bytes, around: Around
) -> tuple[Answer, Suggestion | None]:
    suggest: Callable[[Subject, Answer, Judge], tuple[Answer, Suggestion | None]]
    if question.socket is not None:
        path = absolute(question.socket, workdir=workdir, home=next(iter(homes()), None))
        try:
            judge, at = (_about_binding if question.bind else _about_socket)(path)
        except UnresolvedPathError as error:
            return _without_place(error), None
        suggest = functools.partial(_suggest_socket, at, bind=question.bind)
    elif question.sysv_ipc:
        judge = _about_sysv_ipc
        suggest = _suggest_sysv_ipc
    elif question.path is None:
        judge = _about_port(question)
        suggest = functools.partial(_suggest_port, question)
    else:
        path = absolute(question.path, workdir=workdir, home=next(iter(homes()), None))
        try:
            place = look_up(path)
        except UnresolvedPathError as error:
            return _without_place(error), None
        judge = functools.partial(_about_path, place, path, question.operation)
        suggest = functools.partial(_suggest_path, place, question.operation)
    answer = judge(subject.capabilities, subject.rules)
    for layer in around.layers:
        outer = judge(layer.capabilities, rules_of(layer))
        if not outer.allowed:
            # No flag of the launch that is asked changes what the one around it refuses.
            return outer.noting(f"so it is for the launch around, {layer.session}"), None
    if around.unread is not None:
        answer = answer.noting(f"the launch around, {around.unread}, may refuse what this one grants")
    return suggest(subject, answer, judge)


def _without_place(error: UnresolvedPathError) -> Answer:
    if error.code == "why.way":
        what = f"a directory on the way is closed: {error}"
        return Answer(Status.DENIED, Reason.FILE_PERMISSIONS, what)
    return Answer(Status.UNKNOWN, Reason.PATH_UNRESOLVABLE, str(error))


def _about_path(
    place: Place, path: bytes, operation: Operation, _: CapabilitySet, rules: tuple[Rule, ...]
) -> Answer:
    return _leading(judge_path(rules, place, operation), place.path, path)


def _suggest_path(
    place: Place, operation: Operation, subject: Subject, answer: Answer, _: Judge
) -> tuple[Answer, Suggestion | None]:
    for_want_of_a_grant = (Reason.PATH_NOT_GRANTED, Reason.INSUFFICIENT_ACCESS)
    if answer.reason not in for_want_of_a_grant:
        return answer, None
    answer, suggested = suggestion.for_path(subject, place, operation, answer)
    if subject.elevates and answer.reason in for_want_of_a_grant and _is_asked_about(place, operation):
        answer = answer.noting("a person is asked when it is opened, and can allow it (elevation)")
    return answer, suggested


def _is_asked_about(place: Place, operation: Operation) -> bool:
    """Return whether it is a file that can be asked for, or made, or a directory that can be listed."""
    if operation is Operation.EXECUTE or place.of_a_process:
        return False
    if place.is_directory:
        return operation is Operation.READ
    if place.missing:
        return operation.writes and len(place.missing) == 1
    return stat.S_ISREG(place.mode)


def _about_socket(path: bytes) -> tuple[Judge, bytes]:
    place = look_up(path)

    def judge(capabilities: CapabilitySet, _: tuple[Rule, ...]) -> Answer:
        return _addressed(_leading(judge_socket(capabilities, place), place.path, path), path)

    return judge, place.path


def _about_binding(path: bytes) -> tuple[Judge, bytes]:
    above, name = os.path.split(path)
    if name in (b"", b".", b".."):
        raise UnresolvedPathError(f"{shown(path)} does not end with a name that a socket could get")
    parent = look_up(above)
    made = join(parent.path, name)
    taken = os.path.lexists(made)  # not where a link there leads: the kernel does not follow it either

    def judge(capabilities: CapabilitySet, _: tuple[Rule, ...]) -> Answer:
        return _addressed(_leading(judge_bind(capabilities, parent, name, taken=taken), made, path), path)

    return judge, made


def _suggest_socket(
    path: bytes, subject: Subject, answer: Answer, judge: Judge, *, bind: bool
) -> tuple[Answer, Suggestion | None]:
    if answer.reason not in (Reason.SOCKET_NOT_GRANTED, Reason.INSUFFICIENT_ACCESS):
        return answer, None
    return suggestion.for_socket(
        subject, path, answer, lambda changed: judge(changed.capabilities, changed.rules), bind=bind
    )


def _about_sysv_ipc(capabilities: CapabilitySet, _: tuple[Rule, ...]) -> Answer:
    return judge_sysv_ipc(capabilities)


def _suggest_sysv_ipc(subject: Subject, answer: Answer, judge: Judge) -> tuple[Answer, Suggestion | None]:
    if answer.allowed:
        return answer, None
    return suggestion.for_sysv_ipc(
        subject, answer, lambda changed: judge(changed.capabilities, changed.rules)
    )


def _addressed(answer: Answer, path: bytes) -> Answer:
    if len(path) <= _LARGEST_PATH:
        return answer
    what = f"an address takes {_LARGEST_PATH} bytes, and this path has {len(path)}"
    return answer.noting(f"{what}: only a relative one can reach it")


def _leading(answer: Answer, leads_to: bytes, path: bytes) -> Answer:
    return answer if leads_to == path else answer.noting(f"it leads to {shown(leads_to)}")


def _about_port(question: Question) -> Judge:
    port = question.port
    assert port is not None
    if question.host is not None:
        by_name = not _is_address(question.host)
        return lambda capabilities, _: judge_connect(capabilities, port, by_name=by_name)
    first, is_root = _first_unprivileged(), os.geteuid() == 0
    return lambda capabilities, _: judge_listen(capabilities, port, first_unprivileged=first, is_root=is_root)


def _suggest_port(
    question: Question, subject: Subject, answer: Answer, judge: Judge
) -> tuple[Answer, Suggestion | None]:
    if answer.reason not in (Reason.NETWORK_BLOCKED, Reason.PORT_NOT_GRANTED):
        return answer, None
    flag = b"--listen-port" if question.host is None else b"--allow-connect-port"
    assert question.port is not None
    return suggestion.for_port(
        subject, flag, question.port, answer, lambda changed: judge(changed.capabilities, changed.rules)
    )


def _is_address(host: str) -> bool:
    import _socket  # noqa: PLC0415  # only for a question about a host

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, host.strip("[]").partition("%")[0])
        except OSError:
            continue
        return True
    return False


def _first_unprivileged() -> int:
    try:
        with open(_FIRST_UNPRIVILEGED, "rb") as file:
            return int(file.read(16))
    except (OSError, ValueError):
        return _USUAL_FIRST_UNPRIVILEGED
