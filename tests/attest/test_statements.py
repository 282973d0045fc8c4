"""Statements: whatever passes the schemas gives a statement or an error of ours, never a traceback."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest import canonical, entry, schema, tree
from attest.entry import Entry
from attest.errors import MalformedError
from attest.statement import LaunchEvidence

STATEMENTS = Path(__file__).parents[1] / "vectors" / "attest" / "statement"
ORIGIN = "host/" + "0" * 32
SESSIONS: list[list[dict[str, Any]]] = [
    [json.loads(line)["entry"] for line in (path / "session.jsonl").read_bytes().splitlines()]
    for path in sorted(STATEMENTS.iterdir())
    if (path / "session.jsonl").exists()
]
PATHS = ["/x", "", "\x00", "é" * 3000, {"base64": "/w=="}, {"base64": "wyg="}, {"base64": "YQ=="}, "launch:x"]
BLOB = {"blob": {"sha256": "0" * 64, "size": 0}}


def evidence_of(documents: list[dict[str, Any]]) -> LaunchEvidence:
    evidence = LaunchEvidence()
    for number, document in enumerate(documents):
        body = canonical.encode(document)
        evidence.add(number + 1, entry.parse(body), tree.hash_leaf(body))
    return evidence


def valid(document: dict[str, Any]) -> bool:
    try:
        schema.check_entry(document)
        canonical.encode(document)
    except MalformedError:
        return False
    return True


def places(value: Any) -> list[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[tuple[Any, Any]] = []
    for key, item in items:
        found.append((value, key))
        found.extend(places(item))
    return found


PARTS = [
    container[key]
    for session in SESSIONS
    for document in session
    for container, key in places(document["data"])
]
VALUES = [*PATHS, BLOB, *PARTS, 0, 1, None, [], {}]


def test_there_are_sessions_of_every_sort() -> None:
    kinds = {document["kind"] for session in SESSIONS for document in session}
    assert kinds == {entry.INTENT, entry.HOOK_RESULT, entry.START, entry.DECISION, entry.OUTCOME}
    assert any(all(document["kind"] != entry.START for document in session) for session in SESSIONS)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SESSIONS), st.data())
def test_a_schema_valid_session_gives_a_valid_statement_or_one_error(
    session: list[dict[str, Any]], data: st.DataObject
) -> None:
    session = copy.deepcopy(session)
    for _ in range(data.draw(st.integers(1, 6))):
        number = data.draw(st.integers(0, len(session) - 1))
        changed = copy.deepcopy(session[number])
        container, key = data.draw(st.sampled_from(places(changed["data"])))
        if data.draw(st.booleans()):
            container[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
        else:
            del container[key]
        if valid(changed):
            session[number] = changed
    if data.draw(st.booleans()):
        session = data.draw(st.permutations(session + session[:2]))[: data.draw(st.integers(1, 8))]
    try:
        statement = evidence_of(session).statement(ORIGIN)
    except MalformedError:
        kinds = {document["kind"] for document in session}
        assert not {entry.INTENT, entry.OUTCOME} <= kinds, "only a missing end leaves nothing to state"
        return
    assert canonical.decode(canonical.encode(statement)) == statement
    schema.check_predicate(statement["predicate"])


def test_every_fact_of_a_session_is_bound() -> None:
    """Change any value anywhere: the statement must change with it."""
    for session in SESSIONS:
        before = canonical.encode(evidence_of(session).statement(ORIGIN))
        for number in range(len(session)):
            for at in range(len(places(session[number]))):
                changed = copy.deepcopy(session)
                container, key = places(changed[number])[at]
                if isinstance(container[key], bool):
                    container[key] = not container[key]
                elif isinstance(container[key], int) and key != "v":
                    container[key] += -1 if container[key] else 1
                elif isinstance(container[key], str) and key not in {"kind", "sha256", "base64"}:
                    container[key] += "0"
                else:
                    continue
                assert canonical.encode(evidence_of(changed).statement(ORIGIN)) != before


def test_the_statement_binds_its_place() -> None:
    session = SESSIONS[0]
    evidence = evidence_of(session)
    before = evidence.statement(ORIGIN)
    assert evidence.statement("other/" + "0" * 32) != before
    evidence.first += 1
    assert evidence.statement(ORIGIN) != before


@pytest.mark.parametrize("kinds", [(), (entry.INTENT,), (entry.OUTCOME,), (entry.INTENT, entry.START)])
def test_without_intent_and_outcome_there_is_no_statement(kinds: tuple[str, ...]) -> None:
    session = [document for document in SESSIONS[0] if document["kind"] in kinds]
    assert len(session) == len(kinds)
    with pytest.raises(MalformedError):
        evidence_of(session).statement(ORIGIN)


def test_an_entry_of_a_kind_that_is_not_known_only_counts() -> None:
    session = copy.deepcopy(SESSIONS[0])
    session.insert(1, {**session[1], "kind": "launch.paused", "data": {}})
    statement = evidence_of(session).statement(ORIGIN)
    predicate = statement["predicate"]
    assert isinstance(predicate, dict)
    assert predicate["n"] == len(session)


def test_needless_base64_never_reaches_a_statement() -> None:
    intent, _, outcome = (copy.deepcopy(document) for document in SESSIONS[-1])
    outcome["data"]["outputs"] = [{"path": {"base64": "L3g="}, "sha256": "0" * 64, "size": 1}]
    assert not valid(outcome)
    evidence = LaunchEvidence()
    for number, document in enumerate((intent, outcome)):
        parsed = Entry(document["kind"], document["session"], number, document["time"], document["data"])
        evidence.add(number + 1, parsed, bytes(32))
    with pytest.raises(MalformedError):
        evidence.statement(ORIGIN)
