"""What a hint says to install is what the extra installs, and it asks no index for this project's name."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest

from attest import extras

ROOT = Path(__file__).parents[2]


def test_they_are_what_the_project_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = {
        name: requirement.partition(";")[0]
        for name, (requirement, *_) in project["optional-dependencies"].items()
        if name in extras.REQUIREMENTS
    }
    assert said == extras.REQUIREMENTS


@pytest.mark.parametrize("extra", extras.REQUIREMENTS)
def test_a_hint_names_the_library_and_an_index_is_asked_for_nothing_else(extra: str) -> None:
    words = shlex.split(extras.hint(extra))
    assert words[:3] == ["pip", "install", extras.REQUIREMENTS[extra]]
    assert words[-4:] == ["pipx", "inject", "nono-attest", extras.REQUIREMENTS[extra]]
