"""A scripted assistant at the other end of a scenario caller's line, in counted time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gateway.audio.pcm import FRAME_MS, Samples
from gateway.simulator.caller_line import CallerLine
from gateway.simulator.outcome import Outcome
from gateway.simulator.scenario import Call, Turn
from gateway.simulator.scenario_caller import CallerPatience, ScenarioCaller
from gateway.simulator.scenario_file import Scenario
from gateway.simulator.utterance import Span, Utterance
from tests.simulator.voices import silence, tone

PATIENCE = CallerPatience(greeting=0.5, answer=2.0, reply=5.0, untold=1.0, last=0.1)


def spoken(turn: Turn) -> Utterance:
    """100 ms of silence before each text's 400 ms of tone, and pauses between them."""
    pieces: list[Samples] = [silence(0.1)]
    spans: list[Span] = []
    length = 1600
    for part in turn.parts:
        if isinstance(part, int):
            pieces.append(silence(part / 1000))
        else:
            text = part if isinstance(part, str) else part.text
            spans.append(Span(text, "en", length, length + 6400))
            pieces.append(tone(0.4))
        length += pieces[-1].size
    return Utterance(np.concatenate(pieces), tuple(spans)) if spans else Utterance(silence(0), ())


class Scripted:
    """Lets time pass for a caller; the test speaks the assistant's part."""

    def __init__(self, *turns: Turn, greeting_s: float | None = None) -> None:
        call = Call(name="x", language="en", turn=turns)
        line = CallerLine(call, Path())
        utterances = [spoken(turn) for turn in turns]
        self.caller = ScenarioCaller(Scenario(call, Path()), utterances, line, greeting_s, PATIENCE)
        self.now = 0.0
        self.sent: list[Samples] = []

    def wait(self, ms: int) -> Scripted:
        """Nothing comes from the assistant."""
        for _ in range(ms // FRAME_MS):
            self.now = round(self.now + FRAME_MS / 1000, 3)
            frame = self.caller.next_frame(self.now)
            if frame is not None:
                self.sent.append(frame)
        return self

    def speak(self, ms: int) -> Scripted:
        """The assistant's audio arrives in real time, 40 ms at a time."""
        for _ in range(ms // 40):
            self.caller.hear(tone(0.04), self.now)
            self.wait(40)
        return self

    def tell(self, text: str, role: str = "assistant") -> Scripted:
        """A transcript arrives."""
        self.caller.read(role, text)
        return self

    def greet(self) -> Scripted:
        """A whole greeting."""
        return self.speak(800).tell("Hello.")

    @property
    def outcomes(self) -> list[Outcome]:
        """What came of the turns so far."""
        return self.caller.outcomes

    @property
    def loud_frames(self) -> int:
        """Frames with the caller's voice so far."""
        return sum(bool(np.abs(frame).max() > 1000) for frame in self.sent)
