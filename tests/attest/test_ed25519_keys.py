"""Keys: encodings as `cryptography` writes them, keys that nobody may use, and what a key signs."""

from __future__ import annotations

import base64
import os

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from attest import checkpoint, envelope, keys
from attest.checkpoint import Checkpoint
from attest.errors import KeyFormatError, MalformedError, SignatureError
from attest.keys import PublicKey, SigningKey

SEEDS = st.binary(min_size=32, max_size=32)
KEY = SigningKey(bytes(32))
ROOT = bytes(range(32))
ORIGIN = "host/" + "0" * 32


@given(SEEDS)
def test_every_encoding_is_that_of_cryptography(seed: bytes) -> None:
    judge, ours = Ed25519PrivateKey.from_private_bytes(seed), SigningKey(seed)
    pem = judge.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    der = judge.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert ours.pem() == pem
    assert SigningKey.from_pem(pem).public == SigningKey.from_pkcs8(der).public == ours.public
    public = judge.public_key()
    assert ours.public.raw == public.public_bytes_raw()
    assert ours.public.spki() == public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert ours.public.pem() == public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert PublicKey.from_pem(ours.public.pem()) == PublicKey.from_spki(ours.public.spki()) == ours.public
    assert load_pem_private_key(ours.pem(), None).private_bytes(
        Encoding.Raw, PrivateFormat.Raw, NoEncryption()
    ) == seed  # fmt: skip
    assert load_pem_public_key(ours.public.pem()) == load_der_public_key(ours.public.spki()) == public


def test_a_new_key_is_new_and_works() -> None:
    first, second = SigningKey.generate(), SigningKey.generate()
    assert first.public != second.public
    message = envelope.pae(b"{}")
    first.public.verify(first.sign(message), message)
    with pytest.raises(SignatureError):
        second.public.verify(first.sign(message), message)


def test_a_key_never_shows_its_secret() -> None:
    seed = os.urandom(32)
    shown = repr(SigningKey(seed)) + str(SigningKey(seed))
    assert seed.hex() not in shown
    assert base64.b64encode(seed).decode() not in shown


# ---- keys that must not be used ---------------------------------------------------------------------------

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
L = 2**252 + 27742317777372353535851937790883648493
Point = tuple[int, int]


def add(one: Point, two: Point) -> Point:
    """Add two points of the curve -x² + y² = 1 + d x² y² (RFC 8032, section 5.1)."""
    (x1, y1), (x2, y2) = one, two
    product = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
    )


def times(factor: int, point: Point) -> Point:
    total: Point = (0, 1)
    while factor:
        if factor & 1:
            total = add(total, point)
        point, factor = add(point, point), factor >> 1
    return total


def points_with(y: int) -> list[Point]:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for x in (root, root * pow(2, (P - 1) // 4, P) % P):
        if x * x % P == square:
            return [(x, y), (-x % P, y)]
    return []


def torsion() -> set[Point]:
    """Find the eight points of small order: L times any point is one, and one of order 8 makes all."""
    for y in range(2, 100):
        for point in points_with(y):
            small = {times(factor, times(L, point)) for factor in range(8)}
            if len(small) == 8:
                return small
    raise AssertionError


def encodings(point: Point) -> set[bytes]:
    """Return every 32 bytes that a lenient reader takes for a point, canonical or not."""
    x, y = point
    found = set()
    for value in (y, y + P):
        if value < 2**255:
            for sign in (x & 1, 1) if x == 0 else (x & 1,):
                found.add((value | sign << 255).to_bytes(32, "little"))
    return found


def test_every_encoding_of_every_small_order_point_is_refused() -> None:
    small = torsion()
    assert {y for _, y in small} == keys._SMALL_ORDER_Y
    every = {encoding for point in small for encoding in encodings(point)}
    assert len(every) == 14, "8, and with y + p or the sign of zero: 2 of y = 0, 3 of y = 1, 1 of y = -1"
    for raw in every:
        with pytest.raises(KeyFormatError):
            PublicKey(raw)
        with pytest.raises(KeyFormatError):
            PublicKey.from_spki(bytes.fromhex("302a300506032b6570032100") + raw)


def test_a_small_order_key_verifies_what_nobody_signed() -> None:
    neutral = (1).to_bytes(32, "little")
    Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), b"anything")
    with pytest.raises(KeyFormatError) as caught:
        PublicKey(neutral)
    assert caught.value.code == "key.small_order"


@pytest.mark.parametrize("y", [P, P + 1, P + 2, 2**255 - 1])
def test_a_key_has_one_encoding(y: int) -> None:
    for sign in (0, 1 << 255):
        with pytest.raises(KeyFormatError):
            PublicKey((y | sign).to_bytes(32, "little"))


def test_a_signature_has_one_form() -> None:
    message = envelope.pae(b"{}")
    signature = KEY.sign(message)
    again = int.from_bytes(signature[32:], "little") + L
    for other in (
        signature[:32] + again.to_bytes(32, "little"),
        signature + b"\0",
        signature[:-1],
        b"",
        bytes(64),
    ):
        with pytest.raises(SignatureError) as caught:
            KEY.public.verify(other, message)
        assert caught.value.code == "signature.invalid"


# ---- other files ------------------------------------------------------------------------------------------


def pem(body: bytes, label: bytes = b"PRIVATE KEY") -> bytes:
    return b"-----BEGIN " + label + b"-----\n" + body + b"\n-----END " + label + b"-----\n"


def test_an_encrypted_key_says_so() -> None:
    encrypted = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    with pytest.raises(KeyFormatError) as caught:
        SigningKey.from_pem(encrypted)
    assert caught.value.code == "key.encrypted"


OTHERS: dict[str, X25519PrivateKey | Ed448PrivateKey | EllipticCurvePrivateKey] = {
    "X25519": X25519PrivateKey.generate(),
    "Ed448": Ed448PrivateKey.generate(),
    "P-256": generate_private_key(SECP256R1()),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_key_of_another_type_is_refused(name: str) -> None:
    other = OTHERS[name]
    with pytest.raises(KeyFormatError) as caught:
        SigningKey.from_pem(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert (caught.value.code, bool(caught.value.hint)) == ("key.format", True)
    public = other.public_key()
    with pytest.raises(KeyFormatError):
        PublicKey.from_pem(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(KeyFormatError):
        PublicKey.from_spki(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"\x00\xff" * 20,
        pem(b""),
        pem(b"AAAA"),
        pem(b"!!!!"),
        pem(b"\xff\xfe"),
        pem(b"AAA"),
        KEY.public.pem(),
        KEY.pem()[:-30],
        KEY.pem() + KEY.pem(),
        b"text before\n" + KEY.pem(),
        KEY.pem().replace(b"PRIVATE", b"OPENSSH PRIVATE"),
        KEY.pem().replace(b"-----BEGIN", b"----BEGIN"),
    ],
    ids=range(14),
)
def test_a_file_that_is_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(KeyFormatError) as caught:
        SigningKey.from_pem(data)
    assert caught.value.code == "key.format"


def test_a_message_about_a_file_shows_no_control_characters() -> None:
    with pytest.raises(KeyFormatError) as caught:
        PublicKey.from_pem(b"-----BEGIN \x1b[31mKEY-----\nAAAA\n-----END X-----\n")
    assert str(caught.value).isprintable()
    with pytest.raises(KeyFormatError) as caught:
        PublicKey.from_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "-----BEGIN CERTIFICATE-----" in str(caught.value)


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
def test_line_ends_and_lengths_of_a_pem_may_vary(ends: bytes) -> None:
    lines = KEY.public.pem().split(b"\n")
    narrow = [lines[0], lines[1][:20], lines[1][20:], *lines[2:]]
    assert PublicKey.from_pem(ends.join(lines)) == PublicKey.from_pem(ends.join(narrow)) == KEY.public


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_no_key(data: bytes) -> None:
    for read in (SigningKey.from_pkcs8, SigningKey.from_pem, PublicKey.from_spki, PublicKey.from_pem):
        with pytest.raises(KeyFormatError):
            read(data)
    if len(data) != 32:
        for make in (PublicKey, SigningKey):
            with pytest.raises(KeyFormatError):
                make(data)


# ---- what a key signs -------------------------------------------------------------------------------------

HEAD = Checkpoint(ORIGIN, 42, ROOT).text().encode()
PAE = envelope.pae(b'{"a":1}')


def test_a_ledger_key_signs_envelopes_and_checkpoints() -> None:
    for message in (HEAD, PAE, envelope.pae(b""), Checkpoint(ORIGIN, 0, ROOT).text().encode()):
        KEY.public.verify(KEY.sign(message), message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\n1\n\n",
        b"hello",
        b'{"a":1}',
        b"cosignature/v1\ntime 1700000000\n" + HEAD,
        b"\n" + HEAD,
        HEAD + b"\n",
        HEAD + b"extension\n",
        HEAD[:-1],
        HEAD.replace(b"42", b"042"),
        HEAD.replace(b"42", b""),
        HEAD.replace(b"42", b"4 2"),
        HEAD.replace(b"42", b"1" * 17),
        HEAD.replace(b"host", b"ho st"),
        HEAD.replace(b"host", b"HOST"),
        HEAD.replace(b"host", b"ho\x00st"),
        HEAD.replace(b"host", "höst".encode()),
        HEAD.replace(b"=", b"=="),
        HEAD.replace(b"=", b"A"),
        HEAD.replace(b"8=", b"9="),
        b"%s\n42\n%s\n" % (ORIGIN.encode(), ROOT.hex()[:44].encode()),
        PAE[:-1],
        PAE + b"x",
        PAE.replace(b" 7 ", b" 07 "),
        PAE.replace(b" 7 ", b" 8 "),
        PAE.replace(b"DSSEv1 28", b"DSSEv1 29"),
        PAE.replace(b"in-toto", b"in-tots"),
        b"DSSEv1 10 text/plain 0 ",
        keys.DSSE_DOMAIN,
        b"DSSEv1 28 application/vnd.in-toto+json" + b"\n1\n" + base64.b64encode(ROOT) + b"\n",
        # An SSH signature, a TLS 1.3 CertificateVerify, a certificate to be signed: another protocol's words.
        b"SSHSIG" + bytes(40),
        b" " * 64 + b"TLS 1.3, server CertificateVerify\x00" + bytes(32),
        b"\x30\x82\x01\x0a" + bytes(266),
    ],
    ids=range(33),
)
def test_a_ledger_key_signs_nothing_else(message: bytes) -> None:
    with pytest.raises(SignatureError) as caught:
        KEY.sign(message)
    assert caught.value.code == "signature.domain"


@settings(max_examples=300)
@given(
    st.text("az09./_- A", max_size=3),
    st.one_of(st.integers(-1, 10**17).map(str), st.text("09+ ", max_size=3)),
    st.text("AEB/+=", min_size=2, max_size=3),
)
def test_what_is_signed_as_a_checkpoint_is_one(origin: str, size: str, last: str) -> None:
    message = f"{origin}\n{size}\n{'A' * 41}{last}\n"
    try:
        KEY.sign(message.encode())
        signed = True
    except SignatureError:
        signed = False
    try:
        parsed = bool(checkpoint.parse_text(message)) and not set(origin) - set("az09./_-")
    except MalformedError:
        parsed = False
    assert signed is parsed


def test_the_key_of_the_test_is_the_key_of_cryptography() -> None:
    judge = Ed25519PublicKey.from_public_bytes(KEY.public.raw)
    judge.verify(KEY.sign(HEAD), HEAD)
    with pytest.raises(InvalidSignature):
        judge.verify(KEY.sign(PAE), HEAD)
