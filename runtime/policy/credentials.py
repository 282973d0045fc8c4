"""Credentials: secrets that a launch puts into variables of the command (design 3, "Environment").

A *reference* says where one lies, so that its value never stands on a command line or in a profile:

``keyring://SERVICE/USER``
    a password of the desktop's keyring (:mod:`runtime.secrets.keyring_access`).
``file:///PATH``
    a regular file of at most 64 KiB that belongs to the user or to root and is closed to everybody else; no
    symbolic link. One newline at its end is not part of the secret.
``env://NAME``
    a variable of nono's own, which is taken out of nono's environment, and overwritten where the kernel shows
    it. The command has it under its new name alone, and hooks have it not.

All are read before anything is recorded, and before the ledger's key is: one that is missing is an error, and
a back end of a keyring never sees the key. Values go into the environment of the command and to the redactor;
messages and the record have names and references.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from runtime.capability import environment
from runtime.errors import CredentialError, GrantError, KeyringError, UsageError
from runtime.kernel.bounded_reading import read_bounded
from runtime.kernel.path_names import shown
from runtime.policy.document_words import is_plain
from runtime.secrets.secret_shapes import shape_spans
from runtime.secrets.signing_key import forget_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from attest.keys import SigningKey

MAX_CREDENTIALS = 64
MAX_REFERENCE_LENGTH = 512  # characters; the intent holds all of them
MAX_REFERENCES_BYTES = 16_384
MAX_BYTES = 65_536  # of one value; the kernel takes 128 KiB for a variable

SERVICE = "nono"
"""The service under which ``--env-credential NAME`` looks in the keyring, for the user NAME."""

_ENV, _FILE, _KEYRING = "env://", "file://", "keyring://"
_FORMS = "keyring://SERVICE/USER, file:///PATH or env://NAME"
_MAX_SHOWN_NAME = 64

# What variables held that were taken out of this process's environment, for its later launches.
_taken: dict[bytes, bytes] = {}


def of_keyring(name: str) -> tuple[str, str]:
    """Return variable and reference of what ``--env-credential NAME`` asks for.

    The variable is the name in upper case, so ``openai_api_key`` in the keyring is OPENAI_API_KEY.

    Raises:
        UsageError: no variable can be called so (``credential.name``).
    """
    if not environment.is_name(os.fsencode(name)) or any(shape_spans(name.encode())):
        raise UsageError(
            f"--env-credential takes what can also be the name of a variable, not {safe(name)}",
            code="credential.name",
            hint="--env-credential-map REFERENCE VARIABLE takes any place and any name",
        )
    return name.upper(), f"{_KEYRING}{SERVICE}/{name}"


def fault(reference: str) -> str | None:
    """Return what is wrong with a reference, by its text alone; None when nothing is.

    What is wrong may be the secret itself, in the wrong place, so it is never quoted.
    """
    if any(shape_spans(reference.encode("utf-8", "replace"))):
        return "it looks like the secret itself"
    if len(reference) > MAX_REFERENCE_LENGTH:
        return f"a reference has at most {MAX_REFERENCE_LENGTH} characters"
    if not is_plain(reference):
        return "a reference has neither control characters nor bytes that are not UTF-8"
    if reference.startswith(_ENV):
        name = reference.removeprefix(_ENV)
        return None if environment.is_name(os.fsencode(name)) else "env:// names a variable, without $"
    if reference.startswith(_FILE):
        return None if reference.startswith("file:///") else "file:// names an absolute path: file:///PATH"
    if reference.startswith(_KEYRING):
        service, _, user = reference.removeprefix(_KEYRING).rpartition("/")
        return None if service and user else "keyring:// names a service and a user: keyring://SERVICE/USER"
    return f"a reference is {_FORMS}"


def check(credentials: Mapping[str, str], *, key: str | None, key_names: Collection[bytes]) -> None:
    """Refuse credentials that make no sense, before anything is read.

    Args:
        credentials: references by variable.
        key: the reference of the signing key, None for the host key.
        key_names: variables that hold the signing key or its passphrase.

    Raises:
        UsageError: a variable that must not hold one, or too many of them.
        CredentialError: a reference that is none, or that leads to the signing key.
    """
    if len(credentials) > MAX_CREDENTIALS:
        raise UsageError(f"more than {MAX_CREDENTIALS} credentials", code="credential.name")
    size = 0
    for variable, reference in credentials.items():
        if not isinstance(variable, str) or not isinstance(reference, str):
            raise UsageError("credentials are text by text: a reference by the name of a variable")
        name = variable.encode("utf-8", "replace")
        if any(shape_spans(name)):  # in the wrong place, and a name is shown and recorded
            raise UsageError(
                "a secret is to be put into a variable whose name looks like the secret itself",
                code="credential.name",
                hint="the place comes first, the variable second: --env-credential-map REFERENCE VARIABLE",
            )
        environment.require_secret_name(name)
        if wrong := fault(reference):
            raise CredentialError(
                f"the credential {variable} names no place: {wrong}",
                code="credential.reference",
                hint=f"name it by {_FORMS}; the secret itself stands nowhere",
            )
        size += len(reference.encode())
        if name in key_names or reference == key or _variable(reference) in key_names:
            raise _is_key(variable)
    if size > MAX_REFERENCES_BYTES:
        raise CredentialError(
            f"more than {MAX_REFERENCES_BYTES >> 10} KiB of references", code="credential.reference"
        )


def variables(credentials: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the variables of nono's own environment that credentials are taken from."""
    return tuple(name for reference in credentials.values() if (name := _variable(reference)) is not None)


def load(
    credentials: Mapping[str, str], *, judge: Callable[[str, bytes, bytes], None], looking: bool = False
) -> dict[bytes, bytes]:
    """Return the secrets by variable, and take those of ``env://`` out of nono's environment.

    Args:
        credentials: references by variable, checked.
        judge: raises a GrantError for a file that must not be given away; told the credential's variable, the
            file's path, and the canonical path of what is open.
        looking: changes nothing: the environment stays as it is, and no keyring is asked, so that its
            secrets are empty.

    Raises:
        CredentialError: one cannot be had; then the environment is as it was.
    """
    secrets: dict[bytes, bytes] = {}
    for variable, reference in credentials.items():
        if reference.startswith(_FILE):
            path = os.fsencode(reference.removeprefix(_FILE))
            secrets[variable.encode()] = _checked(_read_file(path, variable, judge), variable)
        elif reference.startswith(_ENV):
            secrets[variable.encode()] = _checked(_in_environment(reference, variable), variable)
    kept = {name: ref for name, ref in credentials.items() if ref.startswith(_KEYRING)}
    if kept:
        passwords = [b""] * len(kept) if looking else _in_keyring(tuple(kept.values()), tuple(kept))
        for variable, password in zip(kept, passwords, strict=True):
            secrets[variable.encode()] = password if looking else _checked(password, variable)
    if not looking:
        for name in variables(credentials):
            if (value := os.environb.get(name)) is not None:
                _taken[name] = value
                forget_variable(name)
    return secrets


def refuse_key(secrets: Mapping[bytes, bytes], key: SigningKey) -> None:
    """Refuse a secret that is the signing key, wherever it came from.

    Raises:
        CredentialError: one is (``credential.key``).
    """
    # The seed, as base64 of PKCS#8 has it from its 16th byte on, whatever the version (RFC 8410, section 7).
    seed = key.pem().split(b"\n")[1][20:64]
    for variable, value in secrets.items():
        if seed in b"".join(value.split()):
            raise _is_key(variable.decode())


def _is_key(variable: str) -> CredentialError:
    return CredentialError(
        f"the credential {variable} would be the key that signs the record, or what opens it",
        code="credential.key",
        hint="no command ever gets that; give it a secret of its own",
    )


def _checked(value: bytes, variable: str) -> bytes:
    """Return the value, if a variable can hold it and it is one."""
    if not value:
        raise CredentialError(
            f"the credential {variable} is empty",
            code="credential.empty",
            hint="a secret that a pipeline does not hand out is often empty",
        )
    if b"\0" in value:
        raise CredentialError(
            f"the credential {variable} has a NUL, which no variable can hold", code="credential.value"
        )
    if len(value) > MAX_BYTES:
        raise _too_large(variable)
    return value


def _too_large(variable: str) -> CredentialError:
    return CredentialError(
        f"the credential {variable} is larger than {MAX_BYTES >> 10} KiB",
        code="credential.size",
        hint="a variable is for a token or a key; grant a file for more: --read-file FILE",
    )


def _variable(reference: str) -> bytes | None:
    return os.fsencode(reference.removeprefix(_ENV)) if reference.startswith(_ENV) else None


def _in_environment(reference: str, variable: str) -> bytes:
    name = reference.removeprefix(_ENV)
    value = os.environb.get(os.fsencode(name))
    if value is None:
        value = _taken.get(os.fsencode(name))
    if value is None:
        raise CredentialError(
            f"the credential {variable} is missing: the variable {safe(name)} is not set",
            code="credential.missing",
            hint="export it, and give its name without $: env://NAME",
        )
    return value


def _in_keyring(references: Sequence[str], names: Sequence[str]) -> list[bytes]:
    from runtime.secrets import keyring_access  # noqa: PLC0415  # few credentials lie there

    try:
        return keyring_access.read(*references)
    except KeyringError as error:
        if error.code == "keyring.missing":
            message = f"a credential is missing: {error}"
            raise CredentialError(message, code="credential.missing", hint=error.hint) from None
        message = f"no credential can be had for {', '.join(names)}: {error}"
        raise CredentialError(message, code="credential.keyring", hint=error.hint) from None


def _read_file(path: bytes, variable: str, judge: Callable[[str, bytes, bytes], None]) -> bytes:
    what, name = f"the credential {variable}", shown(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CredentialError(f"{what} is missing: there is no {name}", code="credential.missing") from None
    except OSError as error:
        if os.path.islink(path):
            raise CredentialError(
                f"{what} lies in {name}, which is a symbolic link",
                code="credential.link",
                hint=f"name the file that it leads to: {shown(os.path.realpath(path))}",
            ) from None
        message = f"{what} cannot be read from {name}: {os.strerror(error.errno or 0).lower()}"
        raise CredentialError(message, code="credential.unreadable") from None
    try:
        # What is open, not what the path may lead to by now.
        judge(variable, path, os.readlink(b"/proc/self/fd/%d" % descriptor))
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CredentialError(f"{what}: {name} is no regular file", code="credential.not_regular")
        if status.st_uid not in (os.geteuid(), 0):
            raise CredentialError(f"{what}: {name} belongs to another user", code="credential.owner")
        if status.st_mode & 0o077:
            raise CredentialError(
                f"{what}: {name} is open to others (mode {stat.S_IMODE(status.st_mode):04o})",
                code="credential.mode",
                hint=f"chmod 600 {name}; what a container mounts, it can mount with mode 0400",
            )
        value = read_bounded(descriptor, MAX_BYTES + len(b"\n"))
    except GrantError as error:
        message = f"the credential {variable} must not be given away: {error}"
        raise CredentialError(message, code="credential.protected", hint=error.hint) from None
    except OSError as error:
        message = f"{what} cannot be read from {name}: {os.strerror(error.errno or 0).lower()}"
        raise CredentialError(message, code="credential.unreadable") from None
    finally:
        os.close(descriptor)
    if value is None:
        raise _too_large(variable)
    return value.removesuffix(b"\n")


def safe(name: str) -> str:
    """Return a name for a message, unless it is none, or looks like the secret itself."""
    is_name = name.isidentifier() and name.isascii() and len(name) <= _MAX_SHOWN_NAME
    return name if is_name and not any(shape_spans(name.encode())) else "(not shown, it may be the secret)"
