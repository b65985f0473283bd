"""Blocking work runs in threads, keeps its context, and stops when nobody wants it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import math
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial

import pytest

from gateway.engines.base import Need, at_once
from gateway.engines.bridge import GUESS_S, RESERVE_S, WorkerPool

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
        assert [item async for item in pool.run_each([call_id.get] * 2)] == ["c1", "c1"]

    in_pool(body)


def test_work_runs_outside_the_event_loop_and_returns_its_result() -> None:
    async def body(pool: WorkerPool) -> None:
        assert await pool.run(threading.get_ident) != threading.get_ident()
        assert await pool.run(divmod, 7, 2) == (3, 1)

    in_pool(body)


def test_an_exception_reaches_the_caller() -> None:
    def fail() -> int:
        raise RuntimeError("broken")

    works: list[Callable[[], int]] = [int, fail, int]

    async def body(pool: WorkerPool) -> None:
        received = []
        with pytest.raises(RuntimeError, match="broken"):
            async for item in pool.run_each(works):
                received.append(item)
        assert received == [0]
        with pytest.raises(RuntimeError, match="broken"):
            await pool.run(fail)

    in_pool(body)


def test_closing_waits_for_the_work_that_was_submitted() -> None:
    async def main() -> None:
        pool = WorkerPool("test", 1)
        gate, done = threading.Event(), threading.Event()
        work = [asyncio.create_task(pool.run(step)) for step in (gate.wait, done.set)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        try:
            await pool.close()
            assert done.is_set()
        finally:
            gate.set()
            await asyncio.gather(*work)

    asyncio.run(main())


def test_nothing_of_a_job_is_kept_when_it_is_done() -> None:
    class Material:
        pass

    async def body(pool: WorkerPool) -> None:
        material = Material()
        kept = weakref.ref(material)
        gc.disable()  # which would come by some time, after much audio has piled up
        try:
            await pool.run(id, material)
            del material
            await pool.run(int)  # the one thread has put the first job away
            assert kept() is None
        finally:
            gc.enable()

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


def test_the_work_is_at_most_one_result_ahead_of_its_reader() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number

    async def body(pool: WorkerPool) -> None:
        received = []
        async for item in pool.run_each(partial(make, number) for number in range(5)):
            await pool.run(int)  # the one thread is free again: the next item is ready
            assert made[-1] <= item + 1
            received.append(item)
        assert received == [0, 1, 2, 3, 4]

    in_pool(body)


def test_a_slow_reader_does_not_hold_a_thread() -> None:
    async def body(pool: WorkerPool) -> None:
        async with aclosing(pool.run_each([int] * 10)) as slow:
            assert await anext(slow) == 0
            assert await pool.run(lambda: "other work") == "other work"

    in_pool(body)


def test_no_work_gives_no_result() -> None:
    async def body(pool: WorkerPool) -> None:
        nothing: list[Callable[[], int]] = []
        assert [item async for item in pool.run_each(nothing)] == []

    in_pool(body)


def test_a_reader_that_stops_drops_the_work_that_has_not_started() -> None:
    made: list[str] = []

    async def body(pool: WorkerPool) -> None:
        items = pool.run_each(partial(made.append, name) for name in "abc")
        async with held(pool):
            reader = asyncio.create_task(anext(items))
            await asyncio.sleep(0)
            holding = held(pool)  # in the queue before "b", which follows when "a" is done
            entering = asyncio.create_task(holding.__aenter__())
            await asyncio.sleep(0)
        await asyncio.gather(reader, entering)
        assert pool.waiting == 1
        await items.aclose()
        assert pool.waiting == 0
        await holding.__aexit__(None, None, None)

    in_pool(body)
    assert made == ["a"]


def test_cancelling_the_reading_task_skips_the_next_item() -> None:
    made: list[int] = []
    started, gate = threading.Event(), threading.Event()

    def make(number: int) -> int:
        made.append(number)
        started.set()
        gate.wait()
        return number

    async def read(items: AsyncGenerator[int, None]) -> None:
        async with aclosing(items):
            async for _ in items:
                pass

    async def body(pool: WorkerPool) -> None:
        works = (partial(make, number) for number in range(100))
        reader = asyncio.create_task(read(pool.run_each(works)))
        await asyncio.to_thread(started.wait)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        gate.set()

    in_pool(body)
    assert made == [0]


class Queue:
    """Jobs that come one after the other while the one thread of a pool is held."""

    def __init__(self) -> None:
        self.now = 100.0
        self.done: list[str] = []
        self._tasks: list[asyncio.Task[list[None]]] = []

    async def add(self, pool: WorkerPool, name: str, needed: Need) -> asyncio.Task[list[None]]:
        async def read() -> list[None]:
            return [item async for item in pool.run_each([partial(self.done.append, name)], needed)]

        self._tasks.append(asyncio.create_task(read()))
        await asyncio.sleep(0)
        return self._tasks[-1]

    def served(self, fill: Callable[[WorkerPool], Awaitable[None]]) -> list[str]:
        """The order in which a free thread takes the jobs that ``fill`` adds."""

        async def main() -> None:
            pool = WorkerPool("test", 1, clock=lambda: self.now)
            async with held(pool):
                await fill(pool)
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await pool.close()

        asyncio.run(main())
        return self.done


@asynccontextmanager
async def held(pool: WorkerPool) -> AsyncGenerator[None, None]:
    """The one thread of a pool is busy."""
    gate, started = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        gate.wait()

    holding = asyncio.create_task(pool.run(hold))
    await asyncio.to_thread(started.wait)
    try:
        yield
    finally:
        gate.set()
        await holding


def test_what_is_needed_first_goes_first() -> None:
    queue = Queue()

    async def fill(pool: WorkerPool) -> None:
        await queue.add(pool, "in 3 s", lambda: 103.0)
        await queue.add(pool, "in 1 s", lambda: 101.0)
        await queue.add(pool, "in 2 s", lambda: 102.0)
        await queue.add(pool, "now", at_once)

    assert queue.served(fill) == ["now", "in 1 s", "in 2 s", "in 3 s"]


def test_what_is_needed_at_once_goes_in_order_of_arrival() -> None:
    queue = Queue()

    async def fill(pool: WorkerPool) -> None:
        await queue.add(pool, "first", lambda: 7.0)
        await queue.add(pool, "second", lambda: 5.0)
        await queue.add(pool, "third", at_once)
        queue.now += 0.1
        await queue.add(pool, "last", lambda: 3.0)

    assert queue.served(fill) == ["first", "second", "third", "last"]


def test_a_guess_goes_after_what_is_needed_until_it_has_waited_for_long() -> None:
    queue = Queue()

    async def fill(pool: WorkerPool) -> None:
        await queue.add(pool, "guess", lambda: math.inf)
        for waited in (0.1, GUESS_S - 0.1, GUESS_S + 0.1):
            queue.now = 100.0 + waited
            await queue.add(pool, f"after {waited:.1f} s", at_once)

    assert queue.served(fill) == ["after 0.1 s", "after 0.9 s", "guess", "after 1.1 s"]


def test_a_guess_that_becomes_certain_overtakes() -> None:
    queue = Queue()
    need = math.inf

    async def fill(pool: WorkerPool) -> None:
        nonlocal need
        await queue.add(pool, "guess", lambda: need)
        await queue.add(pool, "in 0.5 s", lambda: 100.5)
        queue.now += 0.1
        await queue.add(pool, "now", at_once)
        need = -math.inf

    assert queue.served(fill) == ["guess", "now", "in 0.5 s"]


def test_a_cancelled_job_is_skipped_and_the_others_run() -> None:
    queue = Queue()

    async def fill(pool: WorkerPool) -> None:
        first = await queue.add(pool, "unwanted", at_once)
        await queue.add(pool, "in 1 s", lambda: 101.0)
        await queue.add(pool, "now", at_once)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    assert queue.served(fill) == ["now", "in 1 s"]


def test_a_need_that_fails_ends_its_own_job_only() -> None:
    queue = Queue()

    def fail() -> float:
        raise RuntimeError("broken")

    async def fill(pool: WorkerPool) -> None:
        await queue.add(pool, "in 1 s", lambda: 101.0)
        broken.append(await queue.add(pool, "broken", fail))
        await queue.add(pool, "in 2 s", lambda: 102.0)
        queue.now += 0.5
        assert pool.wait_s == 0.5

    broken: list[asyncio.Task[list[None]]] = []
    assert queue.served(fill) == ["in 1 s", "in 2 s"]
    assert isinstance(broken[0].exception(), RuntimeError)


def test_guesses_and_what_is_needed_much_later_do_not_count_as_waiting() -> None:
    queue = Queue()

    async def fill(pool: WorkerPool) -> None:
        await queue.add(pool, "guess", lambda: math.inf)
        await queue.add(pool, "in 5 s", lambda: 105.0)
        queue.now = 105.0 - RESERVE_S
        assert (pool.waiting, pool.wait_s) == (2, 0.0)
        queue.now += 0.5
        assert pool.wait_s == 0.5

    queue.served(fill)


def test_a_pool_tells_how_long_the_oldest_of_its_jobs_has_waited() -> None:
    queue = Queue()

    async def fill(pool: WorkerPool) -> None:
        assert (pool.waiting, pool.wait_s) == (0, 0.0)
        unwanted = await queue.add(pool, "unwanted", at_once)
        queue.now += 2.0
        await queue.add(pool, "wanted", at_once)
        queue.now += 1.0
        assert (pool.waiting, pool.wait_s) == (2, 3.0)
        unwanted.cancel()
        await asyncio.gather(unwanted, return_exceptions=True)
        assert (pool.waiting, pool.wait_s) == (1, 1.0)

    queue.served(fill)
