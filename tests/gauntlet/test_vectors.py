"""The vectors under tests/vectors/verify: each is judged as it says, and making them again gives the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.gauntlet import vectors
from tests.gauntlet.mutation import content
from tests.verify.conftest import judge
from verify.findings import CODES

PLACE = Path(vectors.PLACE)
DIRECTORIES = sorted(path for path in PLACE.iterdir() if path.is_dir())
MAX_BYTES = 3_000_000


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: path.name)
def test_a_vector_is_judged_as_it_says(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = json.loads((directory / "expected.json").read_text())
    assert expected.keys() == {"arguments", "exit", "codes", "others"}
    assert directory.name.endswith("_fail") is (expected["exit"] != 0)
    assert set(expected["codes"]) <= set(CODES)
    assert (directory / "README.md").read_text().endswith(".\n")
    copy = tmp_path / "vector"  # so that nothing can be left in the checkout
    shutil.copytree(directory, copy)
    monkeypatch.chdir(copy)
    said = judge(expected["arguments"])
    assert said.status == expected["exit"]
    if expected["others"]:
        assert set(expected["codes"]) <= set(said.codes)
    else:
        assert set(expected["codes"]) == set(said.codes)


def files(place: Path) -> dict[str, bytes | object]:
    """Return what each file says: a ledger its content, everything else its bytes."""
    found: dict[str, bytes | object] = {}
    for path in sorted(place.rglob("*")):
        if path.is_file() and not path.name.endswith("-wal"):
            said = content(str(path)) if path.suffix == ".db" else path.read_bytes()
            found[str(path.relative_to(place))] = said
    return found


def test_they_are_those_that_the_rows_give(tmp_path: Path) -> None:
    vectors.write(str(tmp_path / "made"))
    assert files(tmp_path / "made") == files(PLACE)


def test_what_says_the_same_is_not_written_again(tmp_path: Path) -> None:
    place = tmp_path / "made"
    shutil.copytree(PLACE, place)
    kept = place / "three-launches" / "ledger.db"
    before = kept.read_bytes()
    changed = place / "value-of-an-entry_fail" / "ledger.db"
    shutil.copy(kept, changed)
    (place / "of-long-ago").mkdir()
    (place / "three-launches" / "surplus").write_text("x")
    vectors.write(str(place))
    assert kept.read_bytes() == before
    assert files(place) == files(PLACE)


def test_they_are_small_and_many_enough() -> None:
    assert sum(path.stat().st_size for path in PLACE.rglob("*") if path.is_file()) < MAX_BYTES
    failing = [path for path in DIRECTORIES if path.name.endswith("_fail")]
    assert len(failing) >= 20
    assert len(DIRECTORIES) - len(failing) >= 10
    assert len({vectors.directory_name(vector) for vector in vectors.vectors()}) == len(DIRECTORIES)
