"""The recorded commands, as far as holding a call again looks at them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import msgspec

from gateway.recording.container import RecordingError
from gateway.recording.steps import RecordedStep


class Audio(msgspec.Struct):
    """What a recording keeps of a command's audio."""

    samples: int


class Utterance(msgspec.Struct):
    """One message of a prompt."""

    text: str


class _Long(msgspec.Struct):
    last: list[Utterance]


class Prompt(msgspec.Struct, tag_field="type", tag=True):
    """A reply the chat model is to find."""

    utterances: list[Utterance] | _Long

    @property
    def text(self) -> str:
        """The last words, or "" when nothing had been said."""
        said = self.utterances.last if isinstance(self.utterances, _Long) else self.utterances
        return said[-1].text if said else ""


class Script(msgspec.Struct, tag_field="type", tag=True):
    """A reply whose words are fixed."""

    text: str


class Transcribe(msgspec.Struct, tag_field="type", tag=True):
    """See `gateway.conversation.commands`, as of the others."""

    turn: int
    revision: int
    samples: Audio
    speech_ended_at: float


class StartReply(msgspec.Struct, tag_field="type", tag=True):
    """A reply was to be prepared."""

    generation: int
    turn: int
    source: Prompt | Script
    hold: bool


class ReleaseReply(msgspec.Struct, tag_field="type", tag=True):
    """It was to be heard."""

    generation: int


class CancelReply(msgspec.Struct, tag_field="type", tag=True):
    """It was to stop."""

    generation: int


class PauseReply(msgspec.Struct, tag_field="type", tag=True):
    """It was to fall silent."""


class ResumeReply(msgspec.Struct, tag_field="type", tag=True):
    """It was to go on."""


class CommitTurn(msgspec.Struct, tag_field="type", tag=True):
    """A turn was over."""

    turn: int
    text: str


class HangUp(msgspec.Struct, tag_field="type", tag=True):
    """The gateway ended the call."""

    reason: str


Ordered = (
    Transcribe
    | StartReply
    | ReleaseReply
    | CancelReply
    | PauseReply
    | ResumeReply
    | CommitTurn
    | HangUp
)
_KNOWN = {kind.__name__ for kind in get_args(Ordered)}


def ordered(step: RecordedStep) -> Iterator[Ordered]:
    """What was ordered in a step, without the commands that nothing here looks at.

    Raises:
        RecordingError: a command lacks what this gateway's has.
    """
    for command in step.commands or ():
        if command["type"] in _KNOWN:
            try:
                yield msgspec.convert(command, Ordered)
            except msgspec.ValidationError as error:
                raise RecordingError(
                    f"the call cannot be held again: {command['type']} at {step.now:.3f} s is not"
                    f" that of this gateway: {error}"
                ) from error
