"""A local chat model with a remote one behind it, which takes over in mid-reply, unheard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import NoReturn

from gateway.engines.base import (
    ChatMessage,
    ChatModel,
    ChatRequest,
    EngineLoad,
    Measured,
    Priority,
)
from gateway.engines.breaker import BreakerPolicy, CircuitBreaker, Permit
from gateway.engines.continuation import Continuation, WholeWords
from gateway.errors import ChatBusyError, ChatError

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Asked:
    """What a running reply was asked for.

    Attributes:
        request: FINAL as soon as its turn is over.
        wait: for the first piece of a guess, without a limit while it is one.
    """

    request: ChatRequest
    wait: asyncio.Timeout | None = None

    @property
    def is_guess(self) -> bool:
        return self.request.priority is not Priority.FINAL


class FallbackChat:
    """Replies come from ``local`` while that works, else from ``remote``.

    The remote model takes over when the local one fails, is too busy, or keeps a caller waiting:
    before the first word it writes the reply, later it continues it. A circuit breaker keeps
    callers from waiting for a local model that is down, and tries now and then whether it is back.
    A guess that the local model drops to make room is not asked for again: nobody waits for it yet.

    Args:
        first_token_timeout_s: longest wait for the local model's next piece, once the turn is
            over: a speculative reply may wait for as long as it is only a guess.
    """

    def __init__(
        self,
        local: ChatModel,
        remote: ChatModel,
        *,
        first_token_timeout_s: float,
        breaker: BreakerPolicy | None = None,
    ) -> None:
        self._local = local
        self._remote = remote
        self._timeout_s = first_token_timeout_s
        self._breaker = CircuitBreaker(breaker)
        self._guesses: dict[str, _Asked] = {}
        """Running speculative replies, by call."""

    @property
    def local_is_down(self) -> bool:
        """Is the local model left alone, but for probes?"""
        return self._breaker.is_open

    @property
    def current_load(self) -> EngineLoad:
        """How busy the local model is; nothing while it is left alone."""
        if self.local_is_down or not isinstance(self._local, Measured):
            return EngineLoad()
        return self._local.current_load

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        """Generate a reply (see ``ChatModel.stream``).

        Raises:
            ChatError: both models failed.
            ChatBusyError: the local one dropped a guess.
        """
        asked = _Asked(request)
        if asked.is_guess:
            self._guesses[request.call_id] = asked
        try:
            async with aclosing(self._reply(asked)) as pieces:
                async for text in pieces:
                    yield text
        finally:
            if self._guesses.get(request.call_id) is asked:
                del self._guesses[request.call_id]

    async def _reply(self, asked: _Asked) -> AsyncGenerator[str, None]:
        """The reply of the local model, else of the remote one, else of the local one after all."""
        said = ""
        failure: ChatError | None = None
        if permit := self._breaker.allow(_now()):
            async with aclosing(self._guarded(asked, permit)) as words:
                try:
                    async for text in words:
                        said += text
                        yield text
                    return
                except ChatError as error:
                    if asked.is_guess and isinstance(error, ChatBusyError):
                        raise
                    failure = error
            logger.warning("%s after %d characters; the remote model goes on", failure, len(said))
        async with aclosing(self._continued(asked.request, said)) as pieces:
            try:
                async for text in pieces:
                    said += text
                    yield text
                return
            except ChatError as error:
                if failure is not None or said:
                    _both_failed(failure, error)
                logger.warning("%s; the local model is tried after all", error)
        async with aclosing(self._timed(asked)) as pieces:
            async for text in pieces:
                yield text

    def promote(self, call_id: str) -> None:
        """Serve the call's speculative reply as FINAL, and limit its wait, from now on."""
        guess = self._guesses.pop(call_id, None)
        if guess is not None:
            guess.request = replace(guess.request, priority=Priority.FINAL)
            if guess.wait is not None:
                guess.wait.reschedule(_now() + self._timeout_s)
        self._local.promote(call_id)
        self._remote.promote(call_id)

    def forget(self, call_id: str) -> None:
        """Free whatever either model keeps for a call."""
        self._local.forget(call_id)
        self._remote.forget(call_id)

    async def close(self) -> None:
        """Close both models."""
        try:
            await self._local.close()
        finally:
            await self._remote.close()

    async def _guarded(self, asked: _Asked, permit: Permit) -> AsyncGenerator[str, None]:
        """The local model's reply in whole words; tells the breaker how it went."""
        words = WholeWords()
        serves = False
        try:
            async with aclosing(self._timed(asked)) as pieces:
                async for piece in pieces:
                    serves = True
                    if text := words.push(piece):
                        yield text
            self._breaker.succeeded()
        except ChatBusyError:
            self._breaker.abandoned(permit)
            raise
        except ChatError:
            self._breaker.failed(permit, _now())
            raise
        except BaseException:
            # The caller interrupted or hung up: what came until then was good.
            if serves:
                self._breaker.succeeded()
            else:
                self._breaker.abandoned(permit)
            raise
        if text := words.flush():
            yield text

    async def _timed(self, asked: _Asked) -> AsyncGenerator[str, None]:
        """The local model's pieces, none of them later than the limit."""
        async with aclosing(self._local.stream(asked.request)) as pieces:
            may_wait = asked.is_guess
            while True:
                try:
                    # Only the wait counts, not the time the reader takes between two pieces.
                    async with asyncio.timeout(None) as limit:
                        if may_wait:
                            asked.wait = limit
                        else:
                            limit.reschedule(_now() + self._timeout_s)
                        piece = await anext(pieces, None)
                except TimeoutError as error:
                    text = f"the chat model gave no token for {self._timeout_s:g} s"
                    raise ChatError(text) from error
                finally:
                    asked.wait = None
                may_wait = False
                if piece is None:
                    return
                yield piece

    async def _continued(self, request: ChatRequest, said: str) -> AsyncGenerator[str, None]:
        """The remote model's reply, or what is missing of it, without what was said already."""
        if said:
            begun = ChatMessage("assistant", said.rstrip())
            request = replace(request, messages=(*request.messages, begun))
        unheard = Continuation(said)
        async with aclosing(self._remote.stream(request)) as pieces:
            async for piece in pieces:
                if text := unheard.push(piece):
                    yield text
        if text := unheard.flush():
            yield text


def _both_failed(local: ChatError | None, remote: ChatError) -> NoReturn:
    if local is None:
        raise remote
    raise ChatError(f"both chat models failed: {local}; {remote}") from remote


def _now() -> float:
    return asyncio.get_running_loop().time()
