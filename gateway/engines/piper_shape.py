"""Level, edges and pauses of synthesised speech; numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gateway.audio.pcm import FRAME_SAMPLES, Samples, samples_of

ACTIVE_BELOW_PEAK_DB = 30.0
"""Frames quieter than the loudest by more than this are pauses, not speech."""

MAX_GAIN = 8.0
"""A voice is raised by at most 18 dB; beyond that its own noise would be heard."""

KNEE = 0.7
"""Part of full scale (-3 dBFS) above which the limiter bends the waveform."""

SOUND = 130
"""Samples above this (-48 dBFS) are sound, the rest is silence."""

LEAD_S = 0.02
"""Silence kept before the first sound: soft onsets lie under the threshold."""

DECAY_S = 0.04
"""Kept after the last sound: the end of a word fades out under the threshold."""

FADE_IN_S = 0.005
FADE_OUT_S = 0.01


def active_rms(samples: Samples) -> float:
    """RMS level of the speech in a clip without its pauses, in units of full scale (0..1).

    Measured over frames of 20 ms, as ITU-T P.56 does in spirit: silence does not count.
    """
    frames = len(samples) // FRAME_SAMPLES
    if frames == 0:
        return 0.0
    scaled = samples[: frames * FRAME_SAMPLES].astype(np.float64) / 32768.0
    power = np.mean(scaled.reshape(frames, FRAME_SAMPLES) ** 2, axis=1)
    active = power[power > power.max() * 10 ** (-ACTIVE_BELOW_PEAK_DB / 10)]
    return float(np.sqrt(active.mean())) if len(active) else 0.0


def gain_to(level_dbfs: float, rms: float) -> float:
    """Factor that brings an RMS (0..1) to a level in dBFS; 1 for silence."""
    if rms <= 0.0:
        return 1.0
    return float(min(10 ** (level_dbfs / 20) / rms, MAX_GAIN))


def to_int16(audio: NDArray[np.float32], gain: float) -> Samples:
    """Scale float audio (-1..1) and convert it; peaks are bent softly and never clip."""
    loud = audio * np.float32(gain)
    excess = np.abs(loud) - KNEE
    if np.any(excess > 0):
        room = 1.0 - KNEE
        bent = np.sign(loud) * (KNEE + room * np.tanh(excess / room))
        loud = np.where(excess > 0, bent, loud)
    converted: Samples = np.rint(loud * 32767.0).astype(np.int16)
    return converted


def sounding_part(samples: Samples) -> tuple[int, int]:
    """First sample and end of what `shape_piece` keeps; (0, 0) when there is no sound at all."""
    sound = np.flatnonzero(np.abs(samples.astype(np.int32)) > SOUND)
    if len(sound) == 0:
        return 0, 0
    start = max(0, int(sound[0]) - samples_of(LEAD_S))
    return start, min(len(samples), int(sound[-1]) + 1 + samples_of(DECAY_S))


def shape_piece(samples: Samples, pause_s: float) -> Samples:
    """Trim the silence at both ends, fade the edges, and add a fixed pause.

    Args:
        samples: int16, 16 kHz.
        pause_s: exact silence put after the end, seconds.

    Returns:
        int16, 16 kHz; first and last sample are 0. Empty when there is no sound at all.
    """
    start, end = sounding_part(samples)
    if start == end:
        return np.zeros(0, np.int16)
    speech = samples[start:end].astype(np.float32)
    fade_in, fade_out = samples_of(FADE_IN_S), samples_of(FADE_OUT_S)
    speech[:fade_in] *= np.linspace(0.0, 1.0, fade_in, dtype=np.float32)[: len(speech)]
    speech[-fade_out:] *= np.linspace(1.0, 0.0, fade_out, dtype=np.float32)[-len(speech) :]
    pause = np.zeros(samples_of(pause_s), np.int16)
    return np.concatenate([np.rint(speech).astype(np.int16), pause])
