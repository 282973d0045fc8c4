r"""Signed notes: C2SP signed-note v1, Ed25519 signatures (type 0x01) and verifier keys.

``text ‖ "\n" ‖ ("— " name " " base64(key id ‖ signature) "\n")+``, where the text ends in a newline
and ``key id = SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)[:4]``.
"""

from __future__ import annotations

import base64
import functools
from typing import TYPE_CHECKING

from attest import canonical, hashing
from attest.errors import MalformedError, SignatureError
from attest.keys import PublicKey
from attest.named_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.keys import SigningKey

ED25519 = b"\x01"

MAX_BYTES = 1 << 20
MAX_SIGNATURES = 64
_MAX_SIGNATURE_BYTES = 8_192
_KEY_ID_BYTES = 4
_DASH = "\u2014 "


class Verifier:
    """A key under a name, as a note knows it.

    Attributes:
        name: non-empty, without Unicode spaces and without ``+``.
        key: the public key.
    """

    # Written out: to have a frozen dataclass made costs each launch a millisecond.
    __slots__ = ("key", "name")

    def __init__(self, name: str, key: PublicKey) -> None:
        if not is_key_name(name):
            raise MalformedError("a key name is not empty and has neither spaces nor '+'")
        self.name = name
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verifier) and (other.name, other.key) == (self.name, self.key)

    def __hash__(self) -> int:
        return hash((self.name, self.key))

    def __repr__(self) -> str:
        return f"Verifier({self.name!r}, {self.key!r})"

    def key_id(self) -> bytes:
        """Return the four bytes that stand before this key's signatures."""
        return key_id(self.name, ED25519, self.key)

    def vkey(self) -> str:
        """Return the verifier key, ``name+hex(key id)+base64(0x01 ‖ public key)``."""
        return encode_vkey(self.name, ED25519, self.key)

    @classmethod
    def from_vkey(cls, vkey: str) -> Verifier:
        """Read a verifier key.

        Raises:
            MalformedError: not of that form, another signature type, or a key id that is not this key's.
            KeyFormatError: the key itself must not be used.
        """
        return cls(*decode_vkey(vkey, ED25519))


class NoteSignature(NamedTuple):
    """One signature line: who says to have signed, with which key id, and the bytes."""

    name: str
    key_id: bytes
    signature: bytes


class Note(NamedTuple):
    """A parsed note; nothing in it is to be believed before :func:`verify`."""

    text: str
    signatures: tuple[NoteSignature, ...]


def key_id(name: str, kind: bytes, key: PublicKey) -> bytes:
    """Return the four bytes that stand before the signatures of ``key`` under ``name``.

    Args:
        name: the key's name.
        kind: the signature type, one byte.
        key: the public key.
    """
    return _key_id(name, kind, key.raw)


@functools.lru_cache(maxsize=64)  # a writer asks for its own with each head that it signs
def _key_id(name: str, kind: bytes, raw: bytes) -> bytes:
    return hashing.digest(name.encode() + b"\n" + kind + raw)[:_KEY_ID_BYTES]


def encode_vkey(name: str, kind: bytes, key: PublicKey) -> str:
    """Return the verifier key, ``name+hex(key id)+base64(kind ‖ public key)``."""
    return f"{name}+{key_id(name, kind, key).hex()}+{base64.b64encode(kind + key.raw).decode()}"


def decode_vkey(vkey: str, kind: bytes) -> tuple[str, PublicKey]:
    """Return name and key of a verifier key of this signature type.

    Raises:
        MalformedError: not of that form, another signature type, or a key id that is not this key's.
        KeyFormatError: the key itself must not be used.
    """
    parts = vkey.split("+", 2)
    if len(parts) != 3 or not is_key_name(parts[0]):
        raise MalformedError("not a verifier key: name+id+key")
    data = canonical.decode_base64(parts[2])
    if data[:1] != kind:
        raise MalformedError(f"a verifier key that is not of type 0x{kind.hex()}")
    key = PublicKey(data[1:])
    if key_id(parts[0], kind, key).hex() != parts[1]:
        raise MalformedError("a verifier key whose id is not its own")
    return parts[0], key


def is_key_name(name: str) -> bool:
    """Return whether ``name`` may name a key: not empty, no Unicode space, no ``+``, no control character.

    Nor a lone surrogate, which is what a command line makes of bytes that are not UTF-8.
    """
    if name.isascii() and name.isprintable():  # nearly every name, without a look at each character
        return bool(name) and " " not in name and "+" not in name
    return bool(name) and not any(
        c == "+" or c.isspace() or ord(c) < 0x20 or 0xD800 <= ord(c) < 0xE000 for c in name
    )


def sign(text: str, signers: Sequence[tuple[str, SigningKey]]) -> str:
    """Return the note of ``text`` with one signature of each ``(name, key)``, in that order.

    Raises:
        MalformedError: what :func:`parse` would not read back, or nobody signs.
        SignatureError: the text is not one that a ledger key signs.
    """
    if not text.endswith("\n") or _has_controls(text):
        raise MalformedError("a note's text ends in a newline and has no other control character")
    if not signers:
        raise MalformedError("a note that nobody signs")
    lines = []
    for name, key in signers:
        blob = Verifier(name, key.public).key_id() + key.sign(text.encode())
        lines.append(f"{_DASH}{name} {base64.b64encode(blob).decode()}\n")
    return text + "\n" + "".join(lines)


def _has_controls(text: str) -> bool:
    """Return whether there is an ASCII control character in it other than the newline."""
    if text.replace("\n", "").isprintable():  # nearly every note, without a look at each character
        return False
    return any(ord(c) < 0x20 and c != "\n" for c in text)


def parse(data: bytes) -> Note:
    """Split a note into text and signature lines.

    Raises:
        MalformedError: too long, not UTF-8, control characters, no signature, or a line that is none.
    """
    if len(data) > MAX_BYTES:
        raise MalformedError(f"a note of {len(data)} bytes; the limit is {MAX_BYTES}")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("a note that is not UTF-8") from None
    if _has_controls(whole):
        raise MalformedError("a note with control characters")
    head, blank, tail = whole.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise MalformedError("not a note: no text, empty line and signatures")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError(f"a note with more than {MAX_SIGNATURES} signatures")
    return Note(head + "\n", tuple(_parse_signature(line) for line in lines))


def _parse_signature(line: str) -> NoteSignature:
    if not line.startswith(_DASH):
        raise MalformedError("a signature line that does not begin with an em dash")
    name, space, encoded = line[len(_DASH) :].partition(" ")
    if not space or not is_key_name(name):
        raise MalformedError("a signature line without a key name")
    blob = canonical.decode_base64(encoded)
    if not _KEY_ID_BYTES < len(blob) <= _MAX_SIGNATURE_BYTES:
        raise MalformedError("a signature of no possible length")
    return NoteSignature(name, blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:])


def verify(note: Note, verifiers: Sequence[Verifier]) -> tuple[Verifier, ...]:
    """Return the verifiers whose signatures stand under the note and hold, in the order of the lines.

    Signatures of unknown keys are ignored; one bad signature of a known key rejects the note.

    Raises:
        SignatureError: a known key's signature does not hold, no known key signed, or two known keys
            share name and key id, so that a line does not say whose it is.
    """
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id()), verifier) != verifier:
            raise SignatureError("two keys with one name and one key id", code="signature.ambiguous")
    held: list[Verifier] = []
    for line in note.signatures:
        signer = known.get((line.name, line.key_id))
        if signer is None:
            continue
        signer.key.verify(line.signature, note.text.encode())
        if signer not in held:
            held.append(signer)
    if not held:
        raise SignatureError("no signature of a known key", code="signature.unknown_key")
    return tuple(held)
