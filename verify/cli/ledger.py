"""``nono-verify LEDGER``: a whole ledger, and what is required of it."""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import TYPE_CHECKING

from attest import __version__
from verify import remembered, render
from verify.cli import attesting, requiring
from verify.cli.failures import not_checked, unexpected
from verify.cli.parsing import Parser, add_pins, asked_format, given_pins
from verify.cli.streams import NOT_CHECKED, complain, write
from verify.cli.terminal import Progress, in_colour
from verify.errors import NotCheckedError, UsageError
from verify.verification import verify

if TYPE_CHECKING:
    from verify.verdict import Verdict

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

requirements:
  --require-label and --require-output ask whether this ledger is the evidence for that build: a launch that
  is complete and attested, ended with exit code 0, has the labels, and made the very files that are at hand.
  --policy asks for more, of every launch; see nono-verify policy --help. What is not met is exit code 3.

a signed verdict:
  --attest KEY --attest-out FILE writes, when the exit code is 0, an in-toto Simple Verification Result: that
  this verifier found this checkpoint to hold under this policy. The key is never one of the ledger's.

examples:
  nono-verify ledger.db -k ci.pub
  nono-verify ledger.db -k ci.pub --require-label run=42 --require-output dist/tool.whl
  nono-verify ledger.db -k ci.pub --policy release.toml
  nono-verify ledger.db -k ci.pub --policy release.toml --attest env://VERDICT_KEY --attest-out verdict.json
  nono-verify ledger.db -k ci.pub --format json
  nono-verify ledger.db -k ci.pub --save-checkpoint ledger.checkpoint
  nono-verify ledger.db --origin build/0123456789abcdef0123456789abcdef
  nono-verify trust add ci.pub
  nono-verify proof x.tlog-proof entry.json -k ci.pub    one entry, without its ledger
"""


def run(arguments: list[str]) -> int:
    """Check a ledger; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        asked = requiring.required(options)
        key = attesting.signing_key(options)
        pinned = given_pins(options, store=options.origin is None)
        memory = [remembered.read(path) for path in options.checkpoint]
        saved = None if options.save_checkpoint is None else remembered.read_saved(options.save_checkpoint)
        if saved is not None:
            memory.append(saved)
        with Progress(sys.stderr) as progress:
            verdict = verify(
                options.ledger,
                pins=pinned,
                origin=options.origin,
                allow_running=options.allow_running,
                remembered=memory,
                required=asked,
                now=requiring.now(options),
                cores=options.cores,
                progress=progress,
            )
        # Not over the checkpoint of another ledger, which was reported.
        continued = all(held.continued for held in verdict.remembered)
        if options.save_checkpoint is not None and verdict.head is not None and continued:
            remembered.save(options.save_checkpoint, verdict.head.encode())
        if key is not None and verdict.exit == 0:
            attesting.write_signed(verdict, key, options.attest_out)
    except (KeyboardInterrupt, SystemExit, UsageError):
        raise
    except BaseException as error:  # noqa: BLE001  # a panic in Rust is no Exception, and must not end with 1
        verdict = not_checked(error if isinstance(error, NotCheckedError) else unexpected(error))
    text = _as_format(options.format, verdict, options.ledger)
    write(in_colour(text, verdict.exit, sys.stdout, os.environ) if options.format == "text" else text)
    if options.format == "github" and not _summarise(verdict, options.ledger):
        return NOT_CHECKED
    return verdict.exit


def refuse(arguments: list[str], error: UsageError) -> None:
    """Say that the arguments cannot be understood, in the format that they ask for."""
    asked = asked_format(arguments, _FORMATS)
    if asked == "text":
        complain(render.as_text(not_checked(error)))
    else:
        write(_as_format(asked, not_checked(error), ""))


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
        complain(f"not checked: the summary of the step cannot be written: {error.strerror}\n")
        return False
    return True


def _cores(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise argparse.ArgumentTypeError(f"not a number of cores, from 1 to 9999: {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "nono-verify",
        description="Check a nono ledger: replay everything in it, trust nothing but a pinned key.",
        epilog=_EPILOG,
    )
    parser.add_argument("ledger", metavar="LEDGER", help="the ledger file")
    add_pins(parser)
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
    requiring.add_requirements(parser)
    attesting.add_attesting(parser)
    parser.add_argument(
        "--cores",
        metavar="N",
        type=_cores,
        help="use at most so many cores for a long ledger; default: all that there are",
    )
    parser.add_argument("--version", action="version", version=f"nono-verify {__version__}")
    return parser
