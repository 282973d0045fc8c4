"""Everything is signed and hashed as it should be, but the record is wrong: what a lying writer would leave."""

# ruff: noqa: E501  # a table with one row a line is easier to check than one that is wrapped

from __future__ import annotations

import base64
import hashlib
import os
from typing import TYPE_CHECKING, Any

from attest import blob, entry, tree
from attest.canonical import encode
from tests.gauntlet.mutation import Mutation, ask, written
from tests.verify.conftest import (
    CAPABILITIES,
    DECISION,
    HOOK,
    HOOK_RESULT,
    INTENT,
    KEY,
    OUTCOME,
    REFUSED,
    START,
    STRANGER,
    Book,
    changed,
    session_id,
)
from verify.blobs import MAX_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gauntlet.mutation import Asked
    from tests.verify.conftest import Bench

SESSION = session_id(1)

Entry = tuple[str, dict[str, Any]]


def hooked(*names: str, required: bool = False) -> dict[str, Any]:
    return changed(INTENT, hooks={name: changed(HOOK, required=required) for name in names})


def hook(name: str = "before", **ended: Any) -> Entry:
    how = ended or {"exit": 0}
    return entry.HOOK_RESULT, {**{k: v for k, v in HOOK_RESULT.items() if k != "exit"}, "hook": name, **how}


INTENDED: Entry = (entry.INTENT, INTENT)
HOOKED: Entry = (entry.INTENT, hooked("before", "after"))
REQUIRED: Entry = (entry.INTENT, hooked("before", required=True))
DIRECT: Entry = (entry.INTENT, changed(INTENT, strategy="direct", outputs=[]))
STARTED: Entry = (entry.START, START)
DECIDED: Entry = (entry.DECISION, DECISION)
ENDED: Entry = (entry.OUTCOME, OUTCOME)
REFUSAL: Entry = (entry.OUTCOME, REFUSED)
LOST: Entry = (entry.LOST, {"found": "process-gone"})
ATTESTED: Entry = (entry.ATTESTATION, {})


def start(**members: Any) -> Entry:
    return entry.START, changed(START, **members)


def outcome(**members: Any) -> Entry:
    return entry.OUTCOME, changed(OUTCOME, **members)


def enforcement(*, achieved: bool, waived: list[str]) -> Entry:
    made = changed(START)["enforcement"]
    made["achieved"]["filter"], made["waived"] = achieved, waived
    return start(enforcement=made)


def counts(**members: int) -> dict[str, int]:
    return {**OUTCOME["counts"], **members}


def attestation() -> dict[str, Any]:
    """Return the attestation of some launch, as data."""
    book = Book()
    book.launch()
    return dict(entry.parse(book.bodies[-1]).data)


FOREIGN: Entry = (entry.ATTESTATION, attestation())
OPEN = changed(CAPABILITIES, network={"mode": "all"})
OPENED = start(capabilities=OPEN, capabilities_sha256=hashlib.sha256(encode(OPEN)).hexdigest())
ASKED_SOCKET = {"access": "connect", "asked": "/run/a", "source": "user", "type": "socket"}


def with_sockets(*granted: dict[str, Any]) -> Entry:
    made = changed(CAPABILITIES, unix_sockets=list(granted))
    return start(capabilities=made, capabilities_sha256=hashlib.sha256(encode(made)).hexdigest())


def with_system_v() -> Entry:
    made = changed(CAPABILITIES, ipc="sysv")
    return start(capabilities=made, capabilities_sha256=hashlib.sha256(encode(made)).hexdigest())


GIVEN: Entry = (
    entry.DECISION,
    changed(DECISION, by="person", subject="read /etc/shadow", verdict="granted", what="file"),
)

OUTPUT = {"path": "/w/a.whl", "sha256": "0" * 64, "size": 1}

SESSIONS: list[tuple[str, str, int, str, list[Entry]]] = [
    # --- the grammar ---------------------------------------------------------------------------------
    ("a start without an intent", "nobody asked for what was started", 1, "launch.intent", [STARTED]),
    ("an outcome without an intent", "an end without a beginning", 1, "launch.intent", [ENDED]),
    ("a decision without an intent", "a refusal of nothing", 1, "launch.intent", [DECIDED]),
    ("an attestation without an intent", "a statement about nothing", 1, "launch.intent", [FOREIGN]),
    ("lost without an intent", "what never was cannot be lost", 1, "launch.intent", [LOST]),
    ("an intent without an outcome", "a killed supervisor leaves it, and it is no tampering", 3, "launch.unfinished", [INTENDED]),
    ("a start without an outcome", "a killed supervisor leaves it, and it is no tampering", 3, "launch.unfinished", [INTENDED, STARTED]),
    ("an outcome without an attestation", "a killed supervisor leaves it, and it is no tampering", 3, "launch.unfinished", [INTENDED, STARTED, ENDED]),
    ("a lost launch", "what its supervisor could not finish is not proved to have ended well", 3, "launch.lost", [INTENDED, STARTED, LOST]),
    ("two intents", "one launch, asked for twice", 1, "launch.order launch.unfinished", [INTENDED, INTENDED, STARTED]),
    ("two starts", "one launch, started twice", 1, "launch.order launch.unfinished", [INTENDED, STARTED, STARTED]),
    ("two outcomes", "one launch with two ends, and a reader chooses", 1, "launch.order", [INTENDED, STARTED, ENDED, ENDED, ATTESTED]),
    ("a start after the outcome", "what was refused ran all the same", 1, "launch.order launch.unfinished", [INTENDED, REFUSAL, STARTED]),
    ("an outcome of what did not start", "an exit code of nothing", 1, "launch.outcome", [INTENDED, ENDED, ATTESTED]),
    ("an attestation before the outcome", "a statement about what has not ended", 1, "launch.order launch.reused", [INTENDED, STARTED, FOREIGN, ENDED]),
    ("a decision after the close", "entries after the statement are in no statement", 1, "launch.reused", [INTENDED, STARTED, ENDED, ATTESTED, DECIDED]),
    ("an outcome after the close", "a second end that no statement covers", 1, "launch.reused", [INTENDED, STARTED, ENDED, ATTESTED, ENDED]),
    ("an intent after the close", "an id that stands for two launches", 1, "launch.reused", [INTENDED, STARTED, ENDED, ATTESTED, INTENDED]),
    ("two attestations", "two statements about one launch", 1, "launch.reused", [INTENDED, STARTED, ENDED, ATTESTED, ATTESTED]),
    ("lost after the close", "a launch that ended well is made a lost one", 1, "launch.reused", [INTENDED, STARTED, ENDED, ATTESTED, LOST]),
    ("a start after lost", "what was given up goes on", 1, "launch.lost launch.reused", [INTENDED, LOST, STARTED]),
    ("an outcome of a direct launch", "nobody was there to see it end", 1, "launch.reused", [DIRECT, STARTED, ENDED]),
    # --- hooks ------------------------------------------------------------------------------------------
    ("a hook that was not asked for", "a hook ran that the intent does not name", 1, "launch.hook", [INTENDED, hook(), STARTED, ENDED, ATTESTED]),
    ("a hook twice", "a failure and a success of one hook", 1, "launch.hook", [HOOKED, hook(), hook(), STARTED, ENDED, hook("after"), ATTESTED]),
    ("no before-hook", "what should run first did not", 1, "launch.hook_missing", [HOOKED, STARTED, ENDED, hook("after"), ATTESTED]),
    ("no after-hook", "what should run last did not", 1, "launch.hook_missing", [HOOKED, hook(), STARTED, ENDED, ATTESTED]),
    ("a before-hook after the outcome", "what should run first ran last", 1, "launch.hook", [HOOKED, REFUSAL, hook(), ATTESTED]),
    ("a hook's result while the command runs", "hooks run before and after", 1, "launch.order", [HOOKED, hook(), STARTED, hook("after"), ENDED, ATTESTED]),
    ("an after-hook before the start", "what should run last ran first", 1, "launch.hook", [HOOKED, hook("after"), hook(), STARTED, ENDED, ATTESTED]),
    ("a start behind a required hook that failed", "a check that failed stopped nothing", 1, "launch.hook_failed", [REQUIRED, hook(exit=1), STARTED, ENDED, ATTESTED]),
    ("a start behind a required hook that was killed", "a check that failed stopped nothing", 1, "launch.hook_failed", [REQUIRED, hook(signal=9), STARTED, ENDED, ATTESTED]),
    ("a start behind a required hook that did not run", "a check that failed stopped nothing", 1, "launch.hook_failed", [REQUIRED, hook(error="gone"), STARTED, ENDED, ATTESTED]),
    ("a start behind a required hook that was too slow", "a check that failed stopped nothing", 1, "launch.hook_failed", [REQUIRED, hook(exit=0, timed_out=True), STARTED, ENDED, ATTESTED]),
    # --- what two entries say about one thing -----------------------------------------------------------------
    ("a capability set of another digest", "two sandboxes of one launch", 1, "launch.capabilities", [INTENDED, start(capabilities_sha256="0" * 64), ENDED, ATTESTED]),
    ("a UNIX socket that nobody asked for", "the sandbox has a door that was not asked for", 1, "launch.unix_sockets", [INTENDED, with_sockets({**ASKED_SOCKET, "path": "/run/a"}), ENDED, ATTESTED]),
    ("a UNIX socket that can be made, asked for to connect to", "the command can stand in for a service", 1, "launch.unix_sockets", [(entry.INTENT, changed(INTENT, unix_sockets=[ASKED_SOCKET])), with_sockets({**ASKED_SOCKET, "access": "bind", "path": "/run/a"}), ENDED, ATTESTED]),
    ("System V that nobody asked for", "the sandbox shares memory that was not asked for", 1, "launch.ipc", [INTENDED, with_system_v(), ENDED, ATTESTED]),
    ("a directory of UNIX sockets, where one was asked for", "the sandbox has more doors than were asked for", 1, "launch.unix_sockets", [(entry.INTENT, changed(INTENT, unix_sockets=[ASKED_SOCKET])), with_sockets({**ASKED_SOCKET, "type": "subtree", "path": "/run"}), ENDED, ATTESTED]),
    ("a file given by a person, where nobody was to be asked", "the command got what no grant covers, and nobody asked for that to be possible", 1, "launch.elevation", [INTENDED, STARTED, GIVEN, outcome(counts=counts(decisions=1)), ATTESTED]),
    ("a network that was to be closed", "the sandbox is wider than what was asked for", 1, "launch.network", [INTENDED, OPENED, ENDED, ATTESTED]),
    ("a required feature that was not achieved", "the launch should have been refused", 1, "launch.enforcement", [INTENDED, enforcement(achieved=False, waived=[]), ENDED, ATTESTED]),
    ("a required feature that was waived", "honest, and less than what was required", 3, "launch.degraded", [INTENDED, enforcement(achieved=False, waived=["filter"]), ENDED, ATTESTED]),
    ("no outputs where one was declared", "an output is left out", 1, "launch.outputs", [INTENDED, STARTED, outcome(outputs=[]), ATTESTED]),
    ("another output", "a file that nobody declared is attested", 1, "launch.outputs", [INTENDED, STARTED, outcome(outputs=[{**OUTPUT, "path": "/w/b.whl"}]), ATTESTED]),
    ("an output twice", "two digests of one declared output", 1, "launch.outputs", [INTENDED, STARTED, outcome(outputs=[OUTPUT, OUTPUT]), ATTESTED]),
    ("two digests of one output", "a reader chooses which file it was", 3, "launch.output_digests", [(entry.INTENT, changed(INTENT, outputs=["/w/a.whl"] * 2)), STARTED, outcome(outputs=[OUTPUT, {**OUTPUT, "sha256": "1" * 64}]), ATTESTED]),
    ("an output that was not hashed", "honest, and nothing is known of the file", 3, "launch.unhashed", [INTENDED, STARTED, outcome(outputs=[{"path": "/w/a.whl", "unhashed": "too-slow"}]), ATTESTED]),
    ("hashed outputs of what was refused", "a command that never ran made nothing", 1, "launch.outcome", [INTENDED, (entry.OUTCOME, changed(REFUSED, outputs=[OUTPUT])), ATTESTED]),
    ("hashed outputs of what could not be executed", "a command that never ran made nothing", 1, "launch.outcome", [INTENDED, STARTED, (entry.OUTCOME, changed(REFUSED, outputs=[OUTPUT])), ATTESTED]),
    ("another image than was hashed", "honest, and another program ran", 3, "launch.image", [INTENDED, STARTED, outcome(executed_image="different"), ATTESTED]),
    ("a decision that is not counted", "a refusal is slipped in", 1, "launch.counts", [INTENDED, STARTED, DECIDED, ENDED, ATTESTED]),
    ("a decision that is not there", "a refusal is left out", 1, "launch.counts", [INTENDED, STARTED, outcome(counts=counts(decisions=1)), ATTESTED]),
    ("a launch around itself", "a chain of launches without a first one", 1, "launch.nesting", [(entry.INTENT, changed(INTENT, outer_session=SESSION)), STARTED, ENDED, ATTESTED]),
    ("execs that nobody saw", "what was to be traced was not", 1, "launch.execs", [(entry.INTENT, changed(INTENT, execs={"tracing": "trace"})), (entry.START, changed(START, execs={"tracing": "none"})), ENDED, ATTESTED]),
    ("execs that nobody limited", "any program could run", 1, "launch.execs", [(entry.INTENT, changed(INTENT, execs={"allow": ["/x"], "tracing": "allow"})), (entry.START, changed(START, execs={"tracing": "trace"})), ENDED, ATTESTED]),
    ("a program that nobody allowed", "one more could run", 1, "launch.execs", [(entry.INTENT, changed(INTENT, execs={"allow": ["/x"], "tracing": "allow"})), (entry.START, changed(START, execs={"allow": [{"asked": "/y", "path": "/y"}], "tracing": "allow"})), ENDED, ATTESTED]),
    ("a direct launch with an after-hook", "it promises what only a supervisor can keep", 1, "launch.direct", [(entry.INTENT, changed(hooked("after"), strategy="direct", outputs=[])), STARTED]),
    ("a direct launch with outputs", "it promises what only a supervisor can keep", 1, "launch.direct", [(entry.INTENT, changed(INTENT, strategy="direct")), STARTED]),
]  # fmt: skip


def of_session(entries: list[Entry]) -> Callable[[], Book]:
    """Return the ledger of one session; only its numbers and its signatures are always right."""

    def make() -> Book:
        book = Book()
        for position, (kind, data) in enumerate(entries):
            if kind == entry.ATTESTATION and not data:
                book.attest(SESSION)
            else:
                members = {"seq": 0} if kind == entry.INTENT else {} if position else {"seq": 1}
                book.add(kind, SESSION, data, **members)
        return book

    return make


# --- statements, blobs, anchors, kinds ------------------------------------------------------------------


def stated(**statement: Any) -> Callable[[], Book]:
    """Return a refusal whose statement has other members."""

    def make() -> Book:
        book = Book()
        book.add(entry.INTENT, SESSION, INTENT)
        book.add(entry.OUTCOME, SESSION, REFUSED)
        book.attest(SESSION, **statement)
        return book

    return make


def signed_by_a_stranger() -> Book:
    book = Book()
    book.add(entry.INTENT, SESSION, INTENT)
    book.add(entry.OUTCOME, SESSION, REFUSED)
    book.attest(SESSION, STRANGER)
    return book


def with_anothers_attestation() -> Book:
    book = Book()
    book.launch()
    data = entry.parse(book.bodies[-1]).data
    second = book.new_session()
    for kind, value in (INTENDED, STARTED, ENDED, (entry.ATTESTATION, data)):
        book.add(kind, second, value)
    return book


def without_a_decision() -> Book:
    """Everything is made anew by who has the key, but for the statement of before."""
    book = Book()
    book.launch(decisions=2)
    true = book.bodies[-1]
    book = Book()
    book.launch(decisions=1)
    book.bodies[-1] = true.replace(b'"seq":5', b'"seq":4')
    return book


def renumbered(*seqs: int) -> Callable[[], Book]:
    def make() -> Book:
        book = Book()
        book.add(entry.INTENT, SESSION, INTENT)
        for seq in seqs:
            book.add(entry.DECISION, SESSION, DECISION, seq=seq)
        return book

    return make


def beside(value: Any, **reference: Any) -> Callable[[], Book]:
    """Return a launch whose environment lies beside its start."""

    def make() -> Book:
        book = Book()
        named = book.beside(value)
        named["blob"].update(reference)
        book.launch(start=changed(START, environment=named))
        return book

    return make


def withheld() -> Book:
    book = beside(["PATH"])()
    book.blobs.clear()
    return book


def unsalted() -> Book:
    data = encode(["PATH"])
    book = Book()
    digest = {"blob": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}}
    book.launch(start=changed(START, environment=digest))
    book.blobs.append(_Unsalted(b"", data))
    return book


class _Unsalted(blob.Blob):
    """A blob that anybody who guesses its value can tell by its digest."""


def wider_beside() -> Book:
    book = Book()
    book.launch(start=changed(START, capabilities=book.beside(OPEN)))
    return book


def open_beside() -> Book:
    book = Book()
    book.launch(start=changed(OPENED[1], capabilities=book.beside(OPEN)))
    return book


def sockets_beside() -> Book:
    book = Book()
    made = with_sockets({**ASKED_SOCKET, "path": "/run/a"})[1]
    book.launch(start=changed(made, capabilities=book.beside(made["capabilities"])))
    return book


def anchor(covers: dict[str, Any], *, kept: int | None = None) -> Callable[[], Book]:
    def make() -> Book:
        book = Book()
        book.launch()
        if kept is not None:
            book.kept.append(kept)
        book.add(entry.ANCHOR, None, {"covers": covers, "evidence": "AAAA", "type": "rfc3161"})
        return book

    return make


def anchored_intent() -> Book:
    book = Book()
    book.launch()
    leaf = tree.hash_leaf(book.bodies[1]).hex()
    book.add(entry.ANCHOR, None, {"covers": {"leaf": leaf}, "evidence": "AAAA", "type": "identity"})
    return book


def kept_for_nothing() -> Book:
    book = Book()
    book.launch()
    book.kept.append(3)
    return book


def of_an_unknown_kind() -> Book:
    book = Book()
    book.add("ledger.note", None, {"text": "hello"})
    return book


def of_a_later_version() -> Book:
    book = Book()
    book.add(entry.INTENT, SESSION, INTENT)
    book.add(entry.DECISION, SESSION, DECISION, v=2)
    book.add(entry.OUTCOME, SESSION, REFUSED)
    book.attest(SESSION)
    return book


def second_genesis() -> Book:
    book = Book()
    book.launch()
    book.bodies.append(book.bodies[0].replace(b"04:00:01", b"04:59:00"))
    return book


def without_a_genesis() -> Book:
    book = Book()
    book.launch()
    del book.bodies[0]
    return book


def continuing_itself() -> Book:
    book = Book()
    previous: Any = {"origin": book.origin, "root": "0" * 64, "size": 9}
    book.bodies[0] = book.bodies[0].replace(
        b'"public_key"', b'"previous":' + encode(previous) + b',"public_key"'
    )
    return book


def founded_with(spki: bytes) -> Callable[[], Book]:
    def make() -> Book:
        book = Book()
        true, other = (base64.b64encode(each) for each in (KEY.public.spki(), spki))
        assert true in book.bodies[0]
        book.bodies[0] = book.bodies[0].replace(true, other)
        return book

    return make


def handed_over_to(spki: bytes) -> Callable[[], Book]:
    def make() -> Book:
        book = Book()
        book.add(entry.KEY, None, {"public_key": base64.b64encode(spki).decode(), "reason": "x"})
        return book

    return make


def to_itself() -> Book:
    book = Book()
    book.hand_over(KEY)
    return book


def going_back() -> Book:
    book = Book()
    book.launch()
    book.add(entry.INTENT, book.new_session(), INTENT, time="2026-11-24T03:59:59.000000Z")
    return book


PREFIX = KEY.public.spki()[:-32]
SMALL_ORDER = PREFIX + b"\x01" + bytes(31)

LEDGERS: list[tuple[str, str, int, str, Callable[[], Book]]] = [
    ("an entry renumbered", "a gap that a reader by number does not see", 1, "launch.sequence launch.unfinished", renumbered(2)),
    ("two entries of one number", "a reader by number takes one of them", 1, "launch.sequence launch.unfinished", renumbered(1, 1)),
    ("a number of 0 within a session", "only an intent begins a session", 1, "entry.schema launch.unfinished", renumbered(0)),
    ("an attestation without its subjects", "a statement about no program", 1, "launch.statement", stated(subject=[])),
    ("an attestation of another predicate", "a statement of another meaning", 1, "launch.statement", stated(predicateType="urn:nono-attest:launch:v2")),
    ("an attestation of another statement type", "a statement of another form", 1, "launch.statement", stated(_type="https://in-toto.io/Statement/v0.1")),
    ("an attestation with a member more", "a statement that says more than the entries", 1, "launch.statement", stated(more=True)),
    ("an attestation without a predicate", "a statement that says nothing", 1, "launch.statement", stated(predicate={})),
    ("an attestation by a stranger", "somebody else's word for a launch", 1, "launch.signature", signed_by_a_stranger),
    ("an attestation of another session", "a statement copied from a launch that ended well", 1, "launch.statement", with_anothers_attestation),
    ("a decision left out of the tree, the statement kept", "who rebuilds the tree cannot rebuild the statement", 1, "launch.statement", without_a_decision),
    ("an anchor of a size to come", "evidence of what was not there yet", 1, "anchor.covers", anchor({"size": 9})),
    ("an anchor of a size without a checkpoint", "nothing is kept that the evidence is of", 1, "checkpoint.missing", anchor({"size": 4})),
    ("an anchor of a leaf that is not there", "evidence of another log", 1, "anchor.covers", anchor({"leaf": "0" * 64})),
    ("an anchor of a leaf that is no attestation", "evidence of an entry that states nothing", 1, "anchor.covers", anchored_intent),
    ("a checkpoint kept without a reason", "every kept checkpoint is a place to cut", 1, "checkpoint.surplus", kept_for_nothing),
    ("a kind that is not known", "a later version may mean anything by it", 3, "entry.kind", of_an_unknown_kind),
    ("a version that is not known", "a later version may mean anything by it", 3, "entry.kind", of_a_later_version),
    ("a second first entry", "a ledger within a ledger", 1, "entry.genesis", second_genesis),
    ("a ledger without a first entry", "no key, no origin, no trust", 1, "entry.genesis", without_a_genesis),
    ("a ledger that continues itself", "a chain of ledgers without a first one", 1, "origin.previous", continuing_itself),
    ("founded with a key of small order", "anyone can sign for such a key", 1, "key.form", founded_with(SMALL_ORDER)),
    ("founded with a key that is none", "a key of another length", 1, "entry.schema", founded_with(KEY.public.spki()[:-1])),
    ("founded with a key in another form", "y above the field's prime, the same point in a second form", 1, "key.form", founded_with(PREFIX + b"\xee" + b"\xff" * 30 + b"\x7f")),
    ("handed over to a key of small order", "anyone can sign for such a key", 1, "key.form", handed_over_to(SMALL_ORDER)),
    ("handed over to the key in force", "an epoch that changes nothing", 1, "key.repeated", to_itself),
    ("an entry older than the one above it", "time does not run backwards in a ledger", 1, "entry.time launch.unfinished", going_back),
    ("a blob taken away", "honest, and a value is not to be had", 3, "blob.withheld", withheld),
    ("a blob of another size than its entry says", "two lengths of one value", 1, "blob.digest", beside(["PATH"], size=9)),
    ("a blob that only says to be too long", "a size that nobody would allocate", 1, "blob.size", beside(["PATH"], size=blob.MAX_BYTES + 1)),
    ("a blob that is too long", "more than a reader has to hold", 1, "blob.size", beside(["x" * blob.MAX_BYTES])),
    ("a blob of too many values", "16 MiB of small values would be half a gigabyte", 3, "blob.unchecked", beside([""] * (MAX_VALUES + 1))),
    ("a blob of another form", "a string where a list belongs", 1, "blob.form", beside("PATH")),
    ("a blob of nested lists", "a value of another type within", 1, "blob.form", beside([["PATH"]])),
    ("a blob with needless base64", "two forms of one text", 1, "blob.form", beside([{"base64": "UEFUSA=="}])),
    ("a blob without a salt", "a digest from which the value can be guessed", 1, "blob.digest", unsalted),
    ("a capability set of another digest beside the start", "two sandboxes of one launch", 1, "launch.capabilities", wider_beside),
    ("a UNIX socket beside the start", "the sandbox has a door that was not asked for", 1, "launch.unix_sockets", sockets_beside),
    ("an open network beside the start", "the sandbox is wider than what was asked for", 1, "launch.network", open_beside),
]  # fmt: skip


def running(bench: Bench) -> Asked:
    """Name this very process as the supervisor of a launch that has no end."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        host = {**INTENT["host"], "boot_id": file.read().strip()}
    with open("/proc/self/stat", encoding="ascii") as file:
        started = int(file.read().rpartition(") ")[2].split()[19])
    namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    supervisor = {
        **INTENT["supervisor"],
        "pid": os.getpid(),
        "pid_namespace": namespace,
        "start_time": started,
    }
    book = Book()
    book.add(entry.INTENT, SESSION, changed(INTENT, host=host, supervisor=supervisor))
    return ask(bench, bench.write(book))


def rows(table: list[tuple[str, str, int, str, Callable[[], Book]]]) -> list[Mutation]:
    return [written(name, why, codes, of, code=status) for name, why, status, codes, of in table]


MUTATIONS = [
    *rows([(name, why, status, codes, of_session(entries)) for name, why, status, codes, entries in SESSIONS]),
    *rows(LEDGERS),
    Mutation("a launch that still runs", "what has not ended cannot have ended well", 3, frozenset({"launch.running"}), running, needs="linux"),
]  # fmt: skip
"""The rows of this part."""
