"""Where each word of a piece ends in its audio: from phoneme lengths, or from the text alone."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from gateway.audio.pcm import FRAME_SAMPLES, Samples
from gateway.engines.base import Word
from gateway.engines.piper_matching import Spoken, matched, sounds_in
from gateway.engines.piper_shape import SOUND

_MARKS = frozenset("ˈˌːˑ")
"""Phoneme symbols without a sound of their own."""


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
    letters = [sounds_in(word) for word in words]
    voiced = [index for index, count in enumerate(letters) if count]
    ends: dict[int, int] = {}
    # A dash that stands alone is a pause after the word before it.
    borders = [*voiced[1:], len(words)]
    phrases = [" ".join(words[a:b]) for a, b in zip(voiced, borders, strict=True)]
    for pair in matched(phrases, spoken):
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
    shares = list(accumulate(sounds_in(word) for word in words))
    ends: dict[int, int] = {}
    if len(active) and shares and shares[-1]:
        for index, share in enumerate(shares):
            # A share of n frames ends with the n-th frame that sounds.
            count = share / shares[-1] * len(active)
            whole = max(1, int(np.ceil(count)))
            end = (int(active[whole - 1]) + 1 - (whole - count)) * FRAME_SAMPLES
            ends[index] = min(round(end), len(samples))
    return _in_order(words, ends)


def words_read_out(text: str, spoken: Sequence[Word]) -> tuple[Word, ...]:
    """The words of a text, which end where the words end that the voice was given for them."""
    words, read = text.split(), [word.text for word in spoken]
    # Numbers are no landmarks: a telephone number has the same digits again and again.
    match = SequenceMatcher(lambda word: word[:1].isdigit(), words, read, autojunk=False)
    last = [
        start + -(-(at + 1 - first) * (end - start) // (stop - first))
        for _, first, stop, start, end in match.get_opcodes()
        for at in range(first, stop)
    ]
    return tuple(Word(w, spoken[max(n, 1) - 1].end) for w, n in zip(words, last, strict=True))


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


def _in_order(words: Sequence[str], ends: Mapping[int, int]) -> tuple[Word, ...]:
    """Words with their ends; one that is not spoken ends with its neighbour before, or after."""
    end = min(ends.values(), default=0)
    placed = []
    for index, word in enumerate(words):
        end = max(end, ends.get(index, 0))
        placed.append(Word(word, end))
    return tuple(placed)
