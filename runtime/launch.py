"""One launch, from the request to the closed record (design 3, "Order").

1. request, configuration, profile, hooks, key, ledger; room for the closing entries; **intent durable**
2. (the proxy's place)
3. before-hook, its result durable
4. grants: opened, judged, merged; then the child's environment
5. the command, resolved on the child's PATH, opened with its interpreters, leased
6. its rules are added; the sandbox is prepared
7. fork; the child restricts itself while the executable is hashed here
8. achieved against required; **start durable**; the child is released
9. the exec stop: the image that runs is compared with the one that was hashed
10. wait; kill what is left; outputs hashed; **outcome durable**; after-hook; **attestation**; clean-up

Whatever fails after the intent and before the release becomes an outcome that says *not started*; whatever
fails after that ends the command, and its outcome says how it ended.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from attest import __version__, entry
from attest.errors import NonoError
from runtime import (
    enforcement,
    environment,
    executable,
    host,
    out_of_memory,
    outputs,
    own_limits,
    private_directory,
    signing_key,
)
from runtime.capabilities import NO_PORTS, SYSTEM, USER, Access, CapabilitySet, FileGrant, Network
from runtime.configuration import read_configuration
from runtime.default_groups import DEFAULT_DENIALS, DEFAULT_GRANTS
from runtime.errors import EnforcementError, ExecutableError, HookError, LaunchError, UsageError
from runtime.grant_request import GrantRequest
from runtime.grants import (
    Grants,
    OpenGrant,
    network_asked,
    private_directory_grant,
    resolve,
    standard_stream_grants,
)
from runtime.path_names import absolute, from_here, homes, shown
from runtime.protected import Guard, Untouchable, ledger_files, own_code_paths
from runtime.record import LaunchRecord
from runtime.redaction import Redactor
from runtime.request import LaunchRequest
from runtime.session import new_session_id
from runtime.supervision import FORWARDED, FORWARDED_ALONE, Ending, Signals, Supervision
from store import locations
from store.errors import LedgerError
from store.ledger import Draft, Ledger
from store.open_sessions import Abandoned, OpenSessions
from store.private_directories import make_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from attest.canonical import Json
    from runtime import hooks
    from runtime.profile import Profile
    from runtime.signing_key import ResolvedKey

_STANDARD_ERROR = 2
# asm-generic/ioctls.h and termbits-common.h
_TCXONC = 0x540A
_TCOON = 1

_DNS_PORT = 53

# Variables that a profile keeps back: how many are named when nobody asked.
_MOST_NAMED = 8

_OF_ANOTHER_KEY = frozenset({"ledger.none", "ledger.other_key"})

SIGNAL_BASE = 128
"""``nono run`` exits with this plus the number of the signal that ended the command."""


class LaunchResult(NamedTuple):
    """What a launch came to.

    Attributes:
        session: the session id.
        exit: the command's exit code, None when a signal ended it.
        signal: the signal that ended it, None when it exited.
        exit_status: what ``nono run`` exits with: the command's exit code, or 128 + the signal.
        executed_image: ``same`` as the one that was hashed, ``different``, or ``unchecked``.
        duration_us: microseconds between release and end.
        survivors: processes that it left and that were killed.
        outputs: what the outcome says about each declared output.
        ledger: path of the ledger, None without a record.
        entries: where the record's entries stand in the ledger.
    """

    session: str
    exit: int | None
    signal: int | None
    exit_status: int
    executed_image: str
    duration_us: int
    survivors: int
    outputs: tuple[Json, ...]
    ledger: bytes | None
    entries: tuple[int, ...]


class LaunchPlan(NamedTuple):
    """What a launch would be: the answer of a dry run, which changes nothing.

    Attributes:
        capabilities: the effective capability set.
        images: the executable and its interpreters, hashed.
        environment: names of the child's variables.
        directory: its start directory.
        dropped: names of variables that it would not get.
    """

    capabilities: CapabilitySet
    images: tuple[executable.Image, ...]
    environment: tuple[bytes, ...]
    directory: bytes
    dropped: tuple[bytes, ...]


class Launch:
    """One launch; :meth:`run` does it, :meth:`plan` only says what it would be.

    Args:
        request: what is asked.
        notify: told, in one line each, what the user should know.
        explain: told what will run, and inside what, just before it is released.
        ask: asks a person for the passphrase of the key that it is given the name of.
        redeliver_signals: whether signals that came meanwhile go to the caller's own handlers afterwards.
    """

    def __init__(
        self,
        request: LaunchRequest,
        *,
        notify: Callable[[str], None],
        explain: Callable[[LaunchPlan], None] = lambda _: None,
        ask: Callable[[str], bytes] | None = None,
        redeliver_signals: bool = True,
    ) -> None:
        self.session = new_session_id()
        self._request = request
        self._notify = notify
        self._explain = explain
        self._ask = ask
        self._redeliver = redeliver_signals
        self._cleanup = contextlib.ExitStack()
        self._state = locations.state_directory()
        self._config = locations.config_directory()
        self._cache = locations.cache_directory()
        self._redactor = Redactor()
        self._profile: Profile | None = None
        self._hooks: dict[str, hooks.LoadedHook] = {}
        self._key: ResolvedKey | None = None
        self._passphrase: bytes | None = None
        self._ledger: Ledger | None = None
        self._sessions: OpenSessions | None = None
        self._record = LaunchRecord(self.session, None, None, self._redactor)
        self._supervision: Supervision | None = None
        self._limits: tuple[own_limits.Limit, ...] = ()
        self._place: out_of_memory.Place | None = None
        self._released = False
        self._started = self._clock = 0
        self._ending: Ending | None = None
        self._places: tuple[bytes, ...] = ()

    # --- the order ----------------------------------------------------------------------------

    def run(self) -> LaunchResult:
        """Launch, wait, and close the record.

        Raises:
            LaunchError: nothing was launched; the record, if there is one, says why.
            LedgerError: the record could not be begun, or could not be finished.
        """
        with self._naming_failures(), self._cleanup:
            _require_one_thread()
            self._limits = own_limits.lift()
            self._cleanup.callback(own_limits.put_back, self._limits)
            self._take_request()
            self._take_key()  # while a person who is asked for a passphrase can still interrupt
            signals = Signals(FORWARDED if self._redeliver else FORWARDED_ALONE)
            self._cleanup.callback(signals.restore, redeliver=self._redeliver)
            self._open_record()
            try:
                with self._naming_failures():
                    return self._perform(signals)
            except BaseException as error:
                if self._released:
                    self._finish_regardless(error)
                else:
                    self._refuse(error)
                raise

    def recorded(self) -> tuple[bytes, tuple[int, ...]] | None:
        """Return the ledger and where the entries stand that this launch has written, or None."""
        if self._ledger is None or not self._record.indices:
            return None
        return self._ledger.path, tuple(self._record.indices)

    @property
    def has_run(self) -> bool:
        """Whether the command was released to run, however that ended."""
        return self._released

    def plan(self) -> LaunchPlan:
        """Return what :meth:`run` would do, without hooks, record, or anything else that stays.

        Raises:
            LaunchError: it would be refused.
        """
        with self._naming_failures(), self._cleanup:
            self._take_request()
            grants = self._resolve_grants(private=None)
            directory = self._start_directory(grants)
            variables = self._environment(grants, {}, None)
            held = self._hold(variables, directory)
            grants = self._with_executable(grants, held)
            capabilities = CapabilitySet(grants.files, self._network, self._ports)
            return _plan(capabilities, held.hash_all(), variables, directory)

    def _perform(self, signals: Signals) -> LaunchResult:
        private = self._private_directory()
        exported = self._before_hook()
        grants = self._resolve_grants(private=private)
        directory = self._start_directory(grants)
        variables = self._environment(grants, exported, private)
        held = self._hold(variables, directory)
        grants = self._with_executable(grants, held)
        capabilities = CapabilitySet(grants.files, self._network, self._ports)
        self._require_unwritable_script(held, capabilities)
        with contextlib.suppress(OSError):  # without it the filter is built anew for each launch
            make_private(self._cache)
        prepared = enforcement.prepare(
            capabilities,
            grants.opened,
            cache_directory=self._cache,
            outer=self._request.outer_session(),
        )
        self._cleanup.callback(prepared.close)
        self._say_what_is_different(held, variables)
        if signals.interrupted():
            raise LaunchError("interrupted before the command began", code="launch.interrupted")
        self._places = outputs.places(self._outputs)
        supervision = self._begin(held, prepared, variables, directory, signals)
        images = held.hash_all()
        achieved = supervision.achieved() | {
            "exec-stop": True,
            "lease": all(image.leased for image in held.images),
            "metadata": False,
        }
        missing = sorted(feature for feature in prepared.required if not achieved[feature])
        if missing:
            raise EnforcementError(f"not enforced although required: {', '.join(missing)}")
        self._record.start(
            capabilities=capabilities,
            images=images,
            variables=variables,
            directory=directory,
            prepared=prepared,
            achieved=achieved,
            pid=supervision.pid,
        )
        self._explain(_plan(capabilities, images, variables, directory))
        self._started, self._clock = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._released = True  # from here on it may run, whatever happens here
        try:
            supervision.release()
        except ExecutableError:
            self._released = False
            raise
        self._ending = supervision.wait(signals)
        return self._finish(self._ending)

    def _say_what_is_different(self, held: executable.Held, variables: environment.Environment) -> None:
        """Say what the command would have outside, and what it has that it need not."""
        for image in held.images:
            if image.privileged:
                name = os.fsdecode(image.path)
                self._notify(f"{name} is set-uid, set-gid or has capabilities, and runs without them")
        dropped = [name for name in variables.dropped if name not in variables.filtered]
        if dropped:
            names = ", ".join(os.fsdecode(name) for name in dropped)
            self._notify(f"variables that the command does not get: {names}")
        if variables.filtered:
            names = ", ".join(os.fsdecode(name) for name in variables.filtered[:_MOST_NAMED])
            more = len(variables.filtered) - _MOST_NAMED
            rest = f" and {more} more (-v names them)" if more > 0 else ""
            self._notify(f"variables that the profile keeps from the command: {names}{rest}")
        if self._network is Network.ALL:
            self._notify("the network is open (--block-net closes it)")
        elif self._ports.connect and _DNS_PORT not in self._ports.connect:
            self._notify(
                "names of hosts are looked up in files alone (--allow-connect-port 53 lets them be asked for)"
            )

    def _finish(self, ending: Ending) -> LaunchResult:
        duration_us = self._since_release()
        _restart_output()
        with self._saying_later():
            hashed = self._hash_outputs()
            self._record.outcome(ending, outputs=hashed, started_ns=self._started, duration_us=duration_us)
            self._close(ending)
        return LaunchResult(
            session=self.session,
            exit=ending.exit,
            signal=ending.signal,
            exit_status=_exit_status(ending),
            executed_image=ending.image,
            duration_us=duration_us,
            survivors=ending.survivors,
            outputs=tuple(hashed),
            ledger=self._ledger.path if self._ledger is not None else None,
            entries=tuple(self._record.indices),
        )

    def _finish_regardless(self, error: BaseException) -> None:
        """Record how the command ended although something failed since its release, and raises afterwards.

        What failed can be nono itself, or a signal handler of the host. A ledger that refuses the outcome
        has said so already.
        """
        if not self._record.is_open or isinstance(error, LedgerError) or self._supervision is None:
            return
        ending = self._ending or self._supervision.end()
        _restart_output()
        with self._saying_later():
            self._record.outcome(
                ending,
                outputs=outputs.unhashed(self._outputs),
                started_ns=self._started,
                duration_us=self._since_release(),
            )
            self._close(ending)

    def _since_release(self) -> int:
        return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._clock) // 1_000

    def _hash_outputs(self) -> list[Json]:
        try:
            return outputs.hash_outputs(self._outputs, self._places)
        except Exception as error:  # noqa: BLE001  # whatever it is, the outcome is owed
            why = error.strerror if isinstance(error, OSError) else str(error) or type(error).__name__
            self._notify(f"the outputs could not be hashed: {why}")
            return outputs.unhashed(self._outputs)

    def _close(self, ending: Ending) -> None:
        """Do what comes after the outcome."""
        if ending.monitor_lost:
            self._notify("the monitor was lost, so the command was killed")
        if ending.image_reason is not None:
            self._notify(f"the command was killed before its first instruction: {ending.image_reason}")
        if ending.left:
            self._notify(f"{ending.left} processes of the command could not be ended")
        self._after_hook(_exit_status(ending))
        self._record.attest()

    @contextlib.contextmanager
    def _saying_later(self) -> Iterator[None]:
        """Notify only afterwards: standard error may be full, or its reader the command's accomplice."""
        notify, texts = self._notify, list[str]()
        self._notify = texts.append
        try:
            yield
        finally:
            self._notify = notify
            for text in texts:
                notify(text)

    @contextlib.contextmanager
    def _naming_failures(self) -> Iterator[None]:
        """Say what the system refused, wherever it did; once the command runs, that is a fault of ours."""
        try:
            yield
        except OSError as error:
            if self._released:
                raise
            why = os.strerror(error.errno).lower() if error.errno else str(error)
            where = (
                f": {shown(os.fsencode(error.filename))}" if isinstance(error.filename, str | bytes) else ""
            )
            raise LaunchError(
                f"the launch cannot be prepared: {why}{where}",
                code="launch.failed",
                hint=_preparation_hint(error),
            ) from error

    def _refuse(self, error: BaseException) -> None:
        """Record why nothing ran."""
        self._abandon()
        if not self._record.is_open:
            return
        code = error.code if isinstance(error, NonoError) else "launch.failed"
        if isinstance(error, KeyboardInterrupt):
            code = "launch.interrupted"
        self._record.not_started(code, str(error) or type(error).__name__, self._outputs)
        self._after_hook(getattr(error, "exit_status", LaunchError.exit_status))
        self._record.attest()

    # --- 1: the request ------------------------------------------------------------------------

    def _take_request(self) -> None:
        request = self._request
        request.check()
        for number in range(3):
            _require_open(number)
        self._workdir = request.working_directory()
        self._outputs = request.declared_outputs(self._workdir)
        configuration = read_configuration(self._config)
        variables = request.variables
        if request.profile is not None:
            from runtime import hooks, profile  # noqa: PLC0415  # 3 ms, and most launches have none

            self._profile = profile.read_profile(request.profile, self._config)
            for kind, asked in self._profile.hooks.items():
                loaded = hooks.load(asked)
                self._cleanup.callback(loaded.close)
                self._hooks[kind] = loaded
            variables = {**variables, **self._profile.variables.set_vars}
        self._redactor = Redactor(configuration.redaction, variables)
        self._refuse_secret_labels()
        self._network, self._ports = network_asked(
            block_net=request.block_net,
            profile_blocks=self._profile is not None and self._profile.block_network,
            user=request.asked_ports(),
            profile=NO_PORTS if self._profile is None else self._profile.ports,
        )
        for number in range(3):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                from runtime import stream_sockets  # noqa: PLC0415  # streams are seldom sockets

                stream_sockets.require_confined(number, self._network)
        if self._ports.listens:
            from runtime import mediation  # noqa: F401, PLC0415  # for the monitor, which imports nothing

    def _refuse_secret_labels(self) -> None:
        """Refuse a label that would have to be redacted: intent and statement say it as it is."""
        for key, value in self._request.labels.items():
            if self._redactor.finds_in(value.encode("utf-8")):
                raise UsageError(
                    f"the label {key} holds a secret, or what looks like one",
                    code="usage.label",
                    hint="labels are recorded and signed as they are; name the secret, do not give it",
                )

    def _take_key(self) -> None:
        request = self._request
        if not request.audit:
            return
        named = request.key_passphrase_env
        if named is not None:
            from runtime import passphrase  # noqa: PLC0415  # few keys are encrypted

            self._passphrase = passphrase.take(named)
        if request.key is not None:
            self._key = signing_key.resolve(request.key, self._passphrases)
        else:
            self._key = signing_key.host_key(self._config, passphrases=self._passphrases, notify=self._notify)

    def _passphrases(self, name: str) -> Iterable[bytes]:
        from runtime.passphrase import PassphraseSource  # noqa: PLC0415  # few keys are encrypted

        return PassphraseSource(self._passphrase, self._ask)(name)

    def _open_record(self) -> None:
        """Open the ledger, reserve room, and make the intent durable."""
        if not self._request.audit:
            return
        request = self._request
        try:
            self._begin_record(may_found=request.key is not None)
        except LedgerError as error:
            # Nothing is recorded yet. The ledger was rolled since it was opened, or the host key has none.
            rolled = error.code == "ledger.sealed" and request.ledger is None
            if not rolled and (request.key is not None or error.code not in _OF_ANOTHER_KEY):
                raise
            self._begin_record_after(error)

    def _begin_record_after(self, error: LedgerError) -> None:
        """Begin the record with the host key as it is now: it may have been rotated since it was read."""
        from runtime import host_key_rotation  # noqa: PLC0415  # once in the life of a ledger

        if self._request.key is not None:
            self._begin_record(may_found=True)
            return
        assert self._key is not None
        with host_key_rotation.lock(self._config):
            host_key_rotation.settle(self._config, state=self._state, ledger=self._request.ledger)
            status = os.stat(signing_key.default_path(self._config))
            if (status.st_dev, status.st_ino) != self._key.identity:
                self._key = signing_key.host_key(self._config, passphrases=self._passphrases)
            elif self._request.ledger is not None:
                raise error
            self._begin_record(may_found=True)

    def _begin_record(self, *, may_found: bool) -> None:
        assert self._key is not None
        key = self._key.key
        if self._request.ledger is None:
            self._ledger = locations.open_default_ledger(
                key,
                state=self._state,
                name=host.ledger_name(),
                tool_version=__version__,
                may_found=may_found,
            )
        else:
            path = from_here(self._request.ledger)
            if os.path.lexists(path):
                self._ledger = Ledger.open(path, key, state=self._state)
            else:
                self._ledger = Ledger.create(
                    path, key, name=host.ledger_name(), tool_version=__version__, state=self._state
                )
        self._cleanup.callback(self._ledger.close)
        self._refuse_streams(self._ledger.path)
        here = host.supervisor()
        sessions = OpenSessions(self._state, self._ledger.origin)
        abandoned = list(sessions.abandoned(here))
        lost = [draft for left in abandoned if (draft := self._closing_draft(left)) is not None]
        sessions.enter(self.session, self._ledger.size, here)
        self._cleanup.callback(lambda: sessions.leave(closed=self._record.is_closed))
        # Marked before they are counted: of launches that begin at once the last one counts them all.
        self._ledger.reserve_closing_space(max(1, sessions.count() - len(abandoned)))
        self._record = LaunchRecord(self.session, self._ledger, key, self._redactor)
        self._record.intent(
            self._request,
            asked=self._asked(),
            network=self._network,
            ports=self._ports,
            hooks=self._hooks,
            profile=self._profile,
            outputs=self._outputs,
            lost=lost,
        )
        self._sessions = sessions
        for left in abandoned:
            sessions.forget(left)
            # At the end, since it can take its time; nothing that the dead one had started still runs.
            if left.temporary is not None and private_directory.is_one(left.temporary):
                self._cleanup.callback(self._remove_private_directory, left.temporary)

    def _closing_draft(self, left: Abandoned) -> Draft | None:
        """Return the entry that says that a session was lost; None if it is closed, or never began."""
        assert self._ledger is not None
        kinds = self._ledger.session_kinds(left.session, left.first)
        if not kinds or kinds[-1] in (entry.ATTESTATION, entry.LOST):
            return None
        return Draft(entry.LOST, left.session, len(kinds), {"found": left.found})

    def _refuse_streams(self, ledger: bytes) -> None:
        status = os.stat(ledger)
        forbidden = {(status.st_dev, status.st_ino)}
        if self._key is not None and self._key.identity is not None:
            forbidden.add(self._key.identity)
        for number in range(3):
            stream = os.fstat(number)
            if (stream.st_dev, stream.st_ino) in forbidden:
                if number == _STANDARD_ERROR:  # what is said about this must not be written there either
                    os.dup2(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC), number)
                raise LaunchError(
                    f"descriptor {number} is the ledger or its key, and the command would inherit it",
                    code="launch.stream",
                    hint="redirect it to another file",
                )

    def _asked(self) -> tuple[GrantRequest, ...]:
        asked = self._request.asked_grants(self._workdir)
        return asked if self._profile is None else (*asked, *self._profile.filesystem)

    # --- 3: hooks -------------------------------------------------------------------------------

    def _private_directory(self) -> bytes:
        try:
            remember = self._sessions.remember_temporary if self._sessions is not None else lambda _: None
            path = private_directory.create(remember)
        except OSError as error:
            raise LaunchError(
                f"cannot make the private temporary directory: {error.strerror}", code="launch.temporary"
            ) from None
        self._cleanup.callback(self._remove_private_directory, path)
        return path

    def _remove_private_directory(self, path: bytes) -> None:
        if not private_directory.remove(path):
            self._notify(f"the private temporary directory could not be removed: {os.fsdecode(path)}")

    def _before_hook(self) -> Mapping[bytes, bytes]:
        loaded = self._hooks.get("before")
        if loaded is None:
            return {}
        with contextlib.suppress(OSError):  # then the file of the exports cannot be made, and the hook failed
            make_private(self._state)
        result = self._run_hook(loaded, None)
        if result.failed and loaded.hook.required:
            raise HookError(f"the required before-hook failed: {_how_hook_ended(result)}")
        return result.exported

    def _after_hook(self, exit_status: int) -> None:
        loaded = self._hooks.get("after")
        if loaded is not None:
            self._run_hook(loaded, exit_status)

    def _run_hook(self, loaded: hooks.LoadedHook, exit_status: int | None) -> hooks.HookResult:
        from runtime import hooks  # noqa: PLC0415  # imported with the profile, before any process is made

        with self._as_before():
            result = hooks.run(
                loaded,
                environment=self._request.variables,
                key_names=self._key_names(),
                session=self.session,
                workdir=self._workdir,
                # Not the launch's own temporary directory: that of another launch can be granted for writing.
                directory=self._state,
                exit_code=exit_status,
            )
        self._record.hook_result(result)
        if result.failed:
            self._notify(f"the {loaded.hook.kind}-hook failed: {_how_hook_ended(result)}")
        for name, reason in result.dropped:
            self._notify(f"the {loaded.hook.kind}-hook's export {os.fsdecode(name)} was dropped: {reason}")
        return result

    @contextlib.contextmanager
    def _as_before(self) -> Iterator[None]:
        """Have what is for nono alone put back meanwhile, for a hook."""
        with own_limits.as_before(self._limits), contextlib.ExitStack() as stack:
            if self._place is not None:
                stack.enter_context(self._place.left())
            yield

    def _key_names(self) -> tuple[bytes, ...]:
        """Return the variables that hold the key or its passphrase, whether or not they were read yet."""
        reference, passphrase = self._request.key or "", self._request.key_passphrase_env
        named = [reference.removeprefix("env://")] if reference.startswith("env://") else []
        return tuple(os.fsencode(name) for name in (*named, passphrase) if name is not None)

    # --- 4 to 6: what the command gets ----------------------------------------------------------

    def _resolve_grants(self, *, private: bytes | None) -> Grants:
        profile = self._profile
        guard = Guard(
            self._untouchable(),
            bypass=[self._absolute(p) for p in self._request.bypass_protection],
            denials=DEFAULT_DENIALS if profile is None else profile.denials,
        )
        extra = standard_stream_grants(guard)
        if private is not None:
            extra.append(private_directory_grant(private))
        grants = resolve(
            [*self._asked(), *(DEFAULT_GRANTS if profile is None else profile.group_grants)],
            workdir=self._workdir,
            guard=guard,
            warn=self._notify,
            extra=extra,
        )
        self._cleanup.callback(grants.close)
        return grants

    def _absolute(self, path: bytes) -> bytes:
        return absolute(path, workdir=self._workdir, home=next(iter(homes()), None))

    def _untouchable(self) -> Untouchable:
        request = self._request
        closed = [self._state, self._config, self._cache]
        if self._ledger is not None:
            closed += ledger_files(self._ledger.path)
        elif request.ledger is not None:
            closed += ledger_files(from_here(request.ledger))
        if self._key is not None:
            closed += self._key.files
        elif request.key is not None and (named := signing_key.file_of(request.key)) is not None:
            closed.append(named)
        obeyed = [loaded.hook.script for loaded in self._hooks.values()]
        if self._profile is not None:
            obeyed += [file.path for file in self._profile.chain]
        return Untouchable(tuple(closed), own_code_paths(), tuple(obeyed))

    def _start_directory(self, grants: Grants) -> bytes:
        """Return the working directory if a grant covers it, for whatever access, else the root."""
        given = CapabilitySet(grants.files, self._network, self._ports)
        covered = any(given.covers(self._workdir, access) for access in (Access.READ, Access.WRITE))
        if not covered:
            self._notify("the command starts in /, since no grant covers the working directory (--allow-cwd)")
        return self._workdir if covered else b"/"

    def _environment(
        self, grants: Grants, exported: Mapping[bytes, bytes], private: bytes | None
    ) -> environment.Environment:
        readable = CapabilitySet(grants.files, self._network, self._ports)
        return environment.build(
            self._request.variables,
            hook=exported,
            secrets={},
            own={b"NONO_SESSION_ID": self.session.encode()},
            key_names=self._key_names(),
            temporary=private,
            unix_sockets=False,
            names_over_tcp=_DNS_PORT in self._ports.connect,
            git_configuration=self._git_can_read(readable),
            lists=None if self._profile is None else self._profile.variables,
        )

    def _git_can_read(self, capabilities: CapabilitySet) -> bool:
        """Return whether git finds the user's configuration, and none that it may not read."""
        general = os.path.join(os.path.dirname(self._config), b"git/config")
        files = (os.path.join(locations.home_directory(), b".gitconfig"), general)
        readable = [capabilities.covers(os.path.realpath(path), Access.READ) for path in files]
        return any(readable) and all(
            able or not os.path.lexists(path) for able, path in zip(readable, files, strict=True)
        )

    def _hold(self, variables: environment.Environment, directory: bytes) -> executable.Held:
        command = self._request.command[0]
        if b"/" in command and directory != self._workdir:
            command = os.path.join(self._workdir, command)
        path = executable.resolve(command, variables.path, directory)
        held = executable.hold(path, self._request.command, path_variable=variables.path, directory=directory)
        self._cleanup.callback(held.release)
        return held

    def _with_executable(self, grants: Grants, held: executable.Held) -> Grants:
        """Add a rule for each image: Landlock checks the path of a descriptor again when it is executed."""
        known = CapabilitySet(grants.files, self._network, self._ports)
        added = [
            OpenGrant(
                FileGrant(image.path, image.opened_as, Access.READ, directory=False, source=SYSTEM),
                os.dup(image.descriptor),
            )
            for image in {image.path: image for image in held.images}.values()
            if not known.covers(image.path, Access.READ)
        ]
        if not added:
            return grants
        with_images = Grants(sorted([*grants.opened, *added], key=lambda opened: opened.grant.path))
        for opened in added:
            self._cleanup.callback(os.close, opened.descriptor)
        return with_images

    def _require_unwritable_script(self, held: executable.Held, capabilities: CapabilitySet) -> None:
        if self._request.allow_writable_script:
            return
        found = executable.writable_script(held, capabilities)
        if found is not None:
            script, grant = found
            raise LaunchError(
                f"the command can rewrite the script that runs: {os.fsdecode(script)} lies in the write grant"
                f" on {os.fsdecode(grant.path)}",
                code="executable.writable",
                hint="grant less for writing, or accept it with --allow-writable-script",
            )

    # --- 7: the fork -----------------------------------------------------------------------------

    def _begin(
        self,
        held: executable.Held,
        prepared: enforcement.Prepared,
        variables: environment.Environment,
        directory: bytes,
        signals: Signals,
    ) -> Supervision:
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._place = out_of_memory.Place()
        self._cleanup.callback(self._place.leave)
        try:
            supervision = Supervision.begin(
                held=held,
                prepared=prepared,
                environment=variables.variables,
                directory=descriptor,
                signals=signals,
                limits=self._limits,
                oom_score=self._place.command,
            )
        finally:
            os.close(descriptor)
        self._supervision = supervision
        self._cleanup.callback(self._abandon)
        return supervision

    def _abandon(self) -> None:
        if self._supervision is not None:
            self._supervision.abandon()
            self._supervision = None


def launch(
    command: Sequence[str | bytes | os.PathLike[str]],
    *,
    allow: Sequence[str | bytes | os.PathLike[str]] = (),
    read: Sequence[str | bytes | os.PathLike[str]] = (),
    write: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_file: Sequence[str | bytes | os.PathLike[str]] = (),
    read_file: Sequence[str | bytes | os.PathLike[str]] = (),
    write_file: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_cwd: bool = False,
    workdir: str | bytes | os.PathLike[str] | None = None,
    block_net: bool = False,
    connect_ports: Sequence[int] = (),
    listen_ports: Sequence[int] = (),
    open_ports: Sequence[int] = (),
    bypass_protection: Sequence[str | bytes | os.PathLike[str]] = (),
    allow_writable_script: bool = False,
    profile: str | bytes | os.PathLike[str] | None = None,
    ledger: str | bytes | os.PathLike[str] | None = None,
    audit_sign_key: str | None = None,
    key_passphrase_env: str | None = None,
    labels: Mapping[str, str] | None = None,
    outputs: Sequence[str | bytes | os.PathLike[str]] = (),
    audit: bool = True,
    notify: Callable[[str], None] = lambda _: None,
) -> LaunchResult:
    """Run ``command`` inside the sandbox, record it, and return how it ended; ``nono run`` as a function.

    The process that calls must have one thread: the sandbox is set up between fork and exec. The
    parameters are the flags of ``nono run``; the standard streams and the environment are the caller's.

    Args:
        command: the argument vector.
        allow: directories to read and write.
        read: directories to read.
        write: directories to write.
        allow_file: files to read and write.
        read_file: files to read.
        write_file: files to write.
        allow_cwd: grant the working directory for reading.
        workdir: the working directory; the current one by default.
        block_net: close the network.
        connect_ports: TCP ports to connect to, on any host; with any port of the three, all else of the
            network is closed.
        listen_ports: TCP ports to listen on, on any address of this host.
        open_ports: TCP ports to listen on for this host alone, and to connect to, on any host.
        bypass_protection: protected paths whose protection is lifted; grants nothing by itself.
        allow_writable_script: accept a script that the command can rewrite.
        profile: the name of a profile, or the path of a profile file.
        ledger: the ledger; by default the key's own in the state directory.
        audit_sign_key: reference of the ledger's key; by default the host key.
        key_passphrase_env: name of the variable that holds its passphrase, when it is encrypted.
        labels: words that the record carries, at most 64.
        outputs: files whose digests the outcome states, at most 64.
        audit: False writes no record.
        notify: told, in one line each, what a user should know.

    Returns:
        The outcome, the session id and the indices of the record's entries.

    Raises:
        LaunchError: nothing was launched; ``exit_status`` is what ``nono run`` would exit with.
        LedgerError: the record could not be begun or finished.
    """
    asked = (
        (Access.READWRITE, True, "allow", allow),
        (Access.READ, True, "read", read),
        (Access.WRITE, True, "write", write),
        (Access.READWRITE, False, "allow_file", allow_file),
        (Access.READ, False, "read_file", read_file),
        (Access.WRITE, False, "write_file", write_file),
    )
    request = LaunchRequest(
        variables=dict(os.environb),
        command=_encoded("the command", command),
        grants=tuple(
            GrantRequest(access, path, directory=directory, source=USER)
            for access, directory, name, paths in asked
            for path in _encoded(name, paths)
        ),
        allow_cwd=allow_cwd,
        workdir=_encoded_one(workdir),
        block_net=block_net,
        connect_ports=tuple(connect_ports),
        listen_ports=tuple(listen_ports),
        open_ports=tuple(open_ports),
        bypass_protection=_encoded("bypass_protection", bypass_protection),
        allow_writable_script=allow_writable_script,
        profile=_encoded_one(profile),
        ledger=_encoded_one(ledger),
        key=audit_sign_key,
        key_passphrase_env=key_passphrase_env,
        labels=labels or {},
        outputs=_encoded("outputs", outputs),
        audit=audit,
    )
    return Launch(request, notify=notify).run()


def _encoded(name: str, values: Sequence[str | bytes | os.PathLike[str]]) -> tuple[bytes, ...]:
    """Return arguments or paths as bytes; a single one, which would be taken apart, is refused."""
    if isinstance(values, str | bytes | os.PathLike):
        raise UsageError(f"{name} is a list, not one {type(values).__name__}", hint=f"write [{values!r}]")
    try:
        return tuple(os.fsencode(value) for value in values)
    except (TypeError, UnicodeEncodeError) as error:
        raise UsageError(f"{name} holds what is neither text nor bytes nor a path: {error}") from None


def _encoded_one(value: str | bytes | os.PathLike[str] | None) -> bytes | None:
    return None if value is None else _encoded("a path", [value])[0]


def _plan(
    capabilities: CapabilitySet,
    images: tuple[executable.Image, ...],
    variables: environment.Environment,
    directory: bytes,
) -> LaunchPlan:
    return LaunchPlan(capabilities, images, tuple(sorted(variables.variables)), directory, variables.dropped)


def _preparation_hint(error: OSError) -> str | None:
    if error.errno == errno.EMFILE:
        return "raise the limit of open files (ulimit -n)"
    if error.filename is not None:  # a file is refused by whom it belongs to
        return None
    return enforcement.filter_hint(error.errno, enforcement.OTHER_CALLS)


def _require_one_thread() -> None:
    if len(os.listdir("/proc/self/task")) > 1:
        raise LaunchError(
            "this process has other threads, and a fork would freeze their locks in the child",
            code="launch.threads",
            hint="call launch() from a process with one thread, or run the nono command",
        )


def _require_open(number: int) -> None:
    """Open /dev/null in the place of a closed standard stream, so that nothing of ours lands there.

    To be called with 0, 1 and 2 in this order: what is opened gets the lowest number that is free.
    """
    try:
        os.fstat(number)
    except OSError:
        os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)  # noqa: FBT003  # its name says what is true


def _restart_output() -> None:
    """Undo a ``tcflow(TCOOFF)`` that the command left: whoever writes there would wait for ever."""
    with contextlib.suppress(OSError):  # no terminal
        fcntl.ioctl(_STANDARD_ERROR, _TCXONC, _TCOON)


def _exit_status(ending: Ending) -> int:
    return ending.exit if ending.exit is not None else SIGNAL_BASE + (ending.signal or 0)


def _how_hook_ended(result: hooks.HookResult) -> str:
    if result.timed_out:
        return "it was not done in time"
    if result.error is not None:
        return result.error
    return f"exit code {result.exit}" if result.exit is not None else f"signal {result.signal}"
