"""The record of one launch, begun: its key, its ledger with room for the end, and the intent.

What is written into it afterwards is :mod:`runtime.launcher.record`'s.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest import __version__, entry
from runtime.capability import capability_file
from runtime.capability.protected import ledger_files
from runtime.errors import LaunchError
from runtime.kernel.path_names import from_here
from runtime.launcher import host, private_directory
from runtime.launcher.record import LaunchRecord
from runtime.secrets import signing_key
from runtime.secrets.redaction import Redactor
from store import locations
from store.errors import LedgerError
from store.ledger import Draft, Ledger
from store.open_sessions import Abandoned, OpenSessions

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Sequence

    from runtime.policy.request import LaunchRequest
    from runtime.policy.resolution import Places, Resolution
    from runtime.processes.host_process import HostProcess
    from runtime.processes.own_process import OwnProcess
    from runtime.processes.shared_ledgers import SharedLedger
    from runtime.secrets.signing_key import ResolvedKey

_STANDARD_ERROR = 2
_OF_ANOTHER_KEY = frozenset({"ledger.none", "ledger.other_key"})


class Recording:
    """Where one launch is recorded, and with which key.

    Args:
        session: the launch's.
        places: where nono keeps things.
        notify: told, in one line each, what the user should know.
        ask: asks a person for the passphrase of the key that it is given the name of.
        remove: removes the temporary directory that a dead launch left.
        cleanup: closes the ledger at the end.
        begin: writes the first entries, given the record and those about lost launches, which come before
            them in the same commit; None for the intent alone.
        process: the process around the launch; opens it.

    Attributes:
        ledger: the ledger, None before :meth:`open` and without a record.
        record: what is written into it; takes everything and writes nothing where there is none.
    """

    def __init__(
        self,
        session: str,
        places: Places,
        *,
        notify: Callable[[str], None],
        ask: Callable[[str], bytes] | None,
        remove: Callable[[bytes], None],
        cleanup: contextlib.ExitStack,
        process: OwnProcess | HostProcess,
        begin: Callable[[LaunchRecord, Sequence[Draft]], None] | None = None,
    ) -> None:
        self.ledger: Ledger | SharedLedger | None = None
        self.record = LaunchRecord(session, None, None, Redactor())
        self._session = session
        self._places = places
        self._notify = notify
        self._ask = ask
        self._remove = remove
        self._cleanup = cleanup
        self._write_first = begin
        self._process = process
        self._key: ResolvedKey | None = None
        self._passphrase: bytes | None = None
        self._sessions: OpenSessions | None = None

    def closed_files(self, request: LaunchRequest) -> list[bytes]:
        """Return the files of ledger and key, which are never grantable; asked for is enough."""
        closed: list[bytes] = []
        if self.ledger is not None:
            closed += ledger_files(self.ledger.path)
        elif request.ledger is not None:
            closed += ledger_files(from_here(request.ledger))
        if self._key is not None:
            closed += self._key.files
        elif request.key is not None and (named := signing_key.file_of(request.key)) is not None:
            closed.append(named)
        return closed

    def remember_temporary(self, path: bytes) -> None:
        """Remember the launch's temporary directory, so that it is removed should the launch be lost."""
        if self._sessions is not None:
            self._sessions.remember_temporary(path)

    def take_key(self, request: LaunchRequest) -> None:
        """Read the signing key; may ask a person for its passphrase.

        Args:
            request: what is asked, as the configuration completed it.

        Raises:
            SigningKeyError: it cannot be had.
        """
        if not request.audit:
            return
        named = request.key_passphrase_env
        if named is not None:
            from runtime.secrets import passphrase  # noqa: PLC0415  # few keys are encrypted

            self._passphrase = passphrase.take(named)
        if request.key is not None:
            self._key = signing_key.resolve(request.key, self._passphrases)
        else:
            self._key = signing_key.host_key(
                self._places.config, passphrases=self._passphrases, notify=self._notify
            )

    def _passphrases(self, name: str) -> Iterable[bytes]:
        from runtime.secrets.passphrase import PassphraseSource  # noqa: PLC0415  # few keys are encrypted

        return PassphraseSource(self._passphrase, self._ask)(name)

    def open(self, resolution: Resolution) -> None:
        """Open the ledger, reserve room, and make the intent durable.

        Raises:
            LedgerError: the record could not be begun.
            LaunchError: a standard stream is the ledger or its key.
        """
        request = resolution.request
        if not request.audit:
            return
        if resolution.secrets and self._key is not None:
            from runtime.policy import credentials  # noqa: PLC0415  # imported when they were read

            credentials.refuse_key(resolution.secrets, self._key.key)
        try:
            self._begin(resolution, may_found=request.key is not None)
        except LedgerError as error:
            # Nothing is recorded yet. The ledger was rolled since it was opened, or the host key has none.
            rolled = error.code == "ledger.sealed" and request.ledger is None
            if not rolled and (request.key is not None or error.code not in _OF_ANOTHER_KEY):
                raise
            self._begin_again(resolution, error)

    def has_turn(self) -> bool:
        """Return whether what is written now need not wait for long behind another writer."""
        return self.ledger is None or self.ledger.is_free()

    def keeps_room(self) -> bool:
        """Reserve the room for the closing entries of all open launches anew; return whether there is any."""
        if self.ledger is None or self._sessions is None:
            return True
        try:
            self.ledger.reserve_closing_space(max(1, self._sessions.count()))
        except LedgerError:
            return False
        return True

    def _begin_again(self, resolution: Resolution, error: LedgerError) -> None:
        """Begin the record with the host key as it is now: it may have been rotated since it was read."""
        from runtime.secrets import host_key_rotation  # noqa: PLC0415  # once in the life of a ledger

        request = resolution.request
        if request.key is not None:
            self._begin(resolution, may_found=True)
            return
        assert self._key is not None
        with host_key_rotation.lock(self._places.config):
            host_key_rotation.settle(self._places.config, state=self._places.state, ledger=request.ledger)
            status = os.stat(signing_key.default_path(self._places.config))
            if (status.st_dev, status.st_ino) != self._key.identity:
                self._key = signing_key.host_key(self._places.config, passphrases=self._passphrases)
            elif request.ledger is not None:
                raise error
            self._begin(resolution, may_found=True)

    def _begin(self, resolution: Resolution, *, may_found: bool) -> None:
        assert self._key is not None
        key, named = self._key.key, resolution.request.ledger
        path = None if named is None else from_here(named)
        state = self._places.state

        def open_ledger() -> Ledger:
            name = host.ledger_name()
            if path is None:
                return locations.open_default_ledger(
                    key, state=state, name=name, tool_version=__version__, may_found=may_found
                )
            if os.path.lexists(path):
                return Ledger.open(path, key, state=state)
            return Ledger.create(path, key, name=name, tool_version=__version__, state=state)

        self.ledger = self._process.open_ledger((path, state, key.public.fingerprint()), open_ledger)
        self._cleanup.callback(self.ledger.close)
        self._refuse_streams(self.ledger.path)
        here = host.supervisor()
        sessions = OpenSessions(self._places.state, self.ledger.origin)
        abandoned = list(sessions.abandoned(here))
        lost = [draft for left in abandoned if (draft := self._closing_draft(left)) is not None]
        sessions.enter(self._session, self.ledger.size, here)
        self._cleanup.callback(lambda: sessions.leave(closed=self.record.is_closed))
        # Marked before they are counted: of launches that begin at once the last one counts them all.
        self.ledger.reserve_closing_space(max(1, sessions.count() - len(abandoned)))
        self.record = LaunchRecord(self._session, self.ledger, key, resolution.redactor)
        if self._write_first is None:
            self.record.intent(resolution, lost=lost)
        else:
            self._write_first(self.record, lost)
        self._sessions = sessions
        for left in abandoned:
            sessions.forget(left)
            capability_file.remove_abandoned(self._places.state, left.session)
            # At the end, since it can take its time; nothing that the dead one had started still runs.
            if left.temporary is not None and private_directory.is_one(left.temporary):
                self._cleanup.callback(self._remove, left.temporary)

    def _closing_draft(self, left: Abandoned) -> Draft | None:
        """Return the entry that says that a session was lost; None if it is closed, or never began."""
        assert self.ledger is not None
        kinds = self.ledger.session_kinds(left.session, left.first)
        if not kinds or kinds[-1] in (entry.ATTESTATION, entry.LOST):
            return None
        return Draft(entry.LOST, left.session, len(kinds), {"found": left.found})

    def _refuse_streams(self, ledger: bytes) -> None:
        status = os.stat(ledger)
        forbidden = {(status.st_dev, status.st_ino)}
        if self._key is not None and self._key.identity is not None:
            forbidden.add(self._key.identity)
        for number in self._process.streams:
            stream = os.fstat(number)
            if (stream.st_dev, stream.st_ino) in forbidden:
                if (
                    number == _STANDARD_ERROR == self._process.streams[-1]
                ):  # what is said about this must not be written there either
                    os.dup2(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC), number)
                raise LaunchError(
                    f"descriptor {number} is the ledger or its key, and the command would inherit it",
                    code="launch.stream",
                    hint="redirect it to another file",
                )
