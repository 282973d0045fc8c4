"""The vectors under tests/vectors/attest, read, checked, and written again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from attest import canonical, checkpoint, entry, envelope, note, origin, schema, tree
from attest.errors import NonoError
from attest.keys import PublicKey, SigningKey
from attest.note import Verifier
from attest.statement import LaunchEvidence

VECTORS = Path(__file__).parents[1] / "vectors" / "attest"
KEYS = {
    (directory / "fingerprint.txt").read_text().strip(): SigningKey.from_pem(
        (directory / "private.pem").read_bytes()
    )
    for directory in (VECTORS / "key").iterdir()
}
SIGNER = SigningKey.from_pem((VECTORS / "key" / "rfc8032-test-1" / "private.pem").read_bytes())


def vectors(kind: str, *, fail: bool = False, prefix: str = "") -> list[object]:
    """Return the vectors of a kind as parameters, each under its own name."""
    found = sorted(
        path
        for path in (VECTORS / kind).iterdir()
        if path.name.endswith("_fail") is fail and path.name.startswith(prefix)
    )
    assert found, f"no vectors of {kind}"
    return [pytest.param(path, id=path.name) for path in found]


def word(path: Path) -> str:
    return path.read_text(encoding="utf-8").removesuffix("\n")


def test_every_vector_says_why_and_every_failure_what() -> None:
    directories = {path.parent for path in VECTORS.rglob("*") if path.is_file() and path.parent != VECTORS}
    assert directories
    for directory in directories:
        assert (directory / "README.md").read_text(encoding="utf-8").strip(), directory
        assert (directory / "expected.txt").exists() is directory.name.endswith("_fail"), directory


def test_every_kind_has_its_bytes() -> None:
    seen = {entry.parse((path / "entry.json").read_bytes()).kind for path in good("entry")}
    assert seen == entry.KINDS


def good(kind: str) -> list[Path]:
    return [path for path in (VECTORS / kind).iterdir() if not path.name.endswith("_fail")]


@pytest.mark.parametrize("vector", vectors("entry"))
def test_entry(vector: Path) -> None:
    body = (vector / "entry.json").read_bytes()
    parsed = entry.parse(body)
    schema.check_entry(parsed.document())
    assert parsed.encode() == body
    assert canonical.encode(json.loads(body)) == body
    assert tree.hash_leaf(body).hex() == word(vector / "leaf.hex")


@pytest.mark.parametrize("vector", vectors("entry", fail=True))
def test_entry_is_refused(vector: Path) -> None:
    with pytest.raises(NonoError) as caught:
        schema.check_entry(entry.parse((vector / "entry.json").read_bytes()).document())
    assert caught.value.code == word(vector / "expected.txt")


@pytest.mark.parametrize("vector", vectors("statement"))
def test_statement(vector: Path) -> None:
    evidence, leaves = LaunchEvidence(), []
    for line in (vector / "session.jsonl").read_bytes().splitlines():
        numbered = canonical.decode_object(line)
        index, document = numbered["index"], numbered["entry"]
        assert isinstance(index, int)
        body = canonical.encode(document)
        parsed = entry.parse(body)
        schema.check_entry(parsed.document())
        leaves.append(tree.hash_leaf(body))
        evidence.add(index, parsed, leaves[-1])
    payload = (vector / "statement.json").read_bytes()
    statement = evidence.statement(word(vector / "origin.txt"))
    assert canonical.encode(statement) == payload
    schema.check_predicate(statement["predicate"])
    signed = (vector / "envelope.json").read_bytes()
    assert canonical.encode(envelope.sign(payload, SIGNER)) == signed
    assert envelope.verify(canonical.decode_object(signed), SIGNER.public) == payload


@pytest.mark.parametrize("vector", vectors("statement", fail=True))
def test_envelope_is_refused(vector: Path) -> None:
    document = canonical.decode_object((vector / "envelope.json").read_bytes())
    with pytest.raises(NonoError) as caught:
        envelope.verify(document, SIGNER.public)
    assert caught.value.code == word(vector / "expected.txt")


@pytest.mark.parametrize("vector", vectors("checkpoint"))
def test_checkpoint(vector: Path) -> None:
    signed = (vector / "note.txt").read_bytes()
    keys = [KEYS[fingerprint] for fingerprint in word(vector / "keys.txt").split("\n")]
    name = word(vector / "origin.txt")
    opened = checkpoint.open_signed(signed, name, [key.public for key in keys])
    assert (opened.origin, str(opened.size), opened.root.hex()) == (
        name,
        word(vector / "size.txt"),
        word(vector / "root.hex"),
    )
    assert opened.sign(keys).encode() == signed
    assert [
        held.key for held in note.verify(note.parse(signed), [Verifier(name, k.public) for k in keys])
    ] == [key.public for key in keys]


@pytest.mark.parametrize("vector", vectors("checkpoint", fail=True))
def test_checkpoint_is_refused(vector: Path) -> None:
    keys = [KEYS[fingerprint].public for fingerprint in word(vector / "keys.txt").split("\n")]
    with pytest.raises(NonoError) as caught:
        checkpoint.open_signed((vector / "note.txt").read_bytes(), word(vector / "origin.txt"), keys)
    assert caught.value.code == word(vector / "expected.txt")


def test_checkpoint_of_the_specification() -> None:
    parsed = note.parse((VECTORS / "checkpoint-of-c2sp" / "note.txt").read_bytes())
    head = checkpoint.parse_text(parsed.text)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20852163)
    assert head.text() == parsed.text
    assert [line.name for line in parsed.signatures] == [head.origin]


@pytest.mark.parametrize("vector", vectors("note"))
def test_note(vector: Path) -> None:
    verifier = Verifier.from_vkey(word(vector / "vkey.txt"))
    data = (vector / "note.txt").read_bytes()
    parsed = note.parse(data)
    assert note.verify(parsed, [verifier]) == (verifier,)
    assert data.startswith(parsed.text.encode() + b"\n" + "\u2014 ".encode())


@pytest.mark.parametrize("vector", vectors("note", fail=True))
def test_note_is_refused(vector: Path) -> None:
    verifier = Verifier.from_vkey(word(vector / "vkey.txt"))
    with pytest.raises(NonoError) as caught:
        note.verify(note.parse((vector / "note.txt").read_bytes()), [verifier])
    assert caught.value.code == word(vector / "expected.txt")


@pytest.mark.parametrize("vector", vectors("vkey"))
def test_verifier_key(vector: Path) -> None:
    vkey = (vector / "vkey.txt").read_text(encoding="utf-8")
    assert Verifier.from_vkey(vkey).vkey() == vkey


@pytest.mark.parametrize("vector", vectors("vkey", fail=True))
def test_verifier_key_is_refused(vector: Path) -> None:
    with pytest.raises(NonoError) as caught:
        Verifier.from_vkey((vector / "vkey.txt").read_text(encoding="utf-8"))
    assert caught.value.code == word(vector / "expected.txt")


@pytest.mark.parametrize("vector", vectors("origin"))
def test_origin(vector: Path) -> None:
    made = json.loads((vector / "origin.json").read_bytes())
    derived = origin.derive(made["name"], bytes.fromhex(made["spki"]), bytes.fromhex(made["nonce"]))
    assert derived == made["origin"]
    assert origin.split(derived) == (made["name"], derived[-32:])


def test_the_origin_follows_from_the_genesis_entry() -> None:
    data = entry.parse((VECTORS / "entry" / "ledger.genesis" / "entry.json").read_bytes()).data
    spki = canonical.decode_base64(data["public_key"])
    name, _ = origin.split(str(data["origin"]))
    assert origin.derive(name, spki, bytes.fromhex(str(data["nonce"]))) == data["origin"]
    assert PublicKey.from_spki(spki) == SIGNER.public


@pytest.mark.parametrize("vector", vectors("key"))
def test_key(vector: Path) -> None:
    secret, public = (vector / "private.pem").read_bytes(), (vector / "public.pem").read_bytes()
    signing = SigningKey.from_pem(secret)
    assert signing.pem() == secret
    assert signing.public.pem() == public
    assert PublicKey.from_pem(public) == signing.public
    assert signing.public.spki().hex() == word(vector / "spki.hex")
    assert signing.public.fingerprint() == word(vector / "fingerprint.txt")
    assert (
        signing.public.fingerprint() == hashlib.sha256(bytes.fromhex(word(vector / "spki.hex"))).hexdigest()
    )
    verifier = Verifier.from_vkey(word(vector / "vkey.txt"))
    assert verifier.key == signing.public
