"""What the verifier is given beside a ledger: regular files, which it neither waits for nor writes over."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import verify
from tests.verify.conftest import run
from tests.verify.exported import export_of
from verify import trust

if TYPE_CHECKING:
    from tests.verify.conftest import Bench, Book

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(verify.__file__)))
MAIN = "import sys; from verify.cli import main; sys.exit(main(sys.argv[1:]))"
PATIENCE = 60
"""Seconds; who waits for a pipe waits for ever."""

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="pipes and devices as Linux has them"
)

LEDGER, KEY = "LEDGER", "KEY"
GIVEN = {
    "a key": [LEDGER, "-k"],
    "a policy": [LEDGER, "-k", KEY, "--policy"],
    "a witness policy": [LEDGER, "-k", KEY, "--witness-policy"],
    "roots of timestamps": [LEDGER, "-k", KEY, "--tsa-roots"],
    "a checkpoint": [LEDGER, "-k", KEY, "--checkpoint"],
    "a checkpoint to continue": [LEDGER, "-k", KEY, "--save-checkpoint"],
    "an output": [LEDGER, "-k", KEY, "--require-output"],
    "a key that signs a verdict": [LEDGER, "-k", KEY, "--attest-out", "verdict.json", "--attest"],
    "a key of an export": ["export", LEDGER, "--to", "csv", "-k"],
    "a policy of an export": ["export", LEDGER, "--to", "csv", "-k", KEY, "--policy"],
    "a table of controls": ["export", LEDGER, "-k", KEY, "--to", "oscal", "--controls"],
    "an export": ["export-check", "-k", KEY],
    "evidence": ["evidence", "-k", KEY],
    "a proof": ["proof", "-k", KEY, KEY],
    "a policy that is looked at": ["policy", "check"],
    "a key that is to be trusted": ["trust", "add"],
}


def started(arguments: list[str], **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=PATIENCE,
        env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("what", GIVEN)
def test_nobody_waits_for_a_pipe_or_opens_a_device(bench: Bench, book: Book, what: str) -> None:
    fifo, link = bench.path("fifo"), bench.path("link")
    os.mkfifo(fifo)
    os.symlink(fifo, link)
    names = {
        LEDGER: bench.write(book),
        KEY: bench.path("key.pub"),
        "verdict.json": bench.path("verdict.json"),
    }
    asked = [names.get(argument, argument) for argument in GIVEN[what]]
    for path in (fifo, link, "/dev/zero"):
        status, said = started([*asked, path])
        assert (status, "regular file" in said) == (2, True), said
        assert "Traceback" not in said
    assert not os.path.exists(names["verdict.json"])


def test_nobody_waits_for_a_pipe_that_the_variable_names(bench: Bench, book: Book) -> None:
    fifo, path = bench.path("fifo"), bench.write(book)
    os.mkfifo(fifo)
    status, said = started([path], NONO_VERIFY_KEY=fifo)
    assert (status, f"the key {fifo} is not a regular file" in said) == (2, True)


def test_a_pipe_in_the_trust_store_is_not_waited_for(bench: Bench, book: Book) -> None:
    store = bench.path("config/nono/trust")
    os.makedirs(store, mode=0o700)
    os.mkfifo(os.path.join(store, "x.pub"), 0o600)
    status, said = started([bench.write(book)], XDG_CONFIG_HOME=bench.path("config"))
    assert (status, "is not a regular file" in said) == (2, True)


def test_what_an_export_is_made_with_is_not_written_over(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, table, key = bench.write(book), bench.path("mine.toml"), bench.path("key.pub")
    table_text = run(["export", "--print-controls"])[1]
    with open(table, "w", encoding="utf-8") as file:
        file.write(table_text)
    monkeypatch.setenv("XDG_CONFIG_HOME", bench.path("config"))
    assert run(["trust", "add", bench.path("successor.pub")])[0] == 0
    (trusted,) = trust.files(os.environ)
    hard, soft = bench.path("hard"), bench.path("soft")
    os.link(table, hard)
    os.symlink(table, soft)
    with_table = ["export", path, "-k", key, "--to", "oscal", "--controls", table]
    for asked in (
        [*with_table, "--out", table],
        [*with_table, "--out", os.path.join(bench.directory, ".", "mine.toml")],
        [*with_table, "--out", hard],
        [*with_table, "--out", soft],
        ["export", path, "-k", key, "--to", "csv", "--out", trusted],
        ["report", path, "-k", key, "--html", trusted],
    ):
        before = {each: _bytes(each) for each in (table, trusted, path, key)}
        status, said = run([*asked, "--overwrite"])
        assert (status, "is what is to be checked, or what it is checked with" in said) == (2, True), asked
        assert {each: _bytes(each) for each in before} == before
    named = bench.path("stranger.pub")
    monkeypatch.setenv("NONO_VERIFY_KEY", named)
    status, said = run(["export", path, "--to", "csv", "--out", named, "--overwrite"])
    assert (status, "what it is checked with" in said) == (2, True)
    assert export_of(bench, path, "oscal", "--controls", table)


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
