"""Blobs: the values that lie beside the entries, and what is wrong with them."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Protocol

import jsonschema_rs

from attest import canonical, schema
from attest.blob import MAX_BYTES, SALT_BYTES, Blob, is_reference
from attest.entry import BLOB_FIELDS
from attest.errors import MalformedError
from verify.reader import TooLongError
from verify.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attest.canonical import Json
    from verify.findings import Findings

MAX_VALUES = 1 << 19
"""How many values a blob may have to be looked into: 16 MiB of empty objects would be half a gigabyte."""

_WINDOW_BYTES = 1 << 16
_ESCAPES = re.compile(rb"\\*.?", re.DOTALL)


class BlobSource(Protocol):
    """Where blobs are looked up."""

    def blob(self, digest: bytes) -> tuple[object, object] | None:
        """Return salt and data of the blob with that digest, None when it is not there.

        Raises:
            TooLongError: it is longer than a blob may be.
        """

    def blob_digests(self) -> Iterable[object]:
        """Return the digests of all blobs."""


class BlobCheck:
    """The blobs that entries name, looked up as the entries come.

    Attributes:
        withheld: how many were named and are not there.
    """

    def __init__(self, source: BlobSource, findings: Findings) -> None:
        self.withheld = 0
        self._source = source
        self._findings = findings
        self._named = Seen()

    def check(
        self, kind: str, data: dict[str, Json], index: int, session: str | None
    ) -> dict[str, bytes | None]:
        """Look up every blob that an entry names.

        Returns:
            For each field that a blob stands for, its canonical JSON; None when it is not to be had.
        """
        found: dict[str, bytes | None] = {}
        for field in BLOB_FIELDS[kind]:
            if is_reference(data[field]):
                found[field] = self._look_up(kind, field, data[field], index, session)
        return found

    def finish(self) -> None:
        """Report the blobs that no entry names."""
        for digest in self._source.blob_digests():
            if digest not in self._named:
                shown = digest.hex() if isinstance(digest, bytes) else "of another type"
                self._findings.add("blob.surplus", f"the blob {shown[:64]} is named by no entry")

    def _look_up(
        self, kind: str, field: str, reference: Json, index: int, session: str | None
    ) -> bytes | None:
        assert isinstance(reference, dict)
        inner = reference["blob"]
        assert isinstance(inner, dict)
        digest = bytes.fromhex(str(inner["sha256"]))
        self._named.add(digest)
        row = None
        too_long = int(str(inner["size"])) > MAX_BYTES
        if not too_long:
            try:
                row = self._source.blob(digest)
            except TooLongError:
                too_long = True
        if too_long:
            self._findings.add(
                "blob.size", f"has a {field} beside it that is longer than {MAX_BYTES} bytes", index, session
            )
            return None
        if row is None:
            self.withheld += 1
            self._findings.add(
                "blob.withheld", f"had its {field} beside it, which was taken away", index, session
            )
            return None
        salt, data = row
        if (
            not isinstance(salt, bytes)
            or not isinstance(data, bytes)
            or len(salt) != SALT_BYTES
            or len(data) != inner["size"]
            or Blob(salt, data).digest() != digest
        ):
            self._findings.add("blob.digest", f"names another {field} than lies beside it", index, session)
            return None
        if has_too_many_values(data):
            self._findings.add(
                "blob.unchecked",
                f"has a {field} beside it of more than {MAX_VALUES} values, whose form was not checked",
                index,
                session,
            )
        elif not _is_of_form(kind, field, data):
            self._findings.add(
                "blob.form", f"has a {field} beside it that is not of its form", index, session
            )
            return None
        return data


def has_too_many_values(data: bytes) -> bool:
    """Return whether there are more than :data:`MAX_VALUES` of them in JSON text.

    Counts what a parser would have to make, strings skipped, without making any of it.
    """
    if len(data) <= MAX_VALUES:
        return False
    count, in_string, at = 1, 0, 0
    while at < len(data):
        end = at + _WINDOW_BYTES
        if data[end - 1 : end] == b"\\":  # an escape is not torn apart
            end = _ESCAPES.match(data, end).end()  # type: ignore[union-attr]  # it matches anything
        parts = data[at:end].replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[in_string::2])
        count += sum(map(outside.count, (b",", b"[", b"{")))
        if count > MAX_VALUES:
            return True
        in_string ^= len(parts) - 1 & 1
        at = end
    return False


def _is_of_form(kind: str, field: str, data: bytes) -> bool:
    try:
        return _validator(kind, field).is_valid(canonical.decode(data))
    except MalformedError:
        return False


@functools.cache
def _validator(kind: str, field: str) -> jsonschema_rs.Draft202012Validator:
    """Return the validator of what may stand in ``field`` where no blob does."""
    places: dict[str, Any] = schema.load(kind)["properties"]["data"]["properties"][field]
    common = schema.load(schema.COMMON)
    return jsonschema_rs.Draft202012Validator(
        {"$schema": common["$schema"], "anyOf": [place for place in places["anyOf"] if not _is_blob(place)]},
        registry=jsonschema_rs.Registry([(common["$id"], common)]),
        formats={schema.BYTES_FORMAT: schema.is_bytes},
        validate_formats=True,
    )


def _is_blob(place: dict[str, Any]) -> bool:
    return str(place.get("$ref", "")).endswith("#/$defs/blob")
