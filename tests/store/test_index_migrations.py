"""The index's schema history: from nothing to the tables that the code has, on more than one database."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, func, inspect, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from store.errors import SearchIndexError
from store.index import SearchIndex, catching_up, migrating
from store.index.bodies import LedgerBodies
from store.index.index_file import engine_of
from store.index.tables import LAUNCH, METADATA, REVISION, VERSION_TABLE
from tests.store.first_revision import fill_first_revision
from tests.store.recorded_launches import drafts, open_ledger, session_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

ROOT = Path(__file__).parents[2]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path / 'scratch.db'}")
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def test_the_tables_after_all_migrations_are_those_of_the_code(connection: Connection) -> None:
    migrating.upgrade(connection)
    context = MigrationContext.configure(
        connection,
        opts={"version_table": VERSION_TABLE, "compare_type": True, "target_metadata": METADATA},
    )
    assert compare_metadata(context, METADATA) == []
    assert migrating.revision_of(connection) == REVISION


def test_a_table_that_the_code_has_not_is_noticed(connection: Connection) -> None:
    migrating.upgrade(connection)
    connection.exec_driver_sql("ALTER TABLE index_launch DROP COLUMN denied")
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    assert [change[0] for change in compare_metadata(context, METADATA)] == ["add_column"]


def test_there_is_one_line_of_revisions_and_the_code_is_at_its_head(connection: Connection) -> None:
    scripts = ScriptDirectory.from_config(migrating.configuration(connection))
    assert scripts.get_heads() == [REVISION]
    assert len(scripts.get_bases()) == 1
    for script in scripts.walk_revisions():
        assert Path(script.path).name == f"revision_{script.revision}.py"


def test_every_revision_goes_up_and_down_again(connection: Connection) -> None:
    config = migrating.configuration(connection)
    command.upgrade(config, "head")
    assert "index_launch" in inspect(connection).get_table_names()
    command.downgrade(config, "base")
    assert inspect(connection).get_table_names() == [VERSION_TABLE]
    command.upgrade(config, "head")
    assert migrating.revision_of(connection) == REVISION


def test_a_revision_that_nobody_here_knows_is_refused(connection: Connection) -> None:
    migrating.upgrade(connection)
    connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(SearchIndexError) as caught:
        migrating.upgrade(connection)
    assert caught.value.code == "index.revision"


def test_the_tables_can_be_made_in_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # published so
    for table in METADATA.sorted_tables:
        assert f"CREATE TABLE {table.name}" in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert "CREATE INDEX" in str(CreateIndex(index).compile(dialect=dialect))


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_is_no_place_for_an_index_is_refused(url: str) -> None:
    with pytest.raises(SearchIndexError) as caught:
        SearchIndex(url)
    assert caught.value.code == "index.url"


def test_a_url_is_never_repeated_in_an_error() -> None:
    with pytest.raises(SearchIndexError) as caught:
        SearchIndex("postgresql://user:hunter2@host:port/db")
    assert "hunter2" not in str(caught.value) + str(caught.value.hint)


def test_an_index_of_the_right_revision_is_opened_without_alembic(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from store.index import SearchIndex; SearchIndex().close();"
        "print(any(name.split('.')[0] == 'alembic' for name in sys.modules))"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    answers = [
        subprocess.run(
            [sys.executable, "-c", script, str(ROOT)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert answers == ["True\n", "False\n"]


def test_the_wheel_holds_the_migrations_where_they_are_looked_for() -> None:
    directory = Path(migrating.migrations_directory())
    assert (directory / "env.py").is_file()
    assert (directory / "script.py.mako").is_file()
    assert (directory / "versions" / f"revision_{REVISION}.py").is_file()


RELEASED = {
    "0001": "24f02402b2da794dbd8d4403de784233e32245569dd1194564de5b532f708f0f",
    "0002": "de717ebea52e052856b177c0d6e69802e53d52c92c1a078e5271e99a5c1db99b",
}


@pytest.mark.parametrize("revision", RELEASED)
def test_a_released_revision_is_never_edited(revision: str) -> None:
    """An index that has the revision would not be what the revision says; write the next one instead."""
    file = Path(migrating.migrations_directory()) / "versions" / f"revision_{revision}.py"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == RELEASED[revision]


def test_every_revision_is_pinned() -> None:
    directory = Path(migrating.migrations_directory()) / "versions"
    assert {path.stem for path in directory.glob("revision_*.py")} == {
        f"revision_{name}" for name in RELEASED
    }


def test_an_index_of_the_first_revision_is_upgraded_in_place_and_filled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ledger = tmp_path / "ledger.db"
    with open_ledger(ledger, tmp_path / "state") as opened:
        for number in range(3):
            opened.append(drafts(session_id(number)))
    engine = engine_of(os.fsencode(tmp_path / "scratch.db"))
    with engine.begin() as connection:
        command.upgrade(migrating.configuration(connection), "0001")
        fill_first_revision(connection, ledger)
    with engine.begin() as connection:
        migrating.upgrade(connection)
    with engine.begin() as connection:
        assert migrating.revision_of(connection) == REVISION
        states = catching_up.known(connection)
        assert {(state.host, state.size) for state in states} == {(os.uname().nodename, 0), ("elsewhere", 0)}
        assert connection.scalar(select(func.count()).select_from(LAUNCH)) == 0
    with LedgerBodies(os.fsencode(ledger)) as reader:
        assert catching_up.catch_up(engine, reader).size == 13
    with engine.begin() as connection, SearchIndex() as fresh:
        assert connection.scalar(select(func.count()).select_from(LAUNCH)) == 3
        assert fresh.count(fresh.catch_up(os.fsencode(ledger))) == 3
    engine.dispose()


def test_a_file_of_the_first_revision_is_replaced_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ledger = tmp_path / "ledger.db"
    with open_ledger(ledger, tmp_path / "state") as opened:
        opened.append(drafts(session_id(1)))
    SearchIndex().close()
    file = tmp_path / "cache" / "nono" / "index.db"
    engine = engine_of(os.fsencode(file))
    with engine.begin() as connection:
        command.downgrade(migrating.configuration(connection), "0001")
        fill_first_revision(connection, ledger)
    engine.dispose()
    with SearchIndex() as index:
        (found,) = index.launches(index.catch_up(os.fsencode(ledger)))
    assert (found.session, found.command) == (session_id(1), "echo 'hello world'")
