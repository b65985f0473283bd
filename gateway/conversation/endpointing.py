"""How long a silence ends the caller's turn: by what was said, what was asked, and by whom."""

from __future__ import annotations

import re
from enum import Enum
from itertools import takewhile

from gateway.conversation.lexicon import (
    DIGITS,
    KNOWN,
    LONGEST_PHRASE,
    contains,
    digits_of,
    words_of,
)
from gateway.conversation.policy import EndpointPolicy
from gateway.conversation.sentences import sentence_ends

_FINAL = re.compile(r"[.!?؟]\s*$")
_QUESTION = re.compile(r"[?؟]\s*$")
_TIME_OR_PRICE = re.compile(r"(?<![\d:./])\d{1,2}[:./]\d{1,2}\W*$|[$£€₽]\s?\d[\d.,]*\W*$|\d%\W*$")
_DATE = re.compile(r"\D*\d{1,2}\D+(?:\d{1,2}\D+)?(?:19|20|١٩|٢٠)\d{2}\W*")
_ONE_NUMBER = re.compile(r"(?<![\d+])(?<!\d[\s.,-])(?<!\d,\s)[1-9١-٩](?:\d{2,3}|\d{0,2},\d{3})\W*$")
"""A year, a room, a price; a telephone number begins with zero, or comes in groups."""

_TIME_OF_DAY = re.compile(r"\b[ap]\.m\.\s*$", re.IGNORECASE)
_EMAIL = re.compile(
    r"(?:@|\bat\b|собака|آت|ات).*(?:\.|\bdot\b|точка|دوت|نقطة)\s*[^\W\d_]{2,}\W*$", re.IGNORECASE
)
"""The end of an address, written or spoken."""

_UNFINISHED = re.compile(r"(?:[,،;:؛—–…-]|\.\.)\s*$")
_MOST_ANSWER_WORDS = 4
_SHORTEST_NUMBER = 7
_LONGEST_NUMBER = 11
"""Digits of a telephone number as it is spoken: a local one, and one with its area code."""

_SPELLED = 3
"""Letters in a row that are no words ("и я") but a word that is spelled."""


class Completeness(Enum):
    """How a turn sounds so far."""

    COMPLETE = "complete"
    UNSURE = "unsure"
    DICTATING = "dictating"
    INCOMPLETE = "incomplete"


def completeness(text: str, asked: str = "") -> Completeness:
    """Judge a transcript.

    Args:
        asked: what the assistant said last; a question for a number or a name makes the answer a
            dictation, which has pauses inside.
    """
    words = words_of(text)
    asks = _asked_for(asked)
    if not words:
        return Completeness.UNSURE
    told = _DATE.fullmatch(text) or (not asks and _TIME_OR_PRICE.search(text))
    digits = 0 if told else _trailing_digits(words)
    named = asks or not KNOWN.asks_dictation.isdisjoint(words)
    if digits and not named and _ONE_NUMBER.search(text):
        return Completeness.UNSURE
    spelled = DIGITS.issuperset(words[-2:]) and digits >= 2
    if digits and (asks or spelled or digits >= 3):
        return _dictated(digits)
    if _trailing_letters(text) >= (1 if asks else _SPELLED):
        return Completeness.DICTATING
    if digits and all(map(digits_of, words)):
        return Completeness.UNSURE  # one number: an answer, or the first of many
    if KNOWN.greetings.issuperset(words) or words[-1] in KNOWN.days:
        return Completeness.UNSURE
    if _UNFINISHED.search(text):
        return Completeness.INCOMPLETE
    asked_all = bool(_QUESTION.search(text)) and words[-1] in KNOWN.question_ends
    told_all = not asks and bool(_FINAL.search(text)) and _is_told(words)
    unfinished = words[-1] in KNOWN.dangling or _opens(words)
    if unfinished and not asked_all and not told_all:
        return Completeness.INCOMPLETE
    if asks and (len(words) < 3 or not asks.isdisjoint(KNOWN.asks_letters)):
        if _QUESTION.search(text):
            return Completeness.UNSURE  # the caller's own, or a name in doubt
        if not _EMAIL.search(text):
            return Completeness.DICTATING
    if _TIME_OF_DAY.search(text) and KNOWN.days.isdisjoint(words):
        return Completeness.UNSURE  # the stop belongs to the abbreviation; the day may follow
    return Completeness.COMPLETE if _FINAL.search(text) else Completeness.UNSURE


def _asked_for(asked: str) -> frozenset[str]:
    """What the last sentence asks to dictate; nothing if it tells it or wants it confirmed."""
    asked = asked.rstrip()
    sentence = asked[max((end.end() for end in sentence_ends(asked)), default=0) :]
    words = words_of(sentence)
    confirms = KNOWN.confirms.issuperset(words[-1:]) or contains(words, KNOWN.offers)
    if confirms or sum(map(digits_of, words)) >= _SHORTEST_NUMBER:
        return frozenset()
    requests = sentence.endswith(".") and not KNOWN.requests.isdisjoint(words)
    asks = requests or bool(_QUESTION.search(sentence))
    return KNOWN.asks_dictation.intersection(words) if asks else frozenset()


def _opens(words: list[str]) -> bool:
    """Whether the text ends in words that announce something still to come."""
    return tuple(words) in KNOWN.preludes or _ends_in(words, KNOWN.openings)


def _ends_in(words: list[str], phrases: frozenset[tuple[str, ...]]) -> bool:
    return any(tuple(words[-size:]) in phrases for size in range(1, LONGEST_PHRASE + 1))


def _is_told(words: list[str]) -> bool:
    """Whether this closes, or is a yes or no and the verb of the question: "Yes, it is"."""
    if _ends_in(words, KNOWN.closings):
        return True
    short = len(words) <= _MOST_ANSWER_WORDS
    return short and words[0] in KNOWN.answers and words[-1] in KNOWN.answer_ends


def _dictated(digits: int) -> Completeness:
    """A telephone number is a few digits, then long enough, then as long as they get."""
    if digits < _SHORTEST_NUMBER:
        return Completeness.DICTATING
    return Completeness.UNSURE if digits < _LONGEST_NUMBER else Completeness.COMPLETE


def _trailing_letters(text: str) -> int:
    """How many single letters the text ends in: three in "O. K. A." and "O-K-A", none in "U.S."."""
    pieces = [piece.strip(".,;:!?…،") for piece in re.split(r"[\s-]+", text.strip())]
    return len(list(takewhile(lambda piece: len(piece) == 1 and piece.isalpha(), pieces[::-1])))


def _trailing_digits(words: list[str]) -> int:
    """How many digits the text ends in, spoken or written, in one run."""
    return sum(takewhile(bool, map(digits_of, reversed(words))))


class Endpointing:
    """Learns from one caller: whoever was cut off is given more time, and less again later."""

    def __init__(self, policy: EndpointPolicy) -> None:
        self._policy = policy
        self._patience_ms = 0.0
        self._pause_ms = 0.0
        """Running mean of this caller's pauses inside turns."""

        self._judged: tuple[str, str] | None = None
        """Text and question that were judged last: they are the same for every frame of a pause."""

        self._kind = Completeness.UNSURE

    def wait_ms(self, text: str, asked: str, avg_logprob: float = 0.0) -> float:
        """Silence that ends the turn, in ms; words that may be misheard prove no end."""
        policy = self._policy
        # Whoever makes one wait longer need not know which others have to follow.
        unsure_ms = max(policy.unsure_ms, policy.complete_ms, 1.3 * self._pause_ms)
        if self._judged != (text, asked):
            self._judged, self._kind = (text, asked), completeness(text, asked)
        kind = self._kind
        if kind is Completeness.COMPLETE and avg_logprob < policy.doubt_logprob:
            kind = Completeness.UNSURE
        match kind:
            case Completeness.COMPLETE:
                wait = float(policy.complete_ms)
            case Completeness.UNSURE:
                wait = unsure_ms
            case Completeness.DICTATING:
                wait = max(policy.dictation_ms, unsure_ms)
            case Completeness.INCOMPLETE:
                wait = max(policy.incomplete_ms, unsure_ms)
        return min(wait + self._patience_ms, policy.ceiling_ms)

    def went_on(self, pause_ms: float) -> None:
        """The caller paused inside a turn for this long, and was not cut off."""
        self._pause_ms += 0.3 * (pause_ms - self._pause_ms)

    def cut_off(self) -> None:
        """The caller spoke on just after the turn was taken to be over."""
        step = self._policy.cut_off_ms
        self._patience_ms = min(self._patience_ms + step, 3.0 * step)

    def interrupted_after(self, ms: float) -> None:
        """The caller interrupted the reply this long after its first sound."""
        if ms < self._policy.reopen_ms:
            self.cut_off()

    def turn_over(self) -> None:
        """A turn ended well: the caller needs a little less patience."""
        self._patience_ms = max(0.0, self._patience_ms - 0.2 * self._policy.cut_off_ms)
