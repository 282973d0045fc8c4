"""A roll that was interrupted between the seal and the successor: which command finishes it.

Until it is finished, whatever would take the key's place (another host key), or found another ledger for it,
would lose the link between the two ledgers, so that is refused.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.kernel.path_names import shown
from store import locations, rolling
from store.errors import LedgerError
from store.overview import default_ledgers_of

if TYPE_CHECKING:
    from attest.keys import PublicKey


def command(
    *,
    ledger: bytes | None = None,
    successor: bytes | None = None,
    key: str | None = None,
    passphrase_variable: str | None = None,
    name: str | None = None,
) -> str:
    """Return the command that rolls a ledger, or finishes a roll, as a shell takes it.

    Args:
        ledger: the ledger, absolute; None for the key's own in the state directory.
        successor: the next one's file, absolute; None leaves it to be filled in, where ``ledger`` is named.
        key: the reference of its key; None for the host key.
        passphrase_variable: the variable with that key's passphrase, if one was named.
        name: the name of the next one, if one was given.
    """
    words = ["nono", "ledger", "roll"]
    if ledger is not None:
        words += ["--ledger", shown(ledger), "--to", "FILE" if successor is None else shown(successor)]
    for flag, value in (
        ("--audit-sign-key", key),
        ("--key-passphrase-env", passphrase_variable),
        ("--name", name),
    ):
        if value is not None:
            words += [flag, shown(os.fsencode(value))]
    return " ".join(words)


def refuse(
    key: PublicKey, *, state: bytes, reference: str | None = None, passphrase_variable: str | None = None
) -> None:
    """Refuse to go on while a roll of one of the key's ledgers in the state directory is unfinished.

    Args:
        key: the key.
        state: the state directory.
        reference: how the key was named; None for the host key.
        passphrase_variable: the variable with its passphrase, if one was named.

    Raises:
        LedgerError: there is one (``ledger.unfinished_roll``), or the directory cannot be read.
    """
    waiting = rolling.unfinished_rolls_of(key, state=state)
    if not waiting:
        return
    path = waiting[0].path
    if default_ledgers_of(key, state=state):  # without names it is that one which would be rolled
        free = locations.free_path(state, key.fingerprint())
        finishing = command(
            ledger=path, successor=free, key=reference, passphrase_variable=passphrase_variable
        )
    else:
        finishing = command(key=reference, passphrase_variable=passphrase_variable)
    raise LedgerError(
        f"{shown(path)} is sealed and nothing continues it yet: rolling it was interrupted",
        code="ledger.unfinished_roll",
        hint=f"finish that first: {finishing}",
    )
