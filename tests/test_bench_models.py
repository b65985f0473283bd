"""Models of given shapes with random weights are read by the real libraries."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gateway.engines.base import ChatMessage, ChatRequest, TranscribeRequest
from gateway.engines.llama import LlamaChat, LlamaSettings
from gateway.engines.whisper import WhisperSettings, WhisperTranscriber

pytest.importorskip("gguf", reason="needs the bench extra")

PATH = Path(__file__).parent.parent / "scripts" / "make_bench_models.py"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_bench_models", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("mels", "more"), [(80, ()), (128, ("yue",))])
def test_a_whisper_model_hears_its_sentence_in_anything(
    maker: ModuleType, tmp_path: Path, mels: int, more: tuple[str, ...]
) -> None:
    shape = maker.WhisperShape(128, 2, 2, 2, mels, more)
    maker.WhisperMaker(shape, np.random.default_rng(0)).write(tmp_path / "model")

    async def body() -> str:
        model = await WhisperTranscriber.load(WhisperSettings(tmp_path / "model", threads=1))
        noise = np.random.default_rng(1).normal(0, 2000, 48_000).astype(np.int16)
        transcript = await model.transcribe(TranscribeRequest(noise))
        await model.close()
        assert transcript.language == "en"
        return transcript.text

    assert asyncio.run(body()) == maker.SENTENCE.strip()


@pytest.mark.parametrize("quantization", ["q4_0", "q8_0"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_llama_model_writes_words_up_to_the_limit(
    maker: ModuleType, tmp_path: Path, quantization: str, tied: bool
) -> None:
    shape = maker.LlamaShape(128, 2, 256, 2, 1, 5000, tied)
    file = tmp_path / "model.gguf"
    maker.LlamaMaker(shape, quantization, np.random.default_rng(0)).write(file)

    async def body() -> list[str]:
        chat = LlamaChat(LlamaSettings(file, n_ctx=512, threads=1))
        messages = (ChatMessage("system", "Be brief."), ChatMessage("user", "Hello"))
        pieces = [p async for p in chat.stream(ChatRequest("a", messages, max_tokens=12))]
        await chat.close()
        return pieces

    pieces = asyncio.run(body())
    assert len(pieces) == 12 and all(piece.strip().isalpha() for piece in pieces)


def test_the_shapes_are_those_of_the_real_models(maker: ModuleType) -> None:
    base, turbo = maker.WHISPER["whisper-base"], maker.WHISPER["whisper-large-v3-turbo"]
    assert (base.width, base.encoder_layers, base.heads) == (512, 6, 8)
    assert (turbo.width, turbo.encoder_layers, turbo.decoder_layers, turbo.mels) == (
        1280,
        32,
        4,
        128,
    )
    big = maker.LLAMA["llama-8b"]
    assert (big.width, big.layers, big.hidden, big.heads, big.kv_heads) == (4096, 32, 14336, 32, 8)
