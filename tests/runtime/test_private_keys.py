"""Private keys in every form that PKCS#8 has, and what is said of those that are no ledger's."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
from hypothesis import given
from hypothesis import strategies as st

from attest.errors import KeyFormatError, NonoError
from attest.keys import SigningKey
from runtime.errors import SigningKeyError
from runtime.secrets import key_files, passphrase, pkcs8, signing_key
from runtime.secrets.passphrase import PassphraseSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
SEED = b"\x05" * 32
KEY = SigningKey(SEED)
ALGORITHM = bytes.fromhex("300506032b6570")
# A friendlyName (PKCS#9), as key stores add it.
ATTRIBUTES = bytes.fromhex("a01430120609 2a864886f70d010914 31051e03".replace(" ", "")) + b"\0a\0"
PASSPHRASE = "pass ph\N{LATIN SMALL LETTER A WITH DIAERESIS}se".encode()


def tlv(tag: int, value: bytes) -> bytes:
    length = bytes([len(value)]) if len(value) < 0x80 else bytes([0x81, len(value)])
    return bytes([tag]) + length + value


def pkcs8_der(version: int, *behind: bytes, seed: bytes = SEED) -> bytes:
    """Return a OneAsymmetricKey (RFC 5958) put together here."""
    return tlv(0x30, bytes([2, 1, version]) + ALGORITHM + tlv(4, tlv(4, seed)) + b"".join(behind))


def public_bits(key: SigningKey) -> bytes:
    return tlv(0x81, b"\0" + key.public.raw)


FORMS = {
    "version 1": pkcs8_der(0),
    "version 1 with attributes": pkcs8_der(0, ATTRIBUTES),
    "version 2": pkcs8_der(1, public_bits(KEY)),
    "version 2 with attributes": pkcs8_der(1, ATTRIBUTES, public_bits(KEY)),
    "version 2 without its public key": pkcs8_der(1),
    "many attributes": pkcs8_der(0, tlv(0xA0, bytes(150))),
}


def pem(der: bytes, label: str = "PRIVATE KEY") -> bytes:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read_from_a_file_and_from_a_variable(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(FORMS[form]))
    file.chmod(0o600)
    assert signing_key.resolve(str(file)).key.public == KEY.public
    for value in (pem(FORMS[form]).decode(), base64.b64encode(FORMS[form]).decode()):
        monkeypatch.setenv("SIGNING", value)
        assert signing_key.resolve("env://SIGNING").key.public == KEY.public
        assert "SIGNING" not in os.environ


@pytest.mark.parametrize("form", [name for name in FORMS if name != "many attributes"])
def test_each_form_is_known_on_a_command_line_for_the_key_that_it_is(form: str) -> None:
    text = base64.b64encode(FORMS[form]).decode()
    assert signing_key.is_inline(text)
    assert signing_key.file_of(text) is None
    assert signing_key.resolve(text).key.public == KEY.public


def test_the_public_key_inside_must_be_its_own() -> None:
    with pytest.raises(KeyFormatError, match="not its own"):
        pkcs8.read_der(pkcs8_der(1, public_bits(SigningKey(b"\x06" * 32))), "x")


@pytest.mark.parametrize(
    "der",
    [
        pkcs8_der(2),
        pkcs8_der(0, public_bits(KEY)),  # version 1 has none
        pkcs8_der(1, public_bits(KEY), ATTRIBUTES),
        pkcs8_der(1, public_bits(KEY), b"\0"),
        pkcs8_der(0) + b"\0",
        pkcs8_der(0, seed=SEED[:-1]),
        b"\x30\x81" + pkcs8_der(0)[1:],  # a length in more bytes than it needs
        pkcs8_der(0).replace(ALGORITHM, bytes.fromhex("300706032b65700500")),  # parameters
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\x84\xff\xff\xff\xff",
    ],
)
def test_der_that_is_not_quite_a_key_is_none(der: bytes) -> None:
    with pytest.raises(KeyFormatError):
        pkcs8.read_der(der, "x")


@given(st.sampled_from(list(FORMS.values())), st.data())
def test_no_change_of_a_byte_or_a_cut_is_a_fault_of_ours(der: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(der) - 1))
    byte = data.draw(st.integers(0, 255))
    for mutated in (der[:at], der[:at] + bytes([byte]) + der[at + 1 :]):
        try:
            key = pkcs8.read_der(mutated, "x")
        except NonoError:
            continue
        # What is still a key is one of those whose 32 bytes, or whose attributes, were changed.
        assert len(mutated) == len(der)
        assert key.public == KEY.public or mutated != der


# --- other types ------------------------------------------------------------------------------------

OTHERS: dict[str, Callable[[], Any]] = {  # the private key classes have no base that says what they share
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "ECDSA": lambda: ec.generate_private_key(ec.SECP256R1()),
    "DSA": lambda: dsa.generate_private_key(1024),
    "X25519": x25519.X25519PrivateKey.generate,
    "X448": x448.X448PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_type_is_named(name: str) -> None:
    key = OTHERS[name]()
    encodings = [(serialization.PrivateFormat.PKCS8, f"its type is {name}, not Ed25519")]
    if name in ("RSA", "ECDSA", "DSA"):
        article = "an" if name != "DSA" else "a"
        encodings.append((serialization.PrivateFormat.TraditionalOpenSSL, f"it is {article} {name} key"))
    for form, message in encodings:
        data = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        with pytest.raises(KeyFormatError) as caught:
            pkcs8.read_pem(data, "x")
        assert (str(caught.value), caught.value.code) == (message, "key.type")
        assert caught.value.hint is not None
        assert "nono keygen" in caught.value.hint


def test_an_encrypted_key_of_another_type_is_named_once_it_is_open() -> None:
    data = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE),
    )
    with pytest.raises(KeyFormatError, match="its type is RSA, not Ed25519"):
        pkcs8.read_pem(data, "x", lambda _: [PASSPHRASE])


def test_openssh_public_keys_and_certificates_are_named() -> None:
    openssh = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    for data, said in (
        (openssh, "OpenSSH's own format"),
        (KEY.public.pem(), "it is a public key; its private half is wanted"),
        (pem(b"x", "CERTIFICATE"), "a certificate"),
    ):
        with pytest.raises(KeyFormatError, match=said) as caught:
            pkcs8.read_pem(data, "x")
        assert caught.value.code == "key.type"


# --- encrypted --------------------------------------------------------------------------------------


def encrypted_elsewhere() -> bytes:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(SEED)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE),
    )


@pytest.mark.parametrize("data", [encrypted_elsewhere(), pkcs8.encrypted_pem(KEY, PASSPHRASE)])
def test_an_encrypted_key_opens_with_its_passphrase_and_no_other(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(data)
    file.chmod(0o600)
    assert signing_key.resolve(str(file), lambda _: [PASSPHRASE]).key.public == KEY.public
    asked = []

    def three(name: str) -> Iterator[bytes]:
        asked.append(name)
        yield from (b"", b"wrong", PASSPHRASE)

    assert signing_key.resolve(str(file), three).key.public == KEY.public
    assert asked == [str(file)]
    with pytest.raises(SigningKeyError) as caught:
        signing_key.resolve(str(file), lambda _: [b"wrong"])
    assert (caught.value.code, caught.value.exit_status) == ("key.passphrase", 125)
    with pytest.raises(SigningKeyError) as caught:
        signing_key.resolve(str(file))
    assert caught.value.code == "key.encrypted"
    assert caught.value.hint is not None
    assert "--key-passphrase-env" in caught.value.hint


def test_an_encrypted_key_says_nothing_of_the_key() -> None:
    one, another = (pkcs8.encrypted_pem(KEY, PASSPHRASE) for _ in range(2))
    assert one != another
    for data in (one, another):
        assert data.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
        der = base64.b64decode(b"".join(data.splitlines()[1:-1]))
        assert SEED not in der
        assert KEY.public.raw not in der
        assert b"".join(KEY.pem().splitlines()[1:-1]) not in b"".join(data.splitlines()[1:-1])


def test_openssl_opens_what_is_encrypted_here(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        if os.environ.get("CI") == "true":
            pytest.fail("openssl is not installed")
        pytest.skip("openssl is not installed")
    file = tmp_path / "key.pem"
    file.write_bytes(pkcs8.encrypted_pem(KEY, b"secret"))
    done = subprocess.run(
        [openssl, "pkey", "-in", file, "-passin", "pass:secret", "-pubout"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, KEY.public.pem()), done.stderr
    done = subprocess.run([openssl, "asn1parse", "-in", file], capture_output=True, check=True)
    assert b"scrypt" in done.stdout
    assert b"aes-256-cbc" in done.stdout


def test_a_key_that_is_made_encrypted_is_private_and_has_its_public_half(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "deep" / "key.pem")
    key = key_files.generate(path, PASSPHRASE, trusting=os.fsencode(tmp_path / "config"))
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert signing_key.read_file(path, lambda _: [PASSPHRASE]).key.public == key.public
    assert (tmp_path / "deep" / "key.pub").read_bytes() == key.public.pem()
    assert os.listdir(tmp_path / "config" / "trust") == [f"{key.public.fingerprint()}.pub"]


# --- where a passphrase comes from ------------------------------------------------------------------


def test_a_variable_gives_one_try_and_a_person_three() -> None:
    source = PassphraseSource(b"named", lambda _: pytest.fail("nobody is asked"))
    assert list(source("x")) == [b"named"]
    assert source.used == b"named"
    typed = iter((b"1", b"2", b"3", b"4"))
    source = PassphraseSource(None, lambda _: next(typed))
    assert list(source("x")) == [b"1", b"2", b"3"]
    assert list(PassphraseSource(None, None)("x")) == []


@pytest.mark.parametrize(
    ("value", "code"), [(None, "key.variable"), ("", "key.passphrase"), ("x" * 1025, "key.passphrase")]
)
def test_a_variable_without_a_passphrase(
    monkeypatch: pytest.MonkeyPatch, value: str | None, code: str
) -> None:
    if value is not None:
        monkeypatch.setenv("PASS", value)
    with pytest.raises(SigningKeyError) as caught:
        passphrase.take("PASS")
    assert caught.value.code == code
    for name in ("", "A=B"):
        with pytest.raises(SigningKeyError):
            passphrase.take(name)


def test_the_variable_is_gone_from_where_the_kernel_shows_it() -> None:
    code = """
import os, sys
sys.path.insert(0, sys.argv[1])
from runtime.secrets import passphrase
before = open("/proc/self/environ", "rb").read()
assert passphrase.take("PASS") == b"v3ry-s3cret"
after = open("/proc/self/environ", "rb").read()
print(b"v3ry-s3cret" in before, b"v3ry-s3cret" in after, "PASS" in os.environ)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, ROOT],
        env={"PASS": "v3ry-s3cret", "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True False False\n"
