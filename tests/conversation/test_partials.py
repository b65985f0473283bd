"""What is told of an utterance while it is being said."""

from __future__ import annotations

from dataclasses import replace

from gateway.conversation.commands import (
    NotifyPartial,
    NotifyTranscript,
    Transcribe,
    TranscribePartial,
)
from gateway.conversation.events import PartialReady
from gateway.conversation.partials import LocalAgreement
from tests.conversation.driver import NO_GREETING, Driver

NEVER = replace(NO_GREETING, speech=replace(NO_GREETING.speech, partial_ms=0))
SETTLING = replace(NO_GREETING, speech=replace(NO_GREETING.speech, settle_ms=1000))


def told(driver: Driver) -> list[str]:
    return [command.text for command in driver.commands if isinstance(command, NotifyPartial)]


def orders(driver: Driver) -> list[TranscribePartial]:
    return [command for command in driver.commands if isinstance(command, TranscribePartial)]


def hear(driver: Driver, text: str, order: TranscribePartial | None = None) -> None:
    order = order or driver.last(TranscribePartial)
    driver.receive(PartialReady(order.turn, order.number, text, "en"))


def test_words_are_told_when_two_hypotheses_agree_and_stay_told() -> None:
    agreement = LocalAgreement()
    agreement.push("I want to look")
    assert agreement.told == []
    agreement.push("I want to book a cleaning")
    assert agreement.told == ["I", "want", "to"]
    agreement.push("i want, to book a cleaning on")
    assert agreement.told == ["I", "want", "to", "book", "a", "cleaning"]
    agreement.push("nothing of the kind")
    assert agreement.told == ["I", "want", "to", "book", "a", "cleaning"]


def test_a_short_utterance_has_no_partials() -> None:
    driver = Driver()
    driver.start()
    driver.say(1500)
    driver.silence(600)
    assert orders(driver) == []


def test_a_long_utterance_is_recognised_every_second_while_it_goes_on() -> None:
    driver = Driver()
    driver.start()
    driver.say(4500)
    lengths = [len(order.samples) / 16000 for order in orders(driver)]
    assert len(lengths) == 3
    assert 1.9 <= lengths[0] <= 2.1
    assert all(0.9 <= b - a <= 1.1 for a, b in zip(lengths, lengths[1:], strict=False))


def test_stable_words_are_told_and_the_final_transcript_is_ordered_as_ever() -> None:
    driver = Driver()
    driver.start()
    driver.say(2200)
    hear(driver, "I would like to")
    driver.say(1000)
    hear(driver, "I would like to book a")
    assert told(driver) == ["I would like to"]
    driver.say(1000)
    hear(driver, "I would like to book a cleaning")
    assert told(driver) == ["I would like to", "I would like to book a"]
    driver.silence(200)
    assert isinstance(driver.last(Transcribe), Transcribe)


def test_results_that_come_out_of_order_are_ignored() -> None:
    driver = Driver()
    driver.start()
    driver.say(3200)
    first, second = orders(driver)
    hear(driver, "I would like", second)
    hear(driver, "I would like", first)
    hear(driver, "I would like", second)
    assert told(driver) == []


def test_a_result_for_an_earlier_turn_is_ignored() -> None:
    driver = Driver()
    driver.start()
    driver.say(2200)
    old = driver.last(TranscribePartial)
    driver.silence(200)
    driver.transcript("")
    driver.say(3200)
    hear(driver, "Old words", old)
    hear(driver, "Old words", orders(driver)[-2])
    assert told(driver) == []


def test_a_turn_that_goes_on_after_a_settled_part_keeps_its_words() -> None:
    driver = Driver(SETTLING)
    driver.start()
    driver.say(1500)
    driver.silence(200)
    driver.transcript("My name is Anna,")
    driver.say(3200)
    for order in orders(driver)[-2:]:
        hear(driver, "and I want", order)
    assert told(driver) == ["My name is Anna,", "My name is Anna, and I want"]


def test_the_transcript_of_a_settled_part_is_told_in_place_of_its_partial() -> None:
    driver = Driver(SETTLING)
    driver.start()
    driver.say(2200)
    hear(driver, "I would like")
    driver.say(1000)
    hear(driver, "I would like")
    driver.silence(200)
    driver.transcript("I'd like a cleaning.")
    driver.say(2200)
    hear(driver, "On Monday")
    driver.say(1000)
    hear(driver, "On Monday")
    assert told(driver) == [
        "I would like",
        "I'd like a cleaning.",
        "I'd like a cleaning. On Monday",
    ]


def test_hypothesis_of_a_part_that_has_its_transcript_is_not_told_as_the_next_part() -> None:
    driver = Driver(SETTLING)
    driver.start()
    driver.say(3200)
    first, second = orders(driver)
    driver.silence(200)
    driver.transcript("I would like a cleaning.")
    driver.say(40)
    hear(driver, "I would like", first)
    hear(driver, "I would like", second)
    driver.say(2200)
    assert told(driver) == []


def test_nothing_is_told_while_the_transcript_of_an_earlier_part_is_awaited() -> None:
    driver = Driver()
    driver.start()
    driver.say(23500)
    hear(driver, "I would like")
    driver.say(1000)
    hear(driver, "I would like")
    driver.say(3000)
    hear(driver, "On Monday")
    driver.say(1000)
    hear(driver, "On Monday")
    assert told(driver) == ["I would like"]
    driver.transcript("I would like a cleaning.")
    driver.say(1000)
    hear(driver, "On Monday")
    assert told(driver)[1:] == ["I would like a cleaning. On Monday"]


def test_what_was_told_of_a_turn_is_told_again_of_the_next_one() -> None:
    driver = Driver()
    driver.start()
    for _ in range(2):
        driver.say(3200)
        for order in orders(driver)[-2:]:
            hear(driver, "Hello there", order)
        driver.silence(200)
        driver.transcript("")
    assert told(driver) == ["Hello there", "Hello there"]


def test_an_utterance_of_which_words_were_told_is_ended_by_none_if_it_was_noise() -> None:
    driver = Driver()
    driver.start()
    driver.say(3200)
    for order in orders(driver)[-2:]:
        hear(driver, "Hello there", order)
    driver.silence(200)
    assert driver.transcript("") == [NotifyTranscript("caller", "", 1)]
    driver.say(800)
    driver.silence(200)
    assert driver.transcript("") == [], "and nothing of what nobody was told"


def test_partials_can_be_switched_off() -> None:
    driver = Driver(NEVER)
    driver.start()
    driver.say(6000)
    assert orders(driver) == []
