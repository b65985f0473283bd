"""Which stretch of speech over the assistant a verdict is about, and whose voice it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gateway.audio.pcm import FRAME_SAMPLES, Samples
from gateway.conversation.commands import (
    CancelReply,
    Command,
    PauseReply,
    ResumeReply,
    Script,
    StartReply,
    Transcribe,
)
from gateway.conversation.events import (
    PlayoutStarted,
    ReplyEnded,
    SpeechQueued,
    SpeechSent,
    TranscriptFailed,
    TranscriptReady,
)
from gateway.conversation.phase import Phase
from gateway.conversation.policy import EndpointPolicy
from gateway.events import AudioReceived, TextReceived
from tests.conversation.driver import GREETING, NO_GREETING, Driver, spread

SLOTS = "I have Monday at nine or Tuesday at ten or Wednesday at noon. Which one would you like?"


def speaking(text: str, ms: int, played_ms: int, language: str | None = None) -> Driver:
    """A call in which the reply to the first turn has played for a while."""
    driver = Driver()
    driver.start(language)
    driver.turn()
    driver.speak(text, ms)
    driver.play(played_ms)
    return driver


def test_long_interruption_in_doubt_is_no_grunt_although_a_short_sound_follows() -> None:
    driver = speaking("one two three four five six seven eight", 8000, 1000)
    driver.say(640)
    driver.silence(200)
    order = driver.last(Transcribe)
    driver.say(100)
    words = "I need it on Sunday instead"
    verdict = TranscriptReady(order.turn, order.revision, words, "en", 1.0, -0.6)
    assert CancelReply(1) in driver.receive(verdict)


@pytest.mark.parametrize("pause_ms", [200, 800, 1500, 2000])
def test_coughs_do_not_stop_the_assistant_however_long_a_pause_has_to_be(pause_ms: int) -> None:
    endpoint = EndpointPolicy(pause_ms, pause_ms, pause_ms)
    driver = Driver(replace(NO_GREETING, endpoint=endpoint))
    driver.start()
    driver.say(800)
    driver.silence(pause_ms)
    driver.transcript("What time do you open?")
    driver.speak("one two three four five six seven eight", 8000)
    driver.play(1000)
    for _ in range(3):
        driver.say(200)
        driver.silence(pause_ms - 40)
    assert CancelReply(1) not in driver.commands
    driver.silence(40)
    assert driver.transcript("") == [ResumeReply(1)]


def over_the_greeting(language: str | None = None) -> Driver:
    """A call whose greeting a caller has just spoken over for a moment."""
    driver = Driver(GREETING)
    driver.start(language)
    driver.speak("How nice that you call us today.", 4000)
    driver.play(800)
    driver.say(400)
    driver.silence(200)
    return driver


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "Mm-hm."), ("ru", "Угу."), ("ru", "Ага, хорошо."), ("ar", "طيب.")],
)
def test_back_channel_in_any_language_lets_the_greeting_go_on(language: str, text: str) -> None:
    assert over_the_greeting().transcript(text, language) == [ResumeReply(1)]


@pytest.mark.parametrize(
    ("language", "text"), [("en", "Wait."), ("ru", "Подождите."), ("ar", "لحظة.")]
)
def test_short_stop_word_in_any_language_stops_the_greeting(language: str, text: str) -> None:
    driver = over_the_greeting()
    assert CancelReply(1) in driver.transcript(text, language, avg_logprob=-0.6)


def test_what_was_judged_is_not_recognised_again_when_nothing_follows() -> None:
    driver = speaking("one two three four five six seven eight", 8000, 1000)
    _, order = driver.say(700)
    assert isinstance(order, Transcribe)
    assert driver.transcript("Mm-hm.") == [ResumeReply(1)]
    assert driver.silence(400) == []


def test_words_over_the_assistant_are_judged_whatever_language_they_are_taken_for() -> None:
    driver = over_the_greeting("ru")
    assert driver.transcript("Угу.", "en") == [ResumeReply(1)]


def test_speech_that_began_after_a_back_channel_was_ordered_is_judged_on_its_own() -> None:
    driver = speaking("one two three four five six seven eight", 12_000, 1000)
    driver.say(300)
    driver.silence(200)
    order = driver.last(Transcribe)
    driver.say(100)
    late = TranscriptReady(order.turn, order.revision, "Mm-hm.", "en")
    assert driver.receive(late) == [ResumeReply(1)]
    pause, again = driver.say(700)
    assert pause == PauseReply(1)
    assert isinstance(again, Transcribe)
    assert CancelReply(1) in driver.transcript("Mm-hm, but I need it on Sunday")


def talk_over(driver: Driver, ms: int) -> list[Command]:
    """The caller speaks while the reply plays."""
    new: list[Command] = []
    for _ in range(ms // 20):
        new += driver.receive(SpeechSent(1, FRAME_SAMPLES))
        new += driver.say(20)
    return new


def test_caller_who_speaks_on_after_a_back_channel_interrupts_without_a_pause() -> None:
    driver = speaking("one two three four five six seven eight", 20_000, 1000)
    driver.say(760)
    assert driver.transcript("Okay, good.") == [ResumeReply(1)]
    (order,) = talk_over(driver, 700)
    assert isinstance(order, Transcribe)
    assert CancelReply(1) in driver.transcript("Okay, good, but I need it on Sunday")
    assert driver.conversation.phase is Phase.USER_SPEAKING


def test_speech_that_goes_on_is_judged_again_and_again_but_once_at_a_time() -> None:
    driver = speaking("one two three four five six seven eight", 20_000, 1000)
    driver.say(760)
    driver.transcript("Okay.")
    assert len(talk_over(driver, 3000)) == 1, "the verdict is late"
    for words in ("Okay, okay.", "Okay, okay, yes."):
        assert driver.transcript(words) == []
        assert len(talk_over(driver, 700)) == 1


@pytest.mark.parametrize("text", ["", "two three", "Okay."])
def test_sound_that_goes_on_without_another_word_is_judged_less_and_less_often(text: str) -> None:
    driver = speaking("one two three four five six seven eight", 4000, 1600)
    began = driver.now
    driver.say(760)
    assert driver.transcript(text) == [ResumeReply(1)]
    orders: list[float] = []
    while driver.now - began < 12:
        for command in driver.say(20):
            assert isinstance(command, Transcribe)
            orders.append(round(driver.now - began, 2))
            assert driver.transcript(text) == []
    assert orders == [1.4, 2.8, 5.6, 11.2]


@pytest.fixture
def echo_to_the_end() -> Driver:
    """A call in which our own words came back until after the end of the reply that said them."""
    driver = speaking("one two three four five six seven eight", 4000, 1200)
    driver.say(760)
    assert driver.transcript("one two") == [ResumeReply(1)]
    while driver.conversation.phase is Phase.SPEAKING:
        for command in talk_over(driver, 20):
            if isinstance(command, Transcribe):
                driver.transcript("one two three")
    assert driver.conversation.phase is Phase.USER_SPEAKING
    driver.say(100)
    driver.silence(200)
    return driver


def test_own_words_that_came_back_until_the_end_of_the_reply_are_not_answered(
    echo_to_the_end: Driver,
) -> None:
    driver = echo_to_the_end
    assert driver.transcript("one two three four five six seven eight") == []
    assert driver.conversation.phase is Phase.LISTENING


def test_own_words_that_came_back_are_not_answered_though_their_end_cannot_be_recognised(
    echo_to_the_end: Driver,
) -> None:
    driver = echo_to_the_end
    for _ in range(2):
        order = driver.last(Transcribe)
        driver.receive(TranscriptFailed(order.turn, order.revision, "boom"))
    assert driver.last(StartReply).source == Script("Sorry.")


def test_caller_who_speaks_over_the_end_of_an_echo_is_answered(echo_to_the_end: Driver) -> None:
    driver = echo_to_the_end
    driver.transcript("seven eight I need it on Sunday")
    assert driver.last(StartReply).turn == 2
    driver.silence(300)
    assert driver.conversation.phase is Phase.THINKING


def test_typed_words_are_answered_though_our_own_come_back_with_them() -> None:
    driver = speaking("one two three four five six seven eight", 4000, 1200)
    driver.say(760)
    driver.transcript("one two")
    driver.receive(TextReceived("And on Sunday?"))
    driver.say(100)
    driver.silence(200)
    driver.transcript("one two")
    assert driver.conversation.phase is Phase.THINKING
    assert driver.last(StartReply).turn == 0


def test_caller_picks_an_offer_that_was_made_a_while_ago() -> None:
    driver = speaking(SLOTS, 8000, 5000)
    driver.say(700)
    driver.silence(200)
    assert CancelReply(1) in driver.transcript("Tuesday at ten.")


WORD_MS = 350
OFFERS = [
    ("en", "We have teeth cleaning, filling and teeth whitening. Which one would you like?", 8),
    ("ru", "У нас есть чистка зубов, пломба и отбеливание зубов. Какая услуга вам подходит?", 9),
    ("ar", "لدينا في العيادة تنظيف وحشوة وكذلك تبييض الأسنان. أي خدمة تفضل اليوم؟", 8),
]
"""Replies, and how many of their words have been played when the last offer has."""


def over_the_reply(text: str, language: str, starts_ms: int) -> Driver:
    """The caller's line brings speech from then on, and the reply plays on until it is paused."""
    driver = speaking(text, WORD_MS * len(text.split()), starts_ms, language)
    while PauseReply(1) not in driver.commands:
        driver.receive(SpeechSent(1, FRAME_SAMPLES))
        driver.say(20)
    return driver


@pytest.mark.parametrize("after_ms", [320, 400, 800, 1200])
@pytest.mark.parametrize(("language", "text", "offered"), OFFERS)
def test_caller_picks_an_offer_that_was_just_made(
    language: str, text: str, offered: int, after_ms: int
) -> None:
    driver = over_the_reply(text, language, offered * WORD_MS + after_ms)
    driver.say(2 * WORD_MS)
    driver.silence(200)
    pick = " ".join(text.split()[offered - 2 : offered])
    assert CancelReply(1) in driver.transcript(pick, language)


@pytest.mark.parametrize("delay_ms", [560, 620, 700, 800, 860])
@pytest.mark.parametrize(("language", "text", "offered"), OFFERS)
def test_own_words_that_come_back_until_we_fall_silent_do_not_interrupt(
    language: str, text: str, offered: int, delay_ms: int
) -> None:
    first = offered - 2
    driver = over_the_reply(text, language, first * WORD_MS + delay_ms)
    driver.say(delay_ms)  # what was on its way when the reply was paused
    driver.silence(200)
    echo = " ".join(text.split()[first : first + 2])  # the third word was cut off
    assert driver.transcript(echo, language) == [ResumeReply(1)]


def test_offer_is_picked_over_an_echo_that_began_before_it_was_made() -> None:
    text, offered = OFFERS[0][1], OFFERS[0][2]
    driver = speaking(text, 120 * len(text.split()), 0)
    come_back(driver, 480 + 120 * offered)
    heard(driver, noise(7, 300))
    driver.silence(200)
    assert CancelReply(1) in driver.transcript("teeth whitening")


@pytest.mark.parametrize("echo_ms", [500, 1000, 2500])
def test_grunt_over_an_echo_is_judged_by_its_own_length_and_words(echo_ms: int) -> None:
    driver = speaking("one two three four five six seven eight", 8000, 0)
    come_back(driver, 200 + echo_ms)
    ordered = len(driver.commands)
    heard(driver, noise(7, 300))
    driver.silence(200)
    pause, order = driver.commands[ordered:]
    assert pause == PauseReply(1)
    assert isinstance(order, Transcribe)
    assert len(order.samples) <= (400 + 400 + 200) * 16, "the echo before it is not recognised"
    assert driver.transcript("Emma Kitem.", avg_logprob=-0.6) == [ResumeReply(1)]


def test_words_of_the_caller_are_recognised_although_an_echo_follows_them() -> None:
    driver = speaking("one two three four five six seven eight", 8000, 0)
    come_back(driver, 1000)
    heard(driver, noise(7, 500))
    heard(driver, noise(1, 1000)[-500 * 16 :])
    driver.silence(200)
    samples = driver.last(Transcribe).samples
    assert noise(7, 500).tobytes() in samples.tobytes()


def test_caller_who_speaks_on_over_an_echo_is_judged_and_given_way_as_without_it() -> None:
    driver = speaking("one two three four five six seven eight", 8000, 0)
    come_back(driver, 2500)
    ordered = len(driver.commands)
    heard(driver, noise(7, 580))
    assert driver.commands[ordered:] == [PauseReply(1)]
    heard(driver, noise(8, 220))
    assert isinstance(driver.commands[-1], Transcribe)
    heard(driver, noise(9, 800))
    assert CancelReply(1) not in driver.commands
    heard(driver, noise(10, 300))
    assert CancelReply(1) in driver.commands


def noise(seed: int, ms: int) -> Samples:
    return np.random.default_rng(seed).normal(0, 3000, ms * 16).astype(np.int16)


def come_back(driver: Driver, ms: int) -> None:
    """The reply plays as noise (seed 1), and the line returns it after 200 ms."""
    ours = noise(1, ms).reshape(-1, FRAME_SAMPLES)
    for n, frame in enumerate(ours):
        driver.receive(SpeechSent(1, FRAME_SAMPLES, frame))
        driver.wait(20)
        driver.receive(AudioReceived(ours[n - 10] if n >= 10 else 0 * frame))
    assert driver.conversation.phase is Phase.SPEAKING


def heard(driver: Driver, samples: Samples) -> None:
    """The caller's line brings this, in real time."""
    for frame in samples.reshape(-1, FRAME_SAMPLES):
        driver.wait(20)
        driver.receive(AudioReceived(frame))


@pytest.fixture
def after_a_reply() -> Driver:
    """A call in which a reply of 1.5 s of noise (seed 1) has just played to its end."""
    driver = Driver()
    driver.start()
    driver.turn()
    driver.receive(SpeechQueued(1, spread("Your name?", 24_000), 24_000))
    driver.receive(ReplyEnded(1))
    driver.receive(PlayoutStarted(1))
    for frame in noise(1, 1500).reshape(-1, FRAME_SAMPLES):
        driver.receive(SpeechSent(1, FRAME_SAMPLES, frame))
        driver.silence(20)
    assert driver.conversation.phase is Phase.LISTENING
    return driver


@pytest.mark.parametrize("ms", [200, 600, 900])
def test_late_echo_of_the_end_of_a_reply_is_no_turn(after_a_reply: Driver, ms: int) -> None:
    driver = after_a_reply
    ordered = len(driver.commands)
    heard(driver, noise(1, 1500)[-ms * 16 :])
    driver.silence(200)
    assert driver.commands[ordered:] == []
    assert driver.conversation.phase is Phase.LISTENING


def test_click_before_a_late_echo_is_no_caller(after_a_reply: Driver) -> None:
    driver = after_a_reply
    heard(driver, noise(7, 40))
    heard(driver, noise(1, 1500)[-300 * 16 :])
    assert driver.silence(200) == []
    assert driver.conversation.phase is Phase.LISTENING


def test_caller_who_speaks_before_a_late_echo_is_recognised(after_a_reply: Driver) -> None:
    driver = after_a_reply
    heard(driver, noise(7, 240))
    heard(driver, noise(1, 1500)[-400 * 16 :])
    (order,) = driver.silence(200)
    assert isinstance(order, Transcribe)


def test_late_echo_does_not_throw_away_words_that_are_known(after_a_reply: Driver) -> None:
    driver = after_a_reply
    heard(driver, noise(7, 200))
    driver.silence(200)
    driver.transcript("Anna.")
    heard(driver, noise(1, 1500)[-200 * 16 :])
    (order,) = driver.silence(200)
    assert isinstance(order, Transcribe)
    driver.transcript("Anna.")
    assert driver.last(StartReply).turn == 2
