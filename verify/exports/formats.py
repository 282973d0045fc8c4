"""The formats by their names; the module of one is imported only when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

from verify.exports.format import Format, LineFormat

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Place(NamedTuple):
    module: str
    name: str
    summary: str


_OF_LINES = {
    "json-lines": _Place("json_lines", "JsonLines", "one JSON object an entry, as it is recorded"),
    "csv": _Place("csv_rows", "CsvRows", "a table for spreadsheets, one row an entry"),
    "ocsf": _Place("ocsf", "Ocsf", "OCSF 1.8.0 events as JSON lines, findings among them"),
    "cef": _Place("cef", "Cef", "ArcSight Common Event Format, one line an entry"),
    "otlp": _Place("otlp", "Otlp", "OpenTelemetry logs, an OTLP JSON file"),
}
_OTHERS = {
    "dsse": _Place(
        "bundles", "DsseEnvelopes", "the signed statement about each launch, a DSSE envelope a line"
    ),
    "sigstore": _Place("bundles", "SigstoreBundles", "the same, a Sigstore bundle v0.3 a line"),
    "parquet": _Place(
        "parquet", "Parquet", "the OCSF events as Parquet files, a directory as Security Lake has it"
    ),
    "oscal": _Place("oscal", "Oscal", "OSCAL 1.2.1 assessment results, for the controls of a table"),
}
_FORMATS = _OF_LINES | _OTHERS

MAX_LINE_BYTES = 1 << 22
"""The most that a line has: entries of 64 KiB, escaped, what is said of them, and proofs."""

NAMES = tuple(_FORMATS)
"""What can be exported to."""

CHECKABLE = tuple(_OF_LINES)
"""Those whose lines can carry proofs."""


def summaries() -> Iterator[tuple[str, str]]:
    """Yield each format's name, and what it is."""
    return ((name, place.summary) for name, place in _FORMATS.items())


def load(name: str) -> type[Format]:
    """Return a format of :data:`NAMES`."""
    place = _FORMATS[name]
    found: type[Format] = getattr(importlib.import_module(f"verify.exports.{place.module}"), place.name)
    return found


def load_lines(name: str) -> type[LineFormat]:
    """Return a format of :data:`CHECKABLE`."""
    found = load(name)
    assert issubclass(found, LineFormat)
    return found
