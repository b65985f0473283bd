"""Made-up voices for the simulator's tests."""

from __future__ import annotations

import numpy as np

from gateway.audio.pcm import Samples, samples_of
from gateway.simulator.recording import Recording


def tone(duration_s: float, level: int = 8000) -> Samples:
    """A loud tone: speech, as far as energy goes."""
    wave = level * np.sin(np.arange(samples_of(duration_s)) * 0.2)
    samples: Samples = wave.astype(np.int16)
    return samples


def silence(duration_s: float) -> Samples:
    """Digital silence."""
    return np.zeros(samples_of(duration_s), dtype=np.int16)


def utterance(name: str = "hello.wav", speech_s: float = 0.2, tail_s: float = 0.1) -> Recording:
    """Some speech and a silent tail."""
    speech = tone(speech_s)
    samples = np.concatenate([speech, silence(tail_s)])
    return Recording(name, samples, speech.size, text="hello there")
