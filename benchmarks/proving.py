"""A proof of one entry out of a large ledger, and tlog-scales with the same tree as C2SP tlog-tiles."""

from __future__ import annotations

import contextlib
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from large_ledger import of_decisions
from measuring import Ceiling, Missing, Result, Subject, in_turn
from workers import Worker

from attest import tree
from store.proving import LedgerProver

if TYPE_CHECKING:
    from measuring import Bar
    from workspace import Workspace

NAME = "proving"
OURS = "LedgerProver.prove_entry (made and checked)"
SMALL = "the same, from 1,000 entries"
TLOG_SCALES = "tlog-scales (made and checked), from tiles"

BARS: tuple[Bar, ...] = ()

_SIZE = 1_000_000
_QUICK_SIZE = 100_000
_SMALL_SIZE = 1_000


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Prove one entry after another, each drawn at random; nothing is kept from one proof to the next."""
    size = _QUICK_SIZE if quick else _SIZE
    directory = workspace.directory("proving")
    large, small = (of_decisions(directory, each) for each in (size, _SMALL_SIZE))
    environment = workspace.environment
    missing = []
    with contextlib.ExitStack() as stack:
        subjects = [
            Subject(name, stack.enter_context(Worker("nono_proofs.py", path, environment=environment)).sample)
            for name, path in ((OURS, large), (SMALL, small))
        ]
        if find_spec("tlog_scales") is None:
            missing.append(Missing(TLOG_SCALES, "not installed: pip install '.[bench]'"))
        else:
            tiles = os.path.join(directory, "tiles")
            _write_tiles(large, tiles)
            peer = Worker("tlog_scales_proofs.py", tiles, str(size), environment=environment)
            subjects.append(Subject(TLOG_SCALES, stack.enter_context(peer).sample))
        measured = in_turn(subjects, rounds=10 if quick else 40, block=25, warm_up=25)
    notes = [f"at most {_most_tiles(large, size)} tiles were read for a proof of ours"]
    ceilings = (Ceiling(OURS, 0.001),)
    return Result(NAME, f"a proof from {size:,} entries", measured, missing, BARS, notes, ceilings)


def _write_tiles(path: str, directory: str) -> None:
    """Write a ledger's tree in the layout of C2SP tlog-tiles, without its entries."""
    from tlog_scales import tiles as layout  # noqa: PLC0415  # where it is installed

    with LedgerProver(os.fsencode(path)) as ledger:
        hashes = [tree.hash_leaf(body) for _, _, body in ledger.entries()]
    level = 0
    while hashes:
        whole = [hashes[at : at + tree.TILE_WIDTH] for at in range(0, len(hashes), tree.TILE_WIDTH)]
        for number, tile in enumerate(whole):
            partial = len(tile) % tree.TILE_WIDTH
            target = os.path.join(directory, *layout.tile_path(level, number, partial))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(b"".join(tile))
        hashes = [tree.perfect_root(tile) for tile in whole if len(tile) == tree.TILE_WIDTH]
        level += 1
    with LedgerProver(os.fsencode(path)) as ledger, open(os.path.join(directory, "root"), "wb") as file:
        file.write(ledger.head().root)


def _most_tiles(path: str, size: int) -> int:
    with LedgerProver(os.fsencode(path)) as ledger:
        return max(ledger.prove_entry(index).tiles for index in range(0, size, size // 997))
