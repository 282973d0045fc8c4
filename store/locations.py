"""Where nono keeps things (XDG Base Directory Specification), and which ledger belongs to a key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from store.errors import LedgerError, SealedLedgerError
from store.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attest.checkpoint import Checkpoint
    from attest.keys import SigningKey

_APPLICATION = b"nono"
_MAX_LEDGERS_OF_ONE_KEY = 1_000


def home_directory() -> bytes:
    """Return the home directory: ``$HOME`` if it is absolute, else the password database's, else ``/``."""
    home = os.environb.get(b"HOME", b"")
    if home.startswith(b"/"):
        return home
    import pwd  # noqa: PLC0415  # only where HOME is missing

    try:
        return os.fsencode(pwd.getpwuid(os.getuid()).pw_dir) or b"/"
    except KeyError:
        return b"/"


def config_directory() -> bytes:
    """Return ``$XDG_CONFIG_HOME/nono``."""
    return _xdg(b"XDG_CONFIG_HOME", b".config")


def state_directory() -> bytes:
    """Return ``$XDG_STATE_HOME/nono``."""
    return _xdg(b"XDG_STATE_HOME", b".local/state")


def cache_directory() -> bytes:
    """Return ``$XDG_CACHE_HOME/nono``."""
    return _xdg(b"XDG_CACHE_HOME", b".cache")


def _xdg(variable: bytes, default: bytes) -> bytes:
    base = os.environb.get(variable, b"")
    if not base.startswith(b"/"):  # the specification: a relative one is to be ignored
        base = os.path.join(home_directory(), default)
    return os.path.join(base, _APPLICATION)


def ledgers_directory(state: bytes) -> bytes:
    """Return the directory of the ledgers that nobody named."""
    return os.path.join(state, b"ledgers")


def default_ledgers(state: bytes, fingerprint: str) -> Iterator[bytes]:
    """Yield the paths that a key's ledgers have in the state directory, those that exist first in order.

    The last one yielded does not exist yet.
    """
    for number in range(1, _MAX_LEDGERS_OF_ONE_KEY):
        suffix = b"" if number == 1 else b"-%d" % number
        path = os.path.join(ledgers_directory(state), fingerprint.encode() + suffix + b".db")
        yield path
        if not os.path.lexists(path):
            return


def free_path(state: bytes, fingerprint: str) -> bytes:
    """Return where the next ledger of a key goes in the state directory; nothing is there.

    Raises:
        LedgerError: it has too many already.
    """
    path = list(default_ledgers(state, fingerprint))[-1]
    if os.path.lexists(path):
        raise _too_many()
    return path


def _too_many() -> LedgerError:
    return LedgerError(
        "too many ledgers in the state directory",
        code="ledger.create",
        hint="name one with --ledger FILE",
    )


def open_default_ledger(
    key: SigningKey, *, state: bytes, name: str, tool_version: str, may_found: bool = True
) -> Ledger:
    """Open the ledger in the state directory whose key in force is ``key``, else found one.

    It is looked for under the names that this key's own ledgers have, the last first, then among the others,
    one of which may have been handed over to it. One that was sealed is passed over; when nothing continues
    it yet (whoever rolled it was killed), the new one does.

    Args:
        key: the key.
        state: the state directory.
        name: the name part of a new ledger's origin.
        tool_version: version of this program.
        may_found: whether to found one; without, there being none is an error (``ledger.none``).

    Raises:
        LedgerError: the ledger cannot be used, or none can be made. One that cannot be judged is an error
            too: beside it no new one is founded that would hide it.
    """
    # One look for both: what another launch founds after it has the very name that this one would give.
    names = list(default_ledgers(state, key.public.fingerprint()))
    own, free = [path for path in names if os.path.lexists(path)], names[-1]
    sealed = []
    for path in [*reversed(own), *(path for path in all_ledgers(state) if path not in own)]:
        try:
            return Ledger.open(path, key, state=state)
        except SealedLedgerError as error:
            sealed.append((path, error.head))
        except LedgerError as error:
            if error.code != "ledger.other_key":
                raise
    if not may_found:
        raise LedgerError(
            f"no ledger of this key in {os.fsdecode(ledgers_directory(state))}", code="ledger.none"
        )
    if free in own:
        raise _too_many()
    try:
        if sealed:
            following = _continue_one(sealed, free, key, state=state, name=name, tool_version=tool_version)
            if following is not None:
                return following
        return Ledger.create(free, key, name=name, tool_version=tool_version, state=state)
    except LedgerError as error:
        if error.code != "ledger.exists":
            raise
    return Ledger.open(free, key, state=state)  # another launch was faster, and its ledger serves


def _continue_one(
    sealed: list[tuple[bytes, Checkpoint]],
    free: bytes,
    key: SigningKey,
    *,
    state: bytes,
    name: str,
    tool_version: str,
) -> Ledger | None:
    """Found what continues the first of the sealed ledgers that nothing continues; None if there is none."""
    from store import rolling  # noqa: PLC0415  # once in the life of a ledger, and it imports this module

    for path, head in sealed:
        try:
            return rolling.found_next(
                path, head, key, successor=free, name=name, tool_version=tool_version, state=state
            )
        except LedgerError as error:
            if error.code != "ledger.rolled":
                raise
            if os.path.lexists(free):  # just now, by another launch
                return Ledger.open(free, key, state=state)
    return None


def all_ledgers(state: bytes) -> list[bytes]:
    """Return the paths of the ledgers in the state directory, sorted.

    Raises:
        LedgerError: its directory cannot be read.
    """
    return ledgers_in(ledgers_directory(state))


def ledgers_in(directory: bytes) -> list[bytes]:
    """Return the files in a directory that are named as ledgers are, sorted; those in the making are not.

    Raises:
        LedgerError: the directory cannot be read.
    """
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LedgerError(
            f"cannot read {os.fsdecode(directory)}: {error.strerror}", code="ledger.unreadable"
        ) from None
    return [os.path.join(directory, name) for name in names if name.endswith(b".db") and name[:1] != b"."]
