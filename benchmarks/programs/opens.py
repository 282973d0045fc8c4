"""Open a file and close it, a thousand times a call; the file is the argument."""

import os
import sys

from serving import serve

path = sys.argv[1]


def opens() -> None:
    """Open and close it."""
    for _ in range(1_000):
        os.close(os.open(path, os.O_RDONLY))


serve(opens)
