"""The command lines of the documents are run, page by page, as a reader types them: one after the other.

A page's reader has a home with nothing in it but what launches made, a project, and what the pages name
besides. A line ends with 0, unless it is said below what else the page says of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys

import pytest

from tests.cli import command_lines
from tests.runtime.published_schema import validator
from tests.system.conftest import BIN, ROOT, Ended, Site
from tests.system.readers_place import furnish

TEXTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
LINES = {page: lines for page, text in TEXTS.items() if (lines := command_lines.typed(text))}

ELSEWHERE = {
    "pipx install .": "asks the package index; what is installed is what runs here",
    "nono-verify ledger.db -k ci.pub --witness-policy witnesses.txt --checkpoint cosigned.checkpoint": (
        "with witnesses, by tests/verify/test_witnessed_ledgers.py"
    ),
}
"""What is not run here, and why."""

ENDS = {
    "nono why --path src/main.py --op write --read .": 1,
    "nono why --path ~/.ssh/config -p claude-code": 1,
    "nono why --unix-socket /run/docker.sock": 1,
    "nono run --allow . -- nono why --self --path /etc/shadow": 1,
    "nono run --allow . -- make 2> build.log": 2,
}
"""What ends with another exit code than 0: an answer that is no, a command that fails."""

OF_THIS_PYTHON = ("-- pytest", "-- nono why --self")
"""What needs more than the system: as README says, both of its prefixes with --read."""

INCLUDED = "lib/x.h"

NAMED = re.compile(r"^```([a-z]+)\n((?:#!.*\n)?(?:#|//) ~/([^\s:]+).*\n(?:.*\n)*?)```$", re.MULTILINE)
"""A block that says in its first comment which file of the reader's home it is."""


@pytest.fixture
def place(bare_site: Site) -> Site:
    """Return a reader's place, with nothing but a home to say where things are."""
    site = bare_site
    for name in ("CACHE", "CONFIG", "STATE"):
        del site.environment[f"XDG_{name}_HOME"]
    site.config, site.state, site.cache = (
        site.home / part / "nono" for part in (".config", ".local/state", ".cache")
    )
    site.environment["PATH"] = f"{BIN}{os.pathsep}{site.environment['PATH']}"
    furnish(site)
    site.file("src/main.py")
    site.file("build/empty")
    site.file("test_it.py", "def test_it():\n    assert True\n")
    site.file("new.toml", "[policy]\nrequire_audit = true\n")
    site.file("Makefile", "all:\ntest release:\n\techo made > result\n")
    for policy in (ROOT / "docs/policies").iterdir():
        shutil.copyfile(policy, site.project / policy.name)
    return site


def type_in(site: Site, line: str) -> Ended:
    """Have a shell run a line as it stands, but for what this Python needs."""
    if any(part in line for part in OF_THIS_PYTHON):
        line = line.replace("nono run ", f"nono run --read {sys.base_prefix} --read {sys.prefix} ", 1)
    return site.start("-c", line, program=("/bin/bash",)).wait()


def test_what_is_said_here_of_lines_is_said_of_lines_that_there_are() -> None:
    lines = {line for lines in LINES.values() for line in lines}
    assert set(ELSEWHERE) | set(ENDS) <= lines
    assert len(lines) >= 30


def held(site: Site) -> bool:
    """Return whether a control group can hold a launch here."""
    limits = json.loads(site.nono("doctor", "--json").stdout)["limits"]
    return all(limits[name]["enforced"] for name in ("memory_bytes", "processes", "cpu_seconds"))


def save_files(site: Site, page: str) -> None:
    """Write the files that a page shows with their names, as a reader would."""
    for _, text, name in NAMED.findall(TEXTS[page]):
        path = site.home / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("page", [page for page in LINES if page != "docs/diagnostics.md"])
def test_the_command_lines_of_a_page(place: Site, page: str) -> None:
    save_files(place, page)
    if page == "docs/ci.md":
        (place.project / "ci.pub").unlink()  # the page makes its own
    for line in LINES[page]:
        if line in ELSEWHERE:
            continue
        ended = type_in(place, line)
        expected = ENDS.get(line, 0)
        if "--memory" in line and not held(place):
            expected = 125
            assert "nono: hint: " in ended.stderr
        assert (line, ended.status) == (line, expected), ended.stdout.decode() + ended.stderr
        assert "Traceback" not in ended.stderr


def test_the_hooks_of_the_page_do_what_it_says(place: Site) -> None:
    page = "docs/hooks.md"
    save_files(place, page)
    allow, run, _ = LINES[page]
    assert type_in(place, allow).status == 0
    ended = type_in(place, run)
    assert (ended.status, ended.stdout.decode()) == (0, f"{place.project}/build\n"), ended.stderr
    record = place.record()
    assert (place.home / "launches.log").read_text() == f"{record.session} ended with 0\n"
    before, after = (entry["data"] for entry in record.entries if entry["kind"] == "hook.result")
    assert (before["hook"], before["exported"], after["hook"]) == ("before", ["BUILD_DIR"], "after")
    documented = set(re.findall(r"^\| `(NONO_[A-Z_]+)` \|", TEXTS[page], re.MULTILINE))
    (place.home / "hooks/before").write_text('#!/bin/sh\nenv >> "$HOME/seen"\n')
    (place.home / "hooks/after").write_text('#!/bin/sh\nenv >> "$HOME/seen"\n')
    assert type_in(place, run).status == 0
    seen = {line.partition("=")[0] for line in (place.home / "seen").read_text().splitlines()}
    assert {name for name in seen if name.startswith("NONO_")} == documented


def test_an_answer_is_the_one_of_the_page(place: Site) -> None:
    (block,) = re.findall(r"```text\n(denied: .*?)```", TEXTS["docs/why.md"], re.DOTALL)
    line = LINES["docs/why.md"][0]
    ended = type_in(place, line)
    assert ended.stdout.decode() == block.replace("/home/me/project", str(place.project))


def test_a_failed_command_ends_as_the_page_says(place: Site) -> None:
    page = "docs/diagnostics.md"
    (shown,) = re.findall(r"```\n(\$ nono run .*?)```", TEXTS[page], re.DOTALL)
    header = place.home / INCLUDED
    header.parent.mkdir()
    header.touch()
    place.file("x.c", f'#include "{header}"\n')
    place.file("Makefile", "all:\n\tcc -c x.c\n")
    line, look = LINES[page]
    assert type_in(place, line).status == ENDS[line]
    written = type_in(place, look).stdout.decode()
    expected = shown.replace("/home/me", str(place.home)).partition(f"$ {look}\n")[2].split("…\n")
    assert expected[0] == ""
    assert expected[1] in written
    assert written.endswith(expected[2])
    (example,) = re.findall(r"^\{.*\}$", TEXTS[page], re.MULTILINE)
    document = json.loads(example.replace("0192f3a4…", "0192f3a4" * 4))
    validator("diagnostics").validate(document)
    told = place.project / "told.json"
    assert type_in(place, f"nono run --diagnostics-json {told} --allow . -- make 2> build.log").status == 2
    (finding,) = json.loads(told.read_text())["findings"]
    (shown_finding,) = document["findings"]
    mine = shown_finding["subject"]
    assert finding == json.loads(json.dumps(shown_finding).replace(mine, str(header)))


def members(page: str) -> set[str]:
    """Return what the tables of docs/status.md name in their first columns."""
    cells = re.findall(r"^\| (.*?) \|", page, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}


def test_the_members_of_a_status_are_those_of_the_page(site: Site) -> None:
    page = TEXTS["docs/status.md"]
    known = members(page)
    site.file("made")
    flags = ("--read", site.project, "--output", "made", "--trace-exec", "--nofile", "99", "--timeout", "9")
    told = [site.status(*flags, "--", "/bin/true")[1], site.status("--dry-run", "--", "/bin/true")[1]]
    told.append(site.status("--", "no-such-program")[1])
    told.append(site.status("--timeout", "100ms", "--", "/bin/sleep", "60")[1])
    shown = [json.loads(line) for line in re.findall(r"^\{.*\}$", page, re.MULTILINE)]
    assert len(shown) == 3
    for status in (*told, *shown):
        assert set(status) <= known, status
    # A member that the page has and that nothing says would be one that is gone.
    assert known - {name for status in told for name in status} == {"failed"}
    asked_for = {"limits", "execs", "execs_refused", "execs_untold"}
    assert [set(each) for each in shown] == [set(told[0]) - asked_for, set(told[2]), set(told[1])]
