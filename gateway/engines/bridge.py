"""From blocking model code to asyncio: the only file of the engines that touches executors.

A thread cannot be cancelled. So each piece of work is one short job: jobs that have not started
are dropped when their caller goes away, and the results of running ones are.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Generic, ParamSpec, TypeVar

from gateway.engines.base import Need, at_once

P = ParamSpec("P")
T = TypeVar("T")

GUESS_S: Final = 1.0
"""A job that may never be needed is served as if it were needed this long after it came: turns
mostly end sooner after their pause, and it cannot wait for ever behind those that are needed."""

RESERVE_S: Final = 2.0
"""A job counts as waiting from this long before its need. Threads that have too much to do fall
behind with what is needed later first, which must show before anything is late. In a few
minutes of three-sentence replies, with stand-ins for voices of 12 times real time, it showed
nothing at 90 and 95 % of what the threads can do, and at 115 % came seconds before the first gap;
with 1 s it came about with the gap, with 2.5 s at 90 % at times."""


class WorkerPool:
    """A few threads for one kind of blocking work, shared by all calls.

    A free thread takes the job that is needed first; those needed at once, in order of arrival.
    """

    def __init__(
        self, name: str, workers: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Threads start with the first work.

        Args:
            name: prefix of the thread names.
            workers: number of threads, at least 1.
            clock: monotonic seconds, the clock of every `Need`.
        """
        self._executor = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=name)
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[_Job[Any]] = []
        """Jobs that have not started, in order of arrival. No heap: their needs change, as when a
        turn ends; asking a hundred of them takes a tenth of a millisecond."""

    @property
    def waiting(self) -> int:
        """Jobs that have not started."""
        return len(self._waiting)

    @property
    def wait_s(self) -> float:
        """How long the oldest of them has waited, in seconds; 0 when none does.

        Guesses, and jobs whose need is more than `RESERVE_S` away, wait on purpose: that is not
        load, however long it takes.
        """
        with self._lock:
            since = min((job.waits_since for job in self._waiting), default=math.inf)
        return max(0.0, self._clock() - since)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in a thread, with the caller's context variables.

        If the awaiting task is cancelled, the function is dropped when it has not started;
        otherwise its result is.
        """
        return await asyncio.wrap_future(self._submit(partial(function, *args, **kwargs), at_once))

    async def run_each(
        self, functions: Iterable[Callable[[], T]], needed: Need = at_once
    ) -> AsyncGenerator[T, None]:
        """Run blocking functions in threads one after the other, one ahead of the reader.

        A slow reader therefore never holds a thread, and at most one result waits unread.
        When the reader stops (``aclose``, cancellation), a function that has not started is
        dropped.

        Args:
            functions: taken one by one, in the event loop.
            needed: asked about the next result whenever a thread is free.
        """
        jobs = (self._submit(function, needed) for function in functions)
        job = next(jobs, None)
        try:
            while job is not None:
                result = await asyncio.wrap_future(job)
                job = next(jobs, None)
                yield result
        finally:
            if job is not None:
                job.cancel()

    async def close(self) -> None:
        """Wait for all submitted work, then end the threads."""
        await asyncio.to_thread(self._executor.shutdown, wait=True)

    def _submit(self, function: Callable[[], T], needed: Need) -> Future[T]:
        job = _Job(function, needed, self._clock())
        with self._lock:
            self._waiting.append(job)
        # Without the job: a future keeps its callbacks, so the two, and with them the material and
        # the result, would hold each other until the garbage collector comes by.
        job.future.add_done_callback(self._forget)
        # Not this very job: whichever is needed first when a thread is free.
        self._executor.submit(self._run_first)
        return job.future

    def _run_first(self) -> None:
        with self._lock:
            if not self._waiting:
                return  # a job was cancelled, and every other has a thread already
            job = min(self._waiting, key=_Job.order)
            self._waiting.remove(job)
        job.run()

    def _forget(self, future: Future[Any]) -> None:
        if future.cancelled():
            with self._lock:
                self._waiting = [job for job in self._waiting if job.future is not future]


class _Job(Generic[T]):
    """One call of a function, with the context variables of its caller."""

    def __init__(self, function: Callable[[], T], needed: Need, submitted: float) -> None:
        self.future: Future[T] = Future()
        self._function = function
        self._context = contextvars.copy_context()
        self._needed = needed
        self._submitted = submitted
        self._fault: Exception | None = None

    @property
    def waits_since(self) -> float:
        """Since when, or from when on, it should have started; infinity for a guess."""
        return max(self._moment() - RESERVE_S, self._submitted)

    def order(self) -> float:
        """The moment at which it is needed; the smallest goes first.

        Nothing starves: moments pass, and whatever comes after one waits behind it.
        """
        needed = max(self._moment(), self._submitted)
        return self._submitted + GUESS_S if needed == math.inf else needed

    def run(self) -> None:
        """Work, and tell who waits; nothing happens if nobody does."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            if self._fault is not None:
                raise self._fault
            result = self._context.run(self._function)
        except BaseException as error:  # boundary: it is raised where the result is awaited
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    def _moment(self) -> float:
        try:
            return self._needed()
        except Exception as error:  # boundary: a bug of one call must not stop the threads
            self._fault = error
            return -math.inf  # nothing to wait for: it fails as soon as a thread is free
