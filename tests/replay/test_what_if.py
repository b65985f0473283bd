from __future__ import annotations

import dataclasses
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from gateway.audio.vad import WebRtcVad
from gateway.cli import app, main
from gateway.conversation.policy import Policy
from gateway.errors import ConfigError
from gateway.recording.codec import Header, Recording, read_recording
from gateway.recording.container import RecordingError
from gateway.recording.recorder import FileRecorder
from gateway.recording.steps import Plain
from gateway.replay.exact import ExactReplay, Mismatch
from gateway.replay.figures import Figures, figures_of
from gateway.replay.overrides import settable, with_overrides
from gateway.replay.report import print_exact, print_recording, print_what_if
from gateway.replay.what_if import hold_again
from tests.recording.calls import POLICY, noisy_line, play


@pytest.fixture(scope="module")
def call_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calls")
    recorder = FileRecorder(folder)
    play(recorder, noisy_line(3))
    recorder.close()
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def recording(call_file: Path) -> Recording:
    return read_recording(call_file)


def figures(recording: Recording, *settings: str) -> Figures:
    policy = with_overrides(recording.policy, settings)
    return figures_of(hold_again(recording, policy, WebRtcVad), policy)


def test_simulation_under_the_recorded_settings_is_the_call(recording: Recording) -> None:
    recorded = figures_of(recording.steps, recording.policy)
    again = figures(recording)
    assert [turn.text for turn in again.turns] == [turn.text for turn in recorded.turns]
    assert len(recorded.turns) >= 3
    assert again.latencies_ms == pytest.approx(recorded.latencies_ms, abs=25)
    for counts in (recorded, again):
        counts.turns = []
    assert again == recorded


def test_more_silence_before_a_turn_ends_makes_answers_later(recording: Recording) -> None:
    recorded = figures_of(recording.steps, recording.policy)
    later = figures(recording, "endpoint.complete_ms=900")
    assert [turn.wait_ms for turn in recorded.turns] == pytest.approx([320] * len(recorded.turns))
    assert [turn.wait_ms for turn in later.turns] == pytest.approx([900] * len(later.turns))
    assert min(later.latencies_ms) > max(recorded.latencies_ms)


def test_less_patience_asks_whether_the_caller_is_there(recording: Recording) -> None:
    assert figures(recording).idle_prompts == 0
    assert figures(recording, "patience.idle_ms=400").idle_prompts > 0


def test_caller_who_pauses_is_cut_off_by_a_shorter_silence(tmp_path: Path) -> None:
    said = noisy_line(1)
    end = 16_000 * 5 + 9_000  # of the speech, which begins after four seconds
    line = np.concatenate((said[: end + 9_600], said[16_000 * 4 :]))
    line = line[: len(line) // 320 * 320]
    recorder = FileRecorder(tmp_path)
    endpoint = dataclasses.replace(POLICY.endpoint, complete_ms=1500)
    play(recorder, line, policy=dataclasses.replace(POLICY, endpoint=endpoint))
    recorder.close()
    (path,) = tmp_path.iterdir()
    recording = read_recording(path)
    recorded = figures_of(recording.steps, recording.policy)
    shorter = figures(recording, "endpoint.complete_ms=200")
    assert (recorded.cut_offs, shorter.cut_offs) == (0, 1)
    assert len(shorter.turns) == len(recorded.turns) + 1


def test_shortest_call_is_hung_up(recording: Recording) -> None:
    short = figures(recording, "patience.max_call_ms=5000", "patience.warning_ms=0")
    assert short.hung_up == "max_duration"


@pytest.mark.parametrize("setting", ["endpoint.complete_ms=320", "endpoint.complete_ms=900"])
def test_call_that_the_gateway_ended_is_hung_up_again(tmp_path: Path, setting: str) -> None:
    recorder = FileRecorder(tmp_path)
    patience = dataclasses.replace(POLICY.patience, idle_ms=1500)
    silence = np.zeros(16_000 * 20, dtype=np.int16)
    line = np.concatenate((noisy_line(1), silence))
    play(recorder, line, policy=dataclasses.replace(POLICY, patience=patience))
    recorder.close()
    (path,) = tmp_path.iterdir()
    recording = read_recording(path)
    recorded = figures_of(recording.steps, recording.policy)
    again = figures(recording, setting)
    assert again.hung_up == recorded.hung_up == "idle"
    assert again.idle_prompts == recorded.idle_prompts > 0


def test_recording_without_inputs_is_held_again(recording: Recording) -> None:
    empty = dataclasses.replace(recording, steps=())
    assert figures_of(hold_again(empty, POLICY, WebRtcVad), POLICY) == Figures()


def test_changes_are_printed_beside_the_call(recording: Recording) -> None:
    console = Console(file=StringIO(), record=True, width=100)
    recorded = figures_of(recording.steps, recording.policy)
    other = figures(recording, "endpoint.complete_ms=900")
    print_what_if(console, recorded, figures(recording), other)
    rows = {
        cells[0].strip(): [cell.strip() for cell in cells[1:]]
        for line in console.export_text().splitlines()
        if len(cells := line.strip("│").split("│")) == 4
    }
    assert rows["turn over after, median"] == ["320 ms", "320 ms", "900 ms"]
    assert rows["cut-offs"] == ["0", "0", "0"]


def test_every_field_of_the_policy_can_be_set() -> None:
    for name, value in settable(POLICY).items():
        other = "en" if isinstance(value, str) else value + 1
        assert settable(with_overrides(POLICY, [f"{name}={other}"]))[name] == other


def test_settings_apply_in_order() -> None:
    policy = with_overrides(POLICY, ["endpoint.pause_ms=100", "phrases.en.goodbye=Bye.=)"])
    endpoint = dataclasses.replace(POLICY.endpoint, pause_ms=100)
    phrases = dataclasses.replace(POLICY.phrases["en"], goodbye="Bye.=)")
    assert policy == dataclasses.replace(POLICY, endpoint=endpoint, phrases={"en": phrases})
    assert isinstance(policy, Policy)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("endpoint.complete_ms", "expected NAME=VALUE"),
        ("endpoint.complet_ms=250", "did you mean endpoint.complete_ms"),
        ("complete_ms=250", "did you mean endpoint.complete_ms"),
        ("zzz=1", "expected one of default_language, speech.start_ms"),
        ("endpoint.complete_ms=soon", "expected a whole number of at least 0, as 320"),
        ("endpoint.complete_ms=-5", "expected a whole number"),
        (f"endpoint.complete_ms={'9' * 5000}", "of at most 12 digits"),
        ("default_language=fr", "has no phrases in it"),
    ],
)
def test_wrong_settings_are_refused(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_overrides(POLICY, [setting])


@pytest.mark.parametrize("name", ["StartReply", "Transcribe", "CommitTurn"])
def test_commands_of_another_gateway_are_not_held_again(
    recording: Recording, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_turn(command: Plain) -> Plain:
        return {k: v for k, v in command.items() if k != "turn" or command["type"] != name}

    steps = tuple(
        dataclasses.replace(step, commands=tuple(map(without_turn, step.commands or ())))
        for step in recording.steps
    )
    other = dataclasses.replace(recording, steps=steps)
    monkeypatch.setattr("gateway.recording.codec.read_recording", lambda path: other)
    result = CliRunner().invoke(app, ["replay", "x", "--set", "endpoint.pause_ms=100"])
    assert isinstance(result.exception, RecordingError)
    assert re.search(rf"{name} at .* missing required field `turn`", str(result.exception))


def test_names_of_a_stranger_do_nothing_to_the_terminal(recording: Recording) -> None:
    console = Console(file=StringIO(), record=True, width=300)
    strange = dataclasses.replace(recording, header=renamed(recording, "\x1b]0;x\x07[b]\n"))
    print_recording(console, strange)
    assert "call \\x1b]0;x\\x07[b]\\n, " in console.export_text()


def test_commands_of_a_stranger_do_nothing_to_the_terminal() -> None:
    console = Console(file=StringIO(), record=True, width=300)
    mismatch = Mismatch(1, 0.5, ("-    \x1b[2J[b]=1",))
    print_exact(console, ExactReplay(3, 2, mismatch, 0, None))
    assert "-    \\x1b[2J[b]=1" in console.export_text()


def renamed(recording: Recording, call_id: str) -> Header:
    header = recording.header
    return Header(header.gateway, call_id, header.started_at, header.policy)


def test_command_line_tells_identical_from_different(call_file: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    same = run(app, ["replay", str(call_file), "--recorded-voice"])
    assert same.exit_code == 0 and "identical:" in same.stdout
    # The call was held with webrtcvad alone; the detectors that serve judge noise otherwise.
    other = run(app, ["replay", str(call_file)])
    assert other.exit_code == 1 and "frames otherwise" in other.stdout


def test_a_file_that_cannot_be_read_does_not_count_as_different(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.vgrec"
    broken.write_bytes(b"no recording")
    monkeypatch.setattr("sys.argv", ["voice-gateway", "replay", str(broken)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2 and "broken.vgrec" in capsys.readouterr().err


def test_recorded_decisions_do_not_go_with_other_settings(call_file: Path) -> None:
    options = ["--recorded-voice", "--set", "endpoint.complete_ms=900"]
    result = CliRunner().invoke(app, ["replay", str(call_file), *options])
    assert isinstance(result.exception, ConfigError) and "--recorded-voice" in str(result.exception)


def test_command_line_prints_what_would_have_changed(call_file: Path) -> None:
    result = CliRunner().invoke(
        app, ["replay", str(call_file), "--set", "endpoint.complete_ms=900"]
    )
    assert result.exit_code == 0
    assert "What would have changed" in result.stdout and "900 ms" in result.stdout
