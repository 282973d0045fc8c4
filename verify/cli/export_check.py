"""``nono-verify export-check``: the lines of an export, without their ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify import regular_files
from verify.cli.detached import add_format, conclude, refuse_usage
from verify.cli.parsing import Parser, add_pins, given_pins
from verify.exports import formats
from verify.exports.checking import check_export, not_checked
from verify.findings import Finding

if TYPE_CHECKING:
    from attest.errors import NonoError
    from verify.errors import UsageError
    from verify.exports.verdict import ExportVerdict

_EPILOG = """\
Checks lines that "nono-verify export --with-proofs" wrote, or a part of them, without the ledger: that each
carries an entry of a ledger of a pinned key, and says nothing else than that entry. It does not see which
lines were left out; the verdict says what else it does not see in these lines. An event of ocsf whose launch
has long arguments is checked together with the first line of its launch.

exit codes:
  0  each line holds, under a pinned key
  1  a line was changed, or the entry that it carries is in no such ledger
  2  could not check: usage, missing, unreadable, no export, a line without a proof
  3  intact, but not what was required: no pin, another key, another origin

The key that is pinned must be the one that signed the checkpoint that the lines carry: after a handover, the
new one. A ledger file that is called export-check is ./export-check.

examples:
  nono-verify export ledger.db -k ci.pub --to csv --with-proofs --out ledger.csv
  nono-verify export-check ledger.csv -k ci.pub
  nono-verify export-check ledger.csv -k ci.pub --format json
"""


def parser() -> Parser:
    """Return the parser of the arguments."""
    found = Parser(
        "nono-verify export-check",
        description="Check the lines of an export, without its ledger.",
        epilog=_EPILOG,
    )
    found.add_argument("file", metavar="FILE", help="the export, or lines of it")
    found.add_argument(
        "--from",
        dest="form",
        metavar="FORMAT",
        choices=formats.CHECKABLE,
        help=f"its format, one of {', '.join(formats.CHECKABLE)}; default: what its first line says",
    )
    add_pins(found)
    add_format(found)
    return found


def run(arguments: list[str]) -> int:
    """Check an export; return the exit code."""
    options = parser().parse_args(arguments)

    def check() -> ExportVerdict:
        pinned = given_pins(options, store=True)
        with regular_files.open_file(options.file) as file:
            return check_export(file, form=options.form, pins=pinned, origin=options.origin)

    return conclude(check, options.format, _not_checked)


def refuse(arguments: list[str], error: UsageError) -> None:
    """Say that the arguments cannot be understood, in the format that they ask for."""
    refuse_usage(arguments, _not_checked(error))


def _not_checked(error: NonoError) -> ExportVerdict:
    return not_checked(Finding(error.code, str(error)), error.hint)
