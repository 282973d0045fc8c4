"""The walk that the verifier's speed hangs on says the same as one that is written to be read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest import canonical, canonical_in_bulk
from attest.errors import MalformedError

LIMIT = 2**53 - 1


def plainly_in_model(value: Any, depth: int = 0) -> bool:
    if value is None or type(value) in (bool, str):
        return True
    if type(value) is int:
        return -LIMIT <= value <= LIMIT
    if type(value) is list:
        return depth < 16 and all(plainly_in_model(item, depth + 1) for item in value)
    if type(value) is dict:
        return (
            depth < 16
            and all(type(key) is str and key and all("!" <= c <= "~" for c in key) for key in value)
            and all(plainly_in_model(item, depth + 1) for item in value.values())
        )
    return False


class Text(str):
    __slots__ = ()


ODD = st.one_of(
    st.floats(allow_nan=False),
    st.integers(min_value=-(2**60), max_value=2**60),
    st.sampled_from([LIMIT, -LIMIT, LIMIT + 1, -LIMIT - 1, 1.0, -0.0, 1e300, (), b"x", Text("x")]),
)
KEYS = st.one_of(
    st.sampled_from(["kind", "seq", "a", "", " ", "é", "a b", "\x7f", "~", "!"]), st.text(max_size=4)
)
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.text(max_size=4), st.integers(-9, 9), ODD),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)


@given(DOCUMENTS)
def test_encode_takes_exactly_the_model(document: Any) -> None:
    if plainly_in_model(document):
        assert canonical.decode(canonical.encode(document)) == document
    else:
        with pytest.raises(MalformedError):
            canonical.encode(document)


@given(st.integers(min_value=0, max_value=20), st.sampled_from(["list", "dict"]), st.booleans())
def test_depth_is_counted_at_every_kind_of_nesting(depth: int, shape: str, leaf: bool) -> None:
    document: Any = 1 if leaf else []
    for _ in range(depth):
        document = [document] if shape == "list" else {"k": document}
    allowed = depth + (0 if leaf else 1) <= canonical.MAX_DEPTH
    assert plainly_in_model(document) is allowed
    if allowed:
        canonical.encode(document)
    else:
        with pytest.raises(MalformedError):
            canonical.encode(document)


@pytest.mark.parametrize("number", [b"1.0", b"-0", b"1e3", b"0.5", b"9007199254740992", b"-9007199254740992"])
@pytest.mark.parametrize("frame", [b"%s", b'{"seq":%s}', b"[%s]", b'{"a":[{"b":%s}]}'])
def test_no_number_outside_the_model_is_read(number: bytes, frame: bytes) -> None:
    with pytest.raises(MalformedError):
        canonical.decode(frame % number)


def test_a_key_that_only_equals_a_known_one_is_still_refused() -> None:
    canonical.encode({"kind": 1})
    with pytest.raises(MalformedError):
        canonical.encode({Text("kind"): 1})


def test_the_memory_of_keys_is_bounded() -> None:
    for number in range(3_000):
        canonical.encode({f"key{number}": 1})
    assert len(canonical._KNOWN_KEYS) <= canonical._MAX_KNOWN_KEYS
    with pytest.raises(MalformedError):
        canonical.encode({"key 1": 1})


def test_a_bad_key_beside_new_good_ones_is_found_again_and_again() -> None:
    document: dict[str, Any] = {"fresh-one": 1, "fresh two": 1}
    for _ in range(3):
        with pytest.raises(MalformedError):
            canonical.encode(document)
    assert orjson.loads(canonical.encode({"fresh-one": 1})) == {"fresh-one": 1}


@given(DOCUMENTS)
def test_what_is_not_walked_is_refused_for_its_form_alone(document: Any) -> None:
    """Only floats, odd keys and depth come through, and all of them lie outside the model."""
    try:
        data = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return
    try:
        unwalked = canonical_in_bulk.decode(data)
    except MalformedError:
        assert not plainly_in_model(orjson.loads(data))
        return
    assert unwalked == orjson.loads(data)
    if plainly_in_model(unwalked):
        assert canonical.decode(data) == unwalked


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"nul", b'{"a": 1}', b'{"b":1,"a":1}', b'{"a":1,"a":1}', b'"\\u0061"',
        b"9007199254740992", b"-0", b'"\\ud800"', b"\xff",
    ],
)  # fmt: skip
def test_no_other_form_is_read_unwalked(data: bytes) -> None:
    with pytest.raises(MalformedError):
        canonical_in_bulk.decode(data)
