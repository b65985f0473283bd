"""Whether words said over the assistant are meant to interrupt it."""

from __future__ import annotations

from difflib import SequenceMatcher

from gateway.conversation.lexicon import contains, lexicon, words_of

_MOST_BACKCHANNEL_WORDS = 3
_ECHO_SHARE = 0.75


def interrupts(text: str, language: str, speaking: str) -> bool:
    """Judge the transcript of speech over the assistant.

    Args:
        text: what was recognised; empty for a cough, noise or music.
        language: language of the call.
        speaking: what the assistant has said of its reply by now, and is about to say.
    """
    words, known = words_of(text), lexicon(language)
    if not words:
        return False
    if any(contains(words, stop) for stop in known.stops):
        return True
    if len(words) <= _MOST_BACKCHANNEL_WORDS and known.backchannels.issuperset(words):
        # After a question, "yes" is an answer.
        return speaking.rstrip().endswith(("?", "؟"))
    return not is_repeated(words, words_of(speaking))


def is_repeated(words: list[str], spoken: list[str]) -> bool:
    """Whether the words are the assistant's own, come back over the line.

    True when most of them appear in the reply in the same order; a single word may be chance.
    """
    if len(words) < 2:
        return False
    matcher = SequenceMatcher(None, words, spoken, autojunk=False)
    repeated = sum(block.size for block in matcher.get_matching_blocks())
    return repeated / len(words) >= _ECHO_SHARE
