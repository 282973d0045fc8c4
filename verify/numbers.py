"""Where in an entry a number can stand, read off its kind's closed schema.

JSON Schema takes ``1.0`` for an integer, and ``1.0`` written again is ``1.0``: neither the schema nor
the re-formatting refuses a float. Walking every document for it is a good part of the verifier's time,
but a document that is valid under a closed schema can have a number only where the schema has one, so
only there must be looked. A schema that says more than this module understands is an error, not a gap.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from attest import schema

if TYPE_CHECKING:
    from collections.abc import Callable

# Keywords that only narrow down what other keywords admit.
_NARROWING = frozenset(
    {
        "$id", "$schema", "$defs", "title", "description", "required", "minimum", "maximum", "minItems",
        "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "pattern", "format",
        "propertyNames", "uniqueItems", "contains", "dependentSchemas", "dependentRequired", "not",
        "additionalProperties", "type", "const", "enum",
    }
)  # fmt: skip
_ADMITTING = frozenset({"$ref", "properties", "items", "anyOf", "oneOf"})


class _Places:
    """The numbers at and below one place."""

    __slots__ = ("items", "members", "number", "rest")

    def __init__(
        self,
        *,
        members: dict[str, _Places] | None = None,
        items: _Places | None = None,
        rest: _Places | None = None,
    ) -> None:
        self.number = False
        self.members = {} if members is None else members
        self.items = items
        self.rest = rest

    def any(self) -> bool:
        return bool(self.number or self.members or self.items or self.rest)


@functools.cache
def has_only_integers(kind: str) -> Callable[[dict[str, Any]], bool]:
    """Return a function that says whether no number is a float in a document that is valid under ``kind``."""
    return _compiled(_places(schema.load(kind)))


@functools.cache
def _common() -> dict[str, Any]:
    return schema.load(schema.COMMON)


@functools.cache
def _defined(name: str) -> _Places:
    return _places(_common()["$defs"][name])


def _places(node: Any) -> _Places:
    found = _Places()
    if node is False:
        return found
    if node is True:
        raise ValueError("a schema that admits anything")
    unknown = node.keys() - _NARROWING - _ADMITTING
    if unknown:
        raise ValueError(f"schema keywords that are not understood: {sorted(unknown)}")
    kind = node.get("type")
    values = [node["const"]] if "const" in node else node.get("enum", [])
    found.number = kind in {"integer", "number"} or any(type(value) in {int, float} for value in values)
    others = node.get("additionalProperties")
    if (kind == "object" and others is None) or (others and "propertyNames" not in node):
        raise ValueError("an object schema that is not closed")
    if "$ref" in node:
        _merge(found, _defined(node["$ref"].rpartition("/")[2]))
    for name, member in node.get("properties", {}).items():
        _merge(found, _Places(members={name: _places(member)}))
    if others:
        _merge(found, _Places(rest=_places(others)))
    if "items" in node:
        _merge(found, _Places(items=_places(node["items"])))
    elif kind == "array":
        raise ValueError("an array schema without its items")
    for branch in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        _merge(found, _places(branch))
    return found


def _merge(into: _Places, other: _Places) -> None:
    into.number |= other.number
    for name, places in other.members.items():
        if places.any():
            _merge(into.members.setdefault(name, _Places()), places)
    for side in ("items", "rest"):
        places = getattr(other, side)
        if places is not None and places.any():
            if getattr(into, side) is None:
                setattr(into, side, _Places())
            _merge(getattr(into, side), places)


def _compiled(places: _Places) -> Callable[[Any], bool]:
    numbers = tuple(name for name, below in places.members.items() if below.number)
    members = tuple(
        (name, _compiled(below))
        for name, below in places.members.items()
        if below.members or below.items or below.rest
    )
    items = None if places.items is None else _compiled(places.items)
    rest = None if places.rest is None else _compiled(places.rest)

    def holds(value: Any) -> bool:
        kind = type(value)
        if kind is dict:
            for name in numbers:
                if type(value.get(name)) is float:
                    return False
            for name, below in members:
                if name in value and not below(value[name]):
                    return False
            return rest is None or all(rest(member) for member in value.values())
        if kind is list:
            return items is None or all(items(item) for item in value)
        return kind is not float

    return holds
