"""The judgement of ``nono why``, and where a path leads for it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from runtime.capability.capabilities import USER, Access, CapabilitySet, FileGrant, Network, ports
from runtime.errors import UnresolvedPathError
from runtime.explanation.path_lookup import Place, look_up
from runtime.explanation.why import (
    Operation,
    Reason,
    Rule,
    Status,
    judge_connect,
    judge_listen,
    judge_path,
)

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A few directories with files and links between them."""
    top = Path(os.path.realpath(tmp_path)) / "tree"
    (top / "a/b").mkdir(parents=True)
    (top / "c").mkdir()
    (top / "a/file").write_text("x")
    (top / "a/b/file").write_text("x")
    (top / "link").symlink_to("a/b")
    (top / "dangling").symlink_to("c/new")
    (top / "loop").symlink_to("loop")
    return top


def at(path: Path) -> Place:
    return look_up(os.fsencode(path))


def rule(path: Path, access: Access) -> Rule:
    place = at(path)
    return Rule(
        FileGrant(place.path, place.path, access, directory=path.is_dir(), source=USER), place.line[0]
    )


# --- where a path leads ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "leads_to", "found", "missing"),
    [
        ("a/file", "a/file", "a/file", ()),
        ("a/../link/./file", "a/b/file", "a/b/file", ()),
        ("link/../file", "a/file", "a/file", ()),  # after the link, as the kernel goes
        ("link/", "a/b", "a/b", ()),
        ("dangling", "c/new", "c", (b"new",)),
        ("link/x/y", "a/b/x/y", "a/b", (b"x", b"y")),
        ("a/new/", "a/new", "a", (b"new",)),
    ],
)
def test_a_path_leads_where_the_kernel_goes(
    tree: Path, asked: str, leads_to: str, found: str, missing: tuple[bytes, ...]
) -> None:
    place = look_up(os.fsencode(f"{tree}/{asked}"))
    assert place.path == os.fsencode(tree / leads_to)
    assert place.found == os.fsencode(tree / found)
    assert place.missing == missing
    assert place.line[0] == tuple(os.stat(tree / found))[2:0:-1]
    assert len(place.line) == len((tree / found).parts)


@pytest.mark.parametrize("asked", ["loop", "loop/x", "a/file/x", "a/file/..", "nothing/../a", "x" * 300])
def test_a_path_that_leads_nowhere_is_not_guessed(tree: Path, asked: str) -> None:
    with pytest.raises(UnresolvedPathError):
        look_up(os.fsencode(f"{tree}/{asked}"))


def test_any_bytes_are_a_path(tree: Path) -> None:
    path = os.fsencode(tree) + b"/caf\xe9\n"
    with open(path, "wb"):
        pass
    assert look_up(path).path == path


@pytest.mark.parametrize(
    ("path", "of_a_process"),
    [
        ("/proc/self/status", False),
        ("/proc/cpuinfo", False),
        ("/proc/sys/kernel/osrelease", False),
        ("/proc/1/status", True),
        ("/proc/self/fd/0", True),
        ("/dev/fd/0", True),
        ("/proc/self/cwd", True),
        ("/proc/thread-self/comm", True),
    ],
)
def test_what_is_another_for_each_process_is_known_as_such(path: str, of_a_process: bool) -> None:
    with open("/etc/passwd", "rb") as file:
        os.dup2(file.fileno(), reader := os.open("/dev/null", os.O_RDONLY))
        place = look_up(os.fsencode(path.replace("fd/0", f"fd/{reader}")))
        os.close(reader)
    assert place.of_a_process is of_a_process


# --- the sum of grants ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (Operation.READ, Reason.GRANTED_PATH),
        (Operation.WRITE, Reason.GRANTED_PATH),
        (Operation.READWRITE, Reason.GRANTED_PATH),
        (Operation.EXECUTE, Reason.FILE_PERMISSIONS),  # no x, which root does not have either
    ],
)
def test_grants_add_up_on_the_way_to_a_file(tree: Path, operation: Operation, reason: Reason) -> None:
    rules = (rule(tree / "a", Access.READ), rule(tree / "a/b", Access.WRITE))
    answer = judge_path(rules, at(tree / "link/file"), operation)
    assert answer.reason is reason
    if operation is Operation.READWRITE:
        assert [grant.path for grant in answer.grants] == [os.fsencode(tree / "a/b"), os.fsencode(tree / "a")]


def test_what_is_missing_is_judged_by_the_directory_that_it_would_be_made_in(tree: Path) -> None:
    for access, allowed in ((Access.READ, False), (Access.WRITE, True)):
        answer = judge_path((rule(tree / "c", access),), at(tree / "dangling"), Operation.WRITE)
        assert answer.allowed is allowed
        assert f"would be made in {tree / 'c'}" in answer.notes[-1]
    # A grant on one file is none on what may lie beside it.
    beside = judge_path((rule(tree / "a/file", Access.READWRITE),), at(tree / "a/new"), Operation.WRITE)
    assert beside.reason is Reason.PATH_NOT_GRANTED


def test_a_socket_is_not_opened(tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(tree)  # its name has a bound
        listener.bind("s")
    answer = judge_path((rule(tree, Access.READWRITE),), at(tree / "s"), Operation.READ)
    assert (answer.status, answer.reason) == (Status.DENIED, Reason.SOCKET)


@pytest.mark.parametrize(
    ("changes", "operation", "reason"),
    [
        ({"readable": False}, Operation.READ, Reason.FILE_PERMISSIONS),
        ({"writable": False}, Operation.READWRITE, Reason.FILE_PERMISSIONS),
        ({"mount": os.ST_RDONLY}, Operation.WRITE, Reason.MOUNT),
        ({"mount": os.ST_NOEXEC}, Operation.EXECUTE, Reason.MOUNT),
        ({"mount": os.ST_RDONLY | os.ST_NOEXEC}, Operation.READ, Reason.GRANTED_PATH),
    ],
)
def test_what_decides_beside_the_grants(
    tree: Path, changes: dict[str, Any], operation: Operation, reason: Reason
) -> None:
    place = at(tree / "a/file")._replace(**changes)
    assert judge_path((rule(tree, Access.READWRITE),), place, operation).reason is reason


@pytest.mark.skipif(IS_ROOT, reason="no mode keeps root out")
def test_the_mode_of_a_file_and_of_its_directories(tree: Path) -> None:
    (tree / "a/file").chmod(0o200)
    answer = judge_path((rule(tree, Access.READ),), at(tree / "a/file"), Operation.READ)
    assert answer.reason is Reason.FILE_PERMISSIONS
    assert "0200" in answer.message
    (tree / "a").chmod(0)
    with pytest.raises(UnresolvedPathError) as refused:
        at(tree / "a/b/file")
    (tree / "a").chmod(0o700)
    assert refused.value.code == "why.way"


# --- ports ----------------------------------------------------------------------------------------------

BLOCKED, OPEN = CapabilitySet((), Network.BLOCKED), CapabilitySet((), Network.ALL)
SOME = CapabilitySet((), Network.PORTS, ports([443], [80, 8080], [3000]))


@pytest.mark.parametrize(
    ("capabilities", "port", "reason"),
    [
        (OPEN, 25, Reason.NETWORK_OPEN),
        (BLOCKED, 25, Reason.NETWORK_BLOCKED),
        (SOME, 443, Reason.PORT_GRANTED),
        (SOME, 8080, Reason.PORT_NOT_GRANTED),
    ],
)
def test_connecting(capabilities: CapabilitySet, port: int, reason: Reason) -> None:
    assert judge_connect(capabilities, port, by_name=False).reason is reason


def test_what_port_rules_do_not_tell_apart_is_said() -> None:
    named, addressed = (judge_connect(SOME, 443, by_name=by_name) for by_name in (True, False))
    assert any("every host" in note for note in addressed.notes)
    assert [note for note in named.notes if "port 53" in note]
    assert not [note for note in addressed.notes if "port 53" in note]


@pytest.mark.parametrize(
    ("capabilities", "port", "is_root", "reason"),
    [
        (OPEN, 8080, False, Reason.NETWORK_OPEN),
        (OPEN, 80, True, Reason.PRIVILEGED_PORT),  # root's command has no capability for it
        (BLOCKED, 8080, True, Reason.NETWORK_BLOCKED),
        (SOME, 80, True, Reason.PORT_GRANTED),  # nono binds it
        (SOME, 80, False, Reason.PRIVILEGED_PORT),
        (SOME, 3000, False, Reason.PORT_GRANTED),
        (SOME, 443, True, Reason.PORT_NOT_GRANTED),
    ],
)
def test_listening(capabilities: CapabilitySet, port: int, is_root: bool, reason: Reason) -> None:
    assert judge_listen(capabilities, port, first_unprivileged=1024, is_root=is_root).reason is reason
