"""The command line: voice-gateway serve | call | demo | replay | doctor | bench | models."""

from __future__ import annotations

import asyncio
import json
import sys
from enum import StrEnum
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.bench.cli import app as bench_app
from gateway.errors import ConfigError, GatewayError
from gateway.models.cli import app as models_app
from gateway.replay.cli import register as register_replay

if TYPE_CHECKING:
    from gateway.settings import Settings

EXIT_FAILURE = 1
EXIT_CONFIG = 2

_STATUS_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class CallLanguage(StrEnum):
    """What a client may say about the language of its call."""

    AUTO = "auto"
    EN = "en"
    AR = "ar"
    RU = "ru"


# The model libraries take a second to import: commands import what they need when they run, so
# that --help answers at once.
app = typer.Typer(
    name="voice-gateway",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""
Answers phone calls on your own machine: speech recognition, a chat model and a voice, over a
WebSocket.

Start with `voice-gateway demo`: it places calls to itself and prints them. Settings come from the
environment and from a `.env` file in the working directory; `.env.example` lists them all.
""",
    epilog="""
Examples:

    voice-gateway demo --once                 three calls, printed and saved, then stop

    voice-gateway serve                       take calls at ws://127.0.0.1:8765/

    voice-gateway call hello.wav prices.wav   call it, saying two recordings
""",
)


@app.command()
def serve(
    record_events: Annotated[
        Path | None,
        typer.Option(
            help="Record every call in this folder, audio included, for `voice-gateway replay`."
            " These are personal data: keep them only as long as you need them.",
            metavar="DIR",
        ),
    ] = None,
) -> None:
    """Take calls until Ctrl-C.

    A first Ctrl-C (or SIGTERM) refuses new calls and lets running ones finish their sentence; a
    second one ends the process at once. GET /healthz and /readyz on the same port tell whether the
    process lives and the models are loaded.

    Example: `GATEWAY_PORT=9000 LOG_FORMAT=json voice-gateway serve`
    """
    from gateway.event_loop import run

    settings = _settings()
    run(_serve(settings, record_events))


async def _serve(settings: Settings, record_events: Path | None) -> None:
    from gateway.app import Gateway

    async with Gateway(settings, record_events=record_events) as gateway:
        await gateway.serve_until_stopped()


@app.command()
def call(
    audio: Annotated[
        list[Path],
        typer.Argument(
            help="WAV files, one for each thing the caller says, in order.", show_default=False
        ),
    ],
    url: Annotated[
        str | None,
        typer.Option(
            help="Where to call. Without it: the gateway of your settings.", metavar="URL"
        ),
    ] = None,
    language: Annotated[
        CallLanguage, typer.Option(help="Language of the call; auto has it detected.")
    ] = CallLanguage.AUTO,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Save the call as a stereo WAV: caller left, assistant right.", metavar="FILE"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Call a running gateway and play the caller's part.

    The files are sent in real time, each once the assistant has answered the one before; a WAV of
    PCM samples, of any rate and number of channels, will do. Prints both sides' words, and how long
    each answer took from the end of your speech to its first sound, a request to hold on included
    (ACKNOWLEDGE_AFTER_MS). Exit status 1 when an answer was missing, or no words were heard.

    Examples:

    `voice-gateway call question.wav`

    `voice-gateway call hello.wav price.wav --language ru --save call.wav`

    `voice-gateway call hello.wav --url ws://10.0.0.5:8765/ --json`
    """
    from gateway.simulator.client import place_call
    from gateway.simulator.recording import load_recording, save_stereo
    from gateway.simulator.report import as_plain_values, print_exchange, print_gaps

    recordings = [load_recording(path) for path in audio]
    console = Console()
    result = asyncio.run(
        place_call(
            url or _configured_url(),
            recordings,
            language=language,
            on_exchange=None if as_json else partial(print_exchange, console),
        )
    )
    if as_json:
        print(json.dumps(as_plain_values(result), ensure_ascii=False, indent=2))
    else:
        print_gaps(console, result)
        if result.failure:
            _complain(result.failure)
    if save:  # last: a file that cannot be written must not cost the result
        save_stereo(save, result.caller_track, result.assistant_track)
    if result.failure:
        raise typer.Exit(EXIT_FAILURE)


@app.command()
def demo(
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Stop after the calls; exit status 0 only if all of them went well."
        ),
    ] = False,
    save_dir: Annotated[
        Path, typer.Option(help="Folder for the recorded calls.", metavar="DIR")
    ] = Path("demo-calls"),
) -> None:
    """Start the gateway, call it in English, Arabic and Russian, then go on serving.

    The callers are recordings that come with the gateway; everything else is real: the socket, the
    recogniser, the chat model, the voice. Each call is printed with the latency of every answer by
    stage and saved as a stereo WAV (caller left, assistant right).

    Example: `voice-gateway demo --once --save-dir /tmp/calls`
    """
    settings = _settings(quiet=True)
    if not asyncio.run(_demo(settings, once, save_dir)):
        raise typer.Exit(EXIT_FAILURE)


async def _demo(settings: Settings, once: bool, save_dir: Path) -> bool:
    from gateway.app import Gateway
    from gateway.simulator.conversations import load_conversations
    from gateway.simulator.demo import Demo, TurnLog, make_folder, open_listener

    make_folder(save_dir)  # first: models are loaded and calls placed in vain otherwise
    console, turns = Console(), TurnLog()
    served = [c for c in load_conversations() if c.language in settings.languages]
    if once:  # without acknowledgements, which the callers would take for the answer
        settings = settings.model_copy(update={"acknowledge_after_ms": 0})
    async with Gateway(settings, on_turn=turns.add) as gateway:
        with console.status("loading the models"):
            await gateway.ready()
        async with open_listener(settings) as listen:
            went_well = await Demo(gateway.url, turns, listen, save_dir, console).run(served)
        if not once:
            turns.close()
            console.print(f"\nServing at [bold]{gateway.url}[/] until Ctrl-C.", highlight=False)
            await gateway.serve_until_stopped()
            return True
    return went_well


app.add_typer(bench_app, name="bench")
app.add_typer(models_app, name="models")
register_replay(app)


@app.command()
def doctor() -> None:
    """Check that this machine can run the gateway, and say what to do where it cannot.

    Loads every model once, as `serve` would. Exit status 1 when a check fails.

    Example: `STT_MODEL=/models/whisper-small voice-gateway doctor`
    """
    from gateway.doctor import run_checks

    settings = _settings(quiet=True)
    table = Table(title="voice-gateway doctor")
    for heading in ("check", "result", "what was found", "what to do"):
        table.add_column(heading, overflow="fold")
    console, failed = Console(), False
    with console.status("checking"):
        for finding in run_checks(settings):
            result = f"[{_STATUS_STYLES[finding.status]}]{finding.status}[/]"
            detail, advice = map(_harmless, (finding.detail, finding.advice))
            table.add_row(finding.name, result, detail, advice)
            failed = failed or finding.status == "fail"
    console.print(table)
    if failed:
        raise typer.Exit(EXIT_FAILURE)


def _settings(quiet: bool = False) -> Settings:
    """The settings, with the log set up; a quiet command shows warnings only."""
    from gateway.logs import configure_logging
    from gateway.settings import load_settings

    settings = load_settings()
    level = settings.log_level
    if quiet and "log_level" not in settings.model_fields_set:
        level = "WARNING"
    configure_logging(level, settings.log_format, secrets=settings.secrets)
    return settings


def _configured_url() -> str:
    """Where a gateway with these settings listens, as a client on the same machine reaches it.

    Raises:
        ConfigError: the settings leave the port open.
    """
    from gateway.servers.address import local_url
    from gateway.settings import load_settings

    settings = load_settings()
    if settings.gateway_port == 0:
        raise ConfigError(
            "with GATEWAY_PORT=0 serve listens on any free port: give the address that it logged "
            "with --url"
        )
    return local_url(settings.gateway_host, settings.gateway_port)


def _harmless(text: str) -> str:
    """Lines that may hold a stranger's words, as a console prints them without obeying them."""
    from gateway.logs import one_line

    return escape("\n".join(map(one_line, text.split("\n"))))


def _complain(message: str) -> None:
    Console(stderr=True).print(
        f"[bold red]error:[/] {_harmless(message)}", highlight=False, soft_wrap=True
    )


def main() -> None:
    """Run the command line: a failure is one clear message, never a traceback."""
    if isinstance(sys.stdout, TextIOWrapper):  # None where it is closed
        # Not every terminal has all signs: words in Arabic must not end a call in Latin-1.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except ConfigError as error:
        _complain(str(error))
        sys.exit(EXIT_CONFIG)
    except GatewayError as error:
        _complain(str(error))
        sys.exit(EXIT_FAILURE)
