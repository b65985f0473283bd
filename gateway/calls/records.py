"""What happened in a call, turn by turn: stamps beside the work, read out once a turn is over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnLatency:
    """Where the time between the caller's last word and the reply's first audio went, in ms.

    The five stages are consecutive, so their sum is ``voice_to_voice_ms`` exactly. Work done ahead
    of the end-of-turn decision (speculation) counts in its own stage; ``endpoint_ms`` holds only
    the waiting that nothing else filled.
    """

    endpoint_ms: float
    stt_ms: float
    chat_ms: float
    tts_ms: float
    send_ms: float

    @property
    def voice_to_voice_ms(self) -> float:
        """End of the caller's speech to the first reply audio handed to the socket."""
        return self.endpoint_ms + self.stt_ms + self.chat_ms + self.tts_ms + self.send_ms


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One exchange: what the caller said, what the caller then heard, and how long it took.

    Attributes:
        turn: number of the caller's turn, from 1; 0 for a reply nobody asked for (the greeting).
        caller_text: final transcript of the turn ("" for the greeting).
        assistant_text: the part of the reply that was heard.
        interrupted: the caller spoke over the reply and stopped it.
        speculation_used: the reply was prepared before the turn was known to be over.
        decision_to_audio_ms: end-of-turn decision to first audio handed to the socket.
        latency: None for a reply that answers no speech, or that was never heard.
    """

    call_id: str
    turn: int
    language: str
    caller_text: str
    assistant_text: str
    interrupted: bool
    speculation_used: bool
    decision_to_audio_ms: float | None
    latency: TurnLatency | None
