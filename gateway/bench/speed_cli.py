"""The commands of the speed benchmarks: stt, llm, tts, load, idle, compare."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.bench.report import Report
    from gateway.settings import Settings
    from gateway.thread_budget import ThreadBudget

_Json = Annotated[Path | None, typer.Option("--json", help="Write all figures.", metavar="FILE")]
_Shared = Annotated[
    bool, typer.Option("--shared", help="Only the threads it has beside the other engines.")
]
_Runs = Annotated[int, typer.Option(min=1, max=1000, help="How often to repeat each figure.")]

_MOST_CALLS = 2000
_P95_MS = 1500.0


def stt(
    runs: _Runs = 5,
    utterance_s: Annotated[
        float, typer.Option("--seconds", min=0.5, max=29, help="Length of an utterance.")
    ] = 3.0,
    shared: _Shared = False,
    save_json: _Json = None,
) -> None:
    """Measure speech recognition alone, beside WhisperModel.transcribe of the library.

    Both have all threads of GATEWAY_THREADS, or with --shared what is this engine's in service.

    Example: `STT_MODEL=models/bench/whisper-base voice-gateway bench stt`
    """
    from gateway.bench.stt import bench_stt

    def run(settings: Settings, budget: ThreadBudget) -> Any:
        return bench_stt(settings, budget, runs, utterance_s)

    _measure("bench stt", run, save_json, alone=not shared)


def llm(runs: _Runs = 5, shared: _Shared = False, save_json: _Json = None) -> None:
    """Measure the chat model alone, beside Llama.create_chat_completion of the library.

    Both have all threads of GATEWAY_THREADS (16 at most), or with --shared what is this engine's in
    service.

    Example: `LLM_MODEL=models/bench/llama-0.5b-q4_0.gguf voice-gateway bench llm`
    """
    from gateway.bench.llm import bench_llm

    def run(settings: Settings, budget: ThreadBudget) -> Any:
        return bench_llm(settings, budget, runs)

    _measure("bench llm", run, save_json, alone=not shared)


def tts(runs: _Runs = 10, save_json: _Json = None) -> None:
    """Measure speech synthesis alone, beside PiperVoice.synthesize of the library."""
    from gateway.bench.tts import bench_tts

    _measure("bench tts", lambda settings, _: bench_tts(settings, runs), save_json)


def load(
    calls: Annotated[
        int, typer.Option(min=1, max=_MOST_CALLS, help="Callers at the same time.")
    ] = 8,
    minutes: Annotated[
        float, typer.Option(min=0.1, max=600, help="How long, once all callers are there.")
    ] = 1.0,
    limit: Annotated[
        bool,
        typer.Option("--find-limit", help="Search the largest number, beginning with --calls."),
    ] = False,
    p95_ms: Annotated[
        float | None,
        typer.Option(
            "--p95",
            help="Bound of --find-limit on voice-to-voice latency, ms.",
            show_default=f"{_P95_MS:g}",
        ),
    ] = None,
    save_json: _Json = None,
) -> None:
    """Let simulated callers hold conversations with a gateway in a process of its own.

    Reports the time from the end of each caller's speech to the answer's first audio, gaps in
    replies, refused and failed calls, and CPU, memory and event-loop lag of the gateway alone. The
    callers run on the same machine and take their share of it. Exit status 1 when a call was
    refused or failed.

    With --find-limit, *limit* is the largest number of calls that was served well and *limit below*
    the smallest that was not, within 10 %; where one is missing, none was found. Calls that are
    refused or fail are what it looks for, and leave the exit status 0.

    Example: `voice-gateway bench load --calls 4 --minutes 1 --find-limit --p95 1500`
    """
    from gateway.bench.load import bench_load, find_limit, scripts
    from gateway.bench.report import check_calls
    from gateway.bench.served import ServedGateway

    if p95_ms is not None and not limit:
        raise ConfigError("expected no --p95 without --find-limit; add one or leave out the other")
    console = Console()

    async def run(settings: Settings, _: ThreadBudget) -> dict[str, Any]:
        conversations = scripts(settings)

        async def measure(number: int) -> dict[str, Any]:
            # A caller who calls again may be there before the last call has quite ended.
            async with ServedGateway(2 * number) as gateway:
                return await bench_load(gateway, conversations, number, minutes)

        if not limit:
            return await measure(calls)
        steps: list[dict[str, Any]] = []

        def show(step: dict[str, Any]) -> None:
            steps.append(step)
            console.print(_step(step), highlight=False, markup=False)

        bound = _P95_MS if p95_ms is None else p95_ms
        found = await find_limit(measure, calls, _MOST_CALLS, bound, show)
        best = found.best or {}
        return {"limit": best.get("calls"), "limit_below": found.below, **best, "steps": steps}

    report = _measure("bench load", run, save_json)
    if not limit:
        check_calls(report["calls_refused"] + report["errors"], report["calls_placed"])


def _step(step: dict[str, Any]) -> str:
    """One line about a step of the search for the limit."""
    if "failure" in step:
        return f"{step['calls']} calls: {step['failure']}"
    latency = step["voice_to_voice_ms"]
    return (
        f"{step['calls']} calls: p50 {latency['p50']} ms, p95 {latency['p95']} ms,"
        f" {step['underruns']} underruns, {step['errors']} errors"
    )


def idle(
    calls: Annotated[int, typer.Option(min=1, max=5000, help="Listening calls.")] = 100,
    runs: _Runs = 3,
    window_s: Annotated[
        float, typer.Option("--seconds", min=1, max=600, help="Length of each measurement.")
    ] = 10.0,
    save_json: _Json = None,
) -> None:
    """Measure what calls cost in which the caller is silent: CPU and memory per call."""
    from gateway.bench.idle import bench_idle
    from gateway.bench.served import ServedGateway

    async def run(settings: Settings, _: ThreadBudget) -> dict[str, Any]:
        async with ServedGateway(calls + 1) as gateway:
            return await bench_idle(gateway, calls, runs, window_s)

    _measure("bench idle", run, save_json)


def compare(
    first: Annotated[Path, typer.Argument(help="Report written with --json.", metavar="A.json")],
    second: Annotated[Path, typer.Argument(help="Another one.", metavar="B.json")],
) -> None:
    """Show by how much the second report's figures differ from the first's, and in what the
    machines and the models differ.
    """
    from gateway.bench.compare import compare as compare_reports
    from gateway.bench.compare import other_surroundings, print_comparison

    rows, console = compare_reports(first, second), Console()
    for line in other_surroundings(first, second):
        console.print(f"not measured alike: {line}", highlight=False, markup=False, soft_wrap=True)
    print_comparison(console, rows, first.stem, second.stem)


def register(app: typer.Typer) -> None:
    """Add the commands to those of ``bench``."""
    for command in (stt, llm, tts, load, idle, compare):
        app.command()(command)


def _measure(
    title: str,
    run: Callable[[Settings, ThreadBudget], Any],
    file: Path | None,
    *,
    alone: bool = False,
) -> Report:
    """Run a benchmark with the configured settings; print, write and return what it found."""
    from gateway.bench.report import check_place, in_surroundings, publish
    from gateway.bench.surroundings import quiet_settings
    from gateway.thread_budget import engine_alone, thread_budget

    settings = quiet_settings()
    check_place(file)
    budget = (engine_alone if alone else thread_budget)(settings.threads)
    report = in_surroundings(settings, budget, asyncio.run(run(settings, budget)))
    publish(Console(), title, report, file)
    return report
