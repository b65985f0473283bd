"""What came of each turn of a scenario, as the caller lived it."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.simulator.reply_track import Reply
from gateway.simulator.scenario import Turn

STOP_BOUND_S = 1.5
"""An assistant that goes on for longer than this over an interruption has not noticed it."""


@dataclass(slots=True)
class Outcome:
    """One turn; times are call times in seconds.

    Attributes:
        language: of the caller's words.
        speech_start_s, speech_end_s: true times of the caller's speech, from the audio.
        skipped: the reply to be spoken over had ended before; nothing was uttered.
        over: the reply that was spoken over, if one was.
        over_stopped: whether that reply ended early; None while unknown.
        answer: the first reply that began after the speech had ended.
        cutoffs: replies that began before the speech had ended.
        caller_text: what the gateway understood.
        complete: all was done and watched; the call did not break off before.
    """

    turn: Turn
    language: str
    speech_start_s: float = 0.0
    speech_end_s: float = 0.0
    skipped: bool = False
    over: Reply | None = None
    over_stopped: bool | None = None
    answer: Reply | None = None
    cutoffs: list[Reply] = field(default_factory=list)
    caller_text: str = ""
    complete: bool = False

    @property
    def expects_answer(self) -> bool:
        """Is this a turn that was uttered and has to be answered?"""
        return self.turn.answered and not self.skipped

    @property
    def missed(self) -> bool:
        """The assistant never answered it."""
        return self.expects_answer and self.answer is None

    @property
    def false_turn(self) -> bool:
        """The assistant spoke although nobody had asked."""
        wanted = self.turn.answered or self.skipped
        return not wanted and (self.answer is not None or bool(self.cutoffs))

    @property
    def voice_to_voice_s(self) -> float | None:
        """True end of the caller's speech to the first audio of the answer."""
        if not self.expects_answer or self.answer is None or self.cutoffs:
            return None
        return self.answer.begun_s - self.speech_end_s

    @property
    def stop_s(self) -> float | None:
        """Onset of the caller's interruption to the last audible audio of the reply under it.

        None when there was nothing to stop: the reply ended by itself.
        """
        if self.over is None or not self.turn.stops or self.over_stopped is False:
            return None
        return max(0.0, self.over.audible_s - self.speech_start_s)

    @property
    def missed_barge_in(self) -> bool:
        """The assistant went on although it was interrupted."""
        if self.over is None or not self.turn.stops:
            return False
        return self.over.audible_s - self.speech_start_s > STOP_BOUND_S

    @property
    def false_interruption(self) -> bool:
        """A back-channel, cough or noise stopped the assistant for good."""
        return self.over is not None and not self.turn.stops and bool(self.over_stopped)

    @property
    def resumed(self) -> bool:
        """The assistant paused for it and went on."""
        over = self.over
        if over is None or self.turn.stops or over.resumed_s is None or self.over_stopped:
            return False
        return over.resumed_s >= self.speech_start_s
