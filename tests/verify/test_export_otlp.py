"""OTLP JSON files, read by OpenTelemetry's own Protocol Buffers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData

from attest import canonical, entry
from tests.verify.exported import export, export_of
from tests.verify.hostile_texts import hostile_book

if TYPE_CHECKING:
    from tests.verify.conftest import Bench, Book


def records(data: bytes) -> list[LogRecord]:
    """Return the log record of each line; in OTLP's JSON, unlike in that of Protocol Buffers, ids are hex."""
    found = []
    for line in data.splitlines():
        document = json.loads(line)
        (log,) = document["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
        trace = log.pop("traceId", "")
        logs = json_format.ParseDict(document, LogsData())
        assert logs.resource_logs[0].resource.attributes[0].key == "service.name"
        (record,) = logs.resource_logs[0].scope_logs[0].log_records
        record.trace_id = bytes.fromhex(trace)
        assert len(record.trace_id) in {0, 16}
        found.append(record)
    return found


def attributes(record: LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in record.attributes:
        assert each.key not in found
        found[each.key] = getattr(each.value, str(each.value.WhichOneof("value")))
    return found


@pytest.mark.parametrize("proven", [True, False])
def test_each_entry_is_a_log_record(bench: Bench, proven: bool) -> None:
    book = hostile_book()
    found = records(export(bench, book, "otlp", *(["--with-proofs"] if proven else [])))
    for index, (record, body) in enumerate(zip(found, book.bodies, strict=True)):
        document = json.loads(body)
        assert canonical.encode(json.loads(record.body.string_value)) == body
        assert record.event_name == f"nono.{document['kind']}"
        assert record.trace_id.hex() == (document["session"] or "")
        said = attributes(record)
        assert (said["nono.index"], said["nono.origin"]) == (index, book.origin)
        assert ("nono.checkpoint" in said) == proven


def test_facts_have_the_names_of_the_conventions(bench: Bench, book: Book) -> None:
    found = records(export(bench, book, "otlp"))
    intent, start, denied, _, ended = found[1:6]
    assert attributes(intent)["process.command_line"] == "make release"
    assert attributes(intent)["host.name"] == "host"
    assert attributes(start)["process.pid"] == 4243
    assert attributes(start)["process.executable.path"] == "/usr/bin/make"
    assert attributes(ended)["process.exit.code"] == 0
    assert (denied.severity_number, denied.severity_text, ended.severity_text) == (13, "WARN", "INFO")
    assert intent.time_unix_nano == 1_795_492_802_000_000_000


def test_what_no_clock_of_theirs_shows_has_no_time(bench: Bench, book: Book, shapes: Any) -> None:
    path = bench.write(book)
    bench.alter(
        path,
        ("UPDATE entry SET body = ? WHERE idx = 1", (book.bodies[1].decode().replace('"2026-', '"1026-'),)),
        ("UPDATE entry SET body = ? WHERE idx = 2", ("[]",)),
    )
    found = records(export_of(bench, path, "otlp", "--unsafe-export-unverified", status=1))
    assert [record.time_unix_nano for record in found[1:3]] == [0, 0]
    assert [record.event_name for record in found[1:3]] == ["nono.launch.intent", "nono.opaque"]
    assert {attributes(record)["nono.verdict"] for record in found} == {"failed"}


def test_what_was_lost_is_an_error(bench: Bench, book: Book, shapes: Any) -> None:
    lost = book.new_session()
    book.add(entry.INTENT, lost, shapes.INTENT)
    book.add(entry.LOST, lost, {"found": "another-boot"})
    assert records(export(bench, book, "otlp", status=3))[-1].severity_text == "ERROR"


def test_a_time_beyond_64_bits_of_nanoseconds_is_none(bench: Bench, book: Book, shapes: Any) -> None:
    """Who holds the key writes any time; the record stays one that a collector takes."""
    session = book.new_session()
    for at, kind, data in (
        ("2554-07-21T23:34:33.709551Z", entry.INTENT, shapes.INTENT),
        ("2554-07-21T23:34:33.709552Z", entry.START, shapes.START),
        ("9999-12-31T23:59:59.999999Z", entry.OUTCOME, shapes.OUTCOME),
    ):
        book.add(kind, session, data, time=at)
    found = records(export(bench, book, "otlp", status=3))[-3:]
    assert [record.time_unix_nano for record in found] == [18_446_744_073_709_551_000, 0, 0]
    assert [json.loads(record.body.string_value)["time"][:4] for record in found] == ["2554", "2554", "9999"]


def test_a_hook_that_could_not_run_is_a_failure(bench: Bench, book: Book, shapes: Any) -> None:
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.changed(shapes.INTENT, hooks={"before": shapes.HOOK}))
    failed = {**shapes.HOOK_RESULT, "error": "no such file"}
    del failed["exit"]
    book.add(entry.HOOK_RESULT, session, failed)
    book.add(entry.OUTCOME, session, shapes.REFUSED)
    book.attest(session)
    hook = records(export(bench, book, "otlp", "--kind", entry.HOOK_RESULT))[-1]
    assert hook.severity_text == "WARN"
    assert attributes(hook)["nono.reason"] == "no such file"
