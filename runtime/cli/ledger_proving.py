"""``nono ledger prove``: that an entry is in the ledger, for somebody who does not get the ledger."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest import entry as entries
from attest.errors import MalformedError, NonoError
from runtime.cli.chosen_launch import chosen_launch
from runtime.cli.chosen_ledger import add_ledger_argument, chosen_index, chosen_ledger
from runtime.cli.terminal import write_bytes
from runtime.kernel.path_names import shown
from store.errors import LedgerError
from store.proving import LedgerProver

if TYPE_CHECKING:
    import argparse

_MAX_INDEX_DIGITS = 16

_EPILOG = """\
WHICH is the index of an entry, or a launch: its session id, the beginning of one (4 digits or more), or
"last". For a launch it is the entry that closes it, the signed statement about all of it. A number without a
leading zero is an index; session ids begin with one.

For a whole launch with all that is recorded about it: nono audit evidence.

The proof (C2SP tlog-proof) goes to standard output. Together with the entry's exact bytes, which --entry
writes, and the public key, it shows that the entry is in the ledger, to somebody who does not get the ledger:
nono-verify proof. The key that they have to pin is the one in force now (nono ledger info). The proof is of
the ledger as it is now, and holds for ever; a later one covers more.

examples:
  nono ledger prove last --entry launch.json > launch.tlog-proof
  nono ledger prove 17 --ledger ci.db > 17.tlog-proof
  nono-verify proof launch.tlog-proof launch.json -k ci.pub
"""


def add_prove(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``nono ledger prove``."""
    parser = commands.add_parser(
        "prove",
        help="prove to somebody else that an entry is in the ledger",
        description="Write a proof that an entry is in the ledger.",
        epilog=_EPILOG,
    )
    parser.add_argument("which", metavar="WHICH", help="an entry's index, or a launch: SESSION or last")
    parser.add_argument("--entry", metavar="FILE", help="write the entry's bytes to FILE; must not exist")
    add_ledger_argument(parser)
    parser.set_defaults(act=_prove)


def _prove(arguments: argparse.Namespace) -> int:
    path = chosen_ledger(arguments.ledger)
    index = _index(arguments.which)
    session = None
    if index is None:
        index, session = _closing_entry(path, arguments.which)
    with LedgerProver(path) as prover:
        proven = prover.prove_entry(index)
    if session is not None:
        _require_attestation(proven.body, session, path)
    if arguments.entry is not None:
        _write_new(os.fsencode(arguments.entry), proven.body)
    # What is printed is the proof and nothing else; its last line ends as every line does.
    write_bytes(proven.proof.encode().removesuffix(b"\n"))
    return 0


def _index(which: str) -> int | None:
    """Return the index that was typed, or None when it is a session: that begins with a zero."""
    if not (which.isascii() and which.isdigit()) or (which[0] == "0" and which != "0"):
        return None
    # A longer number is none either; prove_entry says so, whatever it is.
    return int(which[: _MAX_INDEX_DIGITS + 1])


def _closing_entry(path: bytes, which: str) -> tuple[int, str]:
    """Return index and session of a launch's attestation, as the index has it.

    Raises:
        NonoError: no such launch, or it has none.
    """
    with chosen_index() as index:
        launch = chosen_launch(index, index.catch_up(path), which)
    if launch.attestation is None:
        raise NonoError(
            f"launch {launch.session} is {launch.state}: it has no attestation",
            code="ledger.no_attestation",
            hint=f"prove its entries by their index; nono audit show {launch.session} lists them",
        )
    return launch.attestation, launch.session


def _require_attestation(body: bytes, session: str, path: bytes) -> None:
    """The index is never evidence: what is proved is read again."""
    try:
        written = entries.parse(body)
    except MalformedError:
        written = None
    if written is None or (written.kind, written.session) != (entries.ATTESTATION, session):
        raise LedgerError(
            f"the attestation of {session} is not where the index has it",
            code="ledger.changed",
            hint=f"check the ledger: nono-verify {shown(path)}",
        )


def _write_new(path: bytes, data: bytes) -> None:
    """Write a file (0600) that must not exist.

    Raises:
        NonoError: it exists, or cannot be written; then it is not left behind.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise NonoError(
            f"{shown(path)} exists already", code="entry.exists", hint="name another file"
        ) from None
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None
    try:
        with open(descriptor, "wb", closefd=True) as file:
            file.write(data)
    except OSError as error:
        os.unlink(path)
        raise _unwritable(path, error) from None


def _unwritable(path: bytes, error: OSError | ValueError) -> NonoError:
    reason = error.strerror if isinstance(error, OSError) else "no file can have such a name"
    return NonoError(f"cannot write the entry to {shown(path)}: {reason}", code="entry.unwritable")
