"""Rolling a ledger: it is sealed, and another begins that says which head it continues (design 2, "Keys").

The steps, each durable before the next:

1. the successor is made whole under a temporary name, in the directory that it is to have: where none can be
   founded, nothing is sealed;
2. the ledger is sealed; if it grew since 1, the successor is made anew;
3. beside the seal it is remembered which ledger is about to continue it; that is linked into place; it is
   remembered that this was done. All under the lock of that memory: a sealed ledger gets one successor,
   however many roll it at once.

Killed between 2 and the link there is a sealed ledger without a successor, and whoever rolls it again, or
founds the next ledger of its key in the state directory, founds the one that continues it. Killed between the
link and the last line of 3, the successor is found where it was about to be. The other way round the old
ledger could grow behind the head that its successor names.

A seal is what this host remembers (:mod:`store.head_memory`); it is no entry, so it changes nothing in the
file, and a host that does not know of it could still append with the key. What the successor names is then
no longer the ledger's head, but still one that it had, and the difference is there for all to see.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from attest import origin
from store.errors import LedgerError, SealedLedgerError
from store.founding import Unlinked
from store.head_memory import HeadMemory, RememberedHead, Successor
from store.ledger import Ledger
from store.locations import ledgers_directory, ledgers_in
from store.overview import LedgerOverview, ledgers_of, overview
from store.reading import LedgerReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attest.checkpoint import Checkpoint
    from attest.keys import PublicKey, SigningKey

_NO_LEDGER = frozenset({"ledger.format", "ledger.missing", "ledger.not_regular", "ledger.symlink"})
"""What an error says of a place where there is something else, or nothing."""


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
    """Seal the ledger at ``path`` and return the next one, open; one that was sealed only gets its next one.

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
            :meth:`store.Ledger.open` and :meth:`store.Ledger.create`. Whether the ledger is sealed then is
            what :func:`unfinished_roll` says.
        MalformedError: the name is not of its form.
    """
    if os.path.lexists(successor):
        raise LedgerError(f"{os.fsdecode(successor)} exists already", code="ledger.exists")
    expected: Checkpoint | None = None
    with contextlib.ExitStack() as undo:
        try:
            with Ledger.open(path, key, state=state) as ledger:
                if not unsafe_while_running:
                    ledger.require_idle()  # before anything is made; asked once more when it is sealed
                with LedgerReader(path) as reader:
                    expected = reader.head()
                following = undo.enter_context(
                    contextlib.closing(_following(expected, key, successor, name, tool_version))
                )
                head = ledger.seal(unsafe_while_running=unsafe_while_running)
        except SealedLedgerError as error:  # whoever sealed it was killed, or is about to found the next one
            head = error.head
        if head == expected:
            _link(following, path, head, successor, state)
            return Ledger.open(successor, key, state=state)
    return found_next(path, head, key, successor=successor, name=name, tool_version=tool_version, state=state)


def found_next(
    path: bytes,
    head: Checkpoint,
    key: SigningKey,
    *,
    successor: bytes,
    name: str | None,
    tool_version: str,
    state: bytes,
) -> Ledger:
    """Found the ledger that continues a sealed one, and return it, open.

    Args:
        path: the sealed ledger's file, absolute.
        head: the head that it was sealed with.
        key: the key that founds the next one.
        successor: where, absolute; it must not exist.
        name: the name part of its origin; None for that of the sealed one.
        tool_version: version of this program.
        state: the state directory.

    Raises:
        LedgerError: there is one that continues it (``ledger.rolled``); or as :meth:`store.Ledger.create`.
        MalformedError: the name is not of its form.
    """
    beside = [os.path.dirname(path), os.path.dirname(successor)]
    followed = successor_of(head.origin, state=state, beside=beside)
    if followed is not None:  # seen before anything is made
        raise _rolled(path, followed)
    with contextlib.closing(_following(head, key, successor, name, tool_version)) as following:
        _link(following, path, head, successor, state)
    return Ledger.open(successor, key, state=state)


def _following(
    head: Checkpoint, key: SigningKey, successor: bytes, name: str | None, tool_version: str
) -> Unlinked:
    return Unlinked(
        successor, key, origin.split(head.origin)[0] if name is None else name, tool_version, previous=head
    )


def _link(following: Unlinked, path: bytes, head: Checkpoint, successor: bytes, state: bytes) -> None:
    """Do step 3."""
    beside = [os.path.dirname(path), os.path.dirname(successor)]
    with contextlib.closing(_memory(head.origin, state)) as memory, memory.held() as remembered:
        followed = _continuing(head.origin, remembered, state, beside)
        if followed is not None:
            raise _rolled(path, followed)
        about_to_be = Successor(following.origin, successor, founded=False)
        memory.remember_successor(about_to_be)
        following.link()
        memory.remember_successor(about_to_be._replace(founded=True))


def _rolled(path: bytes, followed: bytes) -> LedgerError:
    shown = os.fsdecode(followed)
    return LedgerError(
        f"{os.fsdecode(path)} was rolled already: {shown} continues it",
        code="ledger.rolled",
        hint=None if os.path.lexists(followed) else f"{shown} is not there any more: put it back",
    )


def _memory(ledger_origin: str, state: bytes) -> HeadMemory:
    return HeadMemory(os.path.join(state, b"heads"), ledger_origin)


# --- what continues what ----------------------------------------------------------------------------


def unfinished_roll(path: bytes, *, state: bytes) -> LedgerOverview | None:
    """Return what the ledger at ``path`` says of itself if it is sealed and nothing continues it, else None.

    Raises:
        LedgerError: it, or what is remembered of it, cannot be read.
    """
    seen = overview(path, state=state)
    if not seen.sealed:
        return None
    followed = successor_of(seen.head.origin, state=state, beside=[os.path.dirname(path)])
    return seen if followed is None else None


def unfinished_rolls_of(key: PublicKey, *, state: bytes) -> list[LedgerOverview]:
    """Return the ledgers of a key in the state directory that are sealed and that nothing continues.

    Raises:
        LedgerError: the directory, or what is remembered, cannot be read.
    """
    return [
        seen
        for seen in ledgers_of(key, state=state).sealed
        if successor_of(seen.head.origin, state=state) is None
    ]


def successor_of(ledger_origin: str, *, state: bytes, beside: Iterable[bytes] = ()) -> bytes | None:
    """Return where the ledger is, or was founded, that continues the one of that origin; None if none does.

    What is remembered says so. Where it does not (it was sealed by an earlier version), the ledgers in the
    state directory and in the directories ``beside`` are asked.

    Raises:
        LedgerError: the memory, a directory, or the ledger that was about to be founded cannot be read.
    """
    with contextlib.closing(_memory(ledger_origin, state)) as memory:
        remembered = memory.read() if os.path.lexists(memory.path) else None  # reading would make it
    return _continuing(ledger_origin, remembered, state, beside)


def _continuing(
    ledger_origin: str, remembered: RememberedHead | None, state: bytes, beside: Iterable[bytes]
) -> bytes | None:
    successor = None if remembered is None else remembered.successor
    continued = successor is not None and (successor.founded or _is_there(successor))
    if successor is not None and continued and os.path.lexists(successor.path):
        return successor.path
    for directory in dict.fromkeys([*beside, ledgers_directory(state)]):  # it may have been moved there
        found = successor_in(directory, ledger_origin)
        if found is not None:
            return found
    return successor.path if successor is not None and continued else None


def _is_there(successor: Successor) -> bool:
    """Return whether a successor that was about to be founded was; raise what leaves that open."""
    try:
        with LedgerReader(successor.path) as reader:
            return reader.head().origin == successor.origin
    except LedgerError as error:
        if error.code in _NO_LEDGER:
            return False
        raise


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
