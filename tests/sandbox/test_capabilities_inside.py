"""Privileges: as root only what file work needs, and set-uid programs give nothing back."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from runtime.capability.capabilities import Network
from runtime.sandbox import privileges

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Box

KEPT = "00000000000000fb"
NONE = "0000000000000000"


def status_of_a_program() -> dict[str, str]:
    """What a program that was started here has, after its exec."""
    shown = subprocess.run(["/bin/cat", "/proc/self/status"], capture_output=True, check=True, text=True)
    return dict(line.split(":\t") for line in shown.stdout.splitlines() if ":\t" in line)


def test_what_a_root_command_has(root_box: Box) -> None:
    outside, inside = root_box.outside(status_of_a_program).value, root_box.inside(status_of_a_program).value
    assert isinstance(outside, dict)
    assert isinstance(inside, dict)
    for name, expected in (
        ("CapPrm", KEPT),
        ("CapEff", KEPT),
        ("CapBnd", KEPT),
        ("CapInh", NONE),
        ("CapAmb", NONE),
    ):
        assert inside[name] == expected, name
    assert outside["CapEff"] != KEPT
    assert (outside["NoNewPrivs"], inside["NoNewPrivs"]) == ("0", "1")
    assert (outside["Seccomp"], inside["Seccomp"]) == ("0", "2")


def test_what_a_users_command_has(box: Box) -> None:
    if box.identity != "user":
        return  # the test above says more
    inside = box.inside(status_of_a_program).value
    assert isinstance(inside, dict)
    assert {inside[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {NONE}
    assert inside["NoNewPrivs"] == "1"


def test_a_set_uid_program_gains_nothing(box: Box) -> None:
    """A copy of id(1) that belongs to root and says whom it runs as."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a set-uid file of another user")
    program = os.fsdecode(box.path("readable/whoami"))
    shutil.copy("/usr/bin/id", program)
    owner = 0 if box.identity == "user" else 1
    os.chown(program, owner, -1)
    os.chmod(program, 0o4755)

    def probe() -> int:
        return int(subprocess.run([program, "-u"], capture_output=True, check=True).stdout)

    assert box.outside(probe).value == owner
    assert box.inside(probe).value == box.uid


def test_capabilities_that_were_cut_do_not_come_back(root_box: Box) -> None:
    def probe() -> int:
        os.setresuid(1000, 1000, 0)
        os.setresuid(0, 0, 0)  # a return to root, which refills the effective set from the permitted one
        return privileges.read().held & ~privileges.KEPT

    outside = root_box.outside(probe).value
    assert isinstance(outside, int)
    assert outside != 0
    assert root_box.inside(probe).value == 0


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("hostname", errno.EPERM),
        ("raw socket", errno.EPERM),
        ("low port", errno.EACCES),
        ("nice", errno.EACCES),
    ],
)
def test_what_roots_powers_were_good_for(root_box: Box, name: str, refusal: int) -> None:
    def probe() -> None:
        if name == "hostname":
            socket.sethostname(socket.gethostname())
        elif name == "raw socket":
            socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()
        elif name == "low port":
            with socket.socket() as server:
                server.bind(("127.0.0.1", 1))
        else:
            os.setpriority(os.PRIO_PROCESS, 0, -5)

    root_box.assert_closed(probe, refusal, network=Network.ALL)


def test_a_root_command_still_does_file_work(root_box: Box) -> None:
    """It can read, change and give away files of others within its grants, and become another user."""

    def probe() -> list[int]:
        path = root_box.path("granted/theirs")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        os.chown(path, 1000, 1000)
        os.close(os.open(path, os.O_RDWR))
        os.chmod(path, 0o640)
        seen = os.stat(path)
        os.unlink(path)
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        return [seen.st_uid, seen.st_mode, *os.getresuid()]

    root_box.assert_open(probe)


def test_another_user_can_still_be_killed_by_root_inside(root_box: Box, raw_call: Callable[..., int]) -> None:
    def probe() -> int:
        child = os.fork()
        if child == 0:
            os.setresuid(1000, 1000, 1000)
            os.execv("/bin/sleep", ["sleep", "60"])
        os.kill(child, 9)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    root_box.assert_open(probe)
