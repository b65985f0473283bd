"""Streaming sample-rate conversion with a delay of one to two milliseconds.

A polyphase windowed-sinc filter in numpy. Block-based resamplers (soxr's stream mode) hold back
29 to 89 ms between telephone rates and 16 kHz, because they work in blocks; in a conversation
that is heard on every turn, so the filter here is short and needs only half its own length of
the future.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from gateway.audio.pcm import Samples

ZERO_CROSSINGS = 16
"""Half-length of the sinc, in periods of the lower rate: 2 ms at 8 kHz, 1 ms at 16 kHz."""

KAISER_BETA = 8.0
"""Kaiser window for about 80 dB of stop-band attenuation (beta = 0.1102 (80 - 8.7))."""

ROLLOFF = 0.92
"""Cut-off as a part of the lower Nyquist frequency; the transition band is centred there."""

_BLOCK = 8192
"""Input samples filtered at a time; bounds the memory of one large push."""


class Resampler:
    """Converts one continuous int16 mono signal from one rate to another.

    Output is aligned with the input in time: sample n of the output is the input at
    ``n * rate_in / rate_out``. Equal rates pass samples through untouched.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        """Prepare the filter.

        Args:
            rate_in: sample rate of what is pushed, Hz.
            rate_out: sample rate of what comes out, Hz.

        Raises:
            ValueError: a rate is not positive.
        """
        if rate_in <= 0 or rate_out <= 0:
            raise ValueError(f"expected positive sample rates, got {rate_in} and {rate_out}")
        common = gcd(rate_in, rate_out)
        self._up = rate_out // common
        self._down = rate_in // common
        self._bank = _filter_bank(self._up, self._down)
        self._reset()

    def push(self, samples: Samples) -> Samples:
        """Feed input, get what can be computed so far (possibly nothing).

        Args:
            samples: int16, shape (n,), any n.

        Returns:
            int16, shape (m,).
        """
        if self._up == self._down:
            return samples
        self._pushed += len(samples)
        return self._filter(samples)

    def flush(self) -> Samples:
        """End of the signal: the remaining output. The object is then ready for a new signal.

        Over a whole signal of n samples, ``ceil(n * rate_out / rate_in)`` samples come out.
        """
        if self._up == self._down:
            return np.zeros(0, np.int16)
        expected = -(-self._pushed * self._up // self._down)
        tail = self._filter(np.zeros(self._bank.shape[1], np.int16))
        remaining = len(tail) - (self._produced - expected)
        self._reset()
        return tail[:remaining]

    def _reset(self) -> None:
        taps = self._bank.shape[1]
        self._history: NDArray[np.float32] = np.zeros(taps // 2 - 1, np.float32)
        self._phase = 0  # of the next output, in steps of 1/up input samples after history[0]
        self._pushed = 0
        self._produced = 0

    def _filter(self, samples: Samples) -> Samples:
        blocks = [
            self._filter_block(samples[at : at + _BLOCK]) for at in range(0, len(samples), _BLOCK)
        ]
        output = np.concatenate(blocks) if blocks else np.zeros(0, np.int16)
        self._produced += len(output)
        return output

    def _filter_block(self, samples: Samples) -> Samples:
        taps = self._bank.shape[1]
        signal = np.concatenate([self._history, samples.astype(np.float32)])
        windows = len(signal) - taps + 1
        if windows <= 0:
            self._history = signal
            return np.zeros(0, np.int16)
        count = max(0, -(-(windows * self._up - self._phase) // self._down))
        starts, phases = np.divmod(self._phase + self._down * np.arange(count), self._up)
        view = np.lib.stride_tricks.sliding_window_view(signal, taps)
        filtered = np.einsum("nt,nt->n", view[starts], self._bank[phases])
        end = self._phase + self._down * count
        self._history = signal[end // self._up :]
        self._phase = end % self._up
        output: Samples = np.clip(np.rint(filtered), -32768, 32767).astype(np.int16)
        return output


def resample(samples: Samples, rate_in: int, rate_out: int) -> Samples:
    """Convert a whole int16 signal at once."""
    resampler = Resampler(rate_in, rate_out)
    return np.concatenate([resampler.push(samples), resampler.flush()])


@lru_cache(maxsize=32)
def _filter_bank(up: int, down: int) -> NDArray[np.float32]:
    """Interpolation weights: row p gives the input at p/up samples after the window's centre.

    Every row sums to one, so that a constant signal stays exactly constant.
    """
    stretch = max(1.0, down / up)
    half = int(np.ceil(ZERO_CROSSINGS * stretch))
    offsets = np.arange(-half + 1, half + 1)[np.newaxis, :]
    times = offsets - np.arange(up)[:, np.newaxis] / up
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (times / half) ** 2, 0, None)))
    weights = np.sinc(times * ROLLOFF / stretch) * window
    weights /= weights.sum(axis=1, keepdims=True)
    bank: NDArray[np.float32] = weights.astype(np.float32)
    return bank
