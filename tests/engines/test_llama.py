"""The chat engine with the real starter model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from gateway.engines.base import ChatMessage, ChatModel, ChatRequest, Priority
from gateway.engines.llama import LlamaChat, LlamaSettings
from gateway.errors import ChatError, ConfigError, ModelError

MODEL = Path(__file__).parents[2] / "models" / "starter" / "llm" / "model.gguf"
# Without flash attention the kernels are those of the plain Llama class, and then batched greedy
# output is the same token for token; with it, rounding differs for both in the same way.
SETTINGS = LlamaSettings(MODEL, n_ctx=4096, threads=1, flash_attention="off")

PROFILES = {
    "en": (
        "name: Harbour Clinic\nopen: Monday to Friday from nine in the morning to six\n"
        "closed: Saturday, Sunday\naddress: twelve Mill Road\n"
        "prices: cleaning = ninety dirhams; filling = two hundred dirhams\npeople: the manager"
    ),
    "ar": (
        "name: عيادة السنابل\nopen: من الأحد إلى الخميس من التاسعة صباحا حتى السادسة مساء\n"
        "closed: الجمعة\naddress: شارع النخيل، مبنى رقم عشرة\n"
        "prices: تنظيف الأسنان = مئة درهم; فحص = خمسون درهما\npeople: المدير"
    ),
    "ru": (
        "name: клиника Лотос\nopen: с понедельника по пятницу с девяти утра до семи вечера\n"
        "closed: суббота; воскресенье\naddress: улица Кузнечная, дом двадцать три\n"
        "prices: чистка = сто дирхамов; осмотр = пятьдесят дирхамов\npeople: дежурный врач"
    ),
}
QUESTIONS = {
    "en": ("Hello, where are you?", "How much is a cleaning?", "I need to see a doctor."),
    "ar": ("ما هو عنوانكم؟", "كم سعر تنظيف الأسنان؟", "أريد حجز موعد."),
    "ru": ("Какой у вас адрес?", "Сколько стоит чистка?", "Хочу записаться на приём."),
}


def system(language: str) -> ChatMessage:
    text = "You are the phone receptionist. Speak briefly in the caller's language."
    return ChatMessage("system", f"{text}\n[{language}]\n{PROFILES[language]}")


def request(
    question: str = "Hello, where are you?", language: str = "en", call: str = "a", **changes: Any
) -> ChatRequest:
    messages = (system(language), ChatMessage("user", question))
    return replace(ChatRequest(call, messages, max_tokens=40), **changes)


async def collect(chat: ChatModel, request: ChatRequest) -> str:
    return "".join([piece async for piece in chat.stream(request)])


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
def chat() -> Iterator[LlamaChat]:
    chat = LlamaChat(SETTINGS)
    yield chat
    asyncio.run(chat.close())


ALL_REQUESTS = [
    request(question, language, call=f"{language}{i}")
    for language, questions in QUESTIONS.items()
    for i, question in enumerate(questions)
]


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


def test_closing_the_stream_stops_within_one_token(chat: LlamaChat) -> None:
    async def scenario() -> None:
        stream = chat.stream(request(max_tokens=1500, call="long", **NEVER_ENDING))
        await anext(stream)
        await stream.aclose()
        sampled = chat.counters.sampled
        await collect(chat, request(max_tokens=1, call="next"))
        # One for a step that was in flight, one for the new request.
        assert chat.counters.sampled - sampled <= 2
        assert chat.load.running == 0

    asyncio.run(scenario())


def test_cancelling_the_reading_task_frees_its_place(chat: LlamaChat) -> None:
    async def scenario() -> None:
        first = asyncio.Event()

        async def read() -> None:
            async for _ in chat.stream(request(max_tokens=1500, **NEVER_ENDING)):
                first.set()

        task = asyncio.create_task(read())
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await collect(chat, request(max_tokens=1, call="next"))
        assert chat.load.running == 0

    asyncio.run(scenario())


# Hot sampling with a penalty hardly ever ends by itself.
NEVER_ENDING: dict[str, Any] = {"temperature": 5.0, "min_p": 0.0, "top_p": 1.0, "seed": 3}


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
        first = request()
        reply = await collect(chat, first)
        before = chat.counters.prefilled
        more = (ChatMessage("assistant", reply), ChatMessage("user", "Thanks."))
        await collect(chat, replace(first, messages=first.messages + more))
        return chat.counters.prefilled - before

    assert asyncio.run(scenario()) < 20


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


def test_seed_repeats_a_sampled_reply_and_another_seed_changes_it(shared: LlamaChat) -> None:
    def reply(seed: int) -> str:
        hot = request(temperature=1.5, seed=seed, min_p=0.0, repeat_penalty=1.1, max_tokens=20)
        return asyncio.run(collect(shared, hot))

    assert reply(7) == reply(7)
    assert len({reply(seed) for seed in range(4)}) > 1


def test_busy_engine_refuses_speculation(caplog: pytest.LogCaptureFixture) -> None:
    chat = LlamaChat(replace(SETTINGS, max_sequences=1, max_waiting=1))

    async def scenario() -> list[str | BaseException]:
        requests = [
            request(call="a"),
            request(call="b"),
            request(call="c", priority=Priority.SPECULATIVE),
        ]
        return await asyncio.gather(
            *(collect(chat, item) for item in requests), return_exceptions=True
        )

    results = asyncio.run(scenario())
    assert sum(isinstance(result, str) for result in results) >= 1
    refused = [result for result in results if isinstance(result, BaseException)]
    assert refused
    assert all(isinstance(error, ChatError) for error in refused)
    assert all(str(error).startswith("busy") for error in refused)
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
    assert chat.load.running == 0


def test_forgotten_call_starts_from_the_shared_prefix(chat: LlamaChat) -> None:
    asyncio.run(collect(chat, request(max_tokens=20)))
    chat.forget("a")
    chat.forget("nobody")
    before = chat.counters.reused
    asyncio.run(collect(chat, request(max_tokens=1)))
    prefix = chat.counters.reused - before
    assert 60 < prefix < chat.counters.prefilled


def test_closing_fails_running_replies_and_refuses_new_ones() -> None:
    chat = LlamaChat(SETTINGS)

    async def scenario() -> None:
        stream = chat.stream(request(max_tokens=1500, **NEVER_ENDING))
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


def test_missing_model_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.gguf not found; download"):
        LlamaChat(replace(SETTINGS, model=tmp_path / "nothing.gguf"))


def test_other_file_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="is not a GGUF file"):
        LlamaChat(replace(SETTINGS, model=path))


@pytest.mark.parametrize("size", [10, 200_000, 1_000_000])
def test_truncated_model_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(MODEL.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"cannot be loaded \((?!no reason).*download it again"):
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


def test_impossible_settings_are_named_together() -> None:
    with pytest.raises(ConfigError, match="max_sequences.*n_ctx.*kv_type_v"):
        LlamaSettings(MODEL, n_ctx=10, max_sequences=0, kv_type_v="q8_0", flash_attention="off")
