"""Somebody who can edit the file, but has not the key, gets no fresh signature from an honest launch."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from attest import checkpoint, entry, tree
from attest.errors import NonoError
from attest.keys import SigningKey
from store import LedgerError, TamperedLedgerError
from tests.store.place import Place, drafts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = 300
"""One full tile, and a last one of 44 entries."""

ATTACKS: dict[str, Callable[[Place], None]] = {}


def attack(function: Callable[[Place], None]) -> Callable[[Place], None]:
    ATTACKS[function.__name__] = function
    return function


@pytest.fixture
def victim(place: Place) -> Place:
    place.found(SIZE - 2).close()
    with place.open() as ledger:
        ledger.append(drafts())
    return place


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Everything that any key signs from now on."""
    messages: list[bytes] = []
    sign = SigningKey.sign

    def noted(key: SigningKey, message: bytes) -> bytes:
        messages.append(message)
        return sign(key, message)

    monkeypatch.setattr(SigningKey, "sign", noted)
    return messages


def _change(place: Place, index: int, **members: Any) -> None:
    ((body,),) = place.select("SELECT body FROM entry WHERE idx = ?", index)
    read = entry.parse(body.encode())
    changed = entry.Entry(
        read.kind, read.session, read.seq, members.pop("time", read.time), {**read.data, **members}
    )
    with place.attack() as connection:
        connection.execute("UPDATE entry SET body = ? WHERE idx = ?", (changed.encode().decode(), index))


def _run(place: Place, statement: str, *values: object) -> None:
    with place.attack() as connection:
        connection.execute(statement, values)


def _note(place: Place, text: str | None = None, signatures: str | None = None) -> None:
    own_text, _, own_signatures = place.head().rpartition("\n\n")
    _run(place, "UPDATE head SET note = ?", f"{text or own_text}\n\n{signatures or own_signatures}")


def _own_edge(place: Place) -> tuple[bytes, tree.Edge]:
    ((encoded,),) = place.select("SELECT edge FROM head")
    return encoded, tree.Edge.decode(SIZE, encoded)


# --- entries ------------------------------------------------------------------------------------


@attack
def an_entry_of_the_last_tile_is_edited(place: Place) -> None:
    _change(place, 270, command=["rm", "-rf", "/"])


@attack
def the_last_entry_is_edited(place: Place) -> None:
    _change(place, SIZE - 1, command=["rm", "-rf", "/"])


@attack
def the_last_entry_gets_a_time_far_ahead(place: Place) -> None:
    _change(place, SIZE - 1, time="9999-01-01T00:00:00.000000Z")


@attack
def an_entry_is_edited_past_the_triggers(place: Place) -> None:
    with contextlib.closing(sqlite3.connect(os.fsdecode(place.path), isolation_level=None)) as connection:
        connection.execute("INSERT OR REPLACE INTO entry SELECT 280, body FROM entry WHERE idx = 281")


@attack
def an_entry_gains_white_space(place: Place) -> None:
    _run(place, "UPDATE entry SET body = body || ' ' WHERE idx = 290")


@attack
def two_entries_are_swapped(place: Place) -> None:
    with place.attack() as connection:
        for old, new in ((260, -9), (261, 260), (-9, 261)):
            connection.execute("UPDATE entry SET idx = ? WHERE idx = ?", (new, old))


@attack
def an_entry_of_the_last_tile_is_missing(place: Place) -> None:
    _run(place, "DELETE FROM entry WHERE idx = 270")


@attack
def the_last_entry_is_missing(place: Place) -> None:
    _run(place, "DELETE FROM entry WHERE idx = 299")


@attack
def all_entries_are_missing(place: Place) -> None:
    _run(place, "DELETE FROM entry")


@attack
def an_entry_lies_beyond_the_head(place: Place) -> None:
    _run(place, "INSERT INTO entry SELECT 300, body FROM entry WHERE idx = 299")


@attack
def an_entry_lies_far_beyond_the_head(place: Place) -> None:
    _run(place, "INSERT INTO entry SELECT 9223372036854775807, body FROM entry WHERE idx = 299")


@attack
def an_entry_lies_before_the_first(place: Place) -> None:
    _run(place, "INSERT INTO entry SELECT -1, body FROM entry WHERE idx = 299")


@attack
def the_genesis_names_another_origin(place: Place) -> None:
    _change(place, 0, origin="host/" + "0" * 32)


@attack
def the_genesis_has_another_key(place: Place) -> None:
    other = Place(place.directory / "elsewhere")
    other.found().close()
    ((body,),) = other.select("SELECT body FROM entry")
    _change(place, 0, public_key=entry.parse(body.encode()).data["public_key"])


@attack
def the_genesis_is_no_entry(place: Place) -> None:
    _run(place, "UPDATE entry SET body = 'x' WHERE idx = 0")


# --- tiles --------------------------------------------------------------------------------------


@attack
def a_tile_has_another_root(place: Place) -> None:
    _run(place, "UPDATE tile SET root = zeroblob(32)")


@attack
def a_tile_has_a_root_that_is_no_hash(place: Place) -> None:
    _run(place, "UPDATE tile SET root = x'00'")


@attack
def a_tile_is_missing(place: Place) -> None:
    _run(place, "DELETE FROM tile")


# --- head and edge --------------------------------------------------------------------------------


@attack
def the_head_is_missing(place: Place) -> None:
    _run(place, "DELETE FROM head")


@attack
def the_head_is_no_note(place: Place) -> None:
    _run(place, "UPDATE head SET note = 'x'")


@attack
def the_head_is_empty(place: Place) -> None:
    _run(place, "UPDATE head SET note = ''")


@attack
def the_head_says_another_size(place: Place) -> None:
    _note(place, place.head().rpartition("\n\n")[0].replace("\n300\n", "\n299\n"))


@attack
def the_head_has_another_root(place: Place) -> None:
    origin, size, _ = place.head().rpartition("\n\n")[0].split("\n")
    _note(place, f"{origin}\n{size}\n{'A' * 43}=")


@attack
def the_head_has_an_extension_line(place: Place) -> None:
    _note(place, place.head().rpartition("\n\n")[0] + "\nextension")


@attack
def the_head_has_one_signature_twice(place: Place) -> None:
    line = place.head().rpartition("\n\n")[2]
    _note(place, signatures=line + line)


@attack
def the_head_has_another_signature(place: Place) -> None:
    line = place.head().rpartition("\n\n")[2]
    _note(place, signatures=line[:-20] + ("A" if line[-20] != "A" else "B") + line[-19:])


@attack
def the_edge_is_edited(place: Place) -> None:
    encoded, _ = _own_edge(place)
    _run(place, "UPDATE head SET edge = ?", bytes([encoded[0] ^ 1]) + encoded[1:])


@attack
def the_edge_is_cut(place: Place) -> None:
    _run(place, "UPDATE head SET edge = ?", _own_edge(place)[0][:-32])


@attack
def the_edge_is_empty(place: Place) -> None:
    _run(place, "UPDATE head SET edge = x''")


@attack
def an_entry_is_edited_and_the_edge_made_to_fit(place: Place) -> None:
    _change(place, 270, command=["rm", "-rf", "/"])
    edge = tree.Edge()
    for body in place.bodies():
        edge.append(tree.hash_leaf(body))
    _run(place, "UPDATE head SET edge = ?", edge.encode())


@attack
def a_stranger_signs_the_head_again(place: Place) -> None:
    stranger = SigningKey.generate()
    head = checkpoint.parse_text(place.head().rpartition("\n\n")[0] + "\n")
    _run(place, "UPDATE head SET note = ?", head.sign([stranger]))


@attack
def a_stranger_edits_and_signs_in_the_keys_name(place: Place) -> None:
    """Everything fits: entry, edge, root, key name and key id; only the signature is a stranger's."""
    _change(place, 270, command=["rm", "-rf", "/"])
    edge = tree.Edge()
    for body in place.bodies():
        edge.append(tree.hash_leaf(body))
    origin = place.head().split("\n")[0]
    forged = checkpoint.Checkpoint(origin, SIZE, edge.root()).sign([SigningKey.generate()])
    own_line, forged_line = place.head().rpartition("\n\n")[2], forged.rpartition("\n\n")[2]
    prefix = len(own_line.rpartition(" ")[0]) + 6  # name, and base64 of the key id
    note = forged.rpartition("\n\n")[0] + "\n\n" + own_line[:prefix] + forged_line[prefix:]
    _run(place, "UPDATE head SET note = ?, edge = ?", note, edge.encode())


@attack
def the_tail_is_cut_and_edge_and_root_made_to_fit(place: Place) -> None:
    place.cut(280)


@attack
def the_head_is_that_of_another_ledger_of_the_key(place: Place) -> None:
    other = Place(place.directory / "elsewhere", place.key)
    other.found(SIZE - 1).close()
    ((note, edge),) = other.select("SELECT note, edge FROM head")
    _run(place, "UPDATE head SET note = ?, edge = ?", note, edge)


@attack
def a_checkpoint_of_a_handover_is_planted(place: Place) -> None:
    stranger = SigningKey.generate()
    _run(place, "INSERT INTO checkpoint VALUES (0, 'x'), (1000, 'x')")
    _run(place, "UPDATE head SET note = ?", checkpoint.Checkpoint("x/y", SIZE, bytes(32)).sign([stranger]))


# --- schema -------------------------------------------------------------------------------------


def _schema(place: Place, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(os.fsdecode(place.path), isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@attack
def a_trigger_is_missing(place: Place) -> None:
    _schema(place, "DROP TRIGGER head_delete")


@attack
def a_trigger_was_put_back_in_another_order(place: Place) -> None:
    with contextlib.closing(sqlite3.connect(os.fsdecode(place.path), isolation_level=None)) as connection:
        ((sql,),) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'entry_update'").fetchall()
        connection.execute("DROP TRIGGER entry_update")
        connection.execute(sql)


@attack
def a_hostile_trigger_is_there(place: Place) -> None:
    _schema(
        place,
        "CREATE TRIGGER evil AFTER INSERT ON entry BEGIN"
        " INSERT OR REPLACE INTO entry VALUES (new.idx, 'evil'); END",
    )


@attack
def a_view_is_there(place: Place) -> None:
    _schema(place, "CREATE VIEW v AS SELECT * FROM entry")


@attack
def an_index_is_there(place: Place) -> None:
    _schema(place, "CREATE INDEX i ON entry (body)")


@attack
def a_table_is_there(place: Place) -> None:
    _schema(place, "CREATE TABLE t (x)")


@attack
def statistics_are_there(place: Place) -> None:
    _schema(place, "ANALYZE")


@attack
def entry_is_a_view_over_the_entries(place: Place) -> None:
    _schema(
        place,
        "DROP TRIGGER entry_update",
        "DROP TRIGGER entry_delete",
        "ALTER TABLE entry RENAME TO hidden",
        "CREATE VIEW entry AS SELECT idx, replace(body, 'make', 'true') AS body FROM hidden",
    )


@attack
def a_generated_column_eats_memory(place: Place) -> None:
    _schema(place, "ALTER TABLE head ADD COLUMN x TEXT AS (hex(zeroblob(500000000)))")


@attack
def the_schema_cannot_be_parsed(place: Place) -> None:
    _schema(
        place,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE entry (' WHERE name = 'entry'",
    )


@attack
def a_row_of_the_schema_has_no_sql(place: Place) -> None:
    _schema(
        place,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = NULL WHERE name = 'head_delete'",
    )


# --- values that the schema does not allow: STRICT was taken away for a moment --------------------


def _unstrict(place: Place, statement: str) -> None:
    with place.attack() as connection:
        tables = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall()

        def write(change: Callable[[str], str]) -> None:
            connection.execute("PRAGMA writable_schema = ON")
            for name, sql in tables:
                connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (change(sql), name))
            connection.execute("PRAGMA writable_schema = RESET")

        write(
            lambda sql: (
                sql.replace(" STRICT, WITHOUT", " WITHOUT").replace(" STRICT", "").replace(" NOT NULL", "")
            )
        )
        connection.execute(statement)
        write(lambda sql: sql)


for _statement in (
    "UPDATE entry SET body = NULL WHERE idx = 299",
    "UPDATE entry SET body = 5 WHERE idx = 299",
    "UPDATE entry SET body = CAST(body AS BLOB) WHERE idx = 299",
    "UPDATE entry SET body = CAST(x'ff' AS TEXT) WHERE idx = 299",
    "UPDATE entry SET body = 2.5 WHERE idx = 0",
    "UPDATE head SET note = NULL",
    "UPDATE head SET note = 7",
    "UPDATE head SET edge = NULL",
    "UPDATE head SET edge = 1.5",
    "UPDATE head SET note = CAST(note AS BLOB)",
    "UPDATE head SET edge = CAST(edge AS TEXT)",
    "UPDATE tile SET root = NULL",
    "UPDATE tile SET root = 12345678901234567",
):
    ATTACKS[_statement] = lambda place, statement=_statement: _unstrict(place, statement)  # type: ignore[misc]  # late


# --- what lies beside the file --------------------------------------------------------------------


def _beside(place: Place, suffix: str) -> Path:
    return place.directory / (place.name + suffix)


@attack
def an_empty_journal_is_planted(place: Place) -> None:
    _beside(place, "-journal").write_bytes(b"")


@attack
def a_journal_is_planted(place: Place) -> None:
    _beside(place, "-journal").write_bytes(bytes.fromhex("d9d505f920a163d7") + bytes(504))


@attack
def a_link_to_nowhere_is_planted_as_journal(place: Place) -> None:
    _beside(place, "-journal").symlink_to("nowhere")


@attack
def a_log_with_an_edit_is_planted(place: Place) -> None:
    """An edit that stands in a write-ahead log alone; the database file itself is untouched."""
    elsewhere = Place(place.directory / "elsewhere", place.key)
    elsewhere.directory.mkdir()
    shutil.copyfile(os.fsdecode(place.path), os.fsdecode(elsewhere.path))
    with contextlib.closing(sqlite3.connect(os.fsdecode(elsewhere.path), isolation_level=None)) as connection:
        connection.execute("INSERT OR REPLACE INTO entry SELECT 280, body FROM entry WHERE idx = 281")
        shutil.copyfile(_beside(elsewhere, "-wal"), _beside(place, "-wal"))
    shutil.rmtree(elsewhere.directory)


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attacked_ledger_is_refused_and_nothing_is_signed(
    victim: Place, signed: list[bytes], name: str, remembered: bool
) -> None:
    ATTACKS[name](victim)
    before = (victim.directory / victim.name).read_bytes()
    memory = victim.memory
    if not remembered:
        memory.write_bytes(b"")
    said = memory.read_bytes()
    signed.clear()  # what the attack itself had signed
    for _ in range(2):
        with pytest.raises(TamperedLedgerError) as caught:
            victim.open()
        assert caught.value.hint
    assert signed == []
    assert memory.read_bytes() == said
    # A planted log is folded into the file by SQLite when it closes it: the same content, elsewhere.
    if name != "a_log_with_an_edit_is_planted":
        assert (victim.directory / victim.name).read_bytes() == before


def test_the_attacks_start_from_a_ledger_that_is_accepted(victim: Place, signed: list[bytes]) -> None:
    with victim.attack():
        pass  # the triggers out and in again change nothing
    with victim.open() as ledger:
        ledger.append(drafts())
    assert len(signed) == 1
    assert len(victim.check()) == SIZE + 1


BELOW = {
    "an_entry_of_the_last_tile_is_edited",
    "an_entry_is_edited_past_the_triggers",
    "an_entry_gains_white_space",
    "an_entry_of_the_last_tile_is_missing",
}
"""What a writer at work does not read again, since it has hashed it before."""

PREFIXES = ("an_entry", "the_last", "all", "the_head", "the_edge", "a_stranger", "the_tail", "UPDATE head")
LIVE = [name for name in ATTACKS if name.startswith(PREFIXES) and name not in BELOW]


@pytest.mark.parametrize("name", LIVE)
def test_a_writer_at_work_follows_no_head_that_does_not_hold(
    place: Place, signed: list[bytes], name: str
) -> None:
    """Another writer appends, then comes the attack: this one has to look again, and sees it."""
    with place.found(SIZE - 3) as ledger:
        with place.open() as other:
            other.append(drafts(2))
        ATTACKS[name](place)
        signed.clear()
        for _ in range(2):
            with pytest.raises(TamperedLedgerError):
                ledger.append(drafts())
        assert signed == []


def _root_over(bodies: list[bytes]) -> bytes:
    return tree.root(tree.hash_leaf(body) for body in bodies)


@pytest.mark.parametrize("name", sorted(BELOW))
@pytest.mark.parametrize("by_another", [False, True])
def test_a_writer_at_work_signs_what_was_there_and_not_the_edit(
    place: Place, name: str, by_another: bool
) -> None:
    with place.found(SIZE - 3) as ledger:
        if by_another:
            with place.open() as other:
                other.append(drafts(2))
        else:
            ledger.append(drafts(2))
        honest = place.bodies()
        ATTACKS[name](place)
        (appended,) = ledger.append(drafts())
        head = checkpoint.parse_text(place.head().rpartition("\n\n")[0] + "\n")
        assert head.root == _root_over([*honest, appended.entry.encode()])
    with pytest.raises(TamperedLedgerError):  # and the next launch sees the edit
        place.open()


def test_a_full_tile_is_not_written_over_an_edit(place: Place, signed: list[bytes]) -> None:
    with place.found(200) as ledger:
        _change(place, 100, command=["rm", "-rf", "/"])
        ledger.append(drafts(54))
        signed.clear()
        with pytest.raises(TamperedLedgerError):
            ledger.append(drafts(1))
        assert signed == []
        assert place.select("SELECT count(*) FROM tile") == [(0,)]


def test_an_edit_below_the_last_tile_is_not_signed(victim: Place) -> None:
    """The honest limit: full tiles are not read again; the new head covers what was signed before."""
    honest = victim.bodies()
    _change(victim, 100, command=["rm", "-rf", "/"])
    with victim.open() as ledger:
        (appended,) = ledger.append(drafts())
    head = checkpoint.parse_text(victim.head().rpartition("\n\n")[0] + "\n")
    assert head.root == _root_over([*honest, appended.entry.encode()])
    assert head.root != _root_over(victim.bodies())  # so whoever replays the file finds it


def test_a_hostile_trigger_that_comes_while_a_writer_works_changes_no_signature(place: Place) -> None:
    with place.found(5) as ledger:
        honest = place.bodies()
        _schema(
            place,
            "DROP TRIGGER entry_update",
            "CREATE TRIGGER evil AFTER INSERT ON entry BEGIN"
            " UPDATE entry SET body = 'evil' WHERE idx = new.idx; END",
        )
        (appended,) = ledger.append(drafts())
        head = checkpoint.parse_text(place.head().rpartition("\n\n")[0] + "\n")
        assert head.root == _root_over([*honest, appended.entry.encode()])
        assert place.bodies()[-1] == b"evil"  # it did what it could
    with pytest.raises(TamperedLedgerError):
        place.open()


# --- copies -----------------------------------------------------------------------------------------


def test_an_older_copy_put_back_is_refused(victim: Place, tmp_path: Path, signed: list[bytes]) -> None:
    victim.copy(tmp_path / "copy.db")
    with victim.open() as ledger:
        ledger.append(drafts())
    signed.clear()
    victim.put_back(tmp_path / "copy.db")
    with pytest.raises(TamperedLedgerError, match="an older copy was put back"):
        victim.open()
    assert signed == []
    assert (tmp_path / "copy.db").read_bytes() == (victim.directory / victim.name).read_bytes()


def test_an_older_copy_is_refused_by_a_writer_at_work(victim: Place, signed: list[bytes]) -> None:
    """Its rows put back through SQLite, under a writer whose memory of the host does not help."""
    old_head = victim.select("SELECT note, edge FROM head")
    with victim.open() as ledger:
        ledger.append(drafts(2))
        with victim.attack() as connection:
            connection.execute("DELETE FROM entry WHERE idx >= ?", (SIZE,))
            connection.execute("UPDATE head SET note = ?, edge = ?", old_head[0])
        victim.memory.unlink()
        signed.clear()
        with pytest.raises(TamperedLedgerError, match="a moment ago"):
            ledger.append(drafts())
        assert signed == []


def test_an_older_copy_that_went_its_own_way_is_refused(victim: Place, tmp_path: Path) -> None:
    """A copy that the true key extended elsewhere: longer than what is remembered, and another history."""
    victim.copy(tmp_path / "copy.db")
    elsewhere = Place(tmp_path / "elsewhere", victim.key)
    elsewhere.directory.mkdir()
    shutil.copy(tmp_path / "copy.db", os.fsdecode(elsewhere.path))
    with elsewhere.open() as ledger:
        ledger.append(drafts(5))
    with victim.open() as ledger:
        ledger.append(drafts(2))
    elsewhere.copy(tmp_path / "branch.db")
    victim.put_back(tmp_path / "branch.db")
    with pytest.raises(TamperedLedgerError, match="not those that were signed here"):
        victim.open()


def test_a_branch_is_refused_by_a_writer_that_has_not_looked_for_long(place: Place, tmp_path: Path) -> None:
    """Another true history of the same ledger, far longer, its rows put under a writer at work."""
    with place.found(10) as ledger:
        place.copy(tmp_path / "copy.db")
        ledger.append(drafts(5))
        elsewhere = Place(tmp_path / "elsewhere", place.key)
        elsewhere.directory.mkdir()
        shutil.copy(tmp_path / "copy.db", os.fsdecode(elsewhere.path))
        with elsewhere.open() as branch:
            branch.append(drafts(600))
        with place.attack() as connection:
            connection.execute("ATTACH ? AS other", (os.fsdecode(elsewhere.path),))
            for table in ("entry", "tile", "head"):
                connection.execute(f"DELETE FROM main.{table}")
                connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
            connection.execute("DETACH other")
        place.memory.write_bytes(b"")
        with pytest.raises(TamperedLedgerError, match="its first 16 entries"):
            ledger.append(drafts())


def test_an_older_copy_without_any_memory_is_accepted(victim: Place, tmp_path: Path) -> None:
    """The honest limit: nothing is left that could tell. Only what is remembered elsewhere can (design 4)."""
    victim.copy(tmp_path / "copy.db")
    with victim.open() as ledger:
        ledger.append(drafts())
    victim.put_back(tmp_path / "copy.db")
    shutil.rmtree(os.fsdecode(victim.state))
    with victim.open() as ledger:
        assert ledger.append(drafts())[0].index == SIZE
    assert len(victim.check()) == SIZE + 1


def test_a_snapshot_of_now_put_back_is_the_ledger(victim: Place, tmp_path: Path) -> None:
    victim.copy(tmp_path / "copy.db")
    victim.put_back(tmp_path / "copy.db")
    header = (victim.directory / victim.name).read_bytes()[18:20]
    with victim.open() as ledger:
        ledger.append(drafts())
        assert os.path.exists(victim.path + b"-wal"), header
    assert len(victim.check()) == SIZE + 1
    assert not os.path.lexists(victim.path + b"-journal")


def test_another_true_ledger_of_the_key_in_its_place_goes_on_as_itself(victim: Place, tmp_path: Path) -> None:
    """It is no forgery, and is named by its origin: what a verifier pins. Memory is kept for each origin."""
    other = Place(tmp_path, victim.key, "other.db")
    with other.found(4) as ledger:
        origin = ledger.origin
    victim.copy(tmp_path / "copy.db")
    other.copy(tmp_path / "other-copy.db")
    victim.put_back(tmp_path / "other-copy.db")
    with victim.open() as ledger:
        assert ledger.origin == origin
        assert ledger.append(drafts())[0].index == 5
    assert len(victim.check()) == 6
    with pytest.raises(TamperedLedgerError):  # the copy at its own place is old now
        other.open()
    victim.put_back(tmp_path / "copy.db")
    with victim.open() as ledger:
        assert ledger.append(drafts())[0].index == SIZE


def test_a_ledger_of_another_key_is_named_as_such(victim: Place, signed: list[bytes]) -> None:
    with pytest.raises(LedgerError) as caught:
        victim.open(SigningKey.generate())
    assert caught.value.code == "ledger.other_key"
    assert signed == []


# --- damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_damage_never_ends_in_a_signature_of_something_else(victim: Place, seed: int) -> None:
    """Flipped bits and cut files: refused with an error of ours, or what is signed is what was there."""
    chance = random.Random(seed)
    honest = victim.bodies()
    file = victim.directory / victim.name
    data = bytearray(file.read_bytes())
    if seed % 4 == 3:
        del data[chance.randrange(len(data)) :]
    else:
        for _ in range(chance.choice((1, 1, 20))):
            place_of_it = chance.randrange(len(data)) if seed % 2 else chance.randrange(100)
            data[place_of_it] ^= 1 << chance.randrange(8)
    file.write_bytes(data)
    with contextlib.suppress(NonoError), victim.open() as ledger:
        (appended,) = ledger.append(drafts())
        root = ledger._edge.root()
        assert root == _root_over([*honest, appended.entry.encode()])
