"""Feeds a recorded call to the core again and compares what it orders, command by command."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.audio.pcm import Samples
from gateway.conversation.conversation import Conversation
from gateway.conversation.events import CoreEvent
from gateway.conversation.segmenter import VoiceDetector
from gateway.recording.codec import Recording
from gateway.recording.steps import Plain, RecordedStep, plain

_CONTEXT = 3
"""Steps with commands that are shown before the first difference."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first step whose commands differ.

    Attributes:
        at_s: call time from the first input on, in seconds.
        lines: a unified diff, the recorded commands against those of the replay.
    """

    step: int
    at_s: float
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExactReplay:
    """What came of a replay.

    Attributes:
        steps, commands: how many were compared and are the same.
        mismatch: the first difference, or None when every command is the same.
        voiced_otherwise: frames that the voice detector judged otherwise than in the recording.
        first_voiced_otherwise_s: call time of the first such frame.
    """

    steps: int
    commands: int
    mismatch: Mismatch | None
    voiced_otherwise: int
    first_voiced_otherwise_s: float | None


class RecordedDetector:
    """A voice detector that says again what the recording's said: the core is tested alone."""

    def __init__(self, recording: Recording) -> None:
        self._said = iter([said for step in recording.steps for said in step.voiced])

    def __call__(self, frame: Samples) -> bool:
        """The next recorded decision."""
        return next(self._said, False)


def replay_exactly(recording: Recording, voice: VoiceDetector) -> ExactReplay:
    """Feed every recorded input to a new core, at its recorded time, until a command differs.

    Args:
        voice: a fresh detector of the kind that the call had.
    """
    voiced: list[bool] = []

    def listen(frame: Samples) -> bool:
        voiced.append(voice(frame))
        return voiced[-1]

    core = Conversation(recording.policy, listen)
    start = recording.steps[0].now if recording.steps else 0.0
    commands, otherwise, first_otherwise_s = 0, 0, None
    for index, step in enumerate(recording.steps):
        if step.event is None:
            core.handle_timer(step.now)
        else:
            core.receive(step.event, step.now)
        if tuple(voiced) != step.voiced:
            otherwise += sum(a != b for a, b in zip(voiced, step.voiced, strict=False))
            if first_otherwise_s is None:
                first_otherwise_s = step.now - start
        voiced.clear()
        if step.commands is None:
            continue  # the shell gave the next input first
        ordered = tuple(map(plain, core.commands()))
        if ordered != step.commands:
            diff = _diff(recording.steps[: index + 1], ordered)
            mismatch = Mismatch(index, step.now - start, diff)
            return ExactReplay(index, commands, mismatch, otherwise, first_otherwise_s)
        commands += len(ordered)
    return ExactReplay(len(recording.steps), commands, None, otherwise, first_otherwise_s)


def command_line(command: Plain) -> str:
    """A command on one line: its type, then each field."""
    fields = (f"{name}={value!r}" for name, value in command.items() if name != "type")
    return " ".join((command["type"], *fields))


def _diff(steps: Sequence[RecordedStep], ordered: tuple[Plain, ...]) -> tuple[str, ...]:
    """The last of the steps as recorded and as replayed, below the commands before it."""
    start, differs = steps[0].now, steps[-1]
    before = [step for step in steps[:-1] if step.commands][-_CONTEXT:]
    context = [line for step in before for line in _shown(step, step.commands, start)]
    recorded = _shown(differs, differs.commands, start)
    replayed = _shown(differs, ordered, start)
    lines = difflib.unified_diff(
        context + recorded, context + replayed, "recorded", "replayed", n=100, lineterm=""
    )
    return tuple(line for line in lines if not line.startswith("@@"))


def _shown(step: RecordedStep, commands: tuple[Plain, ...] | None, start: float) -> list[str]:
    lines = [f"    {command_line(command)}" for command in commands or ()]
    return [f"{step.now - start:.3f} s {_event_line(step.event)}", *lines]


def _event_line(event: CoreEvent | None) -> str:
    if event is None:
        return "timer"
    values = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    fields = (
        f"{name}={len(value)} samples" if isinstance(value, np.ndarray) else f"{name}={value!r}"
        for name, value in values.items()
    )
    return " ".join((type(event).__name__, *fields))
