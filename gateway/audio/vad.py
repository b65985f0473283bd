"""Voice activity of single frames: WebRTC's detector, and a second one that confirms it."""

from __future__ import annotations

from typing import Protocol

import webrtcvad

from gateway.audio.pcm import SAMPLE_RATE, Samples

_AGGRESSIVENESS = 2
"""Of WebRTC's detector: from 0, which lets everything through, to 3, which needs clear speech."""

_LEAST_PROBABILITY = 0.4
"""Of a voice, by the second detector."""

_RESET_FRAMES = 25
"""Half a second of silence: what was heard before no longer helps."""


class WebRtcVad:
    """Speech or not, frame by frame; adapts to the line's noise, so one object serves one call."""

    def __init__(self) -> None:
        self._vad = webrtcvad.Vad(_AGGRESSIVENESS)

    def __call__(self, frame: Samples) -> bool:
        """Whether a frame (320 samples of int16, 16 kHz) holds speech. Takes about 2 µs."""
        return bool(self._vad.is_speech(frame.tobytes(), SAMPLE_RATE))


class VoiceProbability(Protocol):
    """A slower, better judge of voice, asked only when there is something to judge."""

    def push(self, frame: Samples) -> None:
        """Take a frame without judging it."""
        ...

    def reset(self) -> None:
        """The line was silent for a while."""
        ...

    def probability(self) -> float:
        """Probability, 0..1, that there is a voice now."""
        ...


class ConfirmedVad:
    """WebRTC's detector opens fast and cheaply; a second one confirms that it is a voice.

    Noise, music, tones and clicks open the first and are refused by the second, which also closes
    sooner after the last word. On a silent line the second one never runs.
    """

    def __init__(self, fast: WebRtcVad, confirm: VoiceProbability) -> None:
        self._fast = fast
        self._confirm = confirm
        self._quiet_frames = 0

    def __call__(self, frame: Samples) -> bool:
        """Whether a frame (320 samples of int16, 16 kHz) holds voice."""
        self._confirm.push(frame)
        if not self._fast(frame):
            self._quiet_frames += 1
            if self._quiet_frames == _RESET_FRAMES:
                self._confirm.reset()
            return False
        self._quiet_frames = 0
        return self._confirm.probability() >= _LEAST_PROBABILITY
