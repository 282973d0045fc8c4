"""Text of a ledger in files that people open: every byte of it may have been chosen by an attacker.

JSON is written in printable ASCII alone, where each other character of a string stands as its escape: the
same document, without a byte that a terminal obeys or a reader of lines takes for the end of one.
"""

from __future__ import annotations

import base64
import json
import shlex
from typing import TYPE_CHECKING

from attest import canonical
from attest.errors import MalformedError
from attest.fast_json import orjson

if TYPE_CHECKING:
    from attest.canonical import Json


def ascii_json(data: bytes) -> bytes:
    """Return JSON text in printable ASCII: outside of strings it has nothing else."""
    if data.isascii() and b"\x7f" not in data:
        return data
    plain = json.dumps(orjson.loads(data), ensure_ascii=True, separators=(",", ":"))
    return plain.encode("ascii").replace(b"\x7f", b"\\u007f")


def document_json(document: object) -> bytes:
    """Return a document as JSON in printable ASCII, with its keys sorted."""
    return ascii_json(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))


def entry_json(body: bytes) -> bytes:
    """Return an entry as it stands in an export: its JSON, or ``{"base64": …}`` for what is not canonical."""
    try:
        canonical.decode_object(body)
    except MalformedError:
        return b'{"base64":"%s"}' % base64.b64encode(body)
    return ascii_json(body)


def shown(value: Json) -> str:
    """Return a text of an entry (:func:`attest.canonical.text`), or what stands in its place, for people."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        if "base64" in value:
            return f"base64:{value['base64']}"
        if "redacted" in value:
            return f"[redacted: {value['redacted']}]"
        parts, beside = value.get("parts"), value.get("blob")
        if isinstance(parts, list):
            return "".join(map(shown, parts))
        if isinstance(beside, dict):
            return f"[beside the entry: sha256 {beside['sha256']}, {beside['size']} bytes]"
    return canonical.encode(value).decode("utf-8")


def command_line(command: Json) -> str:
    """Return a recorded command as a shell would take it, as far as it was recorded."""
    if isinstance(command, list):
        return " ".join(shlex.quote(shown(argument)) for argument in command)
    return shown(command)
