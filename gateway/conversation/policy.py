"""Every threshold of turn-taking, with its default. Times are milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SpeechPolicy:
    """When frames of voice become speech.

    Attributes:
        start_ms: voice needed within ``start_window_ms`` before speech has started.
        pre_roll_ms: audio kept from before the detected start, so that no first sound is lost.
        max_part_ms: speech without a pause is cut here and recognised in parts; below the 30 s
            window of Whisper.
        settle_ms: a turn that goes on after a pause keeps the transcript of what was said before,
            instead of recognising it again, once that part is this long.
        stall_ms: no audio for this long counts as silence from then on: some clients stop sending
            when nobody speaks. Longer than the gaps of a jittery network.
    """

    start_ms: int = 60
    start_window_ms: int = 120
    pre_roll_ms: int = 240
    max_part_ms: int = 25_000
    settle_ms: int = 10_000
    stall_ms: int = 350


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """When the caller's turn is over.

    Attributes:
        pause_ms: silence that starts recognition and the speculative reply.
        end_ms: silence that ends the turn.
    """

    pause_ms: int = 200
    end_ms: int = 450


@dataclass(frozen=True, slots=True)
class BargeInPolicy:
    """When speech over the assistant stops it.

    Attributes:
        speech_ms: uninterrupted speech that counts as an interruption; shorter is a cough.
    """

    speech_ms: int = 250


@dataclass(frozen=True, slots=True)
class Phrases:
    """What the assistant says without asking the chat model, in one language.

    Attributes:
        greeting: first words of a call; empty for none.
        apology: said when an engine failed.
    """

    greeting: str
    apology: str


@dataclass(frozen=True, slots=True)
class Policy:
    """How one conversation is conducted.

    Attributes:
        default_language: language until the caller's is known.
        phrases: per language; must hold the default language.
    """

    default_language: str
    phrases: Mapping[str, Phrases]
    speech: SpeechPolicy = field(default_factory=SpeechPolicy)
    endpoint: EndpointPolicy = field(default_factory=EndpointPolicy)
    barge_in: BargeInPolicy = field(default_factory=BargeInPolicy)
