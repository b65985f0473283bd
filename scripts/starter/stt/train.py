"""Train the recogniser.

Four losses on one model; the heads of the last three are dropped at export:

* Whisper's own next-token loss, with the language token, ``<|nospeech|>`` and some timestamps;
* phonemes: espeak-ng and flite tell which sounds when, a frame classifier on the encoder output
  (without it the model does not start to learn for a long time);
* CTC characters on the encoder output (covers the Piper voices, whose phoneme times are not kept);
* guidance: half of the cross-attention heads are drawn towards the rough time of each token.
"""

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor

from scripts.starter.clock import cosine
from scripts.starter.loop import Loop, Pace
from scripts.starter.muon import Muon
from scripts.starter.precision import mixed_precision
from scripts.starter.together import Training, holds_checkpoint

from .batches import IGNORED, Batch, Options, phoneme_inventory, produce, swapped
from .dataset import SpeechSet, finished_sets
from .model import CHARACTERS, MicroWhisper, Shape
from .restore import read_variables, restore, restore_pieces
from .vocabulary import Vocabulary, choose_pieces, genuine, load_pieces, save_pieces

_CTC_WEIGHT = 0.2
_GUIDE_WIDTH = 12.0  # encoder frames of 20 ms


@dataclass(frozen=True)
class Plan(Training):
    """How to train. ``rate`` is that of the matrices, ``rate_rest`` of everything else, ``frames``
    those of 10 ms in a batch. The files beside a checkpoint that it starts from are pieces.json and
    phones.json.
    """

    frames: int = 7200
    rate: float = 0.01
    rate_rest: float = 1.4e-3
    warm_up: int = 200
    seed: int = 0


def prepare_inventory(plan: Training, data: Path) -> None:
    """Choose the trained tokens and the phoneme names from the first sets, once a training. What it
    starts from keeps its own tokens, and a checkpoint its phonemes.
    """
    pieces, phones = plan.work / "pieces.json", plan.work / "phones.json"
    if pieces.exists() and phones.exists() and holds_checkpoint(plan):
        return
    plan.work.mkdir(parents=True, exist_ok=True)
    rows = [row for path in finished_sets(data)[:2] for row in SpeechSet(path).rows]
    former = _former_pieces(plan.init) if plan.init else {}
    save_pieces(choose_pieces(genuine(), [row.text for row in rows]) | former, pieces)
    if plan.init is not None and not plan.init.is_dir():
        phones.write_bytes((plan.init.parent / phones.name).read_bytes())
    else:
        phones.write_text(json.dumps(phoneme_inventory(rows), ensure_ascii=False))


def require_start(start: Path) -> None:
    """Tell a start that is none before hours of speech are made for it.

    Raises:
        ValueError: it is no recogniser of ours.
    """
    try:
        _former_pieces(start)
        if start.is_dir():
            table = read_variables(start / "model.bin")["decoder/embeddings/weight"]
        else:
            json.loads((start.parent / "phones.json").read_text())
            table = torch.load(start, map_location="cpu", weights_only=True)["model"]["emb.weight"]
        width = table.shape[1]
    except Exception as error:  # boundary: files of other kinds fail in many ways
        raise ValueError(
            f"{start}: expected a recogniser's folder, or a checkpoint of one with pieces.json and "
            "phones.json beside it"
        ) from error
    if width != Shape.d:
        raise ValueError(f"{start} is a recogniser {width} wide, expected {Shape.d}")


def _former_pieces(init: Path) -> dict[bytes, int]:
    return restore_pieces(init) if init.is_dir() else load_pieces(init.parent / "pieces.json")


def build_model(work: Path) -> MicroWhisper:
    """A fresh model for the inventory in ``work``."""
    vocabulary = Vocabulary.load(work / "pieces.json")
    phones = json.loads((work / "phones.json").read_text())
    return MicroWhisper(Shape(len(vocabulary.rows), len(CHARACTERS) + 1, max(phones.values()) + 1))


def losses(model: MicroWhisper, batch: Batch) -> dict[str, Tensor]:
    """The four losses, each already averaged, and the share of right tokens."""
    device = batch.mel.device
    with mixed_precision(device.type):
        audio = model.encode(batch.mel.float())
        logits = model.decode(batch.tokens, audio)
        characters, phones = model.ctc(audio), model.phone(audio)
    logits = logits.float()
    token = F.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, label_smoothing=0.05
    )
    log_probs = F.log_softmax(characters.float(), -1).transpose(0, 1)
    frames = torch.full((len(batch.lengths),), log_probs.shape[0], dtype=torch.long)
    # Items without speech have no label and teach this head to emit blanks only.
    ctc = F.ctc_loss(
        log_probs, batch.characters, frames, batch.lengths, reduction="none", zero_infinity=True
    )
    ctc = (ctc / batch.lengths.clamp(min=1)).clamp(max=60).mean()
    labels = batch.phonemes.flatten()
    weight = torch.where(labels == 0, 0.3, 1.0) * (labels >= 0)
    phone = F.cross_entropy(phones.float().flatten(0, 1), labels.clamp(min=0), reduction="none")
    phone = (phone * weight).sum() / weight.sum().clamp(min=1)
    known = batch.targets != IGNORED
    right = (logits.argmax(-1)[known] == batch.targets[known]).float().mean()
    guide = guidance(model, batch.positions, audio.shape[1])
    return {"token": token, "ctc": ctc, "phone": phone, "guide": guide, "right": right}


def guidance(model: MicroWhisper, positions: Tensor, frames: int) -> Tensor:
    """How much weight half of the cross-attention heads put far from the token's time, which is
    one of ``frames`` encoder frames. ``positions`` (B, U) as in ``Batch``.
    """
    wanted = positions >= 0
    distance = torch.arange(frames, device=wanted.device) - positions[:, :, None]
    far = 1 - torch.exp(-(distance**2) / (2 * _GUIDE_WIDTH**2))
    total = torch.zeros((), device=wanted.device)
    for block in model.dec:
        weights = block.cross.weights[:, : model.shape.h // 2].float().mean(1)
        total = total + ((weights * far).sum(-1) * wanted).sum() / wanted.sum().clamp(min=1)
    return total / len(model.dec)


@contextmanager
def _producer(
    plan: Plan, data: Path, progress: Any, step: int, ramp: bool
) -> Iterator[Iterator[Batch]]:
    context = mp.get_context("spawn")
    out, stop = context.Queue(24), context.Event()
    options = Options(frames=plan.frames, ramp=ramp)
    seed = plan.seed + 1000003 * plan.draw + step
    arguments = (out, stop, progress, data, plan.work, seed, options)
    process = context.Process(target=produce, args=arguments, daemon=True)
    process.start()
    try:
        yield _produced(out, process)
    finally:
        stop.set()
        process.join(10)
        if process.is_alive():
            process.terminate()


def _produced(out: Any, process: Any) -> Iterator[Batch]:
    while True:
        try:
            yield out.get(timeout=5)
        except queue.Empty:
            if not process.is_alive():
                raise RuntimeError(
                    "the process that makes the batches has ended; its error, or that memory ran "
                    "out, is told above"
                ) from None


def load_start(start: Path, model: MicroWhisper, work: Path) -> dict[str, Any]:
    """A checkpoint of ``model``, whose inventory is in ``work``, made of ``start``: an exported
    folder or a checkpoint, with fewer tokens or layers it may be.
    """
    former = Vocabulary(genuine(), _former_pieces(start))
    if start.is_dir():
        state = {"model": restore(start, model, former)}
    else:
        state = torch.load(start, map_location="cpu", weights_only=True)
    weights = state["model"]
    widened = widen(model, weights["emb.weight"], former, Vocabulary.load(work / "pieces.json"))
    grown = grow(model, weights | {"emb.weight": widened})
    if len(grown) > len(weights) or len(widened) > len(weights["emb.weight"]):
        state.pop("opts", None)  # they belong to the smaller model
    return state | {"model": grown}


def widen(model: MicroWhisper, table: Tensor, former: Vocabulary, now: Vocabulary) -> Tensor:
    """The token table (len(now.rows), d) of ``model``, from one over the ``former`` vocabulary. A
    token that is new begins as the mean of those that spelt it.
    """
    wide = model.emb.weight.detach().clone()
    for piece, at in now.pieces.items():
        if spelt := former.spelling(piece):
            wide[at] = table[spelt].mean(0)
    for name, at in now.control.items():
        wide[at] = table[former.control[name]]
    return wide


def grow(model: MicroWhisper, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """All weights of ``model``: those given, and its own for what they lack. Blocks that are new
    begin without effect, so that a start with fewer layers hears as well as before.
    """
    own = {name: value.clone() for name, value in model.state_dict().items()}
    for name in own.keys() - weights.keys():
        if name.rpartition(".")[0].endswith((".o", ".fc2")):
            own[name].zero_()
    return own | weights


def train(plan: Plan, data: Path) -> Path:
    """Train for ``plan.minutes`` of work and give the checkpoint; goes on where it was stopped.
    ``plan.work`` holds pieces.json and phones.json.
    """
    torch.manual_seed(plan.seed)
    model = build_model(plan.work)
    last = plan.work / "last.pt"
    start = last if last.exists() else plan.init
    state: dict[str, Any] = {}
    if start is not None:
        state = load_start(start, model, plan.work)
        model.load_state_dict(state["model"])
    model.to(plan.device)
    for block in model.dec:
        block.cross.keep = True
    # What was trained before goes on more gently: the full rate undoes a part of it.
    rate, rate_rest = (rate / 2 if plan.init else rate for rate in (plan.rate, plan.rate_rest))
    pace = Pace((rate, rate_rest), cosine, plan.warm_up, average=0.998, longest=2.0)
    loop = Loop(plan, model, optimisers(model), pace, state, model.config())
    progress = mp.get_context("spawn").Value("d", loop.spent)
    rng = np.random.default_rng([plan.seed, plan.draw, loop.step])
    with _producer(plan, data, progress, loop.step, ramp=plan.init is None) as source:
        batches = chain([next(source)], source)  # waiting for the first is free

        def descend(spent: float) -> dict[str, float]:
            progress.value = spent
            batch = next(batches)
            shown = swapped(batch.tokens, batch.positions, rng)
            found = losses(model, _on(replace(batch, tokens=shown), plan.device))
            loss = found["token"] + _CTC_WEIGHT * found["ctc"] + found["phone"] + found["guide"]
            loss.backward()
            return {name: value.item() for name, value in found.items()}

        loop.run(descend)
    return loop.last


def keep_of_start(start: Path, checkpoint: Path, share: float) -> Path:
    """Average the weights of ``checkpoint`` with those of ``start``, which weigh ``share``, and
    give the checkpoint of that, beside the former. Fine-tuning forgets; the mean keeps more of both
    (https://arxiv.org/abs/2109.01903).
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    work = checkpoint.parent
    torch.manual_seed(Plan.seed)  # what the start lacks begins as it did in training
    former = load_start(start, build_model(work), work)["model"]
    # The training heads stay: an exported start has none.
    mean = {
        name: value if name.startswith(("ctc.", "phone.")) else value.lerp(former[name], share)
        for name, value in state["ema"].items()
    }
    kept = work / "kept.pt"
    torch.save(state | {"model": mean, "ema": mean, "opts": []}, kept)
    return kept


def optimisers(model: MicroWhisper) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for tables, convolutions, heads and biases."""
    blocks = [*model.enc.parameters(), *model.dec.parameters()]
    matrices = [p for p in blocks if p.ndim == 2]
    inside = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in inside]
    adam = torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    return [Muon(matrices, lr=0.0), adam]


def _on(batch: Batch, device: str) -> Batch:
    if device == "cpu":
        return batch
    moved = {name: value.to(device, non_blocking=True) for name, value in vars(batch).items()}
    return Batch(**moved)
