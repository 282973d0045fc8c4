"""Memory that runs out is no tampering, and what a hostile ledger takes of it is bounded."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from attest import blob, entry
from verify import NotCheckedError, Pin, heap, launches, reader, seen, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.verify.conftest import Bench, Book


ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads its peak from /proc")


@pytest.fixture
def long_ledger(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> str:
    """Return a ledger that fills a reader's page cache."""
    book = new_book()
    for _ in range(160):
        session = book.new_session()
        book.add(entry.INTENT, session, shapes.changed(shapes.INTENT, command=["x" * 60_000]))
        book.add(entry.OUTCOME, session, shapes.REFUSED)
        book.attest(session)
    return bench.write(book)


@pytest.fixture
def heap_limit() -> Iterator[Callable[[int], object]]:
    """Yield a function that limits SQLite as somebody else in the process would."""
    assert apsw.hard_heap_limit(-1) == 0
    yield apsw.hard_heap_limit
    apsw.hard_heap_limit(0)
    apsw.soft_heap_limit(0)


def test_many_readers_at_once_have_a_share_each(long_ledger: str) -> None:
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(reader.open_ledger(os.fsencode(long_ledger))) for _ in range(12)]
        assert apsw.hard_heap_limit(-1) == 12 * heap.SHARE_BYTES
        for source in sources:
            assert source.integrity() is None
            assert sum(1 for _ in source.entries(10_000)) == 481
    assert (apsw.hard_heap_limit(-1), apsw.soft_heap_limit(-1)) == (0, 0)


def test_many_verifications_at_once(long_ledger: str, shapes: Any) -> None:
    exits: list[int] = []

    def check() -> None:
        exits.append(verify(long_ledger, pins=[Pin(shapes.KEY.public)]).exit)

    threads = [threading.Thread(target=check) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert exits == [0] * 10


@pytest.mark.parametrize("kilobytes", [50, 100, 200, 400, 800, 1_600])
def test_memory_that_runs_out_is_no_tampering(
    long_ledger: str, shapes: Any, heap_limit: Callable[[int], object], kilobytes: int
) -> None:
    heap_limit(apsw.memory_used() + (kilobytes << 10))
    try:
        assert verify(long_ledger, pins=[Pin(shapes.KEY.public)]).exit == 0
    except NotCheckedError as error:
        assert error.code == "input.memory"  # noqa: PT017  # either is right
    else:
        assert kilobytes >= 200


def test_a_check_that_goes_on_without_memory(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = "*** in database main ***\nTree 2 page 77: unable to get the page. error code=7"
    monkeypatch.setattr(reader.LedgerFile, "_rows", lambda self, query, *bindings: iter([(answer,)]))
    with reader.open_ledger(os.fsencode(bench.write(book))) as source:
        with pytest.raises(NotCheckedError) as caught:
            source.integrity()
        assert caught.value.code == "input.memory"


def test_somebody_elses_limit_is_left_alone(
    bench: Bench, book: Book, shapes: Any, heap_limit: Callable[[int], object]
) -> None:
    heap_limit(200 << 20)
    assert verify(bench.write(book), pins=[Pin(shapes.KEY.public)]).exit == 0
    assert apsw.hard_heap_limit(-1) == 200 << 20


def test_what_is_no_ledger_gives_its_share_back(bench: Bench, book: Book) -> None:
    path = bench.alter(bench.write(book), "CREATE TABLE more (x)")
    with pytest.raises(NotCheckedError):
        reader.open_ledger(os.fsencode(path))
    assert apsw.hard_heap_limit(-1) == 0


def test_more_open_launches_than_are_remembered(
    bench: Bench, new_book: Callable[..., Book], shapes: Any
) -> None:
    """What a launch said is read again when its time comes, whatever came between."""
    book = new_book()
    sessions = [book.new_session() for _ in range(3 * launches.MAX_REMEMBERED)]
    hooked = shapes.changed(shapes.INTENT, hooks={"after": shapes.HOOK})
    for session in sessions:
        book.add(entry.INTENT, session, hooked)
    for session in sessions[::2]:
        book.add(entry.START, session, shapes.START)
    for session in reversed(sessions):
        started = session in sessions[::2]
        book.add(entry.OUTCOME, session, shapes.OUTCOME if started else shapes.REFUSED)
    for session in sessions[:-1]:
        book.add(entry.HOOK_RESULT, session, shapes.changed(shapes.HOOK_RESULT, hook="after"))
        book.attest(session)
    said = bench.verify(bench.write(book))
    assert (said.status, said.codes) == (3, ["launch.unfinished"])
    assert said.document["launches"]["complete"] == len(sessions) - 1
    book.attest(sessions[-1], shapes.STRANGER)
    assert bench.verify(bench.write(book)).codes == ["launch.signature"]


PEAK = """
import sys
from verify.cli import main
status = main(sys.argv[1:])
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
sys.exit(status)
"""


def peak_kilobytes(path: str, expected: int) -> int:
    """Verify in a process of its own and return the most memory that it had."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, path], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return int(done.stdout.split()[-1])


@linux
def test_open_launches_with_large_intents_take_no_memory(
    bench: Bench, new_book: Callable[..., Book], shapes: Any
) -> None:
    book = new_book()
    fat = shapes.changed(shapes.INTENT, command=[{"parts": ["a", {"redacted": "flag"}]}] * 1_500)
    for _ in range(600):
        book.add(entry.INTENT, book.new_session(), fat)
    path = bench.write(book)
    assert os.path.getsize(path) > 30_000_000
    assert peak_kilobytes(path, 3) < 120_000


@linux
@pytest.mark.parametrize(
    ("field", "unit"), [("grants", b"{},"), ("command", b'"",'), ("command", b'{"parts":["\\\\",""]},')]
)
def test_a_blob_of_many_values_takes_little_memory(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, field: str, unit: bytes
) -> None:
    """Its digest holds, so it is what was recorded; what is in it was not looked at, and that is said."""
    book = new_book()
    data = b"[" + (unit * (blob.MAX_BYTES // len(unit)))[:-2] + unit[-2:-1] + b"]"
    book.blobs.append(blob.Blob(bytes(32), data))
    intent = shapes.changed(shapes.INTENT, **{field: dict(book.blobs[-1].reference())})
    book.add(entry.INTENT, book.new_session(), intent)
    path = bench.write(book)
    assert bench.verify(path).codes == ["blob.unchecked", "launch.unfinished"]
    assert peak_kilobytes(path, 3) < 150_000


@pytest.mark.parametrize("unit", ["a,b[c{", '"', "\\", '\\"', ',"', "\x01,"])
def test_what_stands_in_strings_is_not_counted(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, unit: str
) -> None:
    book = new_book()
    for shift in range(3):
        command = ["x" * shift + unit * (3_000_000 // len(unit) // 3), unit]
        book.launch(intent=shapes.changed(shapes.INTENT, command=book.beside(command)))
    assert bench.verify(bench.write(book)).status == 0


def test_what_was_seen_goes_to_disk_and_is_still_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "MAX_IN_MEMORY", 100)
    known = seen.Seen()
    items = [hashlib.sha256(b"%d" % number).digest() for number in range(1_050)]
    for item in items:
        known.add(item)
        known.add(item)
    assert all(item in known for item in items)
    assert hashlib.sha256(b"x").digest() not in known
    assert None not in known
    assert len(known._items) < 100


def test_a_ledger_with_more_launches_than_are_kept_in_memory(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "MAX_IN_MEMORY", 10)
    book = new_book()
    for _ in range(35):
        book.launch(start=shapes.changed(shapes.START, environment=book.beside(["PATH"])))
    assert bench.verify(bench.write(book)).status == 0
    book.add(entry.DECISION, shapes.session_id(3), shapes.DECISION)
    assert bench.verify(bench.write(book)).codes == ["launch.reused"]


def test_no_room_for_what_was_seen_is_no_tampering(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: seen.Seen) -> None:
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr(seen, "MAX_IN_MEMORY", 1)
    monkeypatch.setattr(seen.Seen, "_move", full)
    assert bench.verify(bench.write(book)).codes == ["input.too_large"]
