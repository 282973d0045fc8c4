"""Names that differ do not look the same on the page, and its rule is the terminal's."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

from attest.printable_text import is_printable, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Book
    from tests.verify.report.conftest import Opened, Reporter

# In one name each: nothing to see at its end, within it, two blanks, a word that looks like an escape.
ALIKE = (
    "make", "make\u034f", "ma\u200bke", "make\ufe00", "\u3164make", "make\u2800", "make\U000e0100",
    "make\u00ad", "ma\u17b4ke", " make", "make ", "ma\u00a0ke", "make\\u034f",
)  # fmt: skip

# Every character that both know, as the page writes it.
ESCAPED_BY_THE_PAGE = """codes => codes.map(code => printable(String.fromCodePoint(code)))"""
IGNORED_BY_THE_BROWSER = r"""codes => codes.filter(
  code => /^\p{Default_Ignorable_Code_Point}$/u.test(String.fromCodePoint(code)))"""
BLANKS = {0x2800, 0x13441, 0x13442, 0x1D159}


def test_the_page_and_the_terminal_escape_the_same(reporter: Reporter, book: Book, opened: Opened) -> None:
    page = opened.open(reporter.of(book)).ready().page
    known = [code for code in range(0x110000) if unicodedata.category(chr(code)) not in {"Cn", "Cs"}]
    there = page.evaluate(ESCAPED_BY_THE_PAGE, known)
    # A browser may know the characters of a later Unicode; of those that Python knows it says the same.
    assert [hex(code) for code, text in zip(known, there, strict=True) if printable(chr(code)) != text] == []


def test_the_list_is_that_of_unicode(reporter: Reporter, book: Book, opened: Opened) -> None:
    """Python has no such property; a browser's tables come from Unicode by another way than ours."""
    page = opened.open(reporter.of(book)).ready().page
    lettered = [code for code in range(0x110000) if chr(code).isprintable() and code not in BLANKS]
    ignored = set(page.evaluate(IGNORED_BY_THE_BROWSER, lettered))
    assert {code for code in lettered if not is_printable(chr(code))} == ignored
    assert len(ignored) > 250


def test_names_that_differ_look_different(
    reporter: Reporter, new_book: Callable[[], Book], shapes: Any, opened: Opened
) -> None:
    book = new_book()
    for name in ALIKE:
        start = shapes.changed(shapes.START, directory=f"/w/{name}")
        book.launch(intent=shapes.changed(shapes.INTENT, command=[name]), start=start)
    page = opened.open(reporter.of(book)).ready().page
    assert (opened.result, opened.errors) == ("agrees", [])
    commands, directories = (
        page.evaluate(
            """column => [...document.querySelectorAll('#grid-rows > [role=row]')].map(
              row => [row.children[column].innerText,
                [...row.children[column].querySelectorAll('.escape')].map(each => each.innerText).join()])""",
            column,
        )
        for column in (2, 3)
    )
    assert len(commands) == len(directories) == len(ALIKE)
    assert len({json.dumps(shown) for shown in commands}) == len(ALIKE)
    assert len({json.dumps(shown) for shown in directories}) == len(ALIKE)
    assert ["/w/make\\x20", "\\x20"] in directories
    assert ["/w/make\\u034f", "\\u034f"] in directories  # the character
    assert ["/w/make\\u034f", ""] in directories  # the letters


def test_a_value_of_nothing_but_escapes_stays_small(
    reporter: Reporter, new_book: Callable[[], Book], shapes: Any, opened: Opened
) -> None:
    book = new_book()
    subject = "a\u200b" * 5_000 + " " * 20_000
    session = book.new_session()
    book.add("launch.intent", session, shapes.INTENT)
    book.add("launch.start", session, shapes.START)
    for _ in range(400):
        book.add("decision", session, shapes.changed(shapes.DECISION, subject=subject[:20_000]))
    outcome = shapes.changed(shapes.OUTCOME)
    outcome["counts"]["decisions"] = 400
    book.add("launch.outcome", session, outcome)
    book.attest(session)
    page = opened.open(reporter.of(book)).ready().page
    page.click("#row-0")
    page.wait_for_selector("#proof svg")
    assert opened.errors == []
    assert page.locator("#detail td .escape").count() == 0
    assert "a\\u200ba\\u200b" in page.inner_text("#detail table")
