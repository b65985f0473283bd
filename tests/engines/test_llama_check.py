"""Model files that llama.cpp would end the process for, and ones that it would not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.engines.llama_check import require_loadable
from gateway.errors import ModelError
from tests.engines.gguf_files import Given, write_gguf

F32, F16, Q8_0, BF16 = 0, 1, 8, 30
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def of(architecture: str, **own: Given) -> dict[str, Given]:
    """Metadata of an architecture; in its own keys two underscores stand for a dot."""
    named = {f"{architecture}.{key.replace('__', '.')}": value for key, value in own.items()}
    return {"general.architecture": architecture, f"{architecture}.block_count": 4, **named}


def spoken(model: str, tokens: list[str]) -> dict[str, Given]:
    return {
        **of("llama"),
        "tokenizer.ggml.model": model,
        "tokenizer.ggml.tokens": tokens,
    }


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (of("llama", block_count=0), "llama.block_count is 0, expected 1 to 512"),
        (of("qwen2", block_count=2**31), "qwen2.block_count is 2147483648, expected 1 to 512"),
        (
            of("llama", nextn_predict_layers=5),
            "nextn_predict_layers is 5, expected at most the block_count, 4",
        ),
        (of("llama", expert_count=2**31), "expert_count is 2147483648, expected at most 1024"),
        (
            of("llama", expert_used_count=2),
            "expert_used_count is 2, expected 0 to the expert_count, 0",
        ),
        (of("llama", expert_count=8), "expert_used_count is 0, expected 1 to the expert_count, 8"),
        (
            of("llama", expert_count=8, expert_used_count=[2, 9]),
            "expert_used_count is 9, expected 1 to the expert_count, 8",
        ),
        (
            of("llama", expert_count=8, expert_used_count=2, expert_group_count=8),
            "expert_group_count is 8, expected less than the expert_count, 8",
        ),
        (
            of("llama", expert_count=8, expert_used_count=2, expert_group_count=3),
            "expert_group_count is 3, expected a divisor of the expert_count, 8",
        ),
        (
            of("llama", expert_count=8, expert_used_count=2, expert_group_count=4),
            "expert_group_used_count is 0, expected 1 to 3",
        ),
        (
            of("llama", attention__layer_norm_rms_epsilon=-1.0),
            "llama.attention.layer_norm_rms_epsilon is -1, expected 0 or more",
        ),
        (
            of("phi2", attention__layer_norm_epsilon=float("nan")),
            "phi2.attention.layer_norm_epsilon is nan, expected 0 or more",
        ),
        (
            of("llama", rope__scaling__type="yarm"),
            "rope.scaling.type is 'yarm', expected linear or longrope or none or yarn",
        ),
        (spoken("none", []), "tokenizer.ggml.model is 'none', expected a tokenizer"),
        (
            spoken("gpt2", ["a", "b", "a"]),
            "tokenizer.ggml.tokens has 'a' again as number 2, expected it once",
        ),
        (spoken("llama", ["a", *BYTES[:160]]), "lacks <0xA0>, expected one for each byte"),
    ],
)
def test_metadata_that_llama_cpp_only_asserts_are_told(
    tmp_path: Path, values: dict[str, Given], told: str
) -> None:
    path = write_gguf(tmp_path, values)
    with pytest.raises(ModelError, match=re.escape(told)) as caught:
        require_loadable(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_norm_in_a_type_that_cannot_be_multiplied_with_is_told(tmp_path: Path) -> None:
    path = write_gguf(tmp_path, of("llama"), {"blk.3.ffn_norm.weight": Q8_0})
    with pytest.raises(ModelError, match="'blk.3.ffn_norm.weight' is of ggml type 8, expected F32"):
        require_loadable(path)


def test_weights_where_they_cannot_be_used_are_told(tmp_path: Path) -> None:
    values = {**of("llama"), "general.alignment": 1}
    path = write_gguf(tmp_path, values, {"output_norm.weight": F32})
    begin = path.stat().st_size
    with pytest.raises(ModelError, match=f"begin at byte {begin}, expected a multiple of 32"):
        require_loadable(path)


@pytest.mark.parametrize(
    "values",
    [
        of("qwen2", attention__layer_norm_rms_epsilon=1e-6, rope__scaling__type="yarn"),
        of("gemma3", attention__sliding_window=512),
        of("phi3", rope__scaling__type="longrope"),
        of("llama", expert_count=0, expert_used_count=0),
        of("llama", expert_count=8, expert_used_count=2),
        of("gpt-oss", expert_count=32, expert_used_count=[4, 4, 2, 4]),
        of(
            "deepseek2",
            expert_count=256,
            expert_used_count=8,
            expert_group_count=8,
            expert_group_used_count=4,
        ),
        of("deepseek2", expert_count=64, expert_used_count=6, expert_group_count=1),
        of("glm4moe", nextn_predict_layers=1),
        of("hunyuan-dense", expert_count=1, expert_used_count=2),
        spoken("llama", ["<unk>", "<s>", "</s>", *BYTES]),
        spoken("gpt2", ["", "", "a\0", "b\0", "\0", "\0\0"]),
        spoken("t5", ["a"]),
        {},
    ],
)
def test_what_llama_cpp_loads_of_any_architecture_is_let_through(
    tmp_path: Path, values: dict[str, Given]
) -> None:
    tensors = {"token_embd.weight": Q8_0, "blk.0.attn_norm.weight": F32}
    require_loadable(write_gguf(tmp_path, values, tensors))


@pytest.mark.parametrize("kind", [F32, F16, BF16])
def test_a_norm_in_a_type_of_plain_numbers_is_let_through(tmp_path: Path, kind: int) -> None:
    require_loadable(write_gguf(tmp_path, of("llama"), {"output_norm.weight": kind}))


def test_a_header_that_breaks_off_is_left_to_llama_cpp(tmp_path: Path) -> None:
    path = write_gguf(tmp_path, of("llama", block_count=0))
    path.write_bytes(path.read_bytes()[:-1])
    require_loadable(path)
