"""The index in PostgreSQL, a real one: the same answers, several hosts, and an upgrade with data in it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from store.errors import SearchIndexError
from store.index import Criteria, SearchIndex, catching_up, migrating
from store.index.tables import METADATA, REVISION, VERSION_TABLE
from tests.store.first_revision import fill_first_revision
from tests.store.postgresql_server import PostgresqlServer
from tests.store.recorded_launches import INTENT, OUTCOME, START, changed, drafts, open_ledger, session_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store import Draft

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as running:
        yield running


@pytest.fixture
def url(server: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return server.database()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger of three hundred launches that have something of everything."""
    path = tmp_path / "ledger.db"
    with open_ledger(path, tmp_path / "state") as opened:
        opened.append([draft for number in range(300) for draft in launch(number)])
    return path


def launch(number: int) -> list[Draft]:
    """Return a launch that differs from its neighbours in all that is searched for."""
    image = changed(START["executable"], path=f"/usr/bin/tool-{number % 5}", sha256=f"{number % 7:064x}")
    capabilities = changed(START["capabilities"])
    capabilities["files"][0]["path"] = f"/work/p{number % 11}/ä"
    intent = changed(INTENT, command=["make", f"Target-{number % 13}", "%_\\"], labels={"n": str(number % 3)})
    return drafts(
        session_id(number),
        intent=intent,
        start=changed(START, executable=image, capabilities=capabilities),
        decisions=number % 4 == 0,
        outcome=None if number % 10 == 9 else {**OUTCOME, "exit": number % 3},
        closing=None if number % 10 == 9 else "launch.attestation",
        checked=False,
    )


SEARCHES = [
    Criteria(),
    Criteria(session=session_id(7)[:11]),
    Criteria(command="Target-7"),
    Criteria(command="target-7"),
    Criteria(command="%_"),
    Criteria(path="/work/p3"),
    Criteria(path="/work/p"),
    Criteria(executable="tool-2"),
    Criteria(executable="/usr/bin/tool-2"),
    Criteria(executable_sha256="0" * 63 + "3"),
    Criteria(executable_sha256="0000"),
    Criteria(labels=(("n", "1"),)),
    Criteria(labels=(("n", None),)),
    Criteria(labels=(("n", "2"), ("m", None))),
    Criteria(exit=2),
    Criteria(denied=True),
    Criteria(lost=True),
    Criteria(since=1),
    Criteria(until=1),
    Criteria(command="Target", labels=(("n", "1"),), exit=1, denied=True, path="/work", executable="tool-3"),
]


def test_every_search_finds_what_it_finds_in_sqlite(url: str, ledger: Path) -> None:
    with SearchIndex(url) as there, SearchIndex() as here:
        in_postgresql, in_sqlite = (index.catch_up(os.fsencode(ledger)) for index in (there, here))
        assert replace(in_postgresql, id=0) == replace(in_sqlite, id=0)
        assert in_postgresql.consistent
        for criteria in SEARCHES:
            found = there.launches(in_postgresql, criteria)
            assert found == here.launches(in_sqlite, criteria), criteria
            assert there.launches(in_postgresql, criteria, limit=2) == found[:2]
        assert there.count(in_postgresql) == 300


def test_batches_and_an_open_launch_that_is_completed_later(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catching_up, "BATCH", 7)
    path = tmp_path / "ledger.db"
    waiting = [launch(number) for number in range(40)]
    with open_ledger(path, tmp_path / "state") as opened, SearchIndex(url) as index:
        while any(waiting):
            opened.append([made.pop(0) for made in waiting if made])
            index.catch_up(os.fsencode(path))
        in_steps = index.launches(index.catch_up(os.fsencode(path)))
    with SearchIndex() as other:
        assert in_steps == other.launches(other.catch_up(os.fsencode(path)))
    assert len(in_steps) == 40


def test_a_replaced_ledger_is_indexed_anew(url: str, ledger: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with open_ledger(other, tmp_path / "state") as opened:
        opened.append(launch(1))
    with SearchIndex(url) as index:
        index.catch_up(os.fsencode(ledger))
        os.replace(other, ledger)
        state = index.catch_up(os.fsencode(ledger))
        assert [found.session for found in index.launches(state)] == [session_id(1)]


def test_hostile_text_is_stored_as_far_as_it_can_be(url: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    hostile = "\0\x1b[2J'\";--%s %(x)s :x ä€😀\u202e"
    capabilities = changed(START["capabilities"])
    capabilities["files"][0]["path"] = hostile * 3_000
    start = changed(
        START,
        capabilities=capabilities,
        executable=changed(START["executable"], path=hostile, sha256=hostile),
    )
    intent = changed(
        INTENT, command=[hostile] * 200, labels={"k" * 200: "😀" * 600, "x": hostile}, strategy=hostile
    )
    with open_ledger(path, tmp_path / "state") as opened:
        opened.append(drafts(session_id(1), intent=intent, start=start, checked=False))
    with SearchIndex(url) as there, SearchIndex() as here:
        (found,) = there.launches(there.catch_up(os.fsencode(path)))
        assert found == here.launches(here.catch_up(os.fsencode(path)))[0]
        assert found.labels["k" * 128] == "😀" * 512
        wanted = Criteria(labels=(("x", hostile.replace("\0", "␀")),))
        assert there.launches(there.catch_up(os.fsencode(path)), wanted) == [found]


def test_hosts_share_an_index(
    url: str, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.db"
    with open_ledger(other, tmp_path / "state") as opened:
        opened.append(launch(1))
    with SearchIndex(url) as index:
        index.catch_up(os.fsencode(ledger))
        assert index.elsewhere() == []
    monkeypatch.setattr(catching_up, "_host", lambda: "another-host")
    with SearchIndex(url) as index:
        # The same path, on another host: another ledger.
        os.replace(other, ledger)
        state = index.catch_up(os.fsencode(ledger))
        (far,) = index.elsewhere()
        assert (far.path, far.host) == (os.fsencode(ledger), os.uname().nodename)
        assert (index.count(far), index.count(state)) == (300, 1)
        assert len(index.launches(far)) == 300


CATCH_UP = """
import os, sys
sys.path.insert(0, sys.argv[1])
from store.index import SearchIndex, catching_up
catching_up.BATCH = 50
with SearchIndex(sys.argv[2]) as index:
    print(len(index.launches(index.catch_up(os.fsencode(sys.argv[3])))))
"""


def test_processes_that_catch_up_at_the_same_moment_share_the_work(url: str, ledger: Path) -> None:
    SearchIndex(url).close()
    arguments = [sys.executable, "-c", CATCH_UP, str(ROOT), url, str(ledger)]
    children = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [child.communicate()[0] for child in children] == ["300\n"] * 3
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM index_ledger")) == 1
        assert connection.scalar(text("SELECT count(*) FROM index_launch")) == 300
    engine.dispose()


def test_the_tables_after_all_migrations_are_those_of_the_code(url: str) -> None:
    SearchIndex(url).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": VERSION_TABLE, "compare_type": True, "target_metadata": METADATA},
        )
        assert compare_metadata(context, METADATA) == []
        assert migrating.revision_of(connection) == REVISION
    engine.dispose()


def test_an_index_of_the_first_revision_is_upgraded_and_filled_again(url: str, ledger: Path) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        command.upgrade(migrating.configuration(connection), "0001")
        fill_first_revision(connection, ledger)
    with SearchIndex(url) as index, SearchIndex() as fresh:
        far = index.elsewhere()
        assert [(state.host, state.size, index.count(state)) for state in far] == [("elsewhere", 0, 0)]
        found = index.launches(index.catch_up(os.fsencode(ledger)))
        assert found == fresh.launches(fresh.catch_up(os.fsencode(ledger)))
    with engine.begin() as connection:
        assert migrating.revision_of(connection) == REVISION
        command.downgrade(migrating.configuration(connection), "base")
        assert inspect(connection).get_table_names() == [VERSION_TABLE]
    engine.dispose()


def test_a_server_that_does_not_answer_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SearchIndexError) as caught:
        SearchIndex(f"postgresql+psycopg://nono:hunter2@/x?host={tmp_path}")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
