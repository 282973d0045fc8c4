"""Serve proofs of leaves drawn at random by tlog-scales: its tiles, and how many leaves there are.

A reader is made for each proof, so that no tile is kept from one to the next, as ours keeps none.
"""

import os
import random
import sys
from pathlib import Path

from serving import serve
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader

directory, size = Path(sys.argv[1]), int(sys.argv[2])
root = Path(os.path.join(directory, "root")).read_bytes()
draw = random.Random(1)  # noqa: S311  # the same leaves in every run; nothing is secret here


def prove() -> None:
    """Make one proof and check it."""
    index = draw.randrange(size)
    reader = TilesReader(LocalBackend(directory))
    reader.set_size(size)
    reader.get_inclusion_proof(index, size).check(reader.mth(index, index + 1), root)


serve(prove)
