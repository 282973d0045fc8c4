"""Secrets that are known by the name that stands before them inside of an argument.

================  ====================================================================================
``NAME=value``    variables, settings, keyword arguments (rule *environment*)
``key=value``     fields of a query, a fragment or a form (rule *query*)
``Name: value``   header fields, with or without ``-H`` (rule *header*)
``"name": "…"``   members of JSON and of program texts (rule *field*)
``u:p@host``      user-info of a URL (rule *url-userinfo*)
================  ====================================================================================

Each is one pass whose time is linear in the length: what a find covers is not looked at again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.secrets.argument_text import (
    ONE_QUOTE,
    QUOTES,
    WHITE,
    end_of_quoted,
    end_of_word,
    find_any,
    is_reference,
    run_back,
    skip,
)
from runtime.secrets.redaction_policy import MAX_NAME_BYTES, Names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.secrets.redaction_policy import Policy

ENVIRONMENT = "environment"
FIELD = "field"
HEADER = "header"
QUERY = "query"
URL_USERINFO = "url-userinfo"

Span = tuple[int, int, str]
"""A stretch of an argument that is secret: start, end (exclusive), rule."""

_BLANK = frozenset(b" \t")
_BEFORE_EQUALS = frozenset(b" \t\"'`]")
_NEWLINE = ord("\n")
_BRACKETS = b"()[]{}<>"
_TYPES = frozenset(b"str string bytes int integer bool boolean any object number optional secretstr".split())
_NAME = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_")
_HYPHENATED = _NAME | frozenset(b"-")
_BEFORE_COLON = frozenset(WHITE + QUOTES + b"\\")
_BEFORE_QUERY_KEY = b"?&;#"
_NO_QUERY_KEY = _BEFORE_QUERY_KEY + b"=" + WHITE + QUOTES
# Quotes, `;` and `\` may be part of a value, so they end none.
_END_OF_QUERY_VALUE = b"&#" + WHITE
_END_OF_AUTHORITY = b"/" + WHITE
_END_OF_BARE_MEMBER = b",})]\n"
_HEX = b"0123456789abcdef"


class Lookup:
    """A policy in the form in which names are looked up; its attributes are those of the policy."""

    __slots__ = ("environment", "flags", "headers", "query_keys")

    def __init__(self, policy: Policy) -> None:
        self.flags = Names(policy.flags)
        self.headers = Names(policy.headers)
        self.query_keys = Names(policy.query_keys)
        self.environment = Names(policy.environment)


def place_spans(argument: bytes, names: Lookup, *, script: bool) -> Iterator[Span]:
    """Yield the secret stretches of an argument, in no order; they may overlap.

    Args:
        argument: the argument as typed.
        names: what to look for.
        script: whether it is known to be a script; otherwise what it begins with is its name, and the
            rest its value, blanks included.
    """
    lower = argument.lower()
    if b"=" in lower:
        yield from _equations(argument, lower, names, script=script)
    if b":" in lower:
        yield from _members(argument, lower, names)
        yield from _userinfo(argument, lower)


# --- name=value and key=value ---------------------------------------------------------------------


def _equations(argument: bytes, lower: bytes, names: Lookup, *, script: bool) -> Iterator[Span]:
    position = no_form = 0
    while (equals := lower.find(b"=", position)) >= 0:
        position = equals + 1
        span = _assigned(lower, equals, names.environment, script=script)
        if span is None:
            span = _query_value(lower, equals, names.query_keys, no_form)
            if span is not None and span[2] == "":
                no_form = span[1]
                continue
        if span is not None:
            position = max(position, span[1])
            whole = span[1] == len(lower) and not script and lower.find(b"=") == equals
            if whole or not is_reference(argument[span[0] : span[1]]):
                yield span


def _assigned(lower: bytes, equals: int, environment: Names, *, script: bool) -> Span | None:
    value = equals + 1
    name_end = run_back(lower, equals, _BEFORE_EQUALS, MAX_NAME_BYTES)
    start = run_back(lower, name_end, _NAME, MAX_NAME_BYTES)
    name = lower[start:name_end]
    before = lower[start - 1 : start]
    if name_end < equals or lower[value : value + 1] in {b" ", b"\t"}:
        # `token = "…"` and `environ["TOKEN"] = "…"` of a program text, `token = …` of a file.
        if name not in environment:
            return None
        value = skip(lower, value, b" \t")
        if lower[value : value + 1] in ONE_QUOTE:
            return value + 1, end_of_quoted(lower, value + 1, lower[value]), ENVIRONMENT
        end = _setting_end(lower, start, value)
        return None if _is_expression(lower[value:end]) else (value, end, ENVIRONMENT)
    if before in {b"?", b"&", b"#"} or (start and lower[value : value + 1] == b"="):
        return None
    if before == b"-":
        # `-eNAME=…` is an option with a name attached, `--db-password=…` is an option of that name.
        word = run_back(lower, start, _HYPHENATED, MAX_NAME_BYTES)
        if lower[word] == ord("-"):
            if word < start - 1:
                return None
            name = name[1:]
    if name not in environment:
        return None
    if (start == 0 and not script) or lower[0] == ord("-"):
        end = len(lower)
    elif before in ONE_QUOTE:
        end = end_of_quoted(lower, value, before[0])
    else:
        end = end_of_word(lower, value)
    return value, end, ENVIRONMENT


def _query_value(lower: bytes, equals: int, keys: Names, no_form: int) -> Span | None:
    """Return the field's value; one without a rule says up to where nothing can be a form."""
    # Keys are short: looking back is bounded, three bytes for each that is percent-encoded.
    floor = max(0, equals - 3 * MAX_NAME_BYTES)
    start = equals
    while start > floor and lower[start - 1] not in _NO_QUERY_KEY:
        start -= 1
    introduced = start > 0 and lower[start - 1] in _BEFORE_QUERY_KEY
    if (not introduced and equals < no_form) or _percent_decoded(lower[start:equals]) not in keys:
        return None
    end = find_any(lower, equals + 1, _END_OF_QUERY_VALUE)
    if introduced:
        return equals + 1, end, QUERY
    # `token=x&b=2` is a form, whose first field has nothing before it; `a=1 && b` is a script.
    is_form = lower[end : end + 1] == b"&" and lower[end + 1 : end + 2] not in {b"", b"&", b" "}
    return equals + 1, end, QUERY if is_form else ""


def _percent_decoded(key: bytes) -> bytes:
    if b"%" not in key:
        return key
    decoded = bytearray()
    position = 0
    while position < len(key):
        digits = key[position + 1 : position + 3]
        if key[position] == ord("%") and len(digits) == 2 and all(digit in _HEX for digit in digits):
            decoded.append(int(digits, 16))
            position += 3
        else:
            decoded.append(key[position])
            position += 1
    return bytes(decoded).lower()


# --- Name: value and "name": "value" ---------------------------------------------------------------


def _members(argument: bytes, lower: bytes, names: Lookup) -> Iterator[Span]:
    position = 0
    while (colon := lower.find(b":", position)) >= 0:
        position = colon + 1
        # `"Authorization": "…"` of JSON, `Authorization : …` and `-HAuthorization:…` all count.
        name_end = run_back(lower, colon, _BEFORE_COLON, colon)
        start = run_back(lower, name_end, _HYPHENATED, MAX_NAME_BYTES)
        name = lower[start:name_end]
        if not name or lower[position : position + 1] == b":" or lower[start - 2 : start] == b"//":
            continue
        if name in names.headers or (name[0] == ord("-") and names.headers.end_attached(name)):
            value, end = _header_value(lower, start, name_end, colon)
            rule = HEADER
        elif name.replace(b"-", b"_") in names.environment:
            value, end = _member_value(lower, lower[name_end:colon], colon)
            if value == end and name_end == colon and argument[start:colon].isupper():
                value, end = position, end_of_word(lower, position)  # `--var API_TOKEN:…`
            if value == end:
                end = _setting_end(lower, start, value)
            rule = FIELD
        else:
            continue
        position = max(position, end)
        if not is_reference(argument[value:end]):
            yield value, end, rule


def _header_value(lower: bytes, start: int, name_end: int, colon: int) -> tuple[int, int]:
    value = skip(lower, colon + 1, WHITE)
    is_quoted = any(byte in QUOTES for byte in lower[name_end:colon])
    if is_quoted:
        return _member_value(lower, lower[name_end:colon], colon)
    if start and lower[start - 1] in QUOTES:
        if lower[start - 2 : start - 1] == b"\\":
            closing = lower.find(lower[start - 2 : start], value)
            return value, len(lower) if closing < 0 else closing
        return value, end_of_quoted(lower, value, lower[start - 1])
    return value, len(lower)


def _member_value(lower: bytes, between: bytes, colon: int) -> tuple[int, int]:
    """Return the value of a member; an empty stretch if it is none that could be a secret.

    Args:
        lower: the argument.
        between: what stands between the name and its colon.
        colon: where that is.
    """
    value = skip(lower, colon + 1, WHITE)
    if lower[value : value + 1] in {b"f", b"b", b"r", b"u"} and lower[value + 1 : value + 2] in ONE_QUOTE:
        value += 1
    if lower[value : value + 1] == b"\\" and lower[value + 1 : value + 2] in ONE_QUOTE:
        closing = lower.find(lower[value : value + 2], value + 2)
        return value + 2, len(lower) if closing < 0 else closing
    if lower[value : value + 1] in ONE_QUOTE:
        return value + 1, end_of_quoted(lower, value + 1, lower[value])
    if not any(byte in QUOTES for byte in between) or lower[value : value + 1] in {b"{", b"["}:
        return value, value
    return value, find_any(lower, value, _END_OF_BARE_MEMBER)


def _setting_end(lower: bytes, start: int, value: int) -> int:
    """Return where the value of a setting ends, or ``value`` if it is none.

    A setting is a line of a file that a script writes (YAML, INI): a name, and a value of one word.

    Args:
        lower: the argument.
        start: where the name begins.
        value: where the value begins.
    """
    line = run_back(lower, start, _BLANK, MAX_NAME_BYTES)
    if line == 0 or lower[line - 1] != _NEWLINE or b"\n" in lower[start:value]:
        return value
    end = find_any(lower, value, b"\n")
    word = lower[value:end].rstrip()
    is_code = any(byte in WHITE + _BRACKETS for byte in word) or word.rstrip(b",;") in _TYPES
    return value if is_code else value + len(word)


def _is_expression(word: bytes) -> bool:
    """Return whether an unquoted value reads like a name in a program text: ``request.token``."""
    return (
        word.isascii()
        and word.decode("ascii").replace(".", "").isidentifier()
        and not any(byte in b"0123456789" for byte in word)
    )


# --- user:password@host ----------------------------------------------------------------------------


def _userinfo(argument: bytes, lower: bytes) -> Iterator[Span]:
    position = 0
    while (start := lower.find(b"://", position)) >= 0:
        authority = start + 3
        position = find_any(lower, authority, _END_OF_AUTHORITY)
        # The last @ ends it: a password may hold one.
        host_end = find_any(lower, authority, b"?#" + _END_OF_AUTHORITY)
        at = lower.rfind(b"@", authority, host_end)
        if at < 0 and b":" in lower[authority:host_end]:
            # libpq takes `?` and `#` in a password, so `u:p?w@host` is one.
            at = lower.rfind(b"@", authority, position)
        if at < 0:
            continue
        user, colon, password = argument[authority:at].partition(b":")
        # `ssh://git@host` names an account; elsewhere a lone user is as often a token.
        is_account = not colon and (lower.endswith((b"ssh", b"sftp"), 0, start) or user == b"git")
        if not is_account and not is_reference(password if colon else user):
            yield authority, at, URL_USERINFO
