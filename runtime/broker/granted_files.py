"""Which granted file or directory an opened file is, or is beneath: looked up again from what was judged.

The same question as the kernel's, which walks from an opened file up to the directory of a rule. It is asked
of descriptors and never of text: what is found by its name beneath a granted directory, through no link,
counts only when it is the very file that was opened (``samestat``). Imported before the fork.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.kernel import syscalls
from runtime.kernel.path_names import is_beneath

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.capability.grants import OpenGrant

_INSIDE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS


def where(descriptor: int) -> bytes:
    """Return the path of an open file as the kernel says it: an absolute one, or what is none."""
    return os.readlink(b"/proc/self/fd/%d" % descriptor)


def found_again(grants: Iterable[OpenGrant], descriptor: int) -> int | None:
    """Return a new ``O_PATH`` descriptor of an open file, as it lies in one of the grants.

    Args:
        grants: of which one must hold it.
        descriptor: of the file.

    Returns:
        None when none does.
    """
    status, path = os.fstat(descriptor), where(descriptor)
    for each in grants:
        if not each.grant.directory:
            if os.path.samestat(os.fstat(each.descriptor), status):
                return os.dup(each.descriptor)
            continue
        above = where(each.descriptor)
        if not is_beneath(path, above):
            continue
        inner = path[len(above.rstrip(b"/")) + 1 :] or b"."
        try:
            found = syscalls.openat2(each.descriptor, inner, os.O_PATH | os.O_NOFOLLOW, _INSIDE)
        except OSError:
            continue
        if os.path.samestat(os.fstat(found), status):
            return found
        os.close(found)
    return None
