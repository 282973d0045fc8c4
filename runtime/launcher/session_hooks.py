"""The hooks of one launch, each run in its place and recorded; running one is ``capability.hooks``.

Imported when the request is taken, by a launch that has hooks: after the command has run it could be its own.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from runtime.capability import hooks
from runtime.capability.hook_request import AFTER, BEFORE
from runtime.errors import HookError
from store.private_directories import make_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.policy.resolution import Resolution


class SessionHooks:
    """The hooks of one launch.

    Args:
        session: the launch's.
        resolution: what its request came to; it has the hooks.
        state: nono's state directory.
        record: takes what is to be recorded of one.
        notify: told, in one line each, what the user should know.
        as_before: has what is for nono alone put back while a hook runs.
    """

    def __init__(
        self,
        session: str,
        resolution: Resolution,
        state: bytes,
        *,
        record: Callable[[hooks.HookResult], None],
        notify: Callable[[str], None],
        as_before: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._session = session
        self._resolution = resolution
        self._state = state
        self._record = record
        self._notify = notify
        self._as_before = as_before

    def before(self) -> Mapping[bytes, bytes]:
        """Run the before-hook, if there is one, and return the variables that it exports.

        Raises:
            HookError: it is required, and failed.
        """
        loaded = self._resolution.hooks.get(BEFORE)
        if loaded is None:
            return {}
        with contextlib.suppress(OSError):  # then the file of the exports cannot be made, and the hook failed
            make_private(self._state)
        result = self._run(loaded, None)
        if result.failed and loaded.hook.required:
            raise HookError(f"the required before-hook failed: {_how_it_ended(result)}")
        return result.exported

    def after(self, exit_status: int) -> None:
        """Run the after-hook, if there is one, and tell it what ``nono run`` exits with."""
        loaded = self._resolution.hooks.get(AFTER)
        if loaded is not None:
            self._run(loaded, exit_status)

    def _run(self, loaded: hooks.LoadedHook, exit_status: int | None) -> hooks.HookResult:
        with self._as_before():
            result = hooks.run(
                loaded,
                environment=self._resolution.hook_variables(),
                key_names=self._resolution.key_names(),
                session=self._session,
                workdir=self._resolution.workdir,
                # Not the launch's own temporary directory: that of another launch can be granted for writing.
                directory=self._state,
                exit_code=exit_status,
            )
        self._record(result)
        if result.failed:
            self._notify(f"the {loaded.hook.kind}-hook failed: {_how_it_ended(result)}")
        for name, reason in result.dropped:
            self._notify(f"the {loaded.hook.kind}-hook's export {os.fsdecode(name)} was dropped: {reason}")
        return result


def _how_it_ended(result: hooks.HookResult) -> str:
    if result.timed_out:
        return "it was not done in time"
    if result.error is not None:
        return result.error
    return f"exit code {result.exit}" if result.exit is not None else f"signal {result.signal}"
