"""Whole calls."""

import random

from . import questions, tasks
from .calls import Call
from .facts import TOOLS, DemoFacts, Facts
from .noise import Confusions
from .template import LANGS

_FINAL = (tasks.person, tasks.target, tasks.emergency, tasks.toothache)


def make_call(
    lang: str,
    rng: random.Random,
    *,
    heldout: bool = False,
    langs: list[str] | None = None,
    limit: int | None = None,
    with_tools: bool = False,
    noise: float = 0.2,
    confusions: dict[str, Confusions] | None = None,
    wide: bool = False,
) -> Call:
    """A call to a random business; ``limit`` is the number of caller turns after which it ends.

    ``langs`` are the languages of the profile (drawn when left out), ``with_tools`` adds the line
    that names the tools, ``heldout`` draws facts that training never sees. ``wide`` is explained in
    ``Call``.
    """
    if langs is None:
        extra = rng.choices([0, 1, 2], [55, 25, 20])[0]
        langs = [lang, *rng.sample([other for other in LANGS if other != lang], extra)]
        rng.shuffle(langs)
    facts = Facts(langs, rng, heldout)
    return _play(Call(lang, rng, facts, noise, confusions, wide), limit, with_tools)


def demo_call(
    lang: str,
    rng: random.Random,
    *,
    limit: int | None = None,
    with_tools: bool = False,
    noise: float = 0.2,
    confusions: dict[str, Confusions] | None = None,
    wide: bool = False,
) -> Call:
    """A call to the demonstration clinic, see ``make_call``."""
    return _play(Call(lang, rng, DemoFacts(), noise, confusions, wide), limit, with_tools)


def lookup_call(lang: str, rng: random.Random, confusions: dict[str, Confusions]) -> Call:
    """An exercise in looking things up: every price of a random business, the list of what it
    offers, three times, then a person.
    """
    call = Call(
        lang, rng, Facts([lang], rng, alike=rng.random() < 0.7), confusions=confusions, wide=True
    )
    priced = list(zip(call.block.services, call.block.prices, strict=True))
    for service, amount in rng.sample(priced, len(priced)):
        questions.tell_price(call, rng.choice(["price", "has"]), service, amount)
    lists = [questions.services, questions.refuse_service, questions.refuse_service]
    asked = [*lists, rng.choice([questions.hours, questions.address])]
    for task in rng.sample(asked, len(asked)):
        task(call)
    tasks.own_person(call)
    return call


def question_call(
    lang: str,
    rng: random.Random,
    *,
    count: int = 4,
    noise: float = 0.2,
    confusions: dict[str, Confusions] | None = None,
) -> Call:
    """A call to the demonstration clinic with ``count`` questions and no wish beside them."""
    call = Call(lang, rng, DemoFacts(), noise, confusions, wide=True)
    if rng.random() < 0.85:
        call.say("greet", facts=(call.block.business,))
        _open(call)
    for _ in range(count):
        rng.choice(questions.QUESTIONS)(call)
    return call


def _open(call: Call) -> None:
    """What a caller may say first of all in a wide call: nothing that has to do with the matter."""
    if call.wide and call.rng.random() < 0.12:
        call.rng.choice(questions.OPENINGS)(call)


def _play(call: Call, limit: int | None, with_tools: bool) -> Call:
    rng, lang = call.rng, call.lang
    if with_tools:
        call.messages[0].content += "\ntools: " + ", ".join(TOOLS)
    if rng.random() < 0.85:
        # The business speaks first, perhaps in another language than the caller's.
        call.lang = lang if rng.random() < 0.6 else rng.choice(call.facts.langs)
        call.say("greet", facts=(call.block.business,))
        if call.lang == lang:
            _open(call)
        call.lang = lang
    elif rng.random() < 0.4:
        tasks.greet(call)
    limit = limit or rng.choice([2, 3, 4, 5, 6, 7])
    switched = False
    while True:
        task = tasks.pick_task(rng, call.wide)
        task(call)
        if task in _FINAL and call.notes[-1].key == "transfer":
            return call
        if rng.random() < 0.08:
            questions.repeat(call)
        if call.caller_turns >= limit:
            if rng.random() < 0.6:
                tasks.bye(call)
            return call
        if not switched and len(call.facts.langs) > 1 and rng.random() < 0.3:
            tasks.switch_language(call)
            switched = True
