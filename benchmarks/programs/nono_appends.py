"""Serve appends of one entry: the ledger, and the bytes of an entry, are the arguments.

The ledger's key lies beside it. With ``peak`` for a third argument, print the peak memory in KiB after so
many appends instead.
"""

from __future__ import annotations

import os
import resource
import sys

from serving import serve

from attest import entry
from attest.keys import SigningKey
from runtime.capability.session import new_session_id
from store import Draft, Ledger

_BEFORE_PEAK = 600


def draft(subject: str) -> Draft:
    """Return a refusal, the entry that a long launch has most of."""
    data = {"by": "kernel", "reason": "outside the grants", "verdict": "denied", "what": "file"}
    return Draft(entry.DECISION, session, 1, {**data, "subject": subject})


path, size = os.fsencode(sys.argv[1]), int(sys.argv[2])
session = new_session_id()
with open(path + b".pem", "rb") as file:
    key = SigningKey.from_pem(file.read())
with Ledger.open(path, key, state=os.path.dirname(path)) as ledger:
    (first,) = ledger.append([draft("/")])
    padded = draft("/" + "x" * (size - len(first.entry.encode())))
    if sys.argv[3:] == ["peak"]:
        for _ in range(_BEFORE_PEAK):
            ledger.append([padded])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    else:
        serve(lambda: ledger.append([padded]))
