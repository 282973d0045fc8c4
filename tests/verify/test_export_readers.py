"""A line that ``export-check`` takes is one line, and says the same, to whoever else reads it."""

from __future__ import annotations

import codecs
import csv
import io
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verify.conftest import INTENT, KEY, Bench, Book, changed
from tests.verify.exported import check, export
from tests.verify.hostile_texts import hostile_book
from tests.verify.test_export_cells import of_cef
from verify.exports import formats
from verify.exports.checking import check_export
from verify.pins import Pin

if TYPE_CHECKING:
    from collections.abc import Callable


FORGED = "CEF:0|nono|nono-ledger|1|launch.outcome|a command ended|3|cs4=verified"


def _codes(said: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in said["findings"]}


def test_a_carriage_return_makes_no_second_line(bench: Bench) -> None:
    r"""``\r`` in a value of CEF is its escape; itself it would end the line for many readers."""
    book = Book()
    book.launch(intent=changed(INTENT, command=[f"x\r{FORGED}"]))
    data = export(bench, book, "cef", "--with-proofs")
    assert check(bench, data)[0] == 0
    escape = data.index(b"\\rCEF:0")
    status, said = check(bench, data[:escape] + b"\r" + data[escape + 2 :])
    assert (status, _codes(said)) == (1, {"export.form"})
    assert said["lines"] == {"read": 5, "held": 4, "findings": 0}


@pytest.mark.parametrize("form", formats.CHECKABLE)
def test_ends_of_lines_of_any_system_are_no_change(bench: Bench, book: Book, form: str) -> None:
    data = export(bench, book, form, "--with-proofs").replace(b"\r\n", b"\n")
    assert check(bench, data)[0] == check(bench, data.replace(b"\n", b"\r\n"))[0] == 0


def test_a_mark_of_byte_order_stands_before_the_first_line_alone(bench: Bench, book: Book) -> None:
    """Before another row it hides the quotes of the first cell, and its commas separate cells."""
    rows = export(bench, book, "csv", "--with-proofs").splitlines(keepends=True)
    assert check(bench, codecs.BOM_UTF8 + b"".join(rows))[0] == 0
    assert check(bench, codecs.BOM_UTF8 + rows[2])[0] == 0
    status, said = check(bench, b"".join([*rows[:2], codecs.BOM_UTF8 + rows[2], *rows[3:]]))
    assert (status, _codes(said)) == (1, {"export.form"})


@pytest.mark.parametrize("form", formats.CHECKABLE)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_without_anything_is_none_and_one_of_blanks_is(
    bench: Bench, book: Book, form: str, end: bytes
) -> None:
    data = export(bench, book, form, "--with-proofs")
    assert check(bench, data + end)[0] == 0
    for blank in (b" ", b"\t", b"\x0b", b"\x0c"):
        status, said = check(bench, data + blank + end)
        assert (status, _codes(said)) == (1, {"export.form"})


@pytest.mark.parametrize("form", formats.CHECKABLE)
@pytest.mark.parametrize("blank", ["\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2028"], ids=ascii)
def test_what_is_no_white_space_to_others_is_none_here(
    bench: Bench, book: Book, form: str, blank: str
) -> None:
    lines = export(bench, book, form, "--with-proofs").splitlines(keepends=True)
    for line in (blank.encode() + lines[3], lines[3].rstrip(b"\r\n") + blank.encode() + b"\n"):
        status, said = check(bench, b"".join([*lines[:3], line]), "--from", form)
        assert status == 1
        assert _codes(said) <= {"export.form", "export.changed"}


def test_a_backslash_of_cef_escapes_what_it_may(bench: Bench) -> None:
    book = Book()
    book.launch(intent=changed(INTENT, command=["a\x1bb"]))
    data = export(bench, book, "cef", "--with-proofs")
    assert b"\\\\x1b" in data
    status, said = check(bench, data.replace(b"\\\\x1b", b"\\x1b"))
    assert (status, _codes(said)) == (1, {"export.form"})


# --- by chance --------------------------------------------------------------------------------------

PIECES = tuple(
    text.encode()
    for text in (
        "\r", "\ufeff", '"', '""', ",", " ", "\t", "\\", "\\\\", "|", "=", "\0", "\x85", "\u2028", "\x0b",
        "\xa0",
        "\\u0022", "'", "0", "-0", "1e0", "{", "}", "null", "true", "\\n", "\\r", "\\|", "\\=", "\x7f", "\\/",
        "",
    )
)  # fmt: skip


def _rows(data: bytes) -> object:
    return [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if row]


def _documents(data: bytes) -> object:
    return [json.loads(line) for line in data.decode("utf-8-sig").splitlines() if line]


def _of_cef(data: bytes) -> object:
    return [
        {key: text.strip() for key, text in line.items()}
        for line in of_cef(data.removeprefix(codecs.BOM_UTF8))
    ]


READERS: dict[str, Callable[[bytes], object]] = {
    "json-lines": _documents, "csv": _rows, "ocsf": _documents, "cef": _of_cef, "otlp": _documents,
}  # fmt: skip
"""What others read: Python's own modules, and CEF by the words of its specification; a mark of byte order is
none of the first line."""


class Exported:
    """The lines of each form: megabytes, which no example of Hypothesis is to be shown with."""

    def __init__(self, lines: dict[str, list[bytes]]) -> None:
        self.lines = lines

    def __repr__(self) -> str:
        return "Exported(...)"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    made = Bench(str(tmp_path_factory.mktemp("lines")))
    found = {}
    for form in READERS:
        data = export(made, hostile_book(), form, "--with-proofs")
        found[form] = data.splitlines(keepends=True)
    return Exported(found)


class Change(NamedTuple):
    """What is done to a line: from the ``mark``-th place on, ``gone`` bytes become ``piece``."""

    row: int
    mark: int
    gone: int
    piece: bytes


CHANGES = st.builds(
    Change,
    row=st.integers(0, 2**16),
    mark=st.integers(0, 2**16),
    gone=st.integers(0, 2),
    piece=st.sampled_from(PIECES),
)


@pytest.mark.parametrize("form", READERS)
@settings(max_examples=300, deadline=None)
@given(change=CHANGES)
def test_what_holds_is_read_by_others_as_it_was_written(
    exported: Exported, form: str, change: Change
) -> None:
    """A line is changed where something happens in it; if it still holds, others read the same as before."""
    lines = exported.lines[form]
    short = [line for line in lines[1:] if len(line) < 12_000]
    line = short[change.row % len(short)]
    marks = [0, len(line) - 1, len(line)] + [at for at, byte in enumerate(line) if byte in b'\\",=| {}:[]']
    at = marks[change.mark % len(marks)]
    changed_line = line[:at] + change.piece + line[at + change.gone :]
    first = lines[:1] if form == "csv" else []
    verdict = check_export(io.BytesIO(b"".join([*first, changed_line])), form=form, pins=[Pin(KEY.public)])
    if verdict.exit == 0:
        assert READERS[form](changed_line) == READERS[form](line)
