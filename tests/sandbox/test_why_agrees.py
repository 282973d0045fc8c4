"""``nono why`` and the kernel: what one says of a set of grants, the other does, in trees by chance.

Each example makes a tree, judges every path of it for every operation, restricts a process by the same
grants, and tries everything there. A disagreement is a fault of the answer, or of the enforcement.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import shutil
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runtime.capability.capabilities import USER, Access, FileGrant, merge
from runtime.explanation import why
from runtime.explanation.path_lookup import Identity, look_up
from runtime.explanation.why import Operation, Rule, Status, judge_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from tests.sandbox.conftest import Box

DIRECTORIES = ("a", "a/b", "a/b/c", "a/d", "e", "e/f")
FILES = tuple(f"{directory}/file" for directory in DIRECTORIES)
LINKS = {
    "a/to-file": "../e/file",
    "a/to-directory": "../e/f",
    "e/to-b": "../a/b",
    "e/dangling": "../a/d/not-there",
    "a/b/absolute": "{home}/e",
    "e/loop": "loop",
}
HARD_LINKS = {"a/d/hard": "e/file", "e/f/hard": "a/b/c/file"}
CLOSED = ("a/b/closed", "e/closed")  # mode 0: for root its own capability opens them, for others nothing does

DETOURS = ("a/../e/file", "a/to-directory/../file", "e/to-b/../file", "a/b/./c//file", "e/to-b/c/../../d")
GRANTABLE = (*DIRECTORIES, *FILES, *HARD_LINKS, *CLOSED)
ASKED = (*GRANTABLE, *LINKS, *DETOURS, "a/to-directory/hard", "e/to-b/c/file", "a/b/absolute/f/file")
MISSING = (*(f"{directory}/new" for directory in DIRECTORIES), "a/to-directory/new", "e/to-b/new")

NOT_EXECUTABLE = b"\0no program"  # which the kernel says only after it has looked at every permission

grants_by_chance = st.dictionaries(
    st.sampled_from(GRANTABLE), st.sampled_from(sorted(Access)), min_size=0, max_size=5
)


def plant(box: Box, top: bytes) -> None:
    """Make the tree, a program-like file in each place, and what can be removed."""
    os.mkdir(top)
    for directory in DIRECTORIES:
        os.makedirs(os.path.join(top, directory.encode()), exist_ok=True)
    for name in FILES:
        path = os.path.join(top, name.encode())
        with open(path, "wb") as file:
            file.write(NOT_EXECUTABLE)
        os.chmod(path, 0o755)
    for name, target in LINKS.items():
        os.symlink(target.format(home=os.fsdecode(top)), os.path.join(top, name.encode()))
    for name, source in HARD_LINKS.items():
        os.link(os.path.join(top, source.encode()), os.path.join(top, name.encode()))
    for directory in DIRECTORIES:
        for victim in ("victim-1", "victim-2"):
            with open(os.path.join(top, directory.encode(), victim.encode()), "wb"):
                pass
        os.mkdir(os.path.join(top, directory.encode(), b"victim-directory"))
    for name in CLOSED:
        os.close(os.open(os.path.join(top, name.encode()), os.O_WRONLY | os.O_CREAT, 0))
    for path, _, names in os.walk(top):
        for entry in (path, *(os.path.join(path, name) for name in names)):
            os.chown(entry, box.uid, -1, follow_symlinks=False)


def opens(path: bytes, flags: int) -> bool:
    return works(lambda: os.close(os.open(path, flags | os.O_CLOEXEC)))


def works(probe: Callable[[], object]) -> bool:
    """Return whether it is allowed: any other answer than a refusal is an answer of the thing itself."""
    try:
        probe()
    except PermissionError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOEXEC, errno.ELOOP):
            return True
        raise
    return True


def attempts(path: bytes, operation: Operation) -> Iterator[tuple[str, bool]]:
    """Yield what is tried, all of which the operation stands for, and whether it worked."""
    if os.path.isdir(path):
        if operation is Operation.READ:
            yield "list", works(lambda: os.listdir(path))
        elif operation is Operation.WRITE:
            at = functools.partial(os.path.join, path)
            yield "remove", works(lambda: os.unlink(at(b"victim-1")))
            yield "rename", works(lambda: os.rename(at(b"victim-2"), at(b"victim-3")))
            yield "rmdir", works(lambda: os.rmdir(at(b"victim-directory")))
            yield "mkdir", works(lambda: os.mkdir(at(b"made-directory")))
            yield "symlink", works(lambda: os.symlink(b"x", at(b"made-link")))
            yield "fifo", works(lambda: os.mkfifo(at(b"made-fifo")))
            put_back(path)
        elif operation is Operation.EXECUTE:
            yield "pass through", works(lambda: os.chdir(path))
        return
    if operation is Operation.EXECUTE:
        yield "execute", works(lambda: os.execve(path, [b"x"], {}))
    if operation is Operation.READ:
        yield "read", opens(path, os.O_RDONLY)
    if operation is Operation.READWRITE:
        yield "read and write", opens(path, os.O_RDWR)
    if operation is Operation.WRITE:
        yield "write", opens(path, os.O_WRONLY)
        yield "append", opens(path, os.O_WRONLY | os.O_APPEND)
        yield "truncate", works(lambda: os.truncate(path, len(NOT_EXECUTABLE)))


def put_back(path: bytes) -> None:
    at = functools.partial(os.path.join, path)
    with contextlib.suppress(OSError):
        os.mkdir(at(b"victim-directory"))
    for made in (b"made-link", b"made-fifo", b"victim-3"):
        with contextlib.suppress(OSError):
            os.unlink(at(made))
    with contextlib.suppress(OSError):
        os.rmdir(at(b"made-directory"))
    for victim in (b"victim-1", b"victim-2"):
        with contextlib.suppress(OSError):
            os.close(os.open(at(victim), os.O_WRONLY | os.O_CREAT, 0o644))


def creates(path: bytes, flags: int) -> bool:
    worked = opens(path, flags | os.O_CREAT)
    if worked:
        os.unlink(os.path.realpath(path))
    return worked


def compare(box: Box, rules: tuple[Rule, ...], top: bytes, restrict: Callable[[], None]) -> list[str]:
    """Judge everything, restrict this process, try everything, and return where the two disagree."""
    asked = [os.path.join(top, name.encode()) for name in ASKED if name not in {"e/loop", "e/dangling"}]
    would = {
        (path, operation): judge_path(rules, look_up(path), operation)
        for path, operation in itertools.product(asked, Operation)
        if not (os.path.isdir(path) and operation is Operation.READWRITE)
    }
    dangling = os.path.join(top, b"e/dangling")
    missing = [*(os.path.join(top, name.encode()) for name in MISSING), dangling]
    would_create = {
        (path, operation): judge_path(rules, look_up(path), operation)
        for path in missing
        for operation in (Operation.WRITE, Operation.READWRITE)
    }
    restrict()
    wrong = []
    for (path, operation), answer in would.items():
        for what, worked in attempts(path, operation):
            if worked is not answer.allowed:
                wrong.append(f"{what} {os.fsdecode(path)}: {worked}, said {answer}")
    for (path, operation), answer in would_create.items():
        flags = os.O_WRONLY if operation is Operation.WRITE else os.O_RDWR
        if creates(path, flags) is not answer.allowed:
            wrong.append(f"create {os.fsdecode(path)} for {operation}: said {answer}")
    assert all(answer.status is not Status.UNKNOWN for answer in (*would.values(), *would_create.values()))
    return wrong


def disagreements(box: Box, asked: dict[str, Access]) -> list[str]:
    top = box.path("tree")
    plant(box, top)
    try:
        chosen = [
            FileGrant(path, path, access, directory=os.path.isdir(path), source=USER)
            for name, access in asked.items()
            for path in [os.path.join(top, name.encode())]
        ]
        grants = merge([*box.default_grants(), *chosen])
        rules = tuple(Rule(grant, identity(grant.path)) for grant in grants)
        found = box.restricted(lambda restrict: compare(box, rules, top, restrict), tuple(chosen))
    finally:
        shutil.rmtree(top)
    assert isinstance(found, list)
    return found


def identity(path: bytes) -> Identity:
    status = os.stat(path)
    return Identity(status.st_dev, status.st_ino)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(asked=grants_by_chance)
@example(asked={})
@example(asked={"a": Access.READ, "a/b": Access.WRITE, "a/b/c/file": Access.READ})
@example(asked={"e/file": Access.READWRITE, "a/b": Access.READ})
@example(asked={"a/d/hard": Access.WRITE, "e": Access.READ})
@example(asked=dict.fromkeys(("a/b/closed", "e"), Access.READWRITE))
def test_the_kernel_does_what_the_answer_says(box: Box, asked: dict[str, Access]) -> None:
    assert disagreements(box, asked) == []


def test_the_comparison_can_fail(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judgement that took the longest path alone, as others do, is found out."""

    def nearest_alone(needed: int, held: int, met: list[Rule]) -> why.Answer:
        return judged(needed, why._rights(met[0].grant) if met else held, met)

    judged = why._by_grants
    monkeypatch.setattr(why, "_by_grants", nearest_alone)
    found = disagreements(box, {"a": Access.READ, "a/b": Access.WRITE})
    assert any("a/b/file" in line for line in found)


def test_a_file_that_takes_the_place_of_a_granted_one_is_another(box: Box) -> None:
    """Editors write beside a file and rename it: the grant stays with the old one, and the answer says so."""
    path = box.write("outside/config", b"old")
    grant = box.grant("outside/config", Access.READ)
    rules = (Rule(grant, identity(path)),)
    assert judge_path(rules, look_up(path), Operation.READ).allowed

    def replaced(restrict: Callable[[], None]) -> list[bool]:
        os.rename(box.path("outside/file"), path)
        said = judge_path(rules, look_up(path), Operation.READ).allowed
        restrict()
        return [said, opens(path, os.O_RDONLY)]

    assert box.restricted(replaced, (grant,)) == [False, False]
