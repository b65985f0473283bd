"""Calls in which nobody speaks: what listening costs, per call."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from gateway.audio.pcm import FRAME_MS, FRAME_SAMPLES
from gateway.bench.process import cores_used
from gateway.bench.report import Report, spread
from gateway.bench.served import ServedGateway
from gateway.errors import GatewayError
from gateway.simulator.client import CallFailed, audio_message, explain_failure

_OPENINGS_PER_SECOND = 50


async def bench_idle(
    gateway: ServedGateway, calls: int, runs: int, window_s: float, greeting_s: float = 8.0
) -> Report:
    """CPU and memory of listening calls, each sending 20 ms of silence every 20 ms.

    What the gateway uses without calls is measured first and taken off.

    Args:
        window_s: length of each measurement, seconds.
        greeting_s: time after which calls have been greeted and only listen, seconds.

    Raises:
        CallFailed: a call could not be placed.
        GatewayError: the gateway closed a call or ended, or did not tell its figures.
    """
    base = [await _cpu_share(gateway, window_s) for _ in range(runs)]
    # One call and its greeting, so that what is needed once does not count as the calls'.
    async with AsyncExitStack() as stack:
        sockets = await _open(stack, gateway.url, 1, "first")
        async with _Silence(sockets, "first"):
            await asyncio.sleep(greeting_s)
    await asyncio.sleep(1.0)
    memory_before = gateway.memory_bytes()
    async with AsyncExitStack() as stack:
        sockets = await _open(stack, gateway.url, calls, "idle")
        async with _Silence(sockets, "idle") as silence:
            await asyncio.sleep(greeting_s)
            await gateway.figures()
            silence.lateness.clear()
            shares = [await _cpu_share(gateway, window_s) for _ in range(runs)]
            memory_after = gateway.memory_bytes()
            inside = await gateway.figures()
            late = list(silence.lateness)
        if lost := sum(socket.close_code is not None for socket in sockets):
            raise GatewayError(f"{lost} of {calls} idle calls were closed by the gateway")
    used = [share for share in shares if share is not None]
    idle = [share for share in base if share is not None]
    without = spread(idle, 4)["median"]
    own = [100 * (share - without) / calls for share in used] if idle else []
    memory = None
    if memory_before is not None and memory_after is not None:
        memory = round((memory_after - memory_before) / 1024 / calls, 1)
    return {
        "calls": calls,
        "window_s": window_s,
        "gateway_cpu_percent_without_calls": spread([100 * share for share in idle], 3),
        "gateway_cpu_percent": spread([100 * share for share in used], 2),
        "cpu_percent_per_call": spread(own, 3),
        "memory_kib_per_call": memory,
        "loop_lag_ms": inside["loop_lag_ms"],
        "generator_lateness_ms": spread(late, 2),
    }


async def _cpu_share(gateway: ServedGateway, window_s: float) -> float | None:
    """Cores that the gateway uses, over a window; None where that cannot be known."""
    before, started = gateway.cpu_seconds(), time.perf_counter()
    await asyncio.sleep(window_s)
    return cores_used(before, gateway.cpu_seconds(), time.perf_counter() - started)


async def _open(stack: AsyncExitStack, url: str, calls: int, name: str) -> list[ClientConnection]:
    sockets: list[ClientConnection] = []
    for index in range(calls):
        try:
            # Without pings and proxy: only the gateway, and what a caller must send, is measured.
            socket = await stack.enter_async_context(
                connect(url, compression=None, ping_interval=None, max_size=2**22, proxy=None)
            )
            await socket.send(json.dumps({"type": "init", "callId": f"{name}-{index}"}))
        except (OSError, WebSocketException) as error:
            raise CallFailed(explain_failure(url, error)) from error
        sockets.append(socket)
        await asyncio.sleep(1 / _OPENINGS_PER_SECOND)
    return sockets


class _Silence:
    """Feeds every socket its frame of silence in turn, spread evenly over each 20 ms.

    The frames are made once and handed to the transports, so that a thousand calls can be fed from
    the machine that is measured.
    """

    def __init__(self, sockets: Sequence[ClientConnection], name: str) -> None:
        self._sockets = sockets
        samples = np.zeros(FRAME_SAMPLES, dtype=np.int16)
        self._frames = [
            Frame(Opcode.TEXT, audio_message(f"{name}-{index}", samples).encode()).serialize(
                mask=True
            )
            for index in range(len(sockets))
        ]
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []
        self.lateness: list[float] = []
        """How late each round of frames ended, ms."""

    async def __aenter__(self) -> _Silence:
        await self._tasks.__aenter__()
        self._running = [self._tasks.create_task(self._feed())]
        self._running += [self._tasks.create_task(_drop(socket)) for socket in self._sockets]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def _feed(self) -> None:
        loop = asyncio.get_running_loop()
        start, interval, groups = loop.time(), FRAME_MS / 1000, 10
        pairs = list(zip(self._sockets, self._frames, strict=True))
        step = 0
        while True:
            due = start + interval * step / groups
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            for socket, frame in pairs[step % groups :: groups]:
                if socket.state is State.OPEN:
                    socket.transport.write(frame)
            step += 1
            if step % (groups * 10) == 0:
                self.lateness.append(1000 * max(0.0, loop.time() - due))


async def _drop(socket: ClientConnection) -> None:
    try:
        while True:
            await socket.recv()
    except ConnectionClosed:
        return
