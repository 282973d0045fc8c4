"""The short way to the model (canonical form, closed schema, integers where numbers can be) is no other way."""

# ruff: noqa: E501  # a table with one case a line is easier to check than one that is wrapped

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest import canonical_in_bulk, entry, schema
from attest.errors import MalformedError
from verify import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator


def documents() -> dict[str, list[dict[str, Any]]]:
    """Return samples of every kind, with every optional member that may hold a number."""
    from tests.verify import conftest as shapes

    limits = {"cpu_seconds": 1, "file_size_bytes": 2, "memory_bytes": 3, "open_files": 4, "processes": 5}
    limits |= {"timeout_grace_ms": 6, "timeout_ms": 7, "startup_timeout_ms": 8}
    image = shapes.START["executable"]
    blob = {"blob": {"sha256": "a" * 64, "size": 7}}
    hooks = {"before": shapes.HOOK, "after": shapes.HOOK}
    root = {"origin": "o/" + "0" * 32, "root": "b" * 64, "size": 9}
    key = "MCowBQYDK2VwAyEA" + "A" * 43 + "="
    samples: dict[str, list[dict[str, Any]]] = {
        entry.GENESIS: [{"format": 1, "nonce": "0" * 64, "origin": "o/" + "0" * 32, "public_key": key, "previous": root, "tool": {"name": "n", "version": "1"}}],
        entry.KEY: [{"public_key": key, "reason": "x"}],
        entry.INTENT: [shapes.changed(shapes.INTENT, hooks=hooks), shapes.changed(shapes.INTENT, command=blob, grants=blob)],
        entry.HOOK_RESULT: [shapes.HOOK_RESULT, {**{k: v for k, v in shapes.HOOK_RESULT.items() if k != "exit"}, "signal": 9}],
        entry.START: [
            shapes.changed(shapes.START, interpreters=[image, image], limits=limits),
            shapes.changed(shapes.START, capabilities=blob, environment=blob),
        ],
        entry.DECISION: [shapes.DECISION],
        entry.OUTCOME: [shapes.OUTCOME, shapes.SIGNALLED, shapes.REFUSED],
        entry.ATTESTATION: [{"payload": "AAAA", "payloadType": "application/vnd.in-toto+json", "signatures": [{"keyid": "a" * 64, "sig": "A" * 86 + "=="}]}],
        entry.LOST: [{"found": "lock-free"}],
        entry.ANCHOR: [{"covers": {"size": 3}, "evidence": blob, "type": "rekor"}],
    }  # fmt: skip
    made: dict[str, list[dict[str, Any]]] = {}
    for kind, data in samples.items():
        within = kind not in {entry.GENESIS, entry.KEY, entry.ANCHOR}
        seq = 0 if kind == entry.INTENT or not within else 3
        made[kind] = [
            {
                "v": 1, "kind": kind, "session": shapes.session_id(1) if within else None, "seq": seq,
                "time": "2026-11-24T04:00:00.000000Z", "data": copy.deepcopy(datum),
            }
            for datum in data
        ]  # fmt: skip
    return made


def integers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if type(value) is int:
        yield path
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from integers(member, (*path, name))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from integers(item, (*path, at))


def put(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(document)
    place: Any = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return made


@pytest.mark.parametrize("kind", sorted(entry.KINDS))
def test_a_float_is_found_wherever_the_schema_would_take_it(kind: str) -> None:
    check, is_valid = numbers.has_only_integers(kind), schema.validator(kind).is_valid
    tried = 0
    for document in documents()[kind]:
        assert is_valid(document), next(iter(schema.validator(kind).iter_errors(document)))
        assert check(document)
        for path in integers(document):
            for number in (1.0, 0.0, -0.0, 2.5, float(2**53)):
                changed = put(document, path, number)
                assert not check(changed)
                tried += is_valid(changed)
    assert tried >= 2  # the schema alone takes 1.0 for v, and more than that elsewhere


@given(st.data())
def test_what_passes_the_short_way_passes_the_long_one(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(entry.KINDS)))
    document = data.draw(st.sampled_from(documents()[kind]))
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**60), 2**60),
        st.floats(allow_nan=False),
        st.text(max_size=3),
    )
    junk = st.recursive(scalars, lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)), max_leaves=4)  # fmt: skip
    paths = [path for path in every_place(document) if path]
    body = form(put(document, data.draw(st.sampled_from(paths)), data.draw(junk)))
    if body is None:
        return
    short = long = False
    try:
        found: Any = canonical_in_bulk.decode(body)
        short = schema.validator(kind).is_valid(found) and numbers.has_only_integers(kind)(found)
    except MalformedError:
        pass
    try:
        parsed = entry.parse(body)
        schema.check_entry(parsed.document())
        long = parsed.kind == kind
    except MalformedError:
        pass
    assert short is long


def every_place(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for name, member in value.items():
            yield from every_place(member, (*path, name))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from every_place(item, (*path, at))


def form(document: Any) -> bytes | None:
    import orjson

    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return None


@pytest.mark.parametrize(
    "labels",
    [{"a b": "x"}, {"": "x"}, {"é": "x"}, {"a=b": "x"}, {"a\x7f": "x"}, {"a\n": "x"}, {"\u2028": "x"}],
)
def test_the_one_place_with_free_keys_takes_only_keys_of_the_model(labels: dict[str, str]) -> None:
    document = documents()[entry.INTENT][0]
    document["data"]["labels"] = labels
    assert not schema.validator(entry.INTENT).is_valid(document)


@pytest.mark.parametrize(
    "node",
    [
        True,
        {"type": "object"},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "array"},
        {"patternProperties": {"x": {"type": "integer"}}},
        {"allOf": [{"type": "integer"}]},
        {"prefixItems": [{"type": "integer"}]},
    ],
)
def test_a_schema_that_says_more_is_an_error_and_no_gap(node: Any) -> None:
    with pytest.raises(ValueError, match="schema"):
        numbers._places(node)


def test_the_samples_are_of_every_kind() -> None:
    assert documents().keys() == entry.KINDS
