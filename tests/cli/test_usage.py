"""Command lines that cannot be meant: exit code 2, the right help, and no guess at what an empty word is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime import cli

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    monkeypatch.chdir(tmp_path)


def said(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, list[str]]:
    try:
        status: object = cli.main(list(arguments))
    except SystemExit as stop:
        status = stop.code
    out, err = capfd.readouterr()
    assert out == ""
    return status, err.splitlines()


@pytest.mark.parametrize(
    "line",
    [
        ("ledger", "info", "--ledger", ""),
        ("ledger", "path", "--ledger", ""),
        ("ledger", "init", "--ledger", ""),
        ("ledger", "init", "--audit-sign-key", ""),
        ("ledger", "roll", "--ledger", "", "--to", "x"),
        ("ledger", "roll", "--ledger", "x", "--to", ""),
        ("ledger", "prove", "0", "--entry", ""),
        ("audit", "list", "--ledger", ""),
        ("audit", "snapshot", ""),
        ("key", "show", ""),
        ("key", "rotate", "--audit-sign-key", ""),
        ("key", "rotate", "--ledger", ""),
        ("key", "rotate", "--new", ""),
        ("key", "rotate", "--out", ""),
        ("keygen", "--out", ""),
    ],
    ids=" ".join,
)
def test_an_empty_word_names_nothing(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, line: tuple[str, ...]
) -> None:
    status, lines = said(capfd, *line)
    assert status == 2
    assert lines[0].endswith("is given an empty path")
    assert lines[1] == "nono: hint: is a variable not set?"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        ("audit", "list", "--bogus"),
        ("audit", "list", "extra"),
        ("audit", "list", "--recent"),
        ("ledger", "info", "--bogus"),
        ("key", "rotate", "--bogus"),
        ("keygen", "--bogus"),
    ],
    ids=" ".join,
)
def test_the_help_that_is_named_is_that_of_what_was_typed(
    capfd: pytest.CaptureFixture[str], line: tuple[str, ...]
) -> None:
    status, lines = said(capfd, *line)
    command = " ".join(("nono", *line[: 1 if line[0] == "keygen" else 2]))
    assert (status, lines[-1]) == (2, f"nono: hint: {command} --help")


@pytest.mark.parametrize("line", [("--bogus",), ("--allow", ".", "--", "make"), ("-r", "x")], ids=" ".join)
def test_flags_without_a_command_are_those_of_run(
    capfd: pytest.CaptureFixture[str], line: tuple[str, ...]
) -> None:
    status, lines = said(capfd, *line)
    assert status == 2
    assert lines[0] == f"nono: {line[0]} is no flag of nono itself: a command comes first"
    assert "nono run [FLAGS] -- COMMAND" in lines[1]


@pytest.mark.parametrize("command", ["audit", "ledger", "key", "keygen"])
def test_the_exit_codes_are_in_the_help(capfd: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert "\n  2  usage" in capfd.readouterr().out


def test_a_host_key_that_is_not_there_yet_comes_with_a_way_to_it(capfd: pytest.CaptureFixture[str]) -> None:
    status, lines = said(capfd, "key", "show")
    assert (status, lines[1:]) == (1, ["nono: hint: the first launch makes it, and so does: nono keygen"])


def test_one_entry_is_one(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ledger", "init"]) == 0
    for line in (["key", "show"], ["audit", "snapshot", "copy.db"], ["ledger", "info"]):
        capfd.readouterr()
        assert cli.main(line) == 0
        out = capfd.readouterr().out
        assert ("1 entry" in out, "1 entries" in out) == (True, False)


@pytest.mark.parametrize("label", ["=x", "=", "x"])
def test_a_label_without_a_name_is_shown_as_it_was_typed(
    capfd: pytest.CaptureFixture[str], label: str
) -> None:
    status, lines = said(capfd, "run", "--label", label, "--", "true")
    assert (status, lines[0]) == (125, f"nono: not a label: {label!r}")
    assert lines[1] == "nono: hint: write --label KEY=VALUE"


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--ledger", "x.db"), "a ledger"),
        (("--label", "a=b"), "labels"),
        (("--output", "x"), "outputs"),
        (("--ledger", "x.db", "--output", "x"), "a ledger and outputs"),
    ],
)
def test_what_is_for_the_record_alone_needs_one(
    capfd: pytest.CaptureFixture[str], flags: tuple[str, ...], named: str
) -> None:
    status, lines = said(capfd, "run", "--no-audit", "--dry-run", *flags, "--", "true")
    assert status == 125
    assert lines == [
        f"nono: nothing is to be recorded, and {named} would be for the record alone",
        "nono: hint: leave out --no-audit, or what is for the record",
    ]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (("run", "--ledger=--", "--", "true"), 125),
        (("run", "--allow=--", "--dry-run", "--", "true"), 125),
        (("run", "-r--", "--", "true"), 125),
        (("run", "--label=--", "--", "true"), 125),
        (("audit", "snapshot", "--ledger=--", "x.db"), 2),
        (("ledger", "info", "--ledger=--"), 2),
        (("key", "rotate", "--new=--"), 2),
    ],
    ids=str,
)
def test_the_mark_is_no_value(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, line: tuple[str, ...], status: int
) -> None:
    """It separates the command from the flags; a value that older Pythons would make an empty list of."""
    ended, lines = said(capfd, *line)
    assert ended == status
    assert lines[0].startswith("nono: argument ")
    assert lines[0].endswith(": -- is no value")
    assert not list(tmp_path.iterdir())


def test_a_value_that_holds_the_mark_and_a_command_that_has_it(capfd: pytest.CaptureFixture[str]) -> None:
    for line in (("--label=a=--", "--", "true"), ("--", "true", "--x=--"), ("--", "true", "--")):
        assert cli.main(["run", "--dry-run", *line]) == 0
    assert "is no value" not in capfd.readouterr().err
