"""Joins requests of different calls into batches for one model.

`BatchQueue` decides (pure, no clock, no asyncio); `MicroBatcher` waits, computes and delivers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.engines.base import EngineLoad, Priority
from gateway.errors import EngineError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger(__name__)


class DroppedError(EngineError):
    """A request of low priority gave way under load, or waited until it was useless."""


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Bounds of the queue.

    Attributes:
        max_batch: most requests computed together.
        max_weight: most weight of a batch of several (see `Ticket.weight`).
        max_wait_s: how long a batch of several requests may wait to grow. A lone request never
            waits: what comes while it runs forms the next batch.
        capacity: waiting requests above which partial, then speculative ones are dropped. FINAL
            requests always enter; their number is bounded by the number of calls.
        partial_stale_s: waiting time after which a partial result would describe the past.
    """

    max_batch: int = 8
    max_weight: int = 3000
    max_wait_s: float = 0.004
    capacity: int = 64
    partial_stale_s: float = 1.0


@dataclass(slots=True, eq=False)
class Ticket(Generic[K, T]):
    """One waiting request.

    Attributes:
        item: what the compute function gets.
        key: only tickets of one key share a batch.
        priority: order of service.
        arrived: time of arrival, seconds of any monotonic clock.
        weight: what the item adds to the cost of a batch, in the unit of `BatchPolicy.max_weight`.
        abandoned: nobody waits for the result any more.
    """

    item: T
    key: K
    priority: Priority
    arrived: float
    weight: int = 1
    abandoned: bool = False


class BatchQueue(Generic[K, T]):
    """Waiting requests and the decision what to compute next."""

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._waiting: list[Ticket[K, T]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def longest_wait(self, now: float) -> float:
        """Age in seconds of the oldest FINAL request that waits; 0 when none does."""
        arrivals = [
            ticket.arrived
            for ticket in self._waiting
            if ticket.priority is Priority.FINAL and not ticket.abandoned
        ]
        return max(0.0, now - min(arrivals)) if arrivals else 0.0

    def offer(self, ticket: Ticket[K, T]) -> list[Ticket[K, T]]:
        """Enter a request; returns what is dropped to keep the bound (it may be the new one)."""
        self._waiting.append(ticket)
        self._forget_abandoned()
        dropped = []
        while len(self._waiting) > self._policy.capacity:
            # The oldest of the lowest priority: what it would tell is the most out of date.
            victim = max(self._waiting, key=lambda waiting: (waiting.priority, -waiting.arrived))
            if victim.priority is Priority.FINAL:
                break
            self._waiting.remove(victim)
            dropped.append(victim)
        return dropped

    def drop_stale(self, now: float) -> list[Ticket[K, T]]:
        """Remove and return the partials that have waited too long."""
        oldest = now - self._policy.partial_stale_s
        stale = [t for t in self._waiting if t.priority is Priority.PARTIAL and t.arrived < oldest]
        for ticket in stale:
            self._waiting.remove(ticket)
        return stale

    def delay(self, now: float) -> float | None:
        """Seconds until a free worker should call `take`; None when nothing waits."""
        batch = self._next_batch()
        if not batch:
            return None
        if len(batch) in (1, self._room_for(batch[0])):
            return 0.0
        oldest = min(ticket.arrived for ticket in batch)
        return max(0.0, oldest + self._policy.max_wait_s - now)

    def take(self) -> list[Ticket[K, T]]:
        """Remove and return the next batch; empty when nothing waits."""
        batch = self._next_batch()
        for ticket in batch:
            self._waiting.remove(ticket)
        return batch

    def _next_batch(self) -> list[Ticket[K, T]]:
        self._forget_abandoned()
        if not self._waiting:
            return []
        ordered = sorted(self._waiting, key=lambda ticket: (ticket.priority, ticket.arrived))
        first = ordered[0]
        # On a CPU a batch costs nearly the sum of its items: partials must not slow a final.
        partials_welcome = first.priority is Priority.PARTIAL
        fitting = [
            ticket
            for ticket in ordered
            if ticket.key == first.key
            and (partials_welcome or ticket.priority is not Priority.PARTIAL)
        ]
        return fitting[: self._room_for(first)]

    def _room_for(self, first: Ticket[K, T]) -> int:
        """Size of a full batch: items of one key weigh the same, so the first tells for all."""
        return max(1, min(self._policy.max_batch, self._policy.max_weight // first.weight))

    def _forget_abandoned(self) -> None:
        self._waiting = [ticket for ticket in self._waiting if not ticket.abandoned]


@dataclass(slots=True, eq=False)
class _Job(Generic[T, R]):
    item: T
    result: asyncio.Future[R]


class MicroBatcher(Generic[K, T, R]):
    """Runs one compute function over requests that arrive from many tasks.

    Create and use it inside one running event loop.
    """

    def __init__(
        self,
        compute: Callable[[K, Sequence[T]], Awaitable[Sequence[R]]],
        policy: BatchPolicy,
        workers: int = 1,
    ) -> None:
        """Start the workers.

        Args:
            compute: turns a key and its items into results in the same order; usually awaits a
                thread.
            policy: bounds of the queue.
            workers: batches computed at the same time.
        """
        self._compute = compute
        self._queue: BatchQueue[K, _Job[T, R]] = BatchQueue(policy)
        self._changed = asyncio.Event()
        self._closing = False
        self._workers = [asyncio.create_task(self._work()) for _ in range(workers)]

    @property
    def current_load(self) -> EngineLoad:
        """What waits for a batch, and for how long."""
        now = asyncio.get_running_loop().time()
        return EngineLoad(len(self._queue), self._queue.longest_wait(now))

    async def submit(self, item: T, key: K, priority: Priority, weight: int = 1) -> R:
        """Wait for the result of one item; items of one key have one weight.

        Cancelling the awaiting task drops the item if its batch has not started.

        Raises:
            DroppedError: the item gave way to more important ones.
            Exception: whatever compute raised for this item.
        """
        if self._closing:
            raise DroppedError("the engine is closing")
        loop = asyncio.get_running_loop()
        job: _Job[T, R] = _Job(item, loop.create_future())
        ticket = Ticket(job, key, priority, loop.time(), weight)
        _drop(self._queue.offer(ticket), "dropped: the queue is full")
        self._changed.set()
        try:
            return await job.result
        finally:
            ticket.abandoned = True

    async def close(self) -> None:
        """Compute what is waiting, then stop the workers."""
        self._closing = True
        self._changed.set()
        await asyncio.gather(*self._workers)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            _drop(self._queue.drop_stale(loop.time()), "dropped: waited too long for a partial")
            delay = self._queue.delay(loop.time())
            if delay == 0.0 or (delay is not None and self._closing):
                batch = self._queue.take()
                await self._run(batch[0].key, [ticket.item for ticket in batch])
            elif delay is None and self._closing:
                self._changed.set()  # let the other workers see the end too
                return
            else:
                await self._wait_for_change(delay)

    async def _wait_for_change(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _run(self, key: K, jobs: Sequence[_Job[T, R]]) -> None:
        try:
            results = await self._compute(key, [job.item for job in jobs])
            for job, result in zip(jobs, results, strict=True):
                if not job.result.done():
                    job.result.set_result(result)
        except Exception as error:  # boundary
            logger.exception("a batch of %d failed", len(jobs))
            if len(jobs) == 1:
                _fail(jobs[0].result, error)
                return
            for job in jobs:
                if not job.result.done():
                    await self._run(key, [job])


def _drop(tickets: Sequence[Ticket[K, _Job[T, R]]], reason: str) -> None:
    for ticket in tickets:
        _fail(ticket.item.result, DroppedError(reason))


def _fail(result: asyncio.Future[R], error: Exception) -> None:
    if not result.done():
        result.set_exception(error)
