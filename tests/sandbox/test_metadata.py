"""Mode, owner, times and attributes of files: changed where the grants let be written, and nowhere else."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import signal
import stat
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.broker import metadata_mediation
from runtime.sandbox import seccomp_rules
from tests.sandbox.conftest import NOBODY, libc

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Box

AT_FDCWD, NOFOLLOW, EMPTY_PATH = -100, 0x100, 0x1000
EPERM = errno.EPERM
NUMBERS = {call: number for number, call in metadata_mediation.CALLS.items()}
NAMES = {name: seccomp_rules.number(name) for name in metadata_mediation._NAMED}
SECONDS = 946_684_800


def call(name: str, *arguments: object) -> int:
    """Make a system call by its name, as no C library would."""
    number = NAMES[name]
    if number is None:
        pytest.skip(f"{name} is a call of other machines")
    given = [each if isinstance(each, bytes) else ctypes.c_long(each) for each in arguments]  # type: ignore[arg-type]  # integers are what is left
    result = int(libc.syscall(ctypes.c_long(number), *given))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def seen(path: bytes) -> list[object]:
    """Return what these calls could change of a file."""
    status = os.lstat(path)
    return [
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_mtime_ns,
        sorted(os.listxattr(path, follow_symlinks=False)),
    ]


TIMES = struct.pack("=qqqq", SECONDS, 0, SECONDS, 0)
MINE = os.geteuid


def _descriptor(path: bytes, use: Callable[[int], Any], flags: int = os.O_RDONLY) -> Any:  # what it returns
    descriptor = os.open(path, flags)
    try:
        return use(descriptor)
    finally:
        os.close(descriptor)


def _at(path: bytes, use: Callable[[int, bytes], int]) -> Any:  # likewise
    above, name = os.path.split(path)
    return _descriptor(above, lambda directory: use(directory, name), os.O_PATH)


def _set_no_dump(file: int) -> int:
    (flags,) = struct.unpack("=i", fcntl.ioctl(file, 0x80086601, bytes(4)))  # FS_IOC_GETFLAGS
    return call("ioctl", file, metadata_mediation.FS_IOC_SETFLAGS, struct.pack("=i", flags | 0x40))


def _set_no_dump_of_xfs(file: int) -> int:
    said = fcntl.ioctl(file, 0x801C581F, bytes(28))  # FS_IOC_FSGETXATTR
    flags = struct.unpack_from("=I", said)[0] | 0x80  # FS_XFLAG_NODUMP
    return call("ioctl", file, metadata_mediation.FS_IOC_FSSETXATTR, struct.pack("=I", flags) + said[4:])


WAYS: dict[str, Callable[[bytes], int]] = {
    "chmod": lambda path: call("chmod", path, 0o700),
    "fchmod": lambda path: _descriptor(path, lambda file: call("fchmod", file, 0o700)),
    "fchmodat": lambda path: call("fchmodat", AT_FDCWD, path, 0o700),
    "fchmodat in a directory": lambda path: _at(path, lambda at, name: call("fchmodat", at, name, 0o700)),
    "fchmodat2": lambda path: call("fchmodat2", AT_FDCWD, path, 0o700, NOFOLLOW),
    "fchmodat2 of a descriptor": lambda path: _descriptor(
        path, lambda file: call("fchmodat2", file, b"", 0o700, EMPTY_PATH), os.O_PATH
    ),
    "chmod of the own descriptor": lambda path: _descriptor(
        path, lambda file: call("chmod", b"/proc/self/fd/%d" % file, 0o700), os.O_PATH
    ),
    "chmod of /dev/fd": lambda path: _descriptor(
        path, lambda file: call("chmod", b"/dev/fd/%d" % file, 0o700)
    ),
    "chown": lambda path: call("chown", path, MINE(), -1),
    "lchown": lambda path: call("lchown", path, MINE(), -1),
    "fchown": lambda path: _descriptor(path, lambda file: call("fchown", file, MINE(), -1)),
    "fchownat": lambda path: call("fchownat", AT_FDCWD, path, MINE(), -1, 0),
    "fchownat of a descriptor": lambda path: _descriptor(
        path, lambda file: call("fchownat", file, b"", MINE(), -1, EMPTY_PATH), os.O_PATH
    ),
    "utime": lambda path: call("utime", path, struct.pack("=qq", SECONDS, SECONDS)),
    "utimes": lambda path: call("utimes", path, TIMES),
    "futimesat": lambda path: call("futimesat", AT_FDCWD, path, TIMES),
    "futimesat of a descriptor": lambda path: _descriptor(
        path, lambda file: call("futimesat", file, 0, TIMES)
    ),
    "utimensat": lambda path: call("utimensat", AT_FDCWD, path, TIMES, 0),
    "utimensat, now": lambda path: call("utimensat", AT_FDCWD, path, 0, 0),
    "utimensat of the link": lambda path: call("utimensat", AT_FDCWD, path, TIMES, NOFOLLOW),
    "utimensat of a descriptor": lambda path: _descriptor(
        path, lambda file: call("utimensat", file, 0, TIMES, 0)
    ),
    "setxattr": lambda path: call("setxattr", path, b"user.a", b"b", 1, 0),
    "lsetxattr": lambda path: call("lsetxattr", path, b"user.a", b"b", 1, 0),
    "fsetxattr": lambda path: _descriptor(path, lambda file: call("fsetxattr", file, b"user.a", b"b", 1, 0)),
    "removexattr": lambda path: call("removexattr", path, b"user.there"),
    "lremovexattr": lambda path: call("lremovexattr", path, b"user.there"),
    "fremovexattr": lambda path: _descriptor(path, lambda file: call("fremovexattr", file, b"user.there")),
    "chattr": lambda path: _descriptor(path, _set_no_dump),
    "chattr of xfs": lambda path: _descriptor(path, _set_no_dump_of_xfs),
}


def flags_of(path: bytes) -> int:
    """Return the flags that chattr(1) changes, 0 on a file system without any."""
    with contextlib.suppress(OSError):
        said = _descriptor(path, lambda file: fcntl.ioctl(file, 0x80086601, bytes(4)))
        return int.from_bytes(said, sys.byteorder)
    return 0


@pytest.mark.parametrize("way", WAYS)
def test_each_way_changes_what_may_be_written_and_nothing_else(box: Box, way: str) -> None:
    made = {name: box.write(f"{name}/mine", b"x", 0o640) for name in ("granted", "outside", "readable")}
    for path in made.values():
        try:
            os.setxattr(path, b"user.there", b"1")
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            pytest.skip("this file system has no attributes")
        os.utime(path, (1, 1))

    def change(path: bytes) -> bool:
        before = *seen(path), flags_of(path)
        try:
            WAYS[way](path)
        except OSError as error:
            if error.errno in (errno.ENOSYS, errno.ENOTTY, errno.EOPNOTSUPP):
                return False  # an older kernel, or a file system without flags
            raise
        return before != (*seen(path), flags_of(path)) or "chown" in way

    if not box.outside(lambda: change(made["outside"])).value:
        pytest.skip(f"{way} is not to be had here")
    assert box.inside(lambda: change(made["granted"]), metadata=True).value is True
    for name in ("outside", "readable"):
        other = box.write(f"{name}/other", b"x", 0o640)
        os.setxattr(other, b"user.there", b"1")
        os.utime(other, (1, 1))
        before = *seen(other), flags_of(other)
        # Of what may not even be read, Landlock lets no descriptor be had.
        refusals = (EPERM,) if name == "readable" else (EPERM, errno.EACCES)
        assert box.inside(functools.partial(change, other), metadata=True).errno in refusals
        assert (*seen(other), flags_of(other)) == before


def test_without_protection_all_of_a_users_files_can_be_changed(box: Box) -> None:
    path = box.write("readable/mine", b"x", 0o640)
    assert box.inside(lambda: os.chmod(path, 0o700)).worked
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700


@pytest.mark.parametrize("name", ["setxattrat", "removexattrat", "file_setattr"])
def test_the_newest_calls_for_it_are_absent(box: Box, name: str) -> None:
    number = seccomp_rules.number(name)

    def probe() -> None:
        libc.syscall(ctypes.c_long(number or -1), AT_FDCWD, box.path("granted/file"), 0, 0, 0, 0)
        raise OSError(ctypes.get_errno(), name)

    assert box.inside(probe, metadata=True).errno == errno.ENOSYS


def test_what_seals_encrypts_or_renumbers_a_file_is_refused(box: Box) -> None:
    def probe(request: int) -> Callable[[], object]:
        return lambda: _descriptor(
            box.path("outside/file"), lambda file: fcntl.ioctl(file, request, bytes(128))
        )

    for request in (0x40806685, 0x800C6613, 0x40087602, 0x40086604):
        assert box.outside(probe(request)).errno != EPERM, "the kernel looks at it"

    def all_refused() -> list[int | None]:
        refusals: list[int | None] = []
        for request in (0x40806685, 0x800C6613, 0x40087602, 0x40086604, 1 << 32 | 0x40087602):
            libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p)
            with open(box.path("granted/file"), "rb") as file:
                libc.ioctl(file.fileno(), request, bytes(128))
            refusals.append(ctypes.get_errno())
        return refusals

    assert box.inside(all_refused, metadata=True).value == [EPERM] * 5


@pytest.mark.parametrize("register", [0, 1 << 32])
def test_dos_attributes_are_changed_where_it_may_be_written(box: Box, register: int) -> None:
    """Of a file system that has none the kernel says so, to whoever was let get so far."""

    def set_read_only(name: str) -> Callable[[], object]:
        request = register | metadata_mediation.FAT_IOCTL_SET_ATTRIBUTES
        return lambda: _descriptor(
            box.path(name), lambda file: call("ioctl", file, request, struct.pack("=I", 0x21))
        )

    outside = box.outside(set_read_only("readable/file"))
    assert outside.worked or outside.errno == errno.ENOTTY
    assert box.inside(set_read_only("readable/file"), metadata=True).errno == EPERM
    assert box.inside(set_read_only("granted/file"), metadata=True) == box.outside(
        set_read_only("granted/file")
    )


# --- where a path leads -----------------------------------------------------------------------------


def test_a_link_out_of_a_grant_is_judged_by_where_it_leads(box: Box) -> None:
    os.symlink(box.path("outside/file"), box.path("granted/out"))
    os.symlink(box.path("granted/file"), box.path("outside/in"))
    os.chown(box.path("granted/out"), box.uid, -1, follow_symlinks=False)
    before = seen(box.path("outside/file"))
    box.assert_closed(lambda: os.chmod(box.path("granted/out"), 0o600), EPERM, metadata=True)
    os.chmod(box.path("outside/file"), 0o644)
    assert box.inside(lambda: os.chmod(box.path("outside/in"), 0o604), metadata=True).worked
    assert stat.S_IMODE(os.stat(box.path("granted/file")).st_mode) == 0o604
    assert seen(box.path("outside/file")) == before
    # The link itself is in the grant, and it is that which lchown is about.
    assert box.inside(
        lambda: os.utime(box.path("granted/out"), (1, 1), follow_symlinks=False), metadata=True
    ).worked
    assert os.lstat(box.path("granted/out")).st_mtime == 1
    assert seen(box.path("outside/file")) == before


@pytest.mark.parametrize(
    "path",
    [
        b"/proc/self/root%s",
        b"/proc/self/cwd/../..%s",
        b"/proc/thread-self/root%s",
        b"/proc/1/root%s",
        b"/proc/self/fd/../root%s",
        b"/proc/self/task/../root%s",
    ],
)
def test_no_link_of_procfs_leads_anywhere(box: Box, path: bytes) -> None:
    """They would be those of whoever resolves them."""
    wanted = path % box.path("granted/file")
    assert not box.inside(lambda: os.chmod(wanted, 0o600), metadata=True).worked
    assert stat.S_IMODE(os.stat(box.path("granted/file")).st_mode) == 0o644


@pytest.mark.parametrize("path", [b"/proc/self/oom_score_adj", b"/proc/self/comm", b"/proc/self", b"/proc"])
def test_nothing_on_procfs_is_changed(box: Box, path: bytes) -> None:
    refused = box.inside(lambda: os.chmod(path, 0o600), metadata=True)
    assert refused.errno == EPERM
    assert (
        box.inside(lambda: _descriptor(path, lambda file: call("fchmod", file, 0o600)), metadata=True).errno
        == EPERM
    )


def test_a_device_that_may_be_written_to_keeps_its_mode(box: Box) -> None:
    before = os.stat("/dev/null")
    for probe in (
        lambda: os.chmod("/dev/null", 0o600),
        lambda: _descriptor(b"/dev/null", lambda file: call("fchmod", file, 0o600), os.O_WRONLY),
        lambda: os.utime("/dev/null", (1, 1)),
    ):
        assert box.inside(probe, metadata=True).errno == EPERM
    after = os.stat("/dev/null")
    assert (before.st_mode, before.st_mtime_ns) == (after.st_mode, after.st_mtime_ns)


def test_the_descriptor_that_a_number_means_is_judged_and_not_its_number(box: Box) -> None:
    """Whatever is put in its place meanwhile: the directory, or the file itself."""
    path = box.path("outside/file")

    def probe() -> list[int]:
        granted, outside = os.open(box.path("granted"), os.O_PATH), os.open(box.path("outside"), os.O_PATH)
        shared = os.dup(granted)
        stopped = threading.Event()

        def swap() -> None:
            while not stopped.is_set():
                os.dup2(outside, shared)
                os.dup2(granted, shared)

        thread = threading.Thread(target=swap)
        thread.start()
        refused = worked = 0
        for number in range(20_000):
            if number >= 400 and worked and refused:
                break
            try:
                os.chmod("file", 0o601, dir_fd=shared)
                worked += 1
            except PermissionError:
                refused += 1
        stopped.set()
        thread.join()
        return [worked, refused]

    assert box.outside(lambda: os.chmod(path, 0o644)).worked
    outcome = box.inside(probe, metadata=True)
    assert isinstance(outcome.value, list), outcome
    assert sum(outcome.value) >= 400
    assert outcome.value[0], "the probe never asked for what is granted"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644


def test_a_path_that_is_rewritten_meanwhile_leads_to_one_file(box: Box) -> None:
    """What is judged is what is changed, however the string and the links in it change."""
    path = box.path("outside/file")
    os.mkdir(box.path("granted/turn"))
    os.chown(box.path("granted/turn"), box.uid, -1)
    link = box.path("granted/turn/link")

    def probe() -> list[int]:
        names = [box.path("granted/file"), path.ljust(len(box.path("granted/file")), b"\0"), link]
        text = ctypes.create_string_buffer(4_096)
        stopped = threading.Event()

        def swap() -> None:
            while not stopped.is_set():
                for name in names:
                    text.value = name
                for target in (names[0], path):
                    with contextlib.suppress(OSError):
                        os.symlink(target, link + b".new")
                        os.rename(link + b".new", link)

        os.symlink(names[0], link)
        thread = threading.Thread(target=swap)
        thread.start()
        counts = [0, 0]
        for number in range(20_000):
            if number >= 600 and all(counts):
                break
            result = libc.syscall(ctypes.c_long(NAMES["fchmodat"] or 0), AT_FDCWD, text, 0o601)
            counts[result != 0] += 1
        stopped.set()
        thread.join()
        return counts

    outcome = box.inside(probe, metadata=True)
    assert isinstance(outcome.value, list), outcome
    assert sum(outcome.value) >= 600
    assert outcome.value[0], "the probe never asked for what is granted"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644


def test_a_hard_link_is_the_file_that_it_is_of(box: Box) -> None:
    """A name in a grant was there before, or Landlock would not have let it be made: it may be written."""
    outside = box.path("outside/file")

    def link() -> None:
        os.link(outside, box.path("granted/linked"))

    assert box.inside(link, metadata=True).errno in (errno.EXDEV, errno.EACCES)
    box.outside(link)
    assert box.inside(lambda: os.chmod(outside, 0o604), metadata=True).errno == EPERM
    assert box.inside(lambda: os.chmod(box.path("granted/linked"), 0o604), metadata=True).worked


def test_a_descriptor_that_is_for_requests_alone_is_not_open_for_writing(box: Box) -> None:
    """Access mode 3 of open(2) needs no grant of Landlock's."""
    outside = box.path("outside/file")

    def change() -> None:
        descriptor = os.open(outside, os.O_ACCMODE)
        try:
            os.fchmod(descriptor, 0o604)
        finally:
            os.close(descriptor)

    box.assert_closed(change, EPERM, metadata=True)


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        (b"", errno.ENOENT),
        (b"x" * 4_095, errno.ENAMETOOLONG),
        (b"x/" * 3_000, errno.ENAMETOOLONG),
        (b"/not/there/at/all", errno.ENOENT),
        (b"/etc/passwd/x", errno.ENOTDIR),
    ],
)
def test_paths_that_lead_nowhere(box: Box, path: bytes, refusal: int) -> None:
    box.outside(lambda: None)
    assert box.outside(lambda: os.chmod(path, 0o600)).errno == refusal
    assert box.inside(lambda: os.chmod(path, 0o600), metadata=True).errno == refusal


def test_arguments_that_lie_nowhere(box: Box) -> None:
    def errors() -> list[int]:
        found = []
        for name, *arguments in (
            ("fchmodat", AT_FDCWD, 8, 0o600),
            ("fchmodat", AT_FDCWD, -1, 0o600),
            ("utimensat", AT_FDCWD, b"/", 16, 0),
            ("setxattr", b"/", 0, b"x", 1, 0),
            ("setxattr", b"/", b"user.a", 8, 4, 0),
            ("setxattr", b"/", b"user." + b"a" * 300, b"", 0, 0),
            ("setxattr", b"/", b"", b"", 0, 0),
            ("setxattr", b"/", b"user.a", b"", 1 << 40, 0),
            ("fchmod", -1, 0o600),
            ("fchmod", 12_345, 0o600),
            ("fchownat", AT_FDCWD, b"/", 0, 0, 0x40000000),
        ):
            try:
                call(name, *arguments)
                found.append(0)
            except OSError as error:
                found.append(error.errno or 0)
        return found

    wanted = [errno.EFAULT] * 5 + [errno.ERANGE] * 2 + [errno.E2BIG] + [errno.EBADF] * 2 + [errno.EINVAL]
    assert box.outside(errors).value == wanted
    assert box.inside(errors, metadata=True).value == wanted


# --- as whom ----------------------------------------------------------------------------------------


def test_a_path_that_may_not_be_passed_is_not_passed(box: Box) -> None:
    if box.uid == 0:
        pytest.skip("root passes everywhere")
    os.mkdir(box.path("granted/shut"), 0o700)
    box.write("granted/shut/file", b"x")
    os.chown(box.path("granted/shut"), 0 if os.geteuid() == 0 else box.uid, -1)
    os.chmod(box.path("granted/shut"), 0)
    path = box.path("granted/shut/file")
    assert box.inside(lambda: os.chmod(path, 0o600), metadata=True).errno == errno.EACCES
    os.chmod(box.path("granted/shut"), 0o700)


def test_a_file_of_somebody_else_stays_as_it_is(box: Box) -> None:
    if os.geteuid() != 0 or box.uid == 0:
        pytest.skip("needs root, and a probe that is not")
    path = box.path("granted/roots")
    with open(path, "wb"):
        os.chmod(path, 0o666)
    assert box.inside(lambda: os.chmod(path, 0o777), metadata=True).errno == EPERM
    assert box.inside(lambda: os.chown(path, box.uid, -1), metadata=True).errno == EPERM
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666


def test_root_that_became_another_user_does_no_more_than_that_user(box: Box) -> None:
    if box.uid != 0:
        pytest.skip("only root can become another user")
    mine = box.path("granted/file")
    other = box.write("granted/nobodys", b"x")
    os.chown(other, NOBODY, NOBODY)

    def probe() -> list[object]:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        said: list[object] = []
        changes: list[Callable[[], object]] = [
            lambda: os.chmod(mine, 0o600),
            lambda: os.chown(mine, NOBODY, NOBODY),
            lambda: os.utime(mine, (1, 1)),
            lambda: os.setxattr(mine, b"user.a", b"1"),
            lambda: os.chown(other, 0, 0),
            lambda: os.setxattr(other, b"security.capability", b"1"),
            lambda: os.setxattr(other, b"trusted.a", b"1"),
            lambda: os.chmod(other, 0o4711),
        ]
        for change in changes:
            try:
                change()
                said.append("done")
            except OSError as error:
                said.append(error.errno)
        return said

    outside, inside = box.outside(probe), box.inside(probe, metadata=True)
    assert inside.value == outside.value
    assert inside.value == [EPERM, EPERM, EPERM, errno.EACCES, EPERM, errno.EINVAL, EPERM, "done"]
    assert os.stat(mine).st_uid == 0


def test_root_has_no_more_capabilities_than_were_left_to_it(box: Box) -> None:
    if box.uid != 0:
        pytest.skip("only root has any")
    path = box.path("granted/file")

    def probe() -> None:
        os.setxattr(path, b"trusted.a", b"1")  # CAP_SYS_ADMIN

    outside = box.outside(probe)
    if not outside.worked:
        pytest.skip("this root, or this file system, has no such attributes")
    os.removexattr(path, b"trusted.a")
    assert box.inside(probe, metadata=True).errno == EPERM
    assert box.inside(lambda: os.chown(path, NOBODY, NOBODY), metadata=True).worked


def test_a_group_that_one_is_not_in_keeps_no_set_group_id_bit(box: Box) -> None:
    if os.geteuid() != 0 or box.uid == 0:
        pytest.skip("needs root to make such a file, and a probe that is not")
    path = box.write("granted/grouped", b"x")
    os.chown(path, box.uid, 0)

    def probe() -> int:
        os.chmod(path, 0o2755)
        return stat.S_IMODE(os.stat(path).st_mode)

    assert box.outside(probe).value == 0o755
    os.chmod(path, 0o644)
    assert box.inside(probe, metadata=True).value == 0o755


# --- what programs do ---------------------------------------------------------------------------------


def test_a_file_without_a_name_that_is_open_for_writing_can_be_changed(box: Box) -> None:
    def probe() -> list[int]:
        memory = os.memfd_create("x")
        os.fchmod(memory, 0o700)
        nameless = os.open(box.path("granted"), os.O_TMPFILE | os.O_RDWR, 0o600)
        os.fchmod(nameless, 0o640)
        return [stat.S_IMODE(os.fstat(file).st_mode) for file in (memory, nameless)]

    assert box.inside(probe, metadata=True).value == [0o700, 0o640]


def test_what_is_made_in_a_grant_can_be_changed(box: Box) -> None:
    def probe() -> list[object]:
        os.chdir(box.path("granted"))
        os.makedirs("a/b")
        os.close(os.open("a/b/c", os.O_CREAT | os.O_WRONLY, 0o600))
        os.chmod("a/b/c", 0o755)
        os.chmod("a", 0o750)
        os.utime("a/b", (5, 5))
        os.chmod(".", 0o755)
        return [stat.S_IMODE(os.stat("a/b/c").st_mode), os.stat("a/b").st_mtime]

    assert box.inside(probe, metadata=True).value == [0o755, 5.0]


def test_what_fails_in_the_monitor_ends_the_command(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(metadata_mediation.MetadataJudge, "serve", fail)
    ended = box.inside(lambda: os.chmod(box.path("granted/file"), 0o600), metadata=True)
    assert ended.signal == signal.SIGKILL
    assert stat.S_IMODE(os.stat(box.path("granted/file")).st_mode) == 0o644
