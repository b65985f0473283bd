"""Writes out what espeak-ng reads as no person would: prices, dates, times, telephone numbers,
addresses and abbreviations, in English, Arabic and Russian.
"""

from __future__ import annotations

import re

from gateway.engines.piper_rules import (
    ADDRESS,
    DATE,
    ISO_DATE,
    MONTHS,
    PLUS,
    STOP,
    TELEPHONE,
    Reading,
    address,
    counted,
    date,
    money,
    telephone,
    words,
)

_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹٫٬٪", "01234567890123456789.,%")

_DAYS_EN = {"Mon": "Mon", "Tue": "Tues", "Wed": "Wednes", "Thu": "Thurs", "Fri": "Fri"}
_DAYS_EN |= {"Sat": "Satur", "Sun": "Sun"}
_DAY_EN = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:s|rs?|nes)?"
_NAMES_EN = "dollars?|euros?|pounds?|dirhams?|riyals?|rubles?"
_TIME_AR = r"(?<![\d./])(\d{1,2}(?::\d\d)?)"
_TIME_EN = r"(?=\s?[aApP]\.?[mM]\b)"

# Russian ordinals from 1 to 20 without their endings.
_ORDINALS = (
    "перв втор трет четвёрт пят шест седьм восьм девят десят одиннадцат двенадцат тринадцат"
    " четырнадцат пятнадцат шестнадцат семнадцат восемнадцат девятнадцат двадцат".split()
)
_UP_TO_31 = r"(?<![\d.,:–-])([1-9]|[12]\d|3[01])"
_OF_MONTH = rf"(?= (?:{MONTHS['ru'].replace(' ', '|')})\b)"
# As it is, then behind "с" and "до", then behind "по", "в" and "на".
_DAYS_RU = {
    "пн": ("понедельник", "понедельника", "понедельник"),
    "вт": ("вторник", "вторника", "вторник"),
    "ср": ("среда", "среды", "среду"),
    "чт": ("четверг", "четверга", "четверг"),
    "пт": ("пятница", "пятницы", "пятницу"),
    "сб": ("суббота", "субботы", "субботу"),
    "вс": ("воскресенье", "воскресенья", "воскресенье"),
}


def read_out(text: str, language: str) -> str:
    """The text as the language's voice is to be given it; unchanged where there are no rules."""
    if language in _RULES:
        text = text.translate(_DIGITS)
        for pattern, reading in _RULES[language]:
            text = pattern.sub(reading, text)
    return text


def _hour_en(match: re.Match[str]) -> str:
    hour = int(match[1])
    if hour == 0:
        return "midnight"
    return f"{hour} hundred" if hour > 12 else f"{hour} o'clock"


def _day_en(match: re.Match[str]) -> str:
    return f"{_DAYS_EN[match[1]]}day"


def _month_en(match: re.Match[str]) -> str:
    return next(month for month in MONTHS["en"].split() if month.startswith(match[1]))


def _time_ar(match: re.Match[str]) -> str:
    minutes = int(match[2])
    return f"{match[1]} و{minutes} {'دقائق' if 3 <= minutes <= 10 else 'دقيقة'}"


def _day_ru(match: re.Match[str]) -> str:
    before, forms = match[1], _DAYS_RU[match[2].lower()]
    if not before:
        return forms[0]
    return f"{before} {forms[1 if before.lower() in ('с', 'до') else 2]}"


def _ordinal(digits: str, ending: str) -> str:
    number = int(digits)
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


_SPACES: list[tuple[str, Reading]] = [
    (r"([!?؟])(?=[^\W\d_])", r"\1 "),
    (r"(?<=[a-zа-яё]{2})\.(?=[A-ZА-ЯЁ][a-zа-яё])", ". "),
]
_NUMBERS_EN: list[tuple[str, Reading]] = [
    (rf"\b(\d{{1,2}})\.(\d\d){_TIME_EN}", r"\1:\2"),
    (rf"\b(\d{{1,2}}):00{_TIME_EN}", r"\1"),
    (r"(?<!:)\b(\d{1,2}):00\b(?!:)", _hour_en),
    counted("mins?", "minute minutes"),
    counted("hrs?", "hour hours"),
    (r"\b24/7\b", "24 7"),
    (r"#(?=\d)", "number "),
    (r"\bNo\. ?(?=\d)", "number "),
    (r"(\d|(?<![A-Za-z])[aApP]\.?[mM]\b\.?|o'clock|hundred)\s?[–—-]\s?(?=\d)", r"\1 to "),
    (rf"({_NAMES_EN})[–—-](?=\d)", r"\1 to "),
    (rf"({_NAMES_EN})/(?=[a-z])", r"\1 per "),
]
_WORDS_EN: list[tuple[str, Reading]] = [
    (rf"\b{_DAY_EN}(?=[.,]|\s?[–—-]\s?[A-Z]){STOP}(?!\w)", _day_en),
    (rf"(?:(?<=[–—-])|(?<=[–—-] )){_DAY_EN}{STOP}(?!\w)", _day_en),
    (r"(day)\s?[–—-]\s?(?=[A-Z][a-z]+day\b)", r"\1 to "),
    (rf"\b(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Oct|Nov|Dec)t?(?=\.| \d){STOP}(?!\w)", _month_en),
    (rf"(?<=[a-z] )St{STOP}(?=,|\.?\s*$| [a-z(])", "Street"),
    (r"(?<=[A-Za-z]{2})/(?=[A-Za-z]{2})", " "),
    words(
        {
            "Dr": "Doctor",
            "Mr": "Mister",
            "Mrs": "Missus",
            "Ms": "Miz",
            "Prof": "Professor",
            "Ave": "Avenue",
            "Blvd": "Boulevard",
            "Rd": "Road",
            "[Aa]pprox": "approximately",
            r"ext(?=\.? \d)": "extension",
            "w/o": "without",
            "vs": "versus",
        }
    ),
]
_RULES_AR: list[tuple[str, Reading]] = [
    (rf"{_TIME_AR}\s?ص(?!\w|\.\s?ب)", r"\1 صباحًا"),
    (rf"{_TIME_AR}\s?م(?!\w)", r"\1 مساءً"),
    (r"\b(\d{1,2}):00\b(?!:)", r"\1"),
    (r"\b(\d{1,2}):(\d\d)\b(?!:)", _time_ar),
    (r"(\d+(?:\.\d+)?)\s?%|%\s?(\d+(?:\.\d+)?)", r"\1\2 بالمئة"),
    (r"(\d|صباحًا|مساءً|بالمئة)\s?[–—-]\s?(?=\d)", r"\1 إلى "),
    (r"\b24/7\b", "24 على 7"),
    (r"(?:رقم )?#(?=\d)", "رقم "),
    (r" & ", " و"),
    (r"(?<!\w)أ\. ?د\. ?(?=\w)", "الأستاذ الدكتور "),
    (r"(?<!\w)د\. ?(?=\w)", "الدكتور "),
    words({r"ص\. ?ب": "صندوق بريد"}),
]
_RULES_RU: list[tuple[str, Reading]] = [
    (r"(?<![\d.,+-])(?<!\d )([1-9]\d{0,2}) (\d{3})(?: (\d{3}))?(?![ -]?\d)", r"\1\2\3"),
    (r"(?<![\d.,])(\d{0,2})(\d{3})(\d{3})(\d\d)(\d\d)(?!\d)", _long_number),
    counted("%", "процент процента процентов"),
    counted("мин", "минута минуты минут"),
    counted("ч", "час часа часов"),
    counted("° ?[CС]?", "градус градуса градусов"),
    (r"\b24/7\b", "24 на 7"),
    counted("тыс", "тысяча тысячи тысяч"),
    counted("млн", "миллион миллиона миллионов"),
    counted("чел", "человек человека человек"),
    (
        r"\b([СсВвКк]|[Дд]о|[Нн]а) (\d{1,2})(?:\.(00|1[3-9]|[2-5]\d)|-(00))(?![\d.,%-]\d)",
        r"\1 \2:\3\4",
    ),
    (rf"{_UP_TO_31}-(го|е|й|м|я)\b", lambda match: _ordinal(match[1], match[2])),
    (
        rf"\b([Сс]) {_UP_TO_31} по {_UP_TO_31}{_OF_MONTH}",
        lambda match: f"{match[1]} {_ordinal(match[2], 'го')} по {_ordinal(match[3], 'е')}",
    ),
    (
        rf"\b([Нн]а|[Пп]о|[Зз]а) {_UP_TO_31}{_OF_MONTH}",
        lambda match: f"{match[1]} {_ordinal(match[2], 'е')}",
    ),
    (rf"{_UP_TO_31}{_OF_MONTH}", lambda match: _ordinal(match[1], "го")),
    (rf"\b([Вв] \d{{4}}) г{STOP}(?!\w)", r"\1 году"),
    (rf"(?<=\d{{4}} )г{STOP}(?!\w)", "года"),
    (rf"(?i:(?<!\w)(?:(с|до|по|во?|на) )?({'|'.join(_DAYS_RU)})){STOP}(?!\w)", _day_ru),
    (r"(?<!\w)т\. ?д(?!\w)", "так далее"),
    (r"(?<!\w)т\. ?п(?!\w)", "тому подобное"),
    (r" & ", " и "),
    words(
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
            "руб": "рублей",
            "доб": "добавочный",
            r"пр(?=\. [А-ЯЁ])": "проспект",
            "обл": "область",
            r"[Тт]\. ?е": "то есть",
            r"[Тт]\. ?к": "так как",
            "и др": "и другие",
            "г-н": "господин",
            "г-жа": "госпожа",
        }
    ),
]


def _rules(language: str, *others: tuple[str, Reading]) -> list[tuple[re.Pattern[str], Reading]]:
    rules = [(ADDRESS, address(language)), *_SPACES]
    rules += [(ISO_DATE, date(language)), (DATE, date(language)), *money(language)]
    if language in PLUS:  # Russian has numbers of several digits there
        rules.append((TELEPHONE, telephone(language)))
    return [(re.compile(pattern), reading) for pattern, reading in (*rules, *others)]


_RULES = {
    "en": _rules("en", *_NUMBERS_EN, *_WORDS_EN),
    "ar": _rules("ar", *_RULES_AR),
    "ru": _rules("ru", *_RULES_RU),
}
