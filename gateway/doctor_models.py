"""Loading each configured model once, for `doctor`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Protocol

from gateway import loading
from gateway.engines.base import ChatMessage, ChatModel, ChatRequest
from gateway.errors import ConfigError
from gateway.models.catalogue import Kind
from gateway.models.check import describe_models
from gateway.receptionist.prompt import system_prompt
from gateway.settings import Settings

_QUESTION = (ChatMessage("system", "Answer in one word."), ChatMessage("user", "Are you there?"))


class _Closable(Protocol):
    async def close(self) -> None: ...


_Load = Callable[[Settings], Awaitable[_Closable]]


def load_speech_model(settings: Settings) -> str:
    """Load the speech recognition model; says which one and how long it took.

    Raises:
        ModelError: the model cannot be used.
    """
    return _timed("stt", loading.load_transcriber, settings)


def load_chat_model(settings: Settings) -> str:
    """Load the chat model with the system prompt of calls; says which one and how long it took.

    A chat service is not asked: see ``ask_chat_service``.

    Raises:
        ModelError: the model cannot be used, or the system prompt leaves no room for a
            conversation.
        ConfigError: the business profile cannot be used.
    """
    prompt = system_prompt(loading.served_profile(settings))
    load = partial(loading.load_chat, prompt=prompt)
    if settings.llm_mode == "remote":
        return "none; LLM_MODE=remote loads no model here"
    return _timed("llm", load, settings)


def ask_chat_service(settings: Settings) -> str:
    """Ask the chat service a fixed question, as a call would; says how long its first word took.

    Raises:
        ChatError: it does not answer.
        ConfigError: it has no key or no URL.
    """
    service = loading.chat_service(settings)
    if service is None:
        raise ConfigError(f"LLM_MODE={settings.llm_mode} is off: OPENAI_API_KEY is empty")
    seconds = asyncio.run(_first_word(service, settings))
    return f"{settings.openai_model} at {service.host}: first word after {seconds:.1f} s"


async def _first_word(service: ChatModel, settings: Settings) -> float:
    limit, temperature = settings.llm_max_tokens, settings.llm_temperature
    request = ChatRequest("doctor", _QUESTION, max_tokens=limit, temperature=temperature)
    started = time.monotonic()
    try:
        async with aclosing(service.stream(request)) as pieces:
            await anext(pieces, None)
        return time.monotonic() - started
    finally:
        await service.close()


def load_voices(settings: Settings) -> str:
    """Load the voice of every language; says which and how long each took.

    Raises:
        ModelError: a voice cannot be used.
    """
    return "; ".join(
        _timed("tts", loading.load_voices, settings.model_copy(update={"gateway_languages": code}))
        for code in settings.languages
    )


def _timed(kind: Kind, load: _Load, settings: Settings) -> str:
    seconds = _seconds(load, settings)
    return f"{describe_models(settings, kind)}, loaded in {seconds:.1f} s"


def _seconds(load: _Load, settings: Settings) -> float:
    async def load_and_close() -> None:
        await (await load(settings)).close()

    started = time.monotonic()
    asyncio.run(load_and_close())
    return time.monotonic() - started
