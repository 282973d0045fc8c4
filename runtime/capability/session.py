"""Session ids: a UUIDv7 (RFC 9562, section 5.7) as 32 lower-case hex digits; they sort by time."""

from __future__ import annotations

import os
import time

_VERSION = 0x7
_VARIANT = 0b10


def new_session_id() -> str:
    """Return a new session id: 48 bits of Unix milliseconds and 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    random = int.from_bytes(os.urandom(10), "big")
    value = (
        milliseconds << 80 | _VERSION << 76 | (random >> 68) << 64 | _VARIANT << 62 | random & (1 << 62) - 1
    )
    return f"{value:032x}"


def is_session_id(text: str) -> bool:
    """Return whether ``text`` is a session id in its one form."""
    return len(text) == 32 and set(text) <= set("0123456789abcdef") and text[12] == "7" and text[16] in "89ab"
