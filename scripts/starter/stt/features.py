"""Whisper's log-mel features (identical to faster-whisper's) and telephone filtering."""

import numpy as np
import numpy.typing as npt
from numpy.fft import irfft, rfft

Wave = npt.NDArray[np.float32]
Mel = npt.NDArray[np.float32]
RATE = 16000


def _mel_filters(n_fft: int = 400, n_mels: int = 80) -> Mel:
    mels = np.linspace(0.0, 45.245640471924965, n_mels + 2)
    linear_slope, break_hz = 200.0 / 3, 1000.0
    frequencies = linear_slope * mels
    above = mels >= break_hz / linear_slope
    steps = np.log(6.4) / 27.0 * (mels[above] - break_hz / linear_slope)
    frequencies[above] = break_hz * np.exp(steps)
    widths = np.diff(frequencies)
    ramps = frequencies.reshape(-1, 1) - np.fft.rfftfreq(n_fft, 1 / RATE).reshape(1, -1)
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    weights = np.maximum(0, np.minimum(rising, falling))
    areas = 2.0 / (frequencies[2 : n_mels + 2] - frequencies[:n_mels])
    return np.asarray(weights * areas[:, None], np.float32)


_FILTERS = _mel_filters()
_WINDOW = np.hanning(401)[:-1].astype(np.float32)


def log_mel(wave: Wave) -> Mel:
    """Samples at 16 kHz in [-1, 1] -> (80, frames of 10 ms)."""
    padded = np.pad(np.pad(wave.astype(np.float32), (0, 160)), (200, 200), mode="reflect")
    count = 1 + (len(padded) - 400) // 160
    strides = (padded.strides[0] * 160, padded.strides[0])
    frames = np.lib.stride_tricks.as_strided(padded, (count, 400), strides)[:-1] * _WINDOW
    power = np.abs(rfft(frames, axis=-1)).astype(np.float32) ** 2
    mel = np.log10(np.maximum(_FILTERS @ power.T, 1e-10))
    return np.asarray((np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0, np.float32)


def mu_law(wave: Wave) -> Wave:
    """There and back through 8-bit mu-law, scaled to the peak."""
    peak = np.abs(wave).max() + 1e-9
    coded = np.sign(wave) * np.log1p(255 * np.abs(wave) / peak) / np.log(256)
    coded = np.round(coded * 127.5) / 127.5
    return np.asarray(np.sign(coded) * (256 ** np.abs(coded) - 1) / 255 * peak, np.float32)


def shape(
    wave: Wave,
    band: tuple[float, float] | None = None,
    impulse: Wave | None = None,
    tilt: float = 0.0,
) -> Wave:
    """Reverberation, spectral tilt (power of frequency over 1 kHz) and a band in Hz, in one go."""
    length = len(wave) + (len(impulse) if impulse is not None else 0)
    size = 1 << max(length - 1, 1).bit_length()
    spectrum = rfft(wave, size)
    hertz = np.arange(len(spectrum)) * RATE / size
    if impulse is not None:
        spectrum = spectrum * rfft(impulse, size)
    if tilt:
        spectrum = spectrum * np.power(np.maximum(hertz, 100) / 1000, tilt)
    if band is not None:
        low, high = band
        spectrum = spectrum / np.sqrt(1 + (low / np.maximum(hertz, 1)) ** 8)
        spectrum = spectrum / np.sqrt(1 + (hertz / high) ** 24)
    return irfft(spectrum, size)[: len(wave)].astype(np.float32)


def telephone(wave: Wave, rng: np.random.Generator) -> Wave:
    """About 300-3400 Hz, 8 kHz, mu-law, back at 16 kHz."""
    if len(wave) < 4:
        return wave
    narrow = shape(wave, band=(rng.uniform(200, 350), rng.uniform(3200, 3600)))
    low = mu_law(narrow[: len(narrow) // 2 * 2 : 2])
    half = rfft(low)
    whole = np.zeros(len(low) + 1, half.dtype)
    whole[: len(half)] = half * 2
    whole[len(half) - 1] *= 0.5
    return irfft(whole, 2 * len(low)).astype(np.float32)
