"""The caller: speaks one utterance after another, each when the assistant has answered the last.

Sans-I/O like the conversation it talks to: audio and transcripts go in with the call time, frames
of the caller's own line come out. The line is never mute: between utterances it carries silence, as
a telephone line does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import assert_never

import numpy as np

from gateway.audio.pcm import FRAME_SAMPLES, Samples, seconds
from gateway.simulator.far_end import FarEnd
from gateway.simulator.recording import Recording


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the caller waits, in seconds.

    Attributes:
        greeting: for a greeting to begin, before speaking first.
        answer: from the end of an utterance to the first sound of its answer; for as long, a
            silence does not end a reply whose transcript has not come.
        reply: for one reply to come to its end.
        pause: silence after a reply before the caller takes the turn.
        transcript: after that, silence that ends a reply even though its transcript never came.
    """

    greeting: float = 2.5
    answer: float = 20.0
    reply: float = 60.0
    pause: float = 0.6
    transcript: float = 2.5


@dataclass(slots=True)
class Exchange:
    """One utterance of the caller and what came back; the greeting has no utterance.

    Attributes:
        caller_text: transcript of the caller's words as the gateway sent it.
        assistant_text: transcript of the reply as the gateway sent it.
        speech_end_s: call time at which the caller's speech ended.
        answered_s: call time at which the first audio of the answer arrived.
        cut_off: the answer began while the caller still spoke, and went on.
        underruns: gaps inside the reply, ``underrun_s`` seconds in all.
    """

    utterance: Recording | None
    caller_text: str = ""
    assistant_text: str = ""
    speech_end_s: float | None = None
    answered_s: float | None = None
    cut_off: bool = False
    underruns: int = 0
    underrun_s: float = 0.0
    pieces: list[Samples] = field(default_factory=list)

    @property
    def voice_to_voice_s(self) -> float | None:
        """End of the caller's speech to the first audio of the answer; None of a cut-off."""
        if self.speech_end_s is None or self.answered_s is None or self.cut_off:
            return None
        return self.answered_s - self.speech_end_s

    @property
    def audio(self) -> Samples:
        """The reply's audio, as sent."""
        return np.concatenate([np.zeros(0, dtype=np.int16), *self.pieces])


class Phase(Enum):
    """Where the caller is in the call."""

    GREETING = auto()
    SPEAKING = auto()
    WAITING = auto()
    LISTENING = auto()
    DONE = auto()


class Caller:
    """Plays recordings down the line and keeps what comes back.

    Args:
        on_exchange: told about the greeting and each exchange once it is complete, or given up.

    Attributes:
        greeting: what the assistant said before the caller did; empty when it said nothing.
        turns: one exchange for each utterance begun.
        far_end: what the caller heard.
        failure: why the call was given up; None when all went well.
    """

    def __init__(
        self,
        utterances: Sequence[Recording],
        patience: Patience | None = None,
        on_exchange: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.greeting = Exchange(utterance=None)
        self.turns: list[Exchange] = []
        self.far_end = FarEnd()
        self.failure: str | None = None
        self._patience = patience or Patience()
        self._on_exchange = on_exchange or (lambda exchange: None)
        self._current = self.greeting
        self._waiting = list(utterances)
        self._phase = Phase.GREETING
        self._since = 0.0
        self._to_say = np.zeros(0, dtype=np.int16)
        self._line: list[Samples] = []

    @property
    def done(self) -> bool:
        """Has the caller hung up?"""
        return self._phase is Phase.DONE

    @property
    def said_everything(self) -> bool:
        """Was every utterance spoken and answered, at least in part?"""
        return not self._waiting and self._current.answered_s is not None

    def line(self) -> Samples:
        """All the caller has sent, from the start of the call."""
        return np.concatenate([np.zeros(0, dtype=np.int16), *self._line])

    def next_frame(self, now: float) -> Samples | None:
        """The 20 ms that end at call time ``now``; None once the caller has hung up."""
        self._advance(now)
        if self.done:
            return None
        frame = np.zeros(FRAME_SAMPLES, dtype=np.int16)
        said = self._to_say[:FRAME_SAMPLES]
        frame[: said.size] = said
        self._to_say = self._to_say[said.size :]
        self._line.append(frame)
        return frame

    def hear(self, samples: Samples, now: float) -> None:
        """Audio of the assistant arrived."""
        exchange, heard = self._current, self.far_end
        spoken = exchange.speech_end_s is None or now >= exchange.speech_end_s
        if exchange.answered_s is None and spoken:
            exchange.answered_s = now
            exchange.cut_off = heard.in_reply(now)
        gaps, silent_s = heard.underruns, heard.underrun_s
        heard.push(samples, now)
        exchange.underruns += heard.underruns - gaps
        exchange.underrun_s += heard.underrun_s - silent_s
        exchange.pieces.append(samples)
        if self._phase is Phase.WAITING:
            self._enter(Phase.LISTENING, now)

    def read(self, role: str, text: str) -> None:
        """A transcript arrived."""
        exchange = self._current
        if role == "caller":
            exchange.caller_text = f"{exchange.caller_text} {text}".strip()
        else:
            exchange.assistant_text = f"{exchange.assistant_text} {text}".strip()
            self.far_end.end_reply()

    def give_up(self, failure: str | None) -> None:
        """End the call now; the first failure is the one that is kept."""
        self.failure = self.failure or failure
        self._hang_up()

    def _advance(self, now: float) -> None:
        patience, waited = self._patience, now - self._since
        match self._phase:
            case Phase.GREETING:
                greeted = self.greeting.answered_s is not None
                if self._reply_is_over(now) if greeted else waited >= patience.greeting:
                    self._take_turn(now)
                elif waited >= patience.reply:
                    self.give_up(f"the greeting did not end within {patience.reply:g} s")
            case Phase.SPEAKING:
                if not self._to_say.size:
                    answered = self._current.answered_s is not None
                    self._enter(Phase.LISTENING if answered else Phase.WAITING, now)
            case Phase.WAITING:
                if waited >= patience.answer:
                    self.give_up(f"{self._name()}: no answer within {patience.answer:g} s")
            case Phase.LISTENING:
                if self._reply_is_over(now):
                    self._take_turn(now)
                elif waited >= patience.reply:
                    self.give_up(f"{self._name()}: the reply went on for {patience.reply:g} s")
            case Phase.DONE:
                pass
            case _:
                assert_never(self._phase)

    def _reply_is_over(self, now: float) -> bool:
        # It may be quiet between two sentences of a reply, and for long between a request to hold
        # on and the answer; the transcript settles it.
        patience, exchange = self._patience, self._current
        if exchange.assistant_text:
            return self.far_end.is_silent(now, patience.pause)
        if exchange.speech_end_s is not None and now < exchange.speech_end_s + patience.answer:
            return False
        return self.far_end.is_silent(now, patience.transcript)

    def _take_turn(self, now: float) -> None:
        if not self._waiting:
            self._hang_up()
            return
        self._complete()
        utterance = self._waiting.pop(0)
        # Counted on the line, not read from ``now``: frames may leave late, speech does not move.
        begun = len(self._line) * FRAME_SAMPLES
        self._current = Exchange(utterance, speech_end_s=seconds(begun + utterance.speech_end))
        self.turns.append(self._current)
        self.far_end.end_reply()
        self._to_say = utterance.samples
        self._enter(Phase.SPEAKING, now)

    def _hang_up(self) -> None:
        if not self.done:
            self._phase = Phase.DONE
            self._complete()

    def _complete(self) -> None:
        if self._current.utterance or self._current.answered_s is not None:
            self._on_exchange(self._current)

    def _enter(self, phase: Phase, now: float) -> None:
        self._phase = phase
        self._since = now

    def _name(self) -> str:
        utterance = self._current.utterance
        return utterance.name if utterance else "greeting"
