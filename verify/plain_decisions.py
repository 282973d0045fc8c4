"""Decisions in their plain form, read by `msgspec` in a third of the time that the general way takes.

Most entries of a long ledger are decisions, and most of those are plain: text that is a string, and no
member that is seldom there. For them the closed schema is translated into structures of ``msgspec``, whose
members stand in the order of canonical JSON. What is read into such a structure and comes out as the same
bytes when it is written is canonical, and of the schema. Whatever the translation has no word for (a
pattern, bytes that are no text) it leaves out, so a decision that has it is no plain one: it is read the
general way (:mod:`verify.forms`), as is every decision that is not well-formed. So what a decision looks
like is said in one place, the schema, and there is only one that says no.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from attest import entry, schema

if TYPE_CHECKING:
    from collections.abc import Container

_COMMON = "urn:nono-attest:schema:v1:common#/$defs/"

# What stands here for two patterns: a datetime of a zone is written as the pattern of times has it, unless
# its microseconds are 0, its zone is not UTC (both make it of another length) or its year is below 1000; a
# session id is looked up.
_TYPED: dict[str, Any] = {"time": Annotated[datetime, msgspec.Meta(tz=True)], "session": str}

_SAYS_NOTHING = {"$id", "$schema", "title", "description"}
_YEAR, _BEHIND_TIME = -35, -8  # of what is written: ``"time":"2026-01-31T12:00:00.000001Z","v":1}``
_BEFORE_TIME, _TIME = _YEAR - 8, b'"time":"'
_ZERO = ord("0")


class _NoWordError(Exception):
    """A part of a schema that the structures have no word for."""


class PlainDecisions:
    """The plain form of decisions."""

    __slots__ = ("_decode", "_encode")

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(_typed(schema.load(entry.DECISION))).decode
        self._encode = msgspec.json.Encoder().encode

    def read(self, body: bytes, sessions: Container[str]) -> Any:
        """Return a decision of its schema, with its members as attributes, or None when it is no plain one.

        Its time is not to be used; see :meth:`time_of`.

        Args:
            body: what may be an entry of any kind, of not more bytes than one may have.
            sessions: session ids; a decision of another session is no plain one.
        """
        try:
            decision = self._decode(body)
        except (msgspec.MsgspecError, RecursionError):
            return None
        if self._encode(decision) != body or decision.session not in sessions:
            return None
        if body[_BEFORE_TIME:_YEAR] != _TIME or body[_YEAR] == _ZERO:
            return None
        return decision

    @staticmethod
    def time_of(body: bytes) -> str:
        """Return the time of a plain decision, as it is written."""
        return body[_YEAR:_BEHIND_TIME].decode()


def _typed(node: dict[str, Any]) -> Any:
    """Return the type of what is valid under a schema and plain.

    Raises:
        _NoWordError: there is a keyword for which there is no word.
    """
    words = {name: said for name, said in node.items() if name not in _SAYS_NOTHING}
    match words:
        case {"$ref": str(name), **rest} if not rest and name.startswith(_COMMON):
            name = name.removeprefix(_COMMON)
            return _TYPED[name] if name in _TYPED else _typed(schema.load(schema.COMMON)["$defs"][name])
        case {"const": str() | int() as value, **rest} if not rest and not isinstance(value, bool):
            return Literal[value]
        case {"enum": [*values], **rest} if not rest and all(isinstance(value, str) for value in values):
            return Literal[tuple(values)]
        case {"anyOf": [*branches], **rest} if not rest and {"type": "string"} in branches:
            return str
        case {"type": "string", **rest} if rest.keys() <= {"maxLength"}:
            return Annotated[str, msgspec.Meta(max_length=rest.get("maxLength"))]
        case {"type": "integer", "minimum": least, "maximum": most, **rest} if not rest:
            return Annotated[int, msgspec.Meta(ge=least, le=most)]
        case {
            "type": "object",
            "additionalProperties": False,
            "required": required,
            "properties": members,
            **rest,
        }:
            if not rest:
                return _structure(members, frozenset(required))
    raise _NoWordError(sorted(words))


def _structure(members: dict[str, Any], required: frozenset[str]) -> Any:
    """Return the structure of a closed object; it lacks those optional members that have no type."""
    fields: list[Any] = []
    for name in sorted(members):
        if name in required:
            fields.append((name, _typed(members[name])))
            continue
        try:
            fields.append((name, _typed(members[name]) | msgspec.UnsetType, msgspec.UNSET))
        except _NoWordError:
            continue
    return msgspec.defstruct("Members", fields, kw_only=True, forbid_unknown_fields=True, gc=False)
