"""Lines of JSON that come back from wherever an export went, read so that all readers see the same there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from attest import canonical
from attest.errors import MalformedError
from attest.tree import HASH_BYTES
from verify.exports.format import Claim, Proven, Referred

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attest.canonical import Json


WHITE_SPACE = " \t\r\n"
"""What JSON has around its values (RFC 8259, section 2). More than that no other reader passes over."""


def read_line(line: bytes) -> dict[str, Json]:
    """Return the object on a line, whatever white space and escapes its JSON has.

    Raises:
        MalformedError: it is none; or has a name twice, of which readers take one or the other; or holds what
            no export does: a fraction, a number beyond 2**53 - 1, a lone surrogate.
    """
    try:
        document = _DECODER.decode(line.decode("utf-8").strip(WHITE_SPACE))
        canonical.encode(document)
    except (ValueError, RecursionError):
        raise MalformedError("not JSON") from None
    if not isinstance(document, dict):
        raise MalformedError("not a JSON object")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("a name twice in one object")
    return found


def _refuse(text: str) -> NoReturn:
    raise MalformedError(f"{text} is no number of an export")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=_refuse, parse_constant=_refuse)


def claim_of(document: dict[str, Json], own: Json, launch: Iterable[Json] = ()) -> Claim:
    """Return what a document says of itself that has ``checkpoint`` and ``verdict``.

    Args:
        document: it.
        own: the entry that it stands for: an object with ``index``, ``entry`` and ``inclusion``.
        launch: the others that it speaks of, likewise, or with ``index`` and ``leaf_sha256`` alone.

    Raises:
        MalformedError: something that belongs there is not.
    """
    note, verdict = document.get("checkpoint"), document.get("verdict")
    if not (note is None or isinstance(note, str)) or not isinstance(verdict, str):
        raise MalformedError("no checkpoint or no verdict")
    return Claim(_proven(own), note, verdict, tuple(map(_spoken_of, launch)))


def _spoken_of(said: Json) -> Proven | Referred:
    if not isinstance(said, dict) or said.keys() != {"index", "leaf_sha256"}:
        return _proven(said)
    index, (leaf,) = said["index"], hashes([said["leaf_sha256"]])
    if type(index) is not int or len(leaf) != HASH_BYTES:
        raise MalformedError("no index or no leaf hash")
    return Referred(index, leaf)


def _proven(said: Json) -> Proven:
    if not isinstance(said, dict):
        raise MalformedError("no entry")
    index, entry, path = said.get("index"), said.get("entry"), said.get("inclusion")
    if type(index) is not int or not isinstance(entry, dict):
        raise MalformedError("no index or no entry")
    return Proven(index, canonical.encode(entry), None if path is None else hashes(path))


def hashes(listed: Json) -> tuple[bytes, ...]:
    """Return an inclusion proof, or other hashes, written as hex.

    Raises:
        MalformedError: it is not.
    """
    try:
        if isinstance(listed, list) and all(isinstance(each, str) for each in listed):
            found = tuple(bytes.fromhex(str(each)) for each in listed)
            if [each.hex() for each in found] == listed:
                return found
    except ValueError:
        pass
    raise MalformedError("no inclusion proof")
