"""A ledger that nobody touched: 0 under a pinned key, 3 without one, the same in every format."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from attest import canonical, entry
from attest.keys import SigningKey
from attest.note import Verifier
from verify import CODES, NotCheckedError, Pin, verify
from verify.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

KEY = SigningKey(b"\x01" * 32).public
SCHEMA = os.path.join(os.path.dirname(__file__), "..", "..", "verify", "schemas", "verdict.json")


def test_it_is_verified_under_its_key(bench: Bench, book: Book) -> None:
    said = bench.verify(bench.write(book))
    assert (said.status, said.codes) == (0, [])
    assert said.text.startswith(
        f"verified: 3 launches, {len(book.bodies)} entries, key {KEY.fingerprint()[:16]}"
    )
    assert said.document["launches"] == {"complete": 3, "running": 0, "lost": 0, "unfinished": 0}
    assert said.document["origin"] == book.origin
    assert said.document["root"] == book.edge().root().hex()
    assert said.document["pins"][0]["met"] == "genesis"


def test_what_is_not_excluded_is_said_in_words_even_then(bench: Bench, book: Book) -> None:
    said = bench.verify(bench.write(book))
    assert said.document["freshness"] == "unproven"
    assert [caveat["code"] for caveat in said.document["not_excluded"]] == [
        "freshness.unproven",
        "host.trusted",
    ]
    assert "nothing outside of this file says that it is the newest (freshness: unproven)" in said.text


def test_without_a_pin_it_is_intact_but_not_met(bench: Bench, book: Book) -> None:
    said = bench.verify(bench.write(book), key=None)
    assert (said.status, said.codes) == (3, ["key.none_pinned"])
    first = said.text.splitlines()[0]
    assert first == "intact, not met: no key pinned; anyone could have made this file. Pin: -k FILE"


def test_another_key_does_not_verify_it(bench: Bench, book: Book) -> None:
    said = bench.verify(bench.write(book), key="stranger.pub")
    assert (said.status, said.codes) == (3, ["key.not_pinned"])
    assert said.document["pins"][0]["met"] is None


def test_one_of_several_pins_is_enough(bench: Bench, book: Book) -> None:
    said = bench.verify(bench.write(book), "-k", bench.path("stranger.pub"))
    assert said.status == 0
    assert sorted(str(pin["met"]) for pin in said.document["pins"]) == ["None", "genesis"]


def test_the_origin_alone_pins_the_genesis_key(bench: Bench, book: Book) -> None:
    said = bench.verify(bench.write(book), "--origin", book.origin, key=None)
    assert said.status == 0
    assert "origin pinned" in said.text.splitlines()[0]


def test_another_true_ledger_of_the_same_key_fails_a_pinned_origin(
    bench: Bench, book: Book, new_book: Callable[..., Book]
) -> None:
    other = new_book(name="other")
    other.launch()
    said = bench.verify(bench.write(other), "--origin", book.origin)
    assert (said.status, said.codes) == (3, ["origin.not_pinned"])


def test_a_verifier_key_pins_its_ledger_too(bench: Bench, book: Book, new_book: Callable[..., Book]) -> None:
    with open(bench.path("ledger.vkey"), "w", encoding="utf-8") as file:
        file.write(Verifier(book.origin, KEY).vkey() + "\n")
    assert bench.verify(bench.write(book), key="ledger.vkey").status == 0
    other = new_book(name="other")
    other.launch()
    assert bench.verify(bench.write(other), key="ledger.vkey").codes == ["key.not_pinned"]


def test_an_empty_ledger_is_verified(bench: Bench, new_book: Callable[..., Book]) -> None:
    said = bench.verify(bench.write(new_book()))
    assert (said.status, said.text.splitlines()[0][:33]) == (0, "verified: 0 launches, 1 entry, ke")


@pytest.mark.parametrize("launches", [63, 64, 65, 130])
def test_full_tiles_and_what_stands_behind_them(
    bench: Bench, new_book: Callable[..., Book], launches: int
) -> None:
    book = new_book()
    for _ in range(launches):
        book.launch()
    assert bench.verify(bench.write(book)).status == 0


@pytest.mark.parametrize("entries", [255, 256, 257, 512])
def test_a_session_longer_than_a_tile(bench: Bench, new_book: Callable[..., Book], entries: int) -> None:
    book = new_book()
    book.launch(decisions=entries)
    assert bench.verify(bench.write(book)).status == 0


@pytest.mark.parametrize("beside", [False, True])
def test_unix_sockets_as_they_were_asked_for(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, *, beside: bool
) -> None:
    book = new_book()
    asked = [{"access": "bind", "asked": text, "source": "user", "type": "socket"} for text in ("a", "b")]
    granted = [{**each, "path": "/run/" + each["asked"]} for each in asked]
    capabilities = {**shapes.START["capabilities"], "unix_sockets": granted}
    start = {
        **shapes.START,
        "capabilities": book.beside(capabilities) if beside else capabilities,
        "capabilities_sha256": hashlib.sha256(canonical.encode(capabilities)).hexdigest(),
    }
    book.launch(intent={**shapes.INTENT, "unix_sockets": asked}, start=start)
    assert bench.verify(bench.write(book)).codes == []


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("sockets", [False, True])
def test_system_v_as_it_was_asked_for(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, *, beside: bool, sockets: bool
) -> None:
    book = new_book()
    asked = {"access": "connect", "asked": "a", "source": "user", "type": "socket"}
    capabilities = {**shapes.START["capabilities"], "ipc": "sysv"}
    intent = {**shapes.INTENT, "ipc": "sysv"}
    if sockets:
        intent["unix_sockets"] = [asked]
        capabilities["unix_sockets"] = [{**asked, "path": "/run/a"}]
    start = {
        **shapes.START,
        "capabilities": book.beside(capabilities) if beside else capabilities,
        "capabilities_sha256": hashlib.sha256(canonical.encode(capabilities)).hexdigest(),
    }
    book.launch(intent=intent, start=start)
    assert bench.verify(bench.write(book)).codes == []
    del intent["ipc"]
    book = new_book()
    capabilities_beside = book.beside(capabilities) if beside else capabilities
    book.launch(intent=intent, start={**start, "capabilities": capabilities_beside})
    assert bench.verify(bench.write(book)).codes == ["launch.ipc"]


@pytest.mark.parametrize("verdict", ["granted", "denied"])
def test_files_that_somebody_was_asked_about(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, verdict: str
) -> None:
    book = new_book()
    asked = shapes.changed(
        shapes.DECISION, by="person", subject="read /srv/data", verdict=verdict, what="file"
    )
    counts = {**shapes.OUTCOME["counts"], "decisions": 2}
    session = book.new_session()
    book.add(entry.INTENT, session, {**shapes.INTENT, "capability_elevation": True})
    book.add(entry.START, session, shapes.START)
    book.add(entry.DECISION, session, asked)
    book.add(entry.DECISION, session, asked)
    book.add(entry.OUTCOME, session, shapes.changed(shapes.OUTCOME, counts=counts))
    book.attest(session)
    assert bench.verify(bench.write(book)).codes == []


def test_sessions_interleave(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    sessions = [book.new_session() for _ in range(3)]
    for kind, data in (
        (entry.INTENT, shapes.INTENT),
        (entry.START, shapes.START),
        (entry.OUTCOME, shapes.OUTCOME),
    ):
        for session in sessions:
            book.add(kind, session, data)
    for session in reversed(sessions):
        book.attest(session)
    assert bench.verify(bench.write(book)).status == 0


def test_every_form_of_a_session_that_the_grammar_has(
    bench: Bench, new_book: Callable[..., Book], shapes: Any
) -> None:
    book = new_book()
    hooks = {"before": shapes.HOOK, "after": shapes.HOOK}
    before, after = shapes.HOOK_RESULT, shapes.changed(shapes.HOOK_RESULT, hook="after")
    session = book.new_session()  # everything, in order
    book.add(entry.INTENT, session, shapes.changed(shapes.INTENT, hooks=hooks))
    book.add(entry.DECISION, session, shapes.DECISION)
    book.add(entry.HOOK_RESULT, session, before)
    book.add(entry.START, session, shapes.START)
    counts = {"decisions": 1, "decisions_dropped": 4, "survivors": 0, "survivors_left": 0}
    book.add(entry.OUTCOME, session, shapes.changed(shapes.OUTCOME, counts=counts))
    book.add(entry.DECISION, session, shapes.DECISION)
    book.add(entry.HOOK_RESULT, session, after)
    book.attest(session)
    session = book.new_session()  # refused before its before-hook ran
    book.add(entry.INTENT, session, shapes.changed(shapes.INTENT, hooks=hooks))
    book.add(entry.OUTCOME, session, shapes.REFUSED)
    book.attest(session)
    session = book.new_session()  # direct
    book.add(entry.INTENT, session, shapes.changed(shapes.INTENT, strategy="direct", outputs=[]))
    book.add(entry.START, session, shapes.START)
    session = book.new_session()  # ended by a signal
    book.launch(outcome=shapes.SIGNALLED)
    said = bench.verify(bench.write(book))
    assert (said.status, said.codes) == (0, [])
    assert said.document["launches"]["complete"] == 4


@pytest.mark.parametrize("entries", [1, 2, 3])
def test_any_prefix_may_be_lost(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, entries: int
) -> None:
    book = new_book()
    session = book.new_session()
    whole = ((entry.INTENT, shapes.INTENT), (entry.START, shapes.START), (entry.OUTCOME, shapes.OUTCOME))
    for kind, data in whole[:entries]:
        book.add(kind, session, data)
    book.add(entry.LOST, session, {"found": "another-boot"})
    said = bench.verify(bench.write(book))
    assert (said.status, said.codes) == (3, ["launch.lost"])
    assert said.document["launches"]["lost"] == 1


def test_an_unfinished_launch_is_not_met(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    book.add(entry.INTENT, book.new_session(), shapes.INTENT)
    said = bench.verify(bench.write(book))
    assert (said.status, said.codes) == (3, ["launch.unfinished"])
    assert said.document["launches"]["unfinished"] == 1


def test_the_json_form_is_of_its_published_schema(bench: Bench, book: Book) -> None:
    with open(SCHEMA, encoding="utf-8") as file:
        checker = jsonschema_rs.Draft202012Validator(json.load(file))
    path = bench.write(book)
    broken = bench.alter(
        bench.write(book), "UPDATE entry SET body = replace(body, 'make', 'fake') WHERE idx = 1"
    )
    for said in (
        bench.verify(path),
        bench.verify(path, key=None),
        bench.verify(broken),
        bench.verify(bench.path("missing.db")),
    ):
        checker.validate(said.document)
    with pytest.raises(jsonschema_rs.ValidationError):
        checker.validate({**bench.verify(path).document, "exit": 4})


def test_the_library_says_what_the_command_says(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    verdict = verify(path, pins=[Pin(KEY)])
    assert (verdict.exit, verdict.size) == (0, len(book.bodies))
    assert verify(os.fsencode(path)).exit == 3
    with pytest.raises(NotCheckedError):
        verify(bench.path("missing.db"))


def test_codes_are_well_formed_and_each_has_a_meaning() -> None:
    for code, (severity, meaning) in CODES.items():
        area, _, reason = code.partition(".")
        assert area.isalpha()
        assert reason.replace("_", "").isalpha()
        assert isinstance(severity, Severity)
        assert meaning
        assert not meaning.endswith(".")
    assert len({meaning for _, meaning in CODES.values()}) == len(CODES)
