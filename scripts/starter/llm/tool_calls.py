"""Malformed tool calls in the gateway's own engine: of the model alone, and bound by a grammar."""

import random
from dataclasses import replace
from pathlib import Path

from gateway.engines.base import ChatMessage, ChatRequest
from gateway.engines.llama import LlamaChat, LlamaSettings
from gateway.receptionist.profile import load_profile
from gateway.receptionist.tools import receptionist_tools
from gateway.settings import Settings
from scripts.starter import corpus

from .evaluate import Tally, take_apart


async def tool_calls(model: Path, count: int, seed: int = 7) -> dict[str, str]:
    """Of ``count`` turns of calls to the clinic where a tool call belongs, how many got one that
    cannot be used. What was said before is the true call's; a reply may be as long as the gateway
    lets it by default.
    """
    longest: int = Settings.model_fields["llm_max_tokens"].default
    tools = receptionist_tools(load_profile())
    chat = LlamaChat(LlamaSettings(model, threads=1))
    rng, tally, turns = random.Random(seed), Tally(), 0
    try:
        while turns < count:
            call = corpus.demo_call(rng.choice(corpus.LANGS), rng)
            messages = tuple(ChatMessage(m.role, m.content) for m in call.messages)
            for note in call.notes:
                if turns < count and "<tool_call>" in messages[note.index].content:
                    turns += 1
                    alone = ChatRequest(f"{turns}", messages[: note.index], longest)
                    bound = replace(alone, tools=tools)
                    for name, request in {"alone": alone, "bound": bound}.items():
                        text = "".join([piece async for piece in chat.stream(request)])
                        tally.add(f"malformed, {name}", take_apart(text).malformed)
                    chat.forget(alone.call_id)
    finally:
        await chat.close()
    return tally.table()
