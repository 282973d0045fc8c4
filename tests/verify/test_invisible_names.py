"""What nobody sees is an escape in whatever the verifier writes for people and for logs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from attest.printable_text import is_printable
from tests.verify.hostile_texts import hostile_book

if TYPE_CHECKING:
    from tests.verify.conftest import Bench


@pytest.mark.parametrize("form", ["cef", "csv", "json-lines", "ocsf"])
def test_a_log_has_no_character_that_cannot_be_seen(bench: Bench, shapes: Any, form: str) -> None:
    out = bench.path("out")
    asked = ["export", bench.write(hostile_book()), "-k", bench.path("key.pub"), "--to", form, "--out", out]
    status, said = shapes.run(asked)
    assert status == 0, said
    with open(out, encoding="utf-8", newline="") as file:
        lines = file.read().replace("\r\n", "\n").splitlines()
    assert len(lines) > 100
    assert [line for line in lines if not is_printable(line)] == []


def test_names_of_files_that_differ_look_different(bench: Bench, shapes: Any) -> None:
    book = shapes.Book()
    book.launch()
    said = set()
    for name in ("x.db", "x\u034f.db", "x\u3164.db", "x\u200b.db", "x\u2800.db"):
        path = bench.path(name)
        os.rename(bench.write(book), path)
        status, text = shapes.run(["report", path, "-k", bench.path("key.pub"), "--html", path + ".html"])
        assert status == 0
        assert all(is_printable(line) for line in text.splitlines())
        said.add(text.partition("page: ")[2])
    assert len(said) == 5
