"""``nono-verify proof``: one entry, without its ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import entry, tlog_proof
from verify import proof, proof_verdict
from verify.cli.failures import unexpected
from verify.cli.parsing import Parser, add_pins, asked_format, given_pins
from verify.cli.streams import NOT_CHECKED, complain, write
from verify.errors import NotCheckedError
from verify.findings import Finding

if TYPE_CHECKING:
    from attest.errors import NonoError
    from verify.errors import UsageError

_FORMATS = ("text", "json")

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
    found.add_argument("--format", choices=_FORMATS, default="text", help="how the verdict is written")
    return found


def run(arguments: list[str]) -> int:
    """Check a proof; return the exit code."""
    options = parser().parse_args(arguments)
    try:
        pinned = given_pins(options, store=True)
        verdict = proof.verify_proof(
            proof.read_file(options.proof, tlog_proof.MAX_BYTES),
            proof.read_file(options.entry, entry.MAX_BYTES),
            pins=pinned,
            origin=options.origin,
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # a panic in Rust is no Exception, and must not end with 1
        verdict = _not_checked(error if isinstance(error, NotCheckedError) else unexpected(error))
    write(proof_verdict.as_json(verdict) if options.format == "json" else proof_verdict.as_text(verdict))
    return verdict.exit


def _not_checked(error: NonoError) -> proof_verdict.ProofVerdict:
    return proof_verdict.ProofVerdict(NOT_CHECKED, (Finding(error.code, str(error)),), hint=error.hint)


def refuse(arguments: list[str], error: UsageError) -> None:
    """Say that the arguments cannot be understood, in the format that they ask for."""
    if asked_format(arguments, _FORMATS) == "json":
        write(proof_verdict.as_json(_not_checked(error)))
    else:
        complain(proof_verdict.as_text(_not_checked(error)))
