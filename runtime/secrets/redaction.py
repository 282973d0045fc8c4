"""Secrets are taken out of a command line before it is recorded (design 2, "Canonical JSON"; 7).

An argument is written as text, as ``{"redacted": RULE}`` when all of it is secret, or as
``{"parts": […]}`` with at least two parts when some of it is. No hash of what was taken out is kept:
a short secret could be guessed from it.

What is secret is known by a name before it, by its form, or because the environment holds it under the
name of a secret. All rules work on bytes, in linear time, and err on the side of taking out too much.

=============  =======================================================================================
credentials    ``user:password`` after ``-u`` and its kin (:mod:`runtime.secrets.secret_options`)
environment    values of ``GITHUB_TOKEN=…`` and its kin, and the values that such variables have
field          ``"password": "…"`` in JSON and in program texts (:mod:`runtime.secrets.secret_places`)
flag           what follows ``--token`` and its kin, as the next argument, the next word or after ``=``
header         what follows ``Authorization:`` and its kin, with or without ``-H``
query          values of query and form fields such as ``?token=…``
token-shape    tokens and private keys that are known by their form (:mod:`runtime.secrets.secret_shapes`)
url-userinfo   ``user:password`` of ``scheme://user:password@host``
=============  =======================================================================================

It is best effort: a secret without a name and without a form looks like any other word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import canonical
from runtime.secrets.redaction_policy import DEFAULT
from runtime.secrets.secret_options import CREDENTIALS, FLAG, OptionValues
from runtime.secrets.secret_places import ENVIRONMENT, FIELD, HEADER, QUERY, URL_USERINFO, Lookup, place_spans
from runtime.secrets.secret_shapes import TOKEN_SHAPE, shape_spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from attest.canonical import Json
    from runtime.secrets.redaction_policy import Names, Policy
    from runtime.secrets.secret_places import Span

RULES = (CREDENTIALS, ENVIRONMENT, FIELD, FLAG, HEADER, QUERY, TOKEN_SHAPE, URL_USERINFO)

_IN_A_SENTENCE = "\u2039redacted\u203a".encode()

_LEAST_VALUE = 8
_LEAST_SECRET = 4
_LEAST_WORD = 16
_MOST_VALUES = 256


class Redactor:
    """Takes the secrets out of what one launch records.

    Args:
        policy: what counts as secret by its name.
        variables: the environment. Values that stand in it under the name of a secret are taken out
            wherever else they stand; they are never recorded.

    Attributes:
        policy: as given.
    """

    __slots__ = ("_names", "_values", "policy")

    def __init__(self, policy: Policy = DEFAULT, variables: Mapping[bytes, bytes] | None = None) -> None:
        self.policy = policy
        self._names = Lookup(policy)
        self._values = _secret_values(variables or {}, self._names.environment)

    def add_secrets(self, secrets: Iterable[bytes]) -> None:
        """Have values taken out wherever they stand, as those of variables with a secret's name are.

        Args:
            secrets: the values. Here nothing is guessed, so a word is enough; but what is shorter than four
                bytes would be taken out of everything, and is left.
        """
        added = {value for secret in secrets for value in (secret, secret.strip())}
        found = added.union(self._values)
        self._values = sorted((v for v in found if len(v) >= _LEAST_SECRET), key=len, reverse=True)

    def command(self, argv: Sequence[bytes]) -> list[Json]:
        """Return ``argv`` as it may be recorded.

        Args:
            argv: the arguments as typed, any bytes. argv[0] names the program and is kept as it is, but
                for what the rules find inside it.

        Returns:
            One value for each argument: text (:func:`attest.canonical.text`), ``{"redacted": RULE}`` or
            ``{"parts": […]}``.
        """
        options = OptionValues(self._names)
        return [_written(argument, self._spans(argument, options)) for argument in argv]

    def sentence(self, sentence: str) -> str:
        """Return a sentence of nono's own, such as an error's message, without the secrets that it quotes.

        Args:
            sentence: text for people; surrogates stand for bytes that are not UTF-8.

        Returns:
            The sentence, with the word *redacted* in angle quotation marks where a secret stood.
        """
        data = sentence.encode("utf-8", "surrogateescape")
        kept = bytearray()
        position = 0
        for start, end, _ in self._spans(data, OptionValues(self._names)):
            kept += data[position:start] + _IN_A_SENTENCE
            position = end
        return bytes(kept + data[position:]).decode("utf-8", "surrogateescape")

    def finds_in(self, text: bytes) -> bool:
        """Return whether a text holds something that would be taken out of a command."""
        return bool(self._spans(text, OptionValues(self._names)))

    def _spans(self, argument: bytes, options: OptionValues) -> list[Span]:
        is_script = options.expects_script
        spans, whole = options.spans(argument)
        if not whole:
            spans += place_spans(argument, self._names, script=is_script)
            spans += [(start, end, TOKEN_SHAPE) for start, end in shape_spans(argument)]
            for value in self._values:
                position = argument.find(value)
                while position >= 0:
                    spans.append((position, position + len(value), ENVIRONMENT))
                    position = argument.find(value, position + len(value))
        return _merged(spans)


def _secret_values(variables: Mapping[bytes, bytes], names: Names) -> list[bytes]:
    """Return the values that variables with the name of a secret have, the longest first.

    What is shorter than eight bytes, or a word of fewer than sixteen letters, is left out: a database's
    password ``postgres`` would take every ``postgres`` out of the record.
    """
    found = {
        value
        for name, value in variables.items()
        if len(value) >= _LEAST_VALUE
        and name.lower() in names
        and not (len(value) < _LEAST_WORD and value.isalpha())
    }
    return sorted(found, key=len, reverse=True)[:_MOST_VALUES]


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
