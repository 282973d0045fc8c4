"""A command's launch as a user types it: whole processes, from their start to their end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import equal_grants
from measuring import Bar, BenchmarkError, Missing, Result, Subject, in_turn
from workers import PROGRAMS
from workspace import installed_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workspace import Workspace

NAME = "command"
TRUE = "/bin/true"
OURS = "nono run (4 entries, durable)"
PROFILE = "nono run -p default"
NONO_PY = "nono-py sandboxed_exec, fresh Python"
SANDLOCK = "sandlock, fresh Python"

BARS = (Bar(OURS, NONO_PY, 0.50), Bar(PROFILE, NONO_PY, 0.45), Bar(PROFILE, SANDLOCK, 1.00))


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Launch ``/bin/true`` in each way."""
    subjects, missing = [], []
    for peer in (_ours, _with_profile, _bare, _bubblewrap, _nono_py, _sandlock, _in_toto):
        found = peer(workspace)
        if isinstance(found, Missing):
            missing.append(found)
        else:
            subjects.append(found)
    measured = in_turn(subjects, rounds=10 if quick else 60, warm_up=3)
    notes = [f"`nono run --block-net -- {TRUE}`, default grants; nono-py and sandlock get the same"]
    return Result(NAME, f"launch of {TRUE}, whole process", measured, missing, BARS, notes)


def _ours(workspace: Workspace) -> Subject:
    nono = installed_command("nono")
    return _command(OURS, [nono, "run", "--block-net", "--", TRUE], workspace.environment)


def _with_profile(workspace: Workspace) -> Subject:
    argv = [installed_command("nono"), "run", "-p", "default", "--block-net", "--", TRUE]
    return _command(PROFILE, argv, workspace.environment)


def _bare(workspace: Workspace) -> Subject:
    return _command("posix_spawn, nothing else", [TRUE], workspace.environment)


def _bubblewrap(workspace: Workspace) -> Subject | Missing:
    name = "bubblewrap, everything unshared"
    if shutil.which("bwrap") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(
            ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "bubblewrap"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Missing(name, "bwrap is not installed (Debian: apt-get install bubblewrap)")
    arguments = ["--ro-bind", "/", "/", "--unshare-all", "--die-with-parent", TRUE]
    return _unless_it_fails(_command(name, [bwrap, *arguments], workspace.environment))


def _nono_py(workspace: Workspace) -> Subject | Missing:
    if find_spec("nono_py") is None:
        return Missing(NONO_PY, "not installed: pip install '.[bench]'")
    argv = [sys.executable, os.path.join(PROGRAMS, "nono_py_once.py"), *equal_grants.as_arguments()]
    return _unless_it_fails(_command(NONO_PY, argv, workspace.environment))


def _sandlock(workspace: Workspace) -> Subject | Missing:
    if find_spec("sandlock") is None:
        return Missing(SANDLOCK, "not installed: pip install '.[bench]'")
    program = os.path.join(PROGRAMS, "sandlock_once.py")
    argv = [sys.executable, program, *equal_grants.as_arguments()]
    return _unless_it_fails(_command(SANDLOCK, argv, workspace.environment))


def _in_toto(workspace: Workspace) -> Subject | Missing:
    name = "in-toto-run (signs one link)"
    try:
        program = installed_command("in-toto-run")
    except BenchmarkError as error:
        return Missing(name, str(error))
    key = os.path.join(workspace.directory("in-toto"), "key.pem")
    run_command([installed_command("nono"), "keygen", "--out", key], workspace.environment)
    argv = [program, "--step-name", "bench", "--signing-key", key]
    argv += ["--metadata-directory", workspace.directory("in-toto"), "--", TRUE]
    return _unless_it_fails(_command(name, argv, workspace.environment))


def _command(name: str, argv: list[str], environment: Mapping[str, str]) -> Subject:
    return Subject(name, lambda times: [run_command(argv, environment) for _ in range(times)])


def _unless_it_fails(subject: Subject) -> Subject | Missing:
    """Try a peer once: what cannot run here is missing, with its own reason."""
    try:
        subject.sample(1)
    except BenchmarkError as error:
        return Missing(subject.name, str(error))
    return subject


def run_command(argv: list[str], environment: Mapping[str, str]) -> float:
    """Run a command with its streams on /dev/null and return the seconds from spawn to wait.

    Raises:
        BenchmarkError: it did not exit with 0.
    """
    streams = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    begun = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, environment, file_actions=streams)
    _, status = os.waitpid(pid, 0)
    seconds = time.perf_counter() - begun
    if status != 0:
        raise BenchmarkError(f"{argv[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds
