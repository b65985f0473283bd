"""What the conversation hears of besides the edge events: results of its own commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gateway.audio.pcm import Samples
from gateway.events import EdgeEvent


@dataclass(frozen=True, slots=True)
class TranscriptReady:
    """Result of one Transcribe; ``text`` is empty when nothing was said.

    ``avg_logprob`` (mean log-probability per token, <= 0) tells how sure the recogniser is.
    """

    turn: int
    revision: int
    text: str
    language: str
    language_probability: float = 1.0
    avg_logprob: float = 0.0


@dataclass(frozen=True, slots=True)
class TranscriptFailed:
    """One Transcribe came to nothing; ``may_retry`` is False where another would too."""

    turn: int
    revision: int
    reason: str
    may_retry: bool = True


@dataclass(frozen=True, slots=True)
class PartialReady:
    """Result of one TranscribePartial."""

    turn: int
    number: int
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class SpeechQueued:
    """The next piece of a reply has been synthesised.

    Attributes:
        words: each word in it, and where it ends in samples (16 kHz) from the piece's start.
        samples: length of the piece.
    """

    generation: int
    words: tuple[tuple[str, int], ...]
    samples: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """Everything a reply has to say has been queued."""

    generation: int


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    """A reply broke off; what was already queued will not be finished.

    Attributes:
        code: tells whose fault it was.
        gave_way: it was dropped for others that somebody waited for, when it was held as yet.
    """

    generation: int
    reason: str
    code: Literal["llm_unavailable", "tts_unavailable"] = "llm_unavailable"
    gave_way: bool = False


@dataclass(frozen=True, slots=True)
class PlayoutStarted:
    """The first audio of a reply is about to leave."""

    generation: int


@dataclass(frozen=True, slots=True)
class SpeechSent:
    """Samples of a reply left for the far side, which plays them as they arrive.

    ``audio`` is what they sounded like (int16, 16 kHz), to recognise its echo; None if unknown.
    """

    generation: int
    samples: int
    audio: Samples | None = field(default=None, compare=False)


CoreEvent: TypeAlias = (
    EdgeEvent
    | TranscriptReady
    | TranscriptFailed
    | PartialReady
    | SpeechQueued
    | ReplyEnded
    | ReplyFailed
    | PlayoutStarted
    | SpeechSent
)
