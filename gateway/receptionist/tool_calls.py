"""Separates what a reply says from the tool calls and thoughts that a model writes into it."""

from __future__ import annotations

import re

_CLOSING = {"<tool_call>": "</tool_call>", "<think>": "</think>"}
_OPENING = re.compile("|".join(_CLOSING))


class ToolCallFilter:
    """Streaming filter for calls in Hermes form, ``<tool_call>{json}</tool_call>``, and thoughts,
    ``<think>text</think>``.

    Attributes:
        calls: bodies of the calls seen so far, unparsed.
        thought: whether the model thought aloud.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.thought = False
        self._text = ""
        self._inside = ""
        """The opening tag that was not closed yet."""

    def push(self, delta: str) -> str:
        """Add text of the reply; return what of it is to be spoken."""
        self._text += delta
        spoken: list[str] = []
        while True:
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
        if not self._inside:
            keep = max(_possible_start(self._text, tag) for tag in _CLOSING)
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
