"""A timestamp authority of the tests' own: ``openssl ts`` answers; what it would not is made here."""

from __future__ import annotations

import datetime
import hashlib
import subprocess
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

FROM = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
UNTIL = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)
STAMPS, SERVES = ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.SERVER_AUTH

_CONFIGURATION = """\
[tsa]
default_tsa = ours
[ours]
serial = serial
signer_cert = tsa.pem
signer_key = key.pem
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha384, sha512
accuracy = secs:1
clock_precision_digits = 3
"""


class TimestampAuthority:
    """A root, and one certificate under it that stamps.

    Attributes:
        directory: where its files lie, ``root.pem`` among them.
        certificate: that of the one who stamps.
    """

    def __init__(self, directory: Path, name: str = "Test TSA", until: datetime.datetime = UNTIL) -> None:
        directory.mkdir()
        self.directory = directory
        self._root_key = ec.generate_private_key(ec.SECP256R1())
        self._issuer = _named(f"{name} root")
        root = (
            _certificate(self._issuer, self._issuer, self._root_key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._root_key, hashes.SHA256())
        )
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.issue(self.key, name, until=until)
        (directory / "root.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
        (directory / "tsa.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        (directory / "key.pem").write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (directory / "serial").write_text("01\n")
        (directory / "tsa.cnf").write_text(_CONFIGURATION)

    @property
    def roots(self) -> str:
        """The file that ``--tsa-roots`` names."""
        return str(self.directory / "root.pem")

    def issue(
        self,
        key: ec.EllipticCurvePrivateKey,
        name: str,
        *,
        usage: x509.ObjectIdentifier = STAMPS,
        until: datetime.datetime = UNTIL,
        serial: int | None = None,
        signer: ec.EllipticCurvePrivateKey | None = None,
    ) -> x509.Certificate:
        """Return a certificate that names the root as its issuer; ``signer`` signs it in the root's place."""
        return (
            _certificate(_named(name), self._issuer, key, until=until, serial=serial)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            .sign(signer or self._root_key, hashes.SHA256())
        )

    def stamp(self, digest: bytes, *, certificate: bool = True, algorithm: str = "sha256") -> bytes:
        """Ask ``openssl ts`` for a timestamp of a digest and return its TimeStampResp."""
        query = ["-query", f"-{algorithm}", "-digest", digest.hex(), "-out", "query.tsq"]
        self._openssl(*query, *(["-cert"] if certificate else []))
        self._openssl("-reply", "-config", "tsa.cnf", "-queryfile", "query.tsq", "-out", "reply.tsr")
        return (self.directory / "reply.tsr").read_bytes()

    def accepts(self, response: bytes, data: bytes) -> bool:
        """Return whether ``openssl ts -verify`` takes a response for a timestamp of ``data``."""
        (self.directory / "given.tsr").write_bytes(response)
        (self.directory / "given").write_bytes(data)
        arguments = ["-verify", "-in", "given.tsr", "-data", "given", "-CAfile", "root.pem"]
        done = subprocess.run(
            ["openssl", "ts", *arguments], cwd=self.directory, check=False, capture_output=True
        )
        return done.returncode == 0

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", "ts", *arguments], cwd=self.directory, check=True, capture_output=True)

    def forge(
        self,
        digest: bytes,
        moment: str,
        *,
        certificates: list[x509.Certificate] | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
        status: int = 0,
        signers: int = 1,
        content_type: str = "060b2a864886f70d0109100104",
    ) -> bytes:
        """Return a TimeStampResp of any time: what the authority's key can sign, and its software would not.

        Args:
            digest: the SHA-256 that is stamped.
            moment: genTime, as GeneralizedTime spells it.
            certificates: what the token carries, the signer's first.
            key: who signs.
            status: of the response.
            signers: how often the signer stands in the token.
            content_type: of what is signed, as an OBJECT IDENTIFIER.
        """
        carried = certificates or [self.certificate]
        sha256 = _tlv(0x30, bytes.fromhex("0609608648016503040201"), b"\x05\x00")
        stated = _tlv(
            0x30,
            b"\x02\x01\x01",
            bytes.fromhex("06032a0304"),
            _tlv(0x30, sha256, _tlv(0x04, digest)),
            b"\x02\x01\x07",
            _tlv(0x18, moment.encode()),
        )
        signature = (key or self.key).sign(stated, ec.ECDSA(hashes.SHA256()))
        serial = carried[0].serial_number
        signer = _tlv(
            0x30,
            b"\x02\x01\x01",
            _tlv(
                0x30,
                carried[0].issuer.public_bytes(),
                _tlv(0x02, serial.to_bytes(serial.bit_length() // 8 + 1, "big")),
            ),
            sha256,
            bytes.fromhex("300a06082a8648ce3d040302"),
            _tlv(0x04, signature),
        )
        signed = _tlv(
            0x30,
            b"\x02\x01\x03",
            _tlv(0x31, sha256),
            _tlv(0x30, bytes.fromhex(content_type), _tlv(0xA0, _tlv(0x04, stated))),
            _tlv(0xA0, *sorted(each.public_bytes(serialization.Encoding.DER) for each in carried)),
            _tlv(0x31, *[signer] * signers),
        )
        token = _tlv(0x30, bytes.fromhex("06092a864886f70d010702"), _tlv(0xA0, signed))
        return _tlv(0x30, _tlv(0x30, bytes([2, 1, status])), token)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    until: datetime.datetime = UNTIL,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(FROM)
        .not_valid_after(until)
    )


def _tlv(tag: int, *parts: bytes) -> bytes:
    """Return one DER value."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def sha256(data: bytes) -> bytes:
    """Return the digest that is stamped."""
    return hashlib.sha256(data).digest()
