"""Listening calls against a gateway that is no gateway, over a real socket."""

from __future__ import annotations

import asyncio
import errno
import json
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from gateway.bench.idle import bench_idle
from gateway.bench.served import ServedGateway
from gateway.errors import GatewayError
from gateway.simulator.client import CallFailed


class NoGateway(ServedGateway):
    """Closes one of the calls a while after it has begun."""

    def __init__(self, port: int) -> None:
        super().__init__(calls=0)
        self.url = f"ws://127.0.0.1:{port}/"

    @staticmethod
    async def handle(socket: ServerConnection) -> None:
        call_id = json.loads(await socket.recv())["callId"]
        if call_id == "idle-1":
            await asyncio.sleep(0.1)
            return
        async for _ in socket:
            pass

    def cpu_seconds(self) -> float | None:
        return 0.0

    def memory_bytes(self) -> int | None:
        return 0

    async def figures(self) -> dict[str, Any]:
        return {"loop_lag_ms": {}}


class UnknownUsage(NoGateway):
    """Runs on a system that does not tell what a process uses."""

    cpu_seconds = ServedGateway.cpu_seconds
    memory_bytes = ServedGateway.memory_bytes
    pid = 2**22 + 1


def test_what_the_system_does_not_tell_is_unknown_not_zero() -> None:
    async def body() -> dict[str, Any]:
        async with serve(NoGateway.handle, "127.0.0.1", 0) as server:
            gateway = UnknownUsage(server.sockets[0].getsockname()[1])
            return await bench_idle(gateway, 1, 1, window_s=0.02, greeting_s=0.02)

    report = asyncio.run(body())
    for name in (
        "gateway_cpu_percent_without_calls",
        "gateway_cpu_percent",
        "cpu_percent_per_call",
    ):
        assert report[name]["median"] is None
    assert report["memory_kib_per_call"] is None


def test_calls_that_the_gateway_closes_are_reported_whatever_proxy_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")

    async def body() -> None:
        async with serve(NoGateway.handle, "127.0.0.1", 0) as server:
            gateway = NoGateway(server.sockets[0].getsockname()[1])
            await bench_idle(gateway, 2, 1, window_s=0.3, greeting_s=0.1)

    with pytest.raises(GatewayError, match="1 of 2 idle calls were closed by the gateway"):
        asyncio.run(body())


def test_a_refused_call_is_one_clear_failure() -> None:
    def refuse(socket: ServerConnection, request: Request) -> Response:
        return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "full")

    async def body() -> None:
        async with serve(NoGateway.handle, "127.0.0.1", 0, process_request=refuse) as server:
            gateway = NoGateway(server.sockets[0].getsockname()[1])
            await bench_idle(gateway, 2, 1, window_s=0.02, greeting_s=0.02)

    with pytest.raises(CallFailed, match=r"takes no calls now \(503\): full"):
        asyncio.run(body())


def test_a_call_that_the_system_does_not_allow_is_one_clear_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(*_: object, **options: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("gateway.bench.idle.connect", connect)
    with pytest.raises(CallFailed, match="Too many open files"):
        asyncio.run(bench_idle(NoGateway(9), 2, 1, window_s=0.02, greeting_s=0.02))
