"""Proofs of one entry (``nono-verify proof``): false indices, surplus hashes, other checkpoints."""

# ruff: noqa: E501  # a table with one row a line is easier to check than one that is wrapped

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from attest import note, proof, tlog_proof, tree
from attest.checkpoint import Checkpoint
from attest.tlog_proof import TlogProof
from tests.gauntlet.mutation import Asked, Mutation, another_ledger
from tests.verify.conftest import KEY, STRANGER, Book, three_launches

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench

INDEX = 4


def prove(book: Book, index: int = INDEX, size: int | None = None) -> TlogProof:
    """Return the proof of an entry, by the definition of a node."""
    leaves = [tree.hash_leaf(body) for body in book.bodies[:size]]
    hashes = proof.prove_inclusion(
        index, len(leaves), lambda height, at: tree.root(leaves[at << height : (at + 1) << height])
    )
    return TlogProof(index, tuple(hashes), book.note(len(leaves)).encode())


BOOK = three_launches()
SIZE = len(BOOK.bodies)
BODY = BOOK.bodies[INDEX]
TRUE = prove(BOOK)
SIGNED = TRUE.checkpoint


def at(index: int, hashes: tuple[bytes, ...] = TRUE.hashes) -> bytes:
    return TlogProof(index, hashes, SIGNED).encode()


def under(signed: bytes | str) -> bytes:
    return TlogProof(INDEX, TRUE.hashes, signed.encode() if isinstance(signed, str) else signed).encode()


def put(old: bytes, new: bytes) -> bytes:
    data = TRUE.encode()
    assert old in data
    return data.replace(old, new, 1)


def of_the_other_size() -> bytes:
    """Entry 0 of 3 and of 4 have one way up, so the path holds at either size."""
    made = prove(BOOK, 0, 3)
    return TlogProof(0, made.hashes, made.checkpoint.replace(b"\n3\n", b"\n4\n")).encode()


def of_another_log() -> bytes:
    head = Checkpoint("example.com/log", 1, tree.hash_leaf(BODY))
    return TlogProof(0, (), note.sign(head.text(), [("example.com/log", KEY)]).encode()).encode()


BAD_LINE = Checkpoint(BOOK.origin, SIZE, bytes(32)).sign([KEY]).rpartition("\n\n")[2].encode()
OTHER = another_ledger(SIZE)


class Row(NamedTuple):
    name: str
    why: str
    exit: int
    codes: str
    proof: bytes
    body: bytes = BODY
    key: str | None = "key.pub"
    arguments: tuple[str, ...] = ()


ROWS = [
    Row("a proof of another entry", "an entry is passed off as one of the ledger", 1, "proof.root", TRUE.encode(), BODY.replace(b"denied", b"granted")),
    Row("a proof of an entry with a line end", "as a text editor would leave it", 1, "proof.root entry.form", TRUE.encode(), BODY + b"\n"),
    Row("a proof of nothing", "an empty file is no entry", 1, "proof.root entry.form", TRUE.encode(), b""),
    Row("a proof of too long an entry", "more than an entry can have", 1, "proof.root entry.size", TRUE.encode(), b"x" * 65_536),
    Row("a proof at a false index", "an entry is moved within the ledger", 1, "proof.root", at(INDEX - 1)),
    Row("a proof at the index of the size", "an entry beyond the end", 1, "proof.root", at(SIZE)),
    Row("a proof far beyond the size", "an entry beyond the end", 1, "proof.root", at(2**53 - 2)),
    Row("a proof with a hash more", "a surplus that a lenient checker leaves unread", 1, "proof.root", at(INDEX, (*TRUE.hashes, bytes(32)))),
    Row("a proof with a hash less", "a node is passed off as the root", 1, "proof.root", at(INDEX, TRUE.hashes[:-1])),
    Row("a proof without hashes", "a node is passed off as the root", 1, "proof.root", at(INDEX, ())),
    Row("a proof with its hashes turned round", "the same hashes in another order", 1, "proof.root", at(INDEX, TRUE.hashes[::-1])),
    Row("a proof with a bit flipped", "another way up", 1, "proof.root", at(INDEX, (bytes([TRUE.hashes[0][0] ^ 1]) + TRUE.hashes[0][1:], *TRUE.hashes[1:]))),
    Row("a node passed off as an entry", "the second preimage that the domains prevent", 1, "proof.root entry.form", at(INDEX >> 1, TRUE.hashes[1:]), b"\x01" + TRUE.hashes[0] + tree.hash_leaf(BODY)),
    Row("a proof under a false size", "a path does not bind the size, so the signature must", 1, "proof.signature", of_the_other_size(), BOOK.bodies[0]),
    Row("a proof under a false size, nothing pinned", "nobody can tell, so nobody is told that it holds", 3, "key.none_pinned", of_the_other_size(), BOOK.bodies[0], None),
    Row("a proof under another root", "the checkpoint of another history", 1, "proof.root", under(Checkpoint(BOOK.origin, SIZE, bytes(32)).sign([KEY]))),
    Row("a proof under another ledger's checkpoint", "the same key, another ledger", 1, "proof.root", under(OTHER.note(SIZE))),
    Row("another ledger's proof under a pinned origin", "the same key, another ledger", 3, "origin.not_pinned", prove(OTHER).encode(), OTHER.bodies[INDEX], "key.pub", ("--origin", BOOK.origin)),
    Row("a proof under a stranger's checkpoint", "somebody else's word", 3, "key.not_pinned", under(Checkpoint(BOOK.origin, SIZE, BOOK.edge().root()).sign([STRANGER]))),
    Row("a true proof under another key", "what is trusted is another key", 3, "key.not_pinned", TRUE.encode(), BODY, "stranger.pub"),
    Row("a true proof, nothing pinned", "anyone could have made it", 3, "key.none_pinned", TRUE.encode(), BODY, None),
    Row("a proof whose checkpoint has another origin", "the signature is of another ledger's name", 3, "key.not_pinned", under(SIGNED.replace(BOOK.origin.encode(), b"x" + BOOK.origin.encode()))),
    Row("a proof with a bad signature beside the good one", "a known key's bad signature rejects the note", 1, "proof.signature", under(SIGNED + BAD_LINE)),
    Row("a proof with the signature alone changed", "what nobody signed", 1, "proof.signature", under(SIGNED[:-20] + (b"A" if SIGNED[-20:-19] != b"A" else b"B") + SIGNED[-19:])),
    Row("a proof whose index has a zero before it", "a second way to write one number", 1, "proof.form", put(b"index 4", b"index 04")),
    Row("a proof whose index is beyond all", "2^53 is no index", 1, "proof.form", put(b"index 4", b"index 9007199254740992")),
    Row("a proof without an index", "a proof of anywhere", 1, "proof.form", put(b"index 4\n", b"")),
    Row("a proof without an empty line", "hashes and note in one", 1, "proof.form", put(b"\n\n", b"\n")),
    Row("a proof with a hash without padding", "base64 of the same bytes in another form", 1, "proof.form", put(b"=\n", b"\n")),
    Row("a proof with carriage returns", "as a text editor would leave it", 1, "proof.form", put(b"index 4\n", b"index 4\r\n")),
    Row("a proof of too many hashes", "no tree is that high", 1, "proof.form", put(b"\n\n", b"\n" + (b"A" * 43 + b"=\n") * 60 + b"\n")),
    Row("a proof with a checkpoint that is none", "words without a tree", 1, "proof.form", put(b"\n14\n", b"\nfourteen\n")),
    Row("a proof of another version", "what this verifier does not know", 2, "input.not_a_proof", b"c2sp.org/tlog-proof@v2\n" + TRUE.encode().partition(b"\n")[2]),
    Row("an empty file for a proof", "nothing was proved", 2, "input.not_a_proof", b""),
    Row("an entry for a proof", "the two files exchanged", 2, "input.not_a_proof", BODY, TRUE.encode()),
    Row("a proof of another kind of log", "nono's origins are of one form", 2, "input.not_a_proof", of_another_log()),
]  # fmt: skip


def made(row: Row) -> Callable[[Bench], Asked]:
    def make(bench: Bench) -> Asked:
        for name, data in (("x.tlog-proof", row.proof), ("entry.json", row.body)):
            with open(bench.path(name), "wb") as file:
                file.write(data)
        pinned = ["-k", bench.path(row.key)] if row.key else []
        return Asked(("proof", bench.path("x.tlog-proof"), bench.path("entry.json"), *pinned, *row.arguments))

    return make


def missing(bench: Bench) -> Asked:
    return Asked(("proof", bench.path("missing"), bench.path("missing")))


assert TRUE.encode().startswith(tlog_proof.HEADER)

MUTATIONS = [
    *(Mutation(row.name, row.why, row.exit, frozenset(row.codes.split()), made(row)) for row in ROWS),
    Mutation("a proof that is not there", "nothing was proved", 2, frozenset({"input.unreadable"}), missing),
]
"""The rows of this part."""
