"""The grants that the peers get: the default grants of ``nono run``, as far as this machine has them."""

from __future__ import annotations

import os

from runtime.capability.default_groups import DEFAULT_GRANTS


def as_arguments() -> list[str]:
    """Return ``ACCESS:PATH`` for each, where ``ACCESS`` is ``read`` or ``readwrite``."""
    return [
        f"{grant.access}:{os.fsdecode(grant.path)}" for grant in DEFAULT_GRANTS if os.path.exists(grant.path)
    ]
