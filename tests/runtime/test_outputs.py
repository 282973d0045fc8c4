"""Declared outputs: judged by what they are when the command has ended, within bounds."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from runtime.errors import UsageError
from runtime.policy.request import MAX_OUTPUTS, MAX_OUTPUTS_BYTES, LaunchRequest
from runtime.processes import outputs

if TYPE_CHECKING:
    from pathlib import Path

    from attest.canonical import Json


def hashed(paths: list[bytes]) -> list[Json]:
    """Hash outputs that nobody moved since they were declared."""
    return outputs.hash_outputs(paths, outputs.places(paths))


def said(path: Path) -> dict[str, Json]:
    (found,) = hashed([os.fsencode(path)])
    assert isinstance(found, dict)
    assert found.pop("path") == str(path)
    return found


def declared(paths: list[bytes], workdir: bytes = b"/") -> tuple[bytes, ...]:
    request = LaunchRequest(command=(b"true",), variables={}, outputs=tuple(paths))
    return request.declared_outputs(workdir)


def test_paths_become_absolute_by_their_text() -> None:
    paths = [b"a", b"d/../b", b"/c/./d/", b"\xff"]
    assert declared(paths, b"/work") == (b"/work/a", b"/work/b", b"/c/d", b"/work/\xff")


@pytest.mark.parametrize("path", [b"", b"a\0b"])
def test_no_path_is_refused(path: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        declared([path])
    assert caught.value.code == "usage.output"


def test_the_number_and_the_length_of_paths_are_bounded() -> None:
    declared([b"a"] * MAX_OUTPUTS)
    with pytest.raises(UsageError):
        declared([b"a"] * (MAX_OUTPUTS + 1))
    declared([b"x" * (MAX_OUTPUTS_BYTES - 1)])
    with pytest.raises(UsageError):
        declared([b"x" * MAX_OUTPUTS_BYTES])


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20])
def test_a_regular_file_is_hashed_whole(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert said(tmp_path / "file") == {"sha256": hashlib.sha256(content).hexdigest(), "size": size}


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    previous = os.getcwd()
    os.chdir(tmp_path)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
            for name in ("directory", "fifo", "link", "loop", "socket"):
                assert said(tmp_path / name) == {"unhashed": "not-regular"}, name
    finally:
        os.chdir(previous)
    assert said(tmp_path / "missing") == {"unhashed": "missing"}
    (null,) = hashed([b"/dev/null"])
    assert null == {"path": "/dev/null", "unhashed": "not-regular"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0)
    assert said(tmp_path / "file") == {"unhashed": "unreadable"}


def test_a_fifo_with_a_writer_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    holder = os.open(tmp_path / "fifo", os.O_RDWR)
    os.write(holder, b"content")
    assert said(tmp_path / "fifo") == {"unhashed": "not-regular"}
    assert os.read(holder, 100) == b"content"
    os.close(holder)


def test_the_number_of_bytes_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "_MAX_BYTES", 4 << 20)
    with open(tmp_path / "file", "wb") as file:
        file.truncate(4 << 20)
    assert "sha256" in said(tmp_path / "file")
    with open(tmp_path / "file", "ab") as file:
        file.truncate((4 << 20) + 1)
    assert said(tmp_path / "file") == {"unhashed": "too-large"}


def test_the_number_of_bytes_is_bounded_where_no_size_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a file that grows while it is read: the kernel says 0 of what it makes as it is read."""
    monkeypatch.setattr(outputs, "_MAX_BYTES", 64)
    assert os.stat("/proc/cpuinfo").st_size == 0
    (cpuinfo,) = hashed([b"/proc/cpuinfo"])
    assert cpuinfo == {"path": "/proc/cpuinfo", "unhashed": "too-large"}


def test_the_time_for_all_of_them_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "_SECONDS", 0.3)
    monkeypatch.setattr(outputs, "_MAX_BYTES", 1 << 43)
    with open(tmp_path / "giant", "wb") as file:
        file.truncate(1 << 42)
    (tmp_path / "small").write_bytes(b"x")
    began = time.monotonic()
    paths = [os.fsencode(tmp_path / name) for name in ("small", "giant", "small")]
    found = hashed(paths)
    assert time.monotonic() - began < 5
    assert [sorted(each) for each in found if isinstance(each, dict)] == [
        ["path", "sha256", "size"],
        ["path", "unhashed"],
        ["path", "unhashed"],
    ]
    assert [each.get("unhashed") for each in found if isinstance(each, dict)] == [
        None,
        "too-slow",
        "too-slow",
    ]


def test_a_file_that_changes_while_it_is_read_has_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with open(path, "wb") as file:
        file.truncate(512 << 20)
    stop = threading.Event()

    def write() -> None:
        with open(path, "r+b", buffering=0) as file:
            while not stop.is_set():
                file.seek(0)
                file.write(b"x")
                time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        time.sleep(0.05)
        found = said_in_fork(path)
    finally:
        stop.set()
        writer.join()
    assert found == {"unhashed": "changed"}


def said_in_fork(path: Path) -> dict[str, Json]:
    """As in a process that has other threads: the one that reads is forked, and only calls the kernel."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, since Python 3.12
        return said(path)


def state_of_process() -> tuple[list[str], str]:
    with open(f"/proc/self/task/{threading.get_native_id()}/children", encoding="ascii") as file:
        return sorted(os.listdir("/proc/self/fd")), file.read()


def test_nothing_is_left_of_the_reading_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    before = state_of_process()
    said(tmp_path / "file")
    assert state_of_process() == before


def test_without_outputs_no_process_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fork() -> int:
        raise AssertionError

    monkeypatch.setattr(os, "fork", no_fork)
    assert hashed([]) == []


def test_a_file_to_which_the_command_itself_leads_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "id").write_text("somebody else's")
    path = os.fsencode(tmp_path / "out" / "id")
    expected = outputs.places([path])
    (tmp_path / "out").symlink_to("other")
    assert outputs.hash_outputs([path], expected) == [{"path": os.fsdecode(path), "unhashed": "changed"}]
    # A link that was there before the command is the user's own.
    assert "sha256" in str(hashed([path]))
