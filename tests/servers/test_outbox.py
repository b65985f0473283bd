"""What waits on a socket whose client does not keep up: how much of it, and what is taken back."""

from __future__ import annotations

import numpy as np
from websockets.asyncio.client import ClientConnection

from gateway.calls.base import CallTransport
from gateway.servers.connection import EdgeLimits
from tests.servers.harness import (
    FRAME,
    Bench,
    close_code,
    echo_works,
    echoed,
    init,
    message,
    run,
    serving,
)

# Nothing is sent before the test awaits: until then every message waits.
LIMITS = EdgeLimits(max_outbound=50_000)
SECOND = np.zeros(16_000, dtype=np.int16)  # 43 kB on the wire


async def opened(bench: Bench, ws: ClientConnection, call_id: str) -> CallTransport:
    await ws.send(init(call_id))
    await echo_works(ws, call_id)
    return bench.calls[call_id].transport


def test_a_stall_that_one_call_outlasts_is_outlasted_by_all_calls_of_the_socket() -> None:
    async def test() -> None:
        async with serving(limits=LIMITS) as bench, bench.connect() as ws:
            transports = {name: await opened(bench, ws, name) for name in ("a", "b", "c")}
            for transport in transports.values():
                transport.send_audio(SECOND)
            for name in transports:
                assert await message(ws) == echoed(name, SECOND)
            assert bench.server.counters["overflows"] == 0

    run(test)


def test_more_than_the_calls_of_a_socket_may_leave_waiting_drops_the_client() -> None:
    async def test() -> None:
        async with serving(limits=LIMITS) as bench, bench.connect() as ws:
            first, second = [await opened(bench, ws, name) for name in ("a", "b")]
            for transport in (first, second, second):
                transport.send_audio(SECOND)
            assert bench.server.counters["overflows"] == 1
            assert await close_code(ws) == 1006

    run(test)


def test_audio_that_is_dropped_leaves_words_and_other_calls_waiting_in_order() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            dropped, kept = [await opened(bench, ws, name) for name in ("a", "b")]
            dropped.send_audio(FRAME)
            kept.send_audio(FRAME)
            dropped.send_transcript("assistant", "We are", 1)
            dropped.send_audio(FRAME)
            dropped.drop_audio()
            dropped.send_audio(FRAME[:160])
            assert await message(ws) == echoed("b", FRAME)
            assert (await message(ws))["text"] == "We are"
            assert await message(ws) == echoed("a", FRAME[:160])

    run(test)


def test_audio_that_is_dropped_makes_room_for_what_comes_after_it() -> None:
    async def test() -> None:
        async with serving(limits=LIMITS) as bench, bench.connect() as ws:
            transport = await opened(bench, ws, "a")
            for _ in range(3):
                transport.send_audio(SECOND)
                transport.drop_audio()
            await echo_works(ws, "a")

    run(test)
