"""Mutated in every way below a ledger is never verified, and the findings say what was done to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.gauntlet.mutation import anchored, ask, handed_over, two_tiles
from tests.gauntlet.table import MUTATIONS, NOT_BY_A_FILE
from tests.verify.conftest import judge, three_launches
from verify.findings import CODES, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gauntlet.mutation import Mutation
    from tests.verify.conftest import Bench, Book

SCRIPT = Path(sys.executable).parent / "nono-verify"
SEVERITIES = {1: Severity.TAMPERED, 2: Severity.UNCHECKED, 3: Severity.UNMET}
SAMPLE = MUTATIONS[::12]

Seen = dict[str, tuple[int, int]]


def requires(mutation: Mutation) -> None:
    if mutation.needs and sys.platform == "win32":
        pytest.skip("cannot be made there")
    if mutation.needs == "linux" and not sys.platform.startswith("linux"):
        pytest.skip("only Linux has it")
    if mutation.needs == "user" and os.geteuid() == 0:
        pytest.skip("root may do everything; tests/verify/test_hostile_files.py asks as another user")


def seen(directory: str) -> Seen:
    """Return every file in a directory, with its size and its time."""
    found = {}
    for folder, names, files in os.walk(directory):
        for name in (*names, *files):
            status = os.lstat(os.path.join(folder, name))
            found[os.path.join(folder, name)] = (status.st_size, status.st_mtime_ns)
    return found


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutated_ledger_is_not_verified(
    bench: Bench, mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    requires(mutation)
    asked = mutation.make(bench)
    for name, value in asked.environment.items():
        monkeypatch.setenv(name, value)
    before = seen(bench.directory)
    said = judge(list(asked.words))
    assert said.status == mutation.exit != 0
    if mutation.others:
        assert mutation.codes <= set(said.codes)
    else:
        assert mutation.codes == set(said.codes)
    if mutation.index is not None:
        assert said.document["findings"][0]["index"] == mutation.index
    assert all(line.isprintable() for line in said.text.splitlines())
    assert seen(bench.directory) == before, "it only reads"


@pytest.mark.parametrize(
    ("of", "key"),
    [
        (three_launches, "key.pub"),
        (two_tiles, "key.pub"),
        (handed_over, "key.pub"),
        (handed_over, "successor.pub"),
        (anchored, "key.pub"),
    ],
)
def test_an_untouched_ledger_is_verified(bench: Bench, of: Callable[[], Book], key: str) -> None:
    said = judge(list(ask(bench, bench.write(of()), key=key).words))
    assert (said.status, said.codes) == (0, [])


def test_an_older_true_copy_without_any_memory_is_the_one_honest_exception(bench: Bench) -> None:
    book = three_launches()
    del book.bodies[7:], book.blobs[:]
    said = judge(list(ask(bench, bench.write(book)).words))
    assert (said.status, said.document["freshness"]) == (0, "unproven")
    assert "nothing outside of this file says that it is the newest" in said.text


@pytest.mark.parametrize("mutation", SAMPLE, ids=lambda mutation: mutation.name)
def test_the_installed_command_says_the_same_in_a_folder_with_packages_of_its_names(
    bench: Bench, mutation: Mutation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    requires(mutation)
    asked = mutation.make(bench)
    if any("\0" in word for word in asked.words):
        pytest.skip("no command line can hold a NUL")
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("verify", "attest", "apsw", "argparse"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("import sys; sys.exit(0)\n")
    done = subprocess.run(
        [SCRIPT, *asked.words],
        check=False,
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **asked.environment},
        timeout=60,
    )
    assert done.returncode == mutation.exit
    assert b"Traceback" not in done.stderr
    text = (done.stdout + done.stderr).decode()
    assert text.startswith({1: "FAILED: ", 2: "not checked: ", 3: "intact, not met: "}[mutation.exit])


def test_there_are_enough_and_no_two_of_one_name() -> None:
    assert len(MUTATIONS) >= 150
    names = [mutation.name for mutation in MUTATIONS]
    assert len(set(names)) == len(names)
    assert all(mutation.why and not mutation.why.endswith(".") for mutation in MUTATIONS)


def test_each_exit_code_is_that_of_its_findings() -> None:
    for mutation in MUTATIONS:
        worst = SEVERITIES[mutation.exit]
        severities = {CODES[code][0] for code in mutation.codes}
        assert worst in severities or (mutation.others and not severities), mutation.name
        assert mutation.exit == 1 or Severity.TAMPERED not in severities, mutation.name


def test_every_code_that_a_file_can_cause_is_reached() -> None:
    reached = frozenset().union(*(mutation.codes for mutation in MUTATIONS))
    decisive = {code for code, (severity, _) in CODES.items() if severity is not Severity.NOTE}
    assert decisive - reached == set(NOT_BY_A_FILE)
