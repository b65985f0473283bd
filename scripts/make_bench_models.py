#!/usr/bin/env python3
"""Write models with random weights and the exact shapes of real ones, to measure speed with.

.venv/bin/python scripts/make_bench_models.py                  Whisper base, llama 0.5B (Q4_0)
.venv/bin/python scripts/make_bench_models.py whisper-small llama-8b --quantization q8_0
STT_MODEL=models/bench/whisper-base voice-gateway bench stt

They take as long as trained models of the same size and format, need no download, and answer
nonsense: a Whisper model always hears the same sentence, a llama model writes arbitrary words up
to the longest reply that is asked for. Files appear in models/bench. Wants the `bench` extra, and
the starter models for their tokenizers.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType, TokenType
from tokenizers import Tokenizer

PROJECT = Path(__file__).resolve().parent.parent
STARTER = PROJECT / "models" / "starter"

SPREAD = 0.03
"""Standard deviation of the weights, about that of trained ones."""

SENTENCE = " I would like to book an appointment for tomorrow morning, please."
SENTENCE_FROM = 3
"""Position of the last prompt token, <|notimestamps|>, which predicts the first word."""


@dataclass(frozen=True)
class WhisperShape:
    """Sizes of a Whisper model."""

    width: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    mels: int = 80
    extra_languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class LlamaShape:
    """Sizes of a llama model; ``tied``: the output matrix is the embedding."""

    width: int
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool


WHISPER = {
    "whisper-base": WhisperShape(512, 6, 6, 8),
    "whisper-small": WhisperShape(768, 12, 12, 12),
    "whisper-large-v3-turbo": WhisperShape(1280, 32, 4, 20, 128, ("yue",)),
}
LLAMA = {
    "llama-0.5b": LlamaShape(896, 24, 4864, 14, 2, 151_936, True),
    "llama-1.5b": LlamaShape(1536, 28, 8960, 12, 2, 151_936, True),
    "llama-8b": LlamaShape(4096, 32, 14_336, 32, 8, 128_256, False),
}


class WhisperMaker:
    """Fills a CTranslate2 Whisper specification with int8 noise.

    Only the decoder's positions and the rows of one sentence are chosen: a position outweighs the
    noise of all layers and points at its word. So every transcript has the same length, and is no
    worse than a good one to whoever judges it.
    """

    def __init__(self, shape: WhisperShape, rng: np.random.Generator) -> None:
        self._shape = shape
        self._rng = rng

    def write(self, folder: Path) -> None:
        """Write a model directory, replacing what is there."""
        from ctranslate2.specs import whisper_spec

        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        tokens = self._write_tokenizer(folder)
        shape = self._shape
        spec: Any = whisper_spec.WhisperSpec(
            shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads
        )
        self._encoder(spec.encoder)
        self._decoder(spec.decoder, tokens)
        languages = range(50_259, tokens.index("<|translate|>"))
        spec.config.lang_ids = list(languages)
        spec.config.suppress_ids = spec.config.suppress_ids_begin = []
        spec.config.alignment_heads = [(shape.decoder_layers - 1, 0)]
        spec.register_vocabulary(tokens)
        spec.validate()
        for name in ("weight", "weight_scale"):
            setattr(spec.decoder.projection, name, f"decoder/embeddings/{name}")
        spec.save(str(folder))

    def _write_tokenizer(self, folder: Path) -> list[str]:
        """The starter's tokenizer, with the languages it lacks; all tokens in order."""
        tokenizer = json.loads((STARTER / "stt" / "tokenizer.json").read_text(encoding="utf-8"))
        tokens: list[str] = json.loads((STARTER / "stt" / "vocabulary.json").read_bytes())
        added = tokenizer["added_tokens"]
        for language in self._shape.extra_languages:
            place = tokens.index("<|translate|>")
            tokens.insert(place, f"<|{language}|>")
            for token in added:
                token["id"] += token["id"] >= place
            added.append({**added[-1], "id": place, "content": f"<|{language}|>"})
        added.sort(key=lambda token: token["id"])
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
        features = json.loads((STARTER / "stt" / "preprocessor_config.json").read_bytes())
        features["feature_size"] = self._shape.mels
        (folder / "preprocessor_config.json").write_text(json.dumps(features), encoding="utf-8")
        return tokens

    def _encoder(self, encoder: Any) -> None:
        width = self._shape.width
        for conv, channels in ((encoder.conv1, self._shape.mels), (encoder.conv2, width)):
            self._weight(conv, width, channels, 3)
        encoder.position_encodings.encodings = self._noise(1500, width)
        self._norm(encoder.layer_norm)
        for layer in encoder.layer:
            self._attention(layer.self_attention, (3 * width, width))
            self._feed_forward(layer.ffn)

    def _decoder(self, decoder: Any, tokens: list[str]) -> None:
        width = self._shape.width
        for layer in decoder.layer:
            self._attention(layer.self_attention, (3 * width, width))
            self._attention(layer.attention, (width, 2 * width, width))
            self._feed_forward(layer.ffn)
        self._norm(decoder.layer_norm)
        self._weight(decoder.embeddings, len(tokens), width, biased=False)
        # 448 directions, each strong enough to be recognised behind the noise of the layers.
        directions = np.sign(self._rng.standard_normal((448, width))).astype(np.int8)
        said = Tokenizer.from_file(str(STARTER / "stt" / "tokenizer.json"))
        words = said.encode(SENTENCE, add_special_tokens=False).ids
        end = SENTENCE_FROM + len(words)
        directions[end:] = directions[end]
        pointed = {0: tokens.index("<|en|>"), end: tokens.index("<|endoftext|>")}
        pointed |= {SENTENCE_FROM + index: word for index, word in enumerate(words)}
        for position, token in pointed.items():
            decoder.embeddings.weight[token] = 127 * directions[position]
            decoder.embeddings.weight_scale[token] = 127 / (5 * SPREAD)
        decoder.position_encodings.encodings = 40 * directions.astype(np.float32)
        decoder.projection.weight = decoder.embeddings.weight
        decoder.projection.weight_scale = decoder.embeddings.weight_scale

    def _attention(self, attention: Any, widths: tuple[int, ...]) -> None:
        self._norm(attention.layer_norm)
        for linear, width in zip(attention.linear, widths, strict=False):
            self._weight(linear, width, self._shape.width)
        if len(attention.linear) > len(widths):
            self._weight(attention.linear[-1], self._shape.width, self._shape.width)

    def _feed_forward(self, ffn: Any) -> None:
        width = self._shape.width
        self._norm(ffn.layer_norm)
        self._weight(ffn.linear_0, 4 * width, width)
        self._weight(ffn.linear_1, width, 4 * width)

    def _weight(self, layer: Any, *shape: int, biased: bool = True) -> None:
        layer.weight = self._rng.integers(-127, 128, shape, np.int8)
        layer.weight_scale = np.full(shape[0], 73 / SPREAD, np.float32)
        if biased:
            layer.bias = self._noise(shape[0])

    def _norm(self, layer: Any) -> None:
        layer.gamma = np.ones(self._shape.width, np.float32)
        layer.beta = np.zeros(self._shape.width, np.float32)

    def _noise(self, *shape: int) -> np.ndarray:
        return (SPREAD * self._rng.standard_normal(shape)).astype(np.float32)


BLOCK = 32
"""Weights in a block of Q4_0 and Q8_0, which starts with their common factor."""

QUANTIZATIONS = {
    "q4_0": (GGMLQuantizationType.Q4_0, LlamaFileType.MOSTLY_Q4_0),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}


class LlamaMaker:
    """Writes a GGUF file tensor by tensor; no more than one is in memory."""

    def __init__(self, shape: LlamaShape, quantization: str, rng: np.random.Generator) -> None:
        self._shape = shape
        self._type, self._file_type = QUANTIZATIONS[quantization]
        self._blocks = {kind: _random_blocks(kind, rng) for kind in dict(QUANTIZATIONS.values())}

    def write(self, file: Path) -> None:
        """Write the model, replacing what is there."""
        file.parent.mkdir(parents=True, exist_ok=True)
        shape = self._shape
        writer = GGUFWriter(file, "llama")
        writer.add_context_length(32_768)
        writer.add_embedding_length(shape.width)
        writer.add_block_count(shape.layers)
        writer.add_feed_forward_length(shape.hidden)
        writer.add_head_count(shape.heads)
        writer.add_head_count_kv(shape.kv_heads)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_dimension_count(shape.width // shape.heads)
        writer.add_rope_freq_base(500_000.0)
        writer.add_vocab_size(shape.vocabulary)
        writer.add_file_type(self._file_type)
        words = self._add_tokenizer(writer)
        for name, rows, columns, kind in self._tensors():
            data = self._data(rows, columns, kind)
            writer.add_tensor_info(name, data.shape, data.dtype, data.nbytes, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        output = "token_embd.weight" if shape.tied else "output.weight"
        for name, rows, columns, kind in self._tensors():
            data = self._data(rows, columns, kind)
            if name == output:
                # A logit of 0 is never the highest. Only whole words are written: no reply
                # ends early, and its text gives the same tokens again in the next prompt.
                data[~words] = 0
            writer.write_tensor_data(data)
        writer.close()

    def _add_tokenizer(self, writer: GGUFWriter) -> np.ndarray:
        """The starter's tokenizer, padded; returns which tokens are whole words."""
        fields = GGUFReader(STARTER / "llm" / "model.gguf").fields
        starter = {name: field.contents() for name, field in fields.items()}
        tokens: list[Any] = starter["tokenizer.ggml.tokens"]
        types: list[int] = starter["tokenizer.ggml.token_type"]
        padding = range(len(tokens), self._shape.vocabulary)
        writer.add_tokenizer_model(starter["tokenizer.ggml.model"])
        writer.add_tokenizer_pre(starter["tokenizer.ggml.pre"])
        writer.add_token_list([*tokens, *(f"[unused{number}]" for number in padding)])
        writer.add_token_types([*types, *[TokenType.UNUSED] * len(padding)])
        writer.add_token_merges(starter["tokenizer.ggml.merges"])
        writer.add_add_bos_token(starter["tokenizer.ggml.add_bos_token"])
        writer.add_chat_template(starter["tokenizer.chat_template"])
        writer.add_bos_token_id(starter["tokenizer.ggml.bos_token_id"])
        writer.add_eos_token_id(starter["tokenizer.ggml.eos_token_id"])
        writer.add_eot_token_id(starter["tokenizer.ggml.eot_token_id"])
        words = np.zeros(self._shape.vocabulary, np.bool_)
        words[: len(tokens)] = [re.fullmatch("Ġ[a-z]{3,}", token) is not None for token in tokens]
        return words

    def _tensors(self) -> Iterator[tuple[str, int, int, GGMLQuantizationType]]:
        """Name, rows, columns and type of each tensor; 0 rows make a vector."""
        shape, kind, plain = self._shape, self._type, GGMLQuantizationType.F32
        kv_width = shape.width // shape.heads * shape.kv_heads
        # As llama.cpp's own quantiser does, the vocabulary is kept in more bits than the layers.
        yield "token_embd.weight", shape.vocabulary, shape.width, GGMLQuantizationType.Q8_0
        yield "output_norm.weight", 0, shape.width, plain
        if not shape.tied:
            yield "output.weight", shape.vocabulary, shape.width, GGMLQuantizationType.Q8_0
        for layer in range(shape.layers):
            block = f"blk.{layer}."
            yield f"{block}attn_norm.weight", 0, shape.width, plain
            yield f"{block}attn_q.weight", shape.width, shape.width, kind
            yield f"{block}attn_k.weight", kv_width, shape.width, kind
            yield f"{block}attn_v.weight", kv_width, shape.width, kind
            yield f"{block}attn_output.weight", shape.width, shape.width, kind
            yield f"{block}ffn_norm.weight", 0, shape.width, plain
            yield f"{block}ffn_gate.weight", shape.hidden, shape.width, kind
            yield f"{block}ffn_up.weight", shape.hidden, shape.width, kind
            yield f"{block}ffn_down.weight", shape.width, shape.hidden, kind

    def _data(self, rows: int, columns: int, kind: GGMLQuantizationType) -> np.ndarray:
        if not rows:
            return np.ones(columns, np.float32)
        blocks = self._blocks[kind]
        count = rows * columns // BLOCK
        return np.resize(blocks, (count, blocks.shape[1])).reshape(rows, -1)


def _random_blocks(kind: GGMLQuantizationType, rng: np.random.Generator) -> np.ndarray:
    """Blocks to fill tensors with; a prime number, so that no two rows are alike."""
    wide = kind is GGMLQuantizationType.Q8_0
    blocks = rng.integers(0, 256, (65_521, 34 if wide else 18), np.uint8)
    factor = np.float16(SPREAD / (74 if wide else 4.6))
    blocks[:, :2] = np.frombuffer(factor.tobytes(), np.uint8)
    return blocks


def main() -> None:
    """Write the models named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join({**WHISPER, **LLAMA}))
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="q4_0", help="of llama")
    parser.add_argument("--output", type=Path, default=PROJECT / "models" / "bench")
    args = parser.parse_args()
    names = args.models or ["whisper-base", "llama-0.5b"]
    if unknown := [name for name in names if name not in WHISPER and name not in LLAMA]:
        parser.error(f"expected one of {', '.join({**WHISPER, **LLAMA})}, got {unknown[0]!r}")
    for name in names:
        started, rng = time.monotonic(), np.random.default_rng(0)
        if name in WHISPER:
            target = args.output / name
            WhisperMaker(WHISPER[name], rng).write(target)
        else:
            target = args.output / f"{name}-{args.quantization}.gguf"
            LlamaMaker(LLAMA[name], args.quantization, rng).write(target)
        size = sum(f.stat().st_size for f in [target, *target.glob("*")] if f.is_file())
        print(f"{target}: {size / 1e6:,.0f} MB in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
