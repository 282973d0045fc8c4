"""How recorded values become words: arguments, commands and paths as text (design 2, "Canonical JSON").

What is literal is quoted as a shell would need it, with ``$'…'`` where it holds control characters,
invisible ones or bytes that are not UTF-8. A redaction stands unquoted, between single angle
quotation marks. So no argument can look like a redaction, and no control character comes through.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from attest import canonical
from attest.errors import MalformedError
from attest.printable_text import is_printable

if TYPE_CHECKING:
    from attest.canonical import Json

_LEFT, _RIGHT = "\u2039", "\u203a"  # single angle quotation marks

UNREADABLE = f"{_LEFT}unreadable{_RIGHT}"


def text(value: Json) -> str:
    r"""Return a path or name as text; bytes that are not UTF-8 become ``\xNN``.

    Control characters stay: this is the value, not yet its display.
    """
    if isinstance(value, str) and value.isascii():
        return value
    try:
        return canonical.text_bytes(value).decode("utf-8", "backslashreplace")
    except MalformedError:
        return UNREADABLE


def argument(value: Json) -> str:
    """Return one argument of a command, quoted."""
    if isinstance(value, str) and value.isascii():
        return _quote(value)
    if isinstance(value, dict):
        if value.keys() == {"redacted"}:
            return f"{_LEFT}redacted: {_rule(value['redacted'])}{_RIGHT}"
        parts = value.get("parts")
        if value.keys() == {"parts"} and isinstance(parts, list):
            return "".join(UNREADABLE if _has_parts(part) else argument(part) for part in parts)
    try:
        return _quote(canonical.text_bytes(value).decode("utf-8", "surrogateescape"))
    except MalformedError:
        return UNREADABLE


def command(value: Json, limit: int | None = None) -> str:
    """Return a command, its arguments quoted and separated by spaces.

    Args:
        value: the list of arguments; anything else, a withheld blob included, is unreadable.
        limit: characters, or None; what is longer ends in ``…``.
    """
    if not isinstance(value, list):
        return UNREADABLE
    words: list[str] = []
    length = 0
    for item in value:
        words.append(argument(item))
        length += len(words[-1]) + 1
        if limit is not None and length > limit + 1:
            break
    line = " ".join(words)
    return line if limit is None or len(line) <= limit else line[: limit - 1] + "…"


def _rule(value: Json) -> str:
    return _quote(value) if isinstance(value, str) else UNREADABLE


def _has_parts(value: Json) -> bool:
    return isinstance(value, dict) and "parts" in value


def _quote(literal: str) -> str:
    if is_printable(literal):
        return shlex.quote(literal)
    return "$'" + "".join(_ansi_c(character) for character in literal) + "'"


def _ansi_c(character: str) -> str:
    code = ord(character)
    if character in "\\'":
        return "\\" + character
    if is_printable(character):
        return character
    if 0xDC80 <= code <= 0xDCFF:  # a byte, by surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
