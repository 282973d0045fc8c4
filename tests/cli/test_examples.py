"""Command lines in help texts and in documents: each is one that the programs understand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from generate import parsers
from tests.cli import command_lines

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md"))
)
PARSERS = {path: parser for program in parsers.PROGRAMS for path, parser in parsers.tree(program).items()}


def refused(words: list[str], capfd: pytest.CaptureFixture[str]) -> str | None:
    """Return what is wrong with a command line, or None."""
    try:
        parsers.parse(words)
    except SystemExit as stop:
        said = capfd.readouterr()
        return None if stop.code == 0 else said.err
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what is wrong
        return str(error)
    return None


@pytest.mark.parametrize("path", PARSERS)
def test_each_help_has_a_sentence_exit_codes_and_examples(path: str) -> None:
    parser = PARSERS[path]
    assert parser.description is not None
    assert re.fullmatch(r"[A-Z][^\n]*[^.\n]\.", parser.description)
    assert re.search(r"^exit codes:\n  \S", parser.epilog or "", re.MULTILINE)
    assert command_lines.of_epilog(parser.epilog or "")


@pytest.mark.parametrize("path", PARSERS)
def test_each_example_is_one(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    examples = command_lines.of_epilog(PARSERS[path].epilog or "")
    for example in examples:
        found = command_lines.of_line(example)
        assert found, f"no command of ours: {example}"
        for words in found:
            assert (example, refused(words, capfd)) == (example, None)
    assert any(example.startswith(path) or f"({path}" in example for example in examples)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_command_line_in_a_document_is_one(document: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    wrong = [
        (words, said)
        for words in command_lines.of_document(text)
        if (said := refused(words, capfd)) is not None
    ]
    wrong += [
        (words, f"unknown: {unknown}")
        for words in command_lines.mentioned(text)
        if (unknown := command_lines.flags_that_are_none(words))
    ]
    assert wrong == []


def test_the_readme_shows_command_lines_of_both_programs() -> None:
    found = command_lines.of_document((ROOT / "README.md").read_text(encoding="utf-8"))
    assert {"nono", "nono-verify"} == {words[0] for words in found}
    assert len(found) >= 5


@pytest.mark.parametrize(
    "line",
    [
        "nono run --alow . -- make",
        "nono audti list",
        "nono audit lst",
        "nono-verify x.db --formt json",
        "nono-verify x.db --format jsn",
        "nono-verify policy chekc x.toml",
        "nono ledger prove",
        'nono-verify "$(nono ledger pth)"',
        "nono ledger prove last --entry a > b && nono-verify proof b",
        "KEY=x nono run --ledgr x -- true",
    ],
)
def test_a_command_line_that_has_rotted_is_found(line: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert any(refused(words, capfd) is not None for words in command_lines.of_line(line))


@pytest.mark.parametrize(
    "mention",
    ["`nono run --alow`", "`nono audit list|shw`", "`nono frobnicate`", "`nono-verify --polcy FILE`"],
)
def test_a_mention_that_has_rotted_is_found(mention: str) -> None:
    (words,) = command_lines.mentioned(mention)
    assert command_lines.flags_that_are_none(words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "nono run -- a --b | nono audit list",
            [["nono", "run", "--", "a", "--b"], ["nono", "audit", "list"]],
        ),
        ("nono run --status-fd 3 3>x -- a", [["nono", "run", "--status-fd", "3", "--", "a"]]),
        ("source <(nono completion bash)", [["nono", "completion", "bash"]]),
        ("A=b nono keygen > x   # makes 'one'", [["nono", "keygen"]]),
    ],
)
def test_a_line_is_taken_apart_as_a_shell_does(line: str, words: list[list[str]]) -> None:
    assert command_lines.of_line(line) == words
