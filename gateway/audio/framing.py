"""Cuts a stream of audio into frames of exactly 20 ms."""

from __future__ import annotations

import numpy as np

from gateway.audio.pcm import FRAME_SAMPLES, Samples


class Framer:
    """Collects audio of any chunk size and gives it back as frames; keeps less than one frame."""

    def __init__(self) -> None:
        self._rest: Samples = np.zeros(0, dtype=np.int16)

    def push(self, samples: Samples) -> list[Samples]:
        """Add samples (int16, 16 kHz); return the complete frames, 320 samples each, in order."""
        audio = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        whole = len(audio) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = audio[whole:].copy()
        return [audio[i : i + FRAME_SAMPLES] for i in range(0, whole, FRAME_SAMPLES)]
