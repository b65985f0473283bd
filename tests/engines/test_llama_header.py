"""Reading the header of a GGUF file, whole or damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from gateway.engines.llama_header import Header, Value, read_header
from tests.engines.gguf_files import Given, gguf_bytes, write_gguf

VALUES: dict[str, Given] = {
    "general.architecture": "llama",
    "llama.block_count": 4,
    "llama.rope.freq_base": 0.5,
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.ggml.tokens": ["a", "ب"],
    "tokenizer.ggml.token_type": [1, -1],
}
TENSORS = {"token_embd.weight": 8, "output_norm.weight": 0}


def test_values_and_tensors_are_read(tmp_path: Path) -> None:
    header = read_header(write_gguf(tmp_path, VALUES, TENSORS))
    size = len(gguf_bytes(VALUES, TENSORS))
    expected: dict[str, Value] = {
        "general.architecture": b"llama",
        "llama.block_count": 4,
        "llama.rope.freq_base": 0.5,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.tokens": [b"a", "ب".encode()],
        "tokenizer.ggml.token_type": [1, -1],
    }
    assert header == Header(expected, TENSORS, -(-size // 32) * 32)


def test_a_file_that_ends_anywhere_in_its_header_is_not_taken_for_whole(tmp_path: Path) -> None:
    path, whole = tmp_path / "model.gguf", gguf_bytes(VALUES, TENSORS)
    for size in range(4, len(whole)):
        path.write_bytes(whole[:size])
        assert read_header(path) is None, size


@pytest.mark.parametrize("count", [3, 2**31, 2**62, 2**64 - 1])
@pytest.mark.parametrize("at", [8, 16], ids=["tensors", "values"])
def test_counts_that_are_too_large_are_noticed(tmp_path: Path, at: int, count: int) -> None:
    data = gguf_bytes({"a": 1}, {"b": 0})
    path = tmp_path / "model.gguf"
    path.write_bytes(data[:at] + struct.pack("<Q", count) + data[at + 8 :] + bytes(10_000))
    assert read_header(path) is None


@pytest.mark.parametrize("kind", [4, 8])
@pytest.mark.parametrize("count", [2**24, 2**62, 2**64 - 1])
def test_an_array_longer_than_its_file_is_noticed(tmp_path: Path, kind: int, count: int) -> None:
    data = gguf_bytes({"a": ["b"]})
    array = struct.pack("<IIQ", 9, 8, 1)
    path = tmp_path / "model.gguf"
    path.write_bytes(data.replace(array, struct.pack("<IIQ", 9, kind, count)) + bytes(10_000))
    assert read_header(path) is None


def test_an_array_that_would_take_in_the_weights_is_noticed(tmp_path: Path) -> None:
    data, count = gguf_bytes({"a": ["b"]}), 2**23 + 1
    array = struct.pack("<IIQ", 9, 8, 1)
    path = tmp_path / "model.gguf"
    path.write_bytes(data.replace(array, struct.pack("<IIQ", 9, 0, count)) + bytes(count))
    assert read_header(path) is None


@pytest.mark.parametrize(
    "data",
    [
        gguf_bytes({"aa": 1, "bb": 2}).replace(b"bb", b"aa"),
        gguf_bytes({"": 1}),
        gguf_bytes({"a": 1}).replace(struct.pack("<II", 4, 1), struct.pack("<II", 99, 1)),
        gguf_bytes({"general.alignment": 0}),
        b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    ],
    ids=["a key twice", "a key without a name", "an unknown type", "no alignment", "big-endian"],
)
def test_a_header_that_makes_no_sense_is_noticed(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    assert read_header(path) is None
