"""What nono-py runs: a capability set of ``ACCESS:PATH`` arguments, the network closed as in ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nono_py import AccessMode, CapabilitySet, sandboxed_exec

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_true(grants: Sequence[str]) -> None:
    """Build the set and run ``/bin/true`` inside it: what a launch of ours does each time."""
    capabilities = CapabilitySet()
    for grant in grants:
        access, _, path = grant.partition(":")
        mode = AccessMode.READ if access == "read" else AccessMode.READ_WRITE
        if os.path.isdir(path):
            capabilities.allow_path(path, mode)
        else:
            capabilities.allow_file(path, mode)
    capabilities.block_network()
    result = sandboxed_exec(capabilities, ["/bin/true"], cwd="/")
    if result.exit_code != 0:
        raise SystemExit(f"sandboxed_exec: exit code {result.exit_code}: {result.stderr!r}")
