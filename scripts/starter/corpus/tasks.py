"""The things callers want, each a short exchange on an open call."""

import random
from collections.abc import Callable

from .calls import Call, day_slots, time_slots, tool_call
from .dates import Spoken, any_day, weekday
from .facts import Service
from .numbers import digits_spoken, phone_digits
from .people import any_target, caller_name


def greet(call: Call) -> None:
    call.hear("greet")
    call.say("greet", facts=(call.block.business,))


def hours(call: Call) -> None:
    call.hear("hours")
    block = call.block
    if block.also:
        call.say("hours2", facts=(block.open, block.also))
    else:
        call.say("hours", facts=(block.open,))


def hours_on_day(call: Call) -> None:
    index = call.rng.randrange(7)
    if call.rng.random() < 0.3 and call.facts.closed_days:
        index = call.rng.choice(call.facts.closed_days)
    day, block = weekday(call.lang, index), call.block
    call.hear("hours_day", call.weekday_slots(index))
    if call.is_closed(day):
        named = day.at if call.lang == "ru" else day.nom
        call.say("day_closed", on_day=day.at, facts=(named, block.open))
    else:
        open_hours = block.also_hours if index == call.facts.also_day else block.hours
        call.say("day_open", on_day=day.at, h=open_hours, facts=(open_hours,))


def address(call: Call) -> None:
    call.hear("address")
    call.say("address", facts=(call.block.address,))


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


def ask_price(call: Call) -> None:
    tell_price(call, "price", *call.own_service())


def ask_whether(call: Call) -> None:
    """The caller asks for a service that the business offers."""
    tell_price(call, "has", *call.own_service())


def tell_price(call: Call, intent: str, service: Service, amount: str) -> None:
    """One service and what it costs: "price" or "has"."""
    call.hear(intent, call.service_slots(service))
    call.say(intent, svc=service.listed, price=amount, facts=(amount,))


def refuse_service(call: Call, intent: str = "has") -> None:
    """The caller wants something that the business does not offer. The reply names it if the caller
    did in the same words: a model that had to find the name for itself made words up.
    """
    foreign = call.foreign_service()
    text = call.hear(intent, call.service_slots(foreign))
    phrase, items = call.listing()
    named = not call.wide or foreign.listed.lower() in text.lower()
    key = "no_svc" if named else "no_such"
    call.say(key, svc=foreign.listed, list=phrase, facts=items)


def refuse_price(call: Call) -> None:
    refuse_service(call, "price")


def services(call: Call) -> None:
    call.hear("services")
    phrase, items = call.listing()
    call.say("services", list=phrase, facts=items)


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
    name = call.hear_name()
    day, time = _settle_when(call, None, None, "move_when")
    call.say("move_confirm", on_day=day.at, at_time=time.at, name=name, facts=(time.nom, name))
    call.hear("yes")
    call.say("moved", tool_call("move_appointment", name=name, day=day.nom, time=time.nom))


def cancel(call: Call) -> None:
    call.hear("cancel")
    call.say("cancel_name")
    name = call.hear_name()
    call.say("cancel_day")
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


def emergency(call: Call) -> None:
    call.hear("emergency")
    _transfer(call, call.block.people[0][0])


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


def decline(call: Call) -> None:
    """The caller asks what has nothing to do with the business."""
    call.hear("out_of_domain")
    call.say("out")


def out_of_domain(call: Call) -> None:
    decline(call)
    _perhaps_message(call)


def repeat(call: Call) -> None:
    if call.last_reply:
        said = call.last_reply
        call.hear("repeat")
        call.say("again", last=said, facts=(said,))


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


def _plain(intent: str) -> Callable[[Call], None]:
    def task(call: Call) -> None:
        call.hear(intent)
        call.say(intent, facts=(call.block.business,) if intent == "name_q" else ())

    return task


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
    (_plain("unclear"), 1),
    (_plain("robot"), 0.7),
    (_plain("name_q"), 1),
    (_plain("smalltalk"), 0.8),
    (_plain("thanks"), 0.8),
]

# What is asked about the business itself, and what is not for it.
QUESTIONS = (
    *(hours, hours_on_day, address, services, refuse_service, refuse_service, refuse_price),
    *(ask_price, ask_price, ask_whether, ask_whether, decline, decline, _plain("name_q")),
)


def pick_task(rng: random.Random) -> Callable[[Call], None]:
    """A task by its weight."""
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
    name = call.hear_name()
    call.say("msg_phone", name=name, facts=(name,))
    digits = phone_digits(call.rng)
    spoken = digits_spoken(call.lang, digits, call.rng)
    if call.rng.random() < 0.2:
        spoken = call.rng.choice(
            [digits, f"{digits[:3]} {digits[3:]}", f"{digits[:3]}-{digits[3:]}"]
        )
    call.hear("say_phone", {"phone": spoken})
    call.say("msg_text")
    note = call.hear_note()
    call.say("msg_done", tool_call("take_message", name=name, phone=digits, text=note))


def _settle_when(
    call: Call, day: Spoken | None, time: Spoken | None, question: str = "ask_when"
) -> tuple[Spoken, Spoken]:
    """Ask for a missing day or time and refuse days off."""
    while True:
        if day is not None and call.is_closed(day):
            call.say("day_closed_book", on_day=day.at, facts=(day.at,))
            day = call.open_day()
            call.hear("say_day", day_slots(day))
        elif day is None and time is None:
            call.say(question)
            day = call.open_day() if call.rng.random() < 0.8 else any_day(call.lang, call.rng)
            if call.rng.random() < 0.7:
                time = call.a_time()
                call.hear("say_day_time", day_slots(day) | time_slots(time))
            else:
                call.hear("say_day", day_slots(day))
        elif day is None:
            call.say("ask_day")
            day = call.open_day()
            call.hear("say_day", day_slots(day))
        elif time is None:
            call.say("ask_time")
            time = call.a_time()
            call.hear("say_time", time_slots(time))
        else:
            return day, time


def _book(
    call: Call, service: Service, day: Spoken | None, time: Spoken | None, name: str | None
) -> None:
    day, time = _settle_when(call, day, time)
    if name is None:
        call.say("ask_name")
        name = call.hear_name()
    _confirm_booking(call, service, day, time, name)
    if call.rng.random() < 0.12:
        call.hear("no")
        call.say("wrong")
        if call.rng.random() < 0.5:
            day = call.open_day()
            call.hear("say_day", day_slots(day))
        else:
            time = call.a_time()
            call.hear("say_time", time_slots(time))
        _confirm_booking(call, service, day, time, name)
    call.hear("yes")
    arguments = {"service": service.listed, "day": day.nom, "time": time.nom}
    call.say("booked", tool_call("book_appointment", name=name, **arguments), on_day=day.at)


def _confirm_booking(call: Call, service: Service, day: Spoken, time: Spoken, name: str) -> None:
    slots = {"svc": service.listed, "on_day": day.at, "at_time": time.at, "name": name}
    call.say("confirm", facts=(service.listed, time.nom, name), **slots)
