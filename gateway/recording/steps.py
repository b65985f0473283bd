"""What is recorded of a call: each input of the core with its time, and what the core ordered."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

import msgspec
import numpy as np

from gateway.audio.pcm import Samples
from gateway.conversation.commands import Command
from gateway.conversation.events import CoreEvent

Plain = dict[str, Any]
"""A command as plain values: its ``type`` and its fields; long ones as a digest."""

EVENTS: Mapping[str, type] = {event.__name__: event for event in get_args(CoreEvent)}
_FIELDS = {name: {f.name for f in dataclasses.fields(event)} for name, event in EVENTS.items()}
TIMER = "timer"

_WHOLE = 3
"""Longest tuple that is kept whole: of a longer one (a prompt) the last items and a digest."""


@dataclass(frozen=True, slots=True)
class Step:
    """One input of the core.

    Attributes:
        event: what it was told, or None when its timer elapsed.
        now: call time, exactly as the core was given it (seconds of the gateway's clock).
        commands: what the core ordered since the step before; None when nobody asked it.
        voiced: what the voice detector said about each frame of this step.
        failed: the core raised an exception, which ends the call.
    """

    event: CoreEvent | None
    now: float
    commands: tuple[Command, ...] | None
    voiced: tuple[bool, ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A step as it is read again: its commands are plain values."""

    event: CoreEvent | None
    now: float
    commands: tuple[Plain, ...] | None
    voiced: tuple[bool, ...] = ()


def plain(command: Command) -> Plain:
    """A command as plain values that compare equal if, and only if, the commands do."""
    value: Plain = _plain(command)
    return value


def as_recorded(step: Step) -> RecordedStep:
    """A step as it would be read from a file."""
    commands = None if step.commands is None else tuple(map(plain, step.commands))
    return RecordedStep(step.event, step.now, commands, step.voiced)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"samples": len(value), "digest": _digest(value.tobytes())}
    if dataclasses.is_dataclass(value):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, tuple):
        items = [_plain(item) for item in value]
        if len(items) <= _WHOLE:
            return items
        digest = _digest(msgspec.msgpack.encode(items))
        return {"count": len(items), "digest": digest, "last": items[-_WHOLE:]}
    return value


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def event_fields(event: CoreEvent, audio: list[Samples]) -> Plain:
    """An event's fields as plain values; its samples are appended to ``audio``."""
    fields: Plain = {}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if isinstance(value, np.ndarray):
            audio.append(value)
            value = {"samples": len(value)}
        fields[field.name] = value
    return fields


class _Length(msgspec.Struct):
    samples: Annotated[int, msgspec.Meta(ge=0)]


class AudioReader:
    """Hands out the samples of a block's events, in order."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._at = 0

    def take(self, count: int) -> Samples:
        """The next samples.

        Raises:
            ValueError: there are fewer.
        """
        start, self._at = self._at, self._at + count
        if self._at > len(self._samples):
            raise ValueError(f"expected {self._at} samples of audio, got {len(self._samples)}")
        return self._samples[start : self._at]


def event_of(name: str, fields: Plain, audio: AudioReader) -> CoreEvent:
    """The event that ``event_fields`` described.

    Raises:
        ValueError: no event of this gateway has that name or those fields.
    """
    if name not in EVENTS:
        raise ValueError(f"this gateway knows no event {name!r}")
    if unknown := fields.keys() - _FIELDS[name]:
        raise ValueError(f"this gateway knows no {', '.join(sorted(unknown))} of {name}")
    values = {
        key: audio.take(msgspec.convert(value, _Length).samples)
        if isinstance(value, dict)
        else value
        for key, value in fields.items()
    }
    event: CoreEvent = msgspec.convert(values, EVENTS[name])
    return event
