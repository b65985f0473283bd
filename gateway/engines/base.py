"""What the gateway asks of its three engines.

Each engine is one shared object for all calls. Implementations run their model in threads, join
work across calls, and raise only the matching EngineError while serving. All audio is int16,
16 kHz, mono; languages are ISO 639-1 codes.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol, runtime_checkable

from gateway.audio.pcm import Samples


class Priority(IntEnum):
    """Order of service when an engine is busy: smaller goes first."""

    FINAL = 0
    SPECULATIVE = 1
    PARTIAL = 2


Need = Callable[[], float]
"""When something is needed that an engine was asked for, in monotonic seconds: in the past if it is
missing already, infinity while nobody knows whether it ever is. Engines ask whenever they choose
what to do next, in any of their threads, so the answer may change meanwhile."""


def at_once() -> float:
    """The `Need` of what somebody waits for: since it was asked for."""
    return -math.inf


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy an engine is at this moment.

    Attributes:
        waiting: requests that have not begun.
        wait_s: how long the oldest of them has waited, in seconds; guesses do not count, because
            they may wait, nor does what is needed much later.
        step_s: what one step takes that all running replies share, in seconds; 0 where there is
            none.
    """

    waiting: int = 0
    wait_s: float = 0.0
    step_s: float = 0.0


@runtime_checkable
class Measured(Protocol):
    """An engine on this machine, which tells how busy it is."""

    @property
    def current_load(self) -> EngineLoad:
        """How busy the engine is now; costs next to nothing."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TranscribeRequest:
    """Speech to recognise.

    Attributes:
        samples: int16, 16 kHz mono, any length (0 samples give an empty transcript).
        language: pinned language, or None to detect it among the configured ones.
        priority: order of service under load.
    """

    samples: Samples
    language: str | None = None
    priority: Priority = Priority.FINAL


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was recognised.

    Attributes:
        text: recognised words, stripped; empty when nothing was said (noise, silence, or a result
            the adapter judged to be a hallucination).
        language: language the text is in.
        language_probability: 1.0 when the language was pinned.
        avg_logprob: mean log-probability per token (natural log), <= 0.
    """

    text: str
    language: str
    language_probability: float = 1.0
    avg_logprob: float = 0.0


class Transcriber(Protocol):
    """Speech to text."""

    async def transcribe(self, request: TranscribeRequest) -> Transcript:
        """Recognise one utterance.

        Cancelling the awaiting task drops the request if its batch has not started.

        Raises:
            TranscriptionError: the model failed.
        """
        ...

    async def close(self) -> None:
        """Finish running work and free the model."""
        ...


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the prompt, in the roles every chat template knows."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Tool:
    """Something a reply may call, as ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``.

    Attributes:
        name: name of the function.
        parameters: JSON schema of its arguments (an object), as JSON text.
    """

    name: str
    parameters: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A reply to generate.

    Attributes:
        call_id: whose conversation this is; lets the engine keep its prefix between turns.
        messages: whole prompt, system message first.
        max_tokens: upper bound on generated tokens.
        temperature: 0 means greedy.
        top_p, min_p, repeat_penalty, seed: of the choice of tokens, as far as an engine has them.
        stop: texts that end the reply; none of them is part of it.
        priority: SPECULATIVE while the turn is not known to be over.
        tools: what the reply may call; from ``<tool_call>`` on it can only become a valid call of
            one of them. Without tools nothing is constrained.
    """

    call_id: str
    messages: tuple[ChatMessage, ...]
    max_tokens: int = 120
    temperature: float = 0.0
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    priority: Priority = Priority.FINAL
    tools: tuple[Tool, ...] = ()


class ChatModel(Protocol):
    """Conversation to reply."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        """Generate a reply as pieces of text, whole characters only, in order.

        Closing the generator (``aclose``, or cancelling the task that iterates it) stops the
        generation within one token. A prompt longer than the context loses its oldest turns, never
        its system message.

        Raises:
            ChatError: the model failed.
        """
        ...

    def promote(self, call_id: str) -> None:
        """Serve the call's speculative reply as FINAL from now on: its turn is over."""
        ...

    def forget(self, call_id: str) -> None:
        """Free whatever is kept for a call that has ended; unknown ids are fine."""
        ...

    async def close(self) -> None:
        """Stop running generations and free the model."""
        ...


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text as it is spoken.

    Attributes:
        text: the word as it is written, with its punctuation.
        end: samples (16 kHz) from the start of its Speech to the end of the word.
    """

    text: str
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """A part of a text, spoken.

    Attributes:
        samples: int16, 16 kHz mono, never empty.
        words: the words that end in it, in order; their ends never decrease and lie within.
    """

    samples: Samples
    words: tuple[Word, ...]


class Synthesizer(Protocol):
    """Text to speech."""

    def stream(
        self, text: str, language: str, needed: Need = at_once
    ) -> AsyncGenerator[Speech, None]:
        """Speak a piece of text, in order, at one steady loudness.

        The words of all its speech are the text's words, each exactly once. Text without anything
        speakable yields nothing. Closing the generator stops the synthesis
        before its next sentence.

        Args:
            needed: when the speech that comes next is needed; what is needed first goes first.

        Raises:
            SynthesisError: the voice failed.
        """
        ...

    async def close(self) -> None:
        """Finish running work and free the voices."""
        ...
