"""Exports for tests, by the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.verify.conftest import PUBLISHED, run

if TYPE_CHECKING:
    from tests.verify.conftest import Bench, Book


def export(bench: Bench, book: Book, form: str, *arguments: str, status: int = 0) -> bytes:
    """Write a book, export it, and return the export's bytes."""
    return export_of(bench, bench.write(book), form, *arguments, status=status)


def export_of(bench: Bench, ledger: str, form: str, *arguments: str, status: int = 0) -> bytes:
    """Export a ledger and return the export's bytes."""
    out = bench.path(f"{form}.export")
    ended, said = run(
        ["export", ledger, "-k", bench.path("key.pub"), "--to", form, "--out", out, "--overwrite", *arguments]
    )
    assert ended == status, said
    with open(out, "rb") as file:
        return file.read()


def check(bench: Bench, data: bytes, *arguments: str, key: str = "key.pub") -> tuple[int, dict[str, Any]]:
    """Run ``export-check``, which must say the same in both formats and be of its schema."""
    path = bench.path("checked.export")
    with open(path, "wb") as file:
        file.write(data)
    asked = ["export-check", path, "-k", bench.path(key), *arguments]
    status, text = run(asked)
    again, output = run([*asked, "--format", "json"])
    document = json.loads(output)
    PUBLISHED[document["schema"]].validate(document)
    assert status == again == document["exit"]
    assert all(line.isprintable() for line in text.split("\n"))
    return status, document
