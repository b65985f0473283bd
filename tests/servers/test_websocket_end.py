"""Every way a connection ends: its calls are told, and nothing of it is left."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway.calls.base import CallTransport
from gateway.events import AudioReceived, CallStarted, EdgeEvent
from gateway.servers.connection import EdgeLimits
from tests.servers.harness import (
    FRAME,
    FakeCall,
    ReportingCall,
    audio,
    close_code,
    echo_works,
    error_code,
    init,
    message,
    run,
    serving,
)


def test_a_client_that_closes_ends_its_calls() -> None:
    async def test() -> None:
        async with serving() as bench:
            async with bench.connect() as ws:
                await ws.send(init())
                await echo_works(ws)
            await bench.closed()
            assert bench.calls["c1"].end == "closed"
            assert bench.calls["c1"].returned.is_set()

    run(test)


def test_a_client_that_vanishes_ends_its_calls_and_no_others() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as beside, bench.connect() as ws:
            await beside.send(init("beside"))
            for call_id in ("a", "b"):
                await ws.send(init(call_id))
                await echo_works(ws, call_id)
            ws.transport.abort()
            for call_id in ("a", "b"):
                await bench.calls[call_id].returned.wait()
                assert bench.calls[call_id].end == "connection_lost"
            await echo_works(beside, "beside")
            assert bench.registry.active == 1

    run(test)


class TalkativeCall(FakeCall):
    """Sends audio for as long as it lives, except on the call named "beside"."""

    async def run(self) -> None:
        second = np.zeros(16_000, dtype=np.int16)
        while self.call_id != "beside" and not self.over.is_set():
            self.transport.send_audio(second)
            await asyncio.sleep(0)
        await super().run()


def test_a_client_that_never_reads_is_dropped() -> None:
    async def test() -> None:
        limits = EdgeLimits(max_outbound=256 * 1024)
        async with serving(limits=limits, call_type=TalkativeCall) as bench:
            async with bench.connect() as beside, bench.connect() as ws:
                await beside.send(init("beside"))
                await ws.send(init("deaf"))
                ws.transport.pause_reading()
                while "deaf" not in bench.calls:
                    await echo_works(beside, "beside")
                await bench.calls["deaf"].returned.wait()
                assert bench.calls["deaf"].end == "connection_lost"
                assert bench.server.counters["overflows"] == 1
                await echo_works(beside, "beside")
                assert bench.registry.active == 1
                ws.transport.abort()

    run(test)


def test_a_client_that_pings_and_never_reads_is_dropped() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as beside, bench.connect() as ws:
            await beside.send(init("beside"))
            await ws.send(init("deaf"))
            await echo_works(ws, "deaf")
            ws.transport.pause_reading()
            pings = (b"\x89\xfd\0\0\0\0" + bytes(125)) * 500
            call = bench.calls["deaf"]
            for _ in range(1000):  # more than the buffers of the two kernels hold
                if call.returned.is_set():
                    break
                ws.transport.write(pings)
                await echo_works(beside, "beside")
            assert call.end == "connection_lost"
            assert bench.server.counters["overflows"] == 1
            ws.transport.abort()

    run(test)


def test_closing_does_not_wait_for_a_client_that_never_reads() -> None:
    class Filled(FakeCall):
        async def run(self) -> None:
            for _ in range(40):
                self.transport.send_audio(np.zeros(160_000, dtype=np.int16))
                await asyncio.sleep(0)

    async def test() -> None:
        limits = EdgeLimits(max_outbound=1 << 30, close_timeout_s=0.05)
        async with serving(limits=limits, call_type=Filled) as bench, bench.connect() as ws:
            await ws.send(init())
            await ws.recv()
            ws.transport.pause_reading()
            await bench.closed()
            ws.transport.abort()

    run(test)


class EndingCall(FakeCall):
    """Ends by itself on its first audio."""

    def deliver(self, event: EdgeEvent) -> None:
        super().deliver(event)
        if isinstance(event, AudioReceived):
            self.over.set()


def test_a_socket_is_closed_after_its_last_call_is_over() -> None:
    async def test() -> None:
        async with serving(call_type=EndingCall) as bench, bench.connect() as ws:
            await ws.send(init("a"))
            await ws.send(init("b"))
            await echo_works(ws, "a")
            await bench.calls["a"].returned.wait()
            await echo_works(ws, "b")
            assert await close_code(ws) == 1000

    run(test)


class FailingCall(FakeCall):
    """Fails at the place its call id names."""

    def __init__(self, call_id: str, transport: object) -> None:
        super().__init__(call_id, transport)  # type: ignore[arg-type]
        if call_id == "in factory":
            raise RuntimeError("a bug in the factory")

    def deliver(self, event: EdgeEvent) -> None:
        kind = {"in deliver": CallStarted, "in deliver of audio": AudioReceived}.get(self.call_id)
        if kind is not None and isinstance(event, kind):
            raise RuntimeError("a bug in deliver")
        super().deliver(event)

    async def run(self) -> None:
        if self.call_id == "in run":
            raise RuntimeError("a bug in run")
        await super().run()


PLACES = ["in factory", "in deliver", "in deliver of audio", "in run"]


async def open_failing(ws: ClientConnection, place: str) -> None:
    await ws.send(init(place))
    if place == "in deliver of audio":
        await ws.send(audio(place))


@pytest.mark.parametrize("place", PLACES)
def test_a_bug_in_the_only_call_of_a_socket_closes_it(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        caplog.set_level(logging.INFO)
        async with serving(call_type=FailingCall) as bench, bench.connect() as ws:
            await open_failing(ws, place)
            assert await error_code(ws) == "internal"
            assert await close_code(ws) == 1011
            assert bench.server.counters == {"failed_calls": 1}, "the client did nothing wrong"
            assert [line for line in caplog.messages if "fail" in line] == ["call failed"]

    run(test)


@pytest.mark.parametrize("place", PLACES)
def test_a_bug_in_one_call_ends_that_call_only(place: str) -> None:
    async def test() -> None:
        async with serving(call_type=FailingCall) as bench, bench.connect() as ws:
            await ws.send(init("good"))
            await open_failing(ws, place)
            assert await error_code(ws) == "internal"
            await echo_works(ws, "good")
            assert bench.registry.active == 1

    run(test)


class StubbornCall(FakeCall):
    """Does not end when it is told to."""

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.returned.set()


def test_a_call_that_does_not_end_is_cancelled() -> None:
    async def test() -> None:
        limits = EdgeLimits(call_end_timeout_s=0.01)
        async with serving(limits=limits, call_type=StubbornCall) as bench:
            async with bench.connect() as ws:
                await ws.send(init())
                await echo_works(ws)
            await bench.closed()
            assert bench.calls["c1"].returned.is_set()

    run(test)


class LingeringCall(FakeCall):
    """Takes its time to end."""

    def __init__(self, call_id: str, transport: CallTransport) -> None:
        super().__init__(call_id, transport)
        self.may_end = asyncio.Event()

    async def run(self) -> None:
        await super().run()
        await self.may_end.wait()


def test_a_client_that_lost_its_socket_calls_again_before_the_first_call_has_ended() -> None:
    async def test() -> None:
        async with serving(call_type=LingeringCall) as bench:
            async with bench.connect() as ws:
                await ws.send(init())
                await echo_works(ws)
            first = bench.calls["c1"]
            assert isinstance(first, LingeringCall)
            await first.over.wait()
            async with bench.connect() as again:
                await again.send(init())
                await (await again.ping())  # the init has been read
                assert bench.calls["c1"] is first
                first.may_end.set()
                await echo_works(again)
                second = bench.calls["c1"]
                assert isinstance(second, LingeringCall) and second is not first
                second.may_end.set()

    run(test)


def test_a_client_calls_again_while_its_last_words_wait_to_be_read() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws, bench.connect() as again:
            await ws.send(init())
            await echo_works(ws)
            for _ in range(300):
                await ws.send(audio("other"))
            ws.transport.write_eof()
            await again.send(init())
            await echo_works(again)

    run(test)


def test_drain_lets_calls_finish_and_refuses_new_ones() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws, bench.connect() as empty:
            await ws.send(init("a"))
            await echo_works(ws, "a")
            draining = asyncio.create_task(bench.server.drain(20))
            call = bench.calls["a"]
            await call.drained.wait()
            assert await close_code(empty) == 1001
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", bench.server.port)
            await ws.send(init("b"))
            assert await error_code(ws) == "capacity"
            await echo_works(ws, "a")
            assert not draining.done()
            call.over.set()
            assert await close_code(ws) == 1001
            await draining

    run(test)


def test_an_upgrade_that_was_under_way_is_refused_during_drain() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init())
            await echo_works(ws)
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.server.port)
            # Another answered request proves that the server has accepted the socket before.
            await echo_works(ws)
            draining = asyncio.create_task(bench.server.drain(20))
            await bench.calls["c1"].drained.wait()
            upgrade = (
                "GET /call HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            writer.write(upgrade.encode())
            assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            bench.calls["c1"].over.set()
            await draining

    run(test)


def test_a_call_that_is_cut_off_by_the_shutdown_still_tells_what_was_said() -> None:
    async def test() -> None:
        async with serving(call_type=ReportingCall) as bench, bench.connect() as ws:
            await ws.send(init())
            await echo_works(ws)
            await bench.server.drain(0.01)
            assert (await message(ws))["text"] == "We are open"
            assert await close_code(ws) == 1001

    run(test)


class LongFarewell(FakeCall):
    """Takes a while to end."""

    async def run(self) -> None:
        await super().run()
        await asyncio.sleep(0.05)


def test_an_init_for_a_call_that_is_ending_is_told_so_and_opens_a_call_later() -> None:
    async def test() -> None:
        limits = EdgeLimits(idle_timeout_s=0.2)
        async with (
            serving(limits=limits, call_type=LongFarewell) as bench,
            bench.connect() as ws,
        ):
            await ws.send(init("c1"))
            await ws.send(init("beside"))
            told = {"type": "audio_out"}
            while told["type"] == "audio_out":
                await ws.send(audio("beside", FRAME[:1]))
                told = await message(ws)
            assert told["code"] == "idle_timeout"
            first = bench.calls["c1"]
            await ws.send(init("c1", ext=["interim"]))
            while told["type"] == "audio_out" or told.get("code") == "idle_timeout":
                told = await message(ws)
            assert (told["code"], told["callId"]) == ("duplicate_call", "c1")
            while bench.registry.active > 1:
                await ws.send(audio("beside", FRAME[:1]))
                await message(ws)
            await ws.send(init("c1"))
            await ws.send(audio("c1"))
            while told.get("callId") != "c1" or told["type"] != "audio_out":
                told = await message(ws)
            assert bench.calls["c1"] is not first

    run(test)


def test_a_call_that_is_told_to_end_hears_nothing_more_of_its_client() -> None:
    async def test() -> None:
        async with serving(call_type=LongFarewell) as bench, bench.connect() as ws:
            await ws.send(init())
            await echo_works(ws)
            draining = asyncio.create_task(bench.server.drain(0.01))
            await bench.calls["c1"].over.wait()
            await ws.send(audio())
            await draining
            assert bench.calls["c1"].end == "shutdown", "the last event"
            assert await close_code(ws) == 1001

    run(test)


def test_drain_closes_what_is_left_after_the_limit() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init())
            await echo_works(ws)
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.server.port)
            await echo_works(ws)
            async with asyncio.timeout(5):  # the library itself would give the other one 10 s
                await bench.server.drain(0.01)
            assert bench.calls["c1"].end == "shutdown"
            with suppress(ConnectionClosed):
                await ws.recv()
            assert ws.close_code == 1001
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    run(test)


def test_many_connections_leave_nothing_behind() -> None:
    async def test() -> None:
        async with serving() as bench:
            for n in range(30):
                async with bench.connect() as ws:
                    await ws.send(init(f"c{n}"))
                    await echo_works(ws, f"c{n}")
                    if n % 2:
                        ws.transport.abort()
            await bench.closed()
            assert not bench.server._connections and not bench.server._sockets

    run(test)
