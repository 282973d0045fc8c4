"""The ledger's key: where it comes from, and what must be true of it before anything is launched.

A reference is a path or ``file://`` to an unencrypted PKCS#8 PEM, ``env://NAME`` (PEM or base64 DER in
a variable that neither the child nor a hook gets), or the base64 of the PKCS#8 DER itself. Without one
the host key is used, ``$XDG_CONFIG_HOME/nono/keys/default.pem``.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from attest import canonical
from attest.errors import KeyFormatError, MalformedError
from attest.keys import SigningKey
from runtime import syscalls
from runtime.errors import SigningKeyError
from runtime.path_names import shown

MAX_BYTES = 16_384
_PKCS8_BASE64_LENGTH = 64
_PKCS8_BASE64_START = "MC4CAQAwBQYDK2VwBCIEI"


class ResolvedKey(NamedTuple):
    """A signing key and what must be kept from the command because of it.

    Attributes:
        key: the key.
        files: absolute paths of the files that hold it.
        variables: names of the environment variables that hold it.
        identity: device and inode of its file, or None.
    """

    key: SigningKey
    files: tuple[bytes, ...] = ()
    variables: tuple[bytes, ...] = ()
    identity: tuple[int, int] | None = None


def default_path(config: bytes) -> bytes:
    """Return where the host key lies, for a configuration directory."""
    return os.path.join(config, b"keys", b"default.pem")


def resolve(reference: str) -> ResolvedKey:
    """Return the key that ``--audit-sign-key`` names.

    Raises:
        SigningKeyError: it cannot be read, is no Ed25519 key, or others can read it.
    """
    if reference.startswith("env://"):
        return _from_environment(reference.removeprefix("env://"))
    if reference.startswith("keyring://"):
        raise SigningKeyError(
            "keys in a keyring are not supported yet",
            code="key.keyring",
            hint="name a file, or a variable with env://NAME",
        )
    if is_inline(reference):
        return ResolvedKey(_parse(reference.encode(), "that was given"))
    return read_file(os.fsencode(reference.removeprefix("file://")))


def is_inline(reference: str) -> bool:
    """Return whether a reference is the key itself: base64 of an Ed25519 PKCS#8 DER."""
    return len(reference) == _PKCS8_BASE64_LENGTH and reference.startswith(_PKCS8_BASE64_START)


def file_of(reference: str) -> bytes | None:
    """Return the path that a reference names, None if it names no file."""
    if is_inline(reference) or reference.startswith(("env://", "keyring://")):
        return None
    return os.path.abspath(os.fsencode(reference.removeprefix("file://")))


def read_file(path: bytes) -> ResolvedKey:
    """Return the key in a PEM file of this user that nobody else can read.

    Raises:
        SigningKeyError: it is not that.
    """
    path = os.path.abspath(path)
    name = shown(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SigningKeyError(
            f"cannot open the signing key {name}: {error.strerror}",
            code="key.unreadable",
            hint="make one with: nono keygen --out FILE" if isinstance(error, FileNotFoundError) else None,
        ) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SigningKeyError(f"the signing key {name} is not a regular file", code="key.not_regular")
        if status.st_uid not in (os.geteuid(), 0):
            raise SigningKeyError(f"the signing key {name} belongs to another user", code="key.owner")
        if status.st_mode & 0o077:
            raise SigningKeyError(
                f"the signing key {name} is open to others (mode {stat.S_IMODE(status.st_mode):04o})",
                code="key.mode",
                hint=f"chmod 600 {name}",
            )
        data = os.read(descriptor, MAX_BYTES + 1)
    except OSError as error:
        raise SigningKeyError(
            f"cannot read the signing key {name}: {error.strerror}", code="key.unreadable"
        ) from None
    finally:
        os.close(descriptor)
    canonical_path = os.path.realpath(path)
    return ResolvedKey(
        _parse(data, name), tuple(dict.fromkeys((path, canonical_path))), (), (status.st_dev, status.st_ino)
    )


def _from_environment(name: str) -> ResolvedKey:
    variable = os.fsencode(name)
    value = os.environb.get(variable)
    if not variable or value is None:
        raise SigningKeyError(
            f"the variable of the signing key is not set: {name or '(no name)'}", code="key.variable"
        )
    key = _parse(value, f"in ${name}")
    # It must not stay where /proc/PID/environ shows it, nor reach anything that this process starts.
    del os.environb[variable]
    syscalls.wipe_initial_environment(variable)
    return ResolvedKey(key, variables=(variable,))


def _parse(data: bytes, name: str) -> SigningKey:
    if len(data) > MAX_BYTES:
        raise SigningKeyError(f"the signing key {name} is larger than a key can be", code="key.size")
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            return SigningKey.from_pem(data)
        return SigningKey.from_pkcs8(canonical.decode_base64(data.strip().decode("ascii", "replace")))
    except KeyFormatError as error:
        if error.code == "key.encrypted":
            raise SigningKeyError(
                f"the signing key {name} is encrypted, which is not supported yet",
                code="key.encrypted",
                hint="name an unencrypted Ed25519 key (PKCS#8 PEM); nono keygen makes one",
            ) from None
        raise SigningKeyError(f"the signing key {name} is unusable: {error}", hint=error.hint) from None
    except MalformedError:
        raise SigningKeyError(
            f"the signing key {name} is neither PEM nor base64 of PKCS#8 DER", hint="nono keygen makes one"
        ) from None


def generate(path: bytes) -> SigningKey:
    """Make a key: ``path`` (0600) and its public half beside it (``.pub`` in the place of ``.pem``).

    Raises:
        SigningKeyError: one of the files exists (neither is touched), or cannot be written.
    """
    public_path = public_half(path)
    name = shown(path)
    for existing in (path, public_path):
        if os.path.lexists(existing):
            raise _exists(existing)
    key = SigningKey.generate()
    try:
        os.makedirs(os.path.dirname(path) or b".", 0o700, exist_ok=True)
        _write(path, key.pem(), 0o600)
        _write(public_path, key.public.pem(), 0o644)
    except FileExistsError:  # another process was faster
        raise _exists(path) from None
    except OSError as error:
        raise SigningKeyError(f"cannot write {name}: {error.strerror}", code="key.write") from None
    return key


def _exists(path: bytes) -> SigningKeyError:
    return SigningKeyError(
        f"{shown(path)} exists already, and is left as it is",
        code="key.exists",
        hint="name another file with --out",
    )


def public_half(path: bytes) -> bytes:
    """Return where the public half of the key at ``path`` lies."""
    return path.removesuffix(b".pem") + b".pub"


def trust(key: SigningKey, config: bytes) -> bytes:
    """Put the public half into the user's trust store, where ``nono-verify`` looks; return its path.

    Raises:
        SigningKeyError: it cannot be written.
    """
    path = os.path.join(config, b"trust", key.public.fingerprint().encode() + b".pub")
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        _write(path, key.public.pem(), 0o644)
    except FileExistsError:
        pass  # the name is the key's fingerprint
    except OSError as error:
        raise SigningKeyError(f"cannot write {shown(path)}: {error.strerror}", code="key.write") from None
    return path


def _write(path: bytes, data: bytes, mode: int) -> None:
    """Write a file that must not exist; nobody ever sees it half-written."""
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
