"""Whether words said over the assistant are meant to interrupt it."""

from __future__ import annotations

from difflib import SequenceMatcher, get_close_matches

from gateway.conversation.lexicon import Lexicon, contains, lexicon, words_of

_MOST_BACKCHANNEL_WORDS = 3
_ECHO_SHARE = 0.75
"""Part of the words that must be the assistant's own, in order."""

_NEARLY = 0.8
_MISHEARD = 0.66
"""Similarity (difflib ratio) from which a word counts as a misheard one: "yef" for "yes"."""


def interrupts(text: str, language: str, speaking: str, *, grunt: bool = False) -> bool:
    """Judge the transcript of speech over the assistant.

    Args:
        grunt: the speech was short and its words are in doubt.
        text: what was recognised; empty for a cough, noise or music.
        language: language of the call.
        speaking: what the assistant has said of its reply by now, and is about to say.
    """
    words, known = words_of(text), lexicon(language)
    if not words:
        return False
    if stops(words, known):
        return True
    if grunt:
        return False
    if is_backchannel(words, known):
        # After a question, "yes" is an answer.
        return speaking.rstrip().endswith(("?", "؟"))
    return not is_repeated(words, words_of(speaking))


def stops(words: list[str], known: Lexicon) -> bool:
    """Whether the words ask the assistant to stop, misheard single words included."""
    if any(contains(words, stop) for stop in known.stops):
        return True
    single = [stop[0] for stop in known.stops if len(stop) == 1]
    return bool(words) and bool(get_close_matches(words[0], single, n=1, cutoff=_NEARLY))


def is_backchannel(words: list[str], known: Lexicon) -> bool:
    """Whether these few words only show attention.

    A grunt is short and easily misheard, so a word that is nearly one of the list counts too.
    """
    if len(words) > _MOST_BACKCHANNEL_WORDS:
        return False
    return all(
        word in known.backchannels
        or get_close_matches(word, known.backchannels, n=1, cutoff=_MISHEARD)
        for word in words
    )


def is_repeated(words: list[str], spoken: list[str]) -> bool:
    """Whether the words are the assistant's own, come back over the line.

    True when most of them appear in the reply in the same order; a single word may be chance.
    """
    if len(words) < 2:
        return False
    matcher = SequenceMatcher(None, words, spoken, autojunk=False)
    repeated = sum(block.size for block in matcher.get_matching_blocks())
    return repeated / len(words) >= _ECHO_SHARE
