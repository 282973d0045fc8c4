"""The flags that have a verdict signed, for those who get neither the ledger nor the time to replay it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from verify import signed_verdict, whole_files
from verify.errors import NotCheckedError, UsageError

if TYPE_CHECKING:
    import argparse

    from attest.keys import SigningKey
    from verify.verdict import Verdict


def add_attesting(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("a signed verdict")
    group.add_argument(
        "--attest",
        metavar="KEY",
        help="sign that everything holds and was met, with this private key: a file, or env://NAME",
    )
    group.add_argument(
        "--attest-out", metavar="FILE", help="where the signed verdict is written (DSSE, JSON)"
    )


def signing_key(options: argparse.Namespace) -> SigningKey | None:
    """Return the key that is to sign the verdict, or None when none is.

    Raises:
        NotCheckedError: it cannot be used.
        UsageError: the flags do not fit together.
    """
    if (options.attest is None) != (options.attest_out is None):
        raise UsageError("--attest KEY and --attest-out FILE belong together")
    if options.attest is None:
        return None
    if options.now is not None:
        raise UsageError("--attest: a signed verdict is about now, so --now has no place beside it")
    return signed_verdict.read_key(options.attest, os.environ)


def write_signed(verdict: Verdict, key: SigningKey, path: str) -> None:
    """Sign a verdict that holds, and write it.

    Raises:
        NotCheckedError: the key is the ledger's own, or the file cannot be written (``attest.unwritable``).
    """
    try:
        whole_files.replace(path, signed_verdict.sign(verdict, key, time.time_ns()))
    except OSError as error:
        raise NotCheckedError(
            f"cannot write the signed verdict {path}: {error.strerror}", code="attest.unwritable"
        ) from None
    except ValueError:
        raise NotCheckedError("a path with a NUL character names no file", code="attest.unwritable") from None
