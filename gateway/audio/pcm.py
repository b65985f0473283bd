"""The one audio format inside the gateway: int16, 16 kHz, mono."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]
"""Audio: int16, one dimension, 16 kHz mono."""

SAMPLE_RATE = 16_000
FRAME_MS = 20
FRAME_SAMPLES = SAMPLE_RATE * FRAME_MS // 1000


def decode_s16le(data: bytes) -> Samples:
    """Little-endian 16-bit PCM as samples; a trailing odd byte is dropped."""
    return np.frombuffer(data, dtype="<i2", count=len(data) // 2).astype(np.int16, copy=False)


def encode_s16le(samples: Samples) -> bytes:
    """Samples as little-endian 16-bit PCM."""
    return samples.astype("<i2", copy=False).tobytes()


def seconds(sample_count: int) -> float:
    """Duration of a number of samples, in seconds."""
    return sample_count / SAMPLE_RATE


def samples_of(duration_s: float) -> int:
    """Number of samples in a duration given in seconds, rounded."""
    return round(duration_s * SAMPLE_RATE)
