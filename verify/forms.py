"""The form of an entry: canonical JSON, and its kind's closed schema."""

from __future__ import annotations

from typing import Any

from attest import canonical, entry, schema
from attest.errors import MalformedError
from verify.numbers import has_only_integers


class Forms:
    """The forms of all kinds, compiled once."""

    __slots__ = ("_by_kind",)

    def __init__(self) -> None:
        self._by_kind = {
            kind: (schema.validator(kind).is_valid, has_only_integers(kind)) for kind in entry.KINDS
        }

    def read(self, body: bytes) -> dict[str, Any] | None:
        """Return the document of an entry that is of its form, or None.

        A document that is returned has every member that its kind's schema asks for.
        """
        try:
            document: Any = canonical.decode_unwalked(body)
            is_valid, has_integers = self._by_kind[document["kind"]]
        except (MalformedError, TypeError, LookupError):
            return None
        # Under a closed schema, integers are all that the canonical form has left to ask for.
        if not is_valid(document) or not has_integers(document):
            return None
        return document  # type: ignore[no-any-return]  # a valid document is an object
