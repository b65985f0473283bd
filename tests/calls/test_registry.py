"""Admission: how many calls, and which ids."""

from __future__ import annotations

import asyncio

import pytest

from gateway.calls import registry as module
from gateway.calls.registry import CallRegistry
from gateway.errors import CapacityError, ProtocolError


def test_a_place_counts_as_a_call_until_the_first_call_takes_it() -> None:
    registry = CallRegistry(2)
    place = registry.admit()
    assert (registry.active, registry.reserved, registry.free) == (0, 1, 1)
    registry.open("a", place)
    assert (registry.active, registry.reserved, registry.free) == (1, 0, 1)
    registry.close("a")
    assert (registry.active, registry.reserved, registry.free) == (0, 0, 2)


def test_a_place_is_given_back_once() -> None:
    registry = CallRegistry(2)
    place = registry.admit()
    place.release()
    place.release()
    assert registry.reserved == 0


def test_releasing_a_place_that_a_call_took_does_nothing() -> None:
    registry = CallRegistry(1)
    place = registry.admit()
    registry.open("a", place)
    place.release()
    assert (registry.active, registry.reserved, registry.free) == (1, 0, 0)


def test_a_full_registry_admits_no_socket_and_no_further_call() -> None:
    registry = CallRegistry(2)
    place = registry.admit()
    registry.open("a")
    with pytest.raises(CapacityError, match="all 2 calls of the gateway are in use"):
        registry.admit()
    with pytest.raises(ProtocolError) as refused:
        registry.open("b")
    assert (refused.value.code, refused.value.call_id) == ("capacity", "b")
    registry.open("c", place)
    assert registry.active == 2


def test_a_busy_gateway_refuses_new_calls_but_keeps_the_places_it_gave() -> None:
    registry = CallRegistry(5)
    place = registry.admit()
    registry.refuse_new("the gateway is busy")
    assert registry.free == 0
    with pytest.raises(CapacityError, match="the gateway is busy"):
        registry.admit()
    registry.open("a", place)
    with pytest.raises(ProtocolError, match="the gateway is busy"):
        registry.open("b")
    registry.refuse_new(None)
    assert registry.free == 4
    registry.open("b")


def test_a_busy_gateway_without_calls_admits_one() -> None:
    registry = CallRegistry(5)
    registry.refuse_new("the gateway is busy")
    assert registry.free == 5
    registry.admit()
    assert registry.free == 0


def test_a_running_call_id_is_refused_and_the_place_is_kept() -> None:
    registry = CallRegistry(3)
    registry.open("a")
    place = registry.admit()
    with pytest.raises(ProtocolError) as refused:
        registry.open("a", place)
    assert (refused.value.code, refused.value.call_id) == ("duplicate_call", "a")
    assert (registry.active, registry.reserved) == (1, 1)


def test_a_closed_call_id_may_be_used_again() -> None:
    registry = CallRegistry(1)
    registry.open("a")
    registry.close("a")
    registry.close("a")
    registry.open("a")
    assert registry.active == 1


def test_a_draining_registry_refuses_even_reserved_places() -> None:
    registry = CallRegistry(5)
    place = registry.admit()
    registry.start_drain()
    assert registry.draining
    with pytest.raises(CapacityError, match="shutting down"):
        registry.admit()
    with pytest.raises(ProtocolError, match="shutting down"):
        registry.open("a", place)


def test_a_client_that_does_not_answer_is_not_taken_for_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ANSWER_S", 0.0)

    async def silent() -> bool:
        await asyncio.Event().wait()
        return True

    async def main() -> None:
        registry = CallRegistry(2)
        registry.open("a", answers=silent)
        await asyncio.wait_for(registry.ended("a"), 10)
        with pytest.raises(ProtocolError, match="not in use"):
            registry.open("a")

    asyncio.run(main())


def test_the_end_of_a_call_whose_client_is_gone_is_waited_for() -> None:
    async def gone() -> bool:
        return False

    async def main() -> None:
        registry = CallRegistry(2)
        registry.open("a", answers=gone)
        waiting = asyncio.create_task(registry.ended("a"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        registry.close("a")
        await asyncio.wait_for(waiting, 10)
        registry.open("a")

    asyncio.run(main())
