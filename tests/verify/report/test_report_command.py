"""The command that writes a report: its verdict, its page, and what of a ledger the page carries."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from attest import tree
from attest.canonical import encode
from verify.report import carried, choice
from verify.report.carried import carry
from verify.report.choice import ENTRY_COST, Bounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book
    from tests.verify.report.conftest import Report, Reporter


def root_of(report: Report) -> str:
    """Return the root that a page's entries and subtrees give, by this test's own arithmetic."""
    parts = {index: (0, tree.hash_leaf(body)) for index, body in report.frames()}
    for first, height, root in report.document()["subtrees"]:
        assert first not in parts
        parts[first] = (height, bytes.fromhex(root))
    edge, size = list[tuple[int, bytes]](), 0
    for first, (height, node) in sorted(parts.items()):
        assert first == size
        assert first % (1 << height) == 0
        size += 1 << height
        above = (height, node)
        while edge and edge[-1][0] == above[0] and (size >> above[0]) % 2 == 0:
            left = edge.pop()
            above = (above[0] + 1, tree.hash_node(left[1], above[1]))
        edge.append(above)
    assert size == report.document()["verdict"]["size"]
    root = edge.pop()[1]
    while edge:
        root = tree.hash_node(edge.pop()[1], root)
    return root.hex()


def test_the_verdict_is_that_of_a_verification(reporter: Reporter, bench: Bench, book: Book) -> None:
    path = bench.write(book)
    said = bench.verify(path)
    status, output, page = reporter.command(path)
    assert status == said.status == 0
    assert output == f"{said.text}  page: {page}\n"


def test_the_page_carries_everything(reporter: Reporter, book: Book) -> None:
    report = reporter.of(book)
    document = report.document()
    assert report.frames() == list(enumerate(book.bodies))
    assert document["whole"] is True
    assert document["subtrees"] == []
    assert document["launches"] == {"all": 3, "asked": 3, "carried": 3}
    assert root_of(report) == document["verdict"]["root"]
    blob = book.blobs[0]
    length = len(blob.data).to_bytes(4, "big")
    packed = base64.b64decode(report.block("blobs"))
    assert gzip.decompress(packed) == blob.digest() + blob.salt + length + blob.data
    assert document["head"] == book.note(len(book.bodies))


def test_a_ledger_that_does_not_hold_gets_a_page_that_says_so(
    reporter: Reporter, bench: Bench, book: Book
) -> None:
    older_note = book.note(len(book.bodies))
    book.bodies[3] = book.bodies[3].replace(b"04:00", b"05:00")
    path = bench.write(book, head=older_note)
    status, output, page = reporter.command(path)
    assert status == 1
    assert output.startswith("FAILED: ")
    text = page.read_text()
    assert '<section id="verdict" data-word="failed"' in text
    assert "FAILED: " in text.partition("<script")[0]


@pytest.mark.parametrize("key", ["stranger.pub", None])
def test_without_its_key_it_is_not_met(reporter: Reporter, book: Book, key: str | None) -> None:
    report = reporter.of(book, key=key)
    assert report.document()["verdict"]["verdict"] == "not-met"
    assert "intact, not met: " in report.static_text()


def test_what_is_no_ledger_gets_no_page(reporter: Reporter, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not SQLite" * 100)
    status, output, page = reporter.command(os.fspath(tmp_path / "x.db"))
    assert status == 2
    assert output.startswith("not checked: ")
    assert not page.exists()


def test_a_page_that_cannot_be_written(reporter: Reporter, bench: Bench, book: Book, shapes: Any) -> None:
    path = bench.write(book)
    status, output = shapes.run(["report", path, "--html", bench.path("no/such/place.html")])
    assert status == 2
    assert output.startswith("not checked: cannot write ")
    assert "No such file" in output
    status, output = shapes.run(["report", path, "--html", bench.directory, "--overwrite"])
    assert (status, "no regular file" in output) == (2, True)


@pytest.mark.parametrize("side", ["", "-wal", "-journal"])
def test_the_ledger_is_not_written_over(bench: Bench, book: Book, shapes: Any, side: str) -> None:
    path = bench.write(book)
    before = Path(path).read_bytes()
    status, output = shapes.run(["report", path, "--html", path + side])
    assert status == 2
    assert "is what is to be checked" in output
    assert Path(path).read_bytes() == before


def test_a_page_is_replaced_as_a_whole(reporter: Reporter, bench: Bench, book: Book, shapes: Any) -> None:
    page = bench.path("page.html")
    with open(page, "w", encoding="utf-8") as file:
        file.write("older")
    ledger = bench.write(book)
    for arguments in ((bench.path("none.db"), "--overwrite"), (ledger,)):
        assert shapes.run(["report", *arguments, "--html", page])[0] == 2
        with open(page, encoding="utf-8") as file:
            assert file.read() == "older"
    assert shapes.run(["report", ledger, "--html", page, "--overwrite"])[0] == 3
    with open(page, encoding="utf-8") as file:
        assert file.read().startswith("<!DOCTYPE html>")
    if sys.platform != "win32":
        assert os.stat(page).st_mode & 0o777 == 0o600  # it says as much as the ledger
    assert sorted(name for name in os.listdir(bench.directory) if name.startswith("page.html")) == [
        "page.html"
    ]


def test_a_ledger_that_changes_meanwhile_gives_no_page(
    reporter: Reporter, bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.write(book)

    def and_touch(*arguments: Any) -> Any:
        os.utime(path, ns=(1, 1))
        return carry(*arguments)

    monkeypatch.setattr(carried, "carry", and_touch)
    status, output, page = reporter.command(path)
    assert status == 2
    assert "changed while it was read" in output
    assert not page.exists()


def test_nothing_is_loaded_and_nothing_may_be(reporter: Reporter, book: Book) -> None:
    text = reporter.of(book).text
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["base-uri"] == rules["form-action"] == "'none'"
    digests = {
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    }
    assert set(rules["script-src"].split()) == digests
    assert set(rules) == {"default-src", "script-src", "style-src", "base-uri", "form-action"}
    assert "unsafe" not in policy[1]
    # Nothing names an address outside, but for the name of a vocabulary.
    assert set(re.findall(r"[a-z]+://[^\s\"'<)]+", text.partition('id="nono-report"')[0])) <= set()
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|<link|<img|<iframe|innerHTML|outerHTML|insertAdjacent|eval\(", text)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 9, 12])
def test_a_part_has_the_newest_and_leads_to_the_same_root(
    reporter: Reporter, new_book: Callable[[], Book], shapes: Any, limit: int
) -> None:
    book = new_book()
    sessions = [book.launch(decisions=number % 3) for number in range(6)]
    book.hand_over(shapes.SUCCESSOR)
    sessions += [book.launch(decisions=number % 2) for number in range(6)]
    report = reporter.of(book, "--limit", str(limit))
    document = report.document()
    assert document["launches"] == {"all": 12, "asked": 12, "carried": limit}
    assert document["whole"] is (limit == 12)
    bodies = [body for _, body in report.frames()]
    assert {session for session in sessions if any(session.encode() in body for body in bodies)} == set(
        sessions[-limit:]
    )
    assert all(book.bodies[index] == body for index, body in report.frames())
    assert sum(b'"kind":"ledger.' in body for body in bodies) == 2
    assert root_of(report) == document["verdict"]["root"]


def test_parts_by_time_and_by_session(reporter: Reporter, new_book: Callable[[], Book]) -> None:
    book = new_book()
    sessions = [book.launch() for _ in range(5)]  # one a minute's fifteenth: entries come by the second

    def carried_of(*arguments: str) -> set[str]:
        report = reporter.of(book, *arguments)
        assert root_of(report) == report.document()["verdict"]["root"]
        return {
            session for session in sessions if any(session.encode() in body for _, body in report.frames())
        }

    assert carried_of("--since", "2026-11-24T04:00:10Z") == set(sessions[2:])
    assert carried_of("--until", "2026-11-24T05:00:10+01:00") == set(sessions[:2])
    assert carried_of("--since", "2026-11-24T04:00:06Z", "--until", "2026-11-24T04:00:10Z") == {sessions[1]}
    assert carried_of("--session", sessions[3]) == {sessions[3]}
    assert carried_of("--since", "2030-01-01T00:00:00Z") == set()


def test_launches_at_once_are_carried_whole(
    reporter: Reporter, new_book: Callable[[], Book], shapes: Any
) -> None:
    book = new_book()
    one, other = book.new_session(), book.new_session()
    book.add("launch.intent", one, shapes.INTENT)
    book.add("launch.intent", other, shapes.INTENT)
    book.add("launch.outcome", one, shapes.REFUSED)
    book.add("launch.outcome", other, shapes.REFUSED)
    book.attest(other)
    book.attest(one)
    report = reporter.of(book, "--limit", "1")
    assert [index for index, _ in report.frames()] == [0, 2, 4, 5]
    assert root_of(report) == report.document()["verdict"]["root"]


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65, 100])
def test_every_choice_of_entries_leads_to_the_root(size: int) -> None:
    sessions = [f"{number:032x}" for number in range(size)]
    bodies = [
        encode({"kind": "launch.intent", "session": session, "time": f"{number:04d}"})
        for number, session in enumerate(sessions)
    ]
    root = tree.root(tree.hash_leaf(body) for body in bodies)
    for first in range(0, size, max(1, size // 9)):
        for last in range(first, size, max(1, size // 7)):
            found = carry(
                lambda: enumerate(bodies),
                lambda _: None,
                size,
                Bounds(size, since=f"{first:04d}", until=f"{last + 1:04d}"),
            )
            assert found.subtrees is not None
            parts = [(index, 0, tree.hash_leaf(bodies[index])) for index in range(first, last + 1)]
            edge = tree.Edge()
            for begin, height, node in sorted([*found.subtrees, *parts]):
                assert begin == edge.size
                leaves = [tree.hash_leaf(body) for body in bodies[begin : begin + (1 << height)]]
                assert tree.perfect_root(leaves) == node
                for leaf in leaves:
                    edge.append(leaf)
            assert edge.root() == root


def test_too_many_bytes_leave_out_the_oldest(
    reporter: Reporter, new_book: Callable[[], Book], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = new_book()
    for _ in range(6):
        book.launch()
    one = sum(len(body) + ENTRY_COST for body in book.bodies[-4:])
    monkeypatch.setattr(choice, "MAX_ENTRY_BYTES", 2 * one + 100)
    report = reporter.of(book)
    assert report.document()["launches"] == {"all": 6, "asked": 6, "carried": 2}
    assert root_of(report) == report.document()["verdict"]["root"]


def test_values_that_are_too_large_are_left_out(
    reporter: Reporter, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    def size() -> int:
        return len(gzip.decompress(base64.b64decode(reporter.of(book).block("blobs"))))

    assert size() == 68 + len(book.blobs[0].data)
    monkeypatch.setattr(carried, "MAX_BLOB_BYTES", len(book.blobs[0].data) - 1)
    assert size() == 0


@pytest.mark.parametrize(
    "arguments", [("--limit", "0"), ("--limit", "100001"), ("--limit", "x"), ("--since", "y")]
)
def test_what_makes_no_sense_is_refused(
    reporter: Reporter, bench: Bench, book: Book, arguments: tuple[str, ...]
) -> None:
    status, output, page = reporter.command(bench.write(book), *arguments)
    assert status == 2
    assert output.startswith("not checked: ")
    assert not page.exists()


WATCH = """
import os, sys
seen = []
LOUD = ("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.fork")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def hook(event, arguments):
    if event.startswith(LOUD):
        seen.append(event)
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        seen.append(f"open {os.path.dirname(os.fsdecode(arguments[0]))}")
    elif event in ("os.rename", "os.remove"):
        seen.append(f"{event} {os.path.dirname(os.fsdecode(arguments[0]))}")
from verify.cli import main
sys.addaudithook(hook)
status = main(sys.argv[1:])
modules = {name.partition(".")[0] for name in sys.modules}
print(*sorted({*seen}), *sorted(modules), sep="\\n", file=sys.stderr)
sys.exit(status)
"""


def test_it_reaches_no_network_starts_nothing_and_writes_the_page_alone(
    bench: Bench, book: Book, tmp_path: Path
) -> None:
    page = tmp_path / "pages" / "page.html"
    page.parent.mkdir()
    words = ["report", bench.write(book), "-k", bench.path("key.pub"), "--html", str(page), "--overwrite"]
    root = Path(carried.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH, *words], check=False, capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert [line for line in said if " " in line or "." in line] == [
        f"open {page.parent}", f"os.remove {page.parent}", f"os.rename {page.parent}",
    ]  # fmt: skip
    assert not set(said) & {"runtime", "store", "ctypes", "subprocess", "ssl", "http", "sqlalchemy"}


def test_a_living_ledger_is_reported_as_it_was_judged(
    reporter: Reporter, bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer has it open, and writes between the replay and the second look."""
    path = bench.write(book)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    (version,) = writer.execute("PRAGMA user_version").fetchone()
    writer.execute(f"PRAGMA user_version = {version}")  # written, though it says the same
    assert os.path.getsize(f"{path}-wal") > 0
    size, more = len(book.bodies), book.new_session()

    def and_write(*arguments: Any) -> Any:
        index = book.add("launch.intent", more, {"late": True})
        writer.execute("INSERT INTO entry VALUES (?, ?)", (index, book.bodies[index].decode()))
        return carry(*arguments)

    monkeypatch.setattr(carried, "carry", and_write)
    status, output, page = reporter.command(path)
    writer.close()
    assert (status, f"{size} entries" in output) == (0, True)
    found = re.search('id="nono-entries">([^<]*)<', page.read_text(encoding="utf-8"))
    assert found is not None
    assert b"late" not in gzip.decompress(base64.b64decode(found[1]))


def test_a_name_cannot_leave_its_place(reporter: Reporter, bench: Bench, book: Book) -> None:
    name = bench.path("@@entries@@<script>x<&quot;\u202e.db")
    os.rename(bench.write(book), name)
    status, _, page = reporter.command(name)
    assert status == 0
    text = page.read_text(encoding="utf-8")
    assert "<script>x" not in text
    assert "\u202e" not in text
    assert text.count('id="nono-entries"') == 1
