"""Notices when a chat model says the same thing over and over: small ones do at times."""

from __future__ import annotations

import math

_SHORTEST = 24
"""Characters that have to come again at the end of a reply."""
_REPEATS, _REPEATS_OF_A_WORD = 6, 12
"""More than there are in a telephone number of eleven digits, said one by one or in pairs."""
_MEMORY = 2000
"""Characters at the end of a reply that are looked at: long enough for six long sentences."""


class LoopWatch:
    """Text deltas in; tells when the end of the text is nothing but repetition."""

    def __init__(self) -> None:
        self._text = ""

    def push(self, delta: str) -> int:
        """Add text; return the length of the loop it now ends in, all rounds together, or 0."""
        self._text = text = (self._text + delta)[-_MEMORY:]
        if len(text) <= _SHORTEST:
            return 0
        if (again := text.rfind(text[-_SHORTEST:], 0, -1)) < 0:
            return 0
        size = len(text) - _SHORTEST - again
        unit = text[-size:]
        if not any(map(str.isalnum, unit)):  # a row of dashes is not spoken
            return 0
        rounds = _REPEATS if unit.count(" ") > 1 else _REPEATS_OF_A_WORD
        rounds = max(rounds, 1 + math.ceil(_SHORTEST / size))
        if not text.endswith(unit * rounds):
            return 0
        while text.endswith(unit * (rounds + 1)):
            rounds += 1
        return size * rounds
