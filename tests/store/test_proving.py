"""Proofs from a ledger's file: that they hold, what they read, and what a changed file gives away."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

import pytest
from tlog_scales import tiles as layout
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader

from attest import checkpoint, entry, ledger_format, note, proof, tlog_proof, tree
from attest.checkpoint import Checkpoint
from attest.errors import ProofError, SignatureError
from attest.keys import SigningKey
from attest.note import Verifier
from store.errors import LedgerError, TamperedLedgerError
from store.proving import LedgerProver
from tests.store.place import drafts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.store.place import Place

KEY = SigningKey(b"\x05" * 32)
ORIGIN = "built/" + "0" * 32


def head_of(place: Place) -> Checkpoint:
    return checkpoint.parse_text(note.parse(place.head().encode()).text)


def verified(place: Place, index: int, *keys: SigningKey) -> tlog_proof.TlogProof:
    """Prove an entry and verify the proof as its reader would, from the bytes alone."""
    with LedgerProver(place.path) as prover:
        proven = prover.prove_entry(index)
    read = tlog_proof.parse(proven.proof.encode())
    verifiers = [Verifier(head_of(place).origin, key.public) for key in keys or (place.key,)]
    assert tlog_proof.verify(read, proven.body, verifiers) == head_of(place)
    return read


@pytest.mark.parametrize("entries", [0, 1, 2, 254, 255, 256, 300])
def test_every_entry_is_proved(place: Place, entries: int) -> None:
    place.found(entries).close()
    bodies = place.check()
    with LedgerProver(place.path) as prover:
        for index, body in enumerate(bodies):
            proven = prover.prove_entry(index)
            assert proven.body == body
            assert proven.proof.index == index
            assert proven.tiles <= 2
            read = tlog_proof.parse(proven.proof.encode())
            tlog_proof.verify(read, body, [Verifier(head_of(place).origin, place.key.public)])


def test_a_proof_holds_while_the_ledger_grows(place: Place) -> None:
    ledger = place.found(10)
    with LedgerProver(place.path) as prover:
        before = prover.prove_entry(3)
        ledger.append(drafts(300))
        after = prover.prove_entry(3)
    assert before.body == after.body
    verifier = Verifier(ledger.origin, place.key.public)
    sizes = [tlog_proof.verify(each.proof, each.body, [verifier]).size for each in (before, after)]
    assert sizes == [11, 311]
    ledger.close()


def test_a_proof_is_of_one_moment(place: Place) -> None:
    """Between two queries of one proof a writer commits; the proof is of the moment at which it began."""
    ledger = place.found(5)
    with LedgerProver(place.path) as prover:
        seen: list[str] = []

        def watch(statement: str) -> None:
            if "FROM head" in statement and not seen:
                seen.append(statement)
            elif seen and len(seen) == 1:
                seen.append(statement)
                ledger.append(drafts(300))

        prover._db.set_trace_callback(watch)
        proven = prover.prove_entry(2)
    assert len(seen) == 2
    assert head_of(place).size == 306
    held = tlog_proof.verify(proven.proof, proven.body, [Verifier(ledger.origin, place.key.public)])
    assert held.size == 6
    ledger.close()


def test_after_a_handover_the_key_in_force_signs_the_proof(place: Place) -> None:
    ledger, successor = place.found(3), SigningKey.generate()
    turn = ledger.hand_over(successor, "rotation").index
    # Directly after it both keys sign.
    assert head_of(place).size == turn + 1
    verified(place, 1, place.key)
    verified(place, 1, successor)
    ledger.append(drafts(1))
    verified(place, 1, successor)
    with pytest.raises(Exception, match="no signature of a known key"):
        verified(place, 1, place.key)
    ledger.close()


@pytest.mark.parametrize("index", [-1, 4, 2**53, 2**70])
def test_no_proof_of_an_entry_that_is_not_there(place: Place, index: int) -> None:
    place.found(3).close()
    with LedgerProver(place.path) as prover, pytest.raises(LedgerError) as caught:
        prover.prove_entry(index)
    assert caught.value.code == "ledger.no_entry"


# --- how much is read -----------------------------------------------------------------------------


class Built:
    """A ledger's file of many small entries that are none, written without the code under test."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = os.fsencode(path)
        self.levels = [[tree.hash_leaf(b"%d" % number) for number in range(size)]]
        edge = tree.Edge()
        for leaf in self.levels[0]:
            edge.append(leaf)
        self.head = Checkpoint(ORIGIN, size, edge.root())
        self.note = self.head.sign([KEY]).encode()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"PRAGMA application_id = {ledger_format.APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {ledger_format.FORMAT_VERSION}")
            db.execute("BEGIN")
            for statement in ledger_format.ddl():
                db.execute(statement)
            db.executemany(
                "INSERT INTO entry VALUES (?, ?)", ((number, str(number)) for number in range(size))
            )
            while len(self.levels[-1]) >= tree.TILE_WIDTH:
                hashes = self.levels[-1]
                whole = len(hashes) // tree.TILE_WIDTH
                cut = [hashes[at * tree.TILE_WIDTH : (at + 1) * tree.TILE_WIDTH] for at in range(whole)]
                roots = [tree.perfect_root(tile) for tile in cut]
                db.executemany(
                    "INSERT INTO tile VALUES (?, ?, ?, ?)",
                    ((len(self.levels) - 1, at, roots[at], b"".join(tile)) for at, tile in enumerate(cut)),
                )
                self.levels.append(roots)
            db.execute("INSERT INTO head VALUES (0, ?, ?)", (self.note.decode(), edge.encode()))
            db.execute("COMMIT")


LARGE = 3 * 65_536 + 2 * 256 + 77
"""Three full tiles of level 1, two more of level 0, and the rest: a third level, and all three partial."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("large") / "ledger.db", LARGE)


def indices(size: int) -> Sequence[int]:
    edges = {0, 1, 255, 256, 65_535, 65_536, 131_071, 131_072, 196_607, 196_608, 196_864, 197_119}
    return sorted({*(index for index in edges if index < size), *range(0, size, 7_919), size - 77, size - 1})


def test_a_proof_reads_at_most_three_tiles(built: Built) -> None:
    most = 0
    queries: list[str] = []
    with LedgerProver(built.path) as prover:
        prover._db.set_trace_callback(queries.append)
        for index in indices(LARGE):
            queries.clear()
            proven = prover.prove_entry(index)
            assert proven.body == b"%d" % index
            tlog_proof.verify(proven.proof, proven.body, [Verifier(ORIGIN, KEY.public)])
            # Begin, the head, the entry itself, a query a tile, and the end.
            assert len(queries) == 4 + proven.tiles
            assert proven.tiles <= 3
            most = max(most, proven.tiles)
    assert most == 3, "the ledger is too small to show it"


def test_a_tile_that_grows_is_made_of_at_most_255_entries(built: Built) -> None:
    read: list[tuple[int, int]] = []
    with LedgerProver(built.path) as prover:
        prover._db.set_trace_callback(
            lambda statement: read.append(span(statement)) if "FROM entry" in statement else None
        )
        prover.prove_entry(LARGE - 40)
        prover.prove_entry(1_000)
    assert read == [
        (LARGE - 40, LARGE - 39),
        (LARGE - 77, LARGE),
        (1_000, 1_001),
    ]


def span(statement: str) -> tuple[int, int]:
    """Return from where and to where a query of entries reaches, of its text with the values in it."""
    words = statement.replace("\n", " ").split()
    return int(words[words.index(">=") + 1]), int(words[words.index("<") + 1])


def test_a_continuation_reads_at_most_three_tiles(built: Built) -> None:
    most = 0
    with LedgerProver(built.path) as prover:
        for size in [0, *(index + 1 for index in indices(LARGE))]:
            past = Checkpoint(ORIGIN, size, tree.root(built.levels[0][:size]))
            said = prover.prove_continuation(past)
            proof.check_consistency(past, built.head, said.hashes)
            assert said.checkpoint == built.note
            assert said.tiles <= 3
            most = max(most, said.tiles)
    assert most == 3


def test_the_proof_is_the_one_that_tlog_scales_makes_from_tiles(built: Built, tmp_path: Path) -> None:
    """The same tree in the layout of C2SP tlog-tiles, read by another implementation: the same bytes."""
    for level, hashes in enumerate(built.levels):
        for start in range(0, len(hashes), tree.TILE_WIDTH):
            tile = hashes[start : start + tree.TILE_WIDTH]
            partial = len(tile) if len(tile) < tree.TILE_WIDTH else 0
            path = tmp_path.joinpath(*layout.tile_path(level, start // tree.TILE_WIDTH, partial))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(tile))
    (tmp_path / "checkpoint").write_bytes(built.note)
    judge = TilesReader(LocalBackend(tmp_path))
    theirs = judge.get_checkpoint()
    assert (theirs.size, theirs.root_hash) == (LARGE, built.head.root)
    with LedgerProver(built.path) as prover:
        for index in indices(LARGE)[::3]:
            ours = prover.prove_entry(index).proof
            assert list(ours.hashes) == judge.get_inclusion_proof(index, LARGE).node_hashes
            past = Checkpoint(ORIGIN, index + 1, judge.mth(0, index + 1))
            said = prover.prove_continuation(past)
            assert list(said.hashes) == judge.get_consistency_proof(index + 1, LARGE).node_hashes
            assert ours.checkpoint == theirs.serialize().encode()


# --- a file that was changed ----------------------------------------------------------------------


def refused(place: Place, index: int) -> str:
    with LedgerProver(place.path) as prover, pytest.raises(TamperedLedgerError) as caught:
        prover.prove_entry(index)
    return str(caught.value)


def test_an_edited_entry_is_not_proved(place: Place) -> None:
    place.found(300).close()
    with place.attack() as connection:
        connection.execute("UPDATE entry SET body = replace(body, 'release', 'revert') WHERE idx = 7")
    assert "entry 7 does not lead to its head" in refused(place, 7)
    # The others' proofs do not touch it: its tile has the hash that was signed.
    verified(place, 8)


def test_an_edited_entry_of_the_last_tile_spoils_its_neighbours(place: Place) -> None:
    place.found(20).close()
    with place.attack() as connection:
        connection.execute("UPDATE entry SET body = replace(body, 'release', 'revert') WHERE idx = 7")
    for index in range(16):
        assert "does not lead to its head" in refused(place, index)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entry WHERE idx = 300",
        "UPDATE entry SET body = body || ' ' WHERE idx = 300",
        "DELETE FROM tile",
        "UPDATE tile SET data = zeroblob(8192)",
        "UPDATE tile SET data = zeroblob(8191)",
        "UPDATE tile SET data = CAST(substr(data, 33) || zeroblob(32) AS BLOB)",
        "UPDATE head SET edge = zeroblob(length(edge))",
        "UPDATE head SET edge = zeroblob(31)",
        "UPDATE head SET note = replace(note, char(10) || '302' || char(10), char(10) || '303' || char(10))",
        "UPDATE head SET note = 'x'",
        "UPDATE head SET note = note || char(8212) || ' other.example AAAAAAAAAA==' || char(10)",
        "DELETE FROM head",
    ],
)
def test_a_changed_file_gives_no_proof(place: Place, statement: str) -> None:
    place.found(301).close()
    verified(place, 0), verified(place, 300)
    with place.attack() as connection:
        connection.execute(statement)
    # Of the two the one is proved from the tile, the other from the entries behind it.
    outcomes = []
    for index in (0, 300):
        try:
            outcomes.append(verified(place, index) is not None)
        except TamperedLedgerError:
            outcomes.append(False)
    assert not all(outcomes)


def test_values_of_wrong_types_give_no_proof(place: Place) -> None:
    place.found(3).close()
    with place.attack() as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'entry'"
        )
        connection.execute("PRAGMA writable_schema=RESET")
        connection.execute("UPDATE entry SET body = zeroblob(70000) WHERE idx = 1")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'entry'")
        connection.execute("PRAGMA writable_schema=RESET")
    for index in (0, 1):
        assert "entries from" in refused(place, index)


def test_the_signature_of_the_head_is_for_the_reader_of_the_proof(place: Place, tmp_path: Path) -> None:
    """Who re-signs a ledger gets proofs from it, which say whose they are."""
    place.found(3).close()
    stranger = SigningKey.generate()
    resigned = head_of(place).sign([stranger])
    with place.attack() as connection:
        connection.execute("UPDATE head SET note = ?", (resigned,))
    verified(place, 1, stranger)


def test_a_false_size_in_the_head_is_for_the_reader_of_the_proof_too(place: Place) -> None:
    """301 and 302 have as many nodes in their edges, and a path of one shape: the signature tells."""
    place.found(301).close()
    false = place.head().replace("\n302\n", "\n301\n")
    with place.attack() as connection:
        connection.execute("UPDATE head SET note = ?", (false,))
    with LedgerProver(place.path) as prover:
        assert prover.prove_entry(0).proof.unsigned_checkpoint().size == 301
    with pytest.raises(SignatureError):
        verified(place, 0)


def test_a_continuation_of_another_past_is_refused(place: Place) -> None:
    ledger = place.found(5)
    past = head_of(place)
    ledger.append(drafts(300))
    ledger.close()
    with LedgerProver(place.path) as prover:
        said = prover.prove_continuation(past)
        proof.check_consistency(past, head_of(place), said.hashes)
        with pytest.raises(ProofError):
            proof.check_consistency(past._replace(root=bytes(32)), head_of(place), said.hashes)
        for other in (past._replace(root=bytes(32)), past._replace(size=5), past._replace(size=307)):
            with pytest.raises(TamperedLedgerError):
                prover.prove_continuation(other)
        with pytest.raises(LedgerError) as caught:
            prover.prove_continuation(past._replace(origin="other/" + "0" * 32))
    assert caught.value.code == "ledger.other_origin"


def test_an_old_copy_put_back_does_not_continue_the_newer(place: Place, tmp_path: Path) -> None:
    ledger = place.found(5)
    place.copy(tmp_path / "old.db")
    ledger.append(drafts(5))
    ledger.close()
    newer = head_of(place)
    place.put_back(tmp_path / "old.db")
    with LedgerProver(place.path) as prover, pytest.raises(TamperedLedgerError, match="had 11 before"):
        prover.prove_continuation(newer)


def test_what_is_proved_is_an_entry(place: Place) -> None:
    place.found(1).close()
    with LedgerProver(place.path) as prover:
        assert entry.parse(prover.prove_entry(1).body).kind == entry.INTENT
