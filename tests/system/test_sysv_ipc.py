"""System V memory, semaphores and queues: closed, unless they are asked for, and then shared with outside."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import IS_ROOT, NONO, PYTHON, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Site

_CREATE, _REMOVE = 0o1000, 0
_SIZE = 4096

# Attaches the segment outside, and makes one of each kind.
USES = """\
import ctypes, errno, json, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
def tried(call, *arguments):
    found = call(*arguments)
    return errno.errorcode[ctypes.get_errno()] if found in (-1, 2**64 - 1) else found
said = {"attached": tried(libc.shmat, int(sys.argv[1]), None, 0)}
if isinstance(said["attached"], int):
    memory = (ctypes.c_char * 16).from_address(said["attached"])
    said["read"], memory.value = memory.value.decode(), b"from inside"
said["made"] = [
    tried(libc.shmget, 0, 4096, 0o1600), tried(libc.semget, 0, 1, 0o1600), tried(libc.msgget, 0, 0o1600)
]
for made, remove in zip(said["made"], (libc.shmctl, libc.semctl, libc.msgctl)):
    if isinstance(made, int):
        remove(made, 0, 0) if remove is not libc.semctl else remove(made, 0, 0, 0)
print(json.dumps(said))
"""


class Segment:
    """System V memory outside."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.shmat.restype = ctypes.c_void_p
        self.number = self._libc.shmget(0, _SIZE, _CREATE | 0o600)
        assert self.number >= 0, os.strerror(ctypes.get_errno())
        self._memory = (ctypes.c_char * 16).from_address(self._libc.shmat(self.number, None, 0))
        self._memory.value = b"from outside"

    @property
    def content(self) -> bytes:
        return self._memory.value

    def remove(self) -> None:
        self._libc.shmctl(self.number, _REMOVE, None)


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment()
    yield made
    made.remove()


def used(site: Site, segment: Segment, *flags: str) -> dict[str, object]:
    command = ("--", PYTHON, "-I", "-c", USES, str(segment.number))
    ended = site.run(*site.python_grants(), *flags, *command)
    assert ended.status == 0, ended.stderr
    said: dict[str, object] = json.loads(ended.stdout)
    return said


def test_without_being_asked_for_there_is_none(site: Site, segment: Segment) -> None:
    name = errno.errorcode[errno.ENOSYS]
    assert used(site, segment) == {"attached": name, "made": [name] * 3}
    assert segment.content == b"from outside"
    record = site.record()
    assert "ipc" not in record.intent
    assert "ipc" not in record.start["capabilities"]


@pytest.mark.parametrize("network", [(), ("--block-net",)])
def test_asked_for_it_is_what_all_of_this_user_share(
    site: Site, segment: Segment, network: tuple[str, ...]
) -> None:
    said = used(site, segment, "--allow-sysv-ipc", *network)
    assert said["read"] == "from outside"
    assert all(isinstance(made, int) for made in said["made"])  # type: ignore[attr-defined]  # a list
    assert segment.content == b"from inside"
    site.tidy = False  # to look at a ledger leaves SQLite's files beside it
    record = site.record()
    assert record.intent["ipc"] == "sysv"
    assert record.start["capabilities"]["ipc"] == "sysv"
    shown = site.nono("audit", "show", "last").stdout.decode()
    assert shown.count("System V memory, semaphores and queues, with all of this user outside") == 2


def test_a_profile_and_a_manifest_ask_for_it_too(site: Site, segment: Segment) -> None:
    profile = str(site.profile(ipc={"sysv": True}))
    assert used(site, segment, "-p", profile)["read"] == "from outside"
    assert site.record().intent["ipc"] == "sysv"
    shown = site.nono("profile", "show", profile)
    assert "System V memory" in shown.stdout.decode()
    assert json.loads(site.nono("profile", "show", profile, "--json").stdout)["ipc"]["sysv"] is True
    planned = site.run("--dry-run", "--json", "--allow-sysv-ipc", *site.python_grants(), "--", "/bin/true")
    manifest = json.loads(planned.stdout)["manifest"]
    assert manifest["ipc"] == "sysv"
    file = site.base / "manifest.json"
    file.write_text(json.dumps(manifest))
    assert site.run("--config", file, "--", "/bin/true").status == 0
    assert site.record().start["capabilities"]["ipc"] == "sysv"
    beside = site.run("--config", file, "--allow-sysv-ipc", "--", "/bin/true")
    assert (beside.status, "--allow-sysv-ipc would add to it" in beside.stderr) == (125, True)
    file.write_text(json.dumps({**manifest, "ipc": "posix"}))
    refused = site.run("--config", file, "--", "/bin/true")
    assert refused.status == 125
    assert "is none of sysv" in refused.stderr


@pytest.mark.parametrize("value", [True, "sysv", ["sysv"], {"sysv": "yes"}, {"posix": True}])
def test_a_profile_that_cannot_be_meant_is_refused(site: Site, value: object) -> None:
    ended = site.run("-p", site.profile(ipc=value), "--", "/bin/true")
    assert ended.status == 125
    assert "ipc" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_why_names_the_flag_and_agrees_with_what_is_enforced(site: Site) -> None:
    denied = site.nono("why", "--sysv-ipc")
    assert denied.status == 1
    assert "flag     --allow-sysv-ipc" in denied.stdout.decode()
    assert site.nono("why", "--sysv-ipc", "--allow-sysv-ipc").status == 0
    said = json.loads(site.nono("why", "--sysv-ipc", "--json").stdout)
    assert (said["reason"], said["suggestion"]["add"]) == ("ipc_not_granted", ["--allow-sysv-ipc"])
    assert site.nono("why", "--sysv-ipc", "--port", "1").status == 2
    grants = ("--read", os.path.dirname(os.path.dirname(NONO)), *site.python_grants())
    for flags, status in (((), 1), (("--allow-sysv-ipc",), 0)):
        assert site.shell(f"exec {NONO} why --self --sysv-ipc", *grants, *flags).status == status


def test_a_direct_launch_has_it_too(site: Site, segment: Segment) -> None:
    command = ("--", PYTHON, "-I", "-c", USES, str(segment.number))
    ended = site.nono("wrap", *site.python_grants(), "--allow-sysv-ipc", *command)
    assert ended.status == 0, ended.stderr
    assert json.loads(ended.stdout)["read"] == "from outside"
    assert site.record().start["capabilities"]["ipc"] == "sysv"


def test_fakeroot_works(site: Site) -> None:
    if shutil.which("fakeroot-sysv") is None:
        missing("fakeroot is not installed")
    site.file("owned")
    script = "fakeroot-sysv sh -c 'chown 4321 owned && stat -c %u owned'"
    closed = site.shell(script, "--allow", ".")
    assert closed.status != 0
    assert "Function not implemented" in closed.stderr
    ended = site.shell(script, "--allow", ".", "--allow-sysv-ipc")
    assert (ended.status, ended.stdout) == (0, b"4321\n"), ended.stderr
    if not IS_ROOT:  # for whom it really changes the owner
        assert (site.project / "owned").stat().st_uid == os.geteuid()


@pytest.mark.skipif(IS_ROOT, reason="PostgreSQL does not run as root")
def test_postgresql_makes_a_cluster(site: Site) -> None:
    if shutil.which("initdb") is None:
        missing("PostgreSQL is not installed")
    script = "initdb -D cluster --no-sync --auth trust --encoding UTF8 --locale C"
    closed = site.shell(script, "--allow", ".")
    assert closed.status != 0
    assert "shmget" in closed.stderr
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(site.project / "cluster")
    ended = site.shell(script, "--allow", ".", "--allow-sysv-ipc")
    assert ended.status == 0, ended.stderr
    assert (site.project / "cluster" / "PG_VERSION").exists()
