"""What a pipeline asks for becomes these arguments of the verifier and no others, whatever it holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ci.verify import LISTS, READERS, SINGLE, BadInputError, arguments, from_json, from_lines
from tests.ci.conftest import ROOT
from tests.verify.conftest import KEY, Book
from verify.cli import ledger
from verify.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

# What a variable of the environment can hold.
TEXT = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20
) | st.sampled_from(
    ["--", "-h", "--help", "-k", "--allow-running", "=", "--format=json", "a=b", "$(x)", "'", "x\ny"]
)
LINE = TEXT.filter(lambda text: text.strip() and not {"\n", "\r"} & set(text))
DESTINATIONS = {
    **{name: flag.lstrip("-").replace("-", "_") for name, flag in {**SINGLE, **LISTS}.items()},
    "LEDGER": "ledger",
}


@given(
    ledger_file=TEXT,
    single=st.fixed_dictionaries({name: TEXT for name in SINGLE if name != "FORMAT"}),
    lists=st.fixed_dictionaries({name: st.lists(LINE, max_size=3) for name in LISTS}),
    how=st.sampled_from(sorted(READERS)),
)
@example(ledger_file="-kx", single={}, lists={"LABELS": ["--allow-running"]}, how="lines")
@example(ledger_file="--", single={"ORIGIN": "-h"}, lists={"KEY_FILES": ["=a", "--x"]}, how="json")
def test_each_value_is_the_value_of_its_own_flag(
    ledger_file: str, single: dict[str, str], lists: dict[str, list[str]], how: str
) -> None:
    write = {"lines": "\n".join, "json": json.dumps}[how]
    environment = {
        "NONO_CI_LEDGER": ledger_file,
        **{f"NONO_CI_{name}": value for name, value in single.items()},
        **{f"NONO_CI_{name}": write(values) for name, values in lists.items()},
    }
    asked = arguments(environment, READERS[how])
    expected = {
        "ledger": ledger_file,
        **{DESTINATIONS[name]: single.get(name) or None for name in SINGLE if name != "FORMAT"},
        **{DESTINATIONS[name]: lists.get(name, []) for name in LISTS},
    }
    values = [*single.values(), *(value for values in lists.values() for value in values)]
    try:
        options = vars(ledger.parser().parse_args(asked))
    except UsageError:
        assert "--" in values  # it is refused as a value, see test_the_mark_is_no_value
    else:
        assert {name: options[name] for name in expected} == expected
        assert (options["format"], options["allow_running"], options["session"]) == ("text", False, None)


def test_every_input_has_a_flag_of_the_verifier() -> None:
    options = vars(ledger.parser().parse_args(["x"]))
    assert set(DESTINATIONS.values()) <= set(options)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "{}",
        '"x"',
        "[1]",
        '["a", null]',
        "[[]]",
        "null",
        "[" * 100_000,
        '["a"',
        '["\\ud800", 1]',
        "[] []",
    ],
)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="NONO_CI_LABELS is no JSON array of strings"):
        arguments({"NONO_CI_LEDGER": "x", "NONO_CI_LABELS": text}, from_json)


def test_lines() -> None:
    assert from_lines("") == []
    assert from_lines("a\r\n\n  \n b \nc") == ["a", " b ", "c"]
    # Only a line feed ends one: names of files may hold what else str.splitlines() takes for an end.
    assert from_lines("a\x85b\u2028c\x0cd") == ["a\x85b\u2028c\x0cd"]


@pytest.mark.parametrize("how", sorted(READERS))
def test_bytes_that_are_not_utf_8(tmp_path: Path, how: str) -> None:
    """They come through as the name of a file, and leave no traceback."""
    name = b"e\xff.db"
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "ci" / "verify.py", how],
        env={
            b"NONO_CI_LEDGER": name,
            b"NONO_CI_SAVE": b"\xfe",
            b"HOME": os.fsencode(tmp_path),
            b"LANG": b"C.UTF-8",
        },
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 2
    assert done.stdout.startswith(b"not checked: ")
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("flags", "variables", "said"),
    [
        (["-S"], {}, "not checked: nono-verify cannot be loaded: ModuleNotFoundError: "),
        ([], {"GITHUB_OUTPUT": "/dev/full"}, "not checked: the outputs of the step cannot be written: "),
        ([], {"GITHUB_OUTPUT": "{0}/x/out"}, "not checked: the outputs of the step cannot be written: "),
        ([], {"GITHUB_OUTPUT": "/dev/null", "RUNNER_TEMP": "{0}/x"}, "not checked: the outputs of "),
        ([], {"NONO_CI_LABELS": "\x1b[31m"}, "not checked: NONO_CI_LABELS is no JSON array of strings"),
    ],
)  # fmt: skip
def test_what_keeps_it_from_checking_is_no_tampering(
    tmp_path: Path, flags: list[str], variables: dict[str, str], said: str
) -> None:
    ledger_file, key = tmp_path / "e.db", tmp_path / "ci.pub"
    book = Book()
    book.launch()
    book.write(str(ledger_file))
    key.write_bytes(KEY.public.pem())
    given_to_it = {"NONO_CI_LEDGER": str(ledger_file), "NONO_CI_KEY_FILES": json.dumps([str(key)])}
    variables = {name: value.format(tmp_path) for name, value in variables.items()}
    command = [sys.executable, "-I", *flags, str(ROOT / "ci" / "verify.py"), "json"]
    done = subprocess.run(
        command, env={**given_to_it, **variables}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
    harmless = subprocess.run(
        [sys.executable, "-I", str(ROOT / "ci" / "verify.py"), "json"],
        env=given_to_it,
        check=False,
        capture_output=True,
    )
    assert harmless.returncode == 0


def test_the_words_are_the_verifiers() -> None:
    from ci import verify as script
    from verify import verdict

    assert script.WORDS == verdict.WORDS
