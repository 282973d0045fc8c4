"""The flags that ask for more than an intact ledger: a policy, labels, outputs, one launch."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from attest import hashing
from verify.errors import NotCheckedError, UsageError
from verify.requirements import Required, labelled, made

if TYPE_CHECKING:
    import argparse

_SESSION = re.compile("[0-9a-f]{32}")
_LABEL = re.compile(r"[!-<>-~]{1,128}")
_READ_BYTES = 1 << 20


def add_requirements(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("what is required")
    group.add_argument(
        "--policy", metavar="FILE", help="what must hold beside, see nono-verify policy --help"
    )
    group.add_argument(
        "--require-label",
        metavar="K=V",
        action="append",
        default=[],
        help="a complete launch with this label must have ended with exit code 0; given more than once,"
        " one launch has them all",
    )
    group.add_argument(
        "--require-output",
        metavar="FILE",
        action="append",
        default=[],
        help="this very file must be an output of such a launch; can be given more than once",
    )
    group.add_argument(
        "--session", metavar="ID", help="the policy, and what is required, are about this launch alone"
    )


def required(options: argparse.Namespace) -> Required | None:
    """Return what the arguments ask for, or None when that is nothing.

    Raises:
        NotCheckedError: a policy or a required file cannot be read, or is none.
        UsageError: a label or a session id is none.
    """
    labels = _labels(options.require_label)
    if options.session is not None and not _SESSION.fullmatch(options.session):
        raise UsageError(
            f"--session: {options.session} is no session id, which has 32 hex digits",
            hint="nono audit list shows them",
        )
    requirements = [labelled(labels)] if labels else []
    requirements += [made(path, _sha256(path), labels) for path in options.require_output]
    if options.session is None and options.policy is None and not requirements:
        return None
    policy = None
    if options.policy is not None:
        from verify.policy import read  # noqa: PLC0415  # it loads a parser of TOML, for those who have one

        policy = read(options.policy)
    return Required(
        policy=policy,
        requirements=tuple(requirements),
        session=options.session,
    )


def _labels(asked: list[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for label in asked:
        key, equals, value = label.partition("=")
        if not equals or not _LABEL.fullmatch(key):
            raise UsageError(f"--require-label: {label} is no label, KEY=VALUE")
        if found.setdefault(key, value) != value:
            raise UsageError(f"--require-label: no launch has both {key}={found[key]} and {key}={value}")
    return tuple(found.items())


def _sha256(path: str) -> str:
    """Return the hex digest of a file that is at hand.

    Raises:
        NotCheckedError: it cannot be read, or is no regular file (``require.unreadable``).
    """
    try:
        # Not to wait for whoever would write into a FIFO.
        with open(
            path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
        ) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NotCheckedError(f"{path} is no regular file, so no output", code="require.unreadable")
            found = hashing.running()
            while data := file.read(_READ_BYTES):
                found.update(data)
            return hashing.finish(found).hex()
    except OSError as error:
        raise NotCheckedError(
            f"cannot read {path}, which is required as an output: {error.strerror}", code="require.unreadable"
        ) from None
    except ValueError:
        raise NotCheckedError(
            "a path with a NUL character names no output", code="require.unreadable"
        ) from None
