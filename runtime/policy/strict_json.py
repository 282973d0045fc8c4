"""JSON that somebody wrote, a profile or a manifest, taken as exactly what it says.

A key that stands twice, a number without bounds, a byte order mark, and characters that hide text are
refused, each with its place. What the values mean is the reader's: :mod:`runtime.policy.profile_file`,
:mod:`runtime.policy.manifest`.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, TypeAlias

from runtime.policy.document_words import kind_of, quoted, require_known_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.policy.document_words import Complaint

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"

# Control characters, line ends that not everybody sees as such, what is not seen at all, and marks that
# change in which order a text is shown: with them a grant can look like a part of a comment. A lone CR is
# among them: what follows it is written over the line, on a terminal. Where text is shown, more is escaped
# (attest.printable_text) than a file is refused for: variation selectors are a part of emoji in comments.
_MISLEADING = (
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]|\r(?!\n)"
)
_LINE_ENDS_AND_TABS = str.maketrans("", "", "\t\n")

_MOST_DIGITS = 20  # int() of a million digits takes its time, or refuses with its own error


def text_of(data: bytes, complain: Complaint) -> str:
    """Return the text of a file: UTF-8 without a byte order mark and without what hides text.

    Args:
        data: the bytes of the file.
        complain: makes the error.
    """
    if data.startswith(codecs.BOM_UTF8):
        raise complain("", "begins with a byte order mark", hint="save it as UTF-8 without one")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise complain(f"byte {error.start}", "not UTF-8") from None
    # Most files are plain ASCII, and the expression costs more than to see that.
    is_plain = text.isascii() and text.translate(_LINE_ENDS_AND_TABS).isprintable()
    misleading = None if is_plain else re.search(_MISLEADING, text)
    if misleading is not None:
        raise complain(
            position(text, misleading.start()),
            f"U+{ord(misleading.group()):04X} stands there, which is not seen, or lets the text look"
            " like another",
            hint=r"write it as \uXXXX inside of a string, or leave it out",
        )
    return text


def value_of(text: str, complain: Complaint, *, commented: str | None = None) -> Value:
    """Return the value that a text is in JSON (RFC 8259).

    Args:
        text: the text.
        complain: makes the error.
        commented: the hint where a comment, or a comma too many, stands; None for none.
    """
    import json  # noqa: PLC0415  # only a launch with such a file pays for it

    try:
        value: Value = json.loads(
            text,
            object_pairs_hook=_pairs(complain),
            parse_constant=_constant(complain),
            parse_int=_integer(complain),
        )
    except RecursionError:
        raise complain("", "nested too deeply") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        hint = commented if error.pos < len(text) and text[error.pos] in "/}]," else None
        raise complain(where, f"not JSON ({error.msg[:1].lower()}{error.msg[1:]})", hint=hint) from None
    return value


def object_of(value: Value, where: str, known: tuple[str, ...], complain: Complaint) -> dict[str, Value]:
    """Return a value that must be an object with ``known`` keys alone.

    Args:
        value: the value.
        where: its place, empty for the whole document.
        known: the keys that it may have.
        complain: makes the error.
    """
    if not isinstance(value, dict):
        raise complain(where, f"must be an object, not {kind_of(value)}")
    require_known_keys(value, where, known, complain)
    return value


def position(text: str, index: int) -> str:
    """Return where in ``text`` a character stands, as ``json`` counts."""
    line = text.count("\n", 0, index) + 1
    return f"line {line}, column {index - text.rfind(chr(10), 0, index)}"


def _pairs(complain: Complaint) -> Callable[[list[tuple[str, Value]]], Value]:
    def pairs(found: list[tuple[str, Value]]) -> Value:
        table = dict(found)
        if len(table) != len(found):
            seen: set[str] = set()
            twice = next(name for name, _ in found if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise complain("", f"the key {quoted(twice)} is there twice in one object")
        return table

    return pairs


def _constant(complain: Complaint) -> Callable[[str], Value]:
    def constant(name: str) -> Value:
        raise complain("", f"not JSON ({name})")

    return constant


def _integer(complain: Complaint) -> Callable[[str], int]:
    def integer(digits: str) -> int:
        if len(digits) > _MOST_DIGITS:
            raise complain("", f"the number {digits[:_MOST_DIGITS]}… is too large")
        return int(digits)

    return integer
