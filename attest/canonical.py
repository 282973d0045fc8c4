r"""Canonical JSON: RFC 8785 (JCS) over a small model, and how this project writes values in it.

The model: objects whose keys match ``[!-~]+``, arrays, strings of Unicode scalar values, booleans,
null, and integers with ``|n| < 2**53``; nesting at most 16 deep. On that model the bytes of Python's
``json`` with sorted keys and no white space *are* the bytes of RFC 8785 (keys are ASCII, so sorting by
UTF-16 code unit, by code point and by byte agree; there are no floats; string escapes are the same).

A launch loads this module, and ``orjson`` would cost its start as much as everything else of ours: who has
many documents to read takes :mod:`attest.canonical_in_bulk`.

Reading is re-formatting: parse, walk the types, write again, compare. Duplicate keys, white space,
``\u`` forms, floats, ``-0``, lone surrogates and anything else that is not the one form of its
value fail that comparison or the walk, and are one error: *malformed*.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, TypeAlias

from attest.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Written as a string: a recursive alias cannot name itself at run time before Python 3.12.
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | bool | None"

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 16

# Cycles are nested too deep before the encoder sees them.
_encoder = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)
_decoder = json.JSONDecoder()


def encode(document: Json) -> bytes:
    """Return the canonical UTF-8 bytes of ``document``.

    Raises:
        MalformedError: the document lies outside the model (RFC 8785 over the small model above).
    """
    _walk(document, 0)
    try:
        return _encoder.encode(document).encode("utf-8")
    except UnicodeEncodeError as error:  # lone surrogates
        raise MalformedError(f"not canonical JSON: {error}") from None


def decode(data: bytes) -> Json:
    """Return the document whose canonical form is exactly ``data`` (UTF-8).

    Raises:
        MalformedError: ``data`` is not JSON, lies outside the model, or is another form of it.
    """
    try:
        document: Json = _decoder.decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise MalformedError("not JSON") from None
    if encode(document) != data:
        raise MalformedError("JSON, but not in its canonical form")
    return document


def decode_object(data: bytes) -> dict[str, Json]:
    """Return the object whose canonical form is exactly ``data``; see :func:`decode`."""
    document = decode(data)
    if not isinstance(document, dict):
        raise MalformedError("not a JSON object")
    return document


def _walk(value: object, depth: int) -> None:
    """Refuse what the encoder would write but the model does not have: types are compared, not bases.

    Every entry that is written passes here, so scalars are judged where they stand instead of in a call of
    their own, and keys that were judged once are not judged again.
    """
    kind = type(value)
    children: Iterable[object]
    if kind is dict:
        # What only equals a known key is none: the encoder would write a subclass of str as one.
        if not _KNOWN_KEYS.issuperset(value) or not _PLAIN.issuperset(map(type, value)):  # type: ignore[arg-type, call-overload]  # kind is dict
            _check_keys(value)  # type: ignore[arg-type]  # kind is dict
        children = value.values()  # type: ignore[attr-defined]  # kind is dict
    elif kind is list:
        children = value  # type: ignore[assignment]  # kind is list
    else:
        children = (value,)
        depth -= 1
    if depth == MAX_DEPTH:
        raise MalformedError(f"nested more than {MAX_DEPTH} deep")
    for child in children:
        kind = type(child)
        if kind is str or kind is bool or child is None:
            continue
        if kind is int:
            if not -MAX_INTEGER <= child <= MAX_INTEGER:  # type: ignore[operator]  # kind is int
                raise MalformedError("an integer beyond 2**53 - 1")
        elif kind is dict or kind is list:
            _walk(child, depth + 1)
        else:
            raise MalformedError(f"a value of a type that JSON here does not have: {kind.__name__}")


# Every key that our schemas name ends up here; what a hostile document brings is bounded.
_KNOWN_KEYS: set[str] = set()
_PLAIN = frozenset({str})
_MAX_KNOWN_KEYS = 1_024


def _check_keys(keys: Iterable[object]) -> None:
    for key in keys:
        if type(key) is not str or not key or not _is_key(key):
            raise MalformedError("a key outside [!-~]+")
        if len(_KNOWN_KEYS) < _MAX_KNOWN_KEYS:
            _KNOWN_KEYS.add(key)


def _is_key(key: str) -> bool:
    # ASCII without control characters and without the space: a range check on the extremes is not
    # enough for every character, isascii + isprintable is exactly [ -~].
    return key.isascii() and key.isprintable() and " " not in key


def text(data: bytes) -> Json:
    """Write bytes that are usually text: a string if they are UTF-8, else ``{"base64": …}``.

    Arguments, paths and names can be any bytes; what is valid UTF-8 is a string, always.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def text_bytes(value: Json) -> bytes:
    """Return the bytes that :func:`text` wrote as ``value``.

    Raises:
        MalformedError: ``value`` is no text form, or is not the one form of its bytes.
    """
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError:
            raise MalformedError("a string with lone surrogates") from None
    if not isinstance(value, dict) or list(value) != ["base64"]:
        raise MalformedError("neither a string nor {base64}")
    data = decode_base64(value["base64"])
    if text(data) != value:
        raise MalformedError("base64 where a string would do")
    return data


def decode_base64(value: Json) -> bytes:
    """Return the bytes of standard, padded, canonical base64 (RFC 4648, sections 4 and 3.5).

    Raises:
        MalformedError: any other alphabet, missing padding, white space or stray trailing bits.
    """
    if not isinstance(value, str):
        raise MalformedError("base64 that is not a string")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("not base64") from None
    if base64.b64encode(data).decode("ascii") != value:
        raise MalformedError("base64, but not in its canonical form")
    return data
