"""Records of the audit stream: what the kernel writes is read, whatever a command puts in, and no more."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.broker import decisions, kernel_denials
from runtime.broker.kernel_denials import Access, Domain, KernelDenials, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCESS, DOMAIN = 1423, 1424
HEAD = b"audit(1795957373.130:35): "
# As a kernel 6.18 wrote them.
READ = HEAD + b'domain=1f18feb31 blockers=fs.read_file path="/etc/passwd" dev="vda" ino=1196047'
SIGNAL = HEAD + b'domain=1f18feb31 blockers=scope.signal opid=1 ocomm="init"'
ALLOCATED = HEAD + (
    b"domain=1f18feb31 status=allocated mode=enforcing pid=6661 uid=0"
    b' exe="/usr/bin/python3.11" comm="python3"'
)
FREED = HEAD + b"domain=1f18feb31 status=deallocated denials=3"


def test_what_the_kernel_writes_is_read() -> None:
    access = parse(ACCESS, READ)
    assert isinstance(access, Access)
    assert (access.domain, access.blockers) == (b"1f18feb31", ("fs.read_file",))
    assert access.fields[b"path"] == b"/etc/passwd"
    assert parse(DOMAIN, ALLOCATED) == Domain(b"1f18feb31", 6661, 0)
    assert parse(DOMAIN, FREED) is None


def encoded(value: bytes) -> bytes:
    """Return what audit_log_untrustedstring() makes of a string."""
    if any(byte == ord('"') or not 0x21 <= byte <= 0x7E for byte in value):
        return value.hex().upper().encode()
    return b'"' + value + b'"'


@given(st.binary(min_size=1, max_size=80).map(lambda name: b"/" + name.replace(b"\0", b"_")))
def test_any_name_comes_back_as_it_is(path: bytes) -> None:
    access = parse(ACCESS, HEAD + b"domain=1 blockers=fs.write_file path=%s ino=1" % encoded(path))
    assert isinstance(access, Access)
    assert access.fields[b"path"] == path


@given(st.sampled_from([ACCESS, DOMAIN]), st.one_of(st.binary(max_size=200), st.binary().map(HEAD.__add__)))
def test_no_bytes_are_a_fault(kind: int, text: bytes) -> None:
    parse(kind, text)


@pytest.mark.parametrize(
    "text",
    [
        READ.replace(b"domain=1f18feb31", b"domain=../../etc"),
        READ.replace(b"domain=1f18feb31", b"domain=" + b"1" * 17),
        READ.replace(b" blockers", b" domain=2 blockers"),
        READ.replace(b"fs.read_file", b"fs.read file"),
        READ.replace(b"fs.read_file", b""),
        READ.replace(b'"/etc/passwd"', b"/etc/passwd"),
        READ.replace(b'"/etc/passwd"', b'"/etc/"passwd"'),
        READ.replace(b'"/etc/passwd"', b"2f6574"),  # the kernel's digits are capital
        READ.replace(b'"/etc/passwd"', b"2F6"),
        READ.replace(b"): ", b") "),
        READ.replace(b"audit(", b"xudit("),
        READ.replace(b" dev", b"  dev"),
    ],
)
def test_what_the_kernel_does_not_write_is_left_out(text: bytes) -> None:
    assert parse(ACCESS, text) is None


@pytest.fixture
def stream() -> Iterator[tuple[socket.socket, KernelDenials]]:
    """A stream of messages with their borders kept, as those of netlink."""
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    denials = KernelDenials(ours.detach())
    denials.begin(6661)
    yield kernel, denials
    kernel.close()
    denials.close()


def message(kind: int, text: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(text), kind, 0, 0, 0) + text


def test_the_first_refusal_comes_before_whose_it_is(
    stream: tuple[socket.socket, KernelDenials], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, denials = stream
    monkeypatch.setattr(os, "getuid", lambda: 0)
    foreign = READ.replace(b"1f18feb31", b"2").replace(b"/etc/passwd", b"/etc/shadow")
    for kind, text in (
        (ACCESS, READ),
        (ACCESS, foreign),
        (DOMAIN, ALLOCATED.replace(b"1f18feb31", b"2").replace(b"pid=6661", b"pid=6662")),
        (DOMAIN, ALLOCATED.replace(b"1f18feb31", b"3").replace(b"uid=0", b"uid=7")),
        (ACCESS, READ.replace(b"1f18feb31", b"3")),
        (DOMAIN, ALLOCATED),
        (ACCESS, READ),
        (ACCESS, SIGNAL),
        (ACCESS, b"nonsense"),
        (1300, READ),
    ):
        kernel.send(message(kind, text))
    kernel.send(b"short")
    kernel.send(struct.pack("=IHHII", 1 << 30, ACCESS, 0, 0, 0) + READ)
    assert denials.read()
    assert denials.take() == [
        {
            "by": "kernel",
            "reason": "fs.read_file: by the kernel's audit log, which is a sample",
            "subject": "/etc/passwd",
            "verdict": "denied",
            "what": "file",
        }
    ]
    assert denials.count == 3  # twice the same, and one that there is no word for
    assert denials.take() == []


def test_what_is_refused_has_the_words_of_the_record(
    stream: tuple[socket.socket, KernelDenials], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, denials = stream
    monkeypatch.setattr(os, "getuid", lambda: 0)
    kernel.send(message(DOMAIN, ALLOCATED))
    for text in (
        b"blockers=fs.execute path=2F6120622F63 dev=1 ino=1",
        b"blockers=net.connect_tcp daddr=127.0.0.1 dest=80",
        b"blockers=net.connect_tcp daddr=::1 dest=80",
        b"blockers=net.bind_tcp src=8080",
        b"blockers=scope.abstract_unix_socket path=006E616D65",
        b"blockers=fs.make_reg,fs.refer path=FF2F",
        b'blockers=net.connect_tcp daddr="; rm" dest=80',
    ):
        kernel.send(message(ACCESS, HEAD + b"domain=1f18feb31 " + text))
    denials.read()
    assert [(each["what"], each["subject"]) for each in denials.take()] == [
        ("exec", "/a b/c"),
        ("network", "connect 127.0.0.1:80"),
        ("network", "connect [::1]:80"),
        ("network", "listen 0.0.0.0:8080"),
        ("unix-socket", "connect @name"),
    ]
    assert denials.count == 6  # the last is no record of the kernel's


def test_a_flood_is_capped_in_what_is_kept_and_in_what_is_read(
    stream: tuple[socket.socket, KernelDenials], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, denials = stream
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(kernel_denials, "_MOST_RECORDS", 1_000)
    kernel.send(message(DOMAIN, ALLOCATED))
    kept, number = [], 0
    kernel.setblocking(False)
    while denials.descriptor >= 0:
        for _ in range(100):
            number += 1
            try:
                kernel.send(message(ACCESS, READ.replace(b"/etc/passwd", b"/etc/%d" % number)))
            except (BlockingIOError, BrokenPipeError):
                break
        denials.read()
        kept += denials.take()
    assert len(kept) == decisions.MAX_RECORDED
    assert denials.count == 999


def test_refusals_of_domains_that_nobody_names_do_not_pile_up(
    stream: tuple[socket.socket, KernelDenials],
) -> None:
    kernel, denials = stream
    for number in range(200):
        kernel.send(message(ACCESS, READ.replace(b"1f18feb31", b"%x" % (number + 1))))
        denials.read()
    assert denials.take() == []
    assert len(denials._waiting) <= 64
