"""Separates what a reply says from the tool calls a model writes into it."""

from __future__ import annotations

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


class ToolCallFilter:
    """Streaming filter for calls in Hermes form, ``<tool_call>{json}</tool_call>``.

    Attributes:
        calls: bodies of the calls seen so far, unparsed.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._text = ""
        self._inside = False

    def push(self, delta: str) -> str:
        """Add text of the reply; return what of it is to be spoken."""
        self._text += delta
        spoken: list[str] = []
        while True:
            tag = _CLOSE if self._inside else _OPEN
            before, found, after = self._text.partition(tag)
            if not found:
                break
            self._take(before, spoken)
            self._text, self._inside = after, not self._inside
        if not self._inside:
            keep = _possible_start(self._text, _OPEN)
            spoken.append(self._text[: len(self._text) - keep])
            self._text = self._text[len(self._text) - keep :]
        return "".join(spoken)

    def flush(self) -> str:
        """What is left at the end of the reply; an unfinished call is dropped."""
        rest = "" if self._inside else self._text
        self._text, self._inside = "", False
        return rest

    def _take(self, text: str, spoken: list[str]) -> None:
        if self._inside:
            self.calls.append(text.strip())
        else:
            spoken.append(text)


def _possible_start(text: str, tag: str) -> int:
    """Length of the longest end of ``text`` that could become ``tag``."""
    longest = min(len(text), len(tag) - 1)
    return next((n for n in range(longest, 0, -1) if tag.startswith(text[-n:])), 0)
