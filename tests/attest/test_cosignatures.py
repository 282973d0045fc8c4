"""Witnesses' cosignatures: a public log's, the specification's, and every way to be wrong."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint as JudgedCheckpoint

from attest import cosignature, note
from attest.checkpoint import Checkpoint
from attest.cosignature import Cosignature, Witness
from attest.errors import MalformedError, NonoError, SignatureError
from attest.keys import PublicKey, SigningKey
from attest.note import Verifier

VECTORS = Path(__file__).parents[1] / "vectors" / "attest"
LOG = SigningKey(bytes(32))
SECRET = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
WITNESS = Witness("witness.example/w1", PublicKey(SECRET.public_key().public_bytes_raw()))
HEAD = Checkpoint("host/" + "0" * 32, 42, bytes(32))
TIME = 1_767_225_600


def vectors(kind: str, *, fail: bool) -> list[Path]:
    found = sorted(path for path in (VECTORS / kind).iterdir() if path.name.endswith("_fail") is fail)
    assert found
    return found


def witnesses(vector: Path) -> list[Witness]:
    return [
        Witness.from_vkey(line)
        for line in (vector / "vkeys.txt").read_text(encoding="utf-8").split("\n")
        if line
    ]


def expected(vector: Path) -> str:
    return (vector / "expected.txt").read_text(encoding="ascii").strip()


@pytest.mark.parametrize("vector", vectors("cosignature", fail=False), ids=lambda path: path.name)
def test_vector(vector: Path) -> None:
    held = cosignature.verify(note.parse((vector / "note.txt").read_bytes()), witnesses(vector))
    said = "".join(f"{each.witness.name} {each.time}\n" for each in held)
    assert said == (vector / "cosigned.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("vector", vectors("cosignature", fail=True), ids=lambda path: path.name)
def test_vector_is_refused(vector: Path) -> None:
    parsed = note.parse((vector / "note.txt").read_bytes())
    with pytest.raises(SignatureError) as caught:
        cosignature.verify(parsed, witnesses(vector))
    assert caught.value.code == expected(vector)


@pytest.mark.parametrize("vector", vectors("witness-vkey", fail=False), ids=lambda path: path.name)
def test_witness_key(vector: Path) -> None:
    vkey = (vector / "vkey.txt").read_text(encoding="utf-8")
    assert Witness.from_vkey(vkey).vkey() == vkey


@pytest.mark.parametrize("vector", vectors("witness-vkey", fail=True), ids=lambda path: path.name)
def test_witness_key_is_refused(vector: Path) -> None:
    with pytest.raises(NonoError) as caught:
        Witness.from_vkey((vector / "vkey.txt").read_text(encoding="utf-8"))
    assert caught.value.code == expected(vector)


def test_the_time_and_the_message_are_those_of_the_specification() -> None:
    parsed = note.parse((VECTORS / "cosignature" / "c2sp-example" / "note.txt").read_bytes())
    line = parsed.signatures[1]
    assert line.name == "witness.example.com/w1"
    seconds = int.from_bytes(line.signature[:8], "big")
    assert cosignature.message(seconds, parsed.text) == (
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )


def cosign(text: str, seconds: int = TIME, witness: Witness = WITNESS) -> str:
    """Return a signature line, made without the code under test."""
    signed = SECRET.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
    blob = base64.b64encode(witness.key_id() + seconds.to_bytes(8, "big") + signed).decode()
    return f"\u2014 {witness.name} {blob}\n"


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_a_cosignature_holds_for_its_time_size_and_root(seconds: int, size: int, root: bytes) -> None:
    head = Checkpoint(HEAD.origin, size, root)
    cosigned = head.sign([LOG]) + cosign(head.text(), seconds)
    assert cosignature.verify(note.parse(cosigned.encode()), [WITNESS]) == (Cosignature(WITNESS, seconds),)
    judged = JudgedCheckpoint.from_text(cosigned)
    judged.verify(Vkey.from_string(WITNESS.vkey()))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="aics-tlog is for Python 3.12 and newer")
def test_a_cosignature_that_aics_tlog_makes_and_judges() -> None:
    import aics_tlog
    from aics_tlog.note import parse_note

    assert aics_tlog.cosignature_vkey(WITNESS.name, SECRET.public_key()).key_id == WITNESS.key_id()
    vkey = aics_tlog.parse_vkey(WITNESS.vkey())
    _, line = aics_tlog.sign_cosignature(SECRET, WITNESS.name, TIME, HEAD.origin, HEAD.size, HEAD.root)
    theirs = aics_tlog.Note(text=HEAD.text(), signatures=(line,)).to_bytes()
    assert theirs == (HEAD.text() + "\n" + cosign(HEAD.text())).encode()
    assert cosignature.verify(note.parse(theirs), [WITNESS]) == (Cosignature(WITNESS, TIME),)
    ours = parse_note(HEAD.sign([LOG]).encode() + cosign(HEAD.text()).encode())
    log = aics_tlog.parse_vkey(Verifier(HEAD.origin, LOG.public).vkey())
    assert aics_tlog.verify_checkpoint(ours, log, [vkey], quorum=1).ok


def test_every_changed_bit_of_a_cosignature_is_refused() -> None:
    blob = base64.b64decode(cosign(HEAD.text()).split()[2])[4:]
    assert WITNESS.verify(blob, HEAD.text()) == TIME
    for at in range(8 * len(blob)):
        changed = bytearray(blob)
        changed[at >> 3] ^= 1 << (at & 7)
        with pytest.raises(SignatureError):
            WITNESS.verify(bytes(changed), HEAD.text())


@given(st.binary(max_size=100))
def test_an_arbitrary_cosignature_is_refused(signature: bytes) -> None:
    with pytest.raises(SignatureError):
        WITNESS.verify(signature, HEAD.text())


def test_a_witness_is_no_log_and_a_log_no_witness() -> None:
    """One Ed25519 key under one name, but another type: another id, and another message."""
    name = WITNESS.name
    log = Verifier(name, WITNESS.key)
    assert log.key_id() != WITNESS.key_id()
    cosigned = note.parse((HEAD.text() + "\n" + cosign(HEAD.text())).encode())
    with pytest.raises(SignatureError) as caught:
        note.verify(cosigned, [log])
    assert caught.value.code == "signature.unknown_key"
    with pytest.raises(MalformedError):
        Witness.from_vkey(log.vkey())
    with pytest.raises(MalformedError):
        Verifier.from_vkey(WITNESS.vkey())


def test_a_ledger_key_never_signs_as_a_witness() -> None:
    with pytest.raises(SignatureError) as caught:
        LOG.sign(cosignature.message(TIME, HEAD.text()))
    assert caught.value.code == "signature.domain"


def test_one_witness_does_not_count_for_two() -> None:
    cosigned = note.parse((HEAD.sign([LOG]) + cosign(HEAD.text()) + cosign(HEAD.text(), TIME + 9)).encode())
    assert cosignature.verify(cosigned, [WITNESS, WITNESS]) == (Cosignature(WITNESS, TIME + 9),)
    twin = Witness("witness.example/w2", WITNESS.key)
    for pair in ([WITNESS, twin], [twin, WITNESS]):
        with pytest.raises(SignatureError) as caught:
            cosignature.verify(cosigned, pair)
        assert caught.value.code == "signature.ambiguous"


def test_witnesses_that_share_name_and_id_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # A real collision takes 2**16 keys; what counts is what happens then.
    monkeypatch.setattr(Witness, "key_id", lambda self: b"same")
    cosigned = note.parse((HEAD.sign([LOG]) + cosign(HEAD.text())).encode())
    with pytest.raises(SignatureError) as caught:
        cosignature.verify(cosigned, [WITNESS, Witness(WITNESS.name, LOG.public)])
    assert caught.value.code == "signature.ambiguous"


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\n"])
def test_a_witness_has_a_key_name(name: str) -> None:
    with pytest.raises(MalformedError):
        Witness(name, WITNESS.key)


def test_no_witness_is_no_error_and_no_cosignature() -> None:
    assert cosignature.verify(note.parse(HEAD.sign([LOG]).encode()), [WITNESS]) == ()
    assert cosignature.verify(note.parse(HEAD.sign([LOG]).encode()), []) == ()
