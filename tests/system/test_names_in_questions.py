"""The name of a file in a question: who answers sees what it is, invisible characters and blanks included."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.system.test_elevation import Terminal, decisions

if TYPE_CHECKING:
    from tests.system.conftest import Site

ALIKE = {
    "notes": "notes",
    "notes\u034f": r"notes\xcd\x8f",
    "no\u200btes": r"no\xe2\x80\x8btes",
    "notes\u3164": r"notes\xe3\x85\xa4",
    "notes\u2800": r"notes\xe2\xa0\x80",
    "notes\ufe00": r"notes\xef\xb8\x80",
    "notes\u00a0": r"notes\xc2\xa0",
    "notes" + " " * 120 + ".key": "notes" + r"\x20" * 120 + ".key",
}


@pytest.mark.parametrize("name", ALIKE)
def test_what_cannot_be_seen_is_seen_in_a_question(site: Site, name: str) -> None:
    path = site.base / name
    path.write_text("inside")
    terminal = Terminal(site, "--", "/bin/cat", str(path))
    _, shown = terminal.asked("y")
    assert shown.strip("$'").endswith("/" + ALIKE[name])
    assert terminal.ended().stdout == b"inside"
    assert decisions(site.record()) == [("granted", "person", b"read " + os.fsencode(path))]
