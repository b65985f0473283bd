"""A server on a loopback port with calls that only record and echo."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.audio.pcm import Samples
from gateway.calls.base import CallTransport
from gateway.calls.registry import CallRegistry
from gateway.events import AudioReceived, CallEnded, EdgeEvent
from gateway.servers.connection import EdgeLimits
from gateway.servers.http import Readiness
from gateway.servers.websocket import WebSocketServer

T = TypeVar("T")

FRAME: Samples = np.arange(320, dtype=np.int16)


def run(test: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run an async test; the limit only keeps a broken one from hanging."""

    async def guarded() -> T:
        async with asyncio.timeout(30):
            result = await test()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks nobody owns: {left}"
        return result

    return asyncio.run(guarded())


class FakeCall:
    """Records events, echoes audio, ends on CallEnded."""

    def __init__(self, call_id: str, transport: CallTransport) -> None:
        self.call_id = call_id
        self.transport = transport
        self.events: list[EdgeEvent] = []
        self.drained = asyncio.Event()
        self.over = asyncio.Event()
        self.returned = asyncio.Event()
        self._changed = asyncio.Event()

    def deliver(self, event: EdgeEvent) -> None:
        self.events.append(event)
        self._changed.set()
        if isinstance(event, AudioReceived):
            self.transport.send_audio(event.samples)
        if isinstance(event, CallEnded):
            self.over.set()

    async def run(self) -> None:
        try:
            await self.over.wait()
        finally:
            self.returned.set()

    def drain(self) -> None:
        self.drained.set()

    async def received(self, count: int) -> list[EdgeEvent]:
        """The first ``count`` events, once they are there."""
        while len(self.events) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.events[:count]

    @property
    def end(self) -> str | None:
        """Reason of the CallEnded, once delivered."""
        last = self.events[-1] if self.events else None
        return last.reason if isinstance(last, CallEnded) else None


class ReportingCall(FakeCall):
    """Tells what was heard of an answer once it has been told that it is over."""

    async def run(self) -> None:
        await super().run()
        self.transport.send_transcript("assistant", "We are open", 1)


class Bench:
    """A running server with what a test looks at."""

    def __init__(
        self,
        *,
        max_calls: int,
        limits: EdgeLimits,
        readiness: Readiness | None,
        call_type: Callable[[str, CallTransport], FakeCall],
        allowed_origins: Iterable[str] = (),
        max_sockets: int = sys.maxsize,
    ) -> None:
        self.calls: dict[str, FakeCall] = {}
        self.registry = CallRegistry(max_calls)
        self._call_type = call_type
        self.server = WebSocketServer(
            self._make,
            self.registry,
            port=0,
            limits=limits,
            readiness=readiness,
            allowed_origins=allowed_origins,
            max_sockets=max_sockets,
        )

    def _make(self, call_id: str, transport: CallTransport) -> FakeCall:
        self.calls[call_id] = self._call_type(call_id, transport)
        return self.calls[call_id]

    def url(self, path: str = "/call") -> str:
        return f"ws://127.0.0.1:{self.server.port}{path}"

    def connect(self, path: str = "/call") -> connect:
        return connect(self.url(path), compression=None)

    async def closed(self) -> None:
        """Wait until no socket and no call is left."""
        await self.server._all_closed.wait()
        assert (self.registry.active, self.registry.reserved) == (0, 0)


@asynccontextmanager
async def serving(
    *,
    max_calls: int = 10,
    limits: EdgeLimits | None = None,
    readiness: Readiness | None = None,
    call_type: Callable[[str, CallTransport], FakeCall] = FakeCall,
    allowed_origins: Iterable[str] = (),
    max_sockets: int = sys.maxsize,
) -> AsyncIterator[Bench]:
    bench = Bench(
        max_calls=max_calls,
        limits=limits or EdgeLimits(),
        readiness=readiness,
        call_type=call_type,
        allowed_origins=allowed_origins,
        max_sockets=max_sockets,
    )
    async with bench.server:
        yield bench
    await bench.closed()


def init(call_id: object = "c1", **more: object) -> str:
    return json.dumps({"type": "init", "callId": call_id, **more})


def audio(call_id: str = "c1", samples: Samples = FRAME) -> str:
    chunk = base64.b64encode(samples.astype("<i2").tobytes()).decode()
    return json.dumps({"type": "audio", "callId": call_id, "chunk": chunk})


def echoed(call_id: str = "c1", samples: Samples = FRAME) -> dict[str, Any]:
    return {**json.loads(audio(call_id, samples)), "type": "audio_out"}


async def message(ws: ClientConnection) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(await ws.recv())
    return value


async def error_code(ws: ClientConnection) -> str:
    received = await message(ws)
    assert received["type"] == "error", received
    return str(received["code"])


async def close_code(ws: ClientConnection) -> int | None:
    """Close code of the server, after whatever it still sends."""
    try:
        while True:
            await ws.recv()
    except ConnectionClosed:
        return ws.close_code


async def echo_works(ws: ClientConnection, call_id: str = "c1") -> None:
    """A call is undisturbed: what it says comes back as the very next message."""
    await ws.send(audio(call_id))
    assert await message(ws) == echoed(call_id)
