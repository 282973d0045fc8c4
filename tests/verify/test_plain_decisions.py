"""Plain decisions are what the general way takes as well, read to the same; most decisions are plain."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest import canonical, entry
from verify.forms import Forms
from verify.plain_decisions import PlainDecisions

SESSION = "0192000000007000800000000000abcd"
FORMS = Forms()
PLAIN = PlainDecisions()


def document(**data: Any) -> dict[str, Any]:
    return {
        "data": {
            "by": "kernel", "reason": "not granted", "subject": "/etc/shadow", "verdict": "denied",
            "what": "file", **data,
        },
        "kind": "decision",
        "seq": 7,
        "session": SESSION,
        "time": "2026-01-31T12:00:00.000001Z",
        "v": 1,
    }  # fmt: skip


def as_plain(body: bytes) -> dict[str, Any] | None:
    """Return a decision as the structures have it, and hold it to what the general way says."""
    found = PLAIN.read(body, {SESSION})
    if found is None:
        return None
    read = FORMS.read(body)
    assert read is not None
    assert read["kind"] == entry.DECISION
    assert (found.seq, found.session, PLAIN.time_of(body)) == (read["seq"], read["session"], read["time"])
    data = read["data"]
    members = ("by", "reason", "subject", "verdict", "what")
    assert all(getattr(found.data, name) == data[name] for name in members)
    return read


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"by": "person", "verdict": "granted"},
        {"what": "approval", "reason": ""},
        {"subject": "/caf\u00e9/\U0001f512\u2028\x7f"},
        {"subject": 'a "quoted" \\ path\n\t\x01'},
        {"reason": "\U0001f512" * 1024},
        {"exec": {"pid": 1}},
        {"exec": {"pid": 2**53 - 1, "parent": {"path": "/usr/bin/make"}}},
    ],
)
def test_what_is_plain(data: dict[str, Any]) -> None:
    body = canonical.encode(document(**data))
    assert as_plain(body) == json.loads(body)


# The first are of the schema, and have something for which there is no word.
NOT_PLAIN: list[tuple[bool, dict[str, Any]]] = [
    (True, {"subject": {"base64": "/w=="}}),
    (True, {"exec": {"pid": 1, "sha256": "a" * 64}}),
    (False, {"subject": {"base64": "YQ=="}}),
    (False, {"exec": {"pid": 0}}),
    (False, {"exec": {}}),
    (False, {"reason": "\U0001f512" * 1025}),
    (False, {"verdict": "maybe"}),
    (False, {"more": 1}),
]


@pytest.mark.parametrize(("is_valid", "data"), NOT_PLAIN)
def test_what_is_not_plain_is_read_the_general_way(is_valid: bool, data: dict[str, Any]) -> None:
    body = canonical.encode(document(**data))
    assert PLAIN.read(body, {SESSION}) is None
    assert (FORMS.read(body) is not None) == is_valid


@pytest.mark.parametrize(
    ("is_valid", "members"),
    [
        (True, {"time": "2026-01-31T12:00:00.000000Z"}),
        (False, {"time": "0999-01-31T12:00:00.000001Z"}),
        (False, {"time": "2026-02-30T12:00:00.000001Z"}),
        (False, {"time": "2026-01-31T12:00:60.000001Z"}),
        (False, {"time": "2026-01-31t12:00:00.000001z"}),
        (False, {"time": "2026-01-31T12:00:00.000001+00:00"}),
        (False, {"time": "2026-01-31T12:00:00.000001"}),
        (False, {"time": "2026-01-31T12:00:00Z"}),
        (False, {"time": "2026-01-31T12:00:00+05:00"}),
        (False, {"time": "2026-01-31T12:00:00.000001+05:00"}),
        (False, {"time": "2026-11-30T12:00:00.000001-05:00"}),
        (False, {"time": "2026-01-31T12:00:00.0000011Z"}),
        (False, {"time": "2026-01-31 12:00:00.000001Z"}),
        (False, {"seq": 0}),
        (False, {"seq": True}),
        (False, {"seq": None}),
        (False, {"v": 2}),
        (False, {"v": True}),
        (False, {"session": None}),
        (False, {"more": 1}),
    ],
)
def test_the_members_around_it(is_valid: bool, members: dict[str, Any]) -> None:
    body = canonical.encode({**document(), **members})
    assert PLAIN.read(body, {SESSION}) is None
    assert (FORMS.read(body) is not None) == is_valid


def test_a_session_that_is_not_known_is_looked_at_the_general_way() -> None:
    body = canonical.encode(document())
    assert PLAIN.read(body, {SESSION}) is not None
    assert PLAIN.read(body, set()) is None
    assert PLAIN.read(canonical.encode({**document(), "session": "x"}), {SESSION}) is None


TEXT = canonical.encode(
    document(subject="/caf\u00e9 \\ \x01", exec={"pid": 12, "parent": {"path": "/bin/sh"}})
)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"null", b"[" * 60_000, b'{"data":' * 9_000,
        TEXT.replace(b'"seq":7', b'"seq":7.0'), TEXT.replace(b'"seq":7', b'"seq":7e0'),
        TEXT.replace(b'"seq":7', b'"seq":07'), TEXT.replace(b'"seq":7', b'"seq":-0'),
        TEXT.replace(b'"seq":7', b'"seq":9007199254740992'), TEXT.replace(b'"seq":7', b'"seq":"7"'),
        TEXT.replace(b'"seq":7', b'"seq":7,"seq":7'), TEXT.replace(b'"v":1', b'"v":1.0'),
        TEXT.replace(b'"seq":7', b'"seq": 7'), TEXT + b"\n", b" " + TEXT, TEXT + TEXT, b"\xef\xbb\xbf" + TEXT,
        TEXT.replace(b"\\u0001", b"\x01"), TEXT.replace(b"shadow", b"\\u0073hadow"),
        TEXT.replace(b"\xc3\xa9", b"\\u00e9"), TEXT.replace(b"\xc3\xa9", b"\\u00E9"),
        TEXT.replace(b"\xc3\xa9", b"\xe9"), TEXT.replace(b"\xc3\xa9", b"\xed\xa0\x80"),
        TEXT.replace(b"\xc3\xa9", b"\\ud800"), TEXT.replace(b"/caf", b"\\/caf"),
        TEXT.replace(b'"by":"kernel",', b"").replace(b'"what"', b'"by":"kernel","what"'),
        TEXT.replace(b'"by":"kernel"', b'"by":"kernel","by":"person"'),
    ],
)  # fmt: skip
def test_another_form_of_the_same_is_none(body: bytes) -> None:
    if body != TEXT:
        assert PLAIN.read(body, {SESSION}) is None
        assert FORMS.read(body) is None


PIECES = [*b' "{}[]:,0123456789abcefZ+/.-\n\\\0TZ', 0x7F, 0x80, 0xC3, 0xED, 0xFF]


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_no_change_makes_more_plain_than_valid(data: st.DataObject) -> None:
    body = bytearray(TEXT)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        what = data.draw(st.sampled_from(["replace", "insert", "delete"]))
        if what == "replace":
            body[at] = data.draw(st.sampled_from(PIECES))
        elif what == "insert":
            body.insert(at, data.draw(st.sampled_from(PIECES)))
        else:
            del body[at]
    as_plain(bytes(body))


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_all_text_is_plain(subject: str, path: str) -> None:
    body = canonical.encode(document(subject=subject, exec={"pid": 1, "parent": {"path": path}}))
    assert as_plain(body) == json.loads(body)
