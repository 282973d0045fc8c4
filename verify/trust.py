"""The user's trust store: public keys in a directory of the user's own configuration, one file each.

``$XDG_CONFIG_HOME/nono/trust/<fingerprint>.pub`` (``~/.config`` without it; on Windows ``%APPDATA%``), where
``~`` is ``$HOME`` if that is absolute, else the home of the user database, as ``nono`` has it.
Any ``*.pub`` there is pinned, whatever it is called: a host key's public half is put there when it
is made, so that ``nono-verify ledger.db`` simply works for the one who made it. A verifier key stays one,
so that it pins its ledger here as well; what others could have put there is not taken for the user's.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING

from attest import hashing
from attest.note import Verifier
from verify import pins, whole_files
from verify.errors import NotCheckedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verify.pins import Pin

_SUFFIX = ".pub"
_MAX_KEYS = 1_000
_MIN_DIGITS = 8


def directory(environment: Mapping[str, str]) -> str | None:
    """Return the trust store's directory, or None where the user has no home."""
    if sys.platform == "win32":
        base = environment.get("APPDATA", "")
    else:
        # A relative path would lie in the folder that is being checked; the XDG specification ignores it too.
        base = environment.get("XDG_CONFIG_HOME", "")
        if not os.path.isabs(base):
            home = environment.get("HOME", "")
            base = os.path.join(home if os.path.isabs(home) else _account_home(), ".config")
    return os.path.join(base, "nono", "trust") if os.path.isabs(base) else None


def _account_home() -> str:
    """Return the home that the user database has: nono puts its keys there when HOME names none."""
    import pwd  # noqa: PLC0415  # only where HOME is missing, and not on every system

    try:
        return pwd.getpwuid(os.getuid()).pw_dir or "/"
    except KeyError:
        return "/"


def load(environment: Mapping[str, str]) -> tuple[Pin, ...]:
    """Return the pins of the trust store, by file name.

    Raises:
        NotCheckedError: a file in it is no public key, or cannot be read; or others than the user and root
            may change what is in it.
    """
    place = directory(environment)
    if place is None:
        return ()
    try:
        _require_own(place)
        names = sorted(name for name in os.listdir(place) if name.endswith(_SUFFIX))
        for name in names:
            _require_own(os.path.join(place, name))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise NotCheckedError(
            f"cannot read the trust store {place}: {error.strerror}",
            code="key.store",
            hint="pin a key with -k FILE, or see whether HOME is another user's",
        ) from None
    if len(names) > _MAX_KEYS:
        raise NotCheckedError(f"more than {_MAX_KEYS} keys in {place}", code="key.store")
    return tuple(pins.read_file(os.path.join(place, name)) for name in names)


def files(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the files of the trust store, whatever is in them: what nothing else may be written over."""
    place = directory(environment)
    try:
        return () if place is None else tuple(os.path.join(place, name) for name in os.listdir(place))
    except OSError:
        return ()


def _require_own(path: str) -> None:
    """Refuse what somebody else could have written; where there are no owners, there is nothing to ask.

    Raises:
        NotCheckedError: it belongs to another user than this one or root, or others may write to it.
        OSError: it is not there, or cannot be asked.
    """
    if not hasattr(os, "geteuid"):
        return
    status = os.stat(path)
    if status.st_uid not in {0, os.geteuid()}:
        raise NotCheckedError(
            f"{path} belongs to user {status.st_uid}, so its keys are not taken as trusted by you",
            code="key.store",
            hint=f"look at what is in it, then: chown {os.geteuid()} {_word(path)}",
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotCheckedError(
            f"{path} can be changed by others (mode {stat.S_IMODE(status.st_mode):o}),"
            " so its keys are not taken as trusted by you",
            code="key.store",
            hint=f"look at what is in it, then: chmod go-w {_word(path)}",
        )


def _word(path: str) -> str:
    """Return a path as a word of a shell."""
    import shlex  # noqa: PLC0415  # for a mistake alone

    return shlex.quote(path)


def add(key_file: str, environment: Mapping[str, str]) -> str:
    """Put the key in ``key_file`` into the trust store and return its path there.

    Raises:
        NotCheckedError: no key, or no place to put it.
    """
    pin = pins.read_file(key_file)
    place = directory(environment)
    if place is None:
        raise NotCheckedError("there is no home directory for a trust store", code="key.store")
    name, data = pin.key.fingerprint(), pin.key.pem()
    if pin.origin is not None:
        # One key may be trusted for several ledgers, and for all of them beside that.
        name += "-" + hashing.hexdigest(pin.origin.encode())[:16]
        data = Verifier(pin.origin, pin.key).vkey().encode() + b"\n"
    path = os.path.join(place, name + _SUFFIX)
    try:
        _make_private(place)
        _require_own(place)
        # Whole or not at all: a key that is cut off would keep everything from being checked.
        whole_files.replace(path, data)
    except OSError as error:
        raise NotCheckedError(f"cannot write {path}: {error.strerror}", code="key.store") from None
    return path


def _make_private(place: str) -> None:
    """Make a directory and each missing one above it with mode 0700; ``os.makedirs`` does so for the last.

    As :func:`store.private_directories.make_private`: the verifier imports nothing of what it judges.
    """
    missing = []
    while place != os.path.dirname(place) and not os.path.isdir(place):  # up to a root, or a drive
        missing.append(place)
        place = os.path.dirname(place)
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):  # what is no directory shows one level down
            os.mkdir(directory, 0o700)


def remove(wanted: str, environment: Mapping[str, str]) -> list[str]:
    """Take a key out of the trust store and return the files that were removed.

    Args:
        wanted: a key file, or at least eight hex digits that one key's fingerprint begins with.
        environment: the environment.

    Raises:
        NotCheckedError: no such key, or more than one.
    """
    digits = wanted.lower()
    is_hex = 0 < len(digits) <= 64 and set(digits) <= set("0123456789abcdef") and not os.path.exists(wanted)
    if is_hex and len(digits) < _MIN_DIGITS:
        raise NotCheckedError(
            f"{wanted} is too little of a fingerprint: at least {_MIN_DIGITS} digits are needed",
            code="key.store",
            hint="nono-verify trust list shows them",
        )
    prefix = digits if is_hex else pins.read_file(wanted).key.fingerprint()
    found = [pin for pin in load(environment) if pin.key.fingerprint().startswith(prefix)]
    if len({pin.key for pin in found}) != 1:
        problem = "no key" if not found else "more than one key"
        raise NotCheckedError(f"{problem} in the trust store is {wanted}", code="key.store")
    try:
        for pin in found:
            os.unlink(pin.source)
    except OSError as error:
        raise NotCheckedError(f"cannot remove {pin.source}: {error.strerror}", code="key.store") from None
    return [pin.source for pin in found]
