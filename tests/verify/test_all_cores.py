"""However many cores are used, the verdict is the same to the byte; and what becomes of the processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from attest import entry, tree
from verify import NotCheckedError, Pin, cores, render, verify, worker, worker_pool
from verify.batch import Batch, batches
from verify.batch_check import BatchCheck, Terms, check_batch
from verify.forms import Forms
from verify.plain_decisions import PlainDecisions
from verify.reader import DamagedError

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator

    from tests.verify.conftest import Bench, Book

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[worker_pool._Worker]:
    """Let any ledger have two worker processes, which are waited for, in small batches; return them."""
    started: list[worker_pool._Worker] = []
    begin, ready = worker_pool._Worker.__init__, worker_pool._Worker.is_ready

    def remembered(self: worker_pool._Worker, pickled: bytes) -> None:
        begin(self, pickled)
        started.append(self)

    def waited_for(self: worker_pool._Worker) -> bool:
        while not ready(self) and self._process.poll() is None:
            time.sleep(0.005)
        return ready(self)

    monkeypatch.setattr(worker_pool._Worker, "__init__", remembered)
    monkeypatch.setattr(worker_pool._Worker, "is_ready", waited_for)
    monkeypatch.setattr("verify.cores.MIN_BYTES", 0)
    monkeypatch.setattr("verify.batch.MAX_ENTRIES", 8)
    return started


def judged(path: str, shapes: Any, count: int) -> str:
    return render.as_json(verify(path, pins=[Pin(shapes.KEY.public)], cores=count))


@pytest.fixture
def long_book(new_book: Callable[..., Book], shapes: Any) -> Book:
    """Return a ledger of everything that there is, interleaved, in many batches and some tiles."""
    book = new_book()
    book.clock = 3_600  # from there on its times have microseconds, and its decisions are plain
    chance = random.Random(1)
    for number in range(40):
        book.launch(decisions=chance.choice([0, 1, 3, 20]))
        if number % 10 == 3:
            book.launch(start=shapes.changed(shapes.START, environment=book.beside(["HOME", str(number)])))
        if number % 10 == 5:
            opened = [book.new_session() for _ in range(3)]
            for session in opened:
                book.add(entry.INTENT, session, shapes.INTENT)
            for session in reversed(opened):
                book.add(entry.OUTCOME, session, shapes.REFUSED)
            for session in opened:
                book.attest(session)
        if number % 10 == 7:
            direct = shapes.changed(shapes.INTENT, strategy="direct", outputs=[])
            session = book.new_session()
            book.add(entry.INTENT, session, direct)
            book.add(entry.START, session, shapes.START)
        if number == 20:
            book.hand_over(shapes.SUCCESSOR)
    return book


def doubled(book: Book, shapes: Any) -> None:
    book.bodies[100] = book.bodies[99]


def swapped(book: Book, shapes: Any) -> None:
    book.bodies[50], book.bodies[150] = book.bodies[150], book.bodies[50]


def not_canonical(book: Book, shapes: Any) -> None:
    book.bodies[70] = book.bodies[70].replace(b":", b": ", 1)


def not_of_its_schema(book: Book, shapes: Any) -> None:
    book.bodies[71] = book.bodies[71].replace(b'"v":1}', b'"v":1.0}')


def too_large(book: Book, shapes: Any) -> None:
    book.bodies[72] = b" " * 70_000


def of_a_later_kind(book: Book, shapes: Any) -> None:
    book.bodies[80] = book.bodies[80].replace(b'"kind":"', b'"kind":"later.', 1)


def of_a_later_version(book: Book, shapes: Any) -> None:
    book.bodies[81] = book.bodies[81].replace(b'"v":1}', b'"v":2}')


def older_than_the_one_above(book: Book, shapes: Any) -> None:
    for at in (64, 65, 121):
        book.bodies[at] = book.bodies[at].replace(b'"time":"2026', b'"time":"2025')


def a_session_again(book: Book, shapes: Any) -> None:
    """The same launch once more, far behind, so that it is whole in another batch."""
    first = [at for at, body in enumerate(book.bodies) if shapes.session_id(1).encode() in body]
    late = book.bodies[-1][book.bodies[-1].index(b'"time"') :]
    for at in first:
        body = book.bodies[at]
        book.bodies.append(body[: body.index(b'"time"')] + late)


def an_intent_again(book: Book, shapes: Any) -> None:
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT)
    for _ in range(20):
        book.add(entry.DECISION, session, shapes.DECISION)
    book._seqs[session] = 0
    book._taken[session] = []
    book.add(entry.INTENT, session, shapes.INTENT)
    book.add(entry.OUTCOME, session, shapes.REFUSED)
    book.attest(session)


def signed_by_a_stranger(book: Book, shapes: Any) -> None:
    for _ in range(3):
        session = book.new_session()
        book.add(entry.INTENT, session, shapes.INTENT)
        book.add(entry.OUTCOME, session, shapes.REFUSED)
        book.attest(session, shapes.STRANGER)


def signed_by_the_key_before(book: Book, shapes: Any) -> None:
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT)
    book.add(entry.OUTCOME, session, shapes.REFUSED)
    book.attest(session, shapes.KEY)


def another_statement(book: Book, shapes: Any) -> None:
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT)
    book.add(entry.OUTCOME, session, shapes.REFUSED)
    book.attest(session, predicateType="urn:x")


def without_an_end(book: Book, shapes: Any) -> None:
    book.add(entry.INTENT, book.new_session(), shapes.INTENT)


def degraded_and_lost(book: Book, shapes: Any) -> None:
    for number in range(150):
        enforcement = shapes.changed(shapes.START["enforcement"], waived=["network"])
        enforcement["achieved"]["network"] = bool(number % 2)
        book.launch(start=shapes.changed(shapes.START, enforcement=enforcement))


def an_anchor_before_what_it_covers(book: Book, shapes: Any) -> None:
    """It covers the leaf of an attestation that stands in the same batch, below it."""
    evidence = book.beside({"x": 1})
    at = len(book.bodies)
    book.launch()
    leaf = tree.hash_leaf(book.bodies[-1]).hex()
    covers = {"covers": {"leaf": leaf}, "evidence": evidence, "type": "rfc3161"}
    book.add(entry.ANCHOR, None, covers)
    book.bodies.insert(at, book.bodies.pop())


def counted_for_everything(book: Book, shapes: Any) -> None:
    for _ in range(5):
        outcome = shapes.changed(shapes.OUTCOME, executed_image="unchecked")
        outcome["counts"]["survivors"] = outcome["counts"]["survivors_left"] = 2
        image = shapes.changed(shapes.START["executable"], held="stat-only")
        book.launch(start=shapes.changed(shapes.START, executable=image), outcome=outcome)


def a_time_without_microseconds(book: Book, shapes: Any) -> None:
    """The last entry, so that no time stands below it; canonical, and not of its schema."""
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT)
    book.add(entry.DECISION, session, shapes.DECISION, time="2026-11-24T05:00:01Z")


def a_time_of_another_zone(book: Book, shapes: Any) -> None:
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT)
    book.add(entry.DECISION, session, shapes.DECISION, time="2026-11-24T10:00:01+05:00")


def nothing(book: Book, shapes: Any) -> None:
    pass


MUTATIONS = (
    nothing, doubled, swapped, not_canonical, not_of_its_schema, too_large, of_a_later_kind,
    of_a_later_version, older_than_the_one_above, a_session_again, an_intent_again, signed_by_a_stranger,
    signed_by_the_key_before, another_statement, without_an_end, degraded_and_lost,
    an_anchor_before_what_it_covers, counted_for_everything, a_time_without_microseconds,
    a_time_of_another_zone,
)  # fmt: skip


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda each: each.__name__)
def test_the_verdict_does_not_depend_on_the_number_of_cores(
    bench: Bench, long_book: Book, shapes: Any, workers: list[Any], mutate: Callable[[Book, Any], None]
) -> None:
    mutate(long_book, shapes)
    path = bench.write(long_book)
    alone = judged(path, shapes, 1)
    assert not workers
    assert judged(path, shapes, 3) == alone
    assert len(workers) == 2
    assert ('"exit":0' in alone) == (mutate in {nothing, counted_for_everything})


def test_rows_that_are_wrong_and_two_cores(
    bench: Bench, long_book: Book, shapes: Any, workers: list[Any]
) -> None:
    path = bench.write(long_book)
    for statement in (
        "DELETE FROM entry WHERE idx = 77",
        "DELETE FROM entry WHERE idx BETWEEN 130 AND 140",
        "UPDATE tile SET data = zeroblob(8192)",
        "INSERT INTO checkpoint SELECT 33, note FROM checkpoint",
        "UPDATE head SET edge = zeroblob(64)",
    ):
        bench.alter(path, statement)
        assert judged(path, shapes, 2) == judged(path, shapes, 1)


def test_chance(
    bench: Bench,
    long_book: Book,
    shapes: Any,
    in_batches: Callable[[int], contextlib.AbstractContextManager[None]],
) -> None:
    """Bytes flipped and entries moved anywhere, checked in batches of any size."""
    chance = random.Random(2)
    untouched = list(long_book.bodies)
    for _ in range(60):
        long_book.bodies[:] = untouched
        for _ in range(chance.randrange(3)):
            at = chance.randrange(1, len(untouched))
            what = chance.randrange(3)
            if what == 0:
                body = bytearray(long_book.bodies[at])
                body[chance.randrange(len(body))] = chance.randrange(32, 127)
                long_book.bodies[at] = bytes(body)
            elif what == 1:
                long_book.bodies[at] = long_book.bodies[chance.randrange(1, len(untouched))]
            else:
                long_book.bodies.insert(chance.randrange(1, at + 1), long_book.bodies.pop(at))
        path = bench.write(long_book)
        alone = judged(path, shapes, 1)
        with in_batches(chance.choice([1, 3, 20, 1000])):
            assert judged(path, shapes, 2) == alone
        os.unlink(path)


def test_most_is_settled_in_a_batch(long_book: Book, shapes: Any) -> None:
    """Else the tests above would compare the replay with itself."""
    terms = Terms(long_book.origin, shapes.KEY.public)
    plain = PlainDecisions()
    check = check_batch(Batch(1, long_book.bodies[1:150]), terms, Forms(), plain, None)
    assert check.is_sound
    assert len(check.settled) > 10
    covered = 149 - len(check.left) - len(check.decisions)
    assert covered > 100
    assert BatchCheck.decode(*check.encode()).settled == check.settled
    decisions = [body for body in long_book.bodies if b'"kind":"decision"' in body]
    sessions = {Forms().read(body)["session"] for body in decisions}  # type: ignore[index]  # they are valid
    assert sum(plain.read(body, sessions) is not None for body in decisions) > len(decisions) * 0.9


def test_what_is_required_is_met_by_the_first_that_meets_it(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, workers: list[Any]
) -> None:
    book = new_book()
    for number in range(12):
        book.launch(
            intent=shapes.changed(shapes.INTENT, labels={"run": str(number // 4)}), decisions=number % 3
        )
    path = bench.write(book)
    for asked in (
        ["--require-label", "run=1"],
        ["--require-label", "run=9"],
        ["--session", shapes.session_id(5), "--require-label", "run=1"],
        ["--session", shapes.session_id(5), "--require-label", "run=0"],
        ["--session", shapes.session_id(99)],
    ):
        alone = bench.verify(path, *asked, "--cores", "1")
        helped = bench.verify(path, *asked, "--cores", "2")
        assert helped.document == alone.document
        assert helped.text == alone.text
    assert workers


def test_a_batch_is_full_at_a_number_and_at_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verify.batch.MAX_ENTRIES", 4)
    monkeypatch.setattr("verify.batch.MAX_BYTES", 10)

    def entries() -> Iterator[tuple[int, object]]:
        for index in (0, 1, 2, 3, 4, 6, 7, 8, 9):
            yield index, None if index == 7 else b"x" * (12 if index == 8 else 1)
        raise DamagedError("here")

    made: list[Batch] = []
    with pytest.raises(DamagedError, match="here"):
        made.extend(batches(entries()))
    assert [(batch.first, len(batch.bodies)) for batch in made] == [(0, 4), (4, 1), (6, 3), (9, 1)]
    assert all(Batch.decode(batch.first, *batch.encode()) == batch for batch in made)


@pytest.mark.parametrize("most", [None, 1, 2, 1_000])
def test_how_many_cores(most: int | None) -> None:
    assert cores.cores_for(cores.MIN_BYTES - 1, most) == 1
    expected = min(cores.MAX_CORES, most or len(os.sched_getaffinity(0)))
    assert cores.cores_for(cores.MIN_BYTES, most) == expected


def test_a_program_that_is_no_interpreter_starts_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert cores.cores_for(cores.MIN_BYTES, 4) == 1


# --- processes ---------------------------------------------------------------------------------------


def is_there(process: subprocess.Popen[bytes]) -> bool:
    return process.returncode is None


def test_workers_are_gone_afterwards(bench: Bench, long_book: Book, shapes: Any, workers: list[Any]) -> None:
    before = threading.active_count()
    judged(bench.write(long_book), shapes, 3)
    assert len(workers) == 2
    assert not any(is_there(each._process) for each in workers)
    assert threading.active_count() == before


def test_a_worker_that_is_killed_is_no_verdict(
    bench: Bench, long_book: Book, shapes: Any, workers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = worker_pool._Worker.ask

    def killing(self: worker_pool._Worker, *arguments: Any) -> Any:
        self._process.kill()
        self._process.wait()
        return ask(self, *arguments)

    monkeypatch.setattr(worker_pool._Worker, "ask", killing)
    with pytest.raises(NotCheckedError) as caught:
        judged(bench.write(long_book), shapes, 2)
    assert caught.value.code == "input.worker"
    assert "--cores 1" in str(caught.value.hint)
    assert not any(is_there(each._process) for each in workers)


def test_a_worker_that_does_not_come_up_is_done_without(
    bench: Bench, long_book: Book, shapes: Any, workers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.write(long_book)
    for program in ("import sys; sys.exit(3)", "print('hello'); input()", "1/0"):
        workers.clear()
        monkeypatch.setattr(worker_pool, "_PROGRAM", program)
        monkeypatch.setattr(worker_pool._Worker, "is_ready", lambda self: self._has_greeted)
        assert '"exit":0' in judged(path, shapes, 3)
        assert len(workers) == 2
        assert not any(is_there(each._process) for each in workers)


def test_where_no_process_can_be_started_one_has_to_do(
    bench: Bench, long_book: Book, shapes: Any, workers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: Any, **members: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refused)
    assert '"exit":0' in judged(bench.write(long_book), shapes, 3)
    assert not workers


@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_where_no_thread_can_be_started_one_has_to_do(
    bench: Bench, long_book: Book, shapes: Any, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """A limit of processes counts threads; the process that was to be talked with is gone at once."""
    path = bench.write(long_book)
    monkeypatch.setattr("verify.cores.MIN_BYTES", 0)
    begin, begun = threading.Thread.start, list[threading.Thread]()
    opened, processes = subprocess.Popen, list[subprocess.Popen[bytes]]()

    def limited(self: threading.Thread) -> None:
        if len(begun) == which:
            raise RuntimeError("can't start new thread")
        begin(self)
        begun.append(self)

    def remembered(*arguments: Any, **members: Any) -> subprocess.Popen[bytes]:
        processes.append(opened(*arguments, **members))
        return processes[-1]

    monkeypatch.setattr(threading.Thread, "start", limited)
    monkeypatch.setattr(subprocess, "Popen", remembered)
    assert '"exit":0' in judged(path, shapes, 3)
    assert len(processes) == which // 2 + 1
    assert not any(is_there(each) for each in processes)
    assert not any(each.is_alive() for each in begun)


@pytest.mark.parametrize("name", ["read_frame", "write_frame"])
def test_memory_that_is_wanting_between_the_processes_is_no_verdict(
    bench: Bench,
    long_book: Book,
    shapes: Any,
    workers: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: str,
) -> None:
    through, calls = getattr(worker_pool, name), list[int]()

    def wanting(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:  # behind the greeting, and behind what is required
            raise MemoryError
        return through(*arguments)

    monkeypatch.setattr(worker_pool, name, wanting)
    said: list[object] = []

    def judge() -> None:
        try:
            said.append(judged(path, shapes, 2))
        except NotCheckedError as error:
            said.append(error.code)

    path = bench.write(long_book)
    thread = threading.Thread(target=judge, daemon=True)
    thread.start()
    thread.join(60)
    assert said == ["input.worker"]
    assert not any(is_there(each._process) for each in workers)


def test_a_worker_of_other_code_is_done_without(
    bench: Bench, long_book: Book, shapes: Any, workers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "hello", lambda: b"another")
    monkeypatch.setattr(worker_pool._Worker, "is_ready", lambda self: self._has_greeted)
    assert '"exit":0' in judged(bench.write(long_book), shapes, 2)
    assert len(workers) == 1


def test_many_verifications_at_once_have_workers_each(
    bench: Bench, long_book: Book, shapes: Any, workers: list[Any]
) -> None:
    path = bench.write(long_book)
    alone = judged(path, shapes, 1)
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.append(judged(path, shapes, 2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [alone] * 4
    assert len(workers) == 4


def test_what_fails_in_the_replay_ends_the_workers(
    bench: Bench, long_book: Book, shapes: Any, workers: list[Any]
) -> None:
    def failing(done: int, total: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(bench.write(long_book), pins=[Pin(shapes.KEY.public)], cores=2, progress=failing)
    assert len(workers) == 1
    assert not any(is_there(each._process) for each in workers)


SLOW = """
import sys, time
from verify import cores, batch, replay, cli, worker_pool
cores.MIN_BYTES, batch.MAX_ENTRIES = 0, 4
at_size = replay._Replay._at_size
replay._Replay._at_size = lambda *arguments: (time.sleep(0.05), at_size(*arguments))
ask = worker_pool._Worker.ask
worker_pool._Worker.ask = lambda *arguments: (print("asked", file=sys.stderr), ask(*arguments))[1]
print("begun", flush=True)
sys.exit(cli.main(sys.argv[1:]))
"""


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def is_worker(pid: int) -> bool:
    """Return whether a process has become a worker: until then it is a copy of its parent."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"verify.worker" in file.read()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_do_not_outlive_their_parent(bench: Bench, long_book: Book, number: signal.Signals) -> None:
    path = bench.write(long_book)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, path, "-k", bench.path("key.pub"), "--cores", "3"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    with process:
        wait_for(lambda: len(children(process.pid)) == 2)
        workers = children(process.pid)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    wait_for(lambda: not any(os.path.exists(f"/proc/{each}") for each in workers))
    if number == signal.SIGINT:
        assert process.returncode == 2
        assert errors.replace(b"asked\n", b"") == b"not checked: interrupted\n"


@linux
def test_a_worker_has_nothing_of_its_parent_open(bench: Bench, long_book: Book) -> None:
    path = bench.write(long_book)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, path, "-k", bench.path("key.pub"), "--cores", "2"],
        cwd=ROOT, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        wait_for(lambda: children(process.pid))
        (child,) = children(process.pid)
        wait_for(lambda: is_worker(child))
        opened = {os.readlink(f"/proc/{child}/fd/{number}") for number in os.listdir(f"/proc/{child}/fd")}
        assert any("pipe:" in each for each in opened)
        assert not any(path in each for each in opened)
        process.kill()


def test_a_verify_package_in_the_current_directory_is_no_worker(bench: Bench, long_book: Book) -> None:
    """Nor does it matter what PYTHONPATH says: the worker gets the parent's own import path."""
    hostile = bench.path("hostile")
    os.makedirs(os.path.join(hostile, "verify"))
    mark = bench.path("ran")
    for name in ("__init__", "worker"):
        with open(os.path.join(hostile, "verify", f"{name}.py"), "w", encoding="utf-8") as file:
            file.write(f"open({mark!r}, 'w').close()\n")
    program = f"import sys; sys.path[:] = [{ROOT!r}, *(path for path in sys.path if path)]\n{SLOW}"
    program = program.replace("0.05", "0.01")
    done = subprocess.run(
        [sys.executable, "-c", program, bench.write(long_book), "-k", bench.path("key.pub"), "--cores", "2"],
        cwd=hostile, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "asked" in done.stderr
    assert not os.path.exists(mark)


def test_an_exception_of_the_ledger_comes_behind_what_was_read(shapes: Any) -> None:
    def source() -> Iterator[Batch]:
        yield Batch(0, [b"a"])
        raise NotCheckedError("gone")

    seen: list[object] = []
    with (
        worker_pool.WorkerPool(0, None) as pool,
        pytest.raises(NotCheckedError, match="gone"),
    ):
        seen.extend(pool.checked(source(), lambda: None))
    assert len(seen) == 1
