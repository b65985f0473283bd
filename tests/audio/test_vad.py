from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.pcm import FRAME_SAMPLES, SAMPLE_RATE, Samples
from gateway.audio.vad import ConfirmedVad, WebRtcVad


def test_digital_silence_is_no_speech() -> None:
    vad = WebRtcVad()
    assert not any(vad(np.zeros(FRAME_SAMPLES, dtype=np.int16)) for _ in range(50))


def buzz() -> list[Samples]:
    """A second of what WebRTC's detector takes for a voice, in frames."""
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tones = np.sum([np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 25)], axis=0)
    return list((tones * 6000).astype(np.int16).reshape(-1, FRAME_SAMPLES))


def test_loud_buzz_with_formants_is_speech() -> None:
    vad = WebRtcVad()
    assert sum(vad(frame) for frame in buzz()) > 40


class Confirming:
    """Says how sure it is, and notes what it was told and asked."""

    def __init__(self, probability: float) -> None:
        self._probability = probability
        self.pushed = self.asked = 0
        self.reset_at: list[int] = []

    def push(self, frame: Samples) -> None:
        self.pushed += 1

    def reset(self) -> None:
        self.reset_at.append(self.pushed)

    def probability(self) -> float:
        self.asked += 1
        return self._probability


@pytest.mark.parametrize(("probability", "expected"), [(0.39, False), (0.4, True), (1.0, True)])
def test_what_opens_the_fast_detector_is_voice_if_the_second_one_confirms_it(
    probability: float, expected: bool
) -> None:
    fast, confirming = WebRtcVad(), Confirming(probability)
    vad = ConfirmedVad(WebRtcVad(), confirming)
    found = [(fast(frame) and expected, vad(frame)) for frame in buzz()]
    assert [heard for _, heard in found] == [wanted for wanted, _ in found]
    assert confirming.pushed == 50 and confirming.asked > 40


def test_second_detector_is_not_asked_on_a_silent_line_and_forgets_once_in_each_silence() -> None:
    confirming = Confirming(1.0)
    vad = ConfirmedVad(WebRtcVad(), confirming)
    silence = [np.zeros(FRAME_SAMPLES, dtype=np.int16)] * 24
    assert [vad(frame) for frame in silence] == [False] * 24
    assert (confirming.asked, confirming.reset_at) == (0, [])
    for frame in silence * 4:
        vad(frame)
    assert confirming.reset_at == [25], "after half a second, and not again"
    for frame in buzz() + silence * 4:
        vad(frame)
    assert len(confirming.reset_at) == 2
