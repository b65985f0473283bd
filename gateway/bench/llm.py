"""The chat model alone: the gateway's engine against Llama.create_chat_completion."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.bench.report import Report, ratio, spread
from gateway.engines.base import ChatMessage, ChatModel, ChatRequest
from gateway.engines.model_errors import model_errors
from gateway.errors import ChatError
from gateway.loading import load_chat
from gateway.models.check import require_models
from gateway.settings import Settings
from gateway.thread_budget import ThreadBudget

CALLERS = 8
_PROMPT_TOKENS = 400
_REPLY_TOKENS = 40
_TURNS = 10
_WORDS = (
    "open price name doctor street number monday cleaning visit nine team call help room".split()
)


@dataclass(frozen=True, slots=True)
class _Reply:
    """Text, its pieces (one for each token), and when the first came after all had asked."""

    first_s: float
    text: str
    tokens: int


async def bench_llm(settings: Settings, budget: ThreadBudget, runs: int) -> Report:
    """Replies to eight callers at once, first tokens behind a known prompt, and a long call.

    The library serves the same eight requests one after the other, as its lock makes it; it keeps
    the beginning of the last prompt, so the shared system prompt costs it nothing either.

    Raises:
        ModelError: the model cannot be used; one line that says what to do.
        ChatError: it gave an empty reply, so that nothing can be measured.
    """
    local = settings.model_copy(update={"llm_mode": "local"})
    await asyncio.to_thread(require_models, local, "llm")
    plain = await asyncio.to_thread(_PlainLlama, local, budget.chat)
    prompt = plain.prompt("a")
    ours = await load_chat(local, prompt, budget)
    measured: dict[str, list[float]] = {}

    def note(**values: float) -> None:
        for name, value in values.items():
            measured.setdefault(name, []).append(value)

    try:
        await asyncio.to_thread(plain.serve, [_request("warm-up", prompt, "hello")])
        for run in range(runs):
            requests = [
                _request(f"{run}.{i}", prompt, f"{_WORDS[i]} {run}") for i in range(CALLERS)
            ]
            note(**_figures("library_", *await asyncio.to_thread(plain.timed, requests)))
            note(**_figures("", *await _together(ours, requests)))
            alone = await _together(ours, [_request(f"{run}.alone", prompt, "hello there")])
            note(warm_first_token_ms=1000 * alone[0][0].first_s)
            unknown = plain.prompt(f"z{run}")
            cold = await _together(ours, [_request(f"{run}.cold", unknown, "hello there")])
            note(cold_first_token_ms=1000 * cold[0][0].first_s)
            second, last = await _long_call(ours, f"{run}.long", prompt)
            note(turn_2_first_token_ms=second, **{f"turn_{_TURNS}_first_token_ms": last})
    finally:
        await ours.close()
    report: Report = {name: spread(values) for name, values in measured.items()}
    middle = {name: figure["median"] for name, figure in report.items()}
    report["times_throughput_of_library"] = ratio(
        middle["tokens_per_second"], middle["library_tokens_per_second"]
    )
    report["first_token_p95_of_library_to_ours"] = ratio(
        middle["library_first_token_p95_ms"], middle["first_token_p95_ms"]
    )
    report["first_token_cold_to_warm"] = ratio(
        middle["cold_first_token_ms"], middle["warm_first_token_ms"]
    )
    report[f"first_token_turn_{_TURNS}_to_turn_2"] = ratio(
        middle[f"turn_{_TURNS}_first_token_ms"], middle["turn_2_first_token_ms"]
    )
    return report


def _request(call_id: str, prompt: str, question: str, *history: ChatMessage) -> ChatRequest:
    messages = (ChatMessage("system", prompt), *history, ChatMessage("user", question))
    return ChatRequest(call_id, messages, max_tokens=_REPLY_TOKENS)


def _figures(prefix: str, replies: Sequence[_Reply], took_s: float) -> dict[str, float]:
    tokens = sum(reply.tokens for reply in replies)
    firsts = [1000 * reply.first_s for reply in replies]
    return {
        f"{prefix}tokens_per_second": tokens / took_s,
        f"{prefix}first_token_p50_ms": float(np.percentile(firsts, 50)),
        f"{prefix}first_token_p95_ms": float(np.percentile(firsts, 95)),
    }


async def _together(ours: ChatModel, requests: Sequence[ChatRequest]) -> tuple[list[_Reply], float]:
    """All requests at once; ends every call afterwards."""
    started = time.perf_counter()
    replies = await asyncio.gather(*(_ask(ours, request, started) for request in requests))
    took = time.perf_counter() - started
    for request in requests:
        ours.forget(request.call_id)
    return list(replies), took


async def _long_call(ours: ChatModel, call_id: str, prompt: str) -> tuple[float, float]:
    """Time to the first token in turn 2 and in the last turn, ms."""
    history: list[ChatMessage] = []
    firsts: list[float] = []
    for turn in range(_TURNS):
        question = f"{_WORDS[turn]} {_WORDS[-turn]} please?"
        request = _request(call_id, prompt, question, *history)
        reply = await _ask(ours, request, time.perf_counter())
        firsts.append(1000 * reply.first_s)
        history += [ChatMessage("user", question), ChatMessage("assistant", reply.text)]
    ours.forget(call_id)
    return firsts[1], firsts[-1]


async def _ask(ours: ChatModel, request: ChatRequest, started: float) -> _Reply:
    first, written = None, []
    async with aclosing(ours.stream(request)) as pieces:
        async for piece in pieces:
            first = first or time.perf_counter() - started
            written.append(piece)
    if first is None:
        raise ChatError("the chat model gave an empty reply: nothing can be measured")
    return _Reply(first, "".join(written), len(written))


class _PlainLlama:
    """The library as a program without a gateway uses it: one reply after the other."""

    def __init__(self, settings: Settings, threads: int) -> None:
        from llama_cpp import Llama

        from gateway.engines.llama_check import require_loadable

        with model_errors(f"chat model {settings.llm_path}", "a GGUF file"):
            require_loadable(settings.llm_path)
            self._llama: Any = Llama(
                str(settings.llm_path),
                n_ctx=2048,
                n_threads=threads,
                n_threads_batch=threads,
                n_gpu_layers=settings.llm_gpu_layers,
                verbose=False,
            )

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._llama.tokenize(text.encode(), add_bos=False))

    def prompt(self, beginning: str) -> str:
        """A system prompt of about _PROMPT_TOKENS tokens."""
        words = [f"{beginning}: {_WORDS[0]}"]
        while self.count(" ".join(words)) < _PROMPT_TOKENS:
            words.append(_WORDS[len(words) % len(_WORDS)])
        return " ".join(words)

    def timed(self, requests: Sequence[ChatRequest]) -> tuple[list[_Reply], float]:
        """Serve the requests in order; how long that took, seconds."""
        started = time.perf_counter()
        replies = self.serve(requests)
        return replies, time.perf_counter() - started

    def serve(self, requests: Sequence[ChatRequest]) -> list[_Reply]:
        """Serve the requests in order."""
        started = time.perf_counter()
        return [self._reply(request, lambda: time.perf_counter() - started) for request in requests]

    def _reply(self, request: ChatRequest, now: Callable[[], float]) -> _Reply:
        first, written = None, []
        chunks = self._llama.create_chat_completion(
            [{"role": m.role, "content": m.content} for m in request.messages],
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            repeat_penalty=request.repeat_penalty,
            stream=True,
        )
        for chunk in chunks:
            if piece := chunk["choices"][0]["delta"].get("content"):
                first = first or now()
                written.append(piece)
        return _Reply(first if first is not None else now(), "".join(written), len(written))
