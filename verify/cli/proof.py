"""``nono-verify proof``: one entry, without its ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import entry, tlog_proof
from verify import proof, regular_files
from verify.cli.detached import add_format, conclude, refuse_usage
from verify.cli.parsing import Parser, add_pins, given_pins
from verify.cli.streams import NOT_CHECKED
from verify.findings import Finding
from verify.proof_verdict import ProofVerdict

if TYPE_CHECKING:
    from attest.errors import NonoError
    from verify.errors import UsageError

_EPILOG = """\
Checks that an entry is in a ledger, without the ledger: from a C2SP tlog-proof and the entry's exact bytes,
as "nono ledger prove --entry FILE" writes both. It does not look at the rest of the ledger.

exit codes:
  0  the entry is in the ledger, and a pinned key signed the checkpoint that says so
  1  the proof, the entry or the checkpoint was changed, or they do not belong together
  2  could not check: usage, missing, unreadable, no tlog-proof of a nono ledger
  3  intact, but not what was required: no pin, another key, another origin

The key that is pinned must be the one that signed the proof's checkpoint: after a handover, the new one.
A ledger file that is called proof is ./proof.

examples:
  nono ledger prove 17 --entry entry.json > x.tlog-proof
  nono-verify proof x.tlog-proof entry.json -k ci.pub
  nono-verify proof x.tlog-proof entry.json -k ci.pub --format json
"""


def parser() -> Parser:
    """Return the parser of the arguments."""
    found = Parser(
        "nono-verify proof",
        description="Check that an entry is in a ledger, without the ledger.",
        epilog=_EPILOG,
    )
    found.add_argument("proof", metavar="PROOF", help="the proof, a .tlog-proof file")
    found.add_argument("entry", metavar="ENTRY", help="a file that holds the entry's exact bytes")
    add_pins(found)
    add_format(found)
    return found


def run(arguments: list[str]) -> int:
    """Check a proof; return the exit code."""
    options = parser().parse_args(arguments)

    def check() -> ProofVerdict:
        return proof.verify_proof(
            regular_files.read_file(options.proof, tlog_proof.MAX_BYTES),
            regular_files.read_file(options.entry, entry.MAX_BYTES),
            pins=given_pins(options, store=True),
            origin=options.origin,
        )

    return conclude(check, options.format, _not_checked)


def refuse(arguments: list[str], error: UsageError) -> None:
    """Say that the arguments cannot be understood, in the format that they ask for."""
    refuse_usage(arguments, _not_checked(error))


def _not_checked(error: NonoError) -> ProofVerdict:
    return ProofVerdict(exit=NOT_CHECKED, findings=(Finding(error.code, str(error)),), hint=error.hint)
