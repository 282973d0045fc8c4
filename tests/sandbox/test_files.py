"""Landlock: what lies outside the grants cannot be read, changed, made, removed or run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import mmap
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from runtime.capability.capabilities import Access, Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Box

DENIED = errno.EACCES


NR_FCNTL = {"x86_64": 72, "aarch64": 25}[os.uname().machine]


def read(path: bytes) -> str:
    descriptor = os.open(path, os.O_RDONLY)
    return os.read(descriptor, 100).decode()


def write(path: bytes, flags: int = 0) -> int:
    return os.write(os.open(path, os.O_WRONLY | flags), b"x")


def execute(path: bytes) -> int:
    return subprocess.run([path], check=True).returncode


def test_reading_outside_the_grants(box: Box) -> None:
    box.assert_closed(lambda: read(box.path("outside/file")), DENIED)


def test_listing_outside_the_grants(box: Box) -> None:
    box.assert_closed(lambda: os.listdir(box.path("outside")), DENIED)


def test_listing_the_directory_that_holds_the_grants(box: Box) -> None:
    box.assert_closed(lambda: os.listdir(box.home), DENIED)


REQUESTS_ALONE = os.O_ACCMODE  # open(2), "File access mode": neither reading nor writing


def test_a_descriptor_for_requests_alone_gives_nothing_of_the_content(box: Box) -> None:
    """Landlock asks for no grant where neither is asked for. SECURITY.md says what that leaves."""
    file, granted = box.path("outside/file"), box.path("granted/file")
    uses: dict[str, Callable[[int], object]] = {
        "read": lambda it: os.read(it, 1),
        "pread": lambda it: os.pread(it, 1, 0),
        "write": lambda it: os.write(it, b"x"),
        "truncate": lambda it: os.ftruncate(it, 0),
        "map": lambda it: mmap.mmap(it, 1, prot=mmap.PROT_READ),
        "send": lambda it: os.sendfile(os.open(granted, os.O_WRONLY), it, 0, 1),
        "copy": lambda it: os.copy_file_range(it, os.open(granted, os.O_WRONLY), 1, 0, 0),
        "overwrite": lambda it: os.copy_file_range(os.open(granted, os.O_RDONLY), it, 1, 0, 0),
        "lock a range": lambda it: fcntl.lockf(it, fcntl.LOCK_SH | fcntl.LOCK_NB),
        "open anew": lambda it: os.open(f"/proc/self/fd/{it}", os.O_RDONLY),
        "open beneath": lambda it: os.open("file", os.O_RDONLY, dir_fd=it),
        "execute": lambda it: os.execve(it, ["x"], {}),
    }

    def probe() -> list[str]:
        descriptor = os.open(file, REQUESTS_ALONE)
        worked = []
        for name, use in uses.items():
            with contextlib.suppress(OSError):
                use(descriptor)
                worked.append(name)
        return worked

    assert box.outside(probe).value == ["open anew"]
    assert box.inside(probe).value == []
    box.assert_closed(lambda: os.open(file, REQUESTS_ALONE | os.O_TRUNC), DENIED)


def test_a_device_that_is_opened_for_requests_alone_takes_none(box: Box) -> None:
    def probe() -> int:
        terminal = os.open("/dev/ptmx", REQUESTS_ALONE | os.O_NOCTTY)
        fcntl.ioctl(terminal, 0x40045431, bytes(4))  # TIOCSPTLCK: the other side can be opened
        return 0

    box.assert_closed(probe, DENIED)


@pytest.mark.parametrize("place", ["outside", "readable"])
def test_writing_without_a_write_grant(box: Box, place: str) -> None:
    box.assert_closed(lambda: write(box.path(f"{place}/file")), DENIED)


@pytest.mark.parametrize("place", ["outside", "readable"])
def test_truncating_by_path_without_a_write_grant(box: Box, place: str) -> None:
    box.assert_closed(lambda: os.truncate(box.path(f"{place}/file"), 0), DENIED)


@pytest.mark.parametrize("place", ["outside", "readable"])
def test_truncating_at_open_without_a_write_grant(box: Box, place: str) -> None:
    def probe() -> int:
        return os.open(box.path(f"{place}/file"), os.O_RDONLY | os.O_TRUNC)

    box.assert_closed(probe, DENIED)


@pytest.mark.parametrize("place", ["outside", "readable"])
def test_making_and_removing_without_a_write_grant(box: Box, place: str) -> None:
    def makes(name: str) -> bytes:
        return box.path(f"{place}/{name}-{os.getpid()}")

    box.assert_closed(lambda: os.open(makes("new"), os.O_WRONLY | os.O_CREAT), DENIED)
    box.assert_closed(lambda: os.mkdir(makes("directory")), DENIED)
    box.assert_closed(lambda: os.symlink("/", makes("link")), DENIED)
    box.assert_closed(lambda: os.mkfifo(makes("fifo")), DENIED)
    box.assert_closed(lambda: os.mknod(makes("socket"), stat.S_IFSOCK | 0o600), DENIED)
    box.assert_closed(lambda: os.open(box.path(place), os.O_TMPFILE | os.O_RDWR), DENIED)


@pytest.mark.parametrize("place", ["outside", "readable"])
def test_removing_without_a_write_grant(box: Box, place: str) -> None:
    def again() -> None:
        box.write(f"{place}/gone", b"")
        os.makedirs(box.path(f"{place}/gone-directory"), exist_ok=True)

    again()
    os.chown(box.path(f"{place}/gone-directory"), box.uid, -1)
    assert box.outside(lambda: os.unlink(box.path(f"{place}/gone"))).worked
    assert box.outside(lambda: os.rmdir(box.path(f"{place}/gone-directory"))).worked
    again()
    assert box.inside(lambda: os.unlink(box.path(f"{place}/gone"))).errno == DENIED
    assert box.inside(lambda: os.rmdir(box.path(f"{place}/gone-directory"))).errno == DENIED


def test_renaming_out_of_and_into_the_grants(box: Box) -> None:
    def there_and_back(origin: str, target: str) -> None:
        os.rename(box.path(origin), box.path(target))
        os.rename(box.path(target), box.path(origin))

    box.assert_closed(lambda: there_and_back("granted/file", "outside/moved"), errno.EACCES, errno.EXDEV)
    box.assert_closed(lambda: there_and_back("outside/file", "granted/moved"), errno.EACCES, errno.EXDEV)
    box.assert_closed(lambda: there_and_back("readable/file", "granted/moved"), errno.EACCES, errno.EXDEV)


def test_a_hard_link_brings_no_rights(box: Box) -> None:
    for place in ("outside", "readable"):

        def probe(place: str = place) -> None:
            link = box.path(f"granted/link-to-{place}")
            os.link(box.path(f"{place}/file"), link)
            os.unlink(link)

        box.assert_closed(probe, errno.EACCES, errno.EXDEV)


def test_a_write_only_grant_does_not_become_readable_by_renaming(box: Box) -> None:
    def probe() -> str:
        os.rename(box.path("writable/file"), box.path("granted/taken"))
        try:
            return read(box.path("granted/taken"))
        finally:
            os.rename(box.path("granted/taken"), box.path("writable/file"))

    box.assert_closed(probe, errno.EACCES, errno.EXDEV)


def test_a_symlink_inside_a_grant_leads_nowhere_new(box: Box) -> None:
    def probe() -> str:
        link = box.path(f"granted/link-{os.getpid()}")
        os.symlink(box.path("outside/file"), link)
        return read(link)

    box.assert_closed(probe, DENIED)


def test_dot_dot_and_proc_lead_nowhere_new(box: Box) -> None:
    box.assert_closed(lambda: read(box.path("granted/../outside/file")), DENIED)
    box.assert_closed(lambda: read(b"/proc/self/root" + box.path("outside/file")), DENIED)


def test_a_bare_path_descriptor_does_not_open_what_is_not_granted(box: Box) -> None:
    def probe() -> str:
        handle = os.open(box.path("outside/file"), os.O_PATH)
        return read(f"/proc/self/fd/{handle}".encode())

    box.assert_closed(probe, DENIED)


def test_executing_outside_the_grants(box: Box) -> None:
    with open("/bin/true", "rb") as program:
        content = program.read()
    for place in ("outside", "writable"):
        path = box.write(f"{place}/true", content, 0o755)
        box.assert_closed(functools.partial(execute, path), DENIED)


def test_children_of_children_inherit(box: Box) -> None:
    target = os.fsdecode(box.path("outside/file"))

    def probe() -> int:
        command = ["/bin/sh", "-c", f"sh -c 'cat {target}' || exit 13"]
        return subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        ).returncode

    assert box.outside(probe).value == 0
    assert box.inside(probe).value == 13


def test_device_nodes_cannot_be_made_even_where_writing_is_granted(root_box: Box) -> None:
    for kind, device in ((stat.S_IFCHR, os.makedev(1, 3)), (stat.S_IFBLK, os.makedev(7, 0))):

        def probe(kind: int = kind, device: int = device) -> None:
            name = root_box.path(f"granted/device-{os.getpid()}")
            os.mknod(name, kind | 0o600, device)
            os.unlink(name)

        root_box.assert_closed(probe, errno.EACCES, errno.EPERM)


def test_ioctl_on_devices_needs_a_write_grant_on_them(box: Box) -> None:
    import fcntl
    import pty
    import termios

    leader, terminal = pty.openpty()
    try:
        name = os.ttyname(terminal)
        os.chown(name, box.uid, -1)

        def probe() -> int:
            return len(fcntl.ioctl(os.open(name, os.O_RDWR | os.O_NOCTTY), termios.TCGETS, bytes(60)))

        box.assert_closed(probe, DENIED)
        path = os.fsencode(name)
        from runtime.capability.capabilities import USER, FileGrant

        grant = FileGrant(path, path, Access.READWRITE, directory=False, source=USER)
        assert box.inside(probe, more=(grant,)).worked
    finally:
        os.close(leader)
        os.close(terminal)


def test_what_is_granted_works(box: Box) -> None:
    def probe() -> list[str]:
        made = box.path("granted/made")
        os.mkdir(made)
        write(os.path.join(made, b"one"), os.O_CREAT)
        os.rename(os.path.join(made, b"one"), box.path("granted/two"))
        os.truncate(box.path("granted/two"), 0)
        os.link(box.path("granted/two"), os.path.join(made, b"three"))
        os.symlink("two", box.path("granted/four"))
        os.mkfifo(box.path("granted/five"))
        listed = sorted(os.listdir(os.fsdecode(box.path("granted"))))
        for name in ("made/three", "two", "four", "five"):
            os.unlink(box.path(f"granted/{name}"))
        os.rmdir(made)
        return listed

    box.assert_open(probe)


def test_a_read_grant_reads_and_a_write_grant_writes(box: Box) -> None:
    box.assert_open(lambda: read(box.path("readable/file")))
    box.assert_open(lambda: write(box.path("writable/file")))
    box.assert_closed(lambda: read(box.path("writable/file")), DENIED)


@pytest.mark.parametrize("wide", [0, 1 << 32], ids=["int", "upper half"])
def test_a_lease_for_writing(box: Box, raw_call: Callable[..., int], wide: int) -> None:
    """It takes a descriptor for reading, and holds up whoever opens the file, outside too, for 45 s."""

    def probe() -> int:
        descriptor = os.open(box.path("readable/file"), os.O_RDONLY)
        return raw_call(NR_FCNTL, descriptor, wide | fcntl.F_SETLEASE, wide | fcntl.F_WRLCK)

    box.assert_closed(probe, DENIED, network=Network.BLOCKED)
    box.assert_closed(probe, DENIED, network=Network.ALL)


@pytest.mark.parametrize("kind", [fcntl.F_RDLCK, fcntl.F_UNLCK])
def test_a_lease_for_reading_and_other_locks_stay(box: Box, kind: int) -> None:
    """With the one nono, which may be started inside, holds a program still; the others are only advice."""

    def probe() -> int:
        descriptor = os.open(box.path("readable/file"), os.O_RDONLY)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.lockf(os.open(box.path("granted/file"), os.O_RDWR), fcntl.LOCK_EX)
        return fcntl.fcntl(descriptor, fcntl.F_SETLEASE, kind)

    box.assert_open(probe)
