"""Many callers at once, each holding real conversations in real time through a real socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from gateway.bench.process import cores_used
from gateway.bench.report import Report
from gateway.bench.served import ServedGateway, sample_lag
from gateway.bench.statistics import distribution, rate
from gateway.bench.task_group import first_failure
from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.simulator.caller import Caller, Exchange, Patience
from gateway.simulator.client import CallFailed, CallRefused, dial
from gateway.simulator.conversations import load_conversations
from gateway.simulator.recording import Recording

RAMP_PER_CALL_S = 0.5
"""A new caller every so often, until all are there."""

_PATIENCE = Patience(answer=15.0, reply=30.0)
_OVERRUN_S = 90.0
"""A call may go on for this long after the time is over; one that hangs is then cut off."""


@dataclass(frozen=True, slots=True)
class Script:
    """What a caller says in one call."""

    language: str
    recordings: Sequence[Recording]


@dataclass(slots=True)
class Tally:
    """What the callers met while all of them were there; of refusals and failures, all.

    Attributes:
        since: when the last caller had come; ``until``: when the first may go; loop times.
        exchanges: those whose utterance ended in between, whenever their calls began.
        greetings: those that began in between.
        calls: those that had any of them and did not fail.
        placed: all calls, whenever they were and whatever became of them.
    """

    since: float
    until: float
    exchanges: list[Exchange] = field(default_factory=list)
    greetings: list[Exchange] = field(default_factory=list)
    calls: int = 0
    placed: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, caller: Caller, began: float) -> None:
        """A call is over that began at a loop time, from which its own times are reckoned."""

        def measured(call_time: float | None) -> bool:
            return call_time is not None and self.since <= began + call_time <= self.until

        exchanges = [turn for turn in caller.turns if measured(turn.speech_end_s)]
        greetings = [caller.greeting] if measured(caller.greeting.answered_s) else []
        self.exchanges += exchanges
        self.greetings += greetings
        if caller.failure is not None:
            self.failures.append(caller.failure)
        elif exchanges or greetings:
            self.calls += 1

    def report(self) -> Report:
        """The callers' side of the figures."""
        answered = [e.voice_to_voice_s for e in self.exchanges if e.voice_to_voice_s is not None]
        replies = [*self.greetings, *self.exchanges]
        return {
            "voice_to_voice_ms": distribution([1000 * value for value in answered]),
            "turns": len(self.exchanges),
            "unanswered_turns": sum(e.answered_s is None for e in self.exchanges),
            "cut_off_turns": sum(e.cut_off for e in self.exchanges),
            "not_understood_rate": rate(
                sum(not e.caller_text for e in self.exchanges), len(self.exchanges)
            ),
            "underruns": sum(reply.underruns for reply in replies),
            "underrun_s": round(sum(reply.underrun_s for reply in replies), 3),
            "calls_placed": self.placed,
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

    Callers come one by one; measured are the turns spoken after the last has come and before the
    time is over. Each caller calls again as soon as a call is over, with another script.

    Raises:
        GatewayError: the gateway ended, or did not tell its figures.
    """
    numbers = count()
    all_there = asyncio.get_running_loop().time() + RAMP_PER_CALL_S * calls
    until = all_there + 60 * minutes
    tally = Tally(all_there, until)
    lags: list[float] = []
    with first_failure():
        async with asyncio.TaskGroup() as tasks:
            sampler = tasks.create_task(sample_lag(lags))
            for index in range(calls):
                tasks.create_task(_caller(gateway.url, conversations, index, numbers, tally))
            await asyncio.sleep(all_there - asyncio.get_running_loop().time())
            await gateway.figures()
            lags.clear()
            cpu, started = gateway.cpu_seconds(), time.perf_counter()
            await asyncio.sleep(until - asyncio.get_running_loop().time())
            cores = cores_used(cpu, gateway.cpu_seconds(), time.perf_counter() - started)
            memory = gateway.memory_bytes()
            inside = await gateway.figures()
            generator = distribution(lags, 2)
            sampler.cancel()
    return {
        "calls": calls,
        "minutes": minutes,
        **tally.report(),
        "gateway_cpu_cores": None if cores is None else round(cores, 3),
        "gateway_memory_mb": None if memory is None else round(memory / 1e6, 1),
        "loop_lag_ms": inside["loop_lag_ms"],
        "stages_ms": inside["stages"],
        "generator_loop_lag_ms": generator,
    }


@dataclass(frozen=True, slots=True)
class Limit:
    """Between which numbers of calls the largest lies that is served well.

    Attributes:
        best: the report of the largest number found to be served well; None if none was.
        below: the smallest number found not to be; None if none was.
    """

    best: Report | None
    below: int | None


async def find_limit(
    measure: Callable[[int], Awaitable[Report]],
    first: int,
    most: int,
    p95_ms: float,
    on_step: Callable[[Report], None],
) -> Limit:
    """The largest number of calls that is served well: doubling, then halving the gap to 10 %.

    The search begins with ``first`` calls, and goes down if they are too many. It ends early with
    ``most`` calls that are served well, and with a step that cannot be measured: ``on_step`` gets
    its ``failure``, and what was found before it stands.

    Raises:
        GatewayError: the first step cannot be measured.
    """
    best: Report | None = None
    below: int | None = None
    good, calls = 0, first
    while True:
        try:
            report = await measure(calls)
            well = is_served_well(report, p95_ms)
        except GatewayError as error:
            if best is None and below is None:
                raise
            on_step({"calls": calls, "failure": str(error)})
            break
        on_step(report)
        if well:
            best, good = report, calls
        else:
            below = calls
        if below is None and good < most:
            calls = min(2 * good, most)
        elif below is not None and below - good > max(1, good // 10):
            calls = (good + below) // 2
        else:
            break
    return Limit(best, below)


def is_served_well(report: Report, p95_ms: float) -> bool:
    """Every turn answered, 95 % of them in time, no gap in any reply, no call refused or lost.

    Raises:
        GatewayError: nothing was lost, but no turn was measured either.
    """
    if any(report[name] for name in ("unanswered_turns", "underruns", "calls_refused", "errors")):
        return False
    if not report["turns"]:
        raise GatewayError(
            f"not measured: no turn ended in the {report['minutes']:g} minutes in which all"
            f" {report['calls']} callers were there; give more --minutes"
        )
    p95 = report["voice_to_voice_ms"]["p95"]
    return p95 is not None and p95 <= p95_ms


async def _caller(
    url: str,
    conversations: Sequence[Script],
    index: int,
    numbers: count[int],
    tally: Tally,
) -> None:
    """One caller: call after call until the time is over."""
    now = asyncio.get_running_loop().time
    await asyncio.sleep(RAMP_PER_CALL_S * index)
    for turn in count(index):
        began = now()
        if began >= tally.until:
            return
        script = conversations[turn % len(conversations)]
        caller = Caller(script.recordings, _PATIENCE)
        tally.placed += 1
        try:
            async with asyncio.timeout_at(tally.until + _OVERRUN_S):
                await dial(url, caller, f"load-{next(numbers)}", script.language)
        except TimeoutError:
            caller.give_up(f"the call did not end within {_OVERRUN_S:g} s after its time")
        except CallFailed as error:
            if isinstance(error, CallRefused):
                tally.refused += 1
            else:
                tally.failures.append(str(error))
            await asyncio.sleep(1.0)
            continue
        tally.add(caller, began)
