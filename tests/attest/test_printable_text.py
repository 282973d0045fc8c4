"""What is written as an escape, so that two names that differ do not look the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.printable_text import is_printable, printable

INVISIBLE = [
    *range(0x200B, 0x2010), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10), *range(0xE0000, 0xE0200),
    *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0x180B, 0x1810), 0xAD, 0x34F, 0x61C, 0x115F,
    0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0, 0x2800, 0x13441, 0x13442, 0x1D159,
]  # fmt: skip
SPACES = [0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0x85]
CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]


@pytest.mark.parametrize("code", [*INVISIBLE, *SPACES, *CONTROLS])
def test_what_nobody_sees_is_an_escape(code: int) -> None:
    name = f"a{chr(code)}b"
    assert not is_printable(name)
    digits = f"x{code:02x}" if code < 0x100 else f"u{code:04x}" if code < 0x10000 else f"U{code:08x}"
    assert printable(name) == f"a\\{digits}b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "two  blanks",
        "naïve",
        "日本語",
        "עברית",
        "हिन्दी",
        "e\u0301",
        "\N{GRINNING FACE}",
        "한국어",
        "\\u200b",
    ],
)
def test_letters_and_marks_stay(text: str) -> None:
    assert is_printable(text)
    assert printable(text) == text


def test_bytes_that_are_no_utf_8_are_shown_as_bytes() -> None:
    assert printable(b"a\xff\x80\x1b".decode("utf-8", "surrogateescape")) == "a\\xff\\x80\\x1b"
    assert printable("\ud800") == "\\ud800"


@given(st.text())
def test_what_comes_out_is_printable_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    assert is_printable(shown)
    assert printable(shown) == shown
    assert not any(unicodedata.category(char)[0] in "CZ" for char in shown.replace(" ", ""))
    assert (shown == text) == is_printable(text)
