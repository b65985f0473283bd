"""Loading each configured model once, for `doctor`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

from gateway import loading
from gateway.models.catalogue import Kind
from gateway.models.check import describe_models
from gateway.receptionist.prompt import system_prompt
from gateway.settings import Settings


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

    A chat service is named, not asked: this sends nothing.

    Raises:
        ModelError: the model cannot be used, or the system prompt leaves no room for a
            conversation.
        ConfigError: the business profile cannot be used.
    """
    prompt = system_prompt(loading.served_profile(settings))
    load = partial(loading.load_chat, prompt=prompt)
    if settings.llm_mode == "remote":
        _seconds(load, settings)
        host = urlsplit(settings.openai_base_url).hostname
        return f"{settings.openai_model} at {host}; LLM_MODE=remote loads no model here"
    return _timed("llm", load, settings)


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
