"""The table of controls that an assessment speaks of: a TOML file that anybody may copy and change."""

from __future__ import annotations

import os
import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from attest.printable_text import is_printable
from verify import regular_files
from verify.errors import NotCheckedError
from verify.exports import queries

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES = 1 << 20
_OWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "controls.toml")
_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,63}")
"""A token of OSCAL, of ASCII."""
_MAX_TEXT = 1_000


class Control(NamedTuple):
    """A control.

    Attributes:
        id: a token of OSCAL.
        title: what it is about.
        queries: what the ledger is asked for it, names of :data:`verify.exports.queries.NAMES`.
        not_covered: what stays open even when all of that is met.
    """

    id: str
    title: str
    queries: tuple[str, ...]
    not_covered: str


class Framework(NamedTuple):
    """What a set of controls is from.

    Attributes:
        name: how it is called.
        source: its URL.
        controls: its controls.
    """

    name: str
    source: str
    controls: tuple[Control, ...]


def read(path: str | None) -> tuple[Framework, ...]:
    """Return a table.

    Args:
        path: the file, or None for the one that comes with the verifier.

    Raises:
        NotCheckedError: it cannot be read (``controls.unreadable``), or is no such table (``controls.form``).
    """
    shown = "the table of controls" if path is None else path
    data = regular_files.read_file(path or _OWN, MAX_BYTES, "table of controls", "controls.unreadable")
    try:
        return _parsed(data)
    except (_FormError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise NotCheckedError(f"{shown} is no table of controls: {error}", code="controls.form") from None


def own_text() -> str:
    """Return the table that comes with the verifier, as it stands in its file."""
    with open(_OWN, encoding="utf-8") as file:
        return file.read()


class _FormError(Exception):
    """What is wrong with a table."""


def _parsed(data: bytes) -> tuple[Framework, ...]:
    if len(data) > MAX_BYTES:
        raise _FormError(f"more than {MAX_BYTES} bytes")
    document = tomllib.loads(data.decode("utf-8"))
    _require_names(document, {"version", "framework"}, "the file")
    if document["version"] != 1 or type(document["version"]) is not int:
        raise _FormError("its version is not 1")
    found = tuple(_framework(each) for each in _tables(document["framework"], "framework"))
    ids = [control.id for framework in found for control in framework.controls]
    if len(ids) != len(set(ids)):
        raise _FormError("a control has the id of another")
    return found


def _framework(table: dict[str, Any]) -> Framework:
    _require_names(table, {"name", "source", "control"}, "a framework")
    return Framework(
        _text(table, "name"),
        _text(table, "source"),
        tuple(_control(each) for each in _tables(table["control"], "control")),
    )


def _control(table: dict[str, Any]) -> Control:
    _require_names(table, {"id", "title", "queries", "not_covered"}, "a control")
    name, asked = _text(table, "id"), table["queries"]
    if not _TOKEN.fullmatch(name):
        raise _FormError(f"{name!r} is no id: a letter, then letters, digits, '.', '-' and '_'")
    if not isinstance(asked, list) or any(each not in queries.NAMES for each in asked):
        raise _FormError(f"the queries of {name} are not among {', '.join(queries.NAMES)}")
    return Control(name, _text(table, "title"), tuple(dict.fromkeys(asked)), _text(table, "not_covered"))


def _tables(value: object, what: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        raise _FormError(f"it has no {what}")
    return value


def _require_names(table: dict[str, Any], names: Iterable[str], what: str) -> None:
    if table.keys() != set(names):
        raise _FormError(f"{what} has {', '.join(sorted(names))}, and nothing else")


def _text(table: dict[str, Any], name: str) -> str:
    value = table[name]
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX_TEXT or not is_printable(value):
        raise _FormError(f"{name} is no text of one line")
    return value
