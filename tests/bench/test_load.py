"""The load benchmark: what counts as served well, the search for the limit, and short real runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.bench.idle import bench_idle
from gateway.bench.load import Tally, bench_load, find_limit, is_served_well, scripts
from gateway.bench.served import ServedGateway
from gateway.errors import GatewayError
from gateway.settings import load_settings

GOOD: dict[str, Any] = {
    "voice_to_voice_ms": {"p95": 900.0},
    "unanswered_turns": 0,
    "underruns": 0,
    "calls_refused": 0,
    "errors": 0,
}


def test_a_load_is_served_well_when_nothing_went_wrong_in_time() -> None:
    assert is_served_well(GOOD, 1000) and not is_served_well(GOOD, 800)
    for name in ("unanswered_turns", "underruns", "calls_refused", "errors"):
        assert not is_served_well({**GOOD, name: 1}, 1000)
    assert not is_served_well({**GOOD, "voice_to_voice_ms": {"p95": None}}, 1000)


@pytest.mark.parametrize(("capacity", "found"), [(37, 36), (4, 4), (3, 3), (0, None)])
def test_the_limit_is_found_within_a_tenth(capacity: int, found: int | None) -> None:
    steps: list[int] = []

    async def measure(calls: int) -> dict[str, Any]:
        return {**GOOD, "calls": calls, "errors": int(calls > capacity)}

    best = asyncio.run(find_limit(measure, 3, 1000, lambda step: steps.append(step["calls"])))
    assert (best and best["calls"]) == found
    assert len(steps) <= 10 and len(set(steps)) == len(steps)


def test_nothing_measured_is_not_served_well() -> None:
    report = Tally().report()
    assert report["turns"] == 0 and not is_served_well(report, 1e9)


def test_callers_are_answered_and_listening_calls_are_weighed() -> None:
    """One gateway in its own process, for both benchmarks at their shortest."""
    settings = load_settings(None).model_copy(update={"gateway_languages": "en"})
    short = [replace(script, recordings=script.recordings[:1]) for script in scripts(settings)]

    async def body() -> tuple[dict[str, Any], dict[str, Any]]:
        async with asyncio.timeout(150), ServedGateway(4) as gateway:
            loaded = await bench_load(gateway, short, calls=1, minutes=0.02)
            return loaded, await bench_idle(gateway, 3, 1, window_s=0.5, greeting_s=0.5)

    loaded, idle = asyncio.run(body())
    assert loaded["errors"] == loaded["calls_refused"] == 0, loaded["error_texts"]
    assert loaded["gateway_memory_mb"] > 0 and loaded["loop_lag_ms"]["n"] > 0
    assert idle["cpu_percent_per_call"]["runs"] == 1
    assert idle["gateway_cpu_percent"]["median"] > 0


def test_the_gateway_under_test_speaks_only_when_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACKNOWLEDGE_AFTER_MS", "1500")
    started: dict[str, str] = {}

    async def start(*command: str, env: dict[str, str], **pipes: int) -> None:
        started.update(env)
        raise GatewayError("started")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    with pytest.raises(GatewayError, match="started"):
        asyncio.run(ServedGateway(1).__aenter__())
    for name in ("ACKNOWLEDGE_AFTER_MS", "IDLE_CALLER_S"):
        monkeypatch.setenv(name, started[name])
    settings = load_settings(None)
    assert settings.acknowledge_after_ms == settings.idle_caller_s == 0


def test_a_gateway_that_cannot_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MODEL", "no-such-model")

    async def body() -> None:
        async with ServedGateway(1):
            raise AssertionError("it started")

    with pytest.raises(GatewayError, match="ended"):
        asyncio.run(body())
