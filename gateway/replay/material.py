"""What the engines gave in a recorded call, so that it can be given again at another time.

Stretches of audio and delays are in seconds; a reply's delays count from its StartReply, without
the time for which it was held back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gateway.audio.pcm import Samples, seconds
from gateway.conversation.events import (
    ReplyEnded,
    SpeechQueued,
    SpeechSent,
    TranscriptFailed,
    TranscriptReady,
)
from gateway.recording.steps import RecordedStep
from gateway.replay.ordered import Ordered, ReleaseReply, Script, StartReply, Transcribe, ordered

_SAME_AUDIO = 0.85
"""Overlap of two stretches, as part of both together, from which their transcript is the same."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """One recorded recognition.

    Attributes:
        start, end: call time of the audio that was recognised.
        speech_end: call time of the last speech in it.
        delay: how long recognition took.
    """

    start: float
    end: float
    speech_end: float
    delay: float
    result: TranscriptReady | TranscriptFailed

    @property
    def words(self) -> list[str]:
        """What was said in it."""
        return self.result.text.split() if isinstance(self.result, TranscriptReady) else []

    def likeness(self, start: float, end: float) -> float:
        """How much of both stretches together is in both, 0..1."""
        common = min(end, self.end) - max(start, self.start)
        together = max(end, self.end) - min(start, self.start)
        return max(0.0, common) / together if together > 0 else 0.0


@dataclass(slots=True)
class Part:
    """A piece of a reply: ``gap`` is the time it took after the one before it."""

    words: tuple[tuple[str, int], ...]
    samples: int
    gap: float


@dataclass(slots=True)
class SpokenReply:
    """One recorded reply, as far as it was synthesised.

    Attributes:
        asked: the words that it answers, or that it consists of when they were fixed.
        audio: what was sent of it; shorter than the parts when it was cut.
        complete: nothing more would have come.
    """

    asked_at: float
    asked: str
    scripted: bool
    parts: list[Part] = field(default_factory=list)
    audio: Samples = field(default_factory=lambda: np.zeros(0, dtype=np.int16))
    complete: bool = False

    @property
    def words(self) -> list[str]:
        """All its words."""
        return [word for part in self.parts for word, _ in part.words]


class Transcripts:
    """The recorded recognitions; answers for any stretch of the caller's line.

    Raises:
        RecordingError: a command lacks what this gateway's has.
    """

    def __init__(self, steps: Iterable[RecordedStep]) -> None:
        self._all = list(_recognised(steps))
        self._timeline = _timeline(self._all)

    def of(self, start: float, end: float) -> Recognised | None:
        """The recognition of this audio, or the likest one; None when there is none at all.

        Audio that was never recognised as such gets those words of the call that were said in it,
        taking the words of a recorded stretch to be spread evenly over its speech.
        """
        nearest = max(
            self._all, key=lambda r: (r.likeness(start, end), -abs(r.end - end)), default=None
        )
        if nearest is None or nearest.likeness(start, end) >= _SAME_AUDIO:
            return nearest
        words = " ".join(word for at, word in self._timeline if start <= at <= end)
        match nearest.result:
            case TranscriptReady() as ready:
                result = replace(ready, text=words)
            case _:
                result = TranscriptReady(0, 0, words, "en")
        return Recognised(start, end, nearest.speech_end, nearest.delay, result)


def _recognised(steps: Iterable[RecordedStep]) -> Iterable[Recognised]:
    open_ones: dict[tuple[int, int], tuple[float, Transcribe]] = {}
    for step in steps:
        for command in ordered(step):
            if isinstance(command, Transcribe):
                open_ones[command.turn, command.revision] = step.now, command
        if isinstance(step.event, TranscriptReady | TranscriptFailed):
            found = open_ones.pop((step.event.turn, step.event.revision), None)
            if found is not None:
                at, command = found
                start = at - seconds(command.samples.samples)
                yield Recognised(start, at, command.speech_ended_at, step.now - at, step.event)


def _timeline(recognised: Sequence[Recognised]) -> list[tuple[float, str]]:
    """When each word of the call was said: of stretches that overlap, the longest counts."""
    kept: list[Recognised] = []
    for stretch in sorted(recognised, key=lambda r: r.start - r.end):
        if stretch.words and all(stretch.start >= k.end or stretch.end <= k.start for k in kept):
            kept.append(stretch)
    words = []
    for stretch in kept:
        pace = (stretch.speech_end - stretch.start) / len(stretch.words)
        words += [(stretch.start + (n + 0.5) * pace, w) for n, w in enumerate(stretch.words)]
    return sorted(words)


def spoken_replies(steps: Iterable[RecordedStep]) -> list[SpokenReply]:
    """Every recorded reply of which something was synthesised, oldest first.

    Raises:
        RecordingError: a command lacks what this gateway's has.
    """
    collector = _Replies()
    for step in steps:
        collector.add(step)
    return [reply for reply in collector.replies.values() if reply.parts]


class _Replies:
    def __init__(self) -> None:
        self.replies: dict[int, SpokenReply] = {}
        self._ready_since: dict[int, float] = {}
        self._interludes: dict[int, int] = {}

    def add(self, step: RecordedStep) -> None:
        match step.event:
            case SpeechQueued(generation, words, samples) if generation in self.replies:
                if words:
                    gap = max(0.0, step.now - self._ready_since[generation])
                    self.replies[generation].parts.append(Part(words, samples, gap))
                    self._ready_since[generation] = step.now
                else:  # an acknowledgement that was played before the reply
                    self._interludes[generation] = samples
            case SpeechSent(generation, _, audio) if audio is not None:
                self._sent(generation, audio)
            case ReplyEnded(generation) if generation in self.replies:
                self.replies[generation].complete = True
        for command in ordered(step):
            self._ordered(command, step.now)

    def _sent(self, generation: int, audio: Samples) -> None:
        skipped = min(self._interludes.get(generation, 0), len(audio))
        if skipped:
            self._interludes[generation] -= skipped
        if (reply := self.replies.get(generation)) is not None:
            reply.audio = np.concatenate((reply.audio, audio[skipped:]))

    def _ordered(self, command: Ordered, now: float) -> None:
        match command:
            case StartReply(generation=generation, source=source):
                scripted = isinstance(source, Script)
                self.replies[generation] = SpokenReply(now, source.text, scripted)
                self._ready_since[generation] = now
            case ReleaseReply(generation=generation) if generation in self.replies:
                # What comes after the first pieces waited for the release.
                if len(self.replies[generation].parts) > 1:
                    self._ready_since[generation] = now
