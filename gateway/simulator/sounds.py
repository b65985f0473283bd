"""Made-up sounds of a caller's surroundings, the same for the same seed. Floats around -1..1."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gateway.audio.pcm import SAMPLE_RATE, samples_of
from gateway.simulator.scenario import SoundKind

Wave = NDArray[np.float64]

_RNG = np.random.Generator
_DTMF_LOW = (697.0, 770.0, 852.0, 941.0)
_DTMF_HIGH = (1209.0, 1336.0, 1477.0, 1633.0)
_CHORDS = (
    (220.0, 261.6, 329.6),
    (174.6, 220.0, 261.6),
    (196.0, 246.9, 293.7),
    (164.8, 196.0, 246.9),
)


@lru_cache(maxsize=64)
def make_sound(kind: SoundKind, duration_s: float, seed: int = 0) -> Wave:
    """A sound of the given length at 16 kHz, with an RMS of 0.1 over its audible part.

    The array is shared by everybody who asks for the same sound, and read-only.
    """
    count = samples_of(duration_s)
    rng = np.random.default_rng([seed, *kind.encode()])
    wave = _MAKERS[kind](count, rng)
    loud = wave[np.abs(wave) > 1e-3 * np.abs(wave).max(initial=0.0)]
    rms = float(np.sqrt(np.mean(loud**2))) if loud.size else 0.0
    wave = wave * (0.1 / rms) if rms > 0 else wave
    wave.setflags(write=False)
    return wave


def _silence(count: int, rng: _RNG) -> Wave:
    return np.zeros(count)


def _cough(count: int, rng: _RNG) -> Wave:
    """A hard onset of coloured noise, and a weaker one after it."""
    wave = np.zeros(count)
    begin, length = 0, int(count * 0.55)
    for strength in (1.0, 0.6):
        end = min(begin + length, count)
        time = np.arange(end - begin) / SAMPLE_RATE
        envelope = np.minimum(time / 0.008, 1.0) * np.exp(
            -time / (0.11 * count / SAMPLE_RATE + 0.03)
        )
        noise = _band(rng.standard_normal(end - begin), 350, 2800)
        wave[begin:end] += strength * envelope * noise
        begin, length = end, count - end
    return wave


def _breath(count: int, rng: _RNG) -> Wave:
    swell = np.sin(np.linspace(0, np.pi, count)) ** 2
    return swell * _band(rng.standard_normal(count), 500, 5000)


def _click(count: int, rng: _RNG) -> Wave:
    wave = np.zeros(count)
    for at in rng.integers(0, max(1, count - 40), max(1, count // 4000)):
        length = min(40, count - at)
        wave[at : at + length] += rng.standard_normal(length) * np.exp(-np.arange(length) / 8)
    return wave


def _dtmf(count: int, rng: _RNG) -> Wave:
    """One key: two tones, as on the line."""
    time = np.arange(count) / SAMPLE_RATE
    low, high = float(rng.choice(_DTMF_LOW)), float(rng.choice(_DTMF_HIGH))
    tones: Wave = np.sin(2 * np.pi * low * time) + np.sin(2 * np.pi * high * time)
    return tones


def _babble(count: int, rng: _RNG) -> Wave:
    """Six voices at once: pulse trains through wandering formants, in syllables."""
    voices: Wave = np.sum([_talker(count, rng) for _ in range(6)], axis=0)
    return voices


def _talker(count: int, rng: _RNG) -> Wave:
    pitch = rng.uniform(90, 230) * (1 + 0.15 * _wander(count, 2.5, rng))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    formants = [base * (1 + spread * _wander(count, 6, rng)) for base, spread in _FORMANTS]
    wave = np.zeros(count)
    for harmonic in range(1, 24):
        frequency = harmonic * pitch
        gain = sum(np.exp(-(((frequency - f) / 130) ** 2)) for f in formants)
        wave += gain * np.sin(harmonic * phase)
    syllables = np.clip(0.3 + _wander(count, 5, rng), 0, None)
    return wave * syllables


_FORMANTS = ((500.0, 0.35), (1400.0, 0.35), (2500.0, 0.12))


def _street(count: int, rng: _RNG) -> Wave:
    """Rumble with cars passing by."""
    rumble = _band(rng.standard_normal(count), 40, 400) * 3
    tyres = _band(rng.standard_normal(count), 400, 2500)
    passing = np.clip(_wander(count, 0.3, rng), 0, None)
    return rumble * (0.6 + 0.4 * passing) + tyres * (0.15 + passing)


def _music(count: int, rng: _RNG) -> Wave:
    """Plucked chords over a bass, 110 beats a minute: music on hold."""
    beat = SAMPLE_RATE * 60 // 110
    key = 2 ** (float(rng.integers(0, 12)) / 12)
    wave = np.zeros(count)
    for index, begin in enumerate(range(0, count, beat)):
        time = np.arange(min(beat, count - begin)) / SAMPLE_RATE
        chord = [note * key for note in _CHORDS[(index // 4) % len(_CHORDS)]]
        notes = [*chord, chord[0] / 2, 2 * float(rng.choice(chord))]
        for note in notes:
            for harmonic in (1, 2, 3):
                tone = np.sin(2 * np.pi * harmonic * note * time) / harmonic**1.5
                wave[begin : begin + time.size] += tone * np.exp(-time * 3)
    return wave


def _wander(count: int, rate_hz: float, rng: _RNG) -> Wave:
    """A smooth random curve around 0, mostly within -1..1, that turns about ``rate_hz`` times."""
    points = max(4, int(count / SAMPLE_RATE * rate_hz * 2) + 2)
    values = rng.uniform(-1, 1, points)
    curve: Wave = np.interp(np.linspace(0, points - 1, count), np.arange(points), values)
    return curve


def _band(wave: Wave, low_hz: float, high_hz: float) -> Wave:
    """Only what lies between two frequencies."""
    spectrum = np.fft.rfft(wave)
    frequency = np.fft.rfftfreq(wave.size, 1 / SAMPLE_RATE)
    spectrum[(frequency < low_hz) | (frequency > high_hz)] = 0
    kept: Wave = np.fft.irfft(spectrum, wave.size)
    return kept


_MAKERS = {
    "silence": _silence,
    "cough": _cough,
    "breath": _breath,
    "click": _click,
    "dtmf": _dtmf,
    "babble": _babble,
    "street": _street,
    "music": _music,
}
