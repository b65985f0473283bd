"""Numbers in figures, so that a number compares equal however it is written."""

from __future__ import annotations

from gateway.conversation.lexicon import NUMBERS

_AND = "و"
_TEEN = ("عشر", "عشره")


def in_figures(words: list[str]) -> list[str]:
    """Words as `words_of` gives them, with each figure of a number as a word of its own.

    "two hundred and fifty" and "250" are 2 5 0, "zero five five one" and "055 1" are 0 5 5 1,
    "nine thirty" and "9:30" are 9 3 0; "9:00" is 9.
    """
    told: list[str] = []
    run: list[int | str] = []
    for position, word in enumerate(words):
        if word.isdecimal():
            if not run or word != "00":
                run.append("".join(str(int(digit)) for digit in word))
        elif word in NUMBERS:
            _count(run, word)
        elif not (word == "and" and _is_round(run) and NUMBERS.keys() & words[position + 1 :][:1]):
            told += "".join(map(str, run))
            run = []
            if word == "m" and told[-1:] in (["a"], ["p"]):
                word = told.pop() + word
            told.append(word)
    return told + list("".join(map(str, run)))


def _is_round(run: list[int | str]) -> bool:
    """Whether the number may go on with "and"."""
    return bool(run) and isinstance(run[-1], int) and run[-1] >= 100 and run[-1] % 100 == 0


def _count(run: list[int | str], word: str) -> None:
    """Add a number in words to those before it, or to the last of them if it is a part of that."""
    value, last = NUMBERS[word], run[-1] if run else None
    if not isinstance(last, int) or last == 0:
        run.append(value)
    elif word == "hundred":
        run[-1] = last - last % 100 + (last % 100 or 1) * 100
    elif value == 1000:
        run[-1] = last * 1000
    elif _holds(last, value, unit_first=word.startswith(_AND) or word in _TEEN):
        run[-1] = last + value
    else:
        run.append(value)


def _holds(number: int, value: int, *, unit_first: bool) -> bool:
    """Whether a number in words goes on with this one: "twenty" with "five", not "ten" with it."""
    if unit_first and 0 < number % 100 < 10 and 10 <= value < 100:
        return True
    free = 10
    while number % (free * 10) == 0:
        free *= 10
    return number % free == 0 and number % 100 != 10 and 0 < value < free
