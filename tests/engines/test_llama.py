"""The chat engine with the real starter model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from gateway.engines.base import ChatMessage, ChatRequest, Priority
from gateway.engines.llama import LlamaChat, LlamaSettings
from gateway.engines.llama_commands import Generation, Start
from gateway.engines.llama_native import NativeLlama
from gateway.engines.llama_template import PromptBuilder
from gateway.errors import ChatError, ModelError
from tests.engines.chat_requests import ALL_REQUESTS, collect, request, system

MODEL = Path(__file__).parents[2] / "models" / "starter" / "llm" / "model.gguf"
# Without flash attention the kernels are those of the plain Llama class, and then batched greedy
# output is the same token for token; with it, rounding differs for both in the same way.
SETTINGS = LlamaSettings(MODEL, n_ctx=4096, threads=1, flash_attention="off")


def reference(requests: list[ChatRequest]) -> list[str]:
    llama = llama_cpp.Llama(str(MODEL), n_ctx=2048, n_threads=1, verbose=False)
    replies = []
    for item in requests:
        messages: list[Any] = [{"role": m.role, "content": m.content} for m in item.messages]
        result: Any = llama.create_chat_completion(
            messages, temperature=0.0, max_tokens=item.max_tokens
        )
        replies.append(result["choices"][0]["message"]["content"])
    llama.close()
    return replies


@pytest.fixture(scope="module")
def shared() -> Iterator[LlamaChat]:
    chat = LlamaChat(SETTINGS)
    yield chat
    asyncio.run(chat.close())


@pytest.fixture
def never_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """No token ends a reply, so that only max_tokens, a stop or a cancellation does."""
    monkeypatch.setattr(llama_cpp, "llama_vocab_is_eog", lambda vocab, token: False)


@dataclass
class Gate:
    """Holds every forward pass until it is opened."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    decode = llama_cpp.llama_decode

    def held(context: Any, batch: Any) -> Any:
        gate.reached.set()
        gate.opened.wait()
        return decode(context, batch)

    monkeypatch.setattr(llama_cpp, "llama_decode", held)
    yield gate
    gate.opened.set()


@pytest.fixture
def chat() -> Iterator[LlamaChat]:
    chat = LlamaChat(SETTINGS)
    yield chat
    asyncio.run(chat.close())


def test_batched_greedy_replies_equal_those_of_one_sequence_alone(shared: LlamaChat) -> None:
    async def together() -> list[str]:
        return await asyncio.gather(*(collect(shared, item) for item in ALL_REQUESTS))

    assert asyncio.run(together()) == reference(ALL_REQUESTS)


def test_arabic_and_russian_come_in_whole_characters(shared: LlamaChat) -> None:
    for item in ALL_REQUESTS[3:]:
        reply = asyncio.run(collect(shared, item))
        assert reply
        assert "\ufffd" not in reply


def test_eight_streams_post_to_the_loop_once_per_step(chat: LlamaChat) -> None:
    async def together() -> tuple[list[str], int]:
        loop = asyncio.get_running_loop()
        posts = 0
        post = loop.call_soon_threadsafe

        def counting(*args: Any, **kwargs: Any) -> asyncio.Handle:
            nonlocal posts
            posts += 1
            return post(*args, **kwargs)

        loop.call_soon_threadsafe = counting  # type: ignore[method-assign, assignment]
        replies = await asyncio.gather(*(collect(chat, item) for item in ALL_REQUESTS[:8]))
        return replies, posts

    replies, posts = asyncio.run(together())
    assert all(replies)
    assert 0 < posts <= chat.counters.steps + 1
    assert chat.counters.steps < chat.counters.sampled


@pytest.mark.usefixtures("never_ending")
def test_closing_the_stream_stops_within_one_token(chat: LlamaChat) -> None:
    async def scenario() -> None:
        stream = chat.stream(request(max_tokens=1500, call="long"))
        await anext(stream)
        await stream.aclose()
        sampled = chat.counters.sampled
        await collect(chat, request(max_tokens=1, call="next"))
        # One for a step that was in flight, one for the new request.
        assert chat.counters.sampled - sampled <= 2
        assert chat.current_load.running == 0

    asyncio.run(scenario())


@pytest.mark.usefixtures("never_ending")
def test_cancelling_the_reading_task_frees_its_place(chat: LlamaChat) -> None:
    async def scenario() -> None:
        first = asyncio.Event()

        async def read() -> None:
            async for _ in chat.stream(request(max_tokens=1500)):
                first.set()

        task = asyncio.create_task(read())
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await collect(chat, request(max_tokens=1, call="next"))
        assert chat.current_load.running == 0

    asyncio.run(scenario())


def test_system_prompt_is_prefilled_once_for_all_calls(chat: LlamaChat) -> None:
    async def scenario() -> tuple[int, int]:
        await chat.warm_up(system("en").content)
        warm = chat.counters.prefilled
        await asyncio.gather(
            *(collect(chat, request(call=f"c{i}", max_tokens=2)) for i in range(4))
        )
        return warm, chat.counters.prefilled

    warm, total = asyncio.run(scenario())
    assert warm > 60
    assert total - warm < 4 * 20
    assert chat.counters.reused == 4 * warm


def test_next_turn_prefills_only_the_new_tokens(chat: LlamaChat) -> None:
    async def scenario() -> int:
        first = request(max_tokens=8)
        reply = await collect(chat, first)
        before = chat.counters.prefilled
        more = (ChatMessage("assistant", reply), ChatMessage("user", "Thanks."))
        await collect(chat, replace(first, messages=first.messages + more))
        return chat.counters.prefilled - before

    assert asyncio.run(scenario()) < 25


def test_cut_history_reuses_what_is_still_true(chat: LlamaChat) -> None:
    async def scenario() -> tuple[int, str]:
        first = request()
        reply = await collect(chat, first)
        before = chat.counters.reused
        more = (ChatMessage("assistant", reply[:12]), ChatMessage("user", "Wait, how much is it?"))
        cut = replace(first, messages=first.messages + more)
        answer = await collect(chat, cut)
        assert reference([cut]) == [answer]
        return chat.counters.reused - before, answer

    reused, _ = asyncio.run(scenario())
    assert reused > 80


def test_long_conversation_keeps_the_system_message_and_never_fails(chat: LlamaChat) -> None:
    turns: list[ChatMessage] = []
    for i in range(120):
        turns.append(ChatMessage("user", f"Question number {i}: how much is a cleaning?"))
        turns.append(ChatMessage("assistant", "A cleaning is ninety dirhams."))
    messages = (system("en"), *turns, ChatMessage("user", "What is your address?"))
    reply = asyncio.run(collect(chat, request(messages=messages)))
    assert reply
    assert chat.counters.prefilled + chat.counters.reused < 2048


def test_stop_string_across_tokens_ends_the_reply_before_it(shared: LlamaChat) -> None:
    whole = asyncio.run(collect(shared, request()))
    middle = whole[5:12]
    assert asyncio.run(collect(shared, request(stop=(middle,)))) == whole[: whole.index(middle)]


def test_max_tokens_bounds_the_reply(chat: LlamaChat) -> None:
    asyncio.run(collect(chat, request(max_tokens=3)))
    assert chat.counters.sampled == 3


@pytest.mark.parametrize("east_asian", [False, True])
def test_replies_slip_into_no_east_asian_script_that_nobody_is_served_in(
    monkeypatch: pytest.MonkeyPatch, east_asian: bool
) -> None:
    plain = LlamaChat(replace(SETTINGS, east_asian=east_asian))
    expected = asyncio.run(collect(plain, request()))
    begins = plain._worker._native.tokenize("你")[0]
    decode = llama_cpp.llama_decode

    def leaning(context: Any, batch: Any) -> Any:
        code = decode(context, batch)
        for row in range(batch.n_tokens):
            if batch.logits[row]:
                llama_cpp.llama_get_logits_ith(context, row)[begins] = 1000.0
        return code

    monkeypatch.setattr(llama_cpp, "llama_decode", leaning)
    changed = asyncio.run(collect(plain, request())) != expected
    asyncio.run(plain.close())
    assert changed == east_asian


def test_seed_repeats_a_sampled_reply_and_another_seed_changes_it(shared: LlamaChat) -> None:
    def reply(seed: int) -> str:
        hot = request(temperature=2.0, seed=seed, top_p=1.0, min_p=0.0, max_tokens=20)
        return asyncio.run(collect(shared, hot))

    assert reply(7) == reply(7)
    assert len({reply(seed) for seed in range(4)}) > 1


def test_busy_engine_drops_speculation_and_then_refuses_newcomers(gate: Gate) -> None:
    chat = LlamaChat(replace(SETTINGS, max_sequences=1, max_waiting=1))

    async def scenario() -> list[str | BaseException]:
        running = asyncio.create_task(collect(chat, request(call="a")))
        await asyncio.to_thread(gate.reached.wait)
        assert chat.current_load.step_seconds > 0
        others = [
            asyncio.create_task(collect(chat, item))
            for item in (
                request(call="b", priority=Priority.SPECULATIVE),
                request(call="c"),
                request(call="d"),
            )
        ]
        await asyncio.sleep(0)
        gate.opened.set()
        return await asyncio.gather(running, *others, return_exceptions=True)

    a, b, c, d = asyncio.run(scenario())
    assert isinstance(a, str) and isinstance(c, str)
    for error in (b, d):
        assert isinstance(error, ChatError)
        assert str(error).startswith("busy")
    asyncio.run(chat.close())


def test_promoted_speculation_keeps_its_place(gate: Gate) -> None:
    chat = LlamaChat(replace(SETTINGS, max_sequences=1))

    async def scenario() -> tuple[str, str]:
        speculation = request(call="a", priority=Priority.SPECULATIVE)
        running = asyncio.create_task(collect(chat, speculation))
        await asyncio.to_thread(gate.reached.wait)
        chat.promote("a")
        final = asyncio.create_task(collect(chat, request(call="b")))
        await asyncio.sleep(0)
        gate.opened.set()
        return await asyncio.gather(running, final)

    a, b = asyncio.run(scenario())
    assert a == b != ""
    asyncio.run(chat.close())


def test_failed_forward_pass_fails_the_requests_and_service_goes_on(
    chat: LlamaChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asyncio.run(collect(chat, request()))
    with monkeypatch.context() as patch:
        patch.setattr(llama_cpp, "llama_decode", lambda context, batch: -3)
        with pytest.raises(ChatError, match="was restarted"):
            asyncio.run(collect(chat, request(call="b")))
    assert asyncio.run(collect(chat, request())) == before
    assert chat.current_load.running == 0


def test_step_that_hangs_is_stopped_and_service_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decode, abort = llama_cpp.llama_decode, NativeLlama.abort
    aborted = threading.Event()

    def told(native: NativeLlama) -> None:
        abort(native)
        aborted.set()

    def slow(context: Any, batch: Any) -> Any:
        aborted.wait()
        return decode(context, batch)

    monkeypatch.setattr(NativeLlama, "abort", told)
    monkeypatch.setattr(llama_cpp, "llama_decode", slow)
    chat = LlamaChat(replace(SETTINGS, step_timeout_s=2.0))
    with pytest.raises(ChatError, match="restarted"):
        asyncio.run(collect(chat, ALL_REQUESTS[0]))
    assert "is stopped" in caplog.text
    assert asyncio.run(collect(chat, ALL_REQUESTS[0])) == reference(ALL_REQUESTS[:1])[0]
    asyncio.run(chat.close())


def test_step_that_cannot_be_stopped_lets_its_calls_go(gate: Gate) -> None:
    async def served() -> str:
        chat = LlamaChat(replace(SETTINGS, step_timeout_s=0.2))
        for item in ALL_REQUESTS[:2]:  # the second one comes while the first step is stuck
            with pytest.raises(ChatError, match="hangs"):
                await collect(chat, item)
        gate.opened.set()
        while True:
            try:
                return await collect(chat, ALL_REQUESTS[0])
            except ChatError:  # the stuck step has only just ended
                continue
            finally:
                await asyncio.sleep(0)

    assert asyncio.run(served()) == reference(ALL_REQUESTS[:1])[0]


def test_bug_in_the_owner_loop_fails_only_what_was_asked(
    chat: LlamaChat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def together() -> list[str | BaseException]:
        requests = (request(call="a"), request(call="b"))
        return await asyncio.gather(
            *(collect(chat, item) for item in requests), return_exceptions=True
        )

    with monkeypatch.context() as patch:
        patch.setattr(PromptBuilder, "build", lambda *args: 1 // 0)
        assert all(isinstance(result, ChatError) for result in asyncio.run(together()))
    assert "ZeroDivisionError" in caplog.text
    assert all(isinstance(result, str) for result in asyncio.run(together()))


@pytest.mark.usefixtures("never_ending")
def test_reply_whose_event_loop_is_gone_is_given_up(chat: LlamaChat) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    chat._worker.send(Start(Generation(1_000_000, loop, request(call="b", max_tokens=1500))))
    asyncio.run(collect(chat, request()))
    assert chat.current_load.running == 0


def test_quantised_cache_serves_too() -> None:
    chat = LlamaChat(replace(SETTINGS, kv_type_k="q8_0", kv_type_v="q8_0", flash_attention="on"))
    assert asyncio.run(collect(chat, request()))
    asyncio.run(chat.close())


def test_request_that_makes_no_sense_fails_alone(shared: LlamaChat) -> None:
    with pytest.raises(ChatError):
        asyncio.run(collect(shared, request("\ud800")))


def test_forgotten_call_starts_from_the_shared_prefix(chat: LlamaChat) -> None:
    asyncio.run(collect(chat, request(max_tokens=20)))
    chat.forget("a")
    chat.forget("nobody")
    before = chat.counters.reused
    asyncio.run(collect(chat, request(max_tokens=1)))
    prefix = chat.counters.reused - before
    assert 60 < prefix < chat.counters.prefilled


@pytest.mark.usefixtures("never_ending")
def test_closing_fails_running_replies_and_refuses_new_ones() -> None:
    chat = LlamaChat(SETTINGS)

    async def scenario() -> None:
        stream = chat.stream(request(max_tokens=1500))
        await anext(stream)
        await chat.close()
        with pytest.raises(ChatError, match="closed"):
            async for _ in stream:
                pass
        with pytest.raises(ChatError, match="closed"):
            await collect(chat, request())
        await chat.close()

    asyncio.run(scenario())


def test_long_system_prompt_is_refused_at_start_and_while_serving(shared: LlamaChat) -> None:
    text = "We sell many things. " * 1000
    with pytest.raises(ModelError, match="shorten the profile"):
        shared.check_system_prompt(text)
    with pytest.raises(ChatError, match="shorten the profile"):
        asyncio.run(shared.warm_up(text))
    messages = (ChatMessage("system", text), ChatMessage("user", "Hello"))
    with pytest.raises(ChatError, match="system message needs"):
        asyncio.run(collect(shared, request(messages=messages)))
    shared.check_system_prompt(system("en").content)


def test_prompts_and_replies_stay_out_of_the_logs(
    chat: LlamaChat, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        reply = asyncio.run(collect(chat, request()))
    assert reply
    assert caplog.text == ""
