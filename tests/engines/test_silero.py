"""The confirmed voice detector: people start a turn, the sounds around them do not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gateway.audio.framing import Framer
from gateway.audio.pcm import SAMPLE_RATE, Samples, seconds
from gateway.audio.vad import ConfirmedVad, WebRtcVad
from gateway.conversation.policy import SpeechPolicy
from gateway.conversation.segmenter import Change, Segmenter
from gateway.engines.silero import SileroModel, SileroVad
from gateway.simulator.recording import load_recording
from gateway.simulator.scenario import SoundKind
from gateway.simulator.sounds import make_sound

RECORDINGS = Path(__file__).parents[2] / "gateway" / "simulator" / "recordings"


@cache
def model() -> SileroModel:
    return SileroModel()


def starts(audio: Samples, pause_ms: int = 160) -> list[tuple[float, Change]]:
    """When speech started and paused in some audio, in seconds."""
    detector = ConfirmedVad(WebRtcVad(), SileroVad(model()))
    segmenter = Segmenter(detector, SpeechPolicy(), pause_ms)
    found = []
    for index, frame in enumerate(Framer().push(audio)):
        if change := segmenter.push(frame):
            found.append(((index + 1) * 0.02, change))
    return found


def loud(kind: SoundKind, duration_s: float = 4.0) -> Samples:
    wave = make_sound(kind, duration_s, seed=3)
    samples: Samples = (wave / np.abs(wave).max() * 8000).astype(np.int16)
    return samples


@pytest.mark.parametrize("kind", ["dtmf", "click", "breath", "street", "music"])
def test_sounds_of_the_line_and_the_street_do_not_start_speech(kind: SoundKind) -> None:
    assert starts(loud(kind)) == []


@pytest.mark.parametrize("level", [30, 300, 3000])
def test_white_noise_does_not_start_speech(level: float) -> None:
    noise = np.random.default_rng(1).normal(0, level, 5 * SAMPLE_RATE).astype(np.int16)
    assert starts(noise) == []


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.wav")), ids=lambda p: p.stem)
def test_speech_starts_soon_after_its_onset_and_pauses_soon_after_its_end(path: Path) -> None:
    recording = load_recording(path)
    silence = np.zeros(SAMPLE_RATE, dtype=np.int16)
    found = starts(np.concatenate([silence, recording.samples, silence]))
    onset = 1.0 + seconds(int(np.flatnonzero(np.abs(recording.samples) > 600)[0]))
    end = 1.0 + seconds(recording.speech_end)
    assert found[0][1] is Change.STARTED
    assert found[0][0] - onset <= 0.3, "a soft first sound may take longer"
    assert found[-1][1] is Change.PAUSED
    assert -0.1 <= found[-1][0] - end - 0.16 <= 0.12


def test_speech_in_street_noise_is_still_heard() -> None:
    speech = load_recording(RECORDINGS / "en-1-hours.wav").samples
    noise = loud("street", seconds(len(speech)))[: len(speech)] * 0.15
    assert starts((speech + noise).astype(np.int16))[0][1] is Change.STARTED


def test_silent_line_never_runs_the_model() -> None:
    class Refusing(SileroModel):
        def __init__(self) -> None:
            pass

        def __call__(self, *args: object) -> tuple[float, tuple[object, object]]:  # type: ignore[override]
            raise AssertionError("asked about silence")

    detector = ConfirmedVad(WebRtcVad(), SileroVad(Refusing()))
    silence = np.zeros(320, dtype=np.int16)
    assert not any(detector(silence) for _ in range(200))
