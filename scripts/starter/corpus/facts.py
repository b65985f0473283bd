"""Business profiles: what the assistant knows, drawn at random or fixed for the demonstration."""

import random
import re
from dataclasses import dataclass, field
from functools import cache

from .dates import DAYS, opening_hours, weekday, weekday_range
from .numbers import number
from .people import doctor, invented_name, listed_targets
from .template import DATA, LANGS, load, pick, reserved, words

HEADER = "You are the phone receptionist. Speak briefly in the caller's language."
TOOLS = (
    "book_appointment",
    "move_appointment",
    "cancel_appointment",
    "take_message",
    "transfer_call",
    "end_call",
)
# First and last open weekday, 0 for Monday.
_RANGES = [(0, 4), (0, 4), (0, 5), (6, 3), (6, 4), (5, 3), (1, 5), (0, 3), (6, 5)]
_AR_FEW = {
    "دولار": "دولارات",
    "درهم": "دراهم",
    "ريال": "ريالات",
    "يورو": "يورو",
    "جنيه": "جنيهات",
    "روبل": "روبلات",
    "دينار": "دنانير",
}
_STREET_KINDS = ["Street", "Street", "Road", "Avenue"]


@dataclass(frozen=True)
class Service:
    """A service: as the profile lists it, and as a caller says it (Russian by case)."""

    listed: str
    nominative: str
    accusative: str
    genitive: str


@dataclass
class Block:
    """The profile in one language."""

    business: str
    open: str
    hours: str
    closed: list[str]
    address: str
    services: list[Service]
    prices: list[str]
    people: list[tuple[str, str]]
    also: str | None = None
    also_hours: str = ""

    def text(self, lang: str) -> str:
        """The block of the system message."""
        prices = zip(self.services, self.prices, strict=True)
        lines = [
            f"[{lang}]",
            f"name: {self.business}",
            f"open: {self.open}",
            f"also: {self.also}" if self.also else "",
            "closed: " + ", ".join(self.closed) if self.closed else "",
            f"address: {self.address}",
            "prices: " + "; ".join(f"{service.listed} = {price}" for service, price in prices),
            "people: " + "; ".join(person for person, _ in self.people),
        ]
        return "\n".join(line for line in lines if line)


def _service(lang: str, row: list[str]) -> Service:
    if lang == "en":
        return Service(re.sub(r"^(an?|the) ", "", row[0]), row[0], row[0], row[0])
    if lang == "ar":
        return Service(row[1], row[1], row[1], row[1])
    return Service(row[2], row[2], row[3], row[4])


@cache
def trades() -> list[str]:
    """Kinds of business, as ``services.toml`` names them."""
    return list(load("services.toml"))


@cache
def elsewhere(lang: str) -> list[Service]:
    """What callers ask for and no business offers."""
    return [_service(lang, row) for row in load("elsewhere.toml")["rows"]]


@cache
def all_services(lang: str) -> list[Service]:
    """Every service of every trade."""
    return [_service(lang, row) for trade in trades() for row in load("services.toml")[trade]]


def business_name(lang: str, rng: random.Random, heldout: bool = False, trade: str = "") -> str:
    """A name such as "Pearl Dental Clinic"."""
    pattern = rng.choice(words(lang, "business", "kinds", trade or rng.choice(trades())))
    invented = rng.random() < 0.4
    proper = words(lang, "business", "proper_names")
    name = invented_name(lang, rng, heldout) if invented else pick(rng, proper, heldout)
    return pattern.replace("{p}", name)


def _price(lang: str, amount: int, currency: int) -> str:
    word = load("people.toml")["currencies"][currency][LANGS.index(lang)]
    if lang == "ar":  # the counted noun changes with the number before it
        if amount % 100 in range(3, 11):
            word = _AR_FEW[word]
        elif amount % 100 >= 11 and word != "يورو":
            word += "ا"
    return f"{number(lang, amount)} {word}"


def _invented_service(lang: str, rng: random.Random, heldout: bool) -> Service:
    name = invented_name(lang, rng, heldout)
    if lang == "en":
        listed = f"{name} {rng.choice(['therapy', 'package', 'treatment'])}"
        return Service(listed, "the " + listed, "the " + listed, "the " + listed)
    if lang == "ar":
        listed = f"{rng.choice(['علاج', 'باقة'])} {name}"
        return Service(listed, listed, listed, listed)
    forms = [("процедура", "процедуру", "процедуры"), ("пакет", "пакет", "пакета")]
    nominative, accusative, genitive = rng.choice(forms)
    listed = f"{nominative} {name}"
    return Service(listed, listed, f"{accusative} {name}", f"{genitive} {name}")


@dataclass
class Facts:
    """One business in one to three languages, with the same numbers in each.

    ``heldout`` draws prices, streets, names and weekdays' hours that training never draws so; the
    hours of an extra day are drawn from all. With ``alike``
    all prices have the same hundreds, so that only the service tells how one goes on.
    """

    langs: list[str]
    rng: random.Random
    heldout: bool = False
    alike: bool = False
    closed_days: list[int] = field(default_factory=list)
    also_day: int | None = None
    by: dict[str, Block] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = self.rng
        trade = rng.choice(trades())
        first, last = rng.choice(_RANGES)
        main = [(first + i) % 7 for i in range((last - first) % 7 + 1)]
        rest = [day for day in range(7) if day not in main]
        if rest and rng.random() < (0.5 if len(rest) > 1 else 0.25):
            self.also_day = rng.choice(rest)
        self.closed_days = [day for day in rest if day != self.also_day]
        short = rng.random() < 0.3 or self.also_day is not None  # keeps the sentence short
        opens, closes = self._free_pair()
        also = rng.randrange(16, 24), rng.randrange(26, 40)
        house, currency = rng.randrange(1, 200), rng.randrange(7)
        rows = load("services.toml")[trade]
        rows = rng.sample(rows, min(len(rows), rng.choice([2, 3, 3, 4])))
        invented = rng.random() < 0.2
        amounts = self._amounts(len(rows) + invented)
        targets = rng.sample(range(len(listed_targets("en"))), rng.choice([1, 2, 2, 3]))
        named = rng.randrange(len(targets)) if rng.random() < 0.6 else None
        landmark = rng.randrange(11)
        for lang in self.langs:
            hours = opening_hours(lang, opens, closes, short)
            services = [_service(lang, row) for row in rows]
            if invented:
                services.append(_invented_service(lang, rng, self.heldout))
            people = [listed_targets(lang)[i] for i in targets]
            if named is not None:
                people[named] = doctor(lang, rng, self.heldout)
            block = Block(
                business=business_name(lang, rng, self.heldout, trade),
                open=f"{weekday_range(lang, first, last)} {hours}",
                hours=hours,
                closed=[DAYS[lang][day][0] for day in self.closed_days],
                address=self._address(lang, house, words(lang, "business", "landmarks")[landmark]),
                services=services,
                prices=[_price(lang, amount, currency) for amount in amounts],
                people=people,
            )
            if self.also_day is not None:
                day = weekday(lang, self.also_day)
                block.also_hours = opening_hours(lang, *also, short)
                block.also = f"{day.nom if lang == 'en' else day.at} {block.also_hours}"
            self.by[lang] = block

    def _free_pair(self) -> tuple[int, int]:
        while True:
            opens, closes = self.rng.randrange(14, 23), self.rng.randrange(28, 45)
            if reserved(f"{opens}-{closes}") == self.heldout:
                return opens, closes

    def _amounts(self, count: int) -> list[int]:
        amounts: list[int] = []
        steps = [range(15, 100, 5), range(100, 1000, 10), range(105, 1000, 5)]
        if self.alike:
            hundreds = self.rng.randrange(100, 1000, 100)
            steps = [range(hundreds, hundreds + 100, 5)]
        while len(amounts) < count:
            amount = self.rng.choice(self.rng.choice(steps))
            if reserved(f"price{amount}") == self.heldout and amount not in amounts:
                amounts.append(amount)
        return amounts

    def _address(self, lang: str, house: int, landmark: str) -> str:
        rng = self.rng
        invented = rng.random() < 0.35
        streets = words(lang, "business", "streets")
        street = (
            invented_name(lang, rng, self.heldout) if invented else pick(rng, streets, self.heldout)
        )
        if lang == "en":
            address = f"{number('en', house)} {street} {rng.choice(_STREET_KINDS)}"
        elif lang == "ru":
            address = f"улица {street}, дом {number('ru', house)}"
        else:
            address = f"شارع {street}، مبنى رقم {number('ar', house)}"
        comma = "، " if lang == "ar" else ", "
        return address + (comma + landmark if landmark else "")

    def system(self) -> str:
        """The system message."""
        return "\n".join([HEADER, *(self.by[lang].text(lang) for lang in self.langs)])


class DemoFacts(Facts):
    """The fixed profile of the demonstration clinic, in all three languages."""

    def __init__(self) -> None:
        self.langs, self.heldout, self.alike = ["en", "ar", "ru"], False, False
        self.closed_days, self.also_day = [5, 6], None
        self.by = {lang: _demo_block(lang) for lang in self.langs}

    def system(self) -> str:
        """The system message, exactly as the gateway's demonstration sends it."""
        return demo_profile()


@cache
def demo_profile() -> str:
    """The demonstration's system message."""
    return (DATA / "demo_profile.txt").read_text(encoding="utf-8").rstrip("\n")


def _demo_block(lang: str) -> Block:
    lines = demo_profile().split(f"[{lang}]\n")[1].split("\n[")[0].split("\n")
    found = dict(line.split(": ", 1) for line in lines)
    by_name = {service.listed: service for service in all_services(lang)}
    items = [item.split(" = ") for item in found["prices"].split("; ")]
    instrumental = dict(listed_targets(lang))
    hours_from = found["open"].rindex({"en": " from ", "ar": " من ", "ru": " с "}[lang]) + 1
    return Block(
        business=found["name"],
        open=found["open"],
        hours=found["open"][hours_from:],
        closed=found["closed"].split(", "),
        address=found["address"],
        services=[by_name[name] for name, _ in items],
        prices=[price for _, price in items],
        people=[(person, instrumental[person]) for person in found["people"].split("; ")],
    )
