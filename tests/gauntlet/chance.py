"""Mutations by chance: random changes of random small ledgers, and none may be verified (``make gauntlet``).

Each case is a function of the seed and its number alone, so it can be made again; :data:`CASES_PER_LEDGER`
cases share one true ledger, which is verified first. A case fails when what somebody changed is accepted, and
when the verifier itself fails. Where only unused parts of a page were hit, all content is the same, and
then the ledger may be verified as it was.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from attest import entry
from attest.keys import SigningKey
from tests.gauntlet.files import retyped
from tests.gauntlet.mutation import TABLES, content
from tests.verify.conftest import (
    CAPABILITIES,
    DECISION,
    HOOK,
    HOOK_RESULT,
    INTENT,
    KEY,
    OUTCOME,
    REFUSED,
    SIGNALLED,
    START,
    STRANGER,
    Bench,
    Book,
    changed,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Step = Callable[[], object]

CASES_PER_LEDGER = 20
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where files are made that need not be durable; None is where temporary files are made anyway."""
SECONDS = 60.0
"""How long one verification may keep the processor busy."""

_ATTEMPTS = 50
_PROGRESS_SECONDS = 2.0


class CannotBeMadeError(Exception):
    """The mutation that was drawn does not fit this ledger; another one is drawn."""


# --- random ledgers ----------------------------------------------------------------------------------


def random_book(choose: Random, key: SigningKey = KEY) -> Book:
    """Return a true ledger: launches of every kind, interleaved; handovers, blobs, anchors between them."""
    book = Book(key, nonce=choose.randbytes(32))
    sessions = [_session(choose, book) for _ in range(choose.randint(1, 6))]
    first = 16 if key is KEY else 32  # a stranger hands over to keys of their own
    keys = [SigningKey(bytes([first + number]) * 32) for number in range(8)]
    while sessions:
        at = choose.randrange(min(3, len(sessions)))
        sessions[at].pop(0)()
        if not sessions[at]:
            del sessions[at]
        if keys and choose.random() < 0.05:
            book.hand_over(keys.pop(0))
        if choose.random() < 0.05:
            _anchor(choose, book)
    return book


def _anchor(choose: Random, book: Book) -> None:
    size = choose.randint(1, len(book.bodies))
    if size not in book.kept:
        book.kept.append(size)
    evidence: Any = "AAAA" if choose.random() < 0.5 else book.beside("QUJD")
    book.add(entry.ANCHOR, None, {"covers": {"size": size}, "evidence": evidence, "type": "rfc3161"})


def _beside(choose: Random, book: Book, start: dict[str, Any]) -> dict[str, Any]:
    """Put parts of a start beside the entries, or none."""
    start = changed(start)
    if choose.random() < 0.3:
        start["environment"] = book.beside(["HOME", choose.choice(("PATH", "TERM", "LANG"))])
    if choose.random() < 0.2:
        start["capabilities"] = book.beside(CAPABILITIES)
    return start


def _session(choose: Random, book: Book) -> list[Step]:
    """Return the steps of one session."""
    session = book.new_session()
    kind = choose.choice(("launch", "launch", "launch", "refusal", "direct", "hooked", "signalled", "lost"))
    decisions = 240 if choose.random() < 0.03 else choose.randint(0, 4)
    intent = changed(INTENT, labels={"run": str(choose.randint(0, 99))})
    if kind == "hooked":
        intent["hooks"] = {"before": HOOK, "after": HOOK}
    if kind == "direct":
        intent.update(strategy="direct", outputs=[])
    steps: list[tuple[str, dict[str, Any]]] = [(entry.INTENT, intent)]
    if kind == "hooked":
        steps.append((entry.HOOK_RESULT, HOOK_RESULT))
    if kind != "refusal":
        steps.append((entry.START, START))
        if kind != "direct":
            steps += [(entry.DECISION, DECISION)] * decisions
    if kind == "lost":
        del steps[choose.randint(1, len(steps)) :]
        steps.append((entry.LOST, {"found": "process-gone"}))
    elif kind != "direct":
        counted = sum(step == entry.DECISION for step, _ in steps)
        ended = changed({"refusal": REFUSED, "signalled": SIGNALLED}.get(kind, OUTCOME))
        ended["counts"]["decisions"] = counted
        steps.append((entry.OUTCOME, ended))
        if kind == "hooked":
            steps.append((entry.HOOK_RESULT, changed(HOOK_RESULT, hook="after")))

    def step(name: str, data: dict[str, Any]) -> Step:
        return lambda: book.add(name, session, _beside(choose, book, data) if name == entry.START else data)

    made = [step(*each) for each in steps]
    if kind not in {"lost", "direct"}:
        made.append(lambda: book.attest(session))
    return made


class TrueLedger:
    """A ledger of which nothing was changed, in a directory of its own.

    Attributes:
        bench: the directory, and the keys in it: ``key.pub`` founded it, ``last.pub`` signed its head.
        book: the ledger, as it was collected.
        path: the file.
        said: its content.
    """

    def __init__(self, seed: str, directory: str) -> None:
        self._seed = seed
        self.bench = Bench(directory)
        self.book = self.again(KEY)
        self.path = self.bench.write(self.book)
        self.said = content(self.path)
        with open(self.bench.path("last.pub"), "wb") as file:
            file.write(self.book.key.public.pem())

    def again(self, key: SigningKey) -> Book:
        """Return the same launches in a ledger of another key."""
        return random_book(Random(self._seed), key)


# --- random mutations -----------------------------------------------------------------------------------


@dataclass
class Attack:
    """What a mutation has to work with.

    Attributes:
        choose: what is left to chance.
        ledger: the true ledger.
        path: the file to be changed; it is a copy of the true one so far.
        words: what the verifier is asked beside it.
    """

    choose: Random
    ledger: TrueLedger
    path: str
    words: list[str]

    @property
    def bench(self) -> Bench:
        return self.ledger.bench

    @property
    def book(self) -> Book:
        return self.ledger.book

    def data(self) -> bytearray:
        with open(self.path, "rb") as file:
            return bytearray(file.read())

    def write(self, data: bytes | bytearray) -> None:
        with open(self.path, "wb") as file:
            file.write(data)

    def replace(self, book: Book, head: str | None = None) -> None:
        os.replace(self.bench.write(book, head=head), self.path)

    def row(self, table: str | None = None) -> tuple[str, list[str], tuple[Any, ...]]:
        """Return a row of a table: its name, its columns, its values."""
        table = table or self.choose.choice(list(TABLES))
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            cursor = db.execute(f"SELECT * FROM {table} ORDER BY {TABLES[table]}")
            rows = cursor.fetchall()
            columns = [column[0] for column in cursor.description]
        if not rows:
            raise CannotBeMadeError
        return table, columns, self.choose.choice(rows)

    def alter(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        self.bench.alter(self.path, *statements)


def other_value(value: Any, choose: Random) -> Any:
    """Return another value of the same type."""
    if isinstance(value, int):
        return choose.choice((value + 1, value - 1, -value, 0, 2**53, choose.randrange(-(2**63), 2**63)))
    text = isinstance(value, str)
    data = bytearray(value.encode() if text else value)
    at = choose.randrange(len(data) + 1)
    how = choose.choice(("flip", "insert", "delete", "cut", "repeat", "move"))
    if how == "flip" and at < len(data):
        data[at] ^= 1 << choose.randrange(7 if text else 8)
    elif how == "insert":
        data[at:at] = choose.choice(b'{}[]":,0129aefz \n\0\\').to_bytes(1, "big")
    elif how == "delete":
        del data[at : at + choose.randint(1, 4)]
    elif how == "cut":
        del data[at:]
    elif how == "repeat":
        data[at:at] = data[at : at + choose.randint(1, 40)]
    else:
        part = data[at : at + choose.randint(1, 40)]
        del data[at : at + len(part)]
        to = choose.randrange(len(data) + 1)
        data[to:to] = part
    return data.decode("utf-8", "ignore") if text else bytes(data)


def bits(attack: Attack) -> None:
    data = attack.data()
    for _ in range(attack.choose.randint(1, 4)):
        data[attack.choose.randrange(len(data))] ^= 1 << attack.choose.randrange(8)
    attack.write(data)


def stretch(attack: Attack) -> None:
    """Overwrite a stretch of the file: with zeros, with anything, with another part of it."""
    data, choose = attack.data(), attack.choose
    at, length = choose.randrange(len(data)), choose.choice((1, 4, 32, 512))
    source = choose.randrange(len(data))
    new = choose.choice((bytes(length), choose.randbytes(length), bytes(data[source : source + length])))
    data[at : at + length] = new[: len(data) - at]
    attack.write(data)


def length(attack: Attack) -> None:
    data, choose = attack.data(), attack.choose
    if choose.random() < 0.7:
        del data[choose.randrange(len(data)) :]
    else:
        data += choose.randbytes(choose.choice((1, 512, 4_096)))
    attack.write(data)


def pages(attack: Attack) -> None:
    data, choose = attack.data(), attack.choose
    count = len(data) // 4_096
    one, other = (choose.randrange(count) * 4_096 for _ in range(2))
    first, second = bytes(data[one : one + 4_096]), bytes(data[other : other + 4_096])
    data[one : one + 4_096] = choose.choice((second, bytes(4_096)))
    if choose.random() < 0.5:
        data[other : other + 4_096] = first
    attack.write(data)


def value(attack: Attack) -> None:
    table, columns, row = attack.row()
    at = attack.choose.randrange(len(columns))
    where = " AND ".join(f"{column} = ?" for column in columns)
    new = other_value(row[at], attack.choose)
    attack.alter((f"UPDATE {table} SET {columns[at]} = ? WHERE {where}", (new, *row)))


def row_less(attack: Attack) -> None:
    table, columns, row = attack.row()
    if table == "blob":  # withheld, which is no tampering: a row of its own in the table
        raise CannotBeMadeError
    where = " AND ".join(f"{column} = ?" for column in columns)
    attack.alter((f"DELETE FROM {table} WHERE {where}", row))


def row_more(attack: Attack) -> None:
    table, columns, row = attack.row()
    keys = 2 if table == "tile" else 1
    new = tuple(other_value(each, attack.choose) if at < keys else each for at, each in enumerate(row))
    attack.alter((f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", new))


def rows_exchanged(attack: Attack) -> None:
    table, columns, one = attack.row()
    _, _, other = attack.row(table)
    keys = 2 if table == "tile" else 1
    where = " AND ".join(f"{column} = ?" for column in columns[:keys])
    content = ", ".join(f"{column} = ?" for column in columns[keys:])
    attack.alter(
        (f"UPDATE {table} SET {content} WHERE {where}", (*other[keys:], *one[:keys])),
        (f"UPDATE {table} SET {content} WHERE {where}", (*one[keys:], *other[:keys])),
    )


def tail(attack: Attack) -> None:
    """Cut the last entries off, at times with what leads to them."""
    size = attack.choose.randrange(len(attack.book.bodies))
    statements: list[tuple[str, tuple[Any, ...]]] = [("DELETE FROM entry WHERE idx >= ?", (size,))]
    if attack.choose.random() < 0.5:
        statements.append(("DELETE FROM checkpoint WHERE size > ?", (size,)))
    if size and attack.choose.random() < 0.5:
        statements.append(("UPDATE head SET edge = ?", (attack.book.edge(size).encode(),)))
    attack.alter(*statements)


def another_ledgers_row(attack: Attack) -> None:
    """Put a row of another ledger of the same key into this one."""
    other = attack.bench.write(random_book(attack.choose))
    table, columns, row = attack.row()
    with contextlib.closing(sqlite3.connect(other)) as db:
        rows = db.execute(f"SELECT * FROM {table}").fetchall()
    if not rows:
        raise CannotBeMadeError
    keys = 2 if table == "tile" else 1
    new = row[:keys] + attack.choose.choice(rows)[keys:]
    marks = ", ".join("?" * len(columns))
    attack.alter((f"INSERT OR REPLACE INTO {table} VALUES ({marks})", new))


def rehashed(attack: Attack) -> None:
    """Change an entry and make tiles, edge and checkpoints fit; all signatures are those of before."""
    book, choose = attack.book, attack.choose
    head = book.note(len(book.bodies))
    at = choose.randrange(len(book.bodies))
    new = other_value(book.bodies[at].decode(), choose).encode()
    true, book.bodies[at] = book.bodies[at], new
    try:
        attack.replace(book, head)
    finally:
        book.bodies[at] = true


def signed_again(attack: Attack) -> None:
    """A stranger signs everything again, or just the head."""
    if attack.choose.random() < 0.5:
        attack.replace(attack.ledger.again(STRANGER))
    else:
        book = attack.book
        attack.replace(book, book.note(len(book.bodies), [STRANGER]))


def handed_over_by_a_stranger(attack: Attack) -> None:
    """A stranger's ledger names the pinned key as its next, and cannot sign for it."""
    book = attack.ledger.again(STRANGER)
    last = book.key
    book.hand_over(KEY)
    book.keys[-1] = (book.keys[-1][0], [last, STRANGER])
    if attack.choose.random() < 0.5:
        book.add(entry.ANCHOR, None, {"covers": {"size": len(book.bodies)}, "evidence": "AAAA", "type": "x"})
    attack.replace(book, book.note(len(book.bodies), [attack.choose.choice([last, STRANGER])]))


def older_copy(attack: Attack) -> None:
    """An older true copy against a checkpoint of the newest state."""
    book, size = attack.book, len(attack.book.bodies)
    older = attack.choose.randint(1, size - 1)
    memory = attack.bench.path("memory")
    with open(memory, "w", encoding="utf-8") as file:
        file.write(book.note(size))
    attack.words += ["--checkpoint", memory]
    bodies, kept, keys = book.bodies, book.kept, book.keys
    try:
        book.bodies, book.kept = bodies[:older], [each for each in kept if each <= older]
        book.keys = [each for each in keys if each[0] <= older]
        attack.replace(book)
    finally:
        book.bodies, book.kept, book.keys = bodies, kept, keys


def relabelled(attack: Attack) -> None:
    """Give entries of one session to another, or to nobody."""
    sessions = sorted({body[i : i + 32] for body in attack.book.bodies if (i := body.find(b"0192")) > 0})
    old = attack.choose.choice(sessions)
    new = attack.choose.choice([*sessions, b"0192%08x70008%015x" % (999, 0)])
    indices = [at for at, body in enumerate(attack.book.bodies) if old in body]
    first = attack.choose.choice(indices)
    last = attack.choose.choice([first, max(indices)])
    values = (old.decode(), new.decode(), first, last)
    attack.alter(("UPDATE entry SET body = replace(body, ?, ?) WHERE idx BETWEEN ? AND ?", values))


def another_type(attack: Attack) -> None:
    """Give a value the type that its column does not have."""
    table, columns, row = attack.row(attack.choose.choice(("entry", "head", "checkpoint")))
    column = attack.choose.choice(columns[1:])
    how = attack.choose.choice(("CAST({} AS BLOB)", "CAST({} AS TEXT)", "NULL", "1", "1.5", "x'00'"))
    definition = f"CREATE TABLE {table} ({columns[0]} INTEGER PRIMARY KEY, {', '.join(columns[1:])})"
    retyped(
        attack.path,
        definition,
        f"UPDATE {table} SET {column} = {how.format(column)} WHERE {columns[0]} = {row[0]}",
    )


def another_schema(attack: Attack) -> None:
    table = attack.choose.choice(list(TABLES))
    statement = attack.choose.choice(
        (
            f"CREATE VIEW v AS SELECT * FROM {table}",
            f"CREATE INDEX i ON {table} ({TABLES[table]})",
            f"ALTER TABLE {table} ADD COLUMN x TEXT",
            f"DROP TABLE {table}",
            "PRAGMA application_id = 7",
            f"PRAGMA user_version = {attack.choose.randint(2, 99)}",
            "ANALYZE",
            "CREATE TABLE more (x)",
        )
    )
    with contextlib.closing(sqlite3.connect(attack.path, isolation_level=None)) as db:
        db.execute(statement)


def side_file(attack: Attack) -> None:
    """Plant a -journal, a -wal that is none, or a -wal with a change in it."""
    how = attack.choose.choice(("journal", "wal", "change"))
    if how != "change":
        with open(f"{attack.path}-{how}", "wb") as file:
            file.write(attack.choose.randbytes(attack.choose.choice((1, 32, 5_000))))
        return
    with contextlib.closing(sqlite3.connect(attack.path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    kept = attack.bench.path("kept.db")
    shutil.copyfile(attack.path, kept)
    table, columns, row = attack.row("head")
    at = attack.choose.randrange(1, len(columns))
    with contextlib.closing(sqlite3.connect(attack.path, isolation_level=None)) as db:
        db.execute(f"UPDATE {table} SET {columns[at]} = ?", (other_value(row[at], attack.choose),))
        shutil.copyfile(attack.path + "-wal", kept + "-wal")
    os.replace(kept, attack.path)
    os.replace(kept + "-wal", attack.path + "-wal")


def several(attack: Attack) -> None:
    for kind in attack.choose.choices((value, row_more, row_less, rows_exchanged, bits, relabelled), k=3):
        kind(attack)


KINDS: tuple[Callable[[Attack], None], ...] = (
    bits, bits, stretch, length, pages, value, value, value, row_less, row_more, rows_exchanged, tail,
    another_ledgers_row, rehashed, signed_again, handed_over_by_a_stranger, older_copy, relabelled,
    another_type, another_schema, side_file, several,
)  # fmt: skip

RAW = frozenset({bits, stretch, pages, side_file, several})
"""Those that know nothing of a ledger, and so may change nothing of what it says."""

# --- cases -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended: which kind it was, the exit code, and what is wrong about that, or nothing."""

    case: int
    kind: str
    exit: int
    wrong: str = ""


def judged(words: list[str]) -> tuple[int, frozenset[str], str]:
    """Ask the verifier; return exit code, codes, and what is wrong with the answer itself."""
    began = time.process_time()  # a busy machine is not a fault
    try:
        status, output = run([*words, "--format", "json"])
        codes = frozenset(finding["code"] for finding in json.loads(output)["findings"])
    except Exception as error:  # noqa: BLE001  # that is what is looked for
        return -1, frozenset(), f"the verifier raised {error!r}"
    if status not in {0, 1, 2, 3}:
        return status, codes, f"the exit code {status}"
    if "input.unexpected" in codes:
        return status, codes, "a fault of the verifier itself"
    if time.process_time() - began > SECONDS:
        return status, codes, f"more than {SECONDS:g} seconds of the processor"
    return status, codes, ""


def is_accepted(status: int, codes: frozenset[str]) -> bool:
    """Return whether nothing was found that a true ledger of ours has not: some hold a lost launch."""
    return status == 0 or (status == 3 and codes <= {"launch.lost"})


def run_ledger(seed: str, number: int, cases: list[int], keep: str) -> list[Outcome]:
    """Run the cases of one ledger."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="gauntlet-", dir=MEMORY) as directory:
        ledger = TrueLedger(f"{seed}:{number}", directory)
        bench, true = ledger.bench, ledger.path
        for key in ("key.pub", "last.pub"):
            status, codes, wrong = judged([true, "-k", bench.path(key)])
            if not wrong and not is_accepted(status, codes):
                wrong = f"an untouched ledger: {status}, {sorted(codes)}"
            if wrong:
                _keep(keep, seed, cases[0], true, true)
            outcomes.append(Outcome(cases[0], "untouched", status, wrong))
        for case in cases:
            outcomes.append(_run_case(Random(f"{seed}:{number}:{case}"), case, ledger))
            if outcomes[-1].wrong:
                _keep(keep, seed, case, bench.path("case.db"), true)
    return outcomes


def _run_case(choose: Random, case: int, ledger: TrueLedger) -> Outcome:
    path = ledger.bench.path("case.db")
    for _ in range(_ATTEMPTS):
        kind = choose.choice(KINDS)
        for suffix in ("-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + suffix)
        shutil.copyfile(ledger.path, path)
        key = choose.choice(("key.pub", "last.pub"))
        attack = Attack(choose, ledger, path, ["-k", ledger.bench.path(key)])
        try:
            kind(attack)
        except (CannotBeMadeError, sqlite3.Error, UnicodeDecodeError):
            continue
        status, codes, wrong = judged([path, *attack.words])
        if not wrong and is_accepted(status, codes):
            if content(path) == ledger.said and "--checkpoint" not in attack.words:
                if kind not in RAW:
                    continue  # the same value once more is no mutation
                return Outcome(case, f"{kind.__name__} (content unchanged)", status)
            wrong = f"accepted: {status}, {sorted(codes)}"
        return Outcome(case, kind.__name__, status, wrong)
    return Outcome(case, "none", -1, "no mutation could be made")


def _keep(keep: str, seed: str, case: int, path: str, true: str) -> None:
    place = os.path.join(keep, f"seed-{seed}-case-{case}")
    os.makedirs(place, exist_ok=True)
    shutil.copyfile(true, os.path.join(place, "true.db"))
    for suffix in ("", "-wal", "-journal"):
        if os.path.exists(path + suffix):
            shutil.copyfile(path + suffix, os.path.join(place, f"case.db{suffix}"))
    for name in os.listdir(os.path.dirname(path)):
        if name.endswith(".pub") or name == "memory":
            shutil.copy(os.path.join(os.path.dirname(path), name), place)


# --- the run ------------------------------------------------------------------------------------------


def run_all(seed: str, cases: list[int], keep: str, jobs: int) -> Iterator[list[Outcome]]:
    """Run the cases, those of each ledger together, and yield their outcomes as they come."""
    ledgers: dict[int, list[int]] = {}
    for case in cases:
        ledgers.setdefault(case // CASES_PER_LEDGER, []).append(case)
    if jobs == 1:
        for number, its in ledgers.items():
            yield run_ledger(seed, number, its, keep)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would copy the threads of whoever calls
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=spawn) as pool:
        started = [pool.submit(run_ledger, seed, number, its, keep) for number, its in ledgers.items()]
        try:
            for done in concurrent.futures.as_completed(started):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # whoever stops early need not wait for the rest


def main(arguments: list[str]) -> int:
    """Run the gauntlet and return 0 when no case failed."""
    parser = argparse.ArgumentParser(
        "gauntlet", description="Mutate ledgers by chance; none may be verified."
    )
    parser.add_argument("--count", type=int, default=10_000, help="how many mutations")
    parser.add_argument("--seed", default="", help="of an earlier run, to have it again")
    parser.add_argument("--case", type=int, help="this case alone")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--keep", default="gauntlet-failures", help="where cases that fail are kept")
    options = parser.parse_args(arguments)
    seed = options.seed or os.urandom(4).hex()
    cases = list(range(options.count)) if options.case is None else [options.case]
    print(f"seed {seed}, {len(cases)} mutations, {options.jobs} processes", flush=True)
    began = shown = time.monotonic()
    figures: dict[str, Counter[int]] = {}
    failed: list[Outcome] = []
    done = 0
    for outcomes in run_all(seed, cases, options.keep, options.jobs):
        for outcome in outcomes:
            figures.setdefault(outcome.kind, Counter())[outcome.exit] += 1
            done += outcome.kind != "untouched"
            if outcome.wrong:
                failed.append(outcome)
                print(f"case {outcome.case}, {outcome.kind}: {outcome.wrong}", flush=True)
        now = time.monotonic()
        if now - shown > _PROGRESS_SECONDS:
            shown = now
            rate = done / (now - began)
            progress = f"{done} of {len(cases)}, {rate:.0f} a second, {len(failed)} failed"
            print(progress, file=sys.stderr, flush=True)
    _report(figures)
    seconds = time.monotonic() - began
    print(f"{done} mutations in {seconds:.0f} s ({done / seconds:.0f} a second), {len(failed)} failed")
    for outcome in failed:
        print(
            f"kept in {options.keep}/seed-{seed}-case-{outcome.case};"
            f" again with: make gauntlet SEED={seed} CASE={outcome.case}"
        )
    return 1 if failed else 0


def _report(figures: dict[str, Counter[int]]) -> None:
    print(f"{'mutation':44}{'count':>7}{'exit 0':>8}{'exit 1':>8}{'exit 2':>8}{'exit 3':>8}")
    for kind, exits in sorted(figures.items()):
        shown = "".join(f"{exits[status]:8}" for status in range(4))
        print(f"{kind.replace('_', ' '):44}{exits.total():7}{shown}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
