"""Under load the gateway gives up speculation, then partial transcripts, then new calls."""

from __future__ import annotations

import asyncio
import logging
import math

import pytest

from gateway.calls.load import (
    Delays,
    LoadLevel,
    LoadMonitor,
    LoadPolicy,
    LoadReading,
    LoadSampler,
)
from gateway.calls.registry import CallRegistry
from gateway.engines.base import EngineLoad
from gateway.errors import CapacityError
from tests.virtual_time import VirtualTimeLoop, run

POLICY = LoadPolicy(speculation_s=0.2, partials_s=0.4, refuse_s=0.8, stay_s=3.0, smoothing_s=2.0)


def waits(stt_s: float) -> LoadReading:
    return LoadReading(stt=EngineLoad(1, stt_s))


def watch(monitor: LoadMonitor, reading: LoadReading, start: float, seconds: float) -> list[str]:
    """Names of the levels that are entered during some seconds of equal readings."""
    entered = []
    for tick in range(round(seconds / 0.05)):
        if monitor.observe(reading, start + 0.05 * tick):
            entered.append(monitor.level.name)
    return entered


def test_a_quiet_gateway_gives_nothing_up() -> None:
    monitor = LoadMonitor(POLICY)
    assert watch(monitor, waits(0.1), 0.0, 60.0) == []
    assert monitor.may_speculate and monitor.refusal is None


def test_speculation_and_partials_are_given_up_before_calls_are_refused() -> None:
    monitor = LoadMonitor(POLICY)
    assert watch(monitor, waits(2.0), 0.0, 2.9) == ["NO_SPECULATION"]
    assert not monitor.may_speculate and monitor.may_send_partials
    assert watch(monitor, waits(2.0), 2.9, 3.0) == ["NO_PARTIALS"]
    assert not monitor.may_send_partials and monitor.refusal is None
    assert watch(monitor, waits(2.0), 5.9, 3.0) == ["REFUSE"]
    assert monitor.refusal is not None and monitor.refusal.startswith("the gateway is busy")


def test_levels_are_left_one_by_one_when_the_load_is_gone() -> None:
    monitor = LoadMonitor(POLICY)
    watch(monitor, waits(2.0), 0.0, 10.0)
    left = watch(monitor, waits(0.0), 10.0, 30.0)
    assert left == ["NO_PARTIALS", "NO_SPECULATION", "NORMAL"]


def test_a_short_burst_changes_nothing() -> None:
    monitor = LoadMonitor(POLICY)
    watch(monitor, waits(0.0), 0.0, 1.0)
    assert watch(monitor, waits(1.0), 1.0, 0.2) == []
    assert watch(monitor, waits(0.0), 1.2, 10.0) == []


def test_a_load_around_a_limit_does_not_make_the_level_flap() -> None:
    monitor = LoadMonitor(POLICY)
    changes = []
    for second in range(0, 60, 2):
        changes += watch(monitor, waits(0.25), second, 1.0)
        changes += watch(monitor, waits(0.15), second + 1, 1.0)
    assert changes == ["NO_SPECULATION"]


def test_a_level_is_kept_for_its_shortest_stay() -> None:
    monitor = LoadMonitor(POLICY)
    changed = []
    for second in range(60):
        reading = waits(4.0 if second % 2 else 0.0)
        for tick in range(20):
            now = second + 0.05 * tick
            if monitor.observe(reading, now):
                changed.append(now)
    assert changed
    assert all(b - a >= POLICY.stay_s for a, b in zip(changed, changed[1:], strict=False))


def test_a_level_is_kept_for_its_shortest_stay_though_the_load_is_gone() -> None:
    monitor = LoadMonitor(POLICY)
    assert watch(monitor, waits(2.0), 0.0, 0.3) == ["NO_SPECULATION"]
    assert watch(monitor, waits(0.0), 0.3, 2.7) == []
    assert monitor.delays.total < POLICY.speculation_s / 2
    assert watch(monitor, waits(0.0), 3.0, 1.0) == ["NORMAL"]


def test_delays_of_all_parts_add_up() -> None:
    monitor = LoadMonitor(POLICY)
    reading = LoadReading(EngineLoad(1, 0.1), EngineLoad(1, 0.2), EngineLoad(1, 0.3), lag_s=0.05)
    watch(monitor, reading, 0.0, 60.0)
    assert monitor.delays.total == pytest.approx(0.85)
    assert monitor.delays.milliseconds() == {
        "delay_ms": 850,
        "stt_ms": 100,
        "chat_ms": 200,
        "step_ms": 0,
        "tts_ms": 300,
        "loop_ms": 250,
    }


def test_a_large_model_alone_is_no_load_but_what_other_calls_add_is() -> None:
    monitor = LoadMonitor(POLICY)
    assert watch(monitor, LoadReading(chat=EngineLoad(step_s=0.3)), 0.0, 30.0) == []
    assert monitor.delays == Delays()
    shared = LoadReading(chat=EngineLoad(step_s=0.35))
    assert watch(monitor, shared, 30.0, 3.0) == ["NO_SPECULATION"]
    watch(monitor, shared, 33.0, 30.0)
    assert monitor.delays.step == pytest.approx(8 * 0.05, rel=0.01)


@pytest.mark.parametrize(
    ("policy", "levels"),
    [
        (LoadPolicy(speculation_s=0), ["NO_PARTIALS", "REFUSE"]),
        (LoadPolicy(partials_s=0), ["NO_SPECULATION", "REFUSE"]),
        (LoadPolicy(refuse_s=0), ["NO_SPECULATION", "NO_PARTIALS"]),
        (LoadPolicy(speculation_s=0, partials_s=0, refuse_s=0), []),
    ],
)
def test_a_level_can_be_switched_off(policy: LoadPolicy, levels: list[str]) -> None:
    monitor = LoadMonitor(policy)
    assert watch(monitor, waits(5.0), 0.0, 30.0) == levels
    assert watch(monitor, waits(0.0), 30.0, 60.0) == [*levels[-2::-1], "NORMAL"][: len(levels)]
    assert policy.limit(LoadLevel.NORMAL) == math.inf


def test_the_sampler_refuses_calls_and_says_each_change_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Engine:
        current_load = EngineLoad(4, 3.0)

    async def main(loop: VirtualTimeLoop) -> None:
        monitor, registry = LoadMonitor(POLICY), CallRegistry(5)
        registry.open("a")
        engine = Engine()
        sampler = LoadSampler(monitor, registry, stt=engine, chat=None, tts=None)
        task = loop.create_task(sampler.run())
        await asyncio.sleep(10)
        with pytest.raises(CapacityError, match="busy: its calls wait"):
            registry.admit()
        engine.current_load = EngineLoad()
        await asyncio.sleep(30)
        registry.admit()
        task.cancel()

    with caplog.at_level(logging.INFO, "gateway.calls.load"):
        run(main)
    changes = [record.getMessage().split(" with ")[0] for record in caplog.records]
    assert changes == [
        "load: normal -> no_speculation",
        "load: no_speculation -> no_partials",
        "load: no_partials -> refuse",
        "load: refuse -> no_partials",
        "load: no_partials -> no_speculation",
        "load: no_speculation -> normal",
    ]
    assert all("\n" not in record.getMessage() for record in caplog.records)
