"""What ledgers say of themselves, for whoever looks for the right one: their origin, size, key and links.

Nothing is checked here but the form; whether a ledger holds is what ``nono-verify`` says, and whether it may
be extended, :meth:`store.Ledger.open`.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from store import locations
from store.errors import LedgerError
from store.head_memory import HeadMemory
from store.reading import LedgerReader

if TYPE_CHECKING:
    from attest.checkpoint import Checkpoint
    from attest.keys import PublicKey


class LedgerOverview(NamedTuple):
    """What one ledger says of itself.

    Attributes:
        path: the file.
        head: origin, size and root.
        key: the key in force.
        previous: the head that it continues, None when it begins anew.
        sealed: whether this host sealed it.
    """

    path: bytes
    head: Checkpoint
    key: PublicKey
    previous: Checkpoint | None
    sealed: bool


class LedgersOfKey(NamedTuple):
    """The ledgers in the state directory that one key has in force.

    Attributes:
        usable: those that are not sealed; the first is the one that a launch with that key opens.
        sealed: those that this host sealed.
        unreadable: files that could not be judged, and why; those first that have the key's own names.
    """

    usable: list[LedgerOverview]
    sealed: list[LedgerOverview]
    unreadable: list[tuple[bytes, LedgerError]]


def overview(path: bytes, *, state: bytes) -> LedgerOverview:
    """Return what the ledger at ``path`` says of itself.

    Args:
        path: the file, absolute.
        state: the state directory, where its seal is remembered.

    Raises:
        LedgerError: it cannot be read, or is no ledger.
    """
    try:
        with LedgerReader(path) as reader:
            head = reader.head()
            return LedgerOverview(
                path, head, reader.key_in_force(), reader.previous(), is_sealed(head.origin, state=state)
            )
    except LedgerError as error:
        directory = os.path.dirname(path)
        if error.code == "ledger.readonly" and not os.access(directory, os.W_OK):
            # Who asks is about to write to it, so a snapshot would not do.
            hint = f"make {os.fsdecode(directory)} yours to write"
            raise LedgerError(str(error), code=error.code, hint=hint) from None
        raise


def is_sealed(ledger_origin: str, *, state: bytes) -> bool:
    """Return whether this host remembers that it sealed the ledger of that origin.

    Raises:
        LedgerError: what is remembered cannot be read.
    """
    with contextlib.closing(HeadMemory(os.path.join(state, b"heads"), ledger_origin)) as memory:
        if not os.path.lexists(memory.path):  # reading would make it
            return False
        remembered = memory.read()
        return remembered is not None and remembered.sealed


def default_ledgers_of(key: PublicKey, *, state: bytes) -> list[LedgerOverview]:
    """Return the ledgers in the state directory that ``key`` has in force and that are not sealed.

    The first is the one that a launch with that key opens. One that cannot be read is left out.

    Raises:
        LedgerError: the directory cannot be read.
    """
    return ledgers_of(key, state=state).usable


def judged_ledgers_of(key: PublicKey, *, state: bytes, may_have_none: bool = False) -> list[LedgerOverview]:
    """As :func:`default_ledgers_of`, for whoever acts on what is not among them.

    Args:
        key: the key.
        state: the state directory.
        may_have_none: whether it is known that the key need not have any.

    Raises:
        LedgerError: the directory cannot be read; or a file cannot that has one of the key's own names, or
            that could be its only ledger.
    """
    found = ledgers_of(key, state=state)
    own = set(locations.default_ledgers(state, key.fingerprint()))
    for path, error in found.unreadable:
        if path in own or not (found.usable or may_have_none):
            raise error
    return found.usable


def ledgers_of(key: PublicKey, *, state: bytes) -> LedgersOfKey:
    """Return what there is in the state directory of the ledgers that ``key`` has in force.

    Raises:
        LedgerError: the directory cannot be read.
    """
    named = [path for path in locations.default_ledgers(state, key.fingerprint()) if os.path.lexists(path)]
    found = LedgersOfKey([], [], [])
    for path in [*reversed(named), *(path for path in locations.all_ledgers(state) if path not in named)]:
        try:
            seen = overview(path, state=state)
        except LedgerError as error:
            found.unreadable.append((path, error))
        else:
            if seen.key == key:
                (found.sealed if seen.sealed else found.usable).append(seen)
    return found
