"""One phone call, built turn by turn: what the caller says and what the assistant must answer."""

import json
import random
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from .callers import (
    is_asked_for,
    more_note_text,
    more_service_words,
    more_weekday_words,
    note_text,
    person_words,
    service_words,
)
from .dates import Spoken, any_day, any_time, time_in_figures, weekday
from .facts import Block, Facts, Service, all_services, elsewhere
from .noise import Confusions, confuse, misread, respell, stray, wrap
from .people import caller_name
from .template import caller_templates, expand, more_templates, replies, slots_of

_COPIED = {"name", "note", "person"}  # slots that a reply repeats letter by letter
_LOOSE = ("do", "they", "need", "called", "asked")  # slots that noise may spoil
_MORE = 0.7  # the share of the further wordings, where a caller uses them
_WHOLE = 3  # how often whole sentences about a service are drawn for once a verb is
# Between list items, and before the last one.
_JOIN = {"en": (", ", " and "), "ru": (", ", " и "), "ar": ("، ", " و")}


@dataclass
class Message:
    """One chat message; ``copied`` lists the parts of a reply that stand in its context."""

    role: Literal["system", "user", "assistant"]
    content: str
    copied: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TurnNote:
    """What an assistant turn (``messages[index]``) is about, for the evaluation."""

    index: int
    lang: str
    key: str
    facts: list[str]
    tool: str


def tool_call(function: str, **arguments: str) -> str:
    """A tool call as it stands at the end of a reply."""
    call = {"name": function, "arguments": arguments}
    return f"<tool_call>{json.dumps(call, ensure_ascii=False)}</tool_call>"


class Call:
    """A call in progress. ``noise`` is the share of caller sentences that are misread.

    ``confusions`` holds, by language, words and what a recogniser really wrote for them. In a
    ``wide`` call the caller also uses the wordings that are for the trainings alone.
    """

    def __init__(
        self,
        lang: str,
        rng: random.Random,
        facts: Facts,
        noise: float = 0.2,
        confusions: dict[str, Confusions] | None = None,
        wide: bool = False,
    ) -> None:
        self.lang, self.rng, self.facts, self.noise, self.wide = lang, rng, facts, noise, wide
        self.confusions = confusions or {}
        self.messages = [Message("system", facts.system())]
        self.notes: list[TurnNote] = []
        self.last_reply = ""
        self.caller_turns = 0
        self._would = rng.choice(["хотел", "хотела"])

    @property
    def block(self) -> Block:
        """The profile in the language of the moment."""
        return self.facts.by[self.lang]

    def as_dicts(self) -> list[dict[str, str]]:
        """The call as chat messages."""
        return [{"role": m.role, "content": m.content} for m in self.messages]

    # ---------------------------------------------------------------- raw turns

    def hear(self, intent: str, slots: dict[str, str] | None = None) -> str:
        """The caller says something of this kind; returns it as the recogniser wrote it."""
        values = {"biz": self.block.business, "hotel": self._would} | (slots or {})
        text = expand(self._template(intent, values), self.rng, values)
        text = wrap(self.lang, intent, text, self.rng)
        if self.rng.random() < self.noise:
            text = misread(self.lang, text, self.rng, words_too=not slots)
        kept = [
            value
            for key, value in (slots or {}).items()
            if not key.startswith(_LOOSE) and value.lower() in text.lower()
        ]
        if self.noise:
            text = stray(self.lang, text, kept, self.rng)
        text = confuse(text, kept, self.confusions.get(self.lang, {}), self.rng)
        if self.wide and self.noise and not _COPIED & values.keys():
            text = respell(self.lang, text, self.rng)
        self.messages.append(Message("user", text))
        self.caller_turns += 1
        return text

    def _template(self, intent: str, values: dict[str, str]) -> str:
        rng, given = self.rng, frozenset(values)
        known = _usable(self.lang, intent, given)
        if self.wide and (not known or rng.random() < _MORE):
            whole = [values[asked]] if (asked := f"asked_{intent}") in values else []
            groups = [*_further(self.lang, intent, given), *_WHOLE * [whole]]
            known = rng.choice([group for group in groups if group] or [known])
        return rng.choice(known)

    def say(self, key: str, call: str = "", facts: tuple[str, ...] = (), **slots: str) -> None:
        """The assistant answers; ``facts`` are the parts that the evaluation looks for."""
        block = self.block
        values = {
            "biz": block.business,
            "open": block.open,
            "also": block.also or "",
            "address": block.address,
        } | slots
        template = replies(self.lang)[key]
        text = expand(template, self.rng, values)
        copied = [values[slot] for slot in slots_of(template) if values[slot]]
        if "list" in slots:
            copied += [service.listed for service in block.services[:3]]
        if call:
            arguments = json.loads(call.removeprefix("<tool_call>").removesuffix("</tool_call>"))
            copied += list(arguments["arguments"].values())
        self.last_reply = text
        content = f"{text} {call}" if call else text
        self.messages.append(Message("assistant", content, copied))
        note = TurnNote(len(self.messages) - 1, self.lang, key, list(facts), call)
        self.notes.append(note)

    # ---------------------------------------------------------------- values

    def service_slots(self, service: Service) -> dict[str, str]:
        """How the caller names a service."""
        slots = service_words(self.lang, service, self.rng, 0.45)
        if self.wide:
            slots |= more_service_words(self.lang, service, self.rng)
        return slots

    def weekday_slots(self, index: int) -> dict[str, str]:
        """How the caller names a weekday, 0 for Monday."""
        slots = day_slots(weekday(self.lang, index))
        return slots | more_weekday_words(self.lang, index, self.rng) if self.wide else slots

    def person_slots(self, person: tuple[str, str]) -> dict[str, str]:
        """How the caller names a person; "the doctor" only where there is just one."""
        titles = ("Doctor ", "доктор ", "الدكتور")
        crowded = any(name.startswith(titles) for name, _ in self.block.people)
        return person_words(self.lang, person, self.rng, 0.0 if crowded else 0.45)

    def own_service(self) -> tuple[Service, str]:
        """A service of the profile and its price."""
        at = self.rng.randrange(len(self.block.services))
        return self.block.services[at], self.block.prices[at]

    def foreign_service(self) -> Service:
        """A service that the profile does not list."""
        if self.wide and self.rng.random() < 0.5:
            unknown = elsewhere(self.lang)
            asked = [service for service in unknown if is_asked_for(self.lang, service)]
            return self.rng.choice(asked if asked and self.rng.random() < 0.5 else unknown)
        listed = {service.listed for service in self.block.services}
        choice = [service for service in all_services(self.lang) if service.listed not in listed]
        return self.rng.choice(choice)

    def listing(self) -> tuple[str, tuple[str, ...]]:
        """The first three services, as one phrase and one by one."""
        items = tuple(service.listed for service in self.block.services[:3])
        comma, final = _JOIN[self.lang]
        phrase = items[0] if len(items) == 1 else comma.join(items[:-1]) + final + items[-1]
        return phrase, items

    def a_time(self) -> Spoken:
        """A clock time; now and then the recogniser writes it in figures."""
        if self.rng.random() < 0.15:
            return time_in_figures(self.lang, self.rng)
        time = any_time(self.lang, self.rng)
        time.heard, time.heard_at = time.nom, time.at
        return time

    def is_closed(self, day: Spoken) -> bool:
        """Whether a weekday is a day off; dates are not looked up."""
        return day.index is not None and day.index in self.facts.closed_days

    def open_day(self) -> Spoken:
        """A day that is not a day off."""
        while True:
            day = any_day(self.lang, self.rng)
            if not self.is_closed(day):
                return day

    def hear_name(self, intent: str = "say_name") -> str:
        """The caller gives a name; returns it as it stands in the transcript."""
        name = caller_name(self.lang, self.rng, self.facts.heldout)[0]
        return find(self.hear(intent, {"name": name}), name)

    def hear_note(self) -> str:
        """The caller dictates a message; returns it as it stands in the transcript."""
        more = self.wide and self.rng.random() < _MORE
        note = (more_note_text if more else note_text)(self.lang, self.rng)
        return find(self.hear("say_note", {"note": note}), note)


@cache
def _usable(lang: str, intent: str, given: frozenset[str]) -> list[str]:
    """The templates of an intent that need no other slots than the given ones."""
    found = caller_templates(lang).get(intent, [])
    return [template for template in found if given.issuperset(slots_of(template))]


@cache
def _further(lang: str, intent: str, given: frozenset[str]) -> tuple[list[str], list[str]]:
    """The same of the further wordings: those with a slot for a verb, and the others."""
    more = [s for s in more_templates(lang).get(intent, []) if given.issuperset(slots_of(s))]
    verbs = [found for found in more if any(s.startswith(_LOOSE) for s in slots_of(found))]
    return verbs, [found for found in more if found not in verbs]


def find(text: str, value: str) -> str:
    """``value`` with the capitals it has in ``text``."""
    at = text.lower().find(value.lower())
    return text[at : at + len(value)] if at >= 0 else value


def day_slots(day: Spoken) -> dict[str, str]:
    """Slots of a day."""
    return {"day": day.nom, "on_day": day.at}


def time_slots(time: Spoken) -> dict[str, str]:
    """Slots of a time, as it was heard."""
    return {"time": time.heard, "at_time": time.heard_at}
