"""Prepares one reply: words from the chat model, cut into pieces, spoken, enqueued."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import assert_never

from gateway.calls.player import Player
from gateway.calls.records import Stopwatch
from gateway.conversation.chunker import Chunker
from gateway.conversation.commands import Prompt, Script, StartReply, Utterance
from gateway.conversation.events import CoreEvent, ReplyEnded, ReplyFailed, SpeechQueued
from gateway.conversation.history import marked
from gateway.conversation.loops import LoopWatch
from gateway.conversation.markup import plain
from gateway.engines.base import ChatMessage, ChatModel, ChatRequest, Priority, Synthesizer
from gateway.errors import ChatBusyError, ChatError, EngineError, SynthesisError
from gateway.receptionist.tool_calls import ToolCallFilter

log = logging.getLogger(__name__)

_PIECES_AHEAD = 2
"""Pieces of text that are spoken while a reply is held."""


class ReplyTask:
    """One reply from StartReply to ReplyEnded or ReplyFailed; cancelled as a unit.

    Args:
        request: the chat request for a prompt's utterances.
        feed: takes SpeechQueued, ReplyEnded and ReplyFailed.
        clock: monotonic seconds, for the stopwatch.
        ahead: prepare a held reply at once; otherwise nothing is done before its release.
    """

    def __init__(
        self,
        command: StartReply,
        *,
        chat: ChatModel,
        request: Callable[[tuple[Utterance, ...], Priority], ChatRequest],
        synthesizer: Synthesizer,
        player: Player,
        feed: Callable[[CoreEvent], None],
        stopwatch: Stopwatch,
        clock: Callable[[], float],
        ahead: bool = True,
    ) -> None:
        self._command = command
        self._chat = chat
        self._request = request
        self._synthesizer = synthesizer
        self._player = player
        self._feed = feed
        self._stopwatch = stopwatch
        self._clock = clock
        # Bounded by the longest reply only: a failure of the model must not wait behind its words,
        # or a guess that gives way would be noticed when the caller already waits for it.
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self._ahead = ahead
        self._guess = False
        """Whether the chat model was asked before it was known that the turn is over."""
        self._released = asyncio.Event()
        if not command.hold:
            self._released.set()

    def release(self) -> None:
        """The reply will be heard: speak on without holding back."""
        self._released.set()

    async def run(self) -> None:
        """Prepare the whole reply.

        Engine errors end as ReplyFailed; anything else is a bug and propagates.
        """
        generation = self._command.generation
        if not self._ahead:
            await self._released.wait()
            self._stopwatch.reply_begun(generation, self._clock())
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._think(), name=f"think {generation}")
                tasks.create_task(self._speak(), name=f"speak {generation}")
        except* EngineError as failed:
            error = failed.exceptions[0]
            log.warning("reply failed: %s", error)
            self._player.complete(generation)
            self._feed(
                ReplyFailed(
                    generation,
                    str(error),
                    "tts_unavailable" if isinstance(error, SynthesisError) else "llm_unavailable",
                    gave_way=self._guess and isinstance(error, ChatBusyError),
                )
            )
        else:
            self._player.complete(generation)
            self._feed(ReplyEnded(generation))

    async def _think(self) -> None:
        chunker, tool_calls, loops = Chunker(), ToolCallFilter(), LoopWatch()
        begun = False
        looped = 0  # characters of a loop that the reply has run into
        async with aclosing(self._words()) as words:
            async for delta in words:
                spoken = tool_calls.push(delta)
                if looped := loops.push(spoken):
                    log.warning("the reply of the chat model repeats itself; cut off")
                    chunker.take_back(looped - len(spoken))
                    spoken = spoken[: max(0, len(spoken) - looped)]
                for piece in chunker.push(spoken):
                    self._put(piece)
                    begun = True
                if looped or tool_calls.ended:
                    break
        last = [*chunker.push(tool_calls.flush()), *chunker.flush()]
        if looped and not (begun or last):
            raise ChatError("the reply is nothing but a loop")
        for piece in last:
            self._put(piece)
        if tool_calls.calls:
            log.info(
                "the model asked for %d tool calls, which nothing carries out",
                len(tool_calls.calls),
            )
        if tool_calls.thought:
            log.warning("the chat model thinks before it answers, and the caller waits for that")
        self._pieces.put_nowait(None)

    def _put(self, piece: str) -> None:
        if text := plain(piece):
            self._stopwatch.first_clause(self._command.generation, self._clock())
            self._pieces.put_nowait(text)

    async def _words(self) -> AsyncGenerator[str, None]:
        match self._command.source:
            case Script(text):
                yield text
            case Prompt(utterances):
                # Released already when the transcript came after the end of the turn.
                self._guess = not self._released.is_set()
                priority = Priority.SPECULATIVE if self._guess else Priority.FINAL
                async with aclosing(
                    self._chat.stream(self._request(utterances, priority))
                ) as deltas:
                    async for delta in deltas:
                        yield delta
            case source:
                assert_never(source)

    async def _speak(self) -> None:
        generation, language = self._command.generation, self._command.language
        needed = partial(self._player.needed_at, generation)
        spoken = 0
        while (piece := await self._pieces.get()) is not None:
            if spoken >= _PIECES_AHEAD:
                await self._released.wait()
            async with aclosing(self._synthesizer.stream(piece, language, needed)) as parts:
                async for speech in parts:
                    self._stopwatch.first_speech(generation, self._clock())
                    words = tuple((word.text, word.end) for word in speech.words)
                    self._feed(SpeechQueued(generation, words, len(speech.samples)))
                    await self._player.enqueue(generation, speech.samples)
            spoken += 1


def chat_messages(system: str, utterances: tuple[Utterance, ...]) -> tuple[ChatMessage, ...]:
    """The conversation as a chat prompt, system message first.

    A reply that was interrupted holds the words that were heard, and the mark of a broken-off
    sentence: so the model knows what the caller does not know.
    """
    messages = [ChatMessage("system", system)]
    for said in utterances:
        words = marked(said)
        messages.append(ChatMessage("user" if said.speaker == "caller" else "assistant", words))
    return tuple(messages)
