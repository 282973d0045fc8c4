"""Files that no grant covers, where somebody may be asked: given when the answer is yes, and only then."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import signal
import stat
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.broker import open_mediation
from runtime.sandbox import seccomp_rules
from tests.sandbox.conftest import NOBODY, libc

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Box, Person

EACCES, AT_FDCWD = errno.EACCES, -100
SECRET = b"outside"
NR_OPENAT = seccomp_rules.number("openat") or 0


def always(_path: bytes, _access: str, _made: bool) -> bool:  # as a person is asked
    return True


def never(_path: bytes, _access: str, _made: bool) -> bool:  # likewise
    return False


def only(*paths: bytes) -> Person:
    return lambda path, _access, _made: path in paths


def read(path: bytes, flags: int = os.O_RDONLY) -> str:
    descriptor = os.open(path, flags)
    try:
        return os.read(descriptor, 64).decode("latin-1")
    finally:
        os.close(descriptor)


def call(name: str, *arguments: Any) -> int:  # integers and bytes
    number = seccomp_rules.number(name)
    if number is None:
        pytest.skip(f"{name} is a call of other machines")
    given = [each if isinstance(each, bytes) else ctypes.c_long(each) for each in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *given))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


WAYS: dict[str, Callable[[bytes], int]] = {
    "open": lambda path: call("open", path, os.O_RDWR, 0),
    "openat": lambda path: call("openat", AT_FDCWD, path, os.O_RDWR, 0),
    "openat, with a register's upper half": lambda path: call(
        "openat", AT_FDCWD, path, 1 << 32 | os.O_RDWR, 0
    ),
    "openat in a directory": lambda path: call(
        "openat", os.open(os.path.dirname(path), os.O_PATH), os.path.basename(path), os.O_RDWR, 0
    ),
    "openat2": lambda path: call("openat2", AT_FDCWD, path, struct.pack("=QQQ", os.O_RDWR, 0, 0), 24),
    "openat2 without links": lambda path: call(
        "openat2", AT_FDCWD, path, struct.pack("=QQQ", os.O_RDWR, 0, 0x06), 24
    ),
    "openat2 beneath a directory": lambda path: call(
        "openat2",
        os.open(os.path.dirname(path), os.O_PATH),
        os.path.basename(path),
        struct.pack("=QQQ", os.O_RDWR, 0, 0x08),
        24,
    ),
    "creat": lambda path: call("creat", path, 0o600),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_open_gives_what_was_allowed_and_nothing_else(box: Box, way: str) -> None:
    path, other = box.path("outside/file"), box.write("outside/other", b"other")

    def probe(path: bytes) -> list[object]:
        descriptor = WAYS[way](path)
        os.write(descriptor, b"OUT")
        status = os.fstat(descriptor)
        return (
            [os.get_inheritable(descriptor), status.st_size, os.pread(descriptor, 9, 0).decode()]
            if (way != "creat")
            else [os.get_inheritable(descriptor), status.st_size, ""]
        )

    wanted = box.outside(lambda: probe(path))
    assert wanted.worked
    box.write("outside/file", SECRET)
    assert box.inside(lambda: probe(path), person=only(path)) == wanted
    assert box.inside(lambda: probe(other), person=only(path)).errno == EACCES
    assert box.inside(lambda: probe(other), person=never).errno == EACCES
    with open(other, "rb") as file:
        assert file.read() == b"other"


def test_nobody_is_asked_about_what_the_grants_cover(box: Box) -> None:
    def probe() -> list[object]:
        with open(box.path("granted/new"), "xb") as file:
            file.write(b"x")
        return [
            read(box.path("granted/file")),
            read(box.path("readable/file")),
            sorted(os.listdir(box.path("readable"))),
            read(b"/proc/self/comm") != "",
            os.open(box.path("outside/file"), os.O_PATH) > 0,
        ]

    def nobody(*_: object) -> bool:
        raise AssertionError("asked")

    assert box.inside(probe, person=nobody).value == ["granted", "readable", ["file"], True, True]


@pytest.mark.parametrize(
    "flags",
    [
        os.O_RDONLY,
        os.O_RDONLY | os.O_CLOEXEC,
        os.O_WRONLY | os.O_APPEND,
        os.O_RDWR | os.O_NONBLOCK,
        os.O_RDWR | os.O_TRUNC,
        os.O_RDONLY | os.O_TRUNC,
        os.O_RDWR | os.O_CREAT,
        os.O_RDWR | os.O_CREAT | os.O_EXCL,
        os.O_RDONLY | os.O_DIRECTORY,
        os.O_RDONLY | os.O_NOFOLLOW,
        os.O_WRONLY | os.O_SYNC,
        os.O_RDONLY | os.O_NOATIME,
    ],
)
def test_the_flags_of_a_call_are_those_of_what_is_given(box: Box, flags: int) -> None:
    path = box.path("outside/file")

    def probe() -> list[object]:
        descriptor = int(libc.syscall(ctypes.c_long(NR_OPENAT), AT_FDCWD, path, flags, 0o600))
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "openat")

        return [
            fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_NOFOLLOW,  # which is about the lookup alone
            fcntl.fcntl(descriptor, fcntl.F_GETFD),
            os.fstat(descriptor).st_size,
        ]

    outside = box.outside(probe)
    box.write("outside/file", SECRET)
    assert box.inside(probe, person=always) == outside


def test_a_directory_that_is_given_can_be_listed_and_no_more(box: Box) -> None:
    place = box.path("outside")

    def probe() -> list[object]:
        directory = os.open(place, os.O_RDONLY)
        said: list[object] = [os.listdir(directory)]
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_CREAT | os.O_WRONLY):
            with pytest.raises(PermissionError):
                os.open("file", flags, dir_fd=directory)
        with pytest.raises(PermissionError):
            os.unlink("file", dir_fd=directory)
        with pytest.raises(PermissionError):
            os.mkdir("made", dir_fd=directory)
        return said

    assert box.inside(probe, person=only(place)).value == [["file"]]


def test_a_file_that_is_made_is_made_as_its_maker_would(box: Box) -> None:
    path = box.path("outside/made")

    def probe() -> list[object]:
        os.umask(0o027)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o666)
        os.write(descriptor, b"x")
        status = os.fstat(descriptor)
        again = os.open(path, os.O_RDWR)
        return [stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, os.pread(again, 1, 0).decode()]

    outside = box.outside(probe)
    os.unlink(path)
    asked = [0]

    def once(_path: bytes, _access: str, made: bool) -> bool:  # as a person is asked
        asked[0] += 1
        return made and asked[0] == 1

    assert box.inside(probe, person=once) == outside
    assert box.inside(lambda: os.open(box.path("outside/more"), os.O_CREAT), person=never).errno == EACCES
    assert not os.path.lexists(box.path("outside/more"))


@pytest.mark.parametrize("kind", ["link", "file", "directory", "pipe"])
def test_what_comes_to_be_in_the_place_of_a_file_to_be_made_is_not_opened(box: Box, kind: str) -> None:
    """Also while the person thinks."""
    path, other = box.path("outside/made"), box.path("outside/file")

    def person(_path: bytes, _access: str, made: bool) -> bool:  # as a person is asked
        assert made
        {
            "link": lambda: os.symlink(other, path),
            "file": lambda: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)),
            "directory": lambda: os.mkdir(path),
            "pipe": lambda: os.mkfifo(path),
        }[kind]()
        return True

    flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
    assert box.inside(lambda: os.open(path, flags, 0o600), person=person).errno == errno.EEXIST
    with open(other, "rb") as file:
        assert file.read() == SECRET


def test_what_nobody_is_asked_about(box: Box) -> None:
    """Devices, pipes, sockets, procfs, nameless files, links that lead nowhere: as without any of this."""
    os.mkfifo(box.path("outside/pipe"))
    os.symlink("nowhere", box.path("outside/dangling"))
    attempts: dict[str, Callable[[], object]] = {
        "device": lambda: os.open("/dev/full", os.O_RDWR),
        "pipe": lambda: os.open(box.path("outside/pipe"), os.O_RDWR),
        "dangling": lambda: os.open(box.path("outside/dangling"), os.O_CREAT | os.O_WRONLY),
        "nameless": lambda: os.open(box.path("outside"), os.O_TMPFILE | os.O_RDWR),
        "procfs": lambda: os.open("/proc/self/oom_score_adj", os.O_WRONLY),
        "supervisor": lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDWR),
        "through procfs": lambda: read(b"/proc/self/root" + box.path("outside/file")),
        "of another": lambda: read(b"/proc/%d/root%s" % (os.getppid(), box.path("outside/file"))),
        "by the monitor's cwd": lambda: read(b"/proc/%d/cwd%s" % (os.getppid(), box.path("outside/file"))),
    }

    def probe() -> dict[str, object]:
        said: dict[str, object] = {}
        for name, attempt in attempts.items():
            try:
                attempt()
                said[name] = "opened"
            except OSError as error:
                said[name] = error.errno
        return said

    inside = box.inside(probe, person=always)
    assert inside == box.inside(probe)
    assert isinstance(inside.value, dict)
    assert "opened" not in inside.value.values()
    assert not os.path.lexists(box.path("outside/nowhere"))


def test_nobody_is_asked_about_what_has_been_removed(box: Box) -> None:
    """The kernel says another name for it, by which nobody could tell what is protected."""
    odd = box.write("outside/odd (deleted)", b"odd")
    place = box.path("outside/removed")
    os.mkdir(place)

    def person(path: bytes, _access: str, _made: bool) -> bool:  # as a person is asked
        assert path == odd, path
        os.rmdir(place)
        return True

    def probe() -> list[object]:
        os.chdir(place)
        said: list[object] = [read(odd)]
        try:
            said.append(os.open(".", os.O_RDONLY))
        except OSError as error:
            said.append(error.errno)
        return said

    assert box.inside(probe, person=person).value == ["odd", EACCES]


# --- what changes while it is judged -----------------------------------------------------------------


def _swapping(
    change: Callable[[], None], attempt: Callable[[], str], *seen: str
) -> Callable[[], dict[str, int]]:
    """Return a probe that opens again and again while another thread changes what is judged.

    It goes on until it has ``seen`` what shows that it met the changes, and is not asked for ever.
    """

    def probe() -> dict[str, int]:
        stopped = threading.Event()

        def swap() -> None:
            while not stopped.is_set():
                with contextlib.suppress(OSError):
                    change()

        thread = threading.Thread(target=swap)
        thread.start()
        counts: dict[str, int] = {}
        for number in range(20_000):
            if number >= 500 and counts.keys() >= {*seen}:
                break
            try:
                said = attempt()
            except OSError as error:
                said = errno.errorcode[error.errno or 0]
            counts[said] = counts.get(said, 0) + 1
        stopped.set()
        thread.join()
        return counts

    return probe


@pytest.mark.parametrize("granting", [True, False])
def test_a_path_that_is_rewritten_meanwhile(box: Box, *, granting: bool) -> None:
    allowed = box.write("outside/allowed", b"allowed")
    secret, inside = box.path("outside/file"), box.path("granted/file")
    text = ctypes.create_string_buffer(4_096)
    names = [
        name.ljust(len(max(allowed, secret, inside, key=len)), b"\0") for name in (allowed, secret, inside)
    ]

    def change() -> None:
        for name in names:
            text.value = name

    def attempt() -> str:
        descriptor = int(
            libc.syscall(ctypes.c_long(seccomp_rules.number("openat") or 0), AT_FDCWD, text, 0, 0)
        )
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "openat")
        try:
            return os.read(descriptor, 64).decode()
        finally:
            os.close(descriptor)

    person = only(allowed) if granting else never
    seen = ("granted", "EACCES", *(("allowed",) if granting else ()))
    counts = box.inside(_swapping(change, attempt, *seen), person=person).value
    assert isinstance(counts, dict)
    assert SECRET.decode() not in counts, counts
    assert counts.get("granted"), counts
    assert counts.get("EACCES"), counts
    assert bool(counts.get("allowed")) is granting, counts


def test_a_link_that_is_turned_meanwhile(box: Box) -> None:
    allowed, secret, inside = (
        box.write("outside/allowed", b"allowed"),
        box.path("outside/file"),
        box.path("granted/file"),
    )
    link = box.path("granted/link")

    def change() -> None:
        for target in (allowed, secret, inside):
            os.symlink(target, link + b".new")
            os.rename(link + b".new", link)

    counts = box.inside(_swapping(change, lambda: read(link), "allowed"), person=only(allowed)).value
    assert isinstance(counts, dict)
    assert SECRET.decode() not in counts, counts
    assert counts.get("allowed"), counts


def test_a_directory_that_is_exchanged_meanwhile(box: Box) -> None:
    """Also the descriptor's number in the process, and what ``..`` of it is."""
    for name in ("outside/a", "outside/b"):
        os.mkdir(box.path(name))
        os.chown(box.path(name), box.uid, -1)
    allowed = box.write("outside/a/file", b"allowed")
    box.write("outside/b/file", SECRET)

    def probe() -> dict[str, int]:
        first, second = (os.open(box.path(name), os.O_PATH) for name in ("outside/a", "outside/b"))
        shared = os.dup(first)

        def change() -> None:
            os.dup2(second, shared)
            os.dup2(first, shared)

        def attempt() -> str:
            descriptor = os.open("file", os.O_RDONLY, dir_fd=shared)
            try:
                return os.read(descriptor, 64).decode()
            finally:
                os.close(descriptor)

        return _swapping(change, attempt, "allowed")()

    counts = box.inside(probe, person=only(allowed)).value
    assert isinstance(counts, dict)
    assert SECRET.decode() not in counts, counts
    assert counts.get("allowed"), counts


def test_what_was_asked_about_is_given_whatever_has_its_name_by_then(box: Box) -> None:
    allowed, aside = box.write("outside/allowed", b"allowed"), box.path("outside/aside")

    def person(_path: bytes, _access: str, _made: bool) -> bool:  # as a person is asked
        os.rename(allowed, aside)
        os.rename(box.path("outside/file"), allowed)
        return True

    assert box.inside(lambda: read(allowed), person=person).value == "allowed"


def test_an_answer_is_about_one_file_and_one_kind_of_access(box: Box) -> None:
    path = box.path("outside/file")
    linked = box.path("outside/linked")
    os.link(path, linked)

    def probe() -> list[object]:
        said: list[object] = [read(path), read(path)]
        for refused in (
            lambda: os.open(path, os.O_WRONLY),
            lambda: os.open(path, os.O_RDWR),
            lambda: read(linked),
        ):
            try:
                said.append(refused())
            except PermissionError:
                said.append("refused")
        return said

    asked: list[tuple[bytes, str]] = []

    def once(path: bytes, access: str, _made: bool) -> bool:  # as a person is asked
        assert (path, access) not in asked
        asked.append((path, access))
        return access == "read" and path == box.path("outside/file")

    assert box.inside(probe, person=once).value == ["outside", "outside", "refused", "refused", "refused"]


# --- as whom ------------------------------------------------------------------------------------------


def test_a_person_gives_no_more_than_the_users_own(box: Box) -> None:
    if os.geteuid() != 0 or box.uid == 0:
        pytest.skip("needs root, and a probe that is not")
    path = box.path("outside/roots")
    with open(path, "wb") as file:
        file.write(SECRET)
    os.chmod(path, 0o600)
    assert box.outside(lambda: read(path)).errno == EACCES
    assert box.inside(lambda: read(path), person=always).errno == EACCES
    os.mkdir(box.path("outside/shut"), 0o700)
    box.write("outside/shut/file", SECRET)
    os.chown(box.path("outside/shut"), 0, 0)
    # Not even whether it is there is to be learned by being asked.
    assert (
        box.inside(lambda: read(box.path("outside/shut/file")), person=lambda *_: os._exit(9)).errno == EACCES
    )


def test_root_that_became_another_user_is_given_what_that_user_may_open(box: Box) -> None:
    if box.uid != 0:
        pytest.skip("only root can become another user")
    mine = box.write("outside/mine", SECRET, 0o600)
    theirs = box.write("outside/theirs", b"theirs", 0o600)
    os.chown(theirs, NOBODY, NOBODY)
    os.chmod(box.path("outside"), 0o777)

    def probe() -> list[object]:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        os.umask(0)
        said: list[object] = []
        for path, flags in ((mine, os.O_RDONLY), (theirs, os.O_RDWR), (box.path("outside/made"), os.O_CREAT)):
            try:
                said.append(os.fstat(os.open(path, flags, 0o640)).st_uid)
            except OSError as error:
                said.append(error.errno)
        return said

    outside = box.outside(probe)
    os.unlink(box.path("outside/made"))
    assert box.inside(probe, person=always) == outside
    assert outside.value == [EACCES, NOBODY, NOBODY]


# --- those who ask --------------------------------------------------------------------------------------


def test_those_who_are_killed_while_somebody_thinks_leave_nothing_behind(box: Box) -> None:
    paths = [box.write(f"outside/{number}", b"x") for number in range(open_mediation.MAX_WAITING)]
    other = box.write("outside/other", b"other")
    asked, ask = os.pipe()

    def person(path: bytes, _access: str, _made: bool) -> bool | None:  # as a person is asked
        os.write(ask, b"x")
        return True if path == other else None

    def probe() -> list[object]:
        said: list[object] = []
        for path in paths:
            pid = os.fork()
            if pid == 0:
                os.open(path, os.O_RDONLY)
                os._exit(0)
            os.read(asked, 1)
            os.kill(pid, signal.SIGKILL)
            said.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        assert set(said) == {-signal.SIGKILL}
        said = [read(box.path("granted/file"))]
        try:
            said.append(read(other))
        except PermissionError:
            said.append("too many wait")
        return said

    try:
        assert box.inside(probe, person=person).value == ["granted", "too many wait"]
    finally:
        os.close(asked)
        os.close(ask)


def test_others_go_on_while_somebody_thinks(box: Box) -> None:
    path = box.path("outside/file")

    def probe() -> str:
        waiting = threading.Thread(target=lambda: read(path), daemon=True)
        waiting.start()
        for _ in range(200):
            read(box.path("granted/file"))
        return read(box.path("readable/file"))

    assert box.inside(probe, person=lambda *_: None).value == "readable"


def test_one_without_room_for_a_descriptor_is_told_so(box: Box) -> None:
    path = box.path("outside/file")

    def probe() -> list[object]:
        used = os.open("/dev/null", os.O_RDONLY)
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, used + 1))
        try:
            os.open(path, os.O_RDONLY)
        except OSError as error:
            return [error.errno]
        return []

    assert box.inside(probe, person=always).value == [errno.EMFILE]


@pytest.mark.parametrize("path", [b"", b"x" * 4_096, b"/not/there", b"/etc/passwd/x", b"/" + b"x/" * 2_047])
def test_paths_that_lead_nowhere(box: Box, path: bytes) -> None:
    assert box.inside(lambda: read(path), person=always) == box.outside(lambda: read(path))


def test_arguments_that_lie_nowhere(box: Box) -> None:
    def probe() -> list[int | None]:
        said: list[int | None] = []
        for arguments in (
            ("openat", AT_FDCWD, 8, 0, 0),
            ("openat", 12_345, b"x", 0, 0),
            ("openat2", AT_FDCWD, b"/etc/passwd", 8, 24),
            ("openat2", AT_FDCWD, b"/etc/passwd", bytes(8), 8),
            ("openat2", AT_FDCWD, b"/etc/passwd", bytes(24) + b"x" * 8, 32),
            ("openat2", AT_FDCWD, b"/etc/passwd", struct.pack("=QQQ", 0, 0, 1 << 40), 24),
        ):
            try:
                call(*arguments)
                said.append(0)
            except OSError as error:
                said.append(error.errno)
        return said

    wanted = box.outside(probe)
    assert wanted.value == [errno.EFAULT, errno.EBADF, errno.EFAULT, errno.EINVAL, errno.E2BIG, errno.EINVAL]
    assert box.inside(probe, person=always) == wanted


def test_what_fails_where_is_asked_ends_the_command(box: Box) -> None:
    def person(*_: object) -> bool:
        raise ValueError("a fault of ours")

    ended = box.inside(lambda: read(box.path("outside/file")), person=person)
    assert ended.signal == signal.SIGKILL
