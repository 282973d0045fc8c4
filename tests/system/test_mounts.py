"""A mount inside a granted directory: what it shows is opened as well, so it is judged as well."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import IS_ROOT, NONO

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.system.conftest import Argument, Ended, Site

UNSHARE = ["unshare", "--mount", *([] if IS_ROOT else ["--user", "--map-root-user"])]
READ_KEY = "cat {}/nono/keys/default.pem"


class Place:
    """A directory to be granted, ``served``, with an empty one in it for something to be mounted on."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.served = site.base / "served"
        self.inside = self.served / "in"
        self.inside.mkdir(parents=True)
        assert site.run("--", "/bin/true").status == 0  # makes key and ledger

    def program(self, mounts: str) -> list[Argument]:
        """Return what runs its arguments where ``mounts`` was done; the machine itself sees none of it."""
        return [*UNSHARE, "sh", "-ec", f'{mounts}\nexec "$@"', "sh"]

    def require(self, mounts: str) -> None:
        """Skip where ``mounts`` cannot be done."""
        done = subprocess.run(
            [*self.program(mounts), "true"], capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode != 0:
            if os.environ.get("CI") == "true" and IS_ROOT:
                pytest.fail(f"must work here: {done.stderr}")
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")

    def outside(self, mounts: str, script: str) -> subprocess.CompletedProcess[bytes]:
        """Run a shell script there without nono."""
        command = [*self.program(mounts), "sh", "-c", script]
        return subprocess.run(
            command, env=self.site.environment, cwd="/", capture_output=True, check=False, timeout=60
        )

    def inside_sandbox(self, mounts: str, script: str, *flags: Argument) -> Ended:
        """Run it there in the sandbox."""
        return self.site.shell(script, *flags, program=[*self.program(mounts), NONO])


@pytest.fixture
def place(site: Site) -> Place:
    return Place(site)


def q(path: Path) -> str:
    return shlex.quote(str(path))


def test_what_holds_nothing_protected_can_be_granted_with_its_mounts(place: Place) -> None:
    other = place.site.base / "other"
    other.mkdir()
    (other / "file").write_text("other\n")
    (place.served / "volatile").mkdir()
    (place.served / "null").touch()
    mounts = (
        f"mount --bind {q(other)} {q(place.inside)}; mount -t tmpfs tmpfs {q(place.served)}/volatile;"
        f"mount --bind /dev/null {q(place.served)}/null"
    )
    place.require(mounts)
    script = f"cd {q(place.served)}; cat in/file && echo x > in/new && echo y > volatile/new && echo z > null"
    ended = place.inside_sandbox(mounts, script, "--allow", place.served)
    assert (ended.status, ended.stdout) == (0, b"other\n"), ended.stderr
    assert (other / "new").read_text() == "x\n"


# What is mounted, and where the directory of the configuration is then seen in it.
BINDS = {
    "the directory itself": ("mount --bind {config} {inside}", "in"),
    "one above": ("mount --bind {base} {inside}", "in/config"),
    "one below": ("mount --bind {config}/nono {inside}/nono", "in"),
    "the root": ("mount --rbind / {inside}", "in{config}"),
    "its file system as a whole": (
        "mount -t tmpfs tmpfs {inside}; cp -a {config} {inside}/config;mount --bind {inside}/config {config}",
        "in/config",
    ),
    "through a second bind mount": (
        "mount --bind {base} {base}/second; mount --bind {base}/second/config {inside}",
        "in",
    ),
}


@pytest.mark.parametrize("bind", BINDS, ids=list(BINDS))
def test_a_bind_mount_of_the_key_is_refused(place: Place, bind: str) -> None:
    site = place.site
    names = {"base": q(site.base), "config": q(site.config.parent), "inside": q(place.inside)}
    (place.inside / "nono").mkdir()
    (site.base / "second").mkdir()
    mounts, seen = (text.format(**names) for text in BINDS[bind])
    place.require(mounts)
    probe = READ_KEY.format(f"{q(place.served)}/{seen}")
    assert b"PRIVATE KEY" in place.outside(mounts, probe).stdout
    for granted in (place.served, site.base / "served" / ".." / "served"):
        ended = place.inside_sandbox(mounts, probe, "--read", granted)
        assert (ended.status, ended.stdout) == (125, b"")
        assert "which no command may reach" in ended.stderr
        assert str(place.inside) in ended.stderr
    assert site.record().outcome["not_started"]["code"] == "grant.untouchable"


def test_the_mount_that_a_grant_lies_on_is_judged_too(place: Place) -> None:
    """The whole of a file system, of which a part is mounted where the key is kept."""
    config, inside = q(place.site.config.parent), q(place.inside)
    mounts = (
        f"mount -t tmpfs tmpfs {inside}; mkdir -p {inside}/a/b; cp -a {config} {inside}/a/b/config;"
        f"mount --bind {inside}/a/b/config {config}"
    )
    place.require(mounts)
    probe = READ_KEY.format(f"{inside}/a/b/config")
    assert b"PRIVATE KEY" in place.outside(mounts, probe).stdout
    for granted in (place.inside, place.inside / "a"):
        ended = place.inside_sandbox(mounts, probe, "--read", granted)
        assert (ended.status, ended.stdout) == (125, b"")


def test_a_bind_mount_of_the_ledger_is_refused_and_the_ledger_stays_as_it_is(place: Place) -> None:
    site = place.site
    mounts = f"mount --bind {q(site.state.parent)} {q(place.inside)}"
    place.require(mounts)
    ledger = f"{q(place.inside)}/nono/ledgers/{site.ledger().name}"
    assert place.outside(mounts, f"test -w {ledger}").returncode == 0
    ended = place.inside_sandbox(mounts, f"echo garbage >> {ledger}", "--allow", place.served)
    assert ended.status == 125
    assert site.run("--silent", "--", "/bin/true").status == 0


def test_a_bind_mount_of_a_home_needs_the_word_that_the_home_needs(place: Place) -> None:
    secrets = place.site.home / ".ssh"
    secrets.mkdir()
    (secrets / "id").write_text("secret\n")
    mounts = f"mount --bind {q(secrets)} {q(place.inside)}"
    place.require(mounts)
    probe = f"cat {q(place.inside)}/id"
    ended = place.inside_sandbox(mounts, probe, "--read", place.served)
    assert (ended.status, ended.stdout) == (125, b"")
    assert f"--bypass-protection {secrets}" in ended.stderr
    lifted = place.inside_sandbox(mounts, probe, "--read", place.served, "--bypass-protection", secrets)
    assert (lifted.status, lifted.stdout) == (0, b"secret\n"), lifted.stderr


@pytest.mark.parametrize("layer", ["lowerdir", "upperdir"])
def test_an_overlay_of_the_key_is_refused(place: Place, layer: str) -> None:
    base, config = q(place.site.base), q(place.site.config.parent)
    directories = (
        f"lowerdir={base}/empty:{config}"
        if layer == "lowerdir"
        else f"lowerdir={base}/empty,upperdir={config},workdir={base}/work"
    )
    mounts = f"mount -t overlay -o {directories} overlay {q(place.inside)}"
    (place.site.base / "empty").mkdir()
    (place.site.base / "work").mkdir()
    place.require(mounts)
    probe = READ_KEY.format(q(place.inside))
    assert b"PRIVATE KEY" in place.outside(mounts, probe).stdout
    for granted in (place.served, place.inside):
        ended = place.inside_sandbox(mounts, probe, "--read", granted)
        assert (ended.status, ended.stdout) == (125, b"")


def proc_in(place: Place) -> str:
    """Return how to mount a proc there: as root one of its own, whose number no other mount has."""
    return f"mount {'-t proc proc' if IS_ROOT else '--rbind /proc'} {q(place.inside)}"


def test_a_proc_below_a_write_grant_is_refused(place: Place) -> None:
    """Through it the command could tell the kernel to take nono first when memory runs out."""
    mounts = proc_in(place)
    place.require(mounts)
    probe = f"echo 500 > {q(place.inside)}/self/oom_score_adj && cat {q(place.inside)}/self/oom_score_adj"
    assert place.outside(mounts, probe).stdout == b"500\n"
    refused: Sequence[tuple[str, Path]] = [
        ("--allow", place.served),
        ("--write", place.served),
        ("--allow", place.inside),
        ("--write", place.inside / "self"),
        ("--write-file", place.inside / "self" / "oom_score_adj"),
    ]
    for flag, granted in refused:
        ended = place.inside_sandbox(mounts, probe, flag, granted)
        assert (ended.status, ended.stdout) == (125, b"")
        assert "a write there reaches other processes" in ended.stderr
    reading = place.inside_sandbox(mounts, f"cat {q(place.inside)}/version", "--read", place.served)
    assert reading.status == 0, reading.stderr


@pytest.mark.skipif(not IS_ROOT, reason="only root can make a control group")
def test_control_groups_below_a_write_grant_are_refused(place: Place) -> None:
    mounts = f"mount --rbind /sys/fs/cgroup {q(place.inside)}"
    place.require(mounts)
    group = next(
        (name for name in ("freezer", "unified", ".") if os.path.isdir(f"/sys/fs/cgroup/{name}")), "."
    )
    made = f"{q(place.inside)}/{group}/nono-test-{os.getpid()}"
    probe = f"mkdir {made} && rmdir {made}"
    assert place.outside(mounts, probe).returncode == 0
    assert place.inside_sandbox(mounts, probe, "--allow", place.served).status == 125


@pytest.mark.parametrize("access", ["--read", "--allow"])
def test_devices_below_a_grant_are_refused(place: Place, access: str) -> None:
    mounts = f"mount --rbind /dev {q(place.inside)}"
    place.require(mounts)
    assert place.outside(mounts, f"ls {q(place.inside)}/pts").returncode == 0
    ended = place.inside_sandbox(mounts, f"ls {q(place.inside)}/pts", access, place.served)
    assert (ended.status, ended.stdout) == (125, b"")
