"""What callers ask, each one question and the answer to it."""

from collections.abc import Callable

from .calls import Call
from .dates import weekday
from .facts import Service


def hours(call: Call) -> None:
    call.hear("hours")
    tell_hours(call)


def tell_hours(call: Call) -> None:
    """The opening hours, with those of an extra day."""
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


def ask_price(call: Call) -> None:
    tell_price(call, "price", *call.own_service())


def ask_whether(call: Call) -> None:
    """The caller asks for a service that the business offers."""
    tell_price(call, "has", *call.own_service())


def tell_price(call: Call, intent: str, service: Service, amount: str) -> None:
    """One service and what it costs: "price" or "has"."""
    call.hear(intent, call.service_slots(service))
    _say_price(call, service, amount, intent)


def _say_price(call: Call, service: Service, amount: str, key: str = "price") -> None:
    call.say(key, svc=service.listed, price=amount, facts=(amount,))


def price_of_it(call: Call, service: Service) -> None:
    """What the service that is spoken of costs, without its name."""
    call.hear("price_it")
    _say_price(call, service, call.block.prices[call.block.services.index(service)])


def price_of_what(call: Call) -> None:
    """What it costs, before any service was named."""
    call.hear("price_it")
    phrase, items = call.listing()
    call.say("which_svc", list=phrase, facts=items)
    service, amount = call.own_service()
    call.hear("say_svc", call.service_slots(service))
    _say_price(call, service, amount)


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


def decline(call: Call) -> None:
    """The caller asks what has nothing to do with the business."""
    call.hear("out_of_domain")
    call.say("out")


def repeat(call: Call) -> None:
    if call.last_reply:
        said = call.last_reply
        call.hear("repeat")
        call.say("again", last=said, facts=(said,))


def hello(call: Call) -> None:
    """A greeting after the assistant's own."""
    call.hear("hello")
    call.say("name_q", facts=(call.block.business,))


def plain(intent: str) -> Callable[[Call], None]:
    def task(call: Call) -> None:
        call.hear(intent)
        call.say(intent, facts=(call.block.business,) if intent == "name_q" else ())

    return task


# What is asked about the business itself, and what is not for it.
QUESTIONS = (
    *(hours, hours_on_day, address, services, refuse_service, refuse_service, refuse_price),
    *(ask_price, ask_price, ask_whether, ask_whether, decline, decline, plain("name_q")),
)

# What callers say instead of the answer to a question of the assistant.
ASIDES = (
    *(hours, address, services, ask_price, refuse_service, decline, decline),
    *(repeat, repeat, repeat, plain("unclear"), plain("unclear")),
)

# What they say first of all, once they were greeted.
OPENINGS = (hello, hello, repeat, plain("unclear"), price_of_what)
