"""The form of an entry: canonical JSON, and its kind's closed schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attest import canonical_in_bulk, entry, schema
from attest.errors import MalformedError
from verify.known_grants import KnownGrants
from verify.numbers import has_only_integers

if TYPE_CHECKING:
    from collections.abc import Callable

    _Check = Callable[[Any], bool]


class Forms:
    """The forms of the kinds, each of them compiled when the first entry of its kind comes."""

    __slots__ = ("_by_kind", "_grants")

    def __init__(self) -> None:
        self._by_kind: dict[str, tuple[_Check, _Check]] = {}
        self._grants = KnownGrants()

    def read(self, body: bytes) -> dict[str, Any] | None:
        """Return the document of an entry that is of its form, or None.

        A document that is returned has every member that its kind's schema asks for, and is not to be
        changed: parts of it are of others as well.
        """
        if (taken := self._grants.take_out(body)) is not None:
            rest, grants = taken
            document = self._read(rest)
            if document is not None:
                document["data"]["capabilities"]["files"] = grants
                return document
        return self._read(body)

    def _read(self, body: bytes) -> dict[str, Any] | None:
        try:
            document: Any = canonical_in_bulk.decode(body)
            kind = document["kind"]
            is_valid, has_integers = self._by_kind.get(kind) or self._compiled(kind)
        except (MalformedError, TypeError, LookupError):
            return None
        # Under a closed schema, integers are all that the canonical form has left to ask for.
        if not is_valid(document) or not has_integers(document):
            return None
        return document  # type: ignore[no-any-return]  # a valid document is an object

    def _compiled(self, kind: str) -> tuple[_Check, _Check]:
        if kind not in entry.KINDS:
            raise LookupError(kind)
        checks = self._by_kind[kind] = schema.validator(kind).is_valid, has_only_integers(kind)
        return checks
