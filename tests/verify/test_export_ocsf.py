"""OCSF events: each is valid by the schema of its class and says what the entry says."""

from __future__ import annotations

import base64
import functools
import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from attest import canonical, checkpoint, entry, note, tree
from tests.verify.exported import check, export, export_of
from tests.verify.hostile_texts import hostile_book
from verify.exports.format import Proven
from verify.exports.ocsf import Ocsf
from verify.exports.records import Record, Standing, View, reader_of_anything

if TYPE_CHECKING:
    from tests.verify.conftest import Bench, Book


@functools.cache
def schemas() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0"))


@functools.cache
def validator(class_uid: int, profiles: tuple[str, ...]) -> jsonschema_rs.Validator:
    name = schemas().lookup_class_name_from_uid(class_uid)
    return jsonschema_rs.validator_for(schemas().get_class_schema(name, list(profiles)))


def events(data: bytes) -> list[dict[str, Any]]:
    """Return the events of an export, each of which must be valid."""
    found: list[dict[str, Any]] = [json.loads(line) for line in data.splitlines()]
    for event in found:
        profiles = tuple(event["metadata"].get("profiles", ()))
        validator(event["class_uid"], profiles).validate(event)
        assert event["metadata"]["version"] == "1.8.0"
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    return found


def test_the_schemas_refuse_what_is_not_theirs(bench: Bench, book: Book) -> None:
    (event, *_) = events(export(bench, book, "ocsf", "--kind", "launch.start"))
    for changed in ({**event, "more": 1}, {**event, "activity_id": 77}, {**event, "process": {"pid": "1"}}):
        assert not validator(1007, ("host",)).is_valid(changed)


@pytest.mark.parametrize("proven", [True, False])
def test_every_event_is_valid_whatever_its_texts_are(bench: Bench, proven: bool) -> None:
    book = hostile_book()
    found = events(export(bench, book, "ocsf", *(["--with-proofs"] if proven else [])))
    assert len(found) == len(book.bodies)
    for index, (event, body) in enumerate(zip(found, book.bodies, strict=True)):
        assert event["metadata"]["sequence"] == index
        assert canonical.encode(event["unmapped"]["entry"]) == body


def test_each_kind_is_its_event(bench: Bench, book: Book, shapes: Any) -> None:
    session = book.new_session()
    hooked = shapes.changed(shapes.INTENT, hooks={"before": shapes.HOOK, "after": shapes.HOOK})
    book.add(entry.INTENT, session, hooked)
    book.add(entry.HOOK_RESULT, session, shapes.HOOK_RESULT)
    book.add(entry.START, session, shapes.START)
    book.add(entry.OUTCOME, session, shapes.SIGNALLED)
    failed = {**shapes.HOOK_RESULT, "hook": "after", "error": "no such file"}
    del failed["exit"]
    book.add(entry.HOOK_RESULT, session, failed)
    book.attest(session)
    lost = book.new_session()
    book.add(entry.INTENT, lost, shapes.INTENT)
    book.add(entry.LOST, lost, {"found": "another-boot"})
    book.hand_over(shapes.SUCCESSOR)
    found = events(export(bench, book, "ocsf", status=3))
    entries = [(event["metadata"]["event_code"], event["type_uid"]) for event in found]
    assert entries[: len(book.bodies)] == [
        ("ledger.genesis", 99),
        ("launch.intent", 99), ("launch.start", 100701), ("decision", 100114), ("decision", 100114),
        ("launch.outcome", 100702), ("launch.attestation", 99),
        ("launch.intent", 99), ("launch.start", 100701), ("launch.outcome", 100702),
        ("launch.attestation", 99),
        ("launch.intent", 99), ("launch.outcome", 100701), ("launch.attestation", 99),
        ("launch.intent", 99), ("hook.result", 100702), ("launch.start", 100701), ("launch.outcome", 100702),
        ("hook.result", 100702), ("launch.attestation", 99),
        ("launch.intent", 99), ("launch.lost", 100799),
        ("ledger.key", 99),
    ]  # fmt: skip
    assert [(event["class_uid"], event["finding_info"]["types"]) for event in found[len(book.bodies) :]] == [
        (2004, ["launch.lost"])
    ]
    launch, denied, ended, refused = found[2], found[3], found[5], found[12]
    assert launch["process"]["cmd_line"] == "make release"
    assert launch["process"]["file"]["hashes"][0]["value"] == "e" * 64
    assert launch["actor"] == {
        "process": {"name": "nono", "pid": 4242}, "user": {"uid": "1000", "type_id": 1},
    }  # fmt: skip
    assert launch["device"]["hostname"] == "host"
    assert (denied["file"]["path"], denied["action_id"], denied["disposition_id"]) == ("/etc/shadow", 2, 2)
    assert denied["actor"]["process"]["pid"] == 4243
    assert (ended["exit_code"], ended["status_id"], ended["process"]["pid"]) == (0, 1, 4243)
    assert (ended["start_time"], ended["end_time"]) == (1795492800000, 1795492801000)
    assert (refused["status_id"], refused["status_code"]) == (2, "grant.refused")
    assert found[17]["status_detail"] == "signal 9"
    assert "exit_code" not in found[17]


CONNECT, LISTEN = "connect", "listen"


@pytest.mark.parametrize(
    ("what", "verb", "address", "endpoint"),
    [
        ("network", CONNECT, "192.0.2.1:443", {"name": "192.0.2.1", "ip": "192.0.2.1", "port": 443}),
        ("network", CONNECT, "[2001:db8::1]:80", {"name": "2001:db8::1", "ip": "2001:db8::1", "port": 80}),
        ("network", CONNECT, "example.com:99999", {"name": "example.com:99999"}),
        ("network", LISTEN, "0.0.0.0:8080", {"name": "0.0.0.0", "ip": "0.0.0.0", "port": 8080}),
        ("network", CONNECT, "a.example:80", {"name": "a.example", "hostname": "a.example", "port": 80}),
        ("unix-socket", CONNECT, "/run/docker.sock", {"svc_name": "/run/docker.sock"}),
        ("url", "", "https://example.com/a", {"name": "https://example.com/a"}),
        ("network", "", "", {"name": ""}),
    ],
)
@pytest.mark.parametrize("denied", [True, False])
def test_decisions_about_networks(
    bench: Bench, book: Book, shapes: Any, *, what: str, verb: str, address: str, endpoint: Any, denied: bool
) -> None:
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT)
    subject = f"{verb} {address}".strip()
    verdict = "denied" if denied else "granted"
    decided = shapes.changed(shapes.DECISION, what=what, subject=subject, verdict=verdict)
    index = book.add(entry.DECISION, session, decided)
    found = events(export(bench, book, "ocsf", "--session", session, "--kind", "decision", status=3))[0]
    assert found["metadata"]["sequence"] == index
    assert found["class_uid"] == 4001
    assert found["activity_id"] == (5 if denied else 7 if verb == LISTEN else 1)
    assert found["src_endpoint" if verb == LISTEN else "dst_endpoint"] == endpoint


def test_findings_are_events_too_and_a_made_up_one_is_not_taken(
    bench: Bench, book: Book, shapes: Any
) -> None:
    book.add(entry.INTENT, book.new_session(), shapes.INTENT)
    data = export(bench, book, "ocsf", "--with-proofs", status=3)
    found = events(data)[-1]
    assert (found["type_uid"], found["severity_id"]) == (200401, 3)
    assert found["message"].startswith(f"entry {len(book.bodies) - 1} ")
    status, document = check(bench, data)
    assert (status, document["lines"]["findings"]) == (0, 1)
    head, _, last = data.strip().rpartition(b"\n")
    status, document = check(bench, last)
    assert (status, document["findings"][0]["code"]) == (2, "export.unproven")
    for changed in (
        last.replace(b"has no end", b"has an end", 1),
        last.replace(b"200401", b"200403"),
        last.replace(b'"severity_id":3', b'"severity_id":1'),
        last.replace(b"launch.unfinished", b"launch.made_up"),
    ):
        assert changed != last
        status, document = check(bench, head + b"\n" + changed + b"\n")
        assert status == 1


def test_a_ledger_that_does_not_hold_has_valid_events_too(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    bench.alter(
        path,
        "DELETE FROM entry WHERE idx = 1",
        ("UPDATE entry SET body = ? WHERE idx = 3", (book.bodies[3].decode().replace("denied", "granted"),)),
        ("UPDATE entry SET body = ? WHERE idx = 4", ("=\x1b[2J\n",)),
    )
    found = events(export_of(bench, path, "ocsf", "--unsafe-export-unverified", status=1))
    assert {event["unmapped"]["nono"]["verdict"] for event in found} == {"failed"}
    assert {event["severity_id"] for event in found if event["class_uid"] == 2004} >= {5}
    assert found[1]["class_uid"] == 0


def test_signatures_have_the_shape_of_the_profile_to_come(bench: Bench, book: Book, shapes: Any) -> None:
    *_, attested = events(export(bench, book, "ocsf", "--with-proofs", "--kind", "launch.attestation"))
    (attestation,) = attested["unmapped"]["attestation_list"]
    assert attestation.keys() == {"authority_uid", "chain_uid", "fingerprint", "signatures", "uid"}
    assert attestation["chain_uid"] == book.origin
    assert attestation["authority_uid"] == shapes.KEY.public.fingerprint()
    assert [(each["algorithm"], each["serialization"]) for each in attestation["signatures"]] == [
        ("Ed25519", "C2SP signed note"), ("Ed25519", "DSSE"),
    ]  # fmt: skip
    assert (
        attestation["signatures"][1]["value"] == attested["unmapped"]["entry"]["data"]["signatures"][0]["sig"]
    )


STRANGERS_LINE = "\u2014 {name} {line}\n"


@pytest.mark.parametrize("named", ["stranger", "the ledger", "of another key"])
def test_a_signature_that_nobody_verified_is_not_listed(
    bench: Bench, book: Book, shapes: Any, named: str
) -> None:
    """It is added to the checkpoint, where readers ignore it, and to the list, where it would be seen."""
    (line,) = export(bench, book, "ocsf", "--with-proofs", "--kind", "decision").splitlines()[:1]
    event = json.loads(line)
    name = event["metadata"]["log_name"] if named != "stranger" else "stranger.example"
    key = shapes.STRANGER
    signed = bytes(64)
    if named == "of another key":
        head = checkpoint.parse_text(note.parse(event["unmapped"]["nono"]["checkpoint"].encode()).text)
        signed = note.parse(head.sign([key]).encode()).signatures[0].signature
    blob = base64.b64encode(note.Verifier(name, key.public).key_id() + signed).decode()
    value = base64.b64encode(signed).decode()
    nono, listed = event["unmapped"]["nono"], event["unmapped"]["attestation_list"][0]["signatures"]
    nono["checkpoint"] += STRANGERS_LINE.format(name=name, line=blob)
    ignored = json.dumps(event).encode()
    listed.append({**listed[0], "value": value})
    added = json.dumps(event).encode()
    assert check(bench, line)[0] == 0
    assert check(bench, ignored)[0] == 0  # C2SP signed-note: unknown keys are ignored
    status, said = check(bench, added)
    assert (status, [each["code"] for each in said["findings"]]) == (1, ["export.changed"])
    listed[:] = listed[1:]
    assert check(bench, json.dumps(event).encode())[0] == 1


def test_at_a_handover_the_new_key_alone_stands_in_the_list(bench: Bench, book: Book, shapes: Any) -> None:
    book.hand_over(shapes.SUCCESSOR)
    data = export(bench, book, "ocsf", "--with-proofs")
    for event in events(data):
        assert len(note.parse(event["unmapped"]["nono"]["checkpoint"].encode()).signatures) == 1
    status, said = check(bench, data, key="successor.pub")
    assert (status, said["lines"]["held"]) == (0, len(book.bodies))
    status, said = check(bench, data)
    assert (status, said["findings"][0]["code"]) == (3, "key.not_pinned")
    assert check(bench, data, "-k", bench.path("successor.pub"))[0] == 0


def test_of_a_ledger_that_does_not_hold_no_signature_is_listed(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    bench.alter(
        path,
        ("UPDATE entry SET body = ? WHERE idx = 3", (book.bodies[3].decode().replace("denied", "granted"),)),
    )
    found = events(export_of(bench, path, "ocsf", "--unsafe-export-unverified", status=1))
    assert any(event["metadata"]["event_code"] == entry.ATTESTATION for event in found)
    assert not any(
        "signatures" in each for event in found for each in event["unmapped"].get("attestation_list", [])
    )


def test_a_start_that_is_left_out_where_the_entry_does_not_tell_is_said(
    bench: Bench, book: Book, shapes: Any
) -> None:
    """The entry of a refusal does not tell whether there was a start, so the verdict tells that.

    Nor does the end of a command that did not run: it may be found only behind the start that it cannot.
    """
    failed = book.new_session()
    for kind, data in (
        (entry.INTENT, shapes.changed(shapes.INTENT, outputs=[])), (entry.START, shapes.START),
        (entry.OUTCOME, shapes.REFUSED),
    ):  # fmt: skip
        book.add(kind, failed, data)
    book.attest(failed)
    lost = book.new_session()
    for kind, data in (
        (entry.INTENT, shapes.INTENT), (entry.START, shapes.START), (entry.LOST, {"found": "another-boot"}),
    ):  # fmt: skip
        book.add(kind, lost, data)
    lines = export(bench, book, "ocsf", "--with-proofs", status=3).splitlines()
    whole = check(bench, b"\n".join(lines))[1]
    assert "export.start" not in {each["code"] for each in whole["not_excluded"]}
    shortened = []
    for line in lines[: len(book.bodies)]:
        event = json.loads(line)
        said = event["unmapped"]["entry"]
        if said["kind"] in {entry.DECISION, entry.LOST} or "not_started" in said["data"]:
            nono, form = event["unmapped"]["nono"], Ocsf(View(Standing(None, None, None, "verified")))
            nono["launch"] = nono["launch"][:1]
            claim = form.claim(event)
            assert claim.own is not None
            (intent,) = claim.launch
            assert isinstance(intent, Proven)
            record, other = (
                Record(each.at, each.body, tree.hash_leaf(each.body), reader_of_anything())
                for each in (claim.own, intent)
            )
            record.inclusion, other.inclusion = list(claim.own.inclusion or ()), list(intent.inclusion or ())
            record.intent = other
            signed = note.parse((claim.checkpoint or "").encode())
            head = checkpoint.parse_text(signed.text)
            standing = Standing(
                head.origin, head.size, head.root.hex(), "not-met", claim.checkpoint,
                tuple(each.signature for each in signed.signatures),
            )  # fmt: skip
            shortened.append(Ocsf(View(standing)).add(record))
    status, said = check(bench, b"".join(shortened))
    (words,) = [each["message"] for each in said["not_excluded"] if each["code"] == "export.start"]
    assert (status, said["lines"]["held"]) == (0, len(shortened)) == (0, 5)  # of one the entry tells it
    assert words.startswith(
        "that a start is on record: 4 lines of a refusal, a grant, a loss or a command that did not run say"
    )


def test_entries_of_another_launch_are_not_taken_for_its_own(bench: Bench, book: Book) -> None:
    """Each of them is proven; but who asked for one launch did not ask for the other."""
    lines = export(bench, book, "ocsf", "--with-proofs").splitlines()
    denied, other = (json.loads(lines[index]) for index in (3, 8))
    launch = denied["unmapped"]["nono"]["launch"]
    own = {
        "index": 3,
        "inclusion": denied["unmapped"]["nono"]["inclusion"],
        "entry": denied["unmapped"]["entry"],
    }
    for others in (
        other["unmapped"]["nono"]["launch"],
        [own, launch[1]],
        [launch[0], own],
        [launch[1], launch[0]],
        launch + launch,
        [],
        launch[:1],
    ):
        changed = json.loads(json.dumps(denied))
        changed["unmapped"]["nono"]["launch"] = others
        assert check(bench, json.dumps(changed).encode())[0] == 1


def test_direct_launches_end_with_their_start(
    bench: Bench, book: Book, shapes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from verify.exports import exporting

    direct = shapes.changed(shapes.INTENT, strategy="direct", outputs=[])
    for _ in range(3):
        session = book.new_session()
        book.add(entry.INTENT, session, direct)
        book.add(entry.START, session, shapes.START)
    kept: list[int] = []
    follow = exporting._Export._follow

    def watched(self: exporting._Export, block: Any) -> None:
        follow(self, block)
        kept.append(len(self._sessions))

    monkeypatch.setattr(exporting._Export, "_follow", watched)
    found = events(export(bench, book, "ocsf"))
    assert found[-1]["type_uid"] == 100701
    assert found[-1]["process"]["cmd_line"] == "make release"
    assert kept == [0]


def test_an_event_that_says_less_of_its_launch_than_the_ledger_is_found(bench: Bench, book: Book) -> None:
    """Written anew without its intent and its start, a refusal would be an entry like any other."""
    weakened = []
    for line in export(bench, book, "ocsf", "--with-proofs").splitlines():
        form = Ocsf(View(Standing(None, None, None, "verified")))
        claim = form.claim(form.read(line))
        head = checkpoint.parse_text(note.parse((claim.checkpoint or "").encode()).text)
        said = claim.own
        assert said is not None
        record = Record(said.at, said.body, tree.hash_leaf(said.body), reader_of_anything())
        record.inclusion = list(said.inclusion or ())
        signatures = tuple(
            each.signature for each in note.parse((claim.checkpoint or "").encode()).signatures
        )
        standing = Standing(head.origin, head.size, head.root.hex(), "verified", claim.checkpoint, signatures)
        weakened.append(Ocsf(View(standing)).add(record))
    status, document = check(bench, b"".join(weakened))
    assert status == 1
    assert {finding["code"] for finding in document["findings"]} == {"export.changed"}


def test_a_time_is_the_millisecond_that_it_is_in(bench: Bench, book: Book, shapes: Any) -> None:
    """However far away, and whichever format says it."""
    session = book.new_session()
    time = "9999-12-31T23:59:59.999999Z"
    book.add(entry.INTENT, session, shapes.INTENT, time=time)
    last = events(export(bench, book, "ocsf", status=3))[len(book.bodies) - 1]
    assert (last["time"], last["metadata"]["original_time"]) == (253_402_300_799_999, time)
    assert b" rt=253402300799999 " in export(bench, book, "cef", status=3).splitlines()[-1]
