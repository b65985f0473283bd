"""Listening calls against a gateway that is no gateway, over a real socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from gateway.bench.idle import bench_idle
from gateway.bench.served import ServedGateway
from gateway.errors import GatewayError


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

    def cpu_seconds(self) -> float:
        return 0.0

    def memory_bytes(self) -> int:
        return 0

    async def figures(self) -> dict[str, Any]:
        return {"loop_lag_ms": {}}


def test_calls_that_the_gateway_closes_are_reported() -> None:
    async def body() -> None:
        async with serve(NoGateway.handle, "127.0.0.1", 0) as server:
            gateway = NoGateway(server.sockets[0].getsockname()[1])
            await bench_idle(gateway, 2, 1, window_s=0.3, greeting_s=0.1)

    with pytest.raises(GatewayError, match="1 of 2 idle calls were closed by the gateway"):
        asyncio.run(body())
