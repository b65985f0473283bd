"""What is heard of audio that arrives in chunks."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.pcm import samples_of
from gateway.simulator.far_end import FarEnd
from tests.simulator.voices import tone


def test_audio_plays_when_it_arrives() -> None:
    far_end = FarEnd()
    far_end.push(tone(0.1), now=0.5)
    track = far_end.track()
    assert not track[: samples_of(0.5)].any()
    assert np.array_equal(track[samples_of(0.5) :], tone(0.1))


def test_audio_sent_ahead_waits_for_what_is_playing() -> None:
    far_end = FarEnd()
    far_end.push(tone(0.1), now=0.0)
    far_end.push(tone(0.1), now=0.02)
    assert far_end.end_s == pytest.approx(0.2)
    assert far_end.underruns == 0


def test_a_late_chunk_inside_a_reply_is_an_underrun() -> None:
    far_end = FarEnd()
    far_end.push(tone(0.1), now=0.0)
    far_end.push(tone(0.1), now=0.15)
    assert far_end.underruns == 1
    assert far_end.underrun_s == pytest.approx(0.05)


def test_a_gap_between_replies_is_no_underrun() -> None:
    far_end = FarEnd()
    far_end.push(tone(0.1), now=0.0)
    far_end.end_reply()
    far_end.push(tone(0.1), now=3.0)
    assert far_end.underruns == 0


def test_silence_is_reckoned_from_the_end_of_playing() -> None:
    far_end = FarEnd()
    far_end.push(tone(1.0), now=0.0)
    assert not far_end.is_silent(1.2, since_s=0.5)
    assert far_end.is_silent(1.5, since_s=0.5)


def test_audio_goes_on_with_a_reply_until_a_silence_or_its_transcript() -> None:
    far_end = FarEnd()
    assert not far_end.in_reply(0.0)
    far_end.push(tone(1.0), now=0.0)
    assert far_end.in_reply(1.1) and not far_end.in_reply(1.5)
    far_end.end_reply()
    assert not far_end.in_reply(1.1)


def test_a_line_on_which_nothing_came_has_an_empty_track() -> None:
    assert FarEnd().track().size == 0
