"""Secrets are taken out of a command line before it is recorded (design 2, "Canonical JSON"; 7).

An argument is written as text, as ``{"redacted": RULE}`` when all of it is secret, or as
``{"parts": […]}`` with at least two parts when some of it is. No hash of what was taken out is kept:
a short secret could be guessed from it.

What is secret is known by a name before it, by its form, or because the environment holds it under the
name of a secret. All rules work on bytes, in linear time, and err on the side of taking out too much.

=============  =======================================================================================
credentials    ``user:password`` after ``-u`` and its kin (:mod:`runtime.secret_options`)
environment    values of ``GITHUB_TOKEN=…`` and its kin, and the values that such variables have
field          ``"password": "…"`` in JSON and in program texts (:mod:`runtime.secret_places`)
flag           what follows ``--token`` and its kin, as the next argument, the next word or after ``=``
header         what follows ``Authorization:`` and its kin, with or without ``-H``
query          values of query and form fields such as ``?token=…``
token-shape    tokens and private keys that are known by their form (:mod:`runtime.secret_shapes`)
url-userinfo   ``user:password`` of ``scheme://user:password@host``
=============  =======================================================================================

It is best effort: a secret without a name and without a form looks like any other word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import canonical
from runtime.redaction_policy import DEFAULT, Names
from runtime.secret_options import CREDENTIALS, FLAG, OptionValues
from runtime.secret_places import ENVIRONMENT, FIELD, HEADER, QUERY, URL_USERINFO, Lookup, place_spans
from runtime.secret_shapes import TOKEN_SHAPE, shape_spans

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from attest.canonical import Json
    from runtime.redaction_policy import Policy
    from runtime.secret_places import Span

RULES = (CREDENTIALS, ENVIRONMENT, FIELD, FLAG, HEADER, QUERY, TOKEN_SHAPE, URL_USERINFO)

_IN_A_SENTENCE = "\u2039redacted\u203a".encode()

_LEAST_VALUE = 8
_LEAST_WORD = 16
_MOST_VALUES = 256


def secret_values(variables: Mapping[bytes, bytes], policy: Policy = DEFAULT) -> tuple[bytes, ...]:
    """Return the values that variables with the name of a secret have, for :func:`redact_command`.

    What is shorter than eight bytes, or a word of fewer than sixteen letters, is left out: a database's
    password ``postgres`` would take every ``postgres`` out of the record.

    Args:
        variables: the environment.
        policy: which names are those of a secret.
    """
    names = Names(policy.environment)
    found = {
        value
        for name, value in variables.items()
        if name.lower() in names
        and len(value) >= _LEAST_VALUE
        and not (value.isalpha() and len(value) < _LEAST_WORD)
    }
    return tuple(sorted(found, key=len, reverse=True)[:_MOST_VALUES])


def redact_command(
    argv: Sequence[bytes], policy: Policy = DEFAULT, values: Collection[bytes] = ()
) -> list[Json]:
    """Return ``argv`` as it may be recorded.

    Args:
        argv: the arguments as typed, any bytes. argv[0] names the program and is kept as it is, but
            for what the rules find inside it.
        policy: what counts as secret by its name.
        values: what is secret wherever it stands (:func:`secret_values`); used, never kept.

    Returns:
        One value for each argument: text (:func:`attest.canonical.text`), ``{"redacted": RULE}`` or
        ``{"parts": […]}``.
    """
    names = Lookup(policy)
    options = OptionValues(names)
    return [_written(argument, _merged(_spans(argument, options, names, values))) for argument in argv]


def redact_sentence(sentence: str, policy: Policy = DEFAULT, values: Collection[bytes] = ()) -> str:
    """Return a sentence of nono's own, such as an error's message, without the secrets that it quotes.

    Args:
        sentence: text for people; surrogates stand for bytes that are not UTF-8.
        policy: what counts as secret by its name.
        values: what is secret wherever it stands.

    Returns:
        The sentence, with the word *redacted* in angle quotation marks where a secret stood.
    """
    data = sentence.encode("utf-8", "surrogateescape")
    names = Lookup(policy)
    kept = bytearray()
    position = 0
    for start, end, _ in _merged(_spans(data, OptionValues(names), names, values)):
        kept += data[position:start] + _IN_A_SENTENCE
        position = end
    return bytes(kept + data[position:]).decode("utf-8", "surrogateescape")


def _spans(
    argument: bytes, options: OptionValues, names: Lookup, values: Collection[bytes]
) -> Iterator[Span]:
    script = options.expects_script
    spans, whole = options.spans(argument)
    yield from spans
    if whole:
        return
    yield from place_spans(argument, names, script=script)
    yield from ((start, end, TOKEN_SHAPE) for start, end in shape_spans(argument))
    for value in values:
        position = argument.find(value)
        while position >= 0:
            yield position, position + len(value), ENVIRONMENT
            position = argument.find(value, position + len(value))


def _written(argument: bytes, spans: list[Span]) -> Json:
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


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Sort the spans and unite those that overlap, under the rule of the one that starts first.

    A name says more than a form, and of two names the one that reaches further.
    """
    merged: list[Span] = []
    for start, end, rule in sorted(spans, key=lambda span: (span[0], span[2] == TOKEN_SHAPE, -span[1])):
        if start == end:
            continue
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]), merged[-1][2])
        else:
            merged.append((start, end, rule))
    return merged
