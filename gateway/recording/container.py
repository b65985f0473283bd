"""The file a call is recorded in: a magic line, then records, each guarded by checksums.

A record is a head (kind, length, checksum of the payload, checksum of the head) and its payload. A
process that dies leaves a file that breaks off inside its last record; all before it can be read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from gateway.errors import ConfigError

MAGIC = b"VGREC1\n"
SUFFIX = ".vgrec"

_HEAD = struct.Struct("<cII")
_CHECK = struct.Struct("<I")


class RecordingError(ConfigError):
    """A recorded call that cannot be read; the message says where and what was expected."""


class Kind(Enum):
    """What a record holds."""

    HEADER = b"H"
    BLOCK = b"B"
    END = b"E"


def record(kind: Kind, payload: bytes) -> bytes:
    """One record as it stands in the file."""
    head = _HEAD.pack(kind.value, len(payload), zlib.crc32(payload))
    return head + _CHECK.pack(zlib.crc32(head)) + payload


def read_records(path: Path) -> Iterator[tuple[Kind, bytes]]:
    """Every whole record in order; without Kind.END at last, the file breaks off.

    Raises:
        RecordingError: it cannot be read, is no recording, or is damaged.
    """
    try:
        with path.open("rb") as file:
            data = file.read(len(MAGIC))
            if data == MAGIC:  # of other files there may be no end
                data += file.read()
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error
    if not data.startswith(MAGIC):
        if MAGIC.startswith(data):
            return  # a full disk leaves so much
        raise RecordingError(
            f"{path} is no recorded call: expected a file of voice-gateway serve --record-events,"
            f" which begins with {MAGIC!r}; got {data!r}"
        )
    at = len(MAGIC)
    while (body := at + _HEAD.size + _CHECK.size) <= len(data):
        head = data[at : at + _HEAD.size]
        (check,) = _CHECK.unpack_from(data, at + _HEAD.size)
        kind, length, checksum = _HEAD.unpack(head)
        if zlib.crc32(head) != check or kind not in {known.value for known in Kind}:
            raise RecordingError(f"{path} is damaged at byte {at}: expected the head of a record")
        payload = data[body : body + length]
        if len(payload) < length:
            return
        if zlib.crc32(payload) != checksum:
            raise RecordingError(
                f"{path} is damaged between bytes {body} and {body + length}: the checksum of"
                " what is there differs from the recorded one"
            )
        yield Kind(kind), payload
        at = body + length
