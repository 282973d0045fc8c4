"""What was remembered outside of a ledger shows when an older copy of it is put back, or another history."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attest import checkpoint, note
from attest.keys import SigningKey
from verify import whole_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

SUCCESSOR, STRANGER = (SigningKey(bytes([number]) * 32) for number in (2, 3))


@pytest.fixture
def memory(bench: Bench) -> Path:
    return Path(bench.path("memory"))


def test_the_head_is_saved_and_a_longer_ledger_continues_it(bench: Bench, book: Book, memory: Path) -> None:
    first = bench.verify(bench.write(book), "--save-checkpoint", str(memory))
    size = len(book.bodies)
    assert (first.status, memory.read_text()) == (0, book.note(size))
    assert os.listdir(memory.parent).count("memory") == 1
    assert not [name for name in os.listdir(memory.parent) if name.endswith(".new")]
    # The command ran twice, as text and as JSON: the second time the first one's head was there.
    assert first.document["remembered"] == [{"source": str(memory), "size": size, "continued": True}]
    book.launch()
    later = bench.verify(bench.write(book), "--checkpoint", str(memory))
    assert (later.status, later.document["freshness"]) == (0, "remembered")
    assert later.document["not_excluded"][0]["code"] == "freshness.remembered"
    assert f"remembered: {size} entries in {memory} (continued)" in later.text
    assert memory.read_text() == book.note(size), "--checkpoint only reads"


def test_without_memory_an_older_copy_is_not_noticed_and_the_verdict_says_so(
    bench: Bench, book: Book
) -> None:
    said = bench.verify(bench.write(book))
    assert (said.status, said.document["freshness"], said.document["remembered"]) == (0, "unproven", [])
    assert said.document["not_excluded"][0]["code"] == "freshness.unproven"


@pytest.mark.parametrize("flag", ["--checkpoint", "--save-checkpoint"])
def test_an_older_copy_fails_and_the_memory_stays(bench: Bench, book: Book, memory: Path, flag: str) -> None:
    old = bench.write(book)
    book.launch()
    signed = book.note(len(book.bodies))
    memory.write_text(signed)
    said = bench.verify(old, flag, str(memory))
    assert (said.status, said.codes) == (1, ["memory.older"])
    assert said.document["freshness"] == "unproven"
    assert said.document["remembered"][0]["continued"] is False
    assert memory.read_text() == signed


def test_another_history_of_the_same_key_fails(
    bench: Bench, new_book: Callable[..., Book], memory: Path
) -> None:
    one, other = new_book(), new_book()
    one.launch()
    other.launch(decisions=1)
    memory.write_text(one.note(len(one.bodies)))
    other.launch()
    said = bench.verify(bench.write(other), "--checkpoint", str(memory))
    assert (said.status, said.codes) == (1, ["memory.root"])


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 300, 511, 512, 513])
def test_a_checkpoint_at_any_size_is_continued(
    bench: Bench, new_book: Callable[..., Book], memory: Path, size: int
) -> None:
    book = new_book()
    book.launch(decisions=600)
    memory.write_text(book.note(size))
    path = bench.write(book)
    assert bench.verify(path, "--checkpoint", str(memory)).status == 0
    wrong = checkpoint.Checkpoint(book.origin, size, bytes(32)).sign([book.key])
    memory.write_text(wrong)
    assert bench.verify(path, "--checkpoint", str(memory)).codes == ["memory.root"]


def test_several_are_each_held_to(bench: Bench, book: Book, memory: Path) -> None:
    path = bench.write(book)
    files: list[str] = []
    for size in (3, 1, 3, len(book.bodies)):
        files.append(f"{memory}-{len(files)}")
        Path(files[-1]).write_text(book.note(size))
    said = bench.verify(path, *(word for file in files for word in ("--checkpoint", file)))
    assert said.status == 0
    assert [held["size"] for held in said.document["remembered"]] == [3, 1, 3, len(book.bodies)]
    assert f"no older than the remembered checkpoint of {len(book.bodies)} entries" in said.text


def test_memory_reaches_over_a_handover(bench: Bench, new_book: Callable[..., Book], memory: Path) -> None:
    book = new_book()
    book.launch()
    before = book.note(len(book.bodies))
    book.hand_over(SUCCESSOR)
    book.launch()
    path = bench.write(book)
    for signed in (before, book.note(6), book.note(len(book.bodies))):
        memory.write_text(signed)
        for key in ("key.pub", "successor.pub"):
            assert bench.verify(path, "--checkpoint", str(memory), key=key).status == 0


def test_the_pinned_keys_word_counts_against_a_ledger_that_leaves_the_key_out(
    bench: Bench, new_book: Callable[..., Book], memory: Path
) -> None:
    """One that was handed over, and one that was not: both begin alike."""
    handed, kept = new_book(), new_book()
    handed.hand_over(SUCCESSOR)
    handed.launch()
    kept.launch()
    memory.write_text(handed.note(len(handed.bodies)))
    said = bench.verify(bench.write(kept), "-k", bench.path("successor.pub"), "--checkpoint", str(memory))
    assert (said.status, said.codes) == (1, ["memory.older"])


def test_a_checkpoint_of_another_ledger_is_not_met_and_not_replaced(
    bench: Bench, book: Book, new_book: Callable[..., Book], memory: Path
) -> None:
    other = new_book(nonce=bytes(32))
    memory.write_text(other.note(1))
    for flag in ("--checkpoint", "--save-checkpoint"):
        said = bench.verify(bench.write(book), flag, str(memory))
        assert (said.status, said.codes) == (3, ["memory.origin"])
    assert memory.read_text() == other.note(1)


def test_what_nobody_known_signed_proves_nothing(bench: Bench, book: Book, memory: Path) -> None:
    path = bench.write(book)
    forged = checkpoint.Checkpoint(book.origin, 999, bytes(32))
    memory.write_text(forged.sign([STRANGER]))
    said = bench.verify(path, "--checkpoint", str(memory))
    assert (said.status, said.codes) == (2, ["memory.signature"])
    # A stranger's line beside the right one is none of our business; a bad one of the right key is.
    memory.write_text(
        note.sign(book.note(3).partition("\n\n")[0] + "\n", [("x", STRANGER), (book.origin, book.key)])
    )
    assert bench.verify(path, "--checkpoint", str(memory)).status == 0
    memory.write_text(re.sub(r"\n3\n", "\n4\n", book.note(3)))
    assert bench.verify(path, "--checkpoint", str(memory)).codes == ["memory.signature"]


def test_an_older_copy_from_before_a_handover_is_never_verified(
    bench: Bench, new_book: Callable[..., Book], memory: Path
) -> None:
    book = new_book()
    book.launch()
    old = bench.write(book)
    book.hand_over(SUCCESSOR)
    book.launch()
    memory.write_text(book.note(len(book.bodies)))
    said = bench.verify(old, "--save-checkpoint", str(memory))
    assert (said.status, said.codes) == (2, ["memory.signature"])
    assert "from before a handover" in said.text
    both = bench.verify(old, "-k", bench.path("successor.pub"), "--save-checkpoint", str(memory))
    assert (both.status, both.codes) == (1, ["memory.older"])
    assert memory.read_text() == book.note(len(book.bodies))


def test_what_nobody_known_signed_does_not_hide_tampering(bench: Bench, book: Book, memory: Path) -> None:
    memory.write_text(checkpoint.Checkpoint(book.origin, 999, bytes(32)).sign([STRANGER]))
    edit = "UPDATE entry SET body = replace(body, 'make', 'fake') WHERE idx = 1"
    said = bench.verify(bench.alter(bench.write(book), edit), "--checkpoint", str(memory))
    assert said.status == 1
    assert said.document["remembered"][0]["continued"] is False


def test_what_is_saved_is_not_for_others_to_write(bench: Bench, book: Book, memory: Path) -> None:
    before = os.umask(0)
    try:
        assert bench.verify(bench.write(book), "--save-checkpoint", str(memory)).status == 0
    finally:
        os.umask(before)
    assert memory.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "memory.form"),
        (b"garbage", "memory.form"),
        (b"\xff" * 100, "memory.form"),
        (b"x" * 3_000_000, "memory.form"),
        (b"a/b\n01\nAAAA\n\n\xe2\x80\x94 a/b AAAA\n", "memory.form"),
    ],
)
def test_what_is_no_checkpoint(bench: Bench, book: Book, memory: Path, content: bytes, code: str) -> None:
    memory.write_bytes(content)
    for flag in ("--checkpoint", "--save-checkpoint"):
        said = bench.verify(bench.write(book), flag, str(memory))
        assert (said.status, said.codes) == (2, [code])
    assert memory.read_bytes() == content


def test_a_checkpoint_of_nothing(bench: Bench, book: Book, memory: Path) -> None:
    memory.write_text(checkpoint.Checkpoint(book.origin, 0, bytes(32)).sign([book.key]))
    assert bench.verify(bench.write(book), "--checkpoint", str(memory)).codes == ["memory.form"]


def test_what_cannot_be_read_or_written(bench: Bench, book: Book, memory: Path) -> None:
    path = bench.write(book)
    assert bench.verify(path, "--checkpoint", str(memory)).codes == ["memory.unreadable"]
    assert bench.verify(path, "--checkpoint", "a\0b").codes == ["memory.unreadable"]
    assert bench.verify(path, "--save-checkpoint", "a\0b").codes == ["memory.unreadable"]
    nowhere = str(memory / "not" / "there")
    assert bench.verify(path, "--save-checkpoint", nowhere).codes == ["memory.unwritable"]
    memory.mkdir()
    assert bench.verify(path, "--save-checkpoint", str(memory)).codes == ["memory.unreadable"]
    assert os.listdir(memory) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_pipe_is_not_replaced(bench: Bench, book: Book, memory: Path) -> None:
    os.mkfifo(memory)
    link = memory.with_name("link")
    link.symlink_to(memory)
    for place in (memory, link):
        found = bench.verify(bench.write(book), "--save-checkpoint", str(place))
        assert (found.status, memory.is_fifo(), link.is_symlink()) == (2, True, True)
    with pytest.raises(OSError, match="no regular file"):
        whole_files.replace(str(link), b"x")
    assert memory.is_fifo()


@pytest.mark.parametrize("key", [None, "stranger.pub"])
def test_only_what_holds_under_a_pin_is_remembered(
    bench: Bench, book: Book, memory: Path, key: str | None
) -> None:
    assert bench.verify(bench.write(book), "--save-checkpoint", str(memory), key=key).status == 3
    assert not memory.exists()


def test_a_ledger_that_was_tampered_with_is_not_remembered(bench: Bench, book: Book, memory: Path) -> None:
    path = bench.alter(
        bench.write(book), "UPDATE entry SET body = replace(body, 'make', 'fake') WHERE idx = 1"
    )
    said = bench.verify(path, "--save-checkpoint", str(memory))
    assert (said.status, said.document["head"]) == (1, None)
    assert not memory.exists()


def test_an_unfinished_launch_is_no_reason_to_forget(bench: Bench, book: Book, memory: Path) -> None:
    book.add("launch.intent", book.new_session(), _intent(book))
    said = bench.verify(bench.write(book), "--save-checkpoint", str(memory))
    assert said.status == 3
    assert memory.read_text() == book.note(len(book.bodies)) == said.document["head"]


def _intent(book: Book) -> dict[str, object]:
    from attest import entry

    return dict(entry.parse(book.bodies[1]).data)


def test_memory_is_held_to_when_the_head_itself_is_broken(bench: Bench, book: Book, memory: Path) -> None:
    memory.write_text(book.note(len(book.bodies)))
    path = bench.alter(bench.write(book), "UPDATE head SET note = 'x'")
    said = bench.verify(path, "--checkpoint", str(memory))
    assert (said.status, said.document["freshness"]) == (1, "unproven")
