"""Figures of the speed benchmarks: spreads, reports in files and tables, comparisons, processes."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from gateway.bench.cli import app
from gateway.bench.compare import Comparison, compare, other_surroundings, print_comparison
from gateway.bench.process import cpu_seconds, memory_bytes
from gateway.bench.report import check_place, figures, in_surroundings, publish, ratio, spread
from gateway.bench.speed_cli import compare as compare_command
from gateway.bench.surroundings import quiet_settings
from gateway.errors import ConfigError
from gateway.settings import load_settings
from gateway.thread_budget import thread_budget


def test_a_spread_is_the_median_and_the_extremes() -> None:
    assert spread([3.0, 1.0, 2.04]) == {"runs": 3, "median": 2.0, "min": 1.0, "max": 3.0}
    assert spread([])["median"] is None


def test_a_ratio_to_nothing_is_unknown() -> None:
    assert (ratio(3, 2), ratio(3, 0), ratio(None, 2), ratio(0, 2)) == (1.5, None, None, 0)


def test_a_report_states_machine_models_and_threads_but_only_its_own_figures_count() -> None:
    report = in_surroundings(
        load_settings(None), thread_budget(2), {"latency_ms": spread([1, 2, 3]), "ok": True}
    )
    assert report["models"]["threads_per_engine"]["chat"] >= 1
    assert report["machine"]["physical_cores"] >= 1
    assert dict(figures(report)) == {
        "latency_ms.runs": 3,
        "latency_ms.median": 2,
        "latency_ms.min": 1,
        "latency_ms.max": 3,
    }


def test_what_is_printed_and_written_is_the_same(tmp_path: Path) -> None:
    report: dict[str, Any] = {"calls": 4, "lag": {"p50": None}, "cpu": spread([0.5, 1234.5])}
    console = Console(record=True, width=80)
    publish(console, "bench", report, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == report
    text = console.export_text()
    assert "617.5" in text and "0.5 to 1,234.5" in text and "lag p50" in text


def test_tables_of_tables_are_written_but_not_printed(tmp_path: Path) -> None:
    report: dict[str, Any] = {"limit": 4, "steps": [{"calls": 4711}, {"calls": 8}]}
    console = Console(record=True, width=80)
    publish(console, "bench", report, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == report
    text = console.export_text()
    assert "limit" in text and "steps" not in text and "4711" not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--virtual", "--url", "ws://x/", "--runs", "5"], "--url or --runs with --virtual"),
        (["--virtual", "--calls", "4"], "--calls with --virtual"),
        (["--mishear", "0.1"], "--mishear without --virtual"),
    ],
)
def test_options_that_turns_would_ignore_are_refused(
    monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.setattr("gateway.bench.surroundings.quiet_settings", None)  # else calls are played
    result = CliRunner().invoke(app, ["turns", *options])
    assert isinstance(result.exception, ConfigError) and said in str(result.exception)


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def measure(*_: object) -> None:
        raise AssertionError("it was measured")

    monkeypatch.setattr("gateway.bench.tts.bench_tts", measure)
    for place, reason in (("no/a.json", "no folder"), ("", "is a folder")):
        result = CliRunner().invoke(app, ["tts", "--json", str(tmp_path / place)])
        assert isinstance(result.exception, ConfigError) and reason in str(result.exception)
    check_place(tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_looked_at_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="cannot be written: File name too long"):
        check_place(tmp_path / ("a" * 300))
    with pytest.raises(ConfigError, match="no folder"):
        check_place(write(tmp_path / "a.json") / "b.json")

    def forbidden(*_: object, **__: object) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", forbidden)
    with pytest.raises(ConfigError, match="cannot be written: Permission denied"):
        check_place(tmp_path / "b.json")


def test_figures_are_shown_even_if_they_cannot_be_written(tmp_path: Path) -> None:
    console = Console(record=True, width=80)
    with pytest.raises(ConfigError, match="cannot be written"):
        publish(console, "bench", {"calls": 4711}, tmp_path / "gone" / "a.json")
    assert "4711" in console.export_text()


def test_figures_are_written_even_if_they_cannot_be_shown(tmp_path: Path) -> None:
    class Closed(Console):
        def print(self, *_: Any, **__: Any) -> None:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        publish(Closed(), "bench", {"calls": 4711}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == {"calls": 4711}


def write(path: Path, **report: Any) -> Path:
    path.write_text(json.dumps(report), encoding="utf-8")
    return path


def test_reports_are_compared_figure_by_figure(tmp_path: Path) -> None:
    first = write(tmp_path / "a.json", cpu={"median": 4}, calls=0, machine={"cores": 2}, old=1)
    second = write(tmp_path / "b.json", cpu={"median": 1}, calls=3, machine={"cores": 9}, new=1)
    rows = compare(first, second)
    assert rows == [Comparison("cpu.median", 4, 1, 0.25), Comparison("calls", 0, 3, None)]
    console = Console(record=True, width=80)
    print_comparison(console, [*rows, Comparison("same", 1, 1, 1.0)], "a", "b")
    assert "0.25" in (text := console.export_text()) and "same" not in text


def test_a_comparison_tells_other_machines_and_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = {"cpu": "A", "python": "3.11"}
    first = write(tmp_path / "a.json", calls=1, machine=machine, models={"stt": "small"})
    second = write(tmp_path / "b.json", calls=2, machine={**machine, "cpu": "B"}, models=None)
    assert other_surroundings(first, second) == ["machine.cpu: A and B", "models.stt: small and -"]
    assert other_surroundings(first, first) == []
    compare_command(first, second)
    assert "not measured alike: machine.cpu: A and B\n" in capsys.readouterr().out
    compare_command(first, first)
    assert capsys.readouterr().out == "all figures are the same\n"


def test_names_with_markup_are_compared_as_they_are_written() -> None:
    console = Console(record=True, width=80)
    print_comparison(console, [Comparison("by_tag.[/x].n", 1, 2, 2.0)], "[/a]", "[b]")
    text = console.export_text()
    assert "by_tag.[/x].n" in text and "[b] / [/a]" in text
    assert [cell.strip() for cell in text.splitlines()[2].split("┃")[2:4]] == ["[/a]", "[b]"]


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    good = write(tmp_path / "a.json", cpu=1)
    other = write(tmp_path / "b.json", memory=1)
    bad = tmp_path / "c.json"
    with pytest.raises(ConfigError, match="no figure in common"):
        compare(good, other)
    with pytest.raises(ConfigError, match="expected a report"):
        compare(good, bad)
    bad.write_text("[]")
    with pytest.raises(ConfigError, match="no JSON object"):
        compare(good, bad)


@pytest.mark.parametrize("text", ['{"a":' * 100_000, '{"a": 1' + "0" * 400 + "}"])
def test_a_report_of_absurd_depth_or_figures_is_refused(tmp_path: Path, text: str) -> None:
    absurd = tmp_path / "a.json"
    absurd.write_text(text)
    with pytest.raises(ConfigError, match="a.json: expected a report"):
        compare(absurd, absurd)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_process_uses_memory_and_time_and_an_ended_one_has_none() -> None:
    before = cpu_seconds(os.getpid())
    sum(range(3_000_000))
    after = cpu_seconds(os.getpid())
    assert before is not None and after is not None and after > before
    assert (memory_bytes(os.getpid()) or 0) > 1_000_000
    nobody = 2**22 + 1
    assert cpu_seconds(nobody) is None and memory_bytes(nobody) is None


def test_the_log_of_a_benchmark_hides_the_password_of_the_chat_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hidden: list[str] = []

    def configure(*_: object, secrets: list[str]) -> None:
        hidden.extend(secrets)

    monkeypatch.setattr("gateway.bench.surroundings.configure_logging", configure)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:passw0rd@host/v1")
    quiet_settings()
    assert "passw0rd" in hidden
