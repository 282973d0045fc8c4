"""``nono-verify export``: a verified view of a ledger, in the forms that other tools read."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from attest import entry
from attest.written_time import TIMES
from verify import render, whole_files
from verify.cli import ledger
from verify.cli.failures import not_checked
from verify.cli.parsing import Parser, beginning, end, require_span
from verify.cli.streams import complain, write, write_bytes
from verify.errors import NotCheckedError, UsageError
from verify.exports import controls, exporting, formats
from verify.exports.records import Options

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from verify.exports.format import Format
    from verify.reader import LedgerFile
    from verify.verdict import Verdict

EPILOG = """\
The ledger is replayed first, as "nono-verify LEDGER" does it, with the same flags and the same verdict. It is
exported when it holds under a pinned key; what else is not met, a launch without an end for instance, does
not keep it from that: the exit code is 3, and each record says "not-met". A ledger that does not hold, or
of which no key is pinned, is exported with --unsafe-export-unverified alone, and each record says so.
Records of dsse and sigstore can say nothing of the kind: they are exported with the exit code 0 alone.

Each record says where its entry stands: origin, index, leaf hash, and size and root of the ledger. With
--with-proofs it carries the entry's inclusion proof and the signed checkpoint, so that a copied line can be
checked without the ledger: nono-verify export-check FILE -k KEY

formats:
{formats}

--since, --until, --session and --kind choose among the entries; the replay is always of all of them.
{times}

FILE must not exist, unless --overwrite is given; it is written whole or not at all, for its owner alone.
Without --out the records go to standard output, and a verdict other than 0 to standard error. A ledger file
that is called export is ./export.

exit codes:
  0  everything holds, under a pinned key, and was exported
  1  tampering or corruption; nothing was exported, unless --unsafe-export-unverified was given
  2  could not check, or not write
  3  intact, but not what was required; it was exported when a pinned key is the ledger's, and each record
     can say so

examples:
{examples}
"""

_OF_PARQUET = ("region", "account")

_EXAMPLES = """\
  nono-verify export ledger.db -k ci.pub --to json-lines --out ledger.jsonl
  nono-verify export ledger.db -k ci.pub --to json-lines --with-proofs --out proven.jsonl
  nono-verify export ledger.db -k ci.pub --to csv --kind launch.intent --kind launch.outcome
  nono-verify export ledger.db -k ci.pub --to parquet --region eu-central-1 --out lake
  nono-verify export ledger.db -k ci.pub --to oscal --out assessment.json
  nono-verify export --print-controls > mine.toml
  nono-verify export ledger.db -k ci.pub --to cef --since 1w"""

HINT = "to export it all the same, each record marked: --unsafe-export-unverified"
HINT_UNMARKED = "no record of this format could say so; those of others do"


def parser() -> Parser:
    """Return the parser of the arguments."""
    found = Parser(
        "nono-verify export",
        description="Write a ledger's entries in a form that other tools read, once it is verified.",
        epilog=epilog(_EXAMPLES),
    )
    found.add_argument("ledger", metavar="LEDGER", help="the ledger file")
    add_flags(found)
    return found


def epilog(examples: str) -> str:
    """Return what the help ends with."""
    listed = "\n".join(f"  {name:<12}{summary}" for name, summary in formats.summaries())
    return EPILOG.format(formats=listed, times=TIMES, examples=examples)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add all flags, those of a verification among them."""
    written = parser.add_argument_group("how it is written, and where")
    written.add_argument(
        "--to",
        metavar="FORMAT",
        choices=formats.NAMES,
        required=True,
        help=f"one of {', '.join(formats.NAMES)}",
    )
    written.add_argument("-o", "--out", metavar="FILE", help="where it is written; must not exist")
    written.add_argument("--overwrite", action="store_true", help="put it in the place of what FILE is now")
    written.add_argument(
        "--controls",
        metavar="FILE",
        help="of oscal: the controls that it speaks of, a table as --print-controls writes it",
    )
    written.add_argument(
        "--print-controls", action=_PrintControls, nargs=0, help="write the table of controls, and do no more"
    )
    written.add_argument(
        "--region",
        metavar="R",
        type=_part,
        help=f"of parquet: the region in its layout, default {Options().region}",
    )
    written.add_argument(
        "--account",
        metavar="A",
        type=_part,
        help=f"of parquet: the account in its layout, default {Options().account}",
    )
    add_choice_flags(parser)


def add_choice_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is exported, and what is asked of the ledger."""
    wanted = parser.add_argument_group("what is exported")
    wanted.add_argument("--since", metavar="TIME", type=beginning, help="only entries from this time on")
    wanted.add_argument(
        "--until",
        metavar="TIME",
        type=end,
        help="only entries before this time; of a date: to the end of that day",
    )
    wanted.add_argument(
        "--kind",
        metavar="KIND",
        choices=sorted(entry.KINDS),
        action="append",
        default=[],
        help=f"only entries of this kind; can be given more than once: {', '.join(sorted(entry.KINDS))}",
    )
    wanted.add_argument(
        "--with-proofs", action="store_true", help="each record carries what it takes to check it"
    )
    wanted.add_argument(
        "--unsafe-export-unverified",
        action="store_true",
        help="export a ledger that does not hold, or whose key is not pinned; each record says so",
    )
    ledger.add_demands(parser)
    # What belongs to a verification by itself.
    parser.set_defaults(checkpoint=[], save_checkpoint=None, attest=None, attest_out=None, write=[])


def run(arguments: list[str]) -> int:
    """Export a ledger; return the exit code."""
    options = parser().parse_args(arguments)
    return export(options, options.ledger)


class Destination(NamedTuple):
    """Where an export goes that is neither a file nor standard output.

    Attributes:
        write: takes the records, piece by piece.
        finish: called behind the last.
        shown: what it is called.
    """

    write: Callable[[bytes], object]
    finish: Callable[[], object]
    shown: str


def export(options: argparse.Namespace, path: str, destination: Destination | None = None) -> int:
    """Export a ledger as the options ask for it; return the exit code.

    Args:
        options: what was asked.
        path: the ledger's.
        destination: where it goes; by default what the options say.

    Raises:
        UsageError: they make no sense together.
    """
    form = formats.load(options.to)
    _require_sense(options, form)
    if options.out is not None:
        read = (*ledger.files_read(options, path), options.controls)
        ledger.require_apart("--out", options.out, read, ())
    asked = exporting.Asked(
        since=_as_recorded(options.since),
        until=_as_recorded(options.until),
        session=options.session,
        kinds=frozenset(options.kind),
        with_proofs=options.with_proofs,
        options=Options(controls=options.controls)._replace(
            **{name: given for name in _OF_PARQUET if (given := getattr(options, name)) is not None}
        ),
    )
    done: list[int] = []

    def then(verdict: Verdict, source: LedgerFile) -> None:
        # What cannot say that something was not met would pass for a record of a ledger of which all is.
        allowed = exporting.is_held(verdict) if form.CAN_BE_MARKED else verdict.exit == 0
        if not allowed and not options.unsafe_export_unverified:
            return
        done.append(
            _write_directory(
                options.out,
                lambda path: exporting.export(verdict, source, form, _within(asked, path), _nowhere),
            )
            if form.WRITES_DIRECTORY
            else _write(options, destination, lambda to: exporting.export(verdict, source, form, asked, to))
        )

    verdict = ledger.judged(options, path, then)
    text = render.as_text(verdict)
    if done and verdict.exit != 2:
        count = "1 record" if done[0] == 1 else f"{done[0]} {'entries' if form.COUNTS_ENTRIES else 'records'}"
        where = destination.shown if destination else options.out or "standard output"
        text += f"  exported: {count} as {options.to} to {render.printable(where)}\n"
    elif verdict.exit != 2:
        hint = HINT if form.CAN_BE_MARKED else f"{HINT_UNMARKED}: {', '.join(formats.CHECKABLE)}"
        text += f"  exported: nothing\n  hint: {hint}\n"
    if (destination or options.out is not None) and done and verdict.exit != 2:
        write(text)
    elif verdict.exit or not done:
        complain(text)
    return verdict.exit


class _PrintControls(argparse.Action):
    """Write the verifier's own table of controls, to be changed and named with ``--controls``."""

    def __call__(self, parser: argparse.ArgumentParser, *_arguments: object) -> None:
        """Write it and leave."""
        write(controls.own_text())
        parser.exit()


def _part(text: str) -> str:
    """Return a part of a path of the layout, for argparse."""
    if not re.fullmatch("[A-Za-z0-9_-]{1,64}", text):
        raise argparse.ArgumentTypeError("letters, digits, - and _ are wanted, at most 64")
    return text


def _require_sense(options: argparse.Namespace, form: type[Format]) -> None:
    """Refuse flags that do not go together."""
    require_span(options.since, options.until)
    if options.with_proofs and not form.HAS_PROOFS:
        raise UsageError(f"--with-proofs: records of {options.to} cannot carry proofs")
    if options.unsafe_export_unverified and not form.CAN_BE_MARKED:
        raise UsageError(f"--unsafe-export-unverified: records of {options.to} cannot be marked")
    if options.kind and form.ASKS_ALL_KINDS:
        raise UsageError(f"--kind: {options.to} is made of entries of every kind")
    if form.WRITES_DIRECTORY and (options.out is None or options.overwrite):
        raise UsageError(f"--to {options.to} makes a directory: --out DIRECTORY, which must not exist")
    if options.controls is not None and options.to != "oscal":
        raise UsageError("--controls is about --to oscal")
    for name in _OF_PARQUET:
        if getattr(options, name) is not None and options.to != "parquet":
            raise UsageError(f"--{name} is about --to parquet")
    if options.out is not None and "\0" in options.out:
        raise UsageError("--out: nothing can have a name with a NUL character")
    if options.overwrite and options.out is None:
        raise UsageError("--overwrite is about --out FILE")


def refuse(arguments: list[str], error: UsageError) -> None:  # noqa: ARG001  # the command has one format
    """Say that the arguments cannot be understood."""
    complain(render.as_text(not_checked(error)))


def _write(
    options: argparse.Namespace,
    destination: Destination | None,
    export_to: Callable[[Callable[[bytes], Any]], int],
) -> int:
    """Write an export to where it is asked for; return how many records it has.

    Raises:
        NotCheckedError: it cannot be written.
    """
    if destination is not None:
        count = export_to(destination.write)
        destination.finish()
        return count
    if options.out is None:
        return export_to(write_bytes)
    try:
        with whole_files.new(options.out, overwrite=options.overwrite) as file:
            return export_to(file.write)
    except FileExistsError:
        raise NotCheckedError(
            f"{options.out} exists already", code="export.exists", hint="name another file, or --overwrite"
        ) from None
    except OSError as error:
        raise _unwritable(options.out, error) from None


def _write_directory(path: str, export_to: Callable[[str], int]) -> int:
    """Let an export make the directory that is asked for; return how many entries it has.

    Raises:
        NotCheckedError: it cannot be made.
    """
    try:
        with whole_files.new_directory(path) as directory:
            return export_to(directory)
    except FileExistsError:
        raise NotCheckedError(f"{path} exists already", code="export.exists", hint="name another") from None
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: str, error: OSError) -> NotCheckedError:
    return NotCheckedError(f"cannot write {path}: {error.strerror or error}", code="export.unwritable")


def _within(asked: exporting.Asked, directory: str) -> exporting.Asked:
    return asked._replace(options=asked.options._replace(directory=directory))


def _nowhere(_data: bytes) -> None:
    """Take nothing: a format that writes files by itself has nothing else to write."""


def _as_recorded(asked: datetime | None) -> str | None:
    """Return a time as entries have it."""
    return None if asked is None else asked.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
