"""``nono-verify trust``: the keys that are trusted when no other is named."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from verify import render, trust
from verify.cli.failures import not_checked
from verify.cli.parsing import Parser
from verify.cli.streams import NOT_CHECKED, complain, write
from verify.errors import NotCheckedError

if TYPE_CHECKING:
    from verify.errors import UsageError

_EPILOG = """\
The store is $XDG_CONFIG_HOME/nono/trust, or ~/.config/nono/trust; any .pub file in it is trusted.
A ledger file that is called trust is ./trust.

exit codes:
  0  done
  2  no such key, or more than one; a file cannot be read or written; usage

examples:
  nono-verify trust add ci.pub
  nono-verify trust list
  nono-verify trust remove ci.pub
  nono-verify trust remove d43a07c1     8 or more of the fingerprint's first digits
"""


def run(arguments: list[str]) -> int:
    """Change or list the trust store; return the exit code."""
    parser = Parser(
        "nono-verify trust",
        description="The keys that nono-verify trusts when no other is named.",
        epilog=_EPILOG,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("add", help="trust a key").add_argument("key", metavar="KEY", help="public key file")
    actions.add_parser("list", help="list the keys that are trusted")
    actions.add_parser("remove", help="trust a key no longer").add_argument(
        "key", metavar="KEY", help="public key file, or 8 or more of the first digits of its fingerprint"
    )
    options = parser.parse_args(arguments)
    try:
        if options.action == "add":
            lines = [f"trusted: {trust.add(options.key, os.environ)}"]
        elif options.action == "remove":
            lines = [f"removed: {path}" for path in trust.remove(options.key, os.environ)]
        else:
            lines = [
                f"{pin.key.fingerprint()}  {pin.source}" + (f"  for {pin.origin}" if pin.origin else "")
                for pin in trust.load(os.environ)
            ]
    except NotCheckedError as error:
        complain(render.as_text(not_checked(error)))
        return NOT_CHECKED
    write("".join(f"{render.printable(line)}\n" for line in lines))
    return 0


def refuse(arguments: list[str], error: UsageError) -> None:  # noqa: ARG001  # the command has one format
    """Say that the arguments cannot be understood."""
    complain(render.as_text(not_checked(error)))
