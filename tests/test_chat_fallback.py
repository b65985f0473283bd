"""LLM_MODE: what is loaded, what is said about it, and a call whose local model is killed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable

import pytest

from gateway.app import Gateway
from gateway.engines.base import ChatRequest
from gateway.engines.fallback import FallbackChat
from gateway.engines.llama import LlamaChat
from gateway.engines.openai import OpenAIChat
from gateway.errors import ChatError, ConfigError
from gateway.loading import load_chat
from gateway.settings import Settings, load_settings
from gateway.simulator.client import CallResult, place_call
from gateway.simulator.conversations import load_conversations
from tests.chat_server import KEY, chat_server

Configure = Callable[..., Settings]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    def settings(**variables: str) -> Settings:
        for name, value in {"GATEWAY_PORT": "0", **variables}.items():
            monkeypatch.setenv(name, value)
        return load_settings(None)

    return settings


def kind_of_chat(settings: Settings) -> type:
    async def body() -> type:
        chat = await load_chat(settings)
        await chat.close()
        return type(chat)

    return asyncio.run(body())


def test_the_mode_decides_which_models_are_loaded(configure: Configure) -> None:
    assert kind_of_chat(configure(OPENAI_API_KEY=KEY)) is LlamaChat
    assert kind_of_chat(configure(LLM_MODE="fallback")) is FallbackChat
    assert kind_of_chat(configure(LLM_MODE="remote")) is OpenAIChat


def test_the_host_is_named_at_start_and_the_key_never(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    url = "https://user:password@chat.example.com/v1"
    kind_of_chat(configure(LLM_MODE="fallback", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=url))
    (line,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "chat.example.com" in line.getMessage()
    assert KEY not in caplog.text and "password" not in caplog.text


def test_without_a_key_the_fallback_is_off_and_says_so(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    assert kind_of_chat(configure(LLM_MODE="fallback")) is LlamaChat
    assert "OPENAI_API_KEY is empty, the chat stays local" in caplog.text


def test_a_remote_model_without_a_key_is_refused(configure: Configure) -> None:
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        kind_of_chat(configure(LLM_MODE="remote"))


def test_the_caller_is_answered_although_the_local_model_is_killed_in_mid_call(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("starlette_context", reason="needs llama-cpp-python[server]")
    genuine = LlamaChat.stream
    replies: list[ChatRequest] = []

    async def dies_in_the_second_reply(
        self: LlamaChat, request: ChatRequest
    ) -> AsyncGenerator[str, None]:
        replies.append(request)
        if len(replies) > 2:
            raise ChatError("the chat model was closed")
        async for piece in genuine(self, request):
            yield piece
            if len(replies) == 2 and " " in piece:
                await self.close()
                raise ChatError("the chat model was closed")

    conversation = next(c for c in load_conversations() if c.language == "en")

    async def body(settings: Settings) -> CallResult:
        async with Gateway(settings) as gateway:
            await gateway.ready()
            monkeypatch.setattr(LlamaChat, "stream", dies_in_the_second_reply)
            async with asyncio.timeout(120):
                return await place_call(gateway.url, conversation.recordings()[:2], language="en")

    with chat_server() as url, caplog.at_level(logging.INFO):
        settings = configure(LLM_MODE="fallback", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=url)
        result = asyncio.run(body(settings))
    assert result.failure is None
    assert all(turn.assistant_text for turn in result.turns)
    assert "the remote model goes on" in caplog.text
    assert "were sent to 127.0.0.1" in caplog.text
