"""The host key's rotation: how another takes its place, whenever it is interrupted.

The host key is ``$XDG_CONFIG_HOME/nono/keys/default.pem``, its public half ``default.pub``. Its rotation is
one thing that must not be half done, so it goes through files that say how far it came, in this order, each
durable before the next, under one lock:

1. the old key gets its second name, ``default-<first 8 digits of its fingerprint>.pem`` (and ``.pub``);
   the new public half goes to the trust store, and to ``default-next.pub``;
2. ``default-next.pem``, the new key: from here on there is a rotation to be finished;
3. the ledgers are handed over (:mod:`runtime.secrets.key_rotation`);
4. ``default-next.pub`` becomes ``default.pub``;
5. ``default-next.pem`` becomes ``default.pem``: done.

Killed before 3, the old key goes on and the next rotation takes up the new key where it lies. Killed
later, a launch finds no ledger of the old key, looks here before it founds another (:func:`settle`), and does
4 and 5. No launch whose key has a ledger takes the lock, or looks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from runtime.errors import SigningKeyError
from runtime.secrets import key_files
from runtime.secrets.signing_key import default_path, host_public_key, public_half, read_public
from store.private_directories import make_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attest.keys import PublicKey, SigningKey

_NAME_DIGITS = 8
_LOCK_SECONDS = 10.0
_LOCK_PAUSE_SECONDS = 0.01


def next_path(config: bytes) -> bytes:
    """Return where its successor lies while a rotation is under way."""
    return os.path.join(config, b"keys", b"default-next.pem")


def kept_path(config: bytes, fingerprint: str) -> bytes:
    """Return where a former host key is kept."""
    return os.path.join(config, b"keys", b"default-%s.pem" % fingerprint[:_NAME_DIGITS].encode())


@contextlib.contextmanager
def lock(config: bytes) -> Iterator[None]:
    """Hold the lock under which the host key is replaced, and the first ledger of a key is founded.

    Raises:
        SigningKeyError: the directory of the keys cannot be made, or is locked for too long (``key.busy``).
    """
    directory = os.path.dirname(default_path(config))
    try:
        make_private(directory)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise key_files.unwritable(directory, error) from None
    try:
        _take_lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _take_lock(descriptor: int) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise SigningKeyError(
                    "another nono is replacing the host key and does not come to an end", code="key.busy"
                ) from None
            time.sleep(_LOCK_PAUSE_SECONDS)
        except OSError:  # where nothing can be locked, as on some network file systems
            return
        else:
            return


def begin(config: bytes, old: PublicKey, new: SigningKey, passphrase: bytes | None) -> bytes:
    """Do steps 1 and 2; return where the old key is kept.

    Raises:
        SigningKeyError: a file cannot be written, or another key lies where the old one is to be kept.
    """
    private, following = default_path(config), next_path(config)
    kept = kept_path(config, old.fingerprint())
    try:
        _keep(private, kept)
        with contextlib.suppress(FileExistsError):
            key_files.write_new(public_half(kept), old.pem(), 0o644)
        key_files.trust(new.public, config)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(public_half(following))
        key_files.write_new(public_half(following), new.public.pem(), 0o644)
        key_files.write_new(following, key_files.private_pem(new, passphrase), 0o600)
    except OSError as error:
        raise key_files.unwritable(following, error) from None
    return kept


def _keep(private: bytes, kept: bytes) -> None:
    try:
        os.link(private, kept)
    except FileExistsError:
        if not os.path.samefile(private, kept):
            raise key_files.exists(kept) from None
    key_files.sync_directory(kept)


def withdraw(config: bytes, old: PublicKey) -> None:
    """Undo steps 1 and 2: nothing was handed over."""
    following, kept = next_path(config), kept_path(config, old.fingerprint())
    for file in (
        following,
        public_half(following),
        kept,
        public_half(kept),
    ):
        with contextlib.suppress(OSError):
            os.unlink(file)


def finish(config: bytes) -> None:
    """Do steps 4 and 5.

    Raises:
        SigningKeyError: a file cannot be renamed.
    """
    private, following = default_path(config), next_path(config)
    try:
        with contextlib.suppress(FileNotFoundError):  # it was killed between the two
            os.rename(public_half(following), public_half(private))
            key_files.sync_directory(private)
        os.rename(following, private)
        key_files.sync_directory(private)
    except OSError as error:
        raise key_files.unwritable(private, error) from None


def settle(config: bytes, *, state: bytes, ledger: bytes | None) -> None:
    """Finish a rotation that was killed after a ledger was handed over; call it under the lock.

    Args:
        config: the configuration directory.
        state: the state directory.
        ledger: the ledger in question; None for those in the state directory.

    Raises:
        SigningKeyError: a file cannot be renamed.
        LedgerError: the ledger, or the directory, cannot be read.
    """
    following = next_path(config)
    if not os.path.lexists(following):
        return
    successor = read_public(public_half(following)) or host_public_key(config)
    if successor is None:
        return
    from store.overview import default_ledgers_of, overview  # noqa: PLC0415  # a rotation is seldom interrupted

    if ledger is not None:
        handed_over = overview(os.path.abspath(ledger), state=state).key == successor
    else:
        handed_over = bool(default_ledgers_of(successor, state=state))
    if handed_over:
        finish(config)
