"""The monitor uses files as the thread that asks would: as its user, in its groups, with its capabilities.

Whoever launches as root has more than what was launched, and what was launched can become another user. A
call that is made for it must not do what it could not do itself: take over a file of somebody else's, keep a
set-group-id bit, pass over permissions. So this thread, and no other of the monitor, becomes the one that
asks for the time of a call, by what only decides about files (credentials(7)): the file-system ids, the
supplementary groups, the effective capabilities. Imported before the fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.broker.asking_thread import identity
from runtime.kernel import file_calls, syscalls

if TYPE_CHECKING:
    from runtime.broker.asking_thread import Identity


class NotRestoredError(Exception):
    """The thread could not become itself again, so it must make no call any more."""


class Actor:
    """Becomes another and itself again; made and used by the thread that mediates."""

    def __init__(self) -> None:
        self._own = identity()
        self._effective, self._permitted, self._inheritable = syscalls.capget()

    def acting_as(self, asking: Identity) -> _Acting:
        """Return a context in which this thread uses files as ``asking``.

        Raises:
            OSError: EPERM (when it is entered): this thread may not.
            NotRestoredError: (when it is left): it could not become itself again.
        """
        return _Acting(self, asking)

    def become(self, asking: Identity) -> None:
        """Become ``asking``, as far as files are concerned."""
        own = self._own
        if asking.groups != own.groups:
            file_calls.set_groups(asking.groups)
        if asking.group != own.group:
            file_calls.set_file_group(asking.group)
        if asking.user != own.user:
            file_calls.set_file_user(asking.user)
        # Last: to become another takes capabilities, and a change of the user changes those about files.
        wanted = asking.capabilities & self._permitted
        if wanted != self._effective or asking.user != own.user:
            syscalls.capset(wanted, self._permitted, self._inheritable)

    def become_itself(self, asking: Identity) -> None:
        """Undo what :meth:`become` did, all of it or in part."""
        own = self._own
        try:
            syscalls.capset(self._effective, self._permitted, self._inheritable)
            if asking.user != own.user:
                file_calls.set_file_user(own.user)
            if asking.group != own.group:
                file_calls.set_file_group(own.group)
            if asking.groups != own.groups:
                file_calls.set_groups(own.groups)
            syscalls.capset(self._effective, self._permitted, self._inheritable)
        except OSError as error:
            raise NotRestoredError(str(error)) from error


class _Acting:
    def __init__(self, actor: Actor, asking: Identity) -> None:
        self._actor = actor
        self._asking = asking

    def __enter__(self) -> None:
        try:
            self._actor.become(self._asking)
        except BaseException:
            self._actor.become_itself(self._asking)
            raise

    def __exit__(self, *_: object) -> None:
        self._actor.become_itself(self._asking)
