"""``nono-verify evidence``: one launch without its ledger; every exit code, and every attack on it."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

import verify
from attest import canonical, entry, evidence, tree
from attest.blob import Blob
from attest.canonical import encode
from attest.checkpoint import Checkpoint
from attest.keys import SigningKey
from attest.note import Verifier
from tests.verify.conftest import (
    BEGINNINGS,
    DECISION,
    INTENT,
    KEY,
    OUTCOME,
    REFUSED,
    START,
    STRANGER,
    SUCCESSOR,
    Judged,
    changed,
    run,
)
from tests.verify.evidence_of_a_book import Lines, data_of, judged, lines_of
from verify import NotCheckedError, Pin, verify_evidence

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(verify.__file__)))
THIRD = SigningKey(b"\x04" * 32)


def judge(bench: Bench, lines: Lines | bytes, *arguments: str, key: str | None = "key.pub") -> Judged:
    """Run the command in both formats, which must agree and be of the schema, and return what it said."""
    with open(bench.path("x.jsonl"), "wb") as file:
        file.write(lines if isinstance(lines, bytes) else data_of(lines))
    return said(["evidence", bench.path("x.jsonl"), *arguments, *(["-k", bench.path(key)] if key else [])])


def said(asked: list[str]) -> Judged:
    code, text = run(asked)
    again, output = run([*asked, "--format", "json"])
    document = json.loads(output)
    with open(os.path.join(ROOT, "verify", "schemas", "evidence-verdict.json"), encoding="utf-8") as file:
        jsonschema_rs.validator_for(json.load(file)).validate(document)
    assert code == again == document["exit"]
    assert text.startswith(BEGINNINGS[code])
    assert all(line.isprintable() for line in text.split("\n"))
    assert output.isascii()
    if code != 0:
        assert document["statement"] is None or code == 3
    return Judged(code, document, text)


def failed(found: Judged, *codes: str) -> Judged:
    assert (found.status, found.codes) == (1, list(codes))
    assert found.document["statement"] is None
    assert not any(pin["met"] for pin in found.document["pins"])
    return found


def at(lines: Lines, kind: str) -> int:
    """Return the place of the first entry of a kind."""
    return next(
        place
        for place, line in enumerate(lines)
        if "entry" in line and canonical.decode_object(line["entry"].encode())["kind"] == kind
    )


@pytest.fixture
def session(book: Book) -> str:
    """Return the first launch of the book: two decisions, no blob."""
    return "0192" + f"{1:08x}70008{0:015x}"


@pytest.fixture
def turned(new_book: Callable[..., Book]) -> Book:
    """Return a launch, a handover at entry 5, a launch under the new key."""
    made = new_book()
    made.launch()
    made.hand_over(SUCCESSOR)
    made.launch()
    return made


def sessions(book: Book) -> list[str]:
    found = (entry.parse(body).session for body in book.bodies)
    return list(dict.fromkeys(name for name in found if name is not None))


# --- 0 --------------------------------------------------------------------------------------------


def test_every_launch_of_a_ledger_is_verified(bench: Bench, book: Book) -> None:
    for name in sessions(book):
        found = judge(bench, lines_of(book, name))
        assert (found.status, found.codes) == (0, [])
        own = [index for index, body in enumerate(book.bodies) if entry.parse(body).session == name]
        assert found.text.startswith(
            f"verified: launch {name}, {len(own)} of {len(book.bodies)} entries,"
            f" key {KEY.public.fingerprint()[:16]}… (pinned)\n"
        )
        payload = canonical.decode_base64(entry.parse(book.bodies[own[-1]]).data["payload"])
        assert found.document == {
            "schema": "urn:nono-attest:schema:v1:evidence-verdict",
            "verdict": "verified",
            "exit": 0,
            "origin": book.origin,
            "size": len(book.bodies),
            "root": book.edge().root().hex(),
            "launch": {
                "session": name,
                "state": "complete",
                "first": own[0],
                "last": own[-1],
                "entries": len(own),
                "withheld": 0,
            },
            "statement": canonical.decode_object(payload),
            "pins": [
                {"fingerprint": KEY.public.fingerprint(), "source": bench.path("key.pub"), "met": "genesis"}
            ],
            "epochs": [{"fingerprint": KEY.public.fingerprint(), "first": 0}],
            "findings": [],
            "not_excluded": found.document["not_excluded"],
        }


def test_what_the_statement_says_is_said(bench: Bench, book: Book, session: str) -> None:
    text = judge(bench, lines_of(book, session)).text
    assert f"  launch: {session}, complete, 6 entries from 1 to 6\n" in text
    assert "  outcome: exit 0, 2026-11-24T04:00:01.000000Z\n" in text
    assert f"  subject: /usr/bin/make, SHA-256 {'e' * 64}\n" in text
    assert f"  subject: /w/a.whl, SHA-256 {'f' * 64}\n" in text
    assert "  label: run=7\n" in text
    refused = judge(bench, lines_of(book, sessions(book)[-1])).text
    assert "  outcome: not started grant.refused, " in refused
    assert f"  subject: launch:{sessions(book)[-1]}, SHA-256 " in refused


def test_what_is_not_excluded_is_said(bench: Bench, book: Book, session: str) -> None:
    found = judge(bench, lines_of(book, session))
    assert [caveat["code"] for caveat in found.document["not_excluded"]] == [
        "evidence.launch_only", "freshness.unproven", "proof.consistency", "host.trusted",
    ]  # fmt: skip
    for caveat in found.document["not_excluded"]:
        assert f"    - {caveat['message']}\n" in found.text
    rest = len(book.bodies) - 7
    assert f"the rest of the ledger ({rest} of its {len(book.bodies)} entries)" in found.text
    assert "or that its session id comes again" in found.text


def test_what_the_record_takes_away_from_itself_is_said(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    start = changed(START)
    start["enforcement"]["achieved"]["metadata"] = start["enforcement"]["required"]["metadata"] = False
    name = book.launch(start=start)
    codes = [caveat["code"] for caveat in judge(bench, lines_of(book, name)).document["not_excluded"]]
    assert "metadata.unprotected" in codes


def test_a_launch_of_many_decisions_in_a_large_ledger(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    book.launch(decisions=400)
    name = book.launch(decisions=300)
    book.launch(decisions=10)
    lines = lines_of(book, name)
    assert len(lines) == 306
    assert judge(bench, lines).status == 0
    del lines[100]
    assert "launch.sequence" in judge(bench, lines).codes


def test_a_launch_among_others(bench: Bench, new_book: Callable[..., Book]) -> None:
    """Entries of two launches interleave, and one names the other as the launch around it."""
    book = new_book()
    outer, inner = book.new_session(), book.new_session()
    book.add(entry.INTENT, outer, INTENT)
    book.add(entry.INTENT, inner, changed(INTENT, outer_session=outer))
    book.add(entry.START, outer, START)
    book.add(entry.START, inner, START)
    for name in (inner, outer):
        book.add(entry.OUTCOME, name, OUTCOME)
        book.attest(name)
    for name in (inner, outer):
        assert judge(bench, lines_of(book, name)).status == 0


def test_evidence_of_an_older_head_holds(bench: Bench, book: Book, session: str) -> None:
    for size in range(7, len(book.bodies)):
        found = judge(bench, lines_of(book, session, size=size))
        assert (found.status, found.document["size"]) == (0, size)


def test_a_direct_launch_has_no_statement_and_that_is_said(
    bench: Bench, new_book: Callable[..., Book]
) -> None:
    book = new_book()
    name = book.new_session()
    book.add(entry.INTENT, name, changed(INTENT, strategy="direct", outputs=[]))
    book.add(entry.START, name, START)
    found = judge(bench, lines_of(book, name))
    assert (found.status, found.document["launch"]["state"]) == (0, "complete")
    assert found.document["statement"] is None
    assert "evidence.unattested" in [caveat["code"] for caveat in found.document["not_excluded"]]


def test_an_origin_pins_the_genesis_key(bench: Bench, book: Book, session: str) -> None:
    lines = lines_of(book, session)
    found = judge(bench, lines, "--origin", book.origin, key=None)
    assert found.status == 0
    assert "entries, origin pinned\n" in found.text
    with open(bench.path("log.vkey"), "w", encoding="utf-8") as file:
        file.write(Verifier(book.origin, KEY.public).vkey() + "\n")
    assert judge(bench, lines, key="log.vkey").status == 0


def test_the_library_says_what_the_command_says(book: Book, session: str) -> None:
    data = data_of(lines_of(book, session))
    assert judged(data, Pin(KEY.public)).exit == 0
    assert judged(data).exit == 3
    assert judged(data, origin=book.origin).exit == 0
    with pytest.raises(NotCheckedError):
        judged(b"")


# --- handovers and rolls ---------------------------------------------------------------------------


def test_both_the_first_and_the_last_key_verify(bench: Bench, turned: Book) -> None:
    for name in sessions(turned):
        lines = lines_of(turned, name)
        by_genesis, by_head = judge(bench, lines), judge(bench, lines, key="successor.pub")
        assert by_genesis.status == by_head.status == 0
        assert by_genesis.document["pins"][0]["met"] == "genesis"
        assert by_head.document["pins"][0]["met"] == "head"
        assert by_genesis.document["epochs"] == [
            {"fingerprint": KEY.public.fingerprint(), "first": 0},
            {"fingerprint": SUCCESSOR.public.fingerprint(), "first": 6},
        ]
        assert "the first 6 entries were written under earlier keys" in by_head.text
        assert "earlier keys" not in by_genesis.text
        assert judge(bench, lines, key="stranger.pub").codes == ["key.not_pinned"]


def test_evidence_from_before_a_handover_keeps_its_key(bench: Bench, turned: Book) -> None:
    (name, _) = sessions(turned)
    lines = lines_of(turned, name, size=5)
    assert judge(bench, lines).status == 0
    assert judge(bench, lines, key="successor.pub").codes == ["key.not_pinned"]


def test_evidence_under_the_head_of_the_handover_itself(bench: Bench, turned: Book) -> None:
    lines = lines_of(turned, sessions(turned)[0], size=6)
    for key in ("key.pub", "successor.pub"):
        assert judge(bench, lines, key=key).status == 0


def test_a_row_of_handovers(bench: Bench, turned: Book) -> None:
    turned.hand_over(THIRD)
    turned.hand_over(STRANGER)
    name = turned.launch()
    lines = lines_of(turned, name)
    assert judge(bench, lines).status == judge(bench, lines, key="stranger.pub").status == 0
    # A key in the middle has neither founded the ledger nor signed its head.
    assert judge(bench, lines, key="successor.pub").codes == ["key.not_pinned"]
    for left_out in [place for place, line in enumerate(lines) if "checkpoint" in line]:
        assert judge(bench, lines[:left_out] + lines[left_out + 1 :]).status == 1


def test_a_launch_that_spans_a_handover(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    name = book.new_session()
    book.add(entry.INTENT, name, INTENT)
    book.add(entry.START, name, START)
    book.hand_over(SUCCESSOR)
    book.add(entry.OUTCOME, name, OUTCOME)
    book.attest(name)
    assert judge(bench, lines_of(book, name)).status == 0


def test_a_statement_by_the_key_before(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    name = book.new_session()
    book.add(entry.INTENT, name, INTENT)
    book.add(entry.START, name, START)
    book.hand_over(SUCCESSOR)
    book.add(entry.OUTCOME, name, OUTCOME)
    book.attest(name, KEY)
    failed(judge(bench, lines_of(book, name)), "launch.signature")


def test_the_ledger_that_it_continues_is_named(bench: Bench, new_book: Callable[..., Book]) -> None:
    old, book = new_book(name="old"), new_book()
    genesis = entry.parse(book.bodies[0])
    genesis.data["previous"] = {"origin": old.origin, "root": old.edge().root().hex(), "size": 1}
    book.bodies[0] = genesis.encode()
    name = book.launch()
    found = judge(bench, lines_of(book, name))
    assert found.status == 0
    assert f"it continues {old.origin}, which was not looked at" in found.text


# --- 3 --------------------------------------------------------------------------------------------


def test_without_a_pin_nothing_is_verified(bench: Bench, book: Book, session: str) -> None:
    found = judge(bench, lines_of(book, session), key=None)
    assert (found.status, found.codes) == (3, ["key.none_pinned"])
    assert found.document["statement"] is None
    assert "anyone could have made this file" in found.text
    assert "  hint: pin the ledger's key: -k FILE\n" in found.text


def test_a_stranger_who_makes_everything(bench: Bench, new_book: Callable[..., Book]) -> None:
    theirs = new_book(STRANGER)
    lines = lines_of(theirs, theirs.launch())
    assert judge(bench, lines).codes == ["key.not_pinned"]
    assert judge(bench, lines, key="stranger.pub").status == 0


def test_another_ledger_of_the_same_key(
    bench: Bench, book: Book, session: str, new_book: Callable[..., Book]
) -> None:
    other = new_book(name="other")
    lines = lines_of(other, other.launch())
    assert judge(bench, lines).status == 0
    found = judge(bench, lines, "--origin", book.origin)
    assert (found.status, found.codes) == (3, ["origin.not_pinned"])
    with open(bench.path("log.vkey"), "w", encoding="utf-8") as file:
        file.write(Verifier(book.origin, KEY.public).vkey())
    assert judge(bench, lines, key="log.vkey").codes == ["key.not_pinned"]


def test_a_launch_that_was_lost(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    name = book.new_session()
    book.add(entry.INTENT, name, INTENT)
    book.add(entry.LOST, name, {"found": "process-gone"})
    found = judge(bench, lines_of(book, name))
    assert (found.status, found.codes) == (3, ["launch.lost"])
    assert found.document["launch"]["state"] == "lost"


def test_a_launch_without_an_end_may_go_on(bench: Bench, book: Book, session: str) -> None:
    """Its end may lie in the ledger and have been left out: nothing in the file can tell."""
    whole = lines_of(book, session)
    for kept in range(3, len(whole)):
        found = judge(bench, whole[:kept])
        assert (found.status, found.codes) == (3, ["launch.unfinished"])
        assert found.document["launch"]["state"] == "unfinished"
        assert found.document["statement"] is None
        assert "further entries of the launch behind these" in found.text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there can it be known what runs")
def test_a_launch_that_runs(bench: Bench, new_book: Callable[..., Book]) -> None:
    from tests.store.recorded_launches import this_process

    book = new_book()
    name = book.new_session()
    book.add(entry.INTENT, name, changed(INTENT, **this_process()))
    found = judge(bench, lines_of(book, name))
    assert (found.status, found.codes) == (3, ["launch.running"])
    assert "further entries of the launch behind these" in found.text


def test_what_is_withheld(bench: Bench, book: Book) -> None:
    name = sessions(book)[1]
    lines = lines_of(book, name)
    (place,) = [place for place, line in enumerate(lines) if "blob" in line]
    held = lines[place]["blob"]
    digest = hashlib.sha256(
        canonical.decode_base64(held["salt"]) + canonical.decode_base64(held["data"])
    ).hexdigest()
    lines[place] = {"withheld": digest}
    found = judge(bench, lines)
    assert (found.status, found.codes) == (3, ["blob.withheld"])
    assert found.document["launch"]["withheld"] == 1
    lines[place] = {"withheld": "0" * 64}
    failed(judge(bench, lines), "evidence.form")
    del lines[place]
    failed(judge(bench, lines), "evidence.form")


@pytest.mark.parametrize("changes", [{"kind": "launch.dreamt"}, {"v": 2}])
def test_an_entry_of_a_later_version(
    bench: Bench, new_book: Callable[..., Book], changes: dict[str, Any]
) -> None:
    book = new_book()
    name = book.new_session()
    book.add(entry.INTENT, name, INTENT)
    book.add(
        str(changes.get("kind", entry.DECISION)), name, {}, **{k: v for k, v in changes.items() if k == "v"}
    )
    found = judge(bench, lines_with_odd_entries(book, name))
    assert found.status == 3
    assert "entry.kind" in found.codes
    assert found.document["statement"] is None


def lines_with_odd_entries(book: Book, name: str) -> Lines:
    """As :func:`lines_of`, of a launch that is all there is behind the first entry."""
    from attest import proof

    leaves = [tree.hash_leaf(body) for body in book.bodies]
    size = len(leaves)
    return [
        {"evidence": "urn:nono-attest:evidence:v1", "head": book.note(size)},
        *(
            {
                "entry": body.decode(),
                "inclusion": [
                    value.hex()
                    for value in proof.prove_inclusion(
                        index, size, lambda height, at: tree.root(leaves[at << height : (at + 1) << height])
                    )
                ],
                "index": index,
            }
            for index, body in enumerate(book.bodies)
        ),
    ]


def test_a_first_entry_of_a_later_version_founds_nothing(bench: Bench, new_book: Callable[..., Book]) -> None:
    """Without the keys nobody knows who has to have signed the head: that is never met, or verified."""
    book = new_book()
    name = book.launch()
    genesis = canonical.decode_object(book.bodies[0])
    genesis["v"] = 2
    book.bodies[0] = encode(genesis)
    found = judge(bench, lines_with_odd_entries(book, name))
    assert (found.status, found.codes) == (1, ["entry.genesis", "entry.kind"])


# --- 1 --------------------------------------------------------------------------------------------


def test_an_entry_from_another_launch(bench: Bench, book: Book, session: str) -> None:
    lines, others = lines_of(book, session), lines_of(book, sessions(book)[1])
    swapped = copy.deepcopy(lines)
    swapped[at(lines, entry.OUTCOME)] = others[at(others, entry.OUTCOME)]
    found = judge(bench, swapped)
    assert found.status == 1
    assert "evidence.form" in found.codes or "evidence.surplus" in found.codes
    surplus = judge(bench, [*lines, others[at(others, entry.INTENT)]])
    failed(surplus, "evidence.surplus")
    # What another launch said, under this one's index and proof.
    lines[at(lines, entry.OUTCOME)]["entry"] = others[at(others, entry.OUTCOME)]["entry"]
    assert {"proof.root", "evidence.surplus"} <= set(judge(bench, lines).codes)


def test_surplus_entries(bench: Bench, new_book: Callable[..., Book]) -> None:
    """An anchor, a second genesis: in the ledger, under the head, and nothing of this launch's."""
    book = new_book()
    name = book.launch()
    book.add(
        entry.ANCHOR,
        None,
        {"covers": {"size": 1}, "evidence": "AA==", "type": "rfc3161"},
    )
    lines = lines_with_odd_entries(book, name)
    assert judge(bench, lines[:-1]).status == 0
    failed(judge(bench, lines), "evidence.surplus")


def test_a_proof_from_another_ledger(bench: Bench, book: Book, new_book: Callable[..., Book]) -> None:
    """Of the same key, and with the same entries but the first."""
    this, other = (new_book(name=name) for name in ("this", "other"))
    for each in (this, other):
        name = each.launch(decisions=3)
    lines, theirs = lines_of(this, name), lines_of(other, name)
    assert judge(bench, lines).status == judge(bench, theirs).status == 0
    for place in range(1, len(lines)):
        mixed = copy.deepcopy(lines)
        mixed[place]["inclusion"] = theirs[place]["inclusion"]
        if mixed != lines:
            failed(judge(bench, mixed), "proof.root")
    mixed = copy.deepcopy(lines)
    mixed[0] = theirs[0]
    assert {"proof.root", "head.origin"} <= set(judge(bench, mixed).codes)


def test_a_launch_that_was_cut_in_the_middle(bench: Bench, book: Book, session: str) -> None:
    lines = lines_of(book, session)
    for left_out in range(2, len(lines) - 1):
        assert judge(bench, lines[:left_out] + lines[left_out + 1 :]).status == 1
    outcome = at(lines, entry.OUTCOME)
    found = judge(bench, lines[:outcome] + lines[outcome + 1 :])
    assert found.status == 1
    assert {"launch.order", "launch.sequence"} & set(found.codes)


def test_entries_in_another_order_or_twice(bench: Bench, book: Book, session: str) -> None:
    lines = lines_of(book, session)
    for place in range(1, len(lines) - 1):
        swapped = [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]]
        assert judge(bench, swapped).codes[0] in {"evidence.form", "launch.order", "launch.sequence"}
        assert judge(bench, [*lines[:place], lines[place], *lines[place:]]).status == 1


def test_without_the_first_entry_there_is_no_key(bench: Bench, book: Book, session: str) -> None:
    lines = lines_of(book, session)
    failed(judge(bench, [lines[0], *lines[2:]]), "evidence.form")


def test_without_a_launch_there_is_nothing_to_show(bench: Bench, turned: Book) -> None:
    lines = [line for line in lines_of(turned, sessions(turned)[0]) if "launch." not in line.get("entry", "")]
    assert len(lines) == 3
    failed(judge(bench, lines), "evidence.form")
    failed(judge(bench, lines[:1]), "evidence.form")


def test_a_stranger_whose_ledger_goes_over_to_the_pinned_key(
    bench: Bench, new_book: Callable[..., Book]
) -> None:
    """The handover's checkpoint has to be signed by the pinned key, which signed no such thing."""
    theirs = new_book(STRANGER)
    name = theirs.launch()
    theirs.hand_over(KEY)
    # As far as they get alone: their own signature under everything, and nothing of the pinned key's.
    kept = theirs.note(6, [STRANGER])
    for head in (theirs.note(6, [STRANGER]), theirs.note(6, [STRANGER, STRANGER])):
        lines = lines_of(theirs, name, head=head)
        lines[-1]["checkpoint"] = kept
        found = judge(bench, lines)
        assert found.status == 1
        assert {"checkpoint.signature", "head.signature"} <= set(found.codes)


def test_a_stranger_who_says_that_the_ledger_went_over_to_them(
    bench: Bench, new_book: Callable[..., Book]
) -> None:
    """They have true checkpoints of the pinned key, and may add their own signature under any of them.

    What they cannot make is one over their handover: the head does not continue what the pinned key signed.
    """
    true = new_book()
    true.launch()
    theirs = new_book()
    theirs.bodies, theirs.clock, theirs._sessions = list(true.bodies), true.clock, 10
    for _ in range(2):
        true.launch()
    theirs.hand_over(STRANGER)
    theirs.key = STRANGER
    name = theirs.launch()
    lines = lines_of(theirs, name)
    place = at(lines, entry.KEY)
    signed_by_the_key = Checkpoint(true.origin, 6, true.edge(6).root()).sign([KEY, STRANGER])
    lines[place]["checkpoint"] = signed_by_the_key
    failed(judge(bench, lines), "checkpoint.root")
    # Nor with a proof of consistency from the true ledger, nor with none.
    for source in (lines[0], lines_of(true, sessions(true)[0])[1]):
        lines[place]["consistency"] = source.get("inclusion", [])
        failed(judge(bench, lines), "checkpoint.root")


def test_a_handover_that_is_left_out(bench: Bench, turned: Book) -> None:
    for name in sessions(turned):
        lines = lines_of(turned, name)
        place = at(lines, entry.KEY)
        found = judge(bench, lines[:place] + lines[place + 1 :])
        assert found.status == 1
        assert "head.signature" in found.codes


def test_a_handover_without_its_checkpoint_and_the_reverse(bench: Bench, turned: Book) -> None:
    lines = lines_of(turned, sessions(turned)[1])
    place = at(lines, entry.KEY)
    bare = copy.deepcopy(lines)
    del bare[place]["checkpoint"], bare[place]["consistency"]
    failed(judge(bench, bare), "evidence.form")
    dressed = copy.deepcopy(lines)
    dressed[1] = {**dressed[1], **{name: lines[place][name] for name in ("checkpoint", "consistency")}}
    failed(judge(bench, dressed), "evidence.form")


def test_a_kept_checkpoint_of_another_size(bench: Bench, turned: Book) -> None:
    lines = lines_of(turned, sessions(turned)[1])
    place = at(lines, entry.KEY)
    lines[place]["checkpoint"] = turned.note(5, [KEY, SUCCESSOR])
    failed(judge(bench, lines), "checkpoint.size")


def test_a_key_that_comes_back(bench: Bench, turned: Book) -> None:
    turned.hand_over(KEY)
    name = turned.launch()
    failed(judge(bench, lines_of(turned, name)), "key.repeated")


def test_a_wrong_blob(bench: Bench, book: Book) -> None:
    lines = lines_of(book, sessions(book)[1])
    (place,) = [place for place, line in enumerate(lines) if "blob" in line]
    for blob in (
        Blob(bytes(32), book.blobs[0].data),
        Blob(book.blobs[0].salt, b'["HOME"]'),
        Blob(book.blobs[0].salt, b""),
    ):
        other = copy.deepcopy(lines)
        other[place] = json.loads(evidence.encode(blob))
        failed(judge(bench, other), "blob.digest")
    failed(judge(bench, [*lines[: place + 1], lines[place], *lines[place + 1 :]]), "evidence.form")
    failed(judge(bench, [*lines, lines[place]]), "evidence.form")
    failed(judge(bench, [lines[0], lines[place], *lines[1:]]), "evidence.form")


def test_a_changed_head(bench: Bench, book: Book, session: str) -> None:
    lines, size = lines_of(book, session), len(book.bodies)
    root = book.edge().root()
    for head, codes in (
        (Checkpoint(book.origin, size, root).sign([STRANGER]), {"head.signature"}),
        (Checkpoint(book.origin, size, root).sign([KEY, KEY]), {"head.signature"}),
        (Checkpoint("x" + book.origin, size, root).sign([KEY]), {"head.origin"}),
        (Checkpoint(book.origin, size, bytes(32)).sign([KEY]), {"proof.root"}),
        (Checkpoint(book.origin, 2, root).sign([KEY]), {"proof.root"}),
        ("nothing", {"evidence.form"}),
        (book.note(size).replace("\n\n", "\nx\n\n"), {"evidence.form"}),
    ):
        lines[0]["head"] = head
        found = judge(bench, lines)
        assert found.status == 1
        assert codes <= set(found.codes)


def test_a_false_size_is_what_nobody_signed(bench: Bench, new_book: Callable[..., Book]) -> None:
    """Entry 0 of 3 and of 4 have one way up; the signature is over root and size together."""
    book = new_book()
    name = book.new_session()
    book.add(entry.INTENT, name, INTENT)
    book.add(entry.LOST, name, {"found": "process-gone"})
    lines = lines_of(book, name)
    lines[0]["head"] = lines[0]["head"].replace("\n3\n", "\n4\n")
    assert "head.signature" in judge(bench, lines).codes


def test_what_was_signed_and_is_wrong(bench: Bench, new_book: Callable[..., Book]) -> None:
    """Whoever has the key can sign a launch that makes no sense: as in the ledger, it fails."""
    intent = changed(INTENT, network={"mode": "all"})
    cases: list[tuple[dict[str, Any], str]] = [
        ({"start": changed(START, capabilities_sha256="0" * 64)}, "launch.capabilities"),
        ({"outcome": changed(OUTCOME, outputs=[])}, "launch.outputs"),
        ({"intent": changed(INTENT, hooks={"before": HOOK}), "start": START}, "launch.hook_missing"),
    ]
    for wrong, code in cases:
        book = new_book()
        name = book.launch(**wrong)
        assert code in judge(bench, lines_of(book, name)).codes
    book = new_book()
    name = book.new_session()
    book.add(entry.INTENT, name, intent)
    book.add(entry.OUTCOME, name, REFUSED)
    book.attest(name, subject=[])
    failed(judge(bench, lines_of(book, name)), "launch.statement")


HOOK: dict[str, Any] = {"path": "/h/before", "required": False, "sha256": "c" * 64, "timeout_seconds": 10}


def test_times_that_go_back(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    name = book.new_session()
    book.add(entry.INTENT, name, INTENT)
    book.add(entry.DECISION, name, DECISION, time="2020-01-01T00:00:00.000000Z")
    assert "entry.time" in judge(bench, lines_of(book, name)).codes


def test_other_forms_of_the_same_json(bench: Bench, book: Book, session: str) -> None:
    data = data_of(lines_of(book, session))
    second = data.index(b"\n") + 1
    for false in (
        data[:second] + b" " + data[second:],
        data.replace(b'"index":0', b'"index":0.0', 1),
        data.replace(b'"index":0', b'"index":-0', 1),
        data.replace(b'"index":0', b'"index":0,"index":0', 1),
        data.replace(b'"inclusion":', b'"inclusion":[],"inclusion":', 1),
        data.replace(b"\n", b"\r\n"),
        data + b"\n",
        data[:-1],
        data + b"{}\n",
        data + b"[" * 5_000 + b"\n",
        data + b'{"entry":' * 2_000 + b"\n",
        data + b"\xff\xfe\n",
        data[:second] + data[:second] + data[second:],
        data.replace(b"/etc/shadow", b"/etc/shado\\u0077", 1),
    ):
        assert false != data
        failed(judge(bench, false), "evidence.form")
    upper = data.replace(b'"inclusion":["', b'"inclusion":["A', 1)
    failed(judge(bench, upper), "evidence.form")


def test_control_characters_never_reach_the_terminal(bench: Bench, new_book: Callable[..., Book]) -> None:
    evil = "\x1b[2J\u202eevil\u2028\x9b31m"
    book = new_book()
    start = changed(START)
    start["executable"]["path"] = f"/{evil}"
    name = book.launch(intent=changed(INTENT, labels={"run": evil}), start=start)
    found = judge(bench, lines_of(book, name))  # judge() looks at every line
    assert found.status == 0
    assert "\\x1b[2J\\u202eevil" in found.text
    os.rename(bench.path("x.jsonl"), bench.path("evil\x1b[2J.jsonl"))
    assert said(["evidence", bench.path("evil\x1b[2J.jsonl"), "-k", bench.path("key.pub")]).status == 0
    assert said(["evidence", bench.path("no\x1b[2J.jsonl"), "-k", bench.path("key.pub")]).status == 2


def test_a_session_that_comes_again_is_seen_in_the_ledger_alone(
    bench: Bench, new_book: Callable[..., Book]
) -> None:
    """As every verdict says that it is not excluded."""
    book = new_book()
    name = book.launch()
    whole = lines_of(book, name)
    book.add(entry.INTENT, name, INTENT, seq=0)
    assert bench.verify(bench.write(book)).codes == ["launch.reused"]
    assert judge(bench, whole).status == 0
    again = lines_of(book, name)
    assert judge(bench, again[:-1]).status == 0
    failed(judge(bench, again), "launch.reused")


# --- 2 --------------------------------------------------------------------------------------------


def test_what_is_no_evidence_is_not_checked(bench: Bench, book: Book, session: str) -> None:
    data = data_of(lines_of(book, session))
    with open(bench.write(book), "rb") as file:
        ledger = file.read()
    for other in (b"", b"\n", b"hello\n", b"{}\n", b"[]\n", data[1:], ledger, b'{"evidence":1}\n'):
        assert judge(bench, other).codes == ["input.not_evidence"]
    found = judge(bench, data.replace(b"evidence:v1", b"evidence:v2", 1))
    assert (found.status, found.codes) == (2, ["input.version"])


def test_what_cannot_be_read_is_not_checked(bench: Bench, book: Book, session: str) -> None:
    assert judge(bench, lines_of(book, session)).status == 0
    key = ["-k", bench.path("key.pub")]
    os.mkfifo(bench.path("fifo"))
    os.symlink(bench.path("loop"), bench.path("loop"))
    os.symlink(bench.path("fifo"), bench.path("to-fifo"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(bench.path("s"))
    for path in ("missing", "fifo", "to-fifo", "loop", "s", "."):
        assert said(["evidence", bench.path(path), *key]).codes == ["input.unreadable"]
    listener.close()
    assert said(["evidence", "a\0b", *key]).codes == ["input.unreadable"]
    assert said(["evidence", "", *key]).codes == ["input.unreadable"]
    os.symlink(bench.path("x.jsonl"), bench.path("link"))
    assert said(["evidence", bench.path("link"), *key]).status == 0
    assert said(["evidence", bench.path("x.jsonl"), "-k", bench.path("missing")]).codes == ["key.unreadable"]
    assert said(["evidence", bench.path("x.jsonl"), *key, "--origin", "x"]).codes == ["input.usage"]


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no endless file there")
def test_a_device_is_not_read(bench: Bench) -> None:
    assert said(["evidence", "/dev/zero"]).codes == ["input.unreadable"]


@pytest.mark.parametrize("arguments", [(), ("a", "b"), ("a", "--allow-running"), ("a", "--format", "sarif")])
def test_bad_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    from verify.cli import main

    assert main(["evidence", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("not checked: ")


def test_help_has_the_exit_codes_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    from verify.cli import main

    assert main(["evidence", "--help"]) == 0
    text = capsys.readouterr().out
    assert "exit codes:" in text
    assert "nono-verify evidence launch.jsonl -k ci.pub" in text


def test_the_keys_come_from_where_they_do_for_a_ledger(
    bench: Bench, book: Book, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = lines_of(book, session)
    monkeypatch.setenv("NONO_VERIFY_KEY", bench.path("key.pub"))
    assert judge(bench, lines, key=None).status == 0
    assert judge(bench, lines, key="stranger.pub").codes == ["key.not_pinned"]
    monkeypatch.delenv("NONO_VERIFY_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", bench.path("configuration"))
    assert run(["trust", "add", bench.path("stranger.pub")])[0] == 0
    assert judge(bench, lines, key=None).codes == ["key.not_pinned"]
    # The origin that is named is the one pin, as for a ledger.
    assert judge(bench, lines, "--origin", book.origin, key=None).status == 0


# --- how much it takes ------------------------------------------------------------------------------

PROGRAM = """
import resource, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}: raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from verify.cli import main
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
status = main(sys.argv[1:])
sys.stderr.write(str((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10))
sys.exit(status)
"""
ABSENT = ("landlock", "pyseccomp", "sqlalchemy", "alembic", "runtime", "store", "pwd")


def grown(bench: Bench, expected: int) -> int:
    """Check x.jsonl in a process of its own; return by how many MiB its memory grew at most."""
    done = subprocess.run(
        [
            sys.executable, "-c", PROGRAM.format(absent=ABSENT), "evidence", bench.path("x.jsonl"),
            "-k", bench.path("key.pub"),
        ],
        check=False, capture_output=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == expected, done.stdout + done.stderr
    return int(done.stderr)


def test_it_runs_by_itself_where_what_only_linux_has_is_absent(
    bench: Bench, book: Book, session: str
) -> None:
    assert judge(bench, lines_of(book, session)).status == 0
    assert grown(bench, 0) < 64


def test_the_largest_blobs_take_bounded_memory(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    value = ["x" * ((1 << 24) - 4)]
    intent = changed(INTENT, command=book.beside(value))
    start = changed(START, environment=book.beside(["é" * ((1 << 23) - 2)]))
    judge(bench, lines_of(book, book.launch(intent=intent, start=start)))
    assert os.path.getsize(bench.path("x.jsonl")) > 44_000_000
    assert grown(bench, 0) < 200


def test_hostile_lines_take_bounded_memory(bench: Bench, book: Book, session: str) -> None:
    data = data_of(lines_of(book, session))
    room = evidence.MAX_BLOB_LINE_BYTES - 100
    for bomb in (
        b"[" + b"[]," * (room // 3) + b"[]]\n",
        b'{"blob":{"data":[' + b"{}," * (room // 3) + b"{}]}}\n",
        b'{"entry":"' + b"x" * room + b'"}\n',
        b"\0" * (4 * room),
    ):
        with open(bench.path("x.jsonl"), "wb") as file:
            file.write(data + bomb)
        assert grown(bench, 1) < 150


def test_a_flood_of_handovers_is_not_followed(bench: Bench, turned: Book) -> None:
    """Each of them would be remembered as a key; none is one that the ledger had."""
    lines = lines_of(turned, sessions(turned)[1])
    place = at(lines, entry.KEY)
    flood = []
    for number in range(400):
        key = SigningKey(bytes([5]) * 30 + number.to_bytes(2, "big"))
        body = lines[place]["entry"].replace(spki(SUCCESSOR), spki(key))
        assert body != lines[place]["entry"]
        flood.append({**lines[place], "entry": body, "index": 10 + number})
    found = judge(bench, lines + flood)
    assert found.status == 1
    assert len(found.document["epochs"]) < 110
    assert "findings.more" in found.codes


def spki(key: SigningKey) -> str:
    return base64.b64encode(key.public.spki()).decode()


def test_a_file_that_is_too_long(
    bench: Bench, book: Book, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = lines_of(book, session)
    size = len(data_of(lines))
    monkeypatch.setattr(evidence, "MAX_BYTES", size)
    assert judge(bench, lines).status == 0
    monkeypatch.setattr(evidence, "MAX_BYTES", size - 1)
    failed(judge(bench, lines), "evidence.form")
    with open(bench.path("x.jsonl"), "r+b") as file:  # sparse: what is behind the first lines is never there
        file.truncate(1 << 42)
    failed(said(["evidence", bench.path("x.jsonl"), "-k", bench.path("key.pub")]), "evidence.form")


def test_a_file_that_goes_away_is_not_checked() -> None:
    class Gone:
        def readline(self, limit: int) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(NotCheckedError, match="cannot be read: Input/output error"):
        verify_evidence(Gone())  # type: ignore[arg-type]  # all that is asked of the file
