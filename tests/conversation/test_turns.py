from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gateway.conversation.commands import (
    CancelReply,
    Command,
    CommitTurn,
    NotifyError,
    NotifyTranscript,
    PauseReply,
    Prompt,
    ReleaseReply,
    ResumeReply,
    Script,
    StartReply,
    Transcribe,
    Utterance,
)
from gateway.conversation.events import (
    CoreEvent,
    PlayoutStarted,
    ReplyEnded,
    ReplyFailed,
    SpeechQueued,
    SpeechSent,
    TranscriptFailed,
    TranscriptReady,
)
from gateway.conversation.phase import Phase
from gateway.conversation.policy import PatiencePolicy, SpeechPolicy
from gateway.events import (
    AudioReceived,
    CallEnded,
    OptionsChanged,
    ReplyRequested,
    TextReceived,
)
from tests.conversation.driver import GREETING, NO_GREETING, Driver

QUESTION = "What time do you open?"


def prompt(*lines: str) -> Prompt:
    """Caller and assistant in turn, the caller last."""
    speakers = ["caller", "assistant"] if len(lines) % 2 else ["assistant", "caller"]
    return Prompt(
        tuple(
            Utterance("caller" if speakers[i % 2] == "caller" else "assistant", line)
            for i, line in enumerate(lines)
        )
    )


INTERRUPTED_PROMPT = Prompt(
    (
        Utterance("caller", QUESTION),
        Utterance("assistant", "one two three four", interrupted=True),
        Utterance("caller", "Stop."),
    )
)


def speaking(driver: Driver, ms: int = 2000) -> Driver:
    """A call in which a reply of eight words has been queued and begins to play."""
    driver.start()
    driver.turn(QUESTION)
    driver.speak("one two three four five six seven eight", ms)
    driver.play(ms // 2)
    assert driver.conversation.phase is Phase.SPEAKING
    return driver


def test_call_starts_with_the_greeting_in_the_pinned_language() -> None:
    assert Driver(GREETING).start("ru") == [StartReply(1, 0, 0, "ru", Script("Алло."), hold=False)]


def test_call_without_a_hint_is_greeted_in_the_default_language() -> None:
    assert Driver(GREETING).start() == [StartReply(1, 0, 0, "en", Script("Hello."), hold=False)]


def test_greeting_is_heard_noted_and_hands_over_to_the_caller() -> None:
    driver = Driver(GREETING)
    driver.start()
    driver.speak("Hello.", 400)
    assert driver.play(400) == [NotifyTranscript("assistant", "Hello.", 0, 1)]
    assert driver.conversation.phase is Phase.LISTENING


def test_turn_is_recognised_at_the_pause_answered_ahead_and_released_at_its_end() -> None:
    driver = Driver()
    driver.start()
    assert driver.say(800) == []
    (transcribe,) = driver.silence(200)
    assert isinstance(transcribe, Transcribe)
    assert (transcribe.turn, transcribe.revision, transcribe.language) == (1, 1, None)
    assert driver.transcript(QUESTION) == [StartReply(1, 1, 1, "en", prompt(QUESTION), hold=True)]
    assert driver.silence(240) == []
    assert driver.silence(20) == [CommitTurn(1, QUESTION, "en"), ReleaseReply(1)]
    assert driver.conversation.phase is Phase.THINKING


def test_recognised_audio_holds_pre_roll_speech_and_pause() -> None:
    driver = Driver()
    driver.start()
    driver.silence(1000)
    driver.say(800)
    driver.silence(200)
    samples = driver.last(Transcribe).samples
    voiced = np.flatnonzero(samples) / 16
    assert 200 <= voiced[0] <= 400
    assert round(voiced[-1] - voiced[0]) == 800
    assert driver.last(Transcribe).speech_ended_at == pytest.approx(driver.now - 0.2)


def test_late_transcript_commits_and_releases_at_once() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(900)
    assert driver.transcript(QUESTION) == [
        StartReply(1, 1, 1, "en", prompt(QUESTION), hold=True),
        CommitTurn(1, QUESTION, "en"),
        ReleaseReply(1),
    ]


def test_pause_inside_a_turn_cancels_the_speculative_reply_and_keeps_one_turn() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(300)
    driver.transcript("What time")
    assert driver.say(100) == [CancelReply(1)]
    driver.say(600)
    (again,) = driver.silence(200)
    assert isinstance(again, Transcribe)
    assert (again.turn, again.revision) == (1, 2)
    assert np.count_nonzero(again.samples) == (800 + 700) * 16
    driver.transcript(QUESTION)
    assert driver.silence(300) == [CommitTurn(1, QUESTION, "en"), ReleaseReply(2)]


def test_words_that_become_known_while_the_caller_speaks_on_are_not_answered_yet() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(300)
    driver.say(100)
    assert driver.transcript("What time") == []
    driver.say(400)
    driver.silence(200)
    assert driver.transcript(QUESTION) == [StartReply(1, 1, 2, "en", prompt(QUESTION), hold=True)]


def test_caller_who_goes_on_before_the_reply_is_heard_reopens_the_committed_turn() -> None:
    driver = Driver()
    driver.start()
    driver.turn("What time")
    assert driver.say(60) == [CancelReply(1)]
    driver.say(500)
    driver.silence(200)
    assert driver.transcript(QUESTION) == [StartReply(2, 1, 2, "en", prompt(QUESTION), hold=True)]
    assert driver.silence(300) == [], "a caller who was cut off is given more time"
    assert driver.silence(200) == [CommitTurn(1, QUESTION, "en"), ReleaseReply(2)]


def test_caller_transcript_is_told_once_when_the_reply_is_first_heard() -> None:
    driver = Driver()
    driver.start()
    assert not [c for c in driver.turn(QUESTION) if isinstance(c, NotifyTranscript)]
    driver.speak("At nine.", 400)
    assert driver.play(400) == [
        NotifyTranscript("caller", QUESTION, 1),
        NotifyTranscript("assistant", "At nine.", 1, 1),
    ]


@pytest.mark.parametrize("text", ["", "...", " ♪ "])
def test_noise_without_words_ends_in_listening_with_no_reply(text: str) -> None:
    driver = Driver()
    driver.start()
    driver.say(400)
    driver.silence(200)
    assert driver.transcript(text) == []
    assert driver.conversation.phase is Phase.LISTENING
    assert driver.silence(1000) == []


def test_second_turn_sees_what_was_said_and_heard_before() -> None:
    driver = Driver()
    driver.start()
    driver.turn(QUESTION)
    driver.speak("At nine.", 400)
    driver.play(400)
    driver.say(600)
    driver.silence(200)
    assert driver.transcript("And on Sunday?") == [
        StartReply(2, 2, 1, "en", prompt(QUESTION, "At nine.", "And on Sunday?"), hold=True)
    ]


def test_click_does_not_even_pause_the_reply() -> None:
    driver = speaking(Driver())
    assert driver.say(60) + driver.silence(400) == []
    assert driver.conversation.phase is Phase.SPEAKING


@pytest.mark.parametrize("text", ["", "mm-hm", "Yeah, okay."])
def test_cough_or_back_channel_pauses_the_reply_which_then_goes_on(text: str) -> None:
    driver = speaking(Driver())
    pause, transcribe = driver.say(300) + driver.silence(200)
    assert pause == PauseReply(1)
    assert isinstance(transcribe, Transcribe)
    assert driver.transcript(text) == [ResumeReply(1)]
    assert driver.conversation.phase is Phase.SPEAKING


def test_yes_to_a_question_is_an_answer_not_a_back_channel() -> None:
    driver = Driver()
    driver.start()
    driver.turn(QUESTION)
    driver.speak("Would you like to book an appointment now?", 2000)
    driver.play(1000)
    driver.say(300)
    driver.silence(200)
    assert CancelReply(1) in driver.transcript("Yes.")


def test_barge_in_stops_the_reply_and_keeps_only_the_heard_words() -> None:
    driver = speaking(Driver())
    assert driver.say(100) == [PauseReply(1)]
    assert driver.say(500) == []
    driver.silence(200)
    overlapped = driver.last(Transcribe)
    assert overlapped.turn == 2
    assert np.count_nonzero(overlapped.samples) == 600 * 16
    assert driver.transcript("Stop.") == [
        CancelReply(1),
        NotifyTranscript("assistant", "one two three four", 1, 1, interrupted=True),
        StartReply(2, 2, 1, "en", INTERRUPTED_PROMPT, hold=True),
    ]
    assert driver.silence(280) == [CommitTurn(2, "Stop.", "en"), ReleaseReply(2)]


def test_long_interruption_is_judged_while_it_goes_on() -> None:
    driver = speaking(Driver())
    pause, transcribe = driver.say(800)
    assert pause == PauseReply(1)
    assert isinstance(transcribe, Transcribe)
    assert CancelReply(1) in driver.transcript("I would rather come")
    assert driver.conversation.phase is Phase.USER_SPEAKING
    driver.say(400)
    (again,) = driver.silence(200)
    assert isinstance(again, Transcribe)
    assert again.turn == 2
    assert np.count_nonzero(again.samples) == 1200 * 16


def test_interruption_without_a_verdict_takes_the_floor_in_the_end() -> None:
    driver = speaking(Driver())
    driver.say(1780)
    assert driver.conversation.phase is Phase.INTERRUPTED
    assert CancelReply(1) in driver.say(100)


def test_noise_that_goes_on_after_its_verdict_does_not_pause_again() -> None:
    driver = speaking(Driver())
    driver.say(800)
    assert driver.transcript("") == [ResumeReply(1)]
    assert driver.say(300) == []
    (again,) = driver.silence(200)
    assert isinstance(again, Transcribe)
    assert driver.transcript("") == []
    assert driver.conversation.phase is Phase.SPEAKING


def test_words_after_a_first_verdict_still_interrupt() -> None:
    driver = speaking(Driver())
    driver.say(800)
    driver.transcript("Mm-hm.")
    driver.say(300)
    driver.silence(200)
    assert CancelReply(1) in driver.transcript("Mm-hm, but what about Sunday?")


def test_own_words_that_come_back_do_not_interrupt() -> None:
    driver = speaking(Driver())
    driver.say(500)
    driver.silence(200)
    assert driver.transcript("Two three four.") == [ResumeReply(1)]


def test_interruption_in_another_language_is_answered_in_it() -> None:
    driver = Driver(GREETING)
    driver.start()
    driver.speak("Hello.", 2000)
    driver.play(600)
    driver.say(600)
    driver.silence(200)
    driver.transcript("Здравствуйте, я хочу записаться.", "ru")
    assert driver.last(StartReply).language == "ru"
    assert CommitTurn(1, "Здравствуйте, я хочу записаться.", "ru") in driver.silence(300)


def test_back_channel_does_not_change_the_language() -> None:
    driver = Driver(GREETING)
    driver.start()
    driver.speak("Hello.", 2000)
    driver.play(600)
    driver.say(600)
    driver.silence(200)
    driver.transcript("Угу.", "ru")
    driver.receive(TextReceived(QUESTION))
    assert driver.last(StartReply).language == "en"


def test_cough_that_was_dismissed_is_no_part_of_what_is_said_later() -> None:
    driver = speaking(Driver(), 8000)
    driver.say(300)
    driver.silence(200)
    assert driver.transcript("") == [ResumeReply(1)]
    driver.silence(1000)
    driver.say(400)
    driver.silence(200)
    assert np.count_nonzero(driver.last(Transcribe).samples) == 400 * 16


def test_failed_recognition_of_an_overlap_lets_the_reply_go_on() -> None:
    driver = speaking(Driver())
    driver.say(300)
    driver.silence(200)
    driver.receive(TranscriptFailed(2, 1, "boom"))
    assert driver.receive(TranscriptFailed(2, 2, "boom")) == [
        NotifyError("asr_unavailable", "boom"),
        ResumeReply(1),
    ]


def test_utterance_that_begins_just_before_the_reply_ends_is_not_lost() -> None:
    driver = speaking(Driver())
    driver.play(1000 - 100, first=False)
    generation = driver.last(StartReply).generation
    driver.receive(SpeechSent(generation, 1600))
    done = driver.say(240)
    assert done == [
        PauseReply(1),
        NotifyTranscript("assistant", "one two three four five six seven eight", 1, 1),
    ]
    assert driver.conversation.phase is Phase.USER_SPEAKING
    (transcribe,) = driver.say(300) + driver.silence(200)
    assert isinstance(transcribe, Transcribe)
    assert transcribe.turn == 2
    assert np.count_nonzero(transcribe.samples) == 540 * 16


def test_speech_over_the_greeting_before_it_is_heard_becomes_the_first_turn() -> None:
    driver = Driver(GREETING)
    driver.start()
    assert driver.say(400) == [CancelReply(1)]
    (transcribe,) = driver.silence(200)
    assert isinstance(transcribe, Transcribe)
    assert transcribe.turn == 1


def test_noise_before_the_greeting_is_heard_only_puts_it_off() -> None:
    driver = Driver(GREETING)
    driver.start()
    assert driver.say(100) == [CancelReply(1)]
    driver.silence(200)
    greeting = StartReply(2, 0, 0, "en", Script("Hello."), hold=False)
    assert driver.transcript("") == [greeting]
    driver.speak("Hello.", 400)
    assert driver.play(400) == [NotifyTranscript("assistant", "Hello.", 0, 2)]


def test_caller_who_speaks_before_the_greeting_is_answered_and_not_greeted_any_more() -> None:
    driver = Driver(GREETING)
    driver.start()
    driver.turn(QUESTION)
    driver.speak("At nine.", 400)
    driver.play(400)
    driver.say(400)
    driver.silence(200)
    assert driver.transcript("") == []


@pytest.mark.parametrize("first", ["the noise", "the text"])
def test_typed_turn_is_answered_although_there_is_noise(first: str) -> None:
    driver = Driver()
    driver.start()
    if first == "the text":
        driver.receive(TextReceived(QUESTION))
    driver.say(400)
    if first == "the noise":
        driver.receive(TextReceived(QUESTION))
    driver.silence(200)
    (answer,) = driver.transcript("")
    assert isinstance(answer, StartReply)
    assert (answer.source, answer.hold) == (prompt(QUESTION), False)
    assert driver.conversation.phase is Phase.THINKING


def test_requested_reply_is_given_after_noise_put_it_off() -> None:
    driver = Driver()
    driver.start()
    driver.receive(ReplyRequested())
    driver.say(400)
    driver.silence(200)
    assert driver.transcript("") == [StartReply(2, 0, 0, "en", Prompt(()), hold=False)]


@pytest.mark.parametrize("put_off", ["the greeting", "a requested reply"])
def test_what_noise_put_off_is_given_though_the_noise_was_first_taken_for_a_word(
    put_off: str,
) -> None:
    driver = Driver(GREETING if put_off == "the greeting" else NO_GREETING)
    driver.start()
    if put_off == "a requested reply":
        driver.receive(ReplyRequested())
    source = driver.last(StartReply).source
    driver.say(300)
    driver.silence(200)
    driver.transcript("Uh.", avg_logprob=-0.9)
    driver.say(200)
    driver.silence(200)
    assert driver.transcript("") == [StartReply(3, 0, 0, "en", source, hold=False)]


def test_greeting_that_was_put_off_is_not_given_once_the_caller_was_answered() -> None:
    driver = Driver(GREETING)
    driver.start()
    driver.turn(QUESTION)
    assert driver.receive(ReplyFailed(2, "boom"))[-1] == StartReply(
        3, 0, 0, "en", Script("Sorry."), hold=False
    )
    driver.speak("Sorry.", 400)
    driver.play(400)
    driver.say(200)
    driver.silence(200)
    driver.transcript("")
    assert Script("Hello.") not in [
        c.source for c in driver.commands[2:] if isinstance(c, StartReply)
    ]


def test_committed_words_are_answered_though_noise_after_them_hides_them() -> None:
    driver = Driver()
    driver.start()
    driver.turn(QUESTION)
    assert driver.say(200) == [CancelReply(1)]
    driver.silence(200)
    assert driver.transcript("") == [StartReply(2, 1, 2, "en", prompt(QUESTION), hold=True)]
    assert driver.silence(500) == [CommitTurn(1, QUESTION, "en"), ReleaseReply(2)]
    driver.speak("At nine.", 400)
    assert driver.play(400)[0] == NotifyTranscript("caller", QUESTION, 1)


def test_words_are_answered_though_noise_before_the_end_of_their_turn_hides_them() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(200)
    driver.transcript("Yes, please.")
    driver.silence(100)
    assert driver.say(100) == [CancelReply(1)]
    driver.silence(200)
    answer = StartReply(2, 1, 2, "en", prompt("Yes, please."), hold=True)
    assert driver.transcript("") == [answer]
    assert driver.silence(300) == [CommitTurn(1, "Yes, please.", "en"), ReleaseReply(2)]


def test_words_in_doubt_that_are_not_heard_again_are_taken_back() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(200)
    driver.transcript("Emma Kitem.", avg_logprob=-0.9)
    driver.say(100)
    driver.silence(200)
    assert driver.transcript("") == []
    assert driver.conversation.phase is Phase.LISTENING


def test_back_channel_that_outlasts_the_reply_in_noise_is_not_answered() -> None:
    driver = speaking(Driver())
    driver.say(800)
    driver.transcript("Mm-hm.")
    driver.say(300)
    told = NotifyTranscript("assistant", "one two three four five six seven eight", 1, 1)
    assert driver.play(1000, first=False)[-1] == told
    assert driver.transcript("") == []
    assert driver.conversation.phase is Phase.LISTENING


def test_late_echo_does_not_undo_a_committed_turn() -> None:
    driver = Driver(GREETING)
    driver.start()
    driver.speak("Hello.", 1000)
    driver.receive(PlayoutStarted(1))
    noise = np.random.default_rng(1).normal(0, 3000, 16_000).astype(np.int16)
    for frame in noise.reshape(-1, 320):
        driver.receive(SpeechSent(1, 320, frame))
        driver.silence(20)
    driver.say(80)
    driver.silence(200)
    driver.transcript("Stop.")
    driver.silence(280)
    assert driver.conversation.phase is Phase.THINKING
    for frame in noise[-4800:].reshape(-1, 320):
        driver.wait(20)
        driver.receive(AudioReceived(frame))
    (again,) = driver.silence(200)
    assert isinstance(again, Transcribe)
    assert (again.turn, again.revision) == (1, 2)


def test_results_of_old_generations_and_revisions_change_nothing() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(300)
    driver.transcript("What time")
    driver.say(500)
    driver.silence(200)
    stale: list[CoreEvent] = [
        TranscriptReady(1, 1, "old", "en"),
        TranscriptReady(7, 2, "old", "en"),
        TranscriptFailed(1, 1, "old"),
        SpeechQueued(1, (("old", 100),), 100),
        PlayoutStarted(1),
        SpeechSent(1, 100),
        ReplyEnded(1),
        ReplyFailed(1, "old"),
        PlayoutStarted(99),
    ]
    for event in stale:
        assert driver.receive(event) == []
    assert driver.conversation.phase is Phase.ENDPOINTING
    driver.transcript(QUESTION)
    assert driver.transcript(QUESTION) == [], "a duplicate result"


def test_failed_transcription_is_tried_once_more_then_apologised_for() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(200)
    (again,) = driver.receive(TranscriptFailed(1, 1, "boom"))
    assert isinstance(again, Transcribe)
    assert (again.turn, again.revision) == (1, 2)
    assert driver.receive(TranscriptFailed(1, 2, "boom")) == [
        NotifyError("asr_unavailable", "boom"),
        StartReply(1, 0, 0, "en", Script("Sorry."), hold=False),
    ]


def test_hung_transcription_is_apologised_for_without_another_try() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(200)
    assert driver.receive(TranscriptFailed(1, 1, "hung", may_retry=False)) == [
        NotifyError("asr_unavailable", "hung"),
        StartReply(1, 0, 0, "en", Script("Sorry."), hold=False),
    ]


def test_failed_reply_is_apologised_for_in_the_callers_language() -> None:
    driver = Driver(GREETING)
    driver.start("ru")
    driver.speak("Алло.", 100)
    driver.play(100)
    driver.turn("Когда вы открыты?")
    assert driver.receive(ReplyFailed(2, "boom")) == [
        NotifyError("llm_unavailable", "boom"),
        NotifyTranscript("caller", "Когда вы открыты?", 1),
        CancelReply(2),
        StartReply(3, 0, 0, "ru", Script("Увы."), hold=False),
    ]


def test_committed_words_are_answered_though_recognition_fails_on_what_follows() -> None:
    driver = Driver()
    driver.start()
    driver.turn(QUESTION)
    driver.say(100)
    driver.silence(200)
    for _ in range(2):
        order = driver.last(Transcribe)
        driver.receive(TranscriptFailed(order.turn, order.revision, "boom"))
    source = driver.last(StartReply).source
    assert isinstance(source, Prompt)
    assert [said.text for said in source.utterances] == [QUESTION]


def fail(driver: Driver) -> list[Command]:
    """The newest Transcribe fails."""
    order = driver.last(Transcribe)
    return driver.receive(TranscriptFailed(order.turn, order.revision, "boom"))


def test_recognition_of_a_turn_that_goes_on_is_tried_again_although_it_was_before() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(200)
    fail(driver)
    driver.transcript("I would like to book")
    driver.say(600)
    driver.silence(200)
    (again,) = fail(driver)
    assert isinstance(again, Transcribe)
    assert np.count_nonzero(again.samples) == 1400 * 16


def test_words_known_before_recognition_failed_on_what_follows_are_answered() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(200)
    driver.transcript(QUESTION)
    driver.say(100)
    driver.silence(200)
    fail(driver)
    fail(driver)
    assert driver.last(StartReply).source == prompt(QUESTION)


def test_no_apology_while_another_part_of_a_monologue_is_still_being_recognised() -> None:
    driver = Driver(dataclasses.replace(NO_GREETING, speech=SpeechPolicy(max_part_ms=2000)))
    driver.start()
    driver.say(3000)
    driver.silence(200)
    fail(driver)
    assert fail(driver) == [NotifyError("asr_unavailable", "boom")]
    assert driver.conversation.phase is Phase.ENDPOINTING
    driver.receive(TranscriptReady(1, 1, QUESTION, "en"))
    assert driver.last(StartReply).source == prompt(QUESTION)


def test_apology_for_a_monologue_of_which_no_part_could_be_recognised() -> None:
    driver = Driver(dataclasses.replace(NO_GREETING, speech=SpeechPolicy(max_part_ms=2000)))
    driver.start()
    driver.say(3000)
    driver.silence(200)
    fail(driver)
    fail(driver)
    driver.receive(TranscriptFailed(1, 1, "boom"))
    assert driver.conversation.phase is Phase.ENDPOINTING
    fail(driver)
    assert driver.last(StartReply).source == Script("Sorry.")


def test_interruption_is_not_lost_when_a_short_sound_comes_before_its_words() -> None:
    driver = Driver()
    driver.start()
    driver.turn(QUESTION)
    driver.speak(" ".join(f"word{n}" for n in range(40)), 20_000)
    driver.play(1000)
    driver.say(800)
    driver.transcript("Mm-hm.")
    driver.say(900)
    driver.silence(200)
    order = driver.last(Transcribe)
    driver.say(60)
    driver.silence(220)
    late = TranscriptReady(order.turn, order.revision, "Mm-hm, no wait, I need tomorrow.", "en")
    assert any(isinstance(command, CancelReply) for command in driver.receive(late))


def test_failed_apology_is_not_apologised_for() -> None:
    driver = Driver()
    driver.start()
    driver.turn()
    driver.receive(ReplyFailed(1, "boom"))
    assert driver.receive(ReplyFailed(2, "boom")) == [
        NotifyError("llm_unavailable", "boom"),
        CancelReply(2),
    ]
    assert driver.conversation.phase is Phase.LISTENING


def test_reply_without_speech_counts_as_failed() -> None:
    driver = Driver()
    driver.start()
    driver.turn()
    driver.receive(ReplyEnded(1))
    assert driver.last(StartReply).source == Script("Sorry.")


def test_failed_speculation_is_started_again_when_the_turn_is_over() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(200)
    driver.transcript(QUESTION)
    assert driver.receive(ReplyFailed(1, "busy")) == []
    assert driver.silence(300) == [
        StartReply(2, 1, 1, "en", prompt(QUESTION), hold=True),
        CommitTurn(1, QUESTION, "en"),
        ReleaseReply(2),
    ]


def test_guess_that_gave_way_as_its_turn_ended_is_asked_for_again_although_it_had_begun() -> None:
    driver = Driver()
    driver.start()
    driver.turn(QUESTION)
    driver.receive(SpeechQueued(1, (("Well,", 3200),), 3200))
    assert driver.receive(ReplyFailed(1, "busy", gave_way=True)) == [
        StartReply(2, 1, 1, "en", prompt(QUESTION), hold=True),
        CommitTurn(1, QUESTION, "en"),
        ReleaseReply(2),
    ]
    driver.speak("From nine.", 1000)
    driver.play(1000)
    told = [c.text for c in driver.commands if isinstance(c, NotifyTranscript)]
    assert told == [QUESTION, "From nine."]


def test_reply_that_fails_in_mid_sentence_keeps_what_was_heard() -> None:
    driver = speaking(Driver())
    failed = driver.receive(ReplyFailed(1, "boom"))
    assert NotifyTranscript("assistant", "one two three four", 1, 1, interrupted=True) in failed
    assert driver.last(StartReply).source == Script("Sorry.")


@pytest.mark.parametrize(
    "text",
    ["055 123 4567.", "zero five five one two three", "john.smith@gmail.com", "OK, OK, OK, OK."],
)
def test_number_or_address_in_another_language_does_not_change_the_calls(text: str) -> None:
    driver = Driver()
    driver.start()
    driver.turn("Я хотел бы записаться на понедельник.", "ru")
    driver.speak("Ваш номер?", 800)
    driver.play(800)
    driver.turn(text, "en")
    assert driver.last(StartReply).language == "ru"


def test_language_of_the_caller_is_followed_unless_pinned() -> None:
    driver = Driver(GREETING)
    driver.start()
    driver.say(800)
    driver.silence(200)
    driver.transcript("Здравствуйте", "ru")
    assert driver.last(StartReply).language == "ru"
    pinned = Driver(GREETING)
    pinned.start("en")
    pinned.say(800)
    pinned.silence(200)
    assert pinned.last(Transcribe).language == "en"
    pinned.receive(OptionsChanged(None))
    pinned.transcript("Здравствуйте", "ru")
    assert pinned.last(StartReply).language == "ru"


def test_turn_that_is_recognised_twice_speaks_once_for_its_language() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(200)
    driver.transcript("Когда вы открыты по воскресным дням?", "ru")
    driver.silence(300)
    driver.speak("В девять.", 400)
    driver.play(400)
    for revision in (1, 2):
        driver.say(300)
        driver.silence(200)
        driver.receive(TranscriptReady(2, revision, "Okay, okay.", "en", 0.95))
    assert driver.last(StartReply) == StartReply(
        3, 2, 2, "ru", driver.last(StartReply).source, hold=True
    )


def test_typed_turn_is_answered_at_once() -> None:
    driver = Driver()
    driver.start()
    assert driver.receive(TextReceived(QUESTION)) == [
        CommitTurn(1, QUESTION, "en"),
        NotifyTranscript("caller", QUESTION, 1),
        StartReply(1, 0, 0, "en", prompt(QUESTION), hold=False),
    ]


def test_typed_turn_over_speech_is_answered_together_with_it() -> None:
    driver = Driver()
    driver.start()
    driver.say(400)
    driver.receive(TextReceived("My name is Anna."))
    driver.say(400)
    driver.silence(200)
    assert driver.transcript(QUESTION) == [
        StartReply(1, 1, 1, "en", prompt(f"My name is Anna. {QUESTION}"), hold=True)
    ]


def test_typed_turn_is_answered_together_with_what_is_said_over_the_reply() -> None:
    driver = speaking(Driver())
    driver.say(300)
    typed = driver.receive(TextReceived("My name is Anna."))
    assert CommitTurn(3, "My name is Anna.", "en") in typed
    driver.silence(200)
    driver.transcript(QUESTION)
    source = driver.last(StartReply).source
    assert isinstance(source, Prompt)
    assert source.utterances[-1].text == f"My name is Anna. {QUESTION}"
    assert driver.silence(300) == [CommitTurn(2, QUESTION, "en"), ReleaseReply(2)]


def test_requested_reply_starts_only_when_nobody_has_the_floor() -> None:
    driver = Driver()
    driver.start()
    assert driver.receive(ReplyRequested()) == [StartReply(1, 0, 0, "en", Prompt(()), hold=False)]
    assert driver.receive(ReplyRequested()) == []


def test_end_of_the_call_cancels_the_reply_and_nothing_happens_after_it() -> None:
    driver = speaking(Driver())
    assert driver.receive(CallEnded("closed")) == [
        CancelReply(1),
        NotifyTranscript("assistant", "one two three four", 1, 1, interrupted=True),
    ]
    assert driver.conversation.phase is Phase.ENDED
    assert driver.say(1000) + driver.silence(1000) + driver.receive(TextReceived("hi")) == []
    assert driver.conversation.next_deadline() is None


def test_words_that_are_known_when_the_far_side_ends_the_call_are_told() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(200)
    driver.transcript(QUESTION)
    assert driver.receive(CallEnded("closed")) == [
        CommitTurn(1, QUESTION, "en"),
        NotifyTranscript("caller", QUESTION, 1),
        CancelReply(1),
    ]


def test_words_that_were_accepted_are_told_when_the_call_ends_while_the_caller_speaks_on() -> None:
    driver = Driver()
    driver.start()
    driver.turn(QUESTION)
    driver.say(300)
    assert driver.conversation.phase is Phase.USER_SPEAKING
    assert driver.receive(CallEnded("closed")) == [
        CommitTurn(1, QUESTION, "en"),
        NotifyTranscript("caller", QUESTION, 1),
    ]


def test_a_slow_recognition_is_no_long_pause_of_the_caller() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    driver.silence(6000)
    driver.say(400)
    driver.silence(200)
    driver.transcript("Hello? Are you there?")
    assert any(isinstance(command, ReleaseReply) for command in driver.silence(300))
    driver.speak("Yes.", 200)
    driver.play(200)
    driver.say(800)
    driver.silence(200)
    driver.transcript("a cleaning")
    assert any(isinstance(command, ReleaseReply) for command in driver.silence(300))


def test_client_that_stops_sending_is_heard_as_silent() -> None:
    driver = Driver()
    driver.start()
    driver.say(800)
    (transcribe,) = driver.wait(400)
    assert isinstance(transcribe, Transcribe)
    driver.transcript(QUESTION)
    assert driver.wait(400) == [CommitTurn(1, QUESTION, "en"), ReleaseReply(1)]


def test_client_that_sends_nothing_costs_no_time_while_nobody_speaks() -> None:
    driver = Driver(dataclasses.replace(NO_GREETING, patience=PatiencePolicy(0, 0, 0, 0, 0)))
    driver.start()
    driver.silence(1000)
    assert driver.conversation.next_deadline() is None


def test_audio_in_bursts_of_500_ms_gives_the_same_single_turn() -> None:
    driver = Driver(dataclasses.replace(NO_GREETING, speech=SpeechPolicy(stall_ms=600)))
    driver.start()
    speech = np.full(8000, 1000, dtype=np.int16)
    silence = np.zeros(8000, dtype=np.int16)
    driver.receive(AudioReceived(speech))
    assert driver.wait(500) == []
    driver.receive(AudioReceived(speech))
    driver.wait(500)
    (transcribe,) = driver.receive(AudioReceived(silence))
    assert isinstance(transcribe, Transcribe)
    assert np.count_nonzero(transcribe.samples) == 16000


def test_client_that_always_sends_in_bursts_is_not_cut_off_between_them() -> None:
    driver = Driver()
    driver.start()
    silence = np.zeros(8000, dtype=np.int16)
    speech = np.full(8000, 1000, dtype=np.int16)
    for _ in range(4):
        driver.wait(500)
        driver.receive(AudioReceived(silence))
    for _ in range(6):
        brought = driver.wait(500) + driver.receive(AudioReceived(speech))
        assert not any(isinstance(command, Transcribe) for command in brought)
    driver.wait(500)
    (transcribe,) = driver.receive(AudioReceived(silence))
    assert isinstance(transcribe, Transcribe)
    assert np.count_nonzero(transcribe.samples) == 6 * 8000


def test_monologue_is_recognised_in_parts_and_committed_as_one_turn() -> None:
    policy = dataclasses.replace(NO_GREETING, speech=SpeechPolicy(max_part_ms=2000))
    driver = Driver(policy)
    driver.start()
    parts = [c for c in driver.say(5000) + driver.silence(200) if isinstance(c, Transcribe)]
    assert [(p.turn, p.revision) for p in parts] == [(1, 1), (1, 2), (1, 3)]
    assert sum(np.count_nonzero(p.samples) for p in parts) == 5000 * 16
    driver.receive(TranscriptReady(1, 2, "two", "en"))
    driver.receive(TranscriptReady(1, 3, "three", "en"))
    assert driver.receive(TranscriptReady(1, 1, "one", "en")) == [
        StartReply(1, 1, 3, "en", prompt("one two three"), hold=True)
    ]


def test_long_turn_that_goes_on_after_a_pause_is_not_recognised_again_from_its_start() -> None:
    policy = dataclasses.replace(NO_GREETING, speech=SpeechPolicy(settle_ms=3000))
    driver = Driver(policy)
    driver.start()
    driver.say(4000)
    driver.silence(300)
    driver.transcript("First part,")
    driver.say(1000)
    driver.silence(200)
    rest = driver.last(Transcribe)
    assert np.count_nonzero(rest.samples) == 1000 * 16
    driver.transcript("second part.")
    assert driver.last(StartReply).source == prompt("First part, second part.")
