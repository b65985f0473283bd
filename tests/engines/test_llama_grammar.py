"""Tool calls under a grammar, with the real starter model."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Iterator
from dataclasses import replace

import llama_cpp
import msgspec
import numpy as np
import pytest

from gateway.engines.base import ChatMessage, ChatRequest, Tool
from gateway.engines.llama import LlamaChat
from gateway.engines.llama_grammar import ToolCallGuard, tool_call_grammar
from gateway.engines.llama_native import NativeLlama
from gateway.engines.llama_settings import LlamaSettings
from gateway.errors import ChatError
from gateway.receptionist.profile import load_profile
from gateway.receptionist.prompt import system_prompt
from gateway.receptionist.tools import receptionist_tools
from tests.chat_server import MODEL
from tests.engines.chat_requests import collect
from tests.engines.test_llama import SETTINGS

PROFILE = load_profile()
TOOLS = receptionist_tools(PROFILE)
END = Tool("end_call", '{"type": "object", "properties": {}}')


@pytest.fixture(scope="module")
def chat() -> Iterator[LlamaChat]:
    chat = LlamaChat(SETTINGS)
    yield chat
    asyncio.run(chat.close())


def said(*words: str) -> ChatRequest:
    messages = [ChatMessage("system", system_prompt(PROFILE))]
    messages.append(ChatMessage("assistant", PROFILE["en"].greeting))
    for at, text in enumerate(words):
        messages.append(ChatMessage("assistant" if at % 2 else "user", text))
    return ChatRequest("call", tuple(messages), max_tokens=100)


def reply(chat: LlamaChat, request: ChatRequest) -> str:
    return asyncio.run(collect(chat, request))


def call_in(text: str) -> dict[str, object]:
    body = text.partition("<tool_call>")[2].removesuffix("</tool_call>")
    found: dict[str, object] = json.loads(body)
    return found


def test_only_the_tools_of_the_request_can_be_called(chat: LlamaChat) -> None:
    free = said("Please connect me to the manager.")
    assert call_in(reply(chat, free))["name"] == "transfer_call"
    forced = reply(chat, replace(free, tools=(END,)))
    assert call_in(forced) == {"name": "end_call", "arguments": {}}
    assert forced.startswith(reply(chat, free).partition("<tool_call>")[0])


def test_words_before_a_call_are_not_constrained(chat: LlamaChat) -> None:
    asked = said("How much is a filling?")
    assert reply(chat, replace(asked, tools=TOOLS)) == reply(chat, asked)


def test_every_call_sampled_at_random_is_valid(chat: LlamaChat) -> None:
    schemas = {tool.name: json.loads(tool.parameters) for tool in TOOLS}
    calls = 0
    for seed in range(40):
        request = replace(
            said("Goodbye.") if seed % 2 else said("Connect me to the manager, please."),
            temperature=3.0,
            top_p=1.0,
            min_p=0.0,
            seed=seed,
            tools=TOOLS,
        )
        text = reply(chat, request)
        if "<tool_call>" in text and text.endswith("</tool_call>"):
            calls += 1
            call = call_in(text)
            assert isinstance(call["arguments"], dict)
            schema = schemas[str(call["name"])]
            assert set(call["arguments"]) == set(schema["properties"])
            for name, rule in schema["properties"].items():
                assert call["arguments"][name] in rule.get("enum", [call["arguments"][name]])
    assert calls >= 3


def test_calls_share_a_batch_with_and_without_tools(chat: LlamaChat) -> None:
    asked = [said("Goodbye."), said("Connect me to the manager, please."), said("Where are you?")]
    requests = [replace(r, call_id=str(n), tools=TOOLS) for n, r in enumerate(asked)]
    requests += [replace(request, call_id=str(n + 3)) for n, request in enumerate(asked)]

    async def together() -> list[str]:
        return await asyncio.gather(*(collect(chat, request) for request in requests))

    assert asyncio.run(together()) == [reply(chat, request) for request in requests]


def test_parameters_that_are_no_schema_fail_the_request_alone(chat: LlamaChat) -> None:
    with pytest.raises(ChatError, match="tool 'broken'"):
        reply(chat, replace(said("Goodbye."), tools=(Tool("broken", "{"),)))
    assert reply(chat, said("Goodbye."))


def test_no_value_holds_a_line_break_or_a_tag() -> None:
    rules = dict(rule.split(" ::= ", 1) for rule in tool_call_grammar(TOOLS).splitlines())
    assert rules["char"].startswith(r"""[^"\\<\x7F\x00-\x1F]""")


@pytest.mark.parametrize(
    "person",
    [
        'Anna "Pearl" Lee',
        "front\\back",
        "a\nb\tc",
        "طبيب الأسنان",
        "Dr. \U0001f9b7",
        "a\u2028b \x85c",
    ],
)
def test_a_name_of_any_characters_is_called_as_the_profile_writes_it(
    chat: LlamaChat, person: str
) -> None:
    profile = {"en": msgspec.structs.replace(PROFILE["en"], people=[person])}
    request = said("Please connect me to the manager.")
    text = reply(chat, replace(request, tools=receptionist_tools(profile)))
    assert call_in(text) == {"name": "transfer_call", "arguments": {"target": person}}
    assert json.dumps(person, ensure_ascii=False) in text


@pytest.fixture(scope="module")
def odd_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeLlama]:
    """The starter model with a token "><", as many real vocabularies have one."""
    model = tmp_path_factory.mktemp("odd") / "model.gguf"
    length = struct.pack("<Q", 2)
    model.write_bytes(MODEL.read_bytes().replace(length + b"qu", length + b"><", 1))
    native = NativeLlama(LlamaSettings(model, n_ctx=512, threads=1))
    yield native
    native.close()


def test_no_token_runs_over_the_end_of_the_opening_tag(odd_vocabulary: NativeLlama) -> None:
    native = odd_vocabulary
    pieces = [native.piece(token) for token in range(native.n_vocab)]
    over, end = pieces.index(b"><"), pieces.index(b">")
    guard = ToolCallGuard(native.vocab, (END,))
    chain = llama_cpp.llama_sampler_init_greedy()
    assert guard.allows(over, pieces[over]), "where no tag has begun"
    for byte in b"<tool_call":
        token = pieces.index(bytes([byte]))
        assert guard.allows(token, pieces[token])
        guard.accept(token, pieces[token])
    assert not guard.allows(over, pieces[over])
    logits = np.zeros(native.n_vocab, np.float32)
    logits[over], logits[end] = 9.0, 8.0
    assert guard.choose(chain, logits, native.piece) == end
    guard.accept(end, b">")
    assert not guard.allows(over, pieces[over]), "the grammar is awake"
    guard.close()
    llama_cpp.llama_sampler_free(chain)


def test_looking_for_a_tool_call_does_not_grow_with_the_square_of_the_reply(
    odd_vocabulary: NativeLlama,
) -> None:
    native = odd_vocabulary
    (token,) = {native.tokenize("a")[-1]}

    def seconds(before: int) -> float:
        guard = ToolCallGuard(native.vocab, (END,))
        for _ in range(before):
            guard.accept(token, b"a")
        began = time.perf_counter()
        for _ in range(50):
            guard.accept(token, b"a")
        took = time.perf_counter() - began
        guard.close()
        return took

    short = min(seconds(200) for _ in range(3))
    assert min(seconds(2000) for _ in range(3)) < 30 * short


def test_grammar_begins_and_ends_with_the_tags() -> None:
    grammar = tool_call_grammar((END,))
    assert grammar.splitlines()[0] == 'root ::= "<tool_call>" space call "</tool_call>"'
