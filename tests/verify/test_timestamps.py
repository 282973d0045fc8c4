"""Timestamps in a ledger: a real authority's, those that nobody should believe, and what is missing."""

from __future__ import annotations

import base64
import datetime
import json
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # published without type information
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from attest import entry, extras, tree
from attest.errors import MalformedError, NonoError, SignatureError
from attest.keys import SigningKey
from tests.verify.timestamp_authority import SERVES, TimestampAuthority, sha256
from verify import NotCheckedError, Pin, timestamps, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book, Judged

MONDAY, MONDAY_TEXT = "20261130000000Z", "2026-11-30T00:00:00.000000Z"
ASKED = "2026-12-01T00:00:00Z"
DIGEST = sha256(b"data")
VERDICT = jsonschema.Draft202012Validator(
    json.loads(resources.files("verify").joinpath("schemas/verdict.json").read_bytes())
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("tsa") / "a")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("tsa") / "b", "Other TSA")


@pytest.fixture
def stamped(new_book: Callable[..., Book]) -> Book:
    book = new_book()
    book.launch()
    book.launch()
    book.kept += [5, 9]
    return book


def anchor(book: Book, covers: int | bytes, response: bytes, *, beside: bool = False) -> int:
    evidence: Any = base64.b64encode(response).decode()
    return book.add(
        entry.ANCHOR,
        None,
        {
            "covers": {"size": covers} if isinstance(covers, int) else {"leaf": covers.hex()},
            "evidence": book.beside(evidence) if beside else evidence,
            "type": "rfc3161",
        },
    )


def of_size(book: Book, size: int) -> bytes:
    return sha256(book.note(size).encode())


def judge(bench: Bench, book: Book, authority: TimestampAuthority, *arguments: str) -> Judged:
    # Every size that is kept is anchored, so that only what is said about the evidence is found.
    for size in book.kept:
        filler = {"covers": {"size": size}, "evidence": "", "type": "rekor"}
        book.add(entry.ANCHOR, None, filler)
    said = bench.verify(bench.write(book), "--tsa-roots", authority.roots, *arguments)
    VERDICT.validate(said.document)
    del book.bodies[-len(book.kept) :]
    return said


def newest(said: Judged) -> dict[str, Any]:
    """Return what is reported of the newest timestamp."""
    found: dict[str, Any] = [
        each for each in said.document["anchors"]["newest"] if each["type"] == "rfc3161"
    ][-1]
    return found


def caveats(said: Judged) -> dict[str, str]:
    return {caveat["code"]: caveat["message"] for caveat in said.document["not_excluded"]}


def refused(authority: TimestampAuthority, response: bytes, digest: bytes = DIGEST) -> str:
    with pytest.raises((MalformedError, SignatureError)) as caught:
        timestamps.read(authority.roots).check(response, digest)
    return caught.value.code


# --- what they show ------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside", [False, True])
def test_openssl_stamps_a_kept_checkpoint(
    bench: Bench, stamped: Book, authority: TimestampAuthority, beside: bool
) -> None:
    response = authority.stamp(of_size(stamped, 5))
    assert authority.accepts(response, stamped.note(5).encode()), (
        "the evidence is what openssl itself verifies"
    )
    index = anchor(stamped, 5, response, beside=beside)
    said = judge(bench, stamped, authority)
    assert (said.status, said.codes, said.document["freshness"]) == (0, [], "unproven")
    report = newest(said)
    assert report == {
        "index": index, "type": "rfc3161", "covers": {"size": 5}, "holds": True,
        "time": report["time"], "by": "CN=Test TSA",
    }  # fmt: skip
    stated = datetime.datetime.fromisoformat(report["time"])
    assert abs(datetime.datetime.now(datetime.UTC) - stated) < datetime.timedelta(minutes=5)
    assert f"timestamped: 5 entries at {report['time']} by CN=Test TSA" in said.text
    assert (
        f"first 5 entries existed at {report['time']} according to CN=Test TSA"
        in caveats(said)["host.trusted"]
    )
    assert "0 of 1 timestamps are by one that has ended" in caveats(said)["timestamps.revocation"]


def test_openssl_stamps_an_attestation(bench: Bench, stamped: Book, authority: TimestampAuthority) -> None:
    leaf = tree.hash_leaf(stamped.bodies[4])
    response = authority.stamp(leaf)
    assert authority.accepts(response, b"\x00" + stamped.bodies[4])
    anchor(stamped, leaf, response)
    said = judge(bench, stamped, authority)
    assert (said.status, newest(said)["covers"], newest(said)["holds"]) == (0, {"leaf": leaf.hex()}, True)
    assert f"timestamped: attestation {leaf.hex()[:16]}… at" in said.text
    # It says nothing of the entries around it.
    assert "existed at" not in caveats(said)["host.trusted"]


def test_of_several_the_largest_size_counts_at_its_first_time(
    bench: Bench, stamped: Book, authority: TimestampAuthority
) -> None:
    for size, moment in ((9, "20261130120000Z"), (9, MONDAY), (5, "20261129000000Z"), (9, "20261130060000Z")):
        anchor(stamped, size, authority.forge(of_size(stamped, size), moment))
    said = judge(bench, stamped, authority, "--now", ASKED)
    assert f"the first 9 entries existed at {MONDAY_TEXT}" in caveats(said)["host.trusted"]
    assert said.text.count("timestamped:") == 4


def test_a_timestamp_is_nothing_in_a_ledger_that_was_tampered_with(
    bench: Bench, stamped: Book, authority: TimestampAuthority
) -> None:
    del stamped.kept[-1]
    anchor(stamped, 5, authority.stamp(of_size(stamped, 5)))
    edit = "UPDATE entry SET body = replace(body, 'make', 'fake') WHERE idx = 1"
    path = bench.alter(bench.write(stamped), edit)
    said = bench.verify(path, "--tsa-roots", authority.roots)
    assert (said.status, newest(said)["holds"], newest(said)["time"]) == (1, None, None)
    assert "existed at" not in caveats(said)["host.trusted"]
    assert "timestamped:" not in said.text


def test_without_roots_timestamps_are_unread(
    bench: Bench, stamped: Book, authority: TimestampAuthority
) -> None:
    del stamped.kept[-1]
    anchor(stamped, 5, authority.stamp(of_size(stamped, 5)))
    said = bench.verify(bench.write(stamped))
    assert (said.status, newest(said)["holds"]) == (0, None)
    assert "1 rfc3161: --tsa-roots names no authorities" in caveats(said)["anchors.unread"]


def test_a_certificate_that_ended_after_it_stamped(bench: Bench, stamped: Book, tmp_path: Path) -> None:
    brief = TimestampAuthority(
        tmp_path / "tsa", until=datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)
    )
    anchor(stamped, 5, brief.forge(of_size(stamped, 5), MONDAY))
    before = judge(bench, stamped, brief, "--now", "2026-11-30T06:00:00Z")
    after = judge(bench, stamped, brief, "--now", ASKED)
    assert (before.status, after.status) == (0, 0)
    assert "0 of 1 timestamps" in caveats(before)["timestamps.revocation"]
    assert "1 of 1 timestamps" in caveats(after)["timestamps.revocation"]
    # One that it stamped when it had ended is none of its.
    stamped.bodies.pop()
    anchor(stamped, 5, brief.forge(of_size(stamped, 5), "20261130130000Z"))
    late = judge(bench, stamped, brief, "--now", ASKED)
    assert (late.status, late.codes) == (3, ["timestamp.none"])


# --- what nobody should believe ----------------------------------------------------------------------------


def test_a_timestamp_of_something_else(bench: Bench, stamped: Book, authority: TimestampAuthority) -> None:
    text = stamped.note(5).partition("\n\n")[0] + "\n"
    for digest in (
        of_size(stamped, 9),
        sha256(text.encode()),
        sha256(b""),
        tree.hash_leaf(stamped.bodies[4]),
    ):
        anchor(stamped, 5, authority.stamp(digest))
        said = judge(bench, stamped, authority)
        assert (said.status, said.codes[0], newest(said)["holds"]) == (1, "anchor.evidence", False)
        stamped.bodies.pop()


def test_a_thief_of_the_key_who_rewrites_what_was_stamped(
    bench: Bench, new_book: Callable[..., Book], authority: TimestampAuthority
) -> None:
    true, false = new_book(), new_book()
    true.launch()
    false.launch(decisions=1)
    false.kept.append(5)
    anchor(false, 5, authority.stamp(of_size(true, 5)))
    said = judge(bench, false, authority)
    assert (said.status, said.codes[0]) == (1, "anchor.evidence")


def test_an_authority_that_is_not_trusted(
    bench: Bench, stamped: Book, authority: TimestampAuthority, other: TimestampAuthority
) -> None:
    anchor(stamped, 5, other.stamp(of_size(stamped, 5)))
    said = judge(bench, stamped, authority)
    assert (said.status, said.codes, newest(said)["holds"]) == (3, ["timestamp.none"], None)
    assert "; 1 by others" in said.text
    assert "1 rfc3161: by no authority under the roots" in caveats(said)["anchors.unread"]
    anchor(stamped, 5, authority.stamp(of_size(stamped, 5)))
    assert judge(bench, stamped, authority).status == 0
    del stamped.kept[-1]
    both = Path(bench.path("both.pem"))
    both.write_text(Path(authority.roots).read_text() + Path(other.roots).read_text() * 2)
    said = bench.verify(bench.write(stamped), "--tsa-roots", str(both))
    assert [each["by"] for each in said.document["anchors"]["newest"]] == ["CN=Other TSA", "CN=Test TSA"]


def test_roots_and_no_timestamp(bench: Bench, stamped: Book, authority: TimestampAuthority) -> None:
    said = judge(bench, stamped, authority)
    assert (said.status, said.codes) == (3, ["timestamp.none"])


def test_a_signature_that_does_not_hold(bench: Bench, stamped: Book, authority: TimestampAuthority) -> None:
    response = authority.stamp(of_size(stamped, 5))
    anchor(stamped, 5, response[:-1] + bytes([response[-1] ^ 1]))
    said = judge(bench, stamped, authority)
    assert (said.status, said.codes[0]) == (1, "timestamp.signature")


def test_a_time_that_another_one_was_signed_with(authority: TimestampAuthority) -> None:
    response = authority.forge(DIGEST, MONDAY)
    assert timestamps.read(authority.roots).check(response, DIGEST).seconds == 1_795_996_800
    assert refused(authority, response.replace(MONDAY.encode(), b"20250101000000Z")) == "timestamp.signature"


def test_a_timestamp_that_lies_ahead(bench: Bench, stamped: Book, authority: TimestampAuthority) -> None:
    anchor(stamped, 5, authority.forge(of_size(stamped, 5), "20261201010000Z"))
    said = judge(bench, stamped, authority, "--now", ASKED)
    assert (said.status, sorted(said.codes)) == (3, ["timestamp.none", "timestamp.time"])
    assert newest(said)["holds"] is False
    assert judge(bench, stamped, authority, "--now", "2026-12-01T02:00:00Z").status == 0


def test_a_certificate_that_is_not_there_for_timestamps(authority: TimestampAuthority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    server = authority.issue(key, "server", usage=SERVES)
    response = authority.forge(DIGEST, MONDAY, certificates=[server], key=key)
    assert refused(authority, response) in {"timestamp.signature", "timestamp.authority"}


def test_a_second_certificate_of_the_same_issuer_and_number(authority: TimestampAuthority) -> None:
    """A server's key signs; a made-up certificate of that issuer and number says that it may.

    Whoever looks for the signer by issuer and number finds one or the other.
    """
    key, nobody = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    server = authority.issue(key, "server", usage=SERVES)
    for name in ("server", "Test TSA", "\x00", "zzz"):
        posing = authority.issue(nobody, name, serial=server.serial_number, signer=nobody)
        response = authority.forge(DIGEST, MONDAY, certificates=[server, posing], key=key)
        assert refused(authority, response) == "anchor.form"
        # Each alone is refused by what it is.
        assert refused(
            authority, authority.forge(DIGEST, MONDAY, certificates=[posing], key=nobody)
        ).startswith("timestamp.")


def test_a_certificate_that_nobody_issued(authority: TimestampAuthority) -> None:
    nobody = ec.generate_private_key(ec.SECP256R1())
    posing = authority.issue(nobody, "Test TSA", signer=nobody)
    response = authority.forge(DIGEST, MONDAY, certificates=[posing], key=nobody)
    assert refused(authority, response) == "timestamp.authority"


def test_more_than_one_signer_or_certificates_without_end(authority: TimestampAuthority) -> None:
    assert refused(authority, authority.forge(DIGEST, MONDAY, signers=2)) == "anchor.form"
    assert refused(authority, authority.forge(DIGEST, MONDAY, signers=0)) == "anchor.form"
    many = [authority.issue(authority.key, f"c{number}") for number in range(17)]
    assert refused(authority, authority.forge(DIGEST, MONDAY, certificates=many)) == "anchor.form"
    assert timestamps.read(authority.roots).check(
        authority.forge(DIGEST, MONDAY, certificates=[authority.certificate, *many[:15]]), DIGEST
    )


def test_what_is_signed_must_be_a_timestamp(authority: TimestampAuthority) -> None:
    """The same bytes as data of an S/MIME message (id-data) are no statement about time."""
    response = authority.forge(DIGEST, MONDAY, content_type="06092a864886f70d010701")
    assert refused(authority, response) == "anchor.form"


def test_what_was_not_granted(authority: TimestampAuthority) -> None:
    for status in (1, 2, 3, 4, 5, 99):
        assert refused(authority, authority.forge(DIGEST, MONDAY, status=status)) == "anchor.form"
    for nothing in ("30053003020102", "30053003020100"):  # rejected; granted, with nothing in it
        assert refused(authority, bytes.fromhex(nothing)) == "anchor.form"


def test_one_form_only(authority: TimestampAuthority) -> None:
    response = authority.stamp(DIGEST)
    token = response[response.index(bytes.fromhex("06092a864886f70d010702")) - 4 :]
    assert refused(authority, token) == "anchor.form"
    assert refused(authority, response + b"\x00") == "anchor.form"
    assert refused(authority, response[:-1]) == "anchor.form"
    assert refused(authority, b"") == "anchor.form"
    assert refused(authority, authority.stamp(DIGEST, certificate=False)) == "anchor.form"
    wide = authority.stamp(DIGEST * 2, algorithm="sha512")
    assert refused(authority, wide, DIGEST * 2) == "anchor.form"
    assert refused(authority, bytes(timestamps.MAX_BYTES + 1)) == "anchor.form"
    # A length that is not the shortest is BER.
    assert response[:2] == b"\x30\x82"
    assert refused(authority, b"\x30\x83\x00" + response[2:]) == "anchor.form"


@given(data=st.data())
def test_a_changed_response_says_the_same_or_nothing(
    authority: TimestampAuthority, data: st.DataObject
) -> None:
    response = bytearray(FIXED.setdefault(authority.roots, authority.forge(DIGEST, MONDAY)))
    trusted = timestamps.read(authority.roots)
    before = trusted.check(bytes(response), DIGEST)
    for at in data.draw(st.lists(st.integers(0, len(response) - 1), min_size=1, max_size=3)):
        response[at] = data.draw(st.integers(0, 255))
    try:
        after = trusted.check(bytes(response), DIGEST)
    except NonoError as error:
        code = error.code
    else:
        # Some of a token is not signed, such as the version of its signer.
        assert after == before
        return
    assert code in {"anchor.form", "anchor.evidence", "timestamp.signature", "timestamp.authority"}


FIXED: dict[str, bytes] = {}


@given(st.binary(max_size=300))
def test_whatever_is_no_response(authority: TimestampAuthority, data: bytes) -> None:
    assert refused(authority, data) == "anchor.form"


def test_a_name_that_a_terminal_would_obey(bench: Bench, stamped: Book, tmp_path: Path) -> None:
    hostile = TimestampAuthority(tmp_path / "tsa", "\x1b[31m\u202e" + "x" * 20)
    key = ec.generate_private_key(ec.SECP256R1())
    long = hostile.issue(key, "y" * 64)
    anchor(stamped, 5, hostile.forge(of_size(stamped, 5), MONDAY))
    anchor(stamped, 5, hostile.forge(of_size(stamped, 5), MONDAY, certificates=[long], key=key))
    said = judge(bench, stamped, hostile, "--now", ASKED)
    assert said.status == 0
    assert "\x1b" not in said.text
    assert "\u202e" not in said.text
    assert "\\x1b" in said.text


# --- what is missing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"x" * (2 << 20),
        None,
    ],
)
def test_what_holds_no_roots(bench: Bench, stamped: Book, content: bytes | None) -> None:
    path = Path(bench.path("roots.pem"))
    path.write_bytes(SigningKey(b"\x01" * 32).public.pem() if content is None else content)
    said = bench.verify(bench.write(stamped), "--tsa-roots", str(path))
    assert (said.status, said.codes) == (2, ["timestamp.form"])
    assert "not all that a system trusts" in said.text


def test_too_many_roots(authority: TimestampAuthority, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pems = [
        authority.issue(key, f"r{number}").public_bytes(serialization.Encoding.PEM)
        for number in range(timestamps.MAX_ROOTS + 1)
    ]
    path = tmp_path / "roots.pem"
    path.write_bytes(b"".join(pems[:-1]))
    assert len(timestamps.read(str(path)).roots) == timestamps.MAX_ROOTS
    path.write_bytes(b"".join(pems))
    with pytest.raises(NotCheckedError, match="1 to 256 certificates"):
        timestamps.read(str(path))


def test_roots_that_cannot_be_read(bench: Bench, stamped: Book) -> None:
    for path in (bench.path("nowhere.pem"), bench.directory, "a\0b"):
        said = bench.verify(bench.write(stamped), "--tsa-roots", path)
        assert (said.status, said.codes) == (2, ["timestamp.unreadable"])


def test_without_the_extra(
    bench: Bench, stamped: Book, authority: TimestampAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    said = bench.verify(bench.write(stamped), "--tsa-roots", authority.roots)
    assert (said.status, said.codes) == (2, ["timestamp.missing"])
    assert f"hint: {extras.hint('timestamps')}" in said.text


def test_from_python(stamped: Book, bench: Bench, authority: TimestampAuthority) -> None:
    del stamped.kept[-1]
    anchor(stamped, 5, authority.forge(of_size(stamped, 5), MONDAY))
    moment = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)
    verdict = verify(
        bench.write(stamped),
        pins=[Pin(SigningKey(b"\x01" * 32).public)],
        authorities=timestamps.read(authority.roots),
        now=moment,
    )
    assert verdict.exit == 0
    assert [each.by for each in verdict.anchors] == ["CN=Test TSA"]


def test_the_roots_file_may_have_comments(authority: TimestampAuthority, tmp_path: Path) -> None:
    path = tmp_path / "roots.pem"
    path.write_text("# our authority\n\n" + Path(authority.roots).read_text() + "\ntrailing\n")
    (root,) = timestamps.read(str(path)).roots
    assert root.subject == x509.load_pem_x509_certificate(Path(authority.roots).read_bytes()).subject
