r"""What the index needs of an entry, without reading more of it than that.

An entry's canonical form ends in ``,"kind":K,"seq":N,"session":S,"time":T,"v":1}``: its data comes first,
and the last brace closes the entry, so these are members of the entry itself whatever its data holds.
Data is parsed where a row needs it. Of a start, by far the longest entry, that is the executable and the
capabilities, and the latter are the same in one launch after another.

Whether an entry is in its canonical form, and of its schema, is left to the verifier: the index is never
evidence, and at worst it lists wrongly what a hostile ledger says wrongly.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attest import entry as entries
from attest.fast_json import orjson

if TYPE_CHECKING:
    from attest.canonical import Json

_MEMBERS = {"v", "kind", "session", "seq", "time", "data"}

_HEAD = b'{"data":{'
_DATA_AT = len(_HEAD) - 1
_TAIL = re.compile(
    rb',"kind":"([a-z_.]{1,64})","seq":[0-9]{1,16},"session":(?:"([0-9a-f]{32})"|null)'
    rb',"time":"([0-9TZ:.-]{1,64})","v":1\}\Z'
)
_MAX_TAIL = 300

_CAPABILITIES = b'{"capabilities":'
_BEHIND_CAPABILITIES = b',"capabilities_sha256":"'
_EXECUTABLE = b',"executable":'
_BEHIND_EXECUTABLE = b',"interpreters":'

_MAX_KNOWN = 2_048
_MAX_KNOWN_BYTES = 1 << 14

_NEEDED = frozenset({entries.INTENT, entries.START, entries.DECISION, entries.OUTCOME})

_SEARCHED: tuple[Json, ...] = ("user", "profile")
"""Sources of grants. What every launch is granted by default tells none from another."""


Glance = tuple[str, "str | None", str, bytes, int]
"""What is seen of an entry: kind, session and time; its bytes, and where its data ends in them.

The last is 0 where the data does not stand in its usual place. A plain tuple: there are millions of them.
"""


class Glances:
    """Looks at one entry after another, and remembers what many of them repeat."""

    def __init__(self) -> None:
        self._granted: dict[bytes, Json] = {}

    @staticmethod
    def at(body: bytes | None) -> Glance | None:
        """Return what is seen of an entry without parsing its data, or None if it cannot be read."""
        if body is None or len(body) > entries.MAX_BYTES:
            return None
        tail = _TAIL.search(body, max(0, len(body) - _MAX_TAIL)) if body.startswith(_HEAD) else None
        if tail is None:
            entry = parsed(body)
            return None if entry is None else (entry.kind, entry.session, entry.time, body, 0)
        end = tail.start()
        kind, session, time = tail.groups()
        named = None if session is None else str(session, "ascii")
        return str(kind, "ascii"), named, str(time, "ascii"), body, end

    def data(self, glance: Glance) -> dict[str, Json] | None:
        """Return those members of the data that a row is made of, and maybe others.

        Returns:
            None if the data cannot be read.
        """
        kind, _, _, body, end = glance
        if kind not in _NEEDED:
            return {}
        if end == 0:
            entry = parsed(body)
            return None if entry is None else entry.data
        written = body[_DATA_AT:end]
        found = self._of_start(written) if kind == entries.START else None
        data = _loaded(written) if found is None else found
        return data if isinstance(data, dict) else None

    def _of_start(self, written: bytes) -> dict[str, Json] | None:
        """Return the executable and the grants, or None if they are not where they should be."""
        capabilities_end = written.find(_BEHIND_CAPABILITIES)
        executable_at = written.find(_EXECUTABLE, capabilities_end)
        executable_end = written.find(_BEHIND_EXECUTABLE, executable_at)
        if not written.startswith(_CAPABILITIES) or not 0 < capabilities_end < executable_at < executable_end:
            return None
        executable = _loaded(written[executable_at + len(_EXECUTABLE) : executable_end])
        repeated = written[len(_CAPABILITIES) : capabilities_end]
        granted = self._granted.get(repeated)
        if granted is None:
            granted = _without_defaults(_loaded(repeated))
            if len(self._granted) >= _MAX_KNOWN:
                self._granted.clear()
            if len(repeated) <= _MAX_KNOWN_BYTES:
                self._granted[repeated] = granted
        if executable is None or granted is None:
            return None
        return {"capabilities": granted, "executable": executable}


def searched(grants: Json) -> list[dict[str, Json]]:
    """Return those of a list of grants that launches are searched by."""
    if not isinstance(grants, list):
        return []
    return [grant for grant in grants if isinstance(grant, dict) and grant.get("source") in _SEARCHED]


def _without_defaults(capabilities: Json) -> Json:
    if isinstance(capabilities, dict) and "files" in capabilities:
        return {"files": [*searched(capabilities["files"])]}
    return capabilities


def parsed(body: bytes | None) -> entries.Entry | None:
    """Return the entry in ``body`` in whatever form it is written, or None if it is none."""
    if body is None or len(body) > entries.MAX_BYTES:
        return None
    document = _loaded(body)
    if not isinstance(document, dict) or document.keys() != _MEMBERS:
        return None
    kind, session, seq, time, data = (document[name] for name in ("kind", "session", "seq", "time", "data"))
    if (
        document["v"] != entries.VERSION
        or type(document["v"]) is not int
        or type(kind) is not str
        or not (session is None or type(session) is str)
        or type(seq) is not int
        or type(time) is not str
        or type(data) is not dict
    ):
        return None
    return entries.Entry(kind, session, seq, time, data)


def _loaded(written: bytes) -> Json:
    try:
        document: Json = orjson.loads(written)
    except orjson.JSONDecodeError:
        return None
    return document
