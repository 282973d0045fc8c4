"""Ed25519 keys (RFC 8032): the only kind that a ledger has.

A key's *fingerprint* is the hex SHA-256 of its SubjectPublicKeyInfo DER. A ledger key signs two
things only, the pre-authentication encoding of our payload type and checkpoints;
:meth:`SigningKey.sign` refuses anything else.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from attest import hashing
from attest.errors import KeyFormatError, SignatureError

KEY_BYTES = 32
SIGNATURE_BYTES = 64

# RFC 8410: both encodings of an Ed25519 key are a fixed prefix and 32 bytes, so reading them is
# comparing the prefix, and there is no second form to be lenient about.
_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")
_PKCS8_PREFIX = bytes.fromhex("302e020100300506032b657004220420")

_P = 2**255 - 19
# y coordinates of the points of order 1, 2, 4 and 8 (RFC 8032, section 5.1.7, and "Taming the many
# EdDSAs", table 1). A key on one of them verifies signatures that nobody made.
_SMALL_ORDER_Y = frozenset(
    {
        0,
        1,
        _P - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)

_ORIGIN_CHARACTERS = b"abcdefghijklmnopqrstuvwxyz0123456789./_-"
_BASE64_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_ROOT_CHARACTERS = 44  # a SHA-256 hash in base64: 43 characters and one "="
_LAST_CHARACTERS = _BASE64_CHARACTERS[::4]  # the 43rd carries four bits, so its last two are zero

DSSE_DOMAIN = b"DSSEv1 28 application/vnd.in-toto+json "
"""What every message begins with that a ledger key signs as an envelope."""


class PublicKey:
    """An Ed25519 public key.

    Attributes:
        raw: the 32 bytes of RFC 8032.
    """

    __slots__ = ("_fingerprint", "_key", "raw")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise KeyFormatError(f"an Ed25519 key has {KEY_BYTES} bytes, not {len(raw)}")
        y = int.from_bytes(raw, "little") & ((1 << 255) - 1)
        if y >= _P:
            raise KeyFormatError("an Ed25519 key that is not in its canonical form")
        if y in _SMALL_ORDER_Y:
            raise KeyFormatError(
                "an Ed25519 key of small order: anyone can sign for it", code="key.small_order"
            )
        self.raw = raw
        self._key = Ed25519PublicKey.from_public_bytes(raw)
        self._fingerprint: str | None = None

    @classmethod
    def from_spki(cls, der: bytes) -> PublicKey:
        """Read a SubjectPublicKeyInfo (RFC 8410, section 4).

        Raises:
            KeyFormatError: not an Ed25519 key, or one that must not be used.
        """
        if not der.startswith(_SPKI_PREFIX) or len(der) != len(_SPKI_PREFIX) + KEY_BYTES:
            raise KeyFormatError("not an Ed25519 public key (SubjectPublicKeyInfo)")
        return cls(der[len(_SPKI_PREFIX) :])

    @classmethod
    def from_pem(cls, pem: bytes) -> PublicKey:
        """Read a PEM ``PUBLIC KEY``; see :meth:`from_spki`."""
        return cls.from_spki(unarmour(pem, b"PUBLIC KEY"))

    def spki(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER, 44 bytes."""
        return _SPKI_PREFIX + self.raw

    def pem(self) -> bytes:
        """Return the SubjectPublicKeyInfo as PEM."""
        return armour(self.spki(), b"PUBLIC KEY")

    def fingerprint(self) -> str:
        """Return the hex SHA-256 of the SubjectPublicKeyInfo."""
        if self._fingerprint is None:  # every attestation of a ledger asks for it
            self._fingerprint = hashing.hexdigest(self.spki())
        return self._fingerprint

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature.

        Raises:
            SignatureError: it is not this key's signature of this message.
        """
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            raise SignatureError("the signature does not verify") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"PublicKey({self.fingerprint()[:16]}…)"


class SigningKey:
    """An Ed25519 private key, for a ledger's two purposes.

    Attributes:
        public: its public half.
    """

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise KeyFormatError(f"an Ed25519 key has {KEY_BYTES} bytes, not {len(seed)}")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key from the system's random source."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_pkcs8(cls, der: bytes) -> SigningKey:
        """Read an unencrypted PKCS#8 key (RFC 8410, section 7; version 1, without attributes).

        Raises:
            KeyFormatError: not an Ed25519 key in that form.
        """
        if not der.startswith(_PKCS8_PREFIX) or len(der) != len(_PKCS8_PREFIX) + KEY_BYTES:
            raise KeyFormatError(
                "not an unencrypted Ed25519 private key (PKCS#8)",
                hint="make one with: nono keygen --out FILE",
            )
        return cls(der[len(_PKCS8_PREFIX) :])

    @classmethod
    def from_pem(cls, pem: bytes) -> SigningKey:
        """Read a PEM ``PRIVATE KEY``; see :meth:`from_pkcs8`."""
        return cls.from_pkcs8(unarmour(pem, b"PRIVATE KEY"))

    def pem(self) -> bytes:
        """Return the key as unencrypted PKCS#8 PEM. This is the secret itself."""
        return armour(_PKCS8_PREFIX + self._key.private_bytes_raw(), b"PRIVATE KEY")

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of an envelope's PAE or of a checkpoint's note text.

        Raises:
            SignatureError: the message is neither; a ledger key signs nothing else.
        """
        if not _is_pae(message) and not _is_checkpoint(message):
            raise SignatureError("a ledger key signs envelopes and checkpoints only", code="signature.domain")
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.fingerprint()[:16]}…)"


def _is_pae(message: bytes) -> bool:
    length, _, payload = message.removeprefix(DSSE_DOMAIN).partition(b" ")
    return message.startswith(DSSE_DOMAIN) and length == b"%d" % len(payload)


def _is_checkpoint(message: bytes) -> bool:
    """Return whether a message is a checkpoint's note text, whole: nothing else may look like one."""
    lines = message.split(b"\n", 4)
    if len(lines) != 4 or lines[3] or not lines[0] or lines[0].translate(None, _ORIGIN_CHARACTERS):
        return False
    size, root = lines[1], lines[2]
    return (
        size.isdigit()
        and len(size) <= 16
        and size == b"%d" % int(size)
        and int(size) < 2**53
        and len(root) == _ROOT_CHARACTERS
        and root[42:43] in _LAST_CHARACTERS
        and root.endswith(b"=")
        and not root[:-1].translate(None, _BASE64_CHARACTERS)
    )


_PEM_MARKS = ("-----BEGIN ", "PRIVATE KEY-----")
_LEAST_DER_CHARACTERS = 48  # base64 of 36 bytes; the shortest key, a public one, has 44
_ED25519_BASE64 = ("AQAwBQYDK2VwBCIEI", "AQEwBQYDK2VwBCIEI")  # a short PKCS#8 from its fourth byte on
_TORN_BYTES = 3  # what a slip of the copying hand takes away or adds
_IN_ITS_PLACE = "(a key)"


def is_key_text(text: str) -> bool:
    """Return whether a text is a key itself where the name of one is wanted: PEM, or base64 of its DER.

    For whoever is about to show the text, so in doubt (a bit is missing, white space is in between) it is.
    """
    if any(mark in text for mark in _PEM_MARKS):
        return True
    compact = "".join(text.split())
    if len(compact) < _LEAST_DER_CHARACTERS or not compact.startswith("M"):
        return False
    if compact[4:].startswith(_ED25519_BASE64):
        return True
    try:
        der = base64.b64decode(compact.rstrip("=") + "=" * (-len(compact.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    # X.690: a sequence, and how long it is, in one, two or three bytes.
    head = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)
    length = int.from_bytes(der[2:head], "big") if head > 2 else der[1]
    return der[0] == 0x30 and head <= 4 and abs(head + length - len(der)) <= _TORN_BYTES


def without_key_text(message: str) -> str:
    """Return a message without the keys that were typed where something else was wanted."""
    starts = [message.index(mark) for mark in _PEM_MARKS if mark in message]
    words = (message[: min(starts)] + _IN_ITS_PLACE if starts else message).split(" ")
    return " ".join(_IN_ITS_PLACE if is_key_text(word.strip("'\"$,:;()=")) else word for word in words)


def armour(der: bytes, label: bytes) -> bytes:
    """Return ``der`` as a PEM of ``label`` (RFC 7468)."""
    body = base64.b64encode(der)
    lines = [body[i : i + 64] for i in range(0, len(body), 64)]
    return b"\n".join([b"-----BEGIN " + label + b"-----", *lines, b"-----END " + label + b"-----", b""])


def unarmour(pem: bytes, label: bytes) -> bytes:
    """Return the DER inside a PEM of ``label`` (RFC 7468); line lengths and line ends may vary.

    Raises:
        KeyFormatError: it is another PEM, or none.
    """
    lines = [line.strip() for line in pem.strip().splitlines()]
    wanted = b"-----BEGIN " + label + b"-----"
    if len(lines) < 3 or lines[0] != wanted or lines[-1] != b"-----END " + label + b"-----":
        # The file may be anything, a terminal's control characters included.
        first = lines[0][:64].decode("ascii", "replace") if lines else ""
        found = f": it begins with {first}" if first.startswith("-----BEGIN ") and first.isprintable() else ""
        raise KeyFormatError(
            f"not a PEM {label.decode()}{found}",
            code="key.encrypted" if lines and lines[0] == b"-----BEGIN ENCRYPTED PRIVATE KEY-----" else None,
        )
    try:
        return base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except (binascii.Error, ValueError):
        raise KeyFormatError(f"a PEM {label.decode()} whose body is not base64") from None
