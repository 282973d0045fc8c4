"""Cosignatures in a ledger's anchors and beside it: what they show and what not, and how they are forged."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attest import checkpoint, entry, note, tree
from attest.cosignature import Witness
from attest.keys import PublicKey, SigningKey
from tests.verify.conftest import INTENT, session_id
from tests.verify.cosigning import (
    MONDAY,
    MONDAY_TEXT,
    NOW,
    TUESDAY,
    TUESDAY_TEXT,
    A,
    B,
    C,
    Cosigner,
    D,
    Scene,
)
from verify import anchors, cli

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book, Judged

ROOT = Path(__file__).parents[2]
KEY, SUCCESSOR = (SigningKey(bytes([number]) * 32) for number in (1, 2))


@pytest.fixture
def scene(bench: Bench, book: Book) -> Scene:
    return Scene(bench, book)


def caveats(said: Judged) -> dict[str, str]:
    return {caveat["code"]: caveat["message"] for caveat in said.document["not_excluded"]}


# --- what cosignatures show -----------------------------------------------------------------------------


@pytest.mark.parametrize("beside", [False, True])
def test_an_anchor_shows_since_when_its_entries_exist_and_not_that_they_are_all(
    scene: Scene, beside: bool
) -> None:
    index = scene.anchor(5, (A, MONDAY), beside=beside)
    said = scene.judge()
    assert (said.status, said.codes, said.document["freshness"]) == (0, [], "unproven")
    assert said.document["witnessed"] == {"met": True, "size": 5, "time": MONDAY_TEXT, "by": ["A"]}
    assert said.document["anchors"] == {
        "count": 1,
        "newest": [
            {
                "index": index, "type": "cosignature", "covers": {"size": 5}, "holds": True,
                "time": MONDAY_TEXT, "by": "A",
            }
        ],
    }  # fmt: skip
    assert f"witnessed: 5 entries at {MONDAY_TEXT} by A" in said.text
    assert (
        f"the first 5 entries existed at {MONDAY_TEXT} according to the quorum"
        in caveats(said)["host.trusted"]
    )
    assert "anchors.unread" not in caveats(said)
    # A tail that was cut off takes its anchors along.
    assert "freshness.unproven" in caveats(said)


def test_a_cosigned_checkpoint_from_outside_is_memory(scene: Scene) -> None:
    arguments = scene.note(len(scene.book.bodies), (A, TUESDAY))
    old = scene.bench.write(scene.book)
    scene.book.launch()
    said = scene.judge(*arguments)
    assert (said.status, said.document["freshness"]) == (0, "witnessed")
    assert said.document["remembered"][0]["continued"] is True
    assert f"saw at {TUESDAY_TEXT}" in caveats(said)["freshness.witnessed"]
    assert scene.judge(*arguments, path=old).status == 0
    newer = scene.note(len(scene.book.bodies), (A, TUESDAY))
    older = scene.judge(*newer, path=old)
    assert (older.status, older.codes, older.document["freshness"]) == (1, ["memory.older"], "unproven")
    assert older.document["witnessed"] == {"met": False, "size": None, "time": None, "by": []}


def test_a_checkpoint_that_too_few_cosigned_is_remembered_all_the_same(scene: Scene) -> None:
    scene.define("group G all A B", "quorum G")
    scene.anchor(5, (A, MONDAY), (B, MONDAY))
    said = scene.judge(*scene.note(7, (A, TUESDAY)))
    assert (said.status, said.document["freshness"]) == (0, "remembered")
    assert said.document["witnessed"]["size"] == 5


def test_without_a_policy_cosignatures_say_nothing_and_the_verdict_says_so(scene: Scene) -> None:
    scene.anchor(5, (A, MONDAY))
    said = scene.bench.verify(scene.bench.write(scene.book))
    assert (said.status, said.document["witnessed"]) == (0, None)
    assert said.document["anchors"]["newest"][0]["holds"] is None
    assert "--witness-policy names no witnesses" in caveats(said)["anchors.unread"]
    assert "existed" not in caveats(said)["host.trusted"]


@pytest.mark.parametrize(
    ("sizes", "quorum", "witnessed"),
    [
        ({"A": 5}, "A", 5),
        ({"A": 5}, "B", None),
        ({"A": 5, "B": 7}, "any", 7),
        ({"A": 5, "B": 7}, "2", 5),
        ({"A": 5, "B": 7, "C": 9}, "2", 7),
        ({"A": 9, "B": 7, "C": 5}, "all", 5),
        ({"A": 9, "B": 7}, "all", None),
        ({}, "any", None),
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_who_saw_more_saw_what_it_begins_with(
    scene: Scene, sizes: dict[str, int], quorum: str, witnessed: int | None, inside: bool
) -> None:
    """Witnesses come at their own times, so their sizes differ; the replay has the tree that joins them."""
    if quorum in {"A", "B"}:
        scene.define(f"quorum {quorum}")
    else:
        scene.define(f"group G {quorum} A B C", "quorum G")
    cosigners = {"A": A, "B": B, "C": C}
    notes: list[str] = []
    for name, size in sizes.items():
        if inside:
            scene.anchor(size, (cosigners[name], MONDAY))
        else:
            notes += scene.note(size, (cosigners[name], MONDAY))
    said = scene.judge(*notes)
    assert said.document["witnessed"]["size"] == witnessed
    assert (said.status, said.codes) == ((0, []) if witnessed else (3, ["witness.quorum"]))
    expected = "unproven" if inside or not sizes else "witnessed" if witnessed else "remembered"
    assert said.document["freshness"] == expected


def test_the_time_is_when_the_quorum_was_complete(scene: Scene) -> None:
    scene.define("group G 2 A B C", "quorum G")
    scene.anchor(5, (A, MONDAY), (B, MONDAY + 60), (C, TUESDAY))
    said = scene.judge()
    assert said.document["witnessed"] == {
        "met": True, "size": 5, "time": "2026-11-29T00:01:00.000000Z", "by": ["A", "B"],
    }  # fmt: skip


def test_freshness_is_as_late_as_a_quorum_looked(scene: Scene) -> None:
    """Two of three: the later two of them, for how new it is; in the ledger the earlier two, for its age."""
    scene.define("group G 2 A B C", "quorum G")
    said = scene.judge(*scene.note(5, (A, MONDAY), (B, MONDAY + 60), (C, TUESDAY), (A, MONDAY + 30)))
    assert said.document["freshness"] == "witnessed"
    assert "saw at 2026-11-29T00:01:00.000000Z" in caveats(said)["freshness.witnessed"]
    assert said.document["witnessed"]["by"] == ["A", "B"]


def test_of_one_witness_the_largest_size_counts_at_its_first_time(scene: Scene) -> None:
    scene.anchor(5, (A, MONDAY))
    scene.anchor(7, (A, TUESDAY))
    scene.anchor(7, (A, MONDAY + 60))
    scene.anchor(6, (A, MONDAY))
    said = scene.judge()
    assert said.document["witnessed"]["size"] == 7
    assert said.document["witnessed"]["time"] == "2026-11-29T00:01:00.000000Z"


def test_a_policy_on_how_far_behind_others_are(scene: Scene) -> None:
    """The newest entry is of 24 November: what others saw long before that is too far behind."""
    path = scene.bench.path("lag.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("version = 1\nledger.anchor_lag = '1h'\n")
    assert scene.judge("--policy", path).codes == ["witness.quorum", "policy.anchor_lag"]
    entry_time = 1_795_492_800  # 2026-11-24T04:00:00Z
    scene.anchor(5, (A, entry_time - 3700))
    said = scene.judge("--policy", path)
    assert (said.status, said.codes) == (3, ["policy.anchor_lag"])
    assert "others saw 5 entries" in said.text
    scene.anchor(7, (A, entry_time - 1800))
    assert scene.judge("--policy", path).status == 0
    # A checkpoint that covers all is not behind, however long ago it was seen.
    all_of_it = scene.note(len(scene.book.bodies), (A, entry_time - 9000))
    assert scene.judge("--policy", path, *all_of_it).status == 0


def test_who_looks_late_at_an_old_checkpoint_did_not_see_what_came_since(scene: Scene) -> None:
    """Whoever has the ledger can have an old checkpoint cosigned now, and keep the newer ones to itself."""
    path = scene.bench.path("lag.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("version = 1\nledger.anchor_lag = '1h'\n")
    early = len(scene.book.bodies)
    scene.book.add(entry.INTENT, scene.book.new_session(), INTENT)
    scene.book.add(entry.LOST, session_id(4), {"found": "another-boot"})
    later = len(scene.book.bodies)
    scene.book.clock += 1_795  # the anchor is half an hour younger
    scene.anchor(early, (A, MONDAY))
    accept = f"accept.lost = ['{session_id(4)}']\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"version = 1\n{accept}ledger.anchor_lag = '20m'\n")
    said = scene.judge("--policy", path)
    assert (said.status, said.codes) == (3, ["policy.anchor_lag", "launch.accepted"])
    assert f"others saw {early} entries" in said.text
    scene.anchor(later, (A, MONDAY))
    assert scene.judge("--policy", path).status == 0


def test_an_unmet_quorum_says_who_was_there(scene: Scene) -> None:
    scene.define("group G all A B C", "quorum G")
    scene.anchor(5, (A, MONDAY))
    said = scene.judge(*scene.note(7, (B, MONDAY)))
    assert (said.status, said.codes) == (3, ["witness.quorum"])
    assert "the quorum G of" in said.text
    assert "cosigned by B (7 entries), A (5 entries)" in said.text


def test_a_policy_that_asks_for_nobody(scene: Scene) -> None:
    scene.define("quorum none")
    said = scene.judge()
    assert (said.status, said.document["witnessed"]["met"], said.document["freshness"]) == (
        0,
        True,
        "unproven",
    )
    assert "asks for no witness" in caveats(said)["witnesses.none"]


def test_witnesses_reach_over_a_handover(scene: Scene) -> None:
    scene.anchor(5, (A, MONDAY))
    at = scene.book.hand_over(SUCCESSOR) + 1
    scene.anchor(at, (A, TUESDAY))
    said = scene.judge(*scene.note(at, (A, TUESDAY)), key="successor.pub")
    assert (said.status, said.document["witnessed"]["size"], said.document["freshness"]) == (
        0,
        at,
        "witnessed",
    )


# --- whom the policy is about ---------------------------------------------------------------------------


def test_the_policys_logs_must_be_this_ledger(scene: Scene) -> None:
    vkey = note.Verifier(scene.book.origin, KEY.public).vkey()
    other = note.Verifier("other/log", KEY.public).vkey()
    scene.anchor(5, (A, MONDAY))
    for logs in (
        [vkey],
        [other, note.Verifier(scene.book.origin, SUCCESSOR.public).vkey()],
    ):
        scene.define("quorum A", *(f"log {log}" for log in logs))
        said = scene.judge()
        if logs == [vkey]:
            assert (said.status, said.document["witnessed"]["size"]) == (0, 5)
        else:
            assert (said.status, said.codes) == (3, ["witness.log", "witness.quorum"])
            assert "that is what -k is for" in said.text
            assert "by none of the logs" in caveats(said)["anchors.unread"]
    # It is no pin.
    scene.define("quorum A", f"log {vkey}")
    assert scene.judge(key=None).codes == ["key.none_pinned"]


def test_a_checkpoint_of_a_key_that_is_no_log_of_the_policy_does_not_count(scene: Scene) -> None:
    scene.define("quorum A", f"log {note.Verifier(scene.book.origin, KEY.public).vkey()}")
    scene.book.hand_over(SUCCESSOR)
    scene.book.launch()
    size = len(scene.book.bodies)
    scene.anchor(size, (A, MONDAY))
    said = scene.judge(*scene.note(size, (A, MONDAY)))
    assert (said.status, said.codes, said.document["freshness"]) == (3, ["witness.quorum"], "remembered")


def test_no_ledger_is_its_own_witness(scene: Scene, bench: Bench, new_book: Callable[..., Book]) -> None:
    """The owner puts its own key into the policy as a witness, here the one that it hands over to."""
    own = Cosigner(9)
    secret = SigningKey(bytes([0x79]) * 32)
    assert secret.public == own.witness.key
    scene.define(f"witness own {own.witness.vkey()}", "group G any A own", "quorum G")
    scene.book.hand_over(secret)
    scene.book.launch()
    size = len(scene.book.bodies)
    scene.anchor(size, (own, MONDAY))
    said = scene.judge(*scene.note(size, (own, MONDAY)))
    assert (said.status, said.codes) == (3, ["witness.own_key", "witness.quorum"])
    assert said.document["freshness"] == "remembered"


def test_one_key_under_two_names_is_refused_before_anything_is_counted(scene: Scene) -> None:
    again = Cosigner(1, "witness.example/again")
    scene.define(f"witness again {again.witness.vkey()}", "group G 2 A again", "quorum G")
    scene.anchor(5, (A, MONDAY), (again, MONDAY))
    said = scene.judge()
    assert (said.status, said.codes) == (2, ["witness.form"])


# --- how they are forged ----------------------------------------------------------------------------------


def test_a_known_witness_that_did_not_sign_is_tampering(scene: Scene) -> None:
    signed = scene.book.note(5)
    other = scene.book.note(4)
    scene.append(5, signed + A.line(signed, MONDAY, over=note.parse(other.encode()).text))
    said = scene.judge()
    assert (said.status, said.codes) == (1, ["witness.signature"])
    assert said.document["anchors"]["newest"][0]["holds"] is False


def test_one_bad_line_rejects_the_good_ones_beside_it(scene: Scene) -> None:
    signed = scene.book.note(5)
    scene.append(5, signed + A.line(signed, MONDAY) + B.line(signed, MONDAY, over="x\n"))
    said = scene.judge()
    assert (said.status, said.codes) == (1, ["witness.signature"])
    assert [each["holds"] for each in said.document["anchors"]["newest"]] == [False]


def test_what_an_unknown_witness_says_is_nothing(scene: Scene) -> None:
    signed = scene.book.note(5)
    scene.append(5, signed + D.line(signed, MONDAY, over="x\n"))
    said = scene.judge()
    assert (said.status, said.codes) == (3, ["witness.quorum"])
    assert "by no witness of the policy" in caveats(said)["anchors.unread"]
    scene.append(5, signed + D.line(signed, MONDAY) + A.line(signed, MONDAY))
    assert scene.judge().status == 0


def test_a_thief_of_the_key_who_rewrites_what_was_witnessed(
    bench: Bench, new_book: Callable[..., Book]
) -> None:
    """The cosignature of the true history goes on lying there; under the new one it contradicts the tree."""
    true, false = new_book(), new_book()
    true.launch()
    false.launch(decisions=1)
    signed = true.note(5)
    genuine = signed + A.line(signed, MONDAY)
    for policy in (True, False):
        scene = Scene(bench, new_book())
        scene.book.launch(decisions=1)
        scene.append(5, genuine)
        said = scene.judge() if policy else bench.verify(bench.write(scene.book))
        assert (said.status, said.codes) == (1, ["anchor.evidence"])
    # Without the anchor nothing in the file shows it, but the quorum is not met.
    scene = Scene(bench, false)
    assert scene.judge().codes == ["witness.quorum"]
    # And the witness's own copy shows it.
    assert scene.judge(*scene.note(5, (A, MONDAY), signed=signed)).codes == ["memory.root"]


def test_evidence_of_something_else(scene: Scene, new_book: Callable[..., Book]) -> None:
    other = new_book(nonce=bytes(32))
    other.launch()
    other.launch()
    root = checkpoint.parse_text(note.parse(scene.book.note(5).encode()).text).root
    length = len(scene.book.bodies)
    for text, code in (
        (scene.book.note(4), "anchor.evidence"),
        (other.note(5), "anchor.evidence"),
        (checkpoint.Checkpoint(scene.book.origin, 5, bytes(32)).sign([KEY]), "anchor.evidence"),
        (checkpoint.Checkpoint(scene.book.origin, 5, root).sign([SUCCESSOR]), "anchor.form"),
        (checkpoint.Checkpoint(scene.book.origin, 5, root).sign([SUCCESSOR, KEY]), "anchor.form"),
    ):
        del scene.book.bodies[length:]
        scene.append(5, text + A.line(text, MONDAY))
        said = scene.judge()
        assert (said.status, said.codes[0]) == (1, code), text


def test_evidence_that_is_no_cosigned_checkpoint(scene: Scene) -> None:
    signed = scene.book.note(5)
    line, more = A.line(signed, MONDAY), B.line(signed, MONDAY)
    length = len(scene.book.bodies)
    for evidence in (
        "",
        "garbage",
        signed,  # nobody cosigned
        line,  # the line alone
        signed + line + line,
        signed + line + A.line(signed, TUESDAY),
        signed + signed.partition("\n\n")[2],
        signed.partition("\n\n")[0] + "\n\n" + line + signed.partition("\n\n")[2],
        signed + line + "\n",
        signed + line + more.replace("\u2014", "-"),
        signed.replace("\n\n", "\nextension\n\n") + line,
        signed + line[:-1],
        "x" * 40_000,
    ):
        del scene.book.bodies[length:]
        scene.append(5, evidence)
        for said in (scene.judge(), scene.bench.verify(scene.bench.write(scene.book))):
            assert (said.status, said.codes) == (
                1,
                ["anchor.form"] if "extension" not in evidence else ["anchor.evidence"],
            )


def test_evidence_beside_the_entry_that_is_too_long_or_was_taken_away(
    bench: Bench, new_book: Callable[..., Book]
) -> None:
    scene = Scene(bench, new_book())
    scene.append(1, "x" * (note.MAX_BYTES + 1), beside=True)
    assert scene.judge().codes == ["anchor.form"]
    scene = Scene(bench, new_book())
    scene.anchor(1, (A, MONDAY), beside=True)
    path = bench.write(scene.book)
    assert scene.judge(path=path).status == 0
    said = scene.judge(path=bench.alter(path, "DELETE FROM blob"))
    assert (said.status, sorted(said.codes)) == (3, ["blob.withheld", "witness.quorum"])
    assert "the evidence was taken away" in caveats(said)["anchors.unread"]


def test_witnesses_do_not_cosign_attestations(bench: Bench, new_book: Callable[..., Book]) -> None:
    scene = Scene(bench, new_book())
    scene.book.launch()
    signed = scene.book.note(5)
    evidence = base64.b64encode((signed + A.line(signed, MONDAY)).encode()).decode()
    leaf = tree.hash_leaf(scene.book.bodies[4]).hex()
    scene.book.add(
        entry.ANCHOR, None, {"covers": {"leaf": leaf}, "evidence": evidence, "type": "cosignature"}
    )
    assert scene.judge().codes == ["anchor.form"]


@pytest.mark.parametrize("seconds", [0, NOW + 3_600, 2**63 - 1])
@pytest.mark.parametrize("inside", [True, False])
def test_a_time_that_cannot_be_does_not_count(scene: Scene, seconds: int, inside: bool) -> None:
    arguments: list[str] = []
    if inside:
        scene.anchor(5, (A, seconds))
    else:
        arguments = scene.note(5, (A, seconds))
    said = scene.judge(*arguments)
    assert (said.status, sorted(said.codes)) == (3, ["witness.quorum", "witness.time"])
    assert said.document["freshness"] == ("unproven" if inside else "remembered")
    (late,) = [each for each in said.document["findings"] if each["code"] == "witness.time"]
    assert late["index"] == (len(scene.book.bodies) - 1 if inside else None)
    assert f"is cosigned by A at a time that cannot be, {seconds} s after 1970" in late["message"]


def test_a_time_that_no_signature_covers(scene: Scene) -> None:
    signed = scene.book.note(5)
    scene.append(5, signed + A.line(signed, 2**63))
    assert scene.judge().codes == ["witness.signature"]


def test_clocks_differ_a_little(scene: Scene) -> None:
    scene.anchor(5, (A, NOW + 60))
    assert scene.judge().status == 0


@pytest.mark.parametrize(
    "asked", ["9999-12-31T23:59:59Z", "9999-12-31t23:59:59.999999+00:00", "0001-01-01T00:00:00Z"]
)
def test_the_ends_of_time(scene: Scene, asked: str) -> None:
    scene.anchor(5, (A, 253_402_300_799))
    said = scene.judge("--now", asked)
    assert said.status == (0 if asked.startswith("9") else 3)


@pytest.mark.parametrize(
    "asked",
    ["", "now", "2026-12-01", "2026-12-01T00:00:00", "2026-12-01T00:00Z", "2026-13-01T00:00:00Z",
     "1796083200",
     "2026-12-01 00:00:00Z", "2026-W49-2T00:00:00Z", "\u0662026-12-01T00:00:00Z",
     "9999-12-31T23:59:59-23:59"],
)  # fmt: skip
def test_what_is_no_time(scene: Scene, asked: str) -> None:
    said = scene.judge("--now", asked)
    assert (said.status, said.codes) == (2, ["input.usage"])


def test_a_note_from_outside_with_a_bad_line_of_a_known_witness_is_not_believed(scene: Scene) -> None:
    signed = scene.book.note(7)
    arguments = scene.note(7, signed=signed + A.line(signed, MONDAY, over="x\n"))
    said = scene.judge(*arguments)
    assert (said.status, said.codes) == (2, ["memory.signature"])
    assert "cosignature of a known witness that does not hold" in said.text
    # That does not hide what is certain, below its size and above.
    for index in (1, 7):
        edit = f"UPDATE entry SET body = replace(body, 'make', 'fake') WHERE idx = {index}"
        path = scene.bench.alter(scene.bench.write(scene.book), edit)
        assert scene.judge(*arguments, path=path).status == 1


def test_a_cosigned_note_that_the_log_did_not_sign(scene: Scene) -> None:
    """A quorum of witnesses over a head that no key of the ledger made, were they to cosign that."""
    root = checkpoint.parse_text(note.parse(scene.book.note(7).encode()).text).root
    stranger = checkpoint.Checkpoint(scene.book.origin, 7, root).sign([SigningKey(b"\x03" * 32)])
    said = scene.judge(*scene.note(7, (A, MONDAY), signed=stranger))
    assert (said.status, said.codes) == (2, ["memory.signature"])


def test_anchors_are_nothing_in_a_ledger_that_was_tampered_with(scene: Scene) -> None:
    index = scene.anchor(5, (A, MONDAY))
    edit = "UPDATE entry SET body = replace(body, 'make', 'fake') WHERE idx = 1"
    said = scene.judge(path=scene.bench.alter(scene.bench.write(scene.book), edit))
    assert said.status == 1
    assert said.document["witnessed"] == {"met": False, "size": None, "time": None, "by": []}
    assert said.document["anchors"]["newest"][0] == {
        "index": index, "type": "cosignature", "covers": {"size": 5}, "holds": None, "time": None, "by": None,
    }  # fmt: skip
    assert "existed" not in caveats(said)["host.trusted"]
    assert "witnessed:" not in said.text


def test_any_change_to_the_evidence_shows(scene: Scene) -> None:
    index = scene.anchor(5, (A, MONDAY))
    body = scene.book.bodies[index]
    start = body.index(b'"evidence":"') + 12
    for at in range(start, start + 400, 29):
        path = scene.bench.write(scene.book)
        swapped = b"A" if body[at : at + 1] != b"A" else b"B"
        changed = body[:at] + swapped + body[at + 1 :]
        scene.bench.alter(path, ("UPDATE entry SET body = ? WHERE idx = ?", (changed.decode(), index)))
        assert scene.judge(path=path).status == 1


# --- how much of it there may be ----------------------------------------------------------------------------


def test_what_is_reported_is_bounded(scene: Scene) -> None:
    for number in range(130):
        scene.anchor(5, (A, MONDAY + number))
    said = scene.judge()
    assert said.status == 0
    assert said.document["anchors"]["count"] == 130
    listed = said.document["anchors"]["newest"]
    assert len(listed) == anchors.MAX_REPORTED
    assert [each["index"] for each in listed] == list(range(44, 144))
    assert said.document["witnessed"]["time"] == MONDAY_TEXT
    assert len(said.text.splitlines()) < 20


def test_findings_about_anchors_in_every_format(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    signed = scene.book.note(5)
    scene.append(5, signed + A.line(signed, MONDAY, over="x\n"))
    path = scene.bench.write(scene.book)
    said = {}
    for name in ("sarif", "junit", "github"):
        assert cli.main(
            [path, "-k", scene.bench.path("key.pub"), "--witness-policy", str(scene.policy), "--format", name]
        ) == 1  # fmt: skip
        said[name] = capsys.readouterr().out
    assert json.loads(said["sarif"])["runs"][0]["results"][0]["ruleId"] == "witness.signature"
    assert said["github"].startswith("::error ")
    assert "[witness.signature]" in said["github"]
    memory = said["junit"].partition('name="memory"')[2]
    assert 'type="witness.signature"' in memory.partition("</testcase>")[0]
    assert 'name="others"' not in said["junit"]


def test_names_of_a_policy_do_not_reach_a_terminal_raw(scene: Scene) -> None:
    name = "\u202e\xff".encode()
    scene.policy.write_bytes(b"witness %b %b\nquorum %b\n" % (name, A.witness.vkey().encode(), name))
    unmet = scene.judge()
    scene.anchor(5, (A, MONDAY))
    said = scene.judge()
    assert (unmet.status, said.status) == (3, 0)
    for text in (unmet.text, said.text):
        assert "\u202e" not in text
        assert "\\u202e" in text


def test_a_policy_is_read_before_anything_else(scene: Scene) -> None:
    scene.policy.write_text("quorum X\n")
    said = scene.judge()
    assert (said.status, said.codes) == (2, ["witness.form"])
    assert "line 1 names 'X'" in said.text
    scene.policy.unlink()
    assert scene.judge().codes == ["witness.unreadable"]


def test_256_witnesses_that_each_saw_another_size(bench: Bench, new_book: Callable[..., Book]) -> None:
    """The largest policy, with a quorum that needs every one of them: no more than a second of counting."""
    scene = Scene(bench, new_book())
    scene.book.launch(decisions=300)
    made = []
    for number in range(256):
        each = Cosigner.__new__(Cosigner)
        each._secret = Ed25519PrivateKey.from_private_bytes((number + 1_000).to_bytes(32, "big"))
        each.witness = Witness(f"w{number}", PublicKey(each._secret.public_key().public_bytes_raw()))
        made.append(each)
    lines = "".join(f"witness {each.witness.name} {each.witness.vkey()}\n" for each in made)
    names = " ".join(each.witness.name for each in made)
    scene.policy.write_text(f"{lines}group G all {names}\nquorum G\n")
    notes = itertools.chain.from_iterable(
        scene.note(number + 10, (each, MONDAY + number)) for number, each in enumerate(made)
    )
    said = scene.judge(*notes)
    assert (said.status, said.document["freshness"]) == (0, "witnessed")
    assert said.document["witnessed"]["size"] == 10
    assert len(said.document["witnessed"]["by"]) == 256


def test_the_policy_of_the_documentation(scene: Scene) -> None:
    """As docs/policies.md says: two of three, under the checkpoint that --save-checkpoint kept."""
    text = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    example = text.partition("## Witnesses")[2].partition("```\n")[2].partition("```")[0]
    for name, each in (("NORTH_KEY", A), ("SOUTH_KEY", B), ("WEST_KEY", C)):
        assert example.count(name) == 1
        example = example.replace(name, each.witness.vkey())
    scene.policy.write_text(example)
    kept = Path(scene.bench.path("ledger.checkpoint"))
    assert scene.bench.verify(scene.bench.write(scene.book), "--save-checkpoint", str(kept)).status == 0
    signed = kept.read_text(encoding="utf-8")
    size = len(scene.book.bodies)
    one = scene.judge(*scene.note(size, (A, MONDAY), signed=signed))
    assert (one.status, one.codes) == (3, ["witness.quorum"])
    two = scene.judge(*scene.note(size, (A, MONDAY), (C, TUESDAY), signed=signed))
    assert (two.status, two.document["freshness"]) == (0, "witnessed")
