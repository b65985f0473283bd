"""Writes out what espeak-ng reads as no person would: prices, dates, times, telephone numbers,
addresses and abbreviations, in English, Arabic and Russian.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import groupby

_Reading = str | Callable[[re.Match[str]], str]

_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹٫٬٪", "01234567890123456789.,%")

_MONTHS = {
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
    "₽|RUB|руб": {
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
_PLUS = {"en": "plus ", "ar": "زائد "}

_STOP = r"(?:\.(?!\s*$))?"
"""Of an abbreviation; at the end of a text it ends the sentence too, and is left."""
_AMOUNT = (
    r"(?P<whole>[1-9]\d{0,2}(?:[ ,]\d{3})+|\d+)(?:[.,](?P<part>\d\d?))?(?![.,]?\d)"
    r"(?P<size> (?:thousand|million|billion)\b)?"
)
_ADDRESS = (
    r"(?ai:(?<![\w.@-])(?:https?://)?((?:[\w.+-]+@)?(?:[a-z\d-]+\.)+"
    r"(?:com|net|org|info|io|co|ae|sa|qa|eg|uk|ru|su)(?![\w-])(?:/[\w./-]*\w)?)/?)"
)
_ISO_DATE = r"\b(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)\b"
_DATE = (
    r"(?<![\d./-])(?P<day>\d{1,2})(?P<sign>[./-])(?P<month>\d{1,2})(?P=sign)"
    r"(?P<year>(?:20)?\d\d)(?![./-]?\d)"
)
_TELEPHONE = r"(?<![\w.,/:])(\+?)(\(?\d[\d() .-]*\d)(?![\w/:%])"
_FEWEST_DIGITS = 7

_DAYS_EN = {"Mon": "Mon", "Tue": "Tues", "Wed": "Wednes", "Thu": "Thurs", "Fri": "Fri"}
_DAYS_EN |= {"Sat": "Satur", "Sun": "Sun"}
_DAY_EN = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:s|rs?|nes)?"
_NAMES_EN = "dollars?|euros?|pounds?|dirhams?|riyals?|rubles?"
_TIME_EN = r"(?=\s?[aApP]\.?[mM]\b)"

# Russian ordinals from 1 to 20 without their endings.
_ORDINALS = (
    "перв втор трет четвёрт пят шест седьм восьм девят десят одиннадцат двенадцат тринадцат"
    " четырнадцат пятнадцат шестнадцат семнадцат восемнадцат девятнадцат двадцат".split()
)
_UP_TO_31 = r"(?<![\d.,:])([1-9]|[12]\d|3[01])"


def read_out(text: str, language: str) -> str:
    """The text as the language's voice is to be given it; unchanged where there are no rules."""
    if language in _RULES:
        text = text.translate(_DIGITS)
        for pattern, reading in _RULES[language]:
            text = pattern.sub(reading, text)
    return text


def _words(words: dict[str, str]) -> tuple[str, _Reading]:
    """One rule for many abbreviations, with their full stop if they have one."""
    long = list(words.values())
    either = "|".join(f"({short})" for short in words)

    def reading(match: re.Match[str]) -> str:
        return long[(match.lastindex or 1) - 1]

    return rf"(?<!\w)(?:{either}){_STOP}(?!\w)", reading


def _form(count: int, forms: str) -> str:
    """The form of a noun behind a number: Russian has three, English two, Arabic here one."""
    known = forms.split()
    if len(known) < 3:
        return known[0 if count == 1 else -1]
    if count % 10 == 1 and count % 100 != 11:
        return known[0]
    return known[1 if count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14) else 2]


def _counted(noun: str, forms: str) -> tuple[str, _Reading]:
    """A number and a noun; behind a broken number stands the form that 2 has."""

    def reading(match: re.Match[str]) -> str:
        whole = int(match[1]) if match[1].isdigit() else 2
        return f"{match[1]} {_form(whole, forms)}"

    return rf"(\d+(?:[.,]\d+)?) ?(?:{noun}){_STOP}(?!\w)", reading


def _money(language: str) -> Iterable[tuple[str, _Reading]]:
    def reading(match: re.Match[str]) -> str:
        forms, hundredths = next(
            names[language]
            for sign, names in _CURRENCIES.items()
            if re.fullmatch(sign, match["sign"])
        )
        whole, part, size = int(re.sub("[ ,]", "", match["whole"])), match["part"], match["size"]
        if size:
            return f"{whole}{f'.{part}' if part else ''}{size} {_form(2, forms)}"
        said = f"{whole} {_form(whole, forms)}"
        count = int(part.ljust(2, "0")) if part else 0
        return said + f"{_AND[language]}{count} {_form(count, hundredths)}" * (count > 0)

    sign = f"(?P<sign>{'|'.join(_CURRENCIES)})"
    yield rf"(?<!\w)(?<!\d ){sign}\.?\s?{_AMOUNT}", reading
    yield rf"(?<![\w.,]){_AMOUNT}\s?{sign}{_STOP}(?!\w)", reading


def _date(language: str) -> _Reading:
    months = _MONTHS[language].split()

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


def _telephone(language: str) -> _Reading:
    def reading(match: re.Match[str]) -> str:
        groups = re.findall(r"\d+", match[2])
        if len("".join(groups)) < _FEWEST_DIGITS or max(map(len, groups)) == 1:
            return match[0]
        return _PLUS[language] * bool(match[1]) + ", ".join(map(" ".join, groups))

    return reading


def _address(language: str) -> _Reading:
    signs = _SIGNS[language]

    def reading(match: re.Match[str]) -> str:
        parts = ("".join(part) for _, part in groupby(match[1], signs.__contains__))
        return " ".join(signs.get(part, part) for part in parts)

    return reading


def _hour_en(match: re.Match[str]) -> str:
    hour = int(match[1])
    return f"{hour} hundred" if hour > 12 else f"{hour} o'clock"


def _day_en(match: re.Match[str]) -> str:
    return f"{_DAYS_EN[match[1]]}day"


def _month_en(match: re.Match[str]) -> str:
    return next(month for month in _MONTHS["en"].split() if month.startswith(match[1]))


def _ordinal(number: int, ending: str) -> str:
    stem = _ORDINALS[(number if number <= 20 else number % 10 or 20) - 1]
    before = "" if number <= 20 else ("двадцать ", "тридцать ")[number // 30]
    if number == 30:
        before, stem = "", "тридцат"
    if stem == "трет":
        return before + stem + {"й": "ий", "я": "ья", "е": "ье", "го": "ьего", "м": "ьем"}[ending]
    stressed = stem in ("втор", "шест", "седьм", "восьм")
    masculine = "ой" if stressed else "ый"
    return before + stem + {"й": masculine, "я": "ая", "е": "ое", "го": "ого", "м": "ом"}[ending]


def _long_number(match: re.Match[str]) -> str:
    """A telephone number without spaces in the groups in which it is said."""
    return " ".join(filter(None, match.groups()))


_SPACES: list[tuple[str, _Reading]] = [
    (r"([!?؟])(?=[^\W\d_])", r"\1 "),
    (r"(?<=[a-zа-яё]{2})\.(?=[A-ZА-ЯЁ][a-zа-яё])", ". "),
]
_NUMBERS_EN: list[tuple[str, _Reading]] = [
    (rf"\b(\d{{1,2}})\.(\d\d){_TIME_EN}", r"\1:\2"),
    (rf"\b(\d{{1,2}}):00{_TIME_EN}", r"\1"),
    (r"\b(\d{1,2}):00\b(?!:)", _hour_en),
    (r"\b24/7\b", "24 7"),
    (r"#(?=\d)", "number "),
    (r"\bNo\. ?(?=\d)", "number "),
    (r"(\d|(?<![A-Za-z])[aApP]\.?[mM]\b\.?|o'clock|hundred)\s?[–—-]\s?(?=\d)", r"\1 to "),
    (rf"({_NAMES_EN})[–—-](?=\d)", r"\1 to "),
    (rf"({_NAMES_EN})/(?=[a-z])", r"\1 per "),
]
_WORDS_EN: list[tuple[str, _Reading]] = [
    (rf"\b{_DAY_EN}(?=\.|\s?[–—-]\s?[A-Z]){_STOP}(?!\w)", _day_en),
    (rf"(?:(?<=[–—-])|(?<=[–—-] )){_DAY_EN}{_STOP}(?!\w)", _day_en),
    (r"(day)\s?[–—-]\s?(?=[A-Z][a-z]+day\b)", r"\1 to "),
    (rf"\b(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Oct|Nov|Dec)t?(?=\.| \d){_STOP}(?!\w)", _month_en),
    (rf"(?<=[a-z] )St{_STOP}(?=,|\.?\s*$| [a-z(])", "Street"),
    (r"(?<=[A-Za-z])/(?=[A-Za-z])", " "),
    _words(
        {
            "Dr": "Doctor",
            "Mr": "Mister",
            "Mrs": "Missus",
            "Ms": "Miz",
            "Prof": "Professor",
            "Ave": "Avenue",
            "Blvd": "Boulevard",
            "Rd": "Road",
            "approx": "approximately",
            "vs": "versus",
        }
    ),
]
_RULES_AR: list[tuple[str, _Reading]] = [
    (r"(?<=\d)\s?ص(?!\w|\.\s?ب)", " صباحًا"),
    (r"(?<=\d)\s?م(?!\w)", " مساءً"),
    (r"\b(\d{1,2}):00\b(?!:)", r"\1"),
    (r"\b(\d{1,2}):(?=\d\d\b)0?(\d{1,2})(?!:)", r"\1 و\2 دقيقة"),
    (r"(\d|صباحًا|مساءً)\s?[–—-]\s?(?=\d)", r"\1 إلى "),
    (r"(\d+(?:\.\d+)?)\s?%|%\s?(\d+(?:\.\d+)?)", r"\1\2 بالمئة"),
    (r"\b24/7\b", "24 على 7"),
    (r"#(?=\d)", "رقم "),
    (r" & ", " و"),
    (r"(?<!\w)أ\. ?د\. ?(?=\w)", "الأستاذ الدكتور "),
    (r"(?<!\w)د\. ?(?=\w)", "الدكتور "),
    _words({r"ص\. ?ب": "صندوق بريد"}),
]
_RULES_RU: list[tuple[str, _Reading]] = [
    (r"(?<![\d.,+-])(?<!\d )([1-9]\d{0,2}) (\d{3})(?: (\d{3}))?(?![ -]?\d)", r"\1\2\3"),
    (r"(?<![\d.,])(\d{0,2})(\d{3})(\d{3})(\d\d)(\d\d)(?!\d)", _long_number),
    _counted("%", "процент процента процентов"),
    _counted("мин", "минута минуты минут"),
    _counted("ч", "час часа часов"),
    _counted("° ?[CС]?", "градус градуса градусов"),
    (r"\b24/7\b", "24 на 7"),
    (rf"{_UP_TO_31}-(го|е|й|м|я)\b", lambda match: _ordinal(int(match[1]), match[2])),
    (
        rf"{_UP_TO_31}(?= (?:{_MONTHS['ru'].replace(' ', '|')})\b)",
        lambda match: _ordinal(int(match[1]), "го"),
    ),
    (rf"(?<=\d{{4}} )г{_STOP}(?!\w)", "года"),
    (r"(?<!\w)т\. ?д(?!\w)", "так далее"),
    (r"(?<!\w)т\. ?п(?!\w)", "тому подобное"),
    (r" & ", " и "),
    _words(
        {
            r"г(?=\. ?[А-ЯЁ])": "город",
            "ул": "улица",
            "пр-т": "проспект",
            r"д(?=\. ?\d)": "дом",
            r"кв(?=\. ?\d)": "квартира",
            "корп": "корпус",
            r"стр(?=\. ?\d)": "строение",
            "каб": "кабинет",
            "оф": "офис",
            "тел": "телефон",
            "тыс": "тысяч",
            "млн": "миллионов",
            "руб": "рублей",
            r"т\. ?е": "то есть",
            r"т\. ?к": "так как",
            "и др": "и другие",
            "г-н": "господин",
            "г-жа": "госпожа",
            "[Пп]н": "понедельник",
            "[Вв]т": "вторник",
            "[Сс]р": "среда",
            "[Чч]т": "четверг",
            "[Пп]т": "пятница",
            "[Сс]б": "суббота",
            "[Вв]с": "воскресенье",
        }
    ),
]


def _rules(language: str, *others: tuple[str, _Reading]) -> list[tuple[re.Pattern[str], _Reading]]:
    rules = [*_SPACES, (_ADDRESS, _address(language))]
    rules += [(_ISO_DATE, _date(language)), (_DATE, _date(language)), *_money(language)]
    if language in _PLUS:  # Russian has numbers of several digits there
        rules.append((_TELEPHONE, _telephone(language)))
    return [(re.compile(pattern), reading) for pattern, reading in (*rules, *others)]


_RULES = {
    "en": _rules("en", *_NUMBERS_EN, *_WORDS_EN),
    "ar": _rules("ar", *_RULES_AR),
    "ru": _rules("ru", *_RULES_RU),
}
