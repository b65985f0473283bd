"""Recognises our own voice when the line returns it."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from gateway.audio.pcm import SAMPLE_RATE, Samples, samples_of, seconds

_BAND_HZ = (300.0, 3400.0)
"""What a telephone line passes; outside it an echo need not resemble what was sent."""

MAX_DELAY_S = 1.0
"""Longest way of an echo: network, jitter buffers and the far end's loudspeaker."""

_MAX_GAIN_DB = 10.0
"""By how much an echo may be louder than what was sent: the far end may amplify its microphone."""

_KEEP_S = 3.0

_LEAST_SIMILARITY = 0.85
"""Normalised cross-correlation from which sound counts as an echo. Measured through a telephone
line: an echo alone reaches 0.98 at any level down to -30 dB, a caller of the same voice over an
echo of -6 dB at most 0.74."""


class EchoDetector:
    """Keeps what was played and when; correlates what is heard with it over all delays."""

    def __init__(self) -> None:
        self._played: deque[tuple[float, Samples]] = deque()

    def played(self, samples: Samples, at: float) -> None:
        """Samples (int16, 16 kHz) that begin to play at call time ``at`` (seconds)."""
        self._played.append((at, samples))
        while self._played and self._played[0][0] < at - _KEEP_S:
            self._played.popleft()

    def is_echo(self, heard: Samples, ends_at: float) -> bool:
        """Whether sound (int16, 16 kHz) that ended at call time ``ends_at`` is our own.

        Takes about 2 ms for 300 ms of sound; asked only while there is speech over the assistant.
        """
        return self.similarity(heard, ends_at) >= _LEAST_SIMILARITY

    def similarity(self, heard: Samples, ends_at: float) -> float:
        """Largest normalised cross-correlation over all delays, 0..1."""
        begins = ends_at - seconds(len(heard)) - MAX_DELAY_S
        reference = self._reference(begins, ends_at)
        if reference is None or not heard.any():
            return 0.0
        size = 1 << (len(reference) + len(heard)).bit_length()
        spectrum_heard = _telephone_band(heard, size)
        spectrum_played = _telephone_band(reference, size)
        cross = np.fft.irfft(spectrum_played * np.conj(spectrum_heard), size)
        lags = len(reference) - len(heard) + 1
        played = np.fft.irfft(spectrum_played, size)[: len(reference)]
        energy = np.concatenate(([0.0], np.cumsum(played**2)))
        window_energy = energy[len(heard) :] - energy[: -len(heard)]
        heard_energy = float(np.sum(np.fft.irfft(spectrum_heard, size)[: len(heard)] ** 2)) + 1e-9
        # A window in which hardly anything was played cannot have come back this loud.
        least = heard_energy / 10 ** (_MAX_GAIN_DB / 10)
        norm = np.sqrt(np.maximum(window_energy, least) * heard_energy)
        return float(np.max(np.abs(cross[:lags]) / norm, initial=0.0))

    def _reference(self, begins: float, ends: float) -> Samples | None:
        """What was played in a stretch of time, silence included; None when nothing was."""
        stretch = np.zeros(samples_of(ends - begins), dtype=np.int16)
        anything = False
        for at, samples in self._played:
            start = samples_of(at - begins)
            first, last = max(0, start), min(len(stretch), start + len(samples))
            if first < last:
                stretch[first:last] = samples[first - start : last - start]
                anything = True
        return stretch if anything else None


def _telephone_band(samples: Samples, size: int) -> NDArray[np.complex128]:
    # Through differences: samples cut off in a deep sound would put a click into the band.
    steps = np.diff(samples / 32768.0, prepend=samples[0] / 32768.0)
    frequency = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    inside = (frequency >= _BAND_HZ[0]) & (frequency <= _BAND_HZ[1])
    spectrum = np.where(inside, np.fft.rfft(steps, size), 0)
    spectrum[inside] /= 1 - np.exp(-2j * np.pi * frequency[inside] / SAMPLE_RATE)
    return spectrum
