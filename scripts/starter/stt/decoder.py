"""Train the decoder alone, on what the encoder made of many utterances.

Once the encoder hears well, what is left to learn is how rare words are spelt, and that is the
decoder's part. The encoder's output takes most of the time, so it is kept and read many times. That
makes large batches cheap, and a rare word is in few of the small ones.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.starter.averaging import follow
from scripts.starter.clock import Budget, cosine
from scripts.starter.precision import mixed_precision
from scripts.starter.steps import set_rates, take_step
from scripts.starter.together import Peer, Training, save_checkpoint

from .batches import IGNORED, Maker, Options
from .model import MicroWhisper
from .train import build_model, guidance, load_start, optimisers
from .vocabulary import Vocabulary

_UTTERANCES_A_FILE = 1000
_COMMON = 0.005  # share of the utterances from which on a word weighs as little as it can
_LEAST, _HEAVIEST = 5, 4.0


@dataclass(frozen=True)
class DecoderPlan(Training):
    """How to train the decoder of ``init``, whose encoder hears ``utterances`` first. A step is
    taken for ``together`` batches of up to 72 seconds of sound.
    """

    utterances: int = 60_000
    rate: float = 1.6e-3
    rate_rest: float = 5e-4
    warm_up: int = 30
    together: int = 4
    dropout: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Heard:
    """A batch behind the encoder: audio (B, S, d) float16, and as in ``batches.Batch`` tokens,
    targets and positions (B, U).
    """

    audio: Tensor
    tokens: Tensor
    targets: Tensor
    positions: Tensor

    def swapped(self, rng: np.random.Generator, share: float = 0.2) -> Tensor:
        """The tokens; in half of the utterances some of the text's are others of the batch."""
        text = torch.zeros_like(self.tokens, dtype=torch.bool)
        text[:, 1:] = (self.positions[:, :-1] >= 0) & (self.positions[:, 1:] >= 0)
        wrong = text & torch.from_numpy(
            (rng.random(text.shape) < share) & (rng.random((len(text), 1)) < 0.5)
        )
        tokens = self.tokens.clone()
        if wrong.any():
            others = self.tokens[text].numpy()
            tokens[wrong] = torch.from_numpy(rng.choice(others, int(wrong.sum())))
        return tokens


def hear(plan: DecoderPlan, data: Path, model: MicroWhisper) -> list[Heard]:
    """What the encoder of ``model`` makes of the speech in ``data``, kept in ``plan.work/heard``
    and not in memory. What an earlier start of this training heard is not heard again.
    """
    folder = plan.work / "heard"
    folder.mkdir(exist_ok=True)
    heard = [batch for path in sorted(folder.glob("*.pt")) for batch in _read(path)]
    count = sum(len(batch.tokens) for batch in heard)
    number = len(list(folder.glob("*.pt")))
    # Swapped tokens are drawn anew at each reading, and reuse of items is what the files are for.
    options = Options(frames=7200, swap=0.0, reuse=1)
    source: Iterator[Any] | None = None
    while count < plan.utterances:
        if source is None:
            seed = plan.seed + 1_000_003 * plan.draw + number
            source = Maker(data, plan.work, seed, options).batches(None)
        found: list[Heard] = []
        enough = min(count + _UTTERANCES_A_FILE, plan.utterances)
        while count < enough:
            found.append(_through_encoder(model, next(source), plan.device))
            count += len(found[-1].tokens)
        path = folder / f"{number:04}.pt"
        save_checkpoint({"batches": [vars(batch) for batch in found]}, path)
        heard += _read(path)
        number += 1
        print(json.dumps({"heard": count}), flush=True)
    return heard


def _read(path: Path) -> Iterator[Heard]:
    for batch in torch.load(path, weights_only=True, mmap=True)["batches"]:
        yield Heard(**batch)


@torch.no_grad()
def _through_encoder(model: MicroWhisper, batch: Any, device: str) -> Heard:
    with mixed_precision(device):
        audio = model.encode(batch.mel.float().to(device))
    return Heard(audio.half().cpu(), batch.tokens, batch.targets, batch.positions)


class Weights:
    """What each target token counts: those of a rare word more, up to four times. Words that come
    up less than five times are invented names, for the most part, and weigh like common ones.
    """

    def __init__(self, vocabulary: Vocabulary, heard: Iterable[Heard]) -> None:
        self._pieces = {row: piece for piece, row in vocabulary.pieces.items()}
        self._counts: Counter[str] = Counter()
        self._utterances = 0
        for batch in heard:
            for targets in batch.targets.tolist():
                self._counts.update({word for word, _ in self._words(targets)})
                self._utterances += 1

    def _words(self, targets: list[int]) -> list[tuple[str, list[int]]]:
        """The words of an utterance, and where in the targets their tokens are."""
        words: list[tuple[bytes, list[int]]] = []
        for at, token in enumerate(targets):
            piece = self._pieces.get(token)
            if piece is None:
                continue
            if piece.startswith(b" ") or not words:
                words.append((b"", []))
            spelt, places = words[-1]
            words[-1] = (spelt + piece, [*places, at])
        return [
            (re.sub(r"[^\w']", "", spelt.decode(errors="replace")).lower(), places)
            for spelt, places in words
        ]

    def of(self, targets: Tensor) -> Tensor:
        """(B, U) float32 for targets (B, U)."""
        weights = torch.ones(targets.shape)
        for row, line in enumerate(targets.tolist()):
            for word, places in self._words(line):
                weights[row, places] = self.of_word(word)
        return weights

    def of_word(self, word: str) -> float:
        """1 for a common word, 4 for a rare one."""
        if (count := self._counts[word]) < _LEAST:
            return 1.0
        weight: float = (_COMMON * self._utterances / count) ** 0.5
        return min(max(weight, 1.0), _HEAVIEST)


def train_decoder(plan: DecoderPlan, data: Path) -> Path:
    """Train for ``plan.minutes`` of work, hearing not counted, and give the checkpoint; goes on
    where it was stopped. ``plan.work`` holds pieces.json and phones.json.

    Raises:
        ValueError: there is no ``plan.init``, whose encoder is to be heard.
    """
    if plan.init is None:
        raise ValueError("a decoder is trained behind an encoder that hears, expected init")
    torch.manual_seed(plan.seed + plan.draw)
    rng = np.random.default_rng(plan.seed + plan.draw)
    last = plan.work / "last.pt"
    model = build_model(plan.work)
    state = load_start(last if last.exists() else plan.init, model, plan.work)
    model.load_state_dict(state["model"])
    model.to(plan.device)
    _leave_the_decoder(model, plan.dropout)
    chosen = optimisers(model)
    step, used = 0, 0.0
    average = {name: value.clone() for name, value in model.state_dict().items()}
    if last.exists():
        step, used = int(state["step"]), float(state["used"])
        average = {name: value.to(plan.device) for name, value in state["ema"].items()}
        for optimiser, saved in zip(chosen, state["opts"], strict=True):
            optimiser.load_state_dict(saved)
    heard = hear(plan, data, model)
    weights = Weights(Vocabulary.load(plan.work / "pieces.json"), heard)
    order = _passes(heard, rng)
    peer = Peer(plan.peer / last.name) if plan.peer else None
    seen: list[list[float]] = []

    def save() -> None:
        content = {"model": model.state_dict(), "ema": average, "cfg": model.config()}
        content["opts"] = [optimiser.state_dict() for optimiser in chosen]
        save_checkpoint(content | {"step": step, "used": budget.used}, last)

    budget = Budget(plan.minutes, used)
    while (spent := budget.tick()) < 1.0:
        factor = cosine(spent, step, plan.warm_up)
        set_rates(chosen, (plan.rate, plan.rate_rest), factor)
        for batch in islice(order, plan.together):
            tokens, weight = batch.swapped(rng), weights.of(batch.targets)
            found = _losses(model, batch, tokens, weight, plan)
            ((found["token"] + found["guide"]) / plan.together).backward()
            seen.append([value.item() for value in found.values()])
        take_step(model, chosen, 2.0)
        step += 1
        follow(average, model, step, 0.995)
        if step % plan.log_every == 0:
            means = [round(float(value), 3) for value in np.mean(seen, 0)]
            line: dict[str, Any] = {"step": step, "minutes": round(budget.used / 60, 1)}
            print(json.dumps(line | dict(zip(found, means, strict=True))), flush=True)
            seen.clear()
        if budget.time_to_save():
            save()
            if peer is not None:
                peer.approach(model)
    save()
    return last


def _leave_the_decoder(model: MicroWhisper, dropout: float) -> None:
    """Nothing but the decoder and its tables is trained, and dropout is in it alone."""
    for name, value in model.named_parameters():
        value.requires_grad_(name.startswith(("dec.", "emb.", "tpos", "ln.")))
    for block in model.dec:
        block.cross.keep = True
        block.drop.p = dropout


def _passes(heard: list[Heard], rng: np.random.Generator) -> Iterator[Heard]:
    """All batches, over and over, each time in another order."""
    while True:
        for at in rng.permutation(len(heard)):
            yield heard[at]


def _losses(
    model: MicroWhisper, batch: Heard, tokens: Tensor, weight: Tensor, plan: DecoderPlan
) -> dict[str, Tensor]:
    """The token loss and the guidance, each averaged, and the share of right tokens."""
    device = plan.device
    audio, tokens, weight = (value.to(device) for value in (batch.audio, tokens, weight))
    targets, positions = batch.targets.to(device), batch.positions.to(device)
    with mixed_precision(device):
        logits = model.decode(tokens, F.dropout(audio.float(), plan.dropout))
    logits, known = logits.float(), targets != IGNORED
    loss = F.cross_entropy(logits[known], targets[known], label_smoothing=0.05, reduction="none")
    token = (loss * weight[known]).sum() / weight[known].sum()
    right = (logits.argmax(-1)[known] == targets[known]).float().mean()
    return {"token": token, "guide": guidance(model, positions, audio.shape[1]), "right": right}
