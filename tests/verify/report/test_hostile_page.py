"""What a launched command, or whoever writes a ledger, can put into a page: text, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book
    from tests.verify.report.conftest import Opened, Reporter

HOSTILE = (
    "<script>globalThis.taken = 1; alert(1)</script>",
    "</script><script>globalThis.taken = 1</script>",
    "<!--<script>",
    "-->]]>",
    "<img src=x onerror='globalThis.taken = 1'>",
    '"><svg onload=globalThis.taken=1>',
    "javascript:globalThis.taken=1",
    "${globalThis.taken = 1}",
    "@@entries@@",
    "\u202egnp.exe\u202c\u2066\u2069",
    "\x1b[31mred\x1b]0;title\x07",
    "\u200b\ufeff\u00ad invisible",
    "no\u034f\u115f\u3164\uffa0\u2800\ufe0f\U000e0100\U0001d159\u17b4\u180b ink",
    "עברית and English",
    "__proto__",
    "x" * 9_000,
    "\N{GRINNING FACE}",
)
UNSEEN = (
    "\u202e\u202c\u2066\u2069\x1b\x07\u200b\ufeff\u00ad"
    "\u034f\u115f\u3164\uffa0\u2800\ufe0f\U000e0100\U0001d159\u17b4\u180b"
)


def hostile_book(new_book: Callable[[], Book], shapes: Any) -> Book:
    book = new_book()
    for text in HOSTILE:
        labels = {"run": text[:500], "__proto__": "x", "constructor": "y"}
        intent = shapes.changed(
            shapes.INTENT,
            command=[text, text, {"base64": "/w=="}],
            labels=labels,
            bypass_protection=[text],
            host={**shapes.INTENT["host"], "name": text, "kernel": text[:200]},
            grants=[{"access": "read", "asked": text, "source": "user", "type": "directory"}],
        )
        grant = {
            "access": "readwrite",
            "asked": text,
            "path": f"/{text}/{text}",
            "source": "user",
            "type": "file",
        }
        capabilities = {"files": [grant], "network": {"mode": "blocked"}}
        start = shapes.changed(
            shapes.START,
            capabilities=capabilities,
            capabilities_sha256=shapes.hashlib.sha256(shapes.encode(capabilities)).hexdigest(),
            directory=text,
            environment=[text],
            executable={**shapes.START["executable"], "path": text},
        )
        session = book.new_session()
        book.add("launch.intent", session, intent)
        book.add("launch.start", session, start)
        book.add("decision", session, shapes.changed(shapes.DECISION, subject=text, reason=text[:1000]))
        outcome = shapes.changed(shapes.OUTCOME, outputs=[{"path": "/w/a.whl", "unhashed": "missing"}])
        outcome["counts"]["decisions"] = 1
        book.add("launch.outcome", session, outcome)
        book.attest(session)
    return book


def test_hostile_text_does_nothing(
    reporter: Reporter, new_book: Callable[[], Book], shapes: Any, opened: Opened
) -> None:
    report = reporter.of(hostile_book(new_book, shapes))
    assert not any(char in report.text for char in UNSEEN)
    assert "globalThis.taken" not in report.text  # it is packed, and what is not is escaped
    opened.open(report).ready()
    assert opened.result == "agrees"
    elements = (
        "document.querySelectorAll('script, img, iframe, object, embed, link, a, base, meta, form').length"
    )
    before = opened.page.evaluate(elements)
    sessions = opened.page.evaluate("[...document.querySelectorAll('#grid-rows > [role=row]')].length")
    assert sessions == len(HOSTILE)
    for at in range(len(HOSTILE)):
        opened.page.click(f"#row-{at}")
        opened.page.wait_for_selector("#proof svg")
        for details in opened.page.query_selector_all(".entries summary"):
            details.click()
        text = opened.page.inner_text("body")
        assert not any(char in text for char in UNSEEN)
        assert "x" * 1_000 not in opened.page.inner_text("#grid")
        opened.page.click("#detail-close")
    assert opened.page.evaluate(elements) == before
    assert opened.page.evaluate("globalThis.taken") is None
    assert opened.page.evaluate("({}).x === undefined && Object.prototype.constructor === Object")
    assert (opened.dialogs, opened.errors) == ([], [])
    assert opened.requests == [f"file://{report.path}"]


def test_a_search_for_hostile_text_finds_it_as_text(
    reporter: Reporter, new_book: Callable[[], Book], shapes: Any, opened: Opened
) -> None:
    opened.open(reporter.of(hostile_book(new_book, shapes))).ready()
    opened.page.fill("#search", "onerror='globalthis.taken")
    expect(opened.page.locator("#count")).to_have_text(f"1 launch of {len(HOSTILE)}")
    assert "<img src=x onerror=" in opened.page.inner_text("#row-0")


def test_a_path_of_many_names_is_shown_to_its_end(
    reporter: Reporter, new_book: Callable[[], Book], shapes: Any, opened: Opened
) -> None:
    book = new_book()
    long, longer = "/" + "/".join("q" * 100), "/" + "/".join("q" * 100) + "/end"
    grant = {"access": "readwrite", "asked": "x", "source": "user", "type": "directory"}
    capabilities = {
        "files": [{**grant, "path": long}, {**grant, "path": longer}],
        "network": {"mode": "blocked"},
    }
    digest = shapes.hashlib.sha256(shapes.encode(capabilities)).hexdigest()
    book.launch(start=shapes.changed(shapes.START, capabilities=capabilities, capabilities_sha256=digest))
    opened.open(reporter.of(book)).ready()
    opened.page.click("#row-0")
    opened.page.wait_for_selector("#proof svg")
    names = opened.page.locator("#detail .tree .path").all_text_contents()
    assert ["".join(names).count("q"), names[-1].endswith("/end")] == [63 + 37 + 37, True]


@pytest.mark.parametrize(
    "fragment",
    ["#<img src=x onerror=alert(1)>", "#__proto__", "#constructor", "#" + "0" * 32, "#%00", "#check-status"],
)
def test_a_hostile_link_opens_nothing(reporter: Reporter, book: Book, opened: Opened, fragment: str) -> None:
    opened.open(reporter.of(book), fragment).ready()
    assert opened.result == "agrees"
    assert not opened.page.is_visible("#detail")
    assert (opened.dialogs, opened.errors) == ([], [])


PARTS: Any = {"parts": [{"parts": [{"parts": []}]}]}
GRANTS: Any = {"files": [{"path": {"base64": "!"}}, 7, None]}
SIGNED: Any = {"payload": "=", "payloadType": "application/vnd.in-toto+json", "signatures": [{"keyid": 1}]}
ODD: tuple[tuple[str, Any], ...] = (
    ("launch.intent", None),
    ("launch.intent", {"command": PARTS, "host": 7, "labels": [1]}),
    ("launch.start", {"capabilities": {"files": "x", "network": []}, "executable": [], "limits": 3}),
    ("launch.start", {"capabilities": GRANTS, "interpreters": 1}),
    ("launch.outcome", {"exit": "x", "counts": [], "outputs": [None], "resources": 1}),
    ("decision", {"subject": {"redacted": 3}, "verdict": {}}),
    ("hook.result", {"duration_us": "1", "exported": {"a": 1}}),
    ("launch.lost", {"found": {"x": 1}}),
    ("launch.attestation", {"payload": 3, "signatures": "x"}),
    ("launch.attestation", SIGNED),
)


def test_entries_of_no_form_leave_a_page_that_can_be_read(
    reporter: Reporter, bench: Bench, new_book: Callable[[], Book], opened: Opened
) -> None:
    book = new_book()
    book.launch()
    for number, (kind, data) in enumerate(ODD):
        session = f"0192{number:08x}70008{'f' * 15}"
        entry = {"v": 1, "kind": kind, "session": session, "seq": 0, "time": "x", "data": data}
        book.bodies.append(json.dumps(entry).encode())
    deep = '{"parts":[' * 5_000 + "]}" * 5_000
    head = '{"v":1,"seq":0,"time":"x","session":'
    book.bodies.append(f'{head}"deep","kind":"launch.intent","data":{{"command":[{deep}]}}}}'.encode())
    book.bodies.append(f'{head}"{"s" * 60_000}","kind":"launch.lost","data":{{}}}}'.encode())
    count = len(ODD) + 3
    stray = {"v": 1, "kind": "ledger.key", "session": None, "seq": 0, "time": "", "data": {"public_key": "x"}}
    book.bodies.append(json.dumps(stray).encode())
    book.bodies += [b"{", b"[]", b"null", b"", b'{"session": 7, "kind": [], "time": {}}', b"no UTF-8"]
    path = bench.alter(
        bench.write(book), "UPDATE entry SET body = CAST(x'fffe' AS TEXT) WHERE body = 'no UTF-8'"
    )
    status, _, page = reporter.command(path)
    assert status == 1
    opened.page.goto(f"file://{page}")
    opened.ready()
    assert opened.result == "failed"
    assert opened.errors == []
    assert opened.page.inner_text("#count") == f"{count} launches of {count}"
    for at in range(count):
        opened.page.click(f"#row-{at}")
        opened.page.wait_for_selector("#proof > *")
        opened.page.click("#detail-close")
    assert opened.errors == []
