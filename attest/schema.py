"""The closed JSON Schemas of every kind, and of the predicate (``attest/schemas/``, draft 2020-12).

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

if TYPE_CHECKING:
    from attest.canonical import Json

COMMON = "common"
PREDICATE = "predicate.launch"

BYTES_FORMAT = "nono-bytes"
"""The one ``format`` of ours in the schemas: base64 of bytes that are not UTF-8, so could not be a string."""

_MAX_WHERE = 200

_DIRECTORY = os.path.join(os.path.dirname(__file__), "schemas")


def load(name: str) -> dict[str, Any]:
    """Return one schema document: a kind, :data:`PREDICATE` or :data:`COMMON`."""
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
    checker = validator(kind)
    if not checker.is_valid(document):
        _refuse(checker, document, "entry.schema")


def check_predicate(predicate: Json) -> None:
    """Check a predicate against its schema.

    Raises:
        MalformedError: it is not of that form (``predicate.schema``).
    """
    checker = validator(PREDICATE)
    if not checker.is_valid(predicate):
        _refuse(checker, predicate, "predicate.schema")


def _refuse(checker: jsonschema_rs.Draft202012Validator, document: Json, code: str) -> None:
    error = next(iter(checker.iter_errors(document)))
    # A path holds names from the document, which may be as long as an entry.
    where = "/".join(str(part) for part in error.instance_path)[:_MAX_WHERE] or "the document"
    raise MalformedError(f"not of its schema at {where}", code=code)
