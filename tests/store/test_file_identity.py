"""Which file a name stands for: what stat(2) says of it, and nothing that a write would have to note."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from store import file_identity

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["file", "directory", "link", "dangling", "fifo", "odd\n\udcff"])
def test_a_path_is_what_stat_says_it_is(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    if name == "directory":
        place.mkdir()
    elif name in ("link", "dangling"):
        target = tmp_path / "target"
        if name == "link":
            target.touch()
        place.symlink_to(target)
    elif name == "fifo":
        os.mkfifo(place)
    else:
        place.touch()
    status = place.lstat()
    assert file_identity.identity_at(os.fsencode(place)) == (status.st_dev, status.st_ino)


@pytest.mark.parametrize("path", ["/proc/self", "/sys/kernel", "/dev/null", "/tmp", "/"])
def test_other_file_systems_have_devices_of_their_own(path: str) -> None:
    status = os.lstat(path)
    assert file_identity.identity_at(path.encode()) == (status.st_dev, status.st_ino)


def test_a_descriptor_is_what_stat_says_it_is(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    os.link(place, tmp_path / "second")
    for flags in (os.O_RDONLY, os.O_PATH):
        descriptor = os.open(place, flags)
        status = os.fstat(descriptor)
        assert file_identity.identity_of(descriptor) == (status.st_dev, status.st_ino)
        assert file_identity.links_of(descriptor) == status.st_nlink == 2
        os.close(descriptor)


def test_what_was_removed_has_no_name(tmp_path: Path) -> None:
    place = tmp_path / "file"
    with place.open("w") as file:
        before = file_identity.identity_of(file.fileno())
        place.unlink()
        assert file_identity.links_of(file.fileno()) == 0
        assert file_identity.identity_of(file.fileno()) == before


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("missing", FileNotFoundError),
        ("file/below", NotADirectoryError),
        ("loop/below", OSError),
        ("n" * 300, OSError),
        ("", FileNotFoundError),
    ],
)
def test_what_cannot_be_looked_at_is_the_error_of_stat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, error: type[OSError]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(error) as said:
        os.lstat(path)
    with pytest.raises(error) as found:
        file_identity.identity_at(path.encode())
    assert (type(found.value), found.value.errno) == (type(said.value), said.value.errno)


def test_a_descriptor_that_is_not_open() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        file_identity.links_of(987_654)


APPENDING = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from attest import entry
from attest.keys import SigningKey
from runtime.capability.session import new_session_id
from store import Draft, Ledger
place = os.getcwdb()
named = {{"name": "here", "tool_version": "1", "state": place + b"/s"}}
ledger = Ledger.create(place + b"/l.db", SigningKey.generate(), **named)
data = {{"by": "kernel", "reason": "r", "verdict": "denied", "what": "file", "subject": "/"}}
draft = Draft(entry.DECISION, new_session_id(), 1, data)
ledger.append([draft])
os.write(1, b"begin")
for _ in range(5): ledger.append([draft])
os.write(1, b"end")
"""


def test_an_append_asks_nobody_for_times(tmp_path: Path) -> None:
    """Seen from outside: no call of the family of stat(2), which would ask for them."""
    trace = tmp_path / "trace"
    command = [sys.executable, "-I", "-c", APPENDING]
    subprocess.run(
        ["strace", "-o", trace, *command], cwd=tmp_path, check=True, capture_output=True, timeout=120
    )
    calls = trace.read_text().partition('"begin"')[2].partition('"end"')[0]
    assert calls.count("fdatasync(") == 5
    assert calls.count("statx(") >= 10
    assert "STATX_BASIC_STATS" not in calls
    assert not [
        line for line in calls.splitlines() if line.startswith(("newfstatat(", "fstat(", "lstat(", "stat("))
    ]
