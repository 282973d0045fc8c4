"""On a kernel with an older Landlock: what is required is there, or nothing runs, and one that does is named.


The kernel is this one, behind a supervisor that answers for it (:mod:`tests.system.older_kernel`).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import NONO, PYTHON

if TYPE_CHECKING:
    from tests.system.conftest import Argument, Site

OLDER = Path(__file__).parent / "older_kernel.py"
REFUSED, ENOUGH = (1, 2, 3, 4, 5), 6
NETWORKS: dict[str, tuple[str, ...]] = {
    "all": (),
    "blocked": ("--block-net",),
    "connect": ("--allow-connect-port", "443"),
    "listen": ("--listen-port", "8080"),
}


def kernel(abi: int) -> tuple[Argument, ...]:
    """Return how nono is started on a kernel with this ABI."""
    return (sys.executable, OLDER, str(abi), NONO)


# Makes a ruleset of each ABI, with all that it knows, and says which of them this kernel takes.
RULESETS = """\
import json, sys
from runtime.kernel import syscalls
from runtime.sandbox import landlock_rules
from runtime.capability.capabilities import Network
from runtime.errors import EnforcementError
took, ports = [], []
for abi in range(1, 8):
    for network, connect, where in ((Network.ALL, (), took), (Network.PORTS, (443,), ports)):
        try:
            landlock_rules.build((), network, abi=abi, connect=connect)
            where.append(abi)
        except EnforcementError as error:
            assert "Invalid argument" in str(error) or "Argument list too long" in str(error), error
print(json.dumps([syscalls.landlock_abi(), took, ports]))
"""


@pytest.mark.parametrize("abi", range(1, 8))
def test_the_kernel_that_is_shown_is_no_newer(abi: int) -> None:
    """Without this, the tests below could ask a kernel that takes everything."""
    done = subprocess.run(
        [sys.executable, OLDER, str(abi), sys.executable, "-I", "-c", RULESETS],
        check=True,
        capture_output=True,
    )
    shown, took, ports = json.loads(done.stdout)
    # ABI 4 differs from 3 only where the network is restricted, 7 from 6 only in flags.
    alike = {3: 4, 6: 7}.get(abi, abi)
    assert (shown, took) == (abi, list(range(1, alike + 1)))
    assert ports == [each for each in took if each >= 4 and abi >= 4]


@pytest.mark.parametrize("abi", REFUSED)
def test_nothing_runs_where_something_required_is_missing(site: Site, abi: int) -> None:
    """On each ABI, whatever the network is: refused before anything runs, by a dry run in the same words."""
    made = site.project / "made"
    command = ("--allow", ".", "--", "/usr/bin/touch", "made")
    missing = "truncate and scope" if abi < 3 else "scope"
    said = f"nono: this kernel cannot enforce {missing}: it has Landlock ABI {abi}, not 6"
    for name, flags in NETWORKS.items():
        ended, status = site.status(*flags, *command, program=kernel(abi))
        assert (ended.status, made.exists()) == (125, False), (name, ended.stderr)
        assert said in ended.lines, name
        assert "nono: hint: use Linux 6.12 or newer" in ended.lines, name
        assert status["not_started"]["code"] == "enforcement.missing"
        assert site.record().kinds == ["launch.intent", "launch.outcome", "launch.attestation"]
        assert site.record().outcome["not_started"]["code"] == "enforcement.missing"
    planned = site.run("--dry-run", *NETWORKS["connect"], *command, program=kernel(abi))
    assert (planned.status, planned.stdout) == (125, b"")
    assert planned.lines[-2:] == [said, "nono: hint: use Linux 6.12 or newer"]
    assert site.run("-s", *command).status == 0  # what was refused works on this kernel
    assert made.exists()


@pytest.mark.parametrize("abi", [*REFUSED, ENOUGH])
def test_the_doctor_tells_what_an_older_kernel_lacks(site: Site, abi: int) -> None:
    ended = site.nono("doctor", "--json", program=kernel(abi))
    document = json.loads(ended.stdout)
    assert (document["landlock_abi"], document["able"]) == (abi, abi >= ENOUGH)
    assert ended.status == (0 if abi >= ENOUGH else 1)
    hints = {name: each["hint"] for name, each in document["features"].items() if not each["enforced"]}
    hints.pop("metadata")
    expected = {"truncate": (3, "6.2"), "ioctl": (5, "6.10"), "scope": (6, "6.12")}
    assert hints == {
        name: f"use Linux {release} or newer" for name, (since, release) in expected.items() if abi < since
    }


# Tries what each feature is there to refuse, and says what did not work.
ATTEMPTS = """\
import errno, fcntl, json, os, socket, sys
RNDGETENTCNT = 0x80045200
outside, port, other = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def connect(port):
    socket.create_connection(("127.0.0.1", port), 5).close()
def ioctl():
    with open("/dev/random", "rb") as file:
        fcntl.ioctl(file, RNDGETENTCNT, bytes(4))
attempts = {
    "read": lambda: open(outside).read(),
    "truncate": lambda: os.truncate(outside, 0),
    "ioctl": ioctl,
    "signal": lambda: os.kill(os.getppid(), 0),
    "connect": lambda: connect(port),
    "elsewhere": lambda: connect(other),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
}
said = {}
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError as error:
        said[name] = errno.errorcode[error.errno]
print(json.dumps(said))
"""


def test_the_oldest_kernel_that_will_do_encloses_as_the_newest(site: Site) -> None:
    outside = site.base / "outside"
    outside.write_text("content")
    closed = {"read": "EACCES", "truncate": "EACCES", "ioctl": "EACCES", "signal": "EPERM"}
    nothing = dict.fromkeys(("connect", "elsewhere", "udp"), "EACCES")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [str(server.getsockname()[1]) for server in (one, other)]
        script = (PYTHON, "-I", "-c", ATTEMPTS, str(outside), *ports)
        alone = subprocess.run(script, check=True, capture_output=True)
        assert json.loads(alone.stdout) == {}
        outside.write_text("content")
        for flags, network in (
            ((), {}),
            (("--block-net",), nothing),
            (("--allow-connect-port", ports[0]), {"elsewhere": "EACCES", "udp": "EACCES"}),
        ):
            found = []
            for program in (kernel(ENOUGH), (NONO,)):
                ended = site.run(*flags, *site.python_grants(), "--", *script, program=program)
                assert ended.status == 0, ended.stderr
                assert json.loads(ended.stdout) == closed | network
                found.append(site.record().start["enforcement"])
            assert found[0]["landlock_abi"] == ENOUGH
            assert found[1]["landlock_abi"] > ENOUGH
            assert found[0]["achieved"] == found[1]["achieved"]
    assert outside.read_text() == "content"
    assert os.stat(outside).st_size == len("content")
