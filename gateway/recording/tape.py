"""A conversation that writes down everything it is told and everything it orders."""

from __future__ import annotations

from typing import Protocol

from gateway.audio.pcm import Samples
from gateway.conversation.commands import Command
from gateway.conversation.conversation import Conversation
from gateway.conversation.events import CoreEvent
from gateway.conversation.policy import Policy
from gateway.conversation.segmenter import VoiceDetector
from gateway.recording.steps import Step


class Tape(Protocol):
    """Where the steps of one call go; never blocks."""

    def add(self, step: Step) -> None:
        """Take the next step."""
        ...

    def close(self) -> None:
        """The call is over."""
        ...


class Recorder(Protocol):
    """Gives every call its tape."""

    def tape(self, call_id: str, policy: Policy) -> Tape:
        """A new tape for a call that begins now."""
        ...


class RecordedConversation(Conversation):
    """Behaves like any conversation; each step goes to the tape once its commands are drained.

    An input on which it fails goes to the tape too: a replay fails on it again.

    Args:
        tape: takes the steps; closed by whoever made it.
    """

    def __init__(self, tape: Tape, policy: Policy, voice: VoiceDetector) -> None:
        self._tape = tape
        self._voiced: list[bool] = []
        self._untold: tuple[CoreEvent | None, float] | None = None
        super().__init__(policy, self._listening(voice))

    def receive(self, event: CoreEvent, now: float) -> None:
        """Take one event at call time ``now`` (seconds, never going back)."""
        self._begin(event, now)
        try:
            super().receive(event, now)
        except Exception:
            self._tell(None, failed=True)
            raise

    def handle_timer(self, now: float) -> None:
        """A deadline has passed; every elapsed one is consumed or moved."""
        self._begin(None, now)
        try:
            super().handle_timer(now)
        except Exception:
            self._tell(None, failed=True)
            raise

    def commands(self) -> list[Command]:
        """Everything ordered since the last call, in order."""
        commands = super().commands()
        self._tell(tuple(commands))
        return commands

    def _begin(self, event: CoreEvent | None, now: float) -> None:
        self._tell(None)
        self._untold = (event, now)

    def _tell(self, commands: tuple[Command, ...] | None, *, failed: bool = False) -> None:
        if self._untold is not None:
            (event, now), self._untold = self._untold, None
            self._tape.add(Step(event, now, commands, tuple(self._voiced), failed))
            self._voiced.clear()

    def _listening(self, voice: VoiceDetector) -> VoiceDetector:
        def detect(frame: Samples) -> bool:
            voiced = voice(frame)
            self._voiced.append(voiced)
            return voiced

        return detect


def conversation_on(tape: Tape | None, policy: Policy, voice: VoiceDetector) -> Conversation:
    """A conversation, recorded if there is a tape for it."""
    return (
        Conversation(policy, voice) if tape is None else RecordedConversation(tape, policy, voice)
    )
