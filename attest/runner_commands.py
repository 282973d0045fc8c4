r"""Commands to the runner of a pipeline, which reads all that its steps write.

GitHub takes ``::name::`` at the beginning of a line for a command, and ``##[name]`` anywhere in it; Azure
Pipelines takes ``##vso[name]``. Whoever writes what a record says has none of it come through: in text the
first character of one is ``\xNN``, in JSON an escape of the same document.

No launch loads this.
"""

from __future__ import annotations

import re

_COMMAND = re.compile(r"^(\s*):(?=:)|(#)#(?=\[|vso\[)")
# What follows the second sign of a command that may stand anywhere.
_BEHIND = ("[", "vso[")


def line_without(line: str) -> str:
    r"""Return a line of text with ``\x3a`` or ``\x23`` where a command began."""
    return _COMMAND.sub(lambda found: "#\\x23" if found[2] else f"{found[1]}\\x3a", line)


def value_without(text: str, sharp: str) -> str:
    """Return what is not the beginning of a line with ``sharp`` in the place of each ``#`` that makes one."""
    if "#" not in text:  # one sign is found in a twentieth of the time of two, and most lines have none
        return text
    for behind in _BEHIND:
        text = text.replace(f"#{behind}", f"{sharp}{behind}")
    return text


def json_without(data: bytes) -> bytes:
    """Return JSON text, an object or a list, with escapes where a command began: the same document."""
    if b"#" not in data:
        return data
    for behind in _BEHIND:
        data = data.replace(b"#" + behind.encode(), b"\\u0023" + behind.encode())
    return data
