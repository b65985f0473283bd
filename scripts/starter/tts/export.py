"""Write a voice as a genuine Piper voice: ONNX graph and JSON, 16 kHz, float16 weights."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP
from torch import Tensor, nn

from .model import STEP, Acoustic, position_features
from .vocoder import ENVELOPE, FLOOR_HARMONIC, HOP, RATE, TO_BANDS, Vocoder

_TAIL = 0.10  # seconds of digital silence after every sentence
_QUESTION_MARK = DEFAULT_PHONEME_ID_MAP["?"][0]
_EXAMPLE = [1, 0, 20, 0, 120, 0, 61, 0, 24, 0, 27, 0, 100, 0, 2]
_PLACES = {"en": ("en-us", "en_US", "US"), "ru": ("ru", "ru_RU", "RU"), "ar": ("ar", "ar_JO", "JO")}


@dataclass(frozen=True)
class Style:
    """How a voice sounds. Pitch is moved from one centre (Hz) to another and stretched; questions
    rise by ``question`` in log f0; ``leak`` is how much noise between harmonics is taken back;
    ``slowness`` is the length scale written into the JSON.
    """

    name: str
    lang: str
    condition: int
    from_hz: float
    to_hz: float
    stretch: float
    question: float
    leak: float
    slowness: float = 1.0
    borrowed: float = 0.0  # share of slt's timbre that Russian and Arabic borrow


STYLES = [
    Style("en", "en", 0, 170.0, 180.0, 1.6, 0.22, 1.0),
    Style("en_espeak", "en", 1, 215.0, 200.0, 0.9, 0.0, 8.0),
    Style("ru", "ru", 2, 205.0, 195.0, 1.0, 0.05, 5.0, borrowed=0.2),
    Style("ar", "ar", 4, 205.0, 195.0, 1.0, 0.05, 5.0, slowness=0.92, borrowed=0.2),
]


class PiperGraph(nn.Module):
    """The graph that Piper runs: ids (1, N), their number, and three scales -> (1, 1, samples)."""

    def __init__(self, model: Acoustic, style: Style, gain: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.model, self.vocoder, self.style = model, Vocoder(), style
        self.register_buffer("fade", torch.linspace(0, 1, HOP))
        self.register_buffer("to_bands", torch.tensor(TO_BANDS.astype(np.float32)))
        self.register_buffer("gain", torch.tensor(gain))

    def forward(self, input: Tensor, input_lengths: Tensor, scales: Tensor) -> Tensor:
        every = input[0, : input_lengths[0]]
        keep = torch.nonzero(every)[:, 0]  # Piper puts a pad between any two ids
        ids = every[keep]
        condition = torch.full((1,), self.style.condition, dtype=torch.long)
        text, log_seconds = self.model.encode(ids.unsqueeze(0), condition)
        seconds = torch.relu(torch.exp(log_seconds[0]) - 1) / 100
        seconds = torch.where(seconds < 0.004, torch.zeros_like(seconds), seconds).clamp(max=1.5)
        seconds = seconds * scales[1].clamp(min=0.2, max=5.0)
        ends = torch.cumsum(seconds, 0)
        steps = torch.floor(ends[-1:] / STEP).long().clamp(min=3) + 2
        counted = torch.cumsum(torch.ones_like(torch.zeros(1).expand(steps[0])), 0)
        time = counted * STEP - 0.75 * STEP
        which = (time.unsqueeze(1) >= ends.unsqueeze(0)).long().sum(1).clamp(max=ids.shape[0] - 1)
        features = position_features(time - (ends - seconds)[which], seconds[which])
        frames = self.model.decode(text[:, which], features.unsqueeze(0), condition)[0]
        log_f0 = self._pitch(frames[:, :1], time, ends, ids)
        envelope, bands = frames[:, 1 : 1 + ENVELOPE], frames[:, 1 + ENVELOPE :]
        bands = self._without_leak(envelope, bands, log_f0)
        envelope = envelope + self.gain * (envelope > FLOOR_HARMONIC + 0.5).float()
        noise = (0.6 + 0.6 * scales[0]).clamp(0.6, 1.4)
        wave = self.vocoder(torch.cat([log_f0, envelope, bands], 1), noise)
        # Nothing but the first and last id: silence, not noise.
        speaks = (ends[-2] - ends[0] > 0.005).float()
        edges = torch.cat([self.fade, torch.ones_like(wave[HOP:-HOP]), self.fade.flip(0)])
        silence = torch.zeros(int(_TAIL * RATE))
        frames_per_id = self._frames_per_id(every, keep, ends)
        return torch.cat([wave * edges * speaks, silence]).reshape(1, 1, -1) + 0.0 * frames_per_id

    def _pitch(self, log_f0: Tensor, time: Tensor, ends: Tensor, ids: Tensor) -> Tensor:
        style = self.style
        moved = math.log(style.to_hz) + style.stretch * (log_f0 - math.log(style.from_hz))
        twice = time.unsqueeze(1).expand(-1, 2).reshape(-1, 1)
        rise = torch.clamp((twice - ends[-2]) / 0.35 + 1.0, 0.0, 1.0)
        asks = (ids == _QUESTION_MARK).float().sum().clamp(max=1.0)
        return (moved + style.question * asks * rise * rise).clamp(4.4, 6.05)

    def _without_leak(self, envelope: Tensor, bands: Tensor, log_f0: Tensor) -> Tensor:
        level = envelope @ self.to_bands
        loud = (level > FLOOR_HARMONIC + 0.6).float()
        power = torch.exp(2 * level) * 4000.0 * torch.exp(-log_f0) * loud
        none = torch.zeros_like(power[:, :1])
        above = torch.cat([power[:, 1:], none], 1)
        below = torch.cat([none, power[:, :-1]], 1)
        power = torch.maximum(power, 0.3 * torch.maximum(above, below))
        noise = torch.exp(2 * bands)
        noise = noise * noise / (noise + self.style.leak * power + 1e-12)
        return 0.5 * torch.log(noise + 1e-12)

    def _frames_per_id(self, every: Tensor, keep: Tensor, ends: Tensor) -> Tensor:
        """Zero in value; its only purpose is the graph's one Ceil, where Piper reads alignments."""
        rounded = torch.floor(ends * (RATE / HOP) + 0.5)
        tail = torch.full((1,), _TAIL * RATE / HOP)
        extra = torch.cat([torch.zeros_like(rounded[:-1]), tail])
        frames = torch.cat([rounded[:1], rounded[1:] - rounded[:-1]]) + extra
        spread = torch.zeros_like(every, dtype=torch.float).scatter(0, keep, frames)
        return torch.ceil(spread).sum()


def _config(style: Style) -> dict[str, Any]:
    voice, code, region = _PLACES[style.lang]
    return {
        "audio": {"sample_rate": RATE, "quality": "x_low"},
        "espeak": {"voice": voice},
        "inference": {"noise_scale": 0.667, "length_scale": style.slowness, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_map": {},
        "phoneme_id_map": {name: list(ids) for name, ids in DEFAULT_PHONEME_ID_MAP.items()},
        "num_symbols": 256,
        "num_speakers": 1,
        "speaker_id_map": {},
        "hop_length": HOP,
        "language": {"code": code, "family": style.lang, "region": region},
        "dataset": "starter",
        "piper_version": "1.0.0",
    }


def _halve(path: Path) -> None:
    """Keep big weights as float16; the runtime folds the casts when it loads the file."""
    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1000:
            name = tensor.name
            half = onnx.numpy_helper.from_array(values.astype(np.float16), name + "_half")
            tensor.CopyFrom(half)
            to = onnx.TensorProto.FLOAT
            casts.append(onnx.helper.make_node("Cast", [name + "_half"], [name], to=to))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    onnx.save(model, path)


@torch.no_grad()
def _borrow_timbre(model: Acoustic, share: float) -> None:
    """Rows 2 and 4 become Russian and Arabic with a share of slt's timbre. More than a little of
    it destroys the phonemes.
    """
    for table in (model.cond, model.cond2):
        for source, target in ((3, 2), (5, 4)):
            difference = table.weight[0] - table.weight[1]
            table.weight[target] = table.weight[source] + share * difference


def export(checkpoint: Path, style: Style, gain: npt.NDArray[np.float32], out: Path) -> Path:
    """Write ``out/<name>.onnx`` and its JSON."""
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["ema"]
    model = Acoustic(weights["mean"], weights["std"])
    model.load_state_dict(weights)
    _borrow_timbre(model, style.borrowed)
    graph = PiperGraph(model, style, gain).eval()
    ids = torch.tensor([_EXAMPLE])
    example = (ids, torch.tensor([len(_EXAMPLE)]), torch.tensor([0.667, 1.0, 0.8]))
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{style.name}.onnx"
    with torch.no_grad():
        torch.onnx.export(
            graph,
            example,
            str(path),
            opset_version=17,
            dynamo=False,
            input_names=["input", "input_lengths", "scales"],
            output_names=["output"],
            dynamic_axes={
                "input": {0: "batch_size", 1: "phonemes"},
                "input_lengths": {0: "batch_size"},
                "output": {0: "batch_size", 2: "time"},
            },
        )
    _halve(path)
    text = json.dumps(_config(style), ensure_ascii=False, indent=1)
    path.with_suffix(".onnx.json").write_text(text, encoding="utf-8")
    return path
