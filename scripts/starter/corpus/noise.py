"""How a sentence looks once it has been spoken, misheard and written down."""

import random
import re

from .template import capitalise, vocabulary, words

Confusions = dict[str, list[str]]

_PLAIN = {"ru": str.maketrans("ёЁ", "еЕ"), "ar": str.maketrans("أإآى", "اااي")}

# Sentences that people like to open and close politely.
WRAPPED = frozenset(
    "hours hours_day address price has services book book_svc book_svc_day book_all book_full move "
    "cancel message person target out_of_domain name_q robot emergency".split()
)


def wrap(lang: str, intent: str, text: str, rng: random.Random) -> str:
    """Now and then something polite in front or behind."""
    if intent not in WRAPPED:
        return text
    if rng.random() < 0.3:
        proper = lang == "en" and re.match(r"I\b", text)
        rest = text if proper else text[0].lower() + text[1:]
        text = capitalise(rng.choice(words(lang, "talk", "openers"))) + rest
    if rng.random() < 0.12 and text[-1] in ".?؟":
        text = text[:-1] + rng.choice(words(lang, "talk", "closers")) + text[-1]
    return text


def misread(lang: str, text: str, rng: random.Random, words_too: bool) -> str:
    """What a recogniser does to a sentence; with ``words_too`` False every word survives."""
    kind = rng.random()
    if kind < 0.35:
        return re.sub(r"[.,?!،؟]", "", text).lower()
    if kind < 0.55:
        return re.sub(r"[.,?!،؟]", "", text)
    if kind < 0.7:
        filler = rng.choice(words(lang, "talk", "fillers"))
        return capitalise(filler) + text[0].lower() + text[1:]
    if not words_too:
        return text
    found = text.split(" ")
    at, kind = rng.randrange(len(found)), rng.random()
    if kind < 0.3 and len(found) > 3:
        del found[at]
    elif kind < 0.5:
        found.insert(at, found[at])
    elif len(found[at]) > 3:
        cut = rng.randrange(1, len(found[at]) - 1)
        letter = rng.choice({"en": "aeioustnr", "ru": "аеиостнр", "ar": "اتنيمرل"}[lang])
        found[at] = found[at][:cut] + rng.choice([letter, ""]) + found[at][cut + 1 :]
    return " ".join(found)


def stray(lang: str, text: str, kept: list[str], rng: random.Random) -> str:
    """Now and then one or two words that mean nothing here, so that the rest has to be enough.

    They never fall inside one of the slot values ``kept``.
    """
    if rng.random() > 0.2:
        return text
    for _ in range(rng.choice([1, 1, 2])):
        gaps = [match.start() for match in re.finditer(" ", text)] + [0]
        at = rng.choice(gaps)
        word = rng.choice(vocabulary(lang))
        changed = f"{word} {text}" if at == 0 else f"{text[:at]} {word}{text[at:]}"
        if all(value in changed for value in kept if value in text):
            text = changed
    return text


def respell(lang: str, text: str, rng: random.Random) -> str:
    """Now and then without what people and recognisers leave out: ё, and what stands on an alif."""
    plain = _PLAIN.get(lang)
    return text.translate(plain) if plain and rng.random() < 0.25 else text


def confuse(text: str, kept: list[str], table: Confusions, rng: random.Random) -> str:
    """Replace some words, outside the slot values ``kept``, by what was heard for them."""
    if not table or rng.random() > 0.35:
        return text
    safe = {word for value in kept for word in value.lower().replace("ё", "е").split()}
    out = []
    for word in text.split(" "):
        bare = word.lower().replace("ё", "е").strip(".,?!،؟")
        if bare in table and bare not in safe and rng.random() < 0.12:
            heard = rng.choice(table[bare])
            word = heard + word[-1] if heard and word[-1] in ".,?!،؟" else heard
        if word:
            out.append(word)
    return " ".join(out) or text
