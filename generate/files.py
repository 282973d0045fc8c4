"""Where what is generated is kept."""

from __future__ import annotations

import os

from generate import completions, foreign_functions, manual, parsers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The repository."""

_COMPLETIONS = {"nono": "runtime/cli/completions", "nono-verify": "verify/cli/completions"}
"""Beside the command that prints them; the wheel puts them where shells look as well."""

MANUAL = "docs/man"


def generated() -> dict[str, str]:
    """Return every generated file by its path in the repository."""
    found = bindings()
    for program in parsers.PROGRAMS:
        for shell in completions.SHELLS:
            found[f"{_COMPLETIONS[program]}/{program}.{shell}"] = completions.completion(program, shell)
        for name, page in manual.pages(program).items():
            found[f"{MANUAL}/{name}.{manual.SECTION}"] = page
    return found


def bindings() -> dict[str, str]:
    """Return those that call the C library, without which none of our commands can be loaded."""
    found = {}
    for name in foreign_functions.MODULES:
        place = name.replace(".", "/")
        with open(os.path.join(ROOT, f"{place}.h"), encoding="ascii") as file:
            found[f"{place}.py"] = foreign_functions.module(name, file.read())
    return found


def directories() -> tuple[str, ...]:
    """Return the directories that hold nothing but generated files."""
    return (*_COMPLETIONS.values(), MANUAL)
