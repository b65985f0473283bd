"""What a call was like, counted from the inputs and commands of its core."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.audio.pcm import seconds
from gateway.conversation.events import (
    PlayoutStarted,
    ReplyEnded,
    ReplyFailed,
    SpeechQueued,
    SpeechSent,
)
from gateway.conversation.policy import Policy
from gateway.events import CallEnded, TextReceived
from gateway.recording.steps import RecordedStep
from gateway.replay.ordered import (
    CancelReply,
    CommitTurn,
    HangUp,
    Ordered,
    PauseReply,
    ReleaseReply,
    ResumeReply,
    Script,
    StartReply,
    Transcribe,
    ordered,
)

_UNSPOKEN = CallEnded | TextReceived | ReplyEnded | ReplyFailed
"""What stops the assistant without speech: so does a call at its longest, which is no event."""


@dataclass(slots=True)
class Turn:
    """One committed turn of the caller.

    Attributes:
        ended_s: when its last speech ended, in call time from the first input on, seconds.
        wait_ms: from there until the turn was taken to be over.
        latency_ms: from there until the first words of its reply; None if none were played.
    """

    number: int
    text: str
    ended_s: float
    wait_ms: float
    latency_ms: float | None = None


@dataclass(slots=True)
class Figures:
    """How turns were taken in one call.

    Attributes:
        cut_offs: turns taken to be over while the caller was about to go on: they spoke before
            anything of the reply was heard, or over it within ``endpoint.reopen_ms``.
        barge_ins: replies that the caller stopped later than that.
        paused, resumed: replies that fell silent for speech over them, and those that went on.
        idle_prompts: how often the caller was asked whether they are there.
        speculated, wasted: replies prepared ahead, and those of them that were dropped.
        hung_up: why the gateway ended the call; "" when it did not.
    """

    turns: list[Turn] = field(default_factory=list)
    cut_offs: int = 0
    barge_ins: int = 0
    paused: int = 0
    resumed: int = 0
    idle_prompts: int = 0
    speculated: int = 0
    wasted: int = 0
    hung_up: str = ""

    @property
    def latencies_ms(self) -> list[float]:
        """Latencies of the answered turns, in their order."""
        return [turn.latency_ms for turn in self.turns if turn.latency_ms is not None]


def figures_of(steps: Iterable[RecordedStep], policy: Policy) -> Figures:
    """Count what happened in a call that was held under this policy.

    Raises:
        RecordingError: a command lacks what this gateway's has.
    """
    counter = _Counter(policy)
    for step in steps:
        counter.add(step)
    return counter.figures


class _Counter:
    def __init__(self, policy: Policy) -> None:
        self.figures = Figures()
        self._reopen_s = policy.endpoint.reopen_ms / 1000
        self._still_there = {phrases.still_there for phrases in policy.phrases.values()} - {""}
        self._start: float | None = None
        self._speech_ended: dict[int, float] = {}
        self._answers: dict[int, int] = {}
        self._held: set[int] = set()
        self._released: set[int] = set()
        self._started: dict[int, float] = {}
        self._wordless: dict[int, int] = {}
        self._speech_began: dict[int, float] = {}
        self._pre_roll_s = policy.speech.pre_roll_ms / 1000

    def add(self, step: RecordedStep) -> None:
        if self._start is None:
            self._start = step.now
        match step.event:
            case PlayoutStarted(generation):
                self._started.setdefault(generation, step.now)
            case SpeechQueued(generation, (), samples):  # an acknowledgement, played first
                self._wordless[generation] = samples
            case SpeechSent(generation, samples):
                self._sent(generation, samples, step.now)
        spoken = step.event is not None and not isinstance(step.event, _UNSPOKEN)
        for command in ordered(step):
            self._ordered(command, step.now, spoken)

    def _sent(self, generation: int, samples: int, now: float) -> None:
        if (wordless := self._wordless.get(generation, 0)) > 0:
            self._wordless[generation] = wordless - samples
            return
        turn = self._turn(self._answers.get(generation, 0))
        if turn is not None and turn.latency_ms is None and self._start is not None:
            turn.latency_ms = (now - self._start - turn.ended_s) * 1000

    def _turn(self, number: int) -> Turn | None:
        return next((turn for turn in self.figures.turns if turn.number == number), None)

    def _ordered(self, command: Ordered, now: float, spoken: bool) -> None:
        figures = self.figures
        match command:
            case Transcribe(turn=turn):
                self._speech_ended[turn] = command.speech_ended_at
                length_s = seconds(command.samples.samples)
                self._speech_began[turn] = now - length_s + self._pre_roll_s
            case StartReply():
                self._reply_started(command)
            case ReleaseReply(generation=generation):
                self._held.discard(generation)
                self._released.add(generation)
            case CancelReply(generation=generation):
                self._cancelled(generation, now, spoken)
            case CommitTurn(turn=turn, text=text):
                self._committed(turn, text, now)
            case PauseReply():
                figures.paused += 1
            case ResumeReply():
                figures.resumed += 1
            case HangUp(reason=reason):
                figures.hung_up = reason

    def _reply_started(self, command: StartReply) -> None:
        generation, source = command.generation, command.source
        self._answers[generation] = command.turn
        if command.hold:
            self._held.add(generation)
            self.figures.speculated += 1
        if isinstance(source, Script) and source.text in self._still_there:
            self.figures.idle_prompts += 1

    def _committed(self, number: int, text: str, now: float) -> None:
        ended = self._speech_ended.get(number, now)
        start = self._start or 0.0
        turn = Turn(number, text, ended - start, (now - ended) * 1000)
        turns = self.figures.turns
        if (earlier := self._turn(number)) is not None:
            turns[turns.index(earlier)] = turn
        else:
            turns.append(turn)

    def _cancelled(self, generation: int, now: float, spoken: bool) -> None:
        if generation in self._held:
            self._held.discard(generation)
            self.figures.wasted += 1
            return
        if not spoken:
            return
        started = self._started.get(generation)
        # The turn that interrupts is a later one than the reply answers.
        answered = self._answers.get(generation, 0)
        spoke_at = max((at for t, at in self._speech_began.items() if t > answered), default=now)
        if started is not None and spoke_at - started >= self._reopen_s:
            self.figures.barge_ins += 1
        elif started is not None or generation in self._released:
            self.figures.cut_offs += 1
