"""Settings of the chat engine; checked before any file is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.errors import ConfigError

KvType = Literal["f32", "f16", "q8_0", "q4_0"]
MOST_SEQUENCES = 256
"""LLAMA_MAX_SEQ of llama.cpp."""


@dataclass(frozen=True, slots=True)
class LlamaSettings:
    """How the chat model is loaded and shared.

    Attributes:
        model: path of a GGUF file with a chat template in its metadata.
        n_ctx: KV cache size in tokens, shared by all calls; the history of one takes at most half
            of what the system prompt leaves.
        max_sequences: calls (and shared prefixes) that can be in the cache at once, 1..256; calls
            beyond push each other out. Models with a sliding window have at most half of 256.
        batch: most tokens in one step; larger is faster for long prompts and slower to react.
        prefill_chunk: most prompt tokens in a step while other calls are generating.
        max_waiting: requests that may wait for a place before some are refused.
        threads: CPU threads; 0 takes all CPUs of this process.
        n_gpu_layers: layers on the GPU; -1 for all, 0 for none.
        flash_attention: "auto" lets llama.cpp decide.
        east_asian: replies may be written in Chinese, Japanese or Korean.
        step_timeout_s: a step that takes longer hangs: it is stopped, its calls are told.
        kv_type_k, kv_type_v: cache precision; a quantised V cache needs flash attention.
    """

    model: Path
    n_ctx: int = 8192
    max_sequences: int = 16
    batch: int = 128
    prefill_chunk: int = 32
    max_waiting: int = 32
    threads: int = 0
    n_gpu_layers: int = 0
    flash_attention: Literal["auto", "on", "off"] = "auto"
    kv_type_k: KvType = "f16"
    kv_type_v: KvType = "f16"
    east_asian: bool = False
    step_timeout_s: float = 20.0

    def __post_init__(self) -> None:
        """Check what can be known without the file.

        Raises:
            ConfigError: one line per value that cannot work.
        """
        checks = [
            (
                1 <= self.max_sequences <= MOST_SEQUENCES,
                f"max_sequences: expected 1..{MOST_SEQUENCES}",
            ),
            (self.batch >= self.max_sequences, "batch: expected at least max_sequences"),
            (self.prefill_chunk >= 1, "prefill_chunk: expected at least 1"),
            (self.max_waiting >= 1, "max_waiting: expected at least 1"),
            (self.n_ctx >= 256, "n_ctx: expected at least 256"),
            (self.step_timeout_s > 0, "step_timeout_s: expected more than 0"),
            (self.threads >= 0, "threads: expected 0 (all CPUs) or more"),
            (
                self.flash_attention != "off" or not self.kv_type_v.startswith("q"),
                "kv_type_v: a quantised V cache needs flash_attention on or auto",
            ),
        ]
        wrong = [message for fits, message in checks if not fits]
        if wrong:
            raise ConfigError("chat model settings: " + "; ".join(wrong))
