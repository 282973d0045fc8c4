"""Any change of any byte, value or line of evidence is found; what is only taken away is never verified."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from attest.canonical import encode
from attest.errors import MalformedError
from attest.keys import SigningKey
from tests.verify.conftest import INTENT, KEY, START, SUCCESSOR, Book, changed
from tests.verify.evidence_of_a_book import Lines, data_of, lines_of, status
from verify import Pin

PINS = (Pin(KEY.public), Pin(SUCCESSOR.public))


def made() -> tuple[Lines, Lines]:
    """Return the evidence of a launch with everything that evidence can have, and of another beside it."""
    book = Book()
    other = book.launch(start=changed(START, environment=book.beside(["TERM"])))
    book.hand_over(SigningKey(b"\x09" * 32))
    intent = changed(INTENT, command=book.beside(["make", "all"]), grants=book.beside(INTENT["grants"]))
    session = book.launch(
        intent=intent, start=changed(START, environment=book.beside(["HOME", "PATH"])), decisions=3
    )
    book.launch()
    book.hand_over(SUCCESSOR)
    book.launch(decisions=250)
    return lines_of(book, session), lines_of(book, other)


LINES, OTHERS = made()
DATA = data_of(LINES)
ATTESTATION = next(place for place, line in enumerate(LINES) if "launch.attestation" in line.get("entry", ""))
EVERY_PLACE = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_untouched_it_is_verified() -> None:
    assert status(DATA, *PINS) == status(data_of(OTHERS), *PINS) == 0
    for members in ("blob", "checkpoint", "evidence"):
        assert any(members in line for line in LINES)


@EVERY_PLACE
@given(data=st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(DATA) - 1))
    what = data.draw(st.sampled_from(["flip", "insert", "delete", "cut"]))
    letter = bytes([data.draw(st.integers(0, 255))])
    false = {
        "flip": DATA[:at] + bytes([DATA[at] ^ 1 << data.draw(st.integers(0, 7))]) + DATA[at + 1 :],
        "insert": DATA[:at] + letter + DATA[at:],
        "delete": DATA[:at] + DATA[at + 1 :],
        "cut": DATA[:at],
    }[what]
    assert false != DATA
    code = status(false, *PINS)
    # Behind the launch there is a handover, so that a file that is cut lacks a key.
    assert code in {1, 2}


@pytest.mark.parametrize("step", range(4))
def test_every_byte_is_bound(step: int) -> None:
    """Each byte of all lines but the many hashes of the middle, one after another."""
    for at in range(step, len(DATA), 29):
        false = DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1 :]
        assert status(false, *PINS) in {1, 2}, at


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) inside a document."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found.append((value, key))
        found.extend(places(item))
    return found


VALUES: list[Any] = [
    container[key] for lines in (LINES, OTHERS) for line in lines for container, key in places(line)
] + [None, True, 0, 1, -1, 2**53 - 1, "", "\n", "x", [], {}, [""], "0" * 64, "AAAA"]


@EVERY_PLACE
@given(data=st.data())
def test_any_changed_value_is_found(data: st.DataObject) -> None:
    false = copy.deepcopy(LINES)
    container, key = data.draw(st.sampled_from(places(data.draw(st.sampled_from(false)))))
    how = data.draw(st.sampled_from(["replace", "delete", "add", "near"]))
    value = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    if how == "delete":
        del container[key]
    elif how == "add" and isinstance(container, dict):
        container[data.draw(st.sampled_from(["extra", "blob", "withheld", "checkpoint", "consistency"]))] = (
            value
        )
    elif how == "add":
        container.insert(key, value)
    elif how == "near" and isinstance(container[key], int):
        container[key] += data.draw(st.sampled_from([-1, 1]))
    elif how == "near" and isinstance(container[key], list):
        container[key] = list(reversed(container[key]))
    else:
        container[key] = value
    assume(false != LINES)
    try:
        changed_data = data_of(false)
    except MalformedError:
        return  # such a file cannot be written down
    assert status(changed_data, *PINS) in {1, 2}


@EVERY_PLACE
@given(data=st.data())
def test_any_line_less_more_moved_or_exchanged_is_found(data: st.DataObject) -> None:
    false = copy.deepcopy(LINES)
    place = data.draw(st.integers(0, len(LINES) - 1))
    other = data.draw(st.integers(0, len(LINES) - 1))
    how = data.draw(st.sampled_from(["delete", "double", "move", "exchange", "strange", "cut"]))
    if how == "delete":
        del false[place]
    elif how == "double":
        false.insert(other, false[place])
    elif how == "move":
        false.insert(other, false.pop(place))
    elif how == "exchange":
        false[place], false[other] = false[other], false[place]
    elif how == "strange":
        false[place] = data.draw(st.sampled_from(OTHERS))
    else:
        del false[place:]
    assume(false != LINES)
    code = status(data_of(false), *PINS)
    # Without its last entry, or the last few, a launch has no end; everything else is a failure.
    assert code in {1, 2} or (code == 3 and false == LINES[:ATTESTATION] + LINES[ATTESTATION + 1 :])


def test_only_what_is_taken_away_at_the_end_is_less_than_a_failure() -> None:
    """Without a handover behind the launch its end can be cut off: then it has none, which is never 0."""
    book = Book()
    lines = lines_of(book, book.launch(decisions=1))
    codes = [status(data_of(lines[:count]), *PINS) for count in range(len(lines) + 1)]
    assert codes == [2, 1, 1, 3, 3, 3, 3, 0]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["entry", "inclusion", "index", "blob", "withheld", "data", "session"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)


@EVERY_PLACE
@given(
    st.lists(st.one_of(JSON, st.sampled_from(LINES), st.sampled_from(OTHERS)), max_size=6),
    st.binary(max_size=20),
)
def test_anything_at_all_is_judged(documents: list[Any], rest: bytes) -> None:
    """Whatever follows the head, it is never verified, and never anything but a verdict."""
    try:
        data = data_of([LINES[0], *documents])
    except MalformedError:
        data = DATA
        rest = rest or b"x"
    assert status(data + rest, *PINS) in {1, 2}


@given(
    st.dictionaries(st.sampled_from(["v", "kind", "session", "seq", "time", "data", "x"]), JSON),
    st.sampled_from(
        ["ledger.key", "launch.intent", "launch.attestation", "launch.start", "launch.lost", "x"]
    ),
)
def test_entries_of_any_shape_are_judged(document: dict[str, Any], kind: str) -> None:
    """They are where they should be and under no head, so they fail; that they are odd raises nothing."""
    false = copy.deepcopy(LINES)
    for place in range(1, len(false)):
        if "entry" in false[place]:
            body = {"v": 1, "session": None, "seq": 0, "data": {}, **document, "kind": kind}
            try:
                changed_body = encode(body).decode()
            except MalformedError:
                return
            attempt = [*false[:place], {**false[place], "entry": changed_body}, *false[place + 1 :]]
            assert status(data_of(attempt), *PINS) == 1


@pytest.mark.parametrize("document", [LINES[0], LINES[1]])
def test_the_lines_are_canonical(document: dict[str, Any]) -> None:
    assert encode(document) + b"\n" in DATA
