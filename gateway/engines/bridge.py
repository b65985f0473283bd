"""From blocking model code to asyncio: the only place that touches executors.

A thread cannot be cancelled. So each piece of work is one short job: jobs that have not started
are dropped when their caller goes away, and running ones see a CancelToken.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from functools import partial
from typing import Final, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Done(Enum):
    DONE = 0


_DONE: Final = _Done.DONE


class CancelToken:
    """Says that a result is no longer wanted; set once, from any thread."""

    __slots__ = ("_cancelled",)

    def __init__(self) -> None:
        self._cancelled = False

    def cancel(self) -> None:
        """Ask the work to stop at its next convenient place."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """True once nobody waits for the result."""
        return self._cancelled


class WorkerPool:
    """A few threads for one kind of blocking work, shared by all calls, first come first served."""

    def __init__(self, name: str, workers: int) -> None:
        """Threads start with the first work.

        Args:
            name: prefix of the thread names.
            workers: number of threads, at least 1.
        """
        self._executor = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=name)
        self._waiting: dict[object, float] = {}
        """When each job that has not started was submitted."""

    @property
    def waiting(self) -> int:
        """Jobs that have not started."""
        return len(self._waiting)

    @property
    def wait_s(self) -> float:
        """How long the oldest of them has waited, in seconds; 0 when none does."""
        # One copy in one step: the threads take entries out at any moment.
        submitted = list(self._waiting.values())
        return time.monotonic() - min(submitted) if submitted else 0.0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in a thread, with the caller's context variables.

        If the awaiting task is cancelled, the function is dropped when it has not started;
        otherwise its result is.
        """
        return await asyncio.wrap_future(self._submit(function, *args, **kwargs))

    async def iterate(self, start: Callable[[CancelToken], Iterator[T]]) -> AsyncGenerator[T, None]:
        """Run a blocking iterator in threads, one item per job and one item ahead of the reader.

        A slow reader therefore never holds a thread, and at most one item waits unread.
        When the reader stops (``aclose``, cancellation), the token is set, a job that has not
        started is dropped, and the iterator is closed as soon as no thread is inside it.

        Args:
            start: makes the iterator, inside a thread; it may look at the token between items.
        """
        token = CancelToken()
        steps = _Steps(start, token)
        job = self._submit(steps.next)
        try:
            while (item := await asyncio.wrap_future(job)) is not _DONE:
                job = self._submit(steps.next)
                yield item
        finally:
            token.cancel()
            job.cancel()
            job.add_done_callback(steps.close)

    async def close(self) -> None:
        """Wait for all submitted work, then end the threads."""
        await asyncio.to_thread(self._executor.shutdown, wait=True)

    def _submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        context = contextvars.copy_context()
        job = object()

        def begin() -> T:
            self._waiting.pop(job, None)
            return context.run(partial(function, *args, **kwargs))

        self._waiting[job] = time.monotonic()
        future = self._executor.submit(begin)
        future.add_done_callback(lambda _: self._waiting.pop(job, None))
        return future


class _Steps(Generic[T]):
    """One blocking iterator, advanced by one job after another."""

    def __init__(self, start: Callable[[CancelToken], Iterator[T]], token: CancelToken) -> None:
        self._start = start
        self._token = token
        self._iterator: Iterator[T] | None = None

    def next(self) -> T | _Done:
        if self._token.cancelled:
            return _DONE
        if self._iterator is None:
            self._iterator = self._start(self._token)
        return next(self._iterator, _DONE)

    def close(self, _: object) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()
