"""Choice of the next token: one sampler chain per generation."""

from __future__ import annotations

from typing import Any

import llama_cpp

from gateway.engines.base import ChatRequest
from gateway.engines.llama_grammar import ToolCallGuard
from gateway.engines.llama_native import NativeLlama

_TOP_K = 40
_PENALTY_WINDOW = 64


class Sampler:
    """A llama.cpp sampler chain with the settings of one request.

    The repeat penalty sees the reply only, not the prompt: names and prices of the profile must
    stay as likely as the model finds them. Frees the chain on ``close``.

    Raises:
        ValueError: the request's tools cannot become a grammar.
    """

    def __init__(self, request: ChatRequest, native: NativeLlama) -> None:
        self._native = native
        self._guard = ToolCallGuard(native.vocab, request.tools) if request.tools else None
        params = llama_cpp.llama_sampler_chain_default_params()
        self._chain: Any = llama_cpp.llama_sampler_chain_init(params)
        links: list[Any] = []
        if request.repeat_penalty != 1.0:
            links.append(
                llama_cpp.llama_sampler_init_penalties(
                    native.n_vocab, _PENALTY_WINDOW, request.repeat_penalty, 0.0, 0.0
                )
            )
        if request.temperature <= 0.0:
            links.append(llama_cpp.llama_sampler_init_greedy())
        else:
            links += [
                llama_cpp.llama_sampler_init_top_k(_TOP_K),
                llama_cpp.llama_sampler_init_top_p(request.top_p, 1),
                llama_cpp.llama_sampler_init_min_p(request.min_p, 1),
                llama_cpp.llama_sampler_init_temp(request.temperature),
                llama_cpp.llama_sampler_init_dist(request.seed & 0xFFFFFFFF),
            ]
        for link in links:
            llama_cpp.llama_sampler_chain_add(self._chain, link)

    def sample(self, row: int) -> int:
        """Choose the token that follows row ``row`` of the last batch."""
        logits = self._native.logits(row)
        token = int(llama_cpp.llama_sampler_sample(self._chain, self._native.context, row))
        if self._guard is None:
            return token
        piece = self._native.piece(token)
        if not self._guard.allows(token, piece):
            token = self._guard.choose(self._chain, logits, self._native.piece)
            piece = self._native.piece(token)
        self._guard.accept(token, piece)
        return token

    def close(self) -> None:
        """Free the chain; no use afterwards."""
        if self._guard is not None:
            self._guard.close()
        if self._chain is not None:
            llama_cpp.llama_sampler_free(self._chain)
            self._chain = None
