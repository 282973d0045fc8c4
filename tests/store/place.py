"""A ledger at work, and the hands of somebody who can edit its file but has not its key."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import attest
from attest import checkpoint, entry, ledger_format, note, tree
from attest.keys import SigningKey
from store import Draft, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from attest.canonical import Json

SOURCES = os.path.dirname(os.path.dirname(os.path.abspath(attest.__file__)))
WRITER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "writer.py")

INTENT: dict[str, Any] = {
    "bypass_protection": [],
    "command": ["make", "release"],
    "grants": [],
    "hooks": {},
    "host": {
        "boot_id": "00000000-0000-4000-8000-000000000000",
        "kernel": "6.18.0",
        "landlock_abi": 7,
        "name": "host",
    },
    "labels": {},
    "network": {"mode": "blocked"},
    "outputs": [],
    "profile": [],
    "redaction": {
        "added": {"environment": [], "flags": [], "headers": [], "query_keys": []},
        "removed": {"environment": [], "flags": [], "headers": [], "query_keys": []},
    },
    "strategy": "supervised",
    "supervisor": {"pid": 77, "pid_namespace": "4026531836", "start_time": 1234, "version": "0.1.0"},
    "user": {"gid": 1000, "groups": [1000], "uid": 1000},
}
"""What an intent says; an unfinished launch is a whole session, so each of them is a valid addition."""


def drafts(count: int = 1, **said: Json) -> list[Draft]:
    """Return the intents of so many launches."""
    return [
        Draft(
            entry.INTENT,
            (os.urandom(6) + b"\x70" + os.urandom(1) + b"\x80" + os.urandom(7)).hex(),
            0,
            {**INTENT, **said},
        )
        for _ in range(count)
    ]


@dataclass
class Place:
    """A directory with a key, a ledger and a state directory."""

    directory: Path
    key: SigningKey = field(default_factory=SigningKey.generate)
    name: str = "ledger.db"

    @property
    def path(self) -> bytes:
        return os.fsencode(self.directory / self.name)

    @property
    def state(self) -> bytes:
        return os.fsencode(self.directory / "state")

    @property
    def memory(self) -> Path:
        """The one file that remembers a head."""
        (file,) = (self.directory / "state" / "heads").iterdir()
        return file

    def found(self, entries: int = 0) -> Ledger:
        """Found the ledger, with so many entries after its genesis."""
        ledger = Ledger.create(self.path, self.key, name="host", tool_version="0.1.0", state=self.state)
        if entries:
            ledger.append(drafts(entries))
        return ledger

    def open(self, key: SigningKey | None = None) -> Ledger:
        return Ledger.open(self.path, key or self.key, state=self.state)

    # --- an independent look ------------------------------------------------------------------

    def select(self, query: str, *values: object) -> list[Any]:
        with contextlib.closing(sqlite3.connect(os.fsdecode(self.path))) as connection:
            return connection.execute(query, values).fetchall()

    def bodies(self) -> list[bytes]:
        rows = self.select("SELECT idx, body FROM entry ORDER BY idx")
        assert [row[0] for row in rows] == list(range(len(rows))), "not contiguous"
        return [row[1].encode() for row in rows]

    def head(self) -> str:
        """The stored head's note: whatever was signed last."""
        note: str
        ((note,),) = self.select("SELECT note FROM head")
        return note

    def check(self, *keys: SigningKey) -> list[bytes]:
        """Check head, edge and tiles from the entries' bytes alone, and return these."""
        bodies = self.bodies()
        leaves = [tree.hash_leaf(body) for body in bodies]
        signers = [key.public for key in keys or (self.key,)]
        origin = entry.parse(bodies[0]).data["origin"]
        assert isinstance(origin, str)
        head = checkpoint.open_signed(self.head().encode(), origin, signers)
        assert (head.size, head.root) == (len(bodies), tree.root(leaves))
        ((edge,),) = self.select("SELECT edge FROM head")
        assert tree.Edge.decode(head.size, edge).root() == head.root
        expected, level, nodes = [], 0, leaves
        while len(nodes) >= tree.TILE_WIDTH:
            tiles = [
                nodes[start : start + tree.TILE_WIDTH]
                for start in range(0, len(nodes) - len(nodes) % tree.TILE_WIDTH, tree.TILE_WIDTH)
            ]
            roots = [tree.perfect_root(tile) for tile in tiles]
            expected += [(level, index, roots[index], b"".join(tile)) for index, tile in enumerate(tiles)]
            level, nodes = level + 1, roots
        assert self.select("SELECT level, idx, root, data FROM tile ORDER BY level, idx") == expected
        times = [entry.parse(body).time for body in bodies]
        assert times == sorted(times)
        return bodies

    # --- an attack ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def attack(self) -> Iterator[sqlite3.Connection]:
        """A second connection, the triggers out of the way, and put back as they were."""
        with contextlib.closing(sqlite3.connect(os.fsdecode(self.path), isolation_level=None)) as connection:
            triggers = [s for s in ledger_format.ddl() if s.startswith("CREATE TRIGGER")]
            for trigger in triggers:
                connection.execute(f"DROP TRIGGER {trigger.split()[2]}")
            yield connection
            for trigger in triggers:
                connection.execute(trigger)

    def cut(self, size: int) -> None:
        """Cut the tail off and make edge and head fit, as far as that goes without the key."""
        leaves = [tree.hash_leaf(body) for body in self.bodies()[:size]]
        edge = tree.Edge()
        for leaf in leaves:
            edge.append(leaf)
        text = note.parse(self.head().encode()).text.split("\n")
        signatures = self.head().rpartition("\n\n")[2]
        forged = checkpoint.Checkpoint(text[0], size, edge.root()).text() + "\n" + signatures
        with self.attack() as connection:
            connection.execute("DELETE FROM entry WHERE idx >= ?", (size,))
            connection.execute("UPDATE head SET note = ?, edge = ?", (forged, edge.encode()))

    def copy(self, target: Path) -> None:
        """Make a true copy of the ledger as it is now."""
        with contextlib.closing(sqlite3.connect(os.fsdecode(self.path))) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
        target.chmod(0o600)

    def put_back(self, source: Path) -> None:
        """Put a copy in the ledger's place."""
        for suffix in (b"-wal", b"-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path + suffix)
        shutil.copyfile(source, os.fsdecode(self.path))

    # --- other processes ----------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a writer of its own; see ``writer.py``."""
        private = self.directory / "key.pem"
        if not private.exists():
            private.write_bytes(self.key.pem())
        return [
            sys.executable,
            WRITER,
            os.fsdecode(self.path),
            str(private),
            os.fsdecode(self.state),
            *arguments,
        ]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": SOURCES},
        )
