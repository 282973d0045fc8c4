"""Somebody edits the file and has no key: any bit, any row, of any table."""

# ruff: noqa: E501  # a table with one row a line is easier to check than one that is wrapped

from __future__ import annotations

import base64
import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.gauntlet.mutation import Mutation, anchored, ask, handed_over, two_tiles
from tests.verify.conftest import KEY, STRANGER, SUCCESSOR, session_id, three_launches

if TYPE_CHECKING:
    from collections.abc import Callable

    from attest.keys import SigningKey
    from tests.gauntlet.mutation import Asked
    from tests.verify.conftest import Bench, Book


class Flip(NamedTuple):
    """One bit of one value: the lowest of the byte ``at``, counted behind ``after`` if that is given."""

    table: str
    column: str
    at: int
    where: str = "true"
    after: bytes = b""

    def statement(self, path: str) -> tuple[str, tuple[Any, ...]]:
        """Return the SQL that flips it in the file."""
        with contextlib.closing(sqlite3.connect(path)) as db:
            ((value,),) = db.execute(
                f"SELECT CAST({self.column} AS BLOB) FROM {self.table} WHERE {self.where}"
            ).fetchall()
        data = bytearray(value)
        at = self.at + (value.index(self.after) + len(self.after) if self.after else 0)
        data[at] ^= 1
        kind = "TEXT" if self.column in {"body", "note"} else "BLOB"
        return (
            f"UPDATE {self.table} SET {self.column} = CAST(? AS {kind}) WHERE {self.where}",
            (bytes(data),),
        )


Edit = str | tuple[str, tuple[Any, ...]] | Flip | list[str]


ONE, NINE = session_id(1), session_id(9)
SIZE = "char(10) || '14' || char(10)"
SIGNATURE = "substr(note, instr(note, char(8212)))"


HEAD = three_launches().note(14)
ROOT = HEAD.split("\n")[2]


def noted(change: Callable[[str], str]) -> tuple[str, tuple[str]]:
    """Return the SQL that puts a changed head in the place of the true one."""
    note = change(HEAD)
    assert note != HEAD
    return "UPDATE head SET note = ?", (note,)


def stray(encoded: str) -> str:
    """Return base64 whose last two bits, which carry nothing, are not 0."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    assert encoded.endswith("=")
    last = digits[digits.index(encoded[-2]) + 1]
    made = f"{encoded[:-2]}{last}="
    padded = len(encoded) // 4 * 4
    assert base64.b64decode(made[-padded:]) == base64.b64decode(encoded[-padded:])
    return made


def second_form(note: str) -> str:
    """Return the note with the other S of its signature: that plus the order of the group (RFC 8032, 5.1.7)."""
    body, _, encoded = note.removesuffix("\n").rpartition(" ")
    signed = base64.b64decode(encoded)
    scalar = int.from_bytes(signed[36:], "little") + 2**252 + 27742317777372353535851937790883648493
    return f"{body} {base64.b64encode(signed[:36] + scalar.to_bytes(32, 'little')).decode()}\n"


def head_size(written: str) -> str:
    return f"UPDATE head SET note = replace(note, {SIZE}, char(10) || {written} || char(10))"


def entry(old: str, new: str, where: str) -> str:
    return f"UPDATE entry SET body = replace(body, '{old}', '{new}') WHERE {where}"


ROWS: list[tuple[str, str, str, Edit]] = [
    # --- any bit -------------------------------------------------------------------------------------
    ("a bit of an entry's first byte", "the smallest change that there is", "entry.form launch.intent launch.reused tree.root", Flip("entry", "body", 0, "idx = 1")),
    ("a bit of an entry's data", "the smallest change of what was recorded", "tree.root launch.statement", Flip("entry", "body", 0, "idx = 5", b'"exit":')),
    ("a bit of the last entry's signature", "nothing but its own signature speaks for an attestation's bytes", "entry.schema launch.unfinished tree.root", Flip("entry", "body", 10, "idx = 13", b'"sig":"')),
    ("a bit of the first entry's nonce", "the origin follows from it", "head.origin launch.statement origin.genesis tree.root", Flip("entry", "body", 0, "idx = 0", b'"nonce":"')),
    ("a bit of a head's root", "the head would be of other entries", "tree.edge tree.root head.signature", Flip("head", "note", 3, after=b"\n14\n")),
    ("a bit of the head's origin", "the head would be another ledger's", "head.origin", Flip("head", "note", 0)),
    ("a bit of the head's signature", "whoever cannot sign can still spoil a signature", "head.signature", Flip("head", "note", -20)),
    ("a bit of the head's key id", "it would be signed by somebody else", "head.signature", Flip("head", "note", 2, after=b"\xe2\x80\x94 %s " % three_launches().origin.encode())),
    ("a bit of the edge", "a writer would extend another tree", "tree.edge", Flip("head", "edge", 0)),
    ("a bit of the edge's last node", "the right side of the tree is as much of it as the left", "tree.edge", Flip("head", "edge", -1)),
    ("a bit of a blob's data", "what lies beside an entry is part of it", "blob.digest", Flip("blob", "data", 2)),
    ("a bit of a blob's salt", "the salt is in the digest", "blob.digest", Flip("blob", "salt", 31)),
    ("a bit of a blob's name", "the blob is another then, and the one named is gone", "blob.surplus blob.withheld", Flip("blob", "sha256", 0)),
    # --- what entries say ------------------------------------------------------------------------------
    ("a value of an entry", "a failed command becomes one that succeeded", "tree.root launch.statement", entry('"exit":0', '"exit":1', "idx = 5")),
    ("a value of the last entry", "the end of the log is where an edit seems cheapest", "entry.form launch.unfinished tree.root", entry("a", "b", "idx = 13")),
    ("a value of the first entry", "the ledger gets another name", "head.origin tree.root launch.statement", entry("test/", "best/", "idx = 0")),
    ("the first entry's nonce", "the origin is not what follows from the key then", "origin.genesis head.origin tree.root launch.statement", entry("0707", "0708", "idx = 0")),
    ("a label", "evidence of one build is passed off as another's", "tree.root launch.statement", entry('"run":"7"', '"run":"8"', "idx = 1")),
    ("a time", "a launch is moved to another hour", "tree.root entry.time launch.statement", entry("04:00:08", "04:00:10", "idx = 7")),
    ("the digest of an executable", "another program is passed off as the one that ran", "tree.root launch.statement", entry("e" * 64, "0" * 64, "idx = 2")),
    ("the digest of an output", "another wheel is passed off as the one that was built", "tree.root launch.statement", entry("f" * 64, "0" * 64, "idx = 5")),
    ("a decision turned round", "a refusal becomes a grant", "tree.root launch.elevation launch.statement", entry('"denied"', '"granted"', "idx = 3")),
    ("a grant widened", "a launch seems to have been asked for more", "tree.root launch.statement", entry("/usr", "/etc", "idx = 1")),
    ("a capability set with its old digest", "the sandbox seems to have been another", "tree.root launch.statement launch.capabilities", entry('"path":"/usr"', '"path":"/etc"', "idx = 2")),
    ("a session relabelled", "a launch becomes another launch", "tree.root launch.statement", entry(ONE, NINE, "idx BETWEEN 1 AND 6")),
    ("an entry relabelled", "an outcome is taken from a launch", "tree.root launch.intent launch.sequence", entry(ONE, NINE, "idx = 3")),
    ("an entry of one session given to another", "a refusal is moved to a launch that it does not belong to", "tree.root launch.sequence blob.surplus launch.intent launch.reused", entry(ONE, session_id(2), "idx = 4")),
    ("an entry emptied", "what cannot be deleted is overwritten", "entry.form tree.root launch.sequence", "UPDATE entry SET body = '' WHERE idx = 4"),
    ("an entry made longer", "white space that no reader shows", "entry.form tree.root launch.sequence", "UPDATE entry SET body = body || ' ' WHERE idx = 4"),
    ("an entry cut in half", "as a torn write would leave it", "entry.form tree.root launch.sequence", "UPDATE entry SET body = substr(body, 1, length(body) / 2) WHERE idx = 4"),
    ("a NUL behind an entry", "what reads until the NUL sees nothing of it", "entry.form tree.root launch.sequence", "UPDATE entry SET body = body || char(0) WHERE idx = 4"),
    # --- which entries there are -------------------------------------------------------------------------
    ("an entry dropped from the middle", "one refusal less", "entry.missing launch.sequence", "DELETE FROM entry WHERE idx = 4"),
    ("an entry dropped and the rest moved up", "the hole is closed", "entry.missing launch.sequence launch.statement", ["DELETE FROM entry WHERE idx = 4", "UPDATE entry SET idx = -idx WHERE idx > 4", "UPDATE entry SET idx = -idx - 1 WHERE idx < 0"]),
    ("a launch dropped", "a launch that never was", "entry.missing", "DELETE FROM entry WHERE idx BETWEEN 1 AND 6"),
    ("an attestation dropped", "an attested launch becomes an unfinished one", "entry.missing launch.unfinished", "DELETE FROM entry WHERE idx = 6"),
    ("the first entry dropped", "a ledger without a key", "entry.missing", "DELETE FROM entry WHERE idx = 0"),
    ("the tail cut", "the newest launches are forgotten", "entry.missing", "DELETE FROM entry WHERE idx > 10"),
    ("the last entry cut", "a refusal loses its statement", "entry.missing launch.unfinished", "DELETE FROM entry WHERE idx = 13"),
    ("every entry dropped", "a head of nothing", "entry.missing", ["DELETE FROM entry", "DELETE FROM blob"]),
    ("two entries of one session reordered", "cause and effect exchanged", "tree.root launch.sequence entry.time", ["UPDATE entry SET idx = 100 WHERE idx = 3", "UPDATE entry SET idx = 3 WHERE idx = 4", "UPDATE entry SET idx = 4 WHERE idx = 100"]),
    ("parts of two sessions swapped", "which launch came first", "tree.root entry.time blob.surplus launch.intent launch.reused launch.statement", ["UPDATE entry SET idx = idx + 100 WHERE idx BETWEEN 7 AND 9", "UPDATE entry SET idx = idx - 4 WHERE idx BETWEEN 11 AND 13", "UPDATE entry SET idx = idx - 96 WHERE idx > 100"]),
    ("the outcomes of two sessions swapped", "each launch gets the other's end", "tree.root launch.sequence entry.time launch.intent blob.surplus launch.reused", ["UPDATE entry SET idx = 100 WHERE idx = 5", "UPDATE entry SET idx = 5 WHERE idx = 9", "UPDATE entry SET idx = 9 WHERE idx = 100"]),
    ("an entry doubled behind the head", "a launch is appended without a key", "head.beyond", "INSERT INTO entry SELECT 14, body FROM entry WHERE idx = 13"),
    ("an entry far behind the head", "an index that no float holds", "head.beyond", "INSERT INTO entry SELECT 9007199254740993, body FROM entry WHERE idx = 13"),
    ("an entry at a negative index", "before the beginning, where a loop from 0 never looks", "head.beyond", "INSERT INTO entry SELECT -1, body FROM entry WHERE idx = 13"),
    ("an entry doubled over another", "a refusal is covered with another entry", "tree.root launch.sequence", "UPDATE entry SET body = (SELECT body FROM entry WHERE idx = 3) WHERE idx = 4"),
    ("all entries moved by one", "a log that begins at 1", "entry.missing head.beyond entry.genesis launch.unfinished", ["UPDATE entry SET idx = -idx - 2", "UPDATE entry SET idx = -idx - 1"]),
    # --- the head ----------------------------------------------------------------------------------------
    ("the head dropped", "a ledger without a promise", "head.missing", "DELETE FROM head"),
    ("the head emptied", "a promise without words", "head.form", "UPDATE head SET note = ''"),
    ("the head's size", "the last entry is disowned", "head.beyond head.signature tree.root launch.unfinished", head_size("'13'")),
    ("the head's size made larger", "entries are announced that are not there", "entry.missing head.signature", head_size("'15'")),
    ("the head's size made 0", "an empty tree needs no signature", "head.beyond tree.root tree.edge blob.surplus", head_size("'0'")),
    ("the head's size with a zero before it", "a second way to write one number", "head.form", head_size("'014'")),
    ("the head's size with a plus", "a second way to write one number", "head.form", head_size("'+14'")),
    ("the head's size with a space", "a second way to write one number", "head.form", head_size("' 14'")),
    ("the head's size in hexadecimal", "a second way to write one number", "head.form", head_size("'0xe'")),
    ("the head's size in other digits", "what int() of Python takes for 14", "head.form", head_size("'1٤'")),
    ("the head's size with an underscore", "what int() of Python takes for 14", "head.form", head_size("'1_4'")),
    ("the head's size made negative", "a size below nothing", "head.form", head_size("'-4'")),
    ("the head's size beyond all", "2^53 is no size", "head.form", head_size("'9007199254740992'")),
    ("two sizes in the head", "one reader takes the first, one the second", "head.form", head_size("'14' || char(10) || '13'")),
    ("an extension line in the head", "words that the signature would have to cover", "head.form", "UPDATE head SET note = replace(note, char(10) || char(10), char(10) || 'more' || char(10) || char(10))"),
    ("the head's root with stray bits", "base64 of the same bytes in another form", "head.form", noted(lambda note: note.replace(ROOT, stray(ROOT)))),
    ("the head's root without padding", "base64 of the same bytes in another form", "head.form", "UPDATE head SET note = replace(note, '=' || char(10) || char(10), char(10) || char(10))"),
    ("the head's root cut", "a shorter hash is no hash", "head.form", "UPDATE head SET note = substr(note, 1, instr(note, '14') + 2) || 'AAAA' || substr(note, instr(note, char(10) || char(10)))"),
    ("the head's signature doubled", "two signatures where one belongs", "head.signature", f"UPDATE head SET note = note || {SIGNATURE}"),
    ("the head's signature cut off", "a note that nobody signed", "head.form", "UPDATE head SET note = substr(note, 1, instr(note, char(8212)) - 1)"),
    ("the head's signature without padding", "base64 of the same bytes in another form", "head.form", noted(lambda note: note.replace("=\n", "\n").replace(ROOT[:-1], ROOT))),
    ("the head's signature with stray bits", "base64 of the same bytes in another form", "head.form", noted(lambda note: note[:-46] + stray(note[-46:-1]) + "\n")),
    ("the head's signature with a hyphen before it", "a dash that is no em dash", "head.form", "UPDATE head SET note = replace(note, char(8212), '-')"),
    ("the head's signature in its second form", "S and S plus the group's order sign the same to a lenient library", "head.signature", noted(second_form)),
    ("a signature of an unknown key beside the head's", "in a file of ours nobody else signs", "head.signature", "UPDATE head SET note = note || char(8212) || ' x ' || 'AAAAAAAAAAAAAAAAAAAAAAAAAAAA' || char(10)"),
    ("carriage returns in the head", "as a text editor would leave it", "head.form", "UPDATE head SET note = replace(note, char(10), char(13) || char(10))"),
    ("no line end behind the head", "as a text editor would leave it", "head.form", "UPDATE head SET note = substr(note, 1, length(note) - 1)"),
    ("a line end more behind the head", "as a text editor would leave it", "head.form", "UPDATE head SET note = note || char(10)"),
    ("a NUL in the head", "what reads until the NUL sees a head that holds", "head.form", "UPDATE head SET note = note || char(0)"),
    # --- edge, tiles ---------------------------------------------------------------------------------------
    ("the edge emptied", "a writer would have to begin anew", "tree.edge", "UPDATE head SET edge = x''"),
    ("the edge's nodes", "a tree of nothing but zeros", "tree.edge", "UPDATE head SET edge = zeroblob(length(edge))"),
    ("one byte more on the edge", "a surplus that a lenient reader cuts off", "tree.edge", "UPDATE head SET edge = CAST(edge || x'00' AS BLOB)"),
    ("the edge's nodes exchanged", "the same hashes in another order", "tree.edge", "UPDATE head SET edge = CAST(substr(edge, 33, 32) || substr(edge, 1, 32) || substr(edge, 65) AS BLOB)"),
    ("a tile that is not full", "hashes that nothing asks for", "tree.tile_surplus", "INSERT INTO tile VALUES (0, 0, zeroblob(32), zeroblob(448))"),
    ("a tile of a level that is not there", "hashes that nothing asks for", "tree.tile_surplus", "INSERT INTO tile VALUES (3, 0, zeroblob(32), zeroblob(8192))"),
    ("a tile of a negative level", "hashes that nothing asks for", "tree.tile_surplus", "INSERT INTO tile VALUES (-1, 0, zeroblob(32), zeroblob(8192))"),
    # --- checkpoints, blobs -----------------------------------------------------------------------------------
    ("the head kept as a checkpoint", "every kept checkpoint is a place to cut", "checkpoint.surplus", "INSERT INTO checkpoint SELECT 14, note FROM head"),
    ("a checkpoint kept for size 0", "before the beginning", "checkpoint.size", "INSERT INTO checkpoint SELECT 0, note FROM head"),
    ("a checkpoint kept for a negative size", "before the beginning", "checkpoint.size", "INSERT INTO checkpoint SELECT -5, note FROM head"),
    ("a checkpoint kept beyond the head", "of entries that are not there", "checkpoint.size", "INSERT INTO checkpoint SELECT 15, note FROM head"),
    ("the head kept under another size", "a checkpoint that says something else than its row", "checkpoint.size checkpoint.surplus", "INSERT INTO checkpoint SELECT 9, note FROM head"),
    ("a kept checkpoint that is none", "a row with nothing in it", "checkpoint.form checkpoint.surplus", "INSERT INTO checkpoint VALUES (9, 'nothing')"),
    ("a blob's data", "the environment of a launch is another", "blob.digest", "UPDATE blob SET data = CAST(replace(CAST(data AS TEXT), 'TERM', 'TERN') AS BLOB)"),
    ("a blob's data made longer", "white space that no reader shows", "blob.digest", "UPDATE blob SET data = CAST(data || x'20' AS BLOB)"),
    ("a blob's salt", "without its salt the digest can be guessed", "blob.digest", "UPDATE blob SET salt = zeroblob(32)"),
    ("a blob's salt moved into its data", "the hashed bytes are the same, cut elsewhere", "blob.digest", "UPDATE blob SET salt = substr(salt, 1, 31), data = CAST(substr(salt, 32) || data AS BLOB)"),
    ("a blob too many", "a place to hide data in evidence", "blob.surplus", "INSERT INTO blob VALUES (zeroblob(32), zeroblob(32), x'5b5d')"),
]  # fmt: skip


TILES: list[tuple[str, str, str, Edit]] = [
    ("a bit of a tile's data", "a leaf that proofs would be made from", "tree.leaf", Flip("tile", "data", 70, "idx = 1")),
    ("a bit of a tile's root", "a node that proofs would be made from", "tree.tile", Flip("tile", "root", 0, "idx = 0")),
    ("a bit of an entry under a tile", "the tile names the entry exactly", "tree.leaf tree.root launch.statement", Flip("entry", "body", 0, "idx = 303", b'"exit":')),
    ("the first tile dropped", "proofs of old entries would be refused", "tree.tile_missing", "DELETE FROM tile WHERE idx = 0"),
    ("the last tile dropped", "proofs of newer entries would be refused", "tree.tile_missing", "DELETE FROM tile WHERE idx = 1"),
    ("every tile dropped", "no proof could be made", "tree.tile_missing", "DELETE FROM tile"),
    ("a tile renumbered", "a tile under the place of another", "tree.tile_missing", "UPDATE tile SET idx = 2 WHERE idx = 1"),
    ("a tile raised a level", "a tile under the place of another", "tree.tile_missing tree.tile_surplus", "UPDATE tile SET level = 1 WHERE idx = 1"),
    ("two tiles exchanged", "each at the place of the other", "tree.leaf findings.more", ["UPDATE tile SET idx = 9 WHERE idx = 0", "UPDATE tile SET idx = 0 WHERE idx = 1", "UPDATE tile SET idx = 1 WHERE idx = 9"]),
    ("a tile more at the end", "a tile of entries that do not fill it", "tree.tile_surplus", "INSERT INTO tile SELECT 0, 2, root, data FROM tile WHERE idx = 0"),
    ("a tile at a negative place", "before the beginning", "tree.tile_missing tree.tile_surplus", "INSERT INTO tile SELECT 0, -1, root, data FROM tile WHERE idx = 0"),
    ("a tile of a level to come", "a level that 601 entries do not have", "tree.tile_surplus", "INSERT INTO tile SELECT 1, 0, root, data FROM tile WHERE idx = 0"),
    ("a tile's root zeroed", "a root that its own data does not give", "tree.tile", "UPDATE tile SET root = zeroblob(32) WHERE idx = 1"),
    ("a tile's data zeroed", "every leaf is another", "tree.leaf findings.more", "UPDATE tile SET data = zeroblob(8192) WHERE idx = 0"),
    ("a tile's data made longer", "a surplus that a lenient reader cuts off", "tree.tile", "UPDATE tile SET data = CAST(data || x'00' AS BLOB) WHERE idx = 0"),
    ("a tile's data emptied", "a tile without leaves", "tree.tile", "UPDATE tile SET data = x'' WHERE idx = 0"),
    ("a tile's data without its last hash", "255 leaves are no full tile", "tree.tile", "UPDATE tile SET data = substr(data, 1, 8160) WHERE idx = 0"),
]  # fmt: skip


def spki(key: SigningKey) -> str:
    return base64.b64encode(key.public.spki()).decode()


def note_of_turned(keys: list[SigningKey], *, other: bool = False) -> tuple[str, tuple[Any, ...]]:
    """Return the SQL that keeps another checkpoint at the handover."""
    book = handed_over()
    if other:
        book.bodies[3] = book.bodies[3].replace(b'"exit":0', b'"exit":1')
    return "UPDATE checkpoint SET note = ?", (book.note(6, keys),)


HANDOVERS: list[tuple[str, str, str, Edit]] = [
    ("a bit of a kept checkpoint's root", "the handover would be of other entries", "checkpoint.signature", Flip("checkpoint", "note", 3, after=b"\n6\n")),
    ("a bit of a kept checkpoint's signature", "a handover without a signature is no handover", "checkpoint.signature", Flip("checkpoint", "note", -20)),
    ("the handover's signatures exchanged", "the old key signs first, in one form", "checkpoint.signature", note_of_turned([SUCCESSOR, KEY])),
    ("the handover signed by the old key alone", "the new key has not said that it takes over", "checkpoint.signature", note_of_turned([KEY])),
    ("the handover signed by the new key alone", "the old key has not said that it hands over", "checkpoint.signature", note_of_turned([SUCCESSOR])),
    ("the handover signed by the old key twice", "one signature does not count for two", "checkpoint.signature", note_of_turned([KEY, KEY])),
    ("the handover signed by a third key too", "nobody else signs a handover", "checkpoint.signature", note_of_turned([KEY, SUCCESSOR, KEY])),
    ("the handover signed by a stranger", "a stranger takes a ledger over", "checkpoint.signature", note_of_turned([KEY, STRANGER])),
    ("a handover's checkpoint of another root", "both keys once signed another history", "checkpoint.root", note_of_turned([KEY, SUCCESSOR], other=True)),
    ("a handover's checkpoint dropped", "nothing says that both keys agreed", "checkpoint.missing", "DELETE FROM checkpoint"),
    ("a handover's checkpoint moved down", "it would be kept where nothing was handed over", "checkpoint.missing checkpoint.signature checkpoint.surplus", "UPDATE checkpoint SET size = 5"),
    ("a handover's checkpoint moved up", "it would be kept where nothing was handed over", "checkpoint.missing checkpoint.signature checkpoint.surplus", "UPDATE checkpoint SET size = 7"),
    ("a handover's checkpoint with its size changed", "a checkpoint that says something else than its row", "checkpoint.signature", "UPDATE checkpoint SET note = replace(note, char(10) || '6' || char(10), char(10) || '5' || char(10))"),
    ("a handover's checkpoint with a size of zeros", "a second way to write one number", "checkpoint.form", "UPDATE checkpoint SET note = replace(note, char(10) || '6' || char(10), char(10) || '06' || char(10))"),
    ("a handover's checkpoint of another ledger", "the same keys, another ledger", "checkpoint.origin", ("UPDATE checkpoint SET note = ?", (handed_over("other").note(6),))),
    ("the handover dropped", "the old key stays in force", "entry.missing head.signature launch.signature checkpoint.signature checkpoint.surplus", "DELETE FROM entry WHERE idx = 5"),
    ("the successor's key exchanged", "a handover is turned to a stranger", "tree.root head.signature launch.signature checkpoint.signature", ("UPDATE entry SET body = replace(body, ?, ?) WHERE idx = 5", (spki(SUCCESSOR), spki(STRANGER)))),
]  # fmt: skip

ANCHORS: list[tuple[str, str, str, Edit]] = [
    ("an anchored checkpoint dropped", "what was timestamped is forgotten", "checkpoint.missing", "DELETE FROM checkpoint"),
    ("an anchored checkpoint moved", "what was timestamped is another size", "checkpoint.missing checkpoint.size checkpoint.surplus", "UPDATE checkpoint SET size = 4"),
    ("a bit of an anchored checkpoint", "a timestamp is of the very bytes", "checkpoint.signature", Flip("checkpoint", "note", -20)),
    ("an anchor's evidence", "the evidence is part of the entry", "tree.root", entry("AAAA", "BBBB", "idx = 5")),
    ("an anchor's size", "the anchor seems to cover more", "tree.root checkpoint.missing checkpoint.surplus", entry('"size":3', '"size":4', "idx = 5")),
]  # fmt: skip


def rows(table: list[tuple[str, str, str, Edit]], of: Callable[[], Book]) -> list[Mutation]:
    return [
        Mutation(name, why, 1, frozenset(codes.split()), make(edit, of)) for name, why, codes, edit in table
    ]


def make(edit: Edit, of: Callable[[], Book]) -> Callable[[Bench], Asked]:
    def made(bench: Bench) -> Asked:
        path = bench.write(of())
        if isinstance(edit, Flip):
            bench.alter(path, edit.statement(path))
        elif isinstance(edit, list):
            bench.alter(path, *edit)
        else:
            bench.alter(path, edit)
        return ask(bench, path)

    return made


def rehashed(of: Callable[[], Book], index: int) -> Callable[[Bench], Asked]:
    """Change an entry, and make everything fit but the signatures."""

    def made(bench: Bench) -> Asked:
        book = of()
        head = book.note(len(book.bodies))
        assert b'"exit":0' in book.bodies[index]
        book.bodies[index] = book.bodies[index].replace(b'"exit":0', b'"exit":1')
        return ask(bench, bench.write(book, head=head))

    return made


REHASHED = frozenset({"tree.edge", "tree.root", "launch.statement"})

MUTATIONS = [
    *rows(ROWS, three_launches),
    *rows(TILES, two_tiles),
    *rows(HANDOVERS, handed_over),
    *rows(ANCHORS, anchored),
    Mutation("an entry rehashed into the edge", "the edge is made to fit by somebody who knows the format", 1, REHASHED, rehashed(three_launches, 5)),
    Mutation("an entry rehashed into tiles and edge", "everything is made to fit but the one signature", 1, REHASHED, rehashed(two_tiles, 303)),
]  # fmt: skip
"""The rows of this part."""
