"""The keys that a ledger had, one after another, and whose signatures a head must carry (design 2, "Keys").

A handover is a ``ledger.key`` entry, last in its commit, and a checkpoint kept at that size which the old and
the new key both signed, in that order. The head at size *s* carries exactly the signatures that are expected
at *s*: both, if entry *s* - 1 is a handover, else that of the key in force.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import canonical, checkpoint, entry, origin
from attest.errors import MalformedError
from attest.keys import PublicKey

if TYPE_CHECKING:
    from attest.entry import Entry


class KeyHistory:
    """The keys of one ledger, as far as it was followed.

    Args:
        genesis: entry 0.

    Attributes:
        origin: the ledger's origin, derived again from what the entry says.
        in_force: the key of the present epoch.

    Raises:
        MalformedError: it is no genesis entry, or claims another origin than the one that it founds.
        KeyFormatError: its key must not be used.
    """

    __slots__ = ("_had", "_turn", "in_force", "origin")

    def __init__(self, genesis: Entry) -> None:
        claimed, nonce = genesis.data.get("origin"), genesis.data.get("nonce")
        if genesis.kind != entry.GENESIS or not isinstance(claimed, str) or not isinstance(nonce, str):
            raise MalformedError("its first entry founds nothing")
        self.in_force = _public_key(genesis)
        try:
            derived = origin.derive(origin.split(claimed)[0], self.in_force.spki(), bytes.fromhex(nonce))
        except ValueError:
            raise MalformedError("a nonce that is not hexadecimal") from None
        if derived != claimed:
            raise MalformedError("its origin is not the one that its first entry founds")
        self.origin = claimed
        self._turn: tuple[int, PublicKey] | None = None
        self._had = {self.in_force}

    def signers(self, size: int) -> tuple[PublicKey, ...]:
        """Return whose signatures the head at ``size``, in the present epoch, carries."""
        if self._turn is not None and self._turn[0] == size:
            return self._turn[1], self.in_force
        return (self.in_force,)

    def follow(self, size: int, note: bytes, last: Entry) -> None:
        """Take in the checkpoint ``note`` kept at ``size``, over ``last``: a handover, or nothing new.

        Raises:
            NonoError: it is a handover that the key in force did not sign, or not of that form.
        """
        if last.kind != entry.KEY:
            return
        successor = _public_key(last)
        kept = checkpoint.open_signed(note, self.origin, (self.in_force, successor))
        if kept.size != size:
            raise MalformedError("a checkpoint of another size")
        self.turn(size, successor)

    def turn(self, size: int, successor: PublicKey) -> None:
        """Go over to ``successor``, which the ledger was handed to at ``size``."""
        self._turn = (size, self.in_force)
        self.in_force = successor
        self._had.add(successor)

    def had(self, key: PublicKey) -> bool:
        """Return whether ``key`` is or was in force: none comes into force twice, the verifier says."""
        return key in self._had


def _public_key(said: Entry) -> PublicKey:
    return PublicKey.from_spki(canonical.decode_base64(said.data.get("public_key")))
