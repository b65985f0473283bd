"""A second opinion on voice: the Silero model that faster-whisper ships."""

from __future__ import annotations

import numpy as np
from faster_whisper.vad import get_vad_model
from numpy.typing import NDArray

from gateway.audio.pcm import Samples

_CHUNK = 512
_CONTEXT = 64
"""Samples of one inference and of the audio before it, as the model was trained."""


class SileroModel:
    """The model, shared by all calls; one inference takes about 0.1 ms on one core."""

    def __init__(self) -> None:
        self._session = get_vad_model().session

    def __call__(
        self, audio: NDArray[np.float32], state: tuple[NDArray[np.float32], NDArray[np.float32]]
    ) -> tuple[float, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Voice probability of 64 + 512 samples (float, -1..1), and the state after them."""
        output, hidden, cell = self._session.run(
            None, {"input": audio[None], "h": state[0], "c": state[1]}
        )
        return float(np.squeeze(output)), (hidden, cell)


class SileroVad:
    """Voice probability of one line, brought up to date frame by frame, only when asked.

    While nobody asks, only the last frames are kept; the model then starts afresh from them, so a
    silent line costs nothing.
    """

    def __init__(self, model: SileroModel) -> None:
        self._model = model
        self._audio: Samples = np.zeros(_CONTEXT + _CHUNK, dtype=np.int16)
        self._unread = 0
        self._fresh = True
        self._probability = 0.0
        self._state = _blank()

    def push(self, frame: Samples) -> None:
        """Take a frame (320 samples of int16, 16 kHz) without judging it."""
        keep = _CONTEXT + 2 * _CHUNK
        self._audio = np.concatenate((self._audio, frame))[-keep:]
        self._unread = min(self._unread + len(frame), 2 * _CHUNK)

    def reset(self) -> None:
        """The line was silent: forget what the model heard before."""
        if not self._fresh:
            self._fresh = True
            self._probability = 0.0
            self._state = _blank()

    def probability(self) -> float:
        """Probability, 0..1, that the newest whole chunk of 32 ms holds a voice."""
        self._fresh = False
        while self._unread >= _CHUNK:
            end = len(self._audio) - self._unread + _CHUNK
            window = self._audio[end - _CHUNK - _CONTEXT : end].astype(np.float32)
            self._probability, self._state = self._model(window / np.float32(32768), self._state)
            self._unread -= _CHUNK
        return self._probability


def _blank() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return np.zeros((1, 1, 128), np.float32), np.zeros((1, 1, 128), np.float32)
