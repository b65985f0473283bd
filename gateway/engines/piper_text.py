"""Cuts text into pieces that are spoken one at a time: sentences, then clauses, then words."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Container, Iterator
from dataclasses import dataclass

FIRST_CHARS = 60
"""A first piece longer than this is cut at a clause, so that speech starts soon."""

USUAL_CHARS = 120
"""Later pieces longer than this are cut at a clause: phonemisation holds a process-wide lock."""

MOST_CHARS = 200
"""No piece is longer; without any punctuation the cut falls between words."""

SENTENCE_PAUSE_S = 0.18
CLAUSE_PAUSE_S = 0.06

_SENTENCE_END = re.compile(r"[.!?…؟۔]+[\"'»”’)\]]*\s+|[。！？]+|\n+")
_CLAUSE_END = re.compile(r"[,;:،؛]+[\"'»”’)\]]*\s+|\s[-–—]+\s")
ABBREVIATIONS = frozenset(
    "dr mr mrs ms st vs prof approx ext p.o г д ул пр им тел доб др стр кв корп обл каб оф руб тыс"
    " мин ص.ب".split()
)
# Followed by a capital they may end a sentence, but as often the day comes ("6 p.m. Monday").
_INSIDE = ABBREVIATIONS | {"a.m", "p.m"}
# No end of a sentence before a number: "No. 5", "Dec. 3", "Mon. 9 to 6".
_BEFORE_NUMBER = frozenset(
    "no dh dhs mon tue tues wed thu thur thurs fri sat sun"
    " jan feb mar apr aug sep sept oct nov dec".split()
)
_LETTERS = {
    "en": re.compile("[A-Za-z\u00c0-\u024f]"),
    "ar": re.compile("[\u0621-\u064a\u066e-\u06d3]"),
    "ru": re.compile("[\u0400-\u04ff]"),
}
_UNSPOKEN = str.maketrans(dict.fromkeys("*_`~|™®©", " ") | dict.fromkeys("→⇒", "–"))


@dataclass(frozen=True, slots=True)
class Piece:
    """Text for one pass of a voice, and the silence that follows it in seconds."""

    text: str
    pause_s: float


def split_speakable(text: str) -> list[Piece]:
    """Pieces in speaking order; empty when the text has no letter or digit."""
    pieces: list[Piece] = []
    for sentence in _sentences(clean(text)):
        pieces += _pieces(sentence, USUAL_CHARS if pieces else FIRST_CHARS)
    return pieces


def readable_in(text: str, language: str, languages: Container[str]) -> str:
    """The language whose voice reads a text: another than asked for where that one would spell it
    letter by letter, as an English voice does Russian. Latin letters every voice can read.
    """
    if language not in _LETTERS:
        return language
    counts = {code: len(letters.findall(text)) for code, letters in _LETTERS.items()}
    most = max(counts, key=counts.__getitem__)
    spelt = most != "en" and counts[most] > counts[language] and most in languages
    return most if spelt else language


def clean(text: str) -> str:
    """Drop what no voice can say: emoji, markup, control and formatting characters."""
    kept = "".join(character for character in text if not _is_picture(character))
    # Double square brackets would be read as raw phonemes by Piper.
    kept = kept.translate(_UNSPOKEN).replace("[[", " ").replace("]]", " ")
    return re.sub(r"[^\S\n]+", " ", kept).strip()


def _is_picture(character: str) -> bool:
    if character.isspace():
        return False
    category = unicodedata.category(character)
    if category == "So":
        return ord(character) >= 0x2190  # signs such as № and ° stand below the arrows
    return category[0] == "C" or "\ufe00" <= character <= "\ufe0f" or category == "Sk"


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if _ends_sentence(text, start, end):
            yield text[start : end.end()]
            start = end.end()
    yield text[start:]


def _ends_sentence(text: str, start: int, end: re.Match[str]) -> bool:
    """False after an abbreviation or initial, before a small letter and in "No. 5"."""
    if not end.group().startswith(". "):
        return True
    words = text[start : end.start()].split()
    word = words[-1].lower() if words else ""
    follows = text[end.end() : end.end() + 1]
    if follows.isdigit() and word in _BEFORE_NUMBER:
        return False
    return not (word in _INSIDE or len(word) == 1 and word.isalpha() or follows.islower())


def _pieces(sentence: str, soft_limit: int) -> Iterator[Piece]:
    parts = [part for clause in _clauses(sentence, soft_limit) for part in _lines(clause)]
    spoken = [part for part in parts if any(map(str.isalnum, part))]
    for part in spoken[:-1]:
        yield Piece(part, CLAUSE_PAUSE_S)
    for part in spoken[-1:]:
        yield Piece(part, SENTENCE_PAUSE_S)


def _clauses(sentence: str, soft_limit: int) -> Iterator[str]:
    """Clauses joined for as long as they stay within the limit."""
    start = last = 0
    ends = [end.end() for end in _CLAUSE_END.finditer(sentence)]
    for end in [*ends, len(sentence)]:
        if end - start > soft_limit and last > start:
            yield sentence[start:last]
            start, soft_limit = last, USUAL_CHARS
        last = end
    yield sentence[start:]


def _lines(clause: str) -> list[str]:
    return textwrap.wrap(clause.strip(), MOST_CHARS, break_on_hyphens=False)
