"""What is printed about a call."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from gateway.calls.records import TurnLatency, TurnRecord
from gateway.simulator.caller import Exchange
from gateway.simulator.client import CallResult
from gateway.simulator.report import as_plain_values, examine, median_latency_s, print_exchange
from tests.simulator.voices import tone, utterance


def exchange(heard: str = "hello there", answered_s: float | None = 1.5) -> Exchange:
    turn = Exchange(utterance(), heard, "good day", speech_end_s=1.0, answered_s=answered_s)
    turn.pieces.append(tone(0.5))
    return turn


def call(*turns: Exchange, failure: str | None = None) -> CallResult:
    track = np.zeros(0, dtype=np.int16)
    greeting = Exchange(None, assistant_text="welcome", answered_s=0.1)
    return CallResult("c1", "en", greeting, turns, track, track, 0, 0.0, failure)


def printed(turn: Exchange, record: TurnRecord | None = None) -> str:
    out = io.StringIO()
    print_exchange(Console(file=out, width=20), turn, record)
    return out.getvalue()


def test_a_call_that_went_well_has_no_problems() -> None:
    findings = examine(call(exchange(), exchange("Hello, there!")), 2)
    assert findings.problems == () and findings.understood.rate == 0.0


def test_a_turn_without_a_latency_tells_why() -> None:
    cut_off = exchange()
    cut_off.cut_off = True
    assert "cut off" in printed(cut_off)
    assert "no answer" in printed(exchange(answered_s=None))


def test_a_turn_that_was_not_heard_is_a_problem() -> None:
    findings = examine(call(exchange(), exchange(), exchange(), exchange("")), 4)
    assert findings.problems == ("hello.wav: not heard (no transcript of the caller)",)


def test_a_turn_that_was_not_answered_is_a_problem() -> None:
    failed = call(exchange(), exchange(answered_s=None), failure="gave up")
    assert examine(failed, 3).problems == (
        "gave up",
        "hello.wav: not answered (no audio)",
        "only 2 of 3 utterances were spoken",
    )


def test_words_that_were_misunderstood_are_a_problem() -> None:
    findings = examine(call(exchange("yellow hair")), 1)
    assert findings.problems == ("not understood: word error rate 100%",)


def test_the_print_has_both_sides_and_the_latency() -> None:
    text = printed(exchange())
    assert "hello there" in text and "good day" in text
    assert "answered after 500 ms" in text
    assert "said:" not in text


def test_a_greeting_is_printed_without_a_caller() -> None:
    text = printed(Exchange(None, assistant_text="welcome", answered_s=0.1))
    assert text.split() == ["assistant", "welcome"]


def test_words_of_a_strange_gateway_do_nothing_to_the_terminal() -> None:
    turn = Exchange(utterance(), "a\x1b]0;x\x07b", "[c]\x1b[2J\x9b\n", speech_end_s=1.0)
    text = printed(turn)
    assert "a\\x1b]0;x\\x07b" in text and "[c]\\x1b[2J\\x9b\\n" in text


def test_the_print_shows_what_was_really_said_when_that_differs() -> None:
    assert "said: hello there" in printed(exchange("yellow hair"))


def test_the_print_has_each_stage_when_the_gateway_tells() -> None:
    latency = TurnLatency(endpoint_ms=400, stt_ms=30, chat_ms=40, tts_ms=20, send_ms=1)
    record = TurnRecord("c1", 1, "en", "hello", "good day", False, True, 12.0, latency)
    text = printed(exchange(), record)
    assert "endpoint 400, stt 30, chat 40, tts 20, send 1" in text
    assert "prepared ahead" in text


def test_the_median_ignores_turns_without_an_answer() -> None:
    assert median_latency_s(call(exchange(), exchange(answered_s=None))) == 0.5
    assert median_latency_s(call(exchange(answered_s=None))) is None


def test_plain_values_hold_every_turn() -> None:
    values = as_plain_values(call(exchange()))
    assert values["greeting"] == "welcome"
    assert values["turns"] == [
        {
            "recording": "hello.wav",
            "caller": "hello there",
            "assistant": "good day",
            "voiceToVoiceMs": 500.0,
            "replySeconds": 0.5,
        }
    ]
