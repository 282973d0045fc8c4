"""How a launch went, for programs: one line of JSON on a descriptor (``--status-fd``).

Imported before the command begins, where it is asked for; what it says is in ``docs/status.md``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest import canonical
from attest.errors import MalformedError
from runtime.cli import say
from runtime.errors import UsageError

if TYPE_CHECKING:
    from attest.canonical import Json
    from runtime.launcher.launch import LaunchResult


class StatusLine:
    """The line, still to be written.

    Args:
        descriptor: where; the command does not inherit it.

    Raises:
        UsageError: it is not open for writing.
    """

    def __init__(self, descriptor: int) -> None:
        try:
            os.set_inheritable(max(descriptor, -1), False)  # noqa: FBT003  # its name says what is false
            os.write(descriptor, b"")
        except (OSError, OverflowError):
            raise UsageError(
                f"--status-fd {descriptor} is not a descriptor that is open for writing",
                hint="for instance: --status-fd 3 3>status.json",
            ) from None
        self._descriptor = descriptor

    def write_result(self, result: LaunchResult) -> None:
        """Write what there is to say of a launch whose command has run."""
        self.write(_of_result(result))

    def write(self, status: dict[str, Json]) -> None:
        """Write it; when that fails, say so."""
        try:
            os.write(self._descriptor, canonical.encode(status) + b"\n")
        except (OSError, MalformedError) as error:
            say(f"nono: the status cannot be written: {error}")


def _of_result(result: LaunchResult) -> dict[str, Json]:
    ending: dict[str, Json] = {"exit": result.exit} if result.exit is not None else {"signal": result.signal}
    return {
        "dry_run": False,
        "duration_us": result.duration_us,
        "entries": list(result.entries),
        "executed_image": result.executed_image,
        "exit_status": result.exit_status,
        "ledger": None if result.ledger is None else canonical.text(result.ledger),
        "outputs": list(result.outputs),
        "session": result.session,
        "survivors": result.survivors,
        **({"limits": dict(result.limits)} if result.limits else {}),
        **result.execs,
        **({} if result.ended_by is None else {"ended_by": result.ended_by}),
        **ending,
    }
