"""Model files and settings that the chat engine refuses at start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import llama_cpp
import pytest

from gateway.engines.llama import LlamaChat, LlamaSettings
from gateway.errors import ConfigError, ModelError

MODEL = Path(__file__).parents[2] / "models" / "starter" / "llm" / "model.gguf"
SETTINGS = LlamaSettings(MODEL, n_ctx=512, threads=1)


@pytest.mark.parametrize(("found", "used"), [("AVX512 = 1 | AMX_INT8 = 1 |", False), ("", True)])
def test_amx_code_of_llama_cpp_is_not_reached(
    monkeypatch: pytest.MonkeyPatch, found: str, used: bool
) -> None:
    asked: list[bool] = []

    def load(_path: bytes, params: llama_cpp.llama_model_params) -> None:
        asked.append(bool(params.use_extra_bufts))

    monkeypatch.setattr(llama_cpp, "llama_print_system_info", found.encode)
    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", load)
    with pytest.raises(ModelError):
        LlamaChat(SETTINGS)
    assert asked == [used]


def test_missing_model_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.gguf not found; download"):
        LlamaChat(replace(SETTINGS, model=tmp_path / "nothing.gguf"))


def test_other_file_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="is not a GGUF file"):
        LlamaChat(replace(SETTINGS, model=path))


def test_a_file_that_cannot_be_read_is_told_in_one_line(deny: Callable[[str], None]) -> None:
    deny("open")
    with pytest.raises(ModelError, match=r"cannot be read \(Permission denied\); correct"):
        LlamaChat(SETTINGS)


@pytest.mark.parametrize("size", [10, 200_000, 1_000_000])
def test_truncated_model_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(MODEL.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"cannot be loaded \((?!no reason).*download it again"):
        LlamaChat(replace(SETTINGS, model=path))


def test_a_copy_that_was_cut_short_and_filled_up_with_zeros_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    data = MODEL.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    with pytest.raises(ModelError, match="ends in zeros.*copy or download it again"):
        LlamaChat(replace(SETTINGS, model=path))


def test_a_weight_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    data = bytearray(MODEL.read_bytes())
    data[len(data) // 2 :] = b"\xff" * (len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(ModelError, match="cannot be loaded .*download it again"):
        LlamaChat(replace(SETTINGS, model=path))


def test_a_template_that_breaks_in_any_way_is_told(tmp_path: Path) -> None:
    data = MODEL.read_bytes()
    at = data.index(b"tokenizer.chat_template") + len(b"tokenizer.chat_template") + 4
    length = int.from_bytes(data[at : at + 8], "little")
    path = tmp_path / "model.gguf"
    path.write_bytes(data[: at + 8] + b"{{ 1 // 0 }}".ljust(length) + data[at + 8 + length :])
    with pytest.raises(ModelError, match="model.gguf .*ZeroDivisionError"):
        LlamaChat(replace(SETTINGS, model=path))


def test_unknown_architecture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    data = MODEL.read_bytes()
    at = data.index(b"general.architecture") + len(b"general.architecture") + 12
    assert data[at : at + 5] == b"llama"
    path.write_bytes(data[:at] + b"xxxxx" + data[at + 5 :])
    with pytest.raises(ModelError, match="unknown model architecture: 'xxxxx'"):
        LlamaChat(replace(SETTINGS, model=path))


def test_model_without_chat_template_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(
        MODEL.read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.that_template")
    )
    with pytest.raises(ModelError, match="no chat template"):
        LlamaChat(replace(SETTINGS, model=path))


def test_gpu_layers_without_gpu_support_fall_back_to_the_cpu_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(llama_cpp, "llama_supports_gpu_offload", lambda: False)
    chat = LlamaChat(LlamaSettings(MODEL, threads=1, n_gpu_layers=-1))
    asyncio.run(chat.close())
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "falls back to the CPU" in warnings[0]


def test_impossible_settings_are_named_together() -> None:
    with pytest.raises(ConfigError, match="max_sequences.*n_ctx.*kv_type_v"):
        LlamaSettings(MODEL, n_ctx=10, max_sequences=0, kv_type_v="q8_0", flash_attention="off")
