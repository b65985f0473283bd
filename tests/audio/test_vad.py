from __future__ import annotations

import numpy as np

from gateway.audio.pcm import FRAME_SAMPLES, SAMPLE_RATE
from gateway.audio.vad import WebRtcVad


def test_digital_silence_is_no_speech() -> None:
    vad = WebRtcVad()
    assert not any(vad(np.zeros(FRAME_SAMPLES, dtype=np.int16)) for _ in range(50))


def test_loud_buzz_with_formants_is_speech() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    buzz = np.sum([np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 25)], axis=0)
    audio = (buzz * 6000).astype(np.int16)
    vad = WebRtcVad()
    frames = [audio[i : i + FRAME_SAMPLES] for i in range(0, SAMPLE_RATE, FRAME_SAMPLES)]
    assert sum(vad(frame) for frame in frames) > 40
