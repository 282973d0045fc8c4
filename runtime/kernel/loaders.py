"""Whether a program is a loader: a dynamic linker that is executed itself, and would run any file.

``ld.so PROGRAM`` maps a file and jumps into it; the kernel, and whoever looks at ``/proc/PID/exe``, sees
the loader alone. By its form (elf(5)) one is told from all else: an object that names itself for others to
be linked with (``DT_SONAME``), and asks for no interpreter of its own (``PT_INTERP``). A static program,
also one that can be moved, has no such name, and a library that can be run (``libc.so.6``) has an
interpreter.
"""

from __future__ import annotations

import os
import struct

_PT_DYNAMIC, _PT_INTERP = 2, 3
_DT_NULL, _DT_SONAME, _DT_FLAGS_1, _DF_1_PIE = 0, 14, 0x6FFFFFFB, 0x08000000
_HEADER_BYTES = 64
_SHORTEST_HEADER = 52
# What a file that is no loader may make us read; real ones have a dozen segments, and some thirty tags.
_MOST_SEGMENTS = 128
_MOST_DYNAMIC_BYTES = 65_536


def is_loader(descriptor: int) -> bool:
    """Return whether an executable file is a dynamic linker, of whatever machine.

    Args:
        descriptor: the file, open for reading; its offset is left alone.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return _is_loader(descriptor)
    except struct.error:  # cut off: the kernel does not run it
        return False


def _is_loader(descriptor: int) -> bool:
    header = os.pread(descriptor, _HEADER_BYTES, 0)
    if not header.startswith(b"\x7fELF") or len(header) < _SHORTEST_HEADER:
        return False
    wide, order = header[4] == 2, "<" if header[5] == 1 else ">"
    if wide:
        (start,) = struct.unpack_from(order + "Q", header, 32)
        size, count = struct.unpack_from(order + "HH", header, 54)
        segment = struct.Struct(order + "I4xQ16xQ16x")
    else:
        (start,) = struct.unpack_from(order + "I", header, 28)
        size, count = struct.unpack_from(order + "HH", header, 42)
        segment = struct.Struct(order + "II8xI12x")
    if size != segment.size or start > os.fstat(descriptor).st_size:  # the kernel wants it so, too
        return False
    table = os.pread(descriptor, size * min(count, _MOST_SEGMENTS), start)
    dynamic: tuple[int, int] | None = None
    for kind, offset, length in segment.iter_unpack(table[: len(table) // size * size]):
        if kind == _PT_INTERP:
            return False
        if kind == _PT_DYNAMIC:
            dynamic = offset, length
    return dynamic is not None and _names_itself(descriptor, *dynamic, wide=wide, order=order)


def _names_itself(descriptor: int, offset: int, length: int, *, wide: bool, order: str) -> bool:
    entry = struct.Struct(order + ("qQ" if wide else "iI"))
    length = min(length, _MOST_DYNAMIC_BYTES)
    if offset > os.fstat(descriptor).st_size:
        return False
    data = os.pread(descriptor, length, offset)
    for tag, value in entry.iter_unpack(data[: len(data) // entry.size * entry.size]):
        if tag == _DT_NULL:
            break
        if tag == _DT_SONAME:
            return True
        if tag == _DT_FLAGS_1 and value & _DF_1_PIE:
            return False
    return True
