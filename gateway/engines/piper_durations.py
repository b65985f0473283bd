"""Lets a Piper model give out how long every phoneme sounds.

Piper's models compute these lengths on the way to the audio, in the only Ceil node of the graph,
but few files declare them as an output. Repeated messages of the ONNX format merge when they are
read, so an output is declared by adding a few bytes at the end of the file.
"""

from __future__ import annotations

from collections.abc import Iterator

_GRAPH = 7  # of a model
_NODE, _OUTPUT = 1, 12  # of a graph
_NODE_OUTPUT, _OPERATOR = 2, 4  # of a node
_NAME = 1  # of a graph's output


def declare_durations(model: bytes) -> bytes | None:
    """The model with its phoneme lengths, in audio hops, as a second output.

    Returns:
        None when the model computes no such lengths, gives them out already, or is no model.
    """
    try:
        graphs = [part for field, part in _fields(memoryview(model)) if field == _GRAPH]
        names = {name for graph in graphs for name in _ceil_outputs(graph)}
        outputs = {
            bytes(part[_NAME])
            for graph in graphs
            for field, output in _fields(graph)
            if field == _OUTPUT and _NAME in (part := dict(_fields(output)))
        }
    except (IndexError, ValueError):
        return None
    if len(names) != 1 or names & outputs:
        return None
    return model + _message(_GRAPH, _message(_OUTPUT, _message(_NAME, names.pop())))


def _ceil_outputs(graph: memoryview) -> Iterator[bytes]:
    for field, node in _fields(graph):
        if field == _NODE:
            parts = dict(_fields(node))
            if _OPERATOR in parts and bytes(parts[_OPERATOR]) == b"Ceil":
                yield bytes(parts[_NODE_OUTPUT])


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of the fields that have a length; the others are passed over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        match key & 7:
            case 0:
                _, at = _varint(message, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(message, at)
                if at + length > len(message):
                    raise ValueError("a field is longer than its message")
                yield key >> 3, message[at : at + length]
                at += length
            case 5:
                at += 4
            case kind:
                raise ValueError(f"expected a field of kind 0, 1, 2 or 5, got {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):  # of 64 bits, in sevens
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("expected a number of at most ten bytes")


def _message(field: int, content: bytes) -> bytes:
    return _number(field << 3 | 2) + _number(len(content)) + content


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
