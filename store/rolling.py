"""Rolling a ledger: it is sealed, and another begins that says which head it continues (design 2, "Keys").

The seal comes first, then the successor: killed between the two there is a sealed ledger without one, and
whoever rolls it again, or founds the next ledger of its key in the state directory, founds the one that
continues it. The other way round the old ledger could grow behind the head that its successor names.

A seal is what this host remembers (:mod:`store.head_memory`); it is no entry, so it changes nothing in the
file, and a host that does not know of it could still append with the key. What the successor names is then
no longer the ledger's head, but still one that it had, and the difference is there for all to see.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest import origin
from store.errors import LedgerError, SealedLedgerError
from store.ledger import Ledger
from store.locations import ledgers_in
from store.reading import LedgerReader

if TYPE_CHECKING:
    from attest.checkpoint import Checkpoint
    from attest.keys import SigningKey


def roll(
    path: bytes,
    key: SigningKey,
    *,
    successor: bytes,
    name: str | None,
    tool_version: str,
    state: bytes,
    unsafe_while_running: bool = False,
) -> Ledger:
    """Seal the ledger at ``path`` and return the next one, open.

    Args:
        path: the file, absolute.
        key: its key in force, which founds the successor too.
        successor: the next ledger's file, absolute; it must not exist.
        name: the name part of its origin; None for that of the ledger itself.
        tool_version: version of this program.
        state: the state directory.
        unsafe_while_running: do not ask whether launches run whose records would stay unfinished.

    Raises:
        LedgerError: launches run (``ledger.running``); it was rolled already (``ledger.rolled``); or as
            :meth:`store.Ledger.open` and :meth:`store.Ledger.create`.
        MalformedError: the name is not of its form.
    """
    if os.path.lexists(successor):
        raise LedgerError(f"{os.fsdecode(successor)} exists already", code="ledger.exists")
    try:
        with Ledger.open(path, key, state=state) as ledger:
            own_name = origin.split(ledger.origin)[0]
            origin.check_name(own_name if name is None else name)  # before anything is sealed
            head = ledger.seal(unsafe_while_running=unsafe_while_running)
    except SealedLedgerError as error:  # whoever sealed it was killed, unless there is a successor
        head = error.head
        for directory in {os.path.dirname(path), os.path.dirname(successor)}:
            followed = successor_in(directory, head.origin)
            if followed is not None:
                raise LedgerError(
                    f"{os.fsdecode(path)} was rolled already: {os.fsdecode(followed)} continues it",
                    code="ledger.rolled",
                ) from None
    return Ledger.create(
        successor,
        key,
        name=origin.split(head.origin)[0] if name is None else name,
        tool_version=tool_version,
        state=state,
        previous=head,
    )


def successor_in(directory: bytes, ledger_origin: str) -> bytes | None:
    """Return the ledger in a directory that says that it continues the one of that origin, else None."""
    for path in ledgers_in(directory):
        previous = previous_of(path)
        if previous is not None and previous.origin == ledger_origin:
            return path
    return None


def previous_of(path: bytes) -> Checkpoint | None:
    """Return the head that the ledger at ``path`` says to continue, None if none or if it cannot be read."""
    try:
        with LedgerReader(path) as reader:
            return reader.previous()
    except LedgerError:
        return None
