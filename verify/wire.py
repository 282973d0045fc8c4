"""What passes between the verifier and its workers: frames of parts, each with its length before it.

Both ends are this program. A frame is the number of its parts and the length of each, unsigned 32-bit
big-endian integers, and then the parts.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

_MAX_PARTS = 8


def write_frame(stream: BinaryIO, parts: Sequence[bytes]) -> None:
    """Write a frame.

    Raises:
        OSError: the other end is gone.
    """
    numbers = [len(parts), *map(len, parts)]
    stream.write(struct.pack(f">{len(numbers)}I", *numbers))
    for part in parts:
        stream.write(part)
    stream.flush()


def read_frame(stream: BinaryIO) -> list[bytes]:
    """Read a frame.

    Raises:
        EOFError: the stream ends before the frame does.
        OSError: the other end is gone.
        ValueError: this is no frame: the other end is not this program.
    """
    (count,) = struct.unpack(">I", _read(stream, 4))
    if count > _MAX_PARTS:
        raise ValueError("no frame")
    return [_read(stream, length) for length in struct.unpack(f">{count}I", _read(stream, 4 * count))]


def _read(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) != length:
        raise EOFError
    return data
