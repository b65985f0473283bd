from __future__ import annotations

import asyncio

import numpy as np
import pytest

from gateway.conversation.events import (
    ReplyEnded,
    SpeechQueued,
    SpeechSent,
    TranscriptFailed,
    TranscriptReady,
)
from gateway.engines.base import Speech, TranscribeRequest, Transcript
from gateway.recording.steps import Plain, RecordedStep
from gateway.replay.engines import RecordedTranscriber, RecordedVoice
from gateway.replay.material import Transcripts, spoken_replies


def transcribe(turn: int, seconds: float, speech_ended_at: float) -> Plain:
    samples = {"samples": round(seconds * 16_000), "digest": ""}
    return {
        "type": "Transcribe",
        "turn": turn,
        "revision": 1,
        "samples": samples,
        "speech_ended_at": speech_ended_at,
    }


# Recognised: 10.0-12.0 s as "one two three four", spoken until 11.6; 20.0-21.0 s failed.
STEPS = [
    RecordedStep(None, 12.0, (transcribe(1, 2.0, 11.6),)),
    RecordedStep(TranscriptReady(1, 1, "one two three four", "en", 0.9), 12.1, ()),
    RecordedStep(None, 21.0, (transcribe(2, 1.0, 20.8),)),
    RecordedStep(TranscriptFailed(2, 1, "no recogniser"), 21.3, ()),
]


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (10.0, 12.0, "one two three four"),
        (9.9, 12.05, "one two three four"),
        (10.0, 10.9, "one two"),
        (10.8, 12.0, "three four"),
        (15.0, 16.0, ""),
    ],
)
def test_audio_that_was_cut_elsewhere_gets_the_words_said_in_it(
    start: float, end: float, text: str
) -> None:
    found = Transcripts(STEPS).of(start, end)
    assert found is not None and isinstance(found.result, TranscriptReady)
    assert found.result.text == text
    assert found.delay in (pytest.approx(0.1), pytest.approx(0.3))


def test_failed_recognition_fails_again() -> None:
    found = Transcripts(STEPS).of(20.0, 21.0)
    assert found is not None and isinstance(found.result, TranscriptFailed)
    assert Transcripts([]).of(20.0, 21.0) is None


def test_doubts_of_the_recogniser_are_given_again() -> None:
    doubtful = TranscriptReady(1, 1, "at nine", "en", 0.9, avg_logprob=-0.8)
    steps = [STEPS[0], RecordedStep(doubtful, 12.1, ())]
    transcriber = RecordedTranscriber(Transcripts(steps), lambda: 12.0)
    request = TranscribeRequest(np.zeros(32_000, dtype=np.int16))
    assert asyncio.run(transcriber.transcribe(request)) == Transcript("at nine", "en", 0.9, -0.8)


def test_words_of_a_reply_are_spoken_with_their_own_audio() -> None:
    start = {"type": "StartReply", "generation": 1, "turn": 0, "hold": False}
    source = {"type": "Script", "text": "Good day to you."}
    audio = np.arange(600, dtype=np.int16)
    steps = [
        RecordedStep(None, 1.0, ({**start, "source": source},)),
        RecordedStep(SpeechQueued(1, (("Good", 200), ("day", 350)), 400), 1.2, ()),
        RecordedStep(SpeechQueued(1, (("to", 100), ("you.", 300)), 300), 1.5, ()),
        RecordedStep(ReplyEnded(1), 1.5, ()),
        RecordedStep(SpeechSent(1, 600, audio), 1.6, ()),
    ]
    (reply,) = spoken_replies(steps)
    assert reply.complete and reply.scripted and reply.asked == "Good day to you."
    assert [part.gap for part in reply.parts] == pytest.approx([0.2, 0.3])

    async def speak(text: str) -> list[Speech]:
        return [speech async for speech in RecordedVoice([reply]).stream(text, "en")]

    (speech,) = asyncio.run(speak("day to"))
    assert [(word.text, word.end) for word in speech.words] == [("day", 150), ("to", 300)]
    assert np.array_equal(speech.samples, np.arange(200, 500))
    (speech,) = asyncio.run(speak("to you."))
    assert len(speech.samples) == 300
    assert not speech.samples[200:].any()  # was never sent: what it sounded like is not known
