"""Names of callers, of invented things, and of people a call can be put through to."""

import random

from .template import LANGS, load, pick, reserved, words

_EN_ONSETS = "b br c ch d dr f g gr h j k kl l m n p r s st t th tr v w y z".split()
_EN_VOWELS = "a e i o u ai ee oa ou".split()
_EN_CODAS = [*"n r l m s t ck nd rn ll th x".split(), "", ""]
_EN_ENDINGS = ["", "", "er", "on", "ley", "ford", "ton", "man"]
_RU_ONSETS = "б в г д ж з к л м н п р с т х ч ш бр гр др кр ст тр".split()
_RU_VOWELS = "а е и о у я ю".split()
_RU_CODAS = "н р л м с т к в".split()
_AR_LETTERS = "بتجحخدرزسشصضطعغفقكلمنهوي"


def invented_name(lang: str, rng: random.Random, heldout: bool = False) -> str:
    """A proper name that exists nowhere, so that a model has to copy it."""
    while True:
        syllables = rng.choice([1, 2, 2])
        if lang == "en":
            name = "".join(
                rng.choice(_EN_ONSETS) + rng.choice(_EN_VOWELS) for _ in range(syllables)
            )
            name = (name + rng.choice(_EN_CODAS) + rng.choice(_EN_ENDINGS)).capitalize()
        elif lang == "ru":
            name = "".join(
                rng.choice(_RU_ONSETS) + rng.choice(_RU_VOWELS) for _ in range(syllables)
            )
            name = (name + rng.choice(_RU_CODAS)).capitalize()
        else:
            a, b, c = (rng.choice(_AR_LETTERS) for _ in range(3))
            patterns = [f"{a}ا{b}{c}", f"{a}{b}ي{c}", f"{a}{b}ا{c}", f"م{a}{b}و{c}"]
            name = rng.choice([*patterns, f"{a}{b}{c}ان", f"{a}{b}{c}ي", f"ال{a}{b}ا{c}ي"])
        if len(name) >= 3 and reserved(name) == heldout:
            return name


def caller_name(lang: str, rng: random.Random, heldout: bool = False) -> tuple[str, bool]:
    """(full name, whether it is a woman's); ``heldout`` concerns the surname."""
    woman = rng.random() < 0.5
    first = pick(rng, words(lang, "people", "women" if woman else "men"), False)
    if rng.random() < 0.25:  # or the few first names would be learned instead of copied
        first = invented_name(lang, rng)
    known = words(lang, "people", "surnames")
    last = pick(rng, known, heldout)
    if rng.random() < 0.35:
        invented = invented_name(lang, rng, heldout) + ("ов" if lang == "ru" else "")
        last = last if invented in known else invented
    if lang == "ru" and woman:
        last += "а"
    return f"{first} {last}", woman


def listed_targets(lang: str) -> list[tuple[str, str]]:
    """Departments and roles as (nominative, instrumental); they differ in Russian only."""
    column = LANGS.index(lang)
    rows = load("people.toml")["targets"]
    return [(row[column], row[3] if lang == "ru" else row[column]) for row in rows]


def doctor(lang: str, rng: random.Random, heldout: bool = False) -> tuple[str, str]:
    """A named person to be put through to: (nominative, instrumental)."""
    full, woman = caller_name(lang, rng, heldout)
    last = full.split(" ", 1)[1]
    if lang == "en":
        title = rng.choice(["Doctor", "Mrs." if woman else "Mr."])
        return f"{title} {last}", f"{title} {last}"
    if lang == "ar":
        title = "الدكتورة" if woman else "الدكتور"
        return f"{title} {last}", f"{title} {last}"
    instrumental = last[:-1] + "ой" if woman else last + "ым"
    return f"доктор {last}", f"доктором {instrumental}"


def any_target(lang: str, rng: random.Random, heldout: bool = False) -> tuple[str, str]:
    """Someone a caller may ask for: (nominative, instrumental)."""
    if rng.random() < 0.4:
        return doctor(lang, rng, heldout)
    return rng.choice(listed_targets(lang))
