"""What is mounted, read from mountinfo as systems of many kinds have it, and what a grant there opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.capability.capabilities import USER, Access
from runtime.capability.grant_request import GrantRequest
from runtime.capability.protected import Guard, Untouchable
from runtime.errors import GrantError
from runtime.kernel.mounts import Mounts

if TYPE_CHECKING:
    from collections.abc import Callable

HOME = b"/home/u"


def mounts(*lines: str) -> Mounts:
    """Return mounts; each line is ``device root at kind source options``."""
    text = ""
    for number, line in enumerate(lines):
        device, root, at, kind, source, options = [*line.split(" "), "none", "rw"][:6]
        text += f"{number + 20} 1 {device} {root} {at} rw,relatime shared:1 - {kind} {source} {options}\n"
    return Mounts(text.encode())


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Judge a grant on a machine that has these mounts."""

    def judge(there: Mounts, path: bytes, access: Access = Access.READ) -> bool:
        monkeypatch.setattr(Mounts, "read", lambda: there)
        guard = Guard(Untouchable((HOME + b"/.config/nono",)), home_directories=[HOME])
        try:
            guard.judge(GrantRequest(access, path, True, USER), path, path=path)
        except GrantError:
            return True
        return False

    return judge


def test_this_machine_is_understood() -> None:
    here = Mounts.read()
    proc = here.holding(b"/proc/self")
    assert proc is not None
    assert (proc.at, proc.kind, proc.root) == (b"/proc", b"proc", b"/")


def test_the_mount_that_a_path_lies_on_is_the_nearest_and_of_two_the_later() -> None:
    there = mounts("8:1 / / ext4", "8:2 / /srv ext4", "8:3 /x /srv ext4", "8:4 / /srvice ext4")
    assert [found.device for path in (b"/", b"/srv/a", b"/srvices") if (found := there.holding(path))] == [
        b"8:1", b"8:3", b"8:1",
    ]  # fmt: skip
    assert [mount.device for mount in there.beneath(b"/srv")] == []
    assert [mount.device for mount in there.beneath(b"/")] == [b"8:2", b"8:3", b"8:4"]


def test_in_a_chroot_the_root_is_no_mount(refused: Callable[..., bool]) -> None:
    there = mounts("0:5 / /proc proc", "8:1 /chroot/srv /srv/in ext4")
    assert there.holding(b"/home") is None
    assert not refused(there, b"/srv", Access.READWRITE)


def test_escapes() -> None:
    there = mounts(r"8:1 /a\040b /c\134d\012 ext4")
    (mount,) = there.beneath(b"/")
    assert (mount.root, mount.at) == (b"/a b", b"/c\\d\n")
    assert mount.inner(b"/c\\d\n/e") == b"/a b/e"
    assert [mount.at for mount in mounts("8:1 / /a\rb ext4").beneath(b"/")] == [b"/a\rb"]


def test_the_directories_of_an_overlay() -> None:
    options = r"rw,lowerdir=/a\134:b:/c\040d:relative,upperdir=/up,workdir=/w"
    (mount,) = mounts(f"0:9 / /m overlay overlay {options}").beneath(b"/")
    assert list(mount.layers()) == [(b"/a:b", False), (b"/c d", False), (b"/up", True)]


def test_btrfs_as_a_whole_shows_the_home_that_is_a_part_of_it(refused: Callable[..., bool]) -> None:
    there = mounts("0:25 /@ / btrfs", "0:25 /@home /home btrfs", "0:25 / /mnt/whole btrfs")
    for path in (b"/mnt/whole", b"/mnt", b"/mnt/whole/@home", b"/mnt/whole/@home/u"):
        assert refused(there, path)
    for path in (b"/mnt/whole/@home/u/src", b"/mnt/whole/@", b"/mnt/whole/@snapshots"):
        assert not refused(there, path)


def test_the_root_without_the_home_holds_no_secret(refused: Callable[..., bool]) -> None:
    there = mounts("8:1 / / ext4", "8:2 / /home ext4", "8:1 / /mnt/root ext4")
    assert not refused(there, b"/mnt")
    assert refused(there, b"/mnt", Access.READWRITE)  # but it holds what nono itself runs
    assert refused(mounts("8:1 / / ext4", "8:1 / /mnt/root ext4"), b"/mnt")


def test_nfs_is_told_by_its_source(refused: Callable[..., bool]) -> None:
    there = mounts(
        "8:1 / / ext4", "0:40 / /home/u nfs4 files:/export/home/u", "0:40 / /srv/data nfs4 files:/export/data"
    )
    assert not refused(there, b"/srv")
    assert refused(
        mounts("8:1 / / ext4", "0:40 / /home nfs4 files:/e", "0:40 / /srv/u nfs4 files:/e/u"), b"/srv"
    )


def test_volumes_of_a_container(refused: Callable[..., bool]) -> None:
    there = mounts(
        "0:50 / / overlay overlay rw,lowerdir=/home/u/.config/nono:/x,upperdir=/home/u",
        "8:1 /var/lib/docker/c/hosts /etc/hosts ext4",
        "8:1 /work /__w ext4",
        "8:1 /work/_temp/_home /home/u ext4",
    )
    assert refused(there, b"/__w")
    assert not refused(there, b"/__w/project", Access.READWRITE)
    assert not refused(there, b"/srv", Access.READWRITE)


@pytest.mark.parametrize("kind", ["cgroup2", "tracefs", "sysfs", "proc"])
def test_kernel_file_systems_can_be_read_at_most(refused: Callable[..., bool], kind: str) -> None:
    there = mounts("8:1 / / ext4", f"0:77 / /srv/k {kind}")
    assert not refused(there, b"/srv")
    assert refused(there, b"/srv", Access.WRITE)
    assert refused(there, b"/srv/k/x", Access.READWRITE)


@pytest.mark.parametrize("kind", ["devtmpfs", "devpts"])
def test_disks_and_terminals_cannot(refused: Callable[..., bool], kind: str) -> None:
    assert refused(mounts("8:1 / / ext4", f"0:6 / /srv/dev {kind}"), b"/srv")
