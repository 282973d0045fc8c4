"""The files of a key: made whole or not at all, durable, never overwritten.

A private key is a PEM of mode 0600, its public half lies beside it, and the public halves that this user's
``nono-verify`` trusts lie in a directory of their own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest.keys import SigningKey
from runtime.errors import SigningKeyError
from runtime.kernel.path_names import shown
from runtime.secrets.signing_key import public_half
from store.private_directories import NOT_WRITABLE, make_private

if TYPE_CHECKING:
    from attest.keys import PublicKey


def generate(path: bytes, passphrase: bytes | None = None, *, trusting: bytes | None = None) -> SigningKey:
    """Make a key: ``path`` (0600) and its public half beside it (``.pub`` in the place of ``.pem``).

    Args:
        path: the file.
        passphrase: what to encrypt it with; None leaves it in the clear.
        trusting: the configuration directory whose trust store gets the public half, if any does.

    Raises:
        SigningKeyError: one of the files exists (neither is touched), or cannot be written.
    """
    public_path = public_half(path)
    for existing in (path, public_path):
        if os.path.lexists(existing):
            raise exists(existing)
    key = SigningKey.generate()
    try:
        make_private(os.path.dirname(path))
        write_new(path, private_pem(key, passphrase), 0o600)
        if trusting is not None:
            trust(key.public, trusting)
        # Last: without it whoever finds the key knows that this was interrupted.
        write_new(public_path, key.public.pem(), 0o644)
    except FileExistsError:  # another process was faster
        raise exists(path) from None
    except OSError as error:
        raise unwritable(path, error) from None
    return key


def private_pem(key: SigningKey, passphrase: bytes | None) -> bytes:
    """Return the key as PKCS#8 PEM, encrypted if there is a passphrase."""
    if passphrase is None:
        return key.pem()
    from runtime.secrets import pkcs8  # noqa: PLC0415  # few keys are encrypted

    return pkcs8.encrypted_pem(key, passphrase)


_ELSEWHERE = (
    "XDG_CONFIG_HOME moves nono's own keys to a directory that you may write to,"
    " and nono keygen --out FILE makes one elsewhere"
)


def exists(path: bytes) -> SigningKeyError:
    """Return the error that says that nothing is overwritten."""
    return SigningKeyError(
        f"{shown(path)} exists already, and is left as it is",
        code="key.exists",
        hint="name another file with --out",
    )


def unwritable(path: bytes, error: OSError) -> SigningKeyError:
    """Return the error that says why a file of a key cannot be written."""
    return SigningKeyError(
        f"cannot write {shown(path)}: {error.strerror}",
        code="key.write",
        hint=_ELSEWHERE if error.errno in NOT_WRITABLE else None,
    )


def trusted_path(key: PublicKey, config: bytes) -> bytes:
    """Return where a public key lies in the user's trust store."""
    return os.path.join(config, b"trust", key.fingerprint().encode() + b".pub")


def trust(key: PublicKey, config: bytes) -> bytes:
    """Put a public key into the user's trust store, where ``nono-verify`` looks; return its path.

    Raises:
        SigningKeyError: it cannot be written.
    """
    path = trusted_path(key, config)
    try:
        make_private(os.path.dirname(path))
        write_new(path, key.pem(), 0o644)
    except FileExistsError:
        pass  # the name is the key's fingerprint
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def write_new(path: bytes, data: bytes, mode: int) -> None:
    """Write a file that must not exist; nobody ever sees it half-written, and it is durable.

    Raises:
        OSError: it cannot be written; FileExistsError when it exists.
    """
    temporary = b"%s.%s.new" % (path, os.urandom(8).hex().encode())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, mode)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
        os.link(temporary, path)
    finally:
        os.close(descriptor)
        os.unlink(temporary)
    sync_directory(path)


def sync_directory(path: bytes) -> None:
    """Make what was linked, renamed or unlinked at ``path`` durable."""
    descriptor = os.open(os.path.dirname(path) or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def destroy(path: bytes) -> None:
    """Overwrite the key at ``path`` and remove it.

    What a file system or a disk keeps beside a file's present blocks (snapshots, journals, worn cells) is
    beyond this.

    Raises:
        SigningKeyError: it cannot be.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.unlink(path)
        sync_directory(path)
    except OSError as error:
        raise SigningKeyError(
            f"cannot destroy {shown(path)}: {error.strerror}",
            code="key.write",
            hint=f"shred -u {shown(path)}",
        ) from None
