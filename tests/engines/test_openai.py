"""The remote chat model and the switch to it, against a real server with the starter model."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, TypeVar

import httpcore2
import pytest

from gateway.engines.base import ChatMessage, ChatRequest
from gateway.engines.fallback import FallbackChat
from gateway.engines.llama import LlamaChat, LlamaSettings
from gateway.engines.llama_kv import KvOperation
from gateway.engines.llama_native import DecodeError, NativeLlama
from gateway.engines.llama_steps import Row
from gateway.engines.openai import OpenAIChat, OpenAISettings
from gateway.errors import ChatError, ConfigError
from tests.chat_server import KEY, MODEL, chat_server
from tests.engines.chat_requests import collect, request

T = TypeVar("T")

pytest.importorskip("starlette_context", reason="needs llama-cpp-python[server]")


@pytest.fixture(scope="module")
def service() -> Iterator[OpenAISettings]:
    with chat_server() as base_url:
        yield OpenAISettings(base_url, KEY, "starter")


async def ask(settings: OpenAISettings, chat_request: ChatRequest) -> str:
    chat = OpenAIChat(settings)
    try:
        return await collect(chat, chat_request)
    finally:
        await chat.close()


def local_answer(chat_request: ChatRequest) -> str:
    async def body() -> str:
        chat = LlamaChat(LlamaSettings(MODEL, n_ctx=2048, threads=1))
        try:
            return await collect(chat, chat_request)
        finally:
            await chat.close()

    return asyncio.run(body())


@pytest.mark.parametrize("language", ["en", "ar", "ru"])
def test_the_same_model_answers_alike_from_far_and_near(
    service: OpenAISettings, language: str
) -> None:
    asked = request(language=language, repeat_penalty=1.0)
    remote = asyncio.run(ask(service, asked))
    assert remote.strip() and remote.split()[:3] == local_answer(asked).split()[:3]


def test_a_wrong_key_an_absent_server_and_a_wrong_path_are_chat_errors(
    service: OpenAISettings,
) -> None:
    wrong = [
        replace(service, api_key="sk-wrong-key"),
        replace(service, base_url="http://127.0.0.1:1/v1"),
        replace(service, base_url=service.base_url + "/nowhere"),
    ]
    for settings in wrong:
        with pytest.raises(ChatError, match="chat service 127.0.0.1") as raised:
            asyncio.run(ask(settings, request()))
        assert settings.api_key not in str(raised.value)


OK = {"choices": [{"index": 0, "delta": {"content": "Hello "}}]}


def events(*data: object) -> bytes:
    """A reply as a service streams it; bytes are sent as they are."""
    lines = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in data]
    return b"".join(b"data: " + line + b"\n\n" for line in lines)


Asked = dict[str, Any]
Serve = Callable[[Asked, asyncio.StreamWriter], Awaitable[object]]
"""One that is true keeps the connection open."""
Heard = tuple[str, str]


async def heard(chat: OpenAIChat) -> Heard:
    """What a caller hears, and the error."""
    said = ""
    try:
        async for piece in chat.stream(request()):
            said += piece
    except ChatError as error:
        return said, str(error)
    return said, ""


def told_by(serve: Serve, ask: Callable[[OpenAIChat], Awaitable[T]], timeout_s: float = 10.0) -> T:
    """What comes of a service that answers each request, which it is given, like this."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            kept_open: object = True
            while kept_open:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head.lower())
                assert length is not None
                body = await reader.readexactly(int(length[1]))
                kept_open = await serve(json.loads(body), writer)
            writer.close()

    async def main() -> T:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        address = f"http://127.0.0.1:{port}/v1"
        chat = OpenAIChat(OpenAISettings(address, KEY, "any", timeout_s=timeout_s))
        try:
            return await ask(chat)
        finally:
            await chat.close()
            server.close()

    return asyncio.run(main())


async def send(
    writer: asyncio.StreamWriter, body: bytes, status: int = 200, kind: str = "text/event-stream"
) -> bool:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
    writer.write(f"{head}\r\n".encode() + body)
    await writer.drain()
    return True


def answer(body: bytes, status: int = 200, kind: str = "text/event-stream") -> Heard:
    """What a caller hears, and the error, of a service that sends this; its key is KEY."""
    return told_by(lambda _, writer: send(writer, body, status, kind), heard)


def refusal(option: str, text: str) -> bytes:
    return json.dumps({"error": {"message": text, "param": option, "code": "unsupported"}}).encode()


def test_what_a_model_does_not_take_is_learned_once_by_all_calls() -> None:
    asked: list[Asked] = []

    async def serve(body: Asked, writer: asyncio.StreamWriter) -> None:
        asked.append(body)
        refused = ""
        if "max_tokens" in body:
            refused = "'max_tokens' is not supported. Use 'max_completion_tokens' instead."
        elif "temperature" in body:
            refused = "'temperature' does not support 0.0 with this model."
        if refused:
            await send(writer, refusal("", refused), 400, "application/json")
        else:
            await send(writer, events(OK, b"[DONE]"))

    async def ask(chat: OpenAIChat) -> tuple[list[Heard], int]:
        together = await asyncio.gather(*(heard(chat) for _ in range(3)))
        known = len(asked)
        return [*together, await heard(chat)], known

    replies, known = told_by(serve, ask)
    assert replies == 4 * [("Hello ", "")]
    assert len(asked) == known + 1
    assert asked[-1]["max_completion_tokens"] > 0 and "temperature" not in asked[-1]


@pytest.mark.parametrize(
    ("temperature", "refused", "kept"),
    [
        (0.0, "top_p must be 1 when using greedy sampling.", {"temperature": 0.0}),
        (0.7, "`temperature` and `top_p` cannot both be specified.", {"temperature": 0.7}),
        (0.7, "temperature and top_p cannot both be specified.", {"temperature": 0.7}),
    ],
)
def test_a_service_that_takes_no_two_ways_of_sampling_is_given_one(
    temperature: float, refused: str, kept: dict[str, float]
) -> None:
    asked: list[Asked] = []

    async def serve(body: Asked, writer: asyncio.StreamWriter) -> None:
        asked.append(body)
        if {"temperature", "top_p"} <= body.keys():
            await send(writer, refusal("", refused), 400, "application/json")
        else:
            await send(writer, events(OK, b"[DONE]"))

    async def ask(chat: OpenAIChat) -> str:
        return await collect(chat, replace(request(), temperature=temperature))

    assert told_by(serve, ask) == "Hello "
    assert {name: asked[-1].get(name) for name in ("temperature", "top_p")} == {
        **kept,
        "top_p": None,
    }


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (400, {"error": {"message": "`temperature` is deprecated for this model."}}),
        (400, {"error": "temperature is deprecated for this model."}),
        (422, {"detail": [{"loc": ["body", "temperature"], "msg": "not permitted"}]}),
    ],
)
def test_a_temperature_that_a_model_does_not_take_is_left_out(
    status: int, told: dict[str, object]
) -> None:
    async def serve(body: Asked, writer: asyncio.StreamWriter) -> None:
        if "temperature" in body:
            await send(writer, json.dumps(told).encode(), status, "application/json")
        else:
            await send(writer, events(OK, b"[DONE]"))

    assert told_by(serve, heard) == ("Hello ", "")


def test_what_a_service_says_in_a_form_of_its_own_is_shown_at_debug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = {"detail": [{"loc": ["body", "model"], "msg": f"none of {KEY}'s"}]}
    with caplog.at_level(logging.DEBUG, "gateway"):
        answer(json.dumps(told).encode(), 422, "application/json")
    assert "none of ***'s" in caplog.text and KEY not in caplog.text


@pytest.mark.parametrize(
    "refused",
    [
        "This model's maximum context length is 4096 tokens.",
        "'max_tokens' or 'max_completion_tokens' is too large: 40. This model's maximum context"
        " length is 4096 tokens and your request has 4090 input tokens (40 > 4096 - 4090).",
    ],
)
def test_a_call_that_outgrows_the_service_goes_on_without_its_oldest_turns(refused: str) -> None:
    asked: list[list[str]] = []
    turns = [ChatMessage("user" if i % 2 == 0 else "assistant", f"turn {i}") for i in range(9)]

    async def serve(body: Asked, writer: asyncio.StreamWriter) -> None:
        said = [message["content"] for message in body["messages"]]
        assert body["max_tokens"] == request().max_tokens
        asked.append(said)
        if len(said) > 6:
            await send(writer, refusal("messages", refused), 400, "application/json")
        else:
            await send(writer, events(OK, b"[DONE]"))

    async def ask(chat: OpenAIChat) -> list[str]:
        system = ChatMessage("system", "Be brief.")
        first = replace(request(), messages=(system, *turns[:7]))
        later = replace(first, messages=(system, *turns))
        return [await collect(chat, first), await collect(chat, later)]

    assert told_by(serve, ask) == ["Hello ", "Hello "]
    assert [len(said) for said in asked] == [8, 5, 7, 4], "what was dropped stays dropped"
    assert asked[-1] == ["Be brief.", "turn 6", "turn 7", "turn 8"]


GREETED = (
    ChatMessage("system", "Be brief."),
    ChatMessage("assistant", "Hello!"),
    ChatMessage("user", "Are you"),
    ChatMessage("user", "open?"),
)
BEGUN = ChatMessage("assistant", "We are")
GO_ON = "(Go on where you broke off, without repeating it.)"


def role_refusal(status: int, roles: list[str], *, system: bool) -> tuple[int, str] | None:
    """What a service says to these roles whose template wants turns, the user's first and last."""
    turns = roles[1:] if roles[0] == "system" else roles
    if roles[0] == "system" and not system:
        return status, "System role not supported"
    if turns[-1] == "assistant":
        return status, "Expected last role User or Tool but got assistant"
    if turns != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        return status, "Conversation roles must alternate user/assistant/user/assistant/..."
    return None


@pytest.mark.parametrize(("status", "system"), [(400, True), (400, False), (500, True)])
def test_a_service_that_wants_user_and_assistant_in_turns_gets_them(
    status: int, system: bool
) -> None:
    asked: list[list[tuple[str, str]]] = []

    async def serve(body: Asked, writer: asyncio.StreamWriter) -> None:
        asked.append([(message["role"], message["content"]) for message in body["messages"]])
        wrong = role_refusal(status, [role for role, _ in asked[-1]], system=system)
        if wrong is not None:
            await send(writer, refusal("", wrong[1]), wrong[0], "application/json")
        else:
            await send(writer, events(OK, b"[DONE]"))

    async def ask(chat: OpenAIChat) -> list[str]:
        greeted = replace(request(), messages=GREETED)
        begun = replace(request(), messages=(*GREETED, BEGUN))
        return [await collect(chat, greeted), await collect(chat, begun)]

    assert told_by(serve, ask) == ["Hello ", "Hello "]
    first = [("system", "Be brief."), ("user", "…")] if system else [("user", "Be brief.\n\n…")]
    question = [*first, ("assistant", "Hello!"), ("user", "Are you\nopen?")]
    assert asked[-2] == question, "it was learned"
    assert asked[-1] == [*question, ("assistant", "We are"), ("user", GO_ON)]
    assert len(asked) == (3 if system else 4)


def test_the_page_of_a_server_that_is_down_changes_nothing() -> None:
    asked: list[Asked] = []

    async def serve(body: Asked, writer: asyncio.StreamWriter) -> None:
        asked.append(body)
        page = b'\n<html><main role="main"> temperature </main></html>'
        await send(writer, page, 500, "text/html")

    async def ask(chat: OpenAIChat) -> list[Heard]:
        return [await heard(chat), await heard(chat)]

    assert {error for _, error in told_by(serve, ask)} == {
        "chat service 127.0.0.1 answered with status 500"
    }
    assert len(asked) == 2 and asked[0] == asked[1]


def test_a_refusal_of_roles_that_no_form_cures_is_a_chat_error() -> None:
    told = refusal("messages", "Unknown role.")
    assert "status 400" in answer(told, 400, "application/json")[1]


def test_a_connection_is_kept_from_turn_to_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("httpcore2._async.http11.time", clock)
    used: list[asyncio.StreamWriter] = []

    async def serve(_: Asked, writer: asyncio.StreamWriter) -> bool:
        used.append(writer)
        return await send(writer, events(OK, b"[DONE]"))

    async def ask(chat: OpenAIChat) -> list[Heard]:
        nonlocal now
        first = await heard(chat)
        now += 30  # the reply is played, and the caller speaks
        return [first, await heard(chat)]

    assert told_by(serve, ask) == 2 * [("Hello ", "")]
    assert len(used) == 2 and used[0] is used[1]


@pytest.mark.parametrize("reset", [True, False])
def test_a_kept_connection_that_closes_as_it_is_used_costs_no_reply(reset: bool) -> None:
    used: list[asyncio.StreamWriter] = []

    async def serve(_: Asked, writer: asyncio.StreamWriter) -> bool:
        used.append(writer)
        if len(used) == 2:
            if reset:
                writer.transport.abort()
            return False
        return await send(writer, events(OK, b"[DONE]"))

    async def ask(chat: OpenAIChat) -> list[Heard]:
        return [await heard(chat), await heard(chat)]

    assert told_by(serve, ask) == 2 * [("Hello ", "")]
    assert len(used) == 3 and used[0] is used[1]


def test_a_service_that_always_hangs_up_is_asked_no_third_time() -> None:
    asked: list[Asked] = []

    async def serve(body: Asked, writer: asyncio.StreamWriter) -> None:
        asked.append(body)

    assert told_by(serve, heard)[1] == "chat service 127.0.0.1 broke the connection off"
    assert len(asked) == 2


def test_a_refusal_that_names_no_option_is_not_asked_again() -> None:
    asked: list[Asked] = []

    async def serve(body: Asked, writer: asyncio.StreamWriter) -> None:
        asked.append(body)
        told = refusal("messages", "In this context that must not be said.")
        await send(writer, told, 400, "application/json")

    async def ask(chat: OpenAIChat) -> None:
        turns = tuple(ChatMessage("user", f"turn {i}") for i in range(5))
        with pytest.raises(ChatError, match="status 400"):
            await collect(chat, replace(request(), messages=turns))

    told_by(serve, ask)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "sign", [b": still working\n\n", events({"choices": [{"index": 0, "delta": {}}]})]
)
def test_signs_of_life_without_text_do_not_keep_a_caller_waiting_for_ever(sign: bytes) -> None:
    async def serve(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n" + events(OK))
        for _again in range(1000):  # bounded; the client goes long before
            writer.write(sign)
            await writer.drain()
            await asyncio.sleep(0.02)

    assert told_by(serve, heard, timeout_s=0.5) == (
        "Hello ",
        "chat service 127.0.0.1 gave no answer in time",
    )


@pytest.mark.parametrize(
    "garbled",
    [b"upstream timed out", b"\xff", b"null", b'"text"', {"choices": 5}]
    + [{"choices": [{"index": 0, "delta": {"content": [5]}}]}],
)
def test_what_is_no_chat_reply_is_a_chat_error(garbled: object) -> None:
    said, error = answer(events(OK, garbled, b"[DONE]"))
    assert said == "Hello "
    assert error.startswith("chat service 127.0.0.1 sent what is no chat reply")


@pytest.mark.parametrize("empty", [b"retry: 3000\n\n", b"event: ping\n\n", b"data:\n\n"])
def test_an_event_without_data_is_passed_over(empty: bytes) -> None:
    assert answer(empty + events(OK) + empty + events(OK, b"[DONE]")) == ("Hello Hello ", "")


def test_a_comment_between_numbered_events_is_passed_over() -> None:
    assert answer(b"id: 1\n" + events(OK) + b": ping\n\n" + events(b"[DONE]")) == ("Hello ", "")


def test_a_reply_too_deep_to_be_read_is_a_chat_error() -> None:
    deep = b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert "sent what is no chat reply" in answer(events(OK, deep, b"[DONE]"))[1]


def adds(text: str) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


def test_a_character_sent_in_two_halves_is_joined_and_a_half_alone_is_no_text() -> None:
    said, error = answer(
        events(*map(adds, ["Hi \ud83d", "\ude00!", " \ude00 ", "\ud83d"]), b"[DONE]")
    )
    assert (said, error) == ("Hi \U0001f600! \ufffd ", "")


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_refusal_that_breaks_off_is_a_chat_error(status: int) -> None:
    async def serve(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 200\r\n\r\n{{".encode())
        await writer.drain()

    assert told_by(serve, heard) == ("", "chat service 127.0.0.1 broke off its refusal")


@pytest.mark.parametrize("notice", [{"choices": []}, {"message": "overloaded"}])
def test_a_service_that_offers_no_choice_sent_no_reply(notice: object) -> None:
    assert "sent no reply" in answer(events(notice, b"[DONE]"))[1]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("length", "spent LLM_MAX_TOKENS before its first word; raise it, or choose an OPENAI_"),
        ("content_filter", "kept the reply back by its content filter"),
    ],
)
def test_a_reply_that_ends_before_its_first_word_says_why(reason: str, told: str) -> None:
    thought = {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm"}}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    usage: dict[str, object] = {"choices": [], "usage": {"total_tokens": 100}}
    assert told in answer(events(thought, end, usage, b"[DONE]"))[1]
    assert answer(events(OK, end, b"[DONE]")) == ("Hello ", "")


@pytest.mark.parametrize("choice", [{"index": 0}, {"index": 0, "delta": None}])
def test_a_note_of_a_content_filter_is_passed_over(choice: object) -> None:
    assert answer(events(OK, {"choices": [choice]}, OK, b"[DONE]")) == ("Hello Hello ", "")


@pytest.mark.parametrize(
    ("kind", "body"), [("text/html", b"<html>log in</html>"), ("application/json", b"{}")]
)
def test_a_page_in_place_of_a_reply_is_a_chat_error(kind: str, body: bytes) -> None:
    assert "sent no reply; check OPENAI_BASE_URL" in answer(body, kind=kind)[1]


def test_what_a_service_repeats_of_key_and_conversation_is_not_in_the_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = {"error": {"message": f"{KEY} may not ask: my card is 4111"}}
    refused, broken = json.dumps(told).encode(), events(OK, told)
    with caplog.at_level(logging.DEBUG, "gateway"):
        errors = [answer(refused, status, "application/json")[1] for status in (400, 401, 500)]
        errors.append(answer(broken)[1])
    assert errors[0].endswith("answered with status 400; LOG_LEVEL=DEBUG shows what it said")
    assert errors[1].endswith("answered with status 401; check OPENAI_API_KEY")
    assert errors[3].endswith("broke off with an error; LOG_LEVEL=DEBUG shows what it said")
    assert not [error for error in errors if KEY in error or "4111" in error]
    assert caplog.text.count("*** may not ask: my card is 4111") == len(errors)
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (429, "insufficient_quota", "status 429 (insufficient_quota); its rate limit or"),
        (402, 402, "status 402 (402); the account's credit is used up"),
        (405, None, "status 405; check OPENAI_BASE_URL"),
        (422, f"no {KEY}", "status 422; LOG_LEVEL=DEBUG shows what it said"),
        (503, "DeploymentNotReady", "status 503 (DeploymentNotReady)"),
    ],
)
def test_a_refusal_is_told_with_its_code_and_the_next_step(
    status: int, code: object, told: str
) -> None:
    body = json.dumps({"error": {"message": "no", "code": code}}).encode()
    error = answer(body, status, "application/json")[1]
    assert error.startswith(f"chat service 127.0.0.1 answered with {told}")


def test_an_error_in_mid_reply_is_told_with_its_code() -> None:
    told = {"error": {"code": 502, "message": "no"}, "choices": []}
    assert answer(events(OK, told))[1].startswith(
        "chat service 127.0.0.1 broke off with an error (502); LOG_LEVEL=DEBUG"
    )


@pytest.mark.parametrize(
    ("error", "cause", "told"),
    [
        (httpcore2.ConnectError, "[Errno -2] Name not known", "([Errno -2] Name not known)"),
        (httpcore2.ProxyError, "403 Forbidden", "(the proxy said 403 Forbidden)"),
        (
            httpcore2.ConnectError,
            "certificate verify failed: self-signed certificate",
            "(certificate verify failed: self-signed certificate); name its authority's"
            " certificate in SSL_CERT_FILE",
        ),
    ],
)
def test_a_service_that_cannot_be_reached_is_told_with_the_reason(
    error: type[Exception], cause: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error(cause)

    monkeypatch.setattr(httpcore2.AsyncConnectionPool, "handle_async_request", fail)
    settings = OpenAISettings("https://chat.example/v1", KEY, "any")
    with pytest.raises(ChatError) as raised:
        asyncio.run(ask(settings, request()))
    assert str(raised.value) == f"chat service chat.example cannot be reached {told}"


@pytest.mark.parametrize(
    "address",
    [
        "api.example.com/v1",
        "user:pa55word@host/v1",
        "http://user:pa55#word@host/v1",
        "http://[::1/v1",
        "http://",
        "http://ho st/v1",
        "https://user:pa55@name.openai.azure.com/openai/deployments/chat?api-version=2024-10-21",
    ],
)
def test_a_base_url_that_is_none_is_refused_at_start_without_its_password(address: str) -> None:
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL: expected") as raised:
        OpenAIChat(OpenAISettings(address, KEY, "m"))
    assert "pa55" not in str(raised.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://user:pa55word@127.0.0.1:1080"),
        ("ALL_PROXY", "socks://user:pa55word@127.0.0.1:1080"),
        ("HTTPS_PROXY", "http://user:pa55/word@host"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
    ],
)
def test_a_proxy_or_certificate_that_cannot_be_used_is_told_at_start(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"cannot be set up: .*{variable}") as raised:
        OpenAIChat(OpenAISettings("https://chat.example/v1", KEY, "m"))
    assert "pa55" not in str(raised.value)


def test_the_key_is_in_no_representation(service: OpenAISettings) -> None:
    assert KEY not in repr(service)


def test_what_left_the_box_is_counted_per_call_and_said_when_it_ends(
    service: OpenAISettings, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        chat = OpenAIChat(service)
        asked = request(call="a")
        await collect(chat, asked)
        await collect(chat, asked)
        characters = sum(len(message.content) for message in asked.messages)
        assert chat.sent("a") == (2, 2 * characters)
        assert chat.sent("b") == (0, 0)
        with caplog.at_level(logging.INFO):
            chat.forget("a")
            chat.forget("b")
        await chat.close()
        assert chat.sent("a") == (0, 0)

    asyncio.run(body())
    (line,) = [m for m in caplog.messages if "call over" in m]
    assert "2 chat requests" in line and "127.0.0.1" in line


def test_closing_the_stream_early_leaves_the_server_usable(service: OpenAISettings) -> None:
    async def body() -> None:
        chat = OpenAIChat(service)
        async with aclosing(chat.stream(request())) as pieces:
            assert await anext(pieces)
        assert await collect(chat, request())
        await chat.close()

    asyncio.run(body())


def break_after(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """The next local model fails for good once it has written so many tokens."""
    genuine = NativeLlama.run
    left = tokens

    def run(self: NativeLlama, operations: tuple[KvOperation, ...], rows: tuple[Row, ...]) -> None:
        nonlocal left
        if any(row.request is not None for row in rows):
            if left == 0:
                raise DecodeError("killed")
            left -= 1
        genuine(self, operations, rows)

    monkeypatch.setattr(NativeLlama, "run", run)


@pytest.mark.parametrize("tokens", [0, 1, 4])
def test_the_remote_model_goes_on_when_the_local_one_is_killed_in_mid_reply(
    service: OpenAISettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tokens: int,
) -> None:
    whole = local_answer(request())
    break_after(monkeypatch, tokens)

    async def body() -> str:
        local = LlamaChat(LlamaSettings(MODEL, n_ctx=2048, threads=1))
        remote = OpenAIChat(service)
        chat = FallbackChat(local, remote, first_token_timeout_s=20)
        text = await collect(chat, request())
        assert remote.sent("a")[0] == 1
        await chat.close()
        return text

    text = asyncio.run(body())
    words = text.split()
    assert words[0] == whole.split()[0], "the beginning is the local model's, or as good"
    heard = re.search(r"after (\d+) characters", caplog.text)
    seam = int(heard.group(1)) if heard else 0
    before, after = text[:seam].split(), text[seam:].split()
    assert after
    assert before[-1:] != after[:1], "the last word is not said again"
    assert not before or after[: len(before)] != before, "the beginning is not said again"


def test_a_begun_reply_is_continued(service: OpenAISettings) -> None:
    asked = request()
    begun = (*asked.messages, ChatMessage("assistant", "We are"))
    assert isinstance(asyncio.run(ask(service, replace(asked, messages=begun))), str)
