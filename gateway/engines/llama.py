"""ChatModel on llama.cpp: all calls share one context, one batch per step, one owner thread."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from gateway.engines.base import ChatRequest, EngineLoad
from gateway.engines.llama_commands import Cancel, Done, Forget, Generation, Promote, Start
from gateway.engines.llama_settings import LlamaSettings
from gateway.engines.llama_steps import Counters
from gateway.engines.llama_worker import LlamaWorker
from gateway.errors import ChatError

__all__ = ["LlamaChat", "LlamaLoad", "LlamaSettings"]


@dataclass(frozen=True, slots=True)
class LlamaLoad(EngineLoad):
    """How busy the engine was after its last step.

    Attributes:
        running: generations (and shared prefixes) in the batch.
        step_seconds: age of the step in flight, 0 when idle; large when the model hangs.
    """

    running: int = 0
    step_seconds: float = 0.0


class LlamaChat:
    """Chat model in a GGUF file, served to many calls at once.

    The constructor loads the model and blocks for as long as that takes; the methods never block.

    Greedy replies are those of the sequence running alone, up to rounding: a sum over a batch or
    over other cache cells may be rounded differently, and then a near tie can fall the other way.
    Flash attention on and off differ in the same manner.

    Raises:
        ModelError: the model file is missing, damaged, or cannot serve calls.
    """

    def __init__(self, settings: LlamaSettings) -> None:
        self._ids = itertools.count()
        self._worker = LlamaWorker(settings)

    def check_system_prompt(self, text: str) -> None:
        """Make sure at start that a system prompt leaves room for a conversation.

        Raises:
            ModelError: it does not; the message says how long it is and what fits.
        """
        self._worker.prompts.check_system_prompt(text)

    async def warm_up(self, system_prompt: str) -> None:
        """Prefill the prefix that all calls with this system prompt share.

        Raises:
            ChatError: the model failed, or the system prompt is too long.
        """
        async for _ in self._generate(None, system_prompt):
            pass

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        """Generate a reply (see ``ChatModel.stream``); work begins with the first piece asked for.

        Raises:
            ChatError: the model failed.
            ChatBusyError: there is no room for this reply, or no longer for a guess.
        """
        pieces = self._generate(request)
        try:
            async for piece in pieces:
                yield piece
        finally:
            await pieces.aclose()

    def promote(self, call_id: str) -> None:
        """Serve the call's speculative reply as FINAL from now on: its turn is over."""
        self._worker.send(Promote(call_id))

    def forget(self, call_id: str) -> None:
        """Free the sequence kept for a call; unknown ids are fine."""
        self._worker.send(Forget(call_id))

    async def close(self) -> None:
        """Fail what is running with ChatError, free the model, wait until that is done."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        self._worker.stop(lambda: loop.call_soon_threadsafe(ended.set))
        await ended.wait()

    @property
    def counters(self) -> Counters:
        """Totals since start, as of the last step."""
        return self._worker.counters

    @property
    def current_load(self) -> LlamaLoad:
        """How busy the engine is, for admission and health checks."""
        worker = self._worker
        since = worker.waiting_since
        return LlamaLoad(
            waiting=worker.waiting,
            wait_s=0.0 if since is None else time.monotonic() - since,
            step_s=worker.decode_seconds,
            running=worker.running,
            step_seconds=worker.step_seconds(),
        )

    async def _generate(
        self, request: ChatRequest | None, system_prompt: str = ""
    ) -> AsyncGenerator[str, None]:
        loop = asyncio.get_running_loop()
        generation = Generation(next(self._ids), loop, request, system_prompt)
        if not self._worker.send(Start(generation)):
            raise ChatError("the chat model was closed")
        over = False
        try:
            while True:
                item = await generation.items.get()
                match item:
                    case str():
                        yield item
                    case Done():
                        over = True
                        return
                    case ChatError():
                        over = True
                        raise item
        finally:
            if not over:
                self._worker.send(Cancel(generation.id))
