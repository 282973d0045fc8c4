"""File grants that were seen before, so that a start is read without looking at each of them again.

Most of a start is its capability set, and most of that are grants that every launch on a host has: its
system's files. Each is known by its bytes here once it was found canonical and of its schema. Canonical JSON
of a list is that of its items with commas between, so a start whose grants are all known has its form
exactly when the same start without them has it. What is known is bounded, and only ever says yes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attest import canonical_in_bulk, schema
from attest.errors import MalformedError

if TYPE_CHECKING:
    from attest.canonical import Json

_BEGINNING = b'{"data":{"capabilities":{"files":[{'
_END = b'}],"'
_BETWEEN = b"},{"

MAX_KNOWN = 1_024
"""How many grants are known at once."""

_MAX_BYTES = 1_024


class KnownGrants:
    """The grants that are known."""

    __slots__ = ("_known", "_run", "_run_grants")

    def __init__(self) -> None:
        self._known = _Known()
        # Those that the last start began with: the same again are known at one look.
        self._run = b""
        self._run_grants: list[Json] = []

    def take_out(self, body: bytes) -> tuple[bytes, list[Json]] | None:
        """Return an entry's bytes without the file grants of a start, and these; None when it has none.

        What is returned is a start, canonical and of its schema, exactly when ``body`` is.
        """
        if not body.startswith(_BEGINNING):
            return None
        begin, end = len(_BEGINNING), body.find(_END)
        if end < 0:
            return None
        # Were one of these marks inside a text, what is between them would be no grant.
        try:
            if self._run and body.startswith(self._run, begin, end):
                others = body[begin + len(self._run) : end].split(_BETWEEN)
                grants = [*self._run_grants, *map(self._known.__getitem__, others)]
            else:
                grants = self._read(body[begin:end].split(_BETWEEN))
        except MalformedError:
            return None
        return body[: begin - 1] + body[end + 1 :], grants

    def _read(self, inside: list[bytes]) -> list[Json]:
        """Return the grants of these bytes, and remember those at the beginning that were known before."""
        new = next((at for at, each in enumerate(inside) if each not in self._known), len(inside) - 1)
        grants = list(map(self._known.__getitem__, inside))
        self._run = _BETWEEN.join([*inside[:new], b""])
        self._run_grants = grants[:new]
        return grants


class _Known(dict[bytes, "Json"]):
    """Grants by their canonical bytes without the braces around them."""

    def __missing__(self, inside: bytes) -> Json:
        """Return the grant of these bytes.

        Raises:
            MalformedError: they are none.
        """
        grant: Any = canonical_in_bulk.decode(b"{%b}" % inside)
        schema.check_file_grant(grant)
        if len(inside) <= _MAX_BYTES:
            if len(self) >= MAX_KNOWN:
                self.clear()
            self[inside] = grant
        return grant  # type: ignore[no-any-return]  # of its schema
