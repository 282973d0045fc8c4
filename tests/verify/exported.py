"""Exports for tests, by the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.verify.conftest import run

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
