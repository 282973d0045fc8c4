"""Canonical JSON of many documents: the bytes of :mod:`attest.canonical`, without the walk, by ``orjson``.

For who knows by other means that a document lies inside the model: by a closed schema, or because each part
of it was decoded before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest.errors import MalformedError
from attest.fast_json import orjson

if TYPE_CHECKING:
    from attest.canonical import Json

_SORTED_AND_STRICT = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


def encode(document: Json) -> bytes:
    """Return the canonical UTF-8 bytes of ``document``, every part of which was decoded before."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def decode(data: bytes) -> Json:
    """Return the document whose form as we write it is exactly ``data``, without a look at its types.

    Beyond what :func:`attest.canonical.decode` takes, this takes floats, keys outside ``[!-~]+`` and deeper
    nesting. It is for a caller that knows by a closed schema that there is none of it.

    Raises:
        MalformedError: ``data`` is not JSON, has an integer beyond 2**53 - 1, or is another form of it.
    """
    try:
        document: Json = orjson.loads(data)
        if orjson.dumps(document, option=_SORTED_AND_STRICT) == data:
            return document
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        raise MalformedError("not JSON of this model") from None
    raise MalformedError("JSON, but not in its canonical form")
