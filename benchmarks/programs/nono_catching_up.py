"""Serve catching up with a whole ledger: its path, and a directory for the index that is made each time."""

import os
import sys

from serving import serve

from store.index import SearchIndex


def call() -> None:
    """Index everything once."""
    for name in os.listdir(directory):
        os.unlink(os.path.join(directory, name))
    with SearchIndex(f"sqlite:///{directory}/index.db") as index:
        state = index.catch_up(os.fsencode(path))
    if not state.consistent or state.skipped:
        raise SystemExit(f"catching up: {state}")


path, directory = sys.argv[1:]
serve(call)
