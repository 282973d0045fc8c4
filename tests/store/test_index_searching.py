"""Searching the index: what is found is what a look at every launch finds, and where the search begins."""

from __future__ import annotations

import os
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from store.index import Criteria, SearchIndex, launches, searching
from tests.store.recorded_launches import (
    INTENT,
    NOT_STARTED,
    OUTCOME,
    START,
    changed,
    drafts,
    open_ledger,
    session_id,
    this_process,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from store import Draft
    from store.index import IndexedState, LaunchRecord

COUNT = 400


def launch(number: int) -> list[Draft]:
    intent = changed(
        INTENT,
        command=["tool", f"job-{number % 23}", "*?[]%_\\", "Größe"],
        labels={"run": str(number % 9), **({"rare": "x"} if number == 77 else {})},
        grants=[{**INTENT["grants"][0], "asked": f"/asked/{number % 5}"}],
    )
    capabilities = changed(START["capabilities"])
    capabilities["files"] += [
        {
            "access": "read",
            "asked": "/usr",
            "path": "/usr",
            "source": "group:system_read",
            "type": "directory",
        },
        {
            "access": "read",
            "asked": "x",
            "path": f"/data/{number % 6}/in",
            "source": "profile",
            "type": "file",
        },
    ]
    image = changed(
        START["executable"], path=f"/opt/t{number % 4}/tool{number % 3}", sha256=f"{number % 7:064x}"
    )
    start: dict[str, Any] | None = changed(START, executable=image, capabilities=capabilities)
    outcome: dict[str, Any] | None = changed(OUTCOME, exit=number % 5)
    if number % 8 == 3:
        outcome = changed(
            OUTCOME, exit=0, outputs=[{"path": f"/out/{number % 16}.whl", "unhashed": "missing"}]
        )
    closing: str | None = "launch.attestation"
    if number % 31 == 5:
        start, outcome = None, NOT_STARTED
    elif number % 29 == 7:
        outcome, closing = None, "launch.lost"
    elif number % 37 == 9:
        outcome = closing = None
    elif number % 101 == 50:
        intent, outcome, closing = {**intent, **this_process()}, None, None
    return drafts(
        session_id(number * 1_000),
        intent=intent,
        start=start,
        decisions=number % 17 == 0,
        outcome=outcome,
        closing=closing,
        checked=False,
    )


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("searched") / "ledger.db"
    with open_ledger(path, path.parent / "state") as opened:
        for number in range(COUNT):
            opened.append(launch(number))
    return os.fsencode(path)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchIndex]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with SearchIndex() as opened:
        yield opened


@pytest.fixture
def everything(index: SearchIndex, ledger: bytes) -> list[LaunchRecord]:
    return index.launches(index.catch_up(ledger))


def paths_of(record: LaunchRecord) -> set[str]:
    """Say what launch() gave it."""
    number = int(record.session[:12], 16) // 1_000
    if number % 31 == 5:
        return {f"/asked/{number % 5}"}
    written = {f"/out/{number % 16}.whl"} if number % 8 == 3 and record.outcome is not None else set()
    return {"/work", f"/data/{number % 6}/in"} | written


def beneath(path: str) -> Callable[[LaunchRecord], bool]:
    return lambda record: any(one == path or one.startswith(f"{path}/") for one in paths_of(record))


SEARCHES: dict[str, tuple[Criteria, Callable[[LaunchRecord], bool]]] = {
    "all": (Criteria(), lambda _: True),
    "command": (Criteria(command="job-2"), lambda r: "job-2" in (r.command or "")),
    "command of one": (Criteria(command="job-22 "), lambda r: "job-22 " in (r.command or "")),
    "command in another case": (Criteria(command="JOB"), lambda _: False),
    "command with what patterns are made of": (Criteria(command="*?[]%_\\"), lambda _: True),
    "command that a pattern would match": (Criteria(command="t*l"), lambda _: False),
    "command with a class": (Criteria(command="[a-z]"), lambda _: False),
    "command not ASCII": (Criteria(command="Größe"), lambda _: True),
    "session": (Criteria(session=session_id(7_000)), lambda r: r.session == session_id(7_000)),
    "session, its beginning": (Criteria(session="0000"), lambda _: True),
    "no such session": (Criteria(session="ffff"), lambda _: False),
    "path": (Criteria(path="/data/3/in"), beneath("/data/3/in")),
    "path above": (Criteria(path="/data"), beneath("/data")),
    "path that is no whole part": (Criteria(path="/dat"), lambda _: False),
    "path of a default": (Criteria(path="/usr"), lambda _: False),
    "path of an output": (Criteria(path="/out/11.whl"), beneath("/out/11.whl")),
    "path asked for": (Criteria(path="/asked"), beneath("/asked")),
    "root": (Criteria(path="/"), lambda _: True),
    "executable": (Criteria(executable="/opt/t1/tool2"), lambda r: r.executable == "/opt/t1/tool2"),
    "executable's name": (Criteria(executable="tool2"), lambda r: (r.executable or "").endswith("/tool2")),
    "hash": (Criteria(executable_sha256=f"{3:064x}"), lambda r: r.executable_sha256 == f"{3:064x}"),
    "hash, its beginning": (Criteria(executable_sha256="0000"), lambda r: r.executable is not None),
    "label": (Criteria(labels=(("run", "4"),)), lambda r: r.labels["run"] == "4"),
    "label of any value": (Criteria(labels=(("rare", None),)), lambda r: "rare" in r.labels),
    "labels": (
        Criteria(labels=(("run", "5"), ("rare", "x"))),
        lambda r: r.labels["run"] == "5" and "rare" in r.labels,
    ),
    "no such label": (Criteria(labels=(("run", "77"),)), lambda _: False),
    "exit": (Criteria(exit=3), lambda r: r.exit == 3),
    "exit 0": (Criteria(exit=0), lambda r: r.exit == 0),
    "denied": (Criteria(denied=True), lambda r: r.denied > 0 or r.not_started is not None),
    "lost": (Criteria(lost=True), lambda r: r.state in {"lost", "unfinished"}),
    "much": (
        Criteria(command="job", labels=(("run", "4"),), exit=1, path="/data", executable="tool1"),
        lambda r: r.labels["run"] == "4" and r.exit == 1 and (r.executable or "").endswith("/tool1"),
    ),
}


@pytest.mark.parametrize("few", [0, 10, 2_000])
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_finds_what_a_look_at_every_launch_finds(
    index: SearchIndex, ledger: bytes, name: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = index.catch_up(ledger)
    everything = index.launches(state)
    assert len(everything) == COUNT
    monkeypatch.setattr(searching, "FEW", few)
    criteria, meets = SEARCHES[name]
    wanted = [record for record in everything if meets(record)]
    assert index.launches(state, criteria) == wanted
    assert index.launches(state, criteria, limit=3) == wanted[:3]


def test_the_searches_above_find_something_and_leave_something_out(everything: list[LaunchRecord]) -> None:
    counts = {name: sum(map(meets, everything)) for name, (_, meets) in SEARCHES.items()}
    for name in ("command", "path", "path of an output", "path asked for", "executable", "label", "labels",
                 "exit", "denied", "lost", "much", "hash", "label of any value"):  # fmt: skip
        assert 0 < counts[name] < COUNT / 2, name
    assert {record.state for record in everything} == {"complete", "running", "unfinished", "lost"}


@pytest.mark.parametrize("few", [0, 2_000])
def test_a_span_of_time_has_its_beginning_and_not_its_end(
    index: SearchIndex,
    ledger: bytes,
    everything: list[LaunchRecord],
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searching, "FEW", few)
    state = index.catch_up(ledger)
    assert all(later.time > earlier.time for later, earlier in pairwise(everything))
    since, until = launches.microseconds(everything[300].time), launches.microseconds(everything[100].time)
    span = everything[101:301]
    assert index.launches(state, Criteria(since=since, until=until)) == span
    for name in (
        "command",
        "label",
        "exit",
        "denied",
        "path",
        "executable",
        "session, its beginning",
        "much",
    ):
        criteria, meets = SEARCHES[name]
        spanned = Criteria(
            since=since,
            until=until,
            **{
                field: getattr(criteria, field)
                for field in Criteria.__slots__
                if field not in {"since", "until"}
            },
        )
        assert index.launches(state, spanned) == [record for record in span if meets(record)], name


def plan_of(index: SearchIndex, state: IndexedState, criteria: Criteria) -> list[str]:
    """Return how SQLite does a search."""
    with index._engine.connect() as connection:
        query = searching.query(connection, state.id, criteria)
        assert query is not None
        compiled = query.limit(51).compile(connection.engine, compile_kwargs={"literal_binds": True})
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("all", "SEARCH index_launch USING INDEX ix_index_launch_ledger_id_at_first "),
        ("command", "SEARCH index_command USING PRIMARY KEY (ledger_id=? AND at>?"),
        ("exit", "SEARCH index_launch USING INDEX ix_index_launch_ledger_id_exit_at_first "),
        ("denied", "SEARCH index_launch USING INDEX ix_index_launch_refused "),
        ("lost", "SEARCH index_launch USING INDEX ix_index_launch_unfinished "),
        ("path", "SEARCH index_launch USING INDEX ix_index_launch_ledger_id_paths_at_first "),
        ("executable", "SEARCH index_launch USING INDEX ix_index_launch_ledger_id_executable_at_first "),
        ("label", "SEARCH index_launch USING INDEX ix_index_launch_ledger_id_at_first "),
        ("session, its beginning", "SEARCH index_launch USING INDEX ix_index_launch_ledger_id_at_first "),
    ],
)
def test_what_many_meet_is_gone_through_in_order_and_never_sorted(
    index: SearchIndex, ledger: bytes, name: str, begins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "FEW", 2)
    # Of executables and sets of paths that are several, no index has the launches in their order.
    single = {
        "path": Criteria(path="/asked/0"),
        "executable": Criteria(executable="/opt/t1/tool2", executable_sha256=f"{3:064x}"),
    }
    criteria = single.get(name, SEARCHES[name][0])
    plan = plan_of(index, index.catch_up(ledger), criteria)
    assert plan[0].startswith(begins), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize("name", ["session", "label", "exit", "denied", "lost", "executable", "much"])
def test_what_few_meet_is_where_the_search_begins(index: SearchIndex, ledger: bytes, name: str) -> None:
    plan = plan_of(index, index.catch_up(ledger), SEARCHES[name][0])
    assert plan[0].startswith("SEARCH index_launch USING INDEX sqlite_autoindex_index_launch_1"), plan
    assert "(ledger_id=? AND first=?)" in plan[0], plan


def test_nothing_is_asked_of_the_launches_where_a_criterion_is_met_by_none(
    index: SearchIndex, ledger: bytes
) -> None:
    state = index.catch_up(ledger)
    asked: list[str] = []
    event.listen(
        index._engine,
        "before_cursor_execute",
        lambda connection, cursor, statement, parameters, context, many: asked.append(statement),
    )
    assert index.launches(state, Criteria(exit=99, command="job")) == []
    assert asked
    assert not any("index_command" in statement for statement in asked)


def test_running_launches_do_not_use_up_the_limit_of_the_lost(tmp_path: Path, index: SearchIndex) -> None:
    path = tmp_path / "ledger.db"
    running = changed(INTENT, **this_process())
    with open_ledger(path, tmp_path / "state") as opened:
        for number in range(40):
            opened.append(
                drafts(
                    session_id(number),
                    intent=INTENT if number < 2 else running,
                    outcome=None,
                    closing=None,
                    checked=False,
                )
            )
    found = index.launches(index.catch_up(os.fsencode(path)), Criteria(lost=True), limit=2)
    assert [(record.session, record.state) for record in found] == [
        (session_id(1), "unfinished"),
        (session_id(0), "unfinished"),
    ]


def test_outputs_that_come_in_a_later_batch_join_the_grants(tmp_path: Path, index: SearchIndex) -> None:
    path = tmp_path / "ledger.db"
    made = drafts(
        session_id(1), outcome=changed(OUTCOME, outputs=[{"path": "/out/a", "unhashed": "missing"}])
    )
    with open_ledger(path, tmp_path / "state") as opened:
        opened.append(made[:2])
        before = index.catch_up(os.fsencode(path))
        assert len(index.launches(before, Criteria(path="/work"))) == 1
        assert index.launches(before, Criteria(path="/out")) == []
        opened.append(made[2:])
    after = index.catch_up(os.fsencode(path))
    assert len(index.launches(after, Criteria(path="/work"))) == 1
    assert len(index.launches(after, Criteria(path="/out/a"))) == 1


def test_many_executables_and_paths_are_more_than_can_be_named(
    tmp_path: Path, index: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_MAX_NUMBERS", 3)
    path = tmp_path / "ledger.db"
    order = list(range(20))
    random.Random(7).shuffle(order)
    with open_ledger(path, tmp_path / "state") as opened:
        for number in order:
            capabilities = changed(START["capabilities"])
            capabilities["files"][0]["path"] = f"/tmp/{number}"
            image = changed(START["executable"], path=f"/bin/{number}/tool")
            start = changed(START, capabilities=capabilities, executable=image)
            opened.append(drafts(session_id(number), start=start))
    state = index.catch_up(os.fsencode(path))
    wanted = [session_id(number) for number in reversed(order)]
    for criteria in (Criteria(path="/tmp"), Criteria(executable="tool")):
        assert [record.session for record in index.launches(state, criteria)] == wanted
