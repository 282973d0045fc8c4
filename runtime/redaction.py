"""Secrets are taken out of a command line before it is recorded (design 2, "Canonical JSON"; 7).

An argument is written as text, as ``{"redacted": RULE}`` when all of it is secret, or as
``{"parts": […]}`` with at least two parts when some of it is. No hash of what was taken out is kept:
a short secret could be guessed from it.

All rules work on bytes, in one pass each, without regular expressions, and err on the side of taking
out too much. They look inside arguments too, since agents write ``sh -c 'curl -H "Authorization: …"'``.

=============  =======================================================================================
flag           what follows ``--token`` and its kin, as the next argument, the next word or after ``=``
header         what follows ``Authorization:`` and its kin, with or without ``-H``
url-userinfo   ``user:password`` of ``scheme://user:password@host``
query          values of query and form fields such as ``?token=…``
environment    values of ``GITHUB_TOKEN=…`` and its kin
=============  =======================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from attest import canonical
from runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from attest.canonical import Json

FLAG = "flag"
HEADER = "header"
URL_USERINFO = "url-userinfo"
QUERY = "query"
ENVIRONMENT = "environment"
RULES = (ENVIRONMENT, FLAG, HEADER, QUERY, URL_USERINFO)

_MAX_NAME_BYTES = 256
_MAX_NAMES = 256

_WHITE = b" \t\r\n\v\f"
_QUOTES = b"\"'`"
_ONE_QUOTE = frozenset({b'"', b"'", b"`"})
_SHELL = b";|&()<>"
# What may stand before a flag inside an argument: the start of a word, in a shell or in JSON.
_BEFORE_FLAG = _WHITE + _QUOTES + _SHELL + b",[{="
# What may stand between a flag and its value inside an argument, `"--token", "x"` included.
_BETWEEN = _WHITE + _QUOTES + b","
# Quotes, `;` and `\` may be part of a value, so they end none.
_END_OF_AUTHORITY = b"/" + _WHITE
_END_OF_QUERY_VALUE = b"&#" + _WHITE
_BEFORE_QUERY_KEY = b"?&;#"
_HEX = b"0123456789abcdef"

# A span of an argument that is secret: start, end (exclusive), rule.
_Span = tuple[int, int, str]


class Policy(NamedTuple):
    """What counts as secret. All names are lower case and compared without regard to case.

    Attributes:
        flags: whole options, dashes included.
        headers: header field names.
        query_keys: names of query and form fields.
        environment: names of environment variables.
    """

    flags: frozenset[bytes]
    headers: frozenset[bytes]
    query_keys: frozenset[bytes]
    environment: frozenset[bytes]

    def extended(
        self,
        *,
        flags: Iterable[bytes] = (),
        headers: Iterable[bytes] = (),
        query_keys: Iterable[bytes] = (),
        environment: Iterable[bytes] = (),
    ) -> Policy:
        """Return this policy with more names.

        Raises:
            UsageError: a name is empty, too long, has characters that it cannot have, or is one too
                many.
        """
        added = _names(flags, headers, query_keys, environment)
        extended = Policy(*(getattr(self, kind) | names for kind, names in added.items()))
        for kind, names in extended._asdict().items():
            if len(names) > _MAX_NAMES:
                raise UsageError(f"more than {_MAX_NAMES} {kind} to redact")
        return extended

    def unsafe_without(
        self,
        *,
        flags: Iterable[bytes] = (),
        headers: Iterable[bytes] = (),
        query_keys: Iterable[bytes] = (),
        environment: Iterable[bytes] = (),
    ) -> Policy:
        """Return this policy with fewer names: what they protected will be in the ledger for ever.

        Raises:
            UsageError: a name is not in the policy.
        """
        removed = _names(flags, headers, query_keys, environment)
        for kind, names in removed.items():
            for name in sorted(names - getattr(self, kind)):
                raise UsageError(f"not redacted anyway: {name.decode('ascii')}")
        return self._replace(**{kind: getattr(self, kind) - names for kind, names in removed.items()})

    def difference(self) -> dict[str, Json]:
        """Return how this policy differs from the default, as ``launch.intent`` writes it."""
        return {
            "added": _difference(self, DEFAULT),
            "removed": _difference(DEFAULT, self),
        }


DEFAULT = Policy(
    flags=frozenset(
        {
            b"--token",
            b"--password",
            b"--api-key",
            b"--apikey",
            b"--secret",
            b"--auth",
            b"--bearer",
            b"--access-token",
            b"--client-secret",
        }
    ),
    headers=frozenset(
        {
            b"authorization",
            b"proxy-authorization",
            b"x-api-key",
            b"x-auth-token",
            b"cookie",
            b"set-cookie",
        }
    ),
    query_keys=frozenset(
        {
            b"token",
            b"access_token",
            b"api_key",
            b"apikey",
            b"key",
            b"secret",
            b"password",
            b"code",
            b"state",
            b"nonce",
            b"client_secret",
        }
    ),
    environment=frozenset(
        {
            b"anthropic_api_key",
            b"azure_openai_api_key",
            b"cohere_api_key",
            b"gemini_api_key",
            b"google_api_key",
            b"mistral_api_key",
            b"openai_api_key",
            b"together_api_key",
            b"aws_secret_access_key",
            b"aws_session_token",
            b"gh_token",
            b"github_token",
            b"huggingface_api_token",
            b"nono_proxy_token",
        }
    ),
)


def redact_command(argv: Sequence[bytes], policy: Policy = DEFAULT) -> list[Json]:
    """Return ``argv`` as it may be recorded.

    Args:
        argv: the arguments as typed, any bytes. argv[0] names the program and is kept as it is, but
            for what the rules find inside it.
        policy: what counts as secret.

    Returns:
        One value for each argument: text (:func:`attest.canonical.text`), ``{"redacted": RULE}`` or
        ``{"parts": […]}``.
    """
    recorded: list[Json] = []
    is_value = False
    for index, argument in enumerate(argv):
        lower = argument.lower()
        if is_value:
            recorded.append({"redacted": FLAG} if argument else "")
        else:
            recorded.append(_written(argument, _merged(_spans(lower, policy))))
        # Also when it was itself a value: `--token --password x` must not let x through.
        is_value = index > 0 and lower in policy.flags
    return recorded


def _written(argument: bytes, spans: list[_Span]) -> Json:
    parts: list[Json] = []
    position = 0
    for start, end, rule in spans:
        if position < start:
            parts.append(canonical.text(argument[position:start]))
        parts.append({"redacted": rule})
        position = end
    if position < len(argument) or not parts:
        parts.append(canonical.text(argument[position:]))
    return parts[0] if len(parts) == 1 else {"parts": parts}


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """Sort the spans and unite those that overlap, under the rule of the one that starts first."""
    merged: list[_Span] = []
    for start, end, rule in sorted(spans):
        if start == end:
            continue
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]), merged[-1][2])
        else:
            merged.append((start, end, rule))
    return merged


def _spans(lower: bytes, policy: Policy) -> Iterator[_Span]:
    if b"=" in lower:
        for name in policy.environment:
            yield from _assignments(lower, name)
        yield from _query_values(lower, policy.query_keys)
    if b":" in lower:
        for name in policy.headers:
            yield from _header_values(lower, name)
        yield from _userinfo(lower)
    if b"--" in lower or not policy.flags <= DEFAULT.flags:
        for flag in policy.flags:
            yield from _flag_values(lower, flag)


def _flag_values(lower: bytes, flag: bytes) -> Iterator[_Span]:
    position = 0
    while (start := lower.find(flag, position)) >= 0:
        position = start + len(flag)
        if position == len(lower) or (start and lower[start - 1] not in _BEFORE_FLAG):
            continue
        following = lower[position]
        if following == ord("="):
            # As an argument of its own all of the rest is the value, blanks included.
            end = len(lower) if start == 0 else _end_of_word(lower, position + 1)
            yield position + 1, end, FLAG
            position = end
        elif following in _BETWEEN:
            value = _skip(lower, position, _BETWEEN)
            if lower[value - 1] in _QUOTES:
                end = _end_of_quoted(lower, value, lower[value - 1])
            else:
                end = _end_of_word(lower, value)
            yield value, end, FLAG
            # A value that ends in the flag itself announces one more: see redact_command. Anything
            # else in it is not looked at again, or many flags in one word would take quadratic time.
            last = lower[value:end].rstrip(_BETWEEN)
            position = value + len(last) - len(flag) if last.endswith(flag) else max(position, end)


def _header_values(lower: bytes, name: bytes) -> Iterator[_Span]:
    position = 0
    while (start := lower.find(name, position)) >= 0:
        position = start + len(name)
        # `"Authorization": "…"` of JSON, `Authorization : …` and `-HAuthorization:…` all count.
        colon = _skip(lower, position, _WHITE + _QUOTES + b"\\")
        if colon == len(lower) or lower[colon] != ord(":"):
            continue
        value = _skip(lower, colon + 1, _WHITE)
        opened_by = lower[start - 1] if start else 0
        if lower[position] in _QUOTES and lower[value : value + 1] in _ONE_QUOTE:
            value += 1
            end = _end_of_quoted(lower, value, lower[value - 1])
        elif opened_by in _QUOTES and lower[position] not in _QUOTES:
            end = _end_of_quoted(lower, value, opened_by)
        else:
            end = len(lower)
        yield value, end, HEADER
        position = max(position, end)


def _userinfo(lower: bytes) -> Iterator[_Span]:
    position = 0
    while (start := lower.find(b"://", position)) >= 0:
        authority = start + 3
        position = _find_any(lower, authority, _END_OF_AUTHORITY)
        # The last @ ends it: a password may hold one.
        host_end = _find_any(lower, authority, b"?#" + _END_OF_AUTHORITY)
        at = lower.rfind(b"@", authority, host_end)
        if at < 0 and b":" in lower[authority:host_end]:
            # libpq takes `?` and `#` in a password, so `u:p?w@host` is one.
            at = lower.rfind(b"@", authority, position)
        if at < 0:
            continue
        # `ssh://git@host` names an account; elsewhere a lone user is as often a token.
        is_account = b":" not in lower[authority:at] and lower.endswith((b"ssh", b"sftp"), 0, start)
        if not is_account:
            yield authority, at, URL_USERINFO


def _query_values(lower: bytes, keys: frozenset[bytes]) -> Iterator[_Span]:
    # `a=1&token=x` is a form body, whose first field has nothing before it.
    is_form = b"&" in lower
    position = 0
    while (equals := lower.find(b"=", position)) >= 0:
        position = equals + 1
        # Keys are short: looking back is bounded, three bytes for each that is percent-encoded.
        floor = max(0, equals - 3 * _MAX_NAME_BYTES)
        start = equals
        while start > floor and lower[start - 1] not in b"?&;#=" + _WHITE + _QUOTES:
            start -= 1
        introduced = lower[start - 1] in _BEFORE_QUERY_KEY if start else False
        if not introduced and not (is_form and (start == 0 or lower[start - 1] in b"=" + _WHITE + _QUOTES)):
            continue
        if _percent_decoded(lower[start:equals]) in keys:
            position = _find_any(lower, equals + 1, _END_OF_QUERY_VALUE)
            yield equals + 1, position, QUERY


def _assignments(lower: bytes, name: bytes) -> Iterator[_Span]:
    needle = name + b"="
    position = 0
    while (start := lower.find(needle, position)) >= 0:
        value = start + len(needle)
        # Nothing is asked of what stands before: `-eGITHUB_TOKEN=x`, `MY_GITHUB_TOKEN=x`.
        if start == 0 or lower[0] == ord("-"):
            position = len(lower)
        elif lower[start - 1] in _QUOTES:
            position = _end_of_quoted(lower, value, lower[start - 1])
        else:
            position = _end_of_word(lower, value)
        yield value, position, ENVIRONMENT


def _end_of_word(text: bytes, start: int) -> int:
    """Return where the shell word that begins at ``start`` ends, quoted stretches included."""
    if text[start : start + 1] == b"\\" and text[start + 1 : start + 2] in _ONE_QUOTE:
        # `\"…\"`: quoted inside of quotes.
        closing = text.find(text[start : start + 2], start + 2)
        return len(text) if closing < 0 else closing
    position = start
    while position < len(text):
        byte = text[position]
        if byte in _WHITE or byte in _SHELL:
            break
        if byte == ord("\\"):
            position += 2
        elif byte in _QUOTES:
            closing = _end_of_quoted(text, position + 1, byte)
            if closing == len(text) and position > start:
                # Unbalanced: it closes the quotes that the whole word stands in.
                return position
            position = closing + 1
        else:
            position += 1
    return min(position, len(text))


def _end_of_quoted(text: bytes, start: int, quote: int) -> int:
    """Return the index of the next ``quote`` that no backslash precedes, or the end."""
    position = start
    while position < len(text):
        if text[position] == ord("\\"):
            position += 2
        elif text[position] == quote:
            return position
        else:
            position += 1
    return len(text)


def _find_any(text: bytes, start: int, stop: bytes) -> int:
    while start < len(text) and text[start] not in stop:
        start += 1
    return start


def _skip(text: bytes, start: int, skipped: bytes) -> int:
    while start < len(text) and text[start] in skipped:
        start += 1
    return start


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


def _names(
    flags: Iterable[bytes],
    headers: Iterable[bytes],
    query_keys: Iterable[bytes],
    environment: Iterable[bytes],
) -> dict[str, frozenset[bytes]]:
    given = {"flags": flags, "headers": headers, "query_keys": query_keys, "environment": environment}
    return {kind: frozenset(_name(kind, name) for name in names) for kind, names in given.items()}


def _name(kind: str, name: bytes) -> bytes:
    visible = name.isascii() and name.decode("ascii").isprintable()
    if (
        not 0 < len(name) <= _MAX_NAME_BYTES
        or not visible
        or any(byte in b" =:&?#;%\"'`" for byte in name)
        or (kind == "flags" and not name.startswith(b"-"))
        or name.strip(b"-") == b""
    ):
        raise UsageError(
            f"not a name that can be redacted: {canonical.text(name)!r} in {kind}",
            hint="a flag starts with a dash; no name holds blanks, quotes or separators",
        )
    return name.lower()


def _difference(ours: Policy, theirs: Policy) -> dict[str, Json]:
    return {
        kind: [name.decode("ascii") for name in sorted(here - there)]
        for kind, here, there in zip(Policy._fields, ours, theirs, strict=True)
    }
