"""A writer in a process of its own, for the tests.

``writer.py LEDGER KEY STATE (found | open | default) [COUNT | talk]``: founds, opens or takes the default
ledger, appends COUNT entries one by one, or one for each line that it reads; prints the path, then each index
once that entry is acknowledged.
"""

from __future__ import annotations

import os
import sys

from attest.keys import SigningKey
from store import Ledger, LedgerError
from store.locations import open_default_ledger
from tests.store.place import drafts


def main(path: bytes, key_file: str, state: bytes, how: str, count: str) -> None:
    with open(key_file, "rb") as file:
        key = SigningKey.from_pem(file.read())
    prepared = [drafts() for _ in range(0 if count == "talk" else int(count))]
    _say("ready")
    if how == "found":
        ledger = Ledger.create(path, key, name="host", tool_version="0.1.0", state=state)
    elif how == "default":
        ledger = open_default_ledger(key, state=state, name="host", tool_version="0.1.0")
    else:
        ledger = Ledger.open(path, key, state=state)
    with ledger:
        _say(os.fsdecode(ledger.path))
        for each in prepared:
            _say(str(ledger.append(each)[0].index))
        while count == "talk" and sys.stdin.readline():
            try:
                _say(str(ledger.append(drafts())[0].index))
            except LedgerError as error:
                _say(error.code)
    _say("done")


def _say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


if __name__ == "__main__":
    main(os.fsencode(sys.argv[1]), sys.argv[2], os.fsencode(sys.argv[3]), sys.argv[4], sys.argv[5])
