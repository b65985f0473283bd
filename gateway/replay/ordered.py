"""What holding a call again needs of its recorded commands; an exact replay only compares them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.recording.container import RecordingError
from gateway.recording.steps import RecordedStep


class _Audio(msgspec.Struct):
    samples: int


class _Utterance(msgspec.Struct):
    text: str


class _Latest(msgspec.Struct):
    last: list[_Utterance]


class _Prompt(msgspec.Struct, tag_field="type", tag="Prompt"):
    utterances: list[_Utterance] | _Latest


class _Script(msgspec.Struct, tag_field="type", tag="Script"):
    text: str


class _Transcribe(msgspec.Struct):
    turn: int
    revision: int
    samples: _Audio
    speech_ended_at: float


class _StartReply(msgspec.Struct):
    generation: int
    turn: int
    source: _Prompt | _Script
    hold: bool


class _OfReply(msgspec.Struct):
    generation: int


class _CommitTurn(msgspec.Struct):
    turn: int
    text: str


class _HangUp(msgspec.Struct):
    reason: str


_NEEDED: dict[str, type[msgspec.Struct]] = {
    "Transcribe": _Transcribe,
    "StartReply": _StartReply,
    "ReleaseReply": _OfReply,
    "CancelReply": _OfReply,
    "CommitTurn": _CommitTurn,
    "HangUp": _HangUp,
}


def require_commands(steps: Iterable[RecordedStep]) -> None:
    """Refuse a recording whose commands are not those of this gateway.

    Raises:
        RecordingError: a command lacks what is needed of it.
    """
    for step in steps:
        for command in step.commands or ():
            if (needed := _NEEDED.get(command["type"])) is None:
                continue
            try:
                msgspec.convert(command, needed)
            except msgspec.ValidationError as error:
                raise RecordingError(
                    f"the call cannot be held again: {command['type']} at {step.now:.3f} s is not"
                    f" that of this gateway: {error}"
                ) from error
