"""Word error rate: how far a transcript is from what was said."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_NOT_A_WORD = re.compile(r"[^\w' ]")
_MARKS = re.compile("[\u0300-\u036f\u0640\u064b-\u065f\u0670]")
"""Stress and Arabic vowels, which are no letters and would split a word, and what stretches one."""


def words_of(text: str) -> list[str]:
    """The words that count: letter case, punctuation, marks and the dots of Russian ё do not."""
    text = _MARKS.sub("", unicodedata.normalize("NFC", text.lower())).replace("’", "'")
    return _NOT_A_WORD.sub(" ", text).replace("ё", "е").split()


def word_edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Fewest words to insert, delete or replace to make one of the other (Levenshtein)."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, 1):
        current = [i]
        for j, got in enumerate(hypothesis, 1):
            current.append(min(row[j] + 1, current[-1] + 1, row[j - 1] + (expected != got)))
        row = current
    return row[-1]


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Word errors over one or many sentences."""

    edits: int
    words: int

    @property
    def rate(self) -> float:
        """Errors per word of the reference, 0..; nothing said and something heard counts as 1."""
        return self.edits / self.words if self.words else float(self.edits > 0)


def count_word_errors(pairs: Iterable[tuple[str, str]]) -> WordErrors:
    """Total over (what was said, what was understood)."""
    edits = words = 0
    for said, understood in pairs:
        reference = words_of(said)
        edits += word_edits(reference, words_of(understood))
        words += len(reference)
    return WordErrors(edits, words)
