"""A ledger does not grow where several machines write: a real network file system, and its type."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from store import LedgerError
from store.network_file_systems import file_system_type, is_network, require_local
from tests.store.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SFTP_SERVER = "/usr/lib/openssh/sftp-server"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory that sshfs shows a second time, through the SFTP protocol and a server's process."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    behind, mounted = tmp_path / "behind", tmp_path / "mounted"
    behind.mkdir()
    mounted.mkdir()
    server = subprocess.Popen([SFTP_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    # In the foreground, its two streams crossed with the server's.
    client = subprocess.Popen(
        ["sshfs", "-f", "-o", "passive", f":{behind}", str(mounted)],
        stdin=server.stdout,
        stdout=server.stdin,
        stderr=subprocess.PIPE,
    )
    try:
        for _ in range(200):
            if os.path.ismount(mounted):
                break
            assert client.poll() is None, client.stderr and client.stderr.read()
            time.sleep(0.05)
        assert os.path.ismount(mounted)
        yield mounted
    finally:
        subprocess.run(["umount", "--lazy", str(mounted)], check=False)
        for process in (client, server):
            process.kill()
            process.communicate()


def test_none_is_founded_on_a_network_file_system(shared: Path) -> None:
    assert file_system_type(os.fsencode(shared)) == b"fuse.sshfs"
    with pytest.raises(LedgerError) as caught:
        Place(shared).found()
    assert (caught.value.code, os.listdir(shared)) == ("ledger.network", [])
    assert "fuse.sshfs" in str(caught.value)
    assert caught.value.hint


def test_none_is_extended_on_a_network_file_system(shared: Path) -> None:
    local = Place(shared.parent / "behind")
    local.found(2).close()
    before = local.head()
    with pytest.raises(LedgerError) as caught:
        Place(shared, local.key).open()
    assert caught.value.code == "ledger.network"
    assert local.head() == before
    local.open().close()


def test_the_type_is_that_of_the_nearest_mount() -> None:
    assert file_system_type(b"/proc/self") == b"proc"
    assert file_system_type(b"/sys") == b"sysfs"
    assert file_system_type(b"/nowhere/at/all") is None


def test_a_local_directory_is_none_of_them(tmp_path: Path) -> None:
    kind = file_system_type(os.fsencode(tmp_path))
    assert kind
    assert not is_network(kind)
    require_local(os.fsencode(tmp_path), b"/l.db")


@pytest.mark.parametrize(
    ("kind", "network"),
    [
        (b"nfs4", True),
        (b"cifs", True),
        (b"9p", True),
        (b"fuse.rclone", True),
        (b"fuse.ceph-fuse", True),
        (b"ext4", False),
        (b"overlay", False),
        (b"btrfs", False),
        (b"tmpfs", False),
        (b"fuse", False),
        (b"fuseblk", False),
        (b"fuse.gocryptfs", False),
        (b"nfs.sshfs", False),
        (b"", False),
    ],
)
def test_which_types_are_shared(kind: bytes, network: bool) -> None:
    assert is_network(kind) is network
