"""The idle caller, the endless call and the slow reply, in virtual time."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.conversation.commands import (
    Acknowledge,
    CancelReply,
    CommitTurn,
    HangUp,
    NotifyTranscript,
    ResumeReply,
    Script,
    StartReply,
)
from gateway.conversation.events import PlayoutStarted, ReplyEnded, SpeechQueued, SpeechSent
from gateway.conversation.phase import Phase
from gateway.conversation.policy import PatiencePolicy, Phrases, Policy
from gateway.events import TextReceived
from tests.conversation.driver import NO_GREETING, Driver

PHRASES = Phrases(
    apology="Sorry.",
    still_there="Are you there?",
    goodbye="Goodbye.",
    acknowledgement="One moment.",
    ending_soon="Soon over.",
)


def policy(**patience: int) -> Policy:
    return dataclasses.replace(
        NO_GREETING, phrases={"en": PHRASES}, patience=PatiencePolicy(**patience)
    )


def scripts(driver: Driver) -> list[str]:
    """What the assistant said of its own accord, in order."""
    starts = [c for c in driver.commands if isinstance(c, StartReply)]
    return [c.source.text for c in starts if isinstance(c.source, Script)]


def say_it(driver: Driver, text: str) -> None:
    driver.speak(text, 400)
    driver.play(400)


def test_silent_caller_is_asked_twice_then_left_with_a_goodbye() -> None:
    driver = Driver(policy(idle_ms=5000, idle_prompts=2))
    driver.start()
    driver.silence(5020)
    assert scripts(driver) == ["Are you there?"]
    say_it(driver, "Are you there?")
    driver.silence(5020)
    say_it(driver, "Are you there?")
    driver.silence(5020)
    assert scripts(driver) == ["Are you there?", "Are you there?", "Goodbye."]
    say_it(driver, "Goodbye.")
    assert driver.commands[-1] == HangUp("idle")
    assert driver.conversation.phase is Phase.ENDED


def test_caller_who_answers_is_not_counted_as_silent_any_more() -> None:
    driver = Driver(policy(idle_ms=5000, idle_prompts=1))
    driver.start()
    driver.silence(5020)
    say_it(driver, "Are you there?")
    driver.turn("Yes, I am here.")
    driver.speak("Good.", 400)
    driver.play(400)
    driver.silence(5020)
    assert scripts(driver)[-1] == "Are you there?"


def test_noise_does_not_put_off_the_question() -> None:
    driver = Driver(policy(idle_ms=3000))
    driver.start()
    driver.silence(2000)
    driver.say(400)
    driver.silence(200)
    driver.transcript("")
    driver.silence(700)
    assert scripts(driver) == ["Are you there?"]


def test_silence_is_counted_from_the_end_of_what_the_assistant_said() -> None:
    driver = Driver(policy(idle_ms=5000))
    driver.start()
    driver.turn()
    driver.speak("We are open from nine in the morning to six in the evening.", 4000)
    driver.play(4000)
    driver.silence(4900)
    assert scripts(driver) == []
    driver.silence(120)
    assert scripts(driver) == ["Are you there?"]


def test_muted_client_that_sends_nothing_is_asked_too() -> None:
    driver = Driver(policy(idle_ms=5000))
    driver.start()
    driver.wait(5020)
    assert scripts(driver) == ["Are you there?"]


@pytest.fixture
def idle_goodbye() -> Driver:
    """A call in which the goodbye to a silent caller has begun to be heard."""
    driver = Driver(policy(idle_ms=5000, idle_prompts=0))
    driver.start()
    driver.silence(5020)
    driver.speak("I cannot hear you. Goodbye.", 2000)
    driver.play(1200)
    return driver


def test_caller_who_speaks_over_the_goodbye_stays_in_the_call(idle_goodbye: Driver) -> None:
    idle_goodbye.say(500)
    idle_goodbye.silence(200)
    idle_goodbye.transcript("Wait, I am here.")
    assert not [c for c in idle_goodbye.commands if isinstance(c, HangUp)]
    assert idle_goodbye.conversation.phase is Phase.ENDPOINTING


@pytest.mark.parametrize("text", ["Yes.", "Yes, yes.", "Mm-hm.", "Emma Kitem."])
def test_any_word_over_the_idle_goodbye_proves_that_the_caller_is_there(
    idle_goodbye: Driver, text: str
) -> None:
    driver = idle_goodbye
    driver.say(400)
    driver.silence(200)
    assert CancelReply(1) in driver.transcript(text, avg_logprob=-0.6)
    driver.silence(300)
    assert driver.last(StartReply).turn == 1
    assert driver.conversation.phase is Phase.THINKING


@pytest.mark.parametrize("text", ["", "I cannot hear"])
def test_noise_or_an_echo_over_the_idle_goodbye_keeps_nobody_in_the_call(
    idle_goodbye: Driver, text: str
) -> None:
    driver = idle_goodbye
    driver.say(400)
    driver.silence(200)
    assert driver.transcript(text) == [ResumeReply(1)]
    assert driver.play(800, first=False)[-1] == HangUp("idle")


def test_click_over_the_idle_goodbye_keeps_nobody_in_the_call(idle_goodbye: Driver) -> None:
    driver = idle_goodbye
    driver.say(60)
    driver.silence(200)
    assert driver.play(800, first=False)[-1] == HangUp("idle")


def test_noise_that_was_judged_and_outlasts_the_idle_goodbye_keeps_nobody_in_the_call(
    idle_goodbye: Driver,
) -> None:
    driver = idle_goodbye
    driver.play(600, first=False)
    driver.say(760)
    assert driver.transcript("") == [ResumeReply(1)]
    for _ in range(10):
        driver.receive(SpeechSent(1, 320))
        driver.say(20)
    assert driver.commands[-1] == HangUp("idle")


def test_caller_whose_words_are_awaited_when_the_idle_goodbye_ends_stays(
    idle_goodbye: Driver,
) -> None:
    driver = idle_goodbye
    driver.say(760)
    assert driver.transcript("") == [ResumeReply(1)]
    driver.say(300)
    driver.silence(200)
    assert not [c for c in driver.play(800, first=False) if isinstance(c, HangUp)]
    driver.transcript("Yes.")
    assert driver.last(StartReply).turn == 1


def test_caller_who_begins_to_speak_at_the_end_of_the_goodbye_stays_in_the_call() -> None:
    driver = Driver(policy(idle_ms=5000, idle_prompts=0))
    driver.start()
    driver.silence(5020)
    driver.speak("Goodbye.", 1000)
    driver.play(900)
    driver.receive(SpeechSent(driver.last(StartReply).generation, 1600))
    driver.say(600)
    driver.silence(200)
    driver.transcript("Wait, I am here.")
    assert not [c for c in driver.commands if isinstance(c, HangUp)]
    assert driver.conversation.phase is Phase.ENDPOINTING


def test_longest_call_is_announced_and_then_ended_even_in_mid_reply() -> None:
    driver = Driver(policy(idle_ms=0, max_call_ms=10_000, warning_ms=4000))
    driver.start()
    driver.silence(6020)
    assert scripts(driver) == ["Soon over."]
    say_it(driver, "Soon over.")
    driver.turn()
    driver.speak("A very long reply.", 10_000)
    driver.play(4000)
    assert scripts(driver)[-1] == "Goodbye."
    assert [c for c in driver.commands if isinstance(c, CancelReply)]
    say_it(driver, "Goodbye.")
    assert driver.commands[-1] == HangUp("max_duration")


def test_last_words_before_the_longest_call_ends_are_told() -> None:
    driver = Driver(policy(max_call_ms=3000, warning_ms=0))
    driver.start()
    driver.silence(1900)
    driver.say(800)
    driver.silence(200)
    driver.transcript("Cancel my appointment, please.")
    assert driver.silence(200) == [
        CommitTurn(1, "Cancel my appointment, please.", "en"),
        NotifyTranscript("caller", "Cancel my appointment, please.", 1),
        CancelReply(1),
        StartReply(2, 0, 0, "en", Script("Goodbye."), hold=False),
    ]


def test_last_words_that_nobody_could_recognise_in_time_are_not_told() -> None:
    driver = Driver(policy(max_call_ms=3000, warning_ms=0))
    driver.start()
    driver.silence(1900)
    driver.say(800)
    driver.silence(200)
    assert driver.silence(200) == [StartReply(1, 0, 0, "en", Script("Goodbye."), hold=False)]
    assert driver.transcript("Cancel my appointment, please.") == []


@pytest.mark.parametrize("said_ms", [0, 400])
def test_last_goodbye_ends_the_call_whatever_is_said_over_it(said_ms: int) -> None:
    """Before the first word of it, or in the middle."""
    driver = Driver(policy(idle_ms=0, max_call_ms=10_000, warning_ms=0))
    driver.start()
    driver.silence(10_020)
    driver.speak("Goodbye.", 2000)
    if said_ms:
        driver.play(said_ms)
    assert driver.say(600) == []
    assert driver.receive(TextReceived("I am talking.")) == []
    assert driver.silence(200) == []
    assert driver.play(2000 - said_ms, first=not said_ms) == [
        NotifyTranscript("assistant", "Goodbye.", 0, 1),
        HangUp("max_duration"),
    ]


def test_noise_puts_the_idle_goodbye_off_and_no_more() -> None:
    driver = Driver(policy(idle_ms=5000, idle_prompts=0))
    driver.start()
    driver.silence(5020)
    driver.say(300)
    driver.silence(200)
    driver.transcript("")
    assert scripts(driver) == ["Goodbye.", "Goodbye."]
    say_it(driver, "Goodbye.")
    assert driver.commands[-1] == HangUp("idle")


def test_cough_over_the_end_of_a_reply_does_not_end_the_wait_for_the_caller() -> None:
    driver = Driver(policy(idle_ms=5000, idle_prompts=1))
    driver.start()
    driver.turn()
    driver.speak("At nine.", 400)
    driver.play(300)
    driver.receive(SpeechSent(driver.last(StartReply).generation, 1600))
    driver.say(300)
    driver.silence(200)
    assert driver.conversation.phase is Phase.ENDPOINTING
    driver.transcript("")
    driver.silence(4000)
    assert scripts(driver) == []
    driver.silence(1000)
    assert scripts(driver) == ["Are you there?"]


def test_words_that_turn_out_to_be_noise_do_not_end_the_wait_for_the_caller() -> None:
    driver = Driver(policy(idle_ms=5000))
    driver.start()
    driver.say(300)
    driver.silence(200)
    driver.transcript("Uh.", avg_logprob=-0.9)
    driver.say(300)
    driver.silence(200)
    driver.transcript("")
    driver.silence(5000)
    assert scripts(driver) == ["Are you there?"]


def test_call_that_ended_with_a_goodbye_does_not_come_back_to_life_at_its_longest() -> None:
    driver = Driver(policy(idle_ms=1000, idle_prompts=0, max_call_ms=5000, warning_ms=0))
    driver.start()
    driver.wait(1200)
    driver.speak("Goodbye.", 2000)
    generation = driver.last(StartReply).generation
    driver.receive(PlayoutStarted(generation))
    driver.receive(SpeechSent(generation, 32_000))
    driver.now = 5.2  # the timer comes late: the goodbye and the longest call have both passed
    driver.conversation.handle_timer(driver.now)
    assert driver.conversation.commands() == [
        NotifyTranscript("assistant", "Goodbye.", 0, 1),
        HangUp("idle"),
    ]
    driver.conversation.handle_timer(6.0)
    assert driver.conversation.commands() == []
    assert driver.conversation.phase is Phase.ENDED


@pytest.mark.parametrize("max_call_ms", [20_000, 30_000, 40_000])
def test_call_too_short_for_the_usual_warning_is_announced_halfway(max_call_ms: int) -> None:
    driver = Driver(policy(idle_ms=0, max_call_ms=max_call_ms, warning_ms=30_000))
    driver.start()
    driver.silence(max_call_ms // 2 - 40)
    assert scripts(driver) == []
    driver.silence(60)
    assert scripts(driver) == ["Soon over."]


def test_warning_waits_until_nobody_speaks() -> None:
    driver = Driver(policy(idle_ms=0, max_call_ms=10_000, warning_ms=5000))
    driver.start()
    driver.say(6000)
    assert scripts(driver) == []
    driver.silence(200)
    driver.transcript("")
    driver.silence(40)
    assert scripts(driver) == ["Soon over."]


def test_late_reply_is_acknowledged_once_and_not_in_the_history() -> None:
    driver = Driver(policy(acknowledge_ms=1000))
    driver.start()
    driver.turn()
    new = driver.silence(3000)
    assert new == [Acknowledge(1, "One moment.", "en")]
    driver.speak("At nine.", 400)
    driver.play(400)
    assert NotifyTranscript("assistant", "At nine.", 1, 1) in driver.commands


def test_reply_in_time_is_not_acknowledged() -> None:
    driver = Driver(policy(acknowledge_ms=1000))
    driver.start()
    driver.turn()
    driver.speak("At nine.", 2000)
    driver.play(2000)
    assert not [c for c in driver.commands if isinstance(c, Acknowledge)]


def test_reply_without_words_after_an_acknowledgement_is_apologised_for() -> None:
    driver = Driver(policy(acknowledge_ms=1000))
    driver.start()
    driver.turn()
    driver.silence(1500)
    driver.receive(SpeechQueued(1, (), 6400))
    driver.play(400)
    assert driver.receive(ReplyEnded(1))[1:] == [
        CancelReply(1),
        StartReply(2, 0, 0, "en", Script("Sorry."), hold=False),
    ]


def test_goodbye_without_words_hangs_up_at_once() -> None:
    quiet = dataclasses.replace(
        policy(idle_ms=5000, idle_prompts=0), phrases={"en": Phrases(apology="Sorry.")}
    )
    driver = Driver(quiet)
    driver.start()
    assert driver.silence(5020) == [HangUp("idle")]
