"""Rotating keys: a ledger is handed over to a successor, and the old key is not needed again.

Design 2, "Keys". A launch holds its key from before its intent until its record is closed, so nothing is
handed over while one runs: it could not record its own end. Whether one runs is asked inside the transaction
that hands over, by the locks that supervisors hold (:mod:`store.open_sessions`), so none can slip in between;
a launch that had read the old key, and begins only afterwards, finds the ledger another's and takes the new
key (:mod:`runtime.launcher.launch`).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from attest.keys import SigningKey
from attest.named_tuples import NamedTuple
from runtime.errors import SigningKeyError
from runtime.kernel.path_names import shown
from runtime.secrets import host_key_rotation, key_files, signing_key, unfinished_roll
from store.errors import LedgerError
from store.ledger import Ledger
from store.overview import default_ledgers_of, judged_ledgers_of, overview

if TYPE_CHECKING:
    from collections.abc import Callable

    from attest.keys import PublicKey
    from runtime.secrets.pkcs8 import Passphrases


class HandedOver(NamedTuple):
    """A ledger that was handed over, and where the entry is that says so; None when that was before."""

    path: bytes
    entry: int | None


class Rotation(NamedTuple):
    """What a rotation did.

    Attributes:
        old: the key before.
        new: its successor.
        ledgers: what was handed over.
        kept: where the old private key lies, None when that is not ours to say.
        resumed: whether this finished a rotation that was begun before.
    """

    old: PublicKey
    new: PublicKey
    ledgers: tuple[HandedOver, ...]
    kept: bytes | None
    resumed: bool = False


def rotate_host_key(
    *,
    config: bytes,
    state: bytes,
    ledger: bytes | None,
    reason: str,
    passphrases: Passphrases | None,
    begun_passphrases: Passphrases | None,
    new_passphrase: Callable[[], bytes | None],
    unsafe_while_running: bool = False,
) -> Rotation:
    """Make the host key anew, and hand over to it what the old one has in force in the state directory.

    Interrupted anywhere it leaves a state with which the next launch and the next rotation go on; see
    :mod:`runtime.secrets.host_key_rotation`.

    Args:
        config: the configuration directory.
        state: the state directory.
        ledger: a further ledger of the host key, or None.
        reason: why, for the record.
        passphrases: for the old key, when it is encrypted.
        begun_passphrases: for the new one of a rotation that was interrupted, likewise.
        new_passphrase: asked, after the old key was opened, for what to encrypt the new one with.
        unsafe_while_running: see :meth:`store.Ledger.hand_over`.

    Raises:
        SigningKeyError: there is no host key, or a key cannot be read or written.
        LedgerError: launches run, or a ledger cannot be used; no ledger was handed over if that shows first.
    """
    with host_key_rotation.lock(config), contextlib.ExitStack() as opened:
        private, following = signing_key.default_path(config), host_key_rotation.next_path(config)
        if not os.path.lexists(private):
            raise SigningKeyError(
                f"there is no host key at {shown(private)} yet",
                code="key.missing",
                hint="the first launch makes it; so does nono keygen",
            )
        old = signing_key.host_key(config, passphrases=passphrases).key
        begun = None
        if os.path.lexists(following):
            begun = signing_key.read_file(following, begun_passphrases).key
        successor = None if begun is None else begun.public
        unfinished_roll.refuse(old.public, state=state)
        handed = []
        if successor is not None:
            handed += [HandedOver(seen.path, None) for seen in default_ledgers_of(successor, state=state)]
        # One that cannot be read is not left behind: without the old key nothing could be appended to it.
        found = judged_ledgers_of(old.public, state=state, may_have_none=bool(handed))
        paths = [seen.path for seen in found]
        if ledger is not None and ledger not in paths:
            if overview(ledger, state=state).key == successor:
                handed.append(HandedOver(ledger, None))
            else:
                paths.append(ledger)
        ledgers = [opened.enter_context(Ledger.open(path, old, state=state)) for path in paths]
        if not unsafe_while_running:
            for each in ledgers:
                each.require_idle()
        new = begun if begun is not None else SigningKey.generate()
        if begun is None:
            host_key_rotation.begin(config, old.public, new, new_passphrase())
        for each in ledgers:
            try:
                appended = each.hand_over(new, reason, unsafe_while_running=unsafe_while_running)
            except LedgerError as error:
                # A launch has begun since; any other failure may have come after the commit.
                if error.code == "ledger.running" and begun is None and not handed:
                    host_key_rotation.withdraw(config, old.public)
                raise
            handed.append(HandedOver(each.path, appended.index))
        host_key_rotation.finish(config)
        kept = host_key_rotation.kept_path(config, old.public.fingerprint())
        return Rotation(old.public, new.public, tuple(handed), kept, begun is not None)


def rotate_ledger(
    path: bytes,
    old: SigningKey,
    new: Callable[[], SigningKey],
    *,
    config: bytes,
    state: bytes,
    reason: str,
    unsafe_while_running: bool = False,
) -> Rotation:
    """Hand one ledger over to a key that the caller keeps.

    Args:
        path: the ledger, absolute.
        old: its key in force.
        new: returns the successor; called when the ledger is known to be usable.
        config: the configuration directory, whose trust store gets the new public half.
        state: the state directory.
        reason: why, for the record.
        unsafe_while_running: see :meth:`store.Ledger.hand_over`.

    Raises:
        SigningKeyError: a key cannot be read or written.
        LedgerError: launches run, or the ledger cannot be used.
    """
    with Ledger.open(path, old, state=state) as ledger:
        if not unsafe_while_running:
            ledger.require_idle()
        successor = new()
        appended = ledger.hand_over(successor, reason, unsafe_while_running=unsafe_while_running)
        # Only now: a successor that is refused, a key that was retired for instance, is not to be trusted.
        key_files.trust(successor.public, config)
    return Rotation(old.public, successor.public, (HandedOver(path, appended.index),), None)
