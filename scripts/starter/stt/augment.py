"""Training noise: rooms, lines, level, and items without any speech."""

import numpy as np
from numpy.fft import irfft, rfft

from .features import RATE, Wave, shape, telephone
from .synthesis import Samples


def _unit(wave: np.ndarray) -> Wave:
    return np.asarray(wave / (np.sqrt((wave**2).mean()) + 1e-9), np.float32)


class Noise:
    """A minute each of white, pink and brown noise and mains hum, and babble when it is given."""

    def __init__(self, rng: np.random.Generator, babble: Wave | None = None) -> None:
        size = RATE * 60
        white = rng.standard_normal(size).astype(np.float32)
        spectrum = rfft(white)
        bins = np.arange(1, len(spectrum) + 1)
        time = np.arange(size) / RATE
        hum = 0.1 * rng.standard_normal(size)
        for order, hertz in enumerate((50, 100, 150, 250, 350), 1):
            hum += np.sin(2 * np.pi * hertz * time + rng.random() * 6) / order
        pink, brown = irfft(spectrum / np.sqrt(bins), size), irfft(spectrum / bins, size)
        self.steady = [_unit(white), _unit(pink), _unit(brown), _unit(hum)]
        self._all = self.steady + ([_unit(babble)] * 2 if babble is not None else [])

    def take(self, rng: np.random.Generator, length: int) -> Wave:
        """Some noise of unit power."""
        bank = self._all[rng.integers(len(self._all))]
        start = rng.integers(len(bank) - length - 1)
        return bank[start : start + length].copy()


def _room(rng: np.random.Generator) -> Wave:
    size = int(rng.uniform(0.08, 0.35) * RATE)
    decay = np.exp(-6.9 * np.arange(size) / size) * rng.uniform(0.02, 0.12)
    impulse = (rng.standard_normal(size) * decay).astype(np.float32)
    impulse[0] = 1
    return impulse


def augment(
    samples: Samples, rng: np.random.Generator, noise: Noise, strength: float = 1.0
) -> tuple[Wave, float, float]:
    """An utterance as it may arrive: (wave, start of speech, end of speech), times in seconds."""
    wave: Wave = np.asarray(samples, np.float32) / np.float32(32768)
    if rng.random() < 0.5 * strength:  # speed and pitch together
        positions = np.arange(0, len(wave) - 1, rng.uniform(0.88, 1.14))
        wave = np.interp(positions, np.arange(len(wave)), wave).astype(np.float32)
    lead, trail = int(RATE * rng.uniform(0, 0.35)), int(RATE * rng.uniform(0.03, 0.35))
    if rng.random() < 0.05:
        lead += int(RATE * rng.uniform(0, 1.0))
    start, end = lead / RATE, (lead + len(wave)) / RATE
    power = float(np.sqrt((wave**2).mean())) + 1e-6
    wave = np.asarray(np.pad(wave, (lead, trail)), np.float32)
    impulse = _room(rng) if rng.random() < 0.3 * strength else None
    tilt = rng.uniform(-0.4, 0.4) if rng.random() < 0.5 * strength else 0.0
    if impulse is not None or tilt:
        wave = shape(wave, impulse=impulse, tilt=tilt)
    if rng.random() < 0.7 * strength:
        wave = wave + noise.take(rng, len(wave)) * power * 10 ** (-rng.uniform(8, 35) / 20)
    if rng.random() < 0.5:
        wave = telephone(wave, rng)
    else:
        hiss = rng.standard_normal(len(wave)) * 10 ** rng.uniform(-5.5, -3)
        wave = np.asarray(wave + hiss, np.float32)
    wave = wave / (np.abs(wave).max() + 1e-9) * 10 ** rng.uniform(-1.2, 0)
    if rng.random() < 0.05:
        wave = np.clip(wave * 2, -1, 1)
    return np.asarray(np.round(wave * 32767) / 32768, np.float32), start, end


def no_speech(rng: np.random.Generator, noise: Noise) -> Wave:
    """Silence, noise, tones or clicks, 0.4 to 3 s."""
    size = int(RATE * rng.uniform(0.4, 3))
    kind = rng.random()
    wave: np.ndarray
    if kind < 0.2:
        wave = np.zeros(size)
    elif kind < 0.85:
        bank = noise.steady[rng.integers(len(noise.steady))]
        start = rng.integers(len(bank) - size - 1)
        wave = bank[start : start + size] * 10 ** rng.uniform(-4, -0.8)
    else:
        time = np.arange(size) / RATE
        beeps = np.sin(2 * np.pi * rng.uniform(0.3, 3) * time) > 0
        tone = np.sin(2 * np.pi * rng.uniform(200, 1500) * time)
        wave = tone * beeps * 10 ** rng.uniform(-3, -0.5)
    if rng.random() < 0.3:
        wave = wave + (rng.random(size) < 2e-4) * rng.standard_normal(size) * 10 ** rng.uniform(
            -2, 0
        )
    heard = wave.astype(np.float32)
    if rng.random() < 0.5:
        heard = telephone(heard, rng)
    return np.clip(heard, -1, 1)
