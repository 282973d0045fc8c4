"""What the monitor tells the launcher: whole lines of both its threads, and no more than a pipe holds."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.broker.decisions import MAX_RECORDED, MAX_SUBJECT_BYTES, UNIX_SOCKET, Decisions, RefusedError
from runtime.kernel.path_names import shown
from runtime.processes.monitor import Channel

if TYPE_CHECKING:
    from attest.canonical import Json

_PIPE_BYTES = 65_536  # pipe(7)
_F_SETPIPE_SZ = 1031


def refused(path: bytes) -> RefusedError:
    """Return a refusal as long as there is one: of each byte the record and the reason make several."""
    reason = f"that socket is not granted; --allow-unix-socket {shown(path)} would"
    return RefusedError(errno.EACCES, UNIX_SOCKET, b"connect " + path, reason)


def worst(number: int, length: int = MAX_SUBJECT_BYTES) -> RefusedError:
    path = b"/%03d/" % number
    return refused(path + b"\x01" * (length - len(path) - len(b"connect ")))


def test_what_both_threads_say_arrives_in_whole_lines() -> None:
    """A decision can be longer than what a pipe takes at once (PIPE_BUF), and the pipe can be full."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, _F_SETPIPE_SZ, select.PIPE_BUF)
    channel = Channel(reader, writer)
    sent: list[dict[str, Json]] = []
    Decisions(sent.append).add(worst(0))
    assert len(json.dumps(sent[0])) > select.PIPE_BUF

    def say(who: str) -> None:
        for number in range(40):
            channel.send({"decision": sent[0], "number": number, "who": who})

    threads = [threading.Thread(target=say, args=(who,)) for who in ("mediating", "main")]
    for thread in threads:
        thread.start()

    def close() -> None:
        for thread in threads:
            thread.join()
        os.close(writer)

    closing = threading.Thread(target=close)
    closing.start()
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        data = b"".join(iter(lambda: pipe.read(777), b""))
    closing.join()
    heard = [json.loads(line) for line in data.splitlines()]
    for who in ("mediating", "main"):
        assert [each["number"] for each in heard if each["who"] == who] == list(range(40))


@pytest.mark.parametrize("length", [MAX_SUBJECT_BYTES, 470, 220, 190, 60])
def test_all_that_is_told_of_refusals_fits_into_a_pipe_that_nobody_reads(length: int) -> None:
    """Pages that are half empty are full: what counts is more than the sum of the lengths."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    assert fcntl.fcntl(writer, _F_SETPIPE_SZ + 1) == _PIPE_BYTES
    channel = Channel(reader, writer)
    channel.send({"pid": 1})
    decisions = Decisions(lambda data: channel.send({"decision": data}))
    for number in range(2 * MAX_RECORDED):
        decisions.add(worst(number, length))
    decisions.add(refused(b"/short"))
    channel.send({"status": 0})
    assert decisions.count == 2 * MAX_RECORDED + 1
    os.close(writer)
    with contextlib.closing(os.fdopen(reader, "rb")) as pipe:
        *told, end = [json.loads(line) for line in pipe]
    assert told.pop(0) == {"pid": 1}
    assert 5 < len(told) <= MAX_RECORDED
    assert end == {"status": 0}


def test_refusals_of_usual_length_are_all_told() -> None:
    told: list[dict[str, Json]] = []
    decisions = Decisions(told.append)
    for number in range(MAX_RECORDED + 1):
        decisions.add(refused(b"/home/somebody/.local/share/an-application/run/%064d/socket" % number))
    assert len(told) == MAX_RECORDED
