"""The probes, compiled once, and the arena, one for all rows of a module: its ledger holds every try."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.escapes.arena import Arena
from tests.system.conftest import Site, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["installed"]

SOURCES = sorted((Path(__file__).parent / "probes").glob("*.c"))


@pytest.fixture(scope="session")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that tries ways out."""
    program = tmp_path_factory.mktemp("probes") / "probes"
    flags = ("-O1", "-std=gnu11", "-Wall", "-Wextra", "-Werror")
    subprocess.run(["cc", *flags, "-o", program, *SOURCES, "-lpthread", "-lrt"], check=True)
    return program


@pytest.fixture(scope="module")
def arena(probes: Path) -> Iterator[Arena]:
    """Where they are tried. Afterwards each launch must be in the ledger, whole, and the ledger must hold."""
    # A short name: the address of a UNIX socket below it has 107 bytes at most.
    base = Path(os.path.realpath(tempfile.mkdtemp(prefix="nono-esc-")))
    (base / "site").mkdir()
    site = Site(base / "site")
    try:
        # Outside nothing keeps a user from a set-uid program of root but the way to it.
        base.chmod(0o755)
        yield (made := Arena(site, probes, base))
        if made.launches:
            _assert_recorded(made)
    finally:
        site.remove()
        shutil.rmtree(base)


def _assert_recorded(arena: Arena) -> None:
    whole = ["launch.intent", "launch.start", "launch.outcome", "launch.attestation"]
    records = [[kind for kind in record.kinds if kind != "decision"] for record in arena.site.records()]
    records = [kinds for kinds in records if "launch.start" in kinds]
    assert records == [whole] * arena.launches
    arena.site.check()
