"""Timestamps: what an authority says of a digest (RFC 3161), held to the roots that are trusted.

What is read is a whole ``TimeStampResp`` in DER, as authorities send it and ``openssl ts -verify -in`` takes
it. Its message imprint is a SHA-256 and nothing else. The token carries the certificate of its signer
(``certReq``), whose chain must have been valid when the token was made: evidence is kept for longer than an
authority's certificate lasts. Whether a certificate was revoked is not looked at, since that takes a network;
a certificate that has ended since is counted.

The signature and the chain are ``rfc3161-client``'s to check (OpenSSL behind it), which the extra
``timestamps`` installs and which is loaded only where roots are named. What it leaves open is closed here:
it finds the signer's certificate among those that the token carries by issuer and number, so of two with the
same it could look at one and OpenSSL at the other. A token with two such certificates is refused.
"""

from __future__ import annotations

import contextlib
from datetime import UTC
from typing import TYPE_CHECKING

from attest import extras
from attest.errors import MalformedError, SignatureError
from attest.named_tuples import NamedTuple
from verify import regular_files
from verify.errors import NotCheckedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse

MAX_BYTES = 1 << 16
"""The longest response that is read: they have some 6 kB."""

MAX_ROOTS = 256
_MAX_FILE_BYTES = 1 << 20
_MAX_CERTIFICATES = 16
_MAX_NAME = 200
_SHA256 = "2.16.840.1.101.3.4.2.1"
_CHAIN = "certificate verify error"
"""How OpenSSL calls it that a chain leads to none of the roots (PKCS7_R_CERTIFICATE_VERIFY_ERROR)."""


class Timestamp(NamedTuple):
    """What an authority says.

    Attributes:
        seconds: the time at which the digest was there, seconds since 1970, fractions cut off.
        by: the subject of its certificate, RFC 4514.
        ends: when that certificate ends, seconds since 1970.
    """

    seconds: int
    by: str
    ends: int


class Authorities(NamedTuple):
    """The roots that are trusted.

    Attributes:
        source: the file that they came from.
        roots: their certificates, one at least.
    """

    source: str
    roots: tuple[Certificate, ...]

    def check(self, response: bytes, digest: bytes) -> Timestamp:
        """Check a response and return what it says.

        Args:
            response: a TimeStampResp, DER.
            digest: the SHA-256 that it must be about.

        Raises:
            MalformedError: it is none, none that was granted, or carries no certificate of its signer
                (``anchor.form``); or it is about another digest (``anchor.evidence``).
            SignatureError: its signature does not hold (``timestamp.signature``), or it is by no authority
                under the roots (``timestamp.authority``).
        """
        if len(response) > MAX_BYTES:
            raise _malformed(f"{len(response)} bytes, with a limit of {MAX_BYTES}")
        with _no_panic():
            return self._check(response, digest)

    def _check(self, response: bytes, digest: bytes) -> Timestamp:
        from rfc3161_client import (  # noqa: PLC0415  # behind an extra
            VerificationError,
            VerifierBuilder,
            decode_timestamp_response,
        )

        try:
            decoded = decode_timestamp_response(response)
            if decoded.status or not decoded.time_stamp_token():
                raise _malformed("not a timestamp that was granted")
            stated = decoded.tst_info
            imprint = stated.message_imprint
            if imprint.hash_algorithm.dotted_string != _SHA256:
                raise _malformed("an imprint that is no SHA-256")
            signer = _signer(decoded)
            moment = stated.gen_time
        except ValueError as error:
            raise _malformed(str(error)[:_MAX_NAME]) from None
        if imprint.message != digest:
            raise MalformedError("it is about another digest", code="anchor.evidence")
        try:
            VerifierBuilder(roots=list(self.roots)).build().verify(decoded, digest)
        except VerificationError as error:
            if _CHAIN in str(error):
                raise SignatureError(
                    "it is by no authority under these roots", code="timestamp.authority"
                ) from None
            raise SignatureError(
                "it is not what a timestamp authority signed", code="timestamp.signature"
            ) from None
        name = signer.subject.rfc4514_string()
        return Timestamp(
            int(moment.astimezone(UTC).timestamp()),
            name if len(name) <= _MAX_NAME else name[:_MAX_NAME] + "…",
            int(signer.not_valid_after_utc.timestamp()),
        )


def read(path: str) -> Authorities:
    """Return the roots in a PEM file.

    Raises:
        NotCheckedError: what checks timestamps is not installed (``timestamp.missing``); the file cannot be
            read (``timestamp.unreadable``), or holds no certificates (``timestamp.form``).
    """
    try:
        import rfc3161_client  # noqa: F401, PLC0415  # behind an extra; said now rather than at an anchor
    except ImportError:
        raise NotCheckedError(
            "timestamps cannot be checked: rfc3161-client is not installed",
            code="timestamp.missing",
            hint=extras.hint("timestamps"),
        ) from None
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415  # 20 ms that nothing else needs

    data = regular_files.read_file(path, _MAX_FILE_BYTES, "roots", "timestamp.unreadable")
    roots: Sequence[Certificate] = ()
    if len(data) <= _MAX_FILE_BYTES:
        with contextlib.suppress(ValueError):
            roots = tuple(dict.fromkeys(load_pem_x509_certificates(data)))
    if not 0 < len(roots) <= MAX_ROOTS:
        raise NotCheckedError(
            f"{path} holds no roots of timestamp authorities: 1 to {MAX_ROOTS} certificates in PEM",
            code="timestamp.form",
            hint="name the certificates of the authorities that you trust, not all that a system trusts",
        )
    return Authorities(path, tuple(roots))


def _signer(decoded: TimeStampResponse) -> Certificate:
    """Return the certificate of who signed, of which there must be exactly one."""
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415  # see :func:`read`

    carried = decoded.signed_data.certificates
    signers = list(decoded.signed_data.signer_infos)
    if len(carried) > _MAX_CERTIFICATES:
        raise _malformed(f"more than {_MAX_CERTIFICATES} certificates")
    if len(signers) != 1:
        raise _malformed("not exactly one signer")
    certificates = [load_der_x509_certificate(each) for each in carried]
    names = [(each.issuer, each.serial_number) for each in certificates]
    if len(set(names)) != len(names):
        raise _malformed("two certificates of one issuer with one number")
    signer = (signers[0].issuer, signers[0].serial_number)
    if signer not in names:
        raise _malformed("no certificate of its signer: it is to be asked for with the timestamp")
    return certificates[names.index(signer)]


def _malformed(what: str) -> MalformedError:
    return MalformedError(f"it is no timestamp response as it is wanted: {what}", code="anchor.form")


@contextlib.contextmanager
def _no_panic() -> Iterator[None]:
    """Turn what else can come out of the parser, of which a panic in Rust is no Exception, into a finding."""
    try:
        yield
    except (MalformedError, SignatureError, KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001  # see above; a timestamp that cannot be read must not stop the rest
        raise _malformed(f"{type(error).__name__}: {error}"[:_MAX_NAME]) from None
