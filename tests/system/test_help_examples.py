"""The examples of the help texts are run: those that look at something, by a shell, as they stand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from generate import parsers
from tests.cli import command_lines
from tests.system.conftest import BIN, Site
from tests.system.readers_place import furnish

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGING = (
    "nono run",
    "nono shell",
    "nono wrap",
    "nono key rotate",
    "nono ledger roll",
    "nono ledger init",
    "nono keygen",
    "nono profile init",
)
WAITING = frozenset({"nono audit tail -f"})
"""What goes on until somebody ends it."""

OF_THE_READERS_OWN = (
    "--denied", "--path", "--otlp", "env://", "postgresql", "jq", "--witness-policy", "--tsa-roots", '"$@"',
    "0192f3a4", "d43a07c1", "/0123456789abcdef", "KEY", "ci.pem", "old.pem",
)  # fmt: skip
"""What stands for something that only the reader has: an id, a private key, witnesses, another program."""


def examples() -> list[str]:
    found: dict[str, None] = {}
    for program in parsers.PROGRAMS:
        for parser in parsers.tree(program).values():
            for example in command_lines.of_epilog(parser.epilog or ""):
                if not example.startswith(CHANGING) and example not in WAITING:
                    found[example] = None
    return [each for each in found if not any(part in each for part in OF_THE_READERS_OWN)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site that has what the examples name."""
    site = Site(tmp_path_factory.mktemp("site"))
    furnish(site)
    (site.home / ".config/fish/completions").mkdir(parents=True)
    yield site
    site.remove()


def test_most_examples_are_run() -> None:
    assert len(examples()) >= 30


@pytest.mark.parametrize("example", examples())
def test_an_example_runs(place: Site, example: str) -> None:
    for name in ("entry.json", "evidence.db", "launch.json"):
        (place.project / name).unlink(missing_ok=True)
    (place.project / "launch.jsonl").unlink(missing_ok=True)
    words = example.split()
    if "--out" in words:
        (place.project / words[words.index("--out") + 1]).unlink(missing_ok=True)
    if "nono-verify export-check" in example:
        (place.project / "ledger.csv").unlink(missing_ok=True)
        proven = ("--with-proofs", "--out", "ledger.csv")
        exported = place.verify(Path("export"), "ledger.db", "-k", "ci.pub", "--to", "csv", *proven)
        assert exported.status == 0, exported.stderr
    if "nono-verify evidence" in example:
        assert place.nono("audit", "evidence", "last", "-o", place.project / "launch.jsonl").status == 0
    if "nono-verify proof" in example:
        for proof, entry in (("x.tlog-proof", "entry.json"), ("launch.tlog-proof", "launch.json")):
            made = place.nono("ledger", "prove", "last", "--entry", place.project / entry)
            place.file(proof, made.stdout)
    shell: tuple[str, ...] = ("/bin/bash",)
    before = ""
    if "zsh" in example:
        shell, before = ("zsh", "-f"), "autoload -Uz compinit && compinit -u -D; "
    path = f"{BIN}{os.pathsep}{place.environment['PATH']}"
    ended = place.start("-c", before + example, program=shell, env={"PATH": path}).wait()
    assert (ended.status, ended.stderr) == (0, ""), ended.stdout.decode()
