"""Handing one ledger over to a key that the caller keeps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from attest.keys import SigningKey
from runtime.secrets.key_rotation import rotate_ledger
from store import Ledger, LedgerError
from verify import trust

if TYPE_CHECKING:
    from pathlib import Path


def test_a_successor_is_trusted_once_the_ledger_is_its_own_and_not_before(tmp_path: Path) -> None:
    path, config, state = (os.fsencode(tmp_path / name) for name in ("l.db", "config/nono", "state"))
    retired, current = SigningKey.generate(), SigningKey.generate()
    Ledger.create(path, retired, name="host", tool_version="0.1.0", state=state).close()

    def rotate(old: SigningKey, new: SigningKey) -> None:
        rotate_ledger(path, old, lambda: new, config=config, state=state, reason="leaked")

    def trusted() -> list[object]:
        return [pin.key for pin in trust.load({"XDG_CONFIG_HOME": str(tmp_path / "config")})]

    rotate(retired, current)
    assert trusted() == [current.public]
    with pytest.raises(LedgerError) as caught:
        rotate(current, retired)
    assert caught.value.code == "ledger.former_key"
    assert trusted() == [current.public]
