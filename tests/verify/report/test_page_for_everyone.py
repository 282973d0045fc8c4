"""The page for those who use a keyboard, a screen reader, paper, the dark, or a ledger of many launches."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Book
    from tests.verify.report.conftest import Opened, Reporter

MOVES = (
    ("ArrowDown", 1), ("End", 29), ("ArrowDown", 29), ("ArrowUp", 28), ("Home", 0), ("ArrowUp", 0),
)  # fmt: skip
LONG_TASKS = """
globalThis.longTasks = [];
new PerformanceObserver(list => longTasks.push(...list.getEntries().map(each => each.duration)))
  .observe({type: "longtask", buffered: true});
"""
FOCUSED = "document.activeElement.id || document.activeElement.tagName"


def violations(opened: Opened) -> list[str]:
    """Return what axe finds wrong, with the elements that it names."""
    path = Path(sys.prefix) / "axe" / "package" / "axe.min.js"
    if "axe" not in opened.page.evaluate("Object.keys(globalThis)"):
        opened.page.evaluate(path.read_text(encoding="utf-8"))
    found = opened.page.evaluate(
        "rules => axe.run(document, {runOnly: rules})",
        ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    )
    assert len(found["passes"]) > 15  # it did look
    return [f"{each['id']}: {node['html'][:200]}" for each in found["violations"] for node in each["nodes"]]


@pytest.fixture
def busy(new_book: Callable[[], Book], shapes: Any) -> Book:
    """Return a ledger of launches of every kind."""
    book = new_book()
    for number in range(30):
        outcome = shapes.changed(shapes.OUTCOME, exit=number % 3) if number % 5 else shapes.SIGNALLED
        intent = shapes.changed(
            shapes.INTENT, command=["make", f"target-{number}"], labels={"run": str(number)}
        )
        book.launch(intent=intent, outcome=outcome, decisions=number % 4)
    return book


def test_a_click_counts_however_often_the_list_is_drawn_meanwhile(
    reporter: Reporter, busy: Book, opened: Opened
) -> None:
    page = opened.open(reporter.of(busy)).ready().page
    for row in (2, 5):
        page.hover(f"#row-{row}")
        page.mouse.down()
        page.evaluate("document.getElementById('grid').dispatchEvent(new Event('scroll'))")
        page.mouse.up()
        expect(page.locator("#proof svg")).to_be_visible()
        assert page.get_attribute(f"#row-{row}", "aria-selected") == "true"
        assert page.locator("#grid-rows [aria-selected=true]").count() == 1
        page.click("#detail-close")
        expect(page.locator("#detail")).to_be_hidden()


def test_the_way_back_does_not_wait_for_the_proof(reporter: Reporter, busy: Book, opened: Opened) -> None:
    page = opened.open(reporter.of(busy)).ready().page
    page.evaluate("document.getElementById('row-4').click(); document.getElementById('detail-close').click()")
    page.click("#row-7")
    expect(page.locator("#proof svg")).to_be_visible()
    session = page.evaluate("location.hash")
    page.evaluate("document.getElementById('detail-close').click(); document.getElementById('row-4').click()")
    assert page.evaluate("location.hash") not in ("#launches", session)
    page.evaluate("document.getElementById('row-9').click(); document.getElementById('detail-close').click()")
    expect(page.locator("#detail")).to_be_hidden()
    assert page.evaluate("location.hash") == "#launches"
    assert opened.errors == []


def test_rows_stand_in_their_order_wherever_one_has_scrolled(
    reporter: Reporter, busy: Book, opened: Opened
) -> None:
    page = opened.open(reporter.of(busy)).ready().page
    for top in (0, 600, 200, 10_000, 0):
        page.evaluate("top => { document.getElementById('grid').scrollTop = top }", top)
        page.wait_for_function(
            "() => { const grid = document.getElementById('grid'), row = document.getElementById('row-' +"
            " Math.floor((grid.scrollTop + grid.clientHeight / 2) / 44)); return row !== null }"
        )
        places = page.evaluate(
            "[...document.querySelectorAll('#grid-rows > [role=row]')].map(r => +r.dataset.at)"
        )
        assert places == sorted(set(places))
        assert 0 in places  # which is the active one


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(reporter: Reporter, busy: Book, opened: Opened, scheme: Any) -> None:
    opened.page.emulate_media(color_scheme=scheme)
    opened.open(reporter.of(busy)).ready()
    assert violations(opened) == []
    opened.page.click("#row-3")
    opened.page.wait_for_selector("#proof svg")
    for summary in opened.page.query_selector_all("#detail details:not([open]) > summary"):
        summary.click()
    assert violations(opened) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_bad_news(reporter: Reporter, busy: Book, opened: Opened, scheme: Any) -> None:
    opened.page.emulate_media(color_scheme=scheme)
    report = reporter.of(busy)
    report.forge(frames=[(index, body.replace(b"target-7", b"target-8")) for index, body in report.frames()])
    opened.open(report.save()).ready()
    assert opened.result == "disagrees"
    assert violations(opened) == []


def test_axe_does_find_what_is_wrong(reporter: Reporter, book: Book, opened: Opened) -> None:
    opened.open(reporter.of(book)).ready()
    opened.page.evaluate("document.documentElement.removeAttribute('lang')")
    assert [each.partition(":")[0] for each in violations(opened)] == ["html-has-lang"]


def test_a_keyboard_is_enough(reporter: Reporter, busy: Book, opened: Opened) -> None:
    page = opened.open(reporter.of(busy)).ready().page
    order = []
    for _ in range(9):
        page.keyboard.press("Tab")
        order.append(page.evaluate(FOCUSED))
    # A date has a stop for each of its parts.
    assert list(dict.fromkeys(order))[:5] == ["A", "known-key", "search", "state", "ending"]
    page.focus("#grid")
    for key, row in MOVES:
        page.keyboard.press(key)
        assert page.get_attribute("#grid", "aria-activedescendant") == f"row-{row}"
        assert page.get_attribute(f"#row-{row}", "aria-selected") == "true"
        assert page.locator(f"#row-{row}").is_visible()
    page.keyboard.press("PageDown")
    chosen = page.get_attribute("#grid", "aria-activedescendant")
    assert chosen not in {None, "row-0"}
    page.keyboard.press("Enter")
    page.wait_for_selector("#proof svg")
    assert page.evaluate(FOCUSED) == "detail-heading"
    assert page.evaluate("location.hash") != ""
    page.keyboard.press("Escape")
    assert not page.is_visible("#detail")
    assert page.evaluate(FOCUSED) == "grid"
    assert page.get_attribute("#grid", "aria-activedescendant") == chosen


def test_what_changes_is_announced(reporter: Reporter, busy: Book, opened: Opened) -> None:
    page = opened.open(reporter.of(busy)).ready().page
    for selector, role in (("#check-status", "status"), ("#count", "status"), ("#alarm", "alert")):
        assert page.get_attribute(selector, "role") == role
    assert page.get_attribute("#grid", "aria-rowcount") == "31"
    assert page.get_attribute("#row-0", "aria-rowindex") == "2"
    page.fill("#search", "run=17 make")
    expect(page.locator("#count")).to_have_text("1 launch of 30")
    assert page.get_attribute("#grid", "aria-rowcount") == "2"
    assert "target-17" in page.inner_text("#row-0")
    page.fill("#search", "no such thing")
    expect(page.locator("#count")).to_have_text("0 launches of 30")
    assert page.get_attribute("#grid", "aria-activedescendant") is None


def test_each_filter_leaves_what_it_says(reporter: Reporter, busy: Book, opened: Opened) -> None:
    page = opened.open(reporter.of(busy)).ready().page
    for field, value, left in (
        ("ending", "good", 8), ("ending", "bad", 22), ("ending", "denied", 22), ("state", "complete", 30),
        ("state", "lost", 0), ("state", "open", 0),
    ):  # fmt: skip
        page.select_option(f"#{field}", value)
        expect(page.locator("#count")).to_have_text(f"{left} launches of 30")
        page.click("button[type=reset]")
        expect(page.locator("#count")).to_have_text("30 launches of 30")


def test_days_are_filtered(reporter: Reporter, busy: Book, opened: Opened) -> None:
    page = opened.open(reporter.of(busy)).ready().page
    for since, until, left in (
        ("2026-11-24", "2026-11-24", 30),
        ("2026-11-25", "", 0),
        ("", "2026-11-23", 0),
    ):
        page.fill("#since", since)
        page.fill("#until", until)
        expect(page.locator("#count")).to_have_text(f"{left} launches of 30")


def test_a_launch_shows_all_that_is_asked(
    reporter: Reporter, new_book: Any, shapes: Any, opened: Opened
) -> None:
    book = new_book()
    files = [
        {"access": access, "asked": path, "path": path, "source": source, "type": "directory"}
        for access, path, source in (
            ("read", "/usr", "system"), ("readwrite", "/home/a/project", "user"),
            ("read", "/home/a/project/vendor/x", "profile"), ("read", "/usr/share/doc", "group:docs"),
        )
    ]  # fmt: skip
    socket = {"access": "connect", "asked": "/run/x", "source": "user", "type": "socket"}
    capabilities: dict[str, Any] = {
        "files": files,
        "network": {"mode": "ports", "connect": [443], "listen": [], "listen_loopback": [8080]},
        "unix_sockets": [{**socket, "path": "/run/x"}],
    }
    digest = shapes.hashlib.sha256(shapes.encode(capabilities)).hexdigest()
    session = book.new_session()
    hooks = {"before": shapes.HOOK}
    network = capabilities["network"]
    intent = shapes.changed(shapes.INTENT, hooks=hooks, network=network, unix_sockets=[socket])
    book.add("launch.intent", session, intent)
    book.add("hook.result", session, shapes.HOOK_RESULT)
    start = shapes.changed(
        shapes.START,
        capabilities=book.beside(capabilities),
        capabilities_sha256=digest,
        interpreters=[{"held": "lease", "path": "/bin/bash", "sha256": "a" * 64, "size": 7}],
    )
    book.add("launch.start", session, start)
    book.add("decision", session, shapes.DECISION)
    outcome = shapes.changed(shapes.OUTCOME)
    outcome["counts"]["decisions"] = 1
    book.add("launch.outcome", session, outcome)
    book.attest(session)
    for _ in range(3):
        book.launch()
    report = reporter.of(book)
    page = opened.open(report, f"#{session}").ready().page
    page.wait_for_selector("#proof svg")
    assert (opened.result, opened.errors) == ("agrees", [])
    text = " ".join(page.inner_text("#detail").split())
    for said in (
        "make release", "/usr/bin/make", "e" * 64, "/bin/bash", "connect to port 443",
        "listen for this host on port 8080", "connect socket /run/x (user)", "before: /h/before",
        "before exit 0 after 3 µs", "denied file /etc/shadow kernel not granted", "exit 0 after 5 µs",
        "run=7", f"sha256 {digest}", "signed by the key in force", "leads by 5 hashes to the root",
    ):  # fmt: skip
        assert said in text, said
    # What is inside of another grant stands inside of it, and names that are only on the way share a line.
    tree = page.evaluate(
        """() => {
        const of = list => [...list.children].map(item => {
          const own = item.querySelector(':scope > details');
          const name = (own ? own.querySelector('summary') : item).querySelector('.path').textContent;
          return own ? [name, of(own.querySelector('ul'))] : name;
        });
        return of(document.querySelector('#detail .tree'));
        }"""
    )
    assert tree == [["/", [["home/a/project", ["vendor/x"]], ["usr", ["share/doc"]]]]]


def test_the_picture_is_of_the_proof(reporter: Reporter, busy: Book, opened: Opened) -> None:
    page = opened.open(reporter.of(busy)).ready().page
    page.click("#row-9")
    page.wait_for_selector("#proof svg")
    assert "leads by" in page.inner_text("#proof figcaption")
    root = opened.page.evaluate("JSON.parse(document.getElementById('nono-report').textContent).verdict.root")
    for option in page.query_selector_all("#proof-entry option"):
        index = str(option.get_attribute("value"))
        page.select_option("#proof-entry", index)
        expect(page.locator("#proof figcaption")).to_contain_text(f"Entry {index} leads")
        steps = page.evaluate("[...document.querySelectorAll('#proof ol li')].map(item => item.textContent)")
        assert steps[-1].endswith(root)
        assert page.locator("#proof svg rect.sibling").count() == len(steps) - 1
        assert page.get_attribute("#proof svg", "aria-label") == page.inner_text("#proof figcaption")


def test_paper_gets_every_row(reporter: Reporter, busy: Book, opened: Opened) -> None:
    page = opened.open(reporter.of(busy)).ready().page
    page.evaluate("globalThis.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#grid-rows > [role=row]").count() == 30
    assert page.locator("#row-29").is_visible()
    assert not page.is_visible("#filters")
    heights = page.evaluate(
        "[...document.querySelectorAll('.row')].map(row => row.getBoundingClientRect().top)"
    )
    assert heights == sorted(set(heights))  # none lies over another


def test_nothing_moves_by_itself(reporter: Reporter, busy: Book, opened: Opened) -> None:
    opened.page.emulate_media(reduced_motion="reduce")
    page = opened.open(reporter.of(busy)).ready().page
    assert page.evaluate("document.getAnimations().length") == 0


def test_ten_thousand_launches(reporter: Reporter, new_book: Any, shapes: Any, opened: Opened) -> None:
    """However many there are, few of them are in the page at any time, and each can be reached."""
    book = new_book()
    for number in range(10_000):
        book.launch(intent=shapes.changed(shapes.INTENT, command=["run", f"number-{number}"]))
    opened.page.add_init_script(LONG_TASKS)
    page = opened.open(reporter.of(book)).ready().page
    # Whoever reads the page meanwhile finds it alive: 0.2 s at a time, where nothing else runs.
    assert max(page.evaluate("longTasks"), default=0) < 2_000
    assert (opened.result, opened.errors) == ("agrees", [])
    assert page.inner_text("#count") == "10,000 launches of 10,000"
    page.focus("#grid")
    for key, row, command in (("Home", 0, 9_999), ("End", 9_999, 0), ("PageUp", None, None)):
        page.keyboard.press(key)
        assert page.locator("#grid-rows > [role=row]").count() < 60
        if row is not None:
            assert page.get_attribute("#grid", "aria-activedescendant") == f"row-{row}"
            assert f"number-{command}" in page.inner_text(f"#row-{row}")
            assert page.get_attribute(f"#row-{row}", "aria-rowindex") == str(row + 2)
    page.evaluate("document.getElementById('grid').scrollTop = 5_000 * 44")
    page.wait_for_selector("#row-5000")
    page.fill("#search", "number-4242")
    expect(page.locator("#count")).to_have_text("1 launch of 10,000")
    page.click("#row-0")
    page.wait_for_selector("#proof svg")
    assert "number-4242" in page.inner_text("#detail-heading")
