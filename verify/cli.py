"""The command ``nono-verify``: arguments in, one verdict and one exit code out."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from attest import __version__
from attest import origin as origins
from attest.errors import NonoError
from verify import pins, render, trust
from verify.errors import NotCheckedError
from verify.findings import Finding
from verify.verdict import Verdict
from verify.verification import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_CHECKED = 2

_EPILOG = """\
exit codes:
  0  everything holds, under a pinned key
  1  tampering or corruption
  2  could not check: usage, missing, unreadable, not SQLite or not a ledger
  3  intact, but not what was required: no pin, lost or unfinished launches, …

keys:
  -k FILE pins a key (PEM, or a verifier key "name+id+key"); it can be given more than once.
  Without it NONO_VERIFY_KEY is taken (a file, or the key itself), and without that the trust
  store. Keys are never taken from the ledger or from the folder that it lies in.

examples:
  nono-verify ledger.db -k ci.pub
  nono-verify ledger.db -k ci.pub --format json
  nono-verify ledger.db --origin build/0123456789abcdef0123456789abcdef
  nono-verify trust add ci.pub
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # Usage is one of the reasons why nothing was checked, and reads like the others.
        _complain(f"not checked: {render.printable(message)}\n  hint: nono-verify --help\n")
        raise SystemExit(NOT_CHECKED)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        # After help or version, which argparse has written without looking whether it could.
        _write("")
        super().exit(status, message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``nono-verify`` and return its exit code.

    Args:
        argv: the arguments without the program's name; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        if arguments[:1] == ["trust"]:
            return _trust(arguments[1:])
        return _verify(arguments)
    except KeyboardInterrupt:
        _complain("not checked: interrupted\n")
        return NOT_CHECKED
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else NOT_CHECKED


def _verify(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        pinned = _pins(options.public_key_file)
        if options.origin is not None:
            origins.split(options.origin)
        verdict = verify(
            options.ledger, pins=pinned, origin=options.origin, allow_running=options.allow_running
        )
    except NotCheckedError as error:
        verdict = _not_checked(error)
    except NonoError as error:
        verdict = _not_checked(NotCheckedError(f"--origin: {error}", code="input.usage"))
    text = render.as_json(verdict) if options.format == "json" else render.as_text(verdict)
    _write(text)
    return verdict.exit


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="nono-verify",
        description="Check a nono ledger: replay everything in it, trust nothing but a pinned key.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("ledger", metavar="LEDGER", help="the ledger file")
    parser.add_argument(
        "-k",
        "--public-key-file",
        metavar="KEY",
        action="append",
        default=[],
        help="a public key that is trusted; the ledger must be one of these keys'",
    )
    parser.add_argument("--origin", metavar="O", help="the ledger must have this origin, name/id")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how the verdict is written"
    )
    parser.add_argument(
        "--allow-running", action="store_true", help="do not object to launches that still run on this host"
    )
    parser.add_argument("--version", action="version", version=f"nono-verify {__version__}")
    return parser


def _pins(files: list[str]) -> tuple[pins.Pin, ...]:
    """Return what is pinned: the files named, else the variable's key, else the trust store.

    One source only: a job that names the key it expects must not pass with another that happens to
    lie in somebody's trust store.
    """
    if files:
        return tuple(pins.read_file(path) for path in files)
    return pins.from_environment(os.environ) or trust.load(os.environ)


def _not_checked(error: NonoError) -> Verdict:
    return Verdict(
        exit=NOT_CHECKED, findings=(Finding(error.code, str(error)),), freshness="unproven", hint=error.hint
    )


def _trust(arguments: list[str]) -> int:
    parser = _Parser(
        prog="nono-verify trust",
        description="The keys that nono-verify trusts when no other is named.",
        epilog="A ledger file that is called trust is ./trust.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("add", help="trust a key").add_argument("key", metavar="KEY", help="public key file")
    actions.add_parser("list", help="list the keys that are trusted")
    actions.add_parser("remove", help="trust a key no longer").add_argument(
        "key", metavar="KEY", help="public key file, or the first digits of its fingerprint"
    )
    options = parser.parse_args(arguments)
    try:
        if options.action == "add":
            lines = [f"trusted: {trust.add(options.key, os.environ)}"]
        elif options.action == "remove":
            lines = [f"removed: {path}" for path in trust.remove(options.key, os.environ)]
        else:
            lines = [f"{pin.key.fingerprint()}  {pin.source}" for pin in trust.load(os.environ)]
    except NotCheckedError as error:
        _complain(render.as_text(_not_checked(error)))
        return NOT_CHECKED
    _write("".join(f"{render.printable(line)}\n" for line in lines))
    return 0


def _write(text: str) -> None:
    """Write to standard output; where the caller closed it, nobody wants to read it.

    Raises:
        SystemExit: it cannot be written. What nobody could read cannot be taken for "verified", and a full
            disk is no tampering either.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Python flushes once more at its end, and would then report the same again in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            _complain(f"not checked: the verdict cannot be written: {error.strerror}\n")
        raise SystemExit(NOT_CHECKED) from None


def _complain(text: str) -> None:
    """Write to standard error, if it can be written; the exit code says the same."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
