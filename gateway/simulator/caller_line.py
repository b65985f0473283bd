"""What happens to a caller's voice before it reaches the gateway: noise, echo, a telephone line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gateway.audio.pcm import FRAME_SAMPLES, SAMPLE_RATE, Samples, samples_of
from gateway.simulator.scenario import Call, Echo, Noise
from gateway.simulator.sounds import Wave, make_sound
from gateway.simulator.utterance import load_audio

_LOOP_S = 20.0
"""Length of made-up noise, which repeats."""

_TAPS = 201


class CallerLine:
    """Turns frames of the caller's own voice into frames as the gateway receives them.

    Attributes:
        delay: samples by which the line delays everything.
    """

    def __init__(self, call: Call, folder: Path) -> None:
        self.delay = 0
        self._noise = _load_noise(call.noise, call.level_dbfs, folder) if call.noise else None
        self._echo = EchoPath(call.echo) if call.echo else None
        self._telephone = Telephone() if call.line == "telephone" else None
        self._position = 0
        if self._telephone:
            self.delay = self._telephone.delay

    def hear(self, samples: Samples, begin: int) -> None:
        """The assistant's audio is played to the caller from this sample of the call on."""
        if self._echo:
            self._echo.push(samples, begin)

    def push(self, voice: Samples) -> Samples:
        """The next frame (320 samples) of the caller's voice, as it arrives."""
        frame = voice.astype(np.float64)
        if self._noise is not None:
            at = np.arange(self._position, self._position + FRAME_SAMPLES)
            frame += self._noise.take(at, mode="wrap")
        if self._echo:
            frame += self._echo.take(self._position)
        self._position += FRAME_SAMPLES
        if self._telephone:
            frame = self._telephone.push(frame)
        limited: Samples = np.clip(np.rint(frame), -32768, 32767).astype(np.int16)
        return limited


def _load_noise(noise: Noise, level_dbfs: float, folder: Path) -> Wave:
    """One loop of noise, in units of int16, at its level below the caller's speech."""
    if noise.kind:
        wave = make_sound(noise.kind, _LOOP_S, noise.seed)
    else:
        wave = load_audio(folder / noise.file).astype(np.float64)
    rms = float(np.sqrt(np.mean(wave**2)))
    wanted = 32768 * 10 ** ((level_dbfs - noise.snr_db) / 20)
    return wave * (wanted / max(rms, 1e-9))


class EchoPath:
    """The assistant's audio on its way back: later and softer."""

    def __init__(self, echo: Echo) -> None:
        self._gain = 10 ** (echo.level_db / 20)
        self._delay = samples_of(echo.delay_ms / 1000)
        self._heard = np.zeros(60 * SAMPLE_RATE, dtype=np.float32)

    def push(self, samples: Samples, begin: int) -> None:
        """Audio that plays from this sample of the call on."""
        end = begin + samples.size
        if end > self._heard.size:
            self._heard = np.concatenate([self._heard, np.zeros(end, dtype=np.float32)])
        self._heard[begin:end] = samples

    def take(self, position: int) -> Wave:
        """The frame of echo that begins at this sample of the call."""
        begin = position - self._delay
        frame = np.zeros(FRAME_SAMPLES)
        source = self._heard[max(0, begin) : max(0, begin + FRAME_SAMPLES)]
        frame[FRAME_SAMPLES - source.size :] = source
        return frame * self._gain


class Telephone:
    """300-3400 Hz at 8 kHz in 8 bits of mu-law, and back to 16 kHz; keeps its state over frames."""

    def __init__(self) -> None:
        self._band = _band_pass(300.0, 3400.0)
        self._before = np.zeros(_TAPS - 1)
        self._smooth = 2.0 * _band_pass(0.0, 3600.0)
        self._after = np.zeros(_TAPS - 1)
        self.delay = _TAPS - 1  # half of each filter's length

    def push(self, frame: Wave) -> Wave:
        """The next frame, an even number of samples in units of int16."""
        signal = np.concatenate([self._before, frame])
        self._before = signal[-(_TAPS - 1) :]
        narrow = np.convolve(signal, self._band, mode="valid")
        spread = np.zeros(frame.size)
        spread[::2] = through_mu_law(narrow[::2])
        signal = np.concatenate([self._after, spread])
        self._after = signal[-(_TAPS - 1) :]
        return np.convolve(signal, self._smooth, mode="valid")


def through_mu_law(wave: Wave) -> Wave:
    """What is left of a signal (units of int16) in 8 bits of mu-law."""
    level = np.clip(wave / 32768, -1, 1)
    code = np.sign(level) * np.log1p(255 * np.abs(level)) / np.log(256)
    code = np.rint(code * 127) / 127
    decoded: Wave = 32768 * np.sign(code) * np.expm1(np.abs(code) * np.log(256)) / 255
    return decoded


def _band_pass(low_hz: float, high_hz: float) -> Wave:
    """A windowed-sinc filter between two frequencies."""
    at = np.arange(_TAPS) - (_TAPS - 1) / 2
    window = np.hamming(_TAPS)
    taps: Wave = np.zeros(_TAPS)
    for edge_hz, sign in ((high_hz, 1.0), (low_hz, -1.0)):
        edge = 2 * edge_hz / SAMPLE_RATE
        taps += sign * edge * np.sinc(edge * at) * window
    return taps
