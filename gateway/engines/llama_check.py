"""Checks of a model file before llama.cpp loads it: most are of what llama.cpp asserts instead of
telling it, so that the file would end the process.

A file that is cut short, tensors that are missing or do not fit, and metadata that are missing or
of another type llama.cpp tells by itself while it loads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import llama_cpp

from gateway.engines.llama_header import Header, Value, read_header
from gateway.errors import ModelError

# LLAMA_MAX_LAYERS and LLAMA_MAX_EXPERTS, which the bindings do not name.
_MAX_BLOCKS = 512
_MAX_EXPERTS = 1024
# Bytes at the end of a model file that are never all zero: more than any single bias, which may be.
_END = 1 << 20
# TENSOR_ALIGNMENT of ggml: the weights are used where they lie in the file.
_ALIGNMENT = 32
# ggml types that hold one number each, so that they can be multiplied with one by one.
_PLAIN_TYPES = {0: "F32", 1: "F16", 30: "BF16"}


def require_loadable(path: Path) -> None:
    """Check that a path leads to a GGUF file that llama.cpp loads or gives a reason not to.

    Raises:
        ModelError: the first thing that is wrong, in one line.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise ModelError(f"chat model {path} not found; download one or correct the path")
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(max(0, path.stat().st_size - _END))
        end = file.read()
    if end and not any(end):
        raise ModelError(
            f"chat model {path} ends in zeros, as a copy that was cut short does; copy or "
            "download it again"
        )
    if magic != b"GGUF":
        raise ModelError(f"chat model {path} is not a GGUF file; convert it or choose another")
    header = read_header(path)
    if header is None:
        return  # llama.cpp tells where it breaks off
    problem = next(_problems(header), None)
    if problem:
        raise ModelError(
            f"chat model {path} is damaged ({problem}); download it again or choose another"
        )


def _problems(header: Header) -> Iterator[str]:
    architecture = header.values.get("general.architecture")
    if isinstance(architecture, bytes):
        name = architecture.decode(errors="replace")
        prefix = f"{name}."
        own = {
            key.removeprefix(prefix): value
            for key, value in header.values.items()
            if key.startswith(prefix)
        }
        yield from (prefix + problem for problem in _block_problems(own))
        if not name.startswith("hunyuan"):  # llama.cpp sets their expert counts right first
            yield from (prefix + problem for problem in _expert_problems(own))
        yield from (prefix + problem for problem in _number_problems(own))
    yield from _tokenizer_problems(header.values)
    yield from _tensor_problems(header)


def _block_problems(own: dict[str, Value]) -> Iterator[str]:
    blocks, more = own.get("block_count"), own.get("nextn_predict_layers", 0)
    if not isinstance(blocks, int):
        return
    if not 1 <= blocks <= _MAX_BLOCKS:
        yield f"block_count is {blocks}, expected 1 to {_MAX_BLOCKS}"
    if isinstance(more, int) and more > blocks:
        yield f"nextn_predict_layers is {more}, expected at most the block_count, {blocks}"


def _expert_problems(own: dict[str, Value]) -> Iterator[str]:
    experts, groups = own.get("expert_count", 0), own.get("expert_group_count", 0)
    chosen = own.get("expert_group_used_count", 0)
    in_use = own.get("expert_used_count", 0)
    used = max(_integers(in_use if isinstance(in_use, list) else [in_use]), default=0)
    if not (isinstance(experts, int) and isinstance(groups, int) and isinstance(chosen, int)):
        return
    if experts > _MAX_EXPERTS:
        yield f"expert_count is {experts}, expected at most {_MAX_EXPERTS}"
    least = min(experts, 1)
    if not least <= used <= experts:
        yield f"expert_used_count is {used}, expected {least} to the expert_count, {experts}"
    if groups and groups >= experts:
        yield f"expert_group_count is {groups}, expected less than the expert_count, {experts}"
    if groups > 1 and experts % groups:
        yield f"expert_group_count is {groups}, expected a divisor of the expert_count, {experts}"
    if groups > 1 and not 1 <= chosen < groups:
        yield f"expert_group_used_count is {chosen}, expected 1 to {groups - 1}"


def _integers(values: list[Value]) -> list[int]:
    return [value for value in values if isinstance(value, int)]


def _number_problems(own: dict[str, Value]) -> Iterator[str]:
    for key, value in own.items():
        if key.endswith("norm_epsilon") or key.endswith("norm_rms_epsilon"):
            if isinstance(value, float) and (math.isnan(value) or value < 0):
                yield f"{key} is {value:g}, expected 0 or more"
    scaling = own.get("rope.scaling.type")
    if isinstance(scaling, bytes):
        known = {
            name.removeprefix("LLAMA_ROPE_SCALING_TYPE_").lower()
            for name in dir(llama_cpp)
            if name.startswith("LLAMA_ROPE_SCALING_TYPE_")
        } - {"unspecified", "max_value"}
        if (text := scaling.decode(errors="replace")) not in known:
            yield f"rope.scaling.type is {text!r}, expected {' or '.join(sorted(known))}"


def _tokenizer_problems(values: dict[str, Value]) -> Iterator[str]:
    model, tokens = values.get("tokenizer.ggml.model"), values.get("tokenizer.ggml.tokens")
    if model in (b"none", b"no_vocab"):
        yield f"tokenizer.ggml.model is {str(model, 'ascii')!r}, expected a tokenizer"
    if not isinstance(tokens, list):
        return
    seen: set[bytes] = set()
    for number, token in enumerate(tokens):
        if not isinstance(token, bytes):
            return
        text = token.partition(b"\0")[0]  # as far as llama.cpp reads it
        if text and text in seen:
            shown = text.decode(errors="replace")
            yield f"tokenizer.ggml.tokens has {shown!r} again as number {number}, expected it once"
        seen.add(text)
    if model == b"llama":
        # What is no token is spelled in bytes. The ones that continue a character are no tokens
        # in any other way.
        for byte in range(0x80, 0xC0):
            if b"<0x%02X>" % byte not in seen:
                yield f"tokenizer.ggml.tokens lacks <0x{byte:02X}>, expected one for each byte"


def _tensor_problems(header: Header) -> Iterator[str]:
    if header.tensors and header.data_start % _ALIGNMENT:
        yield f"weights begin at byte {header.data_start}, expected a multiple of {_ALIGNMENT}"
    for name, kind in header.tensors.items():
        if name.endswith("norm.weight") and kind not in _PLAIN_TYPES:
            expected = " or ".join(_PLAIN_TYPES.values())
            yield f"tensor {name!r} is of ggml type {kind}, expected {expected}"
