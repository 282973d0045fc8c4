"""``nono audit export``: what ``nono-verify export`` does, for the ledger of launches here.

The verifier is loaded only when this is the command, and its verdict is its own: it trusts nothing of nono.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from attest.errors import NonoError
from runtime.cli import complain
from runtime.cli.chosen_ledger import chosen_ledger

if TYPE_CHECKING:
    import argparse

_EXAMPLES = """\
  nono audit export --to json-lines --out ledger.jsonl
  nono audit export --to csv --kind launch.intent --kind launch.outcome > launches.csv
  nono audit export --ledger ci.db -k ci.pub --to cef --since 1w"""

_NOT_CHECKED = 2


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the flags, which are the verifier's."""
    from verify.cli import export  # noqa: PLC0415  # the verifier, for this command alone

    export.add_flags(parser)
    parser.epilog = export.epilog(_EXAMPLES)


def run(arguments: argparse.Namespace) -> int:
    """Export the ledger; return the exit code of the verifier.

    Raises:
        NonoError: there is no ledger, or the flags make no sense together.
    """
    from verify.cli import export  # noqa: PLC0415  # see above
    from verify.errors import UsageError  # noqa: PLC0415  # see above

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    path = os.fsdecode(chosen_ledger(arguments.ledger))
    try:
        return export.export(arguments, path)
    except UsageError as error:
        raise NonoError(str(error), code="usage.invalid", hint=error.hint) from None
    except SystemExit:  # standard output cannot be written, which was said
        return _NOT_CHECKED
    except KeyboardInterrupt:
        complain("interrupted: what was written does not count")
        return _NOT_CHECKED
