"""Where sentences end in what the assistant says, which may still be growing."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A row of stops is tried from its first one only: from each it would take a long row's square.
_SENTENCE_END = re.compile(r"(?<![.!?؟…])[.!?؟…]++[\"»”’)*_]*+\s+|\n\s*")
# A full stop after these, after a single letter, or after the number of a line in a list does not
# end a sentence. engines/piper_text.py, which cuts fixed phrases, has a list of its own.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st vs approx ext e.g i.e p.o dh dhs г ул пр им стр тел доб д кв корп обл"
    " каб оф т.е т.к أ.د ص.ب".split()
)
# They stand at the end of a sentence as well, as a capital letter after them shows.
_LAST_WORDS = frozenset(
    "a.m p.m etc no min hr hrs ave blvd rd mon tue tues wed thu thur thurs fri sat sun jan feb mar"
    " apr aug sep sept oct nov dec руб мин тыс млн др т.д т.п пн вт ср чт пт сб вс".split()
)
# Capitals that go on with a time ("6 p.m. Monday"). May is not one: "6 p.m. May I book it?"
_DATES = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april june"
    " july august september october november december".split()
)
_LIST_NUMBER = re.compile(r"(?:^|\n)[\s*_]*\d{1,2}$")


def sentence_ends(text: str) -> Iterator[re.Match[str]]:
    """The ends of sentences that something may follow: punctuation and the space after it."""
    return (end for end in _SENTENCE_END.finditer(text) if _ends_sentence(end))


def _ends_sentence(end: re.Match[str]) -> bool:
    """False for a full stop inside a sentence; after a last word, until a capital follows."""
    if not end[0].startswith(".") or end[0].startswith("..") or "\n" in end[0]:
        return True
    before, follows = end.string[: end.start()], end.string[end.end() :]
    word = re.split(r"[\s(«\"*_]", before)[-1].lower()
    if word in _LAST_WORDS:
        return follows[:1].isupper() and not _goes_on_with_date(word, follows)
    initial = len(word) == 1 and word.isalpha()
    if initial or word in _ABBREVIATIONS or _LIST_NUMBER.search(before):
        return False
    # Of what has not come yet nothing is known, and the first piece must not wait for it.
    return not follows[:1].islower()


def _goes_on_with_date(word: str, follows: str) -> bool:
    """Whether a time of day is followed by its date, or by a word that may yet become one."""
    if word not in ("a.m", "p.m"):
        return False
    following, *rest = re.split(r"\W", follows.lower(), maxsplit=1)
    return following in _DATES if rest else any(date.startswith(following) for date in _DATES)
