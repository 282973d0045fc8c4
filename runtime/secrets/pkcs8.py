"""PKCS#8 beyond the one form that ``attest.keys`` reads: encrypted, version 2, with attributes.

RFC 5958 (PKCS#8 and its version 2), RFC 8410 (Ed25519 in it), RFC 8018 (PBES2) and RFC 7914 (scrypt).
DER is read strictly: one form of each length, nothing left over. What is no Ed25519 key is named, so
that whoever gave it knows what is wrong. Only an encrypted key needs more of ``cryptography`` than a
launch has loaded; it is imported then.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest.errors import KeyFormatError
from attest.keys import SigningKey, armour, unarmour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Passphrases = Callable[[str], Iterable[bytes]]
    """Gives the passphrases to be tried, one after another, for the key that the argument names."""

MAX_PASSPHRASE_BYTES = 1_024

_INTEGER, _BIT_STRING, _OCTETS, _OID, _SEQUENCE, _ATTRIBUTES, _PUBLIC_KEY = 2, 3, 4, 6, 0x30, 0xA0, 0x81

_ED25519 = bytes.fromhex("2b6570")
_OTHER_TYPES = {
    bytes.fromhex("2a864886f70d010101"): "RSA",
    bytes.fromhex("2a864886f70d01010a"): "RSA-PSS",
    bytes.fromhex("2a8648ce3d0201"): "ECDSA",
    bytes.fromhex("2a8648ce380401"): "DSA",
    bytes.fromhex("2b656e"): "X25519",
    bytes.fromhex("2b656f"): "X448",
    bytes.fromhex("2b6571"): "Ed448",
}
_OTHER_PEM = {
    b"RSA PRIVATE KEY": "an RSA key",
    b"EC PRIVATE KEY": "an ECDSA key",
    b"DSA PRIVATE KEY": "a DSA key",
    b"OPENSSH PRIVATE KEY": "a key in OpenSSH's own format, not PKCS#8",
    b"PUBLIC KEY": "a public key; its private half is wanted",
    b"CERTIFICATE": "a certificate, not a key",
}
_ANOTHER = "a ledger's key is Ed25519 in PKCS#8; make one with: nono keygen --out FILE"

# OWASP's figures for scrypt where 16 MiB is what every other program will lend to it.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 1 << 14, 8, 5
_BLOCK_BYTES = 16
_PBES2 = bytes.fromhex("2a864886f70d01050d")
_SCRYPT = bytes.fromhex("2b06010401da47040b")
_AES_256_CBC = bytes.fromhex("60864801650304012a")


def read_pem(pem: bytes, shown: str, passphrases: Passphrases | None = None) -> SigningKey:
    """Read a PEM ``PRIVATE KEY`` or ``ENCRYPTED PRIVATE KEY``.

    Args:
        pem: the text.
        shown: what to call the key, for whoever is asked.
        passphrases: where a passphrase comes from; None where there is none to be had.

    Raises:
        KeyFormatError: another type of key (``key.type``), no key at all, or one that cannot be decrypted
            (``key.encrypted`` without a passphrase, ``key.passphrase`` with wrong ones).
    """
    label = pem.lstrip().partition(b"-----BEGIN ")[2].partition(b"-----")[0]
    if label in _OTHER_PEM:
        raise KeyFormatError(f"it is {_OTHER_PEM[label]}", code="key.type", hint=_ANOTHER)
    if label != b"ENCRYPTED PRIVATE KEY":
        label = b"PRIVATE KEY"
    return read_der(unarmour(pem, label), shown, passphrases)


def read_der(der: bytes, shown: str, passphrases: Passphrases | None = None) -> SigningKey:
    """Read a PKCS#8 key, DER; see :func:`read_pem`."""
    outer, rest = _take(der, _SEQUENCE)
    if rest:
        raise _odd()
    if outer[:1] == bytes([_SEQUENCE]):  # an algorithm comes first: EncryptedPrivateKeyInfo
        return _decrypt(der, shown, passphrases)
    return _read_plain(outer)


def _read_plain(fields: bytes) -> SigningKey:
    """Read the fields of a OneAsymmetricKey (RFC 5958, section 2)."""
    version, fields = _take(fields, _INTEGER)
    if version not in (b"\0", b"\1"):
        raise _odd()
    algorithm, fields = _take(fields, _SEQUENCE)
    kind, parameters = _take(algorithm, _OID)
    if kind != _ED25519:
        name = _OTHER_TYPES.get(kind, "unknown")
        raise KeyFormatError(f"its type is {name}, not Ed25519", code="key.type", hint=_ANOTHER)
    octets, fields = _take(fields, _OCTETS)
    seed, behind = _take(octets, _OCTETS)
    if parameters or behind:
        raise _odd()
    key = SigningKey(seed)
    if fields[:1] == bytes([_ATTRIBUTES]):
        _, fields = _take(fields, _ATTRIBUTES)
    if fields[:1] == bytes([_PUBLIC_KEY]) and version == b"\1":
        public, fields = _take(fields, _PUBLIC_KEY)
        if public != b"\0" + key.public.raw:
            raise KeyFormatError("the public key that it holds is not its own")
    if fields:
        raise _odd()
    return key


def _decrypt(der: bytes, shown: str, passphrases: Passphrases | None) -> SigningKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  # few keys are encrypted
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  # likewise
    from cryptography.hazmat.primitives.serialization import load_der_private_key  # noqa: PLC0415  # likewise

    tried = False
    for passphrase in () if passphrases is None else passphrases(shown):
        tried = True
        if not passphrase:  # nobody encrypts with an empty one, and the library takes it for none at all
            continue
        try:
            key = load_der_private_key(der, passphrase)
        except ValueError:  # wrong, or what it gave is no key, which it is once in 256 times
            continue
        except UnsupportedAlgorithm:
            raise KeyFormatError("it is encrypted in a way that is not supported") from None
        if not isinstance(key, Ed25519PrivateKey):
            name = type(key).__name__.removesuffix("PrivateKey")
            raise KeyFormatError(f"its type is {name}, not Ed25519", code="key.type", hint=_ANOTHER)
        return SigningKey(key.private_bytes_raw())
    if tried:
        raise KeyFormatError("the passphrase does not open it", code="key.passphrase")
    raise KeyFormatError("it is encrypted", code="key.encrypted")


def encrypted_pem(key: SigningKey, passphrase: bytes) -> bytes:
    """Return the key as PEM ``ENCRYPTED PRIVATE KEY``: PBES2 with scrypt (16 MiB) and AES-256 in CBC mode.

    ``cryptography`` itself would derive the cipher's key by 2,048 rounds of PBKDF2, which a stolen file
    does not withstand.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415  # only here
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt  # noqa: PLC0415  # likewise

    salt, vector = os.urandom(16), os.urandom(_BLOCK_BYTES)
    derived = Scrypt(salt, 32, _SCRYPT_N, _SCRYPT_R, _SCRYPT_P).derive(passphrase)
    plain = unarmour(key.pem(), b"PRIVATE KEY")
    padding = _BLOCK_BYTES - len(plain) % _BLOCK_BYTES
    encryptor = Cipher(algorithms.AES(derived), modes.CBC(vector)).encryptor()
    sealed = encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()
    derivation = _sequence(
        _tlv(_OID, _SCRYPT),
        _sequence(_tlv(_OCTETS, salt), *(_integer(value) for value in (_SCRYPT_N, _SCRYPT_R, _SCRYPT_P, 32))),
    )
    cipher = _sequence(_tlv(_OID, _AES_256_CBC), _tlv(_OCTETS, vector))
    algorithm = _sequence(_tlv(_OID, _PBES2), _sequence(derivation, cipher))
    return armour(_sequence(algorithm, _tlv(_OCTETS, sealed)), b"ENCRYPTED PRIVATE KEY")


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the contents of the first element, which has ``tag``, and what follows it (X.690, DER)."""
    if len(data) < 2 or data[0] != tag:
        raise _odd()
    length, start = data[1], 2
    if length >= 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
        if start not in (3, 4) or length < 0x80 or data[2] == 0:
            raise _odd()
    if len(data) < start + length:
        raise _odd()
    return data[start : start + length], data[start + length :]


def _tlv(tag: int, value: bytes) -> bytes:
    if len(value) < 0x80:
        return bytes([tag, len(value)]) + value
    return bytes([tag, 0x81, len(value)]) + value  # nothing here is longer


def _sequence(*elements: bytes) -> bytes:
    return _tlv(_SEQUENCE, b"".join(elements))


def _integer(value: int) -> bytes:
    return _tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _odd() -> KeyFormatError:
    return KeyFormatError("it is no private key (PKCS#8)", hint=_ANOTHER)
