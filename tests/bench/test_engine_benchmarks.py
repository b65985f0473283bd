"""What the benchmarks of single engines compare, with engines that only tell how they were made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from gateway.audio.pcm import Samples, samples_of
from gateway.bench import stt
from gateway.bench.llm import bench_llm
from gateway.engines.base import TranscribeRequest, Transcript
from gateway.errors import ModelError
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
