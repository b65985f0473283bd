"""The command line of the flight recorder: voice-gateway replay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.recording.codec import Recording

EXIT_DIFFERENT = 1


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(replay)


def replay(
    file: Annotated[
        Path, typer.Argument(help="A call recorded by `serve --record-events`, *.vgrec.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Hold the call again with another value: endpoint.complete_ms=250; repeatable.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    recorded_voice: Annotated[
        bool,
        typer.Option(
            "--recorded-voice",
            help="Take the voice detector's decisions from the recording: tests the core alone.",
        ),
    ] = False,
) -> None:
    """Feed a recorded call to the conversation core again.

    Without `--set`, every command must come out the same, bit for bit; the first that does not is
    shown as a diff, and the exit status is 1; it is 2 when the file cannot be read.

    With `--set`, the call is held again in virtual time and what would have changed is printed:
    once with the recorded settings, to show how true the simulation is to the call, and once with
    the changed ones. The caller's line and the engines' results are the recorded ones; a real
    caller would have reacted to the difference.

    Examples:

    `voice-gateway replay calls/desk-20260102T101500.000000.vgrec`

    `voice-gateway replay FILE --set endpoint.complete_ms=250 --set barge_in.pause_ms=120`
    """
    from gateway.recording.codec import read_recording
    from gateway.replay.report import print_recording

    if settings and recorded_voice:
        raise ConfigError(
            "expected no --set with --recorded-voice, whose decisions belong to the call as it was;"
            " leave out one of them"
        )
    recording, console = read_recording(file), Console(highlight=False)
    print_recording(console, recording)
    if settings:
        _what_if(console, recording, settings)
    elif not _exactly(console, recording, recorded_voice):
        raise typer.Exit(EXIT_DIFFERENT)


def _exactly(console: Console, recording: Recording, recorded_voice: bool) -> bool:
    from gateway.loading import voice_detectors
    from gateway.replay.exact import RecordedDetector, replay_exactly
    from gateway.replay.report import print_exact

    voice = RecordedDetector(recording) if recorded_voice else voice_detectors()()
    result = replay_exactly(recording, voice)
    print_exact(console, result)
    return result.mismatch is None


def _what_if(console: Console, recording: Recording, settings: list[str]) -> None:
    from gateway.loading import voice_detectors
    from gateway.replay.figures import figures_of
    from gateway.replay.overrides import with_overrides
    from gateway.replay.report import print_what_if
    from gateway.replay.what_if import hold_again

    policy, make_detector = recording.policy, voice_detectors()
    changed = with_overrides(policy, settings)
    with console.status("holding the call again"):
        again = hold_again(recording, policy, make_detector)
        other = hold_again(recording, changed, make_detector)
    print_what_if(
        console,
        figures_of(recording.steps, policy),
        figures_of(again, policy),
        figures_of(other, changed),
    )
