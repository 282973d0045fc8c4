"""OSCAL assessment results: valid by compliance-trestle, and honest about what a ledger does not show."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from trestle.oscal import OSCAL_VERSION
from trestle.oscal.assessment_results import Model

from attest import entry
from tests.verify.conftest import run
from tests.verify.exported import export, export_of
from tests.verify.hostile_texts import hostile_book
from verify.exports import controls, queries

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

FRAMEWORKS = ("NIST SP 800-53 Rev. 5", "SOC 2", "ISO/IEC 27001:2022", "PCI DSS")


def assessed(data: bytes) -> dict[str, Any]:
    """Return the assessment results of an export, which must be valid."""
    document: dict[str, Any] = json.loads(data)
    Model.model_validate(document)
    found: dict[str, Any] = document["assessment-results"]
    assert found["metadata"]["oscal-version"] == OSCAL_VERSION == "1.2.1"
    for result in found["results"]:
        known = {observation["uuid"] for observation in result["observations"]}
        for finding in result["findings"]:
            related = {each["observation-uuid"] for each in finding.get("related-observations", [])}
            assert related <= known
    return found


def states(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return state and reason of each control."""
    return {
        finding["target"]["target-id"]: (
            finding["target"]["status"]["state"], finding["target"]["status"]["reason"],
        )
        for result in found["results"]
        for finding in result["findings"]
    }  # fmt: skip


def answers(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        observation["title"]: (observation["props"][0]["value"], observation["description"])
        for result in found["results"]
        for observation in result["observations"]
    }


def test_trestle_refuses_what_is_none(bench: Bench, book: Book) -> None:
    document = json.loads(export(bench, book, "oscal"))
    del document["assessment-results"]["import-ap"]
    with pytest.raises(ValueError, match="import"):
        Model.model_validate(document)


def test_every_control_that_is_asked_for_is_there(bench: Bench, book: Book) -> None:
    found = states(assessed(export(bench, book, "oscal")))
    assert {
        *(f"au-{number}" for number in (2, 3, 6, 8, 9, 10, 12)), "si-7", "cm-7",
        "cc6.1", "cc6.6", "cc6.8", "cc7.1", "cc7.2", "cc7.3", "cc8.1", "a.8.15", "a.8.16",
        *(f"pci-10.{number}" for number in range(2, 8)),
    } == found.keys()  # fmt: skip


def test_what_is_shown_is_satisfied_and_what_is_not_covered_is_said(bench: Bench, book: Book) -> None:
    found = assessed(export(bench, book, "oscal"))
    for result, name in zip(found["results"], FRAMEWORKS, strict=True):
        assert result["title"].startswith(name)
    said = states(found)
    assert said["au-3"] == said["si-7"] == said["cm-7"] == ("satisfied", "pass")
    assert said["au-9"] == ("not-satisfied", "fail")  # nobody else saw this ledger
    assert said["au-12"] == ("not-satisfied", "fail")  # no configuration of the host
    assert said["pci-10.4"] == said["cc7.3"] == ("not-satisfied", "other")
    for result in found["results"]:
        for finding in result["findings"]:
            assert "Not covered: " in finding["description"]
            assert finding["target"]["status"]["remarks"] == finding["description"]
    told = answers(found)
    assert told["launches.attested"] == (
        "met", "2 of 2 ended launches with a signed statement over all of their entries",
    )  # fmt: skip
    assert told["decisions.recorded"][1].startswith("2 refusals and 0 grants")
    assert told["ledger.witnessed"][0] == "not-met"


def test_it_says_where_the_ledger_stands_and_follows_from_it_alone(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    first, second = (export_of(bench, path, "oscal") for _ in range(2))
    assert first == second
    found = assessed(first)
    (resource,) = found["back-matter"]["resources"]
    said = {each["name"]: each["value"] for each in resource["props"]}
    assert said == {
        "origin": book.origin, "size": str(len(book.bodies)), "root": book.edge().root().hex(),
        "verdict": "verified",
    }  # fmt: skip
    assert found["metadata"]["last-modified"] == entry.parse(book.bodies[-1]).time
    book.launch()
    assert assessed(export(bench, book, "oscal"))["uuid"] != found["uuid"]


def test_exceptions_are_named_and_bounded(bench: Bench, book: Book, shapes: Any) -> None:
    open_network = shapes.changed(shapes.INTENT, network={"mode": "all"})
    capabilities = {**shapes.CAPABILITIES, "network": {"mode": "all"}}
    import hashlib

    from attest.canonical import encode

    start = shapes.changed(
        shapes.START,
        capabilities=capabilities,
        capabilities_sha256=hashlib.sha256(encode(capabilities)).hexdigest(),
    )
    sessions = [book.launch(intent=open_network, start=start) for _ in range(30)]
    found = assessed(export(bench, book, "oscal"))
    observation = next(
        each for each in found["results"][0]["observations"] if each["title"] == "network.restricted"
    )
    assert observation["description"].startswith("2 of 32 started commands")
    named = [each["value"] for each in observation["props"] if each["name"] == "exception"]
    assert named == sessions[: queries.MAX_EXCEPTIONS]
    assert states(found)["cm-7"] == ("not-satisfied", "fail")


def test_a_capability_set_beside_its_entry_is_judged_by_what_was_asked(
    bench: Bench, book: Book, shapes: Any
) -> None:
    book.launch(start=shapes.changed(shapes.START, capabilities=book.beside(shapes.CAPABILITIES)))
    assert answers(assessed(export(bench, book, "oscal")))["network.restricted"][0] == "met"


def test_an_empty_ledger_shows_nothing(bench: Bench, new_book: Callable[..., Book]) -> None:
    found = states(assessed(export(bench, new_book(), "oscal")))
    assert set(found.values()) <= {("not-satisfied", "other"), ("not-satisfied", "fail")}
    assert found["si-7"] == found["au-3"] == found["au-6"] == ("not-satisfied", "other")


@pytest.mark.parametrize(
    "chosen",
    [
        ["--since", "2099-01-01"],
        ["--until", "2001-01-01T00:00:00Z"],
        ["--until", "2026-11-24T04:00:02Z"],
    ],
)
def test_a_part_without_a_launch_satisfies_nothing_and_says_what_it_is(
    bench: Bench, book: Book, chosen: list[str]
) -> None:
    found = assessed(export(bench, book, "oscal", *chosen))
    said = states(found)
    assert {state for state, _ in said.values()} == {"not-satisfied"}
    assert said["au-6"] == ("not-satisfied", "other")
    told = answers(found)
    assert told["ledger.verified"][0] == "nothing-to-ask"
    assert told["ledger.verified"][1].endswith("no entry of a launch was among those that were asked about")
    props = {each["name"]: each["value"] for each in found["metadata"]["props"]}
    assert props[chosen[0][2:]].startswith(chosen[1][:10])
    for result in found["results"]:
        assert result["start"] <= result["end"]
        assert {each["name"] for each in result["props"]} >= {chosen[0][2:]}


def test_a_part_is_another_document_than_the_whole(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    whole, part = (
        assessed(export_of(bench, path, "oscal", *chosen))
        for chosen in ([], ["--since", "2026-11-24T04:00:03Z"])
    )
    assert states(part)["au-6"] == ("satisfied", "pass")
    assert whole["uuid"] != part["uuid"]
    assert not {"since", "until", "session"} & {each["name"] for each in whole["metadata"]["props"]}


def test_what_does_not_hold_satisfies_nothing(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    bench.alter(path, ("UPDATE entry SET body = ? WHERE idx = 4", ("=\x1b[2J\n",)))
    found = assessed(export_of(bench, path, "oscal", "--unsafe-export-unverified", status=1))
    assert {state for state, _ in states(found).values()} == {"not-satisfied"}
    path = bench.write(book)
    out = bench.path("x")
    assert run(["export", path, "--to", "oscal", "--out", out, "--unsafe-export-unverified"])[0] == 3
    with open(out, "rb") as file:
        assert {state for state, _ in states(assessed(file.read())).values()} == {"not-satisfied"}


def test_lost_launches_are_counted(bench: Bench, book: Book, shapes: Any) -> None:
    lost = book.new_session()
    book.add(entry.INTENT, lost, shapes.INTENT)
    book.add(entry.LOST, lost, {"found": "another-boot"})
    found = assessed(export(bench, book, "oscal", status=3))
    assert answers(found)["ledger.complete"][1].startswith(
        "3 of 4 launches have their end on record; lost: 1"
    )


def test_hostile_texts_do_nothing(bench: Bench) -> None:
    data = export(bench, hostile_book(), "oscal")
    assessed(data)
    assert data.isascii()
    assert data.strip(b"\n").decode().isprintable()


TABLE = """
version = 1
[[framework]]
name = "Mine"
source = "https://example.com/"
[[framework.control]]
id = "m.1"
title = "Everything holds"
queries = ["ledger.verified"]
not_covered = "all else"
"""


def test_a_table_of_ones_own(bench: Bench, book: Book) -> None:
    table = bench.path("mine.toml")
    with open(table, "w", encoding="utf-8") as file:
        file.write(TABLE)
    path = bench.write(book)
    found = assessed(export_of(bench, path, "oscal", "--controls", table))
    assert states(found) == {"m.1": ("satisfied", "pass")}
    assert found["uuid"] == assessed(export_of(bench, path, "oscal", "--controls", table))["uuid"]
    with open(table, "w", encoding="utf-8") as file:
        file.write(TABLE.replace("all else", "nearly all else"))
    assert found["uuid"] != assessed(export_of(bench, path, "oscal", "--controls", table))["uuid"]


def test_the_table_is_written_to_be_changed(bench: Bench, book: Book) -> None:
    status, text = run(["export", "--print-controls"])
    assert status == 0
    table = bench.path("printed.toml")
    with open(table, "w", encoding="utf-8") as file:
        file.write(text)
    path = bench.write(book)
    assert export_of(bench, path, "oscal", "--controls", table) == export_of(bench, path, "oscal")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version = 1", "version = 2"),
        ("version = 1", "version = true"),
        ("version = 1", "version = 1\nmore = 2"),
        ('"ledger.verified"', '"ledger.pleased"'),
        ('["ledger.verified"]', '"ledger.verified"'),
        ('not_covered = "all else"', 'not_covered = " "'),
        ('not_covered = "all else"', ""),
        ('not_covered = "all else"', 'not_covered = "a\\nb"'),
        ('not_covered = "all else"', 'not_covered = "\\u001b"'),
        ('"m.1"', '"1"'),
        ('"m.1"', '"' + "m" * 65 + '"'),
        ("[[framework]]", "[framework]"),
        ("version = 1", "version ="),
        (TABLE, ""),
        (TABLE, "\ufeff\ud7ff"),
        ("[[framework.control]]",
        "[[framework.control]]\nid='m.1'\ntitle='a'\nqueries=[]\nnot_covered='b'\n[[framework.control]]"),
    ],
)  # fmt: skip
def test_a_table_that_is_none(bench: Bench, book: Book, old: str, new: str) -> None:
    table = bench.path("mine.toml")
    with open(table, "w", encoding="utf-8") as file:
        assert old in TABLE
        file.write(TABLE.replace(old, new, 1))
    asked = ["export", bench.write(book), "-k", bench.path("key.pub"), "--to", "oscal", "--controls", table]
    status, text = run(asked)
    assert status == 2
    assert text.startswith(f"not checked: {table} is no table of controls: ")


def test_a_table_that_cannot_be_read(bench: Bench, book: Book) -> None:
    asked = ["export", bench.write(book), "-k", bench.path("key.pub"), "--to", "oscal", "--controls"]
    for path in (bench.path("missing"), bench.directory, "\0"):
        assert run([*asked, path])[0] == 2
    large = bench.path("large")
    with open(large, "wb") as file:
        file.truncate(controls.MAX_BYTES + 1)
    assert run([*asked, large])[0] == 2
    for flags in (["--to", "csv", "--controls", large], ["--to", "oscal", "--kind", "decision"]):
        status, text = run(["export", bench.write(book), "-k", bench.path("key.pub"), *flags])
        assert (status, text.startswith("not checked: --")) == (2, True)


def test_the_table_of_the_verifier_is_whole() -> None:
    frameworks = controls.read(None)
    assert len(frameworks) == 4
    assert all(control.not_covered for each in frameworks for control in each.controls)
    asked = {name for each in frameworks for control in each.controls for name in control.queries}
    assert asked == set(queries.NAMES)
    assert os.path.basename(controls._OWN) == "controls.toml"
