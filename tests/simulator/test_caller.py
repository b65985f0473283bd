"""When the caller speaks, waits and hangs up."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.pcm import FRAME_SAMPLES, samples_of
from gateway.simulator.caller import Caller, Patience
from tests.simulator.voices import tone, utterance

PATIENCE = Patience(greeting=1.0, answer=3.0, reply=5.0, pause=0.5, transcript=2.0)


class Line:
    """Runs a caller frame by frame, without a clock."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.now = 0.0

    def run(self, duration_s: float) -> bool:
        """Let time pass; True if the caller said something meanwhile."""
        spoke = False
        for _ in range(round(duration_s * 50)):
            self.now += 0.02
            frame = self.caller.next_frame(self.now)
            if frame is None:
                break
            spoke = spoke or bool(frame.any())
        return spoke

    def reply(self, duration_s: float, text: str = "hello") -> None:
        """The assistant speaks: audio in real time, then its transcript."""
        for _ in range(round(duration_s * 50)):
            self.now += 0.02
            self.caller.next_frame(self.now)
            self.caller.hear(tone(0.02), self.now)
        self.caller.read("assistant", text)


def test_the_caller_speaks_first_when_no_greeting_comes() -> None:
    line = Line(Caller([utterance()], PATIENCE))
    assert not line.run(0.9)
    assert line.run(0.5)
    assert line.caller.greeting.answered_s is None


def test_the_caller_lets_the_greeting_finish() -> None:
    line = Line(Caller([utterance()], PATIENCE))
    line.reply(2.0, "welcome")
    assert not line.run(0.4)
    assert line.run(0.5)
    assert line.caller.greeting.assistant_text == "welcome"


def test_the_next_utterance_waits_for_the_answer_and_a_pause() -> None:
    line = Line(Caller([utterance("one"), utterance("two")], PATIENCE))
    line.run(1.5)
    assert not line.run(1.0)
    line.reply(1.0)
    assert not line.run(0.4)
    assert line.run(0.5)
    names = [turn.utterance.name for turn in line.caller.turns if turn.utterance]
    assert names == ["one", "two"]


def test_quiet_between_two_sentences_of_a_reply_is_not_its_end() -> None:
    line = Line(Caller([utterance("one"), utterance("two")], PATIENCE))
    line.run(1.5)
    line.caller.hear(tone(0.5), line.now)
    assert not line.run(1.5), "the transcript has not come: the reply may go on"


def test_a_reply_whose_transcript_never_comes_ends_all_the_same() -> None:
    line = Line(Caller([utterance("one"), utterance("two")], PATIENCE))
    line.run(1.5)
    line.caller.hear(tone(0.5), line.now)
    assert line.run(4.0)


def test_a_request_to_hold_on_is_not_the_end_of_the_answer() -> None:
    line = Line(Caller([utterance("one"), utterance("two")], PATIENCE))
    line.run(1.5)
    line.caller.hear(tone(0.2), line.now)
    assert not line.run(2.5), "the answer may still come"
    line.reply(0.5, "we are open")
    assert not line.run(0.4)
    assert line.run(0.5)
    assert line.caller.turns[0].assistant_text == "we are open"


def test_a_reply_that_begins_in_the_callers_speech_and_goes_on_is_a_cut_off() -> None:
    line = Line(Caller([utterance(speech_s=1.0)], PATIENCE))
    line.run(1.5)
    line.reply(1.5)
    (turn,) = line.caller.turns
    assert turn.cut_off and turn.voice_to_voice_s is None
    line.run(1.0)
    assert line.caller.done and line.caller.failure is None and line.caller.said_everything


def test_a_reply_that_stops_for_the_caller_is_no_cut_off() -> None:
    line = Line(Caller([utterance(speech_s=1.0)], PATIENCE))
    line.run(1.5)
    line.caller.hear(tone(0.1), line.now)
    line.run(1.0)
    line.reply(0.5)
    (turn,) = line.caller.turns
    assert not turn.cut_off and turn.voice_to_voice_s is not None
    assert turn.voice_to_voice_s == pytest.approx(line.now - 0.48 - (turn.speech_end_s or 0))


def test_gaps_are_counted_with_the_reply_they_are_in() -> None:
    line = Line(Caller([utterance("one"), utterance("two")], PATIENCE))
    line.run(1.5)
    line.reply(0.5)
    line.run(1.5)
    line.caller.hear(tone(0.02), line.now)
    line.run(0.1)
    line.reply(0.5)
    one, two = line.caller.turns
    assert (one.underruns, two.underruns) == (0, 1)
    assert two.underrun_s == pytest.approx(line.caller.far_end.underrun_s) and two.underrun_s > 0


def test_after_the_last_answer_the_caller_hangs_up() -> None:
    line = Line(Caller([utterance()], PATIENCE))
    line.run(1.5)
    line.reply(1.0)
    line.run(1.0)
    assert line.caller.done and line.caller.failure is None
    assert line.caller.said_everything


def test_a_missing_answer_is_a_failure_that_names_the_utterance() -> None:
    line = Line(Caller([utterance("price.wav")], PATIENCE))
    line.run(10.0)
    assert line.caller.done
    assert line.caller.failure == "price.wav: no answer within 3 s"


def test_a_reply_without_end_is_a_failure() -> None:
    line = Line(Caller([utterance("price.wav")], PATIENCE))
    line.run(1.5)
    line.reply(6.0)
    assert line.caller.failure == "price.wav: the reply went on for 5 s"


def test_latency_runs_from_the_end_of_speech_not_of_the_recording() -> None:
    line = Line(Caller([utterance(speech_s=0.2, tail_s=0.6)], PATIENCE))
    line.run(1.0 + 0.8)
    line.caller.hear(tone(0.1), 2.0)
    turn = line.caller.turns[0]
    begun = np.flatnonzero(line.caller.line())[0] // FRAME_SAMPLES * FRAME_SAMPLES
    assert turn.speech_end_s == pytest.approx((begun + samples_of(0.2)) / 16_000)
    assert turn.voice_to_voice_s == pytest.approx(2.0 - (begun + samples_of(0.2)) / 16_000)


def test_audio_that_comes_while_the_caller_still_speaks_is_no_answer() -> None:
    line = Line(Caller([utterance(speech_s=1.0)], PATIENCE))
    line.run(1.5)
    line.caller.hear(tone(0.1), line.now)
    assert line.caller.turns[0].answered_s is None


def test_transcripts_in_pieces_are_joined() -> None:
    line = Line(Caller([utterance()], PATIENCE))
    line.run(1.5)
    line.caller.read("caller", "Hello.")
    line.caller.read("caller", "Anyone there?")
    assert line.caller.turns[0].caller_text == "Hello. Anyone there?"


def test_the_line_is_never_mute() -> None:
    line = Line(Caller([utterance()], PATIENCE))
    line.run(1.6)
    assert line.caller.line().size == 80 * FRAME_SAMPLES


def test_the_first_failure_is_kept() -> None:
    caller = Caller([utterance()], PATIENCE)
    caller.give_up("first")
    caller.give_up("second")
    assert caller.failure == "first"
    assert caller.next_frame(1.0) is None


def test_the_greeting_and_each_exchange_are_told_once_complete() -> None:
    told: list[str] = []
    caller = Caller([utterance()], PATIENCE, lambda exchange: told.append(exchange.assistant_text))
    line = Line(caller)
    line.reply(0.5, "welcome")
    assert told == []
    line.run(2.0)
    assert told == ["welcome"]
    line.reply(0.5, "good day")
    line.run(2.0)
    caller.give_up("too late to matter")
    assert told == ["welcome", "good day"]
