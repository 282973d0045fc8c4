"""The examples of the help texts are run: those that look at something, by a shell, as they stand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from generate import parsers
from tests.cli import command_lines
from tests.system.conftest import BIN, Site

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
    """Return a site that has what the examples name: a ledger of many entries, its key, a policy, a proof."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.file("dist/tool.whl", "built")
    output = ("--read", site.project / "dist", "--output", site.project / "dist/tool.whl")
    for _ in range(4):
        ended = site.run("--label", "run=42", *output, "--", "/bin/true")
        assert ended.status == 0, ended.stderr
    assert site.run("--", "/bin/false").status == 1
    shutil.copyfile(site.config / "keys/default.pub", site.project / "ci.pub")
    (site.project / "evidence").mkdir()
    for name in ("ci.db", "ledger.db", "LEDGER", "evidence/a.db", "evidence/b.db"):
        assert site.nono("audit", "snapshot", site.project / name).status == 0
    site.file("release.toml", 'version = 1\n[[require]]\nlabels = { run = "42" }\n')
    for name in ("build.jsonc", ".nono/build.jsonc"):
        site.file(name, '{"filesystem": {"read": ["$WORKDIR"]}} // and no more\n')
    site.file("mine.toml", "[launch]\nallow_cwd = true\n")
    site.file("host.toml", "[policy]\nrequire_audit = true\n")
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
