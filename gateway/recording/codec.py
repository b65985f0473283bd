"""Steps of a call to the bytes of a recording, and back."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gateway.audio.pcm import Samples
from gateway.conversation.policy import Policy
from gateway.logs import one_line
from gateway.recording.container import Kind, RecordingError, read_records
from gateway.recording.packing import pack, unpack
from gateway.recording.steps import (
    TIMER,
    AudioReader,
    Plain,
    RecordedStep,
    Step,
    event_fields,
    event_of,
    plain,
)

_NO_AUDIO = np.zeros(0, dtype=np.int16)


class Header(msgspec.Struct, frozen=True):
    """What a recording begins with.

    Attributes:
        gateway: version of the gateway that took the call.
        started_at: when the call began, ISO 8601 with its offset from UTC.
        policy: every threshold and fixed phrase of the call.
    """

    gateway: str
    call_id: str
    started_at: str
    policy: dict[str, Any]


class _StepRecord(msgspec.Struct, frozen=True, array_like=True):
    name: str
    now: float
    fields: dict[str, Any]
    commands: list[dict[str, Any]] | None
    frames: int


class _Block(msgspec.Struct, frozen=True, array_like=True):
    """A few seconds of a call: steps, detector's decisions (bits), audio by kind of event."""

    steps: bytes
    frames: int
    voiced: bytes
    audio: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded call.

    Attributes:
        complete: False when the file breaks off: the gateway died, the disk was full, or the core
            failed on the last input.
    """

    header: Header
    policy: Policy
    steps: tuple[RecordedStep, ...]
    complete: bool

    @property
    def duration_s(self) -> float:
        """Call time from the first input to the last one, in seconds."""
        return self.steps[-1].now - self.steps[0].now if self.steps else 0.0


def encode_header(header: Header) -> bytes:
    """The payload of a recording's first record."""
    return zlib.compress(msgspec.msgpack.encode(header))


def encode_block(steps: Sequence[Step]) -> bytes:
    """The payload of a record that holds these steps."""
    audio: dict[str, list[Samples]] = {}
    records: list[_StepRecord] = []
    voiced: list[bool] = []
    for step in steps:
        name, fields = TIMER, Plain()
        if step.event is not None:
            name = type(step.event).__name__
            fields = event_fields(step.event, audio.setdefault(name, []))
        commands = None if step.commands is None else [plain(c) for c in step.commands]
        records.append(_StepRecord(name, step.now, fields, commands, len(step.voiced)))
        voiced += step.voiced
    block = _Block(
        steps=zlib.compress(msgspec.msgpack.encode(records)),
        frames=len(voiced),
        voiced=np.packbits(np.array(voiced, dtype=np.uint8)).tobytes(),
        audio={name: pack(pieces) for name, pieces in audio.items() if pieces},
    )
    return msgspec.msgpack.encode(block)


def decode_block(payload: bytes) -> list[RecordedStep]:
    """The steps that ``encode_block`` was given.

    Raises:
        ValueError, zlib.error: the payload was not made by it, or by a gateway whose events are
            others.
    """
    block = msgspec.msgpack.decode(payload, type=_Block)
    if not 0 <= block.frames <= 8 * len(block.voiced):  # numpy would make up what is missing
        raise ValueError(f"expected {block.frames} bits of the voice detector")
    records = msgspec.msgpack.decode(zlib.decompress(block.steps), type=list[_StepRecord])
    bits = np.unpackbits(np.frombuffer(block.voiced, dtype=np.uint8), count=block.frames)
    voiced: list[bool] = bits.astype(bool).tolist()
    audio = {name: AudioReader(unpack(data)) for name, data in block.audio.items()}
    steps, heard = [], 0
    for record in records:
        event = None
        if record.name != TIMER:
            reader = audio.get(record.name) or AudioReader(_NO_AUDIO)
            event = event_of(record.name, record.fields, reader)
        commands = None if record.commands is None else tuple(record.commands)
        if not all(isinstance(command.get("type"), str) for command in commands or ()):
            raise ValueError("expected commands with their types")
        frames = tuple(voiced[heard : heard + record.frames])
        heard += record.frames
        steps.append(RecordedStep(event, record.now, commands, frames))
    return steps


def read_recording(path: Path) -> Recording:
    """A recorded call; one that breaks off is read up to its last whole record.

    Raises:
        RecordingError: it is no recording, is damaged, or was made by a gateway whose events or
            policy this one does not understand.
    """
    header: Header | None = None
    steps: list[RecordedStep] = []
    complete = False
    try:
        for kind, payload in read_records(path):
            match kind:
                case Kind.HEADER:
                    header = msgspec.msgpack.decode(zlib.decompress(payload), type=Header)
                case Kind.BLOCK:
                    steps += decode_block(payload)
                case Kind.END:
                    complete = True
        if header is None:
            raise RecordingError(f"{path} breaks off before the call began: nothing to replay")
        policy = msgspec.convert(header.policy, Policy)
    except (ValueError, RecursionError, zlib.error, msgspec.MsgspecError) as error:
        version = f", recorded by gateway {one_line(header.gateway)}," if header else ""
        raise RecordingError(f"{path}{version} is not understood: {error}") from error
    return Recording(header, policy, tuple(steps), complete)
