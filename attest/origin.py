"""Origins: the name of one ledger, bound to the key and the nonce that founded it (design 2)."""

from __future__ import annotations

from attest import hashing
from attest.errors import MalformedError

NONCE_BYTES = 32

_CONTEXT = b"nono-ledger-v1\x00"
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789./_-")
_MAX_NAME = 100
_ID_DIGITS = 32


def derive(name: str, spki: bytes, nonce: bytes) -> str:
    """Return the origin ``<name>/<id>``, id = hex(SHA-256("nono-ledger-v1" ‖ 0x00 ‖ SPKI ‖ nonce)[:16]).

    Args:
        name: 1 to 100 characters of ``[a-z0-9./_-]``.
        spki: the genesis key's SubjectPublicKeyInfo, DER.
        nonce: 32 random bytes.

    Raises:
        MalformedError: the name or the nonce is not of that form.
    """
    check_name(name)
    if len(nonce) != NONCE_BYTES:
        raise MalformedError(f"a ledger's nonce is {NONCE_BYTES} bytes")
    digest = hashing.hexdigest(_CONTEXT + spki + nonce)
    return f"{name}/{digest[:_ID_DIGITS]}"


def check_name(name: str) -> None:
    """Refuse what cannot be the name part of an origin.

    Raises:
        MalformedError: it is not 1 to 100 characters of ``[a-z0-9./_-]``.
    """
    if not 0 < len(name) <= _MAX_NAME or not _NAME_CHARACTERS.issuperset(name):
        raise MalformedError(f"a ledger's name is 1 to {_MAX_NAME} characters of [a-z0-9./_-]")


def split(origin: str) -> tuple[str, str]:
    """Return the name and the id of an origin.

    Raises:
        MalformedError: not of the form ``<name>/<id>``.
    """
    name, slash, identifier = origin.rpartition("/")
    if (
        not slash
        or not 0 < len(name) <= _MAX_NAME
        or not _NAME_CHARACTERS.issuperset(name)
        or len(identifier) != _ID_DIGITS
        or not set(identifier) <= set("0123456789abcdef")
    ):
        raise MalformedError("not an origin: <name>/<32 hex digits>")
    return name, identifier
