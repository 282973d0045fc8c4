"""Whatever nono makes for itself is this user's alone, whatever the umask says, and so are its parents."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime.secrets import host_key_rotation, key_files
from store.index.index_file import IndexFile
from store.open_sessions import OpenSessions, Supervisor
from verify import trust

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE = f"""\
import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from runtime.cli import main; sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "deep" / name.lower()))
    before = os.umask(0)
    try:
        yield tmp_path
    finally:
        os.umask(before)


def check(base: Path) -> int:
    """See that nobody else can write to anything, or look into a directory, and return how many there are."""
    made = list(base.rglob("*"))
    for path in made:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode & (0o077 if path.is_dir() else 0o022) == 0, (path, oct(mode))
    return len(made)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--silent", "--", "/bin/true"],
        ["keygen"],
        ["keygen", "--out", "new/ci.pem"],
        ["doctor"],
        ["ledger", "init"],
        ["ledger", "info", "--ledger", "first.db"],
    ],
    ids=lambda arguments: "-".join(arguments[:2]),
)
def test_a_command_makes_private_directories(base: Path, arguments: list[str]) -> None:
    def nono(*words: str) -> int:
        return subprocess.run(
            [sys.executable, "-I", "-c", CODE, *words], cwd=base, stdin=subprocess.DEVNULL, check=False
        ).returncode

    if "first.db" in arguments:
        key_files.generate(os.fsencode(base / "ci.pem"))
        assert nono("ledger", "init", "--ledger", "first.db", "--audit-sign-key", "ci.pem") == 0
    assert nono(*arguments) in ((0, 1) if arguments == ["doctor"] else (0,))
    assert check(base) >= 3


def test_so_does_what_is_called_alone(base: Path) -> None:
    key = key_files.generate(os.fsencode(base / "ci.pem"))
    key_files.trust(key.public, os.fsencode(base / "first" / "nono"))
    with host_key_rotation.lock(os.fsencode(base / "second" / "nono")):
        pass
    trust.add(str(base / "ci.pub"), {"XDG_CONFIG_HOME": str(base / "third")})
    assert len(trust.load({"XDG_CONFIG_HOME": str(base / "third")})) == 1
    IndexFile(os.fsencode(base / "fourth" / "nono" / "index.db")).close()
    sessions = OpenSessions(os.fsencode(base / "fifth" / "nono"), "host/" + "0" * 32)
    sessions.enter("0" * 32, 1, Supervisor("boot", "4026531836", 1, 1))
    sessions.leave(closed=True)
    assert check(base) > 15
