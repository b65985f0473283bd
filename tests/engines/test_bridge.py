"""Blocking work runs in threads, keeps its context, and stops when nobody wants it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing

import pytest

from gateway.engines.bridge import CancelToken, WorkerPool

call_id: contextvars.ContextVar[str] = contextvars.ContextVar("call_id", default="none")


def in_pool(body: Callable[[WorkerPool], Awaitable[None]], workers: int = 1) -> None:
    async def main() -> None:
        pool = WorkerPool("test", workers)
        try:
            await body(pool)
        finally:
            await pool.close()

    asyncio.run(main())


def test_a_thread_sees_the_context_of_its_caller() -> None:
    async def body(pool: WorkerPool) -> None:
        call_id.set("c1")
        assert await pool.run(call_id.get) == "c1"

        def start(token: CancelToken) -> Iterator[str]:
            yield call_id.get()

        assert [item async for item in pool.iterate(start)] == ["c1"]

    in_pool(body)


def test_work_runs_outside_the_event_loop_and_returns_its_result() -> None:
    async def body(pool: WorkerPool) -> None:
        assert await pool.run(threading.get_ident) != threading.get_ident()
        assert await pool.run(divmod, 7, 2) == (3, 1)

    in_pool(body)


def test_an_exception_reaches_the_caller() -> None:
    def start(token: CancelToken) -> Iterator[int]:
        yield 1
        raise RuntimeError("broken")

    async def body(pool: WorkerPool) -> None:
        received = []
        with pytest.raises(RuntimeError, match="broken"):
            async for item in pool.iterate(start):
                received.append(item)
        assert received == [1]

    in_pool(body)


def test_cancelled_work_that_has_not_started_never_runs() -> None:
    ran: list[str] = []
    gate = threading.Event()

    async def body(pool: WorkerPool) -> None:
        running = asyncio.create_task(pool.run(gate.wait))
        waiting = asyncio.create_task(pool.run(ran.append, "unwanted"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        gate.set()
        await running

    in_pool(body)
    assert ran == []


def test_the_iterator_is_at_most_one_item_ahead_of_its_reader() -> None:
    made: list[int] = []

    def start(token: CancelToken) -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number

    async def body(pool: WorkerPool) -> None:
        received = []
        async for item in pool.iterate(start):
            await pool.run(int)  # the one thread is free again: the next item is ready
            assert made[-1] <= item + 1
            received.append(item)
        assert received == [0, 1, 2, 3, 4]

    in_pool(body)


def test_a_slow_reader_does_not_hold_a_thread() -> None:
    def start(token: CancelToken) -> Iterator[int]:
        yield from range(10)

    async def body(pool: WorkerPool) -> None:
        async with aclosing(pool.iterate(start)) as slow:
            assert await anext(slow) == 0
            assert await pool.run(lambda: "other work") == "other work"

    in_pool(body)


def test_stopping_sets_the_token_and_closes_the_iterator() -> None:
    tokens: list[CancelToken] = []
    closed = threading.Event()

    def start(token: CancelToken) -> Iterator[int]:
        tokens.append(token)
        try:
            yield 1
            yield 2
            yield 3
        finally:
            closed.set()

    async def body(pool: WorkerPool) -> None:
        items = pool.iterate(start)
        assert await anext(items) == 1
        assert not tokens[0].cancelled
        await items.aclose()
        assert tokens[0].cancelled

    in_pool(body)
    assert closed.is_set()


def test_cancelling_the_reading_task_skips_the_next_item() -> None:
    made: list[int] = []
    started, gate = threading.Event(), threading.Event()

    def start(token: CancelToken) -> Iterator[int]:
        for number in range(100):
            made.append(number)
            started.set()
            gate.wait()
            yield number

    async def read(items: AsyncGenerator[int, None]) -> None:
        async with aclosing(items):
            async for _ in items:
                pass

    async def body(pool: WorkerPool) -> None:
        reader = asyncio.create_task(read(pool.iterate(start)))
        await asyncio.to_thread(started.wait)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        gate.set()

    in_pool(body)
    assert made == [0]


def test_a_pool_tells_how_long_the_oldest_of_its_jobs_has_waited() -> None:
    gate, started = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        gate.wait()

    async def body(pool: WorkerPool) -> None:
        running = asyncio.create_task(pool.run(hold))
        await asyncio.to_thread(started.wait)
        assert (pool.waiting, pool.wait_s) == (0, 0.0)
        waiting = asyncio.create_task(pool.run(gate.wait))
        unwanted = asyncio.create_task(pool.run(gate.wait))
        await asyncio.sleep(0)
        assert pool.waiting == 2
        assert pool.wait_s > 0
        unwanted.cancel()
        await asyncio.gather(unwanted, return_exceptions=True)
        assert pool.waiting == 1
        gate.set()
        await asyncio.gather(running, waiting)
        assert (pool.waiting, pool.wait_s) == (0, 0.0)

    in_pool(body)
