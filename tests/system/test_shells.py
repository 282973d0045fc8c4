"""Shells in the sandbox: they do what shells do, and what the user has them run at their start is not run."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pexpect
import pytest

from tests.system.conftest import NONO, missing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Site

SHELLS = ["sh", "bash", "dash", "zsh"]

# What all of them understand. It ends with 42.
WORK = """\
set -e
mkdir dir; cd dir
printf '%s\\n' b a c | sort > sorted
cat <<END >> sorted
$(echo here-document | tr a-z A-Z)
END
double() { echo $(( $1 * 2 )); }
for number in 1 2 3; do double $number; done > doubled
( sleep 0.01; echo background > background ) & wait $!
trap 'echo trapped >> ../said' EXIT
echo x > "$TMPDIR/scratch" && test -s "$TMPDIR/scratch"
(exit 3) || echo "status $?" > status
trap 'echo caught > caught' TERM; kill -TERM $$
no-such-command 2>/dev/null || echo "missing $?" >> status
(echo x > "$BESIDE/made") 2>/dev/null && echo leaked
cat "$HOME/.ssh/id" 2>/dev/null || :
ln -s "$HOME/.ssh/id" link && cat link 2>/dev/null || :
cat sorted doubled background status caught
exit 42
"""
DONE = ["a", "b", "c", "HERE-DOCUMENT", "2", "4", "6", "background"]
DONE += ["status", "3", "missing", "127", "caught"]


def shell(name: str) -> str:
    found = shutil.which(name, path="/usr/bin:/bin")
    if found is None:
        missing(f"there is no {name} in /usr/bin")
    return found


@pytest.fixture
def startup(site: Site) -> Path:
    """Leave what each shell runs when it starts; return the file that says that it was run."""
    ran = site.project / "ran"
    for name in (".bashrc", ".profile", ".bash_profile", ".zshenv", ".zshrc", ".zprofile"):
        (site.home / name).write_text(f"echo {name} >> {ran}\n")
    return ran


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_does_its_work_confined(site: Site, name: str, startup: Path) -> None:
    """From a string, from a file, and from standard input, with the same end each time."""
    path = shell(name)
    beside = site.base / "beside"
    beside.mkdir()
    (site.home / ".ssh").mkdir()
    (site.home / ".ssh" / "id").write_text("secret\n")
    work = f"BESIDE={beside}\n{WORK}"
    file = site.file("work", work)
    for arguments, stdin in (
        ((path, "-c", work), None),
        ((path, file), None),
        ((path, "-s"), work.encode()),
        ((path, "-l", "-c", work), None),
    ):
        ended = site.run("--allow", ".", "--", *arguments, stdin=stdin)
        assert (ended.status, ended.stdout.decode().split()) == (42, DONE), ended.stderr
        assert (site.project / "said").read_text() == "trapped\n"
        assert list(beside.iterdir()) == []
        shutil.rmtree(site.project / "dir")
        (site.project / "said").unlink()
    assert not startup.exists()
    done = subprocess.run(
        [path, "-c", work],
        env={**site.environment, "TMPDIR": str(site.project), "TMPPREFIX": f"{site.project}/zsh"},
        cwd=site.project,
        check=False,
        capture_output=True,
    )
    outside = done.stdout.decode().split()
    assert (done.returncode, outside[:3], outside[3:]) == (42, ["leaked", "secret", "secret"], DONE)


@pytest.mark.parametrize("name", SHELLS)
def test_what_a_shell_ends_with_is_what_nono_ends_with(site: Site, name: str) -> None:
    path = shell(name)
    for script, status in (
        ("exit 0", 0), ("exit 1", 1), ("no-such-command 2>/dev/null", 127), ("/usr 2>/dev/null", 126),
        ("kill -KILL $$", 137), ("kill -TERM $$", 143), ("false | true", 0), ("exit 255", 255),
    ):  # fmt: skip
        assert site.run("-s", "--", path, "-c", script).status == status, script


@pytest.mark.parametrize("name", [*SHELLS, "fish"])
def test_a_shell_at_the_terminal(site: Site, name: str, startup: Path) -> None:
    """It can be typed to, has its job control, reads nothing of the home, and leaves no history there."""
    path = shell(name)
    with pexpect.spawn(
        str(NONO), ["run", "--allow", ".", "--", path, "-i"],
        env={**site.environment, "TERM": "dumb"}, cwd=str(site.project), timeout=30, use_poll=True,
    ) as terminal:  # fmt: skip
        terminal.sendline("sleep 600 &")
        terminal.sendline("kill %1; echo $(expr 6 '*' 7)x")
        terminal.expect("42x")
        terminal.sendline("exit 5")
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == 5
        assert b"/etc/" not in terminal.before
    assert not startup.exists()
    assert not list(site.home.glob(".*hist*"))
    assert site.record().outcome["exit"] == 5
