"""A checkpoint out of an exported model, so that training goes on without its working folder."""

from pathlib import Path

import torch
from gguf import GGUFReader
from gguf.quants import dequantize

from .export import MATRICES
from .tokenizer import save_tokenizer


def restore(path: Path) -> dict[str, torch.Tensor]:
    """The weights of ``Llama`` in a GGUF file that ``export`` wrote."""
    tensors = {tensor.name: tensor for tensor in GGUFReader(path).tensors}

    def take(name: str) -> torch.Tensor:
        tensor = tensors[name + ".weight"]
        return torch.tensor(dequantize(tensor.data, tensor.tensor_type))

    weights = {"emb.weight": take("token_embd"), "norm.weight": take("output_norm")}
    for layer in range(count_layers(path)):
        for ours, theirs in (MATRICES | {"norm1": "attn_norm", "norm2": "ffn_norm"}).items():
            weights[f"blocks.{layer}.{ours}.weight"] = take(f"blk.{layer}.{theirs}")
    return weights


def count_layers(path: Path) -> int:
    """How many layers the model in a GGUF file has."""
    return sum(tensor.name.endswith("attn_norm.weight") for tensor in GGUFReader(path).tensors)


def restore_tokenizer(path: Path, out: Path) -> None:
    """Write the ``tokenizer.json`` that a GGUF file was exported with."""
    fields = GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [(a, b) for a, b in map(str.split, fields["tokenizer.ggml.merges"].contents())]
    save_tokenizer(tokens, merges, out)
