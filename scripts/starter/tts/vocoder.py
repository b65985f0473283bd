"""A fixed harmonic and noise vocoder, shared by analysis, calibration and the exported graph.

A frame of 5 ms is [log f0 | log amplitudes of the harmonics on a mel grid | log gains of noise
bands]. Harmonics are a sum of sines whose phase is the cumulated f0 plus the minimum phase of the
envelope; noise is a fixed tape through a bank of filters. Nothing here is learned.
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

RATE, HOP = 16000, 80
ENVELOPE, BANDS, HARMONICS = 50, 24, 56
WIDTH = 1 + ENVELOPE + BANDS
FLOOR_HARMONIC, FLOOR_NOISE = -9.0, -9.5  # natural logarithms of amplitude
LOWEST, HIGHEST = 60.0, 7900.0
_TAPS, _TAPE = 129, 49157
_CHUNK = 28  # harmonics at a time, to bound memory

Floats = npt.NDArray[np.float64]


def _mel(hertz: float) -> float:
    return float(1127 * np.log1p(hertz / 700))


def _noise_grid() -> Floats:
    """Band centres: linear up to 1.5 kHz, then wider and wider."""
    hertz = np.linspace(0, 8000, 4001)
    above = np.maximum(hertz - 1500, 0)
    scale = hertz / 250 - above / 250 + 900 / 250 * np.log1p(above / 900)
    return np.interp(np.linspace(0, scale[-1], BANDS), scale, hertz)


HARMONIC_GRID: Floats = 700 * np.expm1(np.linspace(_mel(LOWEST), _mel(HIGHEST), ENVELOPE) / 1127)
NOISE_GRID: Floats = _noise_grid()
# Envelope to noise bands, (ENVELOPE, BANDS).
TO_BANDS: Floats = np.stack([np.interp(NOISE_GRID, HARMONIC_GRID, row) for row in np.eye(ENVELOPE)])


def _filter_bank() -> npt.NDArray[np.float32]:
    size = 1024
    hertz = np.linspace(0, RATE / 2, size // 2 + 1)
    bank = []
    for band in np.eye(BANDS):
        impulse = np.fft.irfft(np.interp(hertz, NOISE_GRID, band), size)
        centred = np.roll(impulse, _TAPS // 2)[:_TAPS]
        bank.append(centred * np.hanning(_TAPS + 2)[1:-1])
    return np.stack(bank).astype(np.float32)


def _minimum_phase() -> npt.NDArray[np.float32]:
    """Log amplitude -> minimum phase, both on the harmonic grid (a Hilbert transform)."""
    size = 1024
    hertz = np.linspace(0, RATE / 2, size // 2 + 1)
    rows = []
    for point in np.eye(ENVELOPE):
        cepstrum = np.fft.irfft(np.interp(hertz, HARMONIC_GRID, point), size)
        cepstrum[1 : size // 2] *= 2
        cepstrum[size // 2 + 1 :] = 0
        phase = np.fft.fft(cepstrum)[: size // 2 + 1].imag
        rows.append(np.interp(HARMONIC_GRID, hertz, phase))
    return np.stack(rows).astype(np.float32)


class Vocoder(nn.Module):
    """Written for a small ONNX graph: the big (frames, HOP, harmonics) tensors are touched three
    times only, by one matrix product for the phases, the sine, and one product for the amplitudes.
    There are no random operations, so the same text always gives the same samples.
    """

    def __init__(self) -> None:
        super().__init__()
        ramp = torch.arange(HOP).float()
        tape = np.random.default_rng(5).standard_normal(_TAPE).astype(np.float32)
        self.register_buffer("tape", torch.tensor(tape))
        self.register_buffer("bank", torch.tensor(_filter_bank())[:, None])
        self.register_buffer("phase", torch.tensor(_minimum_phase()))
        self.register_buffer("lerp", torch.stack([1 - ramp / HOP, ramp / HOP], 1)[None])
        self.register_buffer("seconds", ramp[None] / RATE)
        self.register_buffer("squared", ramp[None] ** 2 / (2 * HOP * RATE))

    def forward(self, frames: Tensor, noise_gain: Tensor | float) -> Tensor:
        """(F + 1, WIDTH) frames -> (F * HOP,) samples."""
        f0 = torch.exp(frames[:, 0])
        envelope, bands = frames[:, 1 : 1 + ENVELOPE], frames[:, 1 + ENVELOPE :]
        harmonic = self._harmonics(f0, envelope)
        count = torch.cat([harmonic, torch.zeros(_TAPS - 1)])
        at = torch.cumsum(torch.ones_like(count, dtype=torch.long), 0)
        tape = self.tape[torch.remainder(at, _TAPE)]
        noise = F.conv1d(tape[None, None], self.bank)[0]
        floor = float(np.exp(FLOOR_NOISE + 0.5))
        gains = (torch.exp(bands) - floor).clamp(min=0.0) * noise_gain
        noise = noise.reshape(BANDS, -1, HOP).permute(1, 2, 0)
        noise = ((noise @ torch.stack([gains[:-1], gains[1:]], 2)) * self.lerp).sum(-1)
        return harmonic + noise.reshape(-1)

    def _harmonics(self, f0: Tensor, envelope: Tensor) -> Tensor:
        increments = ((f0[:-1] + f0[1:]) * (0.5 * HOP / RATE)).double()
        cycles = torch.cumsum(increments, 0) - increments
        start = (cycles - torch.floor(cycles)).float()
        slope = (f0[1:] - f0[:-1])[:, None] * self.squared
        turns = start[:, None] + f0[:-1, None] * self.seconds + slope
        lerp = self.lerp.expand(turns.shape[0], -1, -1)
        basis = torch.cat([(turns * (2 * np.pi)).unsqueeze(-1), lerp], -1)
        phases = envelope @ self.phase
        low, step = _mel(LOWEST), (_mel(HIGHEST) - _mel(LOWEST)) / (ENVELOPE - 1)
        floor = float(np.exp(FLOOR_HARMONIC + 0.5))
        total = torch.zeros_like(turns)
        for first in range(0, HARMONICS, _CHUNK):
            order = torch.arange(first + 1, first + _CHUNK + 1).float()[None]
            hertz = f0[:, None] * order
            grid = (1127.0 * torch.log(1 + hertz / 700.0) - low) / step
            grid = torch.clamp(grid, 0.0, ENVELOPE - 1.001)
            below = torch.floor(grid)
            weight, at = grid - below, below.long()

            def look_up(
                table: Tensor, at: Tensor = at, weight: Tensor = weight
            ) -> Tensor:  # linear interpolation
                low_value = torch.gather(table, 1, at)
                return low_value * (1 - weight) + torch.gather(table, 1, at + 1) * weight

            audible = torch.clamp((7950.0 - hertz) / 150.0, 0.0, 1.0)
            amplitude = (torch.exp(look_up(envelope)) - floor).clamp(min=0.0) * audible
            phase = look_up(phases)
            rows = order.expand(turns.shape[0], -1)
            angles = basis @ torch.stack([rows, phase[:-1], phase[1:]], 1)
            waves = torch.sin(angles) @ torch.stack([amplitude[:-1], amplitude[1:]], 2)
            total = total + (waves * lerp).sum(-1)
        return total.reshape(-1)
