"""Train the acoustic model by plain regression; the vocoder takes no part."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scripts.starter.clock import cosine
from scripts.starter.loop import Loop, Pace
from scripts.starter.together import Training

from .dataset import SOURCES, Sentence, load_source
from .model import STEP, Acoustic, position_features
from .vocoder import (
    ENVELOPE,
    FLOOR_HARMONIC,
    FLOOR_NOISE,
    HARMONIC_GRID,
    NOISE_GRID,
    WIDTH,
    Floats,
)

HELD_OUT = 40  # sentences of each source
_STEPS = 2000  # decoder steps a batch


@dataclass(frozen=True)
class Prepared:
    """A sentence with, for each decoder step, the phoneme it falls into and where."""

    sentence: Sentence
    which: Tensor
    features: Tensor


@dataclass(frozen=True)
class Batch:
    """Padded tensors; steps S, ids N: ids and seconds (B, N), lengths (B), which (B, S), features
    (B, S, 6), mask (B, S, 1), frames (B, 2 S, WIDTH), voiced (B, 2 S), condition (B).
    """

    ids: Tensor
    seconds: Tensor
    lengths: Tensor
    which: Tensor
    features: Tensor
    mask: Tensor
    frames: Tensor
    voiced: Tensor
    condition: Tensor


def _spectrum(sentences: list[Sentence]) -> Floats:
    """Mean envelope of loud voiced frames."""
    frames = np.concatenate([s.frames[s.voiced > 0] for s in sentences[:300]]).astype(np.float64)
    envelope = frames[:, 1 : 1 + ENVELOPE]
    return np.asarray(envelope[envelope.mean(1) > -6.5].mean(0))


def _equalise(sentences: list[Sentence], towards: Floats) -> list[Sentence]:
    """Bring a teacher's long-term spectrum 70 % of the way to another one's."""
    difference = towards - _spectrum(sentences)
    wide = np.pad((difference - difference.mean()) * 0.7, 4, mode="edge")
    gain = np.clip(np.convolve(wide, np.ones(9) / 9, "valid"), -1.1, 1.1)
    noise_gain = np.interp(NOISE_GRID, HARMONIC_GRID, gain)
    result = []
    for sentence in sentences:
        frames = sentence.frames.astype(np.float32)
        harmonic, noise = frames[:, 1 : 1 + ENVELOPE], frames[:, 1 + ENVELOPE :]
        harmonic += np.where(harmonic > FLOOR_HARMONIC + 0.05, gain, 0)
        noise += np.where(noise > FLOOR_NOISE + 0.05, noise_gain, 0)
        np.maximum(harmonic, FLOOR_HARMONIC, out=harmonic)
        np.maximum(noise, FLOOR_NOISE, out=noise)
        changed = frames.astype(np.float16)
        result.append(
            Sentence(sentence.condition, sentence.ids, sentence.seconds, changed, sentence.voiced)
        )
    return result


def _prepare(sentence: Sentence) -> Prepared:
    steps = len(sentence.frames) // 2
    time = np.arange(steps) * STEP + STEP / 4
    starts = np.r_[0, np.cumsum(sentence.seconds.astype(np.float64))]
    which = np.clip(np.searchsorted(starts, time, "right") - 1, 0, len(sentence.seconds) - 1)
    since = torch.tensor(time - starts[which]).float()
    features = position_features(since, torch.tensor(sentence.seconds[which]))
    return Prepared(sentence, torch.tensor(which), features)


def collate(items: list[Prepared]) -> Batch:
    """Pad to the longest."""
    count = len(items)
    ids = max(len(item.sentence.ids) for item in items)
    steps = max(len(item.which) for item in items)
    batch = Batch(
        torch.zeros(count, ids, dtype=torch.long),
        torch.zeros(count, ids),
        torch.tensor([len(item.sentence.ids) for item in items]),
        torch.zeros(count, steps, dtype=torch.long),
        torch.zeros(count, steps, 6),
        torch.zeros(count, steps, 1),
        torch.zeros(count, 2 * steps, WIDTH),
        torch.zeros(count, 2 * steps),
        torch.tensor([item.sentence.condition for item in items]),
    )
    for row, item in enumerate(items):
        n, s = len(item.sentence.ids), len(item.which)
        batch.ids[row, :n] = torch.as_tensor(item.sentence.ids)
        batch.seconds[row, :n] = torch.as_tensor(item.sentence.seconds)
        batch.which[row, :s] = item.which
        batch.features[row, :s] = item.features
        batch.mask[row, :s] = 1
        batch.frames[row, : 2 * s] = torch.as_tensor(item.sentence.frames[: 2 * s]).float()
        batch.voiced[row, : 2 * s] = torch.as_tensor(item.sentence.voiced[: 2 * s])
    return batch


def losses(model: Acoustic, batch: Batch) -> dict[str, Tensor]:
    """Mean absolute errors: lengths (log), f0 (log), harmonic and noise envelopes with slopes."""
    text, log_seconds = model.encode(batch.ids, batch.condition, batch.lengths)
    real = (torch.arange(batch.ids.shape[1])[None] < batch.lengths[:, None]).float()
    length = (log_seconds - torch.log1p(batch.seconds * 100)).abs()
    index = batch.which[..., None].expand(-1, -1, text.shape[-1])
    frames = model.decode(torch.gather(text, 1, index), batch.features, batch.condition, batch.mask)
    mask = batch.mask.repeat_interleave(2, 1)[..., 0]
    f0 = (frames[..., 0] - batch.frames[..., 0]).abs() * mask * (batch.voiced + 0.1)

    def envelope(part: slice, floor: float) -> Tensor:
        made, wanted = frames[..., part], batch.frames[..., part]
        loud = torch.maximum(made.detach(), wanted) - floor
        weight = (loud / 5.0).clamp(0.08, 1.0) * mask[..., None]
        error = ((made - wanted).abs() * weight).sum()
        slope = (made[:, 1:] - made[:, :-1]) - (wanted[:, 1:] - wanted[:, :-1])
        both = torch.maximum(weight[:, 1:], weight[:, :-1])
        return (error + 0.7 * (slope.abs() * both).sum()) / mask.sum() / made.shape[-1]

    return {
        "length": (length * real).sum() / real.sum(),
        "f0": f0.sum() / mask.sum(),
        "harmonic": envelope(slice(1, 1 + ENVELOPE), FLOOR_HARMONIC),
        "noise": envelope(slice(1 + ENVELOPE, WIDTH), FLOOR_NOISE),
    }


_WEIGHTS = {"length": 0.5, "f0": 8.0, "harmonic": 1.0, "noise": 0.7}


def _batches(items: list[Prepared], rng: random.Random) -> list[list[Prepared]]:
    """One pass over the data, sentences of similar length together."""
    order = rng.sample(items, len(items))
    found: list[list[Prepared]] = []
    for start in range(0, len(order), 128):
        group: list[Prepared] = []
        for item in sorted(order[start : start + 128], key=lambda item: len(item.which)):
            group.append(item)
            if len(group) * len(item.which) > _STEPS:
                found.append(group)
                group = []
        if group:
            found.append(group)
    rng.shuffle(found)
    return found


@dataclass(frozen=True)
class Plan(Training):
    """How to train; always from scratch, on the CPU."""

    rate: float = 2e-3
    seed: int = 1


def train(plan: Plan) -> Path:
    """Train on the sources in ``plan.work``, give the checkpoint; goes on where it was stopped."""
    torch.manual_seed(plan.seed)
    sources = {source.name: load_source(source, plan.work) for source in SOURCES}
    towards = _spectrum(sources["en_slt"])
    for source in SOURCES:
        if source.teacher == "espeak":
            sources[source.name] = _equalise(sources[source.name], towards)
    items: list[Prepared] = []
    for sentences in sources.values():
        keep = max(len(sentences) - HELD_OUT, 1)
        items += [_prepare(sentence) for sentence in sentences[:keep]]
    sample = np.concatenate([item.sentence.frames[::7] for item in items]).astype(np.float32)
    model = Acoustic(torch.tensor(sample.mean(0)), torch.tensor(sample.std(0) + 0.05))
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=1e-3)
    last, state = plan.work / "last.pt", dict[str, Any]()
    if last.exists():
        state = torch.load(last, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
    pace = Pace((plan.rate,), cosine, warm_up=150, average=0.998, longest=1.0)
    loop = Loop(plan, model, [optimiser], pace, state)
    rng, pool = random.Random(plan.seed + loop.step), list[list[Prepared]]()

    def descend(_spent: float) -> dict[str, float]:
        if not pool:
            pool.extend(_batches(items, rng))
        found = losses(model, collate(pool.pop()))
        torch.stack([_WEIGHTS[name] * value for name, value in found.items()]).sum().backward()
        return {name: value.item() for name, value in found.items()}

    loop.run(descend)
    return last
