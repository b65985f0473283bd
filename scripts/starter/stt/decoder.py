"""Train the decoder alone, on what the encoder made of many utterances.

Once the encoder hears well, what is left to learn is how rare words are spelt, and that is the
decoder's part. The encoder's output takes most of the time, so it is kept and read many times. That
makes large batches cheap, and a rare word is in few of the small ones.
"""

import hashlib
import json
import re
import shutil
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

from scripts.starter.clock import cosine
from scripts.starter.loop import Loop, Pace
from scripts.starter.precision import mixed_precision
from scripts.starter.together import Training, save_checkpoint

from .batches import IGNORED, Maker, Options, swapped
from .model import MicroWhisper
from .train import build_model, guidance, load_start, optimisers
from .vocabulary import Vocabulary

_UTTERANCES_A_FILE = 1000
_COMMON = 0.005  # share of the utterances from which on a word weighs as little as it can
_LEAST, _HEAVIEST = 5, 4.0
_TRAINED = ("dec.", "emb.", "tpos", "ln.")


@dataclass(frozen=True)
class DecoderPlan(Training):
    """How to train the decoder of ``init``, whose encoder hears ``utterances`` first. A step is
    taken for ``together`` batches of up to ``frames`` of 10 ms.
    """

    utterances: int = 60_000
    frames: int = 7200
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


def hear(plan: DecoderPlan, data: Path, model: MicroWhisper) -> list[Heard]:
    """What the encoder of ``model`` makes of the speech in ``data``, kept in ``plan.work/heard``
    and not in memory. What an earlier start of this training heard is not heard again, what one
    with another encoder or other tokens heard is thrown away.
    """
    folder = plan.work / "heard"
    mark, listener = folder / "listener", _fingerprint(plan, model)
    if not mark.exists() or mark.read_text() != listener:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        mark.write_text(listener)
    written = sorted(folder.glob("[0-9]*.pt"))  # and no part of one, left by an interrupt
    heard = [batch for path in written for batch in _read(path)]
    count = sum(len(batch.tokens) for batch in heard)
    number = len(written)
    options = Options(frames=plan.frames, reuse=1)  # reuse of items is what the files are for
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


def _fingerprint(plan: DecoderPlan, model: MicroWhisper) -> str:
    """Of all that decides what is heard and how it is written."""
    found = hashlib.sha256((plan.work / "pieces.json").read_bytes())
    for name, value in model.named_parameters():
        if not name.startswith(_TRAINED):
            found.update(value.detach().cpu().numpy().tobytes())
    return found.hexdigest()


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
    last = plan.work / "last.pt"
    model = build_model(plan.work)
    state = load_start(last if last.exists() else plan.init, model, plan.work)
    model.load_state_dict(state["model"])
    model.to(plan.device)
    _leave_the_decoder(model, plan.dropout)
    pace = Pace((plan.rate, plan.rate_rest), cosine, plan.warm_up, average=0.995, longest=2.0)
    going_on = state if last.exists() else {}
    loop = Loop(plan, model, optimisers(model), pace, going_on, model.config())
    heard = hear(plan, data, model)
    weights = Weights(Vocabulary.load(plan.work / "pieces.json"), heard)
    rng = np.random.default_rng([plan.seed, plan.draw, loop.step])
    order = _passes(heard, rng)

    def descend(_spent: float) -> dict[str, float]:
        seen: list[list[float]] = []
        for batch in islice(order, plan.together):
            tokens = swapped(batch.tokens, batch.positions, rng)
            weight = weights.of(batch.targets)
            found = _losses(model, batch, tokens, weight, plan)
            ((found["token"] + found["guide"]) / plan.together).backward()
            seen.append([value.item() for value in found.values()])
        return dict(zip(found, np.mean(seen, 0).tolist(), strict=True))

    loop.run(descend)
    return last


def _leave_the_decoder(model: MicroWhisper, dropout: float) -> None:
    """Nothing but the decoder and its tables is trained, and dropout is in it alone."""
    for name, value in model.named_parameters():
        value.requires_grad_(name.startswith(_TRAINED))
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
