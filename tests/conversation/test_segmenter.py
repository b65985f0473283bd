from __future__ import annotations

import numpy as np

from gateway.audio.pcm import FRAME_SAMPLES
from gateway.conversation.policy import SpeechPolicy
from gateway.conversation.segmenter import Change, Segmenter
from tests.conversation.driver import is_voiced

VOICE = np.full(FRAME_SAMPLES, 1000, dtype=np.int16)
QUIET = np.zeros(FRAME_SAMPLES, dtype=np.int16)


def changes(segmenter: Segmenter, pattern: str) -> list[tuple[int, Change]]:
    """Positions (frame index) of changes for a pattern of v(oiced) and q(uiet) frames."""
    found = []
    for index, letter in enumerate(pattern):
        if change := segmenter.push(VOICE if letter == "v" else QUIET):
            found.append((index, change))
    return found


def make() -> Segmenter:
    return Segmenter(is_voiced, SpeechPolicy(start_ms=60, start_window_ms=120), pause_ms=200)


def test_speech_starts_with_the_third_voiced_frame_of_six() -> None:
    assert changes(make(), "qqvqvqvq") == [(6, Change.STARTED)]


def test_single_clicks_do_not_start_speech() -> None:
    assert changes(make(), "vqqqqqvqqqqqvvqqqqqqvqqqq") == []


def test_speech_pauses_after_200_ms_without_voice() -> None:
    assert changes(make(), "vvvvv" + "q" * 10) == [(2, Change.STARTED), (14, Change.PAUSED)]


def test_breath_inside_speech_counts_as_speech() -> None:
    segmenter = make()
    changes(segmenter, "vvvvvqqqqvv")
    assert segmenter.speech_ms == 11 * 20
    assert segmenter.silence_ms == 0


def test_long_gap_inside_a_stretch_is_no_speech() -> None:
    segmenter = Segmenter(is_voiced, SpeechPolicy(start_ms=60, start_window_ms=120), pause_ms=1000)
    changes(segmenter, "vvvvv" + "q" * 40 + "vv")
    assert segmenter.speech_ms == 7 * 20 + 160
    assert segmenter.stretch_ms == 47 * 20


def test_silence_goes_on_being_counted_after_the_pause() -> None:
    segmenter = make()
    changes(segmenter, "vvv" + "q" * 30)
    assert segmenter.silence_ms == 600


def test_recent_audio_holds_pre_roll_and_onset() -> None:
    segmenter = make()
    changes(segmenter, "q" * 100 + "vvv")
    recent = segmenter.recent()
    assert len(recent) == (240 + 120) * 16
    assert np.count_nonzero(recent) == 3 * FRAME_SAMPLES
