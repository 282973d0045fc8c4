"""A launch whose supervisor is gone is said to be lost by the next one; a living launch never is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Running, Site


def waiting(site: Site, name: str) -> Running:
    """Start a launch that goes on until the file ``name`` is removed."""
    script = f"touch {name}; while [ -e {name} ]; do sleep 0.02; done"
    launch = site.start("run", "--allow", site.project, "--", "/bin/sh", "-c", script)
    path: Path = site.project / name
    wait_for(path.exists, name)
    return launch


def lost(site: Site) -> list[tuple[str, str]]:
    return [
        (body["session"], body["data"]["found"]) for body in site.entries() if body["kind"] == "launch.lost"
    ]


def test_the_next_launch_says_that_one_was_lost_and_only_once(site: Site) -> None:
    site.tidy, site.verdict = False, 3
    launch = waiting(site, "busy")
    session = site.record().session
    launch.kill()
    for _ in range(2):
        assert site.run("--", "/bin/true").status == 0
    assert lost(site) == [(session, "process-gone")]
    verdict = site.verify()
    assert "1 lost, 0 unfinished" in verdict.stdout.decode()
    # It stands before the intent of the launch that found it, in the same commit.
    kinds = [body["kind"] for body in site.entries()]
    assert kinds[kinds.index("launch.lost") + 1] == "launch.intent"


def test_the_next_launch_removes_the_temporary_directory_of_one_that_was_lost(site: Site) -> None:
    site.verdict = 3
    launch = waiting(site, "busy")
    (left,) = site.temporary.iterdir()
    (left / "a" / "b").mkdir(parents=True)
    launch.kill()
    assert left.is_dir()
    ended = site.run("--", "/bin/true")
    assert (ended.status, list(site.temporary.iterdir())) == (0, [])


@pytest.mark.parametrize("kind", ["link", "open to others", "file"])
def test_what_is_not_that_directory_any_more_is_left_alone(site: Site, kind: str) -> None:
    site.tidy, site.verdict = False, 3
    launch = waiting(site, "busy")
    (left,) = site.temporary.iterdir()
    launch.kill()
    precious = site.base / "precious"
    precious.mkdir(0o700)
    (precious / "file").touch()
    left.rename(site.base / "moved")
    if kind == "link":
        left.symlink_to(precious)
    elif kind == "file":
        left.write_text("precious")
    else:
        left.mkdir(0o755)
        left.chmod(0o755)
    assert site.run("--", "/bin/true").status == 0
    assert os.path.lexists(left)
    assert (precious / "file").exists()


def test_a_living_launch_keeps_its_directory(site: Site) -> None:
    launch = waiting(site, "busy")
    (own,) = site.temporary.iterdir()
    assert site.run("--", "/bin/true").status == 0
    assert own.is_dir()
    os.unlink(site.project / "busy")
    assert launch.wait().status == 0


def test_a_living_launch_is_never_said_to_be_lost(site: Site) -> None:
    launch = waiting(site, "busy")
    for _ in range(3):
        assert site.run("--", "/bin/true").status == 0
    assert lost(site) == []
    os.unlink(site.project / "busy")
    assert launch.wait().status == 0
    assert site.run("--", "/bin/true").status == 0
    assert lost(site) == []


def test_launches_side_by_side_say_it_once(site: Site) -> None:
    site.tidy, site.verdict = False, 3
    sessions = []
    for name in ("one", "two"):
        launch = waiting(site, name)
        sessions.append(site.record().session)
        launch.kill()
    together = [site.start("run", "--", "/bin/true") for _ in range(6)]
    assert [launch.wait().status for launch in together] == [0] * 6
    # The second one was itself the next launch for the first.
    assert sorted(lost(site)) == sorted((session, "process-gone") for session in sessions)
