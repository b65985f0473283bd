"""Whisper's architecture, small, over the trained rows of the vocabulary.

Parameter names equal those of earlier checkpoints, which therefore still load.
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHARACTERS = (
    " 'abcdefghijklmnopqrstuvwxyzабвгдеёжзийклмнопрстуфхцчшщъыьэюя"
    "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي"
)


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; ``n_tok`` trained rows, ``n_char`` and ``n_phone`` training heads."""

    n_tok: int
    n_char: int
    n_phone: int
    d: int = 192
    h: int = 4
    enc: int = 5
    dec: int = 4
    max_text: int = 448


def sinusoids(length: int, channels: int) -> Tensor:
    """Whisper's encoder positions, (length, channels)."""
    step = math.log(10000) / (channels // 2 - 1)
    inverse = torch.exp(-step * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * inverse[None]
    return torch.cat([angles.sin(), angles.cos()], 1)


class Attention(nn.Module):
    """Multi-head attention; with ``keep`` the weights of the last call stay in ``weights``.

    In float32 PyTorch's fused kernel makes a training step about an eighth faster (AMD Zen 3, one
    thread); in bfloat16 on a CPU its backward pass takes twice as long as the plain form.
    """

    def __init__(self, d: int, h: int) -> None:
        super().__init__()
        self.h, self.keep = h, False
        self.weights: Tensor | None = None
        self.q, self.v, self.o = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.k = nn.Linear(d, d, bias=False)

    def forward(self, x: Tensor, other: Tensor | None = None, causal: bool = False) -> Tensor:
        """(batch, T, d), attending to ``other`` (batch, S, d) or to itself."""
        batch, length, d = x.shape
        source = x if other is None else other
        size = d // self.h

        def heads(y: Tensor) -> Tensor:
            return y.view(batch, -1, self.h, size).transpose(1, 2)

        q, k, v = heads(self.q(x)), heads(self.k(source)), heads(self.v(source))
        if q.dtype == torch.float32 and not self.keep:
            self.weights = None
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        else:
            scores = (q * size**-0.5) @ k.transpose(2, 3)
            if causal:
                scores = scores + torch.full_like(scores[0, 0], -1e4).triu(1)
            weights = scores.softmax(-1, dtype=scores.dtype)
            self.weights = weights if self.keep else None
            mixed = weights @ v
        return self.o(mixed.transpose(1, 2).reshape(batch, length, d))


class Block(nn.Module):
    """A transformer block, with cross-attention in the decoder."""

    def __init__(self, d: int, h: int, decoder: bool = False) -> None:
        super().__init__()
        self.ln1, self.att = nn.LayerNorm(d), Attention(d, h)
        self.cross = Attention(d, h) if decoder else None
        self.lnx = nn.LayerNorm(d) if decoder else None
        self.ln2 = nn.LayerNorm(d)
        self.fc1, self.fc2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.drop = nn.Dropout(0.0)

    def forward(self, x: Tensor, audio: Tensor | None = None) -> Tensor:
        """(batch, T, d) -> the same."""
        x = x + self.drop(self.att(self.ln1(x), causal=self.cross is not None))
        if self.cross is not None and self.lnx is not None:
            x = x + self.drop(self.cross(self.lnx(x), audio))
        return x + self.drop(self.fc2(F.gelu(self.fc1(self.ln2(x)))))


class MicroWhisper(nn.Module):
    """The model and its two training heads (characters, phonemes), which the export drops."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        d, h = shape.d, shape.h
        self.conv1 = nn.Conv1d(80, d, 3, padding=1)
        self.conv2 = nn.Conv1d(d, d, 3, stride=2, padding=1)
        self.register_buffer("pos", sinusoids(1500, d), persistent=False)
        self.enc = nn.ModuleList(Block(d, h) for _ in range(shape.enc))
        self.ln_post = nn.LayerNorm(d)
        self.emb = nn.Embedding(shape.n_tok, d)
        self.tpos = nn.Parameter(torch.randn(shape.max_text, d) * 0.01)
        self.dec = nn.ModuleList(Block(d, h, decoder=True) for _ in range(shape.dec))
        self.ln = nn.LayerNorm(d)
        self.ctc = nn.Linear(d, shape.n_char)
        self.phone = nn.Linear(d, shape.n_phone)
        nn.init.normal_(self.emb.weight, std=d**-0.5)
        # Dimension 0 of the token table is reserved, see export.py.
        free = torch.ones(d)
        free[0] = 0
        self.register_buffer("mask", free, persistent=False)

    def config(self) -> dict[str, int]:
        """The shape, as checkpoints keep it."""
        return asdict(self.shape)

    def encode(self, mel: Tensor) -> Tensor:
        """(batch, 80, frames of 10 ms) -> (batch, frames / 2, d)."""
        x = F.gelu(self.conv1(mel))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.pos[: x.shape[1]]
        for block in self.enc:
            x = block(x)
        return self.ln_post(x)

    def decode(self, tokens: Tensor, audio: Tensor) -> Tensor:
        """(batch, U) local tokens -> (batch, U, n_tok) logits."""
        table = self.emb.weight * self.mask
        x = F.embedding(tokens, table) + self.tpos[: tokens.shape[1]]
        for block in self.dec:
            x = block(x, audio)
        return self.ln(x) @ table.t()
