"""Serve rounds of appends by many at once; all of a round are durable when it ends.

``nono_shared_appends.py LEDGER (threads | processes) WRITERS ENTRIES (rounds | waits)``: so many writers
share the entries of a round. Answers with the seconds of each round, or of each append in it. The ledger's
key lies beside it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

from attest import entry
from attest.keys import SigningKey
from runtime.capability.session import new_session_id
from store import Draft, Ledger
from store.group_commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store import Appended

_SUBJECT = "/home/user/" + "x" * 401


def _draft() -> Draft:
    data = {"by": "kernel", "reason": "outside the grants", "verdict": "denied", "what": "file"}
    return Draft(entry.DECISION, new_session_id(), 1, {**data, "subject": _SUBJECT})


def _append(append: Callable[[Sequence[Draft]], list[Appended]], times: int) -> list[float]:
    draft, waits = _draft(), []
    for _ in range(times):
        begun = time.perf_counter()
        append([draft])
        waits.append(time.perf_counter() - begun)
    return waits


def _by_threads(ledger: GroupCommit, writers: int, each: int) -> list[float]:
    waits: list[float] = []
    threads = [
        threading.Thread(target=lambda: waits.extend(_append(ledger.append, each))) for _ in range(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waits


def _child(path: bytes, key: SigningKey, ours: socket.socket, each: int) -> None:
    with Ledger.open(path, key, state=os.path.dirname(path)) as ledger, ours.makefile("rw") as stream:
        for _ in stream:
            stream.write(json.dumps(_append(ledger.append, each)) + "\n")
            stream.flush()


def _by_processes(path: bytes, key: SigningKey, writers: int, each: int) -> Callable[[], list[float]]:
    streams = []
    for _ in range(writers):
        theirs, ours = socket.socketpair()
        if os.fork() == 0:
            theirs.close()
            for stream in streams:
                stream.close()
            _child(path, key, ours, each)
            os._exit(0)
        ours.close()
        streams.append(theirs.makefile("rw"))
        theirs.close()

    def run() -> list[float]:
        for stream in streams:
            stream.write("\n")
            stream.flush()
        return [seconds for stream in streams for seconds in json.loads(stream.readline())]

    return run


def main(path: bytes, kind: str, writers: int, entries: int, answer: str) -> None:
    """Serve until standard input ends."""
    with open(path + b".pem", "rb") as file:
        key = SigningKey.from_pem(file.read())
    if kind == "processes":
        run = _by_processes(path, key, writers, entries // writers)
    else:
        shared = GroupCommit(Ledger.open(path, key, state=os.path.dirname(path)))

        def run() -> list[float]:
            return _by_threads(shared, writers, entries // writers)

    for line in sys.stdin:
        seconds: list[float] = []
        for _ in range(int(line)):
            begun = time.perf_counter()
            waits = run()
            seconds += waits if answer == "waits" else [time.perf_counter() - begun]
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main(os.fsencode(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
