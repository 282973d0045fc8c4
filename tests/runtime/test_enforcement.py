"""No enforcement, no launch: whatever required feature is missing, before or after the fork, is an error."""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runtime.capability.capabilities import NO_PORTS, CapabilitySet, Network, Ports
from runtime.errors import EnforcementError
from runtime.kernel import syscalls
from runtime.sandbox import enforcement, enforcement_probe, seccomp_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runtime.sandbox.enforcement import Prepared

ALLOW_EVERYTHING = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
BOTH = list(Network)


@pytest.fixture
def cache(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path)


@pytest.fixture
def prepare(cache: bytes) -> Iterator[Callable[..., Prepared]]:
    made: list[Prepared] = []

    def prepare(
        network: Network = Network.BLOCKED,
        waived: tuple[str, ...] = (),
        ports: Ports = NO_PORTS,
        outer: str | None = None,
    ) -> Prepared:
        capabilities = CapabilitySet((), network, ports)
        made.append(enforcement.prepare(capabilities, [], cache_directory=cache, waived=waived, outer=outer))
        return made[-1]

    yield prepare
    for prepared in made:
        prepared.close()


def in_child(function: Callable[[], object]) -> object:
    """Run in a forked child; return its value, or the text of its EnforcementError."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(function()).encode())
        except EnforcementError as error:
            os.write(writer, json.dumps(f"{error} / {error.hint}").encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)


def test_the_features_are_a_closed_list_in_order() -> None:
    assert (
        *("filesystem", "truncate", "ioctl", "network", "scope", "filter", "capabilities"),
        *("exec-stop", "lease", "metadata"),
    ) == enforcement.FEATURES
    assert (*enforcement.FEATURES[:7], "metadata") == enforcement.RESTRICTED_HERE


def test_what_is_required() -> None:
    blocked = enforcement.required_features(Network.BLOCKED)
    assert set(enforcement.FEATURES) - blocked == {"ioctl", "lease", "metadata"}
    assert blocked - enforcement.required_features(Network.ALL) == {"network"}
    assert blocked - enforcement.required_features(Network.BLOCKED, waived=("scope",)) == {"scope"}


@pytest.mark.parametrize(
    ("waived", "code"),
    [
        ("filesystem", "enforcement.never_waived"),
        ("filter", "enforcement.never_waived"),
        ("fliter", "enforcement.unknown"),
    ],
)
def test_what_cannot_be_waived(waived: str, code: str) -> None:
    with pytest.raises(EnforcementError) as caught:
        enforcement.required_features(Network.BLOCKED, waived=(waived,))
    assert caught.value.code == code


@pytest.mark.parametrize("network", BOTH)
def test_everything_is_achieved_here(prepare: Callable[..., Prepared], network: Network) -> None:
    prepared = prepare(network)
    achieved = in_child(lambda: enforcement.restrict_self(prepared))
    assert achieved == dict.fromkeys(enforcement.RESTRICTED_HERE, True) | {
        "metadata": False,
        "network": network is not Network.ALL,
    }


def test_the_child_imports_nothing(prepare: Callable[..., Prepared]) -> None:
    prepared = prepare()

    def probe() -> list[str]:
        before = set(sys.modules)
        enforcement.restrict_self(prepared)
        return sorted(set(sys.modules) - before)

    assert in_child(probe) == []


def test_what_a_launch_loads_for_this(cache: bytes, prepare: Callable[..., Prepared]) -> None:
    """The price of the sandbox, module by module; pyseccomp, socket and subprocess are not in it."""
    prepare()
    code = (
        "import sys, types, dataclasses, hashlib, attest.canonical\n"
        "bare = types.ModuleType('runtime'); bare.__path__ = [sys.argv[2]]\n"  # without the front door
        "sys.modules['runtime'] = bare; before = set(sys.modules)\n"
        "from runtime.sandbox import enforcement\n"
        "from runtime.capability.capabilities import CapabilitySet, Network\n"
        "c = sys.argv[1].encode(); s = CapabilitySet((), Network.BLOCKED)\n"
        "p = enforcement.prepare(s, [], cache_directory=c); enforcement.restrict_self(p)\n"
        "print(*sorted(n for n in set(sys.modules) - before if not n.startswith('runtime.')))"
    )
    place = os.path.dirname(os.path.dirname(enforcement.__file__))
    command = [sys.executable, "-c", code, os.fsdecode(cache), place]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
    allowed = {"_ctypes", "ctypes", "ctypes._endian", "errno", "fcntl", "platform", "struct", "_struct"}
    assert set(said) <= allowed


@pytest.mark.parametrize(
    ("number", "why", "hint"),
    [
        (errno.ENOSYS, "no Landlock", "CONFIG_SECURITY_LANDLOCK"),
        (errno.EOPNOTSUPP, "not enabled", "lsm="),
        (errno.EPERM, "refused to this process", "seccomp profile"),
    ],
)
def test_no_landlock_at_all(
    prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch, number: int, why: str, hint: str
) -> None:
    def abi() -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(syscalls, "landlock_abi", abi)
    with pytest.raises(EnforcementError, match=why) as caught:
        prepare()
    assert caught.value.hint is not None
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("abi", "missing", "release"),
    [(1, "truncate and scope", "6.12"), (3, "scope", "6.12"), (5, "scope", "6.12")],
)
def test_an_older_kernel(
    prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch, abi: int, missing: str, release: str
) -> None:
    """All that is missing is said at once, and the hint is a kernel that has all of it."""
    monkeypatch.setattr(syscalls, "landlock_abi", lambda: abi)
    with pytest.raises(
        EnforcementError, match=f"cannot enforce {missing}: it has Landlock ABI {abi}, not 6"
    ) as caught:
        prepare()
    assert caught.value.hint == f"use Linux {release} or newer"


def test_of_an_older_kernel_only_what_is_required_counts(
    prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "landlock_abi", lambda: 2)
    with pytest.raises(EnforcementError, match="enforce truncate: it has Landlock ABI 2, not 3") as caught:
        prepare(waived=("scope",))
    assert caught.value.hint == "use Linux 6.2 or newer"


@pytest.mark.parametrize("abi", range(1, 7))
@pytest.mark.parametrize("ports", [Ports(connect=(443,)), Ports(listen=(80,)), Ports(listen_loopback=(80,))])
def test_ports_on_an_older_kernel(
    prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch, abi: int, ports: Ports
) -> None:
    """Nothing but Landlock tells ports apart, and nothing is put in its place."""
    monkeypatch.setattr(syscalls, "landlock_abi", lambda: abi)
    if abi >= 4:
        assert prepare(Network.PORTS, ("scope",), ports).ports == ports
        return
    with pytest.raises(EnforcementError, match=f"cannot tell TCP ports apart: .* ABI {abi}, not 4") as caught:
        prepare(Network.PORTS, ("scope", "truncate"), ports)
    assert caught.value.hint == "use Linux 6.7 or newer, or close the network with --block-net"


@pytest.mark.parametrize("abi", range(1, 7))
def test_a_blocked_network_on_an_older_kernel(
    prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch, abi: int
) -> None:
    """There the filter alone is enough: there are no sockets to begin with."""
    monkeypatch.setattr(syscalls, "landlock_abi", lambda: abi)
    prepared = prepare(waived=("scope", "truncate"))
    achieved = in_child(lambda: enforcement.restrict_self(prepared))
    assert isinstance(achieved, dict)
    assert achieved["network"] is True


def test_ports_that_landlock_does_not_hold_are_noticed(
    prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "landlock_restrict_self", lambda *_: None)
    prepared = prepare(Network.PORTS, ports=Ports(connect=(443,)))
    said = str(in_child(lambda: enforcement.restrict_self(prepared)))
    assert "not enforced although required: network" in said


def test_ports_with_the_filter_of_an_open_network_are_noticed(prepare: Callable[..., Prepared]) -> None:
    prepared = prepare(Network.PORTS, ports=Ports(connect=(443,)))
    prepared = prepared._replace(program=prepare(Network.ALL).program)
    said = str(in_child(lambda: enforcement.restrict_self(prepared)))
    assert "not enforced although required: network" in said


def test_ports_to_listen_on_need_somebody_who_mediates(prepare: Callable[..., Prepared]) -> None:
    prepared = prepare(Network.PORTS, ports=Ports(listen=(80,)))
    assert "nobody mediates" in str(in_child(lambda: enforcement.restrict_self(prepared)))


@pytest.mark.parametrize(
    ("outer", "named"), [(None, "the sandbox around it"), ("0" * 32, f"launch {'0' * 32}")]
)
def test_a_second_listener_is_refused_by_the_kernel(
    prepare: Callable[..., Prepared], outer: str | None, named: str
) -> None:
    prepared = prepare(Network.PORTS, ports=Ports(listen=(80,)), outer=outer)

    def probe() -> None:
        for _ in range(2):
            enforcement.restrict_self(prepared, lambda _: None)

    said = str(in_child(probe))
    assert named in said
    assert "cannot run inside of another" in said
    assert "leave out --listen-port" in said


def test_an_older_kernel_with_the_missing_features_waived(
    prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "landlock_abi", lambda: 4)
    prepared = prepare(waived=("scope",))
    achieved = in_child(lambda: enforcement.restrict_self(prepared))
    assert isinstance(achieved, dict)
    assert {name for name, done in achieved.items() if not done} == {"ioctl", "metadata", "scope"}


def test_a_filter_that_lets_everything_pass_is_noticed(prepare: Callable[..., Prepared]) -> None:
    prepared = prepare()._replace(program=ALLOW_EVERYTHING)
    assert "not enforced although required: filter, network" in str(
        in_child(lambda: enforcement.restrict_self(prepared))
    )


def test_the_filter_of_an_open_network_is_noticed(prepare: Callable[..., Prepared]) -> None:
    prepared = prepare()._replace(program=prepare(Network.ALL).program)
    assert "not enforced although required: network" in str(
        in_child(lambda: enforcement.restrict_self(prepared))
    )


@pytest.mark.parametrize("program", [b"", bytes(8), bytes(7), bytes(8 * 5000)])
def test_a_program_that_the_kernel_refuses(prepare: Callable[..., Prepared], program: bytes) -> None:
    prepared = prepare()._replace(program=program)
    assert "the child cannot load the system call filter" in str(
        in_child(lambda: enforcement.restrict_self(prepared))
    )


def test_a_ruleset_that_is_none(prepare: Callable[..., Prepared]) -> None:
    prepared = prepare()._replace(ruleset=0)
    assert "the child cannot restrict itself with Landlock" in str(
        in_child(lambda: enforcement.restrict_self(prepared))
    )


def test_too_many_sandboxes_within_each_other(prepare: Callable[..., Prepared]) -> None:
    prepared = prepare()

    def probe() -> None:
        for _ in range(17):
            enforcement.restrict_self(prepared)

    assert "nested 16 deep" in str(in_child(probe))


def test_a_failure_to_give_up_privileges(
    prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    def capset(*_: int) -> None:
        raise OSError(errno.EPERM, "capset: Operation not permitted")

    monkeypatch.setattr(syscalls, "capset", capset)
    prepared = prepare()
    assert "the child cannot give up privileges: capset" in str(
        in_child(lambda: enforcement.restrict_self(prepared))
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities that can fail to go")
def test_capabilities_that_did_not_go_are_noticed(
    prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "capset", lambda *_: None)
    prepared = prepare()
    assert "not enforced although required: capabilities" in str(
        in_child(lambda: enforcement.restrict_self(prepared))
    )


def test_a_failed_preparation_leaves_nothing_open(
    cache: bytes, prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(EnforcementError):
        enforcement.prepare(
            CapabilitySet((), Network.BLOCKED), [], cache_directory=cache, executable_rules=(9999,)
        )
    assert os.listdir("/proc/self/fd") == before


def found(cache: bytes) -> dict[str, enforcement_probe.Finding]:
    return {finding.feature: finding for finding in enforcement_probe.probe(cache)}


def test_the_probe_finds_what_this_kernel_has(cache: bytes) -> None:
    findings = found(cache)
    assert tuple(findings) == enforcement.FEATURES
    assert {name for name, finding in findings.items() if not finding.enforced} == {"metadata"}
    assert all((finding.hint is None) is finding.enforced for finding in findings.values())
    assert [name for name in os.listdir(cache) if name.startswith(b"probe-")] == []


def test_the_probe_believes_attempts_not_announcements(cache: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that says yes to everything and enforces nothing (some emulations do)."""
    monkeypatch.setattr(syscalls, "landlock_restrict_self", lambda *_: None)
    monkeypatch.setattr(syscalls, "load_seccomp_filter", lambda _: None)
    if os.geteuid() == 0:
        monkeypatch.setattr(syscalls, "capset", lambda *_: None)
    held = {name for name, finding in found(cache).items() if finding.enforced}
    assert held == {"exec-stop", "lease"} | (set() if os.geteuid() == 0 else {"capabilities"})


def test_the_probe_on_an_older_kernel(cache: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "landlock_abi", lambda: 2)
    findings = found(cache)
    missing = {name for name, finding in findings.items() if not finding.enforced}
    assert missing == {"truncate", "ioctl", "scope", "metadata"}
    assert findings["scope"].hint == "use Linux 6.12 or newer"


def test_the_probe_without_landlock_or_a_filter(cache: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "x")

    def no_library(*_: object, **__: object) -> tuple[bytes, str]:
        raise EnforcementError("cannot build the system call filter: none", hint="install libseccomp")

    monkeypatch.setattr(syscalls, "landlock_abi", nothing)
    monkeypatch.setattr(seccomp_filter, "load_or_build", no_library)
    findings = found(cache)
    assert {name for name, finding in findings.items() if finding.enforced} == {
        "capabilities",
        "exec-stop",
        "lease",
    }
    assert "lsm=" in str(findings["filesystem"].hint)
    assert "install libseccomp" in str(findings["network"].hint)


def test_the_probe_under_a_tracer(cache: bytes) -> None:
    """A debugger that follows forks leaves no room for the exec stop."""
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0 if found(cache)["exec-stop"].enforced else 3)
    os.waitpid(child, os.WUNTRACED)
    syscalls.ptrace_seize(
        child, syscalls.PTRACE_O_TRACEFORK | syscalls.PTRACE_O_TRACEVFORK | syscalls.PTRACE_O_TRACECLONE
    )
    os.kill(child, signal.SIGCONT)
    while True:
        pid, status = os.waitpid(-1, 0x40000000)  # __WALL
        if os.WIFSTOPPED(status):
            stop = os.WSTOPSIG(status)
            passed_on = 0 if stop == signal.SIGTRAP or status >> 16 else stop
            syscalls.ptrace_cont(pid, passed_on)
        elif pid == child:
            assert os.waitstatus_to_exitcode(status) == 3
            return
