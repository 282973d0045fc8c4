"""What is inferred is asked of what was enforced: which finding, and which flag, comes out."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime.capability import exec_obstacles
from runtime.capability.capabilities import (
    USER,
    Access,
    CapabilitySet,
    FileGrant,
    Network,
    Reach,
    SocketGrant,
    ports,
)
from runtime.capability.protected import Guard, Untouchable
from runtime.capability.refusals import Enforced, Refusal
from runtime.explanation import complaints, diagnosis
from runtime.kernel.mounts import Mounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.capability.refusals import Finding

NOBODY = 65_534
IS_ROOT = os.geteuid() == 0


def enforced(
    *grants: tuple[Path, Access],
    directory: Path | str = "/",
    workdir: Path | str = "/",
    home: Path | None = None,
    never: Sequence[Path] = (),
    network: tuple[Network, tuple[int, ...]] = (Network.ALL, ()),
    block_net: bool = False,
    refusals: tuple[Refusal, ...] = (),
) -> Enforced:
    files = tuple(
        FileGrant(os.fsencode(path), os.fsencode(path), access, directory=path.is_dir(), source=USER)
        for path, access in grants
    )
    mode, connect = network
    return Enforced(
        capabilities=CapabilitySet(files, mode, ports(connect)),
        directory=os.fsencode(directory),
        workdir=os.fsencode(workdir),
        guard=lambda lifted: Guard(
            Untouchable(tuple(os.fsencode(path) for path in never)),
            bypass=lifted,
            home_directories=[] if home is None else [os.fsencode(home)],
        ),
        block_net=block_net,
        refusals=refusals,
    )


def found(inside: Enforced, *lines: str) -> list[Finding]:
    return diagnosis.findings(inside, complaints.read("\n".join(lines).encode()))


def said(inside: Enforced, *lines: str) -> list[tuple[str, str]]:
    """Return cause and flags of each finding."""
    return [
        (finding.cause, " ".join(os.fsdecode(word) for word in finding.flags))
        for finding in found(inside, *lines)
    ]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a file, a directory and a program in it."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o755)
    return tmp_path


def test_the_narrowest_flag_is_suggested(place: Path) -> None:
    inside = enforced()
    assert said(inside, f"cat: {place}/file: Permission denied") == [
        ("not-granted", f"--read-file {place}/file")
    ]
    assert said(inside, f"ls: cannot open directory '{place}/sub': Permission denied") == [
        ("not-granted", f"--read {place}/sub")
    ]
    assert said(inside, f"tee: {place}/file: Permission denied") == [
        ("not-granted", f"--write-file {place}/file")
    ]
    for line in (
        "tee: {}/new: Permission denied",
        "mkdir: cannot create directory '{}/d': Permission denied",
    ):
        assert said(inside, line.format(place)) == [("not-granted", f"--write {place}")]
    assert said(inside, f"rm: cannot remove '{place}/file': Permission denied") == [
        ("not-granted", f"--write {place}")
    ]


def test_reading_and_writing_one_file_is_one_flag(place: Path) -> None:
    lines = (f"cat: {place}/file: Permission denied", f"tee: {place}/file: Permission denied")
    assert said(enforced(), *lines) == [("not-granted", f"--allow-file {place}/file")]
    lines = (f"ls: cannot open directory '{place}': Permission denied", f"tee: {place}/n: Permission denied")
    assert said(enforced(), *lines) == [("not-granted", f"--allow {place}")]


def test_what_is_granted_already_is_not_suggested(place: Path) -> None:
    readable = enforced((place, Access.READ))
    assert said(readable, f"cat: {place}/file: Permission denied") == []
    # What only says "open" was then about writing.
    assert said(readable, f"PermissionError: [Errno 13] Permission denied: '{place}/file'") == [
        ("not-granted", f"--write-file {place}/file")
    ]
    both = enforced((place, Access.READWRITE))
    assert said(both, f"PermissionError: [Errno 13] Permission denied: '{place}/file'") == []


def test_what_is_opened_for_both_wants_reading_too(place: Path) -> None:
    writable = enforced((place, Access.WRITE))
    for name in ("file", "new"):
        line = f"/usr/bin/ld: cannot open output file {place}/{name}: Permission denied"
        assert said(writable, line) == [("not-granted", f"--read {place}")]


def test_what_is_not_there_is_not_suggested(place: Path) -> None:
    assert said(enforced(), f"cat: {place}/nope: Permission denied") == []
    assert said(enforced(), f"tee: {place}/nope/deeper: Permission denied") == []
    assert said(enforced(), f"PermissionError: [Errno 13] Permission denied: '{place}/no/x'") == []


def test_a_link_is_judged_by_where_it_leads(place: Path) -> None:
    (place / "link").symlink_to("file")
    inside = enforced((place / "sub", Access.READ))
    assert said(inside, f"cat: {place}/sub/../link: Permission denied") == [
        ("not-granted", f"--read-file {place}/file")
    ]
    (place / "sub" / "out").symlink_to(place / "file")
    assert said(inside, f"cat: {place}/sub/out: Permission denied") == [
        ("not-granted", f"--read-file {place}/sub/out")
    ]
    (place / "loop").symlink_to("loop")
    assert said(inside, f"cat: {place}/loop: Permission denied") == []


def test_a_relative_path_is_where_the_command_was(place: Path) -> None:
    inside = enforced(directory=place, workdir=place)
    assert said(inside, "cat: file: Permission denied") == [("not-granted", f"--read-file {place}/file")]
    assert said(inside, "cat: nothing: Permission denied") == []
    # It started in the root, since nothing covered the working directory: it is that which is wanted.
    inside = enforced(workdir=place)
    assert said(inside, "touch: cannot touch 'new': Permission denied") == [
        ("not-granted", f"--write {place}")
    ]


def test_protected_paths_name_the_protection(place: Path) -> None:
    key = place / ".ssh" / "id"
    key.parent.mkdir()
    key.write_text("key")
    inside = enforced(home=place)
    assert said(inside, f"cat: {key}: Permission denied") == [
        ("protected", f"--bypass-protection {key} --read-file {key}")
    ]
    # A directory that contains one is not talked into being granted.
    assert said(inside, f"tee: {place}/new: Permission denied") == [("never-grantable", "")]


def test_what_nothing_lifts_has_no_flag(place: Path) -> None:
    inside = enforced(never=[place / "file"])
    (finding,) = found(inside, f"cat: {place}/file: Permission denied")
    assert (finding.cause, finding.flags) == ("never-grantable", ())
    assert "no command may reach" in finding.reason
    # An ordinary user may not write there, whatever the sandbox says.
    cause = "never-grantable" if IS_ROOT else "own-permissions"
    assert said(inside, "tee: /new: Permission denied") == [(cause, "")]


def test_the_system_is_not_suggested_for_writing() -> None:
    (finding,) = found(enforced(), "touch: cannot touch '/etc/hosts': Permission denied")
    assert (finding.cause, finding.flags) == ("not-granted" if IS_ROOT else "own-permissions", ())


def test_sockets_and_other_processes_are_not_files_to_grant(place: Path) -> None:
    path = str(place / "s")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        line = f"cat: {path}: Permission denied"
        assert said(enforced(), line) == [("not-granted", f"--allow-unix-socket {path}")]
        reached = SocketGrant(os.fsencode(path), os.fsencode(path), Reach.SOCKET, bind=False, source=USER)
        granted = enforced()
        within = granted._replace(capabilities=granted.capabilities._replace(unix_sockets=(reached,)))
        assert said(within, line) == []
    assert said(enforced(), "tee: /proc/1/oom_adj: Permission denied") == []
    assert said(enforced(), "cat: /proc/self/mem: Permission denied") == []


def test_who_executes_needs_the_file_its_mode_and_its_loader(place: Path) -> None:
    line = f"env: '{place}/program': Permission denied"
    assert said(enforced(), line) == [("not-granted", f"--read-file {place}/program")]
    shell = os.path.realpath("/bin/sh")
    granted = enforced((place, Access.READ), (Path(shell), Access.READ))
    ((cause, flags),) = said(granted, line)  # the shell's own loader
    assert cause == "not-granted"
    assert flags.startswith("--read-file /")
    (place / "program").chmod(0o644)
    assert said(granted, line) == [("own-permissions", "")]


def test_a_shell_does_not_say_whether_it_executes_or_redirects(place: Path) -> None:
    line = f"bash: line 1: {place}/file: Permission denied"
    ((cause, flags),) = said(enforced((place, Access.READ)), line)
    assert (cause, flags) == ("not-granted", f"--write-file {place}/file")
    (finding,) = found(enforced((place, Access.READ)), line)
    assert "has no execute permission" in finding.reason
    assert said(enforced((place, Access.READWRITE)), line) == [("own-permissions", "")]
    # Without a word of the shell it was not executed.
    line = f"PermissionError: [Errno 13] Permission denied: '{place}/file'"
    assert said(enforced((place, Access.READWRITE)), line) == []


def test_a_file_system_without_execution_is_named(place: Path) -> None:
    if not IS_ROOT:
        pytest.skip("to mount is root's")
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from runtime.capability import exec_obstacles as e\nfrom runtime.capability.capabilities import *\n"
        "print(e.find(sys.argv[1].encode(), CapabilitySet((), Network.ALL)).cause)"
    )
    script = 'mount -t tmpfs -o noexec none "$1" && cp /bin/true "$1/t" && "$2" -I -c "$3" "$1/t" "$4"'
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", place / "sub", sys.executable, code, root],
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in done.stderr:
        pytest.skip(f"no mount here: {done.stderr}")
    assert done.stdout == "noexec-mount\n", done.stderr


@pytest.mark.parametrize(
    "header", [b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 200, b"#!", b"", b"#!/no/such\n"]
)
def test_a_file_that_is_no_program_is_no_obstacle_by_itself(place: Path, header: bytes) -> None:
    (place / "program").write_bytes(header)
    inside = enforced((place, Access.READ)).capabilities
    obstacle = exec_obstacles.find(os.fsencode(place / "program"), inside)
    assert (obstacle is None) is (header != b"#!/no/such\n")
    if obstacle is not None:
        assert obstacle.cause == "missing-loader"


def test_own_permissions_are_not_the_sandbox(place: Path) -> None:
    """As an ordinary user: root may do everything here."""
    closed = place / "closed"
    (closed / "in").mkdir(parents=True)
    (place / "file").chmod(0)
    closed.chmod(0)
    lines = [
        f"cat: {place}/file: Permission denied",
        f"cat: {closed}/in: Permission denied",
        f"tee: {closed}/new: Permission denied",
    ]
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if IS_ROOT:
                for directory in (place, *place.parents):
                    mode = stat.S_IMODE(os.stat(directory).st_mode)
                    if not mode & stat.S_IXOTH:  # of pytest's own, nobody but root gets through
                        os.chmod(directory, mode | 0o055)
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            every = [said(enforced(*granted), *lines) for granted in ((), ((place, Access.READWRITE),))]
            os.write(write_end, json.dumps(every).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(pid, 0)
    with open(read_end, encoding="utf-8") as answer:
        outside_and_inside = json.loads(answer.read())
    closed.chmod(0o755)
    for every in outside_and_inside:
        assert [cause for cause, _ in every] == ["own-permissions"] * len(every)
        assert len(every) >= 2
        assert all(flags == "" for _, flags in every)


def test_read_only_is_the_mounts_word_alone(place: Path) -> None:
    assert said(enforced(), f"tee: {place}/file: Read-only file system") == []


NAMES = "curl: (6) Could not resolve host: example.org"
CONNECT = "Error: connect EACCES 127.0.0.1:81"
UDP = "dial tcp: lookup x on 10.0.0.1:53: dial udp 10.0.0.1:53: socket: permission denied"


@pytest.mark.parametrize(
    ("line", "network", "cause_and_flags"),
    [
        (NAMES, (Network.ALL, ()), []),
        (CONNECT, (Network.ALL, ()), []),
        (NAMES, (Network.PORTS, (443,)), [("port-closed", "--allow-connect-port 53")]),
        (NAMES, (Network.PORTS, (53,)), []),
        (CONNECT, (Network.PORTS, (443,)), [("port-closed", "--allow-connect-port 81")]),
        (CONNECT, (Network.PORTS, (81,)), []),
        (UDP, (Network.PORTS, (53,)), [("network-closed", "")]),
        ("Error: listen EACCES 0.0.0.0:80", (Network.PORTS, (80,)), [("port-closed", "--listen-port 80")]),
        ("bash: socket: Permission denied", (Network.PORTS, (80,)), []),
        (CONNECT, (Network.BLOCKED, ()), [("network-closed", "--allow-connect-port 81")]),
        ("bash: socket: Permission denied", (Network.BLOCKED, ()), [("network-closed", "")]),
        ("unshare: unshare failed: Operation not permitted", (Network.ALL, ()), [("closed-call", "")]),
    ],
)
def test_the_network_is_asked_as_it_was(
    line: str, network: tuple[Network, tuple[int, ...]], cause_and_flags: list[tuple[str, str]]
) -> None:
    assert said(enforced(network=network, block_net=True), line) == cause_and_flags


def test_a_flag_or_a_profile_closes_the_network() -> None:
    (finding,) = found(enforced(network=(Network.BLOCKED, ()), block_net=True), CONNECT)
    assert finding.replaces == (b"--block-net",)
    (finding,) = found(enforced(network=(Network.BLOCKED, ()), block_net=False), CONNECT)
    assert (finding.flags, finding.replaces) == ((), ())
    assert "profile" in finding.reason


def test_what_nono_decided_comes_first_and_once(place: Path) -> None:
    decided = Refusal("file", os.fsencode(place / "file"), "not approved")
    inside = enforced(refusals=(decided,))
    first, second = found(
        inside, f"cat: {place}/sub: Permission denied", f"cat: {place}/file: Permission denied"
    )
    assert (first.certainty, first.reason, first.cause) == ("decided", "not approved", "refused")
    assert (second.certainty, second.subject) == ("inferred", os.fsencode(place / "sub"))


@pytest.mark.parametrize("name", ["auto", "link", "sub/../auto", "chain"])
def test_nothing_is_asked_of_an_automounter(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A command without a network could have hosts asked: ``/net/HOST``."""
    auto = place / "auto"
    auto.mkdir()
    (auto / "host").write_text("it was asked")
    (place / "link").symlink_to("auto")
    (place / "chain").symlink_to(place / "sub" / ".." / "link")
    line = f"cat: {place}/{name}/host: Permission denied"
    assert said(enforced(), line) != []
    mounted = b"24 1 8:1 / / rw - ext4 /dev/sda rw\n30 24 0:40 / %b rw - autofs systemd-1 rw\n"
    monkeypatch.setattr(Mounts, "read", lambda: Mounts(mounted % os.fsencode(auto)))
    looked: list[bytes | str] = []
    real = os.stat

    def stat(path: bytes | str, **options: bool) -> os.stat_result:
        looked.append(path)
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert said(enforced(), line) == []
    assert looked == []
    assert said(enforced(), f"cat: {place}/file: Permission denied") != []


def test_a_hostile_number_of_paths_is_judged_in_no_time(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}").write_text("")
    lines = [f"cat: {tmp_path}/{number}: Permission denied" for number in range(100)]
    assert len(found(enforced(home=tmp_path), *lines)) == complaints.MOST_COMPLAINTS
    shutil.rmtree(tmp_path)
    assert found(enforced(home=tmp_path), *lines) == []
