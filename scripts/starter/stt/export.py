"""Write a checkpoint as a CTranslate2 Whisper directory, which faster-whisper loads as any other.

The trained rows are scattered into the full vocabulary. Hidden dimension 0 is reserved for that:
after the last layer norm it is the constant 1 (weight 0, bias 1); trained rows hold 0 there and
all other rows -60, so that an untrained token can never win.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ctranslate2.converters import utils
from ctranslate2.specs import common_spec, whisper_spec

from .model import sinusoids
from .vocabulary import MODEL_DIR, SIZE, Vocabulary, genuine

UNUSED = -60.0
_FEATURES = {
    "feature_size": 80,
    "sampling_rate": 16000,
    "hop_length": 160,
    "chunk_length": 30,
    "n_fft": 400,
    "feature_extractor_type": "WhisperFeatureExtractor",
}


class _Weights:
    """Copies parameters of a checkpoint into CTranslate2's specification."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        self._weights = weights

    def array(self, name: str) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = self._weights[name].float().contiguous().numpy()
        return found

    def linear(self, spec: Any, name: str) -> None:
        spec.weight = self.array(name + ".weight")
        if name + ".bias" in self._weights:
            spec.bias = self.array(name + ".bias")

    def norm(self, spec: Any, name: str) -> None:
        spec.gamma, spec.beta = self.array(name + ".weight"), self.array(name + ".bias")

    def attention(self, spec: Any, name: str, cross: bool) -> None:
        parts = [common_spec.LinearSpec() for _ in "qkv"]
        for part, letter in zip(parts, "qkv", strict=True):
            self.linear(part, f"{name}.{letter}")
        if cross:
            utils.fuse_linear(spec.linear[0], parts[:1])
            utils.fuse_linear(spec.linear[1], parts[1:])
        else:
            utils.fuse_linear(spec.linear[0], parts)
        self.linear(spec.linear[-1], name + ".o")

    def layer(self, spec: Any, name: str, cross: bool) -> None:
        self.attention(spec.self_attention, name + ".att", False)
        self.norm(spec.self_attention.layer_norm, name + ".ln1")
        if cross:
            self.attention(spec.attention, name + ".cross", True)
            self.norm(spec.attention.layer_norm, name + ".lnx")
        self.norm(spec.ffn.layer_norm, name + ".ln2")
        self.linear(spec.ffn.linear_0, name + ".fc1")
        self.linear(spec.ffn.linear_1, name + ".fc2")


def export(checkpoint: Path, inventory: Path, out: Path, *, quantise: bool = True) -> None:
    """Write ``out``; ``inventory`` holds the training's pieces.json."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    config, weights = state["config"], _Weights(state["ema"])
    vocabulary, whisper = Vocabulary.load(inventory / "pieces.json"), genuine()
    width = config["d"]
    spec = whisper_spec.WhisperSpec(config["enc"], config["h"], config["dec"], config["h"])
    encoder, decoder = spec.encoder, spec.decoder
    for name in ("conv1", "conv2"):
        weights.linear(getattr(encoder, name), name)
    encoder.position_encodings.encodings = sinusoids(1500, width).numpy()
    weights.norm(encoder.layer_norm, "ln_post")
    for at, layer in enumerate(encoder.layer):
        weights.layer(layer, f"enc.{at}", False)
    for at, layer in enumerate(decoder.layer):
        weights.layer(layer, f"dec.{at}", True)
    decoder.position_encodings.encodings = weights.array("tpos")
    weights.norm(decoder.layer_norm, "ln")
    decoder.layer_norm.gamma[0], decoder.layer_norm.beta[0] = 0, 1
    table = np.zeros((SIZE, width), np.float32)
    table[:, 0] = UNUSED
    rows = weights.array("emb.weight").copy()
    rows[:, 0] = 0
    table[np.array(vocabulary.rows)] = rows
    decoder.embeddings.weight = decoder.projection.weight = table
    decoder.scale_embeddings = False
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [], []
    spec.config.lang_ids = sorted(whisper.special[f"<|{lang}|>"] for lang in ("en", "ar", "ru"))
    # For the gateway; CTranslate2 reads only the keys it knows.
    spec.config.add_attribute("voice_gateway", {"prompts": False, "beam_size": 4})
    spec.config.alignment_heads = [(config["dec"] - 1, head) for head in range(config["h"])]
    spec.register_vocabulary(whisper.tokens)
    spec.validate()
    spec.optimize(quantization="int8" if quantise else None)
    out.mkdir(parents=True, exist_ok=True)
    spec.save(str(out))
    if out.resolve() != MODEL_DIR.resolve():
        shutil.copyfile(MODEL_DIR / "tokenizer.json", out / "tokenizer.json")
    (out / "preprocessor_config.json").write_text(json.dumps(_FEATURES, indent=1))
