"""Tool calls that are always valid: a grammar that awakes when a reply opens a tool call."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp.llama_grammar import SchemaConverter

from gateway.engines.base import Tool

_OPEN = b"<tool_call>"
# The grammar reads the reply from the group on. llama.cpp searches the whole reply at every token:
# a pattern that begins with "anything" would make that grow with the square of its length.
_TRIGGER = rb"(<tool_call>)"

# Characters of a JSON string: no control characters, which JSON forbids, and no "<", so that no
# value holds a closing tag.
_CHARACTER = r"""char ::= [^"\\<\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})"""

# llama_token_data of llama.h: token id, logit, probability.
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


@cache
def tool_call_grammar(tools: tuple[Tool, ...]) -> str:
    """GBNF of one call of one of the tools, tags included.

    Raises:
        ValueError: the parameters of a tool are no JSON schema that can become a grammar.
    """
    rules = _grammar_of({"oneOf": [_call_schema(tool) for tool in tools]})
    # Only at line feeds: splitlines() would also part a text at U+2028.
    named = dict(rule.split(" ::= ", 1) for rule in rules.split("\n"))
    named["call"] = named.pop("root")
    named.pop("char", None)
    body = [f"{name} ::= {rule}" for name, rule in named.items()]
    return "\n".join(['root ::= "<tool_call>" space call "</tool_call>"', *body, _CHARACTER])


def _call_schema(tool: Tool) -> dict[str, object]:
    try:
        arguments = json.loads(tool.parameters)
    except ValueError as error:
        raise ValueError(f"tool {tool.name!r}: expected a JSON schema: {error}") from error
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": arguments},
        "required": ["name", "arguments"],
    }


def _grammar_of(schema: dict[str, object]) -> str:
    converter: Any = SchemaConverter(  # type: ignore[no-untyped-call]
        prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False
    )
    converter._format_literal = _literal
    converter.visit(converter.resolve_refs(schema, "tools"), "")
    rules: str = converter.format_grammar()
    return rules


def _literal(value: str) -> str:
    """A JSON value as a GBNF literal.

    The library's own escapes quotes but not backslashes, so llama.cpp would read the escapes of
    JSON as its own. Letters stay as they are, in the spelling that models write.
    """
    text = json.dumps(json.loads(value), ensure_ascii=False)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def check_tools(tools: tuple[Tool, ...]) -> None:
    """Make sure at start that calls of these tools can be constrained.

    Raises:
        ValueError: they cannot; the message names the tools.
    """
    ToolCallGuard(None, tools).close()  # a vocabulary is needed to read tokens only


class ToolCallGuard:
    """Vetoes tokens that would spoil a tool call. Owner thread only; ``close`` frees it.

    Raises:
        ValueError: llama.cpp cannot use the grammar.
    """

    def __init__(self, vocab: Any, tools: tuple[Tool, ...]) -> None:
        patterns = (ctypes.c_char_p * 1)(_TRIGGER)
        grammar = tool_call_grammar(tools).encode()
        self._grammar: Any = llama_cpp.llama_sampler_init_grammar_lazy_patterns(
            vocab, grammar, b"root", patterns, 1, None, 0
        )
        if not self._grammar:
            raise ValueError(f"no grammar for the tools {', '.join(tool.name for tool in tools)}")
        self._awake = False
        self._tail = b""
        """End of the reply, in which the tag may have begun."""

    def allows(self, token: int, piece: bytes) -> bool:
        """Whether the reply may go on with this token, spelt ``piece``.

        Asking about one token is far cheaper than sorting a whole vocabulary, and a model that
        knows the format is nearly always right.
        """
        if not self._awake:
            return not self._runs_over(piece)
        one = np.array([(token, 0.0, 0.0)], _CANDIDATE)
        self._apply(one)
        return bool(np.isfinite(one["logit"][0]))

    def choose(self, chain: Any, logits: np.ndarray, piece_of: Callable[[int], bytes]) -> int:
        """The chain's choice among the tokens allowed; ``logits`` is float32 (n_vocab,)."""
        candidates = np.empty(len(logits), _CANDIDATE)
        candidates["id"], candidates["logit"], candidates["p"] = np.arange(len(logits)), logits, 0.0
        if self._awake:
            self._apply(candidates)
            kept = np.isfinite(candidates["logit"])
        else:
            kept = np.array([not self._runs_over(piece_of(at)) for at in range(len(logits))])
        allowed = np.ascontiguousarray(candidates[kept])
        chosen = _array(allowed)
        llama_cpp.llama_sampler_apply(chain, ctypes.byref(chosen))
        return int(chosen.data[chosen.selected].id)

    def accept(self, token: int, piece: bytes) -> None:
        """The reply went on with this token, spelt ``piece``."""
        if not self._awake:
            tail = self._tail + piece
            self._awake, self._tail = _OPEN in tail, tail[1 - len(_OPEN) :]
        llama_cpp.llama_sampler_accept(self._grammar, token)

    def close(self) -> None:
        """Free the grammar; no use afterwards."""
        if self._grammar is not None:
            llama_cpp.llama_sampler_free(self._grammar)
            self._grammar = None

    def _runs_over(self, piece: bytes) -> bool:
        """Whether a token ends the tag and goes on behind it. llama.cpp wakes the grammar with
        such a token unasked, and ends the process if it does not fit.
        """
        text = self._tail + piece
        return _OPEN in text and not text.endswith(_OPEN)

    def _apply(self, candidates: np.ndarray) -> None:
        llama_cpp.llama_sampler_apply(self._grammar, ctypes.byref(_array(candidates)))


def _array(candidates: np.ndarray) -> Any:
    """A llama_token_data_array over the memory of ``candidates``."""
    data = candidates.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
    return llama_cpp.llama_token_data_array(data, len(candidates), -1, False)
