"""Reading what others wrote: never more of it than has a use."""

from __future__ import annotations

import os


def read_bounded(descriptor: int, limit: int) -> bytes | None:
    """Return what is left to read, or None when it is more than ``limit`` bytes.

    Raises:
        OSError: it cannot be read.
    """
    chunks: list[bytes] = []
    size = 0
    while chunk := os.read(descriptor, limit + 1 - size):
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
