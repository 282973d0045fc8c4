"""Where what is generated is kept."""

from __future__ import annotations

from generate import completions, manual, parsers

_COMPLETIONS = {"nono": "runtime/cli/completions", "nono-verify": "verify/cli/completions"}
"""Beside the command that prints them; the wheel puts them where shells look as well."""

MANUAL = "docs/man"


def generated() -> dict[str, str]:
    """Return every generated file by its path in the repository."""
    found = {}
    for program in parsers.PROGRAMS:
        for shell in completions.SHELLS:
            found[f"{_COMPLETIONS[program]}/{program}.{shell}"] = completions.completion(program, shell)
        for name, page in manual.pages(program).items():
            found[f"{MANUAL}/{name}.{manual.SECTION}"] = page
    return found


def directories() -> tuple[str, ...]:
    """Return the directories that hold nothing but generated files."""
    return (*_COMPLETIONS.values(), MANUAL)
