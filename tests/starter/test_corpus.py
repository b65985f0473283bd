"""The corpus of the starter models: reproducible, well formed, apart from the test questions."""

from __future__ import annotations

import json
import random
import re
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.receptionist.profile import load_profile
from gateway.receptionist.prompt import system_prompt
from gateway.receptionist.tools import receptionist_tools
from scripts.starter import corpus
from scripts.starter.corpus.calls import day_slots, time_slots
from scripts.starter.corpus.dates import weekday
from scripts.starter.corpus.facts import all_services, demo_profile, elsewhere, trades
from scripts.starter.corpus.numbers import digits_spoken, number, phone_digits
from scripts.starter.corpus.people import caller_name
from scripts.starter.corpus.template import (
    caller_templates,
    expand,
    load,
    more_templates,
    reserved,
    slots_of,
    words,
)
from scripts.starter.llm.evaluate import Tally, _judge, kinds_of, script_of, take_apart

# Intents of wide calls alone.
ONLY_FURTHER = set("fix_day fix_time fix_name price_it which_free hello toothache".split())
CHAT = Path(__file__).parents[2] / "scripts" / "starter" / "llm"


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_one_seed_gives_one_call(lang: str) -> None:
    first, second = (corpus.make_call(lang, random.Random(11)).as_dicts() for _ in range(2))
    assert first == second
    assert first != corpus.make_call(lang, random.Random(12)).as_dicts()


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_every_reply_of_a_call_is_of_the_kind_it_says_and_holds_its_facts(lang: str) -> None:
    rng = random.Random(1)
    for _ in range(150):
        call = corpus.make_call(lang, rng)
        for note in call.notes:
            spoken = take_apart(call.messages[note.index].content).spoken
            if note.key not in ("again", "hours2", "has", "day_closed_book"):
                assert note.key in kinds_of(note.lang, spoken), (note.key, spoken)
            assert all(fact.lower() in spoken.lower() for fact in note.facts)


def test_a_reply_that_reads_back_another_day_or_name_than_was_said_is_not_exact() -> None:
    said = "To confirm, filling on Monday at six for Helen Brin. Is that right?"
    note = corpus.TurnNote(3, "en", "confirm", ["filling", "six", "Helen Brin"], "")

    def judged(answer: str) -> dict[str, str]:
        tally = Tally()
        _judge(tally, note, take_apart(answer), take_apart(said))
        return {name: tally.table()[f"{name}, en"] for name in ("slots", "read back exactly")}

    assert judged(said) == {"slots": "1/1", "read back exactly": "1/1"}
    for wrong in (said.replace("Monday", "Friday"), said.replace("Helen", "Start Helen")):
        assert judged(wrong) == {"slots": "1/1", "read back exactly": "0/1"}


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_an_exercise_in_looking_up_asks_for_every_price_once_and_at_last_for_a_person(
    lang: str,
) -> None:
    call = corpus.lookup_call(lang, random.Random(5), {})
    asked = [note for note in call.notes if note.key in ("price", "has")]
    assert sorted(note.facts[0] for note in asked) == sorted(call.block.prices)
    last = call.notes[-1]
    assert last.key == "transfer"
    assert last.facts[0] in {name for name, _ in call.block.people}


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_a_call_of_questions_asks_the_clinic_all_kinds_of_them_and_books_nothing(lang: str) -> None:
    rng, asked = random.Random(6), set()
    for _ in range(60):
        call = corpus.question_call(lang, rng)
        asked |= {note.key for note in call.notes}
        assert 4 <= call.caller_turns <= 6
        assert not any("<tool_call>" in message.content for message in call.messages)
    wanted = {"hours", "day_open", "day_closed", "address", "services", "price", "has"}
    besides = {"no_svc", "no_such", "out", "name_q", "greet"}
    at_times = {"again", "unclear", "which_svc"}  # what a caller says first of all
    assert wanted | besides <= asked <= wanted | besides | at_times


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_what_is_not_offered_is_named_in_the_reply_only_where_the_caller_named_it_so(
    lang: str,
) -> None:
    rng, told = random.Random(8), set()
    for _ in range(80):
        call = corpus.question_call(lang, rng, noise=0.0)
        for note in call.notes:
            if note.key in ("no_svc", "no_such"):
                told.add(note.key)
                said, reply = call.messages[note.index - 1 : note.index + 1]
                repeated = reply.copied[0].lower() in said.content.lower()
                assert repeated == (note.key == "no_svc")
    assert told == {"no_svc", "no_such"}


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_what_is_booked_is_what_was_read_back_last_however_often_the_caller_corrects_it(
    lang: str,
) -> None:
    rng, corrected, beside = random.Random(9), 0, set()
    for _ in range(250):
        call = corpus.demo_call(lang, rng, limit=3, noise=0.0, wide=True)
        read_back: list[corpus.TurnNote] = []
        for before, note in pairwise(call.notes):
            if before.key == "ask_name":
                beside.add(note.key)
            if note.key == "confirm":
                read_back.append(note)
            elif note.key == "booked":
                service, time, name = read_back[-1].facts
                done = json.loads(note.tool.split(">")[1].split("<")[0])["arguments"]
                assert (done["service"], done["time"], done["name"]) == (service, time, name)
                corrected += len(read_back) > 1
                read_back = []
    assert corrected > 5
    assert len(beside - {"confirm", "ask_name"}) >= 3  # answers to what was said for a name


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_tool_calls_of_the_corpus_have_the_arguments_that_the_gateway_binds(lang: str) -> None:
    tools = {tool.name: json.loads(tool.parameters) for tool in receptionist_tools(load_profile())}
    rng, seen = random.Random(2), set()
    for _ in range(200):
        for message in corpus.demo_call(lang, rng).messages:
            if message.role == "assistant" and "<tool_call>" in message.content:
                reply = take_apart(message.content)
                assert not reply.malformed and reply.call is not None
                properties = tools[reply.call["name"]]["properties"]
                assert set(reply.call["arguments"]) == set(properties)
                seen.add(reply.call["name"])
    assert seen == set(corpus.TOOLS)


def test_the_demonstration_profile_of_the_corpus_is_the_prompt_that_the_gateway_sends() -> None:
    assert demo_profile().strip() == system_prompt(load_profile()).strip()


def _proper_name(lang: str, business: str) -> str:
    """ "Pearl" of "Pearl Dental Clinic": what the most specific pattern leaves."""
    patterns = {kind for trade in trades() for kind in words(lang, "business", "kinds", trade)}
    found = [re.fullmatch(kind.replace("{p}", "(.+)"), business) for kind in patterns]
    return min((match[1] for match in found if match), key=len)


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_a_call_for_testing_and_one_for_training_never_share_a_business_or_a_price(
    lang: str,
) -> None:
    rng = random.Random(3)

    def facts(heldout: bool) -> tuple[set[str], set[str], set[str]]:
        blocks = [corpus.Facts([lang], rng, heldout).by[lang] for _ in range(150)]
        names = {_proper_name(lang, b.business) for b in blocks}
        return names, {b.address for b in blocks}, {price for b in blocks for price in b.prices}

    for kept, trained in zip(facts(True), facts(False), strict=True):
        assert kept and not kept & trained


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_surnames_kept_for_testing_are_not_drawn_in_training(lang: str) -> None:
    rng = random.Random(4)
    listed = {name for name in words(lang, "people", "surnames") if reserved(name)}
    drawn = {caller_name(lang, rng)[0].split(" ", 1)[1] for _ in range(2000)}
    assert listed and not listed & drawn


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_every_template_can_be_expanded_and_closes_its_brackets(lang: str) -> None:
    rng = random.Random(5)
    for intent, templates in (*caller_templates(lang).items(), *more_templates(lang).items()):
        for template in templates:
            for _ in range(5):
                text = expand(template, rng, {slot: "X" for slot in slots_of(template)})
                assert text and not re.search(r"[(){}|<>0-9]", text), (intent, template)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


@cache
def _said(lang: str) -> set[str]:
    """What callers say in training, as far as some thousand draws show it."""
    rng = random.Random(6)
    said = {_plain(corpus.caller_utterance(lang, rng)) for _ in range(20_000)}
    calls = [corpus.question_call(lang, rng, noise=0.0) for _ in range(3000)]
    return said | {_plain(m.content) for call in calls for m in call.messages if m.role == "user"}


def test_prices_that_are_to_be_alike_differ_within_one_hundred() -> None:
    rng = random.Random(3)
    for _ in range(50):
        block = corpus.Facts(["ru"], rng, alike=True).by["ru"]
        assert len({price.split()[0] for price in block.prices}) == 1, block.prices
        assert len(set(block.prices)) == len(block.prices)


@pytest.mark.parametrize("lang", corpus.LANGS)
@pytest.mark.parametrize(
    ("file", "least"), [("questions.toml", 40), ("unseen.toml", 198), ("unanswerable.toml", 100)]
)
def test_hardly_any_test_question_is_among_the_sentences_of_callers(
    file: str, least: int, lang: str
) -> None:
    """Stock phrases ("Where are you located?") may be; whoever adds a template must not look."""
    found = tomllib.loads((CHAT / file).read_text("utf-8"))[lang]
    asked = {_plain(item[0]) for item in found}
    assert len(asked) == len(found) >= least
    assert len(asked & _said(lang)) <= len(asked) // 5


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_every_further_wording_can_be_said_in_some_call(lang: str) -> None:
    """A slot that nothing fills would silently keep its template from ever being drawn."""
    call = corpus.Call(lang, random.Random(8), corpus.DemoFacts(), wide=True)
    service, monday = call.service_slots(call.own_service()[0]), weekday(lang, 0)
    day, time, name = day_slots(monday), time_slots(call.a_time()), {"name": "X"}
    filled = {
        "hours_day": call.weekday_slots(3),
        "name_q": {"biz": call.block.business},
        **dict.fromkeys(("price", "has", "book_svc"), service),
        "book_svc_day": service | day,
        "book_all": service | day | time,
        "book_full": service | day | time | name,
        **dict.fromkeys(("say_day", "move"), day),
        "say_time": time,
        "say_day_time": day | time,
        "say_name": name,
        "say_phone": {"phone": "X"},
        **dict.fromkeys(("message", "target"), call.person_slots(call.block.people[0])),
        "fix_day": day,
        "fix_time": time,
        "fix_name": name,
    }
    for intent, templates in more_templates(lang).items():
        assert intent in caller_templates(lang) or intent in ONLY_FURTHER
        for template in templates:
            assert set(slots_of(template)) <= filled.get(intent, {}).keys(), template


def test_every_service_has_verbs_and_none_of_them_is_what_no_business_offers() -> None:
    deeds = load("deeds.toml")
    assert {service.listed for service in all_services("en")} <= deeds.keys()
    for lang in corpus.LANGS:
        listed = {service.listed for service in all_services(lang)}
        assert listed and not listed & {service.listed for service in elsewhere(lang)}
        assert all(deed[lang]["do"] and deed[lang]["they"] for deed in deeds.values())


def test_a_wide_call_often_asks_for_what_there_are_whole_sentences_for() -> None:
    rng = random.Random(12)
    call = corpus.Call("en", rng, corpus.DemoFacts(), wide=True)
    asked = [name for name in load("en/callers_more.toml")["asked"]]
    drawn = [call.foreign_service().listed for _ in range(400)]
    assert sum(name in asked for name in drawn) > 70
    assert len(set(drawn)) > 120, "and everything else at times"


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_only_in_a_wide_call_somebody_says_what_he_wants_by_a_verb(lang: str) -> None:
    deeds = [deed[lang] for deed in load("deeds.toml").values()]
    verbs = {verb.lower() for deed in deeds for key in ("do", "they") for verb in deed[key]}

    def heard(wide: bool) -> int:
        rng = random.Random(9)
        calls = [corpus.make_call(lang, rng, noise=0, wide=wide) for _ in range(400)]
        said = [m.content.lower() for call in calls for m in call.messages if m.role == "user"]
        return sum(any(verb in text for verb in verbs) for text in said)

    assert heard(True) >= 10 > 5 * heard(False)


def test_a_wide_call_is_written_without_the_marks_that_people_leave_out_at_times() -> None:
    def said(noise: float) -> list[str]:
        rng = random.Random(10)
        calls = [corpus.demo_call("ru", rng, noise=noise, wide=True) for _ in range(300)]
        heard = [m.content for call in calls for m in call.messages if m.role == "user"]
        return re.findall(r"\w+", " ".join(heard).lower())

    assert "ещё" in said(0.01) and "еще" in said(0.01)
    assert "ещё" in said(0) and "еще" not in said(0), "what is to be spoken is spelt one way"


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_what_callers_say_is_in_the_letters_of_their_language(lang: str) -> None:
    rng = random.Random(7)
    for _ in range(300):
        text = corpus.caller_utterance(lang, rng)
        assert script_of(text) == lang, text


@pytest.mark.parametrize(
    ("lang", "value", "text"),
    [
        ("en", 0, "zero"),
        ("en", 915, "nine hundred and fifteen"),
        ("ru", 0, "ноль"),
        ("ru", 342, "триста сорок два"),
        ("ar", 25, "خمسة وعشرون"),
        ("ar", 250, "مئتان وخمسون"),
    ],
)
def test_a_number_is_written_as_it_is_spoken(lang: str, value: int, text: str) -> None:
    assert number(lang, value) == text


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_spoken_digits_lead_back_to_the_telephone_number(lang: str) -> None:
    back = {number(lang, digit): str(digit) for digit in range(10)} | {"oh": "0"}
    rng = random.Random(8)
    for _ in range(200):
        digits = phone_digits(rng, longest=11)
        spoken = digits_spoken(lang, digits, rng)
        assert 7 <= len(digits) <= 11
        assert "".join(back[word] for word in re.sub("[,،]", "", spoken).split()) == digits
