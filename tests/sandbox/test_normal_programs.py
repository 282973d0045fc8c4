"""What the sandbox must not break: ordinary programs with ordinary grants."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from runtime.capability.capabilities import USER, Access, FileGrant, Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Box

PYTHON = "/usr/bin/python3"
BOTH = [Network.BLOCKED, Network.ALL]


def run(box: Box, command: list[str], network: Network = Network.BLOCKED) -> tuple[int, str]:
    """Run a program inside with the granted directory as its own and its temporary one."""
    place = os.fsdecode(box.path("granted"))
    environment = {"PATH": "/usr/bin:/bin", "HOME": place, "TMPDIR": place, "LANG": "C.UTF-8"}

    def probe() -> list[object]:
        done = subprocess.run(
            command,
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return [done.returncode, done.stdout + done.stderr]

    shm = FileGrant(b"/dev/shm", b"/dev/shm", Access.READWRITE, directory=True, source=USER)
    outcome = box.inside(probe, network, (shm,))
    assert outcome.worked, outcome
    assert isinstance(outcome.value, list)
    return outcome.value[0], outcome.value[1]


PROGRAMS: dict[str, tuple[list[str], str]] = {
    "a shell with pipes and a here-document": (
        ["/bin/sh", "-c", "cat <<E | tr a-z A-Z | sort -r | head -1 >out && cat out\na\nb\nE"],
        "B\n",
    ),
    "listing": (["/bin/ls"], "file\n"),
    "file tools": (
        ["/bin/sh", "-c", "mkdir d && cp file d/a && mv d/a d/b && ln -s b d/c && cat d/c && rm -r d && ls"],
        "grantedfile\n",
    ),
    "limits and niceness": (["/bin/sh", "-c", "ulimit -n 100 && nice -n 1 true && ulimit -n"], "100\n"),
    "job control": (["/bin/bash", "-c", "sleep 60 & kill %1; wait %1; echo $?"], "143\n"),
    "tar": (["/bin/sh", "-c", "tar cf t.tar file && rm file && tar xf t.tar && cat file"], "granted"),
    "find and xargs": (["/bin/sh", "-c", "find . -name file -print0 | xargs -0 -P 2 cat"], "granted"),
    "awk and sed": (["/bin/sh", "-c", "sed s/g/G/ file | awk '{print $1}'"], "Granted\n"),
    "python threads": (
        [
            PYTHON,
            "-c",
            "import threading; t=[threading.Thread(target=print,args=('x',)) for _ in range(3)];"
            "[i.start() for i in t]; [i.join() for i in t]",
        ],
        "x\nx\nx\n",
    ),
    "python subprocesses": (
        [PYTHON, "-c", "import subprocess as s; print(s.run(['true']).returncode, s.getoutput('echo hi'))"],
        "0 hi\n",
    ),
    "an event loop with a subprocess and a thread": (
        [
            PYTHON,
            "-c",
            "import asyncio\n"
            "async def main():\n"
            "    process = await asyncio.create_subprocess_exec('true')\n"
            "    print(await process.wait(), await asyncio.to_thread(int, '7'))\n"
            "asyncio.run(main())",
        ],
        "0 7\n",
    ),
    "a multiprocessing pool": (
        [PYTHON, "-c", "import multiprocessing as m\nwith m.Pool(2) as p: print(p.map(abs, [-1, 2, -3]))"],
        "[1, 2, 3]\n",
    ),
    "spawned multiprocessing": (
        [
            PYTHON,
            "-c",
            "import multiprocessing as m\n"
            "q = m.get_context('spawn').Process(target=print, args=('spawned',))\n"
            "q.start(); q.join(); print(q.exitcode)",
        ],
        "spawned\n0\n",
    ),
    "sqlite with its write-ahead log": (
        [
            PYTHON,
            "-c",
            "import sqlite3; c = sqlite3.connect('d');"
            "print(c.execute('pragma journal_mode=wal').fetchone());"
            "c.execute('create table t(x)'); c.execute('insert into t values(1)'); c.commit()",
        ],
        "('wal',)\n",
    ),
    "sampling one's own resources": (
        [PYTHON, "-c", "import resource, os; resource.getrusage(0); print(len(os.sched_getaffinity(0)) > 0)"],
        "True\n",
    ),
    "nothing to resolve names with": (
        [
            PYTHON,
            "-c",
            "import socket\n"
            "try: socket.getaddrinfo('example.org', 80)\n"
            "except socket.gaierror as e: print('no name')",
        ],
        "no name\n",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program(box: Box, name: str, must_have: Callable[[str], None]) -> None:
    command, expected = PROGRAMS[name]
    if not os.path.exists(command[0]):
        must_have(f"there is no {command[0]}")
    assert run(box, command) == (0, expected)


@pytest.mark.parametrize("network", BOTH)
def test_compiling_and_running_a_program(
    box: Box, network: Network, must_have: Callable[[str], None]
) -> None:
    if shutil.which("cc") is None:
        must_have("there is no C compiler")
    box.write("granted/hello.c", b'#include <stdio.h>\nint main(void){puts("hello");return 0;}\n')
    assert run(box, ["/bin/sh", "-c", "cc -o hello hello.c && ./hello"], network) == (0, "hello\n")


def test_git(box: Box, must_have: Callable[[str], None]) -> None:
    if shutil.which("git") is None:
        must_have("there is no git")
    script = (
        "export GIT_CONFIG_GLOBAL=/dev/null; git init -q . && git add file &&"
        " git -c user.name=n -c user.email=e commit -qm x && git log --format=%s"
    )
    assert run(box, ["/bin/sh", "-c", script]) == (0, "x\n")


def test_a_program_in_an_open_network_reaches_loopback(box: Box) -> None:
    script = (
        "import socket, threading\n"
        "s = socket.create_server(('localhost', 0))\n"
        "threading.Thread(target=lambda: s.accept()[0].sendall(b'hello')).start()\n"
        "print(socket.create_connection(('localhost', s.getsockname()[1])).recv(5).decode())"
    )
    assert run(box, [PYTHON, "-c", script], Network.ALL) == (0, "hello\n")


def test_strace_inside(box: Box, must_have: Callable[[str], None]) -> None:
    if shutil.which("strace") is None:
        must_have("there is no strace")
    code, text = run(box, ["/usr/bin/strace", "-f", "-e", "trace=none", "-e", "signal=none", "/bin/true"])
    assert code == 0
    assert "exited with 0" in text


def test_a_sandbox_within_a_sandbox(box: Box) -> None:
    """It can only narrow: the inner one grants what the outer one does not, and gets nothing by it."""
    from runtime.sandbox import enforcement

    outside = FileGrant(box.path("outside"), box.path("outside"), Access.READ, directory=True, source=USER)
    with box.prepared(Network.ALL, (outside,)) as inner:

        def probe() -> list[str]:
            achieved = enforcement.restrict_self(inner)
            # Not open(): a codec would be imported now, from a place that is not granted.
            seen = os.read(os.open(box.path("granted/file"), os.O_RDONLY), 100).decode()
            try:
                os.listdir(box.path("outside"))
            except PermissionError:
                return [seen, "refused", *(name for name in achieved if achieved[name])]
            return [seen, "leak"]

        value = box.inside(probe).value
    assert isinstance(value, list)
    assert value[:2] == ["granted", "refused"]
    assert {"filesystem", "filter", "scope", "capabilities"} <= set(value[2:])
