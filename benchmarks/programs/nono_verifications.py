"""Serve our verification of a ledger: its path, the public key's, and the size that it must have."""

import sys

from serving import serve

from verify import pins, verify


def call() -> None:
    """Verify once."""
    verdict = verify(path, pins=[pin])
    if verdict.exit != 0 or verdict.size != int(size):
        raise SystemExit(f"verify: exit {verdict.exit}, {verdict.size} entries: {verdict.findings[:3]}")


path, key, size = sys.argv[1:]
pin = pins.read_file(key)
serve(call)
