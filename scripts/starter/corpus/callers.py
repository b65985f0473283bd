"""Single sentences of callers, outside any call (training text for the recogniser)."""

import random
import re
from functools import cache
from typing import Any

from .dates import Spoken, any_day, any_time
from .facts import Service, all_services, business_name, elsewhere
from .noise import wrap
from .numbers import digits_spoken, phone_digits
from .people import any_target, caller_name
from .template import caller_templates, expand, load, words

_WEIGHTS = {
    "hours": 5,
    "hours_day": 5,
    "address": 5,
    "price": 7,
    "has": 3,
    "services": 2,
    "book": 3,
    "book_svc": 5,
    "book_svc_day": 5,
    "book_all": 6,
    "book_full": 3,
    "book_it": 1,
    "say_day": 3,
    "say_time": 3,
    "say_day_time": 4,
    "say_name": 6,
    "say_svc": 2,
    "say_phone": 6,
    "say_note": 6,
    "move": 3,
    "cancel": 3,
    "message": 4,
    "person": 3,
    "target": 5,
    "emergency": 1,
    "thanks": 2,
    "bye": 3,
    "yes": 3,
    "no": 2,
    "robot": 1,
    "name_q": 2,
    "smalltalk": 2,
    "repeat": 2,
    "greet": 3,
    "unclear": 2,
    "out_of_domain": 5,
    "lang": 1,
}


def note_text(lang: str, rng: random.Random) -> str:
    """What a caller wants written down, without the capital of a sentence."""
    return _inside(lang, expand(rng.choice(words(lang, "talk", "notes")), rng, {}))


def more_note_text(lang: str, rng: random.Random) -> str:
    """The same from the further wordings."""
    return _inside(lang, rng.choice(load(f"{lang}/callers_more.toml")["dictated"]["notes"]))


def _inside(lang: str, text: str) -> str:
    proper = lang == "en" and re.match(r"I\b", text)
    return text if proper else text[0].lower() + text[1:]


def _cases(key: str, forms: list[str]) -> dict[str, str]:
    """Slots of a name: nominative, accusative, genitive."""
    return dict(zip((key, f"{key}_acc", f"{key}_gen"), forms, strict=True))


def service_words(lang: str, service: Service, rng: random.Random, share: float) -> dict[str, str]:
    """The service as a caller names it; with probability ``share`` not in the profile's words."""
    forms: list[str] = [service.nominative, service.accusative, service.genitive]
    other = load(f"{lang}/words.toml")["service_alias"].get(service.listed)
    if other and rng.random() < share:
        alias = rng.choice(other)
        forms = [alias] * 3 if isinstance(alias, str) else alias
    return _cases("svc", forms)


@cache
def _deeds(lang: str) -> dict[str, dict[str, list[Any]]]:
    english, here = ([*all_services(each), *elsewhere(each)] for each in ("en", lang))
    names = {one.listed: other.listed for one, other in zip(english, here, strict=True)}
    return {names[name]: deeds[lang] for name, deeds in load("deeds.toml").items()}


def more_service_words(lang: str, service: Service, rng: random.Random) -> dict[str, str]:
    """What else a caller says of a service, one of each kind in ``deeds.toml``; ``asked_INTENT`` is
    a whole sentence. At times what the service is ``called`` stands for its name too.
    """
    slots: dict[str, str] = {}
    for key, forms in _deeds(lang).get(service.listed, {}).items():
        form = rng.choice(forms)
        cases = [form] * 3 if isinstance(form, str) else form
        slots |= _cases(key, cases)
        if key == "called" and rng.random() < 0.15:
            slots |= _cases("svc", cases)
    asked = _asked(lang).get(service.listed, {})
    return slots | {f"asked_{intent}": rng.choice(found) for intent, found in asked.items()}


def _asked(lang: str) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = load(f"{lang}/callers_more.toml")["asked"]
    return found


def is_asked_for(lang: str, service: Service) -> bool:
    """Whether there are whole sentences by which callers ask for the service."""
    return service.listed in _asked(lang)


def more_weekday_words(lang: str, index: int, rng: random.Random) -> dict[str, str]:
    """Further forms of a weekday, 0 for Monday."""
    forms = load(f"{lang}/callers_more.toml")["forms"]
    return {key: rng.choice(days[index]) for key, days in forms.items()}


def person_words(
    lang: str, person: tuple[str, str], rng: random.Random, share: float
) -> dict[str, str]:
    """The person as a caller names them, see ``service_words``."""
    other = load(f"{lang}/words.toml")["person_alias"].get(person[0])
    if other and rng.random() < share:
        alias = rng.choice(other)
        person = (alias, alias) if isinstance(alias, str) else (alias[0], alias[1])
    return {"person": person[0], "person_ins": person[1]}


class _FreeSlots:
    """Draws a value the first time a slot is asked for."""

    def __init__(self, lang: str, rng: random.Random) -> None:
        self.lang, self.rng = lang, rng
        self.spoken: dict[str, Spoken] = {}
        self.drawn: dict[str, str] = {}

    def __call__(self, key: str) -> str:
        lang, rng = self.lang, self.rng
        if key in ("day", "on_day"):
            day = self.spoken.setdefault("day", any_day(lang, rng))
            return day.nom if key == "day" else day.at
        if key in ("time", "at_time"):
            time = self.spoken.setdefault("time", any_time(lang, rng))
            return time.nom if key == "time" else time.at
        if key not in self.drawn:
            self.drawn |= self._draw(key)
        return self.drawn[key]

    def _draw(self, key: str) -> dict[str, str]:
        lang, rng = self.lang, self.rng
        if key.startswith("svc"):
            return service_words(lang, rng.choice(all_services(lang)), rng, 0.5)
        if key.startswith("person"):
            return person_words(lang, any_target(lang, rng), rng, 0.5)
        if key == "name":
            return {key: caller_name(lang, rng)[0]}
        if key == "phone":
            return {key: digits_spoken(lang, phone_digits(rng), rng)}
        if key == "note":
            return {key: note_text(lang, rng)}
        if key == "hotel":
            return {key: rng.choice(["хотел", "хотела"])}
        return {"biz": business_name(lang, rng)}


def caller_utterance(lang: str, rng: random.Random) -> str:
    """One thing a caller says, as a recogniser with punctuation would write it."""
    intent = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    template = rng.choice(caller_templates(lang)[intent])
    return wrap(lang, intent, expand(template, rng, _FreeSlots(lang, rng)), rng)
