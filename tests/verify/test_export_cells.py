"""Several values in one cell: nothing in a value makes it two, in any format."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from attest import canonical, entry
from tests.verify.conftest import INTENT, OUTCOME, START, Book, changed
from tests.verify.exported import check, export
from tests.verify.hostile_texts import BYTES, TEXTS, hostile_book
from verify.exports import formats

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench

COMMANDS = ("##[error]x", "a##vso[task.setvariable variable=x]y", "::error::z", "#####[x]")
"""What the runner of a pipeline would obey."""


def of_csv(data: bytes) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))
    return [{name: text for name, text in row.items() if text} for row in rows]


def of_cef(data: bytes) -> list[dict[str, str]]:
    """Read lines of CEF as its specification has it, without ours."""
    found = []
    for line in filter(None, data.decode("utf-8").splitlines()):
        extension = re.split(r"(?<!\\)\|", line, maxsplit=7)[7]
        pairs = re.findall(r"(\w+)=((?:\\.|[^\\=])*?)(?= \w+=|$)", extension)
        found.append(
            {
                key: re.sub(r"\\(.)", lambda each: {"n": "\n", "r": "\r"}.get(each[1], each[1]), value)
                for key, value in pairs
            }
        )
    return found


def of_otlp(data: bytes) -> list[dict[str, str]]:
    found = []
    for line in data.splitlines():
        (log,) = json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
        found.append({each["key"]: each["value"].get("stringValue", "") for each in log["attributes"]})
    return found


READERS: dict[str, tuple[Callable[[bytes], list[dict[str, str]]], Callable[[str], str]]] = {
    "csv": (of_csv, lambda name: name),
    "cef": (of_cef, lambda name: f"nono{name.capitalize()}"),
    "otlp": (of_otlp, lambda name: f"nono.{name}"),
}


def asked(**members: Any) -> Book:
    book = Book()
    book.launch(intent=changed(INTENT, **members))
    return book


def launch(book: Book, **members: Any) -> None:
    """Append a launch whose outputs were all written."""
    intent = changed(INTENT, **members)
    written = [{"path": path, "sha256": "f" * 64, "size": 1} for path in intent["outputs"]]
    book.launch(intent=intent, outcome=changed(OUTCOME, outputs=written))


@pytest.mark.parametrize("form", READERS)
def test_a_label_that_holds_a_separator_is_not_two(bench: Bench, form: str) -> None:
    read, key = READERS[form]
    said = []
    for labels in ({"a": "b, approved=yes"}, {"a": "b", "approved": "yes"}, {"a": 'b","approved":"yes'}):
        intent = read(export(bench, asked(labels=labels), form, "--kind", entry.INTENT))[0]
        assert json.loads(intent[key("labels")]) == labels
        said.append(intent[key("labels")])
    assert len(set(said)) == 3


@pytest.mark.parametrize("form", READERS)
def test_an_output_that_holds_a_separator_is_not_two(bench: Bench, form: str) -> None:
    read, key = READERS[form]
    book = Book()
    names = [f"/w/a sha256:{'0' * 64}, /w/b", "/w/a, /w/b", "base64:/wBcfD0=", BYTES]
    profile = [
        {"name": f"ci sha256:{'a' * 64}, base", "sha256": "b" * 64},
        {"name": BYTES, "sha256": "c" * 64},
    ]
    launch(book, outputs=names, profile=profile)
    rows = read(export(bench, book, form))
    assert json.loads(rows[1][key("outputs")]) == names
    assert [each["path"] for each in json.loads(rows[3][key("outputs")])] == names
    assert json.loads(rows[1][key("profile")]) == profile


@pytest.mark.parametrize("form", READERS)
def test_every_such_cell_is_json_whatever_it_holds(bench: Bench, form: str) -> None:
    read, key = READERS[form]
    book = hostile_book()
    for text in COMMANDS:
        launch(book, labels={"x": text}, outputs=[text], command=[text])
    rows = read(export(bench, book, form))
    for row, body in zip(rows, book.bodies, strict=True):
        data = json.loads(body)["data"]
        for name in ("labels", "outputs", "profile"):
            if data.get(name):
                assert json.loads(row[key(name)]) == data[name]
            else:
                assert key(name) not in row


def test_cells_of_json_are_no_formulas_and_no_commands(bench: Bench) -> None:
    """Each is JSON for whoever reads the file, and nothing else for whoever opens it."""
    book = Book()
    for text in (*TEXTS, *COMMANDS):
        short = text[:500]
        labels = {"x": f"a;{short}", "y": f"a|{short}", "z": f'a; "{short}', "w": short}
        launch(book, labels=labels, outputs=[f";{text}", f"|{text}"], command=[text])
    data = export(bench, book, "csv", "--with-proofs")
    for row, body in zip(of_csv(data), book.bodies, strict=True):
        assert canonical.encode(json.loads(row["entry"])) == body
        for name, cell in row.items():
            if name not in {"labels", "outputs", "profile", "entry"}:
                continue
            parts = re.split("[;|\t]", cell)
            assert not any(re.match("[\\s\"']*[=+\\-@\uff1d\uff0b\uff0d\uff20]", part) for part in parts), (
                cell
            )
            assert not re.search(r"##\[|##vso\[", cell), cell
    status, document = check(bench, data)
    assert (status, document["lines"]["held"]) == (0, len(book.bodies))


@pytest.mark.parametrize("form", formats.CHECKABLE)
def test_no_line_is_a_command_to_a_runner(bench: Bench, form: str) -> None:
    """Records go to standard output too, and a pipeline reads all that its steps write."""
    book = Book()
    for text in COMMANDS:
        started = changed(START, directory=text, executable={**START["executable"], "path": text})
        host = {**INTENT["host"], "name": text}
        book.launch(intent=changed(INTENT, command=[text], labels={"x": text}, host=host), start=started)
    for proofs in ([], ["--with-proofs"]):
        data = export(bench, book, form, *proofs)
        assert not re.search(rb"##\[|##vso\[|^\s*::", data, re.MULTILINE)
    status, document = check(bench, data)
    assert (status, document["lines"]["held"]) == (0, len(book.bodies))
