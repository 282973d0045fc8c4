"""From requests to open descriptors: what is judged is what is granted."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.capability.capabilities import (
    NO_PORTS,
    PROFILE,
    SYSTEM,
    USER,
    Access,
    Network,
    Ports,
    group_source,
    ports,
)
from runtime.capability.grant_request import GrantRequest, working_directory_request
from runtime.capability.grants import (
    Grants,
    network_asked,
    private_directory_grant,
    resolve,
    standard_stream_grants,
)
from runtime.capability.protected import Guard, Untouchable
from runtime.errors import GrantError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.capability.grants import OpenGrant

READ, WRITE, READWRITE = Access.READ, Access.WRITE, Access.READWRITE


@pytest.fixture
def base(tmp_path: Path) -> bytes:
    return os.fsencode(os.path.realpath(tmp_path))


@pytest.fixture(autouse=True)
def no_descriptor_leaks() -> Iterator[None]:
    """Every test closes what it opened; on an error nothing may have stayed open."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) <= before


def guard(untouchable: Untouchable | None = None, home: bytes = b"/home/nobody-here") -> Guard:
    return Guard(untouchable or Untouchable(), home_directories=[home])


def ask(
    *requests: GrantRequest,
    workdir: bytes = b"/",
    judged_by: Guard | None = None,
    warnings: list[str] | None = None,
    extra: tuple[OpenGrant, ...] = (),
) -> Grants:
    said: list[str] = [] if warnings is None else warnings
    return resolve(requests, workdir=workdir, guard=judged_by or guard(), warn=said.append, extra=extra)


def refused(*requests: GrantRequest, workdir: bytes = b"/", judged_by: Guard | None = None) -> GrantError:
    with pytest.raises(GrantError) as caught:
        ask(*requests, workdir=workdir, judged_by=judged_by)
    return caught.value


def test_a_grant_holds_the_object_that_was_asked_for(base: bytes) -> None:
    os.mkdir(base + b"/d")
    Path(os.fsdecode(base + b"/f")).touch()
    with ask(
        GrantRequest(READWRITE, b"d", True), GrantRequest(READ, base + b"/./d/../f", False), workdir=base
    ) as found:
        directory, file = found.opened
        assert (directory.grant.path, directory.grant.asked) == (base + b"/d", b"d")
        assert directory.grant.document()["type"] == "directory"
        assert (file.grant.path, file.grant.asked) == (base + b"/f", base + b"/./d/../f")
        assert found.files == (directory.grant, file.grant)
        assert os.path.samestat(os.fstat(directory.descriptor), os.stat(base + b"/d"))
        for opened in found.opened:
            assert not os.get_inheritable(opened.descriptor)
            with pytest.raises(OSError, match="Bad file descriptor"):  # O_PATH: no reading through it
                os.read(opened.descriptor, 1)


def test_the_descriptor_stays_with_the_object_when_its_name_is_taken(base: bytes) -> None:
    os.mkdir(base + b"/d")
    os.mkdir(base + b"/secret")
    with ask(GrantRequest(READ, base + b"/d", True)) as found:
        granted = os.stat(base + b"/d")
        os.rename(base + b"/d", base + b"/moved")
        os.rename(base + b"/secret", base + b"/d")
        assert os.path.samestat(os.fstat(found.opened[0].descriptor), granted)


def test_what_is_judged_is_what_was_opened(base: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that is turned round after the open is judged by where it led."""
    os.makedirs(base + b"/home/.ssh")
    os.mkdir(base + b"/fine")
    os.symlink(b"home/.ssh", base + b"/link")
    real_open = os.open

    def open_and_turn(path: bytes, flags: int) -> int:
        descriptor = real_open(path, flags)
        if path == base + b"/link":
            os.unlink(path)
            os.symlink(b"fine", path)
        return descriptor

    judged_by = guard(home=base + b"/home")
    monkeypatch.setattr("runtime.capability.grants.os.open", open_and_turn)
    assert refused(GrantRequest(READ, base + b"/link", True), judged_by=judged_by).code == "grant.protected"


@pytest.mark.parametrize("path", [b"~/src", b"~", b"~/./src"])
def test_the_tilde_expands_but_is_recorded_as_typed(
    path: bytes, base: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkdir(base + b"/src")
    monkeypatch.setenv("HOME", os.fsdecode(base))
    with ask(GrantRequest(READ, path, True)) as found:
        assert found.files[0].path == (base if path == b"~" else base + b"/src")
        assert found.files[0].asked == path


def test_the_home_itself_is_refused(base: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", os.fsdecode(base))
    os.mkdir(base + b"/src")
    error = refused(GrantRequest(READ, b"~", True), judged_by=Guard(Untouchable()))
    assert error.code == "grant.protected"
    assert str(error.hint).startswith("grant only --read ~/src; --bypass-protection")


def test_only_a_profile_says_workdir(base: bytes) -> None:
    os.mkdir(base + b"/src")
    with ask(GrantRequest(READ, b"$WORKDIR/src", True, PROFILE), workdir=base) as found:
        assert (found.files[0].path, found.files[0].asked) == (base + b"/src", b"$WORKDIR/src")
    os.mkdir(base + b"/$WORKDIR")
    with ask(GrantRequest(READ, b"$WORKDIR", True, USER), workdir=base) as found:
        assert found.files[0].path == base + b"/$WORKDIR"


def test_dot_dot_is_the_kernels(base: bytes) -> None:
    os.makedirs(base + b"/a/b")
    os.mkdir(base + b"/other")
    os.symlink(b"a/b", base + b"/link")
    with ask(GrantRequest(READ, b"link/..", True), workdir=base) as found:
        assert found.files[0].path == base + b"/a"


@pytest.mark.parametrize(
    "name", [b"a b", b"a\nb", b"\xff\xfe", b"-x", b"a'b", b"x (deleted)", b"*", b"\x1b[2J"]
)
def test_odd_names(name: bytes, base: bytes) -> None:
    os.mkdir(base + b"/" + name)
    with ask(GrantRequest(READ, name, True), workdir=base) as found:
        assert found.files[0].path == base + b"/" + name
    error = refused(GrantRequest(READ, name, False), workdir=base)
    assert str(error).isprintable()
    assert str(error.hint).isprintable()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b"..") and name[:1] != b"~"))  # fmt: skip  # noqa: E501  # one condition
def test_any_name_comes_back_as_it_is(base: bytes, name: bytes) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(base + b"/" + name)
    with ask(GrantRequest(WRITE, name, True), workdir=base) as found:
        assert found.files[0].path == base + b"/" + name


def test_a_missing_path_warns_and_is_left_out(base: bytes) -> None:
    warnings: list[str] = []
    requests = [
        GrantRequest(READ, base + b"/none", True),
        GrantRequest(READ, base + b"/none", False),
        GrantRequest(READWRITE, base + b"/none", True),
        GrantRequest(READWRITE, base + b"/none", False, PROFILE),
    ]
    os.symlink(b"nowhere", base + b"/dangling")
    requests.append(GrantRequest(READ, base + b"/dangling", True))
    with ask(*requests, warnings=warnings) as found:
        assert found.opened == ()
        assert found.missing == tuple(requests)
    assert warnings == [f"{request.wording()} does not exist, so it is not granted" for request in requests]


@pytest.mark.parametrize("access", [WRITE, READWRITE])
def test_a_missing_file_cannot_be_made_writable(access: Access, base: bytes) -> None:
    error = refused(GrantRequest(access, b"out.txt", False), workdir=base)
    assert error.code == "grant.missing"
    flag = "--write" if access is WRITE else "--allow"
    assert error.hint == f"create it first, or grant its directory: {flag} ."


def test_what_is_missing_is_judged_all_the_same(base: bytes) -> None:
    os.mkdir(base + b"/home")
    os.symlink(b"home/.ssh", base + b"/link")
    judged_by = guard(home=base + b"/home")
    for path in (b"home/.ssh", b"link", b"home/.ssh/id", b"home/x/../.netrc"):
        assert (
            refused(GrantRequest(READ, path, True), workdir=base, judged_by=judged_by).code
            == "grant.protected"
        )


def test_the_wrong_kind_names_the_right_flag(base: bytes) -> None:
    os.mkdir(base + b"/d")
    Path(os.fsdecode(base + b"/f")).touch()
    for access, on_file, on_directory in [
        (READWRITE, "--allow-file", "--allow"),
        (READ, "--read-file", "--read"),
        (WRITE, "--write-file", "--write"),
    ]:
        error = refused(GrantRequest(access, b"f", True), workdir=base)
        assert (error.code, error.hint) == ("grant.kind", f"use {on_file} f")
        error = refused(GrantRequest(access, b"d", False), workdir=base)
        assert (error.code, error.hint) == ("grant.kind", f"use {on_directory} d")
    assert refused(GrantRequest(READ, b"d", False, PROFILE), workdir=base).hint == "use filesystem.read d"


def test_special_files(base: bytes) -> None:
    os.mkfifo(base + b"/fifo")
    with ask(
        GrantRequest(READWRITE, b"fifo", False), workdir=base
    ) as found:  # and does not wait for a writer
        assert found.files[0].path == base + b"/fifo"
    with ask(GrantRequest(READWRITE, b"/dev/null", False)) as found:
        assert found.files[0].path == b"/dev/null"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(base + b"/s")
        assert refused(GrantRequest(READWRITE, b"s", False), workdir=base).code == "grant.kind"


def test_a_disk_is_refused(base: bytes) -> None:
    with os.scandir("/dev") as devices:
        disks = [entry.path for entry in devices if stat.S_ISBLK(entry.stat(follow_symlinks=False).st_mode)]
    disk = disks[0] if disks else None
    if disk is None:
        if os.geteuid() != 0:
            pytest.skip("no disk in /dev, and only root can make one")
        disk = os.fsdecode(base + b"/disk")
        os.mknod(disk, stat.S_IFBLK | 0o600, os.makedev(7, 0))
    for access in Access:
        assert refused(GrantRequest(access, os.fsencode(disk), False)).code == "grant.untouchable"


def test_directories_of_devices() -> None:
    with ask(GrantRequest(READWRITE, b"/dev/shm", True)) as found:
        assert found.files[0].path == os.path.realpath(b"/dev/shm")
    for path in (b"/dev", b"/dev/pts", b"/"):
        assert refused(GrantRequest(READ, path, True)).code == "grant.untouchable"


def test_loops_and_paths_through_files(base: bytes) -> None:
    os.symlink(b"loop", base + b"/loop")
    Path(os.fsdecode(base + b"/f")).touch()
    assert "symbolic links" in str(refused(GrantRequest(READ, b"loop", True), workdir=base))
    assert "not a directory" in str(refused(GrantRequest(READ, b"f/x", True), workdir=base))
    assert "name too long" in str(refused(GrantRequest(READ, b"n" * 5000, True), workdir=base))


def test_a_directory_that_may_not_be_searched(tmp_path: Path) -> None:
    """As an ordinary user: root may search everything."""
    closed = tmp_path / "closed"
    (closed / "d").mkdir(parents=True)
    closed.chmod(0)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                for above in tmp_path.parents:
                    if above.stat().st_uid == 0 and above.name:
                        above.chmod(above.stat().st_mode | 0o011)
                tmp_path.chmod(0o755)
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            error = refused(GrantRequest(READ, os.fsencode(closed / "d"), True))
            status = 0 if "permission denied" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    closed.chmod(0o700)


def test_a_removed_directory_has_no_path(base: bytes) -> None:
    os.mkdir(base + b"/gone")
    descriptor = os.open(base + b"/gone", os.O_PATH)
    os.rmdir(base + b"/gone")
    try:
        error = refused(GrantRequest(READ, b"/proc/self/fd/%d" % descriptor, True))
        assert error.code == "grant.unusable"
        os.mkdir(base + b"/gone (deleted)")  # the name that the kernel gives the removed one
        assert refused(GrantRequest(READ, b"/proc/self/fd/%d" % descriptor, True)).code == "grant.unusable"
    finally:
        os.close(descriptor)


def test_a_pipe_has_no_path() -> None:
    reading, writing = os.pipe()
    try:
        error = refused(GrantRequest(READ, b"/proc/self/fd/%d" % reading, False))
        assert error.code == "grant.unusable"
    finally:
        os.close(reading)
        os.close(writing)


def test_magic_links_are_judged_by_their_object(base: bytes) -> None:
    os.makedirs(base + b"/home/.ssh")
    descriptor = os.open(base + b"/home/.ssh", os.O_PATH)
    try:
        path = b"/proc/self/fd/%d" % descriptor
        error = refused(GrantRequest(READ, path, True), judged_by=guard(home=base + b"/home"))
        assert error.code == "grant.protected"
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("path", [b"", b"a\0b", b"~nobody/x"])
def test_paths_that_mean_nothing(path: bytes) -> None:
    with pytest.raises(UsageError):
        ask(GrantRequest(READ, b"/usr", True), GrantRequest(READ, path, True))


def test_one_refusal_closes_everything(base: bytes) -> None:
    os.mkdir(base + b"/private", 0o700)
    extra = private_directory_grant(base + b"/private")
    judged_by = guard(Untouchable(read_write=(base + b"/l.db",)))
    with pytest.raises(GrantError):
        ask(
            GrantRequest(READ, b"/usr", True),
            GrantRequest(READ, base, True),
            judged_by=judged_by,
            extra=(extra,),
        )
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(extra.descriptor)


def test_duplicates_merge_and_keep_one_descriptor(base: bytes) -> None:
    os.mkdir(base + b"/d")
    os.symlink(b"d", base + b"/link")
    with ask(
        GrantRequest(READ, b"d", True, PROFILE),
        GrantRequest(READ, b"d", True),
        GrantRequest(WRITE, b"link", True),
        GrantRequest(READ, b"d/../d", True),
        workdir=base,
    ) as found:
        assert [(grant.path, grant.access, grant.source) for grant in found.files] == [
            (base + b"/d", READWRITE, USER)
        ]
        assert os.path.samestat(os.fstat(found.opened[0].descriptor), os.stat(base + b"/d"))


def test_nested_grants_stay_as_asked(base: bytes) -> None:
    os.makedirs(base + b"/a/b")
    with ask(GrantRequest(READ, b"a", True), GrantRequest(READWRITE, b"a/b", True), workdir=base) as found:
        assert [(grant.path, grant.access) for grant in found.files] == [
            (base + b"/a", READ),
            (base + b"/a/b", READWRITE),
        ]


def test_a_default_inside_another_default_is_dropped(base: bytes) -> None:
    os.makedirs(base + b"/usr/bin")
    os.symlink(b"usr/bin", base + b"/bin")
    source = group_source("system_paths")
    requests = [
        GrantRequest(READ, base + b"/bin", True, source),
        GrantRequest(READ, base + b"/usr", True, source),
        GrantRequest(READ, base + b"/none", True, source),
    ]
    warnings: list[str] = []
    with ask(*requests, warnings=warnings) as found:
        assert [grant.path for grant in found.files] == [base + b"/usr"]
        assert found.missing == ()
    assert warnings == []
    with ask(*requests, GrantRequest(READ, base + b"/bin", True)) as found:
        assert [(grant.path, grant.source) for grant in found.files] == [
            (base + b"/usr", source),
            (base + b"/usr/bin", USER),
        ]


def test_the_private_directory_must_be_private(base: bytes) -> None:
    os.mkdir(base + b"/t", 0o700)
    opened = private_directory_grant(base + b"/t")
    assert (opened.grant.access, opened.grant.source, opened.grant.directory) == (READWRITE, SYSTEM, True)
    os.close(opened.descriptor)
    os.chmod(base + b"/t", 0o750)
    with pytest.raises(GrantError, match="not private"):
        private_directory_grant(base + b"/t")
    os.symlink(b"t", base + b"/l")
    with pytest.raises(OSError, match="Not a directory"):
        private_directory_grant(base + b"/l")


def test_the_working_directory_is_for_reading(base: bytes) -> None:
    with ask(working_directory_request(base)) as found:
        assert [(grant.path, grant.access, grant.source) for grant in found.files] == [(base, READ, USER)]


def asked(
    *, flag: bool = False, profile_blocks: bool = False, user: Ports = NO_PORTS, profile: Ports = NO_PORTS
) -> tuple[Network, Ports]:
    return network_asked(block_net=flag, profile_blocks=profile_blocks, user=user, profile=profile)


def test_either_side_blocks_the_network() -> None:
    assert asked() == (Network.ALL, NO_PORTS)
    for flag, profile in [(True, False), (False, True), (True, True)]:
        assert asked(flag=flag, profile_blocks=profile) == (Network.BLOCKED, NO_PORTS)
        # What a profile opens, whoever blocks it closes.
        closed = asked(flag=flag, profile_blocks=profile, profile=Ports(connect=(443,)))
        assert closed == (Network.BLOCKED, NO_PORTS)


def test_ports_of_both_sides_come_together() -> None:
    network, found = asked(
        user=ports(connect=[443, 53], listen=[80], loopback=[99]),
        profile=ports(connect=[53, 22], listen=[99], loopback=[80, 7]),
    )
    assert network is Network.PORTS
    assert found == Ports(connect=(22, 53, 443), listen=(80, 99), listen_loopback=(7,))


@pytest.mark.parametrize("who", ["flag", "profile_blocks"])
def test_ports_of_a_network_that_is_blocked_are_no_small_matter(who: str) -> None:
    with pytest.raises(UsageError, match="closes the whole network, and ports were asked for") as caught:
        asked(**{who: True}, user=Ports(listen=(80,)))  # type: ignore[arg-type]  # a bool by either name
    assert caught.value.hint


def test_more_ports_than_the_record_takes() -> None:
    user, profile = Ports(connect=tuple(range(1, 257))), Ports(connect=tuple(range(1, 258)))
    assert asked(user=user)[1] == user
    with pytest.raises(UsageError, match="more than 256 ports"):
        asked(user=user, profile=profile)


STREAMS = """
import os, sys
sys.path[:0] = os.environ["TEST_PATH"].split(os.pathsep)
from runtime.errors import GrantError
from runtime.capability.grants import standard_stream_grants
from runtime.capability.protected import Guard, Untouchable
base = os.fsencode(sys.argv[1])
guard = Guard(
    Untouchable(read_write=(base + b"/ledger",), write=(base + b"/code",)), home_directories=[base + b"/home"]
)
with open(sys.argv[2], "w") as report:
    try:
        for opened in standard_stream_grants(guard):
            path = os.fsdecode(os.readlink(b"/proc/self/fd/%d" % opened.descriptor))
            assert opened.grant.path == os.fsencode(path) and opened.grant.source == "system"
            print(os.path.basename(path), opened.grant.access, file=report)
    except GrantError as error:
        print(error.code, str(error).split(" is ")[0], file=report)
"""


def _streams(base: bytes, *, stdin: int, stdout: int, stderr: int) -> list[str]:
    report = os.fsdecode(base + b"/report")
    environment = {**os.environ, "TEST_PATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", STREAMS, os.fsdecode(base), report]
    subprocess.run(command, stdin=stdin, stdout=stdout, stderr=stderr, check=True, env=environment)
    return Path(report).read_text().splitlines()


@contextlib.contextmanager
def _opened(path: bytes, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_streams_are_granted_as_they_are_open(base: bytes) -> None:
    with (
        _opened(base + b"/in", os.O_RDONLY) as stdin,
        _opened(base + b"/out", os.O_WRONLY | os.O_APPEND) as stdout,
        _opened(base + b"/err", os.O_RDWR) as stderr,
    ):
        assert _streams(base, stdin=stdin, stdout=stdout, stderr=stderr) == [
            "in read", "out write", "err readwrite",
        ]  # fmt: skip


def test_a_terminal_is_granted_by_itself(base: bytes) -> None:
    leader, terminal = os.openpty()
    try:
        name = os.path.basename(os.ttyname(terminal))
        assert _streams(base, stdin=terminal, stdout=terminal, stderr=terminal) == [f"{name} readwrite"] * 3
    finally:
        os.close(leader)
        os.close(terminal)


def test_streams_without_a_path_get_no_rule_and_no_error(base: bytes) -> None:
    reading, writing = os.pipe()
    with _opened(base + b"/gone", os.O_RDWR) as gone:
        os.unlink(base + b"/gone")
        assert _streams(base, stdin=reading, stdout=writing, stderr=gone) == []
    os.close(reading)
    os.close(writing)


def test_a_denied_file_on_a_stream_gets_no_rule(base: bytes) -> None:
    os.mkdir(base + b"/home")
    with _opened(base + b"/home/.netrc", os.O_RDONLY) as secret, _opened(base + b"/out", os.O_WRONLY) as out:
        assert _streams(base, stdin=secret, stdout=out, stderr=out) == ["out write"] * 2


def test_a_stream_that_no_command_may_reach_is_refused(base: bytes) -> None:
    with _opened(base + b"/out", os.O_WRONLY) as out:
        with _opened(base + b"/ledger", os.O_RDONLY) as ledger:
            expected = ["grant.untouchable standard input"]
            assert _streams(base, stdin=ledger, stdout=out, stderr=out) == expected
        with _opened(base + b"/code", os.O_WRONLY) as code:
            expected = ["grant.untouchable standard output"]
            assert _streams(base, stdin=subprocess.DEVNULL, stdout=code, stderr=out) == expected
        with _opened(base + b"/code", os.O_RDONLY) as code:
            assert _streams(base, stdin=code, stdout=out, stderr=out) == ["code read", *["out write"] * 2]


def test_streams_here_are_judged_without_leaks() -> None:
    for opened in standard_stream_grants(guard()):
        os.close(opened.descriptor)


# --- groups in a home ------------------------------------------------------------------------------


def of_group(path: bytes, access: Access = READWRITE) -> GrantRequest:
    return GrantRequest(access, path, directory=True, source=group_source("python_caches"))


@pytest.fixture
def home(base: bytes, monkeypatch: pytest.MonkeyPatch) -> bytes:
    os.makedirs(base + b"/home/.cache")
    monkeypatch.setenv("HOME", os.fsdecode(base + b"/home"))
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.delenv(f"XDG_{name}_HOME", raising=False)
    return base + b"/home"


@pytest.mark.parametrize(
    ("variable", "usual"),
    [
        ("XDG_CACHE_HOME", b"~/.cache/tool"),
        ("XDG_CONFIG_HOME", b"~/.config/tool"),
        ("XDG_DATA_HOME", b"~/.local/share/tool"),
        ("XDG_STATE_HOME", b"~/.local/state/tool"),
    ],
)
def test_a_variable_moves_what_a_group_names(
    home: bytes, base: bytes, variable: str, usual: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.makedirs(base + b"/moved/tool")
    os.makedirs(home + usual[1:])
    for value, place in ((base + b"/moved", base + b"/moved/tool"), (b"relative", home + usual[1:])):
        monkeypatch.setenv(variable, os.fsdecode(value))
        with ask(of_group(usual), judged_by=guard(home=home)) as found:
            assert [(grant.path, grant.asked) for grant in found.files] == [(place, usual)]
    monkeypatch.setenv(variable, os.fsdecode(home))  # where a link there leads is judged as well
    os.symlink(home + b"/.ssh", home + b"/tool")
    os.mkdir(home + b"/.ssh")
    assert refused(of_group(usual), judged_by=guard(home=home)).code == "grant.protected"


def test_a_group_grants_what_is_there_whatever_it_is(home: bytes) -> None:
    os.mkdir(home + b"/.cache/pip")
    Path(os.fsdecode(home + b"/.tool.json")).touch()
    said: list[str] = []
    requests = [of_group(b"~/.cache/pip"), of_group(b"~/.tool.json", READ), of_group(b"~/.cache/none")]
    with ask(*requests, judged_by=guard(home=home), warnings=said) as found:
        assert [(grant.path, grant.directory, grant.access) for grant in found.files] == [
            (home + b"/.cache/pip", True, READWRITE),
            (home + b"/.tool.json", False, READ),
        ]
        assert {grant.source for grant in found.files} == {"group:python_caches"}
        assert found.missing == ()
    assert said == []


def test_a_group_does_not_follow_the_user_to_what_is_protected(home: bytes, base: bytes) -> None:
    """A link in the home, to a secret or to what nono keeps, is judged where it leads."""
    os.mkdir(home + b"/.ssh")
    os.mkdir(base + b"/state")
    for target, code in ((home + b"/.ssh", "grant.protected"), (base + b"/state", "grant.untouchable")):
        os.symlink(target, home + b"/.cache/pip")
        judged_by = guard(Untouchable(read_write=(base + b"/state",)), home=home)
        error = refused(of_group(b"~/.cache/pip"), judged_by=judged_by)
        assert error.code == code
        assert "(group:python_caches)" in str(error)
        assert str(error.hint).endswith('"groups": {"exclude": ["python_caches"]}')
        os.unlink(home + b"/.cache/pip")


def test_a_group_does_not_grant_for_writing_what_nono_runs(home: bytes) -> None:
    os.makedirs(home + b"/.cache/uv/archive")
    judged_by = guard(Untouchable(write=(home + b"/.cache/uv/archive",)), home=home)
    assert refused(of_group(b"~/.cache/uv"), judged_by=judged_by).code == "grant.untouchable"
    with ask(of_group(b"~/.cache/uv", READ), judged_by=judged_by) as found:
        assert len(found.files) == 1


@pytest.mark.parametrize("target", ["/dev", "/", "/dev/pts"])
def test_a_group_opens_no_whole_tree(home: bytes, target: str) -> None:
    os.symlink(target, home + b"/.cache/pip")
    assert refused(of_group(b"~/.cache/pip"), judged_by=guard(home=home)).code == "grant.untouchable"


def test_without_a_home_a_group_grants_nothing_there(home: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkdir(home + b"/.cache/pip")
    monkeypatch.setattr("runtime.capability.grants.homes", lambda: ())
    with ask(of_group(b"~/.cache/pip"), judged_by=guard(home=home)) as found:
        assert found.files == ()


def test_what_a_group_denies_is_denied(home: bytes) -> None:
    os.mkdir(home + b"/.codex")
    request = GrantRequest(READ, b"~/.codex", directory=True)
    with ask(request, judged_by=guard(home=home)) as found:
        assert len(found.files) == 1
    denials = {"deny_agent_credentials": (b".codex",)}
    denying = Guard(Untouchable(), home_directories=[home], denials=denials)
    error = refused(request, judged_by=denying)
    assert (error.code, "(group deny_agent_credentials)" in str(error)) == ("grant.protected", True)
