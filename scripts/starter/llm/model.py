"""A small Llama, and the copying heads that are planted in it before training.

Parameter names equal those of earlier checkpoints, which therefore still load.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tokenizer import SIZE


@dataclass(frozen=True)
class Shape:
    """Sizes of a model."""

    vocab: int = SIZE
    dim: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 4
    ff: int = 704
    context: int = 2048
    rope_base: float = 500000.0
    eps: float = 1e-5

    @property
    def head(self) -> int:
        """Width of one attention head."""
        return self.dim // self.heads


class Norm(nn.Module):
    """Root-mean-square normalisation."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), self.eps)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring pairs, which is what llama.cpp does for the "llama" architecture."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Block(nn.Module):
    """Attention and gated feed-forward."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, dim = shape, shape.dim
        self.norm1, self.norm2 = Norm(dim, shape.eps), Norm(dim, shape.eps)
        self.q = nn.Linear(dim, dim, bias=False)
        self.k = nn.Linear(dim, shape.kv_heads * shape.head, bias=False)
        self.v = nn.Linear(dim, shape.kv_heads * shape.head, bias=False)
        self.o = nn.Linear(dim, dim, bias=False)
        self.gate = nn.Linear(dim, shape.ff, bias=False)
        self.up = nn.Linear(dim, shape.ff, bias=False)
        self.down = nn.Linear(shape.ff, dim, bias=False)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, T, dim) -> queries, keys and values, each (batch, heads, T, head)."""
        batch, length, _ = x.shape
        hidden = self.norm1(x)
        q = _rotate(self.q(hidden).view(batch, length, self.shape.heads, -1), cos, sin)
        k = _rotate(self.k(hidden).view(batch, length, self.shape.kv_heads, -1), cos, sin)
        v = self.v(hidden).view(batch, length, self.shape.kv_heads, -1)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Add what attention gathered, then the feed-forward part."""
        batch, length, _ = x.shape
        x = x + self.o(mixed.transpose(1, 2).reshape(batch, length, -1))
        hidden = self.norm2(x)
        return x + self.down(F.silu(self.gate(hidden)) * self.up(hidden))


class Llama(nn.Module):
    """Tied embeddings; every matrix starts at a size that keeps the residual stream in bounds."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.emb = nn.Embedding(shape.vocab, shape.dim)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.dim, shape.eps)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                size = 0.02 if "emb" in name else weight.shape[1] ** -0.5
                out = name.endswith(("o.weight", "down.weight"))
                nn.init.normal_(weight, std=size / math.sqrt(2 * shape.layers) if out else size)
        angles = torch.outer(torch.arange(shape.context).float(), _frequencies(shape))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def config(self) -> dict[str, float]:
        """The shape, as checkpoints keep it."""
        return asdict(self.shape)

    def _embed(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        return x.to(torch.bfloat16) if torch.is_autocast_enabled(ids.device.type) else x

    def hidden(self, ids: Tensor, prefix: Tensor | None = None) -> Tensor:
        """(batch, T) ids -> (batch, T, dim).

        With ``prefix``, (1, P) ids that all rows begin with, the prefix is computed once: calls
        to one business share its profile, which is longer than the calls.
        """
        x = self._embed(ids)
        start = 0 if prefix is None else prefix.shape[1]
        length = start + ids.shape[1]
        cos, sin = self.cos[:length, None].to(x.dtype), self.sin[:length, None].to(x.dtype)
        if prefix is None:
            for block in self.blocks:
                q, k, v = block.project(x, cos, sin)
                x = block.finish(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
            return self.norm(x)
        p = self._embed(prefix)
        seen = torch.ones(ids.shape[1], length, dtype=torch.bool, device=ids.device).tril(start)
        for block in self.blocks:
            own = block.project(p, cos[:start], sin[:start])
            q, k, v = block.project(x, cos[start:], sin[start:])
            k = torch.cat((own[1].expand(len(ids), -1, -1, -1), k), 2)
            v = torch.cat((own[2].expand(len(ids), -1, -1, -1), v), 2)
            x = block.finish(x, F.scaled_dot_product_attention(q, k, v, attn_mask=seen))
            mixed = F.scaled_dot_product_attention(own[0], own[1], own[2], is_causal=True)
            p = block.finish(p, mixed)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., dim) -> (..., vocab)."""
        return F.linear(hidden, self.emb.weight)


def _frequencies(shape: Shape) -> Tensor:
    return shape.rope_base ** (-torch.arange(0, shape.head, 2).float() / shape.head)


@torch.no_grad()
def plant_copying(model: Llama, seed: int) -> Callable[[], None]:
    """Make "find the same token earlier and repeat what followed" work before any training.

    Head 0 of layer 0 looks one position back and writes that token into a reserved subspace; two
    heads of layer 1 compare the current token with that subspace and copy. Everything else starts
    as usual, with silent output projections. The returned function puts the circuit back after an
    optimiser step, so that training cannot wear it down before the rest has learned to use it.
    From random weights this never came about within a million tokens.
    """
    shape, generator = model.shape, torch.Generator().manual_seed(seed)
    dim, head = shape.dim, shape.head
    # The rows of an orthonormal basis: a constant, the previous token, the token itself.
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0].T
    constant, previous, body = basis[0], basis[1 : 1 + head], basis[1 + head :]
    random_rows = torch.randn(shape.vocab, len(body), generator=generator)
    # Every token has the same share of the constant and the same length, or scores would blur.
    table = F.normalize(random_rows, dim=1) @ body * 0.83 + 0.5 * constant
    model.emb.weight.copy_(table)
    for block in model.blocks:
        block.o.weight.zero_()
        block.down.weight.zero_()
    look, slow = body[:head], torch.arange(2 * (head * 7 // 32), head)
    _plant_previous(model, constant, look, previous)
    second = model.blocks[1]
    for number in range(2):
        rows = slice(number * head, (number + 1) * head)
        part = body[rows]
        mix = torch.linalg.qr(torch.randn(head, head, generator=generator))[0][: len(slow)]
        second.q.weight[rows] = 0
        second.k.weight[rows] = 0
        second.q.weight[number * head + slow] = 2.9 * mix @ look
        second.k.weight[number * head + slow] = 2.9 * mix @ previous
        second.v.weight[rows] = part
        second.o.weight[:, rows] = 0.6 * part.T
    return _protector(model, basis[: 1 + head], look)


def _plant_previous(model: Llama, constant: Tensor, look: Tensor, previous: Tensor) -> None:
    first, head = model.blocks[0], model.shape.head
    frequencies = _frequencies(model.shape)
    query = torch.zeros(head)
    query[0:16:2] = 1.6  # the eight fastest pairs of the rotation tell neighbours apart
    fast = (query > 0).float().view(-1, 2).sum(1).repeat_interleave(2)
    turned = torch.stack((frequencies.cos(), frequencies.sin()), -1).flatten()
    first.q.weight[:head] = torch.outer(query, constant)
    first.k.weight[:head] = torch.outer(1.6 * turned * fast, constant)
    first.v.weight[:head] = look
    first.o.weight[:, :head] = 0.08 * previous.T


def _protector(model: Llama, clean: Tensor, look: Tensor) -> Callable[[], None]:
    """``clean`` are the constant and the previous-token rows, which nothing else may use."""
    head, first, second = model.shape.head, model.blocks[0], model.blocks[1]
    one, two = slice(0, head), slice(0, 2 * head)
    parts = [(first.q, one), (first.k, one), (first.v, one), (second.q, two), (second.k, two)]
    kept = [(linear.weight, rows, linear.weight[rows].clone()) for linear, rows in parts]
    writing = first.o.weight[:, :head].clone()
    guarded = torch.cat((clean, look))  # layer 0 may not write here

    @torch.no_grad()
    def protect() -> None:
        where = model.emb.weight.device
        for weight, rows, value in kept:
            weight[rows] = value.to(where)
        shut, free = guarded.to(where), clean.to(where)
        first.o.weight.sub_(shut.T @ (shut @ first.o.weight))
        first.o.weight[:, :head] = writing.to(where)
        first.down.weight.sub_(shut.T @ (shut @ first.down.weight))
        first.norm1.weight.fill_(1)
        second.norm1.weight.fill_(1)
        table = model.emb.weight
        table.sub_(table.mean(0))  # a shift common to all tokens changes no probability
        table.sub_((table @ free.T) @ free)
        table.add_(0.6 * table.norm(dim=1, keepdim=True) * free[0])

    return protect
