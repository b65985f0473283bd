"""The text of one reply that two models write, one after the other, without a seam."""

from __future__ import annotations

import re

_CALL, _CALL_END = "<tool_call>", "</tool_call>"
_LAST_SPACE = re.compile(r".*\s", re.DOTALL)
_WORD = re.compile(r"\S+")
_TELLING_WORD = 4
"""Letters of a single repeated word that is no coincidence."""


class WholeWords:
    """Passes text on up to its last space, so that a reply never breaks off inside a word, nor
    inside a tool call, which would swallow what another model writes after it.

    This delays nothing that can be spoken: a clause is known to be over only at the space after it.
    """

    def __init__(self) -> None:
        self._rest = ""

    def push(self, delta: str) -> str:
        """Add text; returns the words that are complete now."""
        self._rest += delta
        complete = _LAST_SPACE.match(self._rest)
        if complete is None:
            return ""
        end, call = complete.end(), complete[0].rfind(_CALL)
        if call > complete[0].rfind(_CALL_END):
            end = call
        whole, self._rest = self._rest[:end], self._rest[end:]
        return whole

    def flush(self) -> str:
        """The last word, once the reply is over."""
        rest, self._rest = self._rest, ""
        return rest


class Continuation:
    """Drops from a continuation what it repeats of the beginning: all of it, or its last words.

    Text is held back only while it may still turn out to be a repetition. Case and punctuation do
    not count in the comparison.

    Args:
        said: the beginning, in whole words, which the caller may have heard.
    """

    def __init__(self, said: str) -> None:
        self._said = [_letters(word) for word in said.split()]
        self._gap = "" if not said or said[-1].isspace() else " "
        self._words = WholeWords()
        self._pending = ""
        self._settled = not said

    def push(self, delta: str) -> str:
        """Add text of the continuation; returns what is new in it."""
        if self._settled:
            return delta
        self._pending += self._words.push(delta)
        heard = [_letters(word) for word in self._pending.split()]
        if not heard or self._may_repeat(heard):
            return ""
        return self._settle() + self._words.flush()

    def flush(self) -> str:
        """The rest, once the continuation is over."""
        if self._settled:
            return ""
        self._pending += self._words.flush()
        return self._settle()

    def _may_repeat(self, heard: list[str]) -> bool:
        """Could more text make this a repetition, or a longer one than it is?"""
        said, count = self._said, len(heard)
        return any(said[start : start + count] == heard for start in range(len(said) - count + 1))

    def _settle(self) -> str:
        self._settled = True
        words = list(_WORD.finditer(self._pending))
        known = self._repeated([_letters(word[0]) for word in words])
        new = self._pending[words[known].start() :] if known < len(words) else ""
        return self._gap + new if new else ""

    def _repeated(self, heard: list[str]) -> int:
        """Words at the start of the continuation that were said already."""
        said = self._said
        if heard[: len(said)] == said:
            return len(said)
        for count in range(min(len(heard), len(said)), 0, -1):
            if said[-count:] == heard[:count]:
                # One short word ("to", "the") may follow itself by chance.
                return count if count > 1 or len(heard[0]) >= _TELLING_WORD else 0
        return 0


def _letters(word: str) -> str:
    return "".join(char for char in word.lower() if char.isalnum())
