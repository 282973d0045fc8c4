"""A command of Python that has loaded what it needs, and forks for each of its starts.

Hundreds of starts of one command, each ended at another of its system calls, load the same modules hundreds
of times: that is most of what they do, and tells nothing of what comes after it. Each of these starts is a
process of its own all the same, which runs the command from its first line to the end of the interpreter.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SERVER = """
import ctypes, gc, json, os, socket, sys
control = socket.socket(fileno=int(sys.argv[1]))
prctl, PR_SET_PTRACER, ANY = ctypes.CDLL(None).prctl, 0x59616D61, ctypes.c_ulong(-1)
{prologue}
gc.freeze()
while True:
    said, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 3)
    if not said: os._exit(0)
    pid = os.fork()
    if pid: [os.close(descriptor) for descriptor in descriptors]
    if not pid: break
    control.send(b"%d" % pid)
    control.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
request = json.loads(said)
os.environ.clear()
os.environ.update(request["env"])
os.chdir(request["cwd"])
sys.argv[1:] = request["arguments"]
go, *streams = descriptors
prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
for number, descriptor in enumerate(streams, 1): os.dup2(descriptor, number)
os.dup2(go, 3)
os.closerange(4, 64)
control.detach()
os.read(3, 1)
os.close(3)
sys.exit(main(sys.argv[1:]))
"""


class _Server:
    """One process that forks, for one start at a time."""

    def __init__(self, prologue: str, env: Mapping[str, str]) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = _SERVER.format(prologue=prologue)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", code, str(theirs.fileno())],
                env={**env},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )

    def close(self) -> None:
        self.control.close()
        self.process.wait()


class ForkingCommand:
    """Starts of one command, several at once if need be.

    Args:
        prologue: what it loads; ``main``, which is called with the arguments, is defined by it.
        env: what that needs.
    """

    def __init__(self, prologue: str, env: Mapping[str, str]) -> None:
        self._prologue = prologue
        self._env = env
        self._idle: list[_Server] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._idle:
            self._idle.pop().close()

    def run(
        self,
        *arguments: str,
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] = "/",
        strace: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Start the command and return how it ended and what it said.

        Args:
            arguments: what it gets.
            env: its environment.
            cwd: where it is started.
            strace: a tracer, with its options, that is there before the first line.
        """
        try:
            server = self._idle.pop()
        except IndexError:
            server = _Server(self._prologue, self._env)
        (go, release), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
        request = {"arguments": arguments, "env": dict(env), "cwd": os.fspath(cwd)}
        with open(out, encoding="utf-8") as said, open(err, encoding="utf-8") as complained:
            try:
                socket.send_fds(server.control, [json.dumps(request).encode()], [go, stdout, stderr])
            finally:
                for descriptor in (go, stdout, stderr):
                    os.close(descriptor)
            pid = server.control.recv(16).decode()
            tracer = None
            if strace:
                tracer = subprocess.Popen(
                    [*strace, "-p", pid], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
                )
                assert tracer.stderr is not None
                attached = tracer.stderr.readline()
            os.write(release, b"g")
            os.close(release)
            status = int(server.control.recv(16))
            texts = said.read(), complained.read()
        if tracer is not None:
            texts = texts[0], texts[1] + ("" if "attached" in attached else attached)
            with tracer:
                tracer.communicate()
        self._idle.append(server)
        return subprocess.CompletedProcess([*strace, *arguments], status, *texts)
