"""What is said of a refusal: one that nono decided, and what a diagnosis finds (``diagnosis``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.capability import exec_obstacles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.capability.capabilities import Access, CapabilitySet
    from runtime.capability.protected import Guard

DECIDED = "decided"
KERNEL = "kernel"
EXEC = "exec"
INFERRED = "inferred"

NOT_GRANTED = exec_obstacles.NOT_GRANTED
OWN_PERMISSIONS = exec_obstacles.OWN_PERMISSIONS
PROTECTED = "protected"
NEVER_GRANTABLE = "never-grantable"
READ_ONLY = "read-only-file-system"
NETWORK_CLOSED = "network-closed"
PORT_CLOSED = "port-closed"
CLOSED_CALL = "closed-call"
REFUSED = "refused"

NOT_COVERED = "no --exec-allow covers it"
"""The reason of the one refusal of an exec that another rule would change."""


class Refusal(NamedTuple):
    """One refusal, as the record states it.

    Attributes:
        what: ``file``, ``network``, ``unix-socket``, …
        subject: what was refused.
        reason: why.
        by: ``policy`` when nono itself decided it, ``kernel`` when the kernel says that it did.
    """

    what: str
    subject: bytes
    reason: str
    by: str = "policy"


class Finding(NamedTuple):
    """One thing that was refused.

    Attributes:
        certainty: ``decided``, ``exec``, ``kernel`` or ``inferred``.
        what: ``file``, ``network`` or ``call``; of what nono decided, its own word.
        subject: the path, the port, or the kind of call.
        access: of a file, what was refused: ``read``, ``write`` or ``readwrite``.
        cause: one of the closed list in ``diagnostics.schema.json``.
        reason: in words, behind the subject.
        flags: the words of the command line that would allow it; empty where none would.
        replaces: flags that have to go for that.
    """

    certainty: str
    what: str
    subject: bytes
    access: Access | None
    cause: str
    reason: str
    flags: tuple[bytes, ...] = ()
    replaces: tuple[bytes, ...] = ()


class Enforced(NamedTuple):
    """What a command was launched inside of, as far as a diagnosis asks.

    Attributes:
        capabilities: the effective capability set.
        directory: where it started.
        workdir: the working directory, in which it started if a grant covers it.
        guard: makes who judges grants, with the paths whose protection is lifted beside those of the launch.
        block_net: whether ``--block-net`` was given.
        refusals: what the record says was refused while the command ran.
    """

    capabilities: CapabilitySet
    directory: bytes
    workdir: bytes
    guard: Callable[[Sequence[bytes]], Guard]
    block_net: bool
    refusals: tuple[Refusal, ...] = ()
