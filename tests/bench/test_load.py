"""The load benchmark: what counts as served well, the search for the limit, and short real runs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.bench.cli import app
from gateway.bench.idle import bench_idle
from gateway.bench.load import (
    Limit,
    Script,
    Tally,
    bench_load,
    find_limit,
    is_served_well,
    scripts,
)
from gateway.bench.served import ServedGateway
from gateway.bench.task_group import first_failure
from gateway.errors import ConfigError, GatewayError
from gateway.settings import load_settings
from gateway.simulator.caller import Caller, Exchange
from gateway.simulator.client import CallFailed
from gateway.simulator.virtual_time import run_virtually

GOOD: dict[str, Any] = {
    "calls": 1,
    "minutes": 0.1,
    "turns": 5,
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


def search(first: int, capacity: int) -> tuple[Limit, list[int]]:
    """The limit of a gateway that serves so many calls well, and the numbers tried."""
    steps: list[int] = []

    async def measure(calls: int) -> dict[str, Any]:
        return {**GOOD, "calls": calls, "errors": int(calls > capacity)}

    def step(report: dict[str, Any]) -> None:
        steps.append(report["calls"])

    return asyncio.run(find_limit(measure, first, 2000, 1000, step)), steps


@pytest.mark.parametrize(
    ("first", "capacity"), [(3, 37), (3, 4), (3, 3), (1, 500), (2, 900), (8, 6), (1000, 1)]
)
def test_the_limit_is_found_within_a_tenth(first: int, capacity: int) -> None:
    limit, steps = search(first, capacity)
    assert limit.best is not None and limit.below is not None
    assert limit.best["calls"] <= capacity < limit.below
    assert limit.below - limit.best["calls"] <= max(1, capacity // 10)
    assert len(set(steps)) == len(steps)


def test_a_gateway_that_serves_nobody_well_has_its_limit_below_one_call() -> None:
    limit, steps = search(8, 0)
    assert limit == Limit(None, 1) and steps == [8, 4, 2, 1]


def test_a_limit_beyond_the_most_calls_that_can_be_made_is_told_as_not_found() -> None:
    limit, steps = search(1, 1_000_000)
    assert limit.best is not None and limit.best["calls"] == steps[-1] == 2000
    assert limit.below is None


def test_nothing_measured_is_not_judged() -> None:
    tally = Tally(0.0, 6.0)
    nothing = {**GOOD, **tally.report()}
    with pytest.raises(GatewayError, match=r"not measured.* 0\.1 minutes .* --minutes"):
        is_served_well(nothing, 1e9)
    tally.refused = 1
    assert not is_served_well({**GOOD, **tally.report()}, 1e9), "nobody was let in"


def test_a_step_that_fails_ends_the_search_and_keeps_what_was_found() -> None:
    steps: list[dict[str, Any]] = []

    async def measure(calls: int) -> dict[str, Any]:
        if calls > 4:
            raise GatewayError("the gateway under test ended")
        return {**GOOD, "calls": calls}

    limit = asyncio.run(find_limit(measure, 2, 2000, 1000, steps.append))
    assert limit.best is not None and limit.best["calls"] == 4 and limit.below is None
    assert [step["calls"] for step in steps] == [2, 4, 8]
    assert steps[-1]["failure"] == "the gateway under test ended"
    with pytest.raises(GatewayError, match="ended"):
        asyncio.run(find_limit(measure, 8, 2000, 1000, steps.append))


def test_a_bound_on_latency_without_a_search_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.bench.surroundings.quiet_settings", None)  # else calls are made
    result = CliRunner().invoke(app, ["load", "--p95", "900"])
    assert isinstance(result.exception, ConfigError) and "--find-limit" in str(result.exception)


class ToldGateway(ServedGateway):
    """No process: its figures are told, and what it uses is not known."""

    def __init__(self, failure: str = "") -> None:
        super().__init__(calls=0)
        self._failure = failure

    def cpu_seconds(self) -> None:
        return None

    def memory_bytes(self) -> None:
        return None

    async def figures(self) -> dict[str, Any]:
        if self._failure:
            raise GatewayError(self._failure)
        return {"loop_lag_ms": {}, "stages": {}}


def spoken(speech_end_s: float, answered_s: float | None, underruns: int) -> Exchange:
    return Exchange(
        None, "hi", speech_end_s=speech_end_s, answered_s=answered_s, underruns=underruns
    )


def hold_calls(
    monkeypatch: pytest.MonkeyPatch,
    *turns: Exchange,
    lasting_s: float = 30.0,
    failure: str | None = None,
) -> None:
    """Every call has these turns and a greeting with a gap, and lasts so long."""

    async def hold(url: str, caller: Caller, call_id: str, language: str) -> None:
        caller.greeting = Exchange(None, answered_s=0.1, underruns=1)
        caller.turns = list(turns)
        await asyncio.sleep(lasting_s)
        caller.failure = failure

    monkeypatch.setattr("gateway.bench.load.dial", hold)


def test_turns_count_that_end_while_all_callers_are_there_whenever_their_call_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # All are there from 1.0 to 13.0 s; the calls begin before and end after.
    early, measured, late = spoken(0.3, None, 1), spoken(5.0, 5.5, 0), spoken(20.0, None, 1)
    hold_calls(monkeypatch, early, measured, late)
    report = run_virtually(bench_load(ToldGateway(), [Script("en", [])], 2, 0.2))
    assert report["turns"] == report["voice_to_voice_ms"]["n"] == 2
    assert report["unanswered_turns"] == report["underruns"] == 0
    assert report["calls_completed"] == 2 and is_served_well(report, 1000)
    assert report["gateway_cpu_cores"] is report["gateway_memory_mb"] is None


def test_a_cut_off_is_neither_an_answer_in_no_time_nor_a_missing_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold_calls(monkeypatch, replace(spoken(5.0, 5.0, 0), cut_off=True), spoken(8.0, 8.5, 0))
    report = run_virtually(bench_load(ToldGateway(), [Script("en", [])], 1, 0.2))
    assert (report["turns"], report["cut_off_turns"], report["unanswered_turns"]) == (2, 1, 0)
    assert report["voice_to_voice_ms"]["n"] == 1


def test_a_call_that_hangs_counts_with_its_turns_and_as_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold_calls(monkeypatch, spoken(5.0, None, 0), spoken(8.0, None, 0), lasting_s=1000.0)
    report = run_virtually(bench_load(ToldGateway(), [Script("en", [])], 1, 0.2))
    assert (report["turns"], report["unanswered_turns"]) == (2, 2)
    assert report["errors"] == 1 and "did not end within 90 s" in report["error_texts"][0]
    assert report["calls_completed"] == 0 and not is_served_well(report, 1000)


def test_a_call_to_nobody_is_a_failure_whatever_numbers_its_address_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def dial(url: str, *_: object) -> None:
        raise CallFailed("nothing answers at ws://127.0.0.1:50303/")

    monkeypatch.setattr("gateway.bench.load.dial", dial)
    report = run_virtually(bench_load(ToldGateway(), [Script("en", [])], 1, 0.1))
    assert report["calls_refused"] == 0
    assert report["error_texts"] == ["nothing answers at ws://127.0.0.1:50303/"]


def test_a_call_that_fails_is_not_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    hold_calls(monkeypatch, spoken(5.0, 5.5, 0), failure="the line was lost")
    report = run_virtually(bench_load(ToldGateway(), [Script("en", [])], 2, 0.2))
    assert (report["turns"], report["errors"], report["calls_completed"]) == (2, 2, 0)


def test_a_gateway_that_ends_under_load_is_one_clear_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold_calls(monkeypatch)
    with pytest.raises(GatewayError, match="it ended"):
        run_virtually(bench_load(ToldGateway("it ended"), [Script("en", [])], 1, 0.2))


def test_a_bug_among_the_callers_is_not_hidden_by_a_failure() -> None:
    with pytest.raises(ExceptionGroup), first_failure():
        raise ExceptionGroup("tasks", [GatewayError("no answer"), KeyError("bug")])


def test_a_gateway_that_does_not_answer_is_one_clear_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    gateway = ServedGateway(1)
    pipes = SimpleNamespace(write=lambda line: None, readline=never)
    monkeypatch.setattr(gateway, "_process", SimpleNamespace(stdin=pipes, stdout=pipes))
    with pytest.raises(GatewayError, match="did not answer within 30 s"):
        run_virtually(gateway.figures())


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


@pytest.mark.parametrize(("environment", "talks"), [({"LOG_LEVEL": ""}, False), ({}, True)])
def test_the_gateway_under_test_logs_as_the_file_says_and_warnings_only_with_an_empty_level(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    environment: dict[str, str],
    talks: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("LOG_LEVEL=INFO\n")
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    async def body() -> None:
        async with ServedGateway(1):
            pass

    asyncio.run(body())
    assert ("listening on" in capfd.readouterr().err) == talks


SERVING = """
import asyncio
import signal

from gateway.bench.served import ServedGateway

# A shell has its background jobs ignore Ctrl-C, and what the tests start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


async def body():
    async with ServedGateway(1):
        print("serving", flush=True)
        await asyncio.Event().wait()


try:
    asyncio.run(body())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")
def test_ctrl_c_ends_the_gateway_under_test_without_a_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as benchmark:
        assert benchmark.stdout is not None
        try:
            assert benchmark.stdout.readline() == "serving\n"
            os.killpg(benchmark.pid, signal.SIGINT)  # as a terminal does
            said, complaints = benchmark.communicate(timeout=60)
        finally:
            benchmark.kill()
    assert said == "interrupted\n" and "Traceback" not in complaints
