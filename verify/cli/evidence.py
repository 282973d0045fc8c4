"""``nono-verify evidence``: one launch, without its ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify import regular_files
from verify.cli.detached import add_format, conclude, refuse_usage
from verify.cli.parsing import Parser, add_pins, given_pins
from verify.cli.streams import NOT_CHECKED
from verify.evidence import verify_evidence
from verify.evidence_verdict import EvidenceVerdict
from verify.findings import Finding

if TYPE_CHECKING:
    from attest.errors import NonoError
    from verify.errors import UsageError

_EPILOG = """\
Checks one launch without its ledger, from the file that "nono audit evidence" writes: its entries and that
they are under the ledger's head, the keys from the ledger's first to the one that signed the head, the signed
statement about the launch, and the large values that lay beside its entries. It does not look at the rest of
the ledger, and says what that leaves open.

exit codes:
  0  everything that is recorded about the launch holds, under a pinned key
  1  the evidence was changed, or it is not complete
  2  could not check: usage, missing, unreadable, no evidence
  3  intact, but not what was required: no pin, a launch that was lost or has no end, a value that was
     withheld, …

keys:
  -k FILE pins a key (PEM, or a verifier key "name+id+key"); it can be given more than once. It is the key
  that founded the ledger, or the one that signed its head. Without it NONO_VERIFY_KEY is taken, and without
  that the trust store, unless --origin is given, which pins a ledger by itself.

A ledger file that is called evidence is ./evidence.

examples:
  nono audit evidence last -o launch.jsonl
  nono-verify evidence launch.jsonl -k ci.pub
  nono-verify evidence launch.jsonl -k ci.pub --format json
  nono-verify evidence launch.jsonl --origin build/0123456789abcdef0123456789abcdef
"""


def parser() -> Parser:
    """Return the parser of the arguments."""
    found = Parser(
        "nono-verify evidence", description="Check one launch, without its ledger.", epilog=_EPILOG
    )
    found.add_argument("file", metavar="FILE", help="the evidence")
    add_pins(found)
    add_format(found)
    return found


def run(arguments: list[str]) -> int:
    """Check the evidence of one launch; return the exit code."""
    options = parser().parse_args(arguments)

    def check() -> EvidenceVerdict:
        pinned = given_pins(options, store=options.origin is None)
        with regular_files.open_file(options.file) as file:
            return verify_evidence(file, pins=pinned, origin=options.origin)

    return conclude(check, options.format, _not_checked)


def refuse(arguments: list[str], error: UsageError) -> None:
    """Say that the arguments cannot be understood, in the format that they ask for."""
    refuse_usage(arguments, _not_checked(error))


def _not_checked(error: NonoError) -> EvidenceVerdict:
    return EvidenceVerdict(exit=NOT_CHECKED, findings=(Finding(error.code, str(error)),), hint=error.hint)
