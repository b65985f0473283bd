"""How much memory the gateway will take with these settings, estimated from the models' files."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.engines.llama_header import Header, read_header
from gateway.models.check import ConfiguredModel, configured_models
from gateway.settings import Settings

# Interpreter, libraries and voice detection: with the starter models loaded a gateway took 432 MB,
# of which what is counted below makes 128. The rest is for buffers that grow with the models.
BASE = 400_000_000
CALL = 100 << 10

# Of a voice's file; an estimate, as in docs/models.md.
_VOICE_TIMES = 3

# Bytes of a number in the cache: q8_0 and q4_0 have two more for each 32.
_KV_BYTES = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}


def needed_memory(settings: Settings) -> int:
    """Bytes for the configured models, the chat model's cache and all calls.

    A chat model whose layers are all on the GPU takes its memory and is not counted. A recogniser
    counts whole on a GPU or in int8 too, because it comes through memory as it is in its file.
    A file that is missing or cannot be read counts nothing: that is for the check of its model.
    """
    models = {model.path: model for model in configured_models(settings)}
    calls = CALL * settings.gateway_max_calls
    return BASE + calls + sum(_model_memory(settings, model) for model in models.values())


def chat_on_gpu(settings: Settings) -> bool:
    """Whether all layers of a local chat model are to be on the GPU."""
    return settings.llm_mode != "remote" and settings.llm_gpu_layers == -1


def cache_bytes(header: Header, tokens: int, kv_type: str) -> int:
    """Size of the cache of a chat model for so many tokens; 0 where its header does not tell."""
    name = header.values.get("general.architecture")
    prefix = name.decode(errors="replace") if isinstance(name, bytes) else ""

    def number(key: str) -> int:
        value = header.values.get(f"{prefix}.{key}")
        return value if isinstance(value, int) else 0

    layers, heads = number("block_count"), number("attention.head_count")
    size = number("embedding_length") // heads if heads else 0
    keys = number("attention.key_length") or size
    values = number("attention.value_length") or size
    kv_heads = header.values.get(f"{prefix}.attention.head_count_kv", heads)
    if isinstance(kv_heads, list):  # one count for each layer
        all_heads = sum(count for count in kv_heads if isinstance(count, int))
    else:
        all_heads = layers * kv_heads if isinstance(kv_heads, int) else 0
    return round(tokens * all_heads * (keys + values) * _KV_BYTES[kv_type])


def _model_memory(settings: Settings, model: ConfiguredModel) -> int:
    if model.kind == "stt":
        return _size(model.path / "model.bin")
    if model.kind == "tts":
        return _VOICE_TIMES * _size(model.path)
    if chat_on_gpu(settings):
        return 0
    return _size(model.path) + _cache(settings, model.path)


def _cache(settings: Settings, path: Path) -> int:
    try:
        header = read_header(path)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return 0
    return 0 if header is None else cache_bytes(header, settings.llm_context, settings.llm_kv_type)


def _size(path: Path) -> int:
    return os.path.getsize(path) if os.path.isfile(path) else 0
