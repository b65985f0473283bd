"""Engines that give again what those of a recorded call gave, after the same delays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import numpy as np

from gateway.audio.pcm import SAMPLE_RATE, Samples, seconds
from gateway.conversation.events import TranscriptFailed
from gateway.engines.base import (
    ChatRequest,
    Need,
    Speech,
    TranscribeRequest,
    Transcript,
    Word,
    at_once,
)
from gateway.errors import TranscriptionError
from gateway.replay.material import SpokenReply, Transcripts

_CHAR_S = 0.065
_UNKNOWN_DELAY_S = 0.2
"""Length of speech per character, and time to first speech, of words that were not recorded."""


class RecordedTranscriber:
    """Recognises what was recognised in the same audio of the recording."""

    def __init__(self, transcripts: Transcripts, clock: Callable[[], float]) -> None:
        self._transcripts = transcripts
        self._clock = clock

    async def transcribe(self, request: TranscribeRequest) -> Transcript:
        """The recorded words of audio that ends now.

        Raises:
            TranscriptionError: recognition of the same audio failed in the recording.
        """
        end = self._clock()
        recognised = self._transcripts.of(end - seconds(len(request.samples)), end)
        if recognised is None:
            return Transcript("", request.language or "en")
        await asyncio.sleep(recognised.delay)
        match recognised.result:
            case TranscriptFailed(_, _, reason):
                raise TranscriptionError(reason)
            case ready:
                return Transcript(
                    ready.text, ready.language, ready.language_probability, ready.avg_logprob
                )

    async def close(self) -> None:
        """Nothing to free."""


class RecordedChat:
    """Answers with the recorded reply to the same words, else with the nearest one in time."""

    def __init__(self, replies: Sequence[SpokenReply], clock: Callable[[], float]) -> None:
        self._replies = [reply for reply in replies if not reply.scripted]
        self._clock = clock

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        """The reply, piece by piece, each when its speech was ready in the recording."""
        now, said = self._clock(), request.messages[-1].content
        reply = min(
            self._replies,
            key=lambda r: (r.asked != said, not r.complete, abs(r.asked_at - now)),
            default=None,
        )
        if reply is None:
            await asyncio.sleep(_UNKNOWN_DELAY_S)
            yield "(no reply was recorded)"
            return
        for part in reply.parts:
            await asyncio.sleep(part.gap)
            yield " ".join(word for word, _ in part.words) + " "

    def promote(self, call_id: str) -> None:
        """Every reply comes when it came."""

    def forget(self, call_id: str) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing to free."""


class RecordedVoice:
    """Speaks recorded words with their recorded lengths; what was never sent sounds as silence."""

    def __init__(self, replies: Sequence[SpokenReply]) -> None:
        self._replies = [(reply, reply.words) for reply in replies]

    async def stream(
        self, text: str, language: str, needed: Need = at_once
    ) -> AsyncGenerator[Speech, None]:
        """One piece of speech; fixed phrases take their recorded time, a reply's took it before."""
        words = text.split()
        for reply, spoken in self._replies:
            first = _find(words, spoken)
            if first is not None:
                if reply.scripted:
                    await asyncio.sleep(_gap(reply, first))
                yield _cut(reply, first, len(words))
                return
        await asyncio.sleep(_UNKNOWN_DELAY_S)
        length = int(len(text) * _CHAR_S * SAMPLE_RATE)
        ends = (length * n // len(words) for n in range(1, len(words) + 1))
        yield Speech(np.zeros(length, dtype=np.int16), tuple(map(Word, words, ends)))

    async def close(self) -> None:
        """Nothing to free."""


def _find(words: Sequence[str], spoken: Sequence[str]) -> int | None:
    """Where the words stand, one after another, among those spoken."""
    count = len(words)
    starts = (n for n in range(len(spoken) - count + 1) if spoken[n : n + count] == words)
    return next(starts, None) if count else None


def _gap(reply: SpokenReply, word: int) -> float:
    """Time that the part with this word took in the recording, in seconds."""
    for part in reply.parts:
        if word < len(part.words):
            return part.gap
        word -= len(part.words)
    return 0.0


def _cut(reply: SpokenReply, first: int, count: int) -> Speech:
    """Some words of a reply with their audio; silence at the end of a part goes with its words."""
    ends, borders, offset = [], [0], 0
    for part in reply.parts:
        ends += [offset + end for _, end in part.words]
        borders += [offset + end for _, end in part.words[:-1]]
        offset += part.samples
        borders.append(offset)
    start, end = borders[first], borders[first + count]
    known: Samples = reply.audio[start:end]
    samples = np.concatenate((known, np.zeros(end - start - len(known), dtype=np.int16)))
    words = zip(reply.words[first : first + count], ends[first : first + count], strict=True)
    return Speech(samples, tuple(Word(word, min(at, end) - start) for word, at in words))
