"""OCSF events as Parquet, in the layout that Amazon Security Lake asks of a custom source.

A directory: ``SOURCE/region=R/accountId=A/eventDay=YYYYMMDD/ID-SIZE-NUMBER.parquet``, where SOURCE is
``nono-`` and the class (each class is a source of its own), and ID and SIZE are those of the ledger.
Columns are those of :mod:`verify.exports.ocsf`, typed; ``unmapped`` is a map whose values are JSON.
Zstandard, rows in the order of time, row groups of some megabytes, of which one a class is in memory.

pyarrow is an extra (``parquet``), and loaded only here.
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attest import extras
from verify.errors import NotCheckedError
from verify.exports.format import Format
from verify.exports.ocsf import Ocsf
from verify.exports.plain import document_json

if TYPE_CHECKING:
    from verify.exports.records import Record, View

ROW_GROUP_BYTES = 16 << 20
"""What a row group has before compression, more or less."""
_ROWS_AT_ONCE = 256
_CLASSES = {
    0: "base-event",
    1001: "file-activity",
    1007: "process-activity",
    2004: "detection-finding",
    4001: "network-activity",
}


class Parquet(Format):
    """The format; it writes its files itself, into the directory that the view names."""

    FOLLOWS_SESSIONS = True
    WRITES_DIRECTORY = True
    COUNTS_ENTRIES = True

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._arrow = _arrow()
        self._ocsf = Ocsf(view)
        self._day = ""
        self._open: dict[int, _File] = {}
        self._number = 0

    def add(self, record: Record) -> bytes:
        """Take in a record."""
        self._write(self._ocsf.event(record))
        return b""

    def end(self) -> bytes:
        """Write the findings, and close the files."""
        for event in self._ocsf.finding_events():
            self._write(event)
        self._close()
        return b""

    def abandon(self) -> None:
        """Close the files, which will be taken away."""
        for file in self._open.values():
            file.abandon()

    def _write(self, event: dict[str, Any]) -> None:
        day = _day(event["time"])
        if day != self._day:
            self._close()
            self._day = day
        file = self._open.get(event["class_uid"])
        if file is None:
            file = self._open[event["class_uid"]] = _File(self._arrow, self._new_path(event["class_uid"]))
        unmapped = event["unmapped"]
        file.add(event | {"unmapped": [(name, _json(value)) for name, value in unmapped.items()]})

    def _new_path(self, class_uid: int) -> str:
        options, standing = self.view.options, self.standing
        self._number += 1
        directory = options.directory or ""
        for part in (
            f"nono-{_CLASSES[class_uid]}",
            f"region={options.region}",
            f"accountId={options.account}",
            f"eventDay={self._day}",
        ):
            directory = os.path.join(directory, part)
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
        ledger = (standing.origin or "unknown").rpartition("/")[2]
        return os.path.join(directory, f"{ledger}-{standing.size or 0}-{self._number:05d}.parquet")

    def _close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open = {}


class _File:
    """One file, of one class."""

    def __init__(self, arrow: Any, path: str) -> None:  # the module, which may not be there for mypy
        self._arrow = arrow
        self._schema = _schema(arrow)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._writer = arrow.parquet.ParquetWriter(self._file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._batches: list[Any] = []
        self._bytes = 0

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == _ROWS_AT_ONCE:
            self._pack()
            if self._bytes >= ROW_GROUP_BYTES:
                self._flush()

    def close(self) -> None:
        self._pack()
        self._flush()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        with contextlib.suppress(Exception):  # whatever it is that it cannot finish
            self._writer.close()
        with contextlib.suppress(OSError):
            self._file.close()

    def _pack(self) -> None:
        if self._rows:
            batch = self._arrow.RecordBatch.from_pylist(self._rows, schema=self._schema)
            self._batches.append(batch)
            self._bytes += batch.nbytes
            self._rows = []

    def _flush(self) -> None:
        if self._batches:
            self._writer.write_table(self._arrow.Table.from_batches(self._batches, self._schema))
            self._batches, self._bytes = [], 0


def _arrow() -> Any:
    try:
        import pyarrow as arrow  # noqa: PLC0415  # an extra, for this format alone
        import pyarrow.parquet  # noqa: PLC0415  # likewise
    except ImportError:
        raise NotCheckedError(
            "--to parquet needs pyarrow, which is not installed",
            code="export.missing",
            hint=extras.hint("parquet"),
        ) from None
    return arrow


def _day(milliseconds: int) -> str:
    """Return the day of a time, as the layout has it."""
    try:
        return datetime.fromtimestamp(milliseconds // 1_000, UTC).strftime("%Y%m%d")
    except (ValueError, OverflowError, OSError):
        return "19700101"  # a year that not every platform shows


def _json(value: Any) -> str:  # whatever stands under unmapped
    return document_json(value).decode("ascii")


def _schema(arrow: Any) -> Any:
    """Return the columns of every class: those that a class has not are null."""
    text, number, long = arrow.string(), arrow.int32(), arrow.int64()

    def struct(**fields: Any) -> Any:
        return arrow.struct(list(fields.items()))

    user = struct(uid=text, type_id=number)
    fingerprint = struct(algorithm=text, algorithm_id=number, value=text)
    file = struct(name=text, path=text, type_id=number, size=long, hashes=arrow.list_(fingerprint))
    process = struct(
        pid=long,
        uid=text,
        name=text,
        file=file,
        user=user,
        cmd_line=text,
        working_directory=text,
        sandbox=text,
    )
    product = struct(name=text, vendor_name=text)
    endpoint = struct(name=text, hostname=text, ip=text, port=number, svc_name=text)
    columns = {
        "time": long,
        "class_uid": number,
        "category_uid": number,
        "activity_id": number,
        "activity_name": text,
        "type_uid": long,
        "severity_id": number,
        "status_id": number,
        "status_code": text,
        "status_detail": text,
        "message": text,
        "start_time": long,
        "end_time": long,
        "duration": long,
        "exit_code": number,
        "launch_type_id": number,
        "action_id": number,
        "disposition_id": number,
        "actor": struct(process=process, user=user),
        "device": struct(
            name=text,
            hostname=text,
            type_id=number,
            boot_uid=text,
            os=struct(name=text, type_id=number, kernel_release=text),
        ),
        "process": process,
        "file": file,
        "src_endpoint": endpoint,
        "dst_endpoint": endpoint,
        "url": struct(url_string=text),
        "finding_info": struct(uid=text, title=text, types=arrow.list_(text), product=product),
        "metadata": struct(
            version=text,
            product=product,
            profiles=arrow.list_(text),
            uid=text,
            event_code=text,
            sequence=long,
            log_name=text,
            original_time=text,
            correlation_uid=text,
        ),
        "unmapped": arrow.map_(text, text),
    }
    return arrow.schema(list(columns.items()))
