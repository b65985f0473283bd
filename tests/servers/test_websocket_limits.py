"""What a connection may not do: come when full, stay silent, take a used call id."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from unittest.mock import Mock

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.server import ServerProtocol

from gateway.calls.registry import CallRegistry
from gateway.errors import ConfigError
from gateway.events import CallStarted, EdgeEvent
from gateway.protocols.native import MAX_BAD_JSON
from gateway.servers.address import local_url
from gateway.servers.connection import EdgeLimits
from gateway.servers.http import Readiness
from gateway.servers.websocket import READ_SIZE, WebSocketServer, listen_problem
from tests.servers.harness import (
    FRAME,
    Bench,
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

UPGRADE = (
    b"GET /call HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def refused(bench: Bench, path: str = "/call") -> tuple[int, str]:
    """Status and text of an upgrade that is turned down."""
    with pytest.raises(InvalidStatus) as info:
        async with bench.connect(path):
            pass
    response = info.value.response
    return response.status_code, bytes(response.body or b"").decode().strip()


async def get(bench: Bench, request: str) -> str:
    """The whole answer to a plain HTTP request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.server.port)
    writer.write(f"{request}\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return answer


def test_connections_beyond_the_limit_are_closed_and_disturb_no_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async with serving(max_sockets=3) as bench, bench.connect() as ws:
            await ws.send(init())
            address = "127.0.0.1", bench.server.port
            idle = [await asyncio.open_connection(*address) for _ in range(2)]
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.read() == b""
            await echo_works(ws)
            assert not any(reader.at_eof() for reader, _ in idle)
            for _, opened in (*idle, (reader, writer)):
                opened.close()

    with caplog.at_level(logging.INFO):
        run(test)
    assert "connection refused: 3 are open" in caplog.text


def test_pages_tell_health_and_readiness() -> None:
    async def test() -> None:
        readiness = Readiness("stt")
        async with serving(readiness=readiness) as bench:
            assert (await get(bench, "GET /healthz HTTP/1.1")).endswith("\r\n\r\nok\n")
            answer = await get(bench, "GET /readyz HTTP/1.1")
            assert answer.startswith("HTTP/1.1 503 ")
            assert '"ready": false' in answer and '"stt": false' in answer
            readiness.mark("stt")
            answer = await get(bench, "GET /readyz HTTP/1.1")
            assert answer.startswith("HTTP/1.1 200 ") and '"max_calls": 10' in answer

    run(test)


def test_a_gateway_that_is_not_ready_refuses_before_the_upgrade() -> None:
    async def test() -> None:
        readiness = Readiness("stt", "llm")
        readiness.mark("stt")
        async with serving(readiness=readiness) as bench:
            text = "the gateway is not ready, waiting for: llm"
            assert await refused(bench) == (503, text)

    run(test)


@pytest.mark.parametrize("path", ["/wrong", "//["])
def test_an_unknown_path_is_told_the_known_ones(path: str) -> None:
    async def test() -> None:
        async with serving() as bench:
            status, text = await refused(bench, path)
            assert status == 404
            assert "WebSocket: / /call" in text and "HTTP: /healthz /readyz" in text

    run(test)


def test_a_full_gateway_refuses_before_the_upgrade_and_takes_the_next_when_free() -> None:
    async def test() -> None:
        async with serving(max_calls=2) as bench:
            async with bench.connect() as first, bench.connect():
                text = "all 2 calls of the gateway are in use; try again later"
                assert await refused(bench) == (503, text)
                await first.send(init("a"))
                await echo_works(first, "a")
                assert (await refused(bench))[0] == 503
                assert (bench.registry.active, bench.registry.reserved) == (1, 1)
            await bench.closed()
            async with bench.connect() as ws:
                await ws.send(init())
                await echo_works(ws)

    run(test)


def test_a_busy_gateway_refuses_before_the_upgrade_says_when_to_come_back_and_shows_it() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init("a"))
            await echo_works(ws, "a")
            bench.registry.refuse_new("the gateway is busy")
            assert await refused(bench) == (503, "the gateway is busy")
            with pytest.raises(InvalidStatus) as caught:
                await bench.connect()
            assert int(caught.value.response.headers["Retry-After"]) > 0
            page = (await get(bench, "GET /readyz HTTP/1.1")).partition("\r\n\r\n")[2]
            shown = json.loads(page)
            assert (shown["calls"], shown["free"], shown["level"]) == (1, 0, "normal")
            assert shown["load"]["delay_ms"] == 0
            bench.registry.refuse_new(None)
            async with bench.connect():
                pass
            await echo_works(ws, "a")

    run(test)


def test_a_request_that_does_not_upgrade_holds_no_place() -> None:
    async def test() -> None:
        async with serving(max_calls=1) as bench:
            assert " 426 " in (await get(bench, "GET /call HTTP/1.1")).splitlines()[0]
            assert " 503 " not in (await get(bench, "GET /healthz HTTP/1.1")).splitlines()[0]
            async with bench.connect() as ws:
                await ws.send(init())
                await echo_works(ws)

    run(test)


def test_a_connection_that_is_lost_before_its_upgrade_is_answered_holds_no_place() -> None:
    async def test() -> None:
        async with serving() as bench:
            server = bench.server._server
            assert server is not None
            # As uvloop may do it: the loss is told before the request has been looked at.
            ws = bench.server._create_connection(ServerProtocol(), server)
            transport = Mock(spec=asyncio.Transport)
            transport.get_write_buffer_size.return_value = 0
            ws.connection_made(transport)
            ws.data_received(UPGRADE)
            ws.connection_lost(None)
            await asyncio.gather(*server.handler_tasks)
            assert ws.response is not None and ws.response.status_code == 101
            assert bench.registry.reserved == 0

    run(test)


def test_a_further_call_on_a_socket_is_refused_when_full_and_the_first_goes_on() -> None:
    async def test() -> None:
        async with serving(max_calls=1) as bench, bench.connect() as ws:
            await ws.send(init("a"))
            await ws.send(init("b"))
            received = await message(ws)
            assert (received["code"], received["callId"]) == ("capacity", "b")
            await echo_works(ws, "a")

    run(test)


def test_a_call_id_in_use_on_another_socket_closes_the_socket_that_has_no_other_call() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws, bench.connect() as second:
            await ws.send(init("a"))
            await echo_works(ws, "a")
            await second.send(init("a"))
            assert await error_code(second) == "duplicate_call"
            assert await close_code(second) == 4409
            await echo_works(ws, "a")

    run(test)


def test_a_call_id_in_use_does_not_end_the_other_calls_of_its_socket() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws, bench.connect() as second:
            await ws.send(init("a"))
            await echo_works(ws, "a")
            await second.send(init("b"))
            await second.send(init("a"))
            assert await error_code(second) == "duplicate_call"
            await echo_works(second, "b")
            await echo_works(ws, "a")

    run(test)


def test_a_call_that_is_refused_is_not_told_that_it_is_ready() -> None:
    async def test() -> None:
        async with serving(max_calls=2) as bench, bench.connect() as ws, bench.connect() as second:
            await ws.send(init("a"))
            await echo_works(ws, "a")
            await second.send(init("a", ext=["interim"]))
            assert await error_code(second) == "duplicate_call"
            assert await close_code(second) == 4409
            await ws.send(init("b"))
            await ws.send(init("c", ext=["interim"]))
            assert await error_code(ws) == "capacity"
            await echo_works(ws, "a")

    run(test)


class GreetingCall(FakeCall):
    """Speaks as soon as it has started."""

    def deliver(self, event: EdgeEvent) -> None:
        super().deliver(event)
        if isinstance(event, CallStarted):
            self.transport.send_audio(FRAME)


def test_a_call_is_told_that_it_is_ready_before_it_hears_anything() -> None:
    async def test() -> None:
        async with serving(call_type=GreetingCall) as bench, bench.connect() as ws:
            await ws.send(init(ext=["interim"]))
            assert [(await message(ws))["type"] for _ in range(2)] == ["ready", "audio_out"]

    run(test)


def closings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log tells of connections that the gateway closed."""
    return [text for text in caplog.messages if text.startswith("connection closed: ")]


def test_a_socket_without_init_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        caplog.set_level(logging.INFO)
        limits = EdgeLimits(init_timeout_s=0.01)
        async with serving(limits=limits) as bench, bench.connect() as ws:
            assert await close_code(ws) == 4408
            assert closings(caplog) == ["connection closed: 4408 expected 'init' within 0.01 s"]

    run(test)


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        (b"\x81\xff\0\0\0\0\0\x04\0\1", 1009, "frame with 262145 bytes exceeds limit of"),
        (b"\x81\x81\0\0\0\0\xff", 1007, "invalid start byte at position 0"),
        (b"\x83\x80\0\0\0\0", 1002, "invalid opcode"),
        (b"\x81\x81\0\0\0\0x" * (MAX_BAD_JSON + 1), 1007, "more than 10 messages were not JSON"),
    ],
    ids=["too large", "not UTF-8", "no such frame", "no JSON"],
)
def test_what_is_no_message_is_told_in_the_close_reason_and_in_the_log(
    sent: bytes, code: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        caplog.set_level(logging.INFO)
        async with serving() as bench, bench.connect() as beside, bench.connect() as ws:
            await beside.send(init("beside"))
            await ws.send(init())
            ws.transport.write(sent)
            assert await close_code(ws) == code
            assert ws.close_reason is not None and ws.close_reason.startswith(reason)
            await bench.calls["c1"].returned.wait()
            assert closings(caplog) == [f"connection closed: {code} {ws.close_reason}"]
            await echo_works(beside, "beside")

    run(test)


def test_a_socket_that_is_closing_already_is_not_closed_for_another_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        caplog.set_level(logging.INFO)
        limits = EdgeLimits(init_timeout_s=0.05, close_timeout_s=0.1)
        async with serving(limits=limits) as bench, bench.connect() as ws:
            ws.transport.pause_reading()
            for _ in range(MAX_BAD_JSON + 1):
                await ws.send("x")
            await bench.closed()
            text = "connection closed: 1007 more than 10 messages were not JSON"
            assert closings(caplog) == [text]
            ws.transport.abort()

    run(test)


def test_a_client_that_answers_no_ping_is_told_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        caplog.set_level(logging.INFO)
        monkeypatch.setattr("gateway.servers.websocket.PING_S", 0.05)
        async with serving(limits=EdgeLimits(close_timeout_s=0.1)) as bench:
            async with bench.connect() as ws:
                await ws.send(init())
                ws.transport.pause_reading()
                await bench.closed()
                assert closings(caplog) == ["connection closed: 1011 keepalive ping timeout"]
                assert bench.server.counters["violations"] == 0
                ws.transport.abort()

    run(test)


def test_a_code_with_which_the_client_closes_is_no_violation_of_its(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        caplog.set_level(logging.INFO)
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init())
            await ws.close(1002, "you broke the rules")
        assert closings(caplog) == [] and bench.server.counters["violations"] == 0

    run(test)


def test_a_flood_is_read_in_small_pieces_between_which_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pieces: list[int] = []
    data_received = ServerConnection.data_received

    def noting(self: ServerConnection, data: bytes) -> None:
        pieces.append(len(data))
        data_received(self, data)

    monkeypatch.setattr(ServerConnection, "data_received", noting)

    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init())
            ws.transport.write(b"\x8a\x80\0\0\0\0" * 10_000)
            await echo_works(ws)
        assert sum(pieces) > 60_000 and max(pieces) <= READ_SIZE

    run(test)


def test_a_silent_call_is_ended() -> None:
    async def test() -> None:
        limits = EdgeLimits(idle_timeout_s=0.01)
        async with serving(limits=limits) as bench, bench.connect() as ws:
            await ws.send(init())
            assert await error_code(ws) == "idle_timeout"
            assert await close_code(ws) == 1000
            assert bench.calls["c1"].end == "idle_timeout"

    run(test)


def test_a_call_that_is_ended_still_tells_what_was_said() -> None:
    async def test() -> None:
        limits = EdgeLimits(idle_timeout_s=0.01)
        async with (
            serving(limits=limits, call_type=ReportingCall) as bench,
            bench.connect() as ws,
        ):
            await ws.send(init(ext=["interim"]))
            assert (await message(ws))["type"] == "ready"
            assert await error_code(ws) == "idle_timeout"
            last = await message(ws)
            assert (last["text"], last["final"]) == ("We are open", True)
            assert await close_code(ws) == 1000

    run(test)


def test_a_silent_call_leaves_the_talking_call_on_its_socket() -> None:
    async def test() -> None:
        limits = EdgeLimits(idle_timeout_s=0.3)
        async with serving(limits=limits) as bench, bench.connect() as ws:
            await ws.send(init("silent"))
            await ws.send(init("talking"))
            heard = {"type": "audio_out"}
            while heard["type"] == "audio_out":
                await ws.send(audio("talking", FRAME[:1]))
                heard = await message(ws)
            assert (heard["code"], heard["callId"]) == ("idle_timeout", "silent")
            await bench.calls["silent"].returned.wait()
            assert bench.calls["talking"].end is None

    run(test)


def test_a_host_none_of_whose_addresses_is_here_is_told_with_what_to_do() -> None:
    error = OSError("could not bind on any address out of [('192.0.2.1', 8765)]")
    assert "set GATEWAY_HOST to one it has" in listen_problem("192.0.2.1", 8765, error)


def test_an_ipv6_address_is_told_in_brackets(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        server = WebSocketServer(FakeCall, CallRegistry(1), host="::1", port=0)
        try:
            await server.start()
        except ConfigError as error:
            pytest.skip(str(error))
        async with connect(local_url("::", server.port), compression=None):
            pass
        await server.close()
        assert f"listening on ws://[::1]:{server.port}" in caplog.text

    caplog.set_level(logging.INFO)
    run(test)
    error = OSError(errno.EADDRINUSE, "in use")
    assert listen_problem("::1", 80, error).startswith("cannot listen on [::1]:80: ")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "ws://127.0.0.1:80/"),
        ("0.0.0.0", "ws://127.0.0.1:80/"),
        ("::", "ws://[::1]:80/"),
        ("0:0:0:0:0:0:0:0", "ws://[::1]:80/"),
        ("fe80::1%eth0", "ws://[fe80::1%eth0]:80/"),
        ("10.0.0.5", "ws://10.0.0.5:80/"),
        ("desk.example.com", "ws://desk.example.com:80/"),
    ],
)
def test_a_client_on_this_machine_calls_where_the_gateway_listens(host: str, url: str) -> None:
    assert local_url(host, 80) == url


def test_a_port_that_is_taken_is_a_configuration_error_with_advice() -> None:
    async def test() -> None:
        async with serving() as bench:
            port = bench.server.port
            second = WebSocketServer(FakeCall, bench.registry, port=port)
            with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: the port is taken.*PORT"):
                await second.start()

    run(test)
