"""The other cores: worker processes that check batches while the replay goes on.

Processes rather than threads, since most of a check holds the interpreter's lock; new interpreters rather
than forks, since a fork of a process with threads can deadlock, and is not to be had everywhere. A worker
that cannot be started, or is not of this code, is done without. One that ends before its time may have been
killed for want of memory: then nothing counts as checked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self, cast

from verify import worker
from verify.batch_check import BatchCheck, Terms, check_batch
from verify.errors import NotCheckedError
from verify.forms import Forms
from verify.plain_decisions import PlainDecisions
from verify.wire import read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import BinaryIO

    from verify.batch import Batch
    from verify.requirements import Required

MAX_ASKED = 3
"""How many batches a worker has at once: one in its hands, two on their way while this process is busy."""

MAX_AHEAD = 4
"""How many batches are checked here for those before them to be ready."""

_PROGRAM = (
    "import gc, hashlib, sys; gc.disable(); sys.path[:] = {path}; from verify.worker import main;"
    " gc.freeze(); gc.enable(); main()"
)


class WorkerPool:
    """Worker processes; to be left as a context, which ends them.

    Args:
        count: how many.
        required: what is asked of launches.
    """

    def __init__(self, count: int, required: Required | None) -> None:
        # For the batches that are checked in this process.
        self._forms, self._plain = Forms(), PlainDecisions()
        self._required = required
        self._count = count
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._end)
            pickled = pickle.dumps(self._required)
            # Where no more processes are to be had, those that there are have to do.
            with contextlib.suppress(OSError):
                while len(self._workers) < self._count:
                    self._workers.append(_Worker(pickled))
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for each in self._workers:
            each.kill()
        for each in self._workers:
            each.close()

    def checked(
        self, batches: Iterable[Batch], terms: Callable[[], Terms | None]
    ) -> Iterator[tuple[Batch, Terms | None, BatchCheck | None]]:
        """Yield batches in their order, with what was said of each and under which terms.

        Args:
            batches: the batches.
            terms: returns what holds where the next batch stands, as far as it is known now.

        Raises:
            NotCheckedError: a worker ended before its time.
        """
        waiting: deque[tuple[Batch, Terms, Future[BatchCheck]]] = deque()
        source = iter(batches)
        failure = None
        most = MAX_AHEAD + MAX_ASKED * len(self._workers)
        while True:
            try:
                batch = next(source, None)
            except Exception as error:  # noqa: BLE001  # it is raised behind what came before it
                failure, batch = error, None
            if batch is None:
                break
            ready = [each for each in self._workers if each.is_ready()]
            now = terms()
            if not waiting and (now is None or not ready):
                yield batch, None, None
                continue
            assert now is not None  # what is known stays known
            least = min(ready, key=lambda each: each.asked)
            if least.asked < MAX_ASKED:
                future = least.ask(batch, now)
            else:
                future = Future()
                future.set_result(check_batch(batch, now, self._forms, self._plain, self._required))
            waiting.append((batch, now, future))
            while waiting and (waiting[0][2].done() or len(waiting) > most):
                yield _ready(waiting.popleft())
        while waiting:
            yield _ready(waiting.popleft())
        if failure is not None:
            raise failure


def _ready(
    waiting: tuple[Batch, Terms, Future[BatchCheck]],
) -> tuple[Batch, Terms | None, BatchCheck | None]:
    batch, terms, future = waiting
    return batch, terms, future.result()


class _Worker:
    """One worker process, and two threads that talk with it.

    Attributes:
        asked: how many batches it has at the moment.
    """

    def __init__(self, pickled: bytes) -> None:
        here = os.path.dirname(os.path.dirname(os.path.abspath(worker.__file__)))
        path = list(filter(os.path.isabs, sys.path))  # what is relative is anybody's
        if here not in path:
            path.insert(0, here)
        # -I and -S: neither the environment nor the site adds to that; -B: nothing is written.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM.format(path=ascii(path))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._to = cast("BinaryIO", self._process.stdin)
        self._from = cast("BinaryIO", self._process.stdout)
        self._requests: queue.SimpleQueue[list[bytes] | None] = queue.SimpleQueue()
        self._requests.put([pickled])
        self._lock = threading.Lock()
        self._futures: deque[Future[BatchCheck]] = deque()
        self._has_greeted = False
        self._failure: NotCheckedError | None = None
        self.asked = 0
        self._threads: list[threading.Thread] = []
        try:
            for each in (self._write, self._read):
                thread = threading.Thread(target=each, daemon=True)
                thread.start()
                self._threads.append(thread)
        except BaseException as error:
            # Nobody else knows of the process yet.
            self.kill()
            self.close()
            if isinstance(error, RuntimeError):  # a thread counts for the limit of processes as well
                raise BlockingIOError(errno.EAGAIN, str(error)) from None
            raise

    def is_ready(self) -> bool:
        """Return whether it can be asked."""
        return self._has_greeted

    def ask(self, batch: Batch, terms: Terms) -> Future[BatchCheck]:
        """Let it check a batch."""
        future: Future[BatchCheck] = Future()
        with self._lock:
            self._futures.append(future)
            self.asked += 1
            if self._failure is not None:
                future.set_exception(self._failure)
        request = [batch.first.to_bytes(8, "big"), terms.origin.encode(), terms.key.raw, *batch.encode()]
        self._requests.put(request)
        return future

    def kill(self) -> None:
        """End the process."""
        self._process.kill()
        self._requests.put(None)

    def close(self) -> None:
        """Wait for it to be gone, behind :meth:`kill`."""
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._to, self._from):
            with contextlib.suppress(OSError):
                stream.close()

    def _write(self) -> None:
        try:
            while (request := self._requests.get()) is not None:
                write_frame(self._to, request)
        except Exception:  # noqa: BLE001  # it is gone, or memory is; either way the other thread sees its end
            self._process.kill()

    def _read(self) -> None:
        try:
            self._has_greeted = read_frame(self._from) == [worker.hello()]
            while self._has_greeted:
                leaves, said = read_frame(self._from)
                self._answer(BatchCheck.decode(leaves, said))
        except Exception:  # noqa: BLE001  # memory may be wanting here, too, and somebody waits for the answer
            self._fail()

    def _answer(self, check: BatchCheck) -> None:
        with self._lock:
            future = self._futures.popleft()
            self.asked -= 1
        future.set_result(check)

    def _fail(self) -> None:
        with self._lock:
            self._failure = NotCheckedError(
                "a process that checked a part of the ledger ended before its time",
                code="input.worker",
                hint="give it more memory, or let it use one core: --cores 1",
            )
            for future in self._futures:
                future.set_exception(self._failure)
