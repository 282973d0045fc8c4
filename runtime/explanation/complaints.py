"""What programs say when something was refused to them: read from the end of what a command wrote.

The text is the command's, which may be hostile: nothing here is believed, only taken for a question that
:mod:`runtime.explanation.diagnosis` asks of what was enforced. It is read line by line, in time that is
linear in its size, with no pattern that could be made to backtrack; a path is taken only if it could be
written on one line. Messages that are translated are not recognised.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.explanation import paths_in_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_BYTES = 65_536
"""As much of the end of a text as is read."""

MOST_COMPLAINTS = 64
"""As many complaints as are returned, the last ones."""

_MOST_LINE = 8_192
_MOST_PATH = 1_024
_LINES_AROUND = 5

_DENIED = (b"[errno 13] permission denied", b"permission denied", b"eacces", b"accessdeniedexception")
_READ_ONLY = (b"read-only file system", b"erofs")
_NOT_PERMITTED = (b"operation not permitted", b"eperm")
_LOOKUP = b": lookup "
_NAMES = (
    b"could not resolve host",
    b"temporary failure in name resolution",
    b"name or service not known",
    b"eai_again",
    _LOOKUP,
)
_RUST = b"permission denied (os error"
_BASH_TCP = b"/dev/tcp/"
_TRACEBACKS = frozenset({b"permissionerror", b"oserror"})
_CURL_CONNECT = b"failed to connect to "
_NO_PRIVILEGES = b'"no new privileges" flag is set'

# How a line of a traceback, or of a stack, opens a file that is to be written.
_OPENED_FOR_WRITING = (
    *(b"'w", b'"w', b"'a'", b'"a"', b"'ab'", b'"ab"', b"'x", b'"x', b".write_text(", b".write_bytes("),
    *(b"writefile", b"appendfile", b"createwritestream"),
)


class Use(StrEnum):
    """What was to be done with a file, as far as the message says.

    ``entry`` is making, renaming or removing it: a matter of its directory. ``open`` does not say for what;
    of a shell (``shell``) it can also be executing.
    """

    READ = "read"
    WRITE = "write"
    ENTRY = "entry"
    EXECUTE = "execute"
    LOOK = "look"
    OPEN = "open"
    SHELL = "shell"


class Refusing(StrEnum):
    """Which of the kernel's words a message about a file has."""

    DENIED = "denied"
    READ_ONLY = "read-only"


class FileComplaint(NamedTuple):
    """A file could not be used.

    Attributes:
        path: as the message has it, absolute or relative to where the program was.
        use: for what.
        refusing: in which words.
        named: whether the message marks it as a name, by quotes or a slash.
    """

    path: bytes
    use: Use
    refusing: Refusing
    named: bool


class NetworkComplaint(NamedTuple):
    """The network could not be used.

    Attributes:
        use: ``connect``, ``listen``, ``names`` (of hosts), or ``socket`` where no more is said.
        port: the TCP port, None where it is not said.
        over_udp: whether the program asks for names over UDP, whatever it is told.
    """

    use: str
    port: int | None
    over_udp: bool = False


class CallComplaint(NamedTuple):
    """A call that no command may make: ``mount``, ``namespace``, ``privilege`` or ``raw socket``."""

    call: str


Complaint = FileComplaint | NetworkComplaint | CallComplaint

_CLOSED_CALLS = {
    b"bwrap": "namespace",
    b"chroot": "namespace",
    b"mount": "mount",
    b"nsenter": "namespace",
    b"ping": "raw socket",
    b"umount": "mount",
    b"unshare": "namespace",
}
"""Programs of which a refusal says what they were about."""

# The first that stands in the message, names of files taken out of it, says what was to be done.
_USES = (
    (b"for writing", Use.WRITE),
    (b"for reading", Use.READ),
    (b"could not lock", Use.ENTRY),
    (b"create directory", Use.ENTRY),
    (b"mkdir", Use.ENTRY),
    (b"rmdir", Use.ENTRY),
    (b"remove", Use.ENTRY),
    (b"unlink", Use.ENTRY),
    (b"rename", Use.ENTRY),
    (b"cannot move", Use.ENTRY),
    (b" link", Use.ENTRY),
    (b"symlink", Use.ENTRY),
    (b"exec", Use.EXECUTE),
    (b"spawn", Use.EXECUTE),
    (b"cannot run", Use.EXECUTE),
    (b"run command", Use.EXECUTE),
    (b"open directory", Use.READ),
    (b"scandir", Use.READ),
    (b"opendir", Use.READ),
    (b" read", Use.READ),
    (b"touch", Use.WRITE),
    (b"create", Use.WRITE),
    (b"output", Use.WRITE),
    (b" write", Use.WRITE),
    (b"truncate", Use.WRITE),
    (b"failed to open the file", Use.WRITE),
    (b"cannot access", Use.LOOK),
    (b"stat ", Use.LOOK),
)
_SHELLS = frozenset({b"ash", b"bash", b"dash", b"ksh", b"sh", b"zsh"})
# Of a program that says no more than the name.
_USES_OF = {
    **dict.fromkeys(
        (b"cat", b"cut", b"diff", b"egrep", b"fgrep", b"file", b"find", b"grep", b"head", b"less", b"ls"),
        Use.READ,
    ),
    **dict.fromkeys((b"make", b"md5sum", b"nl", b"od", b"sed", b"sha256sum", b"sort", b"tail"), Use.READ),
    **dict.fromkeys((b"uniq", b"wc", b"xxd", b"zcat"), Use.READ),
    **dict.fromkeys((b"env", b"nice", b"nohup", b"timeout", b"xargs"), Use.EXECUTE),
    b"mkdir": Use.ENTRY,
    b"tee": Use.WRITE,
}


def read(text: bytes) -> list[Complaint]:
    """Return the complaints in the end of ``text``, each once, in their order.

    Args:
        text: what was written to standard error, any bytes.
    """
    found: dict[Complaint, None] = {}
    # Of the first line only the end may be there, and the end of a path is another path.
    whole = text if len(text) <= MOST_BYTES else text[-MOST_BYTES:].partition(b"\n")[2]
    lines = [line for line in whole.replace(b"\r", b"\n").split(b"\n") if line.strip()]
    for number, line in enumerate(lines):
        if len(line) > _MOST_LINE:
            continue
        around = _Around(
            lines[max(0, number - _LINES_AROUND) : number], lines[number + 1 : number + 1 + _LINES_AROUND]
        )
        for complaint in _of_line(line, around):
            found.pop(complaint, None)
            found[complaint] = None
    return list(found)[-MOST_COMPLAINTS:]


class _Around(NamedTuple):
    """The lines around one: a traceback has its words before, a stack behind."""

    before: list[bytes]
    after: list[bytes]

    def opens_for_writing(self) -> bool:
        text = b" ".join((*self.before, *self.after)).lower()
        return any(words in text for words in _OPENED_FOR_WRITING)


class _Refused(NamedTuple):
    """A line with one of the kernel's words in it.

    Attributes:
        line: as it is.
        folded: in lower case.
        program: what it begins with, up to a colon.
        refusing: which words.
        marker: the words.
    """

    line: bytes
    folded: bytes
    program: bytes
    refusing: Refusing
    marker: bytes

    def paths(self) -> list[tuple[bytes, bool]]:
        at = self.folded.index(self.marker)
        quoted = paths_in_text.quoted(self.line)
        # Whatever is quoted without a slash can be a name, or anything.
        if any(b"/" in path for path, _ in quoted):
            return [path for path in quoted if b"/" in path[0]]
        unquoted = paths_in_text.unquoted(self.line, at, at + len(self.marker))
        if any(named for _, named in unquoted):
            return unquoted
        return [path for path in quoted if path[0].lower() not in _DENIED] or unquoted

    def use(self, paths: Sequence[tuple[bytes, bool]], around: _Around) -> Use:
        words = self.folded.replace(self.marker, b"")
        for path, _ in paths:
            words = words.replace(path.lower(), b"")
        for word, use in _USES:
            if word in words:
                return use
        if self.program in _SHELLS or b": line " in self.folded:
            return Use.SHELL
        use = _USES_OF.get(self.program, Use.OPEN)
        if use is Use.OPEN and any(b"/" in path for path, _ in paths) and around.opens_for_writing():
            return Use.WRITE
        return use


def _of_line(line: bytes, around: _Around) -> Iterator[Complaint]:
    folded = line.lower()
    if _NO_PRIVILEGES in folded:
        yield CallComplaint("privilege")
        return
    refusing, marker = _marker(folded)
    if any(words in folded for words in _NAMES):
        # The looking up says "lookup" for every fault that it has.
        if _LOOKUP not in folded or marker is not None:
            yield NetworkComplaint("names", _port_of_url(folded), over_udp=b"dial udp" in folded)
        return
    if _CURL_CONNECT in folded:
        if (port := _port(folded)) is not None:
            yield NetworkComplaint("connect", port)
        return
    if marker is None and not any(words in folded for words in _NOT_PERMITTED):
        return
    program = folded.partition(b":")[0].strip().rpartition(b"/")[2]
    if program in _CLOSED_CALLS:
        yield CallComplaint(_CLOSED_CALLS[program])
    elif marker is not None:
        yield from _of_refusal(_Refused(line, folded, program, refusing, marker), around)


def _of_refusal(refused: _Refused, around: _Around) -> Iterator[Complaint]:
    paths = refused.paths()
    for path, _ in paths:
        if path.startswith(_BASH_TCP):
            yield NetworkComplaint("connect", _number(path.rpartition(b"/")[2]))
            return
    if not any(path.startswith(b"/") for path, _ in paths):
        if (network := _network(refused.folded)) is not None:
            yield network
            return
        if refused.program in _TRACEBACKS and not paths:
            if _is_about_sockets(around.before):
                yield _of_traceback(around.before)
            return
        if refused.folded.strip().startswith(_RUST):
            # The file is named in a line of its own, above of what happened to it.
            quoted = [path for each in reversed(around.before) for path in paths_in_text.quoted(each)]
            paths = [path for path in quoted if path[0].startswith(b"/")][:1]
            refused = refused._replace(folded=b" ".join((*around.before, refused.line)).lower())
    use = refused.use(paths, around)
    for number, (path, named) in enumerate(paths):
        if b"copyfile" in refused.folded:
            use = (Use.READ, Use.WRITE)[min(number, 1)]
        if _is_sensible(path):
            yield FileComplaint(path, use, refused.refusing, named)


def _marker(folded: bytes) -> tuple[Refusing, bytes | None]:
    for words in _READ_ONLY:
        if words in folded:
            return Refusing.READ_ONLY, words
    return Refusing.DENIED, next((words for words in _DENIED if words in folded), None)


def _is_sensible(path: bytes) -> bool:
    """Return whether it could be the path of a file that somebody would name on a command line."""
    if not path or len(path) > _MOST_PATH or b"://" in path:
        return False
    try:
        return path.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


# --- the network ------------------------------------------------------------------------------------


def _network(folded: bytes) -> NetworkComplaint | None:
    words = set(bytes(byte if 97 <= byte <= 122 else 32 for byte in folded).split())
    if words & {b"bind", b"listen"}:
        return NetworkComplaint("listen", _port(folded))
    if words & {b"connect", b"dial"}:
        return NetworkComplaint("connect", _port(folded))
    return NetworkComplaint("socket", None) if b"socket" in words else None


def _port(folded: bytes) -> int | None:
    """Return the first port that is written as ``HOST:N`` or as ``port N``."""
    words = folded.replace(b",", b" ").split()
    for word, following in zip(words, [*words[1:], b""], strict=True):
        if word == b"port" and (port := _number(following.rstrip(b":"))) is not None:
            return port
        host, colon, digits = word.rstrip(b":").rpartition(b":")
        if colon and host and (port := _number(digits)) is not None:
            return port
    return None


def _number(digits: bytes) -> int | None:
    if not digits.isdigit() or len(digits) > 5:
        return None
    port = int(digits)
    return port if 1 <= port <= 65_535 else None


def _port_of_url(folded: bytes) -> int | None:
    for scheme, port in ((b"https://", 443), (b"http://", 80), (b"ssh://", 22)):
        _, found, rest = folded.partition(scheme)
        if found:
            host = rest.partition(b"/")[0].rstrip(b"'\" ")
            return _number(host.rpartition(b":")[2]) or port
    return 22 if folded.startswith(b"ssh: ") else None


def _is_about_sockets(before: Sequence[bytes]) -> bool:
    return any(b"sock" in line.lower() for line in before[-2:])


def _of_traceback(before: Sequence[bytes]) -> NetworkComplaint:
    text = b" ".join(before[-2:]).lower()
    if b".bind(" in text or b".listen(" in text:
        return NetworkComplaint("listen", None)
    return NetworkComplaint("connect" if b".connect(" in text else "socket", None)
