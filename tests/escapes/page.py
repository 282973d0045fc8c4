"""Write ``docs/escapes.md`` from the table: ``python -m tests.escapes.page``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.escapes import table
from tests.escapes.way import IN_VAIN, NOT_LAUNCHED, WORKS

if TYPE_CHECKING:
    from tests.escapes.way import Way

PAGE = Path(__file__).parents[2] / "docs" / "escapes.md"

_HEAD = """\
# Ways out, and how each ends

Written from the table in `tests/escapes` by `make generated`; do not edit it here. Each row is a test. What
is attempted is shown to work without a sandbox, by the user who runs the tests, and then to end as it says in
a launch by the installed `nono run`. The tests run as root and as an ordinary user. Every launch of the suite
has to be in the ledger, whole, and `nono-verify` has to call it verified.

Two kinds of rows show less. Where nothing harmless would succeed, the middle column names the error with
which the kernel itself answers outside, after it has checked the permission; inside there is another. And
where the kernel was built without a thing, or only root gets anywhere, the row shows that it is refused
inside as well: `root` marks what an ordinary user is refused outside.

An end is an error of the system call, the signal that ended the process, *{in_vain}* where every call was
allowed and nothing came of it, or *{not_launched}*.
"""

_OPEN = """\
## What is open

These work inside, and are tested to, so that what is said here and in `SECURITY.md` stays true.

| what | why |
| --- | --- |
"""


def text() -> str:
    """Return the page."""
    parts = [_HEAD.format(in_vain=IN_VAIN, not_launched=NOT_LAUNCHED)]
    parts.append(
        f"\n{len(table.WAYS)} ways that one process tries alone, {len(table.SCENARIOS)} that take more.\n"
    )
    for topic in table.TOPICS:
        ways = [way for way in table.WAYS if way.topic == topic]
        scenarios = [row for row in table.SCENARIOS if row.topic == topic]
        parts.append(f"\n## {topic[0].upper()}{topic[1:]}\n")
        if ways:
            parts.append("\n| what | outside | inside |\n| --- | --- | --- |\n")
            parts += [f"| {way.what} | {_outside(way)} | {_inside(way)} |\n" for way in ways]
        if scenarios:
            parts.append("\n| what | how it ends | shown by |\n| --- | --- | --- |\n")
            parts += [f"| {row.what} | {row.ends} | `{row.test.partition('::')[2]}` |\n" for row in scenarios]
    parts.append(f"\n{_OPEN}")
    parts += [f"| {row.what} | {row.why} |\n" for row in table.OPEN]
    return "".join(parts)


def _outside(way: Way) -> str:
    said = "works" if way.outside == WORKS else way.outside
    notes = [*(["root"] if way.ordinary else []), *([way.machine] if way.machine else [])]
    return f"{said} ({', '.join(notes)})" if notes else said


def _inside(way: Way) -> str:
    # What is not there is not there inside either, which is not worth a word.
    return " or ".join(end for end in way.ends if end != "ENOENT")


def main() -> int:
    """Write it and return the exit code."""
    PAGE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
