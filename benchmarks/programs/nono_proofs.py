"""Serve proofs of entries drawn at random: the ledger is the argument."""

import os
import random
import sys

from serving import serve

from store.proving import LedgerProver

draw = random.Random(1)  # noqa: S311  # the same entries in every run; nothing is secret here
with LedgerProver(os.fsencode(sys.argv[1])) as ledger:
    size = ledger.head().size
    serve(lambda: ledger.prove_entry(draw.randrange(size)))
