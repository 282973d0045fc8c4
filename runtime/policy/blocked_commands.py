"""Advice at start-up: commands that are seldom meant, by name (design 3, "Order", 1).

What is compared is the name that was typed and the name of the file that it leads to. That is all: a shell, a
script or a copy under another name gets around it, and of what the command starts nothing is looked at. What
holds is the sandbox; this keeps a slip from costing the files that are granted, and says at once of a command
that it cannot work inside. So the list is short. A name that is allowed is not blocked, whoever says either.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.errors import LaunchError, UsageError
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MAX_NAMES = 64
"""Of each kind; the intent holds them."""
MAX_NAME_BYTES = 255

_REMOVES = "it removes or overwrites what is granted, for good"
_STOPS = "it is for stopping the machine"
_PRIVILEGES = "it is for other privileges, which nothing gets inside of the sandbox"

ADVICE: dict[bytes, str] = {
    **dict.fromkeys((b"rm", b"dd", b"shred", b"wipefs", b"mkfs", b"fdisk", b"parted"), _REMOVES),
    **dict.fromkeys((b"shutdown", b"reboot", b"halt", b"poweroff"), _STOPS),
    **dict.fromkeys((b"sudo", b"su", b"doas", b"pkexec"), _PRIVILEGES),
}
"""What is blocked unless it is allowed, with the reason; ``mkfs`` stands for ``mkfs.ext4`` and its kin, too.
"""


def united(*asked: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the names that any of ``asked`` has, each once, sorted.

    Raises:
        UsageError: one of them is no name of a command, or there are too many (``usage.command_name``).
    """
    names = tuple(sorted({name for each in asked for name in each}))
    for name in names:
        if not is_command_name(name):
            raise UsageError(
                f"not the name of a command: {shown(name)}",
                code="usage.command_name",
                hint="give the name of its file, without a directory and without arguments",
            )
    if len(names) > MAX_NAMES:
        raise UsageError(f"more than {MAX_NAMES} names of commands", code="usage.command_name")
    return names


def is_command_name(name: bytes) -> bool:
    """Return whether a file can be called so."""
    fits = 0 < len(name) <= MAX_NAME_BYTES and name not in (b".", b"..")
    return fits and b"/" not in name and b"\0" not in name


def require_unblocked(allow: Collection[bytes], block: Collection[bytes], *paths: bytes) -> None:
    """Refuse a command that is blocked.

    Args:
        allow: names that are not blocked.
        block: names that are blocked besides those of :data:`ADVICE`.
        paths: the command as it was typed, and the file that it leads to where that is known.

    Raises:
        LaunchError: it is (``command.blocked``).
    """
    names = [os.path.basename(path) for path in paths]
    if any(name in allow for name in names):
        return
    for name in names:
        reason = "you or the profile block it" if name in block else _reason(name)
        if reason is not None:
            raise LaunchError(
                f"the command {shown(name)} is blocked: {reason}",
                code="command.blocked",
                hint="this is advice at start-up, by name, which any shell gets around; run it with"
                f" --allow-command {shown(name)}",
            )


def _reason(name: bytes) -> str | None:
    return ADVICE.get(b"mkfs" if name.startswith(b"mkfs.") else name)
