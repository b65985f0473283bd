"""Numbers and telephone numbers in words."""

import random

_EN_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_EN_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_RU_UNITS = (
    "ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать "
    "тринадцать четырнадцать пятнадцать шестнадцать семнадцать восемнадцать девятнадцать"
).split()
_RU_TENS = (
    "_ _ двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто".split()
)
_RU_HUNDREDS = "_ сто двести триста четыреста пятьсот шестьсот семьсот восемьсот девятьсот".split()
_AR_UNITS = (
    "صفر,واحد,اثنان,ثلاثة,أربعة,خمسة,ستة,سبعة,ثمانية,تسعة,عشرة,أحد عشر,اثنا عشر,ثلاثة عشر,"
    "أربعة عشر,خمسة عشر,ستة عشر,سبعة عشر,ثمانية عشر,تسعة عشر"
).split(",")
_AR_TENS = "_ _ عشرون ثلاثون أربعون خمسون ستون سبعون ثمانون تسعون".split()
_AR_HUNDREDS = "_ مئة مئتان ثلاثمئة أربعمئة خمسمئة ستمئة سبعمئة ثمانمئة تسعمئة".split()


def _english(n: int) -> str:
    if n < 20:
        return _EN_UNITS[n]
    if n < 100:
        return _EN_TENS[n // 10] + (" " + _EN_UNITS[n % 10] if n % 10 else "")
    return _EN_UNITS[n // 100] + " hundred" + (" and " + _english(n % 100) if n % 100 else "")


def number(lang: str, n: int) -> str:
    """A cardinal number 0..999 in words."""
    if lang == "en":
        return _english(n)
    hundreds = _RU_HUNDREDS if lang == "ru" else _AR_HUNDREDS
    units, tens = (_RU_UNITS, _RU_TENS) if lang == "ru" else (_AR_UNITS, _AR_TENS)
    parts = [hundreds[n // 100]] if n >= 100 else []
    rest = n % 100
    if rest < 20:
        parts += [units[rest]] if rest or not parts else []
    elif lang == "ru":
        parts += [tens[rest // 10]] + ([units[rest % 10]] if rest % 10 else [])
    else:  # Arabic says the unit before the ten
        parts += ([units[rest % 10]] if rest % 10 else []) + [tens[rest // 10]]
    return (" " if lang == "ru" else " و").join(parts)


def phone_digits(rng: random.Random, longest: int = 10) -> str:
    """A telephone number in figures, 7 to ``longest`` digits."""
    length = rng.choice([7, *range(7, longest + 1)])
    return rng.choice("0055578") + "".join(rng.choice("0123456789") for _ in range(length - 1))


def in_runs(digits: str, rng: random.Random) -> str:
    """The same length, with digits that repeat the one before, as real numbers often have."""
    out = digits[0]
    for digit in digits[1:]:
        out += out[-1] if rng.random() < 0.45 else digit
    return out


def digits_spoken(lang: str, digits: str, rng: random.Random | None = None) -> str:
    """Digits one by one: "0551" -> "zero five five one"; ``rng`` adds "oh" and a comma at times."""
    spoken = [number(lang, int(digit)) for digit in digits]
    if rng is None:
        return " ".join(spoken)
    if lang == "en" and rng.random() < 0.25:
        spoken = ["oh" if word == "zero" else word for word in spoken]
    if rng.random() < 0.5:
        cut = rng.choice([3, 3, 4])
        if cut < len(spoken):
            spoken[cut - 1] += "،" if lang == "ar" else ","
    return " ".join(spoken)
