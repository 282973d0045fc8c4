"""Control groups: where this process is in them, and how one is made, shared and removed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runtime.kernel.mounts import Mounts
from runtime.sandbox import cgroups

if TYPE_CHECKING:
    from pathlib import Path


def mounted(*lines: tuple[str, Path, str, str]) -> Mounts:
    """Return mounts of cgroups as mountinfo has them: root, place, type, options."""
    text = []
    for number, (root, at, kind, options) in enumerate(lines):
        device = os.stat(at).st_dev
        where = str(at).replace(" ", "\\040")
        text.append(
            f"{number} 1 {os.major(device)}:{os.minor(device)} {root} {where} rw - {kind} {kind} {options}"
        )
    return Mounts("\n".join(text).encode())


def test_where_the_groups_are_seen(tmp_path: Path) -> None:
    for name in ("two/user.slice/a:b c", "memory/docker/x", "pids"):
        (tmp_path / name).mkdir(parents=True)
    mounts = mounted(
        ("/", tmp_path / "two", "cgroup2", "rw"),
        ("/docker", tmp_path / "memory/docker", "cgroup", "rw,memory"),
        ("/", tmp_path / "pids", "cgroup", "rw,pids"),
    )
    text = b"12:memory:/docker/x\n5:pids,misc:/\n3:cpu:/docker/x\n1:name=systemd:/\n0::/user.slice/a:b c\n"
    here = os.fsencode(tmp_path)
    assert cgroups.located(text, mounts) == cgroups.Own(
        here + b"/two/user.slice/a:b c", {b"memory": here + b"/memory/docker/x", b"pids": here + b"/pids"}
    )


@pytest.mark.parametrize("path", [b"/../other", b"/..", b"/not-there", b"/outside"])
def test_a_group_that_is_not_in_what_is_mounted_is_not_seen(tmp_path: Path, path: bytes) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "outside").mkdir()
    for root in ("/", "/in"):
        mounts = mounted((root, tmp_path / "in", "cgroup2", "rw"))
        assert cgroups.located(b"0::" + path, mounts).unified is None


def test_what_is_mounted_over_it_is_no_group(tmp_path: Path) -> None:
    """The device of what is found there is that of the tree, or it is something else."""
    line = b"1 1 0:9999 / " + os.fsencode(tmp_path) + b" rw - cgroup2 cgroup2 rw"
    assert cgroups.located(b"0::/", Mounts(line)).unified is None


@pytest.fixture
def unified() -> bytes:
    """Return this process's group of version 2, where one can be made below it."""
    group = cgroups.own().unified
    if group is None or not os.access(group, os.W_OK) or os.geteuid() != 0:
        with pytest.raises(cgroups.UnavailableError):
            cgroups.make(group or b"/sys/fs/cgroup/none")
        pytest.skip("no group can be made here, and that is what was said")
    return group


def test_a_group_is_made_killed_and_removed(unified: bytes) -> None:
    made = cgroups.make(unified)
    with subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600 & wait"]) as process:
        made.enter(process.pid)
        assert process.pid in made.members()
        assert not made.remove()
        assert made.kill()
        process.wait()
    assert made.members() == frozenset()
    assert made.remove()
    assert not os.path.exists(made.path)
    assert made.remove()  # again does nothing


def test_without_cgroup_kill_each_is_killed(unified: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cgroups.make(unified)
    write = cgroups.Cgroup.write

    def older(group: cgroups.Cgroup, name: str, text: bytes) -> None:
        if name == "cgroup.kill":
            raise FileNotFoundError(2, "No such file or directory")
        write(group, name, text)

    monkeypatch.setattr(cgroups.Cgroup, "write", older)
    with subprocess.Popen(["sleep", "600"]) as process:
        made.enter(process.pid)
        assert made.kill()
        assert process.wait() == -9
    assert made.remove()


def test_what_a_dead_launch_left_is_removed_and_nothing_else(unified: bytes) -> None:
    left = unified + b"/nono-" + os.urandom(16).hex().encode()
    others = unified + b"/nono-not-of-this-form"
    busy = cgroups.make(unified)
    for path in (left, others):
        os.mkdir(path)
    try:
        running = cgroups.make(unified)
        assert not os.path.exists(left)
        assert os.path.exists(others)
        assert os.path.exists(busy.path)  # empty, and somebody holds it
        assert running.remove()
    finally:
        os.rmdir(others)
        assert busy.remove()


def test_a_lock_ends_with_the_last_process_that_has_it(unified: bytes) -> None:
    made = cgroups.make(unified)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    made.close()
    again = cgroups.make(unified)
    assert os.path.exists(made.path)
    os.close(writer)
    os.waitpid(child, 0)
    last = cgroups.make(unified)
    assert not os.path.exists(made.path)
    assert again.remove()
    assert last.remove()
    os.close(reader)


def test_a_controller_that_is_not_there_is_named(unified: bytes) -> None:
    with pytest.raises(cgroups.UnavailableError, match="no controller for nonsense"):
        cgroups.handing_down(unified, frozenset({b"nonsense"}))
    assert cgroups.handing_down(unified, frozenset()) == unified


MOVES = """
import os, sys
from runtime.sandbox import cgroups
group = os.fsencode(sys.argv[1])
controller = sys.argv[2].encode()
os.mkdir(group)
try:
    os.chown(group, 0, 0)
    with open(group + b"/cgroup.procs", "w") as file:
        file.write("0")
    found = cgroups.handing_down(group, frozenset({controller}))
    assert found == group, found
    below = cgroups.own().unified
    assert os.path.dirname(below) == group and below.endswith(b".supervisor"), below
    made = cgroups.make(found)
    assert controller in open(made.path + b"/cgroup.controllers", "rb").read().split()
    # Once more, from where it stands now: beside the first.
    assert cgroups.handing_down(below, frozenset({controller})) == group
    assert made.remove()
    print("done")
finally:
    with open(os.path.dirname(group) + b"/cgroup.procs", "w") as file:
        file.write("0")
    for name in os.listdir(group):
        if name.startswith(b"nono-"):
            os.rmdir(group + b"/" + name)
    os.rmdir(group)
"""


def test_alone_in_a_group_a_process_moves_below_it(unified: bytes) -> None:
    """With whatever controller the tree has: how it is handed down does not depend on which."""
    with open(unified + b"/cgroup.controllers", encoding="ascii") as file:
        controllers = file.read().split()
    with open(unified + b"/cgroup.subtree_control", encoding="ascii") as file:
        handed = file.read()
    if not controllers:
        with pytest.raises(cgroups.UnavailableError):
            cgroups.handing_down(unified, frozenset({b"memory"}))
        return
    controller = controllers[0]
    if controller not in handed.split():
        try:
            with open(unified + b"/cgroup.subtree_control", "w", encoding="ascii") as file:
                file.write(f"+{controller}")
        except OSError:  # this process is in an ordinary group with others, and that is what is said
            with pytest.raises(cgroups.UnavailableError):
                cgroups.handing_down(unified, frozenset({controller.encode()}))
            return
    try:
        place = os.fsdecode(unified) + f"/test-{os.getpid()}"
        done = subprocess.run(
            [sys.executable, "-c", MOVES, place, controller], capture_output=True, text=True, check=False
        )
        assert done.stdout == "done\n", done.stderr
        os.mkdir(place)
        try:
            with subprocess.Popen(["sleep", "600"]) as other:
                with open(place + "/cgroup.procs", "w", encoding="ascii") as file:
                    file.write(str(other.pid))
                with pytest.raises(cgroups.UnavailableError, match="other processes are in the group"):
                    cgroups.handing_down(os.fsencode(place), frozenset({controller.encode()}))
                other.kill()
        finally:
            os.rmdir(place)
    finally:
        if controller not in handed.split():
            with open(unified + b"/cgroup.subtree_control", "w", encoding="ascii") as file:
                file.write(f"-{controller}")
