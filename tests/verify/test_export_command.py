"""``nono-verify export`` and ``export-check``: a verified view, harmless wherever it is opened."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import verify
from attest import canonical, checkpoint, entry, note, proof, tree
from tests.verify.conftest import INTENT, PUBLISHED, changed, run, three_launches
from tests.verify.exported import check, export, export_of
from tests.verify.hostile_texts import BYTES, TEXTS, hostile_book
from verify.cli import export as command
from verify.exports import csv_rows, exporting, facts, formats

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(verify.__file__)))
LINES = formats.CHECKABLE
linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="modes and descriptors as Linux has them"
)
MAIN = "import sys; from verify.cli import main; sys.exit(main(sys.argv[1:]))"
RECORD = PUBLISHED["urn:nono-attest:schema:v1:export-record"]


# --- what is written ------------------------------------------------------------------------------


def test_json_lines_are_the_entries_where_they_stand(bench: Bench, book: Book) -> None:
    lines = export(bench, book, "json-lines", "--with-proofs").splitlines()
    assert len(lines) == len(book.bodies)
    for index, (line, body) in enumerate(zip(lines, book.bodies, strict=True)):
        record = json.loads(line)
        RECORD.validate(record)
        assert canonical.encode(record["entry"]) == body
        head = checkpoint.parse_text(note.parse(record["checkpoint"].encode()).text)
        assert (head.origin, head.size, head.root.hex()) == (
            record["origin"], record["size"], record["root"],
        ) == (book.origin, len(book.bodies), book.edge().root().hex())  # fmt: skip
        assert record["index"] == index
        assert record["leaf_sha256"] == tree.hash_leaf(body).hex()
        assert record["verdict"] == "verified"
        path = [bytes.fromhex(each) for each in record["inclusion"]]
        proof.check_inclusion(tree.hash_leaf(body), index, head, path)


def test_without_proofs_a_record_still_says_where_it_stands(bench: Bench, book: Book) -> None:
    for line in export(bench, book, "json-lines").splitlines():
        record = json.loads(line)
        RECORD.validate(record)
        assert {"origin", "index", "leaf_sha256", "size", "root"} <= record.keys()
        assert not {"inclusion", "checkpoint"} & record.keys()


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512, 700, 70_000])
def test_proofs_lead_to_the_root_in_trees_of_any_shape(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, size: int
) -> None:
    book = new_book()
    session = book.new_session()
    if size > 1:
        book.add(entry.INTENT, session, shapes.INTENT)
    while len(book.bodies) < size:
        book.add(entry.DECISION, session, shapes.DECISION)
    wanted = ["--kind", "launch.intent", "--kind", "ledger.genesis"] if size > 1_000 else []
    data = export(bench, book, "json-lines", "--with-proofs", *wanted, status=3 if size > 1 else 0)
    head = checkpoint.Checkpoint(book.origin, size, book.edge().root())
    records = [json.loads(line) for line in data.splitlines()]
    assert len(records) == (2 if wanted else size)
    for record in records:
        path = [bytes.fromhex(each) for each in record["inclusion"]]
        proof.check_inclusion(bytes.fromhex(record["leaf_sha256"]), record["index"], head, path)


@pytest.mark.parametrize("form", LINES)
def test_every_line_holds_by_itself(bench: Bench, form: str) -> None:
    book = hostile_book()
    data = export(bench, book, form, "--with-proofs")
    status, document = check(bench, data)
    assert (status, document["findings"]) == (0, [])
    assert document["lines"] == {"read": len(book.bodies), "held": len(book.bodies), "findings": 0}
    assert document["format"] == form
    line = data.splitlines(keepends=True)[40]
    status, document = check(bench, line)
    assert (status, document["lines"]) == (0, {"read": 1, "held": 1, "findings": 0})


@pytest.mark.parametrize("form", LINES)
def test_any_changed_word_of_a_line_is_found(bench: Bench, book: Book, form: str) -> None:
    """What the verification said is in no proof; all else that a line says is."""
    line = export(bench, book, form, "--with-proofs").splitlines(keepends=True)[5]
    words = [found.span() for found in re.finditer(rb"[A-Za-z0-9]+", line)]
    missed = []
    for start, end in words[:: max(1, len(words) // 60)]:
        word = line[start:end]
        other = word[:-1] + (b"1" if word[-1:] == b"0" else b"0")
        status, _ = check(bench, line[:start] + other + line[end:])
        if status not in {1, 2, 3}:
            missed.append(line[max(0, start - 20) : end])
    assert missed == []


@pytest.mark.parametrize("form", LINES)
def test_the_same_entry_written_twice_and_lines_of_two_exports_hold(
    bench: Bench, book: Book, form: str
) -> None:
    first = export(bench, book, form, "--with-proofs")
    book.launch()
    second = export(bench, book, form, "--with-proofs").splitlines(keepends=True)
    status, document = check(bench, first + b"".join(second[1:3]))
    assert status == 0
    assert document["size"] == len(book.bodies)


def test_json_that_a_tool_wrote_anew_still_holds(bench: Bench) -> None:
    lines = export(bench, hostile_book(), "json-lines", "--with-proofs").splitlines()
    for options in ({"ensure_ascii": False}, {"indent": None, "sort_keys": True}):
        data = "\n".join(json.dumps(json.loads(line), **options) for line in lines)
        assert check(bench, data.encode("utf-8", "surrogatepass"))[0] == 0


def test_csv_that_a_tool_wrote_anew_still_holds(bench: Bench) -> None:
    rows = list(csv.reader(io.StringIO(export(bench, hostile_book(), "csv", "--with-proofs").decode())))
    order = sorted(range(len(rows[0])), key=lambda at: (rows[0][at] != "index", rows[0][at]))
    again = io.StringIO()
    csv.writer(again).writerows([[row[at] for at in order] for row in rows])
    status, document = check(bench, b"\xef\xbb\xbf" + again.getvalue().encode())
    assert (status, document["lines"]["held"]) == (0, len(rows) - 1)


def test_after_a_handover_the_new_key_is_pinned(bench: Bench, book: Book, shapes: Any) -> None:
    book.hand_over(shapes.SUCCESSOR)
    book.launch()
    data = export(bench, book, "csv", "--with-proofs")
    assert check(bench, data, key="successor.pub")[0] == 0
    status, document = check(bench, data)
    assert (status, document["findings"][0]["code"]) == (3, "key.not_pinned")


# --- what it does to whoever opens it -------------------------------------------------------------


@pytest.mark.parametrize("form", LINES)
@pytest.mark.parametrize("proven", [True, False])
def test_a_line_is_a_line_and_nothing_in_it_is_a_control_character(
    bench: Bench, form: str, proven: bool
) -> None:
    book = hostile_book()
    data = export(bench, book, form, *(["--with-proofs"] if proven else []))
    text = data.decode("utf-8")
    ends = "\r\n" if form == "csv" else "\n"
    lines = text.split(ends)
    assert lines.pop() == ""
    assert len(lines) == len(book.bodies) + (form == "csv")
    assert text.splitlines() == lines
    assert all(line.isprintable() for line in lines)
    if form not in {"csv", "cef"}:
        assert text.isascii()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_no_cell_is_a_formula_whatever_a_spreadsheet_splits_at(bench: Bench, separator: str) -> None:
    text = export(bench, hostile_book(), "csv", "--with-proofs").decode("utf-8")
    rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    if separator != ",":  # and by a reader that knows no quotes
        rows += csv.reader(io.StringIO(text), delimiter=separator, quoting=csv.QUOTE_NONE)
    for row in rows:
        for cell in row:
            assert not re.match('[\\s"]*[=+@\t\r\uff1d\uff0b\uff0d\uff20-]', cell), cell


def test_a_text_is_shown_as_it_is_where_it_is_harmless(bench: Bench, book: Book) -> None:
    rows = list(csv.DictReader(io.StringIO(export(bench, book, "csv").decode())))
    assert tuple(rows[0]) == csv_rows.COLUMNS
    first = {name: text for name, text in rows[1].items() if text and name in facts.NAMES}
    assert first == {
        "command": "make release", "user": "1000", "host": "host", "network": "blocked",
        "labels": '{"run":"7"}', "outputs": '["/w/a.whl"]',
    }  # fmt: skip
    ended = next(row for row in rows if row["kind"] == "launch.outcome")
    assert (ended["exit"], ended["duration_us"], ended["executed_image"]) == ("0", "5", "same")
    assert json.loads(ended["outputs"]) == [{"path": "/w/a.whl", "sha256": "f" * 64, "size": 10}]


def test_cef_is_read_back_by_its_rules(bench: Bench) -> None:
    book = hostile_book()
    lines = export(bench, book, "cef").decode("utf-8").split("\n")[:-1]
    for line, body in zip(lines, book.bodies, strict=True):
        header = re.split(r"(?<!\\)\|", line, maxsplit=7)
        assert header[:4] == ["CEF:0", "nono", "nono-ledger", "1"]
        assert header[4] == json.loads(body)["kind"]
        assert 0 <= int(header[6]) <= 10
        found = dict(re.findall(r"(\w+)=((?:\\.|[^\\=])*?)(?= \w+=|$)", header[7]))
        values = {
            key: re.sub(r"\\(.)", lambda each: {"n": "\n", "r": "\r"}.get(each[1], each[1]), value)
            for key, value in found.items()
        }
        assert canonical.encode(json.loads(values["nonoEntry"])) == body
        assert values["cs4"] == "verified"
        assert values["externalId"] == tree.hash_leaf(body).hex()
        assert {key.removesuffix("Label") for key in values if key.endswith("Label")} <= values.keys()
    subjects = [line for line in lines if "nonoSubject" in line]
    assert any("nonoSubject=k\\=v cs4\\=verified" in line for line in subjects)


def test_bytes_that_are_no_text_stay_what_they_are(bench: Bench) -> None:
    records = [json.loads(line) for line in export(bench, hostile_book(), "json-lines").splitlines()]
    commands = [each["entry"]["data"]["command"] for each in records if each["entry"]["kind"] == entry.INTENT]
    assert [command[0] for command in commands] == list(TEXTS)
    assert all(command[1] == BYTES for command in commands)
    rows = export(bench, hostile_book(), "csv").decode()
    assert "base64:/wBcfD0=" in rows


# --- which entries --------------------------------------------------------------------------------


def kinds(data: bytes) -> list[str]:
    return [json.loads(line)["entry"]["kind"] for line in data.splitlines()]


def test_entries_are_chosen_by_kind_session_and_time(bench: Bench, book: Book, shapes: Any) -> None:
    path = bench.write(book)
    all_of = [entry.parse(body) for body in book.bodies]
    assert kinds(export_of(bench, path, "json-lines", "--kind", "launch.start")) == [entry.START] * 2
    two = export_of(bench, path, "json-lines", "--kind", "launch.start", "--kind", "decision")
    assert sorted(set(kinds(two))) == [entry.DECISION, entry.START]
    session = shapes.session_id(2)
    of_session = export_of(bench, path, "json-lines", "--session", session)
    assert kinds(of_session) == [each.kind for each in all_of if each.session == session]
    since, until = all_of[3].time, all_of[7].time
    assert kinds(export_of(bench, path, "json-lines", "--since", since, "--until", until)) == [
        each.kind for each in all_of[3:7]
    ]
    zone = since.replace("T04:", "T06:").replace("Z", "+02:00")
    assert kinds(export_of(bench, path, "json-lines", "--since", zone)) == [each.kind for each in all_of[3:]]
    nothing = export_of(bench, path, "json-lines", "--until", "2020-01-01T00:00:00Z")
    assert nothing == b""


def test_times_are_written_as_in_a_listing(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    everything = export_of(bench, path, "json-lines")
    day = entry.parse(book.bodies[0]).time[:10]
    for chosen in (["--since", day], ["--until", day], ["--since", day, "--until", day]):
        assert export_of(bench, path, "json-lines", *chosen) == everything
    before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    assert export_of(bench, path, "json-lines", "--until", before) == b""
    assert export_of(bench, path, "json-lines", "--since", "9999w", "--until", "0s") in {everything, b""}
    since = datetime.now(UTC)
    recent = export_of(bench, path, "json-lines", "--since", "2d")
    shown = [json.loads(line)["entry"]["time"] for line in recent.splitlines()]
    limit = (since - timedelta(days=2)).isoformat()
    assert all(time >= limit[:16] for time in shown)
    for refused in (["--since", "2h", "--until", "3h"], ["--since", day, "--until", f"{day}T00:00:00Z"]):
        status, text = run(["export", path, "-k", bench.path("key.pub"), "--to", "csv", *refused])
        assert (status, text.startswith("not checked: no time lies between --since and --until")) == (2, True)
    assert run([path, "-k", bench.path("key.pub"), "--now", "1w"])[0] == 2


# --- what is exported at all ----------------------------------------------------------------------


def test_what_has_no_pinned_key_is_not_exported(bench: Bench, book: Book) -> None:
    path, out = bench.write(book), bench.path("x")
    for arguments in ([], ["-k", bench.path("stranger.pub")]):
        status, text = run(["export", path, "--to", "csv", "--out", out, *arguments])
        assert status == 3
        assert text.startswith("intact, not met: ")
        assert "  exported: nothing\n" in text
        assert not os.path.lexists(out)
    status, text = run(["export", path, "--to", "json-lines", "--unsafe-export-unverified", "--out", out])
    assert status == 3
    with open(out, "rb") as file:
        assert {json.loads(line)["verdict"] for line in file} == {"not-met"}


@pytest.mark.parametrize("form", LINES)
def test_what_does_not_hold_is_exported_only_when_told_and_marked(
    bench: Bench, book: Book, form: str
) -> None:
    path, out = bench.write(book), bench.path("x")
    bench.alter(
        path,
        ("UPDATE entry SET body = ? WHERE idx = 3", (book.bodies[3].decode().replace("denied", "granted"),)),
        ("UPDATE entry SET body = ? WHERE idx = 4", ("=\x1b[2J\n",)),
        "UPDATE entry SET body = CAST(x'fffe' AS TEXT) WHERE idx = 5",
        ("UPDATE entry SET body = ? WHERE idx = 6", ("x" * 70_000,)),
        "DELETE FROM entry WHERE idx = 7",
    )
    asked = ["export", path, "--to", form, "-k", bench.path("key.pub"), "--out", out]
    status, text = run(asked)
    assert status == 1
    assert text.startswith("FAILED: ")
    assert not os.path.lexists(out)
    assert not [each for each in os.listdir(bench.directory) if each.startswith("x")]
    status, text = run([*asked, "--unsafe-export-unverified"])
    assert status == 1
    with open(out, encoding="utf-8", newline="") as file:
        lines = file.read().splitlines()[1 if form == "csv" else 0 :]
    assert len([line for line in lines if '"class_uid":2004' not in line]) == len(book.bodies) - 1
    assert all("failed" in line and line.isprintable() for line in lines)
    assert run([*asked, "--unsafe-export-unverified", "--with-proofs", "--overwrite"])[0] == 2


def test_what_is_intact_but_not_met_is_exported_and_says_so(bench: Bench, book: Book, shapes: Any) -> None:
    book.add(entry.INTENT, book.new_session(), shapes.INTENT)
    data = export(bench, book, "json-lines", "--with-proofs", status=3)
    assert {json.loads(line)["verdict"] for line in data.splitlines()} == {"not-met"}
    assert check(bench, data)[0] == 0


def test_entries_of_a_later_version_are_exported_as_they_are(bench: Bench, book: Book, shapes: Any) -> None:
    later = book.new_session()
    book.add(entry.INTENT, later, shapes.INTENT)
    book.add("launch.checked\x1b", later, {"=x": "\x1b[2J"})
    book.add("later", None, {"deep": [1]}, v=2)
    for form in LINES:
        data = export(bench, book, form, "--with-proofs", status=3)
        assert all(line.isprintable() for line in data.decode().splitlines())
        status, document = check(bench, data)
        found = {finding["code"] for finding in document["findings"]}
        assert (status, found) in [(3, {"entry.kind"}), (1, {"entry.kind", "entry.form"})]


def test_a_ledger_that_changes_meanwhile_leaves_nothing_behind(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = bench.write(book), bench.path("x")
    whole = exporting.export

    def meanwhile(*arguments: Any) -> int:
        with open(path, "r+b") as file:
            data = file.read()
            file.seek(0)
            file.write(data.replace(b"make", b"rake"))
        return whole(*arguments)

    monkeypatch.setattr(exporting, "export", meanwhile)
    status, text = run(["export", path, "-k", bench.path("key.pub"), "--to", "csv", "--out", out])
    assert status == 2
    assert text.startswith("not checked: the ledger was changed while it was exported")
    assert [each for each in os.listdir(bench.directory) if each.startswith("x")] == []


# --- where it is written --------------------------------------------------------------------------


@linux
def test_the_file_is_its_owners_alone(bench: Bench, book: Book) -> None:
    before = os.umask(0)
    try:
        export(bench, book, "csv")
    finally:
        os.umask(before)
    assert os.stat(bench.path("csv.export")).st_mode & 0o777 == 0o600


def test_nothing_is_written_over_unless_told(bench: Bench, book: Book) -> None:
    path, out = bench.write(book), bench.path("x")
    asked = ["export", path, "-k", bench.path("key.pub"), "--to", "csv", "--out", out]
    with open(out, "w", encoding="utf-8") as file:
        file.write("mine")
    status, text = run(asked)
    assert (status, text) == (
        2, f"not checked: {out} exists already\n  hint: name another file, or --overwrite\n",
    )  # fmt: skip
    with open(out, encoding="utf-8") as file:
        assert file.read() == "mine"
    assert run([*asked, "--overwrite"])[0] == 0
    for other in (path, bench.path("key.pub")):
        status, text = run([*asked[:-1], other, "--overwrite"])
        assert status == 2
        assert "is what is to be checked" in text


@linux
def test_a_link_and_a_directory_are_not_replaced(bench: Bench, book: Book) -> None:
    path, out = bench.write(book), bench.path("x")
    os.symlink(bench.path("elsewhere"), out)
    asked = ["export", path, "-k", bench.path("key.pub"), "--to", "csv", "--out", out]
    assert [run(asked)[0], run([*asked, "--overwrite"])[0]] == [2, 2]
    assert os.path.islink(out)
    assert not os.path.exists(bench.path("elsewhere"))
    assert run([*asked[:-1], bench.directory, "--overwrite"])[0] == 2
    for place in ("missing/x", "key.pub/x", "\0", "n" * 300):
        status, text = run([*asked[:-1], bench.path(place)])
        assert status == 2
        assert text.startswith("not checked: ")


@linux
def test_a_full_disk_leaves_nothing_behind(bench: Bench, book: Book) -> None:
    limited = (
        "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        f"signal.signal(signal.SIGXFSZ, signal.SIG_IGN);{MAIN}"
    )
    out = bench.path("x")
    done = subprocess.run(
        [sys.executable, "-c", limited, "export", bench.write(book), "-k",
         bench.path("key.pub"), "--to", "csv", "--out", out],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert [each for each in os.listdir(bench.directory) if each.startswith("x")] == []


def _started(bench: Bench, path: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", MAIN,
         "export", path, "-k", bench.path("key.pub"), "--to", "json-lines"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, **options,
    )  # fmt: skip


def test_records_go_to_standard_output_and_nothing_else_does(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    with _started(bench, path) as process:
        output, error = process.communicate()
    assert (process.returncode, error) == (0, b"")
    assert output == export_of(bench, path, "json-lines")


def test_who_reads_no_further_ends_it(bench: Bench, book: Book) -> None:
    for _ in range(600):
        book.launch()
    with _started(bench, bench.write(book)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 2


@linux
def test_a_full_standard_output_is_said(bench: Bench, book: Book) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", MAIN,
             "export", bench.write(book), "-k", bench.path("key.pub"), "--to", "csv"],
            stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(b"not checked: standard output cannot be written")


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["x.db"],
        ["x.db", "--to", "word"],
        ["x.db", "--to", "csv", "--kind", "launch"],
        ["x.db", "--to", "csv", "--since", "yesterday"],
        ["x.db", "--to", "csv", "--overwrite"],
        ["x.db", "--to", "csv", "--session", "1"],
        ["missing.db", "--to", "csv"],
        [],
    ],
)
def test_what_cannot_be_meant_is_2(arguments: list[str]) -> None:
    status, text = run(["export", *arguments])
    assert status == 2
    assert text.startswith("not checked: ")


@pytest.mark.parametrize(
    ("flag", "form"), [("--controls", "oscal"), ("--region", "parquet"), ("--account", "parquet")]
)
def test_a_flag_of_one_format_is_not_passed_over_with_another(
    bench: Bench, book: Book, flag: str, form: str
) -> None:
    asked = ["export", bench.write(book), "-k", bench.path("key.pub"), "--to", "csv"]
    # Of the region and the account what they are by default, too: it was given.
    status, text = run([*asked, flag, "local"])
    assert (status, text.splitlines()[0]) == (2, f"not checked: {flag} is about --to {form}")


def test_every_format_is_in_the_help() -> None:
    text = command.parser().format_help()
    assert all(f"\n  {name} " in text for name in formats.NAMES)


# --- what an attacker would try -------------------------------------------------------------------


def test_a_line_is_taken_for_its_format_whatever_its_entry_says(
    bench: Bench, book: Book, shapes: Any
) -> None:
    """Names of other formats in a text of an entry do not make it one of those."""
    book.launch(
        intent=shapes.changed(
            shapes.INTENT,
            command=['"urn:nono-attest:export:v1"', '"class_uid"', '"resourceLogs"', "CEF:0|nono|"],
        )
    )
    for form in LINES:
        line = export(bench, book, form, "--with-proofs").splitlines(keepends=True)[-4]
        status, document = check(bench, line)
        assert (status, document["format"]) == (0, form)


def test_the_largest_entries_there_can_be(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    for text in ("\x7f" * 60_000, "\x80" * 30_000, "\U0001f600" * 15_000, '"' * 30_000, ";=" * 29_000):
        book.launch(
            intent=shapes.changed(shapes.INTENT, command=[text]),
            start=shapes.changed(shapes.START, directory=text),
        )
    for form in LINES:
        data = export(bench, book, form, "--with-proofs")
        status, document = check(bench, data)
        assert (status, document["lines"]["held"]) == (0, len(book.bodies)), document["findings"][:1]


def test_what_no_key_could_be_is_no_fault(bench: Bench, book: Book) -> None:
    """A ledger that does not hold may have anything in it that has its form."""
    path = bench.write(book)
    weak = "MCowBQYDK2VwAyEA" + "A" * 42 + "A="
    genesis = re.sub('"public_key":"[^"]*"', f'"public_key":"{weak}"', book.bodies[0].decode())
    bench.alter(path, ("UPDATE entry SET body = ? WHERE idx = 0", (genesis,)))
    for form in LINES:
        data = export_of(bench, path, form, "--unsafe-export-unverified", status=1)
        assert b"failed" in data


@pytest.mark.parametrize("form", LINES)
def test_lines_that_are_none_are_said_and_nothing_more(bench: Bench, book: Book, form: str) -> None:
    whole = export(bench, book, form, "--with-proofs").splitlines(keepends=True)
    head, line = (whole[0] if form == "csv" else b""), whole[4]
    for broken in (
        b"\xff\xfe" + line,
        line[: len(line) // 2] + b"\n",
        line.replace(b'"', b""),
        line.replace(b"0", b"00"),
        b"[" * 100_000 + b"\n",
        b'{"a":' * 50_000 + b"\n",
        b'"' * 99_999 + b"\n",
        b"=" * 100_000 + b"\n",
        b"\\" * 100_001 + b"=\n",
        b"9" * 100_000 + b"\n",
        b"\0\n",
        b"x" * (formats.MAX_LINE_BYTES + 10) + b"\n",
    ):
        status, document = check(bench, head + line + broken, "--from", form)
        assert status in {1, 2}
        assert {finding["code"] for finding in document["findings"]} <= {
            "export.form", "export.changed", "export.unproven", "proof.root", "proof.signature", "proof.form",
        }  # fmt: skip
        assert document["lines"]["held"] >= 1


def test_many_bad_lines_are_not_all_listed(bench: Bench, book: Book) -> None:
    line = export(bench, book, "json-lines", "--with-proofs").splitlines(keepends=True)[4]
    status, document = check(bench, line + b"{}\n" * 3_000)
    assert status == 1
    assert len(document["findings"]) < 1_100


# --- what does not belong together -------------------------------------------------------------------


def test_lines_of_two_ledgers_of_one_key_are_not_one_export(bench: Bench, book: Book) -> None:
    other = type(book)(name="other", nonce=b"\x09" * 32)
    other.launch()
    lines = export(bench, book, "json-lines", "--with-proofs")
    others = export(bench, other, "json-lines", "--with-proofs")
    assert check(bench, lines)[0] == check(bench, others)[0] == 0
    status, said = check(bench, lines + others)
    assert status == 1
    assert {finding["code"] for finding in said["findings"]} == {"head.origin"}


def test_lines_of_two_histories_of_one_size_are_not_one_export(bench: Bench) -> None:
    one, other = three_launches(), three_launches()
    for book, words in ((one, ["make"]), (other, ["make", "again"])):
        session = book.new_session()
        book.add(entry.INTENT, session, changed(INTENT, command=words))
    lines, others = (export(bench, book, "json-lines", "--with-proofs", status=3) for book in (one, other))
    status, said = check(bench, lines + others)
    assert status == 1
    assert "checkpoint.root" in {finding["code"] for finding in said["findings"]}


@pytest.mark.parametrize("form", LINES)
def test_a_first_line_that_is_none_is_a_finding_where_the_format_is_named(
    bench: Bench, book: Book, form: str
) -> None:
    lines = export(bench, book, form, "--with-proofs").split(b"\n", 1)[1]
    status, said = check(bench, b'"bad\n' + lines, "--from", form)
    assert status == 1
    assert "export.form" in {finding["code"] for finding in said["findings"]}


def test_a_time_before_the_year_1000_is_a_time(bench: Bench, book: Book) -> None:
    assert export(bench, book, "json-lines", "--since", "0900-01-01T00:00:00Z") == export(
        bench, book, "json-lines"
    )
