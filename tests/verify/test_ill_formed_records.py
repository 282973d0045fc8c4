"""Everything is signed and hashed as it should be, and the record is odd: what is a fault, and what is none.

What must be found is in ``tests/gauntlet``; here is what may be there all the same, and where it is found.
"""

# ruff: noqa: E501  # a table with one case a line is easier to check than one that is wrapped

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from attest import blob, entry
from attest.canonical import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

SESSION = f"0192{1:08x}70008{0:015x}"
INTENT, START, DECISION, HOOK = entry.INTENT, entry.START, entry.DECISION, entry.HOOK_RESULT
OUTCOME, ATTESTATION, LOST = entry.OUTCOME, entry.ATTESTATION, entry.LOST

ORDERS: dict[str, tuple[list[str], str, int]] = {
    "nothing but a start": ([START], "launch.intent", 1),
    "nothing but an outcome": ([OUTCOME], "launch.intent", 1),
    "nothing but a decision": ([DECISION], "launch.intent", 1),
    "nothing but lost": ([LOST], "launch.intent", 1),
    "two intents": ([INTENT, INTENT, START], "launch.order", 2),
    "two starts": ([INTENT, START, START], "launch.order", 3),
    "two outcomes": ([INTENT, START, OUTCOME, OUTCOME, ATTESTATION], "launch.order", 4),
    "a start after the outcome": ([INTENT, "refused", START], "launch.order", 3),
    "an outcome of what did not start": ([INTENT, OUTCOME, ATTESTATION], "launch.outcome", 2),
    "a decision after the close": ([INTENT, START, OUTCOME, ATTESTATION, DECISION], "launch.reused", 5),
    "an outcome after the close": ([INTENT, START, OUTCOME, ATTESTATION, OUTCOME], "launch.reused", 5),
    "an intent after the close": ([INTENT, START, OUTCOME, ATTESTATION, INTENT], "launch.reused", 5),
    "two attestations": ([INTENT, START, OUTCOME, ATTESTATION, ATTESTATION], "launch.reused", 5),
    "lost after the close": ([INTENT, START, OUTCOME, ATTESTATION, LOST], "launch.reused", 5),
    "something after lost": ([INTENT, LOST, START], "launch.reused", 3),
    "an outcome of a direct launch": (["direct", START, OUTCOME], "launch.reused", 3),
    "a hook that was not asked for": ([INTENT, HOOK, START], "launch.hook", 2),
    "a hook twice": (["hooked", HOOK, HOOK, START], "launch.hook", 3),
    "a before-hook after the start": (["hooked", START, HOOK], "launch.hook_missing", 2),
    "a before-hook after the outcome": (["hooked", "refused", HOOK, ATTESTATION], "launch.hook", 3),
    "a hook's result while it runs": (["hooked", HOOK, START, "after"], "launch.order", 4),
    "an after-hook before the start": (["hooked", "after", HOOK, START], "launch.hook", 2),
    "no after-hook": (["hooked", HOOK, START, OUTCOME, ATTESTATION], "launch.hook_missing", 5),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_the_grammar_of_a_session(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, name: str
) -> None:
    kinds, code, index = ORDERS[name]
    data = {
        INTENT: (INTENT, shapes.INTENT),
        "direct": (INTENT, shapes.changed(shapes.INTENT, strategy="direct")),
        "hooked": (INTENT, shapes.changed(shapes.INTENT, hooks={"before": shapes.HOOK, "after": shapes.HOOK})),
        START: (START, shapes.START),
        DECISION: (DECISION, shapes.DECISION),
        HOOK: (HOOK, shapes.HOOK_RESULT),
        "after": (HOOK, shapes.changed(shapes.HOOK_RESULT, hook="after")),
        OUTCOME: (OUTCOME, shapes.OUTCOME),
        "refused": (OUTCOME, shapes.REFUSED),
        LOST: (LOST, {"found": "process-gone"}),
    }  # fmt: skip
    book = new_book()
    for position, kind in enumerate(kinds):
        if kind == ATTESTATION:
            book.attest(SESSION)
        else:
            members = {"seq": 1} if position == 0 and data[kind][0] != INTENT else {}
            members = {"seq": 0} if position and data[kind][0] == INTENT else members
            book.add(data[kind][0], SESSION, data[kind][1], **members)
    said = bench.verify(bench.write(book))
    assert said.status == 1
    found = [(finding["code"], finding["index"], finding["session"]) for finding in said.document["findings"]]
    assert (code, index, SESSION) in found


@pytest.mark.parametrize("hooked", [False, True])
def test_an_exec_that_fails_after_the_start_is_no_tampering(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, hooked: bool
) -> None:
    hooks = {"before": shapes.HOOK, "after": shapes.HOOK} if hooked else {}
    intent = shapes.changed(shapes.INTENT, hooks=hooks)
    declared = [{"path": path, "unhashed": "missing"} for path in intent["outputs"]]
    assert declared
    book = new_book()
    book.add(INTENT, SESSION, intent)
    if hooked:
        book.add(HOOK, SESSION, shapes.HOOK_RESULT)
    book.add(START, SESSION, shapes.START)
    book.add(OUTCOME, SESSION, shapes.changed(shapes.REFUSED, outputs=declared))
    if hooked:
        book.add(HOOK, SESSION, shapes.changed(shapes.HOOK_RESULT, hook="after"))
    book.attest(SESSION)
    said = bench.verify(bench.write(book))
    assert (said.status, said.codes) == (0, [])
    assert said.document["launches"]["complete"] == 1


def start(shapes: Any, **members: Any) -> dict[str, Any]:
    return dict(shapes.changed(shapes.START, **members))


def enforcement(shapes: Any, *, required: bool, achieved: bool, waived: list[str]) -> dict[str, Any]:
    made = shapes.changed(shapes.START)["enforcement"]
    made["required"]["filter"], made["achieved"]["filter"], made["waived"] = required, achieved, waived
    return dict(made)


def outcome(shapes: Any, **members: Any) -> dict[str, Any]:
    return dict(shapes.changed(shapes.OUTCOME, **members))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda s: {"start": start(s, executable=s.changed(s.START["executable"], held="stat-only"))}, "executable.stat_only"),
        (lambda s: {"start": start(s, interpreters=[s.changed(s.START["executable"], held="by-path")])}, "executable.by_path"),
        (lambda s: {"start": start(s, enforcement=s.changed(s.START["enforcement"], achieved={**s.START["enforcement"]["achieved"], "metadata": False}, required={**s.START["enforcement"]["required"], "metadata": False}))}, "metadata.unprotected"),
        (lambda s: {"outcome": outcome(s, executed_image="unchecked")}, "image.unchecked"),
        (lambda s: {"outcome": outcome(s, counts={"decisions": 0, "decisions_dropped": 0, "survivors": 2, "survivors_left": 1})}, "process.survivors"),
    ],
)  # fmt: skip
def test_what_weakens_the_record_is_named_but_does_not_fail_it(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, change: Callable[..., Any], code: str
) -> None:
    book = new_book()
    book.launch(**change(shapes))
    said = bench.verify(bench.write(book))
    assert (said.status, said.codes) == (0, [])
    assert code in [caveat["code"] for caveat in said.document["not_excluded"]]


def open_network(s: Any) -> dict[str, Any]:
    capabilities = s.changed(s.CAPABILITIES, network={"mode": "all"})
    digest = hashlib.sha256(encode(capabilities)).hexdigest()
    return start(s, capabilities=capabilities, capabilities_sha256=digest)


def hooked(s: Any, *, required: bool = True, kind: str = "before") -> dict[str, Any]:
    return dict(s.changed(s.INTENT, hooks={kind: s.changed(s.HOOK, required=required)}))


def failed(s: Any, **members: Any) -> dict[str, Any]:
    how = members or {"exit": 1}
    return {**{name: value for name, value in s.HOOK_RESULT.items() if name != "exit"}, **how}


def direct(s: Any, **members: Any) -> dict[str, Any]:
    return dict(s.changed(s.INTENT, **{"strategy": "direct", "outputs": [], **members}))


def digests(*digests: str) -> list[dict[str, Any]]:
    return [{"path": "/w/a.whl", "sha256": digest * 64, "size": 1} for digest in digests]


TWICE = ["/w/a.whl", "/w/a.whl"]
ODD: dict[str, tuple[Callable[[Any], list[tuple[str, dict[str, Any]]]], int, list[str]]] = {
    "a start behind a hook that failed and need not have": (lambda s: [(INTENT, hooked(s, required=False)), (HOOK, failed(s)), (START, s.START), (OUTCOME, s.OUTCOME)], 0, []),
    "a refusal behind a required hook that failed": (lambda s: [(INTENT, hooked(s)), (HOOK, failed(s)), (OUTCOME, s.REFUSED)], 0, []),
    "an after-hook of what was refused": (lambda s: [(INTENT, hooked(s, kind="after")), (OUTCOME, s.REFUSED), (HOOK, s.changed(s.HOOK_RESULT, hook="after"))], 0, []),
    "a direct launch with a before-hook": (lambda s: [(INTENT, direct(s, hooks={"before": s.HOOK})), (HOOK, s.HOOK_RESULT), (START, s.START)], 0, []),
    "a network that was to be open": (lambda s: [(INTENT, s.changed(s.INTENT, network={"mode": "all"})), (START, open_network(s)), (OUTCOME, s.OUTCOME)], 0, []),
    "a network that is closed without need": (lambda s: [(INTENT, s.changed(s.INTENT, network={"mode": "all"})), (START, s.START), (OUTCOME, s.OUTCOME)], 0, []),
    "a launch within another": (lambda s: [(INTENT, s.changed(s.INTENT, outer_session=s.session_id(9))), (START, s.START), (OUTCOME, s.OUTCOME)], 0, []),
    "one output declared twice": (lambda s: [(INTENT, s.changed(s.INTENT, outputs=TWICE)), (START, s.START), (OUTCOME, outcome(s, outputs=digests("0", "0")))], 0, []),
    "a feature that was waived and achieved": (lambda s: [(INTENT, s.INTENT), (START, start(s, enforcement=enforcement(s, required=True, achieved=True, waived=["filter"]))), (OUTCOME, s.OUTCOME)], 0, ["launch.waived"]),
    # Wall times are no order of events: a clock may be set back while a command runs.
    "an end before its beginning": (lambda s: [(INTENT, s.INTENT), (START, s.START), (OUTCOME, outcome(s, ended="1999-01-01T00:00:00.000000Z"))], 0, []),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_and_no_fault(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, name: str
) -> None:
    entries, status, codes = ODD[name]
    book = new_book()
    for kind, data in entries(shapes):
        book.add(kind, SESSION, data)
    if b'"kind":"launch.start"' not in book.bodies[-1]:
        book.attest(SESSION)
    said = bench.verify(bench.write(book))
    assert (said.status, said.codes) == (status, codes)


@pytest.mark.parametrize("position", range(5))
def test_a_later_version_within_a_session_is_not_called_tampered(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, position: int
) -> None:
    """Whatever it is: an intent, a start or an outcome that only a later verifier understands."""
    counts = {"decisions": 1, "decisions_dropped": 0, "survivors": 0, "survivors_left": 0}
    record = [
        (INTENT, shapes.INTENT),
        (START, shapes.START),
        (DECISION, shapes.DECISION),
        (OUTCOME, outcome(shapes, counts=counts)),
    ]
    book = new_book()
    for at, (kind, data) in enumerate(record):
        book.add(kind, SESSION, data, **({"v": 2} if at == position else {}))
    changes: dict[str, Any] = {"more": True} if position == 4 else {}
    book.attest(SESSION, **changes)
    said = bench.verify(bench.write(book))
    if position == 4:  # nothing of a later version: the same record is judged in full
        assert (said.status, said.codes) == (1, ["launch.statement"])
        return
    assert (said.status, said.codes) == (3, ["entry.kind"])
    assert said.document["findings"][0]["session"] == SESSION
    assert said.document["launches"]["complete"] == 1
    book.add(DECISION, SESSION, shapes.DECISION)
    assert "launch.reused" in bench.verify(bench.write(book)).codes


def test_a_session_of_a_later_version_that_has_no_end(
    bench: Bench, new_book: Callable[..., Book], shapes: Any
) -> None:
    book = new_book()
    book.add(INTENT, SESSION, shapes.INTENT, v=2)
    book.add(START, SESSION, shapes.START)
    said = bench.verify(bench.write(book))
    assert (said.status, said.codes, said.document["launches"]["unfinished"]) == (3, ["entry.kind"], 1)


def test_an_attestation_behind_a_later_version_is_still_signed(
    bench: Bench, new_book: Callable[..., Book], shapes: Any
) -> None:
    book = new_book()
    book.add(INTENT, SESSION, shapes.INTENT)
    book.add(DECISION, SESSION, shapes.DECISION, v=2)
    book.add(OUTCOME, SESSION, shapes.REFUSED)
    book.attest(SESSION, shapes.STRANGER)
    assert bench.verify(bench.write(book)).codes == ["entry.kind", "launch.signature"]


def test_outputs_in_another_order(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    outputs = [{"path": path, "sha256": "f" * 64, "size": 1} for path in ("/b", "/a")]
    book.launch(
        intent=shapes.changed(shapes.INTENT, outputs=["/a", "/b"]), outcome=outcome(shapes, outputs=outputs)
    )
    assert bench.verify(bench.write(book)).codes == ["launch.outputs"]


def test_an_unknown_kind_is_not_met_and_intact_otherwise(
    bench: Bench, new_book: Callable[..., Book], shapes: Any
) -> None:
    book = new_book()
    book.add(INTENT, SESSION, shapes.INTENT)
    book.add("launch.pause", SESSION, {"why": "lunch"})
    book.add(START, SESSION, shapes.START)
    book.add(OUTCOME, SESSION, shapes.OUTCOME)
    book.attest(SESSION)
    book.add("ledger.note", None, {"text": "hello"})
    book.add("other.kind", book.new_session(), {})
    said = bench.verify(bench.write(book))
    assert (said.status, said.codes) == (3, ["entry.kind"] * 3)


def test_a_later_version_of_an_entry_is_not_called_tampered(bench: Bench, book: Book) -> None:
    book.add("ledger.note", None, {"text": "hello"}, v=2)
    said = bench.verify(bench.write(book))
    assert (said.status, said.codes) == (3, ["entry.kind"])


# --- blobs ------------------------------------------------------------------------------------------


def test_blobs_of_every_kind_are_read(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    book.launch(
        intent=shapes.changed(shapes.INTENT, command=book.beside(["make"]), grants=book.beside([])),
        start=shapes.changed(
            shapes.START, capabilities=book.beside(shapes.CAPABILITIES), environment=book.beside(["PATH"])
        ),
    )
    assert bench.verify(bench.write(book)).status == 0


@pytest.mark.parametrize("value", ["PATH", [1], {"a": []}, [["PATH"]], None, [{"base64": "UEFUSA=="}]])
def test_a_blob_has_the_form_of_its_field(
    bench: Bench, new_book: Callable[..., Book], shapes: Any, value: Any
) -> None:
    book = new_book()
    book.launch(start=shapes.changed(shapes.START, environment=book.beside(value)))
    assert bench.verify(bench.write(book)).codes == ["blob.form"]


@pytest.mark.parametrize("size", [blob.MAX_BYTES, blob.MAX_BYTES + 1, 30_000_000])
def test_the_longest_blob(bench: Bench, new_book: Callable[..., Book], shapes: Any, size: int) -> None:
    """The writer stores what the verifier reads, up to one bound that both have from one place."""
    book = new_book()
    command: Any = ["x" * (size - 4)]
    assert len(encode(command)) == size
    intent = shapes.changed(shapes.INTENT, command=book.beside(command))
    book.launch(intent=intent)
    said = bench.verify(bench.write(book))
    if size == blob.MAX_BYTES:
        assert (said.status, said.codes) == (0, [])
    else:
        assert said.status == 1
        assert ("blob.size", 1) in [(found["code"], found["index"]) for found in said.document["findings"]]
        assert {"launch.statement", "launch.signature"}.isdisjoint(said.codes)
