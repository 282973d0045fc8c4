"""Serve our export of a ledger on one core: its path, the public key's, a format, or none to verify alone."""

import os
import sys

from serving import serve

from verify import pins, verify
from verify.exports import exporting, formats


def call() -> None:
    """Verify once, and export."""
    done = []

    def then(verdict, source):
        with open(os.devnull, "wb") as file:
            form = formats.load(name)
            done.append(exporting.export(verdict, source, form, asked, file.write))

    verdict = verify(path, pins=[pin], cores=1, then=then if name else None)
    if verdict.exit != 0 or (name and done != [verdict.size]):
        raise SystemExit(f"export: exit {verdict.exit}, {done}: {verdict.findings[:3]}")


path, key, name, proofs = sys.argv[1:]
asked = exporting.Asked(with_proofs=bool(proofs))
pin = pins.read_file(key)
serve(call)
