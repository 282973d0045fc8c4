"""The schemas: valid, closed, anchored, and understood alike by two independent validators."""

from __future__ import annotations

import base64
import copy
import datetime
import functools
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import (  # type: ignore[import-untyped]  # published without type information
    Draft202012Validator,
    FormatChecker,
    ValidationError,
)
from jsonschema.validators import extend  # type: ignore[import-untyped]  # published without type information
from referencing import Registry, Resource

from attest import canonical, schema
from attest.entry import BLOB_FIELDS, KINDS
from attest.errors import MalformedError
from attest.instant_reading import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = Path(__file__).parents[1] / "vectors" / "attest"
NAMES = sorted(KINDS | {schema.COMMON, schema.EVIDENCE, schema.PREDICATE})
COMMON_REF = "urn:nono-attest:schema:v1:common#/$defs/"


def nodes(value: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk every object of a schema document, with where it stands."""
    if isinstance(value, dict):
        yield path, value
        for key, item in value.items():
            yield from nodes(item, f"{path}/{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from nodes(item, f"{path}/{number}")


def ecma_pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    # JSON Schema's patterns are ECMA-262's, where $ is the end; in Python it is also the place before a
    # last newline, which jsonschema does not make good.
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


FORMATS = FormatChecker(formats=())


def is_not_text(value: object) -> bool:
    try:
        base64.b64decode(str(value), validate=True).decode("utf-8")
    except UnicodeDecodeError:
        return True
    except ValueError:
        return False
    return False


FORMATS.checks(schema.BYTES_FORMAT)(is_not_text)


@functools.cache
def judge(name: str) -> Any:
    common = schema.load(schema.COMMON)
    registry: Any = Registry().with_resource(common["$id"], Resource.from_contents(common))
    validator: Any = extend(Draft202012Validator, {"pattern": ecma_pattern})
    return validator(schema.load(name), registry=registry, format_checker=FORMATS)


def accepted(document: dict[str, Any]) -> bool:
    try:
        schema.check_entry(document)
    except MalformedError:
        return False
    return True


def entries(*, fail: bool) -> list[dict[str, Any]]:
    """Return the documents of the entry vectors: those that hold, or those that only their schema refuses."""
    found = []
    for path in sorted((VECTORS / "entry").iterdir()):
        expected = path / "expected.txt"
        if expected.exists() is fail and (not fail or expected.read_text() == "entry.schema\n"):
            found.append(json.loads((path / "entry.json").read_bytes()))
    assert len(found) > 20
    return found


GOOD = [document for document in entries(fail=False) if len(json.dumps(document)) < 20_000]


def test_every_kind_has_a_schema_and_every_schema_a_kind() -> None:
    files = {path.stem for path in Path(schema._DIRECTORY).iterdir()}
    assert files == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_draft_2020_12(name: str) -> None:
    document = schema.load(name)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"urn:nono-attest:schema:v1:{name}"
    Draft202012Validator.check_schema(document)


@pytest.mark.parametrize("name", NAMES)
def test_every_reference_leads_somewhere(name: str) -> None:
    known = schema.load(schema.COMMON)["$defs"]
    for where, node in nodes(schema.load(name)):
        if isinstance(reference := node.get("$ref"), str):
            assert reference.startswith(COMMON_REF), where
            assert reference.removeprefix(COMMON_REF) in known, where


@pytest.mark.parametrize("name", NAMES)
def test_every_object_is_closed_or_a_bounded_map(name: str) -> None:
    seen = 0
    for where, node in nodes(schema.load(name)):
        if (
            "properties" in node
            and where.rpartition("/")[2] != "properties"
            and "/dependentSchemas/" not in where
        ):
            assert node.get("type") == "object", f"{name} {where}"
        if node.get("type") != "object":
            continue
        seen += 1
        more = node.get("additionalProperties")
        if more is False:
            assert set(node.get("required", [])) <= set(node["properties"]), f"{name} {where}"
        else:
            assert isinstance(more, dict), f"{name} {where}"
            assert "maxLength" in more or "maximum" in more, f"{name} {where}: values are bounded"
            assert node["maxProperties"] <= 64, f"{name} {where}"
            assert "pattern" in node["propertyNames"], f"{name} {where}"
    assert seen


@pytest.mark.parametrize("name", NAMES)
def test_every_pattern_is_anchored_and_every_integer_bounded(name: str) -> None:
    for where, node in nodes(schema.load(name)):
        if isinstance(pattern := node.get("pattern"), str):
            assert re.fullmatch(r"\^.*\$", pattern), f"{name} {where}"
            assert "|" not in re.sub(r"\([^()]*\)|\[[^]]*\]", "", re.sub(r"\(.*\)", "", pattern)), (
                f"{name} {where}"
            )
        if node.get("type") == "integer":
            assert -(2**53) < node["minimum"] <= node["maximum"] < 2**53, f"{name} {where}"


def test_the_format_of_bytes_stands_where_bytes_do_and_nowhere_else() -> None:
    found = [
        (name, where, node["format"])
        for name in NAMES
        for where, node in nodes(schema.load(name))
        if isinstance(node.get("format"), str)
    ]
    assert found == [(schema.COMMON, "#/$defs/bytes/properties/base64", schema.BYTES_FORMAT)]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_fields_that_may_be_blobs_are_those_that_the_schema_marks(kind: str) -> None:
    data = schema.load(kind)["properties"]["data"]
    marked = {name for name, node in data["properties"].items() if COMMON_REF + "blob" in json.dumps(node)}
    assert marked == set(BLOB_FIELDS.get(kind, ()))


def test_two_validators_agree_on_every_vector() -> None:
    for document in entries(fail=False):
        assert judge(document["kind"]).is_valid(document), document["kind"]
        assert accepted(document)
    for document in entries(fail=True):
        assert not judge(document["kind"]).is_valid(document), document
        assert not accepted(document)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) inside a document."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found.append((value, key))
        found.extend(places(item))
    return found


POOL = [
    *(container[key] for document in GOOD for container, key in places(document)),
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        255,
        256,
        2**53 - 1,
        2**53,
        0.5,
        1.0,
        "",
        "\n",
        "x" * 5000,
        [],
        {},
        [None],
        {"a": 1},
    ),
    *({"base64": text} for text in ("", "/w==", "/x==", "eA==", "\n", "w6k=", "wyg=")),
    *("2026-02-29T00:00:00.000000Z", "2024-02-29T00:00:00.000000Z", "0" * 64, "0" * 64 + "\n", "A" * 64),
]


def mutate(document: Any, data: st.DataObject) -> None:
    """Change one place of a document: another value, one less, one more, one renamed."""
    container, key = data.draw(st.sampled_from(places(document)))
    value = copy.deepcopy(data.draw(st.sampled_from(POOL)))
    how = data.draw(st.integers(0, 4))
    if how == 0:
        del container[key]
    elif how == 1 and isinstance(container, dict):
        container[data.draw(st.sampled_from(["extra", "exit", "signal", "blob", "base64", "redacted"]))] = (
            value
        )
    elif how == 1:
        container.insert(key, value)
    elif how == 2 and isinstance(container[key], str):
        text = container[key]
        at = data.draw(st.integers(0, len(text)))
        piece = data.draw(st.sampled_from(["", "\n", "0", "A", "f", "é", " ", "="]))
        container[key] = text[:at] + piece + text[at + data.draw(st.integers(0, 1)) :]
    else:
        container[key] = value


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(GOOD), st.integers(1, 2), st.data())
def test_two_validators_agree_on_what_was_changed(
    document: dict[str, Any], times: int, data: st.DataObject
) -> None:
    kind = document["kind"]
    changed = copy.deepcopy(document)
    for _ in range(times):
        mutate(changed, data)
    changed["kind"] = kind
    assert accepted(changed) is judge(kind).is_valid(changed)


TIME = re.compile(schema.load(schema.COMMON)["$defs"]["time"]["pattern"].removesuffix("$") + r"\Z")


@given(st.datetimes(datetime.datetime(1000, 1, 1), datetime.datetime(9999, 12, 31)))  # written as UTC below
def test_the_schema_takes_every_instant(moment: datetime.datetime) -> None:
    text = moment.isoformat(timespec="microseconds") + "Z"
    assert TIME.search(text)
    assert parse_instant(text).replace(tzinfo=None) == moment


def test_the_schema_takes_the_days_that_exist_and_no_others() -> None:
    for year in (
        1000,
        1100,
        1200,
        1600,
        1900,
        1999,
        2000,
        2004,
        2023,
        2024,
        2100,
        2200,
        2300,
        2400,
        9996,
        9999,
    ):
        for month in range(14):
            for day in range(33):
                text = f"{year}-{month:02}-{day:02}T00:00:00.000000Z"
                try:
                    datetime.date(year, month, day)
                    exists = True
                except ValueError:
                    exists = False
                assert bool(TIME.search(text)) is exists, text
                try:
                    parse_instant(text)
                    parsed = True
                except MalformedError:
                    parsed = False
                assert parsed is exists, text


@pytest.mark.parametrize(
    "document", [{}, {"kind": None}, {"kind": []}, {"kind": {}}, {"kind": "common"}, {"kind": "x"}]
)
def test_an_unknown_kind_is_said_to_be_one(document: Any) -> None:
    with pytest.raises(MalformedError) as caught:
        schema.check_entry(document)
    assert caught.value.code == "entry.kind"


def test_a_message_says_where_and_stays_short() -> None:
    document = copy.deepcopy(next(entry for entry in GOOD if entry["kind"] == "launch.intent"))
    document["data"]["user"]["uid"] = "root"
    with pytest.raises(MalformedError, match="data/user/uid"):
        schema.check_entry(document)
    document["data"]["user"]["uid"] = 0
    document["data"]["labels"] = {"k" * 60_000: 1}
    with pytest.raises(MalformedError) as caught:
        schema.check_entry(document)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [None, 1, "", [], {}, {"session": "x"}])
def test_what_is_no_predicate_is_refused(value: canonical.Json) -> None:
    with pytest.raises(MalformedError) as caught:
        schema.check_predicate(value)
    assert caught.value.code == "predicate.schema"
    assert not judge(schema.PREDICATE).is_valid(value)


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "objects for arguments": ("launch.intent", {"command": [{}] * 20_000}, "data/command"),
    "parts of nothing": ("launch.intent", {"command": [{"parts": [{}] * 20_000}]}, "data/command"),
    "objects for paths": ("launch.intent", {"bypass_protection": [{}] * 20_000}, "data/bypass_protection/0"),
    "empty grants": ("launch.intent", {"grants": [{}] * 20_000}, "data/grants"),
    "empty profiles": ("launch.intent", {"profile": [{}] * 20_000}, "data/profile/0"),
    "strange members": ("launch.intent", {f"{number:x}": 0 for number in range(6_000)}, "data"),
    "one number": ("launch.intent", {"user": {"gid": 0, "groups": [0, -1], "uid": 0}}, "data/user/groups/1"),
    "empty outputs": ("launch.outcome", {"outputs": [{}] * 20_000}, "data/outputs/0"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_without_listing_all_that_is(name: str) -> None:
    """An entry of the largest size that is wrong all over must cost no more than one that holds."""
    kind, members, where = WRONG[name]
    document = copy.deepcopy(next(good for good in GOOD if good["kind"] == kind))
    document["data"].update(members)
    began = time.process_time()
    with pytest.raises(MalformedError) as caught:
        schema.check_entry(document)
    assert str(caught.value) == f"not of its schema at {where}"
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("word", "holds"),
    [(word, True) for word in ("memory", "cpu-time", "time-out", "cancelled")] + [("", False), (None, False)],
)
def test_what_ended_a_launch_is_a_word_of_a_closed_list(word: str | None, holds: bool) -> None:
    outcomes = [document for document in GOOD if document["kind"] == "launch.outcome"]
    ran = [document for document in outcomes if "not_started" not in document["data"]]
    refused = [document for document in outcomes if "not_started" in document["data"]]
    assert ran
    assert refused
    for document in outcomes:
        changed = copy.deepcopy(document)
        changed["data"]["ended_by"] = word
        assert accepted(changed) is (holds and document in ran)
