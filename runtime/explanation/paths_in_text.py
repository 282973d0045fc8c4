"""Paths in a line that a program wrote for people: between quotes, or before what the kernel said of them."""

from __future__ import annotations

_MOST_OF_A_LINE = 8

_QUOTES = (
    (b"'", (b"'",)),
    (b'"', (b'"',)),
    (b"`", (b"`", b"'")),
    ("\N{LEFT SINGLE QUOTATION MARK}".encode(), ("\N{RIGHT SINGLE QUOTATION MARK}".encode(),)),
    ("\N{LEFT DOUBLE QUOTATION MARK}".encode(), ("\N{RIGHT DOUBLE QUOTATION MARK}".encode(),)),
)

_ESCAPING = (b"'", b'"')
_ONE_MORE = b"'\\''"
"""A quote in a name, as a shell has it within quotes."""


def quoted(line: bytes) -> list[tuple[bytes, bool]]:
    """Return what stands in quotes and could be a path, and that it is marked as a name."""
    found: list[tuple[bytes, bool]] = []
    if not any(opening in line for opening, _ in _QUOTES):
        return found
    at = 0
    missing: set[bytes] = set()  # closing quotes that come no more, so that none is looked for twice
    while at < len(line) and len(found) < _MOST_OF_A_LINE:
        for opening, closing in _QUOTES:
            # Within a word it is an apostrophe.
            if not line.startswith(opening, at) or (at and line[at - 1 : at].isalnum()):
                continue
            start = at + len(opening)
            places = {each: line.find(each, start) for each in closing if each not in missing}
            missing.update(each for each, end in places.items() if end < 0)
            ends = [end for end in places.values() if end >= 0]
            if not ends:
                continue
            end = _closing(line, opening, start, min(ends))
            content = line[start:end].replace(_ONE_MORE, b"'").replace(b"\\'", b"'").replace(b'\\"', b'"')
            if content and (b" " not in content or b"/" in content):
                found.append((content, True))
            at = end
            break
        at += 1
    return found


def _closing(line: bytes, opening: bytes, start: int, end: int) -> int:
    """Return the quote that really closes: of a name that holds one, another is meant than the first."""
    if opening not in _ESCAPING:
        return end
    while end > start:
        if line.startswith(_ONE_MORE, end) and opening == b"'":
            behind = end + len(_ONE_MORE)
        elif line[end - 1 : end] == b"\\":
            behind = end + 1
        else:
            break
        following = line.find(opening, behind)
        if following < 0:
            break
        end = following
    return end


def unquoted(line: bytes, start: int, end: int) -> list[tuple[bytes, bool]]:
    """Return the path before the kernel's words, or after them, and whether a slash marks it as one.

    Args:
        line: any bytes.
        start: where the kernel's words begin.
        end: where they end.
    """
    parts = line[:start].rstrip(b" :([").removesuffix(b" -").split(b": ")
    for part in reversed(parts[-4:]):
        at = 0 if part.startswith(b"/") else part.find(b" /") + 1
        if at or part.startswith(b"/"):
            rest = part[at:].partition(b" - ")[0]
            pieces = [b"/" + piece for piece in rest[1:].split(b" /")] if b" /" in rest else [rest]
            return [(piece.strip(), True) for piece in pieces[:_MOST_OF_A_LINE]]
    after = line[end:].partition(b"(")[0].rstrip()
    for separator in (b": ", b" - "):
        _, found, path = after.partition(separator)
        if found and path.startswith(b"/"):
            return [(path, True)]
    word = parts[-1].split(b" ")[-1].strip(b"'\"`,")
    return [(word, b"/" in word)] if word and len(parts) > 1 else []
