"""Loading each configured model once, for `doctor`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from gateway import loading
from gateway.models.catalogue import Kind
from gateway.models.check import describe_models
from gateway.receptionist.prompt import system_prompt
from gateway.settings import Settings


class _Closable(Protocol):
    async def close(self) -> None: ...


def load_speech_model(settings: Settings) -> str:
    """Load the speech recognition model; says which one and how long it took.

    Raises:
        ModelError: the model cannot be used.
    """
    return _timed("stt", loading.load_transcriber, settings)


def load_chat_model(settings: Settings) -> str:
    """Load the chat model with the system prompt of calls; says which one and how long it took.

    Raises:
        ModelError: the model cannot be used, or the system prompt leaves no room for a
            conversation.
        ConfigError: the business profile cannot be used.
    """
    prompt = system_prompt(loading.served_profile(settings))
    return _timed("llm", partial(loading.load_chat, prompt=prompt), settings)


def load_voices(settings: Settings) -> str:
    """Load the voice of every language; says which and how long it took.

    Raises:
        ModelError: a voice cannot be used.
    """
    return _timed("tts", loading.load_voices, settings)


def _timed(kind: Kind, load: Callable[[Settings], Awaitable[_Closable]], settings: Settings) -> str:
    async def load_and_close() -> None:
        await (await load(settings)).close()

    started = time.monotonic()
    asyncio.run(load_and_close())
    seconds = time.monotonic() - started
    return f"{describe_models(settings, kind)}, loaded in {seconds:.1f} s"
