"""Where a value ends inside of an argument, and whether it is a value at all or only names one.

An argument can be one word, a shell script, JSON or a program text; nobody says which. These functions
read it as loosely as all of them do. Each takes time linear in what it passes.
"""

from __future__ import annotations

WHITE = b" \t\r\n\v\f"
QUOTES = b"\"'`"
ONE_QUOTE = frozenset({b'"', b"'", b"`"})
SHELL = b";|&()<>"

_BACKSLASH = ord("\\")
_SCHEMES = (b"bearer ", b"basic ", b"token ", b"apikey ", b"digest ", b"bearer", b"basic", b"token")
_READERS = (
    b"cat",
    b"<",
    b"gh",
    b"gcloud",
    b"aws",
    b"az",
    b"op",
    b"pass",
    b"vault",
    b"kubectl",
    b"jq",
    b"security",
)
_LOOKED_UP = (
    b"os.environ",
    b"os.getenv",
    b"environ",
    b"getenv",
    b"process.env",
    b"ENV[",
    b"getpass",
    b"var.",
    b"secrets.",
)
_WRITES_TEXT = (b"echo", b"printf", b"<<<")
_NAMES_OF_SECRETS = (
    b"token",
    b"key",
    b"secret",
    b"password",
    b"passwd",
    b"pass",
    b"pw",
    b"auth",
    b"jwt",
    b"pat",
)
_NOTHING = frozenset(
    {b"", b"null", b"None", b"true", b"false", b"True", b"False", b"undefined", b"%s", b"{}"}
)


def end_of_word(text: bytes, start: int) -> int:
    """Return where the shell word that begins at ``start`` ends, quoted and nested stretches included."""
    if text[start : start + 1] == b"\\" and text[start + 1 : start + 2] in ONE_QUOTE:
        # `\"…\"`: quoted inside of quotes.
        return _find(text, text[start : start + 2], start + 2)
    position = start
    while position < len(text):
        byte = text[position]
        if byte == ord("$") and text[position + 1 : position + 2] == b"(":
            position = _end_of_nested(text, position + 1)
        elif byte in WHITE or byte in SHELL:
            break
        elif byte == _BACKSLASH:
            position += 2
        elif byte in QUOTES:
            closing = end_of_quoted(text, position + 1, byte)
            if closing == len(text) and position > start:
                # Unbalanced: it closes the quotes that the whole word stands in.
                return position
            position = closing + 1
        else:
            position += 1
    return min(position, len(text))


def end_of_quoted(text: bytes, start: int, quote: int) -> int:
    """Return the index of the next ``quote`` that no backslash precedes, or the end."""
    position = start
    while position < len(text):
        if text[position] == _BACKSLASH:
            position += 2
        elif text[position] == quote:
            return position
        else:
            position += 1
    return len(text)


def end_of_value(text: bytes, start: int) -> int:
    """Return where the value at ``start`` ends: with the quotes that it stands in, or with the word."""
    if start == 0 or text[start - 1] not in QUOTES:
        return end_of_word(text, start)
    if text[start - 2 : start - 1] == b"\\":
        return _find(text, text[start - 2 : start], start)
    return end_of_quoted(text, start, text[start - 1])


def find_any(text: bytes, start: int, stop: bytes) -> int:
    """Return the index of the next byte of ``stop``, or the end."""
    while start < len(text) and text[start] not in stop:
        start += 1
    return start


def skip(text: bytes, start: int, skipped: bytes) -> int:
    """Return the index of the next byte that is not in ``skipped``, or the end."""
    while start < len(text) and text[start] in skipped:
        start += 1
    return start


def run_back(text: bytes, end: int, alphabet: frozenset[int], most: int) -> int:
    """Return where the run of bytes of ``alphabet`` that ends at ``end`` begins, at most ``most`` before."""
    start = end
    floor = max(0, end - most)
    while start > floor and text[start - 1] in alphabet:
        start -= 1
    return start


def is_reference(value: bytes) -> bool:
    """Return whether a value only says where a secret is: ``$TOKEN``, ``$(cat FILE)``, ``os.environ[…]``.

    A scheme may stand before it (``Bearer $TOKEN``). Of lower-case variables only those count that are
    called what they hold, because a password can begin with a dollar.
    """
    value = value.strip(WHITE + QUOTES + b"\\")
    lower = value.lower()
    for scheme in _SCHEMES:
        if lower.startswith(scheme) and (scheme.endswith(b" ") or len(scheme) == len(lower)):
            value = value[len(scheme) :].strip(WHITE + QUOTES + b"\\")
            break
    if value in _NOTHING or not value.strip(b"*"):
        return True
    if value.startswith(b"$"):
        return _is_shell_reference(value[1:])
    if value.startswith(b"{") and value.endswith(b"}"):
        inner = value.strip(b"{} ")
        return inner.startswith(_LOOKED_UP) or _is_variable(inner)
    return value.startswith(_LOOKED_UP) and not any(byte in b"+ \t\n" for byte in value)


def _is_shell_reference(value: bytes) -> bool:
    if value.startswith(b"{{") and value.endswith(b"}}"):
        return True  # of a pipeline: `${{ secrets.TOKEN }}`
    if value.startswith(b"(") and value.endswith(b")"):
        command = value[1:].lstrip(WHITE)
        return command.startswith(_READERS) and not any(word in command for word in _WRITES_TEXT)
    if value.startswith(b"{") and value.endswith(b"}"):
        value = value[1:-1]
    return _is_variable(value) or (len(value) == 1 and value in b"0123456789?@*")


def _is_variable(name: bytes) -> bool:
    if not name.isascii() or not name.decode("ascii").isidentifier():
        return False
    return name == name.upper() or name.lower().endswith(_NAMES_OF_SECRETS)


def _end_of_nested(text: bytes, start: int) -> int:
    """Return where the parenthesis that opens at ``start`` is closed again, or the end."""
    depth = 0
    for position in range(start, len(text)):
        if text[position] == ord("("):
            depth += 1
        elif text[position] == ord(")"):
            depth -= 1
            if depth == 0:
                return position + 1
    return len(text)


def _find(text: bytes, closing: bytes, start: int) -> int:
    found = text.find(closing, start)
    return len(text) if found < 0 else found
