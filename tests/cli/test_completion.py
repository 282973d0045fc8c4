"""Completion by the shells that people have: what a tab makes of a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from generate import parsers
from runtime import cli
from tests.cli.shells import SHELLS, SHIPPED, Fish, Terminal
from verify import cli as verify_cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Shell = Terminal | Fish


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    home = tmp_path_factory.mktemp("home")
    for name in ("my dir", "sub"):
        (home / name).mkdir()
    for name in ("ledger.db", "ci.pub", "release.toml"):
        (home / name).touch()
    profiles = home / ".config/nono/profiles"
    profiles.mkdir(parents=True)
    for name in ("my-own.jsonc", "$(touch ran).json"):
        (profiles / name).touch()
    started = SHELLS[request.param](home)
    yield started
    started.close()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("nono ru", "nono run"),
        ("nono comp", "nono completion"),
        ("nono audit sn", "nono audit snapshot"),
        ("nono ledger pro", "nono ledger prove"),
        ("nono key rotate --destr", "nono key rotate --destroy-old"),
        ("nono run --block-n", "nono run --block-net"),
        ("nono run --allow m", "nono run --allow my dir/"),
        ("nono run --allow=s", "nono run --allow=sub/"),
        ("nono run -a s", "nono run -a sub/"),
        ("nono run --block-net --read s", "nono run --block-net --read sub/"),
        ("nono run --profile rel", "nono run --profile release.toml"),
        ("nono run -p python-d", "nono run -p python-dev"),
        ("nono shell --profile my-o", "nono shell --profile my-own"),
        ("nono profile show claude", "nono profile show claude-code"),
        ("nono profile diff python-dev my-o", "nono profile diff python-dev my-own"),
        ("nono profile init new --extends node", "nono profile init new --extends node-dev"),
        ("nono profile groups node_c", "nono profile groups node_caches"),
        ("nono run --exec-allow su", "nono run --exec-allow sub/"),
        ("nono run --allow-unix-socket led", "nono run --allow-unix-socket ledger.db"),
        ("nono ledger prove la", "nono ledger prove last"),
        ("nono run --key-passphrase-env MADE_FOR", "nono run --key-passphrase-env MADE_FOR_COMPLETION"),
        ("nono audit show la", "nono audit show last"),
        ("nono audit show --ledger led", "nono audit show --ledger ledger.db"),
        ("nono completion fi", "nono completion fish"),
        ("nono help ledg", "nono help ledger"),
        ("nono-verify led", "nono-verify ledger.db"),
        ("nono-verify ./led", "nono-verify ./ledger.db"),
        ("nono-verify poli", "nono-verify policy"),
        ("nono-verify policy ch", "nono-verify policy check"),
        ("nono-verify policy check rel", "nono-verify policy check release.toml"),
        ("nono-verify policy check --format j", "nono-verify policy check --format json"),
        ("nono-verify --format js", "nono-verify --format json"),
        ("nono-verify --format=js", "nono-verify --format=json"),
        ("nono-verify ledger.db -k c", "nono-verify ledger.db -k ci.pub"),
        ("nono-verify -k ci.pub led", "nono-verify -k ci.pub ledger.db"),
        ("nono-verify ledger.db --policy rel", "nono-verify ledger.db --policy release.toml"),
        ("nono-verify trust rem", "nono-verify trust remove"),
        ("nono-verify help pro", "nono-verify help proof"),
        ("nono run -- rmdi", "nono run -- rmdir"),
        ("nono wrap --block-net -- rmdi", "nono wrap --block-net -- rmdir"),
        ("nono run --allow . --block-net -- rmdi", "nono run --allow . --block-net -- rmdir"),
        ("nono run --allow . -- rmdir su", "nono run --allow . -- rmdir sub/"),
    ],
)
def test_a_line_is_completed(shell: Shell, line: str, completed: str) -> None:
    found, _ = shell.complete(line)
    assert found.replace("\\ ", " ").strip() == completed


@pytest.mark.parametrize("line", ["nono-verify --form", "nono-verify ledger.db --form"])
def test_a_flag_with_a_value_is_completed(shell: Shell, line: str) -> None:
    """zsh goes on to the value at once, and takes the sign away when a space follows."""
    found, _ = shell.complete(line)
    assert found.strip() in {f"{line}at", f"{line}at="}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("nono ", set(cli.COMMANDS)),
        ("nono audit ", {"list", "show", "tail", "snapshot"}),
        ("nono-verify ", {*verify_cli.SUBCOMMANDS, "ledger.db"}),
        ("nono-verify --format ", {"text", "json", "sarif", "junit", "github"}),
        ("nono-verify ledger.db --format ", {"text", "json", "sarif", "junit", "github"}),
        ("nono completion ", {"bash", "zsh", "fish"}),
        ("nono run --allow", {"--allow", "--allow-cwd", "--allow-file", "--allow-writable-script"}),
    ],
)
def test_what_there_is_is_offered(shell: Shell, line: str, offered: set[str]) -> None:
    _, listed = shell.complete(line)
    assert offered <= listed


@pytest.mark.parametrize("line", ["nono run --label ", "nono audit list --since ", "nono bogus --al"])
def test_where_anything_can_stand_nothing_is_put(shell: Shell, line: str) -> None:
    found, _ = shell.complete(line)
    assert found == line


@pytest.mark.parametrize("line", ["nono run -- rmdir --bl", "nono run --allow . -- rmdir --bl"])
def test_flags_of_nono_are_not_those_of_the_command(shell: Shell, line: str) -> None:
    found, listed = shell.complete(line)
    assert found == line
    assert "--block-net" not in listed


@pytest.mark.parametrize("name", ["$(touch ran)", "`touch ran`", "a;touch ran", "-rf"])
def test_the_name_of_a_file_is_never_run(shell: Shell, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    shell.complete(f"nono run --allow {tmp_path}/")
    shell.complete(f"nono-verify {tmp_path}/")
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_nor_is_that_of_a_profile(shell: Shell) -> None:
    _, listed = shell.complete("nono run -p ")
    assert {"ci-strict", "default", "my-own"} <= listed
    assert "ran" not in listed
    shell.complete("nono run -p $")
    _, listed = shell.complete("cat ")
    assert "ran" not in listed


@pytest.mark.parametrize("program", parsers.PROGRAMS)
@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_every_flag_of_every_parser_is_there(program: str, kind: str) -> None:
    text = (SHIPPED[program] / f"{program}.{kind}").read_text(encoding="utf-8")
    for parser in parsers.tree(program).values():
        for action in parser._actions:
            for flag in action.option_strings:
                assert (
                    f"-l {flag[2:]} " if kind == "fish" and flag.startswith("--") else flag.lstrip("-")
                ) in text
