"""A worker: checks the batches that its parent sends through its standard input, until that ends.

It opens no file of the user's and writes to its standard output alone. Its parent's death ends its input, so
it lives no longer than its parent; an interruption from the keyboard is its parent's to see.
"""

from __future__ import annotations

import pickle
import signal
import sys
from typing import TYPE_CHECKING

import verify
from attest.keys import PublicKey
from verify.batch import Batch
from verify.batch_check import Terms, check_batch
from verify.forms import Forms
from verify.plain_decisions import PlainDecisions
from verify.wire import read_frame, write_frame

if TYPE_CHECKING:
    from verify.requirements import Required


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    forms, plain = Forms(), PlainDecisions()
    write_frame(answers, [hello()])
    try:
        (pickled,) = read_frame(requests)
        required: Required | None = pickle.loads(pickled)  # noqa: S301  # from the parent, who started this
        keys: dict[bytes, PublicKey] = {}
        while True:
            first, origin, raw, lengths, joined = read_frame(requests)
            key = keys.setdefault(raw, PublicKey(raw))
            batch = Batch.decode(int.from_bytes(first, "big"), lengths, joined)
            check = check_batch(batch, Terms(origin.decode(), key), forms, plain, required)
            write_frame(answers, check.encode())
    except (EOFError, OSError):
        return


def hello() -> bytes:
    """Return what says whether a worker is of the same code as its parent."""
    return f"{verify.__file__} {sys.version}".encode("utf-8", "surrogatepass")
