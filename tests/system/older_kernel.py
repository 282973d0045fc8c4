"""Run a program on a kernel that has an older Landlock, as far as the program can tell.

A filter notifies Landlock's system calls, and what an older kernel would answer is answered from outside: its
ABI, EINVAL for a right, a rule or a flag that it does not know, E2BIG for a larger structure whose rest is
not zero (landlock_create_ruleset(2)). What it does know goes on to the real kernel. A program can have one
such listener only, so it cannot get another.

Usage: older_kernel.py ABI PROGRAM [ARGUMENT...]
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import sys
import tempfile

import pyseccomp  # type: ignore[import-untyped]  # published without type information

from runtime.kernel import syscalls

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # on every architecture
CALLS = {"landlock_create_ruleset": CREATE_RULESET, "landlock_add_rule": ADD_RULE}
CALLS |= {"landlock_restrict_self": RESTRICT_SELF}

# linux/landlock.h: what each ABI knows, by the last that knows no more.
FILE_RIGHTS = {1: 13, 2: 14, 4: 15, 8: 16}
NET_RIGHTS = {3: 0, 9: 2}
SCOPES = {5: 0, 9: 2}
SIZES = {3: 8, 5: 16, 9: 24}
VERSION = 1
NET_PORT = 2

REQUEST = struct.Struct("=QIIiIQ6Q")
RESPONSE = struct.Struct("=QqiI")
RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1


def known(table: dict[int, int], abi: int) -> int:
    """Return what stands for ``abi``."""
    return next(count for last, count in table.items() if abi <= last)


def create_ruleset(abi: int, pid: int, attributes: int, size: int, flags: int) -> tuple[int, int]:
    """Return the value and the errno of the call, or (0, 0) when the real kernel is to answer."""
    if flags == VERSION and not attributes and not size:
        return abi, 0
    if flags:
        return 0, errno.EINVAL
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        given = os.pread(memory.fileno(), size, attributes)
    if any(given[known(SIZES, abi) :]):
        return 0, errno.E2BIG
    files, net, scopes = struct.unpack("=3Q", given[:24].ljust(24, b"\0"))
    if files >> known(FILE_RIGHTS, abi) or net >> known(NET_RIGHTS, abi) or scopes >> known(SCOPES, abi):
        return 0, errno.EINVAL
    return 0, 0


def answer(abi: int, pid: int, call: int, arguments: list[int]) -> tuple[int, int]:
    """Return the value and the errno of a call, or (0, 0) when the real kernel is to answer."""
    if call == CREATE_RULESET:
        return create_ruleset(abi, pid, arguments[0], arguments[1], arguments[2] & 0xFFFFFFFF)
    if call == ADD_RULE:
        unknown = arguments[1] & 0xFFFFFFFF == NET_PORT and not known(NET_RIGHTS, abi)
    else:
        unknown = abi < 7 and bool(arguments[1] & 0xFFFFFFFF)
    return 0, errno.EINVAL if unknown else 0


def serve(abi: int, listener: int) -> None:
    """Answer until nobody is left who could ask."""
    ready = select.poll()
    ready.register(listener, select.POLLIN)
    while ready.poll()[0][1] & select.POLLIN:
        request = bytearray(REQUEST.size)
        try:
            fcntl.ioctl(listener, RECEIVE, request)
            number, pid, _, call, _, _, *arguments = REQUEST.unpack(request)
            value, error = answer(abi, pid, call, arguments)
            flags = 0 if value or error else CONTINUE
            fcntl.ioctl(listener, SEND, RESPONSE.pack(number, value, -error, flags))
        except FileNotFoundError:  # who asked was killed meanwhile
            continue


def program() -> bytes:
    """Return the filter."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in CALLS:
        rules.add_rule(pyseccomp.NOTIFY, name)
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def main() -> int:
    """Run the program, and answer for its kernel meanwhile."""
    abi = int(sys.argv[1])
    filter_program = program()
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        socket.send_fds(theirs, [b"x"], [syscalls.load_seccomp_filter(filter_program, listener=True)])
        os.execv(sys.argv[2], sys.argv[2:])
    theirs.close()
    _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
    serve(abi, listener)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
