"""A model whose layers look back only so far (Gemma, Command R): tiny, of random weights."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from gateway.engines.base import ChatMessage, ChatRequest
from gateway.engines.llama import LlamaChat, LlamaSettings
from tests.engines.chat_requests import collect
from tests.engines.test_llama import MODEL

gguf = pytest.importorskip("gguf", reason="needs the bench extra")

WIDTH, HEADS, HEAD, HIDDEN, LAYERS, WINDOW = 64, 4, 16, 128, 4, 16
SYSTEM = ChatMessage("system", "You are a receptionist. " + "Be brief. " * 20)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> LlamaSettings:
    """A Command R of four layers, three of which see 16 tokens, with the starter's tokenizer."""
    path = tmp_path_factory.mktemp("window") / "model.gguf"
    starter, writer = gguf.GGUFReader(MODEL), gguf.GGUFWriter(path, "cohere2")
    random = np.random.default_rng(3)
    tokens = len(starter.fields["tokenizer.ggml.tokens"].data)
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-5)
    writer.add_rope_dimension_count(HEAD)
    writer.add_sliding_window(WINDOW)
    writer.add_logit_scale(1.0)
    for key, field in starter.fields.items():
        if key.startswith("tokenizer."):
            kinds = (*field.types, None)
            writer.add_key_value(key, field.contents(), kinds[0], kinds[1])
    shapes = {"token_embd": (tokens, WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.attn_norm": (WIDTH,)}
        shapes |= {f"blk.{layer}.attn_{name}": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
        shapes |= {f"blk.{layer}.ffn_{name}": (HIDDEN, WIDTH) for name in ("gate", "up")}
        shapes |= {f"blk.{layer}.ffn_down": (WIDTH, HIDDEN)}
    for name, shape in shapes.items():
        weights = 0.3 * random.standard_normal(shape) if len(shape) > 1 else np.ones(shape)
        writer.add_tensor(f"{name}.weight", weights.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return LlamaSettings(path, n_ctx=2048, threads=1, flash_attention="off")


def asked(call: str, turns: int) -> ChatRequest:
    messages = [SYSTEM]
    for turn in range(turns):
        messages.append(ChatMessage("assistant", f"We open at {turn}."))
        messages.append(ChatMessage("user", f"{call} {turn}, when do you open?"))
    return ChatRequest(call, tuple(messages), max_tokens=20)


def test_calls_that_are_cut_back_reply_as_if_they_were_alone(settings: LlamaSettings) -> None:
    """Each turn cuts the model's own words, which nobody heard; the last one all but one turn."""
    requests = [asked(call, turns) for turns in (1, 2, 4, 1) for call in ("alpha", "beta")]

    async def together() -> list[str]:
        chat = LlamaChat(settings)
        replies = [await collect(chat, request) for request in requests]
        reused = chat.counters.reused
        await chat.close()
        assert reused > sum(len(request.messages) for request in requests)
        return replies

    async def alone(request: ChatRequest) -> str:
        chat = LlamaChat(settings)
        reply = await collect(chat, request)
        await chat.close()
        return reply

    assert asyncio.run(together()) == [asyncio.run(alone(request)) for request in requests]


def test_a_window_leaves_room_for_half_of_the_sequences(settings: LlamaSettings) -> None:
    """llama.cpp has 256 of them, and a call takes two there."""
    many = LlamaSettings(settings.model, n_ctx=2048, threads=1, max_sequences=256, batch=256)

    async def body() -> str:
        chat = LlamaChat(many)
        reply = await collect(chat, asked("alpha", 1))
        await chat.close()
        return reply

    assert asyncio.run(body())
