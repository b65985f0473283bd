"""What the benchmarks of single engines compare, with engines that only tell how they were made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from gateway.audio.pcm import Samples, samples_of
from gateway.bench import llm, stt
from gateway.bench.llm import bench_llm
from gateway.engines.base import ChatRequest, TranscribeRequest, Transcript
from gateway.errors import ChatError, ModelError
from gateway.model_paths import ModelPaths
from gateway.settings import Settings, load_settings
from gateway.simulator.conversations import load_conversations
from gateway.thread_budget import ThreadBudget, thread_budget


def measure_recognition(
    monkeypatch: pytest.MonkeyPatch, languages: str, budget: ThreadBudget
) -> tuple[set[str | None], Samples, tuple[str, int]]:
    """Languages asked of ours, its first utterance, and language and threads of the library."""
    asked: list[TranscribeRequest] = []
    library: list[tuple[str, int]] = []

    class Ours:
        async def transcribe(self, request: TranscribeRequest) -> Transcript:
            asked.append(request)
            return Transcript("", "en")

        async def close(self) -> None:
            pass

    async def load(settings: Settings, given: ThreadBudget) -> Ours:
        return Ours()

    def plain(settings: Settings, language: str, threads: int) -> Callable[[Samples], str]:
        library.append((language, threads))
        return lambda samples: ""

    monkeypatch.setattr(stt, "load_transcriber", load)
    monkeypatch.setattr(stt, "_plain_whisper", plain)
    settings = load_settings(None).model_copy(update={"gateway_languages": languages})
    asyncio.run(stt.bench_stt(settings, budget, 1, 2.0))
    return {request.language for request in asked}, asked[0].samples, library[0]


def test_recognition_is_measured_in_the_first_language_that_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, heard, (language, _) = measure_recognition(monkeypatch, "ru,ar", thread_budget(2))
    assert asked == {"ru"} and language == "ru"
    russian = next(c for c in load_conversations() if c.language == "ru")
    assert np.array_equal(heard, russian.recordings()[0].samples[: samples_of(2.0)])


def test_the_library_recognises_with_the_threads_of_all_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budget = ThreadBudget(stt=4, stt_workers=8, chat=16, tts=16)
    *_, (_, threads) = measure_recognition(monkeypatch, "en", budget)
    assert threads == 32


def test_a_chat_model_that_is_not_there_is_named_before_the_library_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLM_MODEL", "no-such-model")
    monkeypatch.setenv("LLM_MODE", "remote")
    with pytest.raises(ModelError, match="no-such-model"):
        asyncio.run(bench_llm(load_settings(None), thread_budget(2), 1))


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:200_000],
        lambda whole: whole.replace(b"block_count\4\0\0\0\4", b"block_count\4\0\0\0\0"),
    ],
    ids=["cut short", "what llama.cpp would end the process for"],
)
def test_a_damaged_chat_model_is_one_clear_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    whole = (ModelPaths(Path("models")).root / "starter/llm/model.gguf").read_bytes()
    (tmp_path / "model.gguf").write_bytes(damage(whole))
    monkeypatch.setenv("LLM_MODEL", str(tmp_path / "model.gguf"))
    with pytest.raises(ModelError, match=r"model\.gguf is damaged.*download it again"):
        asyncio.run(bench_llm(load_settings(None), thread_budget(2), 1))


class FewReplies:
    """A chat model whose replies are empty after the first few."""

    def __init__(self, replies: int) -> None:
        self._replies = replies

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        self._replies -= 1
        if self._replies >= 0:
            yield "Yes."

    def forget(self, call_id: str) -> None:
        pass

    async def close(self) -> None:
        pass


class PlainReplies:
    """The library, with a reply to everything."""

    def __init__(self, settings: Settings, threads: int) -> None:
        pass

    def prompt(self, beginning: str) -> str:
        return beginning

    def serve(self, requests: list[ChatRequest]) -> list[llm._Reply]:
        return [llm._Reply(0.1, "Yes.", 1) for _ in requests]

    def timed(self, requests: list[ChatRequest]) -> tuple[list[llm._Reply], float]:
        return self.serve(requests), 1.0


@pytest.mark.parametrize("turns", [0, 1, 5])
def test_an_empty_reply_in_a_long_call_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    async def load(*_: object) -> FewReplies:
        return FewReplies(llm.CALLERS + 2 + turns)  # the long call comes last in a run

    monkeypatch.setattr(llm, "load_chat", load)
    monkeypatch.setattr(llm, "_PlainLlama", PlainReplies)
    with pytest.raises(ChatError, match="empty reply"):
        asyncio.run(bench_llm(load_settings(None), thread_budget(2), 1))
