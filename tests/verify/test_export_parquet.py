"""Parquet files: the very events of the OCSF export, in the layout of a data lake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as arrow
import pytest

from attest import entry, extras
from tests.verify.conftest import run
from tests.verify.exported import export_of
from tests.verify.hostile_texts import hostile_book
from tests.verify.test_imports import PROBE, ROOT
from verify.exports import exporting, parquet

if TYPE_CHECKING:
    from tests.verify.conftest import Bench, Book

NAME = re.compile(
    r"nono-(?P<source>[a-z-]+)/region=(?P<region>[a-z0-9-]+)/accountId=(?P<account>[a-z0-9]+)"
    r"/eventDay=(?P<day>[0-9]{8})/[0-9a-f]{32}-[0-9]+-[0-9]{5}\.parquet"
)


def lake(bench: Bench, ledger: str, *arguments: str, status: int = 0) -> Path:
    """Export a ledger and return the directory."""
    out = Path(bench.path(f"lake-{os.urandom(4).hex()}"))
    asked = ["export", ledger, "-k", bench.path("key.pub"), "--to", "parquet", "--out", str(out), *arguments]
    ended, text = run(asked)
    assert ended == status, text
    return out


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def rows(directory: Path) -> list[dict[str, Any]]:
    """Return all rows, as the events that they are, in the order of the files' names."""
    found = []
    for path in sorted(directory.rglob("*.parquet"), key=lambda path: path.name):
        for row in arrow.read_table(path).to_pylist():
            event = without_nulls(row)
            event["unmapped"] = {name: json.loads(value) for name, value in row["unmapped"]}
            found.append(event)
    return found


def key(event: dict[str, Any]) -> str:
    return json.dumps(event, sort_keys=True)


@pytest.mark.parametrize("group_bytes", [1, parquet.ROW_GROUP_BYTES])
def test_the_rows_are_the_events_of_the_other_export(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, group_bytes: int
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", group_bytes)
    monkeypatch.setattr(parquet, "_ROWS_AT_ONCE", 7)
    path = bench.write(hostile_book())
    events = [json.loads(line) for line in export_of(bench, path, "ocsf").splitlines()]
    assert sorted(map(key, rows(lake(bench, path)))) == sorted(map(key, events))


def test_each_class_is_a_source_and_each_day_a_partition(bench: Bench, book: Book, shapes: Any) -> None:
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT, time="2026-12-31T23:59:59.999999Z")
    book.add(entry.START, session, shapes.START, time="2027-01-01T00:00:00.000000Z")
    network = shapes.changed(shapes.DECISION, what="network", subject="connect 192.0.2.1:443")
    book.add(entry.DECISION, session, network, time="2027-01-01T00:00:01.000000Z")
    directory = lake(
        bench, bench.write(book), "--region", "eu-central-1", "--account", "123456789012", status=3
    )
    seen = set()
    for path in directory.rglob("*.parquet"):
        parts = NAME.fullmatch(str(path.relative_to(directory)))
        assert parts is not None, path
        assert (parts["region"], parts["account"]) == ("eu-central-1", "123456789012")
        seen.add((parts["source"], parts["day"]))
        table = arrow.ParquetFile(path)
        assert table.metadata.row_group(0).column(0).compression == "ZSTD"
        times = table.read(columns=["time"]).column("time").to_pylist()
        assert times == sorted(times)
        assert len(set(table.read(columns=["class_uid"]).column(0).to_pylist())) == 1
    assert seen == {
        ("base-event", "20261124"), ("process-activity", "20261124"), ("file-activity", "20261124"),
        ("base-event", "20261231"), ("process-activity", "20270101"), ("network-activity", "20270101"),
        ("detection-finding", "20270101"),
    }  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="modes as POSIX has them")
def test_it_is_its_owners_alone(bench: Bench, book: Book) -> None:
    before = os.umask(0)
    try:
        directory = lake(bench, bench.write(book))
    finally:
        os.umask(before)
    for path in (directory, *directory.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_a_ledger_that_does_not_hold_has_rows_when_told(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    early = book.bodies[2].decode().replace('"2026-', '"1026-')
    bench.alter(
        path,
        ("UPDATE entry SET body = ? WHERE idx = 2", (early,)),
        ("UPDATE entry SET body = ? WHERE idx = 4", ("=\x1b[2J\n",)),
    )
    out = bench.path("refused")
    asked = ["export", path, "-k", bench.path("key.pub"), "--to", "parquet", "--out", out]
    assert run(asked)[0] == 1
    assert not os.path.lexists(out)
    found = rows(lake(bench, path, "--unsafe-export-unverified", status=1))
    assert {event["unmapped"]["nono"]["verdict"] for event in found} == {"failed"}
    assert len([event for event in found if event["class_uid"] != 2004]) == len(book.bodies)


def test_nothing_is_left_behind(bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = bench.write(book), bench.path("lake")
    whole = exporting.export

    def meanwhile(*arguments: Any) -> int:
        with open(path, "r+b") as file:
            data = file.read()
            file.seek(0)
            file.write(data.replace(b"make", b"rake"))
        return whole(*arguments)

    monkeypatch.setattr(exporting, "export", meanwhile)
    asked = ["export", path, "-k", bench.path("key.pub"), "--to", "parquet", "--out", out]
    assert run(asked)[0] == 2
    assert not [name for name in os.listdir(bench.directory) if name.startswith("lake")]


def test_what_cannot_be_meant(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    os.mkdir(bench.path("there"))
    asked = ["export", path, "-k", bench.path("key.pub"), "--to", "parquet"]
    for flags in (
        [],
        ["--out", bench.path("there")],
        ["--out", bench.path("x"), "--overwrite"],
        ["--out", bench.path("missing/x")],
        ["--out", bench.path("x"), "--with-proofs"],
        ["--out", bench.path("x"), "--region", "../.."],
        ["--out", bench.path("x"), "--account", ""],
        ["--out", "\0"],
    ):
        status, text = run([*asked, *flags])
        assert (status, text.startswith("not checked: ")) == (2, True)
    assert os.listdir(bench.path("there")) == []
    assert not os.path.lexists(bench.path("x"))


def test_without_pyarrow_it_says_what_to_install(bench: Bench, book: Book) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(absent=("pyarrow",)), "export", bench.write(book), "-k",
         bench.path("key.pub"), "--to", "parquet", "--out", bench.path("x")],
        check=False, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("not checked: --to parquet needs pyarrow, which is not installed\n")
    assert f"hint: {extras.hint('parquet')}\n" in done.stderr
    assert not os.path.lexists(bench.path("x"))
