"""A small Llama, and the copying heads that are planted in it before training."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tokenizer import SIZE

_GAIN = 0.8  # of the choosing heads' values, and again of their outputs
# Pairs of the rotation and their gain: the fastest tell neighbours apart, slower ones see about ten
# tokens.
_NEXT, _NEAR = (slice(0, 8), 1.6), (slice(5, 9), 0.5)
_TOPIC = 31  # dimensions kept for what is spoken about
_RARE = 2048  # from this number on a token counts as rare: merges are numbered as they were found


@dataclass(frozen=True)
class Shape:
    """Sizes of a model."""

    vocab: int = SIZE
    dim: int = 256
    layers: int = 4
    heads: int = 8
    head: int = 64  # width of one
    ff: int = 704
    context: int = 2048
    rope_base: float = 500000.0
    eps: float = 1e-5


class Norm(nn.Module):
    """Root-mean-square normalisation."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), self.eps)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs, whose first members are in the first half of the last dimension."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class Block(nn.Module):
    """Attention and gated feed-forward."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, dim = shape, shape.dim
        self.norm1, self.norm2 = Norm(dim, shape.eps), Norm(dim, shape.eps)
        inner = shape.heads * shape.head
        self.q = nn.Linear(dim, inner, bias=False)
        self.k = nn.Linear(dim, inner, bias=False)
        self.v = nn.Linear(dim, inner, bias=False)
        self.o = nn.Linear(inner, dim, bias=False)
        self.gate = nn.Linear(dim, shape.ff, bias=False)
        self.up = nn.Linear(dim, shape.ff, bias=False)
        self.down = nn.Linear(shape.ff, dim, bias=False)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, T, dim) -> queries, keys and values, each (batch, heads, T, head)."""
        (batch, length, _), heads = x.shape, self.shape.heads
        hidden = self.norm1(x)
        q, k = (
            F.linear(hidden, self._members_apart(part.weight)).view(batch, length, heads, -1)
            for part in (self.q, self.k)
        )
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        v = self.v(hidden).view(batch, length, heads, -1)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def _members_apart(self, weight: Tensor) -> Tensor:
        """The rows of queries or keys, in each head the first members of all pairs before the
        second ones. llama.cpp rotates neighbours for the "llama" architecture; for a product of a
        query and a key the order is nothing, and halves are rotated faster than every other number.
        """
        return weight.unflatten(0, (self.shape.heads, -1, 2)).transpose(1, 2).flatten(0, 2)

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
                x = block.finish(x, attend(q, k, v))
            return self.norm(x)
        p = self._embed(prefix)
        for block in self.blocks:
            own = block.project(p, cos[:start], sin[:start])
            q, k, v = block.project(x, cos[start:], sin[start:])
            x = block.finish(x, attend(q, k, v, own[1:]))
            mixed = attend(*own)
            p = block.finish(p, mixed)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., dim) -> (..., vocab)."""
        return F.linear(hidden, self.emb.weight)


def attend(q: Tensor, k: Tensor, v: Tensor, before: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Causal attention of (batch, heads, T, head) that also sees keys and values (1, heads, P,
    head), which all rows share.

    In float32 by PyTorch's fused kernel: a training step takes 0.7 to 0.85 of the time (AMD Zen 3,
    one thread). In bfloat16 on a CPU that is slow to differentiate: there the scores of the shared
    keys are one product for all rows.
    """
    if q.dtype == torch.float32:
        return _attend_fused(q, k, v, before)
    batch, heads, length, head = q.shape
    q = q * head**-0.5
    future = torch.full((length, length), -torch.inf, dtype=q.dtype, device=q.device).triu(1)
    own = q @ k.transpose(2, 3) + future
    if before is None:
        return F.softmax(own, -1) @ v
    before_k, before_v = before
    flat = q.transpose(0, 1).reshape(heads, batch * length, head)
    shared = flat @ before_k[0].transpose(1, 2)
    shared = shared.view(heads, batch, length, -1).transpose(0, 1)
    weights = F.softmax(torch.cat((shared, own), -1), -1)
    start = before_k.shape[2]
    flat = weights[..., :start].transpose(0, 1).reshape(heads, batch * length, start)
    mixed = (flat @ before_v[0]).view(heads, batch, length, head).transpose(0, 1)
    return mixed + weights[..., start:] @ v


def _attend_fused(q: Tensor, k: Tensor, v: Tensor, before: tuple[Tensor, Tensor] | None) -> Tensor:
    if before is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    length, start = q.shape[2], before[0].shape[2]
    k, v = (
        torch.cat((shared.expand(len(q), -1, -1, -1), own), 2)
        for shared, own in zip(before, (k, v), strict=True)
    )
    past = torch.ones(length, start + length, dtype=torch.bool, device=q.device).tril(start)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=past)


def _frequencies(shape: Shape) -> Tensor:
    return shape.rope_base ** (-torch.arange(0, shape.head, 2).float() / shape.head)


@dataclass(frozen=True)
class _Spaces:
    """Orthonormal rows: what the parts of the residual stream after layer 0 are kept for."""

    constant: Tensor  # (dim,), the same in every token
    previous: Tensor  # (head, dim), the tokens before
    topic: Tensor  # (_TOPIC, dim), the mean of the last rare ones
    rarity: Tensor  # (dim,), how rare the token is
    look: Tensor  # (head, dim), a part of the token itself


@torch.no_grad()
def plant_copying(model: Llama, seed: int) -> Callable[[], None]:
    """Make "find the same token earlier and repeat what followed" work before any training.

    Head 0 of layer 0 looks one position back and writes that token into a reserved subspace; two
    heads of layer 1 compare the current token with that subspace and copy. Everything else starts
    as usual, with silent output projections. The returned function puts the circuit back after an
    optimiser step, so that training cannot wear it down before the rest has learned to use it.
    From random weights this never came about within a million tokens.

    The later half of the heads gets a start only, see ``_plant_choosers``.
    """
    shape, generator = model.shape, torch.Generator().manual_seed(seed)
    dim, head = shape.dim, shape.head
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0].T
    constant, previous, body = basis[0], basis[1 : 1 + head], basis[1 + head :]
    random_rows = torch.randn(shape.vocab, len(body), generator=generator)
    random_rows[:, -_TOPIC - 1 :] = 0
    model.emb.weight.copy_(F.normalize(random_rows, dim=1) @ body * 0.83)
    for block in model.blocks:
        block.o.weight.zero_()
        block.down.weight.zero_()
    look, topic, rarity = body[:head], body[-_TOPIC - 1 : -1], body[-1]
    first, second = model.blocks[0], model.blocks[1]
    _plant_look_back(first, 0, 1, constant, _NEXT)
    _plant_value(first, 0, look, previous, 1.0, 0.08)
    for number in range(2):
        part = body[number * head : (number + 1) * head]
        _plant_match(second, number, [(2.9, look, previous)], generator)
        _plant_value(second, number, part, part, 1.0, 0.6)
    spaces = _Spaces(constant, previous, topic, rarity, look)
    _plant_choosers(model, spaces, generator)
    protect = _protector(model, spaces)
    protect()
    return protect


def _plant_look_back(
    block: Block, number: int, steps: int, constant: Tensor, sight: tuple[slice, float]
) -> None:
    """Let one head attend to the token so many steps back, by the rotation alone. ``sight`` are the
    pairs of the rotation that it uses, and their gain.
    """
    head, (pairs, gain) = block.shape.head, sight
    used = torch.zeros(head // 2)
    used[pairs] = gain
    angles = steps * _frequencies(block.shape)
    rows = slice(number * head, (number + 1) * head)
    for linear, parts in (
        (block.q, (used, torch.zeros(head // 2))),
        (block.k, (used * angles.cos(), used * angles.sin())),
    ):
        linear.weight[rows] = torch.outer(torch.stack(parts, -1).flatten(), constant)


def _plant_match(
    block: Block,
    number: int,
    pairs: list[tuple[float, Tensor, Tensor]],
    generator: torch.Generator,
) -> None:
    """Let one head compare what the present token has in one subspace with what earlier ones have
    in another, over the parts of the rotation that hardly feel distance; the sum over ``pairs`` of
    a gain and two subspaces.
    """
    head = block.shape.head
    slow = torch.arange(2 * (head * 7 // 32), head)
    for linear in (block.q, block.k):
        linear.weight[number * head : (number + 1) * head] = 0
    for gain, ask, answer in pairs:
        mix = torch.linalg.qr(torch.randn(head, head, generator=generator))[0][: len(slow)]
        for linear, subspace in ((block.q, ask), (block.k, answer)):
            linear.weight[number * head + slow] += gain * mix[:, : len(subspace)] @ subspace


def _plant_value(
    block: Block, number: int, read: Tensor, write: Tensor, taken: float, given: float
) -> None:
    """Let one head read tokens in one subspace and write them in another, with gains for both."""
    start = number * block.shape.head
    rows = slice(start, start + len(read))
    block.v.weight[rows] = taken * read
    block.o.weight[:, rows] = given * write.T


def _plant_choosers(model: Llama, spaces: _Spaces, generator: torch.Generator) -> None:
    """A start for "find the wanted thing by what it is, and name it": the later half of the heads.

    * Four heads of layer 1 write out whatever token they attend to. Where to look is left to
      training, but for three. Two begin with "where two tokens before stands what is my previous
      token, or myself": the value of a key in "key = value". The last begins with "where before
      stands what I am, and nearby what is near me": of prices that begin alike, the right one.
    * For these, two heads of layer 0 write the token two back beside the previous one, turned, and
      the mean of the last ten or so, in which a rare token counts up to fifty times as much as a
      frequent one. A third looks three tokens back.

    Before the first of these were planted, the first token of a name that the caller had just said
    was right in 27 % of the replies, its continuation in 99 %.
    """
    head, half = model.shape.head, model.shape.heads // 2
    first, second = model.blocks[0], model.blocks[1]
    look, previous, topic = spaces.look, spaces.previous, spaces.topic
    for number in (half, half + 1):
        _plant_look_back(first, number, number - half + 2, spaces.constant, _NEXT)
    _plant_look_back(first, half + 2, 0, spaces.constant, _NEAR)
    slowest = (half + 3) * head - 2
    first.q.weight[slowest], first.k.weight[slowest] = spaces.constant, spaces.rarity
    turned = torch.linalg.qr(torch.randn(head, head, generator=generator))[0] @ previous
    _plant_value(first, half, look, turned, 1.0, 0.056)  # a little less than the previous token
    _plant_value(first, half + 2, look[:_TOPIC], topic, 1.0, 0.15)
    matches = {
        half + 1: [(4.0, previous, turned)],
        half + 2: [(4.0, look, turned)],
        half + 3: [(10.0, look, previous), (13.0, topic, topic)],
    }
    for number, pairs in matches.items():
        _plant_match(second, number, pairs, generator)
    for number in range(half, half + 4):  # elsewhere than in ``look`` layer 0 has covered the token
        loud = 2 if number == half + 3 else 1  # it has to outvote the two heads that copy
        _plant_value(second, number, look, look, _GAIN, loud * _GAIN)


def _protector(model: Llama, spaces: _Spaces) -> Callable[[], None]:
    """Nothing but the planted heads may write into the spaces of the constant, the tokens before,
    the topic and the rarity. The circuit is kept whole, of the choosers what layer 0 does for them
    and what the last one looks for.
    """
    shape, first, second = model.shape, model.blocks[0], model.blocks[1]
    one, two = slice(0, shape.head), slice(0, 2 * shape.head)
    half = shape.heads // 2
    back, near, alike = (
        slice(at * shape.head, (at + 1) * shape.head) for at in (half, half + 2, half + 3)
    )
    parts = [(linear, rows) for linear in (first.q, first.k, first.v) for rows in (one, back, near)]
    parts += [(linear, rows) for linear in (second.q, second.k) for rows in (two, alike)]
    kept = [(linear.weight, rows, linear.weight[rows].clone()) for linear, rows in parts]
    writing = [(rows, first.o.weight[:, rows].clone()) for rows in (one, back, near)]
    constant, rarity = spaces.constant[None], spaces.rarity[None]
    clean = torch.cat((constant, spaces.previous, spaces.topic, rarity))
    guarded = torch.cat((clean, spaces.look))  # layer 0 may not write here
    rare = (torch.arange(shape.vocab) / _RARE).clamp(max=1)[:, None]
    # Every token has the same share of the constant, or scores would blur.
    fixed = 0.6 * constant + 0.3 * rare * rarity

    @torch.no_grad()
    def protect() -> None:
        where = model.emb.weight.device
        for weight, rows, value in kept:
            weight[rows] = value.to(where)
        shut, free = guarded.to(where), clean.to(where)
        first.o.weight.sub_(shut.T @ (shut @ first.o.weight))
        for rows, value in writing:
            first.o.weight[:, rows] = value.to(where)
        first.down.weight.sub_(shut.T @ (shut @ first.down.weight))
        first.norm1.weight.fill_(1)
        second.norm1.weight.fill_(1)
        table = model.emb.weight
        table.sub_(table.mean(0))  # a shift common to all tokens changes no probability
        table.sub_((table @ free.T) @ free)
        table.add_(table.norm(dim=1, keepdim=True) * fixed.to(where))

    return protect
