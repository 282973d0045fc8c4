"""Many threads, one ledger: nothing is lost, nobody waits for ever, and each gets its own answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from attest import entry
from attest.errors import MalformedError, NonoError
from store import Appended, Draft, LedgerError
from store.group_commit import MAX_ENTRIES, GroupCommit
from tests.store.place import drafts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store import Ledger
    from tests.store.place import Place


def _in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """Run ``work`` in so many threads; return what each returned or raised."""
    said: list[object] = [None] * count

    def one(number: int) -> None:
        try:
            said[number] = work(number)
        except NonoError as error:
            said[number] = error

    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "somebody waits for ever"
    return said


class _Held:
    """A ledger whose first commit waits until it is let go, so that a line forms behind it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.begun, self.go_on = threading.Event(), threading.Event()

    def append(self, drafts: Sequence[Draft]) -> list[Appended]:
        first = not self.begun.is_set()
        self.begun.set()
        if first:
            assert self.go_on.wait(60)
        return self._ledger.append(drafts)

    def close(self) -> None:
        self._ledger.close()


def _in_line(group: GroupCommit, count: int) -> None:
    for _ in range(6000):
        if len(group._line) == count:
            return
        time.sleep(0.01)
    pytest.fail(f"{len(group._line)} of {count} stand in line")


def _behind_the_first(held: _Held, group: GroupCommit, count: int, *, entries: int) -> None:
    """Let one thread commit, and so many more stand in line meanwhile, each with so many entries."""
    first = threading.Thread(target=lambda: group.append(drafts()))
    first.start()
    assert held.begun.wait(60)
    others = [threading.Thread(target=lambda: group.append(drafts(entries))) for _ in range(count)]
    for other in others:
        other.start()
    _in_line(group, count)
    held.go_on.set()
    for thread in (first, *others):
        thread.join(60)
        assert not thread.is_alive(), "somebody waits for ever"


def test_sixteen_threads_append_and_everything_is_there_once(place: Place) -> None:
    with GroupCommit(place.found()) as group:

        def work(number: int) -> list[tuple[int, str]]:
            mine = []
            for count in (1, 2, 1, 3, 1) * 4:
                appended = group.append(drafts(count, labels={"thread": str(number)}))
                first = appended[0].index
                assert [each.index for each in appended] == list(range(first, first + count))
                mine += [(each.index, each.leaf.hex()) for each in appended]
            assert mine == sorted(mine)
            return mine

        said = _in_threads(16, work)
        assert group.commits < 16 * 20
    bodies = place.check()
    acknowledged = dict(pair for mine in said for pair in mine)  # type: ignore[attr-defined]  # the lists above
    assert sorted(acknowledged) == list(range(1, 16 * 32 + 1))
    assert len(bodies) == 16 * 32 + 1


def test_what_stands_in_line_is_one_commit(place: Place) -> None:
    held = _Held(place.found())
    with GroupCommit(held) as group:  # type: ignore[arg-type]  # a ledger, seen from here
        _behind_the_first(held, group, 10, entries=2)
        assert group.commits == 2
    assert len(place.check()) == 22


def test_a_commit_is_bounded(place: Place) -> None:
    held = _Held(place.found())
    with GroupCommit(held) as group:  # type: ignore[arg-type]  # a ledger, seen from here
        many = MAX_ENTRIES // 2 + 1
        _behind_the_first(held, group, 3, entries=many)
        assert group.commits == 4
    assert len(place.check()) == 3 * many + 2


def test_what_one_brings_is_refused_to_that_one_alone(place: Place) -> None:
    held = _Held(place.found())
    too_large = {"subject": "x" * entry.MAX_BYTES, "by": "kernel", "what": "file", "verdict": "denied"}

    def work(number: int) -> object:
        if number == 0:
            return group.append(drafts())
        assert held.begun.wait(60)
        if number == 1:
            return group.append([Draft(entry.DECISION, "0" * 32, 1, {**too_large, "reason": "long"})])
        if number == 2:
            return group.append([Draft(entry.KEY, None, 0, {})])
        return group.append(drafts())

    def let_go() -> None:
        _in_line(group, 5)
        held.go_on.set()

    with GroupCommit(held) as group:  # type: ignore[arg-type]  # a ledger, seen from here
        threading.Thread(target=let_go, daemon=True).start()
        said = _in_threads(6, work)
    assert isinstance(said[1], MalformedError)
    assert said[1].code == "entry.too_large"
    assert isinstance(said[2], LedgerError)
    assert said[2].code == "ledger.kind"
    assert all(isinstance(said[number], list) for number in (0, 3, 4, 5))
    assert len(place.check()) == 5


def test_a_tampered_ledger_is_told_to_each_that_waits(place: Place) -> None:
    ledger = place.found(3)
    with GroupCommit(ledger) as group:
        with place.attack() as connection:
            connection.execute("UPDATE head SET note = replace(note, 'host', 'hast')")
        before = place.head()
        said = _in_threads(8, lambda _: group.append(drafts()))
    assert {getattr(each, "code", each) for each in said} == {"ledger.tampered"}
    assert len({id(each) for each in said}) == 8
    assert place.head() == before


def test_nothing_to_append(place: Place) -> None:
    with GroupCommit(place.found()) as group, pytest.raises(LedgerError) as caught:
        group.append([])
    assert caught.value.code == "ledger.empty_append"


def test_whoever_is_interrupted_in_its_sleep_leaves_the_line(place: Place) -> None:
    held = _Held(place.found())
    with GroupCommit(held) as group:  # type: ignore[arg-type]  # a ledger, seen from here
        first = threading.Thread(target=lambda: group.append(drafts()))
        first.start()
        assert held.begun.wait(60)

        def interrupt() -> None:
            _in_line(group, 1)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            group.append(drafts())
        assert not group._line
        held.go_on.set()
        first.join(60)
        assert group.append(drafts())[0].index == 2
    assert len(place.check()) == 3


def test_an_interrupted_commit_is_told_as_such_and_not_tried_again(place: Place) -> None:
    class Interrupted(_Held):
        def append(self, drafts: Sequence[Draft]) -> list[Appended]:
            if len(drafts) > 1:
                super().append(drafts)
                raise KeyboardInterrupt
            return super().append(drafts)

    held = Interrupted(place.found())
    said: list[object] = []

    def append() -> None:
        try:
            said.append(group.append(drafts()))
        except (LedgerError, KeyboardInterrupt) as error:
            said.append(error)

    with GroupCommit(held) as group:  # type: ignore[arg-type]  # a ledger, seen from here
        threads = [threading.Thread(target=append) for _ in range(4)]
        threads[0].start()
        assert held.begun.wait(60)
        for thread in threads[1:]:
            thread.start()
        _in_line(group, 3)
        held.go_on.set()
        for thread in threads:
            thread.join(60)
        assert group.append(drafts())[0].index == 5
    assert sum(isinstance(each, KeyboardInterrupt) for each in said) == 1
    assert [each.code for each in said if isinstance(each, LedgerError)] == ["ledger.interrupted"] * 2
    assert len(place.check()) == 6


def test_another_process_appends_meanwhile(place: Place) -> None:
    with GroupCommit(place.found()) as group:
        other = place.start("open", "20")
        said = _in_threads(4, lambda _: [group.append(drafts())[0].index for _ in range(20)])
        out, err = other.communicate(timeout=60)
    assert (err, other.returncode) == ("", 0)
    mine = [index for each in said for index in each]  # type: ignore[attr-defined]  # the lists above
    theirs = [int(line.partition(":")[0]) for line in out.split()[2:-1]]
    assert sorted(mine + theirs) == list(range(1, 101))
    assert len(place.check()) == 101
    assert os.path.exists(place.path)
