"""Who signed it, and what is remembered of it: strangers, other ledgers, bad keys, older copies."""

# ruff: noqa: E501  # a table with one row a line is easier to check than one that is wrapped

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest import checkpoint, note
from attest.note import Verifier
from tests.gauntlet.mutation import Asked, Mutation, another_ledger, ask, handed_over, written
from tests.verify.conftest import KEY, STRANGER, SUCCESSOR, Book, three_launches

if TYPE_CHECKING:
    from collections.abc import Callable

    from attest.keys import SigningKey
    from tests.verify.conftest import Bench

SIZE = 14


def put(bench: Bench, name: str, data: bytes | str) -> str:
    path = bench.path(name)
    with open(path, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    return path


# --- strangers ------------------------------------------------------------------------------------


def signed_again() -> Book:
    """The same launches, founded and signed by somebody else."""
    book = Book(STRANGER)
    book.launch(decisions=2)
    return book


def headed(signers: list[SigningKey], of: Callable[[], Book] = three_launches) -> Callable[[Bench], Asked]:
    def make(bench: Bench) -> Asked:
        book = of()
        return ask(bench, bench.write(book, head=book.note(len(book.bodies), signers)))

    return make


def handed_to_the_pinned_key(head: list[SigningKey] | None, *, kept: bool) -> Callable[[Bench], Asked]:
    """A stranger can name the pinned key as the next one, but cannot sign with it."""

    def make(bench: Bench) -> Asked:
        book = Book(STRANGER)
        book.launch()
        book.hand_over(KEY)
        book.keys[-1] = (book.keys[-1][0], [STRANGER, STRANGER])
        if not kept:
            book.kept.clear()
        return ask(bench, bench.write(book, head=head and book.note(len(book.bodies), head)))

    return make


def gone_on_behind_the_pinned_key() -> Book:
    """A stranger's ledger that is handed to the pinned key in name, and goes on under the stranger's next."""
    book = Book(STRANGER)
    book.hand_over(KEY)
    book.keys[-1] = (book.keys[-1][0], [STRANGER, STRANGER])
    book.hand_over(SUCCESSOR)
    book.keys[-1] = (book.keys[-1][0], [STRANGER, SUCCESSOR])
    return book


def honestly_handed_to(key: SigningKey) -> Callable[[], Book]:
    """A stranger's ledger whose last key really signed: that pin is met, and no other."""

    def make() -> Book:
        book = Book(STRANGER)
        book.launch()
        book.hand_over(key)
        return book

    return make


def between() -> Book:
    """A ledger that was under the successor for a while, whose key is neither the first nor the last."""
    book = handed_over()
    book.hand_over(STRANGER)
    book.launch()
    return book


def back_again() -> Book:
    book = handed_over()
    book.hand_over(KEY)
    return book


def head_of_another(bench: Bench) -> Asked:
    return ask(bench, bench.write(three_launches(), head=another_ledger(SIZE).note(SIZE)))


def head_and_edge_of_another(bench: Bench) -> Asked:
    other = another_ledger(SIZE)
    path = bench.write(three_launches(), head=other.note(SIZE))
    return ask(bench, bench.alter(path, ("UPDATE head SET edge = ?", (other.edge().encode(),))))


def older_head(bench: Bench) -> Asked:
    return ask(bench, bench.write(three_launches(), head=three_launches().note(7)))


def newer_head(bench: Bench) -> Asked:
    book = three_launches()
    head = book.note(SIZE)
    del book.bodies[7:], book.blobs[:]
    return ask(bench, bench.write(book, head=head))


def another_under_a_pinned_origin(bench: Bench) -> Asked:
    return ask(bench, bench.write(another_ledger(SIZE)), "--origin", three_launches().origin)


def another_under_an_origin_alone(bench: Bench) -> Asked:
    return ask(bench, bench.write(another_ledger(SIZE)), "--origin", three_launches().origin, key=None)


def another_under_a_verifier_key(bench: Bench) -> Asked:
    put(bench, "ledger.vkey", Verifier(three_launches().origin, KEY.public).vkey())
    return ask(bench, bench.write(another_ledger(SIZE)), key="ledger.vkey")


# --- keys -------------------------------------------------------------------------------------------

SMALL = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n"
P256 = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAAAA\n-----END PUBLIC KEY-----\n"
VKEY = Verifier(three_launches().origin, KEY.public).vkey()

KEYS: list[tuple[str, str, bytes | str]] = [
    ("an empty key", "nothing is trusted", b""),
    ("a key of text", "nothing is trusted", "hello\n"),
    ("a key of any bytes", "nothing is trusted", bytes(range(256))),
    ("a private key", "a secret where a public key belongs", KEY.pem()),
    ("a key cut short", "half of a key is none", KEY.public.pem()[:60]),
    ("a key of another type", "Ed25519 alone is taken", P256),
    ("a key of small order", "anyone can sign for it", SMALL),
    ("two keys in one file", "one reader takes the first, one the second", STRANGER.public.pem() + KEY.public.pem()),
    ("a certificate", "no chain of trust is asked", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
    ("a verifier key with another id", "a key that is not the one it says", VKEY.replace(VKEY.split("+")[1], "00000000")),
    ("a verifier key of a witness", "a witness signs no ledger", "test+0dd95d79+BIqI490=\n"),
    ("a key without an end", "a file that fills the memory", b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 70_000),
]  # fmt: skip


def keyed(data: bytes | str) -> Callable[[Bench], Asked]:
    def make(bench: Bench) -> Asked:
        put(bench, "bad.pub", data)
        return ask(bench, bench.write(three_launches()), key="bad.pub")

    return make


def bad_beside_good(bench: Bench) -> Asked:
    return ask(bench, bench.write(three_launches()), "-k", put(bench, "bad.pub", SMALL))


def missing_key(bench: Bench) -> Asked:
    return ask(bench, bench.write(three_launches()), key="missing.pub")


def folder_key(bench: Bench) -> Asked:
    os.mkdir(bench.path("folder.pub"))
    return ask(bench, bench.write(three_launches()), key="folder.pub")


def key_in_the_environment(bench: Bench) -> Asked:
    return Asked((bench.write(three_launches()),), {"NONO_VERIFY_KEY": put(bench, "x.pub", "hello")})


def open_trust_store(bench: Bench) -> Asked:
    """Another user of the machine puts a key where the user's own are."""
    place = bench.path("configuration/nono/trust")
    os.makedirs(place)
    put(bench, "configuration/nono/trust/stranger.pub", STRANGER.public.pem())
    os.chmod(place, 0o777)
    return Asked((bench.write(signed_again()),), {"XDG_CONFIG_HOME": bench.path("configuration")})


def no_origin(bench: Bench) -> Asked:
    return ask(bench, bench.write(three_launches()), "--origin", "Test/../x")


def empty_origin(bench: Bench) -> Asked:
    return ask(bench, bench.write(three_launches()), "--origin", "")


# --- memory -----------------------------------------------------------------------------------------------


def remembering(
    memory: bytes | str, of: Callable[[], Book] = three_launches, flag: str = "--checkpoint"
) -> Callable[[Bench], Asked]:
    def make(bench: Bench) -> Asked:
        return ask(bench, bench.write(of()), flag, put(bench, "memory", memory))

    return make


def older() -> Book:
    """Return what three_launches() was after its first launch."""
    book = three_launches()
    del book.bodies[7:], book.blobs[:]
    return book


def other_history() -> Book:
    """Return another history of the very ledger that three_launches() is, signed by its key."""
    book = Book()
    book.launch(decisions=20)
    return book


def cut_with_memory(bench: Bench) -> Asked:
    """Not even the head of then is there: it is the newest, and its tail is gone."""
    path = bench.alter(bench.write(three_launches()), "DELETE FROM entry WHERE idx > 10")
    return ask(bench, path, "--checkpoint", put(bench, "memory", three_launches().note(SIZE)))


def in_the_place_of_another(bench: Bench) -> Asked:
    """The newest ledger was saved, and an older file lies there now; its own -wal is gone with it."""
    path, old = bench.write(three_launches()), bench.write(older())
    memory = put(bench, "memory", three_launches().note(SIZE))
    os.replace(old, path)
    return ask(bench, path, "--save-checkpoint", memory)


def unreadable_memory(bench: Bench) -> Asked:
    return ask(bench, bench.write(three_launches()), "--checkpoint", bench.path("missing"))


def unwritable_memory(bench: Bench) -> Asked:
    return ask(bench, bench.write(three_launches()), "--save-checkpoint", bench.path("not/there"))


HEAD = three_launches().note(SIZE)
ORIGIN = three_launches().origin
BODY = HEAD.partition("\n\n")[0] + "\n"

MUTATIONS = [
    # --- strangers
    written("signed again by a stranger", "everything holds, under a key that nobody trusts", "key.not_pinned", signed_again, code=3),
    written("signed again by a stranger, nothing pinned", "everything holds, and anyone could have made it", "key.none_pinned", signed_again, code=3, key=None),
    written("a true ledger, nothing pinned", "everything holds, and anyone could have made it", "key.none_pinned", three_launches, code=3, key=None),
    written("a true ledger, another key pinned", "what is trusted is another key", "key.not_pinned", three_launches, code=3, key="stranger.pub"),
    Mutation("a head signed by a stranger", "the first entry is kept, and somebody else signs", 1, frozenset({"head.signature"}), headed([STRANGER])),
    Mutation("a head signed by a stranger too", "a second signature is no help", 1, frozenset({"head.signature"}), headed([KEY, STRANGER])),
    Mutation("a head signed by the old key", "who was replaced signs on", 1, frozenset({"head.signature"}), headed([KEY], handed_over)),
    Mutation("a head signed by the key to come", "who was not yet in force signs", 1, frozenset({"head.signature"}), headed([SUCCESSOR])),
    Mutation("a stranger's ledger that ends in a handover to the pinned key", "a key that is merely named has vouched for nothing", 1, frozenset({"head.signature", "checkpoint.signature"}), handed_to_the_pinned_key(None, kept=True)),
    Mutation("the same, the head signed by the stranger alone", "a key that is merely named has vouched for nothing", 1, frozenset({"head.signature", "checkpoint.signature"}), handed_to_the_pinned_key([STRANGER], kept=True)),
    Mutation("the same, without the handover's checkpoint", "a key that is merely named has vouched for nothing", 1, frozenset({"head.signature", "checkpoint.missing"}), handed_to_the_pinned_key([STRANGER], kept=False)),
    written("a stranger's ledger that goes on behind the pinned key", "a key in the middle has signed neither end", "checkpoint.signature head.signature", gone_on_behind_the_pinned_key),
    written("a stranger's ledger handed to somebody else", "neither end of it is the pinned key's", "key.not_pinned", honestly_handed_to(SUCCESSOR), code=3),
    written("a pinned key in the middle", "a key that has neither founded a ledger nor signed its head vouches for neither", "key.not_pinned", between, code=3, key="successor.pub"),
    written("a key that comes back", "whoever has the old key would be in force again", "key.repeated", back_again),
    # --- other ledgers
    Mutation("another ledger's head", "the same key, another ledger", 1, frozenset({"head.origin", "tree.edge", "tree.root"}), head_of_another),
    Mutation("another ledger's head and edge", "the same key, another ledger", 1, frozenset({"head.origin", "tree.root"}), head_and_edge_of_another),
    Mutation("an older head of the same ledger", "the newest launches are disowned", 1, frozenset({"head.beyond", "tree.edge", "blob.surplus"}), older_head),
    Mutation("a newer head of the same ledger", "the newest launches are gone", 1, frozenset({"entry.missing"}), newer_head),
    Mutation("another true ledger under a pinned origin", "the same key, another ledger", 3, frozenset({"origin.not_pinned"}), another_under_a_pinned_origin),
    Mutation("another true ledger under a pinned origin alone", "the same key, another ledger", 3, frozenset({"origin.not_pinned"}), another_under_an_origin_alone),
    Mutation("another true ledger under a verifier key", "a verifier key names its ledger", 3, frozenset({"key.not_pinned"}), another_under_a_verifier_key),
    # --- keys
    *(Mutation(name, why, 2, frozenset({"key.format"}), keyed(data)) for name, why, data in KEYS),
    Mutation("a bad key beside a good one", "what cannot be read is not passed over", 2, frozenset({"key.format"}), bad_beside_good),
    Mutation("a key that is not there", "nothing is trusted", 2, frozenset({"key.unreadable"}), missing_key),
    Mutation("a directory for a key", "nothing is trusted", 2, frozenset({"key.unreadable"}), folder_key),
    Mutation("a bad key in the environment", "nothing is trusted", 2, frozenset({"key.format"}), key_in_the_environment),
    Mutation("a trust store that others can write to", "somebody else's key is not the user's", 2, frozenset({"key.store"}), open_trust_store),
    Mutation("an origin that is none", "a ledger that cannot exist is not trusted", 2, frozenset({"input.usage"}), no_origin),
    Mutation("an empty origin", "an empty variable of a pipeline must not pass for no requirement", 2, frozenset({"input.usage"}), empty_origin),
    # --- memory
    Mutation("an older copy against a remembered checkpoint", "launches are hidden by putting an older copy back", 1, frozenset({"memory.older"}), remembering(HEAD, older)),
    Mutation("an older copy against the saved checkpoint", "launches are hidden by putting an older copy back", 1, frozenset({"memory.older"}), remembering(HEAD, older, "--save-checkpoint")),
    Mutation("an older copy in the very place", "launches are hidden by putting an older copy back", 1, frozenset({"memory.older"}), in_the_place_of_another),
    Mutation("a cut tail against a remembered checkpoint", "launches are hidden by cutting them off", 1, frozenset({"entry.missing", "memory.root"}), cut_with_memory),
    Mutation("another history against a remembered checkpoint", "one key, two histories", 1, frozenset({"memory.root"}), remembering(three_launches().note(9), other_history)),
    Mutation("a remembered checkpoint of another root", "one key, two histories", 1, frozenset({"memory.root"}), remembering(checkpoint.Checkpoint(ORIGIN, 5, bytes(32)).sign([KEY]))),
    Mutation("a remembered checkpoint of another ledger", "what is remembered says nothing about this one", 3, frozenset({"memory.origin"}), remembering(another_ledger(SIZE).note(SIZE))),
    Mutation("a remembered checkpoint by a stranger", "anyone could have written it", 2, frozenset({"memory.signature"}), remembering(checkpoint.Checkpoint(ORIGIN, 999, bytes(32)).sign([STRANGER]))),
    Mutation("a remembered checkpoint with a bad signature", "a known key's bad signature is no signature", 2, frozenset({"memory.signature"}), remembering(HEAD.replace("\n14\n", "\n13\n"))),
    Mutation("a remembered checkpoint with a good and a bad signature", "a known key's bad signature is no signature", 2, frozenset({"memory.signature"}), remembering(HEAD + older().note(7).rpartition("\n\n")[2])),
    Mutation("a remembered checkpoint under another name", "a signature under another name is another log's", 2, frozenset({"memory.signature"}), remembering(note.sign(BODY, [("other", KEY)]))),
    Mutation("a remembered checkpoint of nothing", "an empty ledger is continued by all", 2, frozenset({"memory.form"}), remembering(checkpoint.Checkpoint(ORIGIN, 0, bytes(32)).sign([KEY]))),
    Mutation("a remembered checkpoint with an extension line", "words that nobody here understands", 2, frozenset({"memory.form"}), remembering(HEAD.replace("\n\n", "\nmore\n\n"))),
    Mutation("an empty file for a remembered checkpoint", "what was forgotten must not pass for remembered", 2, frozenset({"memory.form"}), remembering(b"")),
    Mutation("any bytes for a remembered checkpoint", "what was forgotten must not pass for remembered", 2, frozenset({"memory.form"}), remembering(b"\xff" * 100)),
    Mutation("a remembered checkpoint without an end", "a file that fills the memory", 2, frozenset({"memory.form"}), remembering(b"x" * 3_000_000)),
    Mutation("a remembered checkpoint that is not there", "what was forgotten must not pass for remembered", 2, frozenset({"memory.unreadable"}), unreadable_memory),
    Mutation("a checkpoint that cannot be saved", "what could not be remembered must not seem to be", 2, frozenset({"memory.unwritable"}), unwritable_memory),
]  # fmt: skip
"""The rows of this part."""
