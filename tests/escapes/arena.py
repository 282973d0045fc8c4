"""Where ways out are tried: places with and without grants, a process outside, sockets, and the two runs.

What a row's words name is prepared for each run anew, outside and inside alike, by the same code.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any, TypeAlias

from runtime.sandbox import seccomp_rules
from tests.escapes.way import IN_VAIN, NOT_LAUNCHED, WORKS
from tests.system.conftest import NONO, TIMEOUT_SECONDS, is_alive, wait_for
from tests.unused_port import unused_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.escapes.way import Open, Way
    from tests.system.conftest import Site

SECRET = "of-the-outside"
_REFUSED, _IN_VAIN, _BROKEN = 20, 21, 99
_WORD = re.compile(r"\{([^}]*)\}")
_WIDE = 7 << 32
Words: TypeAlias = "dict[str, str]"

# How long a probe waits for what will come outside, and would come inside.
_PATIENCE = {False: "10000", True: "300"}
# How often it tries what only a race decides. Outside the first that is won ends it.
_ROUNDS = {False: "2000000", True: "20000"}
# Outside as inside its parent and its parent's parent are of this user: a shell, and the tests.
_PARENT = ["/bin/sh", "-c", '"$0" "$@"; exit $?']
_KINDS = {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM, "packet": socket.SOCK_SEQPACKET}


class Arena:
    """One user's place to try ways out in.

    Args:
        site: whose ``nono`` launches; its ledger holds the record of every try.
        probes: the compiled program.
        base: a directory with a short name, for sockets.
    """

    def __init__(self, site: Site, probes: Path, base: Path) -> None:
        self.site = site
        self.launches = 0
        self._probes = probes
        self._base = base
        self._places = 0

    def outside(self, way: Way | Open) -> str:
        """Return how the way ends without a sandbox."""
        return self._try(way, inside=False)

    def inside(self, way: Way | Open) -> str:
        """Return how the way ends in a launch."""
        return self._try(way, inside=True)

    def _try(self, way: Way | Open, *, inside: bool) -> str:
        with contextlib.ExitStack() as stack:
            words = _Words(stack, self._probes, self._place(), inside=inside)
            stdin = stack.enter_context(_standard_input(getattr(way, "stdin", ""), words))
            passed = []
            if getattr(way, "leaks", False):
                passed.append(os.open(words["secret"], os.O_RDONLY))
                stack.callback(os.close, passed[0])
            command = [str(self._probes), *map(words.fill, way.probe)]
            parent = _PARENT
            if inside:
                self.launches += 1
                parent = self._launch(words, [*map(words.fill, way.flags)])
            done = subprocess.run(
                [*parent, *command],
                env=self.site.environment,
                cwd=self.site.project,
                stdin=stdin,
                capture_output=True,
                pass_fds=passed,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
            end = _ending(done)
            if end == NOT_LAUNCHED:
                self.launches -= 1
            return end

    def _launch(self, words: _Words, flags: list[str]) -> list[str]:
        place = words["place"]
        return [
            *(str(NONO), "run", "--read", str(self._probes.parent)),
            *("--allow", f"{place}/granted", "--read", f"{place}/readable", "--write", f"{place}/writable"),
            *(*flags, "--"),
        ]

    def _place(self) -> Path:
        self._places += 1
        place = self._base / str(self._places)
        for name in ("granted", "readable", "writable", "outside"):
            (place / name / "directory").mkdir(parents=True)
            (place / name / "file").write_text(SECRET if name != "granted" else "of-a-grant")
            shutil.copy("/bin/true", place / name / "program")
        (place / "granted" / "deep" / "directory").mkdir(parents=True)
        return place


class _Words:
    """What the words of a row stand for; a word is prepared when it is first asked for."""

    def __init__(self, stack: contextlib.ExitStack, probes: Path, place: Path, *, inside: bool) -> None:
        self._stack = stack
        self._probes = probes
        self._known: Words = {
            "place": str(place),
            "secret": str(place / "outside" / "file"),
            "patience": _PATIENCE[inside],
            "rounds": _ROUNDS[inside],
            "granted-socket": str(place / "granted" / "socket"),
            **{name: str(place / name) for name in ("granted", "readable", "writable", "outside")},
        }

    def fill(self, text: str) -> str:
        """Return the text with every word filled in."""
        return _WORD.sub(lambda match: self[match[1]], text)

    def __getitem__(self, word: str) -> str:
        if word not in self._known:
            kind, _, rest = word.partition(":")
            self._known[word] = _PREPARED[kind](self, rest)
        if word == "granted-socket" and not os.path.exists(self._known[word]):
            self.listen(socket.AF_UNIX, socket.SOCK_STREAM, self._known[word])
        return self._known[word]

    def victim(self, _: str) -> str:
        """Start a process of this user that has secrets, and take from it where they are."""
        process = self._stack.enter_context(
            subprocess.Popen(
                [self._probes, "victim", self._known["secret"]],
                env={"SECRET": SECRET, "PATH": "/usr/bin:/bin"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                process_group=0,
            )
        )
        assert process.stdin is not None
        assert process.stdout is not None
        # Without its standard input it removes what it made, and ends; it may have been killed or stopped.
        self._stack.callback(process.wait, TIMEOUT_SECONDS)
        self._stack.callback(process.stdin.close)
        self._stack.callback(process.send_signal, signal.SIGCONT)
        for stated in process.stdout.readline().split():
            name, _, value = stated.partition("=")
            self._known[name] = value
        return self._known["victim"]

    def stated_by_the_victim(self, name: str) -> str:
        """Return what it said of one of its secrets."""
        self["victim"]
        return self._known[name]

    def listen(self, family: int, kind: int, address: Any) -> socket.socket:  # whatever bind takes
        """Return a socket outside that whoever comes can connect or send to."""
        server = self._stack.enter_context(socket.socket(family, kind))
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(address)
        if kind != socket.SOCK_DGRAM:
            server.listen(64)
        return server

    def both(self, kind: int) -> str:
        """Return the number of a port that is there over IPv4, and over IPv6 where there is that."""
        server = self.listen(socket.AF_INET, kind, ("127.0.0.1", 0))
        port = server.getsockname()[1]
        with contextlib.suppress(OSError):
            self.listen(socket.AF_INET6, kind, ("::1", port))
        return str(port)

    def set_uid(self, _: str) -> str:
        """Return a set-uid program of somebody else's, which only root can make."""
        program = os.path.join(self._known["readable"], "set-uid")
        shutil.copy(self._probes, program)
        if os.geteuid() == 0:
            os.chown(program, int(self["somebody"]), -1)
        os.chmod(program, 0o4755)
        return program


def _free(words: _Words, _: str) -> str:
    return str(unused_port())


def _loader(words: _Words, _: str) -> str:
    with open(words._probes, "rb") as program:
        head = program.read(4096)
    match = re.search(rb"/lib[^\0]*/ld-[^\0]*\.so\.\d", head)
    assert match is not None
    return match[0].decode()


def _unix(words: _Words, kind: str, address: str) -> str:
    words.listen(socket.AF_UNIX, _KINDS[kind], address)
    return address.replace("\0", "@")


def _call(words: _Words, name: str) -> str:
    number = seccomp_rules.number(name)
    return str(0x3FFFFFFF if number is None else number)  # a number that is ENOSYS, as where it was never


def _mask(words: _Words, _: str) -> str:
    return f"@{chr(1)}"  # the first processor, as the first byte of a mask


_PREPARED: dict[str, Callable[[_Words, str], str]] = {
    "victim": _Words.victim,
    **{
        name: lambda words, _, name=name: words.stated_by_the_victim(name)  # type: ignore[misc]  # bound by its default
        for name in ("address", "shared", "queue", "semaphore", "descriptor")
    },
    "wide": lambda words, name: str(_WIDE | int(words[name])),
    "port": lambda words, _: words.both(socket.SOCK_STREAM),
    "datagrams": lambda words, _: words.both(socket.SOCK_DGRAM),
    "free": _free,
    "other": _free,
    "socket": lambda words, kind: _unix(words, kind, f"{words['outside']}/{kind}.sock"),
    "abstract": lambda words, kind: _unix(words, kind, f"\0nono-escape-{os.getpid()}-{kind}"),
    "name": lambda words, _: f"nono-escape-{os.getpid()}-{os.urandom(4).hex()}",
    "loader": _loader,
    "call": _call,
    "mask": _mask,
    "set-uid": _Words.set_uid,
    "somebody": lambda _, __: "1" if os.geteuid() == 0 else "0",
}


@contextlib.contextmanager
def _standard_input(kind: str, words: _Words) -> Iterator[int]:
    opened: list[int] = []
    try:
        if kind == "terminal":
            opened += reversed(pty.openpty())
        elif kind == "file":
            opened.append(os.open(words["secret"], os.O_RDONLY))
        elif kind == "directory":
            opened.append(os.open(words["granted"], os.O_RDONLY))
        elif kind in ("tcp", "unix"):
            family = socket.AF_INET if kind == "tcp" else socket.AF_UNIX
            opened.append(socket.socket(family, socket.SOCK_STREAM).detach())
        else:
            assert not kind
        yield opened[0] if opened else subprocess.DEVNULL
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _ending(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return how a probe ended, of itself or as the command of a launch."""
    said = done.stdout.decode(errors="replace").splitlines()
    status = done.returncode
    if status == _REFUSED:
        (word, number, *_) = said[-1].split()
        assert word == "refused", said
        return {"ENOTSUP": "EOPNOTSUPP"}.get(name := errno.errorcode[int(number)], name)
    if status == _IN_VAIN:
        assert said[-1].startswith(IN_VAIN), said
        return IN_VAIN
    if status == 125 and not said:
        assert done.stderr.startswith(b"nono: "), done.stderr
        return NOT_LAUNCHED
    if status < 0 or status > 128:
        return signal.Signals(-status if status < 0 else status - 128).name
    if status != 0:
        raise AssertionError(
            f"the probe is broken, or nono refused: {status}, {said}, {done.stderr.decode()}"
        )
    if said and said[-1].startswith("survivor "):
        return _survived(int(said[-1].split()[1]))
    return WORKS


def _survived(pid: int) -> str:
    if not _lives(pid):
        return IN_VAIN
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not _lives(pid), "the end of a survivor")
    return WORKS


def _lives(pid: int) -> bool:
    """Return whether one of its threads lives: the first may be a zombie before the others."""
    try:
        return any(is_alive(int(thread)) for thread in os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:
        return False
