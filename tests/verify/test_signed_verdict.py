"""Signed verdicts: in-toto Simple Verification Results, checked by programs that are not ours."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # exported unsaid

from attest import __version__
from attest.keys import SigningKey
from verify import cli

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

VERDICTS = SigningKey(b"\x09" * 32)


def say(*arguments: str) -> tuple[int, str]:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = cli.main(list(arguments))
    return status, output.getvalue()


@pytest.fixture
def key(bench: Bench) -> str:
    return save(bench.path("verdicts.pem"), VERDICTS.pem())


def save(path: str, data: bytes, mode: int = 0o600) -> str:
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(data)
    os.chmod(path, mode)
    return path


def opened(path: str, key: SigningKey = VERDICTS) -> dict[str, Any]:
    """Return the statement in a signed verdict, as securesystemslib reads and verifies it."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    envelope = Envelope.from_dict(document)
    loaded = load_pem_public_key(key.public.pem())
    assert isinstance(loaded, Ed25519PublicKey)
    public = SSlibKey.from_crypto(loaded, keyid=key.public.fingerprint())
    envelope.verify([public], 1)
    return dict(json.loads(envelope.payload))


def test_a_verdict_that_holds(bench: Bench, new_book: Callable[..., Book], shapes: Any, key: str) -> None:
    wheel = save(bench.path("tool.whl"), b"wheel")
    policy = save(bench.path("release.toml"), b"version = 1\n[every]\nexit = [0]\n")
    outputs = [{"path": "/w/a.whl", "sha256": hashlib.sha256(b"wheel").hexdigest(), "size": 5}]
    book = new_book()
    session = book.launch(outcome=shapes.changed(shapes.OUTCOME, outputs=outputs))
    out = bench.path("verdict.json")
    status, text = say(
        bench.write(book), "-k", bench.path("key.pub"), "--policy", policy, "--require-label", "run=7",
        "--require-output", wheel, "--attest", key, "--attest-out", out,
    )  # fmt: skip
    assert status == 0, text
    statement = opened(out)
    head = book.note(len(book.bodies)).encode()
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/svr/v0.2"
    assert statement["subject"] == [
        {
            "name": f"checkpoint:{book.origin}",
            "digest": {"sha256": hashlib.sha256(head).hexdigest()},
            "content": base64.b64encode(head).decode(),
        },
        {"name": "tool.whl", "digest": {"sha256": hashlib.sha256(b"wheel").hexdigest()}},
    ]
    predicate = statement["predicate"]
    with open(policy, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    assert predicate["verifier"] == {
        "id": f"urn:nono-attest:nono-verify:{__version__}",
        "policies": [{"name": "release.toml", "digest": {"sha256": digest}}],
    }
    assert predicate["properties"] == [
        "NONO_LEDGER_INTACT", "NONO_KEY_PINNED", "NONO_LAUNCHES_ACCOUNTED_FOR", "NONO_POLICY_MET",
        "NONO_REQUIREMENTS_MET",
    ]  # fmt: skip
    assert [each["session"] for each in predicate["nono"]["required"]] == [session, session]
    assert bench.directory not in json.dumps({**predicate["nono"], "required": None})


def test_without_a_policy_the_list_is_empty_and_there(bench: Bench, book: Book, key: str) -> None:
    out = bench.path("verdict.json")
    assert say(bench.write(book), "--origin", book.origin, "--attest", key, "--attest-out", out)[0] == 0
    predicate = opened(out)["predicate"]
    assert predicate["verifier"]["policies"] == []
    assert predicate["properties"] == [
        "NONO_LEDGER_INTACT", "NONO_ORIGIN_PINNED", "NONO_LAUNCHES_ACCOUNTED_FOR",
    ]  # fmt: skip


def test_a_policy_that_one_launch_was_held_to_is_not_met_by_all(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, key: str
) -> None:
    policy = save(bench.path("release.toml"), b"version = 1\n[every]\nexit = [0]\n")
    book = new_book()
    good = book.launch()
    book.launch(outcome=shapes.changed(shapes.OUTCOME, exit=1))
    asked = [bench.write(book), "-k", bench.path("key.pub"), "--policy", policy]
    asked += ["--attest", key, "--attest-out", bench.path("verdict.json")]
    assert say(*asked)[0] == 3
    assert say(*asked, "--session", good)[0] == 0
    predicate = opened(bench.path("verdict.json"))["predicate"]
    assert "NONO_POLICY_MET" not in predicate["properties"]
    assert "NONO_POLICY_MET_BY_SESSION" in predicate["properties"]
    assert predicate["nono"]["session"] == good


def test_it_changes_with_one_bit(bench: Bench, book: Book, key: str) -> None:
    out = bench.path("verdict.json")
    assert say(bench.write(book), "-k", bench.path("key.pub"), "--attest", key, "--attest-out", out)[0] == 0
    with open(out, encoding="utf-8") as file:
        text = file.read()
    document = json.loads(text)
    payload = bytearray(base64.b64decode(document["payload"]))
    payload[40] ^= 1
    document["payload"] = base64.b64encode(payload).decode()
    save(out, json.dumps(document).encode())
    with pytest.raises(Exception, match="Accepted signatures do not match"):
        opened(out)


@pytest.mark.parametrize("what", ["tampered", "unmet", "unpinned", "missing"])
def test_what_does_not_hold_is_not_signed(bench: Bench, book: Book, key: str, what: str) -> None:
    out, path = bench.path("verdict.json"), bench.write(book)
    pins, expected = (
        ["-k", bench.path("key.pub")],
        {"tampered": 1, "unmet": 3, "unpinned": 3, "missing": 2}[what],
    )
    if what == "tampered":
        bench.alter(path, "UPDATE entry SET body = replace(body, 'make', 'fake') WHERE idx = 1")
    elif what == "unmet":
        pins += ["--require-label", "run=8"]
    elif what == "unpinned":
        pins = []
    else:
        path += ".gone"
    save(out, b"what was there")
    assert say(path, *pins, "--attest", key, "--attest-out", out)[0] == expected
    with open(out, "rb") as file:
        assert file.read() == b"what was there"


def test_a_ledger_does_not_vouch_for_itself(bench: Bench, book: Book, shapes: Any) -> None:
    book.hand_over(shapes.SUCCESSOR)
    path = bench.write(book)
    for own in (shapes.KEY, shapes.SUCCESSOR):
        pem = save(bench.path("own.pem"), own.pem())
        out = bench.path("verdict.json")
        status, text = say(path, "-k", bench.path("key.pub"), "--attest", pem, "--attest-out", out)
        assert (status, "the ledger's own" in text) == (2, True)
        assert not os.path.exists(out)


def test_a_key_in_a_variable(bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    out, path = bench.path("verdict.json"), bench.write(book)
    der = b"".join(VERDICTS.pem().splitlines()[1:-1]).decode()
    for value in (VERDICTS.pem().decode(), der):
        monkeypatch.setenv("VERDICT_KEY", value)
        arguments = ["-k", bench.path("key.pub"), "--attest", "env://VERDICT_KEY", "--attest-out", out]
        assert say(path, *arguments)[0] == 0
        opened(out)
    for value in ("", "   ", "nonsense", "AAAA", VERDICTS.public.pem().decode()):
        monkeypatch.setenv("VERDICT_KEY", value)
        status, text = say(path, *arguments, "--format", "json")
        assert (status, json.loads(text)["findings"][0]["code"]) == (2, "attest.key")


def test_keys_that_are_no_keys(bench: Bench, book: Book) -> None:
    path, out = bench.write(book), bench.path("verdict.json")
    encrypted = VERDICTS.pem().replace(b"PRIVATE", b"ENCRYPTED PRIVATE")
    seed = VERDICTS.pem().decode()
    for reference in (
        bench.path("missing.pem"), bench.directory, "a\0b", "env://", "env://NOT_SET", seed,
        bench.path("key.pub"), save(bench.path("locked.pem"), encrypted), save(bench.path("empty.pem"), b""),
        save(bench.path("large.pem"), VERDICTS.pem() * 200),
    ):  # fmt: skip
        status, text = say(path, "-k", bench.path("key.pub"), "--attest", reference, "--attest-out", out)
        assert status == 2
        assert text.startswith("not checked: ")
        assert "MC4CAQ" not in text
        assert not os.path.exists(out)


@pytest.mark.skipif(sys.platform == "win32", reason="modes mean nothing there")
def test_a_key_that_others_can_read(bench: Bench, book: Book) -> None:
    open_to_all = save(bench.path("open.pem"), VERDICTS.pem(), 0o644)
    status, text = say(bench.write(book), "--attest", open_to_all, "--attest-out", bench.path("v.json"))
    assert (status, "chmod 600" in text) == (2, True)
    public = save(bench.path("half.pub"), VERDICTS.public.pem(), 0o644)
    status, text = say(bench.write(book), "--attest", public, "--attest-out", bench.path("v.json"))
    assert (status, "chmod" in text, "BEGIN PUBLIC KEY" in text) == (2, False, True)


def test_a_place_that_cannot_be_written(bench: Bench, book: Book, key: str) -> None:
    for place in (bench.path("no/such/place.json"), bench.directory, "a\0b"):
        status, text = say(
            bench.write(book), "-k", bench.path("key.pub"), "--attest", key, "--attest-out", place
        )
        assert status == 2
        assert text.startswith("not checked: ")
    assert not [name for name in os.listdir(bench.directory) if name.endswith(".new")]


@pytest.mark.parametrize("victim", ["ledger", "key", "policy", "signing key", "saved", "written"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_signed_verdict_replaces_nothing_that_is_used(
    bench: Bench, book: Book, key: str, victim: str, linked: bool
) -> None:
    ledger, policy = bench.write(book), save(bench.path("p.toml"), b"version = 1\n[every]\nattested = true\n")
    targets = {
        "ledger": ledger, "key": bench.path("key.pub"), "policy": policy, "signing key": key,
        "saved": bench.path("saved"), "written": bench.path("written"),
    }  # fmt: skip
    files = [ledger, bench.path("key.pub"), policy, key]
    before = [Path(file).read_bytes() for file in files]
    out = targets[victim]
    if linked:
        os.symlink(out, bench.path("linked"))
        out = bench.path("linked")
    status, text = say(
        ledger, "-k", bench.path("key.pub"), "--policy", policy, "--save-checkpoint", targets["saved"],
        "--write", f"json={targets['written']}", "--attest", key, "--attest-out", out,
    )  # fmt: skip
    assert status == 2
    assert text.startswith("not checked: --")
    assert [Path(file).read_bytes() for file in files] == before
    assert not os.path.exists(targets["saved"])
    assert not os.path.exists(targets["written"])


def test_flags_that_do_not_fit(bench: Bench, book: Book, key: str) -> None:
    path = bench.write(book)
    for arguments in (
        ["--attest", key], ["--attest-out", "x"],
        ["--attest", key, "--attest-out", "x", "--now", "2026-11-24T04:00:00Z"],
    ):  # fmt: skip
        assert say(path, "-k", bench.path("key.pub"), *arguments)[0] == 2


@pytest.mark.parametrize("what", ["ledger", "key.pub", "verdicts.pem", "link"])
def test_what_is_checked_is_not_written_over(bench: Bench, book: Book, key: str, what: str) -> None:
    ledger = bench.write(book)
    os.symlink(ledger, bench.path("link"))
    place = ledger if what == "ledger" else bench.path(what)
    with open(place, "rb") as file:
        before = file.read()
    status, text = say(ledger, "-k", bench.path("key.pub"), "--attest", key, "--attest-out", place)
    assert (status, "what it is checked with" in text) == (2, True)
    with open(place, "rb") as file:
        assert file.read() == before
    assert os.path.islink(bench.path("link"))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
def test_a_pipe_and_a_link_to_one_stay(bench: Bench, book: Book, key: str) -> None:
    os.mkfifo(bench.path("pipe"))
    os.symlink(bench.path("pipe"), bench.path("stdout"))
    for place in (bench.path("pipe"), bench.path("stdout")):
        status, text = say(
            bench.write(book), "-k", bench.path("key.pub"), "--attest", key, "--attest-out", place
        )
        assert (status, "no regular file" in text) == (2, True)
    assert os.path.islink(bench.path("stdout"))
    assert stat.S_ISFIFO(os.stat(bench.path("stdout")).st_mode)


def test_the_variable_is_named_unless_it_may_be_the_key(bench: Bench, book: Book) -> None:
    path, out = bench.write(book), bench.path("verdict.json")
    seed = base64.urlsafe_b64encode(b"\x69" * 32).decode().rstrip("=")
    for name, shown in (("NOT_SET_HERE", "NOT_SET_HERE"), (seed, "(not a name)"), ("a\x1bb", "(not a name)")):
        status, text = say(
            path, "-k", bench.path("key.pub"), "--attest", f"env://{name}", "--attest-out", out
        )
        assert (status, f"or empty: {shown}\n" in text) == (2, True)
    assert seed not in text


def test_each_property_is_documented() -> None:
    root = Path(__file__).parents[2]
    said, documented = (
        set(re.findall(r"NONO_[A-Z_]+", (root / path).read_text(encoding="utf-8")))
        for path in ("verify/signed_verdict.py", "docs/policies.md")
    )
    assert said == documented
    assert len(said) == 8
