"""Where the time of a turn went: stamps with times of our own, in seconds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.calls.records import Stopwatch, TurnLatency


@pytest.fixture
def stopwatch() -> Stopwatch:
    """Speech ended at 10.0; its recognition was ordered at 10.2 and ready at 10.25."""
    stopwatch = Stopwatch()
    stopwatch.transcribe_ordered(1, 1, 10.0, 10.2)
    stopwatch.transcript_ready(1, 1, 10.25)
    return stopwatch


def answer(
    stopwatch: Stopwatch, *, started: float, clause: float, speech: float, released: float
) -> None:
    """The reply to turn 1, whose first audio goes 10 ms after it may."""
    stopwatch.reply_started(1, 1, 1, "en", started)
    stopwatch.first_clause(1, clause)
    stopwatch.first_speech(1, speech)
    stopwatch.released(1, released)
    stopwatch.turn_committed(1, "Hello?")
    stopwatch.first_audio(1, max(speech, released) + 0.01)


def latency(stopwatch: Stopwatch) -> TurnLatency:
    record = stopwatch.record("c1", 1, "Hello.", False)
    assert record is not None and record.latency is not None
    return record.latency


def stages(found: TurnLatency) -> list[float]:
    """Endpoint, stt, chat, tts, send."""
    parts = (found.endpoint_ms, found.stt_ms, found.chat_ms, found.tts_ms, found.send_ms)
    return [round(part, 6) for part in parts]


def test_reply_that_was_ready_ahead_waits_for_the_decision_that_the_turn_is_over(
    stopwatch: Stopwatch,
) -> None:
    answer(stopwatch, started=10.26, clause=10.3, speech=10.32, released=10.5)
    found = latency(stopwatch)
    assert stages(found) == [200 + 10 + 180, 50, 40, 20, 10]
    assert found.voice_to_voice_ms == pytest.approx(510)
    record = stopwatch.record("c1", 1, "Hello.", False)
    assert record is not None
    assert record.speculation_used
    assert record.decision_to_audio_ms == pytest.approx(10)
    assert (record.turn, record.language, record.caller_text) == (1, "en", "Hello?")


def test_reply_that_was_begun_after_the_decision_is_waited_for_in_its_own_stages(
    stopwatch: Stopwatch,
) -> None:
    answer(stopwatch, started=10.26, clause=10.7, speech=10.8, released=10.5)
    stopwatch.reply_begun(1, 10.5)
    assert stages(latency(stopwatch)) == [200 + 250, 50, 200, 100, 10]
    record = stopwatch.record("c1", 1, "Hello.", False)
    assert record is not None
    assert not record.speculation_used
    assert record.decision_to_audio_ms == pytest.approx(310)


def test_only_the_first_clause_speech_and_audio_of_a_reply_count(stopwatch: Stopwatch) -> None:
    answer(stopwatch, started=10.26, clause=10.3, speech=10.32, released=10.5)
    before = latency(stopwatch)
    stopwatch.first_clause(1, 11.0)
    stopwatch.first_speech(1, 11.1)
    stopwatch.first_audio(1, 11.2)
    assert latency(stopwatch) == before


def test_one_moment_before_the_reply_is_not_its_first_audio(stopwatch: Stopwatch) -> None:
    stopwatch.reply_started(1, 1, 1, "en", 10.26)
    stopwatch.released(1, 10.5)
    stopwatch.first_audio(1, 12.0)
    stopwatch.first_clause(1, 13.0)
    stopwatch.first_speech(1, 13.1)
    stopwatch.first_audio(1, 13.2)
    assert stages(latency(stopwatch))[-1] == 100


def test_stamps_of_a_reply_that_is_not_the_newest_change_nothing(stopwatch: Stopwatch) -> None:
    stopwatch.reply_started(1, 1, 1, "en", 10.26)
    answer(stopwatch, started=10.26, clause=10.3, speech=10.32, released=10.5)
    stopwatch.reply_started(2, 2, 1, "en", 20.0)
    for stamp in (stopwatch.reply_begun, stopwatch.first_clause, stopwatch.first_speech):
        stamp(1, 20.1)
    stopwatch.released(1, 20.1)
    stopwatch.turn_committed(1, "Hello?")
    assert stopwatch.record("c1", 1, "Hello.", False) is None
    record = stopwatch.record("c1", 2, "", True)
    assert record is not None
    assert (record.caller_text, record.interrupted) == ("", True)
    assert (record.decision_to_audio_ms, record.latency) == (None, None)


@pytest.mark.parametrize("missing", ["first_clause", "first_speech", "released", "first_audio"])
def test_reply_that_did_not_come_so_far_has_no_latency(stopwatch: Stopwatch, missing: str) -> None:
    stopwatch.reply_started(1, 1, 1, "en", 10.26)
    stamps: list[Callable[[int, float], None]] = [
        stopwatch.first_clause,
        stopwatch.first_speech,
        stopwatch.released,
        stopwatch.first_audio,
    ]
    for stamp in stamps:
        if stamp.__name__ != missing:
            stamp(1, 11.0)
    record = stopwatch.record("c1", 1, "", False)
    assert record is not None and record.latency is None


def test_reply_that_answers_no_speech_has_no_latency() -> None:
    stopwatch = Stopwatch()
    stopwatch.turn_committed(1, "typed, before there was any reply")
    answer(stopwatch, started=10.26, clause=10.3, speech=10.32, released=10.5)
    record = stopwatch.record("c1", 1, "Hello.", False)
    assert record is not None and record.latency is None
    assert record.decision_to_audio_ms == pytest.approx(10)
