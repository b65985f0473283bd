"""Figures of played calls: what counts as what."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from gateway.bench.played_call import PlayedCall, SpeakingRate, history_problems
from gateway.bench.statistics import distribution, rate
from gateway.bench.turns_report import turns_report
from gateway.bench.turns_table import print_call, print_report
from gateway.calls.records import TurnLatency, TurnRecord
from gateway.simulator.scenario import Expect, Part, Turn
from tests.simulator.scripted import Scripted

HOURS = Turn(say="What are your hours?")
STOP = Turn(kind="interruption", say="Stop.", over_ms=600)
COUGH = Turn(kind="cough", say=(Part(sound="cough", ms=400),), over_ms=400)

RECORD = TurnRecord(
    call_id="x",
    turn=1,
    language="en",
    caller_text="What are your hours?",
    assistant_text="We are open.",
    interrupted=False,
    speculation_used=True,
    decision_to_audio_ms=12.0,
    latency=TurnLatency(300.0, 40.0, 30.0, 20.0, 1.0),
)
GREETING = replace(RECORD, turn=0, caller_text="", latency=None, decision_to_audio_ms=None)


def answered() -> Scripted:
    """One call with one good exchange."""
    call = Scripted(HOURS).greet().wait(1200).tell("what are you hours", "caller")
    return call.speak(400)


def test_percentiles_of_nothing_are_unknown() -> None:
    assert distribution([]) == {"n": 0, "p50": None, "p95": None, "p99": None, "max": None}
    assert distribution([1, 2, 3])["p50"] == 2 and rate(1, 0) is None and rate(1, 4) == 0.25


def test_an_answered_turn_is_measured_at_both_ends() -> None:
    report = turns_report([PlayedCall(answered().caller, [GREETING, RECORD])])
    (row,) = report["rows"]
    assert report["voice_to_voice_ms"]["n"] == report["turns"] == 1
    assert report["decision_to_audio_ms"]["p50"] == 12.0
    assert {name: stage["p50"] for name, stage in report["stages"].items()} == {
        "endpoint": 300.0,
        "stt": 40.0,
        "chat": 30.0,
        "tts": 20.0,
        "send": 1.0,
    }
    assert row["speculation_used"] and row["problems"] == []
    gap = report["voice_to_voice_ms"]["p50"] - 391
    assert report["stage_sum_gap_ms"]["p50"] == pytest.approx(gap)
    assert report["wer"] == {"en": 0.25}


def test_a_word_error_rate_over_no_words_is_unknown() -> None:
    cough = Scripted(COUGH).speak(720).tell("Hello, how").wait(3000)
    report = turns_report([PlayedCall(cough.caller, None)])
    assert report["wer"] == {"en": None}
    console = Console(record=True, width=100)
    print_report(console, report)
    (row,) = [x for x in console.export_text().splitlines() if "word error rate, en" in x]
    assert "-" in row and "%" not in row


@pytest.mark.parametrize("tag", ["[/dictation]", "[bold]", "[red]x\\"])
def test_a_tag_is_printed_as_it_is_written(tag: str) -> None:
    call = Scripted(Turn(say=HOURS.say, tag=tag)).greet().wait(1200).speak(400)
    console = Console(record=True, width=200)
    print_report(console, turns_report([PlayedCall(call.caller, None)]))
    table = console.export_text().partition("by kind of turn")[2]
    assert tag in table


def test_a_failure_that_a_strange_gateway_tells_does_nothing_to_the_terminal() -> None:
    call = Scripted(HOURS).greet()
    call.caller.give_up("the gateway reported \x1b[2J")
    console = Console(record=True, width=200)
    played = PlayedCall(call.caller, None)
    print_call(console, played)
    print_report(console, turns_report([played]))
    text = console.export_text()
    assert "\x1b" not in text and text.count("reported \\x1b[2J") == 2


def test_what_only_the_gateway_knows_is_null_of_a_remote_one() -> None:
    report = turns_report([PlayedCall(answered().caller, None)])
    assert report["stages"] is report["decision_to_audio_ms"] is None
    assert report["speculation"] == {"started": None, "used": None, "wasted": None}


def test_speculation_is_counted_by_the_gateway() -> None:
    counters = {"speculation_started": 3, "speculation_used": 2}
    report = turns_report([PlayedCall(answered().caller, [])], counters)
    assert report["speculation"] == {"started": 3, "used": 2, "wasted": 0}


def test_a_reply_cut_by_a_cough_is_a_false_interruption_and_one_cut_by_words_is_not() -> None:
    cut = replace(GREETING, assistant_text="Hello, how", interrupted=True)
    cough = Scripted(COUGH).speak(720).tell("Hello, how").wait(3000)
    stop = Scripted(STOP).speak(1000).tell("Hello, how").wait(600).speak(400)
    report = turns_report([PlayedCall(cough.caller, [cut]), PlayedCall(stop.caller, [cut])])
    assert (report["harmless_overlaps"], report["false_interruptions"]) == (1, 1)
    assert (report["interruptions"], report["missed_barge_ins"]) == (1, 0)
    assert report["barge_in_stop_ms"]["n"] == 1


def test_of_two_who_speak_over_a_reply_the_last_one_stopped_it() -> None:
    call = Scripted(COUGH, replace_turn(STOP, over_ms=1200)).speak(1600).tell("Hello, how")
    played = PlayedCall(call.wait(600).caller, [replace(GREETING, interrupted=True)])
    played.settle()
    assert [outcome.over_stopped for outcome in call.outcomes] == [False, True]


def test_a_remote_reply_is_whole_if_it_ends_a_sentence() -> None:
    whole = PlayedCall(Scripted(COUGH).speak(720).tell("Hello there!").wait(2000).caller, None)
    cut = PlayedCall(Scripted(COUGH).speak(720).tell("Hello").wait(2000).caller, None)
    report = turns_report([whole, cut])
    assert report["false_interruptions"] == 1


def test_a_reply_that_ended_by_itself_was_not_stopped() -> None:
    call = Scripted(STOP).speak(1000).tell("Hello.").wait(1200)
    report = turns_report([PlayedCall(call.caller, [GREETING])])
    assert report["barge_in_stop_ms"]["n"] == 0 and report["missed_barge_ins"] == 0


def heard_after_stop(text: str) -> list[str]:
    """What is wrong with a cut reply of one second that is said to be ``text``."""
    whole = Scripted(HOURS).speak(2000).tell("It is twenty letters").wait(900)
    cut = Scripted(STOP).speak(1000).tell(text).wait(600)
    calls = [
        PlayedCall(whole.caller, [GREETING]),
        PlayedCall(cut.caller, [replace(GREETING, interrupted=True)]),
    ]
    return history_problems(cut.outcomes[0], calls[1], SpeakingRate(calls))


def test_words_that_fit_the_time_they_were_heard_are_right() -> None:
    assert heard_after_stop("It is ten.") == []


def test_words_nobody_can_have_heard_in_that_time_are_a_history_error() -> None:
    (problem,) = heard_after_stop("It is much more than can be said so soon")
    assert problem == "40 characters told for 1.0 s heard"


def test_words_that_must_not_be_in_the_history_are_looked_for() -> None:
    turn = replace_turn(STOP, expect=Expect(not_in_history=("help you",), history=("hello",)))
    call = Scripted(turn).speak(1000).tell("Hello, how can I help you").wait(600)
    report = turns_report([PlayedCall(call.caller, [replace(GREETING, interrupted=True)])])
    assert report["history_errors"] == 1
    assert "in the history, though nobody heard it: 'help you'" in report["rows"][0]["problems"]
    whole = turns_report([PlayedCall(call.caller, [GREETING])])
    assert whole["history_errors"] == 0


def test_an_answer_in_another_language_is_noticed() -> None:
    turn = replace_turn(HOURS, expect=Expect(reply_language="ru"))
    call = Scripted(turn, HOURS).greet().wait(1200).speak(400).tell("We are open.").wait(700)
    report = turns_report([PlayedCall(call.caller, None)])
    assert report["language_errors"] == 1


def broken_off(run: int) -> PlayedCall:
    """A call of three turns whose line is lost after the first."""
    call = Scripted(HOURS, HOURS, HOURS).greet().wait(1200).speak(400).tell("We are open.")
    call.caller.give_up(f"lost in run {run}")
    return PlayedCall(call.caller, None, run)


def test_turns_that_a_broken_off_call_never_came_to_are_counted() -> None:
    report = turns_report([broken_off(1), PlayedCall(answered().caller, None)])
    assert (report["turns"], report["missed_turns"], report["turns_not_played"]) == (2, 0, 2)


def test_every_failure_of_a_call_is_kept() -> None:
    report = turns_report([broken_off(1), broken_off(1), broken_off(2)])
    assert report["failed_calls"] == {
        "1. x, run 1": "lost in run 1",
        "2. x, run 1": "lost in run 1",
        "3. x, run 2": "lost in run 2",
    }
    console = Console(record=True, width=100)
    print_report(console, report)
    assert "3. x, run 2: lost in run 2" in console.export_text()


def test_several_runs_are_compared() -> None:
    calls = [PlayedCall(answered().caller, None, run) for run in (1, 2)]
    spread = turns_report(calls)["run_spread"]["voice_to_voice_p50_ms"]
    assert spread["min"] == spread["median"] == spread["max"]


def replace_turn(turn: Turn, **changes: object) -> Turn:
    """A turn with some keys changed."""
    kept = {name: getattr(turn, name) for name in turn.__struct_fields__}
    return Turn(**{**kept, **changes})
