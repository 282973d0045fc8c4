"""``nono-verify each``: several ledgers, whose names somebody else may have chosen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.verify.conftest import SIGNALLED, STRANGER, Book, run

if TYPE_CHECKING:
    from tests.verify.conftest import Bench


@pytest.fixture
def ledgers(bench: Bench, book: Book) -> dict[str, str]:
    """Return a ledger of each kind, by the exit code that it gives under the key."""
    unmet = Book()
    unmet.add("launch.intent", unmet.new_session(), {**book_intent(book)})
    paths = {
        "0": bench.write(book),
        "1": bench.alter(bench.write(book), "UPDATE entry SET body = body || ' ' WHERE idx = 1"),
        "2": bench.path("text.db"),
        "3": bench.write(unmet),
    }
    with open(paths["2"], "w", encoding="utf-8") as file:
        file.write("no ledger")
    return paths


def book_intent(book: Book) -> dict[str, object]:
    from attest.canonical import decode_object

    data = decode_object(book.bodies[1])["data"]
    assert isinstance(data, dict)
    return dict(data)


@pytest.mark.parametrize(
    ("order", "worst"),
    [("0", 0), ("00", 0), ("03", 3), ("32", 2), ("0321", 1), ("1230", 1), ("21", 1), ("23", 2)],
)
def test_the_exit_code_is_the_gravest(bench: Bench, ledgers: dict[str, str], order: str, worst: int) -> None:
    paths = [ledgers[digit] for digit in order]
    status, text = run(["each", "-k", bench.path("key.pub"), "--", *paths])
    assert status == worst
    firsts = [line for line in text.splitlines() if not line.startswith("  ")]
    beginnings = {"0": "verified: ", "1": "FAILED: ", "2": "not checked: ", "3": "intact, not met: "}
    assert len(firsts) == len(order)
    for line, path, digit in zip(firsts, paths, order, strict=True):
        assert line.startswith(f"{path}: {beginnings[digit]}")


def test_each_is_told_what_it_would_be_told_alone(bench: Bench, ledgers: dict[str, str]) -> None:
    for path in ledgers.values():
        alone = run([path, "-k", bench.path("key.pub")])
        assert run(["each", "-k", bench.path("key.pub"), "--", path]) == (alone[0], f"{path}: {alone[1]}")


def test_annotations_point_to_each_ledger(bench: Bench, ledgers: dict[str, str]) -> None:
    status, text = run(["each", "-k", bench.path("key.pub"), "--format", "github", "--", *ledgers.values()])
    assert status == 1
    for path in ledgers.values():
        assert f"title=nono-verify,file={path}::" in text


@pytest.mark.parametrize(
    "arguments", [(), ("{0}",), ("-k", "key.pub", "{0}"), ("--",), ("-k", "key.pub", "--")]
)
def test_without_the_mark_or_without_a_ledger_nothing_is_checked(
    ledgers: dict[str, str], arguments: tuple[str, ...]
) -> None:
    status, text = run(["each", *(argument.format(ledgers["0"]) for argument in arguments)])
    assert (status, text.splitlines()[0][:13]) == (2, "not checked: ")
    assert text.endswith("  hint: nono-verify each --help\n")


@pytest.mark.parametrize("flag", ["--save-checkpoint", "--checkpoint", "--write", "--format=json"])
def test_what_belongs_to_one_ledger_is_not_taken_for_several(ledgers: dict[str, str], flag: str) -> None:
    status, text = run(["each", flag, "json=x", "--", ledgers["0"]])
    assert status == 2
    assert not os.path.exists("json=x")
    assert text.startswith("not checked: ")


@pytest.mark.parametrize(
    "name", ["-kmine.db", "--public-key-file=mine.db", "--allow-running", "-h", "--help", "--"]
)
def test_the_name_of_a_file_is_no_flag(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A stranger's ledger and a stranger's key, put beside each other under the name of a flag."""
    monkeypatch.chdir(bench.directory)
    with open("mine.db", "wb") as file:
        file.write(STRANGER.public.pem())
    forged = Book(STRANGER)
    forged.launch()
    forged.write(name)
    genuine = Book()
    genuine.launch(outcome=SIGNALLED)
    genuine.write("genuine.db")
    status, text = run(["each", "-k", "key.pub", "--", name, "genuine.db"])
    assert status == 3
    assert text.startswith(f"{name}: intact, not met: ")
    assert "genuine.db: verified: " in text
    # What the mark is there for: in front of it, the same name lets the stranger in.
    if name.endswith("mine.db"):
        assert run(["each", name, "--", f"./{name}"])[0] == 0


def test_nothing_of_a_name_reaches_the_terminal(bench: Bench, book: Book) -> None:
    path = bench.path("a\x1b[31m\nverified: x.db")
    book.write(path)
    status, text = run(["each", "-k", bench.path("key.pub"), "--", path])
    assert status == 0
    assert "\x1b" not in text
    assert text.startswith(f"{bench.directory}/a\\x1b[31m\\x0averified: x.db: verified: 3 launches")


def test_no_name_is_a_command_to_the_runner(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.directory)
    book.write("::add-matcher::x.db")
    status, text = run(["each", "-k", "key.pub", "--", "::add-matcher::x.db"])
    assert (status, text.startswith("\\x3a:add-matcher::x.db: verified: ")) == (0, True)


def test_a_ledger_that_is_called_so(bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.directory)
    book.write("each")
    assert run(["./each", "-k", "key.pub"])[0] == 0
