"""GGUF files of a header only, as small as a test wants them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

Given = bool | int | float | str | list[str] | list[int]


def gguf_bytes(values: Mapping[str, Given], tensors: Mapping[str, int] | None = None) -> bytes:
    """Metadata, and for each tensor the number of its ggml type."""
    tensors = tensors or {}
    written = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(values))]
    written += [_string(key) + _value(value) for key, value in values.items()]
    written += [
        _string(name) + struct.pack("<IQIQ", 1, 256, kind, 1024 * number)
        for number, (name, kind) in enumerate(tensors.items())
    ]
    return b"".join(written)


def write_gguf(
    folder: Path, values: Mapping[str, Given], tensors: Mapping[str, int] | None = None
) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(gguf_bytes(values, tensors))
    return path


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Given) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + _string(value)
    if all(isinstance(item, str) for item in value):
        items = b"".join(_string(str(item)) for item in value)
        return struct.pack("<IIQ", 9, 8, len(value)) + items
    return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *map(int, value))
