"""``nono-verify LEDGER``: a whole ledger, and what is required of it."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING

from attest import __version__
from attest.keys import without_key_text
from verify import pins, remembered, render, timestamps, trust, witness_policy
from verify.cli import SUBCOMMANDS, attesting, requiring
from verify.cli.failures import not_checked, unexpected
from verify.cli.parsing import Parser, add_pins, asked_format, given_pins, moment
from verify.cli.streams import NOT_CHECKED, complain, write
from verify.cli.terminal import Progress, in_colour
from verify.errors import NotCheckedError, UsageError
from verify.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from verify.reader import LedgerFile
    from verify.verdict import Verdict

_FILE_FORMATS = ("text", "json", "sarif", "junit")
_FORMATS = (*_FILE_FORMATS, "github")

_EPILOG = """\
exit codes:
  0  everything holds, under a pinned key
  1  tampering or corruption
  2  could not check: usage, missing, unreadable, not SQLite or not a ledger
  3  intact, but not what was required: no pin, lost or unfinished launches, …
  Each comes with its words. Python itself ends with 1, too, when it is interrupted before this program
  begins: 1 without a word on standard output is no verdict.

keys:
  -k FILE pins a key (PEM, or a verifier key "name+id+key"); it can be given more than once.
  Without it NONO_VERIFY_KEY is taken (a file, or the key itself), and without that the trust
  store, unless --origin is given, which pins a ledger by itself. Keys are never taken from the
  ledger or from the folder that it lies in.

formats:
  sarif is SARIF 2.1.0, junit is JUnit XML; github annotates a workflow's step and adds to its summary. The
  exit code is the same in each. --write keeps the same verdict in a file as well, in a format of its own.

memory:
  An older copy of a ledger holds as well as the newest. What shows it is a checkpoint that is kept outside:
  --save-checkpoint keeps one of each ledger that is intact, belongs to a pinned key and continues the one
  before, also when a policy or something else that is required is not met (3); the next verification fails
  (1) when the ledger does not continue it. In CI, keep that file in the cache of the pipeline.

requirements:
  --require-label and --require-output ask whether this ledger is the evidence for that build: a launch that
  is complete and attested, ended with exit code 0, has the labels, and made the very files that are at hand.
  --policy asks for more, of every launch; see nono-verify policy --help. What is not met is exit code 3.

a signed verdict:
  --attest KEY --attest-out FILE writes, when the exit code is 0, an in-toto Simple Verification Result: that
  this verifier found this checkpoint to hold under this policy. The key is never one of the ledger's. It
  takes the place of what FILE held; with another exit code nothing is written, and an older one stays there.

witnesses and timestamps:
  What others say of a ledger lies in it as anchors, and in the notes that --checkpoint names. With
  --witness-policy the cosignatures of the policy's witnesses count and its quorum must be met (else 3);
  with --tsa-roots the timestamps (RFC 3161) of those authorities, of which there must be one. Both show
  since when entries exist: whoever stole the key later did not write them. An anchor lies in the file, so a
  tail that was cut off took its anchors along: how new a ledger is, a cosigned --checkpoint shows
  (freshness: witnessed).

examples:
  nono-verify ledger.db -k ci.pub
  nono-verify ledger.db -k ci.pub --require-label run=42 --require-output dist/tool.whl
  nono-verify ledger.db -k ci.pub --policy release.toml
  nono-verify ledger.db -k ci.pub --policy release.toml --attest env://VERDICT_KEY --attest-out verdict.json
  nono-verify ledger.db -k ci.pub --format json
  nono-verify ledger.db -k ci.pub --format github --write sarif=nono.sarif
  nono-verify ledger.db -k ci.pub --save-checkpoint ledger.checkpoint
  nono-verify ledger.db -k ci.pub --witness-policy witnesses.txt --checkpoint witnessed.checkpoint
  nono-verify ledger.db -k ci.pub --tsa-roots authorities.pem
  nono-verify ledger.db --origin build/0123456789abcdef0123456789abcdef
  nono-verify trust add ci.pub
  nono-verify each -k ci.pub -- evidence/*.db            several ledgers, one exit code
  nono-verify proof x.tlog-proof entry.json -k ci.pub    one entry, without its ledger
  nono-verify evidence launch.jsonl -k ci.pub            one launch, without its ledger
"""


def run(arguments: list[str]) -> int:
    """Check a ledger; return the exit code."""
    options = parser().parse_args(arguments)
    files = [_written(text, options) for text in options.write]
    if options.attest_out is not None:
        require_apart("--attest-out", options.attest_out, files_read(options, options.ledger), ())
    verdict = judged(options, options.ledger)
    kept = [_keep(verdict, options.ledger, *file) for file in files]
    code = say(verdict, options.ledger, options.format)
    return code if all(kept) else NOT_CHECKED


def judged(
    options: argparse.Namespace,
    ledger: str,
    then: Callable[[Verdict, LedgerFile], object] | None = None,
) -> Verdict:
    """Return the verdict on one ledger, whatever keeps it from being checked.

    Args:
        options: what is asked of it.
        ledger: its path.
        then: called with the verdict while the ledger is still open; a
            :class:`~verify.errors.NotCheckedError` of it is one.
    """
    try:
        asked = requiring.required(options)
        key = attesting.signing_key(options)
        pinned = given_pins(options, store=options.origin is None)
        memory = [remembered.read(path) for path in options.checkpoint]
        saved = None if options.save_checkpoint is None else remembered.read_saved(options.save_checkpoint)
        if saved is not None:
            memory.append(saved)
        policy = None if options.witness_policy is None else witness_policy.read(options.witness_policy)
        authorities = None if options.tsa_roots is None else timestamps.read(options.tsa_roots)
        with Progress(sys.stderr) as progress:
            verdict = verify(
                ledger,
                pins=pinned,
                origin=options.origin,
                allow_running=options.allow_running,
                remembered=memory,
                required=asked,
                witness_policy=policy,
                authorities=authorities,
                now=options.now,
                cores=options.cores,
                progress=progress,
                then=then,
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
    return verdict


def say(verdict: Verdict, ledger: str, form: str) -> int:
    """Write a verdict to standard output in one of the formats; return the exit code."""
    text = _as_format(form, verdict, ledger)
    write(in_colour(text, verdict.exit, sys.stdout, os.environ) if form == "text" else text)
    if form == "github" and not _summarise(verdict, ledger):
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


def _written(text: str, options: argparse.Namespace) -> tuple[str, str]:
    """Return the format and the file that an argument of ``--write`` names.

    Raises:
        UsageError: it names neither, or a file that this verification reads.
    """
    form, _, path = text.partition("=")
    if form not in _FILE_FORMATS or not path:
        raise UsageError(
            f"--write: {without_key_text(text)} is no FORMAT=FILE with one of {', '.join(_FILE_FORMATS)}",
            hint="for instance --write sarif=nono.sarif",
        )
    require_apart("--write", path, files_read(options, options.ledger), (options.attest_out,))
    return form, path


def files_read(options: argparse.Namespace, ledger: str) -> tuple[str | None, ...]:
    """Return the files that a verification of ``ledger`` reads."""
    return (
        *(f"{ledger}{side}" for side in ("", "-wal", "-shm", "-journal")),
        *options.public_key_file,
        pins.file_named(os.environ),
        *trust.files(os.environ),
        *options.checkpoint,
        *options.require_output,
        options.save_checkpoint,
        options.policy,
        options.witness_policy,
        options.tsa_roots,
        options.attest,
    )


def require_apart(flag: str, path: str, read: Iterable[str | None], written: Iterable[str | None]) -> None:
    """Refuse to write over what is read, or what another flag writes, be it that it is not there yet."""
    for others, what in (
        (read, "what is to be checked, or what it is checked with"),
        (written, "written by another flag as well"),
    ):
        if any(other is not None and _is_same(path, other) for other in others):
            raise UsageError(f"{flag}: {path} is {what}")


def _is_same(path: str, other: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        if os.path.realpath(path) == os.path.realpath(other):
            return True
        return os.path.samefile(path, other)
    return False


def _keep(verdict: Verdict, ledger: str, form: str, path: str) -> bool:
    """Write a verdict to a file; return False, with the reason said, when it cannot be."""
    try:
        # In place, for it may be a pipe; what is cut off has the exit code 2.
        with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(_as_format(form, verdict, ledger))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
        complain(f"not checked: {render.printable(path)} cannot be written: {reason}\n")
        return False
    return True


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


def parser() -> Parser:
    """Return the parser of the arguments."""
    found = Parser(
        "nono-verify",
        description="Check a nono ledger: replay everything in it, trust nothing but a pinned key.",
        epilog=_EPILOG + f"\nbeside LEDGER, each with its own help: {', '.join(SUBCOMMANDS)}\n",
    )
    found.add_argument("ledger", metavar="LEDGER", help="the ledger file")
    add_demands(found)
    add_format(found, _FORMATS)
    found.add_argument(
        "--write",
        metavar="F=FILE",
        action="append",
        default=[],
        help=f"also write the verdict to FILE, as {', '.join(_FILE_FORMATS)}; can be given more than once",
    )
    memory = found.add_argument_group("memory")
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
    attesting.add_attesting(found)
    found.add_argument("--version", action="version", version=f"nono-verify {__version__}")
    return found


def add_demands(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is wanted of a ledger, whichever it is."""
    add_pins(parser)
    parser.add_argument(
        "--allow-running", action="store_true", help="do not object to launches that still run on this host"
    )
    parser.add_argument(
        "--cores",
        metavar="N",
        type=_cores,
        help="use at most so many cores for a long ledger; default: all that there are",
    )
    requiring.add_requirements(parser)
    others = parser.add_argument_group("what others saw, and when")
    others.add_argument(
        "--witness-policy",
        metavar="FILE",
        help="witnesses and the quorum of them that must have cosigned the ledger (C2SP tlog-policy)",
    )
    others.add_argument(
        "--tsa-roots",
        metavar="FILE",
        help="certificates (PEM) of timestamp authorities, one of which must have stamped the ledger",
    )
    others.add_argument(
        "--now",
        metavar="T",
        type=moment,
        help="judge ages as of this time (RFC 3339) in the place of now: cosignatures and timestamps that are"
        " later do not count; the ledger is checked with all of its entries",
    )


def add_format(parser: argparse.ArgumentParser, formats: tuple[str, ...]) -> None:
    """Add the flag that says how a verdict is written, one of ``formats``."""
    parser.add_argument(
        "--format",
        choices=formats,
        default="text",
        metavar="F",
        help=f"{', '.join(formats)}: how the verdict is written",
    )
