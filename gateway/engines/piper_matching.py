"""Matches the words of a text with the words a voice said: numbers are read out, words joined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from gateway.engines.piper_text import ABBREVIATIONS

_SYMBOLS = "%&@#№$€£₽+="
"""Signs that are read out even where they stand alone."""

_DIGIT_LETTERS = 4.0
"""A digit is read out as about so many letters ("2024" as three words, "100" as two)."""

_ABBREVIATED_LETTERS = 6.0
"""Length of the word that an abbreviation stands for."""

_DIGIT_DOUBT = 4.0
"""How much looser than a letter a digit is matched: "12" and "5,000,000" are read differently."""

_ARABIC_LETTERS = 1.5
"""Sounds for a letter of a script that leaves out short vowels; other letters count as one."""

_MOST_SPOKEN = 24
"""Spoken words that one written word may become ("+44 20..." without its spaces)."""

_MOST_WRITTEN = 4
"""Written words that may be spoken as one: espeak joins "of the" and "has been"."""

_BORDER_COST = 4.0
"""For punctuation on one side only."""

_SPLIT_COST = 1.5
"""For every further spoken word that a written word became."""

_READ_OUT_COST = 0.25
"""The same for numbers and abbreviations, which often become several."""

_JOIN_COST = 0.75
"""For every further written word that was spoken as one."""

_MISFIT_COST = 2.0
"""For the difference in length, squared, relative to the length."""

_PAUSED = re.compile(r"[,;:!?…،؛؟][\"'»”’)\]]*$")
_PERHAPS_PAUSED = re.compile(r"[.–—-][\"'»”’)\]]*$")
"""Abbreviations end in a full stop without a pause, and voices differ about dashes."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One word as a voice said it.

    Attributes:
        start: samples from the start of the audio to its first phoneme.
        end: samples to the end of its last phoneme.
        phonemes: how many sounds it has.
        pause: punctuation follows it.
    """

    start: int
    end: int
    phonemes: int
    pause: bool = False


class Pair(NamedTuple):
    """Written words and the spoken words they became."""

    words: slice
    spoken: slice


def matched(words: Sequence[str], spoken: Sequence[Spoken]) -> list[Pair]:
    """The cheapest way to go through both: one to one, one to several, or several to one."""
    n, m = len(words), len(spoken)
    letters = [0.0, *accumulate(map(sounds_in, words))]
    doubts = [0.0, *accumulate(map(_doubt, words))]
    phonemes = [0, *accumulate(word.phonemes for word in spoken)]
    borders = [bool(_PAUSED.search(word)) for word in words]
    certain = [not _PERHAPS_PAUSED.search(word) for word in words]
    cheapest: dict[tuple[int, int], tuple[float, int, int]] = {(0, 0): (0.0, 0, 0)}
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            steps = [(i - 1, k) for k in range(max(0, j - _MOST_SPOKEN), j)]
            steps += [(h, j - 1) for h in range(max(0, i - _MOST_WRITTEN), i - 1)]
            border = _BORDER_COST * (certain[i - 1] and borders[i - 1] != spoken[j - 1].pause)
            found = []
            for h, k in steps:
                if (h, k) not in cheapest:
                    continue
                expected, got = letters[i] - letters[h], phonemes[j] - phonemes[k]
                doubt = 1 + expected + got + doubts[i] - doubts[h]
                misfit = _MISFIT_COST * (expected - got) ** 2 / doubt
                uneven = _JOIN_COST * (i - h - 1)
                known = doubts[i] == doubts[h]
                uneven += (_SPLIT_COST if known else _READ_OUT_COST) * (j - k - 1)
                found.append((cheapest[h, k][0] + border + misfit + uneven, h, k))
            if found:
                cheapest[i, j] = min(found)
    if (n, m) not in cheapest:
        return [Pair(slice(0, n), slice(0, m))] if n and m else []
    pairs = []
    while n:
        _, h, k = cheapest[n, m]
        pairs.append(Pair(slice(h, n), slice(k, m)))
        n, m = h, k
    return pairs[::-1]


def sounds_in(word: str) -> float:
    """About how many sounds a word has when it is read out; 0 when it is only punctuation."""
    return _ABBREVIATED_LETTERS if _is_abbreviation(word) else sum(map(_sounds, word))


def _sounds(character: str) -> float:
    if character.isdigit() or character in _SYMBOLS:
        return _DIGIT_LETTERS
    if "\u0600" <= character <= "\u06ff" and character.isalpha():
        return _ARABIC_LETTERS
    return float(character.isalnum())


def _doubt(word: str) -> float:
    """How much more or less than its letters a word may have sounds."""
    if _is_abbreviation(word):
        return _ABBREVIATED_LETTERS
    return _DIGIT_DOUBT * sum(_sounds(c) for c in word if c.isdigit() or c in _SYMBOLS)


def _is_abbreviation(word: str) -> bool:
    return word.endswith(".") and word[:-1].lower() in ABBREVIATIONS
