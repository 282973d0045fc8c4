"""Signed notes and checkpoints: limits, keys that share an id, and what a note never is."""

from __future__ import annotations

import base64
import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest import checkpoint, note
from attest.checkpoint import Checkpoint
from attest.errors import KeyFormatError, MalformedError, NonoError, SignatureError
from attest.keys import SigningKey
from attest.note import Note, Verifier

KEY, OTHER = SigningKey(bytes(32)), SigningKey(bytes(range(32)))
ORIGIN = "host/" + "0" * 32
HEAD = Checkpoint(ORIGIN, 42, hashlib.sha256(b"root").digest())
SIGNED = HEAD.sign([KEY]).encode()

# White_Space of the Unicode Character Database (PropList.txt), which is what Go's unicode.IsSpace has.
WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


@pytest.mark.parametrize("character", [*WHITE_SPACE, "+", "\0", "\x1c", chr(0xD800), chr(0xDCFF)], ids=ascii)
def test_a_key_name_holds_none_of_these(character: str) -> None:
    assert not note.is_key_name(f"a{character}b")
    assert not note.is_key_name(character)
    with pytest.raises(MalformedError):
        Verifier(f"a{character}b", KEY.public)


@pytest.mark.parametrize(
    "name", ["a", "example.com/log", "\u200b", "\u180e", "\x7f", "é", "a-b_c=d/"], ids=ascii
)
def test_a_key_name_holds_everything_else(name: str) -> None:
    assert note.is_key_name(name)
    assert Verifier.from_vkey(Verifier(name, KEY.public).vkey()) == Verifier(name, KEY.public)


def test_no_character_is_a_space_for_one_side_only() -> None:
    differing = [chr(c) for c in range(0x20, 0x110000) if chr(c).isspace() is not (chr(c) in WHITE_SPACE)]
    assert differing == []


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_a_note_or_malformed(data: bytes) -> None:
    try:
        parsed = note.parse(data)
    except MalformedError:
        return
    assert data.startswith(parsed.text.encode() + b"\n")


@settings(max_examples=300)
@given(st.data())
def test_every_change_of_a_checkpoint_is_refused(data: st.DataObject) -> None:
    changed = bytearray(SIGNED)
    at = data.draw(st.integers(0, len(changed)))
    changed[at : at + data.draw(st.integers(0, 2))] = data.draw(
        st.one_of(st.binary(max_size=3), st.sampled_from([b"\n", b" ", b"=", b"0", "\u2014 ".encode()]))
    )
    if changed != SIGNED:
        with pytest.raises(NonoError):
            checkpoint.open_signed(bytes(changed), ORIGIN, [KEY.public])


def test_every_flipped_bit_of_a_checkpoint_is_refused() -> None:
    assert checkpoint.open_signed(SIGNED, ORIGIN, [KEY.public]) == HEAD
    for at, bit in itertools.product(range(len(SIGNED)), range(8)):
        changed = bytearray(SIGNED)
        changed[at] ^= 1 << bit
        with pytest.raises(NonoError):
            checkpoint.open_signed(bytes(changed), ORIGIN, [KEY.public])


@settings(max_examples=300)
@given(st.text("+0123456789abcdefAQ=/\ud800 n", max_size=40))
def test_an_arbitrary_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises((MalformedError, KeyFormatError)):
        Verifier.from_vkey(vkey)


def foreign(count: int, size: int) -> str:
    return "".join(f"\u2014 k{i} {base64.b64encode(bytes([i]) * size).decode()}\n" for i in range(count))


def with_lines(lines: str) -> Note:
    return note.parse((HEAD.text() + "\n" + lines).encode())


def test_sixty_four_signatures_of_eight_kilobytes_are_read_and_no_more() -> None:
    ours = SIGNED.decode().removeprefix(HEAD.text() + "\n")
    parsed = with_lines(foreign(63, 8192) + ours)
    assert len(parsed.signatures) == 64
    assert note.verify(parsed, [Verifier(ORIGIN, KEY.public)]) == (Verifier(ORIGIN, KEY.public),)
    with pytest.raises(MalformedError, match="more than 64"):
        with_lines(foreign(64, 8) + ours)
    with pytest.raises(MalformedError, match="no possible length"):
        with_lines(foreign(1, 8193) + ours)


def test_a_note_has_at_most_a_megabyte() -> None:
    tail = "\n" + SIGNED.decode().removeprefix(HEAD.text() + "\n")
    room = note.MAX_BYTES - len(tail.encode())
    assert len(note.parse(("x" * (room - 1) + "\n" + tail).encode()).text) == room
    with pytest.raises(MalformedError, match="the limit is"):
        note.parse(("x" * room + "\n" + tail).encode())


@pytest.mark.parametrize("length", range(6))
def test_a_signature_has_a_key_id_and_something_behind_it(length: int) -> None:
    lines = f"\u2014 k {base64.b64encode(bytes(length)).decode()}\n"
    if length > 4:
        assert with_lines(lines).signatures[0].signature == bytes(length - 4)
    else:
        with pytest.raises(MalformedError):
            with_lines(lines)


def test_keys_that_share_name_and_id_are_refused_together(monkeypatch: pytest.MonkeyPatch) -> None:
    # A real collision takes 2**16 keys; what counts is what happens then.
    monkeypatch.setattr(Verifier, "key_id", lambda self: b"same")
    blob = base64.b64encode(b"same" + KEY.sign(HEAD.text().encode())).decode()
    parsed = with_lines(f"\u2014 {ORIGIN} {blob}\n")
    ours, theirs = Verifier(ORIGIN, KEY.public), Verifier(ORIGIN, OTHER.public)
    for pair in ([ours, theirs], [theirs, ours]):
        with pytest.raises(SignatureError) as caught:
            note.verify(parsed, pair)
        assert caught.value.code == "signature.ambiguous"
    assert note.verify(parsed, [ours, ours]) == (ours,)
    with pytest.raises(SignatureError):
        checkpoint.open_signed((HEAD.text() + f"\n\u2014 {ORIGIN} {blob}\n").encode(), ORIGIN, [OTHER.public])


def test_no_key_no_trust() -> None:
    with pytest.raises(SignatureError) as caught:
        note.verify(note.parse(SIGNED), [])
    assert caught.value.code == "signature.unknown_key"
    with pytest.raises(SignatureError):
        checkpoint.open_signed(SIGNED, ORIGIN, [])


def test_verifiers_come_in_the_order_of_the_lines() -> None:
    both = note.parse(HEAD.sign([OTHER, KEY]).encode())
    ours, theirs = Verifier(ORIGIN, KEY.public), Verifier(ORIGIN, OTHER.public)
    assert note.verify(both, [ours, theirs]) == (theirs, ours)


@pytest.mark.parametrize(
    "text", ["", "no newline", f"{ORIGIN}\n1\n{'A' * 43}=", f"{ORIGIN}\r\n1\n{'A' * 43}=\n", "a\0\n"]
)
def test_what_could_not_be_read_back_is_not_signed(text: str) -> None:
    with pytest.raises(MalformedError):
        note.sign(text, [(ORIGIN, KEY)])


def test_a_note_that_nobody_signs_is_not_made() -> None:
    with pytest.raises(MalformedError):
        note.sign(HEAD.text(), [])
    with pytest.raises(MalformedError):
        HEAD.sign([])


@given(st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_is_read_as_it_was_written(size: int, root: bytes) -> None:
    head = Checkpoint(ORIGIN, size, root)
    assert checkpoint.parse_text(head.text()) == head
    assert checkpoint.open_signed(head.sign([KEY]).encode(), ORIGIN, [KEY.public]) == head


@settings(max_examples=300)
@given(st.text("0123456789\n+- _\u0663=/A", max_size=60))
def test_an_arbitrary_text_is_no_second_form_of_a_checkpoint(text: str) -> None:
    try:
        head = checkpoint.parse_text(text)
    except MalformedError:
        return
    assert head.text() == text
