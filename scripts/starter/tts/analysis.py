"""Waveform -> vocoder frames, one every 5 ms."""

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from .vocoder import (
    BANDS,
    ENVELOPE,
    FLOOR_HARMONIC,
    FLOOR_NOISE,
    HARMONIC_GRID,
    HOP,
    NOISE_GRID,
    RATE,
    WIDTH,
    Floats,
)

_CANDIDATES = 6
_POINTS = 192  # per pitch period, after warping time to a constant pitch
_OVERSAMPLING = 8
_HARMONICS = 95
_NOISE_WINDOW = 128


def track_pitch(
    wave: Floats, lowest: float = 90.0, highest: float = 420.0
) -> tuple[Floats, Floats]:
    """(f0 in Hz, voiced as 0/1) per frame: autocorrelation candidates, then a best path."""
    count = int(np.ceil(len(wave) / HOP)) + 1
    size, fft = 640, 2048
    padded = np.pad(wave, (size // 2, size // 2 + HOP * 2))
    frames = padded[np.arange(count)[:, None] * HOP + np.arange(size)[None]]
    frames = frames - frames.mean(1, keepdims=True)
    window = np.hanning(size)

    def correlation(x: Floats) -> Floats:
        spectrum = np.abs(np.fft.rfft(x, fft)) ** 2
        return np.asarray(np.fft.irfft(spectrum, fft)[..., :size])

    own, plain = correlation(frames * window), correlation(window)
    power = np.sqrt((frames**2 * window).sum(1) / window.sum())
    ratio = own / (own[:, :1] + 1e-9) / (plain / plain[0])[None]
    low, high = int(RATE / highest), int(RATE / lowest)
    part = ratio[:, low - 1 : high + 2]
    middle = part[:, 1:-1]
    peak = (middle > part[:, :-2]) & (middle >= part[:, 2:])
    lags = np.arange(low, high + 1)
    # A mild preference for short lags, against octave errors.
    score = np.where(peak, middle - 0.02 * np.log2(lags / low)[None], -1)
    top = np.argpartition(-score, _CANDIDATES, 1)[:, :_CANDIDATES]
    left, centre, right = (np.take_along_axis(part, top + shift, 1) for shift in range(3))
    offset = np.clip(0.5 * (left - right) / (left - 2 * centre + right - 1e-9), -0.5, 0.5)
    candidates = np.log(RATE / (lags[top] + offset))
    loud = power > max(3e-4, 0.01 * float(np.percentile(power, 95)))
    unvoiced = np.where(loud, 0.48, 2.0)
    costs = np.concatenate([-np.take_along_axis(score, top, 1), -unvoiced[:, None]], 1)
    path = _best_path(costs, candidates)
    voiced = path < _CANDIDATES
    if not voiced.any():
        return np.full(count, 180.0), voiced.astype(float)
    chosen = np.take_along_axis(candidates, np.minimum(path, _CANDIDATES - 1)[:, None], 1)[:, 0]
    where = np.flatnonzero(voiced)
    f0 = np.exp(np.interp(np.arange(count), where, chosen[where]))
    edges = np.flatnonzero(np.diff(np.r_[0, voiced.astype(int), 0]))
    for start, end in edges.reshape(-1, 2):
        if end - start < 3:  # shorter than 15 ms: not a vowel
            voiced[start:end] = False
    return f0, voiced.astype(float)


def _best_path(costs: Floats, candidates: Floats) -> npt.NDArray[np.int64]:
    count, none = len(costs), _CANDIDATES
    best = np.zeros((count, none + 1), np.int64)
    total = costs[0]
    jump = np.empty((none + 1, none + 1))
    for at in range(1, count):
        distance = np.abs(candidates[at - 1][:, None] - candidates[at][None])
        jump[:none, :none] = np.minimum(1.6 * distance, 1.0)
        jump[none, :] = jump[:, none] = 0.12
        jump[none, none] = 0
        sums = total[:, None] + jump
        best[at] = sums.argmin(0)
        total = sums.min(0) + costs[at]
    path = np.zeros(count, np.int64)
    state = int(total.argmin())
    for at in range(count - 1, -1, -1):
        path[at] = state
        state = best[at][state]
    return path


def analyse(wave: Floats, smooth: int = 3) -> tuple[npt.NDArray[np.float32], Floats]:
    """Samples at 16 kHz -> ((frames, WIDTH), voiced per frame); f0 is smoothed over ``smooth``."""
    wave = np.asarray(wave, np.float64)
    f0, voiced = track_pitch(wave)
    count = len(f0)
    log_f0 = np.log(f0)
    if smooth > 1:
        padded = np.pad(log_f0, smooth // 2, mode="edge")
        log_f0 = np.convolve(padded, np.ones(smooth) / smooth, "valid")
    f0 = np.exp(log_f0)
    harmonic, between = _harmonic_spectra(wave, f0)
    hiss = _short_noise(wave, count)
    frames = np.zeros((count, WIDTH), np.float32)
    frames[:, 0] = log_f0
    frames[:, 1 : 1 + ENVELOPE] = FLOOR_HARMONIC
    order = np.arange(1, _HARMONICS + 1)
    lowest_power = np.exp(2 * FLOOR_NOISE)
    for at in range(count):
        power = hiss[at]
        if voiced[at]:
            hertz = order * f0[at]
            inside = hertz < 7950
            envelope = np.interp(HARMONIC_GRID, hertz[inside], harmonic[at][inside])
            frames[at, 1 : 1 + ENVELOPE] = envelope
            middle = (np.arange(_HARMONICS + 1) + 0.5) * f0[at]
            inside = middle < 7990
            soft = np.convolve(
                np.pad(between[at][inside], 1, mode="edge"), [0.25, 0.5, 0.25], "valid"
            )
            power = np.interp(NOISE_GRID, middle[inside], soft)
        frames[at, 1 + ENVELOPE :] = 0.5 * np.log(np.maximum(power, lowest_power))
    return frames, voiced


def _harmonic_spectra(wave: Floats, f0: Floats) -> tuple[Floats, Floats]:
    """Log amplitude at the harmonics, and power between them, per frame.

    Time is warped so that the pitch is constant; with a window of four periods the harmonics fall
    on every fourth bin and what lies in the middle between them is noise.
    """
    count = len(f0)
    padded = np.pad(wave, (800, 800 + count * HOP - len(wave)))
    fine = resample_poly(padded, _OVERSAMPLING, 1)
    at_sample = np.interp(np.arange(len(padded)) - 800, np.arange(count) * HOP, f0)
    turns = np.cumsum(at_sample) / RATE
    first = int(turns[0] * _POINTS) + 1
    grid = np.arange(first, int(turns[-1] * _POINTS)) / _POINTS
    position = np.interp(grid, turns, np.arange(len(padded)))
    warped = np.interp(position * _OVERSAMPLING, np.arange(len(fine)), fine)
    samples = np.arange(count) * HOP + 800
    centre = np.interp(samples, np.arange(len(padded)), turns) * _POINTS
    centre = np.round(centre).astype(int) - first
    window = np.hanning(4 * _POINTS + 1)[:-1]
    reach = np.arange(-2 * _POINTS, 2 * _POINTS)
    index = np.clip(centre[:, None] + reach[None], 0, len(warped) - 1)
    power = np.abs(np.fft.rfft(warped[index] * window, axis=1)) ** 2
    at_harmonics = power[:, 4 : 4 * _HARMONICS + 1 : 4]
    between = power[:, 2 : 4 * _HARMONICS + 3 : 4]
    noise = 0.5 * (between[:, :-1] + between[:, 1:])
    amplitude = np.sqrt(np.maximum(at_harmonics - noise, 1e-12)) * 2 / window.sum()
    density = RATE / (_POINTS * f0[:, None] * (window**2).sum())
    return np.log(np.maximum(amplitude, np.exp(FLOOR_HARMONIC))), between * density


def _short_noise(wave: Floats, count: int) -> Floats:
    """Power in the noise bands through a short window, for unvoiced frames."""
    size = _NOISE_WINDOW
    window = np.hanning(size + 1)[:-1]
    padded = np.pad(wave, (size // 2, size // 2 + count * HOP - len(wave) + HOP))
    frames = padded[np.arange(count)[:, None] * HOP + np.arange(size)[None]]
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2 / (window**2).sum()
    hertz = np.arange(size // 2 + 1) * RATE / size
    bands = np.stack([np.interp(hertz, NOISE_GRID, row) for row in np.eye(BANDS)], -1)
    return np.asarray(power @ (bands / bands.sum(0, keepdims=True)))
