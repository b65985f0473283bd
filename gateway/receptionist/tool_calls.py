"""Separates what a reply says from the tool calls and thoughts that a model writes into it."""

from __future__ import annotations

import re

_CLOSING = {
    "<tool_call>": "</tool_call>",
    "<think>": "</think>",
    "<function=": "</function>",  # Llama 3, Qwen3 Coder
    "```": "```",
    # Who speaks, which a template writes before a reply.
    "<|start_header_id|>": "<|end_header_id|>",
    "<|im_start|>": "\n",
    "<start_of_turn>": "\n",
}
# What a template or a server should have kept from us. A call in these forms fills the rest of a
# reply, and behind the end of its turn a model writes the next one, the caller's words included.
_LAST = frozenset(
    '<|python_tag|> [TOOL_CALLS] {"name":'
    " <|im_end|> <|eot_id|> <|eom_id|> <|end|> <|endoftext|> <end_of_turn> </s>".split()
)
_TAGS = (*_CLOSING, *_LAST)
_OPENING = re.compile("|".join(map(re.escape, _TAGS)))


class ToolCallFilter:
    """Streaming filter for calls in Hermes form, ``<tool_call>{json}</tool_call>``, and what else
    nobody would read out: calls in other models' forms, blocks of code, thoughts, and whatever
    stands behind the end of the reply.

    Attributes:
        calls: bodies of the calls in Hermes form seen so far, unparsed.
        thought: whether the model thought aloud.
        ended: nothing that comes now is to be spoken.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.thought = self.ended = False
        self._text = ""
        self._inside = ""
        """The opening tag that was not closed yet."""

    def push(self, delta: str) -> str:
        """Add text of the reply; return what of it is to be spoken."""
        self._text += delta
        spoken: list[str] = []
        while not self.ended:
            if self._inside:
                before, found, after = self._text.partition(_CLOSING[self._inside])
                if not found:
                    break
                if self._inside == "<tool_call>":
                    self.calls.append(before.strip())
                self._text, self._inside = after, ""
            else:
                opened = _OPENING.search(self._text)
                if opened is None:
                    break
                spoken.append(self._text[: opened.start()])
                self._text, self._inside = self._text[opened.end() :], opened[0]
                self.thought |= self._inside == "<think>"
                self.ended = self._inside in _LAST
        if not self._inside:
            keep = max(_possible_start(self._text, tag) for tag in _TAGS)
            spoken.append(self._text[: len(self._text) - keep])
            self._text = self._text[len(self._text) - keep :]
        return "".join(spoken)

    def flush(self) -> str:
        """What is left at the end of the reply; an unfinished call or thought is dropped."""
        rest = "" if self._inside else self._text
        self._text = self._inside = ""
        return rest


def _possible_start(text: str, tag: str) -> int:
    """Length of the longest end of ``text`` that could become ``tag``."""
    longest = min(len(text), len(tag) - 1)
    return next((n for n in range(longest, 0, -1) if tag.startswith(text[-n:])), 0)
