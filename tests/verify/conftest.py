"""Ledgers for the verifier's tests, written by a small writer that shares no code with ``store``.

A :class:`Book` collects entries and writes them with everything that belongs to them. Each part can
be changed before or after writing, so a test can make exactly one thing wrong.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import io
import json
import os
import sqlite3
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

import verify
from attest import checkpoint, entry, envelope, ledger_format, origin, tree
from attest.blob import Blob
from attest.canonical import encode
from attest.keys import SigningKey
from attest.statement import LaunchEvidence
from verify import batch, cli, replay, worker_pool
from verify.batch import Batch
from verify.batch_check import BatchCheck, check_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from verify.batch_check import Terms

FEATURES = (
    "filesystem", "truncate", "ioctl", "network", "scope", "filter", "capabilities", "exec-stop", "lease",
    "metadata",
)  # fmt: skip
KEY = SigningKey(b"\x01" * 32)
SUCCESSOR = SigningKey(b"\x02" * 32)
STRANGER = SigningKey(b"\x03" * 32)
CAPABILITIES: dict[str, Any] = {
    "files": [{"access": "read", "asked": "/usr", "path": "/usr", "source": "system", "type": "directory"}],
    "network": {"mode": "blocked"},
}
HOOK: dict[str, Any] = {"path": "/h/before", "required": False, "sha256": "c" * 64, "timeout_seconds": 10}
INTENT: dict[str, Any] = {
    "bypass_protection": [],
    "command": ["make", "release"],
    "grants": [{"access": "read", "asked": "/usr", "source": "system", "type": "directory"}],
    "hooks": {},
    "host": {
        "boot_id": "00000000-0000-4000-8000-000000000000",
        "kernel": "6.18.0",
        "landlock_abi": 7,
        "name": "host",
    },
    "labels": {"run": "7"},
    "network": {"mode": "blocked"},
    "outputs": ["/w/a.whl"],
    "profile": [],
    "redaction": {
        "added": {"environment": [], "flags": [], "headers": [], "query_keys": []},
        "removed": {"environment": [], "flags": [], "headers": [], "query_keys": []},
    },
    "strategy": "supervised",
    "supervisor": {"pid": 4242, "pid_namespace": "4026531836", "start_time": 100, "version": "0.1.0"},
    "user": {"gid": 1000, "groups": [1000], "uid": 1000},
}
START: dict[str, Any] = {
    "capabilities": CAPABILITIES,
    "capabilities_sha256": hashlib.sha256(encode(CAPABILITIES)).hexdigest(),
    "directory": "/w",
    "enforcement": {
        "achieved": dict.fromkeys(FEATURES, True),
        "filter_sha256": "d" * 64,
        "landlock_abi": 7,
        "required": dict.fromkeys(FEATURES, True),
        "waived": [],
    },
    "environment": ["HOME", "PATH"],
    "executable": {"held": "lease", "path": "/usr/bin/make", "sha256": "e" * 64, "size": 4096},
    "interpreters": [],
    "limits": {},
    "pid": 4243,
}
OUTCOME: dict[str, Any] = {
    "counts": {"decisions": 0, "decisions_dropped": 0, "survivors": 0, "survivors_left": 0},
    "duration_us": 5,
    "ended": "2026-11-24T04:00:01.000000Z",
    "executed_image": "same",
    "exit": 0,
    "outputs": [{"path": "/w/a.whl", "sha256": "f" * 64, "size": 10}],
    "resources": {"max_rss_bytes": 1, "system_us": 1, "user_us": 1},
    "started": "2026-11-24T04:00:00.000000Z",
}
REFUSED: dict[str, Any] = {
    "counts": {"decisions": 0, "decisions_dropped": 0, "survivors": 0, "survivors_left": 0},
    "ended": "2026-11-24T04:00:01.000000Z",
    "not_started": {"code": "grant.refused", "message": "no"},
    "outputs": [],
}
SIGNALLED: dict[str, Any] = {
    **{name: value for name, value in OUTCOME.items() if name != "exit"},
    "signal": 9,
    "core_dumped": False,
}
DECISION: dict[str, Any] = {
    "by": "kernel", "reason": "not granted", "subject": "/etc/shadow", "verdict": "denied", "what": "file",
}  # fmt: skip
HOOK_RESULT: dict[str, Any] = {
    "dropped": [], "duration_us": 3, "exit": 0, "exported": [], "hook": "before", "timed_out": False,
}  # fmt: skip


def session_id(number: int) -> str:
    return f"0192{number:08x}70008{0:015x}"


def changed(data: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**copy.deepcopy(data), **members}


class Book:
    """A ledger in the making.

    Attributes:
        bodies: the entries' bytes, which a test may change before it writes.
        kept: sizes at which a checkpoint is kept.
        blobs: what lies beside the entries.
    """

    def __init__(self, key: SigningKey = KEY, name: str = "test", nonce: bytes = b"\x07" * 32) -> None:
        self.key = key
        self.keys = [(0, [key])]
        self.origin = origin.derive(name, key.public.spki(), nonce)
        self.bodies: list[bytes] = []
        self.kept: list[int] = []
        self.blobs: list[Blob] = []
        self.clock = 0
        self._seqs: dict[str, int] = {}
        self._taken: dict[str, list[tuple[int, entry.Entry, bytes]]] = {}
        self._sessions = 0
        public = base64.b64encode(key.public.spki()).decode()
        self.add(
            entry.GENESIS,
            None,
            {
                "format": 1,
                "nonce": nonce.hex(),
                "origin": self.origin,
                "public_key": public,
                "tool": {"name": "nono", "version": "0.1.0"},
            },
        )

    def add(self, kind: str, session: str | None, data: dict[str, Any], **members: Any) -> int:
        """Append an entry; ``members`` override what an entry has beside kind, session and data."""
        self.clock += 1
        seq = 0 if session is None else self._seqs.get(session, 0)
        moment = f"2026-11-24T04:{self.clock // 60 % 60:02d}:{self.clock % 60:02d}.{self.clock // 3600:06d}Z"
        document: dict[str, Any] = {
            "v": 1, "kind": kind, "session": session, "seq": seq, "time": moment, "data": copy.deepcopy(data),
            **members,
        }  # fmt: skip
        if "time" not in members and self.clock >= 3600:
            document["time"] = f"2026-11-24T05:00:00.{self.clock:06d}Z"
        body = encode(document)
        self.bodies.append(body)
        if session is not None:
            self._seqs[session] = document["seq"] + 1
            parsed = entry.Entry(kind, session, document["seq"], document["time"], document["data"])
            self._taken.setdefault(session, []).append((len(self.bodies) - 1, parsed, tree.hash_leaf(body)))
        return len(self.bodies) - 1

    def new_session(self) -> str:
        self._sessions += 1
        return session_id(self._sessions)

    def attest(self, session: str, key: SigningKey | None = None, **statement: Any) -> int:
        """Append the attestation of a session; ``statement`` overrides members of the statement."""
        evidence = LaunchEvidence()
        for taken in self._taken[session]:
            evidence.add(*taken)
        stated = {**evidence.statement(self.origin), **statement}
        return self.add(entry.ATTESTATION, session, envelope.sign(encode(stated), key or self.key))

    def launch(
        self,
        *,
        intent: dict[str, Any] | None = None,
        start: dict[str, Any] | None = None,
        outcome: dict[str, Any] | None = None,
        decisions: int = 0,
    ) -> str:
        """Append a whole supervised launch and return its session."""
        session = self.new_session()
        self.add(entry.INTENT, session, intent or INTENT)
        self.add(entry.START, session, start or START)
        for _ in range(decisions):
            self.add(entry.DECISION, session, DECISION)
        ended = changed(outcome or OUTCOME)
        ended["counts"]["decisions"] = decisions
        self.add(entry.OUTCOME, session, ended)
        self.attest(session)
        return session

    def hand_over(self, key: SigningKey) -> int:
        public = base64.b64encode(key.public.spki()).decode()
        index = self.add(entry.KEY, None, {"public_key": public, "reason": "rotation"})
        self.keys.append((index + 1, [self.key, key]))
        self.key = key
        self.kept.append(index + 1)
        return index

    def beside(self, value: Any) -> dict[str, Any]:
        """Put a value beside the entries and return its reference."""
        blob = Blob(hashlib.sha256(b"salt%d" % len(self.blobs)).digest(), encode(value))
        self.blobs.append(blob)
        return dict(blob.reference())

    def signers(self, size: int) -> list[SigningKey]:
        current = self.keys[0][1]
        for first, keys in self.keys:
            if first == size and first:
                return keys
            if first < size:
                current = [keys[-1]]
        return current

    def note(self, size: int, keys: list[SigningKey] | None = None) -> str:
        root = tree.root(tree.hash_leaf(body) for body in self.bodies[:size])
        return checkpoint.Checkpoint(self.origin, size, root).sign(keys or self.signers(size))

    def edge(self, size: int | None = None) -> tree.Edge:
        edge = tree.Edge()
        for body in self.bodies[:size]:
            edge.append(tree.hash_leaf(body))
        return edge

    def write(self, path: str, *, head: str | None = None) -> str:
        """Write the file and return its path."""
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA synchronous = OFF")  # who tests does not wait for a disk
        db.execute(f"PRAGMA application_id = {ledger_format.APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {ledger_format.FORMAT_VERSION}")
        db.execute("BEGIN")
        for statement in ledger_format.ddl():
            db.execute(statement)
        db.executemany(
            "INSERT INTO entry VALUES (?, ?)", ((i, body.decode()) for i, body in enumerate(self.bodies))
        )
        level, hashes = 0, [tree.hash_leaf(body) for body in self.bodies]
        while len(hashes) >= tree.TILE_WIDTH:
            roots = []
            for number in range(len(hashes) // tree.TILE_WIDTH):
                tile = hashes[number * tree.TILE_WIDTH : (number + 1) * tree.TILE_WIDTH]
                roots.append(tree.perfect_root(tile))
                db.execute("INSERT INTO tile VALUES (?, ?, ?, ?)", (level, number, roots[-1], b"".join(tile)))
            level, hashes = level + 1, roots
        size = len(self.bodies)
        db.execute("INSERT INTO head VALUES (0, ?, ?)", (head or self.note(size), self.edge().encode()))
        db.executemany(
            "INSERT INTO checkpoint VALUES (?, ?)", ((kept, self.note(kept)) for kept in self.kept)
        )
        db.executemany(
            "INSERT INTO blob VALUES (?, ?, ?)",
            ((blob.digest(), blob.salt, blob.data) for blob in self.blobs),
        )
        db.execute("COMMIT")
        db.close()
        return path


class Judged:
    """What ``nono-verify`` said: exit code, JSON document, text."""

    def __init__(self, status: int, document: dict[str, Any], text: str) -> None:
        self.status = status
        self.document = document
        self.text = text

    @property
    def codes(self) -> list[str]:
        return [finding["code"] for finding in self.document["findings"]]


class Bench:
    """The tests' hands: a directory, a key file for each key, the verifier's command."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._count = 0
        for name, key in (("key", KEY), ("successor", SUCCESSOR), ("stranger", STRANGER)):
            with open(self.path(f"{name}.pub"), "wb") as file:
                file.write(key.public.pem())

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def write(self, book: Book, **members: Any) -> str:
        self._count += 1
        return book.write(self.path(f"{self._count}.db"), **members)

    def verify(self, path: str, *arguments: str, key: str | None = "key.pub") -> Judged:
        """Run the command in both formats, which must agree, and return what it said."""
        return judge([path, *(["-k", self.path(key)] if key else []), *arguments])

    def alter(self, path: str, *statements: str | tuple[str, tuple[Any, ...]]) -> str:
        """Edit a ledger as somebody would who may write the file: past its triggers."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = OFF")
            triggers = db.execute(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
            ).fetchall()
            for name, _ in triggers:
                db.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                if isinstance(statement, str):
                    db.execute(statement)
                else:
                    db.execute(*statement)
            for _, sql in triggers:
                db.execute(sql)
        return path


def published() -> dict[str, jsonschema_rs.Draft202012Validator]:
    """Return the published schemas of what the verifier writes, by their ids."""
    directory = os.path.join(os.path.dirname(verify.__file__), "schemas")
    found = {}
    for name in os.listdir(directory):
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            schema = json.load(file)
        found[schema["$id"]] = jsonschema_rs.Draft202012Validator(schema)
    return found


PUBLISHED = published()


class InlinePool(worker_pool.WorkerPool):
    """A pool without processes: everything that they would be asked is checked here, some batches ahead."""

    def checked(
        self, batches: Iterable[Batch], terms: Callable[[], Terms | None]
    ) -> Iterator[tuple[Batch, Terms | None, BatchCheck | None]]:
        waiting: deque[tuple[Batch, Terms, BatchCheck]] = deque()
        failure = None
        try:
            for batch in batches:
                now = terms()
                if now is None:
                    assert not waiting
                    yield batch, None, None
                    continue
                sent = Batch.decode(batch.first, *batch.encode())
                check = check_batch(sent, now, self._forms, self._plain, self._required)
                waiting.append((batch, now, BatchCheck.decode(*check.encode())))
                if len(waiting) > 2:
                    yield waiting.popleft()
        except Exception as error:  # noqa: BLE001  # it is raised behind what came before it
            failure = error
        yield from waiting
        if failure is not None:
            raise failure


@contextlib.contextmanager
def in_batches(entries: int = 7) -> Iterator[None]:
    """Verify as if another core helped, in batches of so many entries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "cores_for", lambda size, most: 1 if most == 1 else 2)
        patch.setattr(worker_pool.WorkerPool, "__enter__", lambda self: InlinePool(0, self._required))
        patch.setattr(batch, "MAX_ENTRIES", entries)
        yield


BEGINNINGS = {0: "verified: ", 1: "FAILED: ", 2: "not checked: ", 3: "intact, not met: "}


def run(arguments: list[str]) -> tuple[int, str]:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = cli.main(arguments)
    return status, output.getvalue()


def judge(asked: list[str]) -> Judged:
    """Run the command in both formats, which must agree, and return what it said.

    The document is of the published schema, whatever was found, and the same when other cores help.
    """
    status, text = run(asked)
    again, output = run([*asked, "--format", "json"])
    document = json.loads(output)
    assert status == again == document["exit"]
    with in_batches():
        assert run([*asked, "--format", "json"]) == (status, output)
    PUBLISHED[document["schema"]].validate(document)
    assert text.startswith(BEGINNINGS[status])
    return Judged(status, document, text)


def three_launches() -> Book:
    """Return a ledger of two launches and a refusal, with a blob."""
    made = Book()
    made.launch(decisions=2)
    made.launch(start=changed(START, environment=made.beside(["HOME", "PATH", "TERM"])))
    session = made.new_session()
    made.add(entry.INTENT, session, INTENT)
    made.add(entry.OUTCOME, session, REFUSED)
    made.attest(session)
    return made


@pytest.fixture(autouse=True)
def _no_trust(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-configuration"))
    monkeypatch.delenv("NONO_VERIFY_KEY", raising=False)


@pytest.fixture
def bench(tmp_path: Any) -> Bench:
    return Bench(str(tmp_path))


@pytest.fixture
def book() -> Book:
    """Return a ledger of two launches and a refusal, with a blob."""
    return three_launches()


@pytest.fixture
def new_book() -> Callable[..., Book]:
    return Book


@pytest.fixture
def shapes() -> Any:
    """Return this module: the sample data of every kind."""
    return sys.modules[__name__]


@pytest.fixture(name="in_batches")
def _in_batches() -> Any:
    """Return what lets a verification be helped, without processes."""
    return in_batches
