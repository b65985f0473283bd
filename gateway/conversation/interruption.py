"""What speech over the assistant turned out to be, by its words."""

from __future__ import annotations

from difflib import get_close_matches
from enum import Enum

from gateway.conversation.figures import in_figures
from gateway.conversation.lexicon import KNOWN, LONGEST_PHRASE, contains, words_of

_QUESTION_MARKS = ("?", "؟")
_MOST_BACKCHANNELS = 3
_ECHO_SHARE = 0.75
"""Part of the words that must be the assistant's own, in one run."""

_SHORTEST_ECHO = 2
"""A single word may be chance."""

_SHORTEST_SURE_ECHO = 3
"""Words from which an echo is believed even if it holds a stop word."""

_SINGLE_STOPS = [stop[0] for stop in KNOWN.stops if len(stop) == 1]
_AGREEING = [" ".join(phrase) for phrase in KNOWN.backchannels]

_NEARLY = 0.8
_MISHEARD = 0.66
"""Similarity (difflib ratio) from which a word counts as a misheard one: "yef" for "yes"."""


class Verdict(Enum):
    """What was said over the assistant, and by whom."""

    NOISE = "no words"
    OWN_WORDS = "the assistant's, come back over the line"
    BACKCHANNEL = "a sign of attention, or a grunt"
    INTERRUPTS = "meant to stop the assistant"


def judge(
    text: str,
    speaking: str,
    before: str,
    since: str,
    *,
    short: bool = False,
    in_doubt: bool = False,
) -> Verdict:
    """Judge the transcript of speech over the assistant.

    Args:
        text: what was recognised; empty for a cough, noise or music.
        speaking: what the assistant has said of its reply by now, and is about to say.
        before: what of it had been played, so lately that it may have come back over the line, when
            the speech over it began, and early enough to be answered by then.
        since: what was played after that.
        short: the speech was no longer than a grunt.
        in_doubt: the words may be misheard.
    """
    words = words_of(text)
    if not words:
        return Verdict.NOISE
    heard = in_figures(words)
    added = _added(heard, words_of(before), words_of(since))
    repeated = len(words) >= _SHORTEST_ECHO and 1 - len(added) / len(heard) >= _ECHO_SHARE
    repeated = repeated and not any(map(str.isdecimal, added))  # another time than was offered
    harmless = Verdict.OWN_WORDS if repeated else Verdict.BACKCHANNEL
    if repeated and len(words) >= _SHORTEST_SURE_ECHO:
        # Any other stop word is the assistant's own.
        return Verdict.INTERRUPTS if stops(added) else harmless
    if stops(words):
        return Verdict.INTERRUPTS
    if short and in_doubt:
        return harmless  # most likely a grunt
    asking = text.rstrip().endswith(_QUESTION_MARKS)
    if is_backchannel(words, misheard=in_doubt and not asking):
        # After a question, "yes" is an answer.
        return Verdict.INTERRUPTS if speaking.rstrip().endswith(_QUESTION_MARKS) else harmless
    return harmless if repeated else Verdict.INTERRUPTS


def stops(words: list[str]) -> bool:
    """Whether the words ask the assistant to stop, misheard single words included."""
    if contains(words, KNOWN.stops):
        return True
    return bool(words) and bool(get_close_matches(words[0], _SINGLE_STOPS, n=1, cutoff=_NEARLY))


def is_backchannel(words: list[str], *, misheard: bool) -> bool:
    """Whether these are a few signs of attention, each said as often as one likes.

    ``misheard`` lets a word that is nearly one of the list count too: grunts are easily misheard.
    """
    said = set()
    while words:
        phrases = [tuple(words[:size]) for size in range(min(LONGEST_PHRASE, len(words)), 0, -1)]
        phrase = next((phrase for phrase in phrases if phrase in KNOWN.backchannels), None)
        if phrase is None and misheard:
            phrase = next(filter(_sounds_agreeing, phrases), None)
        if phrase is None:
            return False
        said.add(phrase)
        words = words[len(phrase) :]
    return len(said) <= _MOST_BACKCHANNELS


def _sounds_agreeing(phrase: tuple[str, ...]) -> bool:
    said = " ".join(phrase)
    if any(said.removeprefix(prefix) in _AGREEING for prefix in KNOWN.negations):
        return False  # "unsure" is close to "sure", and means the opposite
    cutoff = _MISHEARD if len(phrase) == 1 else _NEARLY
    return bool(get_close_matches(said, _AGREEING, n=1, cutoff=cutoff))


def _added(words: list[str], before: list[str], since: list[str]) -> list[str]:
    """The words around the longest run of the assistant's own that may be an echo.

    An echo lasts until we have fallen silent because of it, so its run ends in ``since``. Whoever
    picks from what was offered does so when the words have been played to their end.
    """
    spoken = in_figures(before + since)
    before_since = len(spoken) - len(in_figures(since))
    for size in range(min(len(words), len(spoken)), 0, -1):
        first_end = max(size, before_since + 1)
        runs = [spoken[end - size : end] for end in range(first_end, len(spoken) + 1)]
        for start in range(len(words) - size + 1):
            if words[start : start + size] in runs:
                return words[:start] + words[start + size :]
    return words
