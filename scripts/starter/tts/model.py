"""The acoustic model: Piper phoneme ids -> lengths -> vocoder frames, about two million weights."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vocoder import HOP, RATE, WIDTH

STEP = 2 * HOP / RATE  # the decoder runs at 10 ms and gives two frames of 5 ms a step
CONDITIONS = 8
_TEXT, _SPEECH, _SYMBOLS, _FEATURES = 160, 192, 256, 6


class Block(nn.Module):
    """A residual convolution."""

    def __init__(self, width: int, kernel: int, dilation: int = 1, drop: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        padding = kernel // 2 * dilation
        self.conv = nn.Conv1d(width, width, kernel, padding=padding, dilation=dilation)
        self.out = nn.Linear(width, width)
        self.drop = nn.Dropout(drop)
        nn.init.zeros_(self.out.bias)
        self.out.weight.data *= 0.3

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, T, width) -> the same; ``mask`` (batch, T, 1) silences padding."""
        y = self.norm(x)
        if mask is not None:
            y = y * mask
        y = F.relu(self.conv(y.transpose(1, 2))).transpose(1, 2)
        return x + self.out(self.drop(y))


class Acoustic(nn.Module):
    """``mean`` and ``std`` (WIDTH) are those of the training frames."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.emb = nn.Embedding(_SYMBOLS, _TEXT)
        self.cond, self.cond2 = nn.Embedding(CONDITIONS, _TEXT), nn.Embedding(CONDITIONS, _SPEECH)
        nn.init.normal_(self.emb.weight, 0, 0.3)
        nn.init.normal_(self.cond.weight, 0, 0.3)
        self.enc = nn.ModuleList([Block(_TEXT, 5, dilation, 0.05) for dilation in (1, 1, 2, 4)])
        self.gru = nn.GRU(_TEXT, _TEXT // 2, batch_first=True, bidirectional=True)
        self.dur = nn.ModuleList([Block(_TEXT, 3)])
        self.dur_out = nn.Linear(_TEXT, 1)
        self.inp = nn.Linear(_TEXT + _FEATURES, _SPEECH)
        self.dec = nn.ModuleList([Block(_SPEECH, 5, dilation) for dilation in (1, 1, 2, 3, 1)])
        self.norm, self.out = nn.LayerNorm(_SPEECH), nn.Linear(_SPEECH, 2 * WIDTH)
        self.out.weight.data *= 0.3
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def encode(
        self, ids: Tensor, condition: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(batch, N) ids -> ((batch, N, text width), (batch, N) log(1 + 100 seconds))."""
        mask = None
        x = self.emb(ids) + self.cond(condition)[:, None]
        if lengths is not None:
            mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).float()[..., None]
        for block in self.enc:
            x = block(x, mask)
        if lengths is None:
            context, _ = self.gru(x)
        else:
            packed = nn.utils.rnn.pack_padded_sequence(
                x, lengths, batch_first=True, enforce_sorted=False
            )
            context, _ = nn.utils.rnn.pad_packed_sequence(
                self.gru(packed)[0], batch_first=True, total_length=ids.shape[1]
            )
        x = x + context
        length = x
        for block in self.dur:
            length = block(length, mask)
        return x, self.dur_out(length)[..., 0]

    def decode(
        self, text: Tensor, features: Tensor, condition: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """(batch, S, text width) and positions (batch, S, 6) -> (batch, 2 S, WIDTH) frames."""
        x = self.inp(torch.cat([text, features], -1)) + self.cond2(condition)[:, None]
        for block in self.dec:
            x = block(x, mask)
        y = self.out(self.norm(x))
        return y.reshape(y.shape[0], -1, WIDTH) * self.std + self.mean


def position_features(since: Tensor, length: Tensor) -> Tensor:
    """Where a step lies in its phoneme: seconds since its start and its length -> (..., 6)."""
    left, share = length - since, since / (length + 1e-4)
    return torch.stack(
        [
            share,
            torch.tanh(since / 0.05),
            torch.tanh(left / 0.05),
            torch.log1p(length * 100) * 0.5 - 0.8,
            torch.cos(math.pi * share),
            torch.sin(math.pi * share),
        ],
        -1,
    )
