"""JSON in printable ASCII: the same document, whatever characters its texts have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from verify.exports.plain import ascii_json

if TYPE_CHECKING:
    from attest.canonical import Json

texts = st.text(st.characters(exclude_categories=["Cs"]))
documents: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@given(documents)
@example("\x7f\x00\x1b[2J \u2014 \u2028 \uffff \U0001f512")
@example({"\u00e9": "\\u00e9", "\\": '"\x85"'})
def test_json_in_printable_ascii_is_the_same_document(document: Json) -> None:
    written = ascii_json(orjson.dumps(document))
    assert written.isascii()
    assert written.decode("ascii").isprintable()
    assert orjson.loads(written) == document
    # As the standard library writes it, which leaves DEL as it is.
    expected = json.dumps(document, separators=(",", ":")).replace("\x7f", "\\u007f")
    assert json.loads(written) == json.loads(expected)
    assert len(written) == len(expected)
