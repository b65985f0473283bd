"""A caller that plays a scenario: speaks after the assistant, over it, or not at all.

Sans-I/O: audio and transcripts go in with the call time, frames of the caller's line come out.
All times are the gateway's: samples of a caller whose clock drifts take longer or shorter there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from gateway.audio.pcm import FRAME_SAMPLES, Samples, samples_of, seconds
from gateway.simulator.caller_line import CallerLine
from gateway.simulator.far_end import FarEnd
from gateway.simulator.network import NetworkPath
from gateway.simulator.outcome import Outcome
from gateway.simulator.reply_track import Reply, ReplyTrack
from gateway.simulator.scenario import Turn
from gateway.simulator.scenario_file import Scenario
from gateway.simulator.utterance import Span, Utterance

_AFTERMATH_S = 1.2
"""After a back-channel the caller says nothing for so long, or an answer to it would be cut."""


@dataclass(frozen=True, slots=True)
class CallerPatience:
    """How long a caller waits, in seconds.

    Attributes:
        greeting: for a greeting to begin.
        answer: from the end of a turn to its answer.
        reply: for one reply to end, before speaking over it.
        untold: silence that ends a reply whose transcript does not come.
        last: how much of the last answer is listened to before hanging up.
    """

    greeting: float = 3.0
    answer: float = 6.0
    reply: float = 20.0
    untold: float = 3.0
    last: float = 0.6


@dataclass(frozen=True, slots=True)
class SpokenWords:
    """Words of the caller, and the call times between which they sounded."""

    text: str
    language: str
    start_s: float
    end_s: float


class _Phase(Enum):
    WAITING = auto()
    """for the moment of the next turn"""
    SPEAKING = auto()
    WATCHING = auto()
    """what comes of the turn"""
    DONE = auto()


class ScenarioCaller:
    """Plays the turns of one call.

    Args:
        utterances: the audio of each turn.
        line: what the voice goes through.
        greeting_s: length of the greeting, for turns that begin before its end; None: unknown.

    Attributes:
        outcomes: one for each turn that was begun or skipped.
        spoken: all words uttered so far.
        failure: why the call broke off; None when it did not.
        pace: seconds of call time that a second of the caller's line takes.
    """

    def __init__(
        self,
        scenario: Scenario,
        utterances: Sequence[Utterance],
        line: CallerLine,
        greeting_s: float | None = None,
        patience: CallerPatience | None = None,
    ) -> None:
        self.scenario = scenario
        self.outcomes: list[Outcome] = []
        self.spoken: list[SpokenWords] = []
        self.failure: str | None = None
        self.pace = NetworkPath(scenario.call.network).pace
        self.track = ReplyTrack()
        self.far_end = FarEnd()
        self._waiting = list(zip(scenario.call.turn, utterances, strict=True))
        self._line = line
        self._greeting_s = greeting_s
        self._patience = patience or CallerPatience()
        self._phase = _Phase.WAITING
        self._since = 0.0
        self._position = 0
        self._to_say = np.zeros(0, dtype=np.int16)
        self._now = 0.0

    @property
    def done(self) -> bool:
        """Has the caller hung up?"""
        return self._phase is _Phase.DONE

    @property
    def said_everything(self) -> bool:
        """Is there nothing left to say or to watch?"""
        return self.done or (not self._waiting and self._phase is _Phase.WATCHING)

    def give_up(self, failure: str | None) -> None:
        """End the call now; the first failure is the one that is kept."""
        self.failure = self.failure or failure
        self._phase = _Phase.DONE

    # ------------------------------------------------------------------ the line

    def next_frame(self, now: float) -> Samples | None:
        """The 20 ms of the line that end at call time ``now``; None once the caller hung up."""
        self._now = max(self._now, now)
        self._advance(now)
        if self.done:
            return None
        frame = np.zeros(FRAME_SAMPLES, dtype=np.int16)
        said = self._to_say[:FRAME_SAMPLES]
        frame[: said.size] = said
        self._to_say = self._to_say[said.size :]
        self._position += FRAME_SAMPLES
        return self._line.push(frame)

    def hear(self, samples: Samples, now: float) -> None:
        """Audio of the assistant arrived."""
        self._now = max(self._now, now)
        plays_s = max(now, self.far_end.end_s)
        self.far_end.push(samples, now)
        self._line.hear(samples, samples_of(plays_s / self.pace))
        before = self.track.open
        self.track.hear(samples, now, plays_s)
        if self.track.open is not before:
            self._reply_began(self.track.replies[-1], now)

    def read(self, role: str, text: str) -> None:
        """A transcript arrived."""
        if role == "caller":
            self.track.read_caller()
            if self.outcomes:
                outcome = self.outcomes[-1]
                outcome.caller_text = f"{outcome.caller_text} {text}".strip()
        else:
            self.track.read_assistant(text)
            self.far_end.end_reply()

    def _reply_began(self, reply: Reply, now: float) -> None:
        if not self.outcomes:
            return
        outcome = self.outcomes[-1]
        if now < outcome.speech_end_s:
            outcome.cutoffs.append(reply)
        elif outcome.answer is None:
            outcome.answer = reply

    # ------------------------------------------------------------------ the turns

    def _advance(self, now: float) -> None:
        if self._phase is _Phase.SPEAKING and not self._to_say.size:
            self._enter(_Phase.WATCHING, now)
        if self._phase is _Phase.WATCHING and self._is_over(self.outcomes[-1], now):
            self.outcomes[-1].complete = True
            self._enter(_Phase.WAITING if self._waiting else _Phase.DONE, now)
        if self._phase is _Phase.WAITING:
            self._maybe_speak(now)

    def _is_over(self, outcome: Outcome, now: float) -> bool:
        """Has all happened that the turn was uttered for?"""
        turn, waited = outcome.turn, now - self._since
        if turn.answered:
            last = 0.0 if self._waiting else self._patience.last
            if outcome.answer is None:
                return now - outcome.speech_end_s > self._patience.answer
            return now - outcome.answer.begun_s >= last
        if outcome.over is not None:
            # Its effect shows when the reply ends, unless the next turn is to be over it as well.
            if self._waiting and self._waiting[0][0].over:
                return True
            return waited >= _AFTERMATH_S and self._reply_is_over(now, 0.0)
        return waited >= turn.wait_ms / 1000

    def _maybe_speak(self, now: float) -> None:
        turn, utterance = self._waiting[0]
        over = self._reply_to_speak_over(now) if turn.over else None
        if over is not None:
            if now >= self._moment_over(turn, over):
                self._speak(turn, utterance, over, now)
        elif turn.over and self._reply_is_near():
            return
        elif self._may_speak(turn, now):
            if turn.over and turn.kind != "interruption":
                self._skip(turn, now)
            else:
                self._speak(turn, utterance, None, now)
        elif now - self._since > self._patience.reply:
            if turn.answered:  # out of patience with an assistant that does not stop
                self._speak(turn, utterance, None, now)
            else:
                self._skip(turn, now)

    def _reply_to_speak_over(self, now: float) -> Reply | None:
        reply = self.track.open
        # After the last audio a transcript is on its way: the reply is over in all but name.
        return reply if reply is not None and not self.far_end.is_silent(now, 0.5) else None

    def _moment_over(self, turn: Turn, reply: Reply) -> float:
        if turn.over_ms is not None:
            return reply.plays_s + turn.over_ms / 1000
        length = self._greeting_s if self._greeting_s is not None else 1.0
        return reply.plays_s + max(0.0, length - (turn.before_end_ms or 0) / 1000)

    def _reply_is_near(self) -> bool:
        """At the beginning of a call the greeting is yet to come."""
        return (
            not self.outcomes and not self.track.replies and (self._now < self._patience.greeting)
        )

    def _may_speak(self, turn: Turn, now: float) -> bool:
        if not self.outcomes and not self.track.replies:
            return now >= self._patience.greeting
        return self._reply_is_over(now, turn.after_ms / 1000)

    def _reply_is_over(self, now: float, silence_s: float) -> bool:
        if self.track.open is None:
            return self.far_end.is_silent(now, silence_s)
        return self.far_end.is_silent(now, max(silence_s, self._patience.untold))

    def _speak(self, turn: Turn, utterance: Utterance, over: Reply | None, now: float) -> None:
        outcome = self._begin(turn, now)
        begun = self._position + self._line.delay
        outcome.speech_start_s = self._call_time(begun + utterance.start)
        outcome.speech_end_s = self._call_time(begun + utterance.end)
        outcome.over = over
        self.spoken += [self._spoken(span, begun) for span in utterance.spans if span.text]
        self._to_say = utterance.samples
        self._enter(_Phase.SPEAKING, now)

    def _skip(self, turn: Turn, now: float) -> None:
        outcome = self._begin(turn, now)
        outcome.skipped = outcome.complete = True
        self._enter(_Phase.WAITING if self._waiting else _Phase.DONE, now)

    def _begin(self, turn: Turn, now: float) -> Outcome:
        self._waiting.pop(0)
        outcome = Outcome(turn, self.scenario.call.turn_language(turn), now, now)
        self.outcomes.append(outcome)
        return outcome

    def _enter(self, phase: _Phase, now: float) -> None:
        self._phase = phase
        self._since = now

    def _spoken(self, span: Span, begun: int) -> SpokenWords:
        start_s, end_s = self._call_time(begun + span.start), self._call_time(begun + span.end)
        return SpokenWords(span.text, span.language, start_s, end_s)

    def _call_time(self, position: int) -> float:
        return seconds(position) * self.pace
