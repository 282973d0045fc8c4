"""The closed JSON Schemas: every kind, the predicate, evidence (``attest/schemas/``, draft 2020-12).

Not imported by the launch: the validator's library costs it 18 ms, and what the launch writes has
its form from the code that builds it. The verifier checks every entry here.
"""

from __future__ import annotations

import functools
import json
import os
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from attest import canonical
from attest.entry import KINDS
from attest.errors import MalformedError
from attest.named_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attest.canonical import Json

COMMON = "common"
PREDICATE = "predicate.launch"
EVIDENCE = "evidence"

BYTES_FORMAT = "nono-bytes"
"""The one ``format`` of ours in the schemas: base64 of bytes that are not UTF-8, so could not be a string."""

_MAX_WHERE = 200
_COMMON_DEFINITIONS = "urn:nono-attest:schema:v1:common#/$defs/"

_DIRECTORY = os.path.join(os.path.dirname(__file__), "schemas")


def load(name: str) -> dict[str, Any]:
    """Return one schema document: a kind, :data:`PREDICATE`, :data:`EVIDENCE` or :data:`COMMON`."""
    with open(os.path.join(_DIRECTORY, f"{name}.json"), encoding="utf-8") as file:
        document: dict[str, Any] = json.load(file)
    return document


@functools.cache
def _registry() -> jsonschema_rs.Registry:
    common = load(COMMON)
    return jsonschema_rs.Registry([(common["$id"], common)])


@functools.cache
def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    """Return the compiled validator of one schema; see :func:`load`."""
    return jsonschema_rs.Draft202012Validator(
        load(name), registry=_registry(), formats={BYTES_FORMAT: is_bytes}, validate_formats=True
    )


def is_bytes(value: str) -> bool:
    """Return whether ``value`` is what stands in ``{"base64": …}``; see :data:`BYTES_FORMAT`."""
    try:
        canonical.text_bytes({"base64": value})
    except MalformedError:
        return False
    return True


def check_entry(document: dict[str, Json]) -> None:
    """Check an entry's document against the schema of its kind.

    Raises:
        MalformedError: the kind is not known (``entry.kind``), or the document is not of its form
            (``entry.schema``); the message says where.
    """
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise MalformedError("an entry of a kind that this version does not know", code="entry.kind")
    if not validator(kind).is_valid(document):
        _refuse(kind, document, "entry.schema")


def check_predicate(predicate: Json) -> None:
    """Check a predicate against its schema.

    Raises:
        MalformedError: it is not of that form (``predicate.schema``).
    """
    if not validator(PREDICATE).is_valid(predicate):
        _refuse(PREDICATE, predicate, "predicate.schema")


def check_evidence(line: Json) -> None:
    """Check one line of evidence against its schema.

    Raises:
        MalformedError: it is not of that form (``evidence.schema``).
    """
    if not validator(EVIDENCE).is_valid(line):
        raise MalformedError("not of the schema of evidence", code="evidence.schema")


def check_file_grant(grant: Json) -> None:
    """Check what a capability set lists of files against its schema.

    Raises:
        MalformedError: it is not of that form (``entry.schema``).
    """
    if not _place(COMMON, ("$defs", "file_grant")).validator.is_valid(grant):
        raise MalformedError("not of the schema of a file grant", code="entry.schema")


def _refuse(name: str, document: Json, code: str) -> None:
    # A path holds names from the document, which may be as long as an entry.
    where = "/".join(_way_to_what_is_wrong(name, document))[:_MAX_WHERE] or "the document"
    raise MalformedError(f"not of its schema at {where}", code=code)


def _way_to_what_is_wrong(name: str, document: Json) -> Iterator[str]:
    """Yield the members and indices that lead to the first value that is not of its own schema.

    The library could say so too, but it puts all errors together first, each with the whole document in
    its text: seconds for an entry of 65 kB. Asking it again and again for yes or no takes a millisecond.
    """
    place: _Place | None = _place(name, ())
    while place is not None:
        place, key, document = place.first_wrong(document)
        if place is not None:
            yield key


class _Place(NamedTuple):
    """A schema within a schema document: what it is made of, and its validator."""

    node: dict[str, Any]
    validator: jsonschema_rs.Draft202012Validator
    name: str
    path: tuple[str, ...]

    def first_wrong(self, value: Json) -> tuple[_Place | None, str, Json]:
        """Return the first member or item of ``value`` that is wrong by itself, and where it stands."""
        if isinstance(value, dict):
            for key in sorted(self.node.get("properties", {}).keys() & value.keys()):
                member = _place(self.name, (*self.path, "properties", key))
                if not member.validator.is_valid(value[key]):
                    return member, key, value[key]
        elif isinstance(value, list) and "items" in self.node:
            place = _place(self.name, (*self.path, "items"))
            for index, item in enumerate(value):
                if not place.validator.is_valid(item):
                    return place, str(index), item
        return None, "", None


@functools.cache
def _place(name: str, path: tuple[str, ...]) -> _Place:
    node: Any = _document(name)
    for part in path:
        node = node[part]
    if isinstance(node, dict) and str(node.get("$ref", "")).startswith(_COMMON_DEFINITIONS):
        return _place(COMMON, ("$defs", node["$ref"].removeprefix(_COMMON_DEFINITIONS)))
    compiled = jsonschema_rs.Draft202012Validator(
        # The dialect stands in the document's root only, and without it a part would be of the newest.
        {"$schema": _document(name)["$schema"], **node} if isinstance(node, dict) else node,
        registry=_registry(),
        formats={BYTES_FORMAT: is_bytes},
        validate_formats=True,
    )
    return _Place(node if isinstance(node, dict) else {}, compiled, name, path)


@functools.cache
def _document(name: str) -> dict[str, Any]:
    return load(name)
