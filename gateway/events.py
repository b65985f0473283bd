"""Edge events: what protocols report and the conversation understands.

Events are facts, named in the past tense. Samples are int16 arrays of 16 kHz mono; languages are
ISO 639-1 codes ("en", "ar", "ru").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gateway.audio.pcm import Samples


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The far side opened a call. ``language`` is pinned by the client, or None to detect it."""

    language: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AudioReceived:
    """Audio of the caller, any number of samples."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class TextReceived:
    """The caller typed a whole turn instead of speaking it."""

    text: str


@dataclass(frozen=True, slots=True)
class ReplyRequested:
    """The far side asks the assistant to speak now, without a new turn of the caller."""


@dataclass(frozen=True, slots=True)
class OptionsChanged:
    """The client changed the call's options: ``language`` pinned, or None to detect it again."""

    language: str | None


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over: ``reason`` is a short word for the log ("closed", "idle_timeout", …)."""

    reason: str


EdgeEvent: TypeAlias = (
    CallStarted | AudioReceived | TextReceived | ReplyRequested | OptionsChanged | CallEnded
)
