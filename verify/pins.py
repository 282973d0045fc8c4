"""Pins: what the verifier is told to trust, never taken from the file or the repository that it checks.

A key file holds a SubjectPublicKeyInfo PEM, or a verifier key (C2SP signed-note) as one line. A
verifier key names a ledger too, so it pins that origin with the key.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from attest.errors import NonoError
from attest.keys import PublicKey, is_key_text
from attest.named_tuples import NamedTuple
from attest.note import Verifier
from verify import regular_files
from verify.errors import NotCheckedError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_VARIABLE = "NONO_VERIFY_KEY"
"""Environment variable: a key file, or the text that would stand in one."""

_MAX_KEY_BYTES = 65_536
_PEM = b"-----BEGIN "
_VERIFIER_KEY = re.compile(r"\s*[^+\s]+\+[0-9A-Fa-f]{8}\+\S*\s*")
"""What has the shape of a verifier key is one, well formed or not, and never the name of a file."""


class Pin(NamedTuple):
    """A key that is trusted.

    Attributes:
        key: the public key.
        origin: the one ledger that it is trusted for, or None.
        source: where the pin comes from, for people.
    """

    key: PublicKey
    origin: str | None = None
    source: str = ""


def read_file(path: str) -> Pin:
    """Return the pin in a key file.

    Raises:
        NotCheckedError: it cannot be read, or holds no public key that may be used (``key.*``).
    """
    if is_key_text(path):  # it may be a private one, so nothing of it is echoed
        raise NotCheckedError(
            "a key itself is given where the file of a public key is wanted",
            code="key.format",
            hint=f"name its file, or put a public key into {KEY_VARIABLE}",
        )
    return parse(regular_files.read_file(path, _MAX_KEY_BYTES, "key", "key.unreadable"), path)


def parse(data: bytes, source: str) -> Pin:
    """Return the pin that ``data`` spells; see :func:`read_file`."""
    if len(data) > _MAX_KEY_BYTES:
        raise NotCheckedError(f"{source} is too long for a key", code="key.format")
    try:
        if data.lstrip().startswith(_PEM):
            return Pin(PublicKey.from_pem(data), None, source)
        verifier = Verifier.from_vkey(data.decode("utf-8").strip())
    except (NonoError, UnicodeDecodeError) as error:
        private = b"PRIVATE KEY-----" in data
        reason = "it is a private key" if private else "neither a PEM public key nor a verifier key"
        if isinstance(error, NonoError) and not private and data.lstrip().startswith(_PEM):
            reason = str(error)
        raise NotCheckedError(
            f"{source} holds no public key that can be pinned: {reason}",
            code="key.format",
            hint="the public half is the .pub file that nono keygen wrote" if private else None,
        ) from None
    return Pin(verifier.key, verifier.name, source)


def from_environment(environment: Mapping[str, str]) -> tuple[Pin, ...]:
    """Return the pin that :data:`KEY_VARIABLE` spells or names, if it is set.

    Raises:
        NotCheckedError: it is set to something else; see :func:`read_file`.
    """
    value = environment.get(KEY_VARIABLE, "")
    if not value:
        return ()
    named = file_named(environment)
    if named is None:
        return (parse(os.fsencode(value), KEY_VARIABLE),)
    try:
        return (read_file(named),)
    except NotCheckedError as error:
        hint = error.hint or f"{KEY_VARIABLE} names it; -k FILE names another"
        raise NotCheckedError(str(error), code=error.code, hint=hint) from None


def file_named(environment: Mapping[str, str]) -> str | None:
    """Return the path that :data:`KEY_VARIABLE` names, or None where it holds a key, or nothing."""
    value = environment.get(KEY_VARIABLE, "")
    # Whether such a file exists must not matter: the folder at hand may be the one that is being checked.
    if not value or value.lstrip().startswith(_PEM.decode()) or _VERIFIER_KEY.fullmatch(value):
        return None
    return value
