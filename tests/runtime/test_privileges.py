"""The cut of the capabilities, with and without the right to lower the bounding set."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from runtime.kernel import syscalls
from runtime.sandbox import privileges

if TYPE_CHECKING:
    from collections.abc import Callable

SETPCAP, NET_RAW, SYS_ADMIN = 8, 13, 21
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to lose")


def bounding_set() -> int:
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith("CapBnd:"))


def in_child(function: Callable[[], object]) -> object:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)


def of_a_program() -> dict[str, int]:
    """The capabilities of a program that is started now."""
    text = subprocess.run(
        ["/bin/cat", "/proc/self/status"], capture_output=True, check=True, text=True
    ).stdout
    fields = dict(line.split(":\t") for line in text.splitlines() if ":\t" in line)
    return {name: int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")}


def test_what_is_kept_is_what_file_work_needs() -> None:
    """The numbers of linux/capability.h for CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID."""
    assert [number for number in range(64) if privileges.KEPT >> number & 1] == [0, 1, 3, 4, 5, 6, 7]


def test_what_is_read_agrees_with_proc() -> None:
    def probe() -> list[object]:
        with open("/proc/self/status", encoding="utf-8") as status:
            fields = dict(line.rstrip("\n").split(":\t") for line in status if ":\t" in line)
        held = int(fields["CapPrm"], 16) | int(fields["CapEff"], 16) | int(fields["CapInh"], 16)
        seen = privileges.read()
        return [
            seen.held == held,
            seen.no_new_privs == (fields["NoNewPrivs"] == "1"),
        ]

    assert in_child(probe) == [True, True]


@root_only
def test_root_loses_everything_else() -> None:
    def probe() -> list[object]:
        left = privileges.renounce()
        return [left.cut, left.no_new_privs, left.held, bounding_set(), *of_a_program().values()]

    kept = privileges.KEPT
    assert in_child(probe) == [True, True, kept, kept, kept, kept, 0, kept, 0]


@root_only
def test_without_setpcap_the_other_sets_are_cut_and_an_exec_brings_nothing_back() -> None:
    def probe() -> list[object]:
        _, permitted, _ = syscalls.capget()
        without = permitted & ~(1 << SETPCAP)
        syscalls.capset(without, without, 0)
        left = privileges.renounce()
        program = of_a_program()
        return [
            left.cut,
            left.held,
            bounding_set() == privileges.KEPT,
            program["CapPrm"],
            program["CapEff"],
        ]

    assert in_child(probe) == [True, privileges.KEPT, False, privileges.KEPT, privileges.KEPT]


@root_only
def test_bits_that_are_gone_already_are_left_alone() -> None:
    def probe() -> list[object]:
        syscalls.prctl(syscalls.PR_CAPBSET_DROP, NET_RAW)
        syscalls.prctl(syscalls.PR_CAPBSET_DROP, 0)  # CHOWN, one of those that would be kept
        before = bounding_set()
        left = privileges.renounce()
        return [left.cut, before >> NET_RAW & 1, bounding_set() == privileges.KEPT & ~1]

    assert in_child(probe) == [True, 0, True]


@root_only
def test_ambient_and_inheritable_capabilities_of_an_ordinary_user_are_cut() -> None:
    """As a service manager hands them out."""

    def probe() -> list[object]:
        pr_set_keepcaps, pr_cap_ambient, raise_ = 8, 47, 2
        syscalls.prctl(pr_set_keepcaps, 1)
        os.setresuid(65534, 65534, 65534)
        syscalls.capset(1 << SYS_ADMIN, 1 << SYS_ADMIN, 1 << SYS_ADMIN)
        syscalls.prctl(pr_cap_ambient, raise_, SYS_ADMIN)
        before = of_a_program()["CapEff"]
        left = privileges.renounce()
        return [
            before == 1 << SYS_ADMIN,
            left.cut,
            left.held,
            *(of_a_program()[n] for n in ("CapEff", "CapAmb")),
        ]

    assert in_child(probe) == [True, True, 0, 0, 0]


def test_an_ordinary_user_has_nothing_to_lose_but_new_privileges() -> None:
    def probe() -> list[object]:
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)
        before = privileges.read()
        left = privileges.renounce()
        return [before.cut, before.no_new_privs, left.cut, left.held]

    assert in_child(probe) == [False, False, True, 0]


@root_only
def test_what_was_not_cut_is_said() -> None:
    assert in_child(lambda: privileges.read().cut) is False
