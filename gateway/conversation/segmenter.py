"""Finds stretches of speech in a stream of frames. Counts frames, never the clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

import numpy as np

from gateway.audio.pcm import FRAME_MS, Samples
from gateway.conversation.policy import SpeechPolicy

VoiceDetector = Callable[[Samples], bool]

_LONGEST_BREATH_MS = 160
"""What of a gap inside a stretch counts as speech; the rest is silence, as between two coughs."""


class Change(Enum):
    """What one more frame brought."""

    STARTED = "speech started"
    PAUSED = "speech paused"


class Segmenter:
    """Speech starts with enough voice in a short window and pauses after enough silence.

    Args:
        voice: tells for each frame whether it holds voice; its own, stateful object per call.
        pause_ms: silence after which speech has paused.
    """

    def __init__(self, voice: VoiceDetector, policy: SpeechPolicy, pause_ms: int) -> None:
        self._voice = voice
        self._pause_ms = pause_ms
        self._start_frames = max(1, policy.start_ms // FRAME_MS)
        self._window: deque[bool] = deque(maxlen=max(1, policy.start_window_ms // FRAME_MS))
        kept_ms = policy.pre_roll_ms + policy.start_window_ms
        self._recent: deque[Samples] = deque(maxlen=kept_ms // FRAME_MS)
        self.speaking = False
        self.speech_ms = 0
        """Speech in the current stretch, breaths included, up to its last voiced frame."""
        self.stretch_ms = 0
        """Time since the stretch began; it goes on until speech pauses."""
        self.silence_ms = 0
        """Silence since the last voiced frame."""
        self.paused_ms = 0
        """Silence before the current stretch of speech."""

    def push(self, frame: Samples) -> Change | None:
        """Take the next frame (320 samples of int16, 16 kHz)."""
        voiced = self._voice(frame)
        self._recent.append(frame)
        self._window.append(voiced)
        if self.speaking:
            return self._go_on(voiced)
        if voiced and sum(self._window) >= self._start_frames:
            self.speaking = True
            self.paused_ms = max(0, self.silence_ms - len(self._window) * FRAME_MS)
            self.speech_ms = self.stretch_ms = sum(self._window) * FRAME_MS
            self.silence_ms = 0
            return Change.STARTED
        self.silence_ms += FRAME_MS
        return None

    def _go_on(self, voiced: bool) -> Change | None:
        self.stretch_ms += FRAME_MS
        if voiced:
            self.speech_ms += min(self.silence_ms, _LONGEST_BREATH_MS) + FRAME_MS
            self.silence_ms = 0
            return None
        self.silence_ms += FRAME_MS
        if self.silence_ms < self._pause_ms:
            return None
        self.speaking = False
        self._window.clear()
        return Change.PAUSED

    def recent(self) -> Samples:
        """Pre-roll and the onset itself, this frame included; nothing of the speech before it."""
        since_pause = (self.paused_ms + self.speech_ms) // FRAME_MS
        return np.concatenate(list(self._recent)[-max(1, since_pause) :])
