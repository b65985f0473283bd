"""Where each word of a piece ends in its audio: from phoneme lengths, or from the text alone."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.audio.pcm import FRAME_SAMPLES, Samples
from gateway.engines.base import Word
from gateway.engines.piper_shape import SOUND
from gateway.engines.piper_text import ABBREVIATIONS

_SYMBOLS = "%&@#№$€£₽+="
"""Signs that are read out even where they stand alone."""

_MARKS = frozenset("ˈˌːˑ")
"""Phoneme symbols without a sound of their own."""

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


@dataclass(frozen=True, slots=True)
class Written:
    """One word of a text, and how many letters and digits its piece has up to its end."""

    text: str
    letters: int


def spoken_words(
    ids: Sequence[int], lengths: NDArray[np.int64], id_map: Mapping[str, Sequence[int]]
) -> list[Spoken]:
    """The words of one sentence, from the length in samples of each of its phoneme ids.

    Words are what stands between spaces; spaces and punctuation are pauses and belong to none.
    """
    phoneme_of = {found[0]: phoneme for phoneme, found in id_map.items() if len(found) == 1}
    words: list[Spoken] = []
    inside = sounding = False
    end = 0
    for phoneme_id, length in zip(ids, lengths.tolist(), strict=True):
        start, end = end, end + int(length)
        phoneme = phoneme_of.get(phoneme_id, "")
        if phoneme == "_":  # padding between phonemes sounds like the one before it
            if sounding:
                words[-1] = replace(words[-1], end=end)
            continue
        sounding = not _is_pause(phoneme)
        if sounding:
            if not inside:
                words.append(Spoken(start, end, 0))
            word = words[-1]
            words[-1] = replace(word, end=end, phonemes=word.phonemes + (phoneme not in _MARKS))
            inside = True
        elif phoneme in " ^$":
            inside = False
        elif words:
            words[-1] = replace(words[-1], pause=True)
    return words


def _is_pause(phoneme: str) -> bool:
    """True for sentence borders, spaces and punctuation."""
    return phoneme in ("^", "$", " ") or unicodedata.category(phoneme[:1] or "a")[0] == "P"


def words_by_phonemes(text: str, spoken: Sequence[Spoken]) -> tuple[Word, ...]:
    """The words of a text, which end where the spoken words end that they became.

    Numbers become several spoken words and short words are joined, so the two are matched by
    length and punctuation; words spoken as one share its time by their letters.
    """
    words = text.split()
    letters = [_letters(word) for word in words]
    voiced = [index for index, count in enumerate(letters) if count]
    ends: dict[int, int] = {}
    # A dash that stands alone is a pause after the word before it.
    borders = [*voiced[1:], len(words)]
    phrases = [" ".join(words[a:b]) for a, b in zip(voiced, borders, strict=True)]
    for pair in _matched(phrases, spoken):
        inside = voiced[pair.words]
        first, last = spoken[pair.spoken][0], spoken[pair.spoken][-1]
        shares = list(accumulate(letters[index] for index in inside))
        for index, share in zip(inside, shares, strict=True):
            ends[index] = first.start + round((last.end - first.start) * share / shares[-1])
    return _in_order(words, ends)


def words_by_letters(text: str, samples: Samples) -> tuple[Word, ...]:
    """The words of a text, spread by their letters over those parts of the audio that sound."""
    words = text.split()
    frames = -(-len(samples) // FRAME_SAMPLES)
    loud = np.zeros(frames * FRAME_SAMPLES, bool)
    loud[: len(samples)] = np.abs(samples.astype(np.int32)) > SOUND
    active = np.flatnonzero(loud.reshape(frames, FRAME_SAMPLES).any(axis=1))
    shares = list(accumulate(_letters(word) for word in words))
    ends: dict[int, int] = {}
    if len(active) and shares and shares[-1]:
        for index, share in enumerate(shares):
            # A share of n frames ends with the n-th frame that sounds.
            count = share / shares[-1] * len(active)
            whole = max(1, int(np.ceil(count)))
            end = (int(active[whole - 1]) + 1 - (whole - count)) * FRAME_SAMPLES
            ends[index] = min(round(end), len(samples))
    return _in_order(words, ends)


def written_words(text: str, pieces: Sequence[str]) -> list[tuple[Written, ...]]:
    """The words of a whole text, given to the pieces that it is spoken in.

    Pieces lack what cannot be said, and break long words; letters and digits are in both, so a
    word ends where its last letter does. What has no letter goes with the word before it.
    """
    borders = list(accumulate(map(_alphanumerics, pieces)))
    given: list[list[Written]] = [[] for _ in pieces]
    at = piece = 0
    for word in text.split():
        at += _alphanumerics(word)
        while piece < len(borders) - 1 and at > borders[piece]:
            piece += 1
        if borders:
            before = borders[piece - 1] if piece else 0
            given[piece].append(Written(word, at - before))
    return [tuple(words) for words in given]


def in_writing(written: Iterable[Written], spoken: Sequence[Word]) -> tuple[Word, ...]:
    """The written words of a piece, which end where the words end that the voice was given."""
    borders = list(accumulate(_alphanumerics(word.text) for word in spoken))
    last = len(spoken) - 1
    return tuple(
        Word(word.text, spoken[min(bisect_left(borders, max(1, word.letters)), last)].end)
        for word in written
    )


def _alphanumerics(text: str) -> int:
    return sum(map(str.isalnum, text))


def _letters(word: str) -> float:
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


class _Pair(NamedTuple):
    """Written words and the spoken words they became."""

    words: slice
    spoken: slice


def _matched(words: Sequence[str], spoken: Sequence[Spoken]) -> list[_Pair]:
    """The cheapest way to go through both: one to one, one to several, or several to one."""
    n, m = len(words), len(spoken)
    letters = [0.0, *accumulate(map(_letters, words))]
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
        return [_Pair(slice(0, n), slice(0, m))] if n and m else []
    pairs = []
    while n:
        _, h, k = cheapest[n, m]
        pairs.append(_Pair(slice(h, n), slice(k, m)))
        n, m = h, k
    return pairs[::-1]


def _in_order(words: Sequence[str], ends: Mapping[int, int]) -> tuple[Word, ...]:
    """Words with their ends; one that is not spoken ends with its neighbour before, or after."""
    end = min(ends.values(), default=0)
    placed = []
    for index, word in enumerate(words):
        end = max(end, ends.get(index, 0))
        placed.append(Word(word, end))
    return tuple(placed)
