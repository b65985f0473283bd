"""Rules by which numbers and short forms are written out for a voice; each is a pattern and its
reading. What the languages share stands here, their own in `piper_reading`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import groupby

Reading = str | Callable[[re.Match[str]], str]

MONTHS = {
    "en": "January February March April May June July August September October November December",
    "ar": "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
}
# By currency: how it is written, then in each language the forms of its name and of its hundredth.
_CURRENCIES: dict[str, dict[str, tuple[str, str]]] = {
    r"(?:US)?\$|USD": {
        "en": ("dollar dollars", "cent cents"),
        "ar": ("دولار", "سنت"),
        "ru": ("доллар доллара долларов", "цент цента центов"),
    },
    "€|EUR": {
        "en": ("euro euros", "cent cents"),
        "ar": ("يورو", "سنت"),
        "ru": ("евро", "цент цента центов"),
    },
    "£|GBP": {
        "en": ("pound pounds", "penny pence"),
        "ar": ("جنيه", "بنس"),
        "ru": ("фунт фунта фунтов", "пенни пенса пенсов"),
    },
    r"AED|Dhs?|د\. ?إ": {
        "en": ("dirham dirhams", "fils"),
        "ar": ("درهم", "فلس"),
        "ru": ("дирхам дирхама дирхамов", "филс филса филсов"),
    },
    r"SAR|QAR|ر\. ?[سق]": {
        "en": ("riyal riyals", "halala halalas"),
        "ar": ("ريال", "هللة"),
        "ru": ("риал риала риалов", "халала халалы халал"),
    },
    r"₽|RUB|руб|р(?!\w)": {
        "en": ("ruble rubles", "kopeck kopecks"),
        "ar": ("روبل", "كوبيك"),
        "ru": ("рубль рубля рублей", "копейка копейки копеек"),
    },
}
_AND = {"en": " and ", "ar": " و", "ru": " "}
_SIGNS = {
    "en": {"@": "at", ".": "dot", "/": "slash", "-": "dash", "_": "underscore"},
    "ar": {"@": "آت", ".": "نقطة", "/": "سلاش", "-": "داش", "_": "أندرسكور"},
    "ru": {"@": "собака", ".": "точка", "/": "слэш", "-": "дефис", "_": "подчёркивание"},
}
PLUS = {"en": "plus ", "ar": "زائد "}

STOP = r"(?:\.(?!\s*$))?"
"""Of an abbreviation; at the end of a text it ends the sentence too, and is left."""
_AMOUNT = (
    r"(?P<whole>[1-9]\d{0,2}(?:[ ,]\d{3})+|\d+)(?:[.,](?P<part>\d\d?))?(?![.,]?\d)"
    r"(?P<size> (?:thousand|million|billion)\b|[kK]\b)?"
)
ADDRESS = (
    r"(?ai:(?<![\w.@-])(?:https?://)?((?:[\w.+-]+@)?(?:[a-z\d-]+\.)+"
    r"(?:com|net|org|info|io|co|ae|sa|qa|eg|uk|ru|su)(?![\w-])(?:/[\w./-]*\w)?)(?:/|\?\S+)?)"
)
ISO_DATE = r"\b(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)\b"
DATE = (
    r"(?<![\d./-])(?P<day>\d{1,2})(?P<sign>[./-])(?P<month>\d{1,2})(?P=sign)"
    r"(?P<year>(?:20)?\d\d)(?![./-]?\d)"
)
TELEPHONE = r"(?<![\w.,/:])(\+?)(\(?\d[\d() .-]*\d)(?![\w/:%])"
_FEWEST_DIGITS = 7
_YEARS = re.compile(r"(?:19|20)\d\d[ -]+(?:19|20)\d\d")


def words(words: dict[str, str]) -> tuple[str, Reading]:
    """One rule for many abbreviations, with their full stop if they have one."""
    long = list(words.values())
    either = "|".join(f"({short})" for short in words)

    def reading(match: re.Match[str]) -> str:
        follows = match.string[match.end() : match.end() + 1]
        return long[(match.lastindex or 1) - 1] + " " * follows.isalnum()

    return rf"(?<!\w)(?:{either})(?:\.(?!\s*$)|(?!\w))", reading


def _form(count: int, forms: str) -> str:
    """The form of a noun behind a number: Russian has three, English two, Arabic here one."""
    known = forms.split()
    if len(known) < 3:
        return known[0 if count == 1 else -1]
    if count % 10 == 1 and count % 100 != 11:
        return known[0]
    return known[1 if count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14) else 2]


def counted(noun: str, forms: str) -> tuple[str, Reading]:
    """A number and a noun; behind a broken number stands the form that 2 has."""

    def reading(match: re.Match[str]) -> str:
        whole = int(match[1]) if match[1].isdigit() else 2
        return f"{match[1]} {_form(whole, forms)}"

    return rf"(\d+(?:[.,]\d+)?) ?(?:{noun}){STOP}(?!\w)", reading


def money(language: str) -> Iterable[tuple[str, Reading]]:
    """Rules for an amount behind or before the sign of its currency."""

    def reading(match: re.Match[str]) -> str:
        forms, hundredths = next(
            names[language]
            for sign, names in _CURRENCIES.items()
            if re.fullmatch(sign, match["sign"])
        )
        whole, part, size = int(re.sub("[ ,]", "", match["whole"])), match["part"], match["size"]
        if size:
            size = size if size[0] == " " else " thousand"
            return f"{whole}{f'.{part}' if part else ''}{size} {_form(2, forms)}"
        count = int(part.ljust(2, "0")) if part else 0
        parts = f"{count} {_form(count, hundredths)}" if count else ""
        if parts and not whole:
            return parts
        return f"{whole} {_form(whole, forms)}{_AND[language] * bool(parts)}{parts}"

    sign = f"(?P<sign>{'|'.join(_CURRENCIES)})"
    yield rf"(?<!\w)(?<!\d ){sign}\.?\s?{_AMOUNT}(?!\w)", reading
    yield rf"(?<![\da-zA-Z.,]){_AMOUNT}\s?{sign}{STOP}(?!\w)", reading


def date(language: str) -> Reading:
    """For `ISO_DATE` and `DATE`: the month by its name, unless it may as well be the day."""
    months = MONTHS[language].split()

    def reading(match: re.Match[str]) -> str:
        day, month, year = (int(match[part]) for part in ("day", "month", "year"))
        year += 2000 if year < 100 else 0
        if language == "en" and match.groupdict().get("sign", ".") != ".":
            if max(day, month) <= 12:  # either may be the month
                return f"{day}, {month}, {year}"
            day, month = max(day, month), min(day, month)
        if not 1 <= month <= 12:
            return match[0]
        if language == "en":
            return f"{months[month - 1]} {day}, {year}"
        return f"{day} {months[month - 1]} {year}{' года' if language == 'ru' else ''}"

    return reading


def telephone(language: str) -> Reading:
    """For `TELEPHONE`: digit by digit, in the groups in which it is written."""

    def reading(match: re.Match[str]) -> str:
        groups = re.findall(r"\d+", match[2])
        if len("".join(groups)) < _FEWEST_DIGITS or max(map(len, groups)) == 1:
            return match[0]
        if _YEARS.fullmatch(match[2]):
            return match[0]
        return PLUS[language] * bool(match[1]) + ", ".join(map(" ".join, groups))

    return reading


def address(language: str) -> Reading:
    """For `ADDRESS`, of e-mail or the web: its signs by their names, without "https"."""
    signs = _SIGNS[language]

    def reading(match: re.Match[str]) -> str:
        parts = ("".join(part) for _, part in groupby(match[1], signs.__contains__))
        return " ".join(signs.get(part, part) for part in parts)

    return reading
