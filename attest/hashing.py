"""SHA-256 (FIPS 180-4), by a library that is there anyway.

Where the standard library's is loaded it is that: a verification, most programs of Python. It is quicker for
what is short, 0.9 instead of 1.25 µs for a leaf of 640 bytes. Else it is the library's that signs: to load
the system's OpenSSL for hashlib, beside the one of ``cryptography``, takes 5 % of the time of ``nono run``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    Octets = bytes | memoryview

    class Running(Protocol):
        """A hash to go on with, and to end with :func:`finish`."""

        def update(self, data: Octets, /) -> None:
            """Take in what follows."""

        def copy(self) -> Running:
            """Return another that has taken in the same."""


def _chosen() -> tuple[Running, Callable[[Any], bytes]]:
    if "hashlib" not in sys.modules:
        try:
            from cryptography.hazmat.primitives.hashes import SHA256, Hash  # noqa: PLC0415  # one of two
        except ModuleNotFoundError:  # what launches from a program are forked from finds none of others
            pass
        else:
            return Hash(SHA256()), Hash.finalize
    from hashlib import sha256  # noqa: PLC0415  # one of two

    empty = sha256()
    return empty, type(empty).digest


_EMPTY, finish = _chosen()
"""``finish(hash)`` returns what a running hash comes to, 32 raw bytes; it is asked nothing more then."""


def running(begun: Octets = b"") -> Running:
    """Return a hash to go on with.

    Args:
        begun: the first bytes of what is hashed.
    """
    taken = _EMPTY.copy()  # half the time of making a new one
    if begun:
        taken.update(begun)
    return taken


def digest(data: Octets) -> bytes:
    """Return the hash of ``data``, 32 raw bytes."""
    return finish(running(data))


def hexdigest(data: Octets) -> str:
    """Return the hash of ``data``, 64 lower-case hexadecimal digits."""
    return finish(running(data)).hex()
