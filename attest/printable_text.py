r"""Text that others chose, so that whoever reads it sees all of it: on a terminal, in a log, in a page.

A terminal obeys control characters; format characters, marks of direction, odd spaces and characters without
any ink make one name look like another. All of them are written as escapes: ``\xNN``, ``\uNNNN``,
``\UNNNNNNNN``. :meth:`str.isprintable` knows most of them (the categories C and Z of Unicode, but for the
space); those that it lets through are listed here, and nowhere else. A report's page has the same rule in its
own language (``verify/report/text.js``), and a test in a browser holds the two together.

Letters that only look like those of another script are letters, and stay.

No launch loads this before it has something to say that is not ASCII.
"""

from __future__ import annotations

_UNSEEN_RANGES = (
    # What has the property Default_Ignorable_Code_Point (Unicode 16.0, DerivedCoreProperties.txt) and is
    # neither of category C nor Z: it is ignored in display where it is not specially supported.
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul choseong and jungseong fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180D),  # Mongolian free variation selectors
    (0x180F, 0x180F),
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
    (0xE0100, 0xE01EF),  # variation selectors supplement
    # What has a place of its own and a blank in it (the code charts, and NamesList.txt).
    (0x2800, 0x2800),  # Braille pattern blank
    (0x13441, 0x13442),  # Egyptian hieroglyph full and half blanks
    (0x1D159, 0x1D159),  # musical symbol null notehead
)

_UNSEEN = frozenset(chr(code) for first, last in _UNSEEN_RANGES for code in range(first, last + 1))


def is_printable(text: str) -> bool:
    """Return whether each character of ``text`` can be seen, or is a space (U+0020)."""
    return text.isprintable() and (text.isascii() or _UNSEEN.isdisjoint(text))


def printable(text: str) -> str:
    r"""Return ``text`` on one line, with ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN`` for what is not printable.

    A byte that was not UTF-8, as a file system's codec decodes it (``surrogateescape``), is ``\xNN``.
    """
    if is_printable(text):
        return text
    return "".join(
        char if char.isprintable() and char not in _UNSEEN else _escaped(ord(char)) for char in text
    )


def _escaped(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
