"""Drives a Conversation in virtual time: speech and silence in, commands out."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from gateway.audio.pcm import FRAME_MS, FRAME_SAMPLES, Samples
from gateway.conversation.commands import Command, StartReply, Transcribe
from gateway.conversation.conversation import Conversation
from gateway.conversation.events import (
    CoreEvent,
    PlayoutStarted,
    ReplyEnded,
    SpeechQueued,
    SpeechSent,
    TranscriptReady,
)
from gateway.conversation.policy import EndpointPolicy, Phrases, Policy
from gateway.events import AudioReceived, CallStarted

CommandT = TypeVar("CommandT")

# One silence for every kind of turn: tests of the machine do not depend on what was said.
ANY_TURN = EndpointPolicy(
    pause_ms=200, complete_ms=460, unsure_ms=460, dictation_ms=460, incomplete_ms=460
)
NO_GREETING = Policy("en", {"en": Phrases("", "Sorry.")}, endpoint=ANY_TURN)
GREETING = Policy(
    "en",
    {"en": Phrases("Hello.", "Sorry."), "ru": Phrases("Алло.", "Увы.")},
    endpoint=ANY_TURN,
)


def is_voiced(frame: Samples) -> bool:
    """Anything but digital silence is voice."""
    return bool(frame.any())


def spread(text: str, samples: int) -> tuple[tuple[str, int], ...]:
    """The words of a text, each with its end, spread evenly over a number of samples."""
    words = text.split()
    return tuple((word, samples * n // len(words)) for n, word in enumerate(words, 1))


class Driver:
    """Plays caller and engines of one call; ``commands`` holds everything ordered so far."""

    def __init__(self, policy: Policy = NO_GREETING) -> None:
        self.conversation = Conversation(policy, is_voiced)
        self.now = 0.0
        self.commands: list[Command] = []

    def receive(self, event: CoreEvent) -> list[Command]:
        """One event now; returns the commands it brought."""
        self.conversation.receive(event, self.now)
        return self._drain()

    def start(self, language: str | None = None) -> list[Command]:
        """The call begins."""
        return self.receive(CallStarted(language))

    def say(self, ms: int) -> list[Command]:
        """The caller speaks, frame by frame in real time."""
        return self._audio(np.full(FRAME_SAMPLES, 1000, dtype=np.int16), ms)

    def silence(self, ms: int) -> list[Command]:
        """The caller's line is open but silent."""
        return self._audio(np.zeros(FRAME_SAMPLES, dtype=np.int16), ms)

    def wait(self, ms: int) -> list[Command]:
        """No audio arrives; timers fire as they fall due."""
        new: list[Command] = []
        until = self.now + ms / 1000
        while (deadline := self.conversation.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.conversation.handle_timer(self.now)
            new += self._drain()
        self.now = until
        return new

    def transcript(
        self, text: str, language: str = "en", *, avg_logprob: float = 0.0
    ) -> list[Command]:
        """The newest Transcribe is answered."""
        request = self.last(Transcribe)
        return self.receive(
            TranscriptReady(request.turn, request.revision, text, language, avg_logprob=avg_logprob)
        )

    def speak(self, text: str, ms: int) -> list[Command]:
        """The live reply is synthesised as one piece of equally long words and ends."""
        generation = self.last(StartReply).generation
        new = self.receive(SpeechQueued(generation, spread(text, ms * 16), ms * 16))
        return new + self.receive(ReplyEnded(generation))

    def play(self, ms: int, *, first: bool = True) -> list[Command]:
        """The player sends audio of the live reply, 20 ms at a time in real time, caller silent."""
        generation = self.last(StartReply).generation
        new = self.receive(PlayoutStarted(generation)) if first else []
        for _ in range(ms // FRAME_MS):
            new += self.receive(SpeechSent(generation, FRAME_SAMPLES))
            new += self.silence(FRAME_MS)
        return new

    def turn(self, text: str = "What time do you open?", language: str = "en") -> list[Command]:
        """A whole caller turn up to the released reply."""
        new = self.say(800) + self.silence(200)
        new += self.transcript(text, language)
        return new + self.silence(300)

    def last(self, kind: type[CommandT]) -> CommandT:
        """The newest command of a kind."""
        return next(c for c in reversed(self.commands) if isinstance(c, kind))

    def _audio(self, frame: Samples, ms: int) -> list[Command]:
        new: list[Command] = []
        for _ in range(ms // FRAME_MS):
            new += self.wait(FRAME_MS)
            new += self.receive(AudioReceived(frame))
        return new

    def _drain(self) -> list[Command]:
        new = self.conversation.commands()
        self.commands += new
        return new
