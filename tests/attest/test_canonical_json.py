"""Canonical JSON against the rfc8785 package and Python's own json, neither of which it uses."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from attest import canonical
from attest.errors import MalformedError

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.text(max_size=20),
    st.text('\x00\x1f"\\/\x7f'),
)
KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=6)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("duplicate key")
    return dict(pairs)


def in_model(value: object, depth: int = 0) -> bool:
    if isinstance(value, float):
        return False
    if isinstance(value, bool | None):
        return True
    if isinstance(value, int):
        return abs(value) < 2**53
    if isinstance(value, dict):
        return depth < 16 and all(
            re.fullmatch("[!-~]+", key) and in_model(item, depth + 1) for key, item in value.items()
        )
    if isinstance(value, list):
        return depth < 16 and all(in_model(item, depth + 1) for item in value)
    return True


def judge(data: bytes) -> bool:
    """Say whether ``data`` is canonical, by the standard library's parser and the rfc8785 package."""
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=no_duplicates)
        return in_model(document) and rfc8785.dumps(document) == data
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return False


def accepted(data: bytes) -> bool:
    try:
        document = canonical.decode(data)
    except MalformedError:
        return False
    assert canonical.encode(document) == data
    return True


@settings(max_examples=300)
@given(DOCUMENTS)
def test_the_bytes_are_those_of_rfc_8785(document: canonical.Json) -> None:
    data = canonical.encode(document)
    assert data == rfc8785.dumps(document)
    assert canonical.decode(data) == document


@settings(max_examples=300)
@given(DOCUMENTS, st.data())
def test_what_is_accepted_is_what_two_other_parsers_call_canonical(
    document: canonical.Json, data: st.DataObject
) -> None:
    body = bytearray(canonical.encode(document))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        piece = data.draw(
            st.sampled_from(
                [b"", b" ", b"0", b"-", b".0", b"e1", b"\\u0041", b"\\", b'"', b"{", b"]", b",", b"\xff"]
            )
        )
        body[at : at + data.draw(st.integers(0, 2))] = piece
    assert accepted(bytes(body)) is judge(bytes(body))


@settings(max_examples=300)
@given(st.binary(max_size=40))
def test_arbitrary_bytes_are_judged_alike(data: bytes) -> None:
    assert accepted(data) is judge(data)


def test_sixteen_deep_is_the_limit() -> None:
    assert accepted(b"[" * 16 + b"]" * 16)
    assert not accepted(b"[" * 17 + b"]" * 17)
    assert accepted(b'{"a":' * 16 + b"1" + b"}" * 16)
    assert not accepted(b'{"a":' * 17 + b"1" + b"}" * 17)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 5_000_000,
        b'{"a":' * 1_000_000,
        b"[" * 1_000_000 + b"]" * 1_000_000,
        b"1" * 5_000_000,
        b"-" * 5_000_000,
        b'"' + b"\\" * 4_999_999,
        b'"' + b"\\ud800" * 500_000 + b'"',
        b"[" + b"0," * 1_000_000 + b"0.5]",
    ],
    ids=[
        "open arrays",
        "open objects",
        "nested arrays",
        "digits",
        "minus signs",
        "escapes",
        "surrogates",
        "late float",
    ],
)
def test_huge_and_deep_input_is_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        canonical.decode(data)
    assert caught.value.code == "form.malformed"


def deep(levels: int) -> list[Any]:
    document: list[Any] = []
    for _ in range(levels):
        document = [document]
    return document


def endless() -> list[Any]:
    document: list[Any] = []
    document.append(document)
    return document


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Mapping(dict[str, Any]):
    pass


@pytest.mark.parametrize(
    "document",
    [
        1.0,
        float("nan"),
        float("inf"),
        2**53,
        -(2**53),
        10**400,
        "\ud800",
        {"a\ud800": 1},
        {"a b": 1},
        {"": 1},
        {"é": 1},
        {"a\x7f": 1},
        {1: 1},
        {None: 1},
        {b"a": 1},
        (1,),
        {1},
        b"bytes",
        Text("a"),
        Number(1),
        Mapping(),
        {Text("a"): 1},
        object(),
        deep(16),
        deep(100_000),
        endless(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_outside_the_model_there_is_one_error(document: Any) -> None:
    with pytest.raises(MalformedError) as caught:
        canonical.encode(document)
    assert caught.value.code == "form.malformed"


@pytest.mark.parametrize(
    "document", [2**53 - 1, -(2**53) + 1, 0, "\x00", "\U0010ffff", "\x7f", "\ufeff", {"~": {}}]
)
def test_the_edges_of_the_model_are_inside(document: canonical.Json) -> None:
    assert canonical.decode(canonical.encode(document)) == document


@given(st.one_of(st.binary(max_size=20), st.text(max_size=10).map(str.encode)))
def test_every_byte_string_has_one_text_form(data: bytes) -> None:
    value = canonical.text(data)
    assert canonical.text_bytes(value) == data
    try:
        expected: canonical.Json = data.decode()
    except UnicodeDecodeError:
        expected = {"base64": base64.b64encode(data).decode()}
    assert value == expected


@pytest.mark.parametrize(
    "value",
    [
        {"base64": ""},
        {"base64": base64.b64encode(b"plain").decode()},
        {"base64": "/x=="},
        {"base64": "/w"},
        {"base64": "_w=="},
        {"base64": "/w==\n"},
        {"base64": " /w=="},
        {"base64": "/w==/w=="},
        {"base64": "é"},
        {"base64": "\ud800"},
        {"base64": 1},
        {"base64": ["/w=="]},
        {"base64": "/w==", "x": 1},
        {},
        [],
        None,
        1,
        "\ud800",
    ],
    ids=repr,
)
def test_no_second_text_form_is_read(value: canonical.Json) -> None:
    with pytest.raises(MalformedError):
        canonical.text_bytes(value)


CANONICAL_BASE64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?"


@settings(max_examples=500)
@given(st.text("AQgw048/+-_= \n1é", max_size=9))
def test_base64_is_read_in_one_form_only(text: str) -> None:
    try:
        data = canonical.decode_base64(text)
    except MalformedError:
        assert not re.fullmatch(CANONICAL_BASE64, text)
    else:
        assert re.fullmatch(CANONICAL_BASE64, text)
        assert base64.b64encode(data).decode() == text
