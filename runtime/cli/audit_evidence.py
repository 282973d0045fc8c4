"""``nono audit evidence``: one launch in one file, for somebody who does not get the ledger."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING, BinaryIO

from attest.errors import NonoError
from runtime.cli import complain
from runtime.cli.audit_document import warn
from runtime.cli.chosen_launch import chosen_launch
from runtime.cli.chosen_ledger import chosen_index, chosen_ledger
from runtime.cli.terminal import Progress, number, write_lines, write_stream
from runtime.kernel.path_names import from_here, shown
from runtime.secrets.key_files import sync_directory

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from store.launch_evidence import Collected

EPILOG = """\
SESSION is a session id, the beginning of one (4 digits or more), or "last".

The evidence holds the entries of the launch as they stand in the ledger, what lies beside them, the proofs
that they are under the ledger's head, and every handover of the ledger's key: all that it takes to check the
launch without the ledger. It says nothing about other launches, and holds for ever. Command line, paths and
labels are in it as they were recorded.

Without --out it goes to standard output. FILE must not exist; it is written whole or not at all, for its
owner alone. It has at most 1 GiB; a launch with more is shown with its ledger (nono audit snapshot).

examples:
  nono audit evidence last -o launch.jsonl
  nono audit evidence 0192f3a4 --ledger ci.db > launch.jsonl
  nono-verify evidence launch.jsonl -k ci.pub
"""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``nono audit evidence``."""
    parser.add_argument("session", metavar="SESSION", help="a session id, the beginning of one, or last")
    parser.add_argument("-o", "--out", metavar="FILE", help="where to write it; must not exist")


def run(arguments: argparse.Namespace) -> int:
    """Write the evidence of a launch; return the exit code.

    Raises:
        NonoError: no such launch, a ledger that is not what its key signed, or a file that cannot be written.
    """
    if arguments.out is None and sys.stdout is not None and sys.stdout.isatty():
        raise NonoError(
            "evidence is for a file, not for a terminal", code="usage.terminal", hint="-o FILE, or > FILE"
        )
    from store.launch_evidence import EvidenceCollector  # noqa: PLC0415  # the schemas, for whoever needs them

    target = None if arguments.out is None else from_here(os.fsencode(arguments.out))
    if target is not None and b"\0" not in target and os.path.lexists(target):
        raise _exists(target)
    path = chosen_ledger(arguments.ledger)
    with chosen_index(arguments.index) as index, Progress("indexing") as progress:
        ledger = index.catch_up(path, progress)
        launch = chosen_launch(index, ledger, arguments.session)
    with _anonymous() if target is None else _new(target) as file:
        with EvidenceCollector(path) as collector:
            collected = collector.collect(launch.session, launch.first, file.write)
        if target is None:
            file.seek(0)
            write_stream(file)
    if target is not None:
        write_lines(
            [
                f"{number(collected.entries, 'entry', 'entries')} of launch {launch.session},"
                f" under a head of {collected.size}",
                f"check it with: nono-verify evidence {shown(target)}",
            ]
        )
    _say_what_is_missing(launch.session, collected)
    warn(ledger)
    return 0


def _say_what_is_missing(session: str, collected: Collected) -> None:
    if not collected.is_closed:
        complain(
            f"launch {session} has no end yet: nothing says that these are all of its entries",
            "nono-verify evidence says so too, with 3",
        )
    if collected.withheld:
        values = number(
            collected.withheld,
            "value that lay beside its entries was",
            "values that lay beside its entries were",
        )
        complain(f"{values} taken away: its evidence says so, and nono-verify too, with 3")


@contextlib.contextmanager
def _new(path: bytes) -> Iterator[BinaryIO]:
    """Give a file that has its name, durably, once everything is written; which must not exist.

    Raises:
        NonoError: it exists, or cannot be written; then it is not left behind.
    """
    temporary = os.path.join(os.path.dirname(path), b".nono-%s" % os.urandom(12).hex().encode())
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            os.link(temporary, path)
        finally:
            os.unlink(temporary)
        sync_directory(path)
    except FileExistsError:
        raise _exists(path) from None
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


@contextlib.contextmanager
def _anonymous() -> Iterator[BinaryIO]:
    """Give a file without a name, so that what is printed is whole.

    Raises:
        NonoError: there is no room for it.
    """
    import tempfile  # noqa: PLC0415  # for standard output alone

    try:
        with tempfile.TemporaryFile() as file:
            yield file
    except OSError as error:
        raise NonoError(
            f"no room to collect the evidence: {error.strerror}",
            code="evidence.unwritable",
            hint="name a directory that can be written in TMPDIR, or write to a file: -o FILE",
        ) from None


def _exists(path: bytes) -> NonoError:
    return NonoError(f"{shown(path)} exists already", code="evidence.exists", hint="name another file")


def _unwritable(path: bytes, error: OSError | ValueError) -> NonoError:
    reason = error.strerror if isinstance(error, OSError) else "no file can have such a name"
    no_links = isinstance(error, OSError) and error.errno in _NO_LINKS
    return NonoError(
        f"cannot write the evidence to {shown(path)}: {reason}",
        code="evidence.unwritable",
        hint="where a file system has no hard links, print it: > FILE" if no_links else None,
    )
