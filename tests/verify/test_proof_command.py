"""``nono-verify proof``: one entry without its ledger; every exit code, and what is not excluded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

import verify
from attest import entry, note, proof, tlog_proof, tree
from attest.checkpoint import Checkpoint
from attest.keys import SigningKey
from attest.note import Verifier
from attest.tlog_proof import TlogProof
from tests.verify.conftest import BEGINNINGS, Judged, run
from verify import NotCheckedError, Pin, verify_proof

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

KEY, SUCCESSOR, STRANGER = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(verify.__file__)))
INDEX = 4


def make(book: Book, index: int = INDEX, *, size: int | None = None, signed: str | None = None) -> TlogProof:
    """Prove an entry of a book, by the definition of a node."""
    leaves = [tree.hash_leaf(body) for body in book.bodies[:size]]
    hashes = proof.prove_inclusion(
        index, len(leaves), lambda height, at: tree.root(leaves[at << height : (at + 1) << height])
    )
    return TlogProof(index, tuple(hashes), (signed or book.note(len(leaves))).encode())


def judge(
    bench: Bench, made: TlogProof | bytes, body: bytes, *arguments: str, key: str | None = "key.pub"
) -> Judged:
    """Run the command in both formats, which must agree and be of the schema, and return what it said."""
    for name, data in (
        ("x.tlog-proof", made.encode() if isinstance(made, TlogProof) else made),
        ("entry.json", body),
    ):
        with open(bench.path(name), "wb") as file:
            file.write(data)
    asked = ["proof", bench.path("x.tlog-proof"), bench.path("entry.json"), *arguments]
    return said(asked + (["-k", bench.path(key)] if key else []))


def said(asked: list[str]) -> Judged:
    status, text = run(asked)
    again, output = run([*asked, "--format", "json"])
    document = json.loads(output)
    with open(os.path.join(ROOT, "verify", "schemas", "proof-verdict.json"), encoding="utf-8") as file:
        jsonschema_rs.validator_for(json.load(file)).validate(document)
    assert status == again == document["exit"]
    assert text.startswith(BEGINNINGS[status])
    assert all(line.isprintable() for line in text.split("\n"))
    assert output.isascii()
    return Judged(status, document, text)


# --- 0 --------------------------------------------------------------------------------------------


def test_every_entry_of_a_ledger_is_verified(bench: Bench, book: Book) -> None:
    size = len(book.bodies)
    for index, body in enumerate(book.bodies):
        found = judge(bench, make(book, index), body)
        assert (found.status, found.codes) == (0, [])
        assert found.text.startswith(
            f"verified: entry {index} of {size}, key {KEY.public.fingerprint()[:16]}… (pinned)\n"
        )
        read = entry.parse(body)
        assert found.document == {
            "schema": "urn:nono-attest:schema:v1:proof-verdict",
            "verdict": "verified",
            "exit": 0,
            "origin": book.origin,
            "size": size,
            "root": book.edge().root().hex(),
            "index": index,
            "entry": {"kind": read.kind, "session": read.session, "seq": read.seq, "time": read.time},
            "pins": [
                {"fingerprint": KEY.public.fingerprint(), "source": bench.path("key.pub"), "met": "head"}
            ],
            "findings": [],
            "not_excluded": found.document["not_excluded"],
        }


def test_what_is_not_excluded_is_said(bench: Bench, book: Book) -> None:
    plain, beside = judge(bench, make(book), book.bodies[INDEX]), None
    for index, body in enumerate(book.bodies):
        if b'"blob"' in body:
            beside = judge(bench, make(book, index), body)
    assert beside is not None
    codes = [caveat["code"] for caveat in plain.document["not_excluded"]]
    assert codes == ["proof.entry_only", "proof.consistency", "keys.vouched", "host.trusted"]
    assert [caveat["code"] for caveat in beside.document["not_excluded"]] == [
        *codes[:-1], "blob.unseen", "host.trusted",
    ]  # fmt: skip
    for caveat in plain.document["not_excluded"]:
        assert f"    - {caveat['message']}\n" in plain.text
    assert f"the other {len(book.bodies) - 1} entries" in plain.text
    assert f"  entry: {entry.parse(book.bodies[INDEX]).kind}, session " in plain.text


def test_a_verifier_key_and_an_origin_pin_too(bench: Bench, book: Book) -> None:
    with open(bench.path("log.vkey"), "w", encoding="utf-8") as file:
        file.write(Verifier(book.origin, KEY.public).vkey() + "\n")
    found = judge(bench, make(book), book.bodies[INDEX], "--origin", book.origin, key="log.vkey")
    assert (found.status, found.codes) == (0, [])


def test_a_witness_under_the_checkpoint_does_not_matter(bench: Bench, book: Book) -> None:
    signed = book.note(len(book.bodies)) + "\u2014 witness.example/w1 AAAAAAAAAA==\n"
    assert judge(bench, make(book, signed=signed), book.bodies[INDEX]).status == 0


def test_the_library_says_what_the_command_says(book: Book) -> None:
    made = make(book).encode()
    assert verify_proof(made, book.bodies[INDEX], pins=[Pin(KEY.public)]).exit == 0
    assert verify_proof(made, book.bodies[INDEX]).exit == 3
    assert verify_proof(made, b"", pins=[Pin(KEY.public)]).exit == 1
    with pytest.raises(NotCheckedError):
        verify_proof(b"", book.bodies[INDEX], pins=[Pin(KEY.public)])


# --- handovers ------------------------------------------------------------------------------------


@pytest.fixture
def turned(new_book: Callable[..., Book]) -> Book:
    """Return a launch, a handover at entry 5, a launch under the new key."""
    made = new_book()
    made.launch()
    made.hand_over(SUCCESSOR)
    made.launch()
    return made


def test_after_a_handover_the_pin_is_the_new_key(bench: Bench, turned: Book) -> None:
    made, body = make(turned, 2), turned.bodies[2]
    assert judge(bench, made, body, key="successor.pub").status == 0
    old = judge(bench, made, body)
    assert (old.status, old.codes) == (3, ["key.not_pinned"])
    assert f"under key id {Verifier(turned.origin, SUCCESSOR.public).key_id().hex()};" in old.text
    assert "after a handover pin the new key" in old.text
    assert old.document["pins"][0]["met"] is None


def test_directly_after_a_handover_either_key_will_do(bench: Bench, turned: Book) -> None:
    made, body = make(turned, 2, size=6), turned.bodies[2]
    for key in ("key.pub", "successor.pub"):
        assert judge(bench, made, body, key=key).status == 0
    both = judge(bench, made, body, "-k", bench.path("successor.pub"))
    assert [pin["met"] for pin in both.document["pins"]] == ["head", "head"]


def test_a_proof_from_before_the_handover_keeps_its_key(bench: Bench, turned: Book) -> None:
    made, body = make(turned, 2, size=5), turned.bodies[2]
    assert judge(bench, made, body).status == 0
    assert judge(bench, made, body, key="successor.pub").codes == ["key.not_pinned"]


# --- 3 --------------------------------------------------------------------------------------------


def test_without_a_pin_nothing_is_verified(bench: Bench, book: Book) -> None:
    found = judge(bench, make(book), book.bodies[INDEX], key=None)
    assert (found.status, found.codes) == (3, ["key.none_pinned"])
    assert "anyone could have made this proof" in found.text
    assert "-k FILE" in found.text


def test_an_origin_alone_pins_nothing(bench: Bench, book: Book) -> None:
    """It is derived from the genesis key, but the genesis entry is not in a proof."""
    found = judge(bench, make(book), book.bodies[INDEX], "--origin", book.origin, key=None)
    assert (found.status, found.codes) == (3, ["key.none_pinned"])


def test_a_stranger_who_signs_everything(bench: Bench, new_book: Callable[..., Book]) -> None:
    theirs = new_book(STRANGER)
    theirs.launch()
    found = judge(bench, make(theirs), theirs.bodies[INDEX])
    assert (found.status, found.codes) == (3, ["key.not_pinned"])
    assert judge(bench, make(theirs), theirs.bodies[INDEX], key="stranger.pub").status == 0


def test_another_ledger_of_the_same_key(bench: Bench, book: Book, new_book: Callable[..., Book]) -> None:
    other = new_book(name="other")
    other.launch()
    made, body = make(other), other.bodies[INDEX]
    assert judge(bench, made, body).status == 0
    found = judge(bench, made, body, "--origin", book.origin)
    assert (found.status, found.codes) == (3, ["origin.not_pinned"])
    with open(bench.path("log.vkey"), "w", encoding="utf-8") as file:
        file.write(Verifier(book.origin, KEY.public).vkey())
    assert judge(bench, made, body, key="log.vkey").codes == ["key.not_pinned"]


def test_an_entry_of_a_kind_that_is_not_known(bench: Bench, book: Book) -> None:
    index = book.add("launch.dreamt", None, {})
    found = judge(bench, make(book, index), book.bodies[index])
    assert (found.status, found.codes) == (3, ["entry.kind"])


# --- 1 --------------------------------------------------------------------------------------------


def failed(found: Judged, *codes: str) -> Judged:
    assert (found.status, found.codes) == (1, list(codes))
    assert found.document["entry"] is None
    assert not any(pin["met"] for pin in found.document["pins"])
    return found


def test_another_entry(bench: Bench, book: Book) -> None:
    failed(judge(bench, make(book), book.bodies[INDEX + 1]), "proof.root")
    body = book.bodies[INDEX]
    for changed in (body.replace(b"/etc/shadow", b"/etc/passwd"), body[:-1] + b" }"):
        assert changed != body
        assert judge(bench, make(book), changed).codes[0] == "proof.root"


def test_a_newline_at_the_end_is_named(bench: Bench, book: Book) -> None:
    found = judge(bench, make(book), book.bodies[INDEX] + b"\n")
    assert found.status == 1
    assert "the file ends in a newline, which no entry does" in found.text
    assert "newline" not in judge(bench, make(book), book.bodies[INDEX + 1]).text


def test_an_entry_that_is_too_long_for_one(bench: Bench, book: Book) -> None:
    failed(judge(bench, make(book), b"x" * 65_536), "proof.root", "entry.size")


def test_a_false_index_and_a_path_of_another_length(bench: Bench, book: Book) -> None:
    made, body = make(book), book.bodies[INDEX]
    for index, hashes in (
        (INDEX - 1, made.hashes),
        (len(book.bodies), made.hashes),
        (INDEX, made.hashes[:-1]),
        (INDEX, (*made.hashes, bytes(32))),
        (INDEX, made.hashes[::-1]),
        (INDEX, ()),
    ):
        failed(judge(bench, TlogProof(index, hashes, made.checkpoint), body), "proof.root")


def test_a_false_size_is_what_nobody_signed(bench: Bench, new_book: Callable[..., Book]) -> None:
    """Entry 0 of 3 and of 4 have one way up, so the path holds at either size: the signature tells."""
    book = new_book()
    book.launch()
    made = make(book, 0, size=3)
    truth = judge(bench, made, book.bodies[0])
    assert (truth.status, truth.document["size"]) == (0, 3)
    false = made.checkpoint.replace(b"\n3\n", b"\n4\n")
    failed(judge(bench, TlogProof(0, made.hashes, false), book.bodies[0]), "proof.signature")
    # Without the key nobody can tell, and nobody is told that it holds.
    assert judge(bench, TlogProof(0, made.hashes, false), book.bodies[0], key=None).status == 3


def test_a_changed_checkpoint(bench: Bench, book: Book) -> None:
    made, body = make(book), book.bodies[INDEX]
    other = Checkpoint(book.origin, len(book.bodies), bytes(32)).sign([KEY]).encode()
    failed(judge(bench, TlogProof(INDEX, made.hashes, other), body), "proof.root")
    name = book.origin.encode()
    renamed = made.checkpoint.replace(name, b"x" + name)
    assert judge(bench, TlogProof(INDEX, made.hashes, renamed), body).codes == ["key.not_pinned"]
    moved = made.checkpoint.replace(name, b"x" + name, 1)
    assert judge(bench, TlogProof(INDEX, made.hashes, moved), body).codes == ["key.not_pinned"]


def test_a_bad_signature_of_the_pinned_key_beside_a_good_one(bench: Bench, book: Book) -> None:
    size = len(book.bodies)
    lines = book.note(size).rpartition("\n\n")[2]
    bad = Checkpoint(book.origin, size, bytes(32)).sign([KEY]).rpartition("\n\n")[2]
    failed(judge(bench, make(book, signed=book.note(size) + bad), book.bodies[INDEX]), "proof.signature")
    assert judge(bench, make(book, signed=book.note(size) + lines), book.bodies[INDEX]).status == 0


def test_every_changed_byte_of_a_proof(bench: Bench, book: Book) -> None:
    data, body = make(book).encode(), book.bodies[INDEX]
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            assert verify_proof(changed, body, pins=[Pin(KEY.public)]).exit in {1, 3}
        except NotCheckedError:
            assert at < len(tlog_proof.HEADER) or b"\n%s\n" % book.origin.encode() not in changed


def test_an_entry_that_was_signed_and_is_none(bench: Bench, book: Book) -> None:
    index = book.add(entry.INTENT, book.new_session(), {"command": []})
    failed(judge(bench, make(book, index), book.bodies[index]), "entry.schema")
    for body in (b"", b"not JSON", b'{"a": 1}', b"[" * 5_000, b"\xff" * 40):
        book.bodies.append(body)
        failed(judge(bench, make(book, len(book.bodies) - 1), body), "entry.form")


@pytest.mark.parametrize(
    "change",
    [
        (b"index 4", b"index 04"),
        (b"index 4", b"index 9007199254740992"),
        (b"index 4\n", b""),
        (b"\n\n", b"\n"),
        (b"=\n", b"\n"),
    ],
)
def test_a_malformed_proof(bench: Bench, book: Book, change: tuple[bytes, bytes]) -> None:
    data = make(book).encode()
    changed = data.replace(*change, 1)
    assert changed != data
    failed(judge(bench, changed, book.bodies[INDEX]), "proof.form")


def test_control_characters_of_a_proof_never_reach_the_terminal(bench: Bench, book: Book) -> None:
    evil = "\x1b[2J\u202eevil\u2028\x9b31m"
    body = book.bodies[INDEX]
    for signed in (
        f"{evil}\n1\n{'A' * 43}=\n\n\u2014 a AAAAAAAA\n",
        f"{evil[4:]}\n1\n{'A' * 43}=\n\n\u2014 {evil[4:]} AAAAAAAA\n",
    ):
        data = tlog_proof.HEADER + b"index 0\n\n" + signed.encode()
        assert judge(bench, data, body).status in {1, 2}  # judge() looks at every line
    os.rename(bench.path("x.tlog-proof"), bench.path("evil\x1b[2J.tlog-proof"))
    assert said(["proof", bench.path("evil\x1b[2J.tlog-proof"), bench.path("no\x1b[2J.json")]).status == 2


# --- 2 --------------------------------------------------------------------------------------------


def test_what_is_no_proof_is_not_checked(bench: Bench, book: Book) -> None:
    body = book.bodies[INDEX]
    for data in (b"", b"hello\n", body, b"c2sp.org/tlog-proof@v2\nindex 0\n", make(book).encode()[1:]):
        assert judge(bench, data, body).codes == ["input.not_a_proof"]
    # A ledger and a proof exchanged: SQLite's header is no proof's.
    with open(bench.write(book), "rb") as file:
        assert judge(bench, file.read(), body).codes == ["input.not_a_proof"]


def test_a_proof_from_another_kind_of_log_is_not_checked(bench: Bench) -> None:
    body = b"an entry"
    signed = note.sign(
        Checkpoint("example.com/log", 1, tree.hash_leaf(body)).text(), [("example.com/log", KEY)]
    )
    found = judge(bench, TlogProof(0, (), signed.encode()), body)
    assert (found.status, found.codes) == (2, ["input.not_a_proof"])


def test_what_cannot_be_read_is_not_checked(bench: Bench, book: Book) -> None:
    assert judge(bench, make(book), book.bodies[INDEX]).status == 0
    good, body, key = bench.path("x.tlog-proof"), bench.path("entry.json"), ["-k", bench.path("key.pub")]
    for arguments in (
        [bench.path("missing"), body, *key],
        [good, bench.path("missing"), *key],
        [bench.directory, body, *key],
        [good, bench.directory, *key],
        ["a\0b", body, *key],
    ):
        assert said(["proof", *arguments]).codes == ["input.unreadable"]
    assert said(["proof", good, body, "-k", bench.path("missing")]).codes == ["key.unreadable"]
    assert said(["proof", good, body, *key, "--origin", "x"]).codes == ["input.usage"]


def test_a_proof_that_is_without_measure_is_read_in_part(bench: Bench, book: Book) -> None:
    judge(bench, make(book), book.bodies[INDEX])
    with open(bench.path("endless"), "wb") as file:
        file.truncate(1 << 26)
    assert said(["proof", bench.path("endless"), bench.path("entry.json")]).codes == ["input.not_a_proof"]
    endless = said(["proof", bench.path("x.tlog-proof"), bench.path("endless"), "-k", bench.path("key.pub")])
    assert endless.codes == ["proof.root", "entry.size"]


@pytest.mark.parametrize("arguments", [(), ("a",), ("a", "b", "c"), ("a", "b", "--allow-running")])
def test_bad_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    assert verify_command("proof", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("not checked: ")


def verify_command(*arguments: str) -> int:
    from verify.cli import main

    return main(arguments)


def test_help_has_the_exit_codes_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_command("proof", "--help") == 0
    text = capsys.readouterr().out
    assert "exit codes:" in text
    assert "nono-verify proof x.tlog-proof entry.json -k ci.pub" in text


def test_the_keys_come_from_where_they_do_for_a_ledger(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, body = make(book), book.bodies[INDEX]
    monkeypatch.setenv("NONO_VERIFY_KEY", bench.path("key.pub"))
    assert judge(bench, made, body, key=None).status == 0
    assert judge(bench, made, body, key="stranger.pub").codes == ["key.not_pinned"]
    monkeypatch.delenv("NONO_VERIFY_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", bench.path("configuration"))
    assert run(["trust", "add", bench.path("key.pub")])[0] == 0
    assert judge(bench, made, body, key=None).status == 0


def test_it_runs_by_itself_where_what_only_linux_has_is_absent(bench: Bench, book: Book) -> None:
    assert judge(bench, make(book), book.bodies[INDEX]).status == 0
    absent = ("landlock", "pyseccomp", "sqlalchemy", "alembic", "runtime", "store", "resource", "pwd")
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {absent!r}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from verify.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done: subprocess.CompletedProcess[Any] = subprocess.run(
        [
            sys.executable, "-c", program, "proof", bench.path("x.tlog-proof"), bench.path("entry.json"),
            "-k", bench.path("key.pub"),
        ],
        check=False, capture_output=True, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"verified: entry 4 of ")
