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

    def summary(self) -> str:
        """One line for an operator; holds no word of what was said."""
        line = f"turn {self.turn} in {self.language}"
        if self.interrupted:
            line += ", interrupted"
        if self.latency is None:
            return line
        stages = self.latency
        return (
            f"{line}: voice to voice {stages.voice_to_voice_ms:.0f} ms"
            f" (endpoint {stages.endpoint_ms:.0f}, stt {stages.stt_ms:.0f},"
            f" chat {stages.chat_ms:.0f}, tts {stages.tts_ms:.0f}, send {stages.send_ms:.0f})"
        )


@dataclass(slots=True)
class _Transcription:
    speech_ended: float
    ordered: float
    ready: float | None = None


@dataclass(slots=True)
class _ReplyStamps:
    generation: int
    turn: int
    language: str
    started: float
    transcription: _Transcription | None
    caller_text: str = ""
    first_clause: float | None = None
    first_speech: float | None = None
    released: float | None = None
    first_audio: float | None = None


class Stopwatch:
    """Stamps the way of each turn through the engines; times are call times in seconds.

    Keeps the transcriptions of one turn and the stamps of one reply, because only the newest of
    either can still be heard.
    """

    def __init__(self) -> None:
        self._transcriptions: dict[tuple[int, int], _Transcription] = {}
        self._reply: _ReplyStamps | None = None

    def transcribe_ordered(self, turn: int, revision: int, speech_ended: float, now: float) -> None:
        """Recognition of a pause's audio was ordered."""
        self._transcriptions = {k: v for k, v in self._transcriptions.items() if k[0] == turn}
        self._transcriptions[turn, revision] = _Transcription(speech_ended, now)

    def transcript_ready(self, turn: int, revision: int, now: float) -> None:
        """A transcript came back."""
        if transcription := self._transcriptions.get((turn, revision)):
            transcription.ready = now

    def reply_started(
        self, generation: int, turn: int, revision: int, language: str, now: float
    ) -> None:
        """Preparation of a reply began."""
        transcription = self._transcriptions.get((turn, revision))
        self._reply = _ReplyStamps(generation, turn, language, now, transcription)

    def reply_begun(self, generation: int, now: float) -> None:
        """Preparation of the reply begins only now: it had to wait for the end of the turn."""
        if reply := self._matching(generation):
            reply.started = now

    def turn_committed(self, turn: int, text: str) -> None:
        """The turn that the reply answers is over."""
        if self._reply is not None and self._reply.turn == turn:
            self._reply.caller_text = text

    def first_clause(self, generation: int, now: float) -> None:
        """The chat model has written something speakable; later calls change nothing."""
        reply = self._matching(generation)
        if reply is not None and reply.first_clause is None:
            reply.first_clause = now

    def first_speech(self, generation: int, now: float) -> None:
        """The voice has spoken the first piece; later calls change nothing."""
        reply = self._matching(generation)
        if reply is not None and reply.first_speech is None:
            reply.first_speech = now

    def released(self, generation: int, now: float) -> None:
        """The reply may be heard: the turn is over."""
        if reply := self._matching(generation):
            reply.released = now

    def first_audio(self, generation: int, now: float) -> None:
        """Audio goes to the socket; the first of the reply counts, not a "one moment" before it."""
        reply = self._matching(generation)
        if reply is not None and reply.first_audio is None and reply.first_speech is not None:
            reply.first_audio = now

    def _matching(self, generation: int) -> _ReplyStamps | None:
        reply = self._reply
        return reply if reply is not None and reply.generation == generation else None

    def record(
        self, call_id: str, generation: int, heard: str, interrupted: bool
    ) -> TurnRecord | None:
        """The finished exchange, or None for a generation that is not the newest."""
        reply = self._matching(generation)
        if reply is None:
            return None
        waited = None
        if reply.released is not None and reply.first_audio is not None:
            waited = (reply.first_audio - reply.released) * 1000
        return TurnRecord(
            call_id=call_id,
            turn=reply.turn,
            language=reply.language,
            caller_text=reply.caller_text,
            assistant_text=heard,
            interrupted=interrupted,
            speculation_used=reply.released is not None and reply.started < reply.released,
            decision_to_audio_ms=waited,
            latency=_latency(reply),
        )


def _latency(reply: _ReplyStamps) -> TurnLatency | None:
    """The chain speech end -> order -> transcript -> clause -> speech -> audio, in stages.

    Waiting for the decision that the turn is over is endpointing time, be it before the reply was
    begun or after it was ready; only what follows the decision is sending.
    """
    heard = reply.transcription
    if heard is None or heard.ready is None:
        return None
    clause, speech, released, audio = (
        reply.first_clause,
        reply.first_speech,
        reply.released,
        reply.first_audio,
    )
    if clause is None or speech is None or released is None or audio is None:
        return None
    may_leave = max(released, speech)
    begun = max(heard.ready, min(reply.started, clause))
    return TurnLatency(
        endpoint_ms=(
            (heard.ordered - heard.speech_ended) + (begun - heard.ready) + (may_leave - speech)
        )
        * 1000,
        stt_ms=(heard.ready - heard.ordered) * 1000,
        chat_ms=(clause - begun) * 1000,
        tts_ms=(speech - clause) * 1000,
        send_ms=(audio - may_leave) * 1000,
    )
