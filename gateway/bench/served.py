"""A gateway in a process of its own, so that what it costs is not mixed with what calls it costs.

Run as ``python -m gateway.bench.served``: prints one JSON line when it takes calls, then one for
every line on its standard input (the figures since the line before), and ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from gateway.bench.process import cpu_seconds, memory_bytes
from gateway.bench.statistics import distribution
from gateway.bench.surroundings import quiet_settings
from gateway.calls.records import TurnRecord
from gateway.errors import GatewayError
from gateway.event_loop import run

_SAMPLE_S = 0.05
_START_TIMEOUT_S = 300.0
_ANSWER_TIMEOUT_S = 30.0


class ServedGateway:
    """Starts that process and talks to it.

    Args:
        calls: that it admits at the same time.
    """

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        """Start it and wait until it takes calls.

        Raises:
            GatewayError: it did not start (it has said why on standard error), or not in time.
        """
        changes = {
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": "0",
            "GATEWAY_MAX_CALLS": str(self._calls),
            # It speaks only when it answers: anything else would be measured as an answer.
            "ACKNOWLEDGE_AFTER_MS": "0",
            "IDLE_CALLER_S": "0",
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "gateway.bench.served"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C goes to the benchmark alone; this process ends when its input does.
            start_new_session=True,
            env={**os.environ, **changes},
        )
        try:
            self.url = (await self._line(_START_TIMEOUT_S))["url"]
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def cpu_seconds(self) -> float | None:
        """CPU time it has used so far, seconds; None where that cannot be known."""
        return cpu_seconds(self.pid)

    def memory_bytes(self) -> int | None:
        """Its resident memory; None where that cannot be known."""
        return memory_bytes(self.pid)

    async def figures(self) -> dict[str, Any]:
        """What it measured since it was asked last: ``loop_lag_ms`` and ``stages``.

        Raises:
            GatewayError: it ended, or does not answer.
        """
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await self._line(_ANSWER_TIMEOUT_S)

    async def _line(self, timeout_s: float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._process.stdout.readline()
        except TimeoutError as error:
            raise GatewayError(
                f"the gateway under test did not answer within {timeout_s:g} s"
            ) from error
        if not line:
            raise GatewayError("the gateway under test ended; its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


class _Measurements:
    """Collects turns and loop lag, in ms, until they are read."""

    def __init__(self) -> None:
        self._turns: list[TurnRecord] = []
        self.lags: list[float] = []

    def add(self, record: TurnRecord) -> None:
        self._turns.append(record)

    def take(self) -> dict[str, Any]:
        """The figures so far, in ms; begins anew."""
        stages: dict[str, list[float]] = {}
        for record in self._turns:
            for name, value in (asdict(record.latency) if record.latency else {}).items():
                stages.setdefault(name, []).append(value)
        figures = {
            "loop_lag_ms": distribution(self.lags, 2),
            "stages": {name: distribution(values) for name, values in stages.items()},
        }
        self._turns.clear()
        self.lags.clear()
        return figures


async def sample_lag(lags: list[float]) -> None:
    """Note how late the event loop wakes up a sleeper, in ms, again and again."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(_SAMPLE_S)
        lags.append((time.perf_counter() - before - _SAMPLE_S) * 1000)


async def _serve() -> None:
    from gateway.app import Gateway

    settings = quiet_settings()
    measurements = _Measurements()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Gateway(settings, on_turn=measurements.add) as gateway:
        await gateway.ready()
        print(json.dumps({"url": gateway.url}), flush=True)
        async with asyncio.TaskGroup() as tasks:
            sampler = tasks.create_task(sample_lag(measurements.lags))
            while await reader.readline():
                print(json.dumps(measurements.take()), flush=True)
            sampler.cancel()


if __name__ == "__main__":
    try:
        run(_serve())
    except GatewayError as error:
        sys.exit(f"error: {error}")
