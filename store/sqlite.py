"""SQLite, by the C module that ``sqlite3`` is made of.

What ``sqlite3`` adds are converters of dates, which no table of ours has, and ``datetime``, which it loads
for them: 2 % of a launch.
"""

from __future__ import annotations

from _sqlite3 import SQLITE_LIMIT_LENGTH, Connection, Error, OperationalError, connect

__all__ = ["SQLITE_LIMIT_LENGTH", "Connection", "Error", "OperationalError", "connect"]
