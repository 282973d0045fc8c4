"""What is generated and kept: completions and manual pages are those of the parsers as they are now."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

from generate import files, manual, parsers

ROOT = Path(__file__).parents[2]
PAGES = {name: text for program in parsers.PROGRAMS for name, text in manual.pages(program).items()}
PARSERS = {path: parser for program in parsers.PROGRAMS for path, parser in parsers.tree(program).items()}
HOW = "run: make generated"


def test_what_is_kept_is_what_would_be_generated() -> None:
    generated = files.generated()
    kept = {
        f"{directory}/{path.name}": path.read_text(encoding="utf-8")
        for directory in files.directories()
        for path in (ROOT / directory).iterdir()
    }
    assert sorted(kept) == sorted(generated), HOW
    assert [path for path, text in generated.items() if kept[path] != text] == [], HOW


def test_it_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Nothing of it depends on the order of a set, the width of a terminal or the language."""
    code = "import json; from generate.files import generated; print(json.dumps(generated(), sort_keys=True))"
    made = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True,
            env={"PYTHONHASHSEED": seed, "COLUMNS": columns, "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        ).stdout
        for seed, columns in (("1", "40"), ("2", "200"), ("3", "80"))
    }  # fmt: skip
    assert len(made) == 1


def test_every_parser_has_a_page() -> None:
    assert sorted(PAGES) == sorted(path.replace(" ", "-") for path in PARSERS)
    assert {"nono", "nono-run", "nono-audit-list", "nono-verify", "nono-verify-policy-check"} <= set(PAGES)


def lint(name: str, text: str, tmp_path: Path) -> str:
    """Return what mandoc and groff have to say against a page."""
    page = tmp_path / f"{name}.1"
    page.write_text(text, encoding="utf-8")
    said = ""
    for command in (["mandoc", "-T", "lint", "-W", "warning"], ["groff", "-man", "-ww", "-z", "-T", "utf8"]):
        done = subprocess.run([*command, page], capture_output=True, text=True, check=False)
        said += done.stdout + done.stderr
    # The date would be the one of the last change of a text, which no parser knows; the version is there.
    return "".join(line for line in said.splitlines(keepends=True) if "missing date" not in line)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_clean(name: str, tmp_path: Path) -> None:
    assert lint(name, PAGES[name], tmp_path) == ""


def test_a_page_that_is_not_clean_is_found(tmp_path: Path) -> None:
    assert lint("nono-run", PAGES["nono-run"].replace(".TP", ".TQP", 1), tmp_path) != ""


@pytest.mark.parametrize("path", PARSERS)
def test_a_page_shows_all_that_the_help_has(path: str) -> None:
    name = path.replace(" ", "-")
    shown = subprocess.run(
        ["man", "--nh", "--nj", "--local-file", "-"],
        input=PAGES[name], capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "MANWIDTH": "500", "MANPAGER": "cat"},
    ).stdout  # fmt: skip
    words = " ".join(shown.replace("\u2010", "-").split())
    for action in PARSERS[path]._actions:
        flags = action.option_strings if action.help != argparse.SUPPRESS else ()
        for flag in flags:
            assert f" {flag}" in words
        if flags:
            value = PARSERS[path]._get_formatter()._format_args(action, action.dest.upper())
            assert f" {flags[-1]} {value}".rstrip() in words
    for line in (PARSERS[path].epilog or "").splitlines():
        text = " ".join(line.split())
        if not text.endswith(":") and "https:" not in text and not line.partition(":")[0].islower():
            assert text in words
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"):
        assert f"\n{section}\n" in shown
    assert f"{name} - " in words


@pytest.mark.parametrize(
    ("name", "synopsis"),
    [
        ("nono-help", "nono help [OPTION]... [COMMAND...]"),
        ("nono-profile-groups", "nono profile groups [OPTION]... [GROUP...]"),
        ("nono-profile-validate", "nono profile validate [OPTION]... FILE..."),
        ("nono-config-schema", "nono config schema [OPTION]... [NAME]"),
        ("nono-shell", "nono shell [OPTION]... [-- ARGUMENT...]"),
        ("nono-run", "nono run [OPTION]... -- COMMAND [ARGUMENT...]"),
    ],
)
def test_a_synopsis_says_what_may_be_left_out(name: str, synopsis: str) -> None:
    shown = subprocess.run(
        ["mandoc", "-T", "ascii"], input=PAGES[name], capture_output=True, text=True, check=True
    ).stdout
    assert synopsis in " ".join(re.sub(".\x08", "", shown).split())


def test_names_within_a_summary_keep_their_capitals() -> None:
    assert "send what is recorded to an OpenTelemetry collector" in " ".join(PAGES["nono-audit-send"].split())


def test_a_text_cannot_be_a_request_or_an_escape(tmp_path: Path) -> None:
    hostile = ".so /etc/passwd\n'so x\n\\fBbold\\*[x]\n-- -a ~ ^ ` ' \u2026"
    lines = [manual._line(each) for each in hostile.splitlines()]
    text = PAGES["nono-help"].replace(
        ".SH SEE ALSO", "\n".join([".SH X", ".EX", *lines, ".EE", ".SH SEE ALSO"])
    )
    assert lint("x", text, tmp_path) == ""
    shown = subprocess.run(
        ["mandoc", "-T", "utf8"], input=text, capture_output=True, text=True, check=True
    ).stdout
    for line in hostile.splitlines():
        assert line in shown
