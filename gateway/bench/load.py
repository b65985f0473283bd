"""Many callers at once, each holding real conversations in real time through a real socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from gateway.bench.report import Report
from gateway.bench.served import ServedGateway
from gateway.bench.statistics import distribution, rate
from gateway.settings import Settings
from gateway.simulator.caller import Exchange, Patience
from gateway.simulator.client import CallFailed, CallResult, place_call
from gateway.simulator.conversations import load_conversations
from gateway.simulator.recording import Recording

RAMP_PER_CALL_S = 0.5
"""A new caller every so often, until all are there."""

_PATIENCE = Patience(answer=15.0, reply=30.0)
_OVERRUN_S = 90.0
"""A call that has begun may go on for this long after its time."""

_LAG_SAMPLE_S = 0.05
_MAX_STEPS = 10


@dataclass(frozen=True, slots=True)
class Script:
    """What a caller says in one call."""

    language: str
    recordings: Sequence[Recording]


@dataclass(slots=True)
class Tally:
    """What the callers met, from the moment that all of them were there."""

    exchanges: list[Exchange] = field(default_factory=list)
    calls: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    underruns: int = 0
    underrun_s: float = 0.0

    def add(self, result: CallResult) -> None:
        """A call is over."""
        self.calls += 1
        self.exchanges += result.turns
        self.underruns += result.underruns
        self.underrun_s += result.underrun_s
        if result.failure is not None:
            self.failures.append(result.failure)

    def report(self) -> Report:
        """The callers' side of the figures."""
        answered = [e.voice_to_voice_s for e in self.exchanges if e.voice_to_voice_s is not None]
        unanswered = len(self.exchanges) - len(answered)
        return {
            "voice_to_voice_ms": distribution([1000 * value for value in answered]),
            "turns": len(self.exchanges),
            "unanswered_turns": unanswered,
            "not_understood_rate": rate(
                sum(not e.caller_text for e in self.exchanges), len(self.exchanges)
            ),
            "underruns": self.underruns,
            "underrun_s": round(self.underrun_s, 3),
            "calls_completed": self.calls,
            "calls_refused": self.refused,
            "errors": len(self.failures),
            "error_texts": sorted(set(self.failures))[:5],
        }


def scripts(settings: Settings) -> list[Script]:
    """The demo's conversations in the languages that are served."""
    served = [c for c in load_conversations() if c.language in settings.languages]
    return [Script(c.language, c.recordings()) for c in served]


async def bench_load(
    gateway: ServedGateway, conversations: Sequence[Script], calls: int, minutes: float
) -> Report:
    """Hold ``calls`` conversations at the same time for some minutes.

    Callers come one by one; what is measured begins with the first call of each that starts after
    the last has come. Each caller calls again as soon as a call is over, with another script.
    """
    tally = Tally()
    numbers = count()
    all_there = asyncio.get_running_loop().time() + RAMP_PER_CALL_S * calls
    until = all_there + 60 * minutes
    lags: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        sampler = tasks.create_task(_sample_lag(lags))
        callers = [
            tasks.create_task(
                _caller(gateway.url, conversations, index, numbers, tally, all_there, until)
            )
            for index in range(calls)
        ]
        await asyncio.sleep(all_there - asyncio.get_running_loop().time())
        await gateway.figures()
        lags.clear()
        cpu, started = gateway.cpu_seconds(), time.perf_counter()
        await asyncio.sleep(until - asyncio.get_running_loop().time())
        used, took = gateway.cpu_seconds() - cpu, time.perf_counter() - started
        memory = gateway.memory_bytes()
        inside = await gateway.figures()
        generator = distribution(lags, 2)
        await _finish(callers)
        sampler.cancel()
    return {
        "calls": calls,
        "minutes": minutes,
        **tally.report(),
        "gateway_cpu_cores": round(used / took, 3),
        "gateway_memory_mb": round(memory / 1e6, 1),
        "loop_lag_ms": inside["loop_lag_ms"],
        "stages_ms": inside["stages"],
        "generator_loop_lag_ms": generator,
    }


async def find_limit(
    measure: Callable[[int], Awaitable[Report]],
    first: int,
    p95_ms: float,
    on_step: Callable[[Report], None],
) -> Report | None:
    """The largest number of calls that is served well: doubling, then halving the gap to 10 %.

    Returns:
        the report of that number, or None if not even ``first`` calls are served well.
    """
    best: Report | None = None
    good, bad, calls = 0, 0, first
    for _ in range(_MAX_STEPS):
        report = await measure(calls)
        on_step(report)
        if is_served_well(report, p95_ms):
            best, good = report, calls
        else:
            bad = calls
        if not bad:
            calls = 2 * good
        elif not good or bad - good <= max(1, good // 10):
            break
        else:
            calls = (good + bad) // 2
    return best


def is_served_well(report: Report, p95_ms: float) -> bool:
    """Every turn answered, 95 % of them in time, no gap in any reply, no call refused or lost."""
    p95 = report["voice_to_voice_ms"]["p95"]
    lost = ("unanswered_turns", "underruns", "calls_refused", "errors")
    return p95 is not None and p95 <= p95_ms and not any(report[name] for name in lost)


async def _caller(
    url: str,
    conversations: Sequence[Script],
    index: int,
    numbers: count[int],
    tally: Tally,
    all_there: float,
    until: float,
) -> None:
    """One caller: call after call until the time is over."""
    now = asyncio.get_running_loop().time
    await asyncio.sleep(RAMP_PER_CALL_S * index)
    for turn in count(index):
        began = now()
        if began >= until:
            return
        script = conversations[turn % len(conversations)]
        try:
            result = await place_call(
                url,
                script.recordings,
                language=script.language,
                call_id=f"load-{next(numbers)}",
                patience=_PATIENCE,
            )
        except CallFailed as error:
            tally.refused += "503" in str(error)
            if "503" not in str(error):
                tally.failures.append(str(error))
            await asyncio.sleep(1.0)
            continue
        if began >= all_there or result.failure is not None:
            tally.add(result)


async def _finish(callers: Sequence[asyncio.Task[None]]) -> None:
    """Let the last calls end; one that hangs is cut off."""
    _, hanging = await asyncio.wait(callers, timeout=_OVERRUN_S)
    for caller in hanging:
        caller.cancel()


async def _sample_lag(lags: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(_LAG_SAMPLE_S)
        lags.append((time.perf_counter() - before - _LAG_SAMPLE_S) * 1000)
