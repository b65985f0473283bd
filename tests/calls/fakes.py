"""Engines and a transport that do what a test tells them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import numpy as np

from gateway.audio.pcm import Samples, seconds
from gateway.engines.base import (
    ChatRequest,
    Need,
    Speech,
    TranscribeRequest,
    Transcript,
    Word,
    at_once,
)
from gateway.errors import ChatError, SynthesisError, TranscriptionError
from gateway.protocols.base import Role


class FakeTranscriber:
    """Gives the prepared texts one after another; raises where a text is None."""

    def __init__(self, *texts: str | None, delay_s: float = 0.05) -> None:
        self.texts = list(texts)
        self.delay_s = delay_s
        self.requests: list[TranscribeRequest] = []

    async def transcribe(self, request: TranscribeRequest) -> Transcript:
        self.requests.append(request)
        await asyncio.sleep(self.delay_s)
        text = self.texts.pop(0) if self.texts else ""
        if text is None:
            raise TranscriptionError("no recogniser")
        return Transcript(text, "en")

    async def close(self) -> None:
        pass


class FakeChat:
    """Answers every prompt with the same words, one at a time; fails where words are None."""

    def __init__(self, *replies: str | None, delay_s: float = 0.02) -> None:
        self.replies = list(replies)
        self.delay_s = delay_s
        self.requests: list[ChatRequest] = []
        self.promoted: list[str] = []
        self.forgotten: list[str] = []
        self.running = 0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        self.running += 1
        try:
            if reply is None:
                raise ChatError("no model")
            for word in reply.split(" "):
                await asyncio.sleep(self.delay_s)
                yield word + " "
        finally:
            self.running -= 1

    def promote(self, call_id: str) -> None:
        self.promoted.append(call_id)

    def forget(self, call_id: str) -> None:
        self.forgotten.append(call_id)

    async def close(self) -> None:
        pass


class FakeSynthesizer:
    """Speaks 100 ms of noise per word; fails on the word "broken"."""

    def __init__(self, delay_s: float = 0.03) -> None:
        self.delay_s = delay_s
        self.spoken: list[tuple[str, str]] = []
        self.needs: list[float] = []
        """When the speech of each was needed, asked when its time had passed."""

    async def stream(
        self, text: str, language: str, needed: Need = at_once
    ) -> AsyncGenerator[Speech, None]:
        self.spoken.append((text, language))
        await asyncio.sleep(self.delay_s)
        self.needs.append(needed())
        if "broken" in text:
            raise SynthesisError("no voice")
        words = tuple(Word(word, 1600 * count) for count, word in enumerate(text.split(), 1))
        noise = np.random.default_rng(len(text)).normal(0, 2000, 1600 * len(words))
        yield Speech(noise.astype(np.int16), words)

    async def close(self) -> None:
        pass


class RecordingTransport:
    """Keeps what was sent and when."""

    max_lead_s = 0.1

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.audio: list[tuple[float, int]] = []
        self.transcripts: list[tuple[Role, str]] = []
        self.wants_partials = False
        self.partials: list[str] = []
        self.drops: list[float] = []

    def drop_audio(self) -> None:
        self.drops.append(self._clock())

    def send_audio(self, samples: Samples) -> None:
        self.audio.append((self._clock(), len(samples)))

    def send_transcript(self, role: Role, text: str, utterance: int) -> None:
        self.transcripts.append((role, text))

    def send_partial(self, text: str, utterance: int, language: str) -> None:
        self.partials.append(text)

    @property
    def sent_s(self) -> float:
        """Audio sent so far, in seconds."""
        return seconds(sum(count for _, count in self.audio))

    def most_ahead_s(self) -> float:
        """Largest lead over real-time playout at any moment, in seconds."""
        plays_until, most = 0.0, 0.0
        for at, count in self.audio:
            plays_until = max(plays_until, at) + seconds(count)
            most = max(most, plays_until - at)
        return most
