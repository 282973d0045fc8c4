"""A launch that a program of Python makes: it runs in a thread, is waited for or awaited, and cancelled.

A signal handler of the host can raise wherever the main thread is, also between two steps that belong
together. So there the launch has a thread of its own, in which no handler runs, and the main thread only
waits; what interrupts the wait cancels the launch, and goes on when the record is closed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.errors import LaunchError
from runtime.launcher.captured_output import CapturedOutput
from runtime.launcher.launch import Launch, LaunchResult
from runtime.processes.host_process import HostProcess, HostSignals
from runtime.processes.own_process import open_missing_streams

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Generator
    from typing import Any

    from runtime.policy.request import LaunchRequest


_opening = threading.Lock()


def _after_fork() -> None:
    global _opening  # noqa: PLW0603  # a thread of the parent may have held the lock
    _opening = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class Streams(NamedTuple):
    """What becomes of a command's standard streams.

    Attributes:
        input: what it reads; None for the caller's standard input.
        capture: whether its output is kept.
        limit: how many bytes of each stream.
        on_stdout: is told what it writes to standard output.
        on_stderr: likewise for standard error.
    """

    input: bytes | None
    capture: bool
    limit: int
    on_stdout: Callable[[bytes], object] | None
    on_stderr: Callable[[bytes], object] | None

    @property
    def are_taken(self) -> bool:
        """Whether the output is taken in at all."""
        return self.capture or self.on_stdout is not None or self.on_stderr is not None


class RunningLaunch:
    """A launch, from the request to its end; made by :func:`runtime.start`."""

    def __init__(self, request: LaunchRequest, streams: Streams, notify: Callable[[str], None]) -> None:
        self._request = request
        self._streams = streams
        self._notify = notify
        try:
            with _opening:
                open_missing_streams()
            self._signals = HostSignals()
        except OSError as error:
            raise LaunchError(
                f"a launch cannot be begun: {error.strerror}", code="launch.resources"
            ) from None
        self._process = os.getpid()
        self._begun = threading.Lock()  # taken once: by the work, or by what gives it up before
        self._done = threading.Event()
        self._result: LaunchResult | None = None
        self._error: BaseException | None = None
        self._waiting: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    # --- waiting ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, in a thread of its own; what interrupts that cancels the launch.

        Raises:
            LaunchError: there can be no thread.
        """
        # Not a daemon: a program that ends waits for its launches, whose records are owed.
        thread = threading.Thread(target=self._work, name="nono-launch")
        try:
            thread.start()
        except BaseException as error:
            # A handler can raise while the thread is there already, and nobody has the launch to cancel it.
            if self._give_up() and isinstance(error, RuntimeError):
                raise LaunchError(f"cannot make a thread: {error}", code="launch.resources") from None
            raise

    def run(self) -> LaunchResult:
        """Begin, wait for the end, and return the result; see :func:`runtime.launch`."""
        if threading.current_thread() is not threading.main_thread():
            self._work()
            return self.result()
        try:
            self.start()
            self._done.wait()
        except BaseException:
            self._give_up()
            raise
        return self.result()

    def wait(self) -> LaunchResult:
        """Wait for the end and return the result; what interrupts the wait cancels the launch.

        Raises:
            LaunchError: nothing was launched.
            LedgerError: the record could not be begun or finished.
        """
        if self._process != os.getpid():  # the thread is the parent's, and nothing would ever end here
            raise LaunchError("the launch belongs to the process that this one was forked from")
        try:
            self._done.wait()
        except BaseException:
            self._give_up()
            raise
        return self.result()

    def _give_up(self) -> bool:
        """Cancel, and wait for the end; return whether nothing had begun, nor will."""
        if self._begun.acquire(blocking=False):
            self._signals.close()
            self._done.set()
            return True
        self.cancel()
        self._done.wait()  # a second interrupt goes on at once; the thread goes on as well
        return False

    async def arun(self) -> LaunchResult:
        """Begin, and wait in an event loop; a callback is called there, and can be a coroutine function."""
        import asyncio  # noqa: PLC0415  # the caller's loop has it

        loop = asyncio.get_running_loop()
        self._streams = self._streams._replace(
            on_stdout=_in_loop(loop, self._streams.on_stdout),
            on_stderr=_in_loop(loop, self._streams.on_stderr),
        )
        self.start()
        return await self._until_done()

    def __await__(self) -> Generator[Any, None, LaunchResult]:
        return self._until_done().__await__()

    async def _until_done(self) -> LaunchResult:
        import asyncio  # noqa: PLC0415  # the caller's loop has it

        cancelled: asyncio.CancelledError | None = None
        while not self.is_done:
            try:
                await self.ended()
            except asyncio.CancelledError as error:
                self.cancel()
                cancelled = error
        if cancelled is not None:
            raise cancelled
        return self.result()

    async def ended(self) -> None:
        """Wait until it has ended; to be cancelled here does not cancel the launch."""
        import asyncio  # noqa: PLC0415  # the caller's loop has it

        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        with self._lock:
            self._waiting.append(tell)
        try:
            if not self.is_done:
                await ended.wait()
        finally:
            with self._lock:
                self._waiting.remove(tell)

    def cancel(self) -> None:
        """End it: the command is told to end, and killed 5 seconds later; :meth:`wait` says how it ended."""
        self._signals.cancel()

    @property
    def is_done(self) -> bool:
        """Whether it has ended, and its record is closed."""
        return self._done.is_set()

    def result(self) -> LaunchResult:
        """Return what it came to, once it is done.

        Raises:
            LaunchError: nothing was launched.
            LedgerError: the record could not be begun or finished.
        """
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    # --- the launch -------------------------------------------------------------------------------

    def _work(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._result = self._launch()
        except BaseException as error:  # noqa: BLE001  # whoever waits gets it
            self._error = error
        finally:
            self._signals.close()
            self._done.set()
            with self._lock:
                waiting = list(self._waiting)
            for tell in waiting:
                tell()

    def _launch(self) -> LaunchResult:
        with contextlib.ExitStack() as cleanup:
            output: CapturedOutput | None = None
            streams = [0, 1, 2]
            try:
                if self._streams.input is not None:
                    streams[0] = _readable(self._streams.input)
                    cleanup.callback(os.close, streams[0])
                if self._streams.are_taken:
                    output = self._take_output()
                    cleanup.callback(output.close)
                    streams[1:] = output.command_ends
                    output.start()
            except (OSError, RuntimeError) as error:
                raise LaunchError(
                    f"the streams of the command cannot be made: {error}", code="launch.resources"
                ) from None
            launch = Launch(
                self._request, notify=self._notify, process=HostProcess(self._signals, tuple(streams))
            )
            if output is None:
                return launch.run()
            try:
                result = launch.run()
            finally:
                taken = output.finish()
            if output.error is not None:
                raise output.error
            if not self._streams.capture:
                return result
            (out, out_dropped), (err, err_dropped) = taken
            return result._replace(
                stdout=out, stderr=err, stdout_dropped=out_dropped, stderr_dropped=err_dropped
            )

    def _take_output(self) -> CapturedOutput:
        return CapturedOutput(
            self._streams.limit if self._streams.capture else 0,
            on_stdout=self._streams.on_stdout,
            on_stderr=self._streams.on_stderr,
            failed=self.cancel,
        )


def _readable(data: bytes) -> int:
    """Return a descriptor from which ``data`` can be read, and which nobody can write to."""
    memory = os.memfd_create("nono-input", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(memory, view) :]
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals)
        return os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(memory)


def _in_loop(
    loop: asyncio.AbstractEventLoop, function: Callable[[bytes], object] | None
) -> Callable[[bytes], object] | None:
    """Return what calls ``function`` in the loop, and returns when that is done."""
    if function is None:
        return None
    import asyncio  # noqa: PLC0415  # the caller's loop has it
    import inspect  # noqa: PLC0415  # asyncio has it

    async def call(piece: bytes) -> None:
        done = function(piece)
        if inspect.isawaitable(done):
            await done

    return lambda piece: asyncio.run_coroutine_threadsafe(call(piece), loop).result()
