"""The kernel's own refusals, out of its audit stream: in the record and in the footer, where it is on."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from runtime.broker import kernel_denials
from tests.system.conftest import IS_ROOT, PYTHON, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Site

AUDIT_GET, AUDIT_SET = 1000, 1001
NETLINK_AUDIT = 9
ENABLED = 1


def ask(kind: int, payload: bytes = b"") -> bytes:
    """Ask the audit system, and return what it answers."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT) as link:
        link.settimeout(10)
        link.bind((0, 0))
        acknowledge = 5 if payload else 1
        link.send(struct.pack("=IHHII", 16 + len(payload), kind, acknowledge, 1, 0) + payload)
        answer = link.recv(8_192)
    answered, number = struct.unpack_from("=4xH10xi", answer)
    if answered == 2 and number:  # NLMSG_ERROR
        raise OSError(-number, os.strerror(-number))
    return answer[16:]


def switch(*, on: bool) -> None:
    ask(AUDIT_SET, struct.pack("=10I", ENABLED, on, *[0] * 8))


def is_on() -> bool:
    return bool(struct.unpack_from("=II", ask(AUDIT_GET))[1])


@pytest.fixture
def audit_lock() -> Iterator[None]:
    """Have auditing to oneself: the switch is the whole machine's, so tests wait for each other."""
    if not IS_ROOT:
        pytest.skip("only root reads the audit stream")
    with open("/proc/self/loginuid", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def auditing(audit_lock: None) -> Iterator[None]:
    """Switch auditing on while the test runs, as an administrator would have."""
    try:
        before = is_on()
        switch(on=True)
    except OSError as error:
        missing(f"auditing cannot be switched on: {error}")
    if kernel_denials.listen() is None:
        missing("the audit stream cannot be read here")
    try:
        yield
    finally:
        switch(on=before)


def decisions(site: Site) -> list[dict[str, object]]:
    return [entry["data"] for entry in site.record().entries if entry["kind"] == "decision"]


@pytest.mark.usefixtures("auditing")
def test_what_the_kernel_refuses_is_recorded_and_said_with_the_flag_that_allows_it(site: Site) -> None:
    secret = site.file("secret file", "hidden")
    probe = site.file("probe", "")
    ended = site.shell(f"cat '{secret}' 2>/dev/null; echo > {probe}; exit 3", stderr=-1)
    assert ended.status == 3
    told = {str(each["subject"]): each for each in decisions(site)}
    assert told[str(secret)] == {
        "by": "kernel",
        "reason": "fs.read_file: by the kernel's audit log, which is a sample",
        "subject": str(secret),
        "verdict": "denied",
        "what": "file",
    }
    assert "fs.write_file" in str(told[str(probe)]["reason"])
    assert site.record().outcome["counts"]["decisions"] == len(told)
    assert f"'{secret}' is not granted for reading (by the kernel's audit log)" in ended.stderr
    assert f"--read-file '{secret}'" in ended.stderr


@pytest.mark.usefixtures("auditing")
def test_the_refusals_of_another_launch_are_not_taken_for_ones_own(site: Site) -> None:
    ours, theirs = site.file("ours", ""), site.file("theirs", "")
    wait = site.base / "go"
    os.mkfifo(wait)
    script = f"read line < {wait}; cat {ours}; exit 1"
    slow = site.start("run", "--read-file", wait, "--", "/bin/sh", "-c", script)
    with open(wait, "wb") as gate:
        assert site.shell(f"cat {theirs}").status == 1
        other = decisions(site)
        gate.write(b"\n")
    assert slow.wait().status == 1
    subjects = {
        record.session: {
            str(entry["data"]["subject"]) for entry in record.entries if entry["kind"] == "decision"
        }
        for record in site.records()
    }
    assert str(theirs) in {str(each["subject"]) for each in other}
    assert sorted(str(theirs) in told for told in subjects.values()) == [False, True]
    assert sorted(str(ours) in told for told in subjects.values()) == [False, True]
    assert not any({str(ours), str(theirs)} <= told for told in subjects.values())


@pytest.mark.usefixtures("auditing")
def test_a_flood_leaves_a_short_record_and_an_outcome(site: Site) -> None:
    flood = (
        f"import os\nfor n in range(4000):\n try: os.open('{site.project}', os.O_RDONLY)\n"
        f" except OSError: pass\n"
        f" try: os.mkdir('{site.base}/%d' % n)\n except OSError: pass\n"
    )
    ended = site.run(*site.python_grants(), "--", PYTHON, "-I", "-c", flood)
    assert ended.status == 0, ended.stderr
    told = decisions(site)
    assert 0 < len(told) <= 64
    assert all(each["by"] == "kernel" for each in told)
    counts = site.record().outcome["counts"]
    assert counts["decisions"] == len(told)
    assert counts["decisions_dropped"] > 0


@pytest.mark.usefixtures("audit_lock")
def test_where_it_is_off_nothing_is_heard_and_it_stays_off(site: Site) -> None:
    try:
        if is_on():
            missing("auditing is on here")
    except OSError as error:
        missing(f"whether auditing is on cannot be asked: {error}")
    assert site.shell(f"cat {site.file('secret', '')}").status == 1
    assert decisions(site) == []
    assert not is_on()
