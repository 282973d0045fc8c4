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
import fcntl
import os
import stat
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

from attest import canonical
from attest.errors import NonoError, files_hint
from attest.named_tuples import NamedTuple
from runtime.capability import capability_file, environment, executable
from runtime.capability.capabilities import CapabilitySet, Network
from runtime.capability.capability_file import Around, CapabilityFile
from runtime.capability.session import new_session_id
from runtime.errors import ExecFailedError, LaunchError
from runtime.kernel import syscalls
from runtime.kernel.path_names import shown
from runtime.launcher import private_directory
from runtime.launcher.record import start_data
from runtime.launcher.recording import Recording
from runtime.policy.resolution import Places, Resolution
from runtime.processes import outputs
from runtime.processes.own_process import OwnProcess
from runtime.processes.supervision import Ending, Signals, Supervision
from runtime.sandbox import enforcement, privileges
from store.errors import LedgerError
from store.private_directories import make_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from attest.canonical import Json
    from runtime.broker.elevation import Elevation
    from runtime.broker.kernel_denials import KernelDenials
    from runtime.capability.exec_rules import ExecRules
    from runtime.capability.grants import Grants
    from runtime.capability.refusals import Enforced, Finding
    from runtime.launcher.dry_run import DryRun
    from runtime.launcher.record import LaunchRecord
    from runtime.launcher.session_hooks import SessionHooks
    from runtime.policy.request import LaunchRequest
    from runtime.processes.host_process import HostProcess, HostSignals
    from runtime.processes.pseudo_terminal import PseudoTerminal
    from runtime.processes.standard_error import Relay
    from runtime.processes.time_limit import TimeLimit
    from runtime.sandbox.confinement import Confinement

_STANDARD_ERROR = 2
# asm-generic/ioctls.h and termbits-common.h
_TCXONC = 0x540A
_TCOON = 1

# Stands for the private temporary directory in the variables of a dry run, of which the names are said.
_NOT_MADE = b"/"

# Variables that a profile keeps back: how many are named when nobody asked.
_MOST_NAMED = 8

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
        ended_by: the limit that ended it (``memory``, ``cpu-time``, ``time-out``, …); None if it was none.
        limits: what it was held to, by the names of the record.
        execs: how many execs there were, and were refused, by the names of the record; empty where they were
            not traced.
        outputs: what the outcome says about each declared output.
        ledger: path of the ledger, None without a record.
        entries: where the record's entries stand in the ledger.
        stdout: what it wrote to standard output, up to the limit; None where that was not captured.
        stderr: likewise for standard error.
        stdout_dropped: how many bytes of standard output went beyond the limit.
        stderr_dropped: likewise for standard error.
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
    ended_by: str | None = None
    limits: Mapping[str, int] = MappingProxyType({})
    execs: Mapping[str, int] = MappingProxyType({})
    stdout: bytes | None = None
    stderr: bytes | None = None
    stdout_dropped: int = 0
    stderr_dropped: int = 0


class LaunchPlan(NamedTuple):
    """What will run, and inside what.

    Attributes:
        capabilities: the effective capability set.
        images: the executable and its interpreters, hashed.
        environment: names of the child's variables.
        directory: its start directory.
        dropped: names of variables that it would not get.
        credentials: variables that secrets are put into, and the references of those.
        limits: what it is held to, by the names of the record.
        execs: what is asked of each exec, None where they are not seen.
    """

    capabilities: CapabilitySet
    images: tuple[executable.Image, ...]
    environment: tuple[bytes, ...]
    directory: bytes
    dropped: tuple[bytes, ...]
    credentials: tuple[tuple[str, str], ...]
    limits: Mapping[str, int]
    execs: ExecRules | None = None


class Launch:
    """One launch; :meth:`run` does it, :meth:`foresee` only says what it would be.

    Args:
        request: what is asked.
        notify: told, in one line each, what the user should know.
        explain: told what will run, and inside what, just before it is released.
        ask: asks a person for the passphrase of the key that it is given the name of.
        silent: whether ``notify`` and ``explain`` are never told anything; None for what is configured.
        process: the process around it, None for this one, which does nothing else meanwhile.
        relay_standard_error: whether what the command writes there is seen on its way, where it can be.
        own_terminal: whether a command whose standard streams are one terminal gets another.

    Attributes:
        session: the session id.
        silent: as above; known once the configuration was read.
        relay: what the command writes to standard error goes through it, None where it does not.
        exec_finding: why the kernel could not execute the command, as far as that was seen.
    """

    def __init__(
        self,
        request: LaunchRequest,
        *,
        notify: Callable[[str], None],
        explain: Callable[[LaunchPlan], None] = lambda _: None,
        ask: Callable[[str], bytes] | None = None,
        silent: bool | None = False,
        process: OwnProcess | HostProcess | None = None,
        relay_standard_error: bool = False,
        own_terminal: bool = False,
    ) -> None:
        self.session = new_session_id()
        self.silent = silent
        self._request = request
        self._notify = notify
        self._explain = explain
        self._process = process or OwnProcess()
        self._relays = relay_standard_error
        self._gives_terminal = own_terminal
        self._terminal: PseudoTerminal | None = None
        self.relay: Relay | None = None
        self.exec_finding: Finding | None = None
        self._enforced: tuple[CapabilitySet, bytes] | None = None
        self._cleanup = contextlib.ExitStack()
        self._places = Places.of_user()
        self._resolution: Resolution
        self._recording = Recording(
            self.session,
            self._places,
            notify=self._say,
            ask=ask,
            remove=self._remove_private_directory,
            cleanup=self._cleanup,
            process=self._process,
        )
        self._hooks: SessionHooks | None = None
        self._supervision: Supervision | None = None
        self._confinement: Confinement | None = None
        self._elevation: Elevation | None = None
        self._time_limit: TimeLimit | None = None
        self._exec_rules: ExecRules | None = None
        self._released = False
        self._started = self._clock = 0
        self._ending: Ending | None = None
        self._decisions: list[dict[str, Json]] = []
        self._output_places: tuple[bytes, ...] = ()

    # --- the order ----------------------------------------------------------------------------

    def run(self) -> LaunchResult:
        """Launch, wait, and close the record.

        Raises:
            LaunchError: nothing was launched; the record, if there is one, says why.
            LedgerError: the record could not be begun, or could not be finished.
        """
        with self._naming_failures(), self._cleanup:
            self._process.enter(self._cleanup)
            self._take_request()
            with self._process.taking_secrets():
                # Before the key is there: the helper that asks a keyring runs code of others.
                self._resolution.take_credentials(closed=self._recording.closed_files(self._request))
                # While a person who is asked for a passphrase can still interrupt.
                self._recording.take_key(self._request)
            signals = self._process.take_signals(self._cleanup)
            self._recording.open(self._resolution)
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
        ledger = self._recording.ledger
        if ledger is None or not self._record.indices:
            return None
        return ledger.path, tuple(self._record.indices)

    @property
    def key(self) -> str | None:
        """The reference of the signing key, a configured one included; None for the host key."""
        return self._request.key

    @property
    def has_run(self) -> bool:
        """Whether the command was released to run, however that ended."""
        return self._released

    @property
    def was_refused(self) -> bool:
        """Whether the monitor refused the command anything."""
        return any(each["verdict"] == "denied" for each in self._decisions)

    def enforced(self) -> Enforced | None:
        """Return what the command was launched inside of, for a diagnosis; None if it was not."""
        from runtime.capability.refusals import Enforced, Refusal  # noqa: PLC0415  # no launch that succeeds pays for it

        if self._enforced is None or not self._released:
            return None
        capabilities, directory = self._enforced
        closed = self._recording.closed_files(self._request)
        return Enforced(
            capabilities=capabilities,
            directory=directory,
            workdir=self._resolution.workdir,
            guard=lambda lifted: self._resolution.guard(closed, lifted=lifted),
            block_net=bool(self._request.block_net),
            refusals=tuple(
                Refusal(
                    str(each["what"]),
                    canonical.text_bytes(each["subject"]),
                    str(each["reason"]),
                    str(each["by"]),
                )
                for each in self._decisions
                if each["verdict"] == "denied"
            ),
        )

    def foresee(self) -> DryRun:
        """Return what :meth:`run` would do, without hooks, record, or anything else that stays.

        Raises:
            LaunchError: it would be refused.
        """
        with self._naming_failures(), self._cleanup:
            self._take_request()
            self._resolution.require_unblocked()
            self._resolution.take_credentials(
                closed=self._recording.closed_files(self._request), looking=True
            )
            grants, held, variables, directory = self._resolve({})
            capabilities = self._resolution.capabilities(grants)
            self._resolution.require_unwritable_script(held, capabilities)
            self._exec_rules = self._resolution.exec_rules(capabilities)
            variables = variables.with_own(capability_file.VARIABLE, _NOT_MADE)
            plan = self._plan(capabilities, held.hash_all(), variables, directory)
            from runtime.launcher import dry_run  # noqa: PLC0415  # no launch pays for it

            return dry_run.foresee(
                self._resolution,
                plan,
                grants=grants,
                held=held,
                variables=variables,
                cache=self._places.cache,
            )

    def _perform(self, signals: Signals | HostSignals) -> LaunchResult:
        self._resolution.require_unblocked()
        private = self._private_directory()
        exported = {} if self._hooks is None else self._hooks.before()
        own_file = self._capability_file()
        self._take_terminal()
        self._require_terminal()
        audit = self._ask_kernel()
        grants, held, variables, directory = self._resolve(exported, private=private, own_file=own_file)
        capabilities = self._resolution.capabilities(grants)
        self._resolution.require_unwritable_script(held, capabilities)
        self._exec_rules = self._resolution.exec_rules(capabilities)
        if own_file is not None:
            variables = self._write_capabilities(own_file, capabilities, grants, variables)
        with contextlib.suppress(OSError):  # without it the filter is built anew for each launch
            make_private(self._places.cache)
        if self._exec_rules is not None:
            from runtime.broker import exec_tracing  # noqa: F401, PLC0415  # for the monitor, which imports nothing

            self._exec_rules.require_held_images(self._places.cache)
        prepared = enforcement.prepare(
            capabilities,
            grants.opened,
            cache_directory=self._places.cache,
            sockets=grants.sockets,
            metadata=self._resolution.protects_metadata,
            opens=self._resolution.elevates,
            outer=self._request.outer_session(),
            traces_execs=self._resolution.traces_execs,
        )
        self._cleanup.callback(prepared.close)
        # The ruleset has them, and a program can have many launches at once.
        grants.close_files(but=prepared.written)
        denials = None if audit is None else self._hear_kernel(audit)
        prepared = prepared._replace(logged=denials is not None)
        if self._resolution.elevates:
            prepared = prepared._replace(answers=self._elevate(capabilities).monitor_end)
        self._say_what_is_different(held, variables)
        if signals.interrupted():
            raise LaunchError("interrupted before the command began", code="launch.interrupted")
        self._output_places = outputs.places(self._resolution.outputs)
        self._enforced = capabilities, directory
        if self._relays:
            self._take_relay()
        self._confine()
        supervision = self._begin(held, prepared, variables, directory, signals)
        # While others make the processes, and the child restricts itself.
        images = held.hash_all()
        start = start_data(
            capabilities=capabilities,
            images=images,
            variables=variables,
            directory=directory,
            prepared=prepared,
            limits=self._resolution.limits,
            execs=self._exec_rules,
        )
        self._record.require_room(start)
        supervision.meet()
        if denials is not None:
            supervision.listen(denials)
        achieved = supervision.achieved() | {
            "exec-stop": True,
            "lease": all(image.leased for image in held.images),
        }
        enforcement.require_achieved(prepared.required, achieved)
        self._record.start(start, achieved=achieved, pid=supervision.pid)
        self._explain(self._plan(capabilities, images, variables, directory))
        self._started, self._clock = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._released = True  # from here on it may run, whatever happens here
        try:
            supervision.release()
        except ExecFailedError as error:
            self._released = False
            raise self._explained(error, held.executed.path, capabilities) from None
        self._ending = supervision.wait(signals, self._record_decisions_meanwhile, self.relay)
        return self._finish(self._ending, signals)

    def _ask_kernel(self) -> syscalls.AuditQuestion | None:
        """Ask whether the kernel says what it refuses, where this may hear of it; it answers meanwhile."""
        if not privileges.may_read_audit():
            return None
        audit = syscalls.AuditQuestion()
        self._cleanup.callback(audit.close)
        return audit

    def _hear_kernel(self, audit: syscalls.AuditQuestion) -> KernelDenials | None:
        """Return what hears of the kernel's own refusals, where it may be that it says them."""
        if not audit.is_on():
            return None
        from runtime.broker import kernel_denials  # noqa: PLC0415  # where there is something to hear; before the fork

        denials = kernel_denials.listen()
        if denials is not None:
            self._cleanup.callback(denials.close)
        return denials

    def _elevate(self, capabilities: CapabilitySet) -> Elevation:
        """Make ready to ask a person about files, and to record what is granted before it is given."""
        from runtime.broker import approver, elevation  # noqa: PLC0415  # imported with the request

        def record(data: dict[str, Json]) -> bool:
            try:
                self._record.decisions([data])
            except LedgerError:
                return False
            return True

        asking = approver.TerminalApprover(
            capabilities, self._places.state, streams=self._process.streams, relay=self._terminal
        )
        guard = self._resolution.guard(self._recording.closed_files(self._request))
        self._elevation = elevation.Elevation(asking, guard, record)
        self._cleanup.callback(self._elevation.close)
        return self._elevation

    def _take_relay(self) -> None:
        from runtime.processes import standard_error  # noqa: PLC0415  # only where it was asked for

        if standard_error.why_not_relayed() is None:
            with contextlib.suppress(OSError):  # another user's pipe, or one that nobody reads
                self.relay = standard_error.Relay()
                self._cleanup.callback(self.relay.close)

    def _take_terminal(self) -> None:
        if not self._gives_terminal or not os.isatty(0):
            return
        from runtime.processes import pseudo_terminal  # noqa: PLC0415  # a service has none

        if pseudo_terminal.is_one_terminal():
            try:
                self._terminal = pseudo_terminal.PseudoTerminal()
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                self._notify(f"the command shares the terminal: none can be made for it: {why}")
            else:
                self._cleanup.callback(self._terminal.close)

    def _require_terminal(self) -> None:
        """Refuse a limit that only the relay of a terminal can hold, where there is none.

        Raises:
            LimitError: there is such a limit.
        """
        if self._resolution.must_begin and self._terminal is None:
            from runtime.errors import LimitError  # noqa: PLC0415  # no launch that succeeds pays for it

            raise LimitError(
                "cannot hold the command to a start-up time-out: it has no terminal of its own, so nobody"
                " sees whether it has begun (--startup-timeout)",
                hint="leave its three streams to one terminal, or give it a time as a whole: --timeout",
            )

    def _explained(self, error: ExecFailedError, path: bytes, capabilities: CapabilitySet) -> ExecFailedError:
        """Return the error with what stands in the way, as far as that can be seen."""
        from runtime.explanation import diagnosis  # noqa: PLC0415  # no launch that succeeds pays for it

        self.exec_finding = finding = diagnosis.of_exec(path, capabilities)
        if finding is None:
            return error
        flags = " ".join(map(shown, finding.flags))
        hint = f"{shown(finding.subject)} {finding.reason}" + (f": add {flags}" if flags else "")
        return ExecFailedError(str(error), hint=hint)

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
        if given := self._resolution.credentials:
            named = ", ".join(
                f"{name} ({shown(os.fsencode(place))})" for name, place in sorted(given.items())
            )
            self._notify(f"secrets that the command gets: {named}")
        if self._resolution.network is Network.ALL:
            self._notify("the network is open (--block-net closes it)")
        elif self._resolution.asks_no_names:
            self._notify(
                "names of hosts are looked up in files alone (--allow-connect-port 53 lets them be asked for)"
            )

    def _finish(self, ending: Ending, signals: Signals | HostSignals) -> LaunchResult:
        duration_us = self._since_release()
        self._take_back_terminal()
        with self._saying_later():
            assert self._supervision is not None
            ending = self._supervision.hear_last(ending)
            self._record_decisions()
            hashed = self._hash_outputs()
            self._record.outcome(
                ending,
                outputs=hashed,
                started_ns=self._started,
                duration_us=duration_us,
                closing=self._hooks is None,
            )
            self._close(ending)
            for relay in (self.relay, self._terminal):  # and the rest when no evidence waits for who reads it
                if relay is not None:
                    relay.hand_on(signals.descriptor)
        return LaunchResult(
            session=self.session,
            exit=ending.exit,
            signal=ending.signal,
            exit_status=_exit_status(ending),
            executed_image=ending.image,
            duration_us=duration_us,
            survivors=ending.survivors,
            ended_by=ending.ended_by,
            limits=self._resolution.limits,
            execs=ending.execs,
            outputs=tuple(hashed),
            ledger=None if (ledger := self._recording.ledger) is None else ledger.path,
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
        self._take_back_terminal()
        with self._saying_later():
            self._record_decisions()
            self._record.outcome(
                ending,
                outputs=outputs.unhashed(self._resolution.outputs),
                started_ns=self._started,
                duration_us=self._since_release(),
            )
            self._close(ending)

    def _take_back_terminal(self) -> None:
        if self._terminal is not None:
            self._terminal.hand_on()  # what there is room for
            self._terminal.give_back()
        _restart_output(self._process.streams[_STANDARD_ERROR])

    def _record_decisions_meanwhile(self) -> None:
        """Record what was decided until now, where that leaves the room that the closing entries need.

        A command that fills the disk and is refused again and again would else use that up. Nor is there any
        waiting behind whoever writes for long: signals come through here. What is not written now is written
        in a second, or at the end.
        """
        if self._recording.has_turn() and self._recording.keeps_room():
            self._record_decisions()

    def _record_decisions(self) -> None:
        """Record what the monitor has told since the last time; the launch does not depend on it."""
        assert self._supervision is not None
        decided, self._supervision.decisions = self._supervision.decisions, []
        self._decisions += decided
        # Whatever refuses them refuses the outcome too, and that is what says so; else they are counted.
        with contextlib.suppress(LedgerError):
            self._record.decisions(decided)

    def _since_release(self) -> int:
        return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._clock) // 1_000

    def _hash_outputs(self) -> list[Json]:
        try:
            return self._process.hash_outputs(self._resolution.outputs, self._output_places)
        except Exception as error:  # noqa: BLE001  # whatever it is, the outcome is owed
            why = error.strerror if isinstance(error, OSError) else str(error) or type(error).__name__
            self._notify(f"the outputs could not be hashed: {why}")
            return outputs.unhashed(self._resolution.outputs)

    def _close(self, ending: Ending) -> None:
        """Do what comes after the outcome."""
        if self.relay is not None:
            self.relay.hand_on()  # what there is room for, before an after-hook writes
        for note in ending.notes:
            self._notify(note)
        if refused := ending.execs.get("execs_refused"):
            what = (
                "1 program that it started was"
                if refused == 1
                else f"{refused} programs that it started were"
            )
            self._notify(f"{what} refused before the first instruction, and killed (--exec-allow)")
        if self._resolution.must_begin and ending.ended_by is not None and self._resolution.suggestion:
            self._notify(self._resolution.suggestion)  # once more, where it explains something
        if ending.monitor_lost:
            self._notify("the monitor was lost, so the command was killed")
        if ending.image_reason is not None:
            self._notify(f"the command was killed before its first instruction: {ending.image_reason}")
        if ending.left:
            self._notify(f"{ending.left} processes of the command could not be ended")
        if self._hooks is not None:
            self._hooks.after(_exit_status(ending))
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
        self._record.not_started(code, str(error) or type(error).__name__, self._resolution.outputs)
        if self._hooks is not None:
            self._hooks.after(getattr(error, "exit_status", LaunchError.exit_status))
        self._record.attest()

    # --- 1: the request ------------------------------------------------------------------------

    def _take_request(self) -> None:
        self._process.require_streams()
        self._resolution = Resolution(self._request, self._places, notify=self._say, cleanup=self._cleanup)
        self._request = self._resolution.request
        defaults = self._resolution.configuration.launch
        if self.silent is None:
            self.silent = defaults is not None and bool(defaults.silent)
        if self.silent:
            self._notify = self._explain = _keep_silent
        if (suggestion := self._resolution.suggestion) is not None:
            self._notify(suggestion)
        if self._resolution.hooks:
            from runtime.launcher.session_hooks import SessionHooks  # noqa: PLC0415  # most launches have none

            self._hooks = SessionHooks(
                self.session,
                self._resolution,
                self._places.state,
                record=lambda result: self._record.hook_result(result),  # noqa: PLW0108  # begun later
                notify=self._say,
                as_before=self._as_before,
            )
        for number in self._process.streams:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                from runtime.sandbox import stream_sockets  # noqa: PLC0415  # streams are seldom sockets

                stream_sockets.require_confined(number, self._resolution.network)
        # For the monitor, which imports nothing.
        if self._resolution.asked_sockets():
            from runtime.broker import mediation, unix_mediation, waiting_connects  # noqa: F401, PLC0415  # see above
        elif self._resolution.ports.listens:
            from runtime.broker import mediation  # noqa: PLC0415  # see above
        if self._resolution.elevates:
            from runtime.broker import approver, elevation, mediation, open_mediation  # noqa: F401, PLC0415  # see above

            elevation.require_possible()
        if self._resolution.protects_metadata:
            from runtime.broker import mediation, metadata_mediation  # noqa: F401, PLC0415  # see above

    def _say(self, text: str) -> None:
        self._notify(text)

    @property
    def _record(self) -> LaunchRecord:
        return self._recording.record

    # --- 3: hooks -------------------------------------------------------------------------------

    def _private_directory(self) -> bytes:
        try:
            path = private_directory.create(self._recording.remember_temporary)
        except OSError as error:
            raise LaunchError(
                f"cannot make the private temporary directory: {error.strerror}", code="launch.temporary"
            ) from None
        self._cleanup.callback(self._remove_private_directory, path)
        return path

    def _remove_private_directory(self, path: bytes) -> None:
        if not private_directory.remove(path):
            self._notify(f"the private temporary directory could not be removed: {os.fsdecode(path)}")

    @contextlib.contextmanager
    def _as_before(self) -> Iterator[None]:
        """Have what is for nono alone put back meanwhile, for a hook."""
        with self._process.as_before():
            yield

    # --- 4 to 6: what the command gets -----------------------------------------------------------

    def _resolve(
        self,
        exported: Mapping[bytes, bytes],
        *,
        private: bytes | None = None,
        own_file: CapabilityFile | None = None,
    ) -> tuple[Grants, executable.Held, environment.Environment, bytes]:
        """Return the grants, the command, its variables and the directory in which it starts."""
        resolution = self._resolution
        grants = resolution.grants(
            resolution.guard(self._recording.closed_files(self._request)),
            private=private,
            capability_file=None if own_file is None else own_file.grant(),
            streams=self._process.streams if self._terminal is None else (self._terminal.command_end,),
        )
        directory = resolution.start_directory(grants)
        variables = resolution.variables(
            grants, session=self.session, exported=exported, private=private or _NOT_MADE
        )
        held = resolution.hold(variables, directory)
        resolution.require_unblocked(held.images[0].path)
        return resolution.with_executable(grants, held), held, variables, directory

    def _plan(
        self,
        capabilities: CapabilitySet,
        images: tuple[executable.Image, ...],
        variables: environment.Environment,
        directory: bytes,
    ) -> LaunchPlan:
        names, credentials = tuple(sorted(variables.variables)), self._resolution.credentials
        secrets = tuple(sorted(credentials.items()))
        limits = self._resolution.limits
        dropped, execs = variables.dropped, self._exec_rules
        return LaunchPlan(capabilities, images, names, directory, dropped, secrets, limits, execs)

    def _capability_file(self) -> CapabilityFile | None:
        try:
            made = CapabilityFile(self._places.state, self.session)
        except OSError as error:
            self._notify_without_capabilities(error)
            return None
        self._cleanup.callback(made.remove)
        return made

    def _write_capabilities(
        self,
        own_file: CapabilityFile,
        capabilities: CapabilitySet,
        grants: Grants,
        variables: environment.Environment,
    ) -> environment.Environment:
        judged = self._resolution.judged(self._recording.closed_files(self._request))
        try:
            own_file.write(self.session, capabilities, grants, judged, self._around())
        except OSError as error:
            own_file.remove()
            self._notify_without_capabilities(error)
            return variables
        return variables.with_own(capability_file.VARIABLE, own_file.path)

    def _around(self) -> Around:
        outer = self._request.outer_session()
        if outer is None:
            return Around()
        from runtime.capability.capability_reading import launches_around  # noqa: PLC0415  # few launches are nested

        return launches_around(self._request.variables.get(capability_file.VARIABLE), outer)

    def _notify_without_capabilities(self, error: OSError) -> None:
        why = error.strerror or str(error)
        self._notify(f"nono why --self cannot be asked inside: its file cannot be written: {why}")

    # --- 7: the fork -----------------------------------------------------------------------------

    def _confine(self) -> None:
        """Make what holds the launch to its limits; the child is put in when it is there."""
        if self._resolution.limits:
            from runtime.sandbox.confinement import Confinement  # noqa: PLC0415  # most launches have no limits

            self._confinement = Confinement(self._resolution.limits, self._request.outer_session())
            self._cleanup.callback(self._confinement.remove)
        if self._resolution.is_timed:
            from runtime.processes.time_limit import TimeLimit  # noqa: PLC0415  # likewise

            self._time_limit = TimeLimit(self._resolution.limits)

    def _begin(
        self,
        held: executable.Held,
        prepared: enforcement.Prepared,
        variables: environment.Environment,
        directory: bytes,
        signals: Signals | HostSignals,
    ) -> Supervision:
        oom_score = self._process.take_place(self._cleanup)
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            supervision = Supervision.begin(
                held=held,
                prepared=prepared,
                environment=variables.variables,
                directory=descriptor,
                signals=signals,
                process=self._process,
                oom_score=oom_score,
                relay=self.relay,
                confinement=self._confinement,
                elevation=self._elevation,
                time_limit=self._time_limit,
                terminal=self._terminal,
                exec_rules=self._exec_rules,
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


def _keep_silent(_: object) -> None:
    """Say nothing."""


def _preparation_hint(error: OSError) -> str | None:
    hint = files_hint(error.errno)
    if hint is not None or error.filename is not None:  # a file is refused by whom it belongs to
        return hint
    return enforcement.filter_hint(error.errno, enforcement.OTHER_CALLS)


def _restart_output(standard_error: int) -> None:
    """Undo a ``tcflow(TCOOFF)`` that the command left: whoever writes there would wait for ever."""
    with contextlib.suppress(OSError):  # no terminal
        fcntl.ioctl(standard_error, _TCXONC, _TCOON)


def _exit_status(ending: Ending) -> int:
    return ending.exit if ending.exit is not None else SIGNAL_BASE + (ending.signal or 0)
