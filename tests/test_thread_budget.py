"""GATEWAY_THREADS is divided among the engines, and each keeps to its part."""

from __future__ import annotations

import asyncio
from typing import Any

import llama_cpp
import onnxruntime
import pytest
from faster_whisper import WhisperModel

from gateway.engines import whisper_load
from gateway.engines.piper import PiperSynthesizer
from gateway.loading import load_chat, load_transcriber, load_voices
from gateway.settings import load_settings
from gateway.thread_budget import ThreadBudget, engine_alone, thread_budget


@pytest.mark.parametrize(
    ("threads", "budget"),
    [
        (1, ThreadBudget(stt=1, stt_workers=1, chat=1, tts=1)),
        (2, ThreadBudget(stt=1, stt_workers=1, chat=1, tts=1)),
        (4, ThreadBudget(stt=1, stt_workers=1, chat=2, tts=1)),
        (8, ThreadBudget(stt=3, stt_workers=1, chat=3, tts=2)),
        (16, ThreadBudget(stt=6, stt_workers=1, chat=6, tts=4)),
        (64, ThreadBudget(stt=4, stt_workers=8, chat=16, tts=16)),
    ],
)
def test_threads_are_divided(threads: int, budget: ThreadBudget) -> None:
    assert thread_budget(threads) == budget


def test_an_engine_alone_may_use_every_thread_for_a_single_utterance_too() -> None:
    assert engine_alone(2) == ThreadBudget(stt=2, stt_workers=1, chat=2, tts=2)
    assert engine_alone(64) == ThreadBudget(stt=64, stt_workers=1, chat=16, tts=64)


def test_from_three_threads_on_no_more_are_given_than_there_are_and_hardly_one_is_left() -> None:
    for threads in range(3, 257):
        budget = thread_budget(threads)
        assert min(budget.stt, budget.stt_workers, budget.chat, budget.tts) >= 1
        given = budget.stt * budget.stt_workers + budget.chat + budget.tts
        assert threads - budget.stt_workers < given <= threads


def test_every_engine_runs_with_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_THREADS", "40")
    settings = load_settings(None)
    if not settings.stt_path.exists():
        pytest.skip("this checkout has no starter models")
    budget = thread_budget(40)
    seen: dict[str, Any] = {}

    class Whisper(WhisperModel):  # type: ignore[misc]
        def __init__(self, path: str, **options: Any) -> None:
            seen["stt"] = (options["cpu_threads"], options["num_workers"])
            super().__init__(path, **{**options, "cpu_threads": 1, "num_workers": 1})

    open_context = llama_cpp.llama_init_from_model

    def init(model: Any, params: Any) -> Any:
        seen["chat"] = (params.n_threads, params.n_threads_batch)
        return open_context(model, params)

    open_session = onnxruntime.InferenceSession

    def session(*args: Any, sess_options: Any = None, **options: Any) -> Any:
        seen["voice"] = (sess_options.intra_op_num_threads, sess_options.inter_op_num_threads)
        return open_session(*args, sess_options=sess_options, **options)

    monkeypatch.setattr(whisper_load, "WhisperModel", Whisper)
    monkeypatch.setattr(llama_cpp, "llama_init_from_model", init)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)

    async def load() -> PiperSynthesizer:
        await (await load_transcriber(settings)).close()
        await (await load_chat(settings)).close()
        return await load_voices(settings)

    async def main() -> None:
        voices = await load()
        seen["tts"] = voices._pool._executor._max_workers
        await voices.close()

    asyncio.run(main())
    assert seen == {
        "stt": (budget.stt, budget.stt_workers),
        "chat": (budget.chat, budget.chat),
        "voice": (1, 1),
        "tts": budget.tts,
    }
