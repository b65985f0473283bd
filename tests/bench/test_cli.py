"""Exit statuses of the benchmarks that place calls, as a script sees them."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Self
from unittest.mock import AsyncMock

import pytest
from typer.testing import CliRunner

from gateway.bench.cli import app
from gateway.cli import main
from gateway.simulator.caller import Caller
from gateway.simulator.client import CallFailed, CallRefused
from gateway.simulator.network import NetworkPath
from gateway.simulator.scenario_caller import ScenarioCaller
from gateway.simulator.virtual_time import run_virtually
from tests.bench.test_load import ToldGateway, spoken

CALL = '[[call]]\nname = "{}"\nlanguage = "en"\nturn = [{{ say = "Where are you located?" }}]\n'


def run(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    """Exit status of the command line as a shell sees it."""
    monkeypatch.setattr(sys, "argv", ["voice-gateway", "bench", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_an_installation_without_the_bundled_callers_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gateway.bench.cli._BUNDLED", tmp_path / "scenarios")
    place = ["--scenarios", str(tmp_path / "scenarios")]  # what stands there without the option
    assert run(monkeypatch, "turns", "--virtual", *place) == 2
    assert "come with a clone of the project alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("refused", "lost", "complaint"),
    [
        ("bench-1", "bench-2", "error: 2 of 3 calls failed\n"),
        ("bench-3", "none", "error: 1 of 3 calls failed\n"),
        ("none", "bench-3", "error: 1 of 3 calls failed\n"),
        ("none", "none", ""),
    ],
)
def test_turns_reports_calls_that_failed_and_then_ends_with_a_failure(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    refused: str,
    lost: str,
    complaint: str,
) -> None:
    async def dial(
        url: str, caller: ScenarioCaller, call_id: str, language: str, path: NetworkPath
    ) -> None:
        if call_id == refused:
            raise CallFailed("it takes no calls now")
        if call_id == lost:
            caller.give_up("the line was lost")

    monkeypatch.setattr("gateway.bench.turns.dial", dial)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "set.toml").write_text("".join(CALL.format(name) for name in "xyz"))
    figures = tmp_path / "turns.json"
    options = ["--url", "ws://x/", "--scenarios", str(tmp_path), "--json", str(figures)]
    assert run(monkeypatch, "turns", *options) == (1 if complaint else 0)
    shown = capsys.readouterr()
    assert shown.err == complaint and "voice to voice" in shown.out
    assert json.loads(figures.read_text(encoding="utf-8"))["calls"] == 3


def test_turns_are_written_before_they_are_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("gateway.bench.turns.dial", AsyncMock())
    monkeypatch.setattr("gateway.bench.turns_table.print_report", fail)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "set.toml").write_text(CALL.format("x"))
    figures = tmp_path / "turns.json"
    options = ["--url", "ws://x/", "--scenarios", str(tmp_path), "--json", str(figures)]
    result = CliRunner().invoke(app, ["turns", *options])
    assert isinstance(result.exception, BrokenPipeError)
    assert json.loads(figures.read_text(encoding="utf-8"))["calls"] == 1


class CrowdedGateway(ToldGateway):
    """Takes two calls at the same time, each with one exchange; those named in `lost` break off."""

    def __init__(self, lost: str) -> None:
        super().__init__()
        self._lost = lost
        self._running = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def dial(self, url: str, caller: Caller, call_id: str, language: str) -> None:
        if self._running == 2:
            raise CallRefused("it takes no calls now")
        self._running += 1
        await asyncio.sleep(30.0)
        self._running -= 1
        caller.turns = [spoken(5.0, 5.5, 0)]
        if call_id == self._lost:
            caller.give_up("the line was lost")


def bench_load(monkeypatch: pytest.MonkeyPatch, *options: str, lost: str = "none") -> int:
    """Exit status of ``bench load`` with a crowded gateway, in virtual time."""
    gateway = CrowdedGateway(lost)
    monkeypatch.setattr("gateway.bench.served.ServedGateway", lambda calls: gateway)
    monkeypatch.setattr("gateway.bench.load.dial", gateway.dial)
    monkeypatch.setattr(asyncio, "run", run_virtually)
    return run(monkeypatch, "load", "--minutes", "0.1", *options)


@pytest.mark.parametrize(
    ("calls", "lost", "complaint"),
    [
        # The third caller comes after 1.0 s and tries again every second, until 7.5 s.
        ("3", "load-0", "error: 8 of 9 calls failed\n"),
        ("3", "none", "error: 7 of 9 calls failed\n"),
        ("2", "load-0", "error: 1 of 2 calls failed\n"),
        ("2", "none", ""),
    ],
)
def test_load_reports_calls_that_failed_and_then_ends_with_a_failure(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    calls: str,
    lost: str,
    complaint: str,
) -> None:
    figures = tmp_path / "load.json"
    status = bench_load(monkeypatch, "--calls", calls, "--json", str(figures), lost=lost)
    assert status == (1 if complaint else 0)
    shown = capsys.readouterr()
    assert shown.err == complaint and "calls refused" in shown.out
    assert json.loads(figures.read_text(encoding="utf-8"))["turns"] == 2


@pytest.mark.parametrize(
    ("lost", "limit", "failed"),
    [("none", (2, 3), "calls_refused"), ("load-0", (None, 1), "errors")],
)
def test_a_search_for_the_limit_goes_well_though_it_makes_calls_fail(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    lost: str,
    limit: tuple[int | None, int],
    failed: str,
) -> None:
    figures = tmp_path / "load.json"
    options = ["--calls", "1", "--find-limit", "--json", str(figures)]
    assert bench_load(monkeypatch, *options, lost=lost) == 0
    assert capsys.readouterr().err == ""
    report = json.loads(figures.read_text(encoding="utf-8"))
    assert (report["limit"], report["limit_below"]) == limit
    assert any(step[failed] for step in report["steps"])
