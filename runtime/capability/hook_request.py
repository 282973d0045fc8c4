"""One hook as a profile asks for it, before anything of it is opened; running one is ``hooks``."""

from __future__ import annotations

from attest.named_tuples import NamedTuple

BEFORE = "before"
AFTER = "after"

MAX_TIMEOUT_SECONDS = 86_400


class Hook(NamedTuple):
    """A hook as the profile asks for it.

    Attributes:
        kind: ``before`` or ``after``.
        script: absolute, canonical path.
        timeout_seconds: 1 to 86,400.
        required: whether the launch is refused when a before-hook fails.
    """

    kind: str
    script: bytes
    timeout_seconds: int
    required: bool
