"""The page in a browser: it checks itself, and says what came of that."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from attest.canonical import encode
from attest.note import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import BrowserContext

    from tests.verify.conftest import Bench, Book
    from tests.verify.report.conftest import Opened, Report, Reporter

AGREES = (
    "checked: the entries in this page are those under the signed head,"
    " and the verdict fits them as far as a page can compute it"
)
DISAGREES = "THE DATA IN THIS PAGE DO NOT AGREE WITH ITS VERDICT: rely on none of it"
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def assert_contradicted(opened: Opened, why: str = "") -> None:
    assert opened.result == "disagrees"
    assert opened.status == DISAGREES
    assert opened.alarm == DISAGREES
    assert opened.page.get_attribute("#verdict", "data-word") == "contradicted"
    assert why in opened.steps
    assert not opened.errors


@pytest.fixture
def varied(new_book: Callable[[], Book], shapes: Any) -> Book:
    """Return a ledger with all that a page shows: hooks, a handover, a refusal, a loss, values beside."""
    book = new_book()
    book.launch(decisions=2)
    hooked = book.new_session()
    book.add("launch.intent", hooked, shapes.changed(shapes.INTENT, hooks={"before": shapes.HOOK}))
    book.add("hook.result", hooked, shapes.HOOK_RESULT)
    book.add("launch.start", hooked, shapes.START)
    book.add("launch.outcome", hooked, shapes.SIGNALLED)
    book.attest(hooked)
    refused = book.new_session()
    book.add("launch.intent", refused, shapes.INTENT)
    book.add("launch.outcome", refused, shapes.REFUSED)
    book.attest(refused)
    book.hand_over(shapes.SUCCESSOR)
    book.launch(start=shapes.changed(shapes.START, environment=book.beside(["HOME", "PATH", "TERM"])))
    lost = book.new_session()
    book.add("launch.intent", lost, shapes.INTENT)
    book.add("launch.lost", lost, {"found": "another-boot"})
    return book


def test_an_honest_page_agrees(reporter: Reporter, book: Book, opened: Opened) -> None:
    report = reporter.of(book)
    opened.open(report).ready()
    assert (opened.result, opened.status, opened.alarm) == ("agrees", AGREES, "")
    assert opened.steps.count("holds") == 7
    assert "does not hold" not in opened.steps
    assert f"{len(book.bodies)} entries hashed" in opened.steps
    assert "3 attestations" in opened.steps
    assert opened.page.get_attribute("#verdict", "data-word") == "verified"
    assert opened.page.inner_text("#count") == "3 launches of 3"
    assert opened.requests == [f"file://{report.path}"]
    assert not opened.errors


def test_a_page_of_everything_agrees(reporter: Reporter, varied: Book, opened: Opened) -> None:
    opened.open(reporter.of(varied)).ready()
    assert (opened.result, opened.errors) == ("agrees", [])
    assert opened.page.get_attribute("#verdict", "data-word") == "not-met"
    assert "launch.lost" in opened.page.inner_text("#verdict")
    assert "2 keys" in opened.steps


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_a_part_is_proven(reporter: Reporter, varied: Book, opened: Opened, limit: int) -> None:
    opened.open(reporter.of(varied, "--limit", str(limit))).ready()
    assert opened.result == "agrees"
    said = opened.page.inner_text("#part")
    assert f"a part of the ledger: {limit} of 5 launches" in said
    assert opened.page.inner_text("#count").startswith(f"{limit} launch")


def test_any_change_of_a_byte_is_seen(reporter: Reporter, book: Book, opened: Opened) -> None:
    """The whole page's data, one byte after another at a stride, and some by chance."""
    report = reporter.of(book)
    honest = report.text
    chance = random.Random(7)
    for name in ("report", "entries", "blobs"):
        block = report.block(name)
        begin = honest.index(block)
        places = {
            *range(0, len(block), max(1, len(block) // 12)),
            *(chance.randrange(len(block)) for _ in range(6)),
        }
        for at in sorted(places):
            was = block[at]
            if was == "\n":
                continue
            now = next(char for char in chance.sample(BASE64, 64) if char != was)
            report.text = honest[: begin + at] + now + honest[begin + at + 1 :]
            opened.open(report.save())
            assert opened.result == "disagrees", (name, at, was, now)
            assert opened.alarm == DISAGREES
    report.text = honest
    assert opened.open(report.save()).result == "agrees"


def edited(report: Report, change: Callable[[dict[str, Any]], None]) -> Report:
    """Change what the page says, and make it fit."""
    document = report.document()
    change(document)
    report.forge(document)
    return report.save()


CLAIMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another exit code": lambda said: said["verdict"].update(exit=3),
    "another word": lambda said: said["verdict"].update(verdict="not-met"),
    "another origin": lambda said: said["verdict"].update(origin=f"test/{'0' * 32}"),
    "another root": lambda said: said["verdict"].update(root="0" * 64),
    "another size": lambda said: said["verdict"].update(size=said["verdict"]["size"] - 1),
    "another key": lambda said: said["verdict"]["epochs"][0].update(fingerprint="0" * 64),
    "one key more": lambda said: said["verdict"]["epochs"].append({"fingerprint": "0" * 64, "first": 2}),
    "another pin": lambda said: said["verdict"]["pins"][0].update(fingerprint="0" * 64),
    "no pin that is met": lambda said: said["verdict"]["pins"][0].update(met=None),
    "one launch more": lambda said: said["verdict"]["launches"].update(complete=4),
    "a finding less": lambda said: said["verdict"].update(exit=1, verdict="failed"),
    "another head": lambda said: said.update(head=said["head"].replace("test/", "tost/")),
    "no head": lambda said: said.update(head=""),
    "subtrees that are none": lambda said: said.update(subtrees=[[0, 0, "0" * 64]]),
    "a number of entries": lambda said: said.update(entries=said["entries"] + 1),
    "no subtrees": lambda said: said.update(subtrees=None),
    "no size": lambda said: said["verdict"].update(size=None),
    "no root": lambda said: said["verdict"].update(root=None),
    "no keys": lambda said: said["verdict"].update(epochs=[]),
    "no verdict": lambda said: said.update(verdict=None),
    "no numbers": lambda said: said.update(entries=0, bytes=0),
    "no part of it": lambda said: said.update(whole=False),
    "another version": lambda said: said.update(schema="urn:nono-attest:schema:v1:rapport"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_verdict_that_was_changed_does_not_fit(
    reporter: Reporter, book: Book, opened: Opened, name: str
) -> None:
    opened.open(edited(reporter.of(book), CLAIMS[name]))
    assert_contradicted(opened)


def test_a_part_cannot_be_made_the_whole(reporter: Reporter, varied: Book, opened: Opened) -> None:
    """Somebody leaves out a launch, and all that says so."""
    report = reporter.of(varied, "--limit", "4")

    def whole(said: dict[str, Any]) -> None:
        counts = said["verdict"]["launches"]
        said.update(whole=True, launches={"all": 4, "asked": 4, "carried": 4})
        counts.update(complete=counts["complete"] - 1)

    opened.open(edited(report, whole))
    assert_contradicted(opened, "whether this is all of it")


@pytest.mark.parametrize("limit", [1, 10])
def test_a_handover_that_the_old_key_did_not_sign_is_seen(
    reporter: Reporter, new_book: Callable[[], Book], shapes: Any, opened: Opened, limit: int
) -> None:
    """A stranger goes on with the true beginning of a ledger, under a key of his own."""
    honest = new_book()
    honest.launch()
    honest.hand_over(shapes.SUCCESSOR)
    honest.launch()
    pins = reporter.of(honest).document()["verdict"]["pins"]
    book = new_book()
    book.launch()
    book.hand_over(shapes.STRANGER)
    book.launch()
    report = reporter.of(book, "--limit", str(limit))
    assert opened.open(report).result == "agrees"
    assert "1 handover" in opened.steps
    own = book.note(book.kept[0], [shapes.STRANGER, shapes.STRANGER])
    wrong = reporter.of(honest).document()["handovers"][0]
    for notes in ([], [own], [wrong], [report.document()["head"]]):
        document = report.document()
        report.forge({**document, "handovers": notes})
        opened.open(report.save())
        assert_contradicted(opened, "each handover to another key is signed by both: does not hold")
    assert pins[0]["met"] == "genesis"


def test_direct_launches_are_counted_as_the_verifier_counts_them(
    reporter: Reporter, new_book: Callable[[], Book], shapes: Any, opened: Opened
) -> None:
    book = new_book()
    session = book.new_session()
    book.add("launch.intent", session, shapes.changed(shapes.INTENT, strategy="direct", outputs=[]))
    book.add("launch.start", session, shapes.START)
    unfinished = book.new_session()
    book.add("launch.intent", unfinished, shapes.INTENT)
    opened.open(reporter.of(book)).ready()
    assert (opened.result, opened.errors) == ("agrees", [])
    assert "not watched (direct)" in opened.page.inner_text("#row-1")
    assert "no end recorded" in opened.page.inner_text("#row-0")


def test_what_the_verdict_rests_on_is_shown(
    reporter: Reporter, bench: Bench, book: Book, opened: Opened
) -> None:
    files = {
        "older.checkpoint": book.note(5),
        "policy.toml": "version = 1\n[every]\nnetwork = 'blocked'\n",
    }
    for name, text in files.items():
        with open(bench.path(name), "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    asked = ("--checkpoint", bench.path("older.checkpoint"), "--policy", bench.path("policy.toml"))
    report = reporter.of(book, *asked, "--require-label", "run=7")
    opened.open(report)
    text = opened.page.inner_text("#verdict")
    for said in (
        "no older than the checkpoint that was remembered",
        "5 entries in",
        "(continued)",
        "(met), sha256",
    ):
        assert said in text
    assert (opened.result, opened.errors) == ("agrees", [])
    stamps = [
        {"type": "rfc3161", "holds": holds, "covers": covers, "time": "2027-01-01T00:00:00.000000Z", "by": by}
        for holds, covers, by in (
            (True, {"size": 7}, "CN=good"), (None, {"size": 8}, None),
            (True, {"leaf": "ab" * 32}, "CN=\u202e"),
        )
    ]  # fmt: skip
    seen = {"met": True, "size": 9, "time": "2027-02-01T00:00:00.000000Z", "by": ["w1", "w2"]}

    def outsiders(said: dict[str, Any]) -> None:
        said["verdict"].update(anchors={"count": 3, "newest": stamps}, witnessed=seen, freshness="witnessed")

    text = opened.open(edited(report, outsiders)).page.inner_text("#verdict")
    for said in (
        "7 entries at 2027-01-01T00:00:00.000000Z by CN=good", f"attestation {'ab' * 32} at", "by CN=\\u202e",
        "9 entries at 2027-02-01T00:00:00.000000Z by w1, w2", "a quorum of witnesses saw it",
    ):  # fmt: skip
        assert said in text
    assert "8 entries at" not in text


def test_a_key_that_the_reader_knows(reporter: Reporter, varied: Book, shapes: Any, opened: Opened) -> None:
    opened.open(reporter.of(varied)).ready()
    answer = opened.page.locator("#known-answer")
    genesis, head, stranger = (key.public for key in (shapes.KEY, shapes.SUCCESSOR, shapes.STRANGER))
    founded, signed = re.compile("^this key founded the ledger"), re.compile("^this key signed the head")
    nothing = re.compile("^this is no fingerprint")
    for text, words in (
        (genesis.fingerprint(), founded), (genesis.fingerprint().upper(), founded),
        (genesis.pem().decode(), founded),
        (Verifier("x", genesis).vkey(), founded), (head.pem().decode(), signed),
        (stranger.fingerprint(), re.compile("^THIS KEY IS NOT THE LEDGER'S")),
        (stranger.pem().decode(), re.compile("^THIS KEY IS NOT THE LEDGER'S")),
        ("<b>x</b>", nothing), ("ab" * 31, nothing), (genesis.pem().decode()[:-40], nothing), ("", ""),
    ):  # fmt: skip
        opened.page.fill("#known-key", text)
        expect(answer).to_have_text(words)
    assert not opened.errors


def test_no_key_makes_a_page_good_that_is_not(reporter: Reporter, book: Book, opened: Opened) -> None:
    opened.open(edited(reporter.of(book), lambda said: said["verdict"].update(root="0" * 64))).ready()
    opened.page.fill("#known-key", book.key.public.fingerprint())
    expect(opened.page.locator("#known-answer")).to_have_text("this page does not hold, whatever the key is")


def test_a_failure_cannot_be_made_a_success(
    reporter: Reporter, bench: Bench, book: Book, opened: Opened
) -> None:
    """Somebody edited an entry, verified that, and edits the page's verdict as well."""
    head = book.note(len(book.bodies))
    book.bodies[3] = book.bodies[3].replace(b"/etc/shadow", b"/etc/passwd")
    status, _, path = reporter.command(bench.write(book, head=head))
    assert status == 1
    report = type(reporter.of(book))(path)
    assert opened.open(report).result == "failed"
    assert "the ledger did not hold" in opened.status
    assert "the entries are not those under the signed head" in opened.steps

    def better(said: dict[str, Any]) -> None:
        fingerprint = book.key.public.fingerprint()
        said["verdict"].update(exit=0, verdict="verified", findings=[])
        said["verdict"]["pins"] = [{"fingerprint": fingerprint, "source": "key.pub", "met": "genesis"}]

    opened.open(edited(report, better))
    assert_contradicted(opened, "the entries are not those under the signed head")


def test_an_entry_that_was_changed_is_seen(reporter: Reporter, book: Book, opened: Opened) -> None:
    report = reporter.of(book)
    frames = [(index, body.replace(b"/etc/shadow", b"/etc/passwd")) for index, body in report.frames()]
    report.forge(frames=frames)
    opened.open(report.save())
    assert_contradicted(opened, "the entries are not those under the signed head")


@pytest.mark.parametrize("limit", [2, 10])
def test_an_entry_that_is_left_out_is_seen(
    reporter: Reporter, varied: Book, opened: Opened, limit: int
) -> None:
    report = reporter.of(varied, "--limit", str(limit))
    report.forge(frames=report.frames()[:-1])
    assert_contradicted(opened.open(report.save()))


def test_an_entry_beside_the_subtree_that_covers_it_is_seen(
    reporter: Reporter, varied: Book, opened: Opened
) -> None:
    """Whoever keeps the true subtrees cannot show other entries as if they were in one of them."""
    report = reporter.of(varied, "--limit", "1")
    frames = report.frames()
    lie = encode({"data": {}, "kind": "launch.intent", "seq": 0, "session": "0" * 32, "time": "", "v": 1})
    report.forge(frames=[frames[0], (3, lie), *frames[1:]])
    assert_contradicted(opened.open(report.save()), "no part of the tree begins at entry")


def test_a_strangers_ledger_is_not_that_of_the_pin(
    reporter: Reporter, book: Book, shapes: Any, opened: Opened
) -> None:
    """All of it is signed again by somebody else, and the page still names the pin that was met."""
    theirs = reporter.of(book)
    pins = theirs.document()["verdict"]["pins"]
    other = shapes.Book(key=shapes.STRANGER)
    other.launch()
    report = reporter.of(other, key="stranger.pub")
    opened.open(edited(report, lambda said: said["verdict"].update(pins=pins)))
    assert_contradicted(opened, "a key is pinned which did not sign")


def test_an_attestation_of_another_launch_is_seen(
    reporter: Reporter, new_book: Callable[[], Book], opened: Opened
) -> None:
    """The verifier says so, and the page finds it by itself."""
    book = new_book()
    book.launch()
    book.launch(decisions=1)
    one, other = book.bodies[4], book.bodies[9]
    payload = re.search(rb'"payload":"[^"]*"', other)
    signature = re.search(rb'"sig":"[^"]*"', other)
    assert payload is not None
    assert signature is not None
    one = re.sub(rb'"payload":"[^"]*"', lambda _: payload[0], one)
    book.bodies[4] = re.sub(rb'"sig":"[^"]*"', lambda _: signature[0], one)
    report = reporter.of(book)
    opened.open(report)
    assert opened.result == "failed"
    assert "it states something else than the entries" in opened.steps


NO_ED25519 = """
const importKey = SubtleCrypto.prototype.importKey;
SubtleCrypto.prototype.importKey = function (format, key, algorithm, ...rest) {
  if (algorithm === "Ed25519") return Promise.reject(new DOMException("no", "NotSupportedError"));
  return importKey.call(this, format, key, algorithm, ...rest);
};
"""
YES_TO_ALL = "SubtleCrypto.prototype.verify = () => Promise.resolve(true);"
NO_TO_ALL = "SubtleCrypto.prototype.verify = () => Promise.resolve(false);"
NO_SUBTLE = "Object.defineProperty(crypto, 'subtle', { value: undefined });"
NO_GZIP = "delete globalThis.DecompressionStream;"


@pytest.mark.parametrize("script", [NO_ED25519, YES_TO_ALL, NO_TO_ALL, NO_SUBTLE, NO_GZIP])
def test_a_browser_that_cannot_check_does_not_say_that_it_did(
    reporter: Reporter, book: Book, opened: Opened, script: str
) -> None:
    opened.page.add_init_script(script)
    opened.open(reporter.of(book))
    assert opened.result == "unable"
    assert opened.status.startswith("not checked: this browser")
    assert "checked: the entries" not in opened.page.inner_text("body")
    assert opened.page.get_attribute("#verdict", "data-word") == "verified"  # which nono-verify said
    assert not opened.errors


def test_a_page_from_elsewhere_without_cryptography_says_so(
    reporter: Reporter, book: Book, context: BrowserContext, opened: Opened
) -> None:
    """Over plain HTTP from another machine a browser gives a page no WebCrypto."""
    report = reporter.of(book)
    context.route(
        "http://elsewhere.test/*", lambda route: route.fulfill(body=report.text, content_type="text/html")
    )
    opened.page.goto("http://elsewhere.test/report.html")
    opened.page.wait_for_selector("html[data-check=unable]")
    assert "gives no cryptography" in opened.status


def test_without_scripts_the_verdict_is_there_and_nothing_is_checked(
    reporter: Reporter, book: Book, opened: Opened
) -> None:
    context = opened.page.context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr]  # it has one
    page = context.new_page()
    page.goto(f"file://{reporter.of(book).path}")
    text = page.inner_text("body")
    assert "verified: 3 launches, 14 entries" in text
    assert "not checked: no script of this page has run" in text
    assert "checks nothing" in text
    context.close()


def test_a_script_that_was_changed_does_not_run(reporter: Reporter, book: Book, opened: Opened) -> None:
    report = reporter.of(book)
    report.text = report.text.replace("openPage().catch", "alert(1); openPage().catch")
    opened.page.goto(f"file://{report.save().path}")
    assert opened.result == "none"
    assert opened.status == "not checked: no script of this page has run"
    assert not opened.dialogs
