"""A scenario's caller: when it speaks, and what it makes of what comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.simulator.caller_line import CallerLine
from gateway.simulator.scenario import Call, Echo, Network, Part, Turn
from gateway.simulator.scenario_caller import ScenarioCaller
from gateway.simulator.scenario_file import Scenario
from tests.simulator.scripted import Scripted, spoken
from tests.simulator.voices import tone

HOURS = Turn(say="What are your hours?")
BYE = Turn(say="Goodbye.")
COUGH = (Part(sound="cough", ms=400),)


def test_the_caller_speaks_when_the_greeting_has_ended() -> None:
    call = Scripted(HOURS).greet().wait(200)
    assert call.outcomes == [] and call.loud_frames == 0
    (outcome,) = call.wait(1000).outcomes
    assert outcome.speech_start_s == pytest.approx(1.2, abs=0.03)
    assert outcome.speech_end_s == pytest.approx(outcome.speech_start_s + 0.4)
    assert call.loud_frames == pytest.approx(20, abs=1)


def test_without_a_greeting_the_caller_speaks_first() -> None:
    call = Scripted(HOURS).wait(800)
    assert call.outcomes[0].speech_start_s == pytest.approx(0.6, abs=0.03)


def test_latency_runs_from_the_true_end_of_speech_to_the_first_audio() -> None:
    call = Scripted(HOURS).greet().wait(1200).tell("what are your hours", "caller").speak(400)
    (outcome,) = call.outcomes
    assert outcome.caller_text == "what are your hours"
    assert outcome.voice_to_voice_s == pytest.approx(2.0 - outcome.speech_end_s)
    assert call.caller.done and outcome.complete and not outcome.missed


def test_audio_inside_a_pause_is_a_cutoff() -> None:
    call = Scripted(Turn(say=("My number is", 1000, "five.")), BYE).greet().wait(1200)
    call.speak(400).tell("Yes?").wait(1000).speak(400)
    (outcome, *_) = call.outcomes
    assert len(outcome.cutoffs) == 1 and outcome.voice_to_voice_s is None
    assert outcome.answer is not None and not outcome.missed


def test_a_turn_without_an_answer_is_missed_and_the_call_goes_on() -> None:
    call = Scripted(HOURS, BYE).greet().wait(4000)
    assert [outcome.missed for outcome in call.outcomes] == [True, True]


def test_an_interruption_is_timed_by_the_assistants_audio() -> None:
    stop = Turn(kind="interruption", say="Stop.", over_ms=600)
    call = Scripted(stop).speak(1000).tell("Hello, this").wait(600).speak(400)
    (outcome,) = call.outcomes
    assert outcome.speech_start_s == pytest.approx(0.7, abs=0.03)
    assert outcome.over is call.caller.track.replies[0]
    assert outcome.stop_s == pytest.approx(0.96 - outcome.speech_start_s)
    assert not outcome.missed_barge_in and outcome.answer is call.caller.track.replies[1]


def test_an_assistant_that_goes_on_has_missed_the_interruption() -> None:
    stop = Turn(kind="interruption", say="Stop.", over_ms=200)
    (outcome,) = Scripted(stop).speak(2400).outcomes
    assert outcome.missed_barge_in


def test_an_interruption_can_be_timed_by_the_end_of_the_greeting() -> None:
    stop = Turn(kind="interruption", say="Stop.", before_end_ms=300)
    call = Scripted(stop, greeting_s=1.5).speak(1480)
    assert call.outcomes[0].speech_start_s == pytest.approx(1.3, abs=0.03)


def test_a_back_channel_after_the_reply_has_ended_is_skipped() -> None:
    yeah = Turn(kind="back-channel", say="Yeah.", over_ms=2000)
    call = Scripted(yeah, HOURS).greet().wait(900)
    assert [outcome.skipped for outcome in call.outcomes] == [True, False]


def test_an_interruption_after_the_reply_has_ended_is_a_plain_turn() -> None:
    stop = Turn(kind="interruption", say="Stop.", over_ms=2000)
    (outcome,) = Scripted(stop).greet().wait(900).outcomes
    assert outcome.over is None and outcome.stop_s is None


def test_a_reply_that_pauses_for_a_cough_and_goes_on_is_resumed() -> None:
    cough = Turn(kind="cough", say=COUGH, over_ms=400)
    call = Scripted(cough).speak(720).wait(400).speak(800).tell("Hello, how can I help?").wait(1500)
    (outcome,) = call.outcomes
    outcome.over_stopped = False
    assert outcome.resumed and not outcome.false_interruption and not outcome.false_turn
    assert len(call.caller.track.replies) == 1 and call.caller.done


def test_a_reply_that_ends_for_a_cough_is_a_false_interruption() -> None:
    cough = Turn(kind="cough", say=COUGH, over_ms=400)
    (outcome,) = Scripted(cough).speak(720).tell("Hello, how").wait(3000).outcomes
    outcome.over_stopped = True
    assert outcome.false_interruption and not outcome.resumed


def test_an_answer_to_nothing_is_a_false_turn() -> None:
    call = Scripted(Turn(kind="silence", wait_ms=1000)).greet().wait(600).speak(800)
    assert call.outcomes[0].false_turn


def test_a_reply_too_short_to_be_heard_ends_with_the_callers_next_words() -> None:
    call = Scripted(HOURS).speak(80).tell("what are your hours", "caller").speak(400)
    assert len(call.caller.track.replies) == 2


def test_the_caller_loses_patience_with_an_assistant_that_does_not_stop() -> None:
    call = Scripted(Turn(kind="silence"), HOURS).speak(11_200)
    first, second = call.outcomes
    assert first.skipped and second.speech_start_s == pytest.approx(10.2, abs=0.1)
    assert second.over is None and not second.cutoffs


def test_echo_comes_back_in_its_time_on_a_drifting_clock() -> None:
    echo, network = Echo(level_db=-6, delay_ms=100), Network(drift_percent=-5)
    turns = (Turn(kind="silence", wait_ms=60_000),)
    call = Call(name="x", language="en", echo=echo, network=network, turn=turns)
    caller = ScenarioCaller(
        Scenario(call, Path()), [spoken(turn) for turn in turns], CallerLine(call, Path())
    )
    frame_s = 0.02 / 0.95
    for number in range(1, 501):
        caller.next_frame(number * frame_s)
    caller.hear(tone(0.02), 500 * frame_s)
    frames = [caller.next_frame((501 + index) * frame_s) for index in range(20)]
    loud = [frame is not None and bool(np.abs(frame).max() > 1000) for frame in frames]
    assert loud.index(True) == 5 and sum(loud) == 1


def test_a_line_that_goes_dead_keeps_its_first_failure() -> None:
    call = Scripted(HOURS)
    call.caller.give_up("lost")
    call.caller.give_up("later")
    assert call.caller.failure == "lost" and call.caller.next_frame(1.0) is None
