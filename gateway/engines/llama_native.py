"""llama.cpp through its low-level bindings: one model, one context of many sequences.

Called by the owner thread only, but for ``tokenize``, which reads immutable data and is
thread-safe. llama.cpp reports the reason of an error in its log alone, so the log is routed first.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import re
import sys
from collections import deque
from dataclasses import replace
from typing import Any

import llama_cpp
import numpy as np

from gateway.engines.llama_check import require_loadable
from gateway.engines.llama_kv import CopyPrefix, KvOperation
from gateway.engines.llama_settings import MOST_SEQUENCES, LlamaSettings
from gateway.engines.llama_steps import Row
from gateway.engines.model_errors import model_errors
from gateway.errors import ModelError

logger = logging.getLogger("gateway.engines.llama")

_KV_TYPES = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "f16": llama_cpp.GGML_TYPE_F16,
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
    "q4_0": llama_cpp.GGML_TYPE_Q4_0,
}
_FLASH_ATTENTION = {
    "auto": llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
# First bytes of ideographs, kana and Hangul in UTF-8, which a token may hold alone. Models made in
# China slip into them in mid-sentence, and a voice of another language reads out what they are.
_EAST_ASIAN = re.compile(rb"[\xe3-\xed]")
_NATIVE_ERROR = 4
# One per process like llama.cpp's log itself; only ever read to explain a failure.
_recent_errors: deque[str] = deque(maxlen=8)


def _on_native_log(level: int, text: bytes | None, _user: ctypes.c_void_p) -> None:
    line = (text or b"").decode("utf-8", "replace").strip()
    if level == _NATIVE_ERROR and line:
        _recent_errors.append(line)
    if line.strip("."):
        logger.debug("llama.cpp: %s", line)


# llama.cpp keeps the pointer for the life of the process, so the callback must live as long.
_log_callback = llama_cpp.llama_log_callback(_on_native_log)


class _AbortFlag:
    """Stops a forward pass from another thread.

    llama.cpp calls the callback between operations and stops when it gives true. A Python function
    would need the interpreter's lock there, hundreds of times a step; C's ``strlen`` of a buffer
    that is empty or holds one character tells the same without it.
    """

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(2)
        libc = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
        self.callback = ctypes.cast(libc.strlen, llama_cpp.ggml_abort_callback)
        self.data = ctypes.cast(self._buffer, ctypes.c_void_p)

    def set(self, wanted: bool) -> None:
        """From any thread."""
        self._buffer[0] = b"\1" if wanted else b"\0"


class DecodeError(Exception):
    """A forward pass failed; the cache can no longer be trusted."""


class NativeLlama:
    """A loaded model, its vocabulary, and one context that is opened when first needed.

    Raises:
        ModelError: the file is missing, damaged, or of a kind that cannot serve calls.
    """

    def __init__(self, settings: LlamaSettings) -> None:
        llama_cpp.llama_log_set(_log_callback, ctypes.c_void_p(0))
        if settings.n_gpu_layers and not llama_cpp.llama_supports_gpu_offload():
            logger.warning(
                "the chat model falls back to the CPU: llama-cpp-python was built without GPU"
                " support; build it with CMAKE_ARGS=-DGGML_CUDA=on, or set LLM_GPU_LAYERS=0"
            )
            settings = replace(settings, n_gpu_layers=0)
        self._context: Any = None
        self._abort = _AbortFlag()
        self._model = _load_model(settings)
        # What only one sequence holds is overwritten when it leaves a sliding window, though the
        # sequence may yet be cut back to it. So each has a shadow there, which holds the same.
        self._shadows: tuple[int, ...] = ()
        if llama_cpp.llama_model_n_swa(self._model):
            most = min(settings.max_sequences, MOST_SEQUENCES // 2)
            settings = replace(settings, max_sequences=most)
            self._shadows = (most,)
        self.settings = settings
        self._batch = llama_cpp.llama_batch_init(settings.batch, 0, 2)
        self.vocab = vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.name = str(settings.model)
        self.bos = int(llama_cpp.llama_vocab_bos(vocab))
        self.eos = int(llama_cpp.llama_vocab_eos(vocab))
        self.adds_bos = bool(llama_cpp.llama_vocab_get_add_bos(vocab))
        self.n_vocab = int(llama_cpp.llama_vocab_n_tokens(self.vocab))
        self.n_ctx_train = int(llama_cpp.llama_model_n_ctx_train(self._model))
        self._bias = np.zeros(self.n_vocab, np.float32)
        if not settings.east_asian:
            found = [t for t in range(self.n_vocab) if _EAST_ASIAN.search(self.piece(t))]
            self._bias[found] = -np.inf

    # ------------------------------------------------------------------ vocabulary

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a rendered prompt; special tokens in the text are recognised."""
        data = text.encode("utf-8")
        room = len(data) + 8
        tokens = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self.vocab, data, len(data), tokens, room, False, True)
        if count < 0:
            raise ValueError(f"llama_tokenize failed on {len(data)} bytes: {count}")
        return list(tokens[:count])

    def piece(self, token: int) -> bytes:
        """UTF-8 bytes of a token, perhaps only part of a character; control tokens are empty."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, size, 0, False)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def ends_generation(self, token: int) -> bool:
        """Whether a token is one of the model's end tokens (EOS, EOT, ...)."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    def token_text(self, token: int) -> str:
        """How the vocabulary spells a token; empty for -1 (no such token)."""
        if token < 0:
            return ""
        return bytes(llama_cpp.llama_vocab_get_text(self.vocab, token)).decode("utf-8", "replace")

    def control_texts(self) -> list[str]:
        """Spellings of all control tokens, which no caller may put into a prompt."""
        return [
            self.token_text(token)
            for token in range(self.n_vocab)
            if llama_cpp.llama_vocab_is_control(self.vocab, token)
        ]

    def chat_template(self) -> str:
        """The default chat template of the GGUF metadata, or an empty string."""
        template = llama_cpp.llama_model_chat_template(self._model, None)
        return bytes(template).decode("utf-8") if template else ""

    # ------------------------------------------------------------------ context

    @property
    def context(self) -> Any:
        """The open context (opened here when it is not).

        Raises:
            ModelError: there is not enough memory for it.
        """
        if self._context is None:
            self._abort.set(False)
            sequences = self.settings.max_sequences * (1 + len(self._shadows))
            self._context = _open_context(self._model, self.settings, sequences)
            llama_cpp.llama_set_abort_callback(
                self._context, self._abort.callback, self._abort.data
            )
        return self._context

    @property
    def cells(self) -> int:
        """Real size of the cache: llama.cpp rounds n_ctx up."""
        return int(llama_cpp.llama_n_ctx(self.context))

    def run(self, operations: tuple[KvOperation, ...], rows: tuple[Row, ...]) -> None:
        """Change the cache, then run one forward pass over the rows.

        Raises:
            DecodeError: the cache must be rebuilt (``drop_context``).
        """
        memory = llama_cpp.llama_get_memory(self.context)
        offsets = (0, *self._shadows)
        for operation, offset in itertools.product(operations, offsets):
            if isinstance(operation, CopyPrefix):
                source, target = operation.source + offset, operation.target + offset
                llama_cpp.llama_memory_seq_cp(memory, source, target, 0, operation.length)
            elif not llama_cpp.llama_memory_seq_rm(
                memory, operation.sequence + offset, operation.length, -1
            ):
                raise DecodeError("the cache of this model cannot be cut")
        if not rows:
            return
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, row in enumerate(rows):
            batch.token[i] = row.token
            batch.pos[i] = row.position
            batch.n_seq_id[i] = len(offsets)
            for at, offset in enumerate(offsets):
                batch.seq_id[i][at] = row.sequence + offset
            batch.logits[i] = row.request is not None
        code = llama_cpp.llama_decode(self.context, batch)
        if code != 0:
            raise DecodeError(f"llama_decode returned {code}; last message: {_last_error()}")

    def logits(self, row: int) -> np.ndarray:
        """What follows a row of the last batch: float32 (n_vocab,), the memory that is sampled
        from. Tokens of scripts that no reply is written in have -inf.
        """
        pointer = llama_cpp.llama_get_logits_ith(self.context, row)
        logits: np.ndarray = np.ctypeslib.as_array(pointer, (self.n_vocab,))
        logits += self._bias
        return logits

    def abort(self) -> None:
        """Make the forward pass in flight fail with DecodeError soon; from any thread."""
        self._abort.set(True)

    def drop_context(self) -> None:
        """Free the context and its cache; the next use opens a fresh one."""
        if self._context is not None:
            llama_cpp.llama_free(self._context)
            self._context = None

    def close(self) -> None:
        """Free everything."""
        self.drop_context()
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_model_free(self._model)


def _last_error() -> str:
    return _recent_errors[-1] if _recent_errors else "none"


def _built_with_amx() -> bool:
    """Whether llama.cpp holds AMX code, which ends the process (SIGILL) when GCC 12 compiled it:
    https://github.com/ggml-org/llama.cpp/pull/26954. Its weights are an extra buffer type, so
    without those it is not reached. ``scripts/setup_env.sh`` builds without it.
    """
    return b"AMX_INT8 = 1" in llama_cpp.llama_print_system_info()


def _load_model(settings: LlamaSettings) -> Any:
    path = settings.model
    with model_errors(f"chat model {path}", "a GGUF file"):
        require_loadable(path)
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = settings.n_gpu_layers
    params.use_extra_bufts = not _built_with_amx()
    params.check_tensors = True  # a damaged weight would spoil every reply, and no more be told
    _recent_errors.clear()
    model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        # The first error is the cause, the later ones say only that loading failed.
        cause = _recent_errors[0] if _recent_errors else "no reason given"
        raise ModelError(
            f"chat model {path} cannot be loaded ({cause}); "
            "download it again, or choose an architecture this llama.cpp knows"
        )
    unfit = (
        llama_cpp.llama_model_is_recurrent(model)
        or llama_cpp.llama_model_is_hybrid(model)
        or llama_cpp.llama_model_is_diffusion(model)
        or llama_cpp.llama_model_has_encoder(model)
    )
    if unfit:
        llama_cpp.llama_model_free(model)
        raise ModelError(
            f"chat model {path} is not a plain decoder transformer, so its cache cannot be "
            "shared between calls; choose another model"
        )
    return model


def _usable_cpus() -> int:
    # Containers limit the affinity, which cpu_count does not see; macOS has no affinity.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open_context(model: Any, settings: LlamaSettings, sequences: int) -> Any:
    threads = settings.threads or _usable_cpus()
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = settings.n_ctx
    params.n_batch = params.n_ubatch = settings.batch
    params.n_seq_max = sequences
    params.n_threads = params.n_threads_batch = threads
    params.type_k = _KV_TYPES[settings.kv_type_k]
    params.type_v = _KV_TYPES[settings.kv_type_v]
    params.flash_attn_type = _FLASH_ATTENTION[settings.flash_attention]
    params.offload_kqv = settings.n_gpu_layers != 0
    params.op_offload = settings.n_gpu_layers != 0
    params.kv_unified = True
    # A sliding-window cache forgets cells, and then a sequence could not be cut back.
    params.swa_full = True
    _recent_errors.clear()
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise ModelError(
            f"no context of {settings.n_ctx} tokens for {settings.model} ({_last_error()}); "
            "lower LLM_CONTEXT or choose a smaller model"
        )
    return context
