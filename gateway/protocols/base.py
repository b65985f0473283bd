"""What every wire protocol offers to the servers. Protocols are sans-I/O: messages in, events out.

A protocol object belongs to one socket, which may carry several calls told apart by call id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.audio.pcm import Samples
from gateway.errors import ProtocolError
from gateway.events import EdgeEvent

Role = Literal["caller", "assistant"]


@dataclass(slots=True)
class Received:
    """What one wire message meant.

    Attributes:
        events: (call id, event) in order; a CallStarted opens the call.
        answers: messages to send back, before anything that the events bring about; not at all
            when the call that they open or change is refused.
        errors: violations to answer on the wire, in order; the connection goes on.
        close: close code and reason when the connection must end now.
    """

    events: list[tuple[str, EdgeEvent]] = field(default_factory=list)
    answers: list[str | bytes] = field(default_factory=list)
    errors: list[ProtocolError] = field(default_factory=list)
    close: tuple[int, str] | None = None


class CallProtocol(Protocol):
    """Translates the messages of one socket; keeps no audio but what came before its call, and does
    no I/O.
    """

    max_lead_s: float
    """Audio that may be sent ahead of real time, seconds."""

    def receive(self, message: str | bytes, now: float) -> Received:
        """Translate one incoming message; ``now`` is a monotonic time in seconds."""
        ...

    def audio(self, call_id: str, samples: Samples) -> str | bytes:
        """The message that plays samples (int16, 16 kHz mono) to the caller."""
        ...

    def transcript(self, call_id: str, role: Role, text: str, utterance: int) -> str | bytes | None:
        """The message that reports finished words, or None when the protocol has no such thing.

        ``utterance`` numbers the utterances of each side, rising.
        """
        ...

    def wants_partials(self, call_id: str) -> bool:
        """Whether the client asked for words of the caller while they are being said."""
        ...

    def partial(self, call_id: str, text: str, utterance: int, language: str) -> str | bytes | None:
        """The message that reports what the caller has said so far, None for who did not ask."""
        ...

    def error(self, error: ProtocolError) -> str | bytes | None:
        """The message that reports a violation, or None when the protocol has no such thing."""
        ...

    def call_ended(self, call_id: str) -> None:
        """Forget a call that ended on our side."""
        ...
