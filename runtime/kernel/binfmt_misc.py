"""The formats that the kernel was told to hand to an interpreter (admin-guide/binfmt-misc.rst)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.errors import ExecutableError
from runtime.kernel.path_names import shown
from runtime.kernel.shebang import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = b"/proc/sys/fs/binfmt_misc"
_MAX_FORMATS = 256
_MAX_ENTRY_BYTES = 4096


class Format(NamedTuple):
    """An enabled entry.

    Attributes:
        name: of the entry.
        interpreter: the path that is executed instead.
        flags: of ``P``, ``O``, ``C`` and ``F``.
        offset: where in the file the magic lies.
        magic: bytes to compare; empty when the extension decides.
        mask: which of their bits count; empty for all.
        extension: of the file's name, without the dot; empty when the magic decides.
    """

    name: bytes
    interpreter: bytes
    flags: bytes
    offset: int
    magic: bytes
    mask: bytes
    extension: bytes

    def matches(self, path: bytes, header: bytes) -> bool:
        """Return whether the kernel would hand over a file of this path and these first 256 bytes."""
        if self.extension:
            return path.rpartition(b".")[2] == self.extension and b"." in path
        window = header.ljust(HEADER_BYTES, b"\0")[self.offset : self.offset + len(self.magic)]
        if len(window) != len(self.magic):
            return False
        mask = self.mask or b"\xff" * len(self.magic)
        # The kernel compares (byte XOR magic) AND mask, so bits outside the mask never matter.
        return all((w ^ m) & k == 0 for w, m, k in zip(window, self.magic, mask, strict=True))


def registered_formats(directory: bytes = _DIRECTORY) -> Iterator[Format]:
    """Yield the enabled formats; none where binfmt_misc is not mounted (the exec stop then decides)."""
    if _read(os.path.join(directory, b"status")).strip() != b"enabled":
        return
    names = sorted(os.listdir(directory))
    for name in names[:_MAX_FORMATS]:
        if name in {b"status", b"register"}:
            continue
        parsed = _parse_format(name, _read(os.path.join(directory, name)))
        if parsed is not None:
            yield parsed


def _parse_format(name: bytes, text: bytes) -> Format | None:
    lines = text.splitlines()
    if not lines or lines[0] != b"enabled":
        return None
    fields = {key.rstrip(b":"): value for key, _, value in (line.partition(b" ") for line in lines[1:])}
    try:
        return Format(
            name=name,
            interpreter=fields[b"interpreter"],
            flags=fields.get(b"flags", b"").strip(),
            offset=int(fields.get(b"offset", b"0")),
            magic=bytes.fromhex(fields.get(b"magic", b"").decode("ascii")),
            mask=bytes.fromhex(fields.get(b"mask", b"").decode("ascii")),
            extension=fields.get(b"extension", b"").lstrip(b"."),
        )
    except (KeyError, ValueError):
        raise ExecutableError(
            f"an entry of binfmt_misc that is not understood: {shown(name)}",
            hint="disable it: it may decide what runs",
        ) from None


def _read(path: bytes) -> bytes:
    """Return what the file holds; empty when it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _MAX_ENTRY_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
