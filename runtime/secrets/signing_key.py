"""The ledger's key: where it comes from, and what must be true of it before anything is launched.

A reference is a path or ``file://`` to a PKCS#8 PEM, ``env://NAME`` (PEM or base64 DER in a variable that
neither the child nor a hook gets), ``keyring://SERVICE/USER`` (the same in the desktop's keyring), or, for
callers in Python alone, the key itself (PEM or base64 DER): the command line refuses that, and never echoes
it. Without one the host key is used, ``$XDG_CONFIG_HOME/nono/keys/default.pem``; the first launch makes it.
An encrypted key takes its passphrase from where the caller says.

What few keys need is imported when such a key comes (:mod:`runtime.secrets.pkcs8`,
:mod:`runtime.secrets.keyring_access`); so is what makes keys (:mod:`runtime.secrets.key_files`) and replaces
the host key (:mod:`runtime.secrets.host_key_rotation`).
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from attest import canonical
from attest.errors import KeyFormatError, MalformedError
from attest.keys import PublicKey, SigningKey, is_key_text
from attest.named_tuples import NamedTuple
from runtime.errors import KeyringError, SigningKeyError, UsageError
from runtime.kernel import syscalls
from runtime.kernel.path_names import from_here, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.secrets.pkcs8 import Passphrases

MAX_BYTES = 16_384
_PUBLIC_PEM = b"-----BEGIN PUBLIC KEY-----"
_SCHEMES = ("env", "file", "keyring")
_MAX_SHOWN_NAME = 40  # a seed has 43 characters of base64, or 64 of hex


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


def resolve(reference: str, passphrases: Passphrases | None = None) -> ResolvedKey:
    """Return the key that ``--audit-sign-key`` names.

    Args:
        reference: see the module.
        passphrases: given what to call the key, the passphrases to try; None where there is none to be had.

    Raises:
        SigningKeyError: it cannot be read or decrypted, is no Ed25519 key, or others can read it.
    """
    if is_inline(reference):
        return ResolvedKey(_parse(reference.encode("utf-8", "replace"), "that was given", passphrases))
    if reference.startswith("env://"):
        return _from_environment(reference.removeprefix("env://"), passphrases)
    if reference.startswith("keyring://"):
        from runtime.secrets import keyring_access  # noqa: PLC0415  # few keys lie there

        try:
            (found,) = keyring_access.read(reference)
        except KeyringError as error:
            hint = error.hint
            if error.code == "keyring.missing":
                hint = f"{hint} < KEY.pem"
            raise SigningKeyError(str(error), code="key.keyring", hint=hint) from None
        return ResolvedKey(_parse(found, reference, passphrases))
    return read_file(os.fsencode(_path(reference)), passphrases)


def host_key(
    config: bytes, *, passphrases: Passphrases | None = None, notify: Callable[[str], None] = lambda _: None
) -> ResolvedKey:
    """Return the host key; the first call makes it, and puts its public half into the trust store.

    Args:
        config: the configuration directory.
        passphrases: see :func:`resolve`.
        notify: told, in one line, that it was made.

    Raises:
        SigningKeyError: it cannot be made or read.
    """
    path = default_path(config)
    if not os.path.lexists(path):
        from runtime.secrets import key_files  # noqa: PLC0415  # once in the life of a host

        try:
            key = key_files.generate(path, trusting=config)
        except SigningKeyError:
            if not os.path.lexists(path):
                raise
            # Another launch was faster, and its key serves.
        else:
            notify(f"made the host key {shown(path)} ({key.public.fingerprint()[:16]}…)")
    taken = read_file(path, passphrases)
    if not os.path.lexists(public_half(path)):  # whoever made the key was killed before it wrote this
        from runtime.secrets import key_files  # noqa: PLC0415  # as above

        with contextlib.suppress(SigningKeyError, OSError):
            key_files.trust(taken.key.public, config)
            key_files.write_new(public_half(path), taken.key.public.pem(), 0o644)
    return taken


def host_public_key(config: bytes) -> PublicKey | None:
    """Return the host key's public half as it lies beside it; None when that cannot be read."""
    return read_public(public_half(default_path(config)))


def read_public(path: bytes) -> PublicKey | None:
    """Return the public key (PEM) in a file; None when there is none."""
    try:
        with open(path, "rb") as file:
            return PublicKey.from_pem(file.read(MAX_BYTES))
    except (OSError, KeyFormatError):
        return None


def is_inline(reference: str) -> bool:
    """Return whether a reference is the key itself (PEM, or base64 of DER), also behind a scheme's name."""
    return is_key_text(reference.rpartition("://")[2])


def refuse_inline(reference: str | None) -> None:
    """Refuse a key itself where a command line names one; it is never echoed.

    Raises:
        UsageError: it is the key itself (``usage.key_in_argv``).
    """
    if reference is not None and is_inline(reference):
        raise UsageError(
            "a signing key on the command line can be read by every process, a launched one included",
            code="usage.key_in_argv",
            hint="put it into a variable and name that: env://NAME",
        )


def file_of(reference: str) -> bytes | None:
    """Return the path that a reference names, None if it names no file.

    Raises:
        SigningKeyError: it is of an unknown scheme (``key.scheme``).
        UsageError: it is relative, and the current directory is gone.
    """
    if is_inline(reference) or reference.startswith(("env://", "keyring://")):
        return None
    return from_here(os.fsencode(_path(reference)))


def _path(reference: str) -> str:
    scheme, colon, _ = reference.partition("://")
    if colon and scheme.isalnum() and scheme not in _SCHEMES:
        raise SigningKeyError(
            f"no key is named by {scheme}://",
            code="key.scheme",
            hint="name a path, file://PATH, env://NAME or keyring://SERVICE/USER",
        )
    return reference.removeprefix("file://")


def read_file(path: bytes, passphrases: Passphrases | None = None) -> ResolvedKey:
    """Return the key in a PEM file of this user that nobody else can read; see :func:`resolve`.

    Raises:
        SigningKeyError: it is not that.
    """
    path = from_here(path)
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
        data = os.read(descriptor, MAX_BYTES + 1)
        if status.st_mode & 0o077 and not data.lstrip().startswith(
            _PUBLIC_PEM
        ):  # that may be; it is said below
            raise SigningKeyError(
                f"the signing key {name} is open to others (mode {stat.S_IMODE(status.st_mode):04o})",
                code="key.mode",
                hint=f"chmod 600 {name}",
            )
    except OSError as error:
        raise SigningKeyError(
            f"cannot read the signing key {name}: {error.strerror}", code="key.unreadable"
        ) from None
    finally:
        os.close(descriptor)
    canonical_path = os.path.realpath(path)
    return ResolvedKey(
        _parse(data, name, passphrases),
        tuple(dict.fromkeys((path, canonical_path))),
        (),
        (status.st_dev, status.st_ino),
    )


def _from_environment(name: str, passphrases: Passphrases | None) -> ResolvedKey:
    variable = os.fsencode(name)
    value = os.environb.get(variable)
    if not variable or value is None:
        # What cannot be a name may be the key itself, in whatever form, and is not echoed.
        is_name = name.isidentifier() and name.isascii() and len(name) <= _MAX_SHOWN_NAME
        shown_name = name if is_name else "(not a name)"
        raise SigningKeyError(
            f"the variable of the signing key is not set: {shown_name}",
            code="key.variable",
            hint="export it, and give its name without $: env://NAME",
        )
    if not value.strip():
        raise SigningKeyError(
            f"the variable of the signing key is empty: {name}",
            code="key.variable",
            hint="a secret that a pipeline does not hand out is often empty",
        )
    key = _parse(value, f"in ${name}", passphrases)
    forget_variable(variable)
    return ResolvedKey(key, variables=(variable,))


def forget_variable(name: bytes) -> None:
    """Take a secret out of this process's environment.

    It must not stay where ``/proc/PID/environ`` shows it, nor reach anything that this process starts.
    """
    del os.environb[name]
    syscalls.wipe_initial_environment(name)


def _parse(data: bytes, name: str, passphrases: Passphrases | None) -> SigningKey:
    if len(data) > MAX_BYTES:
        raise SigningKeyError(f"the signing key {name} is larger than a key can be", code="key.size")
    try:
        is_pem = data.lstrip().startswith(b"-----BEGIN")
        try:
            if is_pem:
                return SigningKey.from_pem(data)
            der = canonical.decode_base64(data.strip().decode("ascii", "replace"))
            return SigningKey.from_pkcs8(der)
        except KeyFormatError:
            from runtime.secrets import pkcs8  # noqa: PLC0415  # most keys have the one form that attest reads

            if is_pem:
                return pkcs8.read_pem(data, name, passphrases)
            return pkcs8.read_der(der, name, passphrases)
    except KeyFormatError as error:
        if error.code == "key.encrypted":
            raise SigningKeyError(
                f"the signing key {name} is encrypted, and there is nobody to ask for its passphrase",
                code="key.encrypted",
                hint="name a variable that holds the passphrase: --key-passphrase-env NAME",
            ) from None
        code = error.code if error.code in ("key.type", "key.passphrase", "key.small_order") else None
        raise SigningKeyError(
            f"the signing key {name} is unusable: {error}", code=code, hint=error.hint
        ) from None
    except MalformedError:
        raise SigningKeyError(
            f"the signing key {name} is neither PEM nor base64 of PKCS#8 DER", hint="nono keygen makes one"
        ) from None


def public_half(path: bytes) -> bytes:
    """Return where the public half of the key at ``path`` lies."""
    return path.removesuffix(b".pem") + b".pub"
