"""What the kernel says that it refused: Landlock's records in its audit stream, where that is on.

It is never switched on: its records would go to the system's log. Where it is on, and this process has
CAP_AUDIT_READ, a socket of the audit netlink family hears them (``AUDIT_NLGRP_READLOG``), and a filter on
that socket leaves only Landlock's. The command is then restricted with
``LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON``, without which the kernel (ABI 7) says nothing of what was
executed after the restriction.

What is heard is a *sample*: the kernel drops records under load, and so does the socket. It is aggregated,
each subject once, and capped, in entries and in the records that are read at all. ``by`` is ``kernel`` in
each entry.

A record names the domain that refused, not the process; the first one of a domain is followed by another
that says whose it is: the process that restricted itself, which is the command, by the same pid. What the
command can choose of the text (names of files) comes quoted by the kernel, or as hexadecimal digits when it
has a quote, a space, or what is no printable ASCII in it; what is not exactly so is left out.
"""

from __future__ import annotations

import errno
import os
import select
import struct
import sys
import time
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.broker.decisions import EXEC, FILE, NETWORK, UNIX_SOCKET, Decisions, RefusedError
from runtime.kernel import syscalls

if TYPE_CHECKING:
    from attest.canonical import Json

BY = "kernel"
"""Who decided, in the entries."""

# linux/audit.h and linux/netlink.h
_ACCESS = 1423  # AUDIT_LANDLOCK_ACCESS
_DOMAIN = 1424  # AUDIT_LANDLOCK_DOMAIN
_GROUP_READLOG = 1
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr

_MAX_MESSAGE = 16_384  # the kernel's own are shorter (MAX_AUDIT_MESSAGE_LENGTH)
_MOST_AT_ONCE = 256
_MOST_RECORDS = 8_192
"""Of one launch; what comes after these is not read."""
_MOST_WAITING = 64
_QUIET_MS = 5
_LAST_SECONDS = 0.05
# The first pid namespace, whose numbers the records have (include/linux/proc_ns.h, PROC_PID_INIT_INO).
_FIRST_PID_NAMESPACE = 0xEFFFFFFC

_HEXADECIMAL = frozenset(b"0123456789abcdef")
_UPPER_HEXADECIMAL = frozenset(b"0123456789ABCDEF")
_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyz_.")
_ADDRESS = frozenset(b"0123456789abcdef.:")


class Access(NamedTuple):
    """One access that was refused.

    Attributes:
        domain: which domain refused it.
        blockers: the rights that were missing, as ``fs.read_file``.
        fields: what it was about, by the kernel's names; values are decoded.
    """

    domain: bytes
    blockers: tuple[str, ...]
    fields: dict[bytes, bytes]


class Domain(NamedTuple):
    """Whose domain it is.

    Attributes:
        domain: which.
        pid: the process that restricted itself.
        uid: its user.
    """

    domain: bytes
    pid: int
    uid: int


def parse(kind: int, text: bytes) -> Access | Domain | None:
    """Return what a record says, None when it is not exactly what the kernel writes.

    Args:
        kind: its type.
        text: without its header: ``audit(TIME:SERIAL): NAME=VALUE …``.
    """
    head, closed, rest = text.rstrip(b"\0\n").partition(b"): ")
    if not closed or not head.startswith(b"audit(") or b" " in head:
        return None
    fields: dict[bytes, bytes] = {}
    for word in rest.split(b" "):
        name, equals, value = word.partition(b"=")
        if not equals or not name.isalpha() or name in fields:
            return None
        fields[name] = value
    domain = fields.pop(b"domain", b"")
    if not 0 < len(domain) <= 16 or not _HEXADECIMAL.issuperset(domain):
        return None
    if kind == _DOMAIN:
        return _parse_domain(domain, fields)
    blockers = fields.pop(b"blockers", b"").split(b",")
    if not all(blocker and _WORD.issuperset(blocker) for blocker in blockers):
        return None
    decoded = {name: _decoded(value) for name, value in fields.items() if name in (b"path", b"name")}
    if None in decoded.values():
        return None
    known = {name: value for name, value in decoded.items() if value is not None}
    return Access(domain, tuple(each.decode() for each in blockers), fields | known)


def _parse_domain(domain: bytes, fields: dict[bytes, bytes]) -> Domain | None:
    pid, uid = fields.get(b"pid", b""), fields.get(b"uid", b"")
    if fields.get(b"status") != b"allocated" or not (pid.isdigit() and uid.isdigit()):
        return None
    if len(pid) > 10 or len(uid) > 10:
        return None
    return Domain(domain, int(pid), int(uid))


def _decoded(value: bytes) -> bytes | None:
    """Return what audit_log_untrustedstring() was given, None when it did not write this."""
    if len(value) >= 2 and value.startswith(b'"') and value.endswith(b'"') and b'"' not in value[1:-1]:
        return value[1:-1]
    if value and len(value) % 2 == 0 and _UPPER_HEXADECIMAL.issuperset(value):
        return bytes.fromhex(value.decode("ascii"))
    return None


def _refusal(access: Access) -> RefusedError | None:
    """Return what is to be recorded; None of what there is no word for, which is counted."""
    rights = " ".join(access.blockers)
    reason = f"{rights}: by the kernel's audit log, which is a sample"
    families = {blocker.partition(".")[0] for blocker in access.blockers}
    path = access.fields.get(b"path")
    if families == {"fs"} and path is not None and path.startswith(b"/"):
        what = EXEC if access.blockers == ("fs.execute",) else FILE
        return RefusedError(errno.EACCES, what, path, reason)
    if access.blockers in (("net.connect_tcp",), ("net.bind_tcp",)):
        verb, host, port = (
            (b"connect", b"daddr", b"dest")
            if access.blockers[0] == "net.connect_tcp"
            else (b"listen", b"saddr", b"src")
        )
        address, number = access.fields.get(host, b"0.0.0.0"), access.fields.get(port, b"0")
        if _ADDRESS.issuperset(address) and number.isdigit():
            shown = b"[" + address + b"]" if b":" in address else address
            return RefusedError(errno.EACCES, NETWORK, b"%s %s:%s" % (verb, shown, number), reason)
    if access.blockers == ("scope.abstract_unix_socket",) and path is not None:
        return RefusedError(errno.EPERM, UNIX_SOCKET, b"connect @" + path.lstrip(b"\0"), reason)
    return None


class KernelDenials:
    """The refusals of one launch, as far as the stream tells of them.

    Attributes:
        descriptor: becomes readable when there is more; -1 when no more is heard.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._told: list[dict[str, Json]] = []
        self._decided = Decisions(self._told.append, by=BY)
        self._pid = 0
        self._records = 0
        self._own: set[bytes] = set()
        self._foreign: set[bytes] = set()
        self._waiting: list[Access] = []

    @property
    def count(self) -> int:
        """How many refusals were heard of, whether or not they were recorded."""
        return self._decided.count

    def begin(self, pid: int) -> None:
        """Take those of the process ``pid``, and of all that it starts, from here on."""
        self._pid = pid

    def take(self) -> list[dict[str, Json]]:
        """Return the data of those that nobody has taken yet."""
        taken = self._told[:]
        self._told.clear()
        return taken

    def close(self) -> None:
        """Hear no more."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def read(self) -> bool:
        """Take what is there, up to a fixed number of records; return whether there was anything."""
        for done in range(_MOST_AT_ONCE):
            if self.descriptor < 0:
                return done > 0
            try:
                message = os.read(self.descriptor, _MAX_MESSAGE)
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # some were lost, which is what a sample is
                    continue
                if error.errno not in (errno.EAGAIN, errno.EINTR):
                    self.close()
                return done > 0
            self._records += 1
            self._take(message)
            if self._records >= _MOST_RECORDS:
                self.close()
        return True

    def read_last(self, *, likely: bool) -> None:
        """Take what comes late: the kernel has a thread of its own hand them out.

        Args:
            likely: whether refusals are to be expected: then the first one is waited for, too.
        """
        self.read()
        if self.descriptor < 0 or not (self._records or likely):
            return
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        deadline = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < deadline and self.descriptor >= 0:
            # The first one is waited for longer than for there to be no more.
            if not poll.poll(_QUIET_MS if self._records else _LAST_SECONDS * 1_000):
                return
            self.read()

    def _take(self, message: bytes) -> None:
        if len(message) < _HEADER.size:
            return
        length, kind, _, _, _ = _HEADER.unpack_from(message)
        if kind not in (_ACCESS, _DOMAIN) or length > len(message):
            return
        record = parse(kind, message[_HEADER.size :])
        if isinstance(record, Domain):
            self._know(record)
        elif record is not None:
            self._add(record)

    def _know(self, domain: Domain) -> None:
        """Sort what waits for it: it comes after the first refusal of the domain."""
        known = self._own if (domain.pid, domain.uid) == (self._pid, os.getuid()) else self._foreign
        if len(known) < _MOST_WAITING:
            known.add(domain.domain)
        waiting, self._waiting = self._waiting, []
        for access in waiting:
            self._add(access)

    def _add(self, access: Access) -> None:
        if access.domain in self._own:
            refusal = _refusal(access)
            if refusal is None:
                self._decided.count += 1
            else:
                self._decided.add(refusal)
        elif access.domain not in self._foreign and len(self._waiting) < _MOST_WAITING:
            self._waiting.append(access)


def listen() -> KernelDenials | None:
    """Return what hears the stream, None where it cannot be read.

    In another pid namespace than the first the records name other numbers, so nothing is heard there.
    """
    try:
        if os.stat("/proc/self/ns/pid").st_ino != _FIRST_PID_NAMESPACE:
            return None
        return KernelDenials(syscalls.netlink_audit(1 << (_GROUP_READLOG - 1), _only_landlock()))
    except OSError:
        return None


def _only_landlock() -> bytes:
    """Return a classic BPF program that lets through the two types of records, and drops all others."""
    load_half, jump_if_equal, give_back = 0x28, 0x15, 0x06

    def instruction(code: int, jump_true: int, jump_false: int, constant: int) -> bytes:
        return struct.pack("=HBBI", code, jump_true, jump_false, constant)

    def loaded(
        number: int,
    ) -> int:  # the program loads in the network's order, the header is in the machine's
        return int.from_bytes(number.to_bytes(2, sys.byteorder), "big")

    return b"".join(
        (
            instruction(load_half, 0, 0, 4),  # nlmsg_type
            instruction(jump_if_equal, 1, 0, loaded(_ACCESS)),
            instruction(jump_if_equal, 0, 1, loaded(_DOMAIN)),
            instruction(give_back, 0, 0, 0xFFFFFFFF),
            instruction(give_back, 0, 0, 0),
        )
    )
