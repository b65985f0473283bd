"""The command line of the benchmarks: voice-gateway bench turns, and those of speed_cli."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gateway.bench.speed_cli import register
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.bench.turns import PreparedCall
    from gateway.bench.turns_report import Report
    from gateway.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Measure the gateway.")

_BUNDLED = Path(__file__).resolve().parent.parent.parent / "tests" / "scenarios"
_CALLS, _RUNS = 4, 1


@app.callback()
def bench() -> None:
    """Measure the gateway."""


@app.command()
def turns(
    scenarios: Annotated[
        Path,
        typer.Option(
            help="Scenario file, or folder of scenario files.",
            metavar="FILE_OR_DIR",
            show_default="the bundled set",
        ),
    ] = _BUNDLED,
    url: Annotated[
        str | None,
        typer.Option(
            help="A running gateway to call. Without it: one of its own with your settings.",
            metavar="URL",
        ),
    ] = None,
    save_json: Annotated[
        Path | None,
        typer.Option("--json", help="Write all figures and one row per turn.", metavar="FILE"),
    ] = None,
    calls: Annotated[
        int | None, typer.Option(min=1, help="Calls at the same time.", show_default=f"{_CALLS}")
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(min=1, help="How often to play the whole set.", show_default=f"{_RUNS}"),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option("--filter", help="Play calls whose name matches: en-*", metavar="PATTERN"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Play only the first calls.", metavar="N")
    ] = None,
    virtual: Annotated[
        bool,
        typer.Option(
            "--virtual",
            help="Play against the conversation core alone, in virtual time: no models, no socket.",
        ),
    ] = False,
    mishear: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="With --virtual: share of words the recogniser mishears.",
            show_default="0",
        ),
    ] = None,
) -> None:
    """Play simulated callers in real time and report how well turns are taken.

    The callers pause, dictate, cough, interrupt, speak in noise and change the language. Reported
    are the time from the true end of a caller's speech to the answer's first audio, cut-offs,
    missed turns, interruptions, and what of each went otherwise than the scenario expects. Exit
    status 1 when a call was refused or broke off.

    Examples:

    `voice-gateway bench turns --filter "en-*" --calls 4`

    `voice-gateway bench turns --virtual`

    `voice-gateway bench turns --url ws://10.0.0.5:8765/ --scenarios my-callers/ --json turns.json`
    """
    from gateway.bench.report import check_calls, check_place, write
    from gateway.bench.surroundings import quiet_settings
    from gateway.bench.turns import in_languages, prepare, select
    from gateway.bench.turns_table import print_report
    from gateway.simulator.caller_voice import CallerVoices, cache_folder
    from gateway.simulator.scenario_file import load_scenarios

    unfit = {"--url": url, "--calls": calls, "--runs": runs} if virtual else {"--mishear": mishear}
    if given := [option for option, value in unfit.items() if value is not None]:
        how = "with" if virtual else "without"
        raise ConfigError(f"expected no {' or '.join(given)} {how} --virtual; change one of them")
    if scenarios == _BUNDLED and not scenarios.is_dir():
        raise ConfigError(
            "the bundled callers come with a clone of the project alone, not with a package of it;"
            " give files of your own with --scenarios (docs/scenarios.md)"
        )
    settings = quiet_settings()
    check_place(save_json)
    console = Console()
    found = load_scenarios(scenarios)
    if url is None:  # what a running gateway serves is not known
        served = in_languages(found, settings.languages)
        if left_out := len(found) - len(served):
            console.print(
                f"left out {left_out} of {len(found)} calls:"
                f" not in GATEWAY_LANGUAGES={','.join(settings.languages)}",
                highlight=False,
            )
        found = served
    chosen = select(found, pattern, limit)
    with console.status("speaking the callers' words"):
        prepared = prepare(chosen, CallerVoices(settings.models, cache_folder()))
    if virtual:
        report = _virtual_turns(settings, prepared, mishear or 0.0)
    else:
        report = asyncio.run(
            _turns(settings, prepared, url, calls or _CALLS, runs or _RUNS, console)
        )
    try:
        write(report, save_json)
    finally:  # what could not be written is shown at least
        print_report(console, report)
    check_calls(len(report["failed_calls"]), report["calls"])


def _virtual_turns(settings: Settings, prepared: list[PreparedCall], mishear: float) -> Report:
    from gateway.app import conversation_policy
    from gateway.bench.played_call import PlayedCall
    from gateway.bench.surroundings import describe_machine
    from gateway.bench.turns_report import turns_report
    from gateway.loading import served_profile, voice_detectors
    from gateway.simulator.virtual import VirtualGateway

    policy = conversation_policy(settings, served_profile(settings))
    gateway = VirtualGateway(policy, voice_detector=voice_detectors(), mishears=mishear)
    results = [gateway.play(call.scenario, call.utterances) for call in prepared]
    played = [PlayedCall(result.caller, result.records) for result in results]
    return {**describe_machine(), "models": None, **turns_report(played, gateway.counters)}


async def _turns(
    settings: Settings,
    prepared: list[PreparedCall],
    url: str | None,
    calls: int,
    runs: int,
    console: Console,
) -> Report:
    from gateway.app import Gateway
    from gateway.bench.surroundings import describe_machine, describe_models
    from gateway.bench.turns import RecordLog, TurnsBenchmark
    from gateway.bench.turns_report import turns_report
    from gateway.bench.turns_table import print_call

    show = partial(print_call, console)
    if url is not None:
        played = await TurnsBenchmark(url, calls, None, show).run(prepared, runs)
        return {**describe_machine(), "models": None, **turns_report(played)}
    log = RecordLog()
    room = max(settings.gateway_max_calls, calls + 1)
    changes = {
        "gateway_port": 0,
        # Every caller is let in: how many come at a time was chosen here.
        "gateway_max_calls": room,
        "load_refuse_ms": 0,
        # Callers would take it for the answer.
        "acknowledge_after_ms": 0,
    }
    own = settings.model_copy(update=changes)
    async with Gateway(own, on_turn=log.add) as gateway:
        with console.status("loading the models"):
            await gateway.ready()
        played = await TurnsBenchmark(gateway.url, calls, log, show).run(prepared, runs)
    report = turns_report(played, gateway.counters)
    return {**describe_machine(), "models": describe_models(own), **report}


register(app)
