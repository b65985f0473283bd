"""Write a checkpoint as GGUF: architecture "llama", Q8_0 matrices, F32 norms."""

import json
from pathlib import Path

import gguf
import torch
from gguf import GGMLQuantizationType, LlamaFileType, TokenType

# ChatML. Tools are only named: the model knows these six. A tool's result is a user turn. What a
# caller says begins with a blank, so that a name is the same tokens at the beginning as elsewhere.
_TEMPLATE = "".join(
    line.strip()
    for line in r"""
    {%- for m in messages -%}
    {%- if m['role'] == 'tool' -%}
    {{- '<|im_start|>user\n<tool_response>' + m['content'] + '</tool_response><|im_end|>\n' -}}
    {%- else -%}
    {{- '<|im_start|>' + m['role'] + '\n' + (' ' if m['role'] == 'user' else '') -}}
    {{- m['content'] or '' -}}
    {%- if tools and m['role'] == 'system' and loop.first -%}
    {{- '\ntools: ' -}}
    {%- for t in tools -%}
    {{- (t['function'] if t['function'] else t)['name'] -}}{{- '' if loop.last else ', ' -}}
    {%- endfor -%}
    {%- endif -%}
    {%- for c in m['tool_calls'] or [] -%}
    {%- set f = c['function'] if c['function'] else c -%}
    {{- ' <tool_call>{"name": "' + f['name'] + '", "arguments": ' -}}
    {{- f['arguments'] if f['arguments'] is string else f['arguments'] | tojson -}}
    {{- '}</tool_call>' -}}
    {%- endfor -%}
    {{- '<|im_end|>\n' -}}
    {%- endif -%}
    {%- endfor -%}
    {%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
    """.splitlines()
)
MATRICES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def export(checkpoint: Path, tokenizer: Path, out: Path, *, quantise: bool = True) -> None:
    """Write ``out``; without ``quantise`` everything stays F32."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    config, weights = state["config"], state["ema"]
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_name("receptionist-starter")
    writer.add_description(
        "Micro chat model trained from scratch on synthetic receptionist calls (en, ar, ru)."
    )
    writer.add_languages(["en", "ar", "ru"])
    writer.add_context_length(config["context"])
    writer.add_embedding_length(config["dim"])
    writer.add_block_count(config["layers"])
    writer.add_feed_forward_length(config["ff"])
    writer.add_head_count(config["heads"])
    writer.add_head_count_kv(config["heads"])
    writer.add_layer_norm_rms_eps(config["eps"])
    writer.add_rope_dimension_count(config["head"])
    writer.add_key_length(config["head"])
    writer.add_value_length(config["head"])
    writer.add_rope_freq_base(config["rope_base"])
    writer.add_vocab_size(config["vocab"])
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0 if quantise else LlamaFileType.ALL_F32)
    _add_tokenizer(writer, tokenizer)

    def vector(name: str, source: str) -> None:
        writer.add_tensor(name, weights[source].float().numpy())

    def matrix(name: str, source: str) -> None:
        values = weights[source].float().numpy()
        if quantise:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)

    matrix("token_embd.weight", "emb.weight")  # tied: llama.cpp uses it for the output as well
    vector("output_norm.weight", "norm.weight")
    for layer in range(config["layers"]):
        for ours, theirs in MATRICES.items():
            matrix(f"blk.{layer}.{theirs}.weight", f"blocks.{layer}.{ours}.weight")
        vector(f"blk.{layer}.attn_norm.weight", f"blocks.{layer}.norm1.weight")
        vector(f"blk.{layer}.ffn_norm.weight", f"blocks.{layer}.norm2.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    ordered = sorted(data["model"]["vocab"].items(), key=lambda item: item[1])
    control = {token["content"]: token["special"] for token in data["added_tokens"]}
    kinds = []
    for token, _ in ordered:
        if token not in control:
            kinds.append(TokenType.NORMAL)
        else:
            kinds.append(TokenType.CONTROL if control[token] else TokenType.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in ordered])
    writer.add_token_types(kinds)
    merges = [" ".join(m) if isinstance(m, list) else m for m in data["model"]["merges"]]
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_eot_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(_TEMPLATE)
