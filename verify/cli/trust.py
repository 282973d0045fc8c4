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

_EXIT_CODES = """\
exit codes:
  0  done
  2  no such key, or more than one; a file cannot be read or written; usage
"""

_EPILOG = """\
The store is $XDG_CONFIG_HOME/nono/trust, or ~/.config/nono/trust; any .pub file in it is trusted.
A ledger file that is called trust is ./trust.

{exit_codes}
examples:
  nono-verify trust add ci.pub
  nono-verify trust list
  nono-verify trust remove ci.pub
  nono-verify trust remove d43a07c1     8 or more of the fingerprint's first digits
"""


def parser() -> Parser:
    """Return the parser of the arguments."""
    found = Parser(
        "nono-verify trust",
        description="The keys that nono-verify trusts when no other is named.",
        epilog=_EPILOG.replace("{exit_codes}", _EXIT_CODES),
    )
    actions = found.add_subparsers(title="commands", dest="action", required=True, metavar="COMMAND")
    for name, what, example, key in (
        ("add", "trust a key", "add ci.pub", "public key file"),
        ("list", "list the keys that are trusted", "list", None),
        (
            "remove",
            "trust a key no longer",
            "remove ci.pub",
            "public key file, or 8 or more of the first digits of its fingerprint",
        ),
    ):
        action = actions.add_parser(
            name,
            help=what,
            description=f"{what.capitalize()}.",
            epilog=f"{_EXIT_CODES}\nexample:\n  nono-verify trust {example}\n",
        )
        if key is not None:
            action.add_argument("key", metavar="KEY", help=key)
    return found


def run(arguments: list[str]) -> int:
    """Change or list the trust store; return the exit code."""
    options = parser().parse_args(arguments)
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
