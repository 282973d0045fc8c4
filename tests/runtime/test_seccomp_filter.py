"""The leak filter's program means what its tables say, and its cache is believed only when nothing is odd."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.broker import metadata_mediation, open_mediation
from runtime.capability.capabilities import Network
from runtime.errors import EnforcementError
from runtime.sandbox import seccomp_filter, seccomp_rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALLOW, KILL_PROCESS, ERRNO, NOTIFY = 0x7FFF0000, 0x80000000, 0x00050000, 0x7FC00000
X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
NATIVE = {"x86_64": X86_64, "aarch64": AARCH64}[os.uname().machine]
MODES = list(Network)
Kind: TypeAlias = tuple[Network, bool, bool, bool, bool]
# A network, whether there are ports to listen on, UNIX sockets, protected metadata, elevation: every filter
# of what is not traced.
KINDS: list[Kind] = [
    (network, listens, sockets, metadata, opens)
    for opens in (False, True)
    for metadata in (False, True)
    for sockets in (False, True)
    for network, listens in (*((network, False) for network in Network), (Network.PORTS, True))
]
PROGRAMS = {network: seccomp_rules.build(network) for network in Network}


def of(network: Network, listens: bool, sockets: bool) -> Kind:  # as the kinds are written
    return network, listens, sockets, False, False


def options(kind: Kind) -> dict[str, bool]:
    return dict(zip(("listens", "unix_sockets", "metadata", "opens"), kind[1:], strict=True))


def rules_of(kind: Kind, *, traced: bool = False) -> list[seccomp_rules.Rule]:
    return list(seccomp_rules.rules(kind[0], traces_execs=traced, **options(kind)))


COMPILED = {kind: seccomp_rules.build(kind[0], **options(kind)) for kind in KINDS}
TRACED = {kind: seccomp_rules.build(kind[0], traces_execs=True, **options(kind)) for kind in KINDS}


def verdict(program: bytes, number: int, arguments: tuple[int, ...], machine: int = NATIVE) -> int:
    """Run a classic BPF program on one ``seccomp_data``, as the kernel does (seccomp(2))."""
    data = struct.pack("<IIQ6Q", number, machine, 0, *arguments)
    accumulator = position = 0
    while True:
        code, if_true, if_false, constant = struct.unpack_from("<HBBI", program, 8 * position)
        position += 1
        match code:
            case 0x20:  # load a word
                (accumulator,) = struct.unpack_from("<I", data, constant)
            case 0x54:  # and
                accumulator &= constant
            case 0x05:  # jump
                position += constant
            case 0x15:
                position += if_true if accumulator == constant else if_false
            case 0x25:
                position += if_true if accumulator > constant else if_false
            case 0x35:
                position += if_true if accumulator >= constant else if_false
            case 0x06:
                return int(constant)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def expected(kind: Kind, number: int, arguments: tuple[int, ...]) -> set[int]:
    """What the tables say about a call, read without libseccomp."""
    if number > seccomp_rules.NEWEST_KNOWN_CALL:
        return {ERRNO | errno.ENOSYS}
    refusals = set()
    for rule in rules_of(kind):
        if seccomp_rules.number(rule.call) != number:
            continue
        holds = []
        for comparison in rule.comparisons:
            register = arguments[comparison.argument]
            if comparison.operator == "is":
                holds.append(register & comparison.mask == comparison.value)
            elif comparison.operator == "is not":
                holds.append(register != comparison.value)
            else:
                holds.append(register > comparison.value)
        if all(holds):
            refusals.add(NOTIFY if rule.error == seccomp_rules.NOTIFY else ERRNO | rule.error)
    return refusals or {ALLOW}


NAMED = sorted(
    {
        number
        for network in Network
        for rule in rules_of((network, False, False, True, True))
        if (number := seccomp_rules.number(rule.call))
    }
)
small = st.integers(0, 70)
interesting = st.sampled_from(
    [
        0x5412,
        0x541C,
        0x5423,
        0x10000000,
        0x20000000,
        0x80,
        0x11,
        0x1000,
        0x80001,
        0x80002,
        0x803,
        1 << 31,
        262,
        0x40086602,
        0x401C5820,
        0x40087602,
    ]
)
register = st.one_of(
    small,
    interesting,
    st.integers(0, (1 << 64) - 1),
    st.builds(lambda low, high: low | high << 32, st.one_of(small, interesting), st.integers(1, 0xFFFFFFFF)),
)


@given(
    kind=st.sampled_from(KINDS),
    number=st.one_of(st.sampled_from(NAMED), st.integers(0, 600)),
    arguments=st.tuples(*[register] * 6),
)
@example(kind=of(Network.ALL, False, True), number=41, arguments=(1, 2, 0, 0, 0, 0))
@example(kind=of(Network.BLOCKED, False, True), number=41, arguments=(1 << 32 | 2, 1, 0, 0, 0, 0))
@example(kind=of(Network.ALL, False, False), number=16, arguments=(0, 1 << 32 | 0x5412, 0, 0, 0, 0))
@example(kind=of(Network.PORTS, True, False), number=41, arguments=(10, 1, 1 << 32 | 6, 0, 0, 0))
@example(kind=of(Network.PORTS, False, False), number=41, arguments=(2, 1, 262, 0, 0, 0))
@example(
    kind=of(Network.PORTS, False, False),
    number=44,
    arguments=(3, 0, 0, 1 << 32 | 0x20000000, 0, 0),
)
@example(kind=of(Network.ALL, False, False), number=41, arguments=(1 << 32 | 1, 1, 0, 0, 0, 0))
@example(
    kind=of(Network.ALL, False, False),
    number=72,
    arguments=(0, 1 << 32 | 1024, 1 << 32 | 1, 0, 0, 0),
)
def test_the_program_says_what_the_tables_say(kind: Kind, number: int, arguments: tuple[int, ...]) -> None:
    assert verdict(COMPILED[kind], number, arguments) in expected(kind, number, arguments)


@pytest.mark.parametrize("kind", KINDS)
@given(number=st.integers(0, seccomp_rules.NEWEST_KNOWN_CALL), arguments=st.tuples(*[register] * 6))
def test_other_architectures_end_the_process(kind: Kind, number: int, arguments: tuple[int, ...]) -> None:
    for machine in {X86_64, I386, AARCH64} - {NATIVE}:
        assert verdict(COMPILED[kind], number, arguments, machine) == KILL_PROCESS


@pytest.mark.skipif(NATIVE != X86_64, reason="only x86-64 has a second set of numbers")
@pytest.mark.parametrize("kind", KINDS)
@given(number=st.integers(0x40000000, 0xFFFFFFFE))
def test_x32_numbers_end_the_process(kind: Kind, number: int) -> None:
    assert verdict(COMPILED[kind], number, (0,) * 6) == KILL_PROCESS


def test_the_version_is_raised_with_every_change_of_the_rules() -> None:
    """A launch takes the cached program by version; change this digest only together with RULES_VERSION."""
    stated = repr(
        (
            seccomp_rules.NEWEST_KNOWN_CALL,
            *(tuple(rules_of(kind)) for kind in KINDS),
            *(tuple(rules_of(kind, traced=True)) for kind in KINDS),
            *(tuple(seccomp_rules.rules(network, sysv_ipc=True)) for network in Network),
        )
    )
    digest = hashlib.sha256(stated.encode()).hexdigest()[:16]
    assert (seccomp_filter.RULES_VERSION, digest) == (12, "8c8557268d798965")


@pytest.mark.parametrize("network", Network)
def test_system_v_is_all_that_asking_for_it_opens(network: Network) -> None:
    opened = seccomp_rules.build(network, sysv_ipc=True)
    gone = set(seccomp_rules.rules(network)) - set(seccomp_rules.rules(network, sysv_ipc=True))
    assert {rule.call for rule in gone} == set(seccomp_rules._SYSV)
    for number in range(seccomp_rules.NEWEST_KNOWN_CALL + 2):
        closed = verdict(PROGRAMS[network], number, (0,) * 6)
        if number in {seccomp_rules.number(call) for call in seccomp_rules._SYSV}:
            assert (closed & 0xFFFF, verdict(opened, number, (0,) * 6)) == (errno.ENOSYS, ALLOW)
        else:
            assert verdict(opened, number, (0,) * 6) == closed


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind[3]])
def test_what_changes_metadata_is_notified_where_it_is_protected(kind: Kind) -> None:
    without = (*kind[:3], False, kind[4])
    for rule in set(rules_of(kind)) - set(rules_of(without)):
        number = seccomp_rules.number(rule.call)
        if number is None:
            continue
        request = next((each.value for each in rule.comparisons), 0)
        wanted = NOTIFY if rule.error == seccomp_rules.NOTIFY else ERRNO | rule.error
        assert verdict(COMPILED[kind], number, (0, request, 0, 0, 0, 0)) == wanted
        assert verdict(COMPILED[without], number, (0, request, 0, 0, 0, 0)) == ALLOW


def test_who_mediates_metadata_knows_what_is_notified_for_it() -> None:
    kinds = (Network.BLOCKED, False, False, True, False), (Network.BLOCKED, False, False, False, False)
    added = set(rules_of(kinds[0])) - set(rules_of(kinds[1]))
    notified = {seccomp_rules.number(rule.call) for rule in added if rule.error == seccomp_rules.NOTIFY}
    assert notified - {None} == set(metadata_mediation.CALLS)


def test_what_is_traced_cannot_trace_and_makes_nothing_that_is_not() -> None:
    """Without, debuggers work; and whatever else clone(2) is told, this one bit is enough."""
    ptrace, clone = (seccomp_rules.number(name) for name in ("ptrace", "clone"))
    assert ptrace is not None
    assert clone is not None
    untraced, thread = 0x00800000, 0x003D0F00
    refused = ERRNO | errno.EPERM
    for kind in KINDS:
        usual, traced = COMPILED[kind], TRACED[kind]
        for request in (0, 16, 0x4206):
            arguments = (request, 1, 0, 0, 0, 0)
            assert (verdict(usual, ptrace, arguments), verdict(traced, ptrace, arguments)) == (ALLOW, refused)
        for flags in (untraced, untraced | thread, untraced | 17, untraced | 1 << 40, untraced | 17 << 32):
            arguments = (flags, 0, 0, 0, 0, 0)
            assert (verdict(usual, clone, arguments), verdict(traced, clone, arguments)) == (ALLOW, refused)
        for flags in (thread, 17):
            assert verdict(traced, clone, (flags, 0, 0, 0, 0, 0)) == ALLOW


@given(
    kind=st.sampled_from(KINDS),
    number=st.one_of(st.sampled_from(NAMED), st.integers(0, 600)),
    arguments=st.tuples(*[register] * 6),
)
def test_what_is_traced_has_two_rules_more(kind: Kind, number: int, arguments: tuple[int, ...]) -> None:
    traced, usual = verdict(TRACED[kind], number, arguments), verdict(COMPILED[kind], number, arguments)
    mine = {seccomp_rules.number("ptrace"), seccomp_rules.number("clone")}
    assert traced == usual or (number in mine and traced == ERRNO | errno.EPERM)


def test_who_mediates_opening_knows_what_is_notified_for_it() -> None:
    for kind in (each for each in KINDS if each[4]):
        added = set(rules_of(kind)) - set(rules_of((*kind[:4], False)))
        assert {rule.error for rule in added} == {seccomp_rules.NOTIFY}
        assert not any(rule.comparisons for rule in added)
        assert {seccomp_rules.number(rule.call) for rule in added} - {None} == set(open_mediation.CALLS)


def test_an_open_network_refuses_less() -> None:
    blocked, open_ = (set(seccomp_rules.rules(network)) for network in (Network.BLOCKED, Network.ALL))
    of_sockets = {"socket", "bind", "listen", "sendto", "sendmsg", "sendmmsg"}
    assert {rule.call for rule in blocked ^ open_} == of_sockets


@pytest.mark.parametrize("listens", [False, True])
@given(family=register, kind=register, protocol=register)
@example(family=2, kind=1, protocol=0)
@example(family=10, kind=0x80801, protocol=6)
def test_through_ports_there_is_tcp_alone(family: int, kind: int, protocol: int, listens: bool) -> None:
    """Written down by itself, not by the tables: what of socket(2) stays."""
    number = seccomp_rules.number("socket")
    assert number is not None
    program = COMPILED[Network.PORTS, listens, False, False, False]
    passes = verdict(program, number, (family, kind, protocol, 0, 0, 0)) == ALLOW
    as_the_kernel_sees_them = (family & 0xFFFFFFFF, kind & 0xF, protocol & 0xFFFFFFFF)
    if passes:
        assert as_the_kernel_sees_them in {(f, 1, p) for f in (2, 10) for p in (0, 6)}
    else:
        assert family not in (2, 10) or kind & 0xF != 1 or protocol not in (0, 6)


@pytest.mark.parametrize("network", MODES)
@given(family=register, kind=register, protocol=register)
@example(family=1, kind=0x80801, protocol=0)
@example(family=1, kind=0x80005, protocol=0)
@example(family=1, kind=2, protocol=0)
@example(family=1 << 32 | 1, kind=3, protocol=0)
def test_of_unix_sockets_there_are_streams_alone(
    family: int, kind: int, protocol: int, network: Network
) -> None:
    """Likewise: the others stay as they are without, and these come to it."""
    number = seccomp_rules.number("socket")
    assert number is not None
    arguments = (family, kind, protocol, 0, 0, 0)
    passes = verdict(COMPILED[network, False, True, False, False], number, arguments) == ALLOW
    if family & 0xFFFFFFFF != 1:
        assert passes == (verdict(COMPILED[network, False, False, False, False], number, arguments) == ALLOW)
    elif passes:
        assert kind & 0xF in (1, 5)
    elif kind & 0xF in (1, 5):
        assert family != 1 or (network is Network.PORTS and protocol not in (0, 6))


def test_with_unix_sockets_every_connect_is_asked_about() -> None:
    for kind, program in COMPILED.items():
        for call in ("connect", "bind", "listen") if kind[2] else ():
            number = seccomp_rules.number(call)
            assert number is not None
            assert verdict(program, number, (3, 0, 16, 0, 0, 0)) == NOTIFY


def test_only_who_listens_is_asked_about() -> None:
    for kind, program in COMPILED.items():
        for call in ("bind", "listen") if not kind[2] else ():
            number = seccomp_rules.number(call)
            assert number is not None
            said = verdict(program, number, (3, 0, 16, 0, 0, 0))
            wanted = {Network.ALL: ALLOW, Network.BLOCKED: ERRNO | errno.EACCES}
            assert said == wanted.get(kind[0], NOTIFY if kind[1] else ERRNO | errno.EACCES)


@pytest.fixture
def cache(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path / "cache")


def cached_file(cache: bytes) -> bytes:
    (name,) = os.listdir(cache)
    return os.path.join(cache, name)


def test_the_second_launch_reads_what_the_first_one_built(
    cache: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, digest = seccomp_filter.load_or_build(cache, Network.BLOCKED)
    assert program == PROGRAMS[Network.BLOCKED]
    assert digest == hashlib.sha256(program).hexdigest()
    status = os.stat(cached_file(cache))
    assert (status.st_mode & 0o777, os.stat(cache).st_mode & 0o777) == (0o600, 0o700)
    monkeypatch.setattr(seccomp_filter, "_build", None)
    assert seccomp_filter.load_or_build(cache, Network.BLOCKED) == (program, digest)


def test_the_second_launch_does_not_import_pyseccomp(cache: bytes) -> None:
    code = (
        "import sys, os\n"
        "from runtime.sandbox import seccomp_filter\n"
        "from runtime.capability.capabilities import Network\n"
        "seccomp_filter.load_or_build(os.fsencode(sys.argv[1]), Network.ALL)\n"
        "print('pyseccomp' in sys.modules, 'runtime.sandbox.seccomp_rules' in sys.modules)"
    )
    command = [sys.executable, "-c", code, os.fsdecode(cache)]
    said = [subprocess.run(command, capture_output=True, check=True, text=True).stdout for _ in range(2)]
    assert said == ["True True\n", "False False\n"]


def flip(path: bytes, position: int) -> None:
    with open(path, "r+b") as file:
        file.seek(position, os.SEEK_END if position < 0 else os.SEEK_SET)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes((byte ^ 1,)))


def let_everything_pass(path: bytes) -> None:
    """Put a program there that allows every call, with its right digest, but a foreign libseccomp's state."""
    program = struct.pack("<HBBI", 0x06, 0, 0, ALLOW)
    with open(path, "wb") as file:
        name = os.path.basename(path)
        file.write(name + b" " + hashlib.sha256(program).hexdigest().encode() + b" 1/2/3 /lib/x\n" + program)


def replace_by(make: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def damage(path: bytes) -> None:
        os.rename(path, path + b".kept")
        make(path)

    return damage


def swap_modes(path: bytes) -> None:
    """Put the open network's program under the blocked network's name."""
    seccomp_filter.load_or_build(os.path.dirname(path), Network.ALL)
    (other,) = (name for name in os.listdir(os.path.dirname(path)) if name != os.path.basename(path))
    os.rename(os.path.join(os.path.dirname(path), other), path)


def enlarge(path: bytes) -> None:
    with open(path, "ab") as file:
        file.truncate(1 << 40)


def append(path: bytes) -> None:
    with open(path, "ab") as file:
        file.write(bytes(8))


DAMAGES: dict[str, Callable[[bytes], object]] = {
    "a bit of the program": lambda path: flip(path, -3),
    "a bit of the digest": lambda path: flip(path, 60),
    "a bit of the name": lambda path: flip(path, 2),
    "cut": lambda path: os.truncate(path, os.path.getsize(path) - 8),
    "cut within an instruction": lambda path: os.truncate(path, os.path.getsize(path) - 3),
    "longer": append,
    "empty": lambda path: os.truncate(path, 0),
    "a sparse giant": enlarge,
    "readable by others": lambda path: os.chmod(path, 0o644),
    "writable by others": lambda path: os.chmod(path, 0o602),
    "a second link": lambda path: os.link(path, path + b".link"),
    "a symlink": replace_by(lambda path: os.symlink(path + b".kept", path)),
    "a FIFO": replace_by(lambda path: os.mkfifo(path, 0o600)),
    "another network mode": swap_modes,
    "everything allowed": let_everything_pass,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_whatever_is_odd_is_built_anew(cache: bytes, damage: Callable[[bytes], object]) -> None:
    seccomp_filter.load_or_build(cache, Network.BLOCKED)
    path = cached_file(cache)
    damage(path)
    assert seccomp_filter._cached(os.open(cache, os.O_RDONLY), os.path.basename(path)) is None
    program, _ = seccomp_filter.load_or_build(cache, Network.BLOCKED)
    assert program == PROGRAMS[Network.BLOCKED]
    # and the cache is sound again
    assert seccomp_filter._cached(os.open(cache, os.O_RDONLY), os.path.basename(path)) == program


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_somebody_elses_file_is_not_believed(cache: bytes) -> None:
    seccomp_filter.load_or_build(cache, Network.BLOCKED)
    path = cached_file(cache)
    os.chown(path, 65534, -1)
    assert seccomp_filter._cached(os.open(cache, os.O_RDONLY), os.path.basename(path)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")
def test_somebody_elses_directory_is_not_used(cache: bytes) -> None:
    os.mkdir(cache)
    os.chown(cache, 65534, -1)
    seccomp_filter.load_or_build(cache, Network.BLOCKED)
    assert os.listdir(cache) == []


def shared(path: bytes) -> None:
    os.mkdir(path)
    os.chmod(path, 0o770)


def a_symlink(path: bytes) -> None:
    os.mkdir(path + b".real")
    os.symlink(path + b".real", path)


@pytest.mark.parametrize("make", [shared, a_symlink])
def test_a_directory_that_others_could_change_is_not_used(
    cache: bytes, make: Callable[[bytes], None]
) -> None:
    make(cache)
    program, _ = seccomp_filter.load_or_build(cache, Network.BLOCKED)
    assert program == PROGRAMS[Network.BLOCKED]
    assert os.listdir(cache) == []


def test_no_directory_at_all_only_costs_time() -> None:
    program, _ = seccomp_filter.load_or_build(b"/proc/nowhere/cache", Network.ALL)
    assert program == PROGRAMS[Network.ALL]


def test_the_umask_does_not_matter(cache: bytes) -> None:
    before = os.umask(0o777)
    try:
        os.mkdir(cache)
        os.chmod(cache, 0o700)
        seccomp_filter.load_or_build(cache, Network.BLOCKED)
    finally:
        os.umask(before)
    assert os.stat(cached_file(cache)).st_mode & 0o777 == 0o600


def test_many_at_once_leave_one_file(cache: bytes) -> None:
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            program, _ = seccomp_filter.load_or_build(cache, Network.BLOCKED)
            os._exit(0 if program == PROGRAMS[Network.BLOCKED] else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 8
    assert (
        seccomp_filter._cached(os.open(cache, os.O_RDONLY), os.path.basename(cached_file(cache))) is not None
    )


def test_nothing_stays_open(cache: bytes) -> None:
    before = os.listdir("/proc/self/fd")
    seccomp_filter.load_or_build(cache, Network.BLOCKED)
    seccomp_filter.load_or_build(cache, Network.BLOCKED)
    assert os.listdir("/proc/self/fd") == before


def test_an_unknown_machine_is_an_error(cache: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*real[:4], "sparc64")))
    with pytest.raises(EnforcementError, match="sparc64"):
        seccomp_filter.load_or_build(cache, Network.BLOCKED)


def test_a_missing_libseccomp_is_an_error_with_a_hint(cache: bytes) -> None:
    code = (
        "import sys; sys.modules['pyseccomp'] = None\n"
        "from runtime.sandbox import seccomp_filter; from runtime.capability.capabilities import Network\n"
        "from runtime.errors import EnforcementError\n"
        "try: seccomp_filter.load_or_build(b'/nowhere', Network.ALL)\n"
        "except EnforcementError as error: print(error.code, error.hint)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert said.stdout == (
        "enforcement.missing install libseccomp (Debian: libseccomp2, Fedora: libseccomp)\n"
    )


def test_a_name_that_nobody_knows_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp_rules, "_NEVER", ("no_such_call",))
    with pytest.raises(EnforcementError, match="no_such_call"):
        seccomp_rules.build(Network.BLOCKED)
