"""Days, dates and clock times as people say them."""

import random
from dataclasses import dataclass

from .numbers import number

# Nominative, and the form inside a sentence.
DAYS: dict[str, list[tuple[str, str]]] = {
    "en": [
        (day, "on " + day)
        for day in "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
    ],
    "ru": [
        ("понедельник", "в понедельник"),
        ("вторник", "во вторник"),
        ("среда", "в среду"),
        ("четверг", "в четверг"),
        ("пятница", "в пятницу"),
        ("суббота", "в субботу"),
        ("воскресенье", "в воскресенье"),
    ],
    "ar": [
        (day, "يوم " + day) for day in "الاثنين الثلاثاء الأربعاء الخميس الجمعة السبت الأحد".split()
    ],
}
_RU_FROM = "понедельника вторника среды четверга пятницы субботы воскресенья".split()
_RU_TO = "понедельник вторник среду четверг пятницу субботу воскресенье".split()
_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "ar": "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
}
_EN_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth twenty-first "
    "twenty-second twenty-third twenty-fourth twenty-fifth twenty-sixth twenty-seventh "
    "twenty-eighth twenty-ninth thirtieth"
).split()
_RU_ORDINALS = (
    "первого второго третьего четвёртого пятого шестого седьмого восьмого девятого десятого "
    "одиннадцатого двенадцатого тринадцатого четырнадцатого пятнадцатого шестнадцатого "
    "семнадцатого восемнадцатого девятнадцатого двадцатого"
).split()
_RU_ORDINALS += ["двадцать " + word for word in _RU_ORDINALS[:9]] + ["тридцатого"]
_AR_ORDINALS = (
    "الأول,الثاني,الثالث,الرابع,الخامس,السادس,السابع,الثامن,التاسع,العاشر,الحادي عشر,الثاني عشر,"
    "الثالث عشر,الرابع عشر,الخامس عشر,السادس عشر,السابع عشر,الثامن عشر,التاسع عشر,العشرين"
).split(",")
_AR_ORDINALS += [w + " والعشرين" for w in ["الحادي", *_AR_ORDINALS[1:9]]] + ["الثلاثين"]
_RELATIVE = {
    "en": "tomorrow,the day after tomorrow,today,next Monday,next Tuesday,next Thursday,"
    "this Friday,next Wednesday",
    "ru": "завтра,послезавтра,сегодня",
    "ar": "غدا,بعد غد,اليوم,بكرة,الأسبوع القادم",
}
_AR_HOURS = (
    "_,الواحدة,الثانية,الثالثة,الرابعة,الخامسة,السادسة,السابعة,الثامنة,التاسعة,العاشرة,"
    "الحادية عشرة,الثانية عشرة"
).split(",")
_RU_HOURS = (
    "_,час,два часа,три часа,четыре часа,пять часов,шесть часов,семь часов,восемь часов,"
    "девять часов,десять часов,одиннадцать часов,двенадцать часов"
).split(",")
_RU_HALVES = (
    "_ полпервого полвторого полтретьего полчетвёртого полпятого полшестого полседьмого "
    "полвосьмого полдевятого полдесятого пол-одиннадцатого пол-двенадцатого"
).split()
_RU_GENITIVE = (
    "_ часа двух трёх четырёх пяти шести семи восьми девяти десяти одиннадцати двенадцати".split()
)


@dataclass
class Spoken:
    """A value as it is named (``nom``) and as it stands in a sentence (``at``).

    ``index`` is the weekday, 0 for Monday. ``heard`` and ``heard_at`` are what the recogniser
    wrote where that differs (figures instead of words).
    """

    nom: str
    at: str
    index: int | None = None
    heard: str = ""
    heard_at: str = ""


def weekday(lang: str, index: int) -> Spoken:
    """A weekday, 0 for Monday."""
    nom, at = DAYS[lang][index]
    return Spoken(nom, at, index)


def weekday_range(lang: str, first: int, last: int) -> str:
    """ "Monday to Friday" """
    if lang == "ru":
        return f"{'со' if first == 1 else 'с'} {_RU_FROM[first]} по {_RU_TO[last]}"
    pattern = "{} to {}" if lang == "en" else "من {} إلى {}"
    return pattern.format(DAYS[lang][first][0], DAYS[lang][last][0])


def any_day(lang: str, rng: random.Random) -> Spoken:
    """A weekday, a relative day or a date."""
    kind = rng.random()
    if kind < 0.6:
        return weekday(lang, rng.randrange(7))
    if kind < 0.78:
        day = rng.choice(_RELATIVE[lang].split(","))
        return Spoken(day, day)
    day_index, month = rng.randrange(30), rng.randrange(12)
    if month == 1:
        day_index = min(day_index, 27)
    name = _MONTHS[lang].split()[month]
    if lang == "en":
        ordinal = _EN_ORDINALS[day_index]
        day = rng.choice([f"{name} the {ordinal}", f"{name} {ordinal}", f"the {ordinal} of {name}"])
        return Spoken(day, "on " + day)
    if lang == "ru":
        day = f"{_RU_ORDINALS[day_index]} {name}"
        return Spoken(day, day)
    day = f"{_AR_ORDINALS[day_index]} من {name}"
    return Spoken(day, "يوم " + day)


def day_part(lang: str, hour: int) -> str:
    """Morning, afternoon or evening, as it follows a clock time."""
    if lang == "en":
        return (
            "in the morning" if hour < 12 else "in the afternoon" if hour < 17 else "in the evening"
        )
    if lang == "ru":
        return "утра" if hour < 12 else "дня" if hour < 17 else "вечера"
    return "صباحا" if hour < 12 else "ظهرا" if hour == 12 else "عصرا" if hour < 17 else "مساء"


def _english_time(rng: random.Random, hour: int, minute: int, twelve: int, following: int) -> str:
    word = number("en", twelve)
    if hour == 12 and not minute:
        return rng.choice(["noon", "twelve", "twelve o'clock"])
    if not minute:
        half_day = " a.m" if hour < 12 else " p.m"
        return rng.choice(
            [word, word + " o'clock", f"{word} {day_part('en', hour)}", word + half_day]
        )
    if minute == 30:
        return rng.choice([word + " thirty", "half past " + word])
    if minute == 15:
        return rng.choice([word + " fifteen", "a quarter past " + word])
    return rng.choice([word + " forty five", "a quarter to " + number("en", following)])


def _russian_time(rng: random.Random, hour: int, minute: int, twelve: int, following: int) -> str:
    if hour == 12 and not minute:
        return rng.choice(["полдень", "двенадцать часов", "двенадцать дня"])
    if not minute:
        short = number("ru", twelve) if twelve > 1 else "час"
        part = day_part("ru", hour)
        return rng.choice([_RU_HOURS[twelve], f"{short} {part}", f"{_RU_HOURS[twelve]} {part}"])
    if minute == 30:
        return rng.choice([_RU_HALVES[following], number("ru", hour) + " тридцать"])
    if minute == 15:
        return number("ru", hour) + " пятнадцать"
    quarter = "без четверти " + (number("ru", following) if following > 1 else "час")
    return rng.choice([quarter, number("ru", hour) + " сорок пять"])


def any_time(lang: str, rng: random.Random) -> Spoken:
    """A clock time between eight and eight, on the quarter hour."""
    hour, minute = rng.randrange(8, 20), rng.choice([0, 0, 0, 0, 30, 30, 15, 45])
    twelve = (hour - 1) % 12 + 1
    following = twelve % 12 + 1
    if lang == "en":
        text = _english_time(rng, hour, minute, twelve, following)
        return Spoken(text, "at " + text)
    if lang == "ru":
        text = _russian_time(rng, hour, minute, twelve, following)
        return Spoken(text, text if text.startswith("без") else "в " + text)
    text = _AR_HOURS[twelve] + {0: "", 30: " والنصف", 15: " والربع", 45: ""}[minute]
    if minute == 45:
        text = _AR_HOURS[following] + " إلا ربعا"
    if rng.random() < 0.6:
        text += " " + day_part("ar", hour)
    return Spoken(text, "الساعة " + text)


def time_in_figures(lang: str, rng: random.Random) -> Spoken:
    """A clock time the recogniser writes as "3:30" while the reply says it in words."""
    hour, minute = rng.randrange(8, 20), rng.choice([0, 0, 30, 15])
    twelve = (hour - 1) % 12 + 1
    minutes = " " + number(lang, minute) if minute else ""
    clock = f"{twelve}:{minute:02d}" if minute else str(twelve)
    if lang == "en":
        half_day = " a.m" if hour < 12 else " p.m"
        figures, text = clock + half_day, number("en", twelve) + minutes + half_day
    elif lang == "ru":
        figures = f"{hour}:{minute:02d}"
        text = number("ru", hour) + (minutes or " часов")
    else:
        part = " " + day_part("ar", hour)
        figures = clock + part
        text = _AR_HOURS[twelve] + {0: "", 30: " والنصف", 15: " والربع"}[minute] + part
    lead = {"en": "at ", "ru": "в ", "ar": "الساعة "}[lang]
    return Spoken(text, lead + text, heard=figures, heard_at=lead + figures)


def opening_hours(lang: str, opens: int, closes: int, short: bool) -> str:
    """ "from nine in the morning to six in the evening"; both in half hours since midnight."""

    def one(half_hours: int) -> str:
        hour, half = divmod(half_hours, 2)
        twelve = (hour - 1) % 12 + 1
        if lang == "en":
            text = number("en", twelve) + (" thirty" if half else "")
        elif lang == "ru":
            text = _RU_GENITIVE[twelve]
            if half:
                half_name = _RU_HALVES[twelve % 12 + 1].replace("пол-", "пол")
                text = "половины " + half_name[3:]
        else:
            text = _AR_HOURS[twelve] + (" والنصف" if half else "")
        return text if short else f"{text} {day_part(lang, hour)}"

    pattern = {"en": "from {} to {}", "ru": "с {} до {}", "ar": "من {} حتى {}"}[lang]
    return pattern.format(one(opens), one(closes))
