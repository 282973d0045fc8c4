"""The page about ways out is that of the table as it is now."""

from __future__ import annotations

from tests.escapes import page


def test_the_page_is_that_of_the_table() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text(), "run: make generated"
