"""The seam between a connection and the call it carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.audio.pcm import Samples
from gateway.events import EdgeEvent
from gateway.protocols.base import Role


class CallTransport(Protocol):
    """What a call may do to its connection: all synchronous, never blocking."""

    max_lead_s: float
    """Audio that may be sent ahead of real time, seconds."""

    def send_audio(self, samples: Samples) -> None:
        """Queue audio for the caller."""
        ...

    @property
    def wants_partials(self) -> bool:
        """Whether the far side asked for the caller's words while they are being said."""
        ...

    def drop_audio(self) -> None:
        """Drop what still waits to be sent, where the network is slower than the call."""
        ...

    def send_transcript(self, role: Role, text: str, utterance: int) -> None:
        """Queue finished words of either side; ``utterance`` numbers those of each side."""
        ...

    def send_partial(self, text: str, utterance: int, language: str) -> None:
        """Queue what the caller has said so far."""
        ...


class RunningCall(Protocol):
    """What a connection sees of a call."""

    def deliver(self, event: EdgeEvent) -> None:
        """Take one event; never blocks, never raises on a bad event."""
        ...

    async def run(self) -> None:
        """Carry the conversation; returns when the call is over."""
        ...

    def drain(self) -> None:
        """Finish the current sentence, then end."""
        ...


CallFactory = Callable[[str, CallTransport], RunningCall]
"""Makes the call for a call id and its transport."""
