"""The user's trust store: public keys in a directory of the user's own configuration, one file each.

``$XDG_CONFIG_HOME/nono/trust/<fingerprint>.pub`` (``~/.config`` without it; on Windows ``%APPDATA%``), where
``~`` is ``$HOME`` if that is absolute, else the home of the user database, as ``nono`` has it.
Any ``*.pub`` there is pinned, whatever it is called: a host key's public half is put there when it
is made, so that ``nono-verify ledger.db`` simply works for the one who made it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from verify import pins
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
        NotCheckedError: a file in it is no public key, or cannot be read.
    """
    place = directory(environment)
    if place is None:
        return ()
    try:
        names = sorted(name for name in os.listdir(place) if name.endswith(_SUFFIX))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise NotCheckedError(
            f"cannot read the trust store {place}: {error.strerror}", code="key.store"
        ) from None
    if len(names) > _MAX_KEYS:
        raise NotCheckedError(f"more than {_MAX_KEYS} keys in {place}", code="key.store")
    return tuple(pins.read_file(os.path.join(place, name)) for name in names)


def add(key_file: str, environment: Mapping[str, str]) -> str:
    """Put the key in ``key_file`` into the trust store and return its path there.

    Raises:
        NotCheckedError: no key, or no place to put it.
    """
    pin = pins.read_file(key_file)
    place = directory(environment)
    if place is None:
        raise NotCheckedError("there is no home directory for a trust store", code="key.store")
    path = os.path.join(place, pin.key.fingerprint() + _SUFFIX)
    try:
        _make_private(place)
        # Whatever the umask: whoever could write to it could have his own key trusted.
        with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o644)) as file:
            file.write(pin.key.pem())
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
