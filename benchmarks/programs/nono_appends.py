"""Serve appends of one entry: the directory of the ledger, and the bytes of an entry, are the arguments."""

from __future__ import annotations

import os
import sys

from serving import serve

from attest import entry
from attest.keys import SigningKey
from runtime.session import new_session_id
from store import Draft, Ledger


def draft(subject: str) -> Draft:
    """Return a refusal, the entry that a long launch has most of."""
    data = {"by": "kernel", "reason": "outside the grants", "verdict": "denied", "what": "file"}
    return Draft(entry.DECISION, session, 1, {**data, "subject": subject})


directory, size = os.fsencode(sys.argv[1]), int(sys.argv[2])
session = new_session_id()
path = os.path.join(directory, b"ledger.db")
with Ledger.create(path, SigningKey.generate(), name="bench", tool_version="0", state=directory) as ledger:
    (first,) = ledger.append([draft("/")])
    padded = draft("/" + "x" * (size - len(first.entry.encode())))
    serve(lambda: ledger.append([padded]))
