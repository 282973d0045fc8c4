"""What an installation puts beside the programs: completions and manual pages, where shells and man look."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from generate.files import generated
from tests.system.conftest import BIN, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE = Path(sys.prefix) / "share"
PLACES: dict[str, tuple[str, Callable[[str], str]]] = {
    ".bash": ("bash-completion/completions", lambda name: name.removesuffix(".bash")),
    ".zsh": ("zsh/site-functions", lambda name: f"_{name.removesuffix('.zsh')}"),
    ".fish": ("fish/vendor_completions.d", lambda name: name),
    ".1": ("man/man1", lambda name: name),
}


def test_every_file_is_where_it_is_looked_for() -> None:
    for path, text in generated().items():
        where, called = PLACES[Path(path).suffix]
        assert (SHARE / where / called(Path(path).name)).read_text(encoding="utf-8") == text, (
            "run make install"
        )


@pytest.mark.parametrize("page", ["nono", "nono-run", "nono-verify-policy"])
def test_man_finds_a_page_by_its_name(page: str) -> None:
    environment = {
        "LANG": "C.UTF-8",
        "MANPATH": str(SHARE / "man"),
        "PATH": "/usr/bin:/bin",
        "MANPAGER": "cat",
    }
    done = subprocess.run(["man", page], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{page.upper()}(1)")


def test_bash_completion_loads_it_on_demand(tmp_path: Path) -> None:
    load = "_completion_loader nono || _comp_complete_load nono"  # the name since version 2.12
    script = f". /usr/share/bash-completion/bash_completion; {load}; complete -p nono"
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=False,
        env={"HOME": str(tmp_path), "PATH": f"{BIN}{os.pathsep}/usr/bin:/bin", "XDG_DATA_DIRS": str(SHARE)},
    )  # fmt: skip
    assert "-F _nono nono" in done.stdout, done.stderr


def test_a_wheel_can_be_made_from_the_source_distribution(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run([*build, "-t", "sdist"], cwd=ROOT, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        # Pythons before 3.11.4 have no filters.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(tmp_path, **safe)  # type: ignore[arg-type]  # see above
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    subprocess.run([*build, "-t", "wheel"], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name.partition(".data/data/")[2] for name in file.namelist()}
    expected = {
        f"share/{where}/{called(Path(path).name)}"
        for path in generated()
        for where, called in [PLACES[Path(path).suffix]]
    }
    assert expected <= names
