"""The private temporary directory: made for one user, removed whatever is in it."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path

import pytest

from runtime.launcher import private_directory


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(private_directory, "_SECONDS", 120.0)  # however busy the machine is
    return tmp_path


def test_it_is_new_private_and_where_tmpdir_says(base: Path) -> None:
    paths = {private_directory.create() for _ in range(5)}
    assert len(paths) == 5
    for path in paths:
        assert os.path.dirname(path) == os.fsencode(base)
        status = os.lstat(path)
        assert stat.S_IMODE(status.st_mode) == 0o700
        assert status.st_uid == os.geteuid()
        assert private_directory.remove(path)
    assert list(base.iterdir()) == []


def test_its_path_is_canonical(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "real").mkdir()
    (base / "link").symlink_to("real")
    monkeypatch.setenv("TMPDIR", f"{base}/link/../link")
    path = private_directory.create()
    assert os.path.dirname(path) == os.fsencode(base / "real")
    assert private_directory.remove(path)


@pytest.mark.parametrize("value", ["", "relative", "/no/such/directory", "/etc/passwd"])
def test_without_a_usable_tmpdir_it_lies_in_tmp(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", value)
    path = private_directory.create()
    assert os.path.dirname(path) == os.path.realpath(b"/tmp")
    assert private_directory.remove(path)


def test_a_directory_that_cannot_be_made_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/proc/self")
    with pytest.raises(OSError, match=r"/proc/"):
        private_directory.create()


def tree(top: Path) -> None:
    """Everything that a directory can hold, with the modes taken away."""
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").write_text("x")
    (top / "a" / "b" / "file").chmod(0)
    (top / "empty").mkdir()
    (top / "link").symlink_to("a")
    (top / "outside").symlink_to(top.parent)
    (top / "loop").symlink_to("loop")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        previous = os.getcwd()
        os.chdir(top)  # the names of sockets are short
        listener.bind("socket")
        os.chdir(previous)
    for path in (top / "a" / "b", top / "a", top / "empty", top):
        path.chmod(0)


def test_everything_is_removed_and_nothing_outside(base: Path) -> None:
    (base / "kept").write_text("kept")
    path = private_directory.create()
    tree(Path(os.fsdecode(path)))
    assert private_directory.remove(path)
    assert [child.name for child in base.iterdir()] == ["kept"]
    assert (base / "kept").read_text() == "kept"


def test_any_depth_is_removed_with_few_descriptors(base: Path) -> None:
    path = private_directory.create()
    handle = os.open(path, os.O_RDONLY)
    for _ in range(2_000):
        for name in ("side", "d"):
            os.mkdir(name, dir_fd=handle)
        below = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)
    before = len(os.listdir("/proc/self/fd"))
    assert private_directory.remove(path)
    assert len(os.listdir("/proc/self/fd")) == before
    assert list(base.iterdir()) == []


def test_any_width_is_removed(base: Path) -> None:
    path = private_directory.create()
    for number in range(10_000):
        os.close(os.open(path + b"/%d" % number, os.O_WRONLY | os.O_CREAT))
    assert private_directory.remove(path)
    assert list(base.iterdir()) == []


def test_time_is_a_bound(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = private_directory.create()
    (Path(os.fsdecode(path)) / "file").touch()
    monkeypatch.setattr(private_directory, "_SECONDS", -1.0)
    began = time.monotonic()
    assert not private_directory.remove(path)
    assert time.monotonic() - began < 5
    monkeypatch.setattr(private_directory, "_SECONDS", 120.0)
    assert private_directory.remove(path)


def test_a_link_in_its_place_is_not_followed(base: Path) -> None:
    (base / "kept").mkdir()
    (base / "kept" / "file").touch()
    path = private_directory.create()
    os.rmdir(path)
    os.symlink(base / "kept", path)
    assert not private_directory.remove(path)
    assert (base / "kept" / "file").exists()


def test_one_that_is_gone_cannot_be_removed(base: Path) -> None:
    path = private_directory.create()
    os.rmdir(path)
    assert not private_directory.remove(path)
    assert not private_directory.remove(b"/no/such/directory/at/all")
