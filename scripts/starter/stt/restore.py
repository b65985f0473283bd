"""A checkpoint out of an exported model, so that training goes on without its working folder.

The heads that only training needs and the optimiser's state are not in an export; they start anew.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch

from .export import UNUSED
from .model import MicroWhisper
from .vocabulary import Vocabulary, genuine

Arrays = dict[str, npt.NDArray[Any]]
# By CTranslate2's number of the type (include/ctranslate2/types.h).
_TYPES = [np.float32, np.int8, np.int16, np.int32, np.float16]


def read_variables(path: Path) -> Arrays:
    """Variables of a CTranslate2 ``model.bin``, int8 ones brought back to float32.

    The layout is that of ``ModelSpec._serialize`` in ctranslate2/specs/model_spec.py.
    """
    with path.open("rb") as file:
        _number(file, "I")  # version of the layout
        _text(file)
        _number(file, "I")  # revision of the specification
        found = dict(_variable(file) for _ in range(_number(file, "I")))
        for _ in range(_number(file, "I")):
            alias, name = _text(file), _text(file)
            found[alias] = found[name]
    for name in [name for name in found if name + "_scale" in found]:
        scale = found[name + "_scale"].reshape(-1, *[1] * (found[name].ndim - 1))
        found[name] = found[name].astype(np.float32) / scale
    return found


def _number(file: BinaryIO, kind: str) -> int:
    return int(struct.unpack("<" + kind, file.read(struct.calcsize(kind)))[0])


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode()


def _variable(file: BinaryIO) -> tuple[str, npt.NDArray[Any]]:
    name = _text(file)
    shape = [_number(file, "I") for _ in range(_number(file, "B"))]
    kind = np.dtype(_TYPES[_number(file, "B")])
    data = np.frombuffer(file.read(_number(file, "I")), kind)
    return name, data.reshape(shape)


def restore(folder: Path, model: MicroWhisper, vocabulary: Vocabulary) -> dict[str, torch.Tensor]:
    """The weights of ``model`` that the export in ``folder`` holds; it may have fewer layers.
    ``vocabulary`` is that of the export.
    """
    variables = read_variables(folder / "model.bin")
    wanted = model.state_dict()
    weights: dict[str, torch.Tensor] = {}

    def put(name: str, value: npt.NDArray[Any]) -> None:
        weights[name] = torch.tensor(value).reshape(-1, *wanted[name].shape[1:])

    def linear(name: str, source: str, part: int = 0, parts: int = 1) -> None:
        for kind in ("weight", "bias"):
            if f"{name}.{kind}" in wanted:
                put(f"{name}.{kind}", np.split(variables[f"{source}/{kind}"], parts)[part])

    def norm(name: str, source: str) -> None:
        put(name + ".weight", variables[source + "/gamma"])
        put(name + ".bias", variables[source + "/beta"])

    for name in ("conv1", "conv2"):
        linear(name, f"encoder/{name}")
    norm("ln_post", "encoder/layer_norm")
    norm("ln", "decoder/layer_norm")
    put("tpos", variables["decoder/position_encodings/encodings"])
    put("emb.weight", variables["decoder/embeddings/weight"][vocabulary.rows])
    for name, side, count in (
        ("enc", "encoder", model.shape.enc),
        ("dec", "decoder", model.shape.dec),
    ):
        for at in range(count):
            ours, theirs = f"{name}.{at}", f"{side}/layer_{at}"
            if f"{theirs}/ffn/linear_0/weight" not in variables:
                break
            for part, letter in enumerate("qkv"):
                linear(f"{ours}.att.{letter}", f"{theirs}/self_attention/linear_0", part, 3)
            linear(f"{ours}.att.o", f"{theirs}/self_attention/linear_1")
            norm(f"{ours}.ln1", f"{theirs}/self_attention/layer_norm")
            if name == "dec":
                linear(f"{ours}.cross.q", f"{theirs}/attention/linear_0")
                linear(f"{ours}.cross.k", f"{theirs}/attention/linear_1", 0, 2)
                linear(f"{ours}.cross.v", f"{theirs}/attention/linear_1", 1, 2)
                linear(f"{ours}.cross.o", f"{theirs}/attention/linear_2")
                norm(f"{ours}.lnx", f"{theirs}/attention/layer_norm")
            norm(f"{ours}.ln2", f"{theirs}/ffn/layer_norm")
            linear(f"{ours}.fc1", f"{theirs}/ffn/linear_0")
            linear(f"{ours}.fc2", f"{theirs}/ffn/linear_1")
    return weights


def restore_pieces(folder: Path) -> dict[bytes, int]:
    """The pieces of an export and their Whisper ids: the rows of its table that were trained."""
    table = read_variables(folder / "model.bin")["decoder/embeddings/weight"]
    ranks = genuine().ranks
    return {piece: row for piece, row in ranks.items() if table[row, 0] > UNUSED / 2}
