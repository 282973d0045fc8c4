"""Serve commits of one row to a plain SQLite table: file, and the bytes of a row, are the arguments.

With ``signed`` for a third argument a commit also renews one row of a second table, with an Ed25519 signature
in it: what every ledger of this kind does at least.
"""

import itertools
import sqlite3
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from serving import serve

_HEAD_BYTES = 150
_EDGE_BYTES = 320

path, size = sys.argv[1:3]
body = "x" * int(size)
numbers = itertools.count()
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA synchronous = FULL")
connection.execute("CREATE TABLE entry (idx INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT")
connection.execute("CREATE TABLE head (id INTEGER PRIMARY KEY, note BLOB, edge BLOB) STRICT")
connection.execute("INSERT INTO head VALUES (0, x'', x'')")
key = Ed25519PrivateKey.generate()


def commit_row() -> None:
    """Commit one row."""
    connection.execute("INSERT INTO entry VALUES (?, ?)", (next(numbers), body))


def commit_signed() -> None:
    """Commit one row and the signature over something that differs each time."""
    number = next(numbers)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO entry VALUES (?, ?)", (number, body))
    head = b"%0*d" % (_HEAD_BYTES, number)
    note, edge = head + key.sign(head), head.ljust(_EDGE_BYTES)
    connection.execute("UPDATE head SET note = ?, edge = ? WHERE id = 0", (note, edge))
    connection.execute("COMMIT")


serve(commit_signed if sys.argv[3:] == ["signed"] else commit_row)
connection.close()
