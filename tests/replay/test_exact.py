from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from gateway.audio.vad import WebRtcVad
from gateway.conversation.events import TranscriptReady
from gateway.events import AudioReceived
from gateway.loading import voice_detectors
from gateway.recording.codec import Recording, read_recording
from gateway.recording.recorder import FileRecorder
from gateway.replay.exact import RecordedDetector, replay_exactly
from tests.recording.calls import noisy_line, play


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return recorded(tmp_path_factory.mktemp("calls"), turns=3)


def recorded(folder: Path, turns: int) -> Recording:
    recorder = FileRecorder(folder)
    play(recorder, noisy_line(turns))
    recorder.close()
    (path,) = folder.iterdir()
    return read_recording(path)


def test_noisy_call_is_replayed_bit_for_bit(recording: Recording) -> None:
    result = replay_exactly(recording, WebRtcVad())
    assert result.mismatch is None
    assert result.voiced_otherwise == 0
    assert result.steps == len(recording.steps)
    assert result.commands == sum(len(step.commands or ()) for step in recording.steps) > 15


def test_recorded_decisions_of_the_voice_detector_replay_the_core_alone(
    recording: Recording,
) -> None:
    assert replay_exactly(recording, RecordedDetector(recording)).mismatch is None


def test_other_words_in_the_record_show_as_a_diff(recording: Recording) -> None:
    steps = list(recording.steps)
    index = next(n for n, s in enumerate(steps) if isinstance(s.event, TranscriptReady))
    event = steps[index].event
    assert isinstance(event, TranscriptReady)
    other = dataclasses.replace(event, text="Goodbye.")
    steps[index] = dataclasses.replace(steps[index], event=other)
    result = replay_exactly(dataclasses.replace(recording, steps=tuple(steps)), WebRtcVad())
    assert result.mismatch is not None
    assert result.mismatch.step == index
    removed = [line for line in result.mismatch.lines if line.startswith("-    ")]
    added = [line for line in result.mismatch.lines if line.startswith("+    ")]
    assert len(removed) == len(added) == 1
    assert "StartReply" in removed[0] and "When do you open?" in removed[0]
    assert "StartReply" in added[0] and "Goodbye." in added[0]
    assert any("TranscriptReady" in line for line in result.mismatch.lines)


def test_one_frame_changed_by_its_lowest_bit_is_noticed(recording: Recording) -> None:
    steps = list(recording.steps)
    index = next(n for n, s in enumerate(steps) if s.commands and "samples" in s.commands[0])
    event = steps[index].event
    assert isinstance(event, AudioReceived)
    other = AudioReceived(event.samples ^ 1)
    steps[index] = dataclasses.replace(steps[index], event=other)
    result = replay_exactly(dataclasses.replace(recording, steps=tuple(steps)), WebRtcVad())
    assert result.mismatch is not None and result.mismatch.step == index


def test_another_policy_shows_as_a_diff(recording: Recording) -> None:
    endpoint = dataclasses.replace(recording.policy.endpoint, complete_ms=400)
    policy = dataclasses.replace(recording.policy, endpoint=endpoint)
    result = replay_exactly(dataclasses.replace(recording, policy=policy), WebRtcVad())
    assert result.mismatch is not None
    assert any(line.startswith("-") and "CommitTurn" in line for line in result.mismatch.lines)


def test_replay_runs_sixty_times_faster_than_the_call(recording: Recording) -> None:
    """With the detectors that serve, which take most of the time; an hour thus takes a minute."""
    voice = voice_detectors()()
    started = time.process_time()
    frames = [s.event.samples for s in recording.steps if isinstance(s.event, AudioReceived)]
    for frame in frames:
        voice(frame)
    replay_exactly(recording, WebRtcVad())
    assert recording.duration_s / (time.process_time() - started) >= 60
