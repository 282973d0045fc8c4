"""A slip of the finger is answered with what may have been meant; ``help`` is a command of both programs."""

from __future__ import annotations

import time

import pytest

from generate import parsers
from runtime import cli
from verify import cli as verify_cli


def said(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[object, str]:
    """Run either program; return the exit code and the first line of what it says."""
    try:
        run = cli.main if words[0] == "nono" else verify_cli.main
        status: object = run(list(words[1:]))
    except SystemExit as stop:
        status = stop.code
    out, err = capfd.readouterr()
    return status, (err or out).splitlines()[0]


@pytest.mark.parametrize(
    ("line", "status", "meant"),
    [
        ("nono rnu -- true", 2, "run"),
        ("nono audti list", 2, "audit"),
        ("nono audit lst", 2, "list"),
        ("nono audit list --snice 3d", 2, "--since"),
        ("nono run --alow . -- true", 125, "--allow"),
        ("nono run --alow=. -- true", 125, "--allow"),
        ("nono run --no-net -- true", 125, "--block-net"),
        ("nono run --no-network -- true", 125, "--block-net"),
        ("nono run --net=none -- true", 125, "--block-net"),
        ("nono run --network none -- true", 125, "--block-net"),
        ("nono wrap --offline -- true", 125, "--block-net"),
        ("nono shell --unshare-net", 125, "--block-net"),
        ("nono completion bsh", 2, "bash"),
        ("nono help audit lst", 2, "list"),
        ("nono help rnu", 2, "run"),
        ("nono-verify x.db --formt json", 2, "--format"),
        ("nono-verify x.db --format jsn", 2, "json"),
        ("nono-verify policy chek x", 2, "check"),
        ("nono-verify help polcy", 2, "policy"),
        ("nono-verify completion fsh", 2, "fish"),
    ],
)
def test_what_is_like_it_is_asked_for(
    capfd: pytest.CaptureFixture[str], line: str, status: int, meant: str
) -> None:
    assert said(capfd, *line.split())[0] == status
    assert said(capfd, *line.split())[1].endswith(f"; did you mean {meant}?")


def test_a_network_that_is_wished_for_is_not_answered_with_the_flag_that_closes_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for line in (
        "nono run --network=host -- true",
        "nono run --net=host -- true",
        "nono audit list --offline",
    ):
        assert "--block-net" not in said(capfd, *line.split())[1]


@pytest.mark.parametrize(
    "line", ["nono zzzzzz", "nono audit zzzz", "nono run --zzzzzz -- true", "nono-verify x --zzzzz"]
)
def test_where_nothing_is_like_it_nothing_is_asked(capfd: pytest.CaptureFixture[str], line: str) -> None:
    assert "did you mean" not in said(capfd, *line.split())[1]


@pytest.mark.parametrize("word", ["ru\x1b]0;x\x07n", "run\n", "r\u202eun"])
def test_what_was_typed_reaches_no_terminal_raw(capfd: pytest.CaptureFixture[str], word: str) -> None:
    for words in (("nono", word), ("nono", "help", word), ("nono-verify", "policy", word)):
        assert said(capfd, *words)[0] == 2
        assert said(capfd, *words)[1].isprintable()
    for arguments in ([word], ["help", word]):
        with pytest.raises(SystemExit):
            cli.main(arguments)
        assert len(capfd.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("program", [("nono",), ("nono", "help"), ("nono-verify", "help")])
def test_a_word_of_any_length_takes_no_time(
    capfd: pytest.CaptureFixture[str], program: tuple[str, ...]
) -> None:
    begun = time.monotonic()
    assert said(capfd, *program, "ru" * 60_000)[0] == 2
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "path", [path for program in parsers.PROGRAMS for path in parsers.tree(program) if path.count(" ") < 2]
)
def test_help_says_what_the_flag_says(capfd: pytest.CaptureFixture[str], path: str) -> None:
    program, *words = path.split()
    run = cli.main if program == "nono" else verify_cli.main
    outs = []
    for arguments in ([*words, "--help"], ["help", *words]):
        try:
            status: object = run(arguments)
        except SystemExit as stop:
            status = stop.code
        assert status == 0
        outs.append(capfd.readouterr())
    assert outs[0] == outs[1]


def test_help_goes_as_deep_as_the_commands(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help", "audit", "list"]) == 0
    assert capfd.readouterr().out.startswith("usage: nono audit list ")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("nono make test", "to launch something: nono run [FLAGS] -- COMMAND; the commands: nono --help"),
        ("nono show last", "nono profile show or nono audit show or nono key show or nono config show;"),
        ("nono tail", "nono audit tail; the commands: nono --help"),
        ("nono verify x.db", "whether a ledger holds is for a program of its own to say: nono-verify LEDGER"),
        ("nono rnu", "nono --help"),
    ],
)
def test_what_is_no_command_comes_with_the_way_to_what_may_have_been_meant(
    capfd: pytest.CaptureFixture[str], line: str, hint: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(line.split()[1:])
    first, second = capfd.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert first.startswith(f"nono: no such command: nono {line.split()[1]}")
    assert second.startswith(f"nono: hint: {hint}")
