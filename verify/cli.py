"""The command ``nono-verify``: arguments in, one verdict and one exit code out."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from attest import __version__, entry, tlog_proof
from attest import origin as origins
from attest.errors import NonoError
from attest.keys import without_key_text
from verify import pins, proof, proof_verdict, remembered, render, trust
from verify.errors import NotCheckedError, UsageError
from verify.findings import Finding
from verify.verdict import Verdict
from verify.verification import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_CHECKED = 2

_FORMATS = ("text", "json", "sarif", "junit", "github")

_EPILOG = """\
exit codes:
  0  everything holds, under a pinned key
  1  tampering or corruption
  2  could not check: usage, missing, unreadable, not SQLite or not a ledger
  3  intact, but not what was required: no pin, lost or unfinished launches, …

keys:
  -k FILE pins a key (PEM, or a verifier key "name+id+key"); it can be given more than once.
  Without it NONO_VERIFY_KEY is taken (a file, or the key itself), and without that the trust
  store, unless --origin is given, which pins a ledger by itself. Keys are never taken from the
  ledger or from the folder that it lies in.

formats:
  sarif is SARIF 2.1.0, junit is JUnit XML; github annotates a workflow's step and adds to its summary. The
  exit code is the same in each.

memory:
  An older copy of a ledger holds as well as the newest. What shows it is a checkpoint that is kept outside:
  --save-checkpoint keeps one after each verification that succeeds under a pinned key, and the next one
  fails (1) when the ledger does not continue it. In CI, keep that file in the cache of the pipeline.

examples:
  nono-verify ledger.db -k ci.pub
  nono-verify ledger.db -k ci.pub --format json
  nono-verify ledger.db -k ci.pub --save-checkpoint ledger.checkpoint
  nono-verify ledger.db --origin build/0123456789abcdef0123456789abcdef
  nono-verify trust add ci.pub
  nono-verify proof x.tlog-proof entry.json -k ci.pub    one entry, without its ledger
"""

_PROOF_EPILOG = """\
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


_TRUST_EPILOG = """\
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # Usage is one of the reasons why nothing was checked, and reads like the others.
        raise UsageError(without_key_text(message), hint=f"{self.prog} --help")

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
        return _run(arguments)
    except KeyboardInterrupt:
        _complain("not checked: interrupted\n")
        return NOT_CHECKED
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else NOT_CHECKED
    except BaseException as error:  # noqa: BLE001  # a traceback would end with 1, which says "tampered with"
        _complain(render.as_text(_not_checked(_unexpected(error))))
        return NOT_CHECKED


def _run(arguments: list[str]) -> int:
    try:
        if arguments[:1] == ["trust"]:
            return _trust(arguments[1:])
        if arguments[:1] == ["proof"]:
            return _proof(arguments[1:])
        return _verify(arguments)
    except UsageError as error:
        asked, what = _asked_format(arguments), arguments[:1]
        if what == ["proof"] and asked == "json":
            _write(proof_verdict.as_json(_proof_not_checked(error)))
        elif asked == "text" or what in (["proof"], ["trust"]):
            _complain(render.as_text(_not_checked(error)))
        else:
            _write(_as_format(asked, _not_checked(error), ""))
        return NOT_CHECKED


def _asked_format(arguments: list[str]) -> str:
    """Return the format that arguments ask for which could not be parsed."""
    pairs = [tuple(argument.split("=", 1)) for argument in arguments] + list(itertools.pairwise(arguments))
    return next(
        (pair[1] for pair in pairs if pair[0] == "--format" and pair[1:] and pair[1] in _FORMATS), "text"
    )


def _verify(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        pinned = _pins(options, store=options.origin is None)
        memory = [remembered.read(path) for path in options.checkpoint]
        saved = None if options.save_checkpoint is None else remembered.read_saved(options.save_checkpoint)
        if saved is not None:
            memory.append(saved)
        verdict = verify(
            options.ledger,
            pins=pinned,
            origin=options.origin,
            allow_running=options.allow_running,
            remembered=memory,
        )
        # Not over the checkpoint of another ledger, which was reported.
        continued = all(held.continued for held in verdict.remembered)
        if options.save_checkpoint is not None and verdict.head is not None and continued:
            remembered.save(options.save_checkpoint, verdict.head.encode())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # a panic in Rust is no Exception, and must not end with 1
        verdict = _not_checked(error if isinstance(error, NotCheckedError) else _unexpected(error))
    _write(_as_format(options.format, verdict, options.ledger))
    if options.format == "github" and not _summarise(verdict, options.ledger):
        return NOT_CHECKED
    return verdict.exit


def _as_format(name: str, verdict: Verdict, ledger: str) -> str:
    """Return a verdict in one of :data:`_FORMATS`; what only some of them need is loaded for those."""
    if name == "json":
        return render.as_json(verdict)
    if name == "sarif":
        from verify.sarif import as_sarif  # noqa: PLC0415  # see above

        return as_sarif(verdict, ledger)
    if name == "junit":
        from verify.junit import as_junit  # noqa: PLC0415  # see above

        return as_junit(verdict, ledger)
    if name == "github":
        from verify.github import as_annotations  # noqa: PLC0415  # see above

        return as_annotations(verdict, ledger)
    return render.as_text(verdict)


def _summarise(verdict: Verdict, ledger: str) -> bool:
    """Append to the summary of the step, if there is one; return False when it cannot be written."""
    from verify.github import SUMMARY_VARIABLE, as_summary  # noqa: PLC0415  # for this format alone

    path = os.environ.get(SUMMARY_VARIABLE, "")
    if not path:
        return True
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(as_summary(verdict, ledger))
    except OSError as error:
        _complain(f"not checked: the summary of the step cannot be written: {error.strerror}\n")
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="nono-verify",
        description="Check a nono ledger: replay everything in it, trust nothing but a pinned key.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("ledger", metavar="LEDGER", help="the ledger file")
    _add_pins(parser)
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="text",
        metavar="F",
        help=f"{', '.join(_FORMATS)}: how the verdict is written",
    )
    parser.add_argument(
        "--allow-running", action="store_true", help="do not object to launches that still run on this host"
    )
    memory = parser.add_argument_group("memory")
    memory.add_argument(
        "--checkpoint",
        metavar="FILE",
        action="append",
        default=[],
        help="a signed checkpoint that the ledger must continue; can be given more than once",
    )
    memory.add_argument(
        "--save-checkpoint",
        metavar="FILE",
        help="the same with the one in FILE, if it is there yet; then keep the ledger's newest there",
    )
    parser.add_argument("--version", action="version", version=f"nono-verify {__version__}")
    return parser


def _add_pins(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every verification has."""
    parser.add_argument(
        "-k",
        "--public-key-file",
        metavar="KEY",
        action="append",
        default=[],
        help="a public key that is trusted; the ledger must be one of these keys'",
    )
    parser.add_argument("--origin", metavar="O", help="the ledger must have this origin, name/id")


def _pins(options: argparse.Namespace, *, store: bool) -> tuple[pins.Pin, ...]:
    """Return what is pinned: the files named, else the variable's key, else the ``store`` of trusted keys.

    One source only: a job that names the key it expects must not pass with another that happens to
    lie in somebody's trust store.

    Raises:
        NotCheckedError: a key cannot be read, or the origin that is pinned is none.
    """
    if options.origin is not None:
        try:
            origins.split(options.origin)
        except NonoError as error:
            raise NotCheckedError(f"--origin: {error}", code="input.usage") from None
    if options.public_key_file:
        return tuple(pins.read_file(path) for path in options.public_key_file)
    return pins.from_environment(os.environ) or (trust.load(os.environ) if store else ())


def _unexpected(error: BaseException) -> NotCheckedError:
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, MemoryError):
        return NotCheckedError("there is not enough memory", code="input.memory")
    return NotCheckedError(
        f"the verifier itself failed: {what}",
        code="input.unexpected",
        hint="this is a fault of nono-verify; please report it with these words",
    )


def _not_checked(error: NonoError) -> Verdict:
    return Verdict(
        exit=NOT_CHECKED, findings=(Finding(error.code, str(error)),), freshness="unproven", hint=error.hint
    )


def _proof(arguments: list[str]) -> int:
    parser = _Parser(
        prog="nono-verify proof",
        description="Check that an entry is in a ledger, without the ledger.",
        epilog=_PROOF_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("proof", metavar="PROOF", help="the proof, a .tlog-proof file")
    parser.add_argument("entry", metavar="ENTRY", help="a file that holds the entry's exact bytes")
    _add_pins(parser)
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how the verdict is written"
    )
    options = parser.parse_args(arguments)
    try:
        pinned = _pins(options, store=True)
        verdict = proof.verify_proof(
            proof.read_file(options.proof, tlog_proof.MAX_BYTES),
            proof.read_file(options.entry, entry.MAX_BYTES),
            pins=pinned,
            origin=options.origin,
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # a panic in Rust is no Exception, and must not end with 1
        verdict = _proof_not_checked(error if isinstance(error, NotCheckedError) else _unexpected(error))
    _write(proof_verdict.as_json(verdict) if options.format == "json" else proof_verdict.as_text(verdict))
    return verdict.exit


def _proof_not_checked(error: NonoError) -> proof_verdict.ProofVerdict:
    return proof_verdict.ProofVerdict(NOT_CHECKED, (Finding(error.code, str(error)),), hint=error.hint)


def _trust(arguments: list[str]) -> int:
    parser = _Parser(
        prog="nono-verify trust",
        description="The keys that nono-verify trusts when no other is named.",
        epilog=_TRUST_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
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
            _complain(f"not checked: standard output cannot be written: {error.strerror}\n")
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
