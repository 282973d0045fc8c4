"""``--write FORMAT=FILE``: one verification, and its verdict in as many forms as a pipeline wants."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.verify.conftest import run

if TYPE_CHECKING:
    from tests.verify.conftest import Bench, Book

FORMATS = ("text", "json", "sarif", "junit")


@pytest.mark.parametrize("edit", [None, "UPDATE entry SET body = body || ' ' WHERE idx = 1"])
def test_a_file_holds_what_standard_output_would(bench: Bench, book: Book, edit: str | None) -> None:
    path = bench.write(book)
    if edit:
        bench.alter(path, edit)
    asked = [path, "-k", bench.path("key.pub")]
    files = {name: bench.path(f"verdict.{name}") for name in FORMATS}
    status, text = run([*asked, *(f"--write={name}={file}" for name, file in files.items())])
    assert (status, text) == run(asked)
    assert status == (1 if edit else 0)
    for name, file in files.items():
        written = Path(file).read_bytes().decode()
        assert (status, written) == run([*asked, "--format", name])


def test_what_could_not_be_checked_is_written_too(bench: Bench) -> None:
    file = bench.path("x.json")
    status, _ = run([bench.path("missing.db"), "--write", f"json={file}"])
    assert status == 2
    assert '"verdict":"not-checked"' in Path(file).read_text(encoding="utf-8")


def test_an_older_verdict_is_replaced(bench: Bench, book: Book) -> None:
    file = bench.path("x.json")
    Path(file).write_text("x" * 100_000, encoding="utf-8")
    run([bench.write(book), "-k", bench.path("key.pub"), "--write", f"json={file}"])
    assert Path(file).read_text(encoding="utf-8").startswith('{"schema":')
    assert Path(file).read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.parametrize("where", ["missing/x.json", "", "a\x00b", "full"])
def test_what_cannot_be_written_is_no_verdict(bench: Bench, book: Book, where: str) -> None:
    """The other files are written all the same, and the verdict is said; but the exit code is 2."""
    file = {"full": "/dev/full"}.get(where, bench.directory + "/" + where)
    other = bench.path("other.json")
    status, text = run(
        [bench.write(book), "-k", bench.path("key.pub"), f"--write=json={file}", f"--write=json={other}"]
    )
    assert status == 2
    assert "cannot be written: " in text
    assert "\nverified: " in text
    assert os.path.exists(other)


@pytest.mark.parametrize("value", ["sarif", "sarif=", "=x", "github=x", "pdf=x", ""])
def test_a_format_and_a_file_are_wanted(bench: Bench, book: Book, value: str) -> None:
    status, text = run([bench.write(book), "-k", bench.path("key.pub"), f"--write={value}"])
    assert status == 2
    assert text.startswith(f"not checked: --write: {value} is no FORMAT=FILE")


@pytest.mark.parametrize("victim", ["ledger", "key", "checkpoint", "saved", "policy", "output"])
@pytest.mark.parametrize("how", ["same", "dotted", "symbolic link", "hard link"])
def test_nothing_that_is_read_is_overwritten(bench: Bench, book: Book, victim: str, how: str) -> None:
    ledger, key = bench.write(book), bench.path("key.pub")
    checkpoint, saved = bench.path("x.checkpoint"), bench.path("saved.checkpoint")
    for file in (checkpoint, saved):
        assert run([ledger, "-k", key, "--save-checkpoint", file])[0] == 0
    policy, output = bench.path("policy.toml"), bench.path("out.whl")
    Path(policy).write_text("version = 1\n[every]\nattested = true\n", encoding="utf-8")
    Path(output).write_text("made", encoding="utf-8")
    target = {"ledger": ledger, "key": key, "checkpoint": checkpoint, "saved": saved,
        "policy": policy, "output": output}[victim]  # fmt: skip
    before = Path(target).read_bytes()
    name = bench.path("other-name")
    if how == "symbolic link":
        os.symlink(target, name)
    elif how == "hard link":
        os.link(target, name)
    else:
        name = target if how == "same" else os.path.join(bench.directory, ".", os.path.basename(target))
    asked = [ledger, "-k", key, "--checkpoint", checkpoint, "--save-checkpoint", saved]
    more = ["--policy", policy, "--require-output", output]
    status, text = run([*asked, *more, "--write", f"json={name}"])
    assert status == 2
    assert "what is to be checked, or what it is checked with" in text
    assert Path(target).read_bytes() == before
    assert run(asked)[0] == 0


@pytest.mark.parametrize("side", ["-wal", "-shm", "-journal"])
def test_nothing_that_belongs_to_the_ledger_is_overwritten(bench: Bench, book: Book, side: str) -> None:
    ledger = bench.write(book)
    status, text = run([ledger, "-k", bench.path("key.pub"), "--write", f"json={ledger}{side}"])
    assert (status, "what is to be checked" in text) == (2, True)
    assert not os.path.exists(ledger + side)


def test_a_checkpoint_that_is_to_be_kept_is_not_overwritten_the_first_time(bench: Bench, book: Book) -> None:
    kept = bench.path("kept")
    asked = [bench.write(book), "-k", bench.path("key.pub"), "--save-checkpoint", kept]
    assert run([*asked, "--write", f"json={bench.directory}/./kept"])[0] == 2
    assert not os.path.exists(kept)
