"""Text of a ledger in files that people open: every byte of it may have been chosen by an attacker.

JSON is written in printable ASCII alone, where each other character of a string stands as its escape: the
same document, without a byte that a terminal obeys or a reader of lines takes for the end of one.
"""

from __future__ import annotations

import base64
import codecs
import functools
import shlex
from typing import TYPE_CHECKING

from attest import canonical, runner_commands
from attest.errors import MalformedError
from attest.fast_json import orjson

if TYPE_CHECKING:
    from attest.canonical import Json

_AS_JSON = "nono-json-escape"
"""How this module has an encoder write what it cannot."""
_LONGEST_ESCAPE = 12
"""Of a character in JSON: two halves, 6 bytes each."""
_MARK = 32
"""Characters that make room for the mark of what was cut, whatever stood there."""


def ascii_json(data: bytes) -> bytes:
    """Return JSON text in printable ASCII, without a command to the runner of a pipeline.

    Outside of strings it has nothing else and no such command: there escapes make the same document of it.
    """
    data = runner_commands.json_without(data)
    if data.isascii() and b"\x7f" not in data:
        return data
    # A checkpoint has a dash that is none of ASCII, so with proofs each line comes here.
    return data.decode("utf-8").encode("ascii", _AS_JSON).replace(b"\x7f", b"\\u007f")


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that are not ASCII: an escape of JSON for each half of UTF-16."""
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


codecs.register_error(_AS_JSON, _escape)


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


MAX_BRIEF = 1_024
"""What :func:`brief` leaves of a text, in bytes of JSON."""


def brief(text: str) -> str:
    """Return a text of at most :data:`MAX_BRIEF` bytes of JSON: of a longer one the beginning and length."""
    if len(text) <= MAX_BRIEF // 2 and text.isascii() and text.isprintable():
        return text  # as most are, without a look at each character
    left = MAX_BRIEF
    for at, char in enumerate(text[: MAX_BRIEF + 1]):
        left -= 1 if " " <= char <= "~" and char not in '"\\' else 6 if char <= "\uffff" else _LONGEST_ESCAPE
        if left < 0:
            return f"{text[: max(0, at - _MARK)]}... [{len(text)} characters]"
    return text


def brief_command(command: Json) -> str:
    """Return :func:`command_line`, as :func:`brief` has it: every event of a launch says that of it."""
    return _brief_command(orjson.dumps(command))


@functools.lru_cache(maxsize=32)  # 2 MiB at most; to quote arguments that fill an entry takes milliseconds
def _brief_command(command: bytes) -> str:
    return brief(command_line(orjson.loads(command)))


def command_line(command: Json) -> str:
    """Return a recorded command as a shell would take it, as far as it was recorded."""
    if isinstance(command, list):
        return " ".join(shlex.quote(shown(argument)) for argument in command)
    return shown(command)
