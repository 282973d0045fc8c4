"""The help of every command: that it is whole, and what each has to say."""

from __future__ import annotations

import argparse
import importlib
import re

import pytest

from runtime import cli
from verify import cli as verify_cli


def subcommands(name: str) -> list[tuple[str, ...]]:
    """Return a command and every command beneath it, as its own parser has them."""
    parser = cli.Parser(f"nono {name}")
    importlib.import_module(f"runtime.cli.{name}").add_arguments(parser)
    found: list[tuple[str, ...]] = [(name,)]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [(name, choice) for choice in action.choices]
    return found


EVERY = [(), *(command for name in cli.COMMANDS for command in subcommands(name))]


def help_of(capfd: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main([*command, "--help"])
    assert caught.value.code == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out


def test_every_command_is_looked_at() -> None:
    assert {command[:1] for command in EVERY} == {(), *((name,) for name in cli.COMMANDS)}
    assert {("key", "rotate"), ("audit", "tail"), ("audit", "evidence"), ("ledger", "prove")} <= set(EVERY)


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_what_is_not_there_is_not_printed(
    capfd: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """A heading or a description that nobody gave was printed as the word for it."""
    out = help_of(capfd, *command)
    assert re.search(r"\bNone\b", out) is None
    assert "example" in out
    assert " ".join(("nono", *command)) in out


@pytest.mark.parametrize("arguments", [(), ("trust",), ("proof",), ("evidence",)], ids=" ".join)
def test_nor_by_the_verifier(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    assert verify_cli.main([*arguments, "--help"]) == 0
    assert re.search(r"\bNone\b", capsys.readouterr().out) is None


def test_what_is_recorded_in_part_is_not_promised(capfd: pytest.CaptureFixture[str]) -> None:
    """Of the kernel's decisions a sample is recorded, and that where auditing is on alone."""
    listing = " ".join(help_of(capfd, "audit", "list").split())
    assert "that were refused and not started" in listing
    assert "Of what the kernel refuses a command that runs a sample is" in listing
    assert "denied in the last" not in help_of(capfd, "audit")
    assert "decision" not in help_of(capfd, "audit", "tail")


def test_where_a_relative_path_is_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    said = " ".join(help_of(capfd, "run").split())
    assert "Relative paths of grants, --bypass-protection and --output are in --workdir" in said
