"""Secrets that are known by what they look like, wherever in an argument they stand.

Issuers give their tokens a prefix so that they can be found (``ghp_…``); JSON Web Tokens (RFC 7519) and
private keys in PEM (RFC 7468) have a form of their own. All of it is case-sensitive, and takes time linear
in the length: a stretch that was looked at is not looked at again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN_SHAPE = "token-shape"  # noqa: S105  # the name of a rule

_DIGITS = b"0123456789"
_UPPER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERS = _UPPER + _UPPER.lower()
_ALPHANUMERIC = frozenset(_LETTERS + _DIGITS)
_BASE64URL = _ALPHANUMERIC | frozenset(b"-_")
_DOTTED = _BASE64URL | frozenset(b".")
_PATH = _BASE64URL | frozenset(b"/")
_BASE64 = _ALPHANUMERIC | frozenset(b"+/=")
_UPPER_AND_DIGITS = frozenset(_UPPER + _DIGITS)


# Prefix, what it may go on with, the least and the most characters of that. The least is fewer than are
# issued, since examples are often cut; zero for the most is any number.
_Shape = tuple[bytes, frozenset[int], int, int]

_SHAPES: tuple[_Shape, ...] = (
    # GitHub, GitLab
    *((b"gh%c_" % kind, _ALPHANUMERIC, 16, 0) for kind in b"opsur"),
    (b"github_pat_", _BASE64URL, 20, 0),
    *(
        (b"gl" + kind + b"-", _DOTTED, 16, 0)
        for kind in (b"pat", b"oas", b"dt", b"rt", b"cbt", b"ptt", b"ft", b"imt", b"agent", b"soat", b"ffct")
    ),
    # model providers: Anthropic, OpenAI, OpenRouter, Hugging Face, Groq, NVIDIA, xAI, Google
    *(
        (b"sk-" + kind + b"-", _BASE64URL, 16, 0)
        for kind in (b"ant", b"proj", b"svcacct", b"admin", b"or-v1")
    ),
    (b"sk-", _BASE64URL, 20, 0),
    (b"hf_", _ALPHANUMERIC, 30, 0),
    (b"gsk_", _ALPHANUMERIC, 30, 0),
    (b"nvapi-", _BASE64URL, 30, 0),
    (b"xai-", _ALPHANUMERIC, 30, 0),
    (b"AIza", _BASE64URL, 30, 0),
    # clouds: AWS key ids, Google OAuth, DigitalOcean
    (b"AKIA", _UPPER_AND_DIGITS, 16, 16),
    (b"ASIA", _UPPER_AND_DIGITS, 16, 16),
    (b"ya29.", _DOTTED, 20, 0),
    (b"GOCSPX-", _BASE64URL, 20, 0),
    *((b"do%c_v1_" % kind, _ALPHANUMERIC, 32, 0) for kind in b"por"),
    # chat: Slack, and the addresses that are a secret themselves
    *((b"xox%c-" % kind, _BASE64URL, 10, 0) for kind in b"abeoprs"),
    (b"xoxe.", _DOTTED, 10, 0),
    (b"xapp-", _BASE64URL, 10, 0),
    (b"hooks.slack.com/services/", _PATH, 20, 0),
    (b"discord.com/api/webhooks/", _PATH, 20, 0),
    (b"api.telegram.org/bot", _BASE64URL | frozenset(b":"), 30, 0),
    # package registries: npm, PyPI, RubyGems, Docker Hub
    (b"npm_", _ALPHANUMERIC, 30, 0),
    (b"pypi-AgEI", _BASE64URL, 10, 0),
    (b"rubygems_", _ALPHANUMERIC, 30, 0),
    (b"dckr_pat_", _BASE64URL, 16, 0),
    # services: Stripe, SendGrid, Vault, Shopify, Grafana, Atlassian, Tailscale, age
    *(
        (kind + b"_" + mode + b"_", _ALPHANUMERIC, 10, 0)
        for kind in (b"sk", b"rk")
        for mode in (b"live", b"test")
    ),
    (b"whsec_", _ALPHANUMERIC, 20, 0),
    (b"SG.", _DOTTED, 40, 0),
    (b"hvs.", _BASE64URL, 20, 0),
    *((b"shp" + kind + b"_", _ALPHANUMERIC, 30, 0) for kind in (b"at", b"ca", b"pa", b"ss")),
    (b"glsa_", _BASE64URL, 30, 0),
    (b"ATATT3xFf", _BASE64URL | frozenset(b"="), 20, 0),
    (b"tskey-", _BASE64URL, 16, 0),
    (b"AGE-SECRET-KEY-1", _UPPER_AND_DIGITS, 20, 0),
    # the base64 of every Ed25519 key in PKCS#8 (RFC 8410, section 7), such as a ledger's key in a variable
    (b"MC4CAQAwBQYDK2VwBCIEI", _BASE64, 20, 0),
)

# `sk-` is also somebody's initials: what follows must have a stretch of 16 letters and digits, of both.
_LIKE_A_WORD = b"sk-"
_RANDOM_STRETCH = 16
_JWT_PART = 10
_HEX = frozenset(b"0123456789abcdefABCDEF")


def shape_spans(argument: bytes) -> Iterator[tuple[int, int]]:
    """Yield where in ``argument`` something lies that looks like a secret: start and end (exclusive)."""
    for shape in _SHAPES:
        if shape[0] in argument:
            yield from _prefixed(argument, shape)
    if b"eyJ" in argument:
        yield from _web_tokens(argument)
    if b"PRIVATE KEY" in argument:
        yield from _private_keys(argument)


def _prefixed(argument: bytes, shape: _Shape) -> Iterator[tuple[int, int]]:
    prefix, alphabet, least, most = shape
    position = 0
    while (start := argument.find(prefix, position)) >= 0:
        body = start + len(prefix)
        position = body
        if not _begins_here(argument, start):
            continue
        end = _run(argument, body, alphabet)
        position = end
        if end - body < least or (most and end - body > most):
            continue
        if most and end < len(argument) and argument[end] in _ALPHANUMERIC:
            continue
        if prefix != _LIKE_A_WORD or _looks_random(argument[body:end]):
            yield start, end


def _begins_here(argument: bytes, start: int) -> bool:
    """Return whether a token can begin at ``start``: nothing alphanumeric stands right before it.

    The last character of an escape (``%3D``, a backslash and a letter) is none that belongs to a word.
    """
    if start == 0 or argument[start - 1] not in _ALPHANUMERIC:
        return True
    if start >= 2 and argument[start - 2 : start - 1] == b"\\":
        return True
    return (
        start >= 3
        and argument[start - 3 : start - 2] == b"%"
        and _HEX.issuperset(argument[start - 2 : start])
    )


def _looks_random(run: bytes) -> bool:
    return any(
        len(stretch) >= _RANDOM_STRETCH and not stretch.isalpha() and not stretch.isdigit()
        for stretch in run.replace(b"_", b"-").split(b"-")
    )


def _web_tokens(argument: bytes) -> Iterator[tuple[int, int]]:
    position = 0
    while (start := argument.find(b"eyJ", position)) >= 0:
        header = _run(argument, start, _BASE64URL)
        position = header
        if header - start < _JWT_PART or argument[header : header + 1] != b".":
            continue
        claims = _run(argument, header + 1, _BASE64URL)
        if claims - header - 1 < _JWT_PART or argument[claims : claims + 1] != b".":
            continue
        # An encrypted one (RFC 7516) has two parts more; an unsigned one ends with the dot.
        position = _run(argument, claims, _DOTTED)
        yield start, position


def _private_keys(argument: bytes) -> Iterator[tuple[int, int]]:
    position = 0
    while (start := argument.find(b"-----BEGIN ", position)) >= 0:
        label = start + len(b"-----BEGIN ")
        label_end = argument.find(b"-----", label)
        if label_end < 0:
            return
        position = label_end
        if b"PRIVATE KEY" not in argument[label:label_end]:
            continue
        # Without an end, or with one that is cut, all that follows is the key.
        footer = argument.find(b"-----END ", label_end)
        closing = argument.find(b"-----", footer + len(b"-----END ")) if footer >= 0 else -1
        position = closing + len(b"-----") if closing >= 0 else len(argument)
        yield start, position


def _run(argument: bytes, start: int, alphabet: frozenset[int]) -> int:
    while start < len(argument) and argument[start] in alphabet:
        start += 1
    return start
