"""A writer in a process of its own, for the tests.

``writer.py LEDGER KEY STATE (found | repeat | open | default) (COUNT | talk)``: founds (under the same nonce
and names every time, if it is to be repeated), opens or takes the default ledger, then appends COUNT entries
one by one, or one for each line that it reads. Prints the path, then ``INDEX:LEAF`` once an entry is
acknowledged, or ``refused:CODE``, and goes on.
"""

from __future__ import annotations

import os
import sys

from attest.keys import SigningKey
from store import Draft, Ledger, LedgerError
from store.locations import open_default_ledger
from tests.store.place import drafts


def main(path: bytes, key_file: str, state: bytes, how: str, count: str) -> int:
    with open(key_file, "rb") as file:
        key = SigningKey.from_pem(file.read())
    prepared = [drafts() for _ in range(0 if count == "talk" else int(count))]
    _say("ready")
    try:
        if how == "repeat":
            os.urandom = bytes  # zeros
        if how in ("found", "repeat"):
            ledger = Ledger.create(path, key, name="host", tool_version="0.1.0", state=state)
        elif how == "default":
            ledger = open_default_ledger(key, state=state, name="host", tool_version="0.1.0")
        else:
            ledger = Ledger.open(path, key, state=state)
    except LedgerError as error:
        _say(f"refused:{error.code}")
        return 1
    with ledger:
        _say(os.fsdecode(ledger.path))
        for each in prepared:
            _append(ledger, each)
        while count == "talk" and sys.stdin.readline():
            _append(ledger, drafts())
    _say("done")
    return 0


def _append(ledger: Ledger, each: list[Draft]) -> None:
    try:
        (appended,) = ledger.append(each)
    except LedgerError as error:
        _say(f"refused:{error.code}")
    else:
        _say(f"{appended.index}:{appended.leaf.hex()}")


def _say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(os.fsencode(sys.argv[1]), sys.argv[2], os.fsencode(sys.argv[3]), sys.argv[4], sys.argv[5]))
