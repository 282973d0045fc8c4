"""JSON with comments: what people write by hand, made into the JSON that it means.

``// …`` to the end of its line, ``/* … */``, and one comma behind the last value of an object or a list. All
of it becomes spaces, line ends stay, so that a position in the result is one in the file. Nothing else is
let through: whether the rest is JSON is for a JSON parser to say.
"""

from __future__ import annotations

import re

# A string, closed or not, is one piece, so that nothing inside of it is taken for a comment. Whatever is not
# closed ends with the text, so nothing is ever tried twice, and the time is linear. (Possessive quantifiers
# would say so, but those of Python 3.11.2 match wrongly.)
_PIECES = re.compile(
    r"""
      (?P<string>  " [^"\\]* (?: \\. [^"\\]* )* (?: " | \\?\Z ) )
    | (?P<comment> // [^\n\r]* | /\* .*? (?: (?P<closed> \*/ ) | \Z ) )
    | (?P<comma>   ,(?!,) )
    | (?P<space>   [ \t\n\r]+ )
    | (?P<other>   ,+ | [^"/,\]} \t\n\r]+ | . )
    """,
    re.DOTALL | re.VERBOSE,
)
_NOT_A_LINE_END = re.compile(r"[^\n\r]")
_OPENING = frozenset("[{,:")


class UnclosedCommentError(ValueError):
    """A ``/*`` without its ``*/``.

    Attributes:
        position: index of the comment's first character.
    """

    def __init__(self, position: int) -> None:
        super().__init__("a comment is not closed")
        self.position = position


def without_comments(text: str) -> str:
    """Return ``text`` with spaces in the place of comments and trailing commas; as long as it was.

    Raises:
        UnclosedCommentError: a ``/*`` has no ``*/``.
    """
    pieces: list[str] = []
    before = "["  # what stands before a comma; at the beginning there is no value that it could follow
    comma: tuple[int, str] | None = None  # a comma that nothing has followed yet, and what stood before it
    for found in _PIECES.finditer(text):
        piece = found.group()
        if found["comment"] is not None:
            if piece.startswith("/*") and found["closed"] is None:
                raise UnclosedCommentError(found.start())
            pieces.append(_NOT_A_LINE_END.sub(" ", piece))
            continue
        pieces.append(piece)
        if found["space"] is not None:
            continue
        if piece in ("]", "}") and comma is not None and comma[1] not in _OPENING:
            pieces[comma[0]] = " "
        comma = (len(pieces) - 1, before) if found["comma"] is not None else None
        before = piece[-1]
    return "".join(pieces)
