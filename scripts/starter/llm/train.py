"""Train the chat model: matrices by Muon, the rest by AdamW, the copying heads kept as planted."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from scripts.starter import corpus
from scripts.starter.clock import flat_then_linear
from scripts.starter.loop import Loop, Pace
from scripts.starter.muon import Muon
from scripts.starter.precision import mixed_precision
from scripts.starter.together import Training, checkpoints, holds_checkpoint

from .batches import (
    Batch,
    CallBatches,
    collate,
    encode_call,
    load_confusions,
    packed,
    recall_batch,
)
from .model import Llama, Shape, plant_copying
from .restore import count_layers, restore, restore_tokenizer
from .tokenizer import train_tokenizer

_RECALL_EVERY = 24
_CHECK_SEED = 4242


@dataclass(frozen=True)
class Plan(Training):
    """How to train. The file beside a checkpoint that it starts from is tokenizer.json. ``seed``
    must be the one it was begun with, because the planted heads are rebuilt from it. ``layers``
    may be more than the start has.
    """

    layers: int = Shape.layers
    confusions: Path | None = None
    warm_up: int = 50
    seed: int = 5


@dataclass(frozen=True)
class _Steps:
    """``tokens`` of a batch, and Muon's ``rate``; what AdamW trains takes a tenth of it."""

    tokens: int
    rate: float


# What was trained before goes on gently: at 0.006 in batches of 2 048 tokens the loss of the checks
# doubled within 500 steps, at 0.0024 it stayed; at 0.0036 in the larger ones it ended lower.
_ANEW, _ONWARD = _Steps(2048, 0.012), _Steps(8192, 0.0045)


def loss_of(model: Llama, batch: Batch) -> Tensor:
    """Weighted cross-entropy of the next token."""
    losses, weights, _ = _losses(model, batch)
    return losses.sum() / weights.sum()


@torch.no_grad()
def loss_of_rows(model: Llama, batch: Batch) -> Tensor:
    """The same for each row, (B,)."""
    losses, weights, rows = _losses(model, batch)
    sums = losses.new_zeros(2, len(batch.ids))
    return torch.div(*sums.index_add_(1, rows, torch.stack((losses, weights))))


def _losses(model: Llama, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The weighted loss of each token that counts, its weight and its row."""
    with mixed_precision(batch.ids.device.type):
        hidden = model.hidden(batch.ids[:, :-1], batch.prefix)
        weights, targets = batch.weights[:, 1:], batch.ids[:, 1:]
        counted = weights > 0
        logits = model.logits(hidden[counted])
    losses = F.cross_entropy(logits.float(), targets[counted], reduction="none")
    return losses * weights[counted], weights[counted], counted.nonzero()[:, 0]


def _checks(tokenizer: Tokenizer) -> dict[str, list[Batch]]:
    """Fixed calls: to businesses with facts that training never draws, and to the clinic."""
    rng = random.Random(_CHECK_SEED)
    langs = [corpus.LANGS[at % 3] for at in range(24)]
    unseen = [corpus.make_call(lang, rng, limit=4, heldout=True) for lang in langs]
    demo = [corpus.demo_call(lang, rng, limit=4) for lang in langs[:15]]
    calls = {"unseen": unseen, "demo": demo}
    encoded = {
        name: [encode_call(tokenizer, call.messages) for call in found]
        for name, found in calls.items()
    }
    return {name: [collate(g) for g in packed(found, 4096)] for name, found in encoded.items()}


def _on(batch: Batch, device: str) -> Batch:
    prefix = None if batch.prefix is None else batch.prefix.to(device)
    return Batch(prefix, batch.ids.to(device), batch.weights.to(device))


def prepare_tokenizer(plan: Plan) -> Path:
    """That of what the training starts from, or a new one; ``plan.work`` keeps it."""
    words, init = plan.work / "tokenizer.json", plan.init
    if words.exists() and holds_checkpoint(plan):
        return words
    plan.work.mkdir(parents=True, exist_ok=True)
    if init is None:
        train_tokenizer(words)
    elif init.suffix == ".gguf":
        restore_tokenizer(init, words)
    else:
        words.write_bytes((init.parent / words.name).read_bytes())
    return words


def require_layers(plan: Plan) -> None:
    """A model only grows by layers, and only where a training begins.

    Raises:
        ValueError: the start of ``plan`` has more, or is none, or the checkpoint in ``plan.work``
            has others.
    """
    found = checkpoints(plan.work)
    for last in found:
        if (layers := _layers_of(last)) != plan.layers:
            raise ValueError(f"{last} has {layers} layers, expected {plan.layers}")
    if not found and plan.init is not None and (layers := _layers_of(plan.init)) > plan.layers:
        raise ValueError(f"{plan.init} has {layers} layers, expected at most {plan.layers}")


def _layers_of(start: Path) -> int:
    try:
        if start.suffix == ".gguf":
            layers = count_layers(start)
        else:
            weights = torch.load(start, map_location="cpu", weights_only=True, mmap=True)["model"]
            layers = sum(name.endswith("norm1.weight") for name in weights)
        if not layers:
            raise ValueError("it has no layers")
    except Exception as error:  # boundary: files of other kinds fail in many ways
        raise ValueError(f"{start}: expected a chat model or a checkpoint of one") from error
    return layers


def load(start: Path, model: Llama) -> dict[str, Any]:
    """The state of ``start`` for a freshly planted ``model``, which may have more layers."""
    if start.suffix == ".gguf":
        state: dict[str, Any] = {"model": restore(start)}
    else:
        state = torch.load(start, map_location="cpu", weights_only=True)
    grown = model.state_dict() | state["model"]
    if len(grown) > len(state["model"]):
        state.pop("opts", None)  # they belong to the smaller model
    return state | {"model": grown}


def train(plan: Plan) -> Path:
    """Train for ``plan.minutes`` of work and give the checkpoint; goes on where it was stopped.
    ``plan.work`` holds tokenizer.json.
    """
    require_layers(plan)
    tokenizer = Tokenizer.from_file(str(plan.work / "tokenizer.json"))
    torch.manual_seed(plan.seed)
    model = Llama(Shape(layers=plan.layers))
    protect = plant_copying(model, plan.seed)
    last = plan.work / "last.pt"
    start = last if last.exists() else plan.init
    state: dict[str, Any] = {}
    if start is not None:
        state = load(start, model)
        model.load_state_dict(state["model"])
    model.to(plan.device)
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and not n.startswith("emb")]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or n.startswith("emb")]
    steps = _ONWARD if plan.init else _ANEW
    rates = steps.rate, steps.rate / 10
    optimisers = [
        Muon(matrices, lr=rates[0]),
        torch.optim.AdamW(others, lr=rates[1], betas=(0.9, 0.95), weight_decay=0.0),
    ]
    pace = Pace(rates, flat_then_linear, plan.warm_up, average=0.995, longest=1.0)
    loop = Loop(plan, model, optimisers, pace, state, model.config())

    def judge(batch: Batch) -> Tensor:
        return loss_of_rows(model, _on(batch, plan.device)).cpu()

    confusions = load_confusions(plan.confusions)
    drawn = f"{plan.seed} {plan.draw} {loop.step}"
    data = CallBatches(tokenizer, random.Random(drawn), steps.tokens, judge, confusions)
    recall, checks = random.Random(drawn), _checks(tokenizer)

    def descend(_spent: float) -> dict[str, float]:
        copying = loop.step % _RECALL_EVERY == 0
        batch = recall_batch(recall, model.shape.vocab) if copying else data.next()
        loss = loss_of(model, _on(batch, plan.device))
        loss.backward()
        return {"loss": loss.item(), "tokens": batch.ids.numel()}

    @torch.no_grad()
    def report() -> dict[str, float]:
        return {
            name: sum(loss_of(model, _on(b, plan.device)).item() for b in group) / len(group)
            for name, group in checks.items()
        }

    loop.run(descend, protect, report)
    return loop.last
