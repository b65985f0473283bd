"""The things callers want, each a short exchange on an open call."""

import random
import re
from collections.abc import Callable

from .calls import Call, day_slots, time_slots, tool_call
from .dates import Spoken, any_day, weekday
from .facts import Service
from .numbers import digits_spoken, in_runs, phone_digits
from .people import any_target, caller_name
from .questions import (
    ASIDES,
    address,
    ask_whether,
    decline,
    hours,
    hours_on_day,
    plain,
    price_of_it,
    refuse_price,
    refuse_service,
    services,
    tell_hours,
    tell_price,
)

_DOCTOR = re.compile("doctor|врач|доктор|طبيب|دكتور", re.I)
# How often, in a wide call, a question of the assistant is not answered at once, a detail that was
# said already is corrected at the next question, and one is when all are read back.
_ASIDE, _AMENDED, _READ_BACK = 0.12, 0.08, 0.15
_RUNS = 0.3  # the share of telephone numbers with many equal digits in a row, in wide calls


def greet(call: Call) -> None:
    call.hear("greet")
    call.say("greet", facts=(call.block.business,))


def price(call: Call) -> None:
    if call.rng.random() < 0.15:
        refuse_price(call)
        return
    service, amount = call.own_service()
    tell_price(call, "price", service, amount)
    if call.rng.random() < 0.25:
        call.hear("book_it")
        _book(call, service, None, None, None)


def has(call: Call) -> None:
    if call.rng.random() < 0.4:
        refuse_service(call)
        return
    ask_whether(call)


def book(call: Call) -> None:
    kinds = ["book", "book_svc", "book_svc_day", "book_all", "book_full", "unknown"]
    kind = call.rng.choices(kinds, [2.5, 3, 3, 3, 1.2, 0.6])[0]
    service, _ = call.own_service()
    if kind == "unknown":
        refuse_service(call, "book_svc")
        call.hear("say_svc", call.service_slots(service))
        _book(call, service, None, None, None)
        return
    slots = call.service_slots(service)
    day = time = name = None
    if kind in ("book_svc_day", "book_all", "book_full"):
        day = any_day(call.lang, call.rng)
        slots |= day_slots(day)
    if kind in ("book_all", "book_full"):
        time = call.a_time()
        slots |= time_slots(time)
    if kind == "book_full":
        name = caller_name(call.lang, call.rng, call.facts.heldout)[0]
        slots["name"] = name
    call.hear(kind, slots)
    if kind == "book":
        call.say("ask_svc")
        call.hear("say_svc", call.service_slots(service))
    _book(call, service, day, time, name)


def move(call: Call) -> None:
    call.hear("move", day_slots(weekday(call.lang, call.rng.randrange(7))))
    call.say("move_name")
    name = _hear_name(call)
    day, time = _settle_when(call, None, None, question="move_when")
    _confirm_move(call, day, time, name)
    if _happens(call, _READ_BACK):
        day, time = _amended(call, day, time)
        _confirm_move(call, day, time, name)
    call.hear("yes")
    call.say("moved", tool_call("move_appointment", name=name, day=day.nom, time=time.nom))


def cancel(call: Call) -> None:
    call.hear("cancel")
    call.say("cancel_name")
    name = _hear_name(call)
    call.say("cancel_day")
    _aside(call)
    day = call.open_day()
    call.hear("say_day", day_slots(day))
    call.say("cancel_confirm", on_day=day.at, name=name, facts=(name,))
    call.hear("yes")
    call.say("cancelled", tool_call("cancel_appointment", name=name, day=day.nom))


def message(call: Call) -> None:
    call.hear("message", call.person_slots(call.rng.choice(call.block.people)))
    _take_message(call)


def person(call: Call) -> None:
    call.hear("person")
    _transfer(call, call.block.people[0][0])


def emergency(call: Call, intent: str = "emergency") -> None:
    """The caller needs a doctor, or whoever is in charge where there is none."""
    call.hear(intent)
    names = [name for name, _ in call.block.people]
    _transfer(call, next(filter(_DOCTOR.search, names), names[0]))


def toothache(call: Call) -> None:
    emergency(call, "toothache")


def target(call: Call) -> None:
    if call.rng.random() < 0.75:
        own_person(call)
        return
    known = {name for name, _ in call.block.people}
    wanted = any_target(call.lang, call.rng, call.facts.heldout)
    while wanted[0] in known:
        wanted = any_target(call.lang, call.rng, call.facts.heldout)
    call.hear("target", {"person": wanted[0], "person_ins": wanted[1]})
    call.say("no_person", person=wanted[0])
    _perhaps_message(call)


def own_person(call: Call) -> None:
    """The caller asks for someone of the profile."""
    wanted = call.rng.choice(call.block.people)
    call.hear("target", call.person_slots(wanted))
    _transfer(call, wanted[0])


def out_of_domain(call: Call) -> None:
    decline(call)
    _perhaps_message(call)


def bye(call: Call) -> None:
    call.hear("bye")
    call.say("bye", tool_call("end_call"))


def switch_language(call: Call) -> None:
    """The caller goes on in another language of the profile, sometimes after asking for it."""
    others = [lang for lang in call.facts.langs if lang != call.lang]
    if not others:
        return
    call.lang = call.rng.choice(others)
    if call.rng.random() < 0.3:
        call.hear("lang")
        call.say("lang")


# Every task and how often it comes up.
TASKS: list[tuple[Callable[[Call], None], float]] = [
    (hours, 5),
    (hours_on_day, 5),
    (address, 5),
    (price, 7),
    (has, 3),
    (services, 2),
    (book, 8),
    (move, 2.2),
    (cancel, 2),
    (message, 3.5),
    (person, 1.5),
    (target, 2.5),
    (emergency, 0.7),
    (out_of_domain, 3),
    (plain("unclear"), 1),
    (plain("robot"), 0.7),
    (plain("name_q"), 1),
    (plain("smalltalk"), 0.8),
    (plain("thanks"), 0.8),
]


def pick_task(rng: random.Random, wide: bool) -> Callable[[Call], None]:
    """A task by its weight."""
    if wide and rng.random() < 0.04:
        return toothache
    return rng.choices([task for task, _ in TASKS], [weight for _, weight in TASKS])[0]


def _transfer(call: Call, who: str) -> None:
    call.say("transfer", tool_call("transfer_call", target=who), person=who, facts=(who,))


def _perhaps_message(call: Call) -> None:
    """The reply offered to take a message: accept, decline, or talk about something else."""
    choice = call.rng.random()
    if choice < 0.35:
        call.hear("yes")
        _take_message(call)
    elif choice < 0.6:
        call.hear("no")
        call.say("else")


def _take_message(call: Call) -> None:
    call.say("msg_name")
    name = _hear_name(call)
    call.say("msg_phone", name=name, facts=(name,))
    digits = phone_digits(call.rng)
    if _happens(call, _RUNS):
        digits = in_runs(digits, call.rng)
    spoken = digits_spoken(call.lang, digits, call.rng)
    if call.rng.random() < 0.2:
        spoken = call.rng.choice(
            [digits, f"{digits[:3]} {digits[3:]}", f"{digits[:3]}-{digits[3:]}"]
        )
    call.hear("say_phone", {"phone": spoken})
    call.say("msg_text")
    note = call.hear_note()
    call.say("msg_done", tool_call("take_message", name=name, phone=digits, text=note))


def _happens(call: Call, share: float) -> bool:
    """In ``share`` of the cases of a wide call."""
    return call.wide and call.rng.random() < share


def _aside(call: Call, service: Service | None = None, *, when: bool = False) -> None:
    """Instead of an answer the caller may say something else, which is answered, and the question
    stays open. ``service`` is the one that is spoken of; ``when`` is asked for with True.
    """
    if not _happens(call, _ASIDE):
        return
    if when and call.rng.random() < 0.4:
        call.hear("which_free")
        tell_hours(call)
    elif service is not None and call.rng.random() < 0.25:
        price_of_it(call, service)
    else:
        call.rng.choice(ASIDES)(call)


def _hear_name(call: Call, service: Service | None = None) -> str:
    _aside(call, service)
    return call.hear_name()


def _amended(
    call: Call, day: Spoken, time: Spoken, verb: str = "fix", share: float = 0.4
) -> tuple[Spoken, Spoken]:
    """The caller wants another day, in ``share`` of the cases, or another time; ``verb`` is "say"
    where the assistant has asked what to change.
    """
    if call.rng.random() < share:
        day = call.open_day()
        call.hear(f"{verb}_day", day_slots(day))
    else:
        time = call.a_time()
        call.hear(f"{verb}_time", time_slots(time))
    return day, time


def _settle_when(
    call: Call,
    day: Spoken | None,
    time: Spoken | None,
    service: Service | None = None,
    question: str = "ask_when",
) -> tuple[Spoken, Spoken]:
    """Ask for a missing day or time and refuse days off."""
    while True:
        if day is not None and call.is_closed(day):
            call.say("day_closed_book", on_day=day.at, facts=(day.at,))
            _aside(call, service, when=True)
            day = call.open_day()
            call.hear("say_day", day_slots(day))
        elif day is None and time is None:
            call.say(question)
            _aside(call, service, when=True)
            day = call.open_day() if call.rng.random() < 0.8 else any_day(call.lang, call.rng)
            if call.rng.random() < 0.7:
                time = call.a_time()
                call.hear("say_day_time", day_slots(day) | time_slots(time))
            else:
                call.hear("say_day", day_slots(day))
        elif day is None:
            call.say("ask_day")
            _aside(call, service, when=True)
            day = call.open_day()
            call.hear("say_day", day_slots(day))
        elif time is None:
            call.say("ask_time")
            _aside(call, service, when=True)
            time = call.a_time()
            call.hear("say_time", time_slots(time))
        else:
            return day, time


def _book(
    call: Call, service: Service, day: Spoken | None, time: Spoken | None, name: str | None
) -> None:
    day, time = _settle_when(call, day, time, service)
    if name is None:
        call.say("ask_name")
        if _happens(call, _AMENDED):
            day, time = _amended(call, day, time)
            call.say("ask_name")
        name = _hear_name(call, service)
    _confirm_booking(call, service, day, time, name)
    if call.rng.random() < 0.12:
        call.hear("no")
        call.say("wrong")
        day, time = _amended(call, day, time, "say", 0.5)
        _confirm_booking(call, service, day, time, name)
    if _happens(call, _READ_BACK):
        if call.rng.random() < 0.25:
            name = call.hear_name("fix_name")
        else:
            day, time = _amended(call, day, time)
        _confirm_booking(call, service, day, time, name)
    if _happens(call, _ASIDE / 3):
        price_of_it(call, service)
    call.hear("yes")
    arguments = {"service": service.listed, "day": day.nom, "time": time.nom}
    call.say("booked", tool_call("book_appointment", name=name, **arguments), on_day=day.at)


def _confirm_move(call: Call, day: Spoken, time: Spoken, name: str) -> None:
    call.say("move_confirm", on_day=day.at, at_time=time.at, name=name, facts=(time.nom, name))


def _confirm_booking(call: Call, service: Service, day: Spoken, time: Spoken, name: str) -> None:
    slots = {"svc": service.listed, "on_day": day.at, "at_time": time.at, "name": name}
    call.say("confirm", facts=(service.listed, time.nom, name), **slots)
