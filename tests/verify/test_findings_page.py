"""The documented table of codes is the one that the verifier has."""

from __future__ import annotations

import os
import re

from verify.findings import CODES, Severity

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "findings.md")
EXITS = {Severity.TAMPERED: "1", Severity.UNMET: "3", Severity.UNCHECKED: "2", Severity.NOTE: "0"}


def rows() -> list[str]:
    """Return the rows as they should stand in the page, in the order of the table."""
    return [f"| `{code}` | {EXITS[severity]} | {meaning} |" for code, (severity, meaning) in CODES.items()]


def test_every_code_is_documented_as_it_is() -> None:
    with open(PAGE, encoding="utf-8") as file:
        found = re.findall(r"^\| `.*\|$", file.read(), re.MULTILINE)
    assert found == rows(), "docs/findings.md is not what verify/findings.py says"


def test_codes_are_of_their_form_and_sentences_plain() -> None:
    for code, (_, meaning) in CODES.items():
        assert re.fullmatch(r"[a-z]+\.[a-z_0-9]+", code)
        assert meaning[0].islower() or meaning.startswith("SQLite")
        assert not meaning.endswith(".")
