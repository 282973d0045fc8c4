"""Founding a ledger: made whole under a temporary name, synced, then linked into place.

So a ledger never exists half-made, and of several that are founded at one path at once the first stays.
"""

from __future__ import annotations

import base64
import contextlib
import os
import time
from typing import TYPE_CHECKING

from attest import checkpoint, entry, ledger_format, origin, tree
from attest.instant import format_instant
from store import sqlite
from store.errors import LedgerError
from store.ledger_file import connect, make_durable, translate
from store.network_file_systems import require_local
from store.private_directories import NOT_WRITABLE, make_private

if TYPE_CHECKING:
    from attest.canonical import Json
    from attest.keys import SigningKey

_ELSEWHERE = (
    "XDG_STATE_HOME moves nono's own ledgers to a directory that you may write to,"
    " and --ledger FILE names one elsewhere"
)


def found(
    path: bytes,
    key: SigningKey,
    *,
    name: str,
    tool_version: str,
    previous: checkpoint.Checkpoint | None = None,
) -> None:
    """Found a ledger at ``path``, which must not exist; its directory is made (0700) if it is missing.

    Args:
        path: the file, absolute.
        key: the key that founds it.
        name: the name part of its origin, ``[a-z0-9./_-]{1,100}``.
        tool_version: version of this program.
        previous: the head of the ledger that this one continues, if it does.

    Raises:
        LedgerError: it exists (``ledger.exists``), or cannot be made there.
        MalformedError: the name is not of that form.
    """
    with contextlib.closing(Unlinked(path, key, name, tool_version, previous)) as unlinked:
        unlinked.link()


class Unlinked:
    """A ledger that is whole and durable, under a temporary name beside the one that it is to have.

    Until :meth:`link` nobody finds it; :meth:`close` removes the temporary name. For the arguments and errors
    see :func:`found`.

    Attributes:
        origin: its origin.
    """

    def __init__(
        self,
        path: bytes,
        key: SigningKey,
        name: str,
        tool_version: str,
        previous: checkpoint.Checkpoint | None,
    ) -> None:
        shown = os.fsdecode(path)
        if b"\0" in path:
            raise LedgerError(f"no file can be named {shown!r}", code="ledger.create")
        self._path = path
        self._closed = False
        self._directory = os.path.dirname(path)
        self._temporary = os.path.join(self._directory, b".nono-%s" % os.urandom(12).hex().encode())
        nonce = os.urandom(origin.NONCE_BYTES)
        self.origin = origin.derive(name, key.public.spki(), nonce)
        try:
            make_private(self._directory)
            require_local(self._directory, path)
            os.close(os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            try:
                _write(self._temporary, key, (self.origin, nonce), tool_version, previous)
                _sync(self._temporary, os.O_RDONLY)
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise self._unmade(error) from None
        except sqlite.Error as error:
            raise translate(error, path) from None

    def link(self) -> None:
        """Give it its name, durably.

        Raises:
            LedgerError: something has that name (``ledger.exists``), or it cannot be given.
        """
        try:
            os.link(self._temporary, self._path)
            self.close()
            _sync(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        except FileExistsError:
            raise LedgerError(f"{os.fsdecode(self._path)} exists already", code="ledger.exists") from None
        except OSError as error:
            raise self._unmade(error) from None

    def close(self) -> None:
        """Remove the temporary name, if it is there.

        Raises:
            LedgerError: it cannot be removed.
        """
        if self._closed:
            return
        try:
            for suffix in (b"", b"-wal", b"-shm", b"-journal"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._temporary + suffix)
        except OSError as error:
            raise self._unmade(error) from None
        self._closed = True

    def _unmade(self, error: OSError) -> LedgerError:
        return LedgerError(
            f"cannot make a ledger at {os.fsdecode(self._path)}: {error.strerror}",
            code="ledger.create",
            hint=_ELSEWHERE if error.errno in NOT_WRITABLE else None,
        )


def _write(
    path: bytes,
    key: SigningKey,
    identity: tuple[str, bytes],
    tool_version: str,
    previous: checkpoint.Checkpoint | None,
) -> None:
    """Write tables, genesis entry and first head into the empty file at ``path``; identity: origin, nonce."""
    ledger_origin, nonce = identity
    data: dict[str, Json] = {
        "format": ledger_format.FORMAT_VERSION,
        "nonce": nonce.hex(),
        "origin": ledger_origin,
        "public_key": base64.b64encode(key.public.spki()).decode(),
        "tool": {"name": "nono", "version": tool_version},
    }
    if previous is not None:
        data["previous"] = {"origin": previous.origin, "root": previous.root.hex(), "size": previous.size}
    genesis = entry.Entry(entry.GENESIS, None, 0, format_instant(time.time_ns()), data).encode()
    edge = tree.Edge()
    edge.append(tree.hash_leaf(genesis))
    note = checkpoint.Checkpoint(ledger_origin, 1, edge.root()).sign([key])
    connection = connect(path)
    try:
        connection.execute("PRAGMA journal_mode=MEMORY")  # nobody reads it yet, and what fails is thrown away
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {ledger_format.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {ledger_format.FORMAT_VERSION}")
        for statement in ledger_format.ddl():
            connection.execute(statement)
        connection.execute("INSERT INTO entry VALUES (0, ?)", (genesis.decode(),))
        connection.execute("INSERT INTO head VALUES (0, ?, ?)", (note, edge.encode()))
        connection.execute("COMMIT")
        make_durable(connection)
    finally:
        connection.close()


def _sync(path: bytes, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
