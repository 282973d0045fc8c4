"""Serve commits of one row to a plain SQLite table: file, and the bytes of a row, are the arguments."""

import itertools
import sqlite3
import sys

from serving import serve

path, size = sys.argv[1:]
body = "x" * int(size)
numbers = itertools.count()
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA synchronous = FULL")
connection.execute("CREATE TABLE entry (idx INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT")
serve(lambda: connection.execute("INSERT INTO entry VALUES (?, ?)", (next(numbers), body)))
connection.close()
