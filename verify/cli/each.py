"""``nono-verify each``: several ledgers, the same required of each, and one exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify import render
from verify.cli import ledger
from verify.cli.failures import not_checked
from verify.cli.parsing import Parser, asked_format
from verify.cli.streams import complain, write

if TYPE_CHECKING:
    from verify.errors import UsageError

_FORMATS = ("text", "github")

_GRAVEST_FIRST = (1, 2, 3, 0)
"""The exit codes: tampering is certain, what was not checked could be anything."""

_EPILOG = """\
Each ledger is checked as "nono-verify LEDGER" checks it, and each verdict is written behind its name. That is
what a hook wants which is given the files of a commit. Their names stand behind --, so that none of them can
be taken for a flag, whoever chose it. A ledger file that is called each is ./each.

exit codes:
  1  one of them was tampered with
  2  else: one of them could not be checked
  3  else: one of them is intact, but not what was required
  0  everything holds in all of them, under a pinned key

examples:
  nono-verify each -k ci.pub -- evidence/*.db
  nono-verify each -- "$@"
"""


def parser() -> Parser:
    """Return the parser of the arguments."""
    found = Parser(
        "nono-verify each",
        description="Check several nono ledgers, and require the same of each.",
        epilog=_EPILOG,
    )
    found.add_argument("ledgers", metavar="LEDGER", nargs="+", help="a ledger file")
    ledger.add_demands(found)
    ledger.add_format(found, _FORMATS)
    # What belongs to one ledger.
    found.set_defaults(checkpoint=[], save_checkpoint=None, attest=None, attest_out=None)
    return found


def run(arguments: list[str]) -> int:
    """Check the ledgers; return the exit code."""
    wanted = parser()
    if not {"--", "-h", "--help"} & set(arguments):
        wanted.error("the ledgers stand behind --, so that no name of a file is taken for a flag")
    options = wanted.parse_args(arguments)
    codes = set()
    for path in options.ledgers:
        verdict = ledger.judged(options, path)
        if options.format == "text":
            write(f"{render.printable(path)}: ")
        codes.add(ledger.say(verdict, path, options.format))
    return next(code for code in _GRAVEST_FIRST if code in codes)


def refuse(arguments: list[str], error: UsageError) -> None:
    """Say that the arguments cannot be understood, in the format that they ask for."""
    if asked_format(arguments, _FORMATS) == "text":
        complain(render.as_text(not_checked(error)))
    else:
        ledger.refuse(arguments, error)
