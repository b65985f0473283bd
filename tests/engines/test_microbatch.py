"""Requests of many calls share batches; important ones go first and are never dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.engines.base import Priority
from gateway.engines.microbatch import BatchPolicy, BatchQueue, DroppedError, MicroBatcher, Ticket

FINAL, SPECULATIVE, PARTIAL = Priority.FINAL, Priority.SPECULATIVE, Priority.PARTIAL
POLICY = BatchPolicy(max_batch=3, max_wait_s=0.004, capacity=3, partial_stale_s=1.0)


def ticket(
    item: str, priority: Priority = FINAL, key: int = 300, arrived: float = 0.0
) -> Ticket[int, str]:
    return Ticket(item, key, priority, arrived)


def queue_of(*tickets: Ticket[int, str], policy: BatchPolicy = POLICY) -> BatchQueue[int, str]:
    queue: BatchQueue[int, str] = BatchQueue(policy)
    for each in tickets:
        queue.offer(each)
    return queue


def items(tickets: Sequence[Ticket[int, str]]) -> list[str]:
    return [each.item for each in tickets]


def test_an_empty_queue_has_nothing_to_do() -> None:
    assert queue_of().delay(0.0) is None
    assert queue_of().take() == []


def test_one_request_alone_never_waits() -> None:
    assert queue_of(ticket("a", arrived=5.0)).delay(5.0) == 0.0


def test_several_requests_wait_a_little_for_more() -> None:
    queue = queue_of(ticket("a", arrived=5.0), ticket("b", arrived=5.001))
    assert queue.delay(5.001) == pytest.approx(0.003)
    assert queue.delay(5.5) == 0.0


def test_a_full_batch_does_not_wait() -> None:
    assert queue_of(*(ticket(name, arrived=5.0) for name in "abc")).delay(5.0) == 0.0


def test_a_batch_holds_one_key_only() -> None:
    queue = queue_of(ticket("a", key=200), ticket("b", key=3000), ticket("c", key=200))
    assert items(queue.take()) == ["a", "c"]
    assert items(queue.take()) == ["b"]


def test_a_batch_is_bounded() -> None:
    queue = queue_of(*(ticket(name) for name in "abcd"))
    assert items(queue.take()) == ["a", "b", "c"]
    assert items(queue.take()) == ["d"]


def test_heavy_items_share_a_batch_only_up_to_its_weight() -> None:
    heavy = [Ticket(name, 300, FINAL, 5.0, weight=POLICY.max_weight // 2) for name in "abc"]
    queue = queue_of(*heavy)
    assert queue.delay(5.0) == 0.0
    assert items(queue.take()) == ["a", "b"]
    huge = Ticket("d", 300, FINAL, 5.0, weight=2 * POLICY.max_weight)
    assert items(queue_of(huge).take()) == ["d"]


def test_final_goes_before_speculative_before_partial() -> None:
    queue = queue_of(
        ticket("p", PARTIAL, key=1), ticket("s", SPECULATIVE, key=2), ticket("f", FINAL, key=3)
    )
    assert [items(queue.take()) for _ in range(3)] == [["f"], ["s"], ["p"]]


def test_partials_do_not_slow_a_final_down() -> None:
    queue = queue_of(ticket("p", PARTIAL), ticket("f", FINAL), ticket("s", SPECULATIVE))
    assert items(queue.take()) == ["f", "s"]
    assert items(queue.take()) == ["p"]


def test_a_full_queue_drops_the_oldest_partial_first() -> None:
    queue = queue_of(
        ticket("p1", PARTIAL, arrived=1.0),
        ticket("p2", PARTIAL, arrived=2.0),
        ticket("s", SPECULATIVE, arrived=3.0),
    )
    assert items(queue.offer(ticket("f", arrived=4.0))) == ["p1"]
    assert items(queue.offer(ticket("g", arrived=5.0))) == ["p2"]
    assert items(queue.offer(ticket("h", arrived=6.0))) == ["s"]


def test_a_final_is_never_dropped() -> None:
    queue = queue_of(*(ticket(name) for name in "abc"))
    assert queue.offer(ticket("d")) == []
    assert len(queue) == 4
    late = ticket("p", PARTIAL, arrived=9.0)
    assert queue.offer(late) == [late]


def test_an_abandoned_request_is_forgotten() -> None:
    unwanted = ticket("a")
    queue = queue_of(unwanted, ticket("b"))
    unwanted.abandoned = True
    assert items(queue.take()) == ["b"]
    assert queue.delay(0.0) is None


def test_abandoned_requests_make_room_before_anything_is_dropped() -> None:
    unwanted = ticket("a")
    queue = queue_of(unwanted, ticket("b"), ticket("p", PARTIAL))
    unwanted.abandoned = True
    assert queue.offer(ticket("c")) == []


def test_a_partial_that_waited_too_long_is_stale() -> None:
    queue = queue_of(ticket("p", PARTIAL, arrived=0.0), ticket("f", arrived=0.0))
    assert queue.drop_stale(0.9) == []
    assert items(queue.drop_stale(1.1)) == ["p"]
    assert items(queue.take()) == ["f"]


class Model:
    """Records its batches; upper-cases; fails on "bad"; waits for `gate` when it is set to."""

    def __init__(self, gated: bool = False) -> None:
        self.batches: list[list[str]] = []
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        if not gated:
            self.gate.set()

    async def compute(self, key: int, batch: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(batch))
        self.started.set()
        await self.gate.wait()
        if "bad" in batch:
            raise ValueError("cannot read this")
        return [item.upper() for item in batch]


def with_batcher(
    body: Callable[[MicroBatcher[int, str, str], Model], Any], gated: bool = False
) -> Model:
    async def main() -> Model:
        model = Model(gated)
        batcher = MicroBatcher(model.compute, POLICY)
        await body(batcher, model)
        await batcher.close()
        return model

    return asyncio.run(main())


def test_what_arrives_while_the_model_runs_forms_the_next_batch() -> None:
    async def body(batcher: MicroBatcher[int, str, str], model: Model) -> None:
        first = asyncio.create_task(batcher.submit("a", 300, FINAL))
        await model.started.wait()
        rest = [asyncio.create_task(batcher.submit(name, 300, FINAL)) for name in "bcd"]
        await asyncio.sleep(0)
        model.gate.set()
        assert await asyncio.gather(first, *rest) == ["A", "B", "C", "D"]

    assert with_batcher(body, gated=True).batches == [["a"], ["b", "c", "d"]]


def test_a_bad_item_does_not_fail_its_neighbours() -> None:
    async def body(batcher: MicroBatcher[int, str, str], model: Model) -> None:
        results = await asyncio.gather(
            *(batcher.submit(name, 300, FINAL) for name in ("a", "bad", "c")),
            return_exceptions=True,
        )
        assert results[0] == "A" and results[2] == "C"
        assert isinstance(results[1], ValueError)
        assert await batcher.submit("later", 300, FINAL) == "LATER"

    model = with_batcher(body)
    assert model.batches == [["a", "bad", "c"], ["a"], ["bad"], ["c"], ["later"]]


def test_a_cancelled_request_is_not_computed() -> None:
    async def body(batcher: MicroBatcher[int, str, str], model: Model) -> None:
        first = asyncio.create_task(batcher.submit("a", 300, FINAL))
        await model.started.wait()
        unwanted = asyncio.create_task(batcher.submit("b", 300, FINAL))
        wanted = asyncio.create_task(batcher.submit("c", 300, FINAL))
        await asyncio.sleep(0)
        unwanted.cancel()
        await asyncio.gather(unwanted, return_exceptions=True)
        model.gate.set()
        assert [await first, await wanted] == ["A", "C"]

    assert with_batcher(body, gated=True).batches == [["a"], ["c"]]


def test_a_dropped_partial_gets_an_error() -> None:
    async def body(batcher: MicroBatcher[int, str, str], model: Model) -> None:
        running = asyncio.create_task(batcher.submit("a", 300, FINAL))
        await model.started.wait()
        partial = asyncio.create_task(batcher.submit("p", 300, PARTIAL))
        finals = [asyncio.create_task(batcher.submit(name, 300, FINAL)) for name in "bcd"]
        with pytest.raises(DroppedError):
            await partial
        model.gate.set()
        assert await asyncio.gather(running, *finals) == ["A", "B", "C", "D"]

    with_batcher(body, gated=True)


def test_closing_finishes_what_waits_and_refuses_more() -> None:
    async def body(batcher: MicroBatcher[int, str, str], model: Model) -> None:
        tasks = [asyncio.create_task(batcher.submit(name, 300, FINAL)) for name in "ab"]
        await asyncio.sleep(0)
        await batcher.close()
        assert await asyncio.gather(*tasks) == ["A", "B"]
        with pytest.raises(DroppedError, match="closing"):
            await batcher.submit("c", 300, FINAL)

    with_batcher(body)


def test_the_longest_wait_is_that_of_the_oldest_final_request() -> None:
    assert queue_of(ticket("guess", SPECULATIVE, arrived=1.0)).longest_wait(9.0) == 0.0
    unwanted = ticket("unwanted", arrived=2.0)
    queue = queue_of(unwanted, ticket("first", arrived=3.0), ticket("second", arrived=4.0))
    assert queue.longest_wait(9.0) == 7.0
    unwanted.abandoned = True
    assert queue.longest_wait(9.0) == 6.0
    queue.take()
    assert queue.longest_wait(9.0) == 0.0
